"""Rule: what trades not yet made would change: every figure before and after, and the limits.

Enters: the positions held, those that would be, and the rule that makes figures of positions
(compute/exposure.py), which is asked twice of the same market, so that the answer is what doing it
would show. A limit stands where its value alone puts it: what it was before lends it nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compute.holding import Holdings, Market, Trade
from compute.limits import Level, Watched, levels_after
from compute.table import BOOKS_MAX
from ingest.instrument import Reference

if TYPE_CHECKING:
    from compute.exposure import Figures


class TradeError(ValueError):
    """A trade that cannot be; `trade` is its number in the list, from 0."""

    def __init__(self, trade: int, text: str) -> None:
        """Keep whose fault it is."""
        super().__init__(f"trade {trade + 1}: {text}")
        self.trade = trade


@dataclass(frozen=True, slots=True)
class Moved:
    """A limit whose level or value the trades would change."""

    watched: Watched
    before: Level
    after: Level
    value_before: float
    value_after: float


@dataclass(frozen=True, slots=True)
class Change:
    """The answer: figures before and after; rows and columns as in the tables."""

    before: "Figures"
    after: "Figures"
    limits: list[Moved]  # Those whose level would move, and those passed before and after.
    unmarked: list[int]  # Instruments without a mark: their lines make the figures blank

    @property
    def levels(self) -> list[tuple[int, str, Level, Level]]:
        """(limit, key, before, after) where the level would move."""
        return [
            (one.watched.limit.id, one.watched.key, one.before, one.after)
            for one in self.limits
            if one.before != one.after
        ]

    def difference(self, name: str) -> np.ndarray:
        """After less before of one table; columns that are names or moments come out as 0."""
        before, after = getattr(self.before, name), getattr(self.after, name)
        out: np.ndarray = after.copy()  # Rows that are new are all change.
        out[: len(before)] -= before
        return out


def check(trades: Sequence[Trade], reference: Reference) -> None:
    """TradeError for the first trade that cannot be."""
    for number, trade in enumerate(trades):
        if trade.instrument not in reference.by_id:
            raise TradeError(number, f"it cannot be: no instrument is number {trade.instrument}")
        if not 0 <= trade.book < BOOKS_MAX:
            raise TradeError(number, f"it cannot be: there is no book {trade.book}")
        if not np.isfinite(trade.quantity):
            raise TradeError(number, "it cannot be: a quantity is a number")


def change(
    evaluate: Callable[[Holdings, Market], "Figures"],
    watched: Sequence[Watched],
    held: Holdings,
    after: Holdings,
    market: Market,
) -> Change:
    """What `after` is beside `held`."""
    figures = evaluate(held, market), evaluate(after, market)
    bounds = np.array([(one.limit.warning, one.limit.breach) for one in watched]).reshape(-1, 2)
    nothing = np.zeros(len(watched), np.int64)
    now, then = (
        np.where(
            np.isnan(each.limits), Level.UNKNOWN, levels_after(nothing, each.limits, *bounds.T)
        )
        for each in figures
    )
    differs = figures[0].limits != figures[1].limits  # NaN differs; its level does not.
    touched = (now != then) | (differs & (then != Level.OK) & (then != Level.UNKNOWN))
    limits = [
        Moved(
            *(watched[row], Level(int(now[row])), Level(int(then[row]))),
            *(float(each.limits[row]) for each in figures),
        )
        for row in np.flatnonzero(touched).tolist()
    ]
    unmarked = after.instrument[(after.quantity != 0.0) & np.isnan(after.value)]
    return Change(*figures, limits, sorted(set(unmarked.tolist())))
