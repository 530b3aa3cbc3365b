"""Bench: events a second through the engine on one core, with everything on and answers checked.

    python -m bench.kernels

`stream` is the measured mix: quotes and 20 % trades over 5,000 instruments that hold positions.
`storm` is the mix that answers are checked on: every kind and flag, busts, corrections, halts,
crossed books, late events, sizes of 0, negative prices, instruments that do not exist. The same
kernels as plain Python functions must give the same bits. A rate is events by seconds of this
thread's CPU time, which is what a core can do; `events_per_s_wall` is the same run by the clock
on the wall, lower where others share the core.
"""

import builtins
import gc
import statistics
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.american_figures import american_figures
from bench.options_figures import options_figures
from bench.report import machine, report
from compute.engine import ROWS, Engine
from compute.enriched import ENRICHED
from compute.kernels.prefetch import prefetch
from compute.kernels.step import step
from compute.table import BOOKS_MAX
from ingest.event import EVENT, NO_PRICE, Flag, Kind
from ingest.instrument import AssetClass, Instrument, Reference

EVENTS_PER_S_MIN = 40e6  # The promise, enriched output on, one core.
WHOLE_PER_S_MIN = 5e6  # With fills, orders, busts, late trades, auctions and totals.
TOTAL_BATCHES = 100  # Of 1,024 events at 500,000/s: totals five times a second.
BATCH = 1_024
START_NS = 1_700_000_000_000_000_000
STORM_NS = START_NS + 2_680 * 1_000_000_000  # Two minutes before Chicago's futures begin a session.
CENT = 10_000_000  # Exact price units.


def instruments(count: int) -> Reference:
    """`count` instruments of all classes; one in four without a previous close."""
    return Reference(
        Instrument(
            id=number,
            symbol=f"S{number}",
            asset_class=number % len(AssetClass),
            venue="X",
            currency="USD" if number % 3 else "EUR",
            multiplier=(1.0, 100.0, 50.0)[number % 3],
            tick=0.01,
            decimals=2,
            close_prev=None if number % 4 == 0 else 100.0 + number % 7,
            usd_rate=1.0 if number % 3 else 1.0625,
            strike=100.0,
            right="C",
            expiry="2030-01-01",
            vwap_table=1 + number // 3 % 2,
        )
        for number in range(count)
    )


def stream(
    count: int,
    instrument_count: int = 5_000,
    trade_share: float = 0.2,
    rate: int = 500_000,
    seed: int = 1,
) -> np.ndarray:
    """EVENT [count]: quotes and trades of instruments drawn evenly, `rate` a second of event time.

    Evenly is the hardest draw for the caches: a real market's few busy names stay near.
    """
    rng = np.random.default_rng(seed)
    events = np.zeros(count, EVENT)
    number = np.arange(count)
    events["ts_event"] = START_NS + (number * (1e9 / rate)).astype(np.int64)
    events["sequence"] = number
    events["instrument"] = rng.integers(0, instrument_count, count)
    base = rng.integers(2_000, 60_000, instrument_count)
    bid = (base[events["instrument"]] + rng.integers(-20, 20, count)) * CENT
    traded = rng.random(count) < trade_share
    events["kind"] = np.where(traded, int(Kind.TRADE), int(Kind.QUOTE))
    events["bid"] = bid
    events["ask"] = np.where(traded, number + 1, bid + 2 * CENT)
    events["bid_size"] = rng.integers(1, 20, count) * 100.0
    events["ask_size"] = np.where(traded, 0.0, 300.0)
    return events


def whole(count: int, instrument_count: int = 5_000, seed: int = 4) -> np.ndarray:
    """EVENT [count]: `stream` with what else a day brings, far oftener than a day does.

    1 % fills, 0.2 % orders, 0.2 % busts, 0.5 % statuses; 1 % of the trades are an auction's, 2 %
    come up to a minute late.
    """
    rng = np.random.default_rng(seed)
    events = stream(count, instrument_count, seed=seed)
    traded = np.flatnonzero(events["kind"] == Kind.TRADE)
    late = rng.choice(traded, len(traded) // 50)
    events["ts_event"][late] -= rng.integers(0, 60_000_000_000, len(late))
    events["flags"][rng.choice(traded, len(traded) // 100)] = Flag.AUCTION
    kinds = rng.random(count)
    for kind, low, high in ((Kind.FILL, 0.0, 0.01), (Kind.ORDER, 0.01, 0.012)):
        own = np.flatnonzero((kinds >= low) & (kinds < high))
        events["kind"][own], events["flags"][own] = kind, 0
        events["instrument"][own] %= 300  # In 8 books each: there is room for 8,192 positions.
        events["book"][own], events["reference"][own] = rng.integers(0, 8, len(own)), own
        events["size"][own], events["fee"][own] = rng.integers(-50, 50, len(own)), 1.0
    halted = np.flatnonzero((kinds >= 0.012) & (kinds < 0.017))
    events["kind"][halted], events["flags"][halted] = Kind.STATUS, 0
    events["reference"][halted] = rng.integers(0, 2, len(halted))
    # A bust soon after its trade: an even place in the stream repeats a trade of before.
    for at in rng.choice(traded[: len(traded) * 9 // 10], count // 500, replace=False).tolist():
        if events["kind"][at] == Kind.TRADE:
            voided = events[at].copy()
            voided["kind"], voided["ts_event"] = Kind.BUST, events["ts_event"][at + 2_000]
            events[at + 2_000] = voided
    return events


def fills(instrument_count: int, seed: int = 2) -> np.ndarray:
    """EVENT [instrument_count]: one fill an instrument, so that P&L has something to do."""
    rng = np.random.default_rng(seed)
    events = np.zeros(instrument_count, EVENT)
    events["ts_event"], events["kind"] = START_NS, int(Kind.FILL)
    events["instrument"] = np.arange(instrument_count)
    events["book"] = events["instrument"] % 8
    events["price"] = rng.integers(2_000, 60_000, instrument_count) * CENT
    events["size"] = rng.integers(-50, 50, instrument_count)
    return events


def storm(count: int, instrument_count: int = 6, seed: int = 1) -> np.ndarray:
    """EVENT [count] of every kind and fault, for answers rather than speed."""
    rng = np.random.default_rng(seed)
    events = np.zeros(count, EVENT)
    steps = rng.choice([1_000, 50_000_000, 900_000_000, 70_000_000_000], count, p=_STEPS)
    share = np.where(np.arange(count) < 600, 0.4, 0.1)  # More of them as a session begins.
    late = np.where(rng.random(count) < share, rng.integers(0, 90_000_000_000, count), 0)
    events["ts_event"] = STORM_NS + np.cumsum(steps) - late
    events["sequence"] = np.arange(count)
    events["instrument"] = rng.integers(0, instrument_count + 1, count)  # One does not exist.
    kinds = [int(kind) for kind in Kind]
    events["kind"] = rng.choice([*kinds, 9], count, p=_KINDS)
    names = [0, Flag.CORRECTED, Flag.INELIGIBLE, Flag.RESET, Flag.INDICATIVE, Flag.AUCTION]
    names.append(Flag.SNAPSHOT)
    events["flags"] = rng.choice(names, count, p=[0.81, 0.04, 0.06, 0.02, 0.02, 0.03, 0.02])
    price = rng.integers(-40, 400, count) * CENT
    events["bid"] = price
    for index in range(count):
        _write(events, index, rng)
    return events


_STEPS = (0.5, 0.35, 0.14, 0.01)
_KINDS = (0.45, 0.3, 0.06, 0.04, 0.1, 0.02, 0.01, 0.005, 0.005, 0.01)  # Of Kind, and of none.
_SIZES = (100.0, 0.1, 0.2, 0.3, 1e-12, 1e12, 0.0, 7.0)


def _write(events: np.ndarray, index: int, rng: np.random.Generator) -> None:
    """The half of event `index` that its kind decides; busts repeat an earlier trade if any."""
    event = events[index : index + 1]
    kind = int(event["kind"][0])
    if kind == Kind.QUOTE:
        event["ask"] = event["bid"] + rng.integers(-2, 6) * CENT
        event["bid_size"], event["ask_size"] = rng.choice(_SIZES, 2)
        for side in ("bid", "ask"):
            if rng.random() < 0.05:
                event[side] = NO_PRICE
    elif kind == Kind.TRADE:
        event["reference"], event["size"] = index, rng.choice([*_SIZES, -5.0, 1e300])
        event["left_out"] = rng.choice([0.0, 2.0, 1.0, 1e300], p=[0.9, 0.08, 0.01, 0.01])
    elif kind == Kind.BUST:
        before = events[max(0, index - 200) : index]
        trades = before[(before["kind"] == Kind.TRADE) & (before["size"] > 0)]
        event["reference"], event["size"] = -1, 3.0
        if len(trades) and rng.random() < 0.9:
            voided = trades[rng.integers(len(trades))]
            for name in ("instrument", "price", "reference", "size", "left_out"):
                event[name] = voided[name]
            event["flags"] = voided["flags"] & ~np.uint8(Flag.RESET)
    elif kind == Kind.STATUS:
        event["reference"] = rng.choice([0, 0, 0, 1, 2, 3, 4])
    elif kind == Kind.FILL:
        event["book"] = rng.integers(0, BOOKS_MAX + 1 if rng.random() < 0.1 else 3)
        event["size"] = rng.choice(_SIZES) * rng.choice([-1.0, 1.0])
        event["fee"] = rng.choice([0.0, 1.25, -0.5])
        _of_order(events, index, rng)
    elif kind in (Kind.ORDER, Kind.CASH):
        event["book"] = rng.integers(0, 3)
        event["reference"] = 1 + index if kind == Kind.ORDER else rng.integers(-1, 7)
        event["size"] = rng.choice([10.0, -25.0, 0.0])
    elif kind in (Kind.ACTION, Kind.SPLIT):
        event["price"], event["reference"] = rng.choice([0, 1, 2, 3]), rng.choice([1, 2])


def _of_order(events: np.ndarray, index: int, rng: np.random.Generator) -> None:
    """Give fill `index` an order of before, or let it void a fill of before."""
    event, before = events[index : index + 1], events[max(0, index - 200) : index]
    orders = before[before["kind"] == Kind.ORDER]
    if len(orders) and rng.random() < 0.7:
        order = orders[rng.integers(len(orders))]
        for name in ("instrument", "book", "reference"):
            event[name] = order[name]
    fills = before[(before["kind"] == Kind.FILL) & (before["flags"] & Flag.CORRECTED == 0)]
    if event["flags"] & Flag.CORRECTED and len(fills) and rng.random() < 0.7:
        voided = fills[rng.integers(len(fills))]
        for name in ("instrument", "book", "price", "reference", "size", "fee"):
            event[name] = voided[name]
        event["flags"] |= voided["flags"]


def plain(kernel: Any, known: dict[Any, Any] | None = None) -> Callable[..., Any]:
    """A compiled kernel as plain Python, with all that it calls: the slow reference.

    Arrays of records enter as `Records`.
    """
    known = {} if known is None else known
    if kernel not in known:
        function = kernel.py_func
        scope: dict[str, Any] = {"__builtins__": builtins}
        known[kernel] = types.FunctionType(
            function.__code__, scope, function.__name__, None, function.__closure__
        )
        for name in set(function.__code__.co_names) & set(function.__globals__):
            value = function.__globals__[name]
            if value is prefetch:
                value = _no_hint  # It changes no result.
            scope[name] = plain(value, known) if hasattr(value, "py_func") else value
    compiled: Callable[..., Any] = known[kernel]
    return compiled


def _no_hint(_address: int) -> int:
    return 0


class Records:
    """An array of records whose items have their fields as attributes, as in a kernel."""

    def __init__(self, array: np.ndarray) -> None:
        """Shares the array's memory."""
        self.array, self.shape = array, array.shape

    def __getitem__(self, index: Any) -> Any:
        item = self.array[index]
        return Record(item) if isinstance(item, np.void) else Records(item)


class Record:
    """One item of Records; np.record will not do, it has a `size` and `flags` of its own."""

    __slots__ = ("item",)

    def __init__(self, item: np.void) -> None:
        """A view of the array's item."""
        object.__setattr__(self, "item", item)

    def __getattr__(self, name: str) -> Any:
        return self.item[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self.item[name] = value


class PlainEngine(Engine):
    """An engine whose kernels run as plain Python."""

    def __init__(self, reference: Reference) -> None:
        """As Engine."""
        super().__init__(reference)
        total = plain(self._total)
        self._total = lambda *arrays: total(*map(_records, arrays))

    def _bind(self) -> None:
        """The arrays themselves, in place of their addresses."""
        sessions, ledger = self._sessions, self._ledger.arrays(self._state)
        book = (*(getattr(self, name) for name in ROWS), (0, 0, 0, 0))
        calendar = (sessions.instants, sessions.spans, sessions.low_ns, sessions.high_ns)
        arrays = [_records(one) for one in (book, ledger, self.oldest_ns, self._counts, calendar)]
        kernel, self._arguments = plain(step), ()
        self._advance = lambda events, enriched: kernel(
            _records(events), _records(enriched), *arrays
        )


def _records(array: Any) -> Any:
    if isinstance(array, tuple):  # The ledger has names, other bundles have none.
        parts = map(_records, array)
        return type(array)(*parts) if hasattr(array, "_fields") else tuple(parts)
    named = isinstance(array, np.ndarray) and array.dtype.names
    return Records(array) if named else array


def same_bits(one: Engine, other: Engine) -> bool:
    """Whether two engines hold the same state, to the bit (checkpoints hold all of it)."""
    return one.checkpoint() == other.checkpoint()


def _check(count: int, seed: int) -> bool:
    """Whether kernel and plain Python agree on a storm: state and enriched rows, bit for bit."""
    events = storm(count, seed=seed)
    engines = [kind(instruments(6)) for kind in (Engine, PlainEngine)]
    rows = [np.zeros(count, ENRICHED) for _ in engines]
    with np.errstate(all="ignore"):
        for engine, out in zip(engines, rows, strict=True):
            engine.step(events, out)
            engine.total()
    return same_bits(*engines) and rows[0].tobytes() == rows[1].tobytes()


def measure(  # noqa: PLR0913
    events: np.ndarray,
    instrument_count: int,
    batch: int,
    emits: bool,
    repeats: int,
    totals: bool = False,
) -> tuple[list[float], list[float]]:
    """Events by CPU and by wall second of each of `repeats` passes over `events`, in batches."""
    engine = Engine(instruments(instrument_count))
    engine.step(fills(instrument_count), None)
    engine.total()  # Compiled before the clock runs.
    enriched = np.zeros(batch, ENRICHED) if emits else None
    events = events.copy()
    rates: tuple[list[float], list[float]] = ([], [])
    length_ns = int(events["ts_event"][-1] - events["ts_event"][0]) + 1_000_000
    gc.disable()
    for _ in range(repeats + 1):
        begins = time.thread_time(), time.perf_counter()
        for start in range(0, len(events), batch):
            engine.step(events[start : start + batch], enriched)
            if totals and start // batch % TOTAL_BATCHES == 0:
                engine.total()
        ends = time.thread_time(), time.perf_counter()
        for rate, begin, end in zip(rates, begins, ends, strict=True):
            rate.append(len(events) / (end - begin))
        events["ts_event"] += length_ns  # Time goes on, so the next pass does all the work anew.
    gc.enable()
    assert engine.counters["events"] == (repeats + 1) * len(events) + instrument_count
    return rates[0][1:], rates[1][1:]  # The first pass fills the rows.


def run(count: int = 1_000_000, repeats: int = 7, checked: int = 20_000) -> None:
    """Measure and report; the figures are medians of `repeats` passes over `count` events."""
    found = machine()
    agrees = _check(checked, seed=3)
    mix = stream(count)
    passes, walls = measure(mix, 5_000, BATCH, True, repeats)
    few = repeats // 2 + 1

    def rate(events: np.ndarray, batch: int = BATCH, emits: bool = True) -> int:
        return round(statistics.median(measure(events, 5_000, batch, emits, few)[0]))

    measured = measure(whole(count), 5_000, BATCH, True, few, totals=True)
    figures = {
        "events_per_s": round(statistics.median(passes)),
        "events_per_s_worst": round(min(passes)),
        "events_per_s_best": round(max(passes)),
        "events_per_s_wall": round(statistics.median(walls)),
        "events_per_s_without_enriched": rate(mix, emits=False),
        "events_per_s_batch_256": rate(mix, batch=256),
        "events_per_s_batch_8192": rate(mix, batch=8_192),
        "quotes_per_s": rate(stream(count, trade_share=0.0)),
        "trades_per_s": rate(stream(count, trade_share=1.0)),
        "engine_events_per_s": round(statistics.median(measured[0])),
        "engine_events_per_s_worst": round(min(measured[0])),
        "events": count,
        "passes": repeats,
        "batch": BATCH,
        "instruments": 5_000,
        "checked_events": checked,
        "agrees_with_plain_python": agrees,
    }
    options = options_figures() | american_figures()
    kept = options["options_hold"] and options["american_holds"]
    fast = figures["events_per_s"] >= EVENTS_PER_S_MIN
    fast = fast and figures["engine_events_per_s"] >= WHOLE_PER_S_MIN
    holds = agrees and kept and fast
    report("kernels", holds, figures | options, found)


if __name__ == "__main__":
    run()
