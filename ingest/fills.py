"""Rule: the demo fund's own trading: seeded orders, and fills at or inside the market of now.

Enters: instruments, the market's rows (best bid and ask of now), spans of event time. Leaves:
EVENT of kind ORDER, FILL and CASH. A fixed set of lines (book, instrument, target) is opened at
once and then turned over about its targets, so that positions stay between USD 0.1 and 20 million.
An order comes with its decision price and is filled in up to three parts over about a minute; a
coin's commission is paid in coins; a rare fill is void some seconds later; what is held pays and
is paid dividends, coupons, funding and borrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ingest.event import EVENT, NO_PRICE, PRICE_UNIT, Cash, Flag, Kind
from ingest.instrument import AssetClass, Instrument

OPENING_FILLS = 250  # About 31 lines a book.
PARTS_MAX = 3  # Fills of an order.
PART_S = 20.0  # Mean time between them.
VOID_SHARE, VOID_S = 0.004, 5.0
CASH_PER_FILL = 0.25

# Of the traded value, by asset class; an option's premium is small beside what it moves.
_FEES_BP = (0.4, 0.3, 8.0, 0.06, 0.05, 0.2, 6.0, 0.02, 0.05, 0.5, 2.0, 1.0)
assert len(_FEES_BP) == len(AssetClass)

# What each book of the fund trades, in the order of its books: classes, currencies (empty: all).
_STRATEGIES: tuple[tuple[tuple[AssetClass, ...], tuple[str, ...]], ...] = (
    ((AssetClass.RATES_FUTURE, AssetClass.GOVERNMENT_BOND), ()),
    ((AssetClass.FX,), ()),
    ((AssetClass.COMMODITY_FUTURE, AssetClass.FUTURE_OPTION), ()),
    ((AssetClass.EQUITY, AssetClass.EQUITY_OPTION), ("USD",)),
    ((AssetClass.EQUITY,), ("EUR", "GBX", "CHF")),
    ((AssetClass.INDEX_FUTURE, AssetClass.ETF, AssetClass.EQUITY_OPTION), ()),
    ((AssetClass.CREDIT,), ()),
    ((AssetClass.CRYPTO_SPOT, AssetClass.CRYPTO_PERPETUAL), ()),
)


class _Entry(NamedTuple):
    """The words of an event, but for its moment."""

    kind: int
    flags: int
    book: int
    instrument: int
    price: int
    reference: int
    size: float
    fee: float = 0.0


@dataclass
class _Part:
    """A fill of an order, or the void of one, that is due at a moment."""

    due_ns: int
    line: int
    order: int
    size: float
    void: _Entry | None = None


class Fills:
    """The fund's trading: lines (book, instrument, target in units) and what is held of each."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        rows: np.ndarray,
        dice: np.random.Generator,
        books: int,
        per_second: float,
    ) -> None:
        """`rows` [n] hold the books of now: bid, ask, tick_exact (int64), halted, lot."""
        self._instruments, self._rows, self._dice = instruments, rows, dice
        self._per_second = per_second
        self._lines = _lines(instruments, rows, dice, books)
        self._held = np.zeros(len(self._lines))
        self._due: list[_Part] = []
        self._next_id, self._opened = 1, False

    def between(self, ts_from_ns: int, ts_to_ns: int) -> np.ndarray:
        """Array of EVENT of the fund's own kinds in time order; the first call opens all lines."""
        span_s = (ts_to_ns - ts_from_ns) * 1e-9
        lines = list(self._dice.integers(len(self._lines), size=self._count(span_s)))
        if not self._opened:
            lines, self._opened = list(range(len(self._lines))), True
        entries: list[_Entry] = []
        due = [part for part in self._due if part.due_ns <= ts_to_ns]
        self._due = [part for part in self._due if part.due_ns > ts_to_ns]
        for part in due:
            entries += self._part(part, ts_to_ns)
        for line in lines:
            entries += self._order(line, ts_to_ns)
        for _ in range(self._count(span_s * CASH_PER_FILL)):
            entries += self._cash(int(self._dice.integers(len(self._lines))))
        events = np.zeros(len(entries), EVENT)
        moments = np.sort(self._dice.integers(ts_from_ns, ts_to_ns, size=len(entries)))
        events["ts_event"] = events["ts_recv"] = moments
        for index, name in enumerate(_Entry._fields):
            events[name] = [entry[index] for entry in entries]
        return events

    def idle(self) -> set[int]:
        """Instruments that are held and have a market, while nothing of their lines is due."""
        busy = {self._lines[part.line][1] for part in self._due}
        held = {
            place
            for line, (_, place, _) in enumerate(self._lines)
            if self._held[line] and self._open(line)
        }
        return held - busy

    def held(self, instrument: int) -> list[tuple[int, float]]:
        """(book, units) of every line that holds it."""
        return [
            (book, float(self._held[line]))
            for line, (book, place, _) in enumerate(self._lines)
            if place == instrument and self._held[line]
        ]

    def restate(self, instrument: int, new: int, old: int) -> None:
        """`new` units for `old` ones: of what is held and of what is aimed at."""
        for line, (book, place, target) in enumerate(self._lines):
            if place == instrument:
                self._held[line] = self._held[line] * new / old
                self._lines[line] = book, place, target * new / old

    def _count(self, span_s: float) -> int:
        return int(self._dice.poisson(self._per_second * span_s))

    def _open(self, line: int) -> bool:
        """Whether the line has a market now."""
        row = self._rows[self._lines[line][1]]
        bid, ask = int(row["bid"]), int(row["ask"])
        return not (row["halted"] or NO_PRICE in (bid, ask) or ask <= bid)

    def _order(self, line: int, now_ns: int) -> list[_Entry]:
        """An order towards a level about the line's target, and its first fill."""
        if not self._open(line) or any(part.line == line for part in self._due):
            return []
        book, place, target = self._lines[line]
        row, held = self._rows[place], self._held[line]
        share = 1.0 if held == 0 else float(np.clip(self._dice.normal(1, 0.35), 0.3, 1.6))
        lot = float(row["lot"])
        lots = round((target * share - held) * (1.0 if held == 0 else 0.5) / lot)
        lots = lots or int(math.copysign(1, target * share - held))
        order, self._next_id = self._next_id, self._next_id + 1
        bid, ask = int(row["bid"]), int(row["ask"])
        drift = round(self._dice.normal() * (ask - bid) / 2)
        decision = (bid + ask) // 2 + drift
        parts = 1 if held == 0 else min(abs(lots), int(self._dice.integers(1, PARTS_MAX + 1)))
        sizes = [lots // parts * lot] * parts
        sizes[0] += (lots - lots // parts * parts) * lot
        due_ns = now_ns
        for size in sizes[1:]:
            due_ns += round(self._dice.exponential(PART_S) * 1e9)
            self._due.append(_Part(due_ns, line, order, size))
        first = _Part(now_ns, line, order, sizes[0])
        placed = _Entry(Kind.ORDER, 0, book, place, decision, order, lots * lot)
        return [placed, *self._part(first, now_ns)]

    def _part(self, part: _Part, now_ns: int) -> list[_Entry]:
        """The fill that is due, at the market of now; it waits while there is none."""
        if part.void is not None:
            taken = part.void
            self._held[part.line] -= taken.size
            return [taken._replace(flags=taken.flags | Flag.CORRECTED)]
        if not part.size:
            return []
        if not self._open(part.line):
            self._due.append(part)
            return []
        book, place, _ = self._lines[part.line]
        row, instrument = self._rows[place], self._instruments[place]
        bid, ask, tick = int(row["bid"]), int(row["ask"]), int(row["tick_exact"])
        inside = int(ask - bid > tick and self._dice.random() < 0.4) * tick
        price = ask - inside if part.size > 0 else bid + inside
        self._held[part.line] += part.size
        in_coins = instrument.asset_class == AssetClass.CRYPTO_SPOT
        worth = abs(part.size) * (1.0 if in_coins else _unit(instrument, price))
        fee = round(worth * _FEES_BP[instrument.asset_class] * 1e-4, 8 if in_coins else 2)
        flags = Flag.BASE_FEE if in_coins else 0
        fill = _Entry(Kind.FILL, flags, book, place, price, part.order, part.size, fee)
        if part.order > len(self._lines) and self._dice.random() < VOID_SHARE:
            due_ns = now_ns + round(VOID_S * 1e9)
            self._due.append(_Part(due_ns, part.line, part.order, part.size, fill))
        return [fill]

    def _cash(self, line: int) -> list[_Entry]:
        """What a held line pays or is paid, as its class does; nothing for most futures."""
        book, place, _ = self._lines[line]
        instrument, held = self._instruments[place], float(self._held[line])
        kind = _CASH.get(AssetClass(instrument.asset_class))
        if kind is None or held == 0 or not self._open(line):
            return []
        worth = held * _unit(instrument, int(self._rows[place]["bid"]))
        rate = self._dice.uniform(0.2, 2.0) * 1e-4
        if kind == Cash.FUNDING:  # Longs pay where the rate is above 0, as it mostly is.
            rate *= -1 if self._dice.random() < 0.8 else 1
        elif kind == Cash.DIVIDEND and held < 0 and self._dice.random() < 0.5:
            kind = Cash.BORROW
        amount = round(worth * rate, 2)
        return [_Entry(Kind.CASH, 0, book, place, NO_PRICE, kind, amount)] if amount else []


_CASH = {
    AssetClass.EQUITY: Cash.DIVIDEND,
    AssetClass.ETF: Cash.DIVIDEND,
    AssetClass.GOVERNMENT_BOND: Cash.COUPON,
    AssetClass.CRYPTO_PERPETUAL: Cash.FUNDING,
}


def _unit(instrument: Instrument, price: int) -> float:
    """Money of one unit at an exact price, in what the instrument pays in."""
    if instrument.inverse:
        return instrument.multiplier / (price * PRICE_UNIT)
    return abs(price * PRICE_UNIT * instrument.multiplier)


def _lines(
    instruments: Sequence[Instrument], rows: np.ndarray, dice: np.random.Generator, books: int
) -> list[tuple[int, int, float]]:
    """`OPENING_FILLS` lines, book after book, each of another instrument where there is one."""
    lines: dict[tuple[int, int], float] = {}
    for place in range(4 * OPENING_FILLS):
        book, instrument, target = _line(instruments, rows, dice, place % books)
        lines.setdefault((book, instrument), target)
        if len(lines) == OPENING_FILLS:
            break
    return [(book, instrument, target) for (book, instrument), target in lines.items()]


def _line(
    instruments: Sequence[Instrument], rows: np.ndarray, dice: np.random.Generator, book: int
) -> tuple[int, int, float]:
    """A line of `book`: one of the better known instruments it trades, and a target in units."""
    classes, currencies = _STRATEGIES[book % len(_STRATEGIES)]
    kind = classes[int(dice.integers(len(classes)))]
    known = [row for row in instruments if row.asset_class == kind] or list(instruments)
    wanted = [row for row in known if not currencies or row.currency in currencies] or known
    # Not what costs next to nothing: a line of a calendar spread would be a million contracts.
    dear = [row for row in wanted if abs(row.close_prev or 0) > 50 * row.tick] or wanted
    chosen = dear[int(dice.integers(max(1, min(len(dear), 12 + len(dear) // 4))))]
    option = bool(chosen.right)
    usd = 10 ** dice.uniform(5.2, 6.1 if option else 7.0) * (1 if dice.random() < 0.6 else -1)
    price = 1.0 if chosen.inverse else abs(chosen.close_prev or 1.0)
    unit = price * chosen.multiplier * chosen.usd_rate
    lot = float(rows[chosen.id]["lot"])
    lots = round(usd / unit / lot) or int(math.copysign(1, usd))
    return book, chosen.id, lots * lot
