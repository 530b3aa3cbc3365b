"""Rule: another worker's tables as this process knows them: the image, then every delta.

The counterpart of app/mirror.py for a process that computes: it asks when it has the time, keeps
which rows changed since they were last asked for, and for each row of the first table the moment
of the oldest event among those changes. A gap, a new epoch or a torn frame is answered in one way:
take the image again, of which only what differs has changed.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from compute import delta
from compute.bus import BusError
from compute.kernels.cut import scatter
from compute.table import LIVE_TABLES, Table
from ingest.instrument import Instrument, Reference

READS_MAX = 16  # Of 32 deltas each: as many as the bus holds.
ASK_SECONDS = 0.25  # For new reference rows: 0.1 ms of Redis each time.


class Deltas(Protocol):
    """What is needed of compute.bus.Bus."""

    def image(self, worker: int) -> bytes | None:
        """The newest image."""

    def deltas(self, epoch: int, sequence: int, worker: int) -> list[tuple[int, int, bytes]]:
        """Frames after the given one; none: there are no more."""


class ReferenceBus(Protocol):
    """What is needed of compute.bus.Bus."""

    def reference(self) -> bytes | None:
        """The reference rows."""

    def reference_stamp(self) -> bytes | None:
        """What differs when they do."""


class ReferenceFollower:
    """Changed reference rows, as `live` shares them: cheaper than a consumer of the topic."""

    def __init__(
        self,
        bus: ReferenceBus,
        first: Sequence[Instrument],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`first`: the rows of the topic; Redis may have forgotten its own."""
        self.bus, self.first, self.monotonic = bus, list(first), monotonic
        self._stamp: bytes | None = None
        self._due = 0.0

    def read_all(self) -> list[Instrument]:
        """The rows there were at the start."""
        return self.first

    def poll(self) -> list[Instrument]:
        """All rows where any of them changed; asks a few times a second. None: Redis is away."""
        if self.monotonic() < self._due:
            return []
        self._due = self.monotonic() + ASK_SECONDS
        try:
            stamp = self.bus.reference_stamp()
            data = self.bus.reference() if stamp and stamp != self._stamp else None
        except BusError:
            return []
        if data is None:
            return []
        self._stamp = stamp
        return list(Reference.from_json(data).by_id.values())


class Follower:
    """Copies of a worker's tables; `step` brings them up to date, `take` says what changed."""

    def __init__(
        self, bus: Deltas, worker: int = 0, tables: tuple[Table, ...] = LIVE_TABLES
    ) -> None:
        """Nothing is known until `step` has read an image."""
        self.bus, self.worker = bus, worker
        self._shapes = {table.name: table for table in tables}
        self._first = tables[0].name
        self.tables = {table.name: table.empty(0) for table in tables}
        self.oldest_ns = np.zeros(0, np.int64)  # Of the first table; 0: nothing new on the row.
        self._changed = {table.name: np.zeros(0, np.bool_) for table in tables}
        self._epoch = self._last = 0
        self._whole = False  # Else the image is to be taken.
        self.images = self.gaps = 0
        self.ts_cut = 0  # Of the newest delta or image.
        self.applied_at = 0.0  # Monotonic moment of it.

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, sequence) of the newest delta or image that is in the tables."""
        return self._epoch, self._last

    def step(self) -> int:
        """Read all there is, READS_MAX times at most; images and deltas applied. BusError.

        Without that bound a slow reader of a fast worker would never come back.
        """
        applied = 0
        if not self._whole:
            if not self._take_image():
                return 0
            applied = 1
        for _ in range(READS_MAX):
            entries = self.bus.deltas(self._epoch, self._last, self.worker)
            applied += self.feed(entries)
            if not entries or not self._whole:
                break
        return applied

    @property
    def whole(self) -> bool:
        """Whether the tables stand at `position`: no image is needed."""
        return self._whole

    def feed(self, entries: Sequence[tuple[int, int, bytes]]) -> int:
        """Apply what was read behind `position`, up to the first gap; how much."""
        for applied, (epoch, sequence, frame) in enumerate(entries):
            whole = epoch == self._epoch and sequence == self._last + 1
            if not (whole and self._decoded(frame)):
                self.gaps += 1
                self._whole = False
                return applied
            self._last = sequence
        return len(entries)

    def take(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """(rows that changed by table, int64, rising; oldest_ns), and begin anew."""
        rows = {name: np.flatnonzero(marks) for name, marks in self._changed.items()}
        for marks in self._changed.values():
            marks[:] = False
        oldest_ns = self.oldest_ns
        self.oldest_ns = np.zeros_like(oldest_ns)
        return rows, oldest_ns

    def _take_image(self) -> bool:
        data = self.bus.image(self.worker)
        if data is None:
            return False
        try:
            image = delta.unpack_image(data)
        except delta.DeltaError:
            self.gaps += 1
            return False
        for name, table in image.tables.items():
            if name not in self._shapes:
                continue
            self._grow(name, len(table))
            mine = self.tables[name][: len(table)]
            differs = (mine.view(np.int64) != table.view(np.int64)).any(axis=1)
            mine[...] = table
            self._changed[name][: len(table)] |= differs
        self._epoch, self._last = image.epoch, image.sequence
        self._whole = True
        self.images += 1
        self._told(image.ts_cut)
        return True

    def _decoded(self, frame: bytes) -> bool:
        """Apply a frame; False where it is torn, and then nothing of it."""
        try:
            head, sections = delta.unpack(frame)
        except delta.DeltaError:
            return False
        self._apply(sections)
        self._told(head[2])
        return True

    def _apply(self, sections: list[delta.Packed]) -> None:
        for section in sections:
            name = section.table.name
            if name not in self._shapes:
                continue
            self._grow(name, section.capacity)
            scatter(section.touched, section.masks, section.values, self.tables[name])
            self._changed[name][section.touched] = True
            if name == self._first:
                now = self.oldest_ns[section.touched]
                fresh = section.oldest_ns
                earlier = (now == 0) | ((fresh != 0) & (fresh < now))
                self.oldest_ns[section.touched] = np.where(earlier, fresh, now)

    def _told(self, ts_cut: int) -> None:
        self.ts_cut, self.applied_at = ts_cut, time.monotonic()

    def _grow(self, name: str, rows: int) -> None:
        have = len(self.tables[name])
        if rows <= have:
            return
        grown = self._shapes[name].empty(rows)
        grown[:have] = self.tables[name]
        marks = np.zeros(rows, np.bool_)
        marks[:have] = self._changed[name]
        self.tables[name], self._changed[name] = grown, marks
        if name == self._first:
            more = np.zeros(rows - have, np.int64)
            self.oldest_ns = np.concatenate((self.oldest_ns, more))
