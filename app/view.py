"""Rule: rows x columns x filter x sort over the mirror; encode once per (view, from).

A `View` is the list of rows that a filter and a sort select. A `Viewport` is the part of it that
a page shows; all pages that show the same part share its encoded bytes. The layout of a section
is described in app/blocks/README.md.
"""

import struct
import time
from typing import NamedTuple

import numpy as np

from app.mirror import Mirror
from compute.table import INSTRUMENTS, TABLES

SORT_SECONDS = 1.0  # Rows move at most this often, so that a trader can point at one.
VIEWPORT_ROWS_MAX = 400  # A 4K page of 20 px rows shows 108.
UNSORTED, BY_SYMBOL = -1, -2  # Values of `sort` that are no column.
CELLS, ROWS, SERIES, STATUS = 1, 2, 3, 4
_SECTION = struct.Struct("<HHI")
_BY_NAME = {table.name: table for table in TABLES}


class ViewKey(NamedTuple):
    """What makes two views the same. `sort` is a column index, UNSORTED or BY_SYMBOL."""

    table: str
    columns: tuple[int, ...]
    classes: tuple[int, ...] = ()
    text: str = ""
    sort: int = UNSORTED
    descending: bool = False


def view_key(table: str, columns: list[str]) -> ViewKey:
    """The plain view of a table: all rows in order. KeyError names an unknown column."""
    if table not in _BY_NAME:
        raise KeyError(f"no table {table!r}; there are {', '.join(_BY_NAME)}")
    known = _BY_NAME[table]
    return ViewKey(table, tuple(known.index(name) for name in columns))


def section(feed: int, kind: int, payload: bytes) -> bytes:
    """One section of a push: feed, kind, length, payload padded to 8 bytes."""
    padded = payload + b"\0" * (-len(payload) % 8)
    return _SECTION.pack(feed, kind, len(padded)) + padded


class View:
    """Row numbers in the order that a filter and a sort give."""

    def __init__(self, key: ViewKey, mirror: Mirror) -> None:
        """Order the rows as they are now."""
        self.key, self.mirror = key, mirror
        self.columns = np.array(key.columns, np.int64)
        self.version = 0
        self.order = np.zeros(0, np.uint32)
        self._selected = np.zeros(0, np.uint32)
        self._selected_for = (-1, -1)
        self._sorted_at = -SORT_SECONDS
        self.refresh()

    def refresh(self) -> None:
        """Look again at filter and sort; the version moves on if rows did."""
        now = time.monotonic()
        size = len(self.mirror.tables[self.key.table])
        state = (self.mirror.reference.version, size)
        same = state == self._selected_for
        if same and (self.key.sort < 0 or now - self._sorted_at < SORT_SECONDS):
            return
        if not same:
            self._selected = self._select(size)
            self._selected_for = state
        order = self._sort(self._selected) if self.key.sort != UNSORTED else self._selected
        self._sorted_at = now
        if len(order) != len(self.order) or (order != self.order).any():
            self.order = order
            self.version += 1

    def _select(self, size: int) -> np.ndarray:
        key, reference = self.key, self.mirror.reference
        if key.table != INSTRUMENTS.name:
            return np.arange(size, dtype=np.uint32)
        text = key.text.upper()
        rows = [
            row.id
            for row in reference.by_id.values()
            if row.id < size
            and (not key.classes or row.asset_class in key.classes)
            and (not text or text in row.symbol.upper())
        ]
        return np.array(sorted(rows), np.uint32)

    def _sort(self, rows: np.ndarray) -> np.ndarray:
        if self.key.sort == BY_SYMBOL:
            by_id = self.mirror.reference.by_id
            symbols = [by_id[row].symbol if row in by_id else "" for row in rows.tolist()]
            places = sorted(range(len(rows)), key=symbols.__getitem__, reverse=self.key.descending)
            return rows[places]
        values = self.mirror.tables[self.key.table][rows, self.key.sort]
        known = np.isfinite(values)
        ranked = np.argsort(-values[known] if self.key.descending else values[known], kind="stable")
        return np.concatenate((rows[known][ranked], rows[~known]))  # Unknown is always last.


class Viewport:
    """Rows `first` to `first + count` of a view, encoded once for all who are equally far."""

    def __init__(self, view: View, first: int, count: int) -> None:
        """`count` is bounded by VIEWPORT_ROWS_MAX."""
        self.view, self.first = view, max(0, first)
        self.count = max(0, min(count, VIEWPORT_ROWS_MAX))
        self._cache: dict[tuple[int, int, int], bytes] = {}
        self._cache_at = -1

    @property
    def rows(self) -> np.ndarray:
        """Row numbers shown, by slot."""
        return self.view.order[self.first : self.first + self.count]

    def encode(self, feed: int, since: int, version: int) -> bytes:
        """Sections for a page that has `since` of order `version`; b"" if it misses nothing.

        Version -1 is a page that has nothing of this viewport yet.
        """
        sequence = self.view.mirror.sequence
        if self._cache_at != sequence:
            self._cache.clear()
            self._cache_at = sequence
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
        table = view.mirror.tables[view.key.table]
        changed = view.mirror.changed[view.key.table][rows[:, None], view.columns] > since
        slots, columns = np.nonzero(changed)
        if not len(slots):
            return head
        values = table[rows[slots], view.columns[columns]]
        cells = (slots * len(view.columns) + columns).astype("<u2")
        told = version == view.version and view.key.table == INSTRUMENTS.name
        base_ms, stamps, stamped = self._stamps(np.unique(slots) if told else slots[:0], since)
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
