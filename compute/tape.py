"""Loop: what the workers told and what pages showed goes on the tape: slices in ClickHouse.

Enters: Redis: the deltas of `live` and `risk`, health, alerts, names and reference rows, and the
batches of web processes. Leaves: rows of compute/tape_row.py, a part every few seconds. The tape
conflates: a slice holds each cell once however often it changed since the slice before, at least
SLICE_SECONDS apart and so far apart that the tape never takes more than CPU_SHARE of a core; every
slice says its own moment, at which it is exact. Where several recorders share the partitions, so
that none of them knows what a book made, the tape records that too. It is in nobody's way: while
ClickHouse is away it holds PENDING_BYTES_MAX, then lets slices go and counts them; a hole is seen
as a hole.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from compute import chain, reports, tape_seal
from compute.acts import ACTS, Acts
from compute.archive import Archive, ArchiveError, SupersededError
from compute.bus import BusError
from compute.delta import Cutter, pack_image
from compute.follow import Deltas, Follower
from compute.snapshot import Snapshot
from compute.table import BOOKS, LIVE_TABLES, RISK_TABLES, Table
from compute.tape_row import (
    COLUMNS,
    PAGE_COLUMNS,
    PAGES,
    SCREENS,
    TAPE,
    PageRow,
    Sealed,
    Slice,
    compress,
    ddl,
    packed,
    packed_pages,
    seal,
)
from ingest import clock

SLICE_SECONDS = 0.1  # What the past can be told apart by; live's own cuts are 8 ms apart.
SLICE_SECONDS_MAX = 1.0  # Redis keeps 512 cuts, some 4 s.
CPU_SHARE = 0.04
WHOLE_SECONDS = 2.0  # A reader applies 20 slices at most; a sixth more bytes than every 5 s.
NOTE_SECONDS = 1.0
NOTE_WHOLE_SECONDS = 3_600.0  # What has not changed is told again before its last row is let go.
INSERT_SECONDS = 2.0
STATE_SECONDS = 20.0  # Each root of a minute covers all but the last of these.
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.5, 5.0
PENDING_BYTES_MAX = 128 << 20  # Half a minute at the highest rate there is.
INSERT_BYTES_MAX = 32 << 20
LIVE, RISK = "live", "risk"
WORKERS: tuple[tuple[str, int, tuple[Table, ...]], ...] = (
    (LIVE, 0, LIVE_TABLES),
    (RISK, 1, RISK_TABLES),
)


class TapeError(RuntimeError):
    """This tape must end: another one has taken over."""


class TapeBus(Deltas, Protocol):
    """What is needed of compute.bus.Bus."""

    def notes(self) -> dict[str, bytes]:
        """Names and alerts as told."""

    def reference(self) -> bytes | None:
        """The reference rows."""

    def reference_stamp(self) -> bytes | None:
        """What differs when they do."""

    def health(self) -> dict[str, dict[str, Any]]:
        """Everyone's newest report."""

    def screens(self, last_id: str) -> list[tuple[str, bytes, bytes]]:
        """(id, head, body) of batches after that id."""


class Taken:
    """The tables of one worker and what of them the tape has."""

    def __init__(self, bus: Deltas, stream: str, worker: int, tables: tuple[Table, ...]) -> None:
        """Nothing is known of the worker yet."""
        self.stream = stream
        self.follower = Follower(bus, worker, tables)
        self._first = tables[0].name
        self._cutter = Cutter()
        self._images = 0
        self._ts = 0  # End of the newest slice.
        self._whole_at = 0.0

    def slice(self, now: float) -> Slice | None:
        """All that changed since the last one, or None; `now` in seconds. BusError."""
        follower = self.follower
        # The first look may end in a gap, the second one takes the image.
        if not (follower.step() or follower.step()) or follower.ts_cut <= self._ts:
            return None
        torn = follower.images != self._images  # What is before an image is not known.
        self._images = follower.images
        rows, _ = follower.take()
        tables = {name: table for name, table in follower.tables.items() if len(table)}
        if self._first not in tables:
            return None
        marks = np.zeros(len(tables[self._first]), np.int64)
        marks[rows[self._first]] = 1
        place = (*follower.position, follower.ts_cut)
        body = self._cutter.cut(tables, marks, *place)
        whole = torn or now - self._whole_at >= WHOLE_SECONDS
        if whole:
            body, self._whole_at = pack_image(tables, *place, {}), now
        first, self._ts = (follower.ts_cut if torn else self._ts), follower.ts_cut
        return Slice(self.stream, 0, first, self._ts, whole, compress(body))

    def forget(self) -> None:
        """A slice was let go: the next one is whole."""
        self._images = -1


class Tape:
    """From Redis to the tape in ClickHouse."""

    def __init__(
        self,
        bus: TapeBus,
        archive: Archive,
        keep: tuple[int, int] = (24, 30),
        tell: Callable[[dict[str, Any]], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`keep`: hours of the tables' slices, days of screens. `tell` takes the health."""
        self.bus, self.archive, self.keep = bus, archive, keep
        self.tell, self.monotonic = tell, monotonic
        self.taken = [Taken(bus, *worker) for worker in WORKERS]
        self.slices = self.lost = self.bytes = 0
        self.slice_s = SLICE_SECONDS
        self.problem = ""
        # Of each stream the newest slice that is sealed, and that is on record.
        self._ends: dict[str, tape_seal.End] = {}
        self._recorded: dict[str, tape_seal.End] = {}
        self._stated: dict[str, int] = {}  # Number of the newest slice that roots will cover.
        self._statement: tuple[tape_seal.Stated, list[tape_seal.End]] | None = None  # Under way.
        self._statement_before: chain.Sealed | None = None
        self._state_due = 0.0
        self._pending: list[tuple[str, Slice]] = []  # With the table that it is for.
        self._pages: list[PageRow] = []
        self._held = 0  # Bytes of these.
        self._sealed: dict[str, list[Sealed]] = {}  # Under way.
        self._sealed_pages: list[PageRow] = []
        self._prepared = False
        self.sums = Snapshot(archive, (BOOKS,))
        self._summing = False  # Whether that is ours to do.
        self.acts = Acts(archive)  # Web processes tell them with what they showed.
        self._screens_id = "0"
        self._heard: dict[str, int] = {}  # Web process -> newest batch whose acts were taken.
        self._told: dict[str, tuple[bytes, float]] = {}
        self._stamp: bytes | None = None
        self._due = self._note_due = self._insert_due = 0.0
        self._retry_s = 0.0
        self._cpu_s = time.process_time()

    def step(self) -> int:
        """Wait until the next slice is due, take it, and insert what there is; slices taken."""
        now = self.monotonic()
        if now < self._due:
            time.sleep(min(self._due - now, SLICE_SECONDS))
            return 0
        if now >= self._insert_due:  # First of all it makes the tables, for who looks early.
            self._insert(now)
        took = 0
        try:
            took = self._take(now)
        except BusError as error:
            self.problem = str(error)
        cpu_s = time.process_time()
        self.slice_s += 0.1 * (max(SLICE_SECONDS, (cpu_s - self._cpu_s) / CPU_SHARE) - self.slice_s)
        self.slice_s = min(self.slice_s, SLICE_SECONDS_MAX)
        self._cpu_s = cpu_s
        self._due = max(self._due + self.slice_s, now)
        return took

    def close(self) -> None:
        """Put on record what is held."""
        self._insert(self.monotonic())
        if not self._sealed:
            self._state_due = 0.0
            self._insert(self.monotonic())
        with contextlib.suppress(ArchiveError):
            self.sums.flush()
        self.archive.close()

    def _take(self, now: float) -> int:
        before = len(self._pending)
        for taken in self.taken:
            one = taken.slice(now)
            if one:
                self._hold(TAPE, one)
        follower = self.taken[0].follower
        if self._summing and self.sums.due(follower.ts_cut):
            self.sums.take(follower.tables, follower.ts_cut)
        self._take_screens()
        if now >= self._note_due:
            self._note_due = now + NOTE_SECONDS
            self._take_notes(now)
        return len(self._pending) - before

    def _take_notes(self, now: float) -> None:
        ts = clock.now_ns()
        health = self.bus.health()
        self.acts.take_health(health, ts)
        self._summing = "moves" in reports.of(health, "record")  # Only they that share have moves.
        if self.tell:
            self.tell(self.health())
        told: dict[str, bytes] = dict(self.bus.notes())
        stamp = self.bus.reference_stamp()
        reference = self._told.get("reference", (b"", 0.0))
        if stamp and (stamp != self._stamp or now - reference[1] >= NOTE_WHOLE_SECONDS):
            self._stamp, told["reference"] = stamp, self.bus.reference() or b""
        self._hold(TAPE, Slice("health", 0, ts, ts, True, compress(json.dumps(health).encode())))
        for name, body in told.items():
            last, at = self._told.get(name, (b"", -NOTE_WHOLE_SECONDS))
            if body and (body != last or now - at >= NOTE_WHOLE_SECONDS):
                self._told[name] = body, now
                self._hold(TAPE, Slice(name, 0, ts, ts, True, compress(body)))

    def _take_screens(self) -> None:
        for entry, head_text, body in self.bus.screens(self._screens_id):
            self._screens_id = entry
            try:
                head = json.loads(head_text)
                stream, number = str(head["stream"]), int(head["number"])
                moments = int(head["ts_first"]), int(head["ts"])
                one = Slice(stream, number, *moments, whole=True, data=compress(body))
                pages = [
                    PageRow(int(ts), session, user, desk, feeds, one.stream, int(page))
                    for ts, session, user, desk, feeds, page in head["pages"]
                ]
                if one.number > self._heard.get(one.stream, self._number_of(one.stream)):
                    self._heard[one.stream] = one.number
                    self.acts.take_head(head)
            except (ValueError, KeyError, TypeError):
                self.lost += 1
                continue
            self._pages += pages
            self._hold(SCREENS, one)

    def _number_of(self, stream: str) -> int:
        """Of the newest slice that is on record: after a restart Redis tells some again."""
        end = self._recorded.get(stream)
        return end.number if end else -1

    def _hold(self, table: str, one: Slice) -> None:
        if self._held + len(one.data) > PENDING_BYTES_MAX:
            self.lost += len(self._pending)
            self._pending, self._held = [], 0
            for taken in self.taken:
                taken.forget()
            self._told.clear()
        self._pending.append((table, one))
        self._held += len(one.data)
        self.slices += 1

    def _insert(self, now: float) -> None:
        """Insert what is held, all or none; the same bytes again until it succeeds."""
        self._insert_due = now + INSERT_SECONDS
        try:
            if not self._prepared:
                self._prepare()
            if not self._sealed and not self._sealed_pages:
                self._seal()
            for table, rows in self._sealed.items():
                token = hashlib.sha256(b"".join(row.link for row in rows)).hexdigest()
                names = [name for name, _ in COLUMNS]
                self.archive.send(table, names, packed(rows), f"{table}-{token}", "RowBinary")
            if self._sealed_pages:
                body = packed_pages(self._sealed_pages)
                token = hashlib.sha256(bytes(body)).hexdigest()
                names = [name for name, _ in PAGE_COLUMNS]
                self.archive.send(PAGES, names, body, f"{PAGES}-{token}", "RowBinary")
            for table, rows in self._sealed.items():
                self._recorded |= {row.slice.stream: _end(table, row) for row in rows}
            self.acts.insert()
            self.sums.step(now)
            self._state(now)
        except SupersededError as error:
            raise TapeError("another tape has taken over: this one ends") from error
        except ArchiveError as error:
            self.problem = str(error)
            self._retry_s = min(max(RETRY_SECONDS, 2 * self._retry_s), RETRY_SECONDS_MAX)
            self._insert_due = now + self._retry_s
            return
        self.bytes += sum(len(row.slice.data) for rows in self._sealed.values() for row in rows)
        self._sealed, self._sealed_pages = {}, []
        self.problem, self._retry_s = "", 0.0

    def _state(self, now: float) -> None:
        """Say on record how far the tape has come, once in a while: that is what roots cover."""
        if self._statement is None and now >= self._state_due:
            ends = tape_seal.grown(self._recorded, self._stated)
            data = tape_seal.pack(clock.now_ns(), ends)
            if ends:
                self._statement = tape_seal.seal(data, self._statement_before), ends
        if self._statement is not None:
            one, ends = self._statement
            tape_seal.insert(self.archive, one)
            self._statement, self._statement_before = None, one.sealed
            self._stated |= {end.stream: end.number for end in ends}
            self._state_due = now + STATE_SECONDS

    def _seal(self) -> None:
        size = 0
        if acts := self.acts.slice():  # First: whoever dies in between tells them twice, not never.
            self._pending.insert(0, (ACTS, acts))
            self._held += len(acts.data)
        while self._pending and size < INSERT_BYTES_MAX:
            table, one = self._pending.pop(0)
            size += len(one.data)
            end = self._ends.get(one.stream)
            number, link = (end.number, end.link) if end else (-1, chain.ORIGIN)
            if table in (TAPE, ACTS):
                one = one._replace(number=number + 1)
            elif one.number <= number:
                continue  # Read from Redis again after a restart.
            sealed = seal(one, link)
            self._ends[one.stream] = _end(table, sealed)
            self._sealed.setdefault(table, []).append(sealed)
        self._held -= size
        self._sealed_pages, self._pages = self._pages, []

    def _prepare(self) -> None:
        """Create the tables and stand behind what they hold."""
        database = self.archive.database
        for statement in (*ddl(database, *self.keep), tape_seal.ddl(database)):
            self.archive.command(statement)
        self.acts.prepare()
        # A second tape would put other slices under the same numbers: the newest one alone writes.
        self.archive.claim_tables((TAPE, SCREENS, PAGES, ACTS, tape_seal.TABLE))
        for table in (TAPE, SCREENS, ACTS):
            found = self.archive.rows(
                "SELECT toString(stream), max(number), "
                "toUnixTimestamp64Nano(argMax(ts, number)), hex(argMax(link, number)) "
                f"FROM {database}.{table} GROUP BY stream"
            )
            for name, number, ts, link in found:
                self._ends[name] = tape_seal.End(table, name, number, ts, bytes.fromhex(link))
        self._recorded = dict(self._ends)
        self._statement_before = tape_seal.newest(self.archive)
        self._prepared = True

    def health(self) -> dict[str, Any]:
        """How the tape is."""
        return {
            "slices": self.slices,
            "slice_ms": round(self.slice_s * 1e3),
            "tape_bytes": self.bytes,
            "tape_pending": len(self._pending),
            "tape_lost": self.lost + self.acts.lost,
            "acts_lost": self.acts.lost,
            "problem": self.problem,
        }


def _end(table: str, row: Sealed) -> tape_seal.End:
    one = row.slice
    return tape_seal.End(table, one.stream, one.number, one.ts, row.link)
