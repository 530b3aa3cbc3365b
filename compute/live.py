"""Loop: frames -> engine -> delta -> Redis. Never waits for ClickHouse, never for a browser.

One step takes everything that has arrived, feeds the engine one batch, and cuts a delta when the
last one is `cut_ms` old: whoever falls behind takes bigger batches, nothing queues. Redis away
means that pages show age; the engine goes on and the next cut after its return carries an image.
"""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from compute import delta
from compute.bus import BusError, SupersededError
from compute.checkpoint import Checkpoint, pack, unpack
from compute.digest import Digests
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.intake import Batch, Intake
from compute.ready import Ready, Saver
from ingest import clock
from ingest.frame import source_of
from ingest.fund import Book
from ingest.instrument import Instrument
from ingest.meter import Rate, Stages
from ingest.offset import Ways
from ingest.quarantine import Publisher, Refused, StandingRows, keep
from ingest.source import REFERENCE_TOPIC, TOPICS, Message, Positions

CUT_MS = 8.0  # A third of a browser's frame at 60 Hz: a cut is never what a page waits for.
CUT_SHARE_MIN = 0.5  # A burst's end may bring a cut forward, to this share of the interval.
QUIET_MS = 0.7  # No frame for so long ends a burst; frames of one stand closer together.
TOTAL_MS = 40.0  # Positions and sums: 60 us for 250 lines, 1.7 ms for 8,192, which is 4 % of it.
HEARTBEAT_MS = 250.0  # An empty delta at least this often, so that readers know we live.
IMAGE_SECONDS = 1.0
CHECKPOINT_SECONDS = 10.0  # What a successor must read again: 0.2 s of engine at 500,000/s.
HEALTH_SECONDS = 1.0
RETRY_SECONDS = 0.5  # Between attempts while Redis is away.


class Frames(Protocol):
    """What `live` needs of ingest.source.Source; `log` names the Kafka log that offsets mean."""

    log: str

    def poll(self, timeout_s: float) -> list[Message]:
        """All that has arrived."""

    def seek(self, positions: Positions) -> None:
        """Read on after these."""

    def lag(self, positions: Positions) -> int:
        """Frames not yet taken."""


class Rows(Protocol):
    """What `live` needs of ingest.source.ReferenceSource."""

    def read_all(self) -> list[Instrument]:
        """Every reference row there is."""

    def poll(self) -> list[Instrument]:
        """Rows that came since."""

    def take_refused(self) -> list[Refused]:
        """Values that were no row."""


class Deltas(Protocol):
    """What `live` needs of compute.bus.Bus."""

    def publish(
        self, worker: int, epoch: int, sequence: int, delta: bytes, image: bytes | None = None
    ) -> None:
        """Tell the delta, and the image that includes it."""

    def save(self, worker: int, checkpoint: bytes | memoryview) -> None:
        """Keep a checkpoint; called from another thread."""

    def checkpoint(self, worker: int) -> bytes | None:
        """The newest checkpoint."""

    def last_epoch(self, worker: int) -> int:
        """The newest epoch."""

    def set_reference(self, data: bytes) -> None:
        """Share the reference rows."""

    def report(self, role: str, health: dict[str, Any]) -> bool:
        """Say how we are; True where Redis has forgotten what it was told."""


class Live:
    """One worker's share of the partitions, from frames to deltas."""

    def __init__(  # noqa: PLR0913
        self,
        frames: Frames,
        rows: Rows,
        bus: Deltas,
        quarantine: Publisher,
        *,
        worker: int = 0,
        cut_ms: float = CUT_MS,
        books: Sequence[Book] = (),
        now_ns: Callable[[], int] = clock.now_ns,
        tell: Callable[[dict[str, Any]], bool] | None = None,
        leads: bool = True,
        ready: Ready[Any] | None = None,
        saver: Saver | None = None,
    ) -> None:
        """Read the reference rows, take up the newest checkpoint, and seek behind it.

        `books` are the fund's: their currencies and cost methods, who trades them. `tell` hears
        our health in place of the bus. Of several that read one topic of reference rows one
        `leads`: it shares them, and keeps those that are none. `ready` was made of `rows` before;
        several that stand in one process share a `saver`.
        """
        self.frames, self.rows, self.bus, self.quarantine = frames, rows, bus, quarantine
        self.worker, self.cut_ns, self.now_ns = worker, round(cut_ms * 1e6), now_ns
        self.leads = leads
        self.tell = tell or (lambda health: bus.report(f"live.{worker}", health))
        self.books = tuple(books)
        ready, self.saver = ready or Ready(rows, self.books), saver or Saver()
        self.reference, self.engine = ready.reference, ready.engine
        self.intake = Intake(self.reference, self._refresh)
        self.digests = Digests("live")
        self.cutter = delta.Cutter()
        self.positions: Positions = {}
        self.sequence = 0
        self.epoch = 0
        self.refused = 0
        self.reasons: Counter[str] = Counter()  # Of the refused, by their one word.
        self._standing = StandingRows(REFERENCE_TOPIC)
        self.rate = Rate(now_ns())
        self.ways = Ways(now_ns(), time.monotonic_ns())
        self.stages = Stages("made_to_taken", "decode", "engine", "cut", "publish")
        self.redis_away_since = 0.0
        self._image_due = self._checkpoint_due = self._health_due = 0.0
        self._cut_at = self._total_at = self._told_reference = 0.0
        self.retry_at = 0.0  # Until then Redis is left alone.
        self._dirty = False
        self._resume()
        if worker:  # Of several: it stood still while it moved; what it says of itself can wait.
            self._health_due = time.monotonic() + HEALTH_SECONDS / 2

    def _resume(self) -> None:
        saved = None
        try:
            saved = self.bus.checkpoint(self.worker)
            self.epoch = self.bus.last_epoch(self.worker) + 1
        except BusError:
            self.redis_away_since = time.monotonic()
        self.epoch = max(self.epoch, self.now_ns() // 1_000_000)
        # A checkpoint may know rows that came after ours; where it has more, it does not fit.
        self.intake.renew(self.rows, self.engine)
        if saved:
            try:
                checkpoint = unpack(saved)
                if checkpoint.note["log"] == self.frames.log:
                    self.engine.restore(checkpoint.state)
                    self.intake.sequences.restore(checkpoint.note["sequences"])
                    self.digests.restore(checkpoint.note.get("digests", ()))
                    self.positions = checkpoint.positions
            except (ValueError, KeyError):  # Another version's, or torn: begin anew from Kafka.
                self.engine = Engine(self.reference, self.books)
                self.intake = Intake(self.reference, self._refresh)
        self.saver.make_room(self.engine)
        self._checkpoint_due = time.monotonic() + CHECKPOINT_SECONDS
        self.frames.seek(self.positions)

    def step(self) -> int:
        """Take what has arrived, cut if due; the number of events taken."""
        messages = self.frames.poll(self.patience_s())
        count = self._take(messages) if messages else 0
        now = time.monotonic()
        elapsed_ms = (now - self._cut_at) * 1e3
        quiet = self._dirty and not messages and elapsed_ms >= self.cut_ns / 1e6 * CUT_SHARE_MIN
        due = quiet or elapsed_ms >= (self.cut_ns / 1e6 if self._dirty else HEARTBEAT_MS)
        if due and now >= self.retry_at:
            self._cut(now)
        if now >= self._health_due:
            self._refresh()
            if self.leads:
                self._keep_rows(now)
            self.digests.tell(self.quarantine)
            self._report(now)
        return count

    def hand_over(self) -> None:
        """Tell all that was taken and keep the state: whoever comes next goes on from here."""
        self._image_due = self._total_at = 0.0
        self._checkpoint_due = math.inf
        self._cut(time.monotonic())
        self.saver.wait(self.engine)  # One of before must not come after this one.
        self._keeper()(self.engine)

    def patience_s(self) -> float:
        """How long the next poll may wait: until a cut is due, or for the next frame of a burst.

        Frames come in bursts, because publishers work in rounds. A cut that waits for the end of
        one tells of all of it; a cut on a timer of its own would tell of half of it, and leave
        the other half waiting for most of another round.
        """
        if not self._dirty:
            return HEARTBEAT_MS / 4e3
        since_cut = time.monotonic() - self._cut_at
        least = self.cut_ns / 1e9 * CUT_SHARE_MIN - since_cut
        return max(0.0, min(max(least, QUIET_MS / 1e3), self.cut_ns / 1e9 - since_cut))

    def _take(self, messages: list[Message]) -> int:
        began = time.perf_counter()
        batch = self.intake.take(messages)
        decoded = time.perf_counter()
        enriched = np.empty(len(batch.events), ENRICHED)
        start = 0
        for gap in batch.gaps:  # The events before the gap count before it is marked.
            self.engine.step(batch.events[start : gap.at], enriched[start : gap.at])
            self.engine.mark_gap(gap.instruments, gap.missing)
            start = gap.at
        self.engine.step(batch.events[start:], enriched[start:])
        self.digests.take(batch, enriched)
        self.stages.add("decode", (decoded - began) * 1e3)
        self.stages.add("engine", (time.perf_counter() - decoded) * 1e3)
        for message, error in batch.refused:
            place = (TOPICS[message.topic], message.partition, message.offset)
            self._keep(Refused(*place, message.value, error.reason, str(error)))
        for message in messages:
            self.positions[message.topic, message.partition] = message.offset
        self._stamp(batch)
        self._dirty = self._dirty or len(batch.events) > 0
        return len(batch.events)

    def _stamp(self, batch: Batch) -> None:
        self.rate.add(len(batch.events))
        now_ns = self.now_ns()
        sent = [(source_of(span.message.value), span.ts_send) for span in batch.spans]
        self.ways.take([one for one in sent if one[1]], now_ns)
        if len(batch.events):
            self.stages.add("made_to_taken", (now_ns - int(batch.events["ts_event"][0])) / 1e6)

    def _keep(self, refused: Refused) -> None:
        self.refused += 1
        self.reasons[refused.reason] += 1
        keep(self.quarantine, refused)

    def _keep_rows(self, now: float) -> None:
        """Reference rows that are none, and those that contradict the others for too long."""
        for refused in self.rows.take_refused():
            self._keep(refused)
        for refused in self._standing.due(self.reference.refused, now):
            self._keep(refused)

    def _refresh(self) -> bool:
        """Take reference rows that came since; whether there were any."""
        came = self.intake.renew(self.rows, self.engine)
        untold = self.leads and self._told_reference != self.reference.version
        if untold and time.monotonic() >= self.retry_at:
            try:
                self.bus.set_reference(self.reference.to_json())
                self._told_reference = self.reference.version
            except BusError:  # Told when Redis is back: the version still differs.
                self._wait_for_redis()
        return came

    def _cut(self, now: float) -> None:
        engine, began = self.engine, time.perf_counter()
        if now >= self._total_at + TOTAL_MS / 1e3:
            engine.total()
            self._total_at = now
        self.sequence += 1
        ts_cut = self.now_ns()
        frame = self.cutter.cut(engine.tables, engine.oldest_ns, self.epoch, self.sequence, ts_cut)
        image = None
        if now >= self._image_due:
            image = delta.pack_image(
                engine.tables, self.epoch, self.sequence, ts_cut, self.positions
            )
        self._cut_at = now
        packed = time.perf_counter()
        self.stages.add("cut", (packed - began) * 1e3)
        try:
            self.bus.publish(self.worker, self.epoch, self.sequence, frame, image)
        except SupersededError:
            raise  # Our successor tells the numbers now.
        except BusError:
            # The cut is lost to readers, so the next one must carry the whole; and a Redis that
            # comes back may have forgotten the reference rows.
            self._told_reference = 0
            self._image_due = 0.0
            self._wait_for_redis()
            return
        self.stages.add("publish", (time.perf_counter() - packed) * 1e3)
        self.redis_away_since = 0.0
        self._dirty = False
        if image is not None:
            self._image_due = now + IMAGE_SECONDS
        if now >= self._checkpoint_due and not self.saver.busy:
            self._checkpoint_due = now + CHECKPOINT_SECONDS
            self.saver.save(self.engine, self._keeper())

    def _keeper(self) -> Callable[[Engine], None]:
        """What keeps the state of an engine that stands as ours does now."""
        positions = dict(self.positions)
        note = {
            "log": self.frames.log,
            "sequences": self.intake.sequences.state(),
            "digests": self.digests.state(),
        }

        def keep(engine: Engine) -> None:
            with contextlib.suppress(BusError):  # The next one will do.
                state = pack(Checkpoint(positions, note, engine.checkpoint()))
                self.bus.save(self.worker, state)

        return keep

    def _report(self, now: float) -> None:
        now_ns = self.now_ns()
        sequences = self.intake.sequences
        waiting = self.frames.lag(self.positions)
        health = {
            "now_ms": now_ns / 1e6,
            "events_per_s": round(self.rate.read(now_ns)),
            "events": self.rate.total,
            **self.ways.health(now_ns, time.monotonic_ns(), waiting),
            "behind_frames": waiting,
            "partitions": sorted({partition for _, partition in self.positions}),
            "stages_ms": self.stages.told(),
            "gaps": sequences.gaps,
            "repeats": sequences.repeats,
            "resets": sequences.resets,
            **{name: getattr(sequences, name) for name in ("copies", "recovered", "overtaken")},
            "skewed": sequences.skewed,
            "quarantined": self.refused,
            "reasons": self.reasons,
            "instruments": len(self.reference.by_id),
            "reference_version": self.reference.version,
            "reference_refused": len(self.reference.refused),
        }
        self._health_due = now + HEALTH_SECONDS
        if now < self.retry_at:
            return  # Each attempt may take seconds, and the frames do not wait.
        try:
            if self.tell(health):
                self._told_reference = 0
                self._image_due = self._checkpoint_due = 0.0
        except BusError:
            self._wait_for_redis()

    def _wait_for_redis(self) -> None:
        """Leave it alone for a while; an attempt may have taken seconds, so from now on."""
        now = time.monotonic()
        self.redis_away_since = self.redis_away_since or now
        self.retry_at = now + RETRY_SECONDS
