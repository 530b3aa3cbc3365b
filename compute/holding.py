"""Rule: positions as arrays, held ones and those that would be after trades not yet made.

Enters: the table POSITIONS as live tells it, and the terms of instruments. A position's USD value
is live's own; one that exists only in thought is worth what a unit of that instrument is worth in
another book, or else multiplier x mark x the live rate of its currency.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from compute.factor import Drivers
from compute.table import INSTRUMENTS, POSITIONS


class Trade(NamedTuple):
    """A hypothetical trade: `quantity` signed; at `price`, or at the mark where it is None."""

    book: int
    instrument: int
    quantity: float
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Holdings:
    """Positions as arrays [n]; a free slot has book and instrument -1."""

    book: np.ndarray  # int64
    instrument: np.ndarray  # int64
    quantity: np.ndarray
    value: np.ndarray  # USD, NaN without a mark
    unit: np.ndarray  # USD of one unit of price and one of quantity
    stale: np.ndarray  # bool: the rate of its currency is not live
    pnl: np.ndarray  # USD
    day_pnl: np.ndarray  # USD


@dataclass(frozen=True, slots=True)
class Market:
    """What positions are measured against: tables by instrument, and what was made of terms."""

    instruments: np.ndarray
    analytics: np.ndarray
    key_rates: np.ndarray  # [ids, 6]
    terms: np.ndarray
    drivers: Drivers
    now_ns: int


def holdings(positions: np.ndarray, terms: np.ndarray) -> Holdings:
    """The positions in a table POSITIONS, up to the last slot in use; `terms`: TERMS."""
    used = np.flatnonzero(~np.isnan(positions[:, POSITIONS.index("book")]))
    rows = positions[: used[-1] + 1 if len(used) else 0]
    free = np.isnan(rows[:, POSITIONS.index("book")])

    def identity(name: str) -> np.ndarray:
        return np.where(free, -1.0, rows[:, POSITIONS.index(name)]).astype(np.int64)

    def figure(name: str) -> np.ndarray:
        return np.where(free, 0.0, rows[:, POSITIONS.index(name)])

    instrument = identity("instrument")
    mine = terms[np.maximum(instrument, 0)] if len(terms) else np.zeros(len(rows), terms.dtype)
    live = rows[:, POSITIONS.index("fx")]
    fx = np.where(np.isnan(live) | (mine["inverse"] > 0), mine["usd_rate"], live)
    return Holdings(
        *(identity("book"), instrument, figure("quantity"), figure("value")),
        *(mine["multiplier"] * fx, figure("fx_stale") > 0.0),
        *(figure("pnl"), figure("day_pnl")),
    )


def with_trades(held: Holdings, market: Market, trades: Sequence[Trade]) -> Holdings:
    """`held` and the trades, as if just done: at their price, or else at the mark."""
    pairs = zip(held.book.tolist(), held.instrument.tolist(), strict=True)
    slots = {pair: slot for slot, pair in enumerate(pairs) if pair[0] >= 0}
    lists: dict[str, list[Any]] = {
        field.name: getattr(held, field.name).tolist() for field in fields(Holdings)
    }
    for trade in trades:
        worth, unit, mark = unit_value(held, market, trade.instrument)
        slot = slots.setdefault((trade.book, trade.instrument), len(lists["book"]))
        if slot == len(lists["book"]):
            start = (trade.book, trade.instrument, 0.0, 0.0, unit, False, 0.0, 0.0)
            for column, first in zip(lists.values(), start, strict=True):
                column.append(first)
        lists["quantity"][slot] += trade.quantity
        flat = lists["quantity"][slot] == 0.0
        lists["value"][slot] = 0.0 if flat else lists["value"][slot] + trade.quantity * worth
        if trade.price is not None:
            gain = trade.quantity * (mark - trade.price) * unit
            lists["pnl"][slot] += gain
            lists["day_pnl"][slot] += gain
    return Holdings(
        **{name: np.array(column, getattr(held, name).dtype) for name, column in lists.items()}
    )


def unit_value(held: Holdings, market: Market, instrument: int) -> tuple[float, float, float]:
    """USD of one unit; USD of one unit and one of price; mark. As positions have it, if any do."""
    mark = float(market.instruments[instrument, INSTRUMENTS.index("mark")])
    for slot in np.flatnonzero((held.instrument == instrument) & (held.quantity != 0.0)).tolist():
        return float(held.value[slot] / held.quantity[slot]), float(held.unit[slot]), mark
    term = market.terms[instrument]
    unit = float(term["multiplier"] * term["usd_rate"])
    used = np.flatnonzero(held.instrument >= 0)
    alike = used[market.terms["currency"][held.instrument[used]] == term["currency"]]
    if len(alike):  # The live rate of its currency, which another position has.
        other = market.terms[held.instrument[alike[0]]]
        unit = float(term["multiplier"] * held.unit[alike[0]] / other["multiplier"])
    return unit * (1.0 if term["inverse"] else mark), unit, mark
