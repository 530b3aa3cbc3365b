"""Rule: lines of a view under heads of groups, with subtotals, and one pinned total.

A `Grouped` view is a view whose order holds heads beside rows: the id of a head is GROUP plus the
group's number, and TOTAL is the pinned line of all. Class and book are numbered as everywhere
else; a venue, currency, sector, country or underlying by the lowest instrument that has it, so
that a page which knows its instruments needs no list of names. Only columns that a table calls
additive are summed: the sum of two prices is no price. A moment is the newest one. Of a head, the
column that says what a row is (`state`, `instrument`) tells how many lines it has.
"""

import time

import numpy as np

from app.mirror import Mirror
from app.view import GROUP, TOTAL, View, ViewKey, column_at
from compute.table import POSITIONS

SUM_SECONDS = 0.2  # As often as any other total comes.
NOBODY = TOTAL - GROUP - 1  # Number of the group of rows that have none.
ATTRIBUTES = ("currency", "venue", "sector", "country", "underlying")
GROUPS = ("", "class", "book", *ATTRIBUTES)
COUNTS = ("state", "instrument")
SHUT_MAX = 512


def make_view(key: ViewKey, mirror: Mirror) -> View:
    """The view of a key: plain, or with heads and a total where the key asks for them."""
    return Grouped(key, mirror) if key.group or key.total else View(key, mirror)


def group_key(key: ViewKey, message: dict) -> ViewKey:
    """The key that a `group` message asks for; ValueError where there is no such group."""
    by = str(message.get("by") or "")
    if by not in GROUPS or (by == "book" and key.table != POSITIONS.name):
        raise ValueError(f"{key.table} is not grouped by {by!r:.40}; there are {GROUPS[1:]}")
    shut = tuple(sorted({int(number) for number in message.get("shut") or ()}))[:SHUT_MAX]
    return key._replace(group=by, shut=shut, total=bool(message.get("total")))


class Grouped(View):
    """Heads, the rows below those that are open, and sums."""

    def __init__(self, key: ViewKey, mirror: Mirror) -> None:
        """Everything summed as it is now."""
        self._numbers = np.zeros(0, np.int64)  # Group of each selected row.
        self._ids = np.array([TOTAL], np.uint32)  # Heads by number, the total last.
        self._places = np.zeros(0, np.int64)  # Head of each selected row, as a place in `_ids`.
        self._kinds: list[str] = []
        self._sums = np.zeros((1, 0))
        self._marks = np.zeros((1, 0), np.int64)
        self._looked, self._summed_at = -1, -SUM_SECONDS
        self._known_for = (-1, -1)
        self._attribute = np.zeros(0, np.int64)
        self._summed = np.zeros(0, np.uint32)
        self._marked_for = b""
        super().__init__(key, mirror)

    def refresh(self) -> None:
        """Order as a view does; sums at most every SUM_SECONDS, and with every look at the order.

        They are looked at once for each step of the mirror, before any page is sent it: a sum
        that was marked later with the same sequence would never reach those who have it.
        """
        if self.mirror.sequence == self._looked:
            return
        self._looked = self.mirror.sequence
        super().refresh()
        now = time.monotonic()
        if now - self._summed_at >= SUM_SECONDS:
            self._summed_at = now
            self._sum()

    def shown(self, first: int, count: int) -> np.ndarray:
        """The rows of a viewport, and behind them the pinned total."""
        rows = super().shown(first, count)
        return np.append(rows, np.uint32(TOTAL)) if self.key.total and count else rows

    def changed(self, rows: np.ndarray, since: int) -> np.ndarray:
        """As of a view; a head's cells have marks of their own."""
        heads = rows >= GROUP
        out = np.zeros((len(rows), len(self.columns)), np.bool_)
        out[~heads] = super().changed(rows[~heads], since)
        out[heads] = self._marks[np.searchsorted(self._ids, rows[heads])] > since
        return out

    def values(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """As of a view; a head's are its sums."""
        heads = rows >= GROUP
        out = np.empty(len(rows))
        out[~heads] = super().values(rows[~heads], places[~heads])
        out[heads] = self._sums[np.searchsorted(self._ids, rows[heads]), places[heads]]
        return out

    def arrange(self, rows: np.ndarray) -> np.ndarray:
        """Heads with their rows below, those that are shut without; sorted within and among."""
        rows = super().arrange(rows)
        self._summed = rows
        if not self.key.group:
            self._ids, self._places = np.array([TOTAL], np.uint32), np.zeros(len(rows), np.int64)
            return rows
        numbers = self._number(rows)
        known, self._places = np.unique(numbers, return_inverse=True)
        self._ids = np.append(known + GROUP, TOTAL).astype(np.uint32)
        self._sum()
        turn = self._turn(len(known))  # Of each group, its turn on the page.
        order = np.argsort(turn[self._places], kind="stable")
        shut = np.isin(numbers, self.key.shut)
        heads = np.argsort(turn).astype(np.int64)
        sizes = np.bincount(self._places, ~shut, len(known)).astype(np.int64)[heads]
        starts = np.cumsum(sizes) - sizes
        below = rows[order][~shut[order]]
        return np.insert(below, starts, self._ids[heads]).astype(np.uint32)

    def _turn(self, groups: int) -> np.ndarray:
        """By the subtotal of the first sorted column where it has one, else by number."""
        places = np.flatnonzero(self.columns == self.key.sort)
        if not len(places) or self.kind(int(places[0])) != "sum":
            return np.arange(groups)
        sums = self._sums[:groups, places[0]]
        ranked = np.where(np.isnan(sums), np.inf, -sums if self.key.descending else sums)
        turn = np.empty(groups, np.int64)
        turn[np.argsort(ranked, kind="stable")] = np.arange(groups)
        return turn

    def kind(self, place: int) -> str:
        """What a head may do with the view's column: sum, last, count or none."""
        if not self.allowed[place]:
            return "none"
        column = column_at(self.key.table, int(self.columns[place]))
        return "count" if column.name in COUNTS else column.aggregate

    def _sum(self) -> None:
        """Sums of all heads, and marks where they differ from those before."""
        if not self._kinds:
            self._kinds = [self.kind(place) for place in range(len(self.columns))]
        rows, places, heads = self._summed, self._places, len(self._ids) - 1
        if self.guarded:  # In an order that stays a row may have become another book's.
            may = self.may(rows)
            rows, places = rows[may], places[may]
        sums = np.full((heads + 1, len(self.columns)), np.nan)
        for place, kind in enumerate(self._kinds):
            if kind == "count":
                sums[:heads, place] = np.bincount(places, minlength=heads)[:heads]
                sums[heads, place] = len(rows)
            elif kind in ("sum", "last") and len(rows):
                values = View.values(self, rows, np.full(len(rows), place))
                sums[:, place] = _fold(kind, values, places, heads)
        same = sums.shape == self._sums.shape and self._marked_for == self._ids.tobytes()
        if not same:
            self._marks = np.full(sums.shape, self.mirror.sequence, np.int64)
        else:
            self._marks[sums.view(np.int64) != self._sums.view(np.int64)] = self.mirror.sequence
        self._sums, self._marked_for = sums, self._ids.tobytes()

    def _number(self, rows: np.ndarray) -> np.ndarray:
        """Group of each row."""
        by, own = self.key.group, self.sides[0]
        if by == "book":
            books = self.mirror.tables[own.name][rows, own.index("book")]
            return np.where(books >= 0, books, NOBODY).astype(np.int64)
        if self._known_for != self._known():
            self._known_for, self._attribute = self._known(), self._attributes(by)
        found: np.ndarray = self._attribute[self._instruments(rows)]
        return found

    def _attributes(self, by: str) -> np.ndarray:
        """Group of each instrument by its id; the last is of none."""
        reference = self.mirror.reference
        out = np.full(max(reference.by_id, default=-1) + 2, NOBODY, np.int64)
        first: dict = {}
        for number in sorted(reference.by_id):
            row = reference.by_id[number]
            if by == "class":
                out[number] = int(row.asset_class)
            elif (said := getattr(row, by)) not in ("", None, -1):
                out[number] = first.setdefault(said, number)
        return out


def _fold(kind: str, values: np.ndarray, places: np.ndarray, heads: int) -> np.ndarray:
    """float64 [heads + 1]: sum or newest of each head, and of all at the end; NaN of nothing."""
    known = np.isfinite(values)
    out = np.full(heads + 1, np.nan)
    if not known.any():
        return out
    values, places = values[known], places[known]
    if kind == "sum":
        if heads:
            there = np.bincount(places, minlength=heads) > 0
            out[:heads] = np.where(there, np.bincount(places, values, heads), np.nan)
        out[heads] = values.sum()
    else:
        if heads:
            newest = np.full(heads, -np.inf)
            np.maximum.at(newest, places, values)
            out[:heads] = np.where(np.isfinite(newest), newest, np.nan)
        out[heads] = values.max()
    return out
