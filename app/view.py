"""Rule: rows x columns x filter x sort over the mirror; encode once per (view, from).

A `View` is the list of rows that a filter and a sort select. A `Viewport` is the part of it that
a page shows; all pages that show the same part share its encoded bytes. The columns of a view may
be those of its table and of the table beside it, whose rows mean the same (`BESIDE`). The layout
of a section is described in app/blocks/README.md.
"""

import hashlib
import struct
import time
from collections.abc import Mapping
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from app.mirror import BESIDE, Mirror
from app.quant import COLUMNS, is_quant
from app.rights import ALL, Rights
from compute.table import EXECUTION, INSTRUMENTS, LIMITS, POSITIONS, TABLES, Column, Table
from ingest.instrument import Instrument

SORT_SECONDS = 1.0  # Rows move at most this often, so that a trader can point at one.
SELECT_SECONDS = 0.2  # A filter on what the rows hold is looked at again this often.
VIEWPORT_ROWS_MAX = 400  # A 4K page of 20 px rows shows 108.
UNSORTED, BY_SYMBOL, BY_CLASS = -1, -2, -3  # Values of `sort` that are no column.
GROUP, TOTAL = 1 << 31, 0xFFFF_FFFF  # Ids from GROUP on are heads of groups, see app/grouping.py.
CELLS, ROWS, SERIES, STATUS, NAMES, ALERTS, REFERENCE, ANSWER = 1, 2, 3, 4, 5, 6, 7, 8
NO_FEED = 0xFFFF  # The feed of a section that concerns the whole page.
MATCHES = ("scope", "key", "book", "instrument")  # Columns that a filter may ask to equal a number.
MATCH_MAX = 64  # Books of a strategy.
_SECTION = struct.Struct("<HHI")
_BY_NAME = {table.name: table for table in TABLES}
# A row is there once this column is known; tables that are not named show all their rows.
_IDENTITY = {
    POSITIONS.name: POSITIONS.index("book"),
    LIMITS.name: LIMITS.index("id"),
    EXECUTION.name: EXECUTION.index("scope"),
    **{table.name: 0 for table in TABLES if table.names[0] == "scope"},
}


Match = tuple[tuple[int, tuple[int, ...]], ...]


class ViewKey(NamedTuple):
    """What makes two views the same. `sort` is a column's number, UNSORTED or BY_SYMBOL.

    A column's number is its place in the table, or in the table beside it behind that.
    """

    table: str
    columns: tuple[int, ...]
    classes: tuple[int, ...] = ()
    text: str = ""
    sort: int = UNSORTED
    descending: bool = False
    match: Match = ()  # Column's place in the table, and of which numbers it must be one.
    then: tuple[tuple[int, bool], ...] = ()  # More columns to sort by, each with its direction.
    held: int = 0  # Mark of an order that stays as it was: nothing moves under a pointer.
    shown: tuple[int, ...] = ()  # Places in `columns` whose cells travel; all if empty.
    group: str = ""  # See app/grouping.py, also of what follows.
    shut: tuple[int, ...] = ()
    total: bool = False
    rights: Rights = ALL  # Of those who look at it.


def sides(table: str) -> tuple[Table, ...]:
    """The table and those beside it, if any; KeyError lists the tables there are."""
    if table not in _BY_NAME:
        raise KeyError(f"no table {table!r}; there are {', '.join(_BY_NAME)}")
    own = _BY_NAME[table]
    return (own, *BESIDE.get(table, ()))


def find_column(table: str, name: str) -> tuple[int, Column]:
    """Number and description of a column by its name, or by "analytics.dv01".

    Where several tables have the name, it is the first one's. KeyError lists those there are.
    """
    of, _, plain = name.rpartition(".")
    first = 0
    for side in sides(table):
        if is_quant(side.name):
            if found := COLUMNS.find(side.name, plain):
                return first + found[0], found[1]
        elif plain in side.places and of in ("", side.name):
            return first + side.places[plain], side.columns[side.places[plain]]
        first += side.width
    tables = [side for side in sides(table) if not is_quant(side.name)]
    known = "; ".join(f"{side.name} has {', '.join(side.names)}" for side in tables)
    raise KeyError(f"table {table} has no column {name!r}; {known}")


def column_at(table: str, number: int) -> Column:
    """The column of a number: the inverse of `find_column`."""
    for side in sides(table):
        if number < side.width:
            return COLUMNS.at(side.name, number) if is_quant(side.name) else side.columns[number]
        number -= side.width
    raise KeyError(f"table {table} has no column of number {number}")


def view_key(
    table: str, columns: list[str] | tuple[str, ...], match: Mapping[str, Any] | None = None
) -> ViewKey:
    """The plain view of a table: all rows in order. KeyError names an unknown column."""
    numbers = tuple(find_column(table, name)[0] for name in columns)
    return ViewKey(table, numbers, match=match_key(table, match or {}))


def match_key(table: str, wanted: Mapping[str, Any]) -> Match:
    """Those of MATCHES that `wanted` names, each a number or a list of some.

    KeyError where the table itself has no such column, ValueError where there are too many.
    """
    own, found = sides(table)[0], []
    for name in MATCHES:
        if (asked := wanted.get(name)) is not None:
            numbers = {int(one) for one in (asked if isinstance(asked, list) else [asked])}
            if len(numbers) > MATCH_MAX:
                raise ValueError(f"{name} may be one of {MATCH_MAX} at most")
            found.append((own.index(name), tuple(sorted(numbers))))
    return tuple(found)


def _says(row: Instrument, word: str) -> bool:
    """Whether a word of a filter is in the symbol; `CURRENCY:EUR` is what it is paid in."""
    name, colon, value = word.partition(":")
    if colon and name == "CURRENCY":
        return row.currency.upper() == value
    return word in row.symbol.upper()


def section(feed: int, kind: int, payload: bytes) -> bytes:
    """One section of a push: feed, kind, length, payload padded to 8 bytes."""
    padded = payload + b"\0" * (-len(payload) % 8)
    return _SECTION.pack(feed, kind, len(padded)) + padded


def json_section(feed: int, kind: int, text: bytes) -> bytes:
    """A section whose payload is JSON, padded with spaces."""
    return section(feed, kind, text + b" " * (-len(text) % 8))


class View:
    """Row numbers in the order that a filter and a sort give."""

    def __init__(self, key: ViewKey, mirror: Mirror) -> None:
        """Order the rows as they are now."""
        self.key, self.mirror = key, mirror
        self.columns = np.array(key.columns, np.int64)
        self.sides = sides(key.table)
        # For each side its name, the places in `columns` that are its, and their columns there.
        self.parts = []
        first = 0
        for side in self.sides:
            inside = (self.columns >= first) & (self.columns < first + side.width)
            if len(places := np.flatnonzero(inside)):
                self.parts.append((side.name, places, self.columns[places] - first))
            first += side.width
        self.version = 0
        self.order = np.zeros(0, np.uint32)
        self._selected = np.zeros(0, np.uint32)
        self._selected_for = (-1, -1, -1)
        self._wanted_ids = np.zeros(0, np.bool_)
        self._wanted_for = (-1, -1)
        rights = key.rights
        # Columns that may be told, and whether what the rows hold decides which rows may be.
        self.allowed = np.ones(len(self.columns), np.bool_)
        for side in self.sides:
            for name, places, columns in self.parts:
                if name == side.name:
                    self.allowed[places] = rights.columns(side)[columns]
        self.guarded = rights.guards(key.table)
        self._guarded_at = -1
        self._barred = b""  # Of an order that stays: rows that may not be seen any more.
        # Whether what the rows hold decides which are shown.
        self._moving = key.table in _IDENTITY or bool(key.match)
        self._sorted_at = self._selected_at = -SORT_SECONDS
        self.told = self._told()
        self.refresh()

    def refresh(self) -> None:
        """Look again at filter and sort; the version moves on if rows did."""
        if self.key.held and len(self.order):
            self._bar()
            return
        now = time.monotonic()
        size = len(self.mirror.tables[self.key.table])
        state = (*self._known(), size)
        grown = state != self._selected_for
        select = grown or (self._moving and now - self._selected_at >= SELECT_SECONDS)
        if self.guarded and self._guarded_at != self.mirror.sequence:
            # A row may be another book's with each step.
            self._guarded_at, select = self.mirror.sequence, True
        moves = self.key.sort >= 0 or any(column >= 0 for column, _ in self.key.then)
        sort = moves and now - self._sorted_at >= SORT_SECONDS
        if not (select or sort):
            return
        if select:
            rows = self._select(size)
            self._selected_for, self._selected_at = state, now
            sort = sort or grown or not np.array_equal(rows, self._selected)
            self._selected = rows
        if not sort:
            return
        order = self.arrange(self._selected)
        self._sorted_at = now
        if not np.array_equal(order, self.order):
            self.order = order
            self.version += 1

    def _bar(self) -> None:
        """Rows of an order that stays whose book is another one now: the page is told anew."""
        if not self.guarded:
            return
        barred = self.order[~self.may(self.order)].tobytes()
        if barred != self._barred:
            self._barred = barred
            self.version += 1

    def may(self, rows: np.ndarray) -> np.ndarray:
        """Of rows, as they are now, whether they may be seen; heads are sums of such alone."""
        heads = rows >= GROUP
        out = np.ones(len(rows), np.bool_)
        own = rows[~heads].astype(np.int64)
        out[~heads] = self.key.rights.rows(self.mirror, self.key.table, own)
        return out

    def held(self) -> "View":
        """A view of the same rows in the same order, which stays; equal orders have equal keys."""
        digest = hashlib.blake2b(self.order.tobytes(), digest_size=7).digest()
        return self.twin(self.key._replace(held=1 + int.from_bytes(digest)))

    def twin(self, key: ViewKey) -> "View":
        """The same rows in the same order under another key, which tells other columns of them."""
        twin = copy(self)
        twin.key = key
        twin.told = twin._told()  # noqa: SLF001 (itself)
        return twin

    def _told(self) -> np.ndarray:
        told = np.zeros(len(self.columns), np.bool_)
        told[list(self.key.shown) or slice(None)] = True
        return told & self.allowed

    def shown(self, first: int, count: int) -> np.ndarray:
        """Row numbers of a viewport, by slot."""
        return self.order[first : first + count]

    def changed(self, rows: np.ndarray, since: int) -> np.ndarray:
        """Of rows [n] and the view's columns: bool [n, columns], changed after `since`."""
        marks = self.mirror.changed
        out: np.ndarray
        if len(self.parts) == 1:
            name, _, columns = self.parts[0]
            out = marks[name][rows[:, None], columns] > since
            return out
        out = np.zeros((len(rows), len(self.columns)), np.bool_)
        for name, places, columns in self.parts:
            out[:, places] = marks[name][rows[:, None], columns] > since
        return out

    def values(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """float64 [k] of k cells: their rows, and places in the view's columns."""
        tables = self.mirror.tables
        out: np.ndarray
        if len(self.parts) == 1:
            name, _, columns = self.parts[0]
            out = tables[name][rows, columns[places]]
            return out
        numbers = self.columns[places]
        out = np.empty(len(rows))
        first = 0
        for side in self.sides:
            here = (numbers >= first) & (numbers < first + side.width)
            out[here] = tables[side.name][rows[here], numbers[here] - first]
            first += side.width
        return out

    def _known(self) -> tuple[int, int]:
        return self.mirror.reference_version, self.mirror.reference.version

    def _wanted(self) -> np.ndarray:
        """Of ids: bool, whether the filter by class and text lets the instrument through."""
        if self._wanted_for != self._known():
            key, reference = self.key, self.mirror.reference
            words = key.text.upper().split()
            self._wanted_ids = np.zeros(len(reference) + 1, np.bool_)  # The last is for none.
            for row in reference.by_id.values():
                named = all(_says(row, word) for word in words)
                asked = not key.classes or row.asset_class in key.classes
                self._wanted_ids[row.id] = named and asked
            self._wanted_for = self._known()
        return self._wanted_ids

    def _select(self, size: int) -> np.ndarray:
        key = self.key
        table = self.mirror.tables[key.table]
        if key.table == INSTRUMENTS.name:
            keep = self._wanted()[:-1][:size]
        else:
            keep = np.ones(size, np.bool_)
            if key.classes or key.text:
                keep = self._wanted()[self._instruments(np.arange(size))]
        if key.table in _IDENTITY:
            keep = keep & ~np.isnan(table[:, _IDENTITY[key.table]])
        for column, numbers in key.match:
            keep = keep & np.isin(table[: len(keep), column], numbers)
        if self.guarded:
            keep = keep & key.rights.rows(self.mirror, key.table, np.arange(len(keep)))
        return np.flatnonzero(keep).astype(np.uint32)

    def _instruments(self, rows: np.ndarray) -> np.ndarray:
        """Instrument ids of rows, -1 where a row is of none."""
        own = self.sides[0]
        if own is INSTRUMENTS:
            return rows.astype(np.int64)
        if "instrument" not in own.names:
            return np.full(len(rows), -1)
        ids = self.mirror.tables[own.name][rows, own.index("instrument")]
        known = (ids >= 0) & (ids < len(self.mirror.reference))
        return np.where(known, ids, -1).astype(np.int64)

    def arrange(self, rows: np.ndarray) -> np.ndarray:
        """Selected rows in their order: by each column in turn, equal ones as they were."""
        by = ((self.key.sort, self.key.descending), *self.key.then)
        ranks = [self._rank(rows, column, last) for column, last in by if self._sorts(column)]
        return rows[np.lexsort(ranks[::-1])] if ranks else rows

    def _sorts(self, column: int) -> bool:
        """Whether rows stand in the order of that column: of one that is withheld it tells."""
        for side in self.sides if column >= 0 else ():
            if column < side.width:
                return bool(self.key.rights.columns(side)[column])
            column -= side.width
        return column in (BY_SYMBOL, BY_CLASS)

    def _rank(self, rows: np.ndarray, column: int, descending: bool) -> np.ndarray:
        """float64 [rows]: what to sort by; unknown is always last."""
        if column in (BY_SYMBOL, BY_CLASS):
            by_id = self.mirror.reference.by_id
            ids = self._instruments(rows).tolist()
            if column == BY_CLASS:
                values = np.array([by_id[k].asset_class if k in by_id else np.nan for k in ids])
            else:
                symbols = np.array([by_id[k].symbol if k in by_id else "" for k in ids], object)
                values = np.unique(symbols, return_inverse=True)[1].astype(float)
        else:
            for side in self.sides:
                if column < side.width:
                    break
                column -= side.width
            values = self.mirror.tables[side.name][rows, column]
        return np.where(np.isfinite(values), -values if descending else values, np.inf)


class Viewport:
    """Rows `first` to `first + count` of a view, encoded once for all who are equally far."""

    def __init__(self, view: View, first: int, count: int) -> None:
        """`count` is bounded by VIEWPORT_ROWS_MAX."""
        self.view, self.first = view, max(0, first)
        self.count = max(0, min(count, VIEWPORT_ROWS_MAX))
        self._cache: dict[tuple[int, int, int], bytes] = {}
        self._cache_at = (-1, -1)

    @property
    def rows(self) -> np.ndarray:
        """Row numbers shown, by slot."""
        return self.view.shown(self.first, self.count)

    def encode(self, feed: int, since: int, version: int) -> bytes:
        """Sections for a page that has `since` of order `version`; b"" if it misses nothing.

        Version -1 is a page that has nothing of this viewport yet.
        """
        now = self.view.mirror.sequence, self.view.version  # Rows may move between two changes.
        if self._cache_at != now:
            self._cache.clear()
            self._cache_at = now
        key = (feed, since, version)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._encode(feed, since, version)
        return found

    def _encode(self, feed: int, since: int, version: int) -> bytes:
        view, rows = self.view, self.rows
        head = b""
        if version != view.version:
            since = -1
            note = struct.pack("<4I", len(view.order), self.first, len(rows), view.version)
            head = section(feed, ROWS, note + rows.astype("<u4").tobytes())
        if not len(rows):
            return head
        changed = view.changed(rows, since) & view.told
        if view.guarded:  # Of an order that stays; all others have no such rows.
            may = view.may(rows)
            changed &= (may | (version != view.version))[:, None]
        slots, places = np.nonzero(changed)
        if not len(slots):
            return head
        values = view.values(rows[slots], places)
        if view.guarded:
            values = np.where(may[slots], values, np.nan)
        cells = (slots * len(view.columns) + places).astype("<u2")
        told = version == view.version and view.key.table == INSTRUMENTS.name
        # The way of an event is measured on what live tells; what risk makes of it comes later.
        own = (view.columns[places] < INSTRUMENTS.width) & (rows[slots] < GROUP)
        live = slots[own] if told else slots[:0]
        base_ms, stamps, stamped = self._stamps(np.unique(live), since)
        payload = b"".join(
            (
                struct.pack("<IId", len(values), len(stamped), base_ms),
                *(values.astype("<f8").tobytes(), stamps.astype("<f4").tobytes()),
                *(stamped.astype("<u2").tobytes(), cells.tobytes()),
            )
        )
        return head + section(feed, CELLS, payload)

    def _stamps(self, slots: np.ndarray, since: int) -> tuple[float, np.ndarray, np.ndarray]:
        oldest = self.view.mirror.oldest_ns(self.rows[slots], since)
        slots, oldest = slots[oldest > 0], oldest[oldest > 0]
        if not len(slots):
            return 0.0, np.zeros(0), slots
        base_ns = int(oldest.min())
        return base_ns / 1e6, (oldest - base_ns) / 1e6, slots
