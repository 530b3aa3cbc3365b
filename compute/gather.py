"""Rule: rows of the record gathered partition by partition, and their columns for one insert.

A row is written once, where it stays until it is on record: its bytes there are the canonical
bytes that the chain hashes. For the wire the rows of a block are put in the order of storage
(compute/schema.py), which ClickHouse then only checks.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numba
import numpy as np

from compute.enriched import ENRICHED
from compute.kernels import rows as kernel
from compute.row import RECORD, SEGMENT_FRAMES, native_frame
from ingest.event import EVENT

ROWS_MIN = 1_024  # Room that a partition begins with.
SPARE_ARRAYS = 2  # Of a place: one gathers while one is under way.


class _Kernels(NamedTuple):
    fill: Callable[..., None]
    arrange: Callable[..., None]
    spread: Callable[..., None]


@functools.cache
def compiled() -> _Kernels:
    """The kernels' machine code for arrays of our types, from the disk cache where unchanged.

    Where a column comes to lie in a body decides whether it is aligned, which to Numba is a type:
    all are taken for unaligned, or each insert would be compiled for.
    """
    rows, events, numbers = (
        numba.typeof(np.empty(0, dtype)) for dtype in (RECORD, EVENT, ENRICHED)
    )
    table, order = numba.types.int64[:, ::1], numba.types.int32[::1]
    number = numba.types.int64
    columns = [
        numba.types.Array(numba.from_dtype(RECORD[name]), 1, "C", aligned=False)
        for name in RECORD.names or ()
    ]
    return _Kernels(
        kernel.fill.compile((rows, number, number, table, events, numbers)),
        kernel.arrange.compile((rows, number, order, order)),
        kernel.spread.compile((rows, order, number, *columns)),
    )


class Gathered:
    """Successive frames of one place (topic, partition), in order."""

    def __init__(
        self, place: tuple[int, int], first: int, memory: np.ndarray | None = None
    ) -> None:
        """`first` is the offset of the first frame; `memory` (RECORD) is written over."""
        self.place, self.first, self.last = place, first, first
        self.count = 0
        self._rows = np.empty(ROWS_MIN, RECORD) if memory is None else memory

    @property
    def rows(self) -> np.ndarray:
        """RECORD [count], the rows so far; a view."""
        return self._rows[: self.count]

    def add(
        self,
        frames: Sequence[tuple[int, int, int]],
        events: np.ndarray,
        enriched: np.ndarray,
    ) -> None:
        """Add frames (offset, start, count).

        Their events (EVENT) and the numbers after each (ENRICHED) stand at start to before
        start + count.
        """
        if events.dtype != EVENT or enriched.dtype != ENRICHED or not events.flags.c_contiguous:
            raise TypeError(f"events of {events.dtype}, numbers of {enriched.dtype}")
        table = np.array(frames, np.int64)
        rows = self._more(int(table[:, 2].sum()), frames[-1][0])
        compiled().fill(rows, *self.place, table, events, enriched)

    def add_rows(self, rows: np.ndarray, last: int) -> None:
        """Rows as they are, the last of them of offset `last`."""
        self._more(len(rows), last)[:] = rows

    def _more(self, count: int, last: int) -> np.ndarray:
        need = self.count + count
        if need > len(self._rows):
            grown = np.empty(max(need, 2 * len(self._rows)), RECORD)
            grown[: self.count] = self.rows
            self._rows = grown
        rows = self._rows[self.count : need]
        self.count, self.last = need, last
        return rows


def fill(
    place: tuple[int, int],
    frames: Sequence[tuple[int, int, int]],
    events: np.ndarray,
    enriched: np.ndarray,
) -> np.ndarray:
    """Rows (RECORD) of successive frames of one place, as `Gathered.add` takes them."""
    gathered = Gathered(place, frames[0][0])
    gathered.add(frames, events, enriched)
    return gathered.rows


class Memory:
    """Rows' arrays that are on record, to gather the next rows of their place in.

    Fresh pages cost more than what is written on them.
    """

    def __init__(self) -> None:
        """None yet."""
        self._free: dict[tuple[int, int], list[np.ndarray]] = {}

    def take(self, place: tuple[int, int], rows: int = ROWS_MIN) -> np.ndarray:
        """Memory for rows of that place; RECORD [`rows`] where none is free."""
        free = self._free.get(place)
        return free.pop() if free else np.empty(max(rows, ROWS_MIN), RECORD)

    def give(self, place: tuple[int, int], rows: np.ndarray) -> None:
        """Nobody looks at these rows, a view of what was taken, any more."""
        whole = rows if rows.base is None else rows.base
        free = self._free.setdefault(place, [])
        if isinstance(whole, np.ndarray) and len(free) < SPARE_ARRAYS:
            free.append(whole)


class Wire:
    """Makes the bodies of inserts, each in the memory of the one before it."""

    def __init__(self) -> None:
        """No memory yet."""
        self._memory = np.empty(0, np.uint8)

    def body(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """One insert in ClickHouse's format Native: all rows in the order of storage.

        Each array is RECORD of one place in order of (offset, index), the places in order. It
        stays as it is until the next call.
        """
        count = sum(len(rows) for rows in arrays)
        whole, columns = native_frame(RECORD, count, self._memory)
        if len(whole) > len(self._memory):
            self._memory = whole
        kernels = compiled()
        longest = max(map(len, arrays), default=0)
        order, spare = np.empty(longest, np.int32), np.empty(longest, np.int32)
        done = 0
        for rows in arrays:
            kernels.arrange(rows, SEGMENT_FRAMES, order[: len(rows)], spare[: len(rows)])
            kernels.spread(rows, order[: len(rows)], done, *columns)
            done += len(rows)
        return whole
