"""Loop: one per web process: images, then deltas, into the same tables; knows when it is stale.

Enters: Redis, through compute.bus: worker 0 (`live`) and worker 1 (`risk`), each followed by
itself, so that what happens to one never disturbs the other. Leaves: numpy tables with, for every
cell, the local sequence of its last change, one sequence over both workers. Runs in the server's
own event loop; loads neither numba nor Kafka. A gap, a new epoch or a torn frame is answered in
one way: take that worker's image again. Without `risk` its tables are blank, and nothing else.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from app import quant
from compute import delta
from compute.bus import AsyncBus, BusError
from compute.table import (
    ANALYTICS,
    INSTRUMENTS,
    POSITIONS,
    QUANT,
    QUANT_POSITIONS,
    RISK,
    TABLES,
    Table,
)
from ingest import clock
from ingest.instrument import Reference
from ingest.meter import Stages

STAMPS = 32  # Remembered changes a row: at 60 cuts/s half a second of untold events.
HISTORY_SECONDS = 1_800  # One sample a second: half an hour, 5,000 x 3 x 8 B x 1,800 = 216 MB max.
HISTORY_BYTES_MAX = 256 * 1024 * 1024
RETRY_SECONDS = 0.25
RISK_RETRY_SECONDS = 1.0  # It may not be there at all.
STALE_SECONDS = 1.0  # `live` tells something four times a second; silence this long is news.
HISTORY_COLUMNS = ("last", "vwap", "volume")
STAGE_SAMPLES_MAX = 128  # Rows of a cut whose way is timed: 200 cuts/s make 25,000 samples/s.
NOTE_BYTES_MAX = 1 << 20  # Names or alerts; more is no news for a page.
# Tables whose rows mean those of the first, told by `risk`: they grow together.
BESIDE: dict[str, tuple[Table, ...]] = {
    INSTRUMENTS.name: (ANALYTICS, QUANT),
    POSITIONS.name: (RISK, QUANT_POSITIONS),
}
_TOGETHER = {
    each: (name, *(table.name for table in tables))
    for name, tables in BESIDE.items()
    for each in (name, *(table.name for table in tables))
}
_BY_NAME = {table.name: table for table in TABLES}

Entries = list[tuple[int, int, bytes]]  # epoch, sequence, frame


class Track:
    """How far one worker is followed."""

    def __init__(self, worker: int, role: str) -> None:
        """Nothing is known of it yet."""
        self.worker, self.role = worker, role
        self.epoch = self.sequence = 0
        self.images = self.gaps = 0
        self.problem = f"waiting for {role}'s first image"
        self.heard_at = 0.0  # Monotonic moment of the newest delta or image.
        self.ts_cut = 0  # When the worker made it.


class Mirror:
    """The tables of `live` and `risk`, as this process knows them."""

    def __init__(
        self,
        bus: AsyncBus,
        worker: int = 0,
        now_ns: Callable[[], int] = clock.now_ns,
        risk_worker: int = 1,
    ) -> None:
        """Nothing is known until `run` has read an image."""
        self.bus, self.worker, self.now_ns = bus, worker, now_ns
        self.live, self.risk = Track(worker, "live"), Track(risk_worker, "risk")
        self.tables = {table.name: table.empty(0) for table in TABLES}
        self.changed = {table.name: np.zeros((0, table.width), np.int64) for table in TABLES}
        self.sequence = 0  # Local: one step for each group of deltas applied.
        self.reference_version = 0  # Local: one step for each time that rows were taken.
        self.reference = Reference()
        self.reference_json = b"[]"
        self.names = b""  # JSON as told; empty: not told yet.
        self.alerts = b""  # As names.
        self.health: dict[str, dict[str, Any]] = {}
        self.health_problem = ""
        self.listeners: list[Callable[[], None]] = []
        self.history = History()
        # Where the milliseconds go on this side, since `stages` was last read.
        self._stages = Stages("made_to_cut", "cut_to_mirror", "mirror")
        self.applied_ns = 0  # when the newest group was applied
        self._stamp_sequence = np.zeros((0, STAMPS), np.int64)
        self._stamp_oldest = np.zeros((0, STAMPS), np.int64)
        self._stamp_next = np.zeros(0, np.int64)
        self._reference_seen: tuple[tuple[Any, Any], ...] = ()

    @property
    def reference(self) -> Reference:
        """The instruments; setting it moves `reference_version` on."""
        return self._reference

    @reference.setter
    def reference(self, rows: Reference) -> None:
        self._reference = rows
        self.reference_version += 1

    @property
    def names(self) -> bytes:
        """What numbers mean, as `risk` told it; setting it says which quant column is where."""
        return self._names

    @names.setter
    def names(self, data: bytes) -> None:
        if data != getattr(self, "_names", None):
            self._names, self._quant = data, quant.told(data)

    @property
    def problem(self) -> str:
        """Why `live` is not followed; empty where it is."""
        return self.live.problem

    @property
    def images(self) -> int:
        """Images of `live` taken."""
        return self.live.images

    @property
    def gaps(self) -> int:
        """Times that deltas of `live` were missing or torn."""
        return self.live.gaps

    @property
    def state(self) -> str:
        """`live`, `stale` (deltas stopped coming) or `down` (Redis away, or nothing known yet).

        Of worker 0 alone: prices do not wait for `risk`.
        """
        if self.live.problem:
            return "down"
        return "stale" if time.monotonic() - self.live.heard_at > STALE_SECONDS else "live"

    def risk_age_s(self) -> float | None:
        """Since `risk` made the newest numbers that are shown; None before the first."""
        made_ns = self.risk.ts_cut
        return max(0.0, (self.now_ns() - made_ns) / 1e9) if made_ns else None

    async def run(self) -> None:
        """Follow both for ever; problems are stated in their tracks and tried again."""
        beside = [
            asyncio.ensure_future(self._follow_health()),
            asyncio.ensure_future(self._keep_following(self.risk, RISK_RETRY_SECONDS)),
        ]
        try:
            await self._keep_following(self.live, RETRY_SECONDS)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _keep_following(self, track: Track, retry_seconds: float) -> None:
        while True:
            try:
                await self._follow(track)
            except BusError as error:
                self._say(track, str(error))
            except (ValueError, IndexError) as error:  # Torn, or of tables of another version.
                track.gaps += 1
                self._say(track, str(error))
            await asyncio.sleep(retry_seconds)

    async def _follow(self, track: Track) -> None:
        if track is self.live:
            await self._load_reference()
        data = await self.bus.image(track.worker)
        if data is None:
            self._say(track, f"waiting for {track.role}'s first image")
            return
        image = delta.unpack_image(data)
        if track is self.risk:  # Told before the first delta of its epoch.
            self.names = _json(await self.bus.names(), dict) or self.names
        self.take_image(image, track)
        async for entries in self.bus.deltas(image.epoch, image.sequence, track.worker):
            if entries and not self.take(entries, track):
                track.gaps += 1
                return
            if entries:
                self._tell()

    def _say(self, track: Track, problem: str) -> None:
        if problem != track.problem:
            track.problem = problem
            self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def take_image(self, image: delta.Image, track: Track | None = None) -> None:
        """Hold what the image holds; only cells that differ count as changed.

        Rows that the image no longer has become blank. `track` is live's if not given.
        """
        track = track or self.live
        self.sequence += 1
        tables = dict(image.tables)
        if track is self.risk:  # Without quant columns there is no table of them.
            tables = {name: _BY_NAME[name].empty(0) for name in quant.TABLES} | tables
        for name, told in tables.items():
            table = told
            if quant.is_quant(name):
                table = quant.translated(told, self._quant_places(name, image.epoch))
            self._grow(name, len(table))
            mine, marks = self.tables[name], self.changed[name]
            differs = mine[: len(table)].view(np.int64) != table.view(np.int64)
            mine[: len(table)] = table
            marks[: len(table)][differs] = self.sequence
            gone = ~np.isnan(mine[len(table) :])
            marks[len(table) :][gone] = self.sequence
            mine[len(table) :] = np.nan
        track.epoch, track.sequence, track.ts_cut = image.epoch, image.sequence, image.ts_cut
        track.images += 1
        track.problem, track.heard_at = "", time.monotonic()
        self._tell()

    def take(self, entries: Entries, track: Track | None = None) -> bool:
        """Apply a group of frames as one local step; False where one is missing.

        `track` is live's if not given.
        """
        track = track or self.live
        timed = track is self.live
        whole = True
        self.sequence += 1
        began_ns = self.now_ns()
        for epoch, sequence, frame in entries:
            if epoch != track.epoch or sequence != track.sequence + 1:
                whole = False
                break
            (_, _, ts_cut), sections = delta.unpack(frame)
            for section in sections:
                if quant.is_quant(section.table.name):
                    self._apply_quant(section, epoch)
                    continue
                self._apply(section)
                if timed and section.table is INSTRUMENTS:
                    self._stamp(section, ts_cut)
            track.sequence, track.ts_cut = sequence, ts_cut
            if timed:
                self._stages.add("cut_to_mirror", (began_ns - ts_cut) / 1e6)
        track.heard_at, self.applied_ns = time.monotonic(), self.now_ns()
        if timed:
            self._stages.add("mirror", (self.applied_ns - began_ns) / 1e6)
        return whole

    def stages(self) -> dict[str, list[float | None]]:
        """p50 and p99 in ms of each stage of live's numbers since the last reading."""
        return self._stages.told()

    def _apply(self, section: delta.Packed) -> None:
        # Most of what a delta costs this process. The masks are searched as one flat list of 32
        # bits a row, and what is found becomes one flat index for both arrays: a quarter of what
        # pairs of rows and columns cost.
        name, width = section.table.name, section.table.width
        self._grow(name, section.capacity)
        bits = np.unpackbits(section.masks.view(np.uint8), bitorder="little").view(np.bool_)
        cells = bits.nonzero()[0]
        # Place 32 k + c of the list is column c of row touched[k].
        shift = section.touched.astype(np.int64)
        shift *= width
        shift -= np.arange(0, 32 * len(shift), 32)
        cells += shift.take(cells >> 5)
        self.tables[name].reshape(-1)[cells] = section.values
        self.changed[name].reshape(-1)[cells] = self.sequence

    def _quant_places(self, name: str, epoch: int) -> np.ndarray:
        """Our place of each of the worker's; all -1 where the names are of another epoch."""
        nowhere = np.full(_BY_NAME[name].width, -1)
        return self._quant.places.get(name, nowhere) if epoch == self._quant.epoch else nowhere

    def _apply_quant(self, packed: delta.Packed, epoch: int) -> None:
        name, section = packed.table.name, delta.section_of(packed)
        self._grow(name, section.capacity)
        places = self._quant_places(name, epoch)[section.columns]
        known = places >= 0
        cells = section.rows[known], places[known]
        self.tables[name][cells] = section.values[known]
        self.changed[name][cells] = self.sequence

    def _stamp(self, section: delta.Packed, ts_cut: int) -> None:
        rows = section.touched.astype(np.int64)
        turn = self._stamp_next.take(rows)
        self._stamp_next[rows] = turn + 1
        turn %= STAMPS
        rows *= STAMPS
        rows += turn
        self._stamp_sequence.reshape(-1)[rows] = self.sequence
        self._stamp_oldest.reshape(-1)[rows] = section.oldest_ns
        every = 1 + len(rows) // STAGE_SAMPLES_MAX
        self._stages.add("made_to_cut", *((ts_cut - section.oldest_ns[::every]) / 1e6).tolist())

    def _grow(self, name: str, rows: int) -> None:
        """Give a table and those beside it `rows` rows, blank and never changed."""
        have = len(self.tables[name])
        if rows <= have:
            return
        for each in _TOGETHER.get(name, (name,)):
            grown = _BY_NAME[each].empty(rows)
            grown[:have] = self.tables[each]
            marks = np.zeros(grown.shape, np.int64)
            marks[:have] = self.changed[each]
            self.tables[each], self.changed[each] = grown, marks
        if INSTRUMENTS.name in _TOGETHER.get(name, (name,)):
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

    async def _load_reference(self) -> bool:
        """Take the reference rows where they differ; whether there are any."""
        data = await self.bus.reference()
        if data and data != self.reference_json:
            # In a thread: parsing 5,000 rows takes tenths of a second, which cells do not wait for.
            rows = await asyncio.to_thread(Reference.from_json, data)
            if data != self.reference_json:  # Nobody else has taken the same in the meantime.
                self.reference_json, self.reference = data, rows
        return bool(data)

    async def _follow_health(self) -> None:
        """Once a second: everyone's health, a sample of history, and what else may be news."""
        while True:
            try:
                await self._hear()
                self.health_problem = ""
            except (BusError, ValueError, TypeError) as error:
                self.health_problem = f"reports cannot be read: {error}"
            if self.state == "live":
                self.history.sample(self.now_ns() / 1e6, self.tables[INSTRUMENTS.name])
            self._tell()
            now_s = self.now_ns() / 1e9
            await asyncio.sleep(1.0 - now_s % 1.0)

    async def _hear(self) -> None:
        """Health, and what is read again when it says so: reference; names and alerts always."""
        self.health = await self.bus.health()
        live = [one for role, one in self.health.items() if role.startswith("live.")]
        seen = tuple((one.get("instruments"), one.get("reference_version")) for one in live)
        if seen not in ((), self._reference_seen) and await self._load_reference():
            self._reference_seen = seen
        self.names = _json(await self.bus.names(), dict) or self.names
        self.alerts = _json(await self.bus.alerts(), list) or self.alerts


def _json(data: bytes | None, kind: type) -> bytes:
    """`data` where it is JSON of `kind`, else b""; what is not is as good as not told."""
    if not data or len(data) > NOTE_BYTES_MAX:
        return b""
    try:
        return data if isinstance(json.loads(data), kind) else b""
    except ValueError:
        return b""


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
        if len(table) != self._values.shape[2]:
            self._resize(len(table))
        place = self._count % len(self._moments)
        self._moments[place] = now_ms
        self._values[place] = table[:, self._columns].T
        self._count += 1

    def _resize(self, rows: int) -> None:
        """Hold `rows` instruments; the newest samples of those known before are kept."""
        size = min(HISTORY_SECONDS, HISTORY_BYTES_MAX // max(1, rows * 8 * 3))
        order = self._order()[-size:]
        have, common = len(order), min(rows, self._values.shape[2])
        moments, values = np.zeros(size), np.full((size, len(HISTORY_COLUMNS), rows), np.nan)
        moments[:have] = self._moments[order]
        values[:have, :, :common] = self._values[order][:, :, :common]
        self._moments, self._values, self._count = moments, values, have

    def _order(self) -> np.ndarray:
        """Places of the samples, oldest first."""
        size = len(self._moments)
        have = min(self._count, size)
        return np.arange(self._count - have, self._count) % max(1, size)

    def read(self, row: int, after_ms: float) -> tuple[np.ndarray, np.ndarray]:
        """Moments [n] after `after_ms` and values [n, 3] of one row, oldest first."""
        if not len(self._moments) or row >= self._values.shape[2]:
            return np.zeros(0), np.zeros((0, len(HISTORY_COLUMNS)))
        order = self._order()
        order = order[self._moments[order] > after_ms]
        return self._moments[order], self._values[order, :, row]
