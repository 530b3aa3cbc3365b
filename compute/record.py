"""Loop: frames -> engine -> archive -> commit. Every offset of the log on record exactly once.

The engine is the one that `live` runs. What it made of the events waits in memory until enough
has gathered or the oldest has waited long enough; then one insert carries a block of every
partition, cut between two frames, and only after ClickHouse has said yes does Kafka hear of it.

Why any cut is safe: an insert whose answer was lost is repeated with the same bytes and token,
which ClickHouse drops if it has them. A recorder that was killed asks ClickHouse for the highest
offset of each partition, once no insert of its own can still land (`Archive.claim`), and goes on
behind it. In between it brings its engine to that point: the newest checkpoint that is nowhere
beyond the record, then the events after it, without writing them again. Rows whose block was not
told of yet are sealed once the log has shown them to be its own (compute/loose.py).

ClickHouse away: what waits is kept up to PENDING_ROWS_MAX, then Kafka keeps the rest.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from compute import chain
from compute.archive import INSERT_ROWS_MAX, Archive, ArchiveError, Block, SupersededError
from compute.checkpoint import Checkpoint, Checkpoints
from compute.digest import Digests, Values
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.gather import Gathered, Memory
from compute.intake import Batch, Intake, Span
from compute.loose import Loose
from compute.record_start import Alerts, Start
from compute.row import SCHEMA, refusal
from compute.schema import Keep
from ingest import clock
from ingest.instrument import Instrument, Reference
from ingest.meter import Rate
from ingest.source import TOPICS, Message, Positions

BLOCK_ROWS = 1_000_000  # An insert costs least from here on; 141 MB.
FLUSH_SECONDS = 1.5  # With the insert itself a quiet partition is on record within 2 s.
GATHER_SECONDS = 0.05  # Between polls: fewer, bigger batches. The record may lag a little.
GATHER_FRAMES = 256  # A poll that gave so many is followed by the next at once: there are more.
PENDING_ROWS_MAX = 3 * BLOCK_ROWS  # 423 MB: one insert under way and two seconds behind it.
PIECE_ROWS_MAX = 65_536
OFFSET_MAX = 2**63 - 1
CHECKPOINT_SECONDS = 10.0
HEALTH_SECONDS = 1.0
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.2, 5.0
SILENCE_SECONDS_MAX = 10.0  # While offsets that are on record do not come again from Kafka.
SILENT_SECONDS = 3.0  # Without a word of Kafka's nobody knows how far behind the record is.
UNPROVEN_SECONDS = 5.0  # Then rows that were not Kafka's are looked at again: gone by now?

assert BLOCK_ROWS <= INSERT_ROWS_MAX


class RecordError(RuntimeError):
    """The record and the log do not belong together; the text says how and what to do."""


class Frames(Protocol):
    """What `record` needs of ingest.source.Source."""

    log: str  # Identity of the log, the same as long as offsets mean the same.

    @property
    def silent_s(self) -> float:
        """Since Kafka was heard, which speaks all the time."""

    @property
    def assigned(self) -> list[tuple[int, int]]:
        """(topic, partition) of all that is read."""

    def poll(self, timeout_s: float = ...) -> list[Message]:
        """All that has arrived."""

    def seek(self, positions: Positions) -> None:
        """Read on after these."""

    def commit(self, positions: Positions) -> None:
        """Tell Kafka that these are on record."""

    def lag(self, positions: Positions) -> int:
        """Frames not yet taken."""


class Rows(Protocol):
    """What `record` needs of ingest.source.ReferenceSource."""

    def read_all(self) -> list[Instrument]:
        """Every reference row there is."""

    def poll(self) -> list[Instrument]:
        """Rows that came since."""


class Derived(Protocol):
    """What `record` needs of compute.derived.Derived."""

    problem: str

    def begin(self, recorded: Positions, engine: Engine) -> None:
        """Bring it to where the record ends."""

    def add(self, blocks: list[Block]) -> None:
        """These are on record now."""

    def step(self, now: float, engine: Engine) -> None:
        """Insert what is due."""

    def flush(self) -> None:
        """Insert what waits."""


class Record:
    """One worker's share of the partitions, from frames to rows in ClickHouse."""

    def __init__(  # noqa: PLR0913
        self,
        frames: Frames,
        rows: Rows,
        archive: Archive,
        checkpoints: Checkpoints,
        *,
        alerts: Alerts | None = None,
        derived: Derived | None = None,
        digests: Values | None = None,
        keep: Keep | None = None,
        partition: int | None = None,
        start: Start | None = None,
        flush_s: float = FLUSH_SECONDS,
        tell: Callable[[dict[str, Any]], object] | None = None,
        now_ns: Callable[[], int] = clock.now_ns,
        elapsed_ns: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is asked of ClickHouse before the first `step`; `tell` hears of our health.

        `alerts` records another topic in between; `derived` makes bars of what is on record;
        `digests` is told what the engine made; `keep` says how long rows are kept, None leaves
        that as it is. `partition`: `frames` gives that one alone, and others write the rest.
        `start` has been asked ahead for the same; without it, it is made of these.
        """
        self.frames, self.rows = frames, rows
        self.archive, self.checkpoints = archive, checkpoints
        self.alerts, self.flush_s, self.tell = alerts, flush_s, tell
        self._digest_values = digests
        self.derived, self._rest_at = derived, math.inf
        asked = (archive, checkpoints, frames.assigned, alerts, keep, partition, now_ns)
        self._begun = start or Start(*asked)
        self.now_ns, self._elapsed_ns, self._wait = now_ns, elapsed_ns, wait
        self.reference = Reference(rows.read_all())
        self.recorded: Positions = {}  # on record
        self.positions: Positions = {}  # taken
        self.problem = ""  # Why nothing is being recorded, for people; "" while all is well.
        self.rows_recorded = 0
        self.loss = ""  # The newest hole in the record, for people.
        self.unproven = ""  # Rows on record that are not Kafka's and hold us up, for people.
        self.lost = 0  # Frames that Kafka no longer had when they were asked for.
        self._links: dict[tuple[int, int], bytes] = {}
        self._known_refused: set[tuple[int, int, int]] = set()
        self._sealed: dict[tuple[int, int], chain.Sealed] = {}  # Newest blocks at the start.
        self._loose: Loose | None = None  # Rows above them, until they are sealed.
        self._pending: dict[tuple[int, int], Gathered] = {}
        self._kept: Positions = {}  # Gathered or on record.
        self._room: dict[tuple[int, int], int] = {}  # Rows that a partition gathered last time.
        self._memory = Memory()
        self._enriched = np.empty(0, ENRICHED)  # Of the batch at hand; kept for its pages.
        self.pending_rows = 0
        self._pending_since = 0.0
        self._oldest_ns = 0  # The log's time of the oldest message taken that is not on record.
        self._newest_ns = 0  # And of the newest message taken.
        self._inserts: deque[list[Block]] = deque()  # Sealed, in order, the first under way.
        self._epoch = 0
        self.state = "starting"
        self._retry_at = self._retry_s = 0.0
        self._polled = 0
        self._polled_at = self._checkpoint_at = self._health_at = self._heard_at = -1e9
        self._rate = Rate(now_ns())
        self._fresh()

    def step(self) -> int:
        """One round: take what has arrived, record what is due; the number of events taken."""
        now = self._seconds()
        if now >= self._health_at + HEALTH_SECONDS:
            self._report(now)
        if self.state == "starting":
            self._attempt(self._start)
            return 0
        if self.alerts is not None:
            self.alerts.step(now)
        count = 0
        if self.pending_rows + self._waiting_rows() < PENDING_ROWS_MAX:
            count = self._poll()
        elif now < self._retry_at:
            self._wait(min(GATHER_SECONDS, self._retry_at - now))
        if self.state == "catching up":
            self._caught_up(count)
            return count
        now = self._seconds()
        if self._rest_at < math.inf:
            if now >= self._rest_at and not (self._inserts or self._pending):
                self._attempt(self._begin_rest)
        elif self.derived is not None:
            self.derived.step(now, self.engine)
        full = self.pending_rows >= BLOCK_ROWS
        if self._pending and (full or now - self._pending_since >= self.flush_s):
            self._seal()
        if self._inserts and now >= self._retry_at:
            self._attempt(self._insert)
        return count

    def heard(self) -> None:
        """Kafka gives what others read: that nothing comes of ours means nothing yet."""
        self._heard_at = self._seconds()

    def flush(self) -> None:
        """Record what waits now, if ClickHouse answers."""
        self._seal()
        self._retry_at, self.problem = 0.0, ""
        while self._inserts and not self.problem:
            self._attempt(self._insert)

    def close(self) -> None:
        """Record what waits, if ClickHouse answers, and keep the engine's state."""
        if self.state == "recording":
            self.flush()
            if self.derived is not None and self._rest_at == math.inf:
                self.derived.flush()
            if not self._inserts:
                self._checkpoint()

    @property
    def behind_s(self) -> float:
        """Age of the oldest frame that is not on record, as far as is known; 0 when all is.

        What Kafka took since it was heard of nobody knows: it counts as if there were some.
        """
        oldest_ns = self._oldest_ns
        if not oldest_ns and self.frames.lag(self.positions):
            oldest_ns = self._newest_ns  # What Kafka still holds is younger than what was taken.
        known_s = (self.now_ns() - oldest_ns) / 1e9 if oldest_ns else 0.0
        silent_s = self.frames.silent_s
        return max(known_s, silent_s if silent_s > SILENT_SECONDS else 0.0)

    # From the start to where the record ends

    def _start(self) -> None:
        found = self._begun.take()
        self._epoch, self._sealed, self.recorded = found.epoch, found.sealed, found.recorded
        self._links = {place: block.link for place, block in self._sealed.items()}
        self._loose, checkpoint = found.loose, found.checkpoint
        if self.positions:  # A start before this one has gone some way.
            self._fresh()
        if checkpoint and checkpoint.note.get("log", self.frames.log) != self.frames.log:
            raise RecordError(
                f"the record in {self.archive.database} at {self.archive.address} is of another "
                f"log than Kafka's ({checkpoint.note['log']}, not {self.frames.log}). "
                "Name another database for the record of this log"
            )
        if checkpoint is not None and self._restored(checkpoint):
            self.positions = dict(checkpoint.positions)
        refused = found.refused
        if checkpoint is not None and not self.positions:
            refused = self.archive.refused(dict.fromkeys(self.frames.assigned, -1))
        self._known_refused = self._loose.unknown(refused)
        self.rows_recorded = found.rows
        self.state = "catching up"
        self._heard_at = self._seconds()
        self.frames.seek(self.positions)

    def _fresh(self) -> None:
        self.engine = Engine(self.reference)
        self.intake = Intake(self.reference, self._refresh)
        self.digests = Digests("record")
        self.positions = {}
        self._lacking = False  # Whether Kafka no longer had all that the engine should know.

    def _restored(self, checkpoint: Checkpoint) -> bool:
        try:
            self.engine.restore(checkpoint.state)
            self.intake.sequences.restore(checkpoint.note["sequences"])
            self.digests.restore(checkpoint.note.get("digests", ()))
        except (
            ValueError,
            KeyError,
        ):  # Another version's: the log has it all, begin anew.
            self._fresh()
            return False
        return True

    def _caught_up(self, count: int) -> None:
        """Go over to recording once the engine stands where the record ends."""
        late = [p for p, last in self.recorded.items() if self.positions.get(p, -1) < last]
        now = self._seconds()
        if count:
            self._heard_at = now
        different = self._loose is not None and bool(self._loose.problem)
        silent = late and now - self._heard_at > SILENCE_SECONDS_MAX and not self._waiting_for(late)
        if silent:
            self._check_log(late)
        if not late or silent or different:
            self._attempt(self._begin)

    def _waiting_for(self, late: list[tuple[int, int]]) -> int:
        """Frames that Kafka holds of these places beyond those taken."""
        taken = dict.fromkeys(self.frames.assigned, OFFSET_MAX)
        return self.frames.lag(taken | {place: self.positions.get(place, -1) for place in late})

    def _check_log(self, late: list[tuple[int, int]]) -> None:
        """RecordError where Kafka's log ends before what is sealed."""
        for topic, part in late:
            sealed = self._sealed.get((topic, part))
            if sealed and self.positions.get((topic, part), -1) < sealed.last:
                raise RecordError(
                    f"{TOPICS[topic]} partition {part}: offset {sealed.last} is on "
                    f"record at {self.archive.address} in {self.archive.database}, but Kafka's log "
                    "ends before it: this is another log. Name another database"
                )

    def _begin(self) -> None:
        """Seal what a kill left unsealed, and record from here on."""
        if self._loose is not None and not self._seal_loose(self._loose):
            return
        self._loose = None
        self._rest_at = self._seconds() + self.flush_s
        self.positions, self._kept = dict(self.recorded), dict(self.recorded)
        self.frames.seek(self.positions)
        self.state = "recording"
        self._known_refused = set()
        # What comes first has waited since the former recorder ended: no longer now.
        self._pending_since = self._seconds() - self.flush_s if self.recorded else 0.0
        if not self.recorded:  # The first of all: nobody waits.
            self._begin_rest()

    def _begin_rest(self) -> None:
        """What the first rows need not wait for, nor who waits for them."""
        if self.derived is not None:
            self.derived.begin(self.recorded, self.engine)
        self._rest_at = math.inf
        # Soon: who is killed again and again never has to go back further than this, and Kafka
        # need not have what lies before. With rows under way the end of their insert does it.
        if not (self._inserts or self._pending):
            self._checkpoint()

    def _seal_loose(self, loose: Loose) -> bool:
        """Chain rows that were inserted just before a kill; False if they are not Kafka's."""
        self.unproven = loose.judge()
        if self.unproven:
            self.state = "starting"
            self._retry_at = self._seconds() + UNPROVEN_SECONDS
            return False
        self._links = {place: block.link for place, block in self._sealed.items()}
        blocks = []
        for place, rows in loose.rows.items():
            # Behind the block before it; a partition's first block begins with its first row.
            first = self._sealed[place].last + 1 if place in self._sealed else loose.first(place)
            blocks.append(self._block(place, first or 0, self.recorded[place], rows))
        if blocks:
            self.archive.insert([block._replace(rows=()) for block in blocks])
        return True

    # From frames to rows

    def _poll(self) -> int:
        rest = self._polled_at + GATHER_SECONDS - self._seconds()
        more = self.state == "catching up" and self._polled > 0
        if rest > 0 and self._polled < GATHER_FRAMES and not more:
            self._wait(rest)
        messages = self.frames.poll()
        self._polled_at, self._polled = self._seconds(), len(messages)
        self._check_order(messages)
        if messages:
            self._newest_ns = max(message.timestamp_ns for message in messages)
        if self.state == "catching up":
            messages = [m for m in messages if m.offset <= self.recorded.get(m[:2], -1)]
        if not messages:
            return 0
        # What was refused at first stays refused, even if reference data would take it now.
        batch = self.intake.take([m for m in messages if m[:3] not in self._known_refused])
        if len(self._enriched) < len(batch.events):
            self._enriched = np.empty(len(batch.events), ENRICHED)
        enriched = self._enriched[: len(batch.events)]
        self._run_engine(batch, enriched)
        self.digests.take(batch, enriched)
        self.positions |= {message[:2]: message.offset for message in messages}
        if self.state == "recording":
            self._keep(batch, enriched)
        elif self._loose is not None and self._loose.rows:
            self._loose.compare(batch, enriched, numbers=not self._lacking)
            self._loose.compare_unknown([m for m in messages if m[:3] in self._known_refused])
        return len(batch.events)

    def _check_order(self, messages: list[Message]) -> None:
        """Offsets rise, one by one; RecordError where they do not rise, and `lost` counts holes.

        A hole is what Kafka let go before it was asked for. It stays a hole, which the account of
        the record names; the chain goes on over it.
        """
        newest: Positions = {}
        for message in messages:
            place = message[:2]
            taken = newest.get(place, self.positions.get(place, -1))
            newest[place] = message.offset
            recorded = self.recorded.get(place, -1)
            if message.offset > taken + 1 and max(taken, recorded) >= 0:
                self._tell_hole(place, taken + 1, message.offset - 1, recorded)
            if message.offset <= taken:
                raise RecordError(
                    f"{TOPICS[message.topic]} partition {message.partition}: Kafka gave offset "
                    f"{message.offset} after {taken} was taken: its log has begun anew. "
                    "Name another database for the record of the new log"
                )

    def _tell_hole(self, place: tuple[int, int], first: int, last: int, recorded: int) -> None:
        where = f"{TOPICS[place[0]]} partition {place[1]}: Kafka no longer had offsets"
        if first <= recorded:  # Of a recorder that catches up: the rows are there.
            self._lacking = True
            until = min(last, recorded)
            self.loss = (
                f"{where} {first} to {until} to catch up with: they are on record, but sums since "
                "the session's start (VWAP, volume, volatility) lack them from here on"
            )
        if last > recorded and self.state == "recording":  # Else it is met again then.
            first = max(first, recorded + 1)
            self.lost += last - first + 1
            self.loss = f"{where} {first} to {last}: they are not on record"

    def _run_engine(self, batch: Batch, enriched: np.ndarray) -> None:
        start = 0
        for gap in batch.gaps:  # The events before the gap count before it is marked.
            self.engine.step(batch.events[start : gap.at], enriched[start : gap.at])
            self.engine.mark_gap(gap.instruments, gap.missing)
            start = gap.at
        self.engine.step(batch.events[start:], enriched[start:])

    def _keep(self, batch: Batch, enriched: np.ndarray) -> None:
        spans = sorted(batch.spans, key=lambda span: span.message[:2])
        for run in _runs(spans):
            size = sum(span.count for span in run) or 1
            if self.pending_rows + size > INSERT_ROWS_MAX:
                self._seal()
            self._gather(run, batch.events, enriched)
            self.pending_rows += size
        if not self._pending_since:
            self._pending_since = self._seconds()
        if not self._oldest_ns:
            self._oldest_ns = min(span.message.timestamp_ns for span in spans)

    def _gather(self, run: list[Span], events: np.ndarray, enriched: np.ndarray) -> None:
        place, first = run[0].message[:2], run[0].message.offset
        gathered = self._pending.get(place)
        if gathered is None:
            room = self._room.get(place) or BLOCK_ROWS // len(self.frames.assigned)
            begin = self._kept[place] + 1 if place in self._kept else first
            memory = self._memory.take(place, room + room // 4)
            gathered = self._pending[place] = Gathered(place, begin, memory)
        self._kept[place] = run[-1].message.offset
        if run[0].count:
            frames = [(span.message.offset, span.start, span.count) for span in run]
            gathered.add(frames, events, enriched)
        else:
            row = refusal(place, first, run[0].reason, run[0].message.timestamp_ns)
            gathered.add_rows(row, first)

    def _refresh(self) -> bool:
        """Take reference rows that came since; whether there were any."""
        return self.intake.renew(self.rows, self.engine)

    # From rows to the record

    def _seal(self) -> None:
        """Make an insert of all that is pending; from here on its bytes stay as they are."""
        if self._pending:
            gathered = [self._pending[place] for place in sorted(self._pending)]
            self._room = {one.place: one.count for one in gathered}
            self._inserts.append(
                [self._block(one.place, one.first, one.last, one.rows) for one in gathered]
            )
        self._pending, self.pending_rows, self._pending_since = {}, 0, 0.0

    def _block(self, place: tuple[int, int], first: int, last: int, rows: np.ndarray) -> Block:
        identity = (*place, first, last, len(rows), SCHEMA)
        digest = chain.leaf(identity, (memoryview(rows.view(np.uint8)),))
        link = chain.link(self._links.get(place, chain.ORIGIN), digest)
        self._links[place] = link
        return Block(chain.Sealed(*identity, digest, link), self._epoch, self.now_ns(), (rows,))

    def _insert(self) -> None:
        """Record the oldest sealed insert; only then Kafka hears of it."""
        blocks = self._inserts[0]
        self.archive.insert(blocks)
        if self._rest_at < math.inf:  # It begins behind what was on record before these.
            self._begin_rest()
        self._inserts.popleft()
        if self.derived is not None:
            self.derived.add(blocks)
        for block in blocks:
            for rows in block.rows:
                self._memory.give(block.sealed[:2], rows)
        count = sum(block.sealed.rows for block in blocks)
        self.rows_recorded += count
        self._rate.add(count)
        done = {(b.sealed.topic, b.sealed.partition): b.sealed.last for b in blocks}
        self.recorded |= done
        self.frames.commit(done)
        if not self._inserts and not self._pending:
            self._oldest_ns = 0
            if self._seconds() >= self._checkpoint_at + CHECKPOINT_SECONDS:
                self._checkpoint()

    def _checkpoint(self) -> None:
        """Keep the engine's state; only called while it stands exactly where the record ends."""
        note = {
            "log": self.frames.log,
            "sequences": self.intake.sequences.state(),
            "digests": self.digests.state(),
        }
        state = self.engine.checkpoint()
        try:
            self.checkpoints.save(Checkpoint(dict(self.recorded), note, state))
        except OSError as error:
            self.problem = f"no checkpoint in {self.checkpoints.folder}: {error.strerror}"
        self._checkpoint_at = self._seconds()

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do what needs ClickHouse; if it fails say why and come again, later each time."""
        now = self._seconds()
        if now < self._retry_at:
            self._wait(min(GATHER_SECONDS, self._retry_at - now))
            return
        try:
            work()
        except SupersededError as error:
            raise RecordError(str(error)) from error
        except ArchiveError as error:
            self.problem = str(error)
            self._retry_s = min(max(RETRY_SECONDS, 2 * self._retry_s), RETRY_SECONDS_MAX)
            self._retry_at = self._seconds() + self._retry_s
        else:
            self.problem, self._retry_s = "", 0.0

    def _waiting_rows(self) -> int:
        return sum(block.sealed.rows for blocks in self._inserts for block in blocks)

    def _seconds(self) -> float:
        return self._elapsed_ns() / 1e9

    def _report(self, now: float) -> None:
        self._health_at = now
        self._refresh()
        if self._digest_values is not None:
            self.digests.tell(self._digest_values)
        if self.tell is None:
            return
        problem = self.problem or self.unproven
        problem = problem or (self.alerts.problem if self.alerts else "")
        if not problem and self.frames.silent_s > SILENT_SECONDS:
            problem = f"Kafka has not answered for {self.frames.silent_s:.0f} s"
        problem = problem or self.loss
        self.tell(
            {
                "state": "waiting" if problem and problem != self.loss else self.state,
                "problem": problem,
                "recorded_rows": self.rows_recorded,
                "recorded_alerts": self.alerts.rows_recorded if self.alerts else 0,
                "lost_frames": self.lost,
                "history_problem": self.derived.problem if self.derived else "",
                "rows_per_s": round(self._rate.read(self.now_ns())),
                "behind_s": round(self.behind_s, 3),
                "behind_frames": self.frames.lag(self.positions),
                "waiting_rows": self.pending_rows + self._waiting_rows(),
                "epoch": self._epoch,
                "instruments": len(self.reference.by_id),
            }
        )


def _runs(spans: list[Span]) -> Iterator[list[Span]]:
    """Successive spans of one partition that gave events, up to PIECE_ROWS_MAX; others alone."""
    run: list[Span] = []
    size = 0
    for span in spans:
        ends = (
            not span.count
            or (run and run[-1].message[:2] != span.message[:2])
            or size + span.count > PIECE_ROWS_MAX
        )
        if ends and run:
            yield run
            run, size = [], 0
        if span.count:
            run.append(span)
            size += span.count
        else:
            yield [span]
    if run:
        yield run
