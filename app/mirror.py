"""Loop: one per web process: the image, then deltas, into the same tables; knows when it is stale.

Enters: Redis, through compute.bus. Leaves: numpy tables with, for every cell, the local sequence
of its last change. Runs in the server's own event loop; loads neither numba nor Kafka. A gap, a
new epoch or a torn frame is answered in one way: take the image again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from compute import delta
from compute.bus import AsyncBus, BusError
from compute.table import INSTRUMENTS, TABLES
from ingest import clock
from ingest.instrument import Reference
from ingest.meter import Histogram

STAMPS = 32  # Remembered changes a row: at 60 cuts/s half a second of untold events.
HISTORY_SECONDS = 1_800  # One sample a second: half an hour, 5,000 x 3 x 8 B x 1,800 = 216 MB max.
HISTORY_BYTES_MAX = 256 * 1024 * 1024
RETRY_SECONDS = 0.25
STALE_SECONDS = 1.0  # `live` tells something four times a second; silence this long is news.
HISTORY_COLUMNS = ("last", "vwap", "volume")


class Mirror:
    """The tables of `live`, as this process knows them."""

    def __init__(
        self, bus: AsyncBus, worker: int = 0, now_ns: Callable[[], int] = clock.now_ns
    ) -> None:
        """Nothing is known until `run` has read an image."""
        self.bus, self.worker, self.now_ns = bus, worker, now_ns
        self.tables = {table.name: table.empty(0) for table in TABLES}
        self.changed = {table.name: np.zeros((0, table.width), np.int64) for table in TABLES}
        self.sequence = 0  # Local: one step for each group of deltas applied.
        self.reference = Reference()
        self.reference_json = b"[]"
        self.health: dict[str, dict[str, Any]] = {}
        self.listeners: list[Callable[[], None]] = []
        self.images = self.gaps = 0
        self.problem = "waiting for the first image"
        self.delta_at = 0.0  # monotonic moment of the newest delta
        self.history = History()
        # Where the milliseconds go on this side, since `stages` was last read.
        self._stage = {name: Histogram() for name in ("made_to_cut", "cut_to_mirror", "mirror")}
        self.applied_ns = 0  # when the newest group was applied
        self._stamp_sequence = np.zeros((0, STAMPS), np.int64)
        self._stamp_oldest = np.zeros((0, STAMPS), np.int64)
        self._stamp_next = np.zeros(0, np.int64)
        self._epoch = self._last = 0

    @property
    def state(self) -> str:
        """`live`, `stale` (deltas stopped coming) or `down` (Redis away, or nothing known yet)."""
        if self.problem:
            return "down"
        return "stale" if time.monotonic() - self.delta_at > STALE_SECONDS else "live"

    async def run(self) -> None:
        """Follow `live` for ever; problems are stated in `problem` and tried again."""
        health = asyncio.ensure_future(self._follow_health())
        try:
            while True:
                try:
                    await self._follow()
                except BusError as error:
                    self._say(str(error))
                except delta.DeltaError as error:
                    self.gaps += 1
                    self._say(str(error))
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            health.cancel()
            await asyncio.gather(health, return_exceptions=True)

    async def _follow(self) -> None:
        await self._load_reference()
        data = await self.bus.image(self.worker)
        if data is None:
            self._say("waiting for live's first image")
            return
        image = delta.unpack_image(data)
        self.take_image(image)
        async for entries in self.bus.deltas(image.epoch, image.sequence, self.worker):
            if entries and not self.take(entries):
                self.gaps += 1
                return
            if entries:
                self._tell()

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def take_image(self, image: delta.Image) -> None:
        """Hold what the image holds; only cells that differ count as changed."""
        self.sequence += 1
        for name, table in image.tables.items():
            self._grow(name, len(table))
            mine = self.tables[name][: len(table)]
            differs = mine.view(np.int64) != table.view(np.int64)
            mine[...] = table
            self.changed[name][: len(table)][differs] = self.sequence
        self._epoch, self._last = image.epoch, image.sequence
        self.images += 1
        self.problem, self.delta_at = "", time.monotonic()
        self._tell()

    def take(self, entries: list[tuple[int, int, bytes]]) -> bool:
        """Apply a group of frames as one local step; False where one is missing."""
        whole = True
        self.sequence += 1
        began_ns = self.now_ns()
        for epoch, sequence, frame in entries:
            if epoch != self._epoch or sequence != self._last + 1:
                whole = False
                break
            decoded = delta.decode(frame)
            self._stage["cut_to_mirror"].add((began_ns - decoded.ts_cut) / 1e6)
            for section in decoded.sections:
                self._apply(section, decoded.ts_cut)
            self._last = sequence
        self.delta_at, self.applied_ns = time.monotonic(), self.now_ns()
        self._stage["mirror"].add((self.applied_ns - began_ns) / 1e6)
        return whole

    def stages(self) -> dict[str, list[float | None]]:
        """p50 and p99 in ms of each stage since the last reading."""
        found = {
            name: [histogram.percentile(0.5), histogram.percentile(0.99)]
            for name, histogram in self._stage.items()
        }
        for histogram in self._stage.values():
            histogram.clear()
        return found

    def _apply(self, section: delta.Section, ts_cut: int) -> None:
        name = section.table.name
        self._grow(name, section.capacity)
        delta.apply(section, self.tables[name])
        self.changed[name][section.rows, section.columns] = self.sequence
        if name == INSTRUMENTS.name:
            rows = section.touched
            place = self._stamp_next[rows] % STAMPS
            self._stamp_sequence[rows, place] = self.sequence
            self._stamp_oldest[rows, place] = section.oldest_ns
            self._stamp_next[rows] += 1
            self._stage["made_to_cut"].add((ts_cut - section.oldest_ns) / 1e6)

    def _grow(self, name: str, rows: int) -> None:
        have = len(self.tables[name])
        if rows <= have:
            return
        table = next(table for table in TABLES if table.name == name)
        grown = table.empty(rows)
        grown[:have] = self.tables[name]
        marks = np.zeros((rows, table.width), np.int64)
        marks[:have] = self.changed[name]
        self.tables[name], self.changed[name] = grown, marks
        if name == INSTRUMENTS.name:
            more = rows - have
            empty = np.zeros((more, STAMPS), np.int64)
            self._stamp_sequence = np.concatenate((self._stamp_sequence, empty))
            self._stamp_oldest = np.concatenate((self._stamp_oldest, empty))
            self._stamp_next = np.concatenate((self._stamp_next, np.zeros(more, np.int64)))

    def oldest_ns(self, rows: np.ndarray, since: int) -> np.ndarray:
        """Moment of the oldest event on each row after local sequence `since`; 0 where none."""
        recent = self._stamp_sequence[rows] > since
        untold = recent & (self._stamp_oldest[rows] > 0)
        far = np.iinfo(np.int64).max
        oldest = np.where(untold, self._stamp_oldest[rows], far).min(axis=1, initial=far)
        return np.where(oldest == far, 0, oldest)

    async def _load_reference(self) -> None:
        data = await self.bus.reference()
        if data and data != self.reference_json:
            self.reference_json = data
            self.reference = Reference.from_json(data)

    async def _follow_health(self) -> None:
        """Once a second: everyone's health, a sample of history, and new reference rows."""
        while True:
            try:
                self.health = await self.bus.health()
                known = self.health.get(f"live.{self.worker}", {}).get("instruments")
                if known is not None and known != len(self.reference.by_id):
                    await self._load_reference()
            except BusError as error:
                self._say(str(error))
            if self.state == "live":
                self.history.sample(self.now_ns() / 1e6, self.tables[INSTRUMENTS.name])
            self._tell()
            now_s = self.now_ns() / 1e9
            await asyncio.sleep(1.0 - now_s % 1.0)


class History:
    """A ring of one-second samples of HISTORY_COLUMNS for every instrument."""

    def __init__(self) -> None:
        """Empty; the ring is sized by the first sample."""
        self._columns = [INSTRUMENTS.index(name) for name in HISTORY_COLUMNS]
        self._moments = np.zeros(0)
        self._values = np.zeros((0, len(HISTORY_COLUMNS), 0))
        self._count = 0

    def sample(self, now_ms: float, table: np.ndarray) -> None:
        """Keep the present values as those of `now_ms`, overwriting the oldest when full."""
        rows = len(table)
        if rows != self._values.shape[2]:
            size = min(HISTORY_SECONDS, HISTORY_BYTES_MAX // max(1, rows * 8 * 3))
            self._moments = np.zeros(size)
            self._values = np.full((size, len(HISTORY_COLUMNS), rows), np.nan)
            self._count = 0
        place = self._count % len(self._moments)
        self._moments[place] = now_ms
        self._values[place] = table[:, self._columns].T
        self._count += 1

    def read(self, row: int, after_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """Moments [n] after `after_ms` and values [n, 3] of one row, oldest first."""
        size = len(self._moments)
        if not size or row >= self._values.shape[2]:
            return np.zeros(0), np.zeros((0, len(HISTORY_COLUMNS)))
        have = min(self._count, size)
        order = (np.arange(self._count - have, self._count)) % size
        order = order[self._moments[order] > after_ms]
        return self._moments[order], self._values[order, :, row]
