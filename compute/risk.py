"""Loop: live's tables -> Greeks, curves, exposure, limits -> Redis, as worker 1.

What depends on more than one instrument is computed here, beside the tick path and never in it:
every 100 ms the copies of live's tables are brought up to date, each part recomputes what that
touched, and what differs is told in the format in which `live` tells its own. Redis away means
that these numbers age; nothing ends. Nothing is kept over a restart: smiles and curves are fitted
anew within seconds.

A part is one kind of number: options, rates, exposure. Parts run in order, so that a later one
sees what an earlier one has written.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from compute import delta
from compute.bus import BusError, SupersededError
from compute.follow import Follower
from compute.table import ANALYTICS, INSTRUMENTS
from ingest import clock
from ingest.instrument import Instrument, Reference
from ingest.meter import Histogram

WORKER = 1
FOLLOWED = 0  # The worker whose tables are followed.
STEP_SECONDS = 0.1
TELL_SECONDS = 0.2  # As often as a person can read a Greek; 0.5 MB for 2,500 options that move.
HEARTBEAT_SECONDS = 0.25  # An empty delta at least this often, so that readers know we live.
IMAGE_SECONDS = 5.0  # A new reader reads 25 deltas at most behind it.
HEALTH_SECONDS = 1.0
RETRY_SECONDS = 0.5
SILENT_SECONDS = 1.0  # Live tells something four times a second; then what it told is not now.
SILENT_NS = 2_000_000_000  # As old as that an image is of a live that is gone.
assert IMAGE_SECONDS / TELL_SECONDS < 512 / 2  # Deltas that the bus holds.

Tables = Mapping[str, np.ndarray]
Rows = Mapping[str, np.ndarray]


class Part(Protocol):
    """One kind of number of this process."""

    @property
    def tables(self) -> Tables:
        """What it fills alone, by name, of RISK_TABLES; the loop tells them.

        Looked up at every cut, so an array may be replaced by a longer one. ANALYTICS is shared
        by parts, and the loop's.
        """

    def grow(self, reference: Reference) -> None:
        """Take new and changed instruments; called once before the first step."""

    def step(self, tables: Tables, changed: Rows, now_ns: int) -> np.ndarray:
        """Recompute what `changed` touches; the rows of ANALYTICS written, int64, if any.

        tables: float64 [rows, columns] by name: live's as they stand (not to be written), the
        analytics, and those of the parts before. changed: int64 rows by name since the last step,
        of live's tables, and of "analytics" by the parts before this one. now_ns: wall time.
        """


class ReferenceRows(Protocol):
    """What `risk` needs of compute.follow.ReferenceFollower."""

    def read_all(self) -> list[Instrument]:
        """Every reference row there is."""

    def poll(self) -> list[Instrument]:
        """Rows that came since."""


class Bus(Protocol):
    """What `risk` needs of compute.bus.Bus."""

    def image(self, worker: int) -> bytes | None:
        """The newest image."""

    def deltas(self, epoch: int, sequence: int, worker: int) -> list[tuple[int, int, bytes]]:
        """Frames after the given one."""

    def publish(
        self, worker: int, epoch: int, sequence: int, delta: bytes, image: bytes | None = None
    ) -> None:
        """Tell the delta, and the image that includes it."""

    def last_epoch(self, worker: int) -> int:
        """The newest epoch."""

    def set_names(self, data: bytes) -> None:
        """Share what the numbers of groups, books and limits mean."""

    def report(self, role: str, health: dict[str, Any]) -> bool:
        """Say how we are; True where Redis has forgotten what it was told."""


class Desk(Protocol):
    """Where alerts go and people ask: compute.alerts.Alerts."""

    @property
    def health(self) -> dict[str, Any]:
        """For our report."""

    def listen(self) -> None:
        """Do what people asked; parts may have alerts to take after it."""

    def take(self, alert: Any) -> None:
        """Tell what a part raised."""

    def tell(self) -> None:
        """Show what stands."""

    def close(self) -> None:
        """Let what was told arrive."""


class Risk:
    """The loop of the process role `risk`; `pause` waits, and is given by tests."""

    def __init__(  # noqa: PLR0913
        self,
        rows: ReferenceRows,
        bus: Bus,
        parts: Sequence[Part],
        *,
        now_ns: Callable[[], int] = clock.now_ns,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        desk: Desk | None = None,
    ) -> None:
        """Read the reference rows; the tables are read by the first steps.

        `desk` is handed what parts `take_alerts`, within the step that made it.
        """
        self.rows, self.bus, self.parts = rows, bus, list(parts)
        self.now_ns, self.monotonic, self.pause = now_ns, monotonic, pause
        self.desk, self.alerts = desk, 0
        self.follower = Follower(bus, FOLLOWED)
        self.reference = Reference(rows.read_all())
        self.analytics = ANALYTICS.empty(len(self.reference))
        self.cutter = delta.Cutter()
        self.oldest_ns = np.zeros(len(self.reference), np.int64)
        self.epoch = self.sequence = 0
        self._untold = 0  # Rows written since the last delta.
        self.problem = ""
        self._told_names: tuple[bytes, int] = (b"", 0)
        self.busy = Histogram()  # ms of a step, without the pause
        self._due = self._image_due = self._health_due = self._retry_at = 0.0
        self._told_at = -math.inf
        self._heard_at = -math.inf  # Of live, by `monotonic`.
        for part in self.parts:
            part.grow(self.reference)

    @property
    def tables(self) -> dict[str, np.ndarray]:
        """What is told: the analytics and every part's own tables."""
        told: dict[str, np.ndarray] = {ANALYTICS.name: self.analytics}
        for part in self.parts:
            told.update(part.tables)
        return told

    def step(self) -> int:
        """Wait for the next 100 ms; follow, compute, tell. The deltas and rows dealt with."""
        now = self.monotonic()
        if now < self._due:
            self.pause(self._due - now)
            now = self.monotonic()
        self._due = max(self._due + STEP_SECONDS, now)
        began = time.perf_counter()
        grown = self._refresh()
        applied = self._follow(now)
        touched = self._compute() if applied or grown else 0
        self._listen(now, applied)
        self._meet(now)
        self._tell(now, touched)
        if now >= self._health_due:
            self._report(now)
        self.busy.add((time.perf_counter() - began) * 1e3)
        return applied + touched

    def close(self) -> None:
        """Leave."""
        if self.desk:
            self.desk.close()

    def _refresh(self) -> bool:
        """Take reference rows that came since; whether there were any."""
        rows = self.rows.poll()
        if rows:
            self.reference.update(rows)
            self._grow(len(self.reference))
            for part in self.parts:
                part.grow(self.reference)
        return bool(rows)

    def _grow(self, size: int) -> None:
        have = len(self.analytics)
        if size > have:
            grown = ANALYTICS.empty(size)
            grown[:have] = self.analytics
            self.analytics = grown
            self.oldest_ns = np.concatenate((self.oldest_ns, np.zeros(size - have, np.int64)))
            self._image_due = 0.0  # Readers learn of rows without numbers from an image alone.

    def _follow(self, now: float) -> int:
        if now < self._retry_at:
            return 0
        try:
            applied = self.follower.step()
        except BusError as error:
            self._away(now, error)
            return 0
        self.problem = "" if self.follower.images else "waiting for live's first image"
        return applied

    def _listen(self, now: float, applied: int) -> None:
        """Where live is silent, parts know nothing, and say so."""
        now_ns = self.now_ns()
        if applied and now_ns - self.follower.ts_cut <= SILENT_NS:
            self._heard_at = now
        if now - self._heard_at <= SILENT_SECONDS or not self.follower.images:
            return
        self.problem = self.problem or "nothing is heard from live"
        for part in self.parts:
            if hasattr(part, "blind"):
                part.blind(now_ns)

    def _away(self, now: float, error: BusError) -> None:
        """Redis does not answer: ask again a little later, and then tell the whole."""
        self.problem = str(error)
        self._retry_at, self._image_due, self.epoch = now + RETRY_SECONDS, 0.0, 0

    def _compute(self) -> int:
        """Let every part recompute what changed; the rows of ANALYTICS written."""
        changed, oldest_ns = self.follower.take()
        self._grow(len(self.follower.tables[INSTRUMENTS.name]))
        tables = {**self.follower.tables, **self.tables}
        written = np.zeros(len(self.analytics), np.bool_)
        now_ns = self.now_ns()
        for part in self.parts:
            tables.update(self.tables)
            rows = part.step(tables, {**changed, ANALYTICS.name: np.flatnonzero(written)}, now_ns)
            if len(rows):
                written[rows] = True
            if hasattr(part, "take_renewed") and part.take_renewed():
                # Cells mean something else from now on.
                self.epoch, self._image_due = 0, 0.0
        rows = np.flatnonzero(written)
        # The oldest event behind a row: its own, or else the oldest of all: never made younger.
        oldest = int(oldest_ns[oldest_ns > 0].min(initial=now_ns))
        inside = rows[rows < len(oldest_ns)]
        fresh = np.full(len(rows), oldest, np.int64)
        own = oldest_ns[inside]
        fresh[: len(inside)] = np.where(own > 0, own, oldest)
        untold = self.oldest_ns[rows]
        self.oldest_ns[rows] = np.where(untold > 0, untold, fresh)
        return len(rows)

    def _meet(self, now: float) -> None:
        """Tell what was raised, then hear people: none acknowledges what nobody was told."""
        self._alert()
        if not self.desk or now < self._retry_at:
            return
        try:
            self.desk.listen()
            self._alert()
            self.desk.tell()
        except BusError as error:
            self._away(now, error)

    def _alert(self) -> None:
        for part in self.parts:
            for message in part.take_alerts() if hasattr(part, "take_alerts") else ():
                self.alerts += 1
                if self.desk:
                    self.desk.take(message)

    def _tell(self, now: float, touched: int) -> None:
        self._untold += touched
        since = now - self._told_at + 1e-3  # Steps come when they can.
        due = since >= HEARTBEAT_SECONDS or (self._untold and since >= TELL_SECONDS)
        if now < self._retry_at or not due:
            return
        try:
            self._begin()
            self.sequence += 1
            tables, ts_cut = self.tables, self.now_ns()
            frame = self.cutter.cut(tables, self.oldest_ns, self.epoch, self.sequence, ts_cut)
            image = None
            if now >= self._image_due:
                image = delta.pack_image(tables, self.epoch, self.sequence, ts_cut, {})
            self.bus.publish(WORKER, self.epoch, self.sequence, frame, image)
        except SupersededError:
            raise  # Our successor tells the numbers now.
        except BusError as error:
            # What the frame held is lost to readers: the next one goes with an image.
            self._away(now, error)
            return
        self._told_at, self._untold = now, 0
        if image is not None:
            self._image_due = now + IMAGE_SECONDS

    def _begin(self) -> None:
        """An epoch of our own, later than any there was."""
        if self.epoch == 0:
            self.epoch = max(self.bus.last_epoch(WORKER) + 1, self.now_ns() // 1_000_000)
            self._name()  # What its cells mean is known before there are any.

    def _report(self, now: float) -> None:
        if now < self._retry_at:
            return
        now_ns, follower = self.now_ns(), self.follower
        health = {
            "now_ms": now_ns / 1e6,
            "problem": self.problem,
            "behind_s": (now_ns - follower.ts_cut) / 1e9 if follower.ts_cut else None,
            "images": follower.images,
            "gaps": follower.gaps,
            "step_ms_p50": self.busy.percentile(0.5),
            "step_ms_p99": self.busy.percentile(0.99),
            "instruments": len(self.reference.by_id),
            "alerts": self.alerts,
        }
        for part in self.parts:
            health.update(getattr(part, "health", {}))
        health.update(self.desk.health if self.desk else {})
        self._name()
        self.busy.clear()
        self._health_due = now + HEALTH_SECONDS
        try:
            if self.bus.report(f"risk.{WORKER - 1}", health):
                self._told_names, self._image_due = (b"", 0), 0.0
        except BusError as error:
            self._away(now, error)

    def _name(self) -> None:
        """Tell the names again where they changed, or where Redis may have forgotten them."""
        names: dict[str, Any] = {}
        for part in self.parts:
            names.update(part.names() if hasattr(part, "names") else {})
        if "quant" in names:
            names["quant_epoch"] = self.epoch
        told = json.dumps(names).encode(), self.epoch
        if names and self.epoch and told != self._told_names:
            try:
                self.bus.set_names(told[0])
            except BusError:
                return  # The report that follows meets the same.
            self._told_names = told
