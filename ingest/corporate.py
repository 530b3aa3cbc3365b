"""Rule: the demo's corporate actions: now and then a held share splits or pays a dividend.

Enters: the market's rows, the fund's trading, spans of event time. Leaves: EVENT, and reference
rows as they are from then on. The share is halted as any other; half through the halt it splits or
goes ex dividend. A split is told twice, to the positions (ACTION) and to the market (SPLIT), and
the market's row and the fund's lines go on in new units; the previous close, restated, follows
REFERENCE_S later, because what it is restated for must have arrived. A dividend takes its amount
off the price that reopens; whoever held the share as it went ex is paid (or pays) once it trades.

Chosen is a share on which nothing hangs, of whose lines nothing is due and whose close is told. All
chance comes from dice of its own: what else the market does is the same with and without, until a
share halts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ingest.event import EVENT, NO_PRICE, PRICE_SCALE, Cash, Kind, Status
from ingest.fills import Fills
from ingest.instrument import AssetClass, Instrument

RATIOS = ((2, 1), (3, 1), (3, 2), (4, 1), (1, 2))  # New units for old ones.
SPLIT_SHARE = 0.5  # Of the actions; the others are dividends.
YIELD_MAX = 0.01  # Of the price, of one dividend.
TICKS_MIN = 200  # No price below becomes smaller still.
REFERENCE_S = 2.0

_Words = Mapping[str, float]  # Of an event, by their names.


@dataclass
class _Action:
    """One that goes on: what is next, and when."""

    instrument: int
    due_ns: int
    ratio: tuple[int, int]  # (0, 0): a dividend
    paid: list[tuple[int, float]] = field(default_factory=list)  # Book and amount.
    done: bool = False


class Corporate:
    """The actions of one market, one at a time."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        market: tuple[np.ndarray, ...],
        fills: Fills,
        dice: np.random.Generator,
        per_hour: float,
    ) -> None:
        """`market`: its control [1], rows, prints and halts; `per_hour` 0: none."""
        self._control, self._rows, self._prints, self._halts = market
        self._fills, self._dice = fills, dice
        self._mean_ns = 3_600e9 / per_hour if per_hour else np.inf
        self._next_ns = 0
        self._action: _Action | None = None
        self._restated: list[tuple[int, Instrument]] = []  # And when it is told.
        leaders = {int(leader) for leader in self._rows["leader"]}
        under = {row.underlying for row in instruments}
        self._shares = {
            row.id: row
            for row in instruments
            if row.asset_class == AssetClass.EQUITY and row.id not in leaders | under
        }

    def between(self, ts_from_ns: int, ts_to_ns: int) -> np.ndarray:
        """Array of EVENT: what the actions say in a span of event time, all as of its end."""
        if not self._next_ns:
            self._next_ns = self._later(ts_from_ns)
        told: list[_Words] = []
        if self._action is not None:
            told = self._go_on(self._action, ts_to_ns)
        elif ts_to_ns > self._next_ns:
            self._next_ns = self._later(ts_to_ns)
            told = self._begin(ts_to_ns)
        events = np.zeros(len(told), EVENT)
        events["ts_event"] = events["ts_recv"] = ts_to_ns - 1
        for event, words in zip(events, told, strict=True):
            for name, value in words.items():
                event[name] = value
        return events

    def took_rows(self, now_ns: int) -> list[Instrument]:
        """Reference rows that have become others by `now_ns`, each once."""
        due = [row for ts, row in self._restated if ts <= now_ns]
        self._restated = [(ts, row) for ts, row in self._restated if ts > now_ns]
        return due

    def _later(self, now_ns: int) -> int:
        return now_ns + 1 + int(min(self._dice.exponential() * self._mean_ns, 4e18))

    def _begin(self, now_ns: int) -> list[_Words]:
        """Halt a share that is held, if one can be."""
        control, restated = self._control[0], {row.id for _, row in self._restated}
        found = sorted((self._shares.keys() & self._fills.idle()) - restated)
        queued = int(control["halt_tail"] - control["halt_head"])
        if not found or queued >= len(self._halts) - 1:
            return []
        place = found[int(self._dice.integers(len(found)))]
        ratio = RATIOS[int(self._dice.integers(len(RATIOS)))]
        row, (new, old) = self._rows[place], ratio
        whole = all(held * new % old == 0 for _, held in self._fills.held(place))
        high = row["bid"] * old > TICKS_MIN * new * row["tick_exact"]
        if self._dice.random() >= SPLIT_SHARE or not (whole and high):
            ratio = (0, 0)
        if control["forced"] == place or row["bid"] < TICKS_MIN * row["tick_exact"]:
            return []
        length = int(control["halt_length"])
        self._halts[control["halt_tail"] % len(self._halts)] = now_ns + length, place
        control["halt_tail"] += 1
        row["halted"] = 1
        self._action = _Action(place, now_ns + length // 2, ratio)
        return [self._word(place, Kind.STATUS, reference=int(Status.HALTED))]

    def _go_on(self, action: _Action, now_ns: int) -> list[_Words]:
        place = action.instrument
        if not action.done:
            if now_ns < action.due_ns:
                return []
            action.done = True
            new, old = action.ratio
            if new == 0:
                self._go_ex(action)
                return []
            self._split(place, new, old)
            self._restated.append((now_ns + round(REFERENCE_S * 1e9), self._shares[place]))
            words = {"price": new, "reference": old}
            # An ACTION is of all books: where others have the book or the source, it has 0.
            own: _Words = {"kind": int(Kind.ACTION), "instrument": place} | words
            return [own, self._word(place, Kind.SPLIT, **words)]
        if self._rows[place]["halted"]:
            return []
        self._action = None
        cash = {"kind": int(Kind.CASH), "instrument": place, "price": NO_PRICE}
        cash["reference"] = int(Cash.DIVIDEND)
        return [cash | {"book": book, "size": amount} for book, amount in action.paid]

    def _word(self, place: int, kind: Kind, **words: int) -> _Words:
        source = int(self._rows[place]["source"])
        return {"kind": int(kind), "instrument": place, "source": source} | words

    def _split(self, place: int, new: int, old: int) -> None:
        """From here on the market, the fund and the reference speak of new units."""
        row, share = self._rows[place], self._shares[place]
        for name in ("fair", "own", "anchor", "sigma", "delta"):
            row[name] = row[name] * old / new
        row["spread"] = max(1.0, round(row["spread"] * old / new))
        self._shift(place, lambda price: price * old / new)
        self._fills.restate(place, new, old)
        close, adv = share.close_prev, share.adv
        self._shares[place] = replace(
            share,
            close_prev=None if close is None else close * float(old) / float(new),
            adv=None if adv is None else adv * new / old,
        )

    def _go_ex(self, action: _Action) -> None:
        """Who holds the share now is paid; who buys it where it reopens is not."""
        place = action.instrument
        row, share = self._rows[place], self._shares[place]
        tick = int(row["tick_exact"])
        units = max(1, round(int(row["bid"]) * self._dice.uniform(0, YIELD_MAX) / tick)) * tick
        amount = units / PRICE_SCALE
        action.paid = [
            (book, round(held * amount * share.multiplier, 2))
            for book, held in self._fills.held(place)
        ]
        row["anchor"], row["fair"] = row["anchor"] - amount, row["fair"] - amount
        self._shift(place, lambda price: price - units)

    def _shift(self, place: int, moved: Callable[[int], float]) -> None:
        """Move the book that stands, on tick; no trade of before can be void any more."""
        row = self._rows[place]
        tick = int(row["tick_exact"])
        bid, ask = (
            price if price == NO_PRICE else round(moved(price) / tick) * tick
            for price in (int(row["bid"]), int(row["ask"]))
        )
        row["bid"] = bid
        row["ask"] = ask if NO_PRICE in (bid, ask) else max(ask, bid + tick)
        self._prints["id"][self._prints["instrument"] == place] = 0
