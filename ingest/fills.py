"""Rule: the demo fund's own executions: seeded fills at or inside the market of the moment.

Enters: instruments, the market's rows (best bid and ask of now), spans of event time. Leaves:
EVENT of kind FILL. A fixed set of lines (book, instrument, target) is opened at once and then
turned over about its targets, so that positions stay between USD 0.1 and 20 million.
"""

import math
from collections.abc import Sequence

import numpy as np

from ingest.event import EVENT, NO_PRICE, PRICE_UNIT, Kind
from ingest.instrument import AssetClass, Instrument

OPENING_FILLS = 250  # About 31 lines a book.

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
        self._next_id, self._opened = 1, False

    def between(self, ts_from_ns: int, ts_to_ns: int) -> np.ndarray:
        """Array of EVENT of kind FILL in time order; the first call opens all lines."""
        count = self._dice.poisson(self._per_second * (ts_to_ns - ts_from_ns) * 1e-9)
        lines = list(self._dice.integers(len(self._lines), size=count))
        if not self._opened:
            lines, self._opened = list(range(len(self._lines))), True
        if not lines:
            return np.zeros(0, EVENT)
        made = [fill for line in lines if (fill := self._fill(line)) is not None]
        events = np.zeros(len(made), EVENT)
        moments = np.sort(self._dice.integers(ts_from_ns, ts_to_ns, size=len(made)))
        events["ts_event"] = events["ts_recv"] = moments
        events["kind"] = Kind.FILL
        names = ("book", "instrument", "price", "reference", "size", "fee")
        for name, values in zip(names, zip(*made, strict=True), strict=False):
            events[name] = values
        return events

    def _fill(self, line: int) -> tuple[int, int, int, int, float, float] | None:
        """One fill of a line towards a level about its target; None while it has no market."""
        book, place, target = self._lines[line]
        row, held = self._rows[place], self._held[line]
        bid, ask, tick = int(row["bid"]), int(row["ask"]), int(row["tick_exact"])
        if row["halted"] or NO_PRICE in (bid, ask) or ask <= bid:
            return None
        share = 1.0 if held == 0 else float(np.clip(self._dice.normal(1, 0.35), 0.3, 1.6))
        lot = float(row["lot"])
        size = round((target * share - held) * (1.0 if held == 0 else 0.5) / lot) * lot
        size = size or math.copysign(lot, target * share - held)
        inside = int(ask - bid > tick and self._dice.random() < 0.4) * tick
        price = ask - inside if size > 0 else bid + inside
        self._held[line] += size
        self._next_id += 1
        instrument = self._instruments[place]
        worth = abs(size * price * PRICE_UNIT * instrument.multiplier)
        return (
            book,
            place,
            price,
            self._next_id - 1,
            size,
            round(worth * _FEES_BP[instrument.asset_class] * 1e-4, 2),
        )


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
    unit = abs(chosen.close_prev or 1.0) * chosen.multiplier * chosen.usd_rate
    lot = float(rows[chosen.id]["lot"])
    lots = round(usd / unit / lot) or int(math.copysign(1, usd))
    return book, chosen.id, lots * lot
