"""Rule: a seeded synthetic market over 12 classes; the same for demo, tests and bench.

Enters: instruments, a seed, and calls of `step(from, to, count)`. Leaves: arrays of EVENT in the
order of their intended times, evenly placed as an open-loop source means them, bursts apart. The
same calls give the same bytes. It has what real streams have: Zipf-like activity, bursts, fast
millisecond runs, one-sided, locked and crossed books, size-0 trades, negative prices, halts,
busts and corrections. It reads no clock and numbers no sequence: the replay does.

Prices: fair value = close + own part + leader's move x delta (+ gamma), own part an
Ornstein-Uhlenbeck process in event time, so that a second moves a price as much at 1 event/s as
at 2,000,000. An option's leader is its underlying, a back month's its front month, a share's the
first index future. Quotes stand on tick around the fair value.
"""

import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from numba import njit

from ingest.alias import alias_table
from ingest.corporate import Corporate
from ingest.event import EVENT, NO_PRICE, PRICE_SCALE, PRICE_UNIT, Flag, Kind, Status
from ingest.fills import Fills
from ingest.instrument import AssetClass, Instrument
from ingest.universe import AS_OF, normal


class _Class(NamedTuple):
    """How a class trades. Shares of the events sum to 1 over the classes."""

    share: float
    volatility: float  # Of the own part, a year.
    spread_bp: float
    lot: float  # Units; 0: about USD 500 of a coin.
    halts: bool = False


_CLASSES = {
    AssetClass.EQUITY: _Class(0.24, 0.26, 1.2, 100, halts=True),
    AssetClass.ETF: _Class(0.08, 0.09, 0.6, 100, halts=True),
    AssetClass.EQUITY_OPTION: _Class(0.34, 0.30, 120.0, 1),
    AssetClass.INDEX_FUTURE: _Class(0.08, 0.14, 0.3, 1, halts=True),
    AssetClass.RATES_FUTURE: _Class(0.06, 0.045, 0.3, 1),
    AssetClass.COMMODITY_FUTURE: _Class(0.06, 0.30, 1.5, 1, halts=True),
    AssetClass.FUTURE_OPTION: _Class(0.03, 0.30, 150.0, 1),
    AssetClass.FX: _Class(0.05, 0.075, 0.4, 1e6),
    AssetClass.GOVERNMENT_BOND: _Class(0.02, 0.05, 0.8, 1e6),
    AssetClass.CREDIT: _Class(0.01, 0.08, 4.0, 1e5),
    AssetClass.CRYPTO_SPOT: _Class(0.015, 0.50, 0.8, 0),
    AssetClass.CRYPTO_PERPETUAL: _Class(0.015, 0.55, 0.5, 0),
}

ROW = np.dtype(
    [
        *(("bid", "<i8"), ("ask", "<i8"), ("ts", "<i8"), ("tick_exact", "<i8")),
        *(("fair", "<f8"), ("own", "<f8"), ("anchor", "<f8"), ("sigma", "<f8")),  # Sigma a root s.
        *(("tick", "<f8"), ("spread", "<f8"), ("lot", "<f8"), ("floor", "<f8")),  # Spread in ticks.
        *(("delta", "<f8"), ("gamma", "<f8"), ("strike", "<f8"), ("sign", "<f8")),
        *(("weight", "<f8"), ("leader", "<i8"), ("source", "<i8")),
        *(("halted", "<i8"), ("halts", "<i8"), ("pad", "<i8", (3,))),
    ]
)
assert ROW.itemsize == 192  # Three cache lines.

CONTROL = np.dtype(
    [
        *(("seed", "<u8"), ("trade_id", "<i8"), ("ring", "<i8"), ("started", "<i8")),
        *(("mend_head", "<i8"), ("mend_tail", "<i8"), ("halt_head", "<i8"), ("halt_tail", "<i8")),
        *(("halt_next", "<i8"), ("halt_mean", "<f8"), ("halt_length", "<i8")),
        *(("burst_next", "<i8"), ("burst_mean", "<f8"), ("burst", "<i8"), ("burst_until", "<i8")),
        *(("burst_share", "<f8"), ("burst_run", "<i8")),
        *(("forced", "<i8"), ("forced_slot", "<i8")),
    ]
)
PRINT = np.dtype(
    [*(("id", "<i8"), ("price", "<i8"), ("size", "<f8")), ("instrument", "<i8"), ("flags", "<i8")]
)
PRINTS = 512  # Recent trades that may still be busted: 5 ms of a 500,000 events/s stream.
QUEUE = 256  # Books to mend and halts to lift at any time; when full, nothing new breaks.

_QUOTE, _TRADE, _BUST, _STATUS = (int(k) for k in (Kind.QUOTE, Kind.TRADE, Kind.BUST, Kind.STATUS))
_BUYER, _SELLER, _CORRECTED = int(Flag.BUYER), int(Flag.SELLER), int(Flag.CORRECTED)
_INELIGIBLE, _AUCTION = int(Flag.INELIGIBLE), int(Flag.AUCTION)
_HALTED, _TRADING = int(Status.HALTED), int(Status.TRADING)
_NO_PRICE, _UNIT = NO_PRICE, PRICE_UNIT

_SECONDS_A_YEAR = 252 * 23_400.0  # Of trading.
# Long-run standard deviation of the own part = one day's move: kappa = sigma^2 / (2 deviation^2).
_KAPPA = 252 / (2 * _SECONDS_A_YEAR)
_TRADES_16 = 13_107  # 20 % of 2^16.
_BITS_14 = np.uint64(2**14 - 1)
_MEND_NS = 20_000_000  # A crossed or locked book lasts 20 ms.
_RUN_STEP_NS = 6_000  # 160 events of a run take 0.96 ms: the hundred within a millisecond.
_BURST_NS = 400_000_000
_BURST_EVENTS_MIN = 220  # A run of at most 160 and something after it.
_BURST_SHARE_MAX = 0.3  # Of the whole stream, while it lasts.
# Out of 2^20 trades: busts and corrections 1 in 20,000 each, size 0 and auction 1 in 2,000,
# ineligible 1 in 200. Out of 2^20 quotes: crossed 1 in 20,000, locked and one-sided 1 in 4,000.
_BUSTS, _CORRECTIONS, _ZEROS, _AUCTIONS, _INELIGIBLES = 52, 104, 628, 1_152, 6_395
_CROSSED, _LOCKED, _ONE_SIDED = 52, 314, 576


@njit(cache=True)
def _random(control):
    """splitmix64 (Steele, Lea, Flood 2014): 64 bits."""
    control.seed += np.uint64(0x9E3779B97F4A7C15)
    z = control.seed
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _uniform(control):
    return (np.int64(_random(control) >> np.uint64(11)) + 0.5) / 9007199254740992.0


@njit(cache=True)
def _pick(control, chance, alias):
    """An instrument by its weight: Walker's alias method, one draw."""
    bits = _random(control)
    place = np.int64(((bits >> np.uint64(32)) * np.uint64(len(alias))) >> np.uint64(32))
    if np.int64(bits & np.uint64(0xFFFFFFFF)) < chance[place]:
        return place
    return alias[place]


@njit(cache=True)
def _any(control, rows):
    """An instrument, all alike."""
    return np.int64(_uniform(control) * len(rows))


@njit(cache=True)
def _advance(rows, row, ts, noise):
    """Move the fair value on to `ts`; `noise` has mean 0 and variance 1."""
    seconds = min(max(ts - row.ts, 0) * 1e-9, 600.0)
    row.ts = max(ts, row.ts)
    row.own += row.sigma * math.sqrt(seconds) * noise - _KAPPA * row.own * seconds
    fair = row.anchor + row.own
    if row.leader >= 0:
        leader = rows[row.leader]
        move = leader.fair - leader.anchor
        fair += move * (row.delta + 0.5 * row.gamma * move)
        if row.sign != 0.0:  # No option is worth less than its exercise.
            fair = max(fair, row.sign * (leader.fair - row.strike))
    row.fair = max(fair, row.floor)


@njit(cache=True)
def _write(words, place, ts, instrument, source, kind, flags):
    """The envelope of an event, as the eight words that a record is."""
    words[place, 0] = ts
    words[place, 1] = ts
    words[place, 2] = 0
    words[place, 3] = instrument | source << 32 | kind << 48 | flags << 56


@njit(cache=True)
def _stand(row, bits, rare):
    """Set the row's bid and ask around its fair value. True if the book is locked or crossed."""
    wider = (bits & np.uint64(3)) * (bits >> np.uint64(2) & np.uint64(1))  # 0 in five of eight.
    width = np.int64(row.spread) + np.int64(wider)
    bid = np.int64(math.floor(row.fair / row.tick - width * 0.5 + 0.5))
    broken = rare < _LOCKED
    if broken:
        width = 0 if rare >= _CROSSED else -1 - np.int64(bits & np.uint64(1))
    row.bid = bid * row.tick_exact
    row.ask = (bid + width) * row.tick_exact
    if row.floor > 0.0 and row.ask <= 0:
        row.ask = row.tick_exact
    if row.floor > 0.0 and row.bid <= 0:
        row.bid = _NO_PRICE  # Nobody pays nothing.
        broken = False
    elif _LOCKED <= rare < _ONE_SIDED:
        if bits & np.uint64(1):
            row.bid = _NO_PRICE
        else:
            row.ask = _NO_PRICE
    return broken


@njit(cache=True)
def _size(lot, bits):
    """Mostly a few lots, now and then sixty."""
    few = np.int64(bits & np.uint64(3)) + 1
    many = np.int64(bits >> np.uint64(2) & np.uint64(15))
    large = (bits >> np.uint64(6) & np.uint64(7)) == np.uint64(0) and many > 0
    return lot * (few * many if large else few)


@njit(cache=True)
def _quote(control, mends, words, sizes, place, ts, row, instrument, rare):
    """Write a quote; a broken book is queued for mending."""
    bits = _random(control)
    free = control.mend_tail - control.mend_head < QUEUE
    if not free and rare < _LOCKED:
        rare = _ONE_SIDED
    if _stand(row, bits >> np.uint64(40), rare):
        slot = control.mend_tail % QUEUE
        mends[slot, 0], mends[slot, 1] = ts + _MEND_NS, instrument
        control.mend_tail += 1
    _write(words, place, ts, instrument, row.source, _QUOTE, 0)
    words[place, 4], words[place, 5] = row.bid, row.ask
    sizes[place, 6] = 0.0 if row.bid == _NO_PRICE else _size(row.lot, bits)
    sizes[place, 7] = 0.0 if row.ask == _NO_PRICE else _size(row.lot, bits >> np.uint64(16))


@njit(cache=True)
def _trade(control, prints, words, sizes, place, ts, row, instrument, rare):
    """Write a trade at the touch and remember it."""
    bits = _random(control)
    bought = bits >> np.uint64(63) == np.uint64(1)
    price = row.ask if bought else row.bid
    if price == _NO_PRICE:
        price = row.bid if bought else row.ask
    flags = _BUYER if bought else _SELLER
    size = 0.0 if rare < _ZEROS else _size(row.lot, bits)
    if _ZEROS <= rare < _AUCTIONS:
        flags = _AUCTION
    elif _AUCTIONS <= rare < _INELIGIBLES:
        flags |= _INELIGIBLE  # An average-price or late print, away from the touch.
        price += (np.int64(bits >> np.uint64(32) & np.uint64(15)) - 7) * row.tick_exact
        if row.floor > 0.0:
            price = max(price, row.tick_exact)
    _print(words, sizes, place, ts, row, instrument, _TRADE, flags, price, control.trade_id, size)
    if size > 0.0:
        slot = prints[control.ring % PRINTS]
        slot.id, slot.price, slot.size = control.trade_id, price, size
        slot.instrument, slot.flags = instrument, flags
        control.ring += 1
    control.trade_id += 1


@njit(cache=True)
def _print(words, sizes, place, ts, row, instrument, kind, flags, price, reference, size):
    _write(words, place, ts, instrument, row.source, kind, flags)
    words[place, 4], words[place, 5] = price, reference
    sizes[place, 6], sizes[place, 7] = size, 0.0


@njit(cache=True)
def _bust(control, rows, prints, words, sizes, place, ts, corrected):
    """Write the bust of a recent trade, or return False; a correction forces its new trade next."""
    number = np.int64(_random(control) & np.uint64(PRINTS - 1))
    slot = prints[number]
    if slot.id == 0:
        return False
    row = rows[slot.instrument]
    if row.halted:
        return False
    flags = slot.flags | (_CORRECTED if corrected else 0)
    _print(
        words, sizes, place, ts, row, slot.instrument, _BUST, flags, slot.price, slot.id, slot.size
    )
    if corrected:
        control.forced, control.forced_slot = slot.instrument, number
    else:
        slot.id = 0
    return True


@njit(cache=True)
def _correct(control, rows, prints, words, sizes, place, ts):
    """Write what is forced: the second half of a correction, or the auction after a halt."""
    instrument = control.forced
    row = rows[instrument]
    control.forced = -1
    if control.forced_slot < 0:
        _trade(control, prints, words, sizes, place, ts, row, instrument, _ZEROS)
        return
    slot = prints[control.forced_slot]
    if _random(control) & np.uint64(1) or slot.price == row.tick_exact:
        slot.size += row.lot
    else:
        slot.price -= row.tick_exact
    flags = slot.flags | _CORRECTED
    _print(words, sizes, place, ts, row, instrument, _TRADE, flags, slot.price, slot.id, slot.size)


@njit(cache=True)
def _wait(control, mean_ns):
    """Nanoseconds to the next event of a Poisson process; about forever where it has no rate."""
    return np.int64(min(-math.log(_uniform(control)) * mean_ns, 4e18))


@njit(cache=True)
def _status(control, rows, halts, words, sizes, place, ts):
    """Write the status event that is due, or return False."""
    head = control.halt_head % QUEUE
    if control.halt_tail > control.halt_head and halts[head, 0] <= ts:
        instrument = halts[head, 1]
        control.halt_head += 1
        rows[instrument].halted = 0
        control.forced, control.forced_slot = instrument, -1
        status = _TRADING
    elif control.halt_next <= ts:
        control.halt_next = ts + 1 + _wait(control, control.halt_mean)
        instrument = _any(control, rows)
        for _ in range(16):
            if rows[instrument].halts and not rows[instrument].halted:
                break
            instrument = _any(control, rows)
        halted = control.halt_tail - control.halt_head
        full = halted >= min(QUEUE, max(1, len(rows) // 8))
        if full or rows[instrument].halts == 0 or rows[instrument].halted:
            return False
        tail = control.halt_tail % QUEUE
        halts[tail, 0], halts[tail, 1] = ts + control.halt_length, instrument
        control.halt_tail += 1
        rows[instrument].halted = 1
        status = _HALTED
    else:
        return False
    row = rows[instrument]
    _print(words, sizes, place, ts, row, instrument, _STATUS, 0, 0, status, 0.0)
    return True


@njit(cache=True)
def _start_burst(control, rows, ts, gap):
    """Choose a symbol whose burst fits the stream: 120 to 370 of its mean seconds within 0.4 s.

    Measured over calendar seconds and with a symbol's noise that is a peak of 50 to 480 means.
    """
    control.burst_next = ts + 1 + _wait(control, control.burst_mean)
    for _ in range(16):
        place = _any(control, rows)
        if rows[place].halted:
            continue
        events = (120.0 + 250.0 * _uniform(control)) * rows[place].weight * 1e9 / gap
        run = 110 + np.int64(_random(control) & np.uint64(31))
        share = (events - run) * gap / _BURST_NS
        if events >= _BURST_EVENTS_MIN and share <= _BURST_SHARE_MAX:
            control.burst, control.burst_until = place, ts + _BURST_NS
            control.burst_share, control.burst_run = share, run
            return


@njit(cache=True)
def _choose(control, rows, chance, alias, ts):
    """The next instrument: the burst's, or one by weight that is not halted."""
    if control.burst >= 0:
        if ts >= control.burst_until or rows[control.burst].halted:
            control.burst, control.burst_run = -1, 0
        elif control.burst_run > 0:
            control.burst_run -= 1
            return control.burst
        elif _uniform(control) < control.burst_share:
            return control.burst
    instrument = _pick(control, chance, alias)
    while rows[instrument].halted:
        instrument = instrument + 1 if instrument + 1 < len(rows) else 0
    return instrument


@njit(cache=True)
def _step(controls, rows, chance, alias, prints, mends, halts, words, sizes, ts_from, gap):
    """Fill all of `words` [n, 8] (int64) and its float64 twin `sizes` with events."""
    control = controls[0]
    fast = min(gap, float(_RUN_STEP_NS))
    run_place, run_ts = -1, 0
    for place in range(len(words)):
        even = ts_from + np.int64(place * gap)
        if even >= control.burst_next and control.burst < 0:
            _start_burst(control, rows, even, gap)
        if control.burst_run > 0:  # The run is faster than the stream; then the stream catches up.
            if run_place < 0:
                run_place, run_ts = place, even
            ts = run_ts + np.int64((place - run_place) * fast)
        else:
            run_place, ts = -1, even
        if control.forced >= 0:
            _correct(control, rows, prints, words, sizes, place, ts)
            continue
        if _status(control, rows, halts, words, sizes, place, ts):
            continue
        bits = _random(control)
        rare = np.int64(bits >> np.uint64(44))
        head = control.mend_head % QUEUE
        mending = control.mend_tail > control.mend_head and mends[head, 0] <= ts
        if mending:
            instrument, rare = mends[head, 1], _ONE_SIDED
            control.mend_head += 1
            mending = rows[instrument].halted == 0
        if not mending:
            instrument = _choose(control, rows, chance, alias, ts)
        row = rows[instrument]
        trades = np.int64(bits & np.uint64(0xFFFF)) < _TRADES_16 and not mending
        if trades and rare < _CORRECTIONS:
            corrected = rare >= _BUSTS
            if _bust(control, rows, prints, words, sizes, place, ts, corrected):
                continue
            rare = _INELIGIBLES  # Nothing to bust: an ordinary trade.
        if trades:
            _trade(control, prints, words, sizes, place, ts, row, instrument, rare)
            continue
        # The sum of two 14-bit numbers, to variance 1: sqrt(6) / 2^14.
        both = (bits >> np.uint64(16) & _BITS_14) + (bits >> np.uint64(30) & _BITS_14)
        noise = (np.int64(both) - 16_383) * 1.4950e-4
        _advance(rows, row, ts, noise * 3.0 if instrument == control.burst else noise)
        _quote(control, mends, words, sizes, place, ts, row, instrument, rare)


@njit(cache=True)
def _open(controls, rows):
    """Fair values and first books of all rows; a leader's leader needs the next round."""
    control = controls[0]
    for _ in range(3):
        for place in range(len(rows)):
            _advance(rows, rows[place], 0, 0.0)
    for place in range(len(rows)):
        _stand(rows[place], _random(control), _ONE_SIDED)


class Market:
    """A market over `instruments` (ids dense from 0), the same for the same seed and calls."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        seed: int = 7,
        *,
        books: int = 8,
        halts_per_minute: float = 6.0,
        halt_s: float = 20.0,
        bursts_per_second: float = 1.0,
        fills_per_second: float = 6.0,
        actions_per_hour: float = 4.0,
    ) -> None:
        """Rates are of event time; 0 is never. Bursts need a stream of about 2,000 events/s.

        ValueError where the ids are not 0, 1, 2, ... in order.
        """
        if not instruments or any(row.id != place for place, row in enumerate(instruments)):
            raise ValueError("market: instrument ids must be 0, 1, 2, ... in order, at least one")
        self.instruments = instruments
        self._dice = np.random.default_rng(seed)
        self._rows = _rows(instruments, self._dice)
        self._chance, self._alias = alias_table(self._rows["weight"])
        self._prints = np.zeros(PRINTS, PRINT)
        self._mends = np.zeros((QUEUE, 2), np.int64)
        self._halts = np.zeros((QUEUE, 2), np.int64)
        self._control = np.zeros(1, CONTROL)
        control = self._control[0]
        control["seed"], control["trade_id"] = seed, 1
        control["burst"] = control["forced"] = -1
        control["halt_mean"] = 60e9 / halts_per_minute if halts_per_minute else np.inf
        control["halt_length"] = round(halt_s * 1e9)
        control["burst_mean"] = 1e9 / bursts_per_second if bursts_per_second else np.inf
        _open(self._control, self._rows)
        self._fills = Fills(instruments, self._rows, self._dice, books, fills_per_second)
        market = (self._control, self._rows, self._prints, self._halts)
        dice = np.random.default_rng((seed, 1))
        self._corporate = Corporate(instruments, market, self._fills, dice, actions_per_hour)
        self.step(0, 1, 0)  # Compiles the kernel before a clock runs.

    @property
    def activity(self) -> np.ndarray:
        """Share of the events that each instrument has outside bursts, float64 [n], sum 1."""
        return self._rows["weight"].copy()

    def opening(self, ts_event: int) -> np.ndarray:
        """One quote of every instrument at `ts_event`, flagged SNAPSHOT, array of EVENT [n]."""
        events = np.zeros(len(self._rows), EVENT)
        events["ts_event"] = events["ts_recv"] = ts_event
        events["instrument"] = np.arange(len(events))
        events["kind"], events["flags"] = Kind.QUOTE, Flag.SNAPSHOT
        for name in ("source", "bid", "ask"):
            events[name] = self._rows[name]
        for side in ("bid", "ask"):
            events[f"{side}_size"] = np.where(events[side] == NO_PRICE, 0, self._rows["lot"])
        return events

    def step(self, ts_from_ns: int, ts_to_ns: int, count: int) -> np.ndarray:
        """`count` events whose intended times are spread over [ts_from_ns, ts_to_ns).

        Array of EVENT [count] in time order; `sequence` is 0 and `ts_recv` = `ts_event`: the
        replay fills both. `source` is the asset class. ValueError where the time does not pass.
        """
        if ts_to_ns <= ts_from_ns or count < 0:
            span = f"{count} events from {ts_from_ns} to {ts_to_ns} ns"
            raise ValueError(f"market.step: {span}; give a later end and a count of 0 or more")
        events = np.empty(count, EVENT)
        control = self._control[0]
        if count and not control["started"]:
            control["started"] = 1
            self._rows["ts"] = ts_from_ns
            for name in ("burst", "halt"):
                wait = self._dice.exponential() * float(control[f"{name}_mean"])
                control[f"{name}_next"] = ts_from_ns + int(min(wait, 4e18))
        _step(
            *(self._control, self._rows, self._chance, self._alias),
            *(self._prints, self._mends, self._halts),
            *(events.view(np.int64).reshape(-1, 8), events.view(np.float64).reshape(-1, 8)),
            *(ts_from_ns, (ts_to_ns - ts_from_ns) / max(count, 1)),
        )
        return events

    def fills(self, ts_from_ns: int, ts_to_ns: int) -> np.ndarray:
        """Own executions at or inside the market of now, array of EVENT of kind FILL.

        The first call opens the books (`fills.OPENING_FILLS`); later ones turn positions over about
        their targets, USD 0.1 to 20 million each. `reference` is the fill's id. Last of all come
        the events of corporate actions, the halt and the SPLIT among them, as of the span's end.
        """
        parts = [one.between(ts_from_ns, ts_to_ns) for one in (self._fills, self._corporate)]
        # As words: numpy's concatenate lays the overlapping fields of EVENT out anew.
        words = [part.view(np.int64).reshape(-1, 8) for part in parts if len(part)]
        return np.concatenate(words).reshape(-1).view(EVENT) if words else parts[0]

    def took_rows(self, now_ns: int) -> list[Instrument]:
        """Reference rows that corporate actions have made others by then, each once."""
        return self._corporate.took_rows(now_ns)


def _rows(instruments: Sequence[Instrument], dice: np.random.Generator) -> np.ndarray:
    """The kernel's rows [n] of ROW; what is random of them comes from `dice`."""
    rows = np.zeros(len(instruments), ROW)
    weights = np.zeros(len(instruments))
    ranks: dict[tuple[int, int], dict[int, int]] = {}
    for row, instrument in zip(rows, instruments, strict=True):
        kind = _CLASSES[AssetClass(instrument.asset_class)]
        close = instrument.close_prev or 0.0
        # What a move is a share of; a calendar spread near 0 still moves by ticks.
        level = close if instrument.right else max(abs(close), 60 * instrument.tick)
        row["tick"], row["tick_exact"] = instrument.tick, round(instrument.tick * PRICE_SCALE)
        row["anchor"], row["source"], row["halts"] = close, instrument.asset_class, kind.halts
        row["spread"] = max(1, round(level * kind.spread_bp * 1e-4 / instrument.tick))
        row["floor"] = instrument.tick if close > 0 else -np.inf
        row["lot"] = kind.lot or 10.0 ** round(math.log10(500 / level))
        row["leader"] = -1
        row["sigma"] = level * kind.volatility / math.sqrt(_SECONDS_A_YEAR)
        # The underlying ranks an option; the place in its class ranks everything else.
        key = instrument.underlying if instrument.right else instrument.id
        places = ranks.setdefault((instrument.asset_class, bool(instrument.right)), {})
        weights[instrument.id] = (places.setdefault(key, len(places)) + 2) ** -1.05
    _follow(instruments, rows, dice)
    delta = np.abs(rows["delta"])
    options = rows["sign"] != 0
    weights[options] *= (4 * delta * (1 - delta) + 0.05)[options]
    for asset_class, kind in _CLASSES.items():
        chosen = rows["source"] == asset_class
        weights[chosen] *= kind.share / max(weights[chosen].sum(), 1e-300)
    rows["weight"] = weights / weights.sum()
    # The market opens away from yesterday's close by about half a day's move.
    opening = 0.6 * rows["sigma"] * math.sqrt(_SECONDS_A_YEAR / 252) * ~options
    rows["own"] = dice.standard_normal(len(rows)) * opening
    return rows


def _follow(instruments: Sequence[Instrument], rows: np.ndarray, dice: np.random.Generator) -> None:
    """Give every row its leader, and the part of the leader's moves that it makes its own."""
    fronts: dict[str, int] = {}
    index = next((i.id for i in instruments if i.asset_class == AssetClass.INDEX_FUTURE), -1)
    for row, instrument in zip(rows, instruments, strict=True):
        asset_class, close = instrument.asset_class, instrument.close_prev or 0.0
        front, beta, own = -1, 1.0, 0.15
        if instrument.right:
            _option(row, instrument, instruments[instrument.underlying])
            continue
        if instrument.underlying >= 0:  # A perpetual, a forward.
            front = instrument.underlying
        elif (
            instrument.expiry and asset_class != AssetClass.CREDIT and "-" not in instrument.symbol
        ):
            # A future follows its front month, a bond its issuer's first.
            bond = asset_class == AssetClass.GOVERNMENT_BOND
            root = (
                instrument.symbol.split()[0]
                if bond
                else instrument.symbol.rstrip("0123456789")[:-1]
            )
            front = fronts.setdefault(f"{asset_class} {root}", instrument.id)
        indexed = asset_class in (AssetClass.EQUITY, AssetClass.ETF, AssetClass.INDEX_FUTURE)
        if indexed and front in (-1, instrument.id):
            front, beta, own = index, float(dice.uniform(0.5, 1.4)), 0.8
        if front in (-1, instrument.id) or not instruments[front].close_prev:
            continue
        row["leader"], row["delta"] = front, beta * close / (instruments[front].close_prev or 1.0)
        row["sigma"] *= own


def _option(row: np.void, instrument: Instrument, underlying: Instrument) -> None:
    """Delta and gamma at the close, from the underlying's class volatility."""
    ratio = instrument.units / instrument.multiplier
    spot, strike = (underlying.close_prev or 0.0) * ratio, instrument.strike or 0.0
    volatility = _CLASSES[AssetClass(underlying.asset_class)].volatility
    years = max(1, (date.fromisoformat(instrument.expiry) - AS_OF).days) / 365
    deviation = volatility * math.sqrt(years)
    d_1 = math.log(spot / strike) / deviation + deviation / 2
    row["leader"], row["sign"] = underlying.id, 1 if instrument.right == "C" else -1
    row["delta"] = (normal(d_1) - (instrument.right == "P")) * ratio
    density = math.exp(-d_1 * d_1 / 2) / math.sqrt(2 * math.pi)
    row["gamma"] = density / (spot * deviation) * ratio * ratio
    row["strike"] = strike if ratio == 1 else row["sign"] * np.inf  # No floor: it is for one share.
