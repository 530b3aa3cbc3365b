"""Loop: the tables of several `live` workers -> one stream, which all readers follow as `live`'s.

Runs where `live` has more than one worker. Each shard tells its own tables on a stream of its own;
here they become one: a row of instruments is that of its shard (`shard` of the reference row),
positions stand one below the other, sums over positions are the shards' sums, added in the order
of the shards. So whoever reads knows nothing of shards, and a shard that moves is to them a pause
of its rows. Its work grows with the cells that change between two cuts, not with the events.

Where a shard says nothing, its rows stand still and the report says so; the others go on.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from compute import delta
from compute.bus import BusError, SupersededError
from compute.follow import Follower, ReferenceFollower
from compute.kernels.total import BOOK_ROWS, OF_ORDER, TRADER_ROWS, VENUE_ROWS
from compute.share import stream
from compute.table import (
    BOOKS,
    BOOKS_MAX,
    CLASSES,
    EXECUTION,
    EXECUTION_ROWS,
    INSTRUMENTS,
    POSITIONS,
)
from ingest import clock
from ingest.instrument import AssetClass, Reference
from ingest.meter import Stages

WORKER = 0  # What `live` is where it is alone.
CUT_MS = 4.0  # Shards cut every 8 ms, each at its own time; half of that gathers those near by.
HEARTBEAT_SECONDS = 0.25
IMAGE_SECONDS = 1.0
HEALTH_SECONDS = 1.0
RETRY_SECONDS = 0.5
SILENT_SECONDS = 1.0  # A shard says something four times a second.
GATHER_SECONDS = 5.0  # At the start: so long the first image waits for the last of the shards.
POSITIONS_STEP = 1_024
TOTAL_SECONDS = 0.04  # As often as a shard sums its own.
TS_EVENT = INSTRUMENTS.index("ts_event")
SUMS = (13, 14, 16, 18, 20, 21, 22, 23)  # Of a row of EXECUTION that is none of an order.
COSTS = ((15, 16, 21), (17, 18, 22), (19, 20, 23))  # Basis points are cost / worth.


class Bus(Protocol):
    """What is needed of compute.bus.Bus."""

    def image(self, worker: int) -> bytes | None:
        """The newest image."""

    def deltas(self, epoch: int, sequence: int, worker: int) -> list[tuple[int, int, bytes]]:
        """Frames after the given one."""

    def deltas_of(
        self, places: Mapping[int, tuple[int, int]], wait_s: float
    ) -> dict[int, list[tuple[int, int, bytes]]]:
        """Frames after the given ones, by worker."""

    def publish(
        self, worker: int, epoch: int, sequence: int, delta: bytes, image: bytes | None = None
    ) -> None:
        """Tell the delta, and the image that includes it."""

    def last_epoch(self, worker: int) -> int:
        """The newest epoch."""

    def report(self, role: str, health: dict[str, Any]) -> bool:
        """Say how we are; True where Redis has forgotten what it was told."""


class Whole:
    """The tables of all shards as one."""

    def __init__(self, shards: int) -> None:
        """Nothing is known."""
        self.shards = shards
        self.tables = {
            INSTRUMENTS.name: INSTRUMENTS.empty(0),
            POSITIONS.name: POSITIONS.empty(POSITIONS_STEP),
            BOOKS.name: BOOKS.empty(BOOKS_MAX),
            CLASSES.name: CLASSES.empty(len(AssetClass)),
            EXECUTION.name: EXECUTION.empty(EXECUTION_ROWS),
        }
        self.oldest_ns = np.zeros(0, np.int64)
        self._shard_of = np.zeros(0, np.int64)
        self._place: dict[tuple[int, int], int] = {}  # (book, instrument) -> row of positions
        self._known: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # The same by shard.

    def know(self, reference: Reference) -> np.ndarray:
        """Take the reference; the instruments that have another shard than before."""
        before, self._shard_of = self._shard_of, reference.array["shard"].astype(np.int64)
        self._grow(len(self._shard_of))
        same = np.zeros(len(self._shard_of), np.bool_)
        same[: len(before)] = before == self._shard_of[: len(before)]
        return np.flatnonzero(~same)

    def recall(self, positions: np.ndarray) -> None:
        """Keep the places of positions as they were told: a successor changes none."""
        for row in np.flatnonzero(np.isfinite(positions[:, 0])).tolist():
            self._place[int(positions[row, 0]), int(positions[row, 1])] = row

    def take(self, shard: int, rows: np.ndarray, oldest_ns: np.ndarray, table: np.ndarray) -> None:
        """Instruments of a shard that changed: `rows` of its `table`."""
        self._grow(len(table))
        rows = rows[rows < len(self._shard_of)]
        rows = rows[self._shard_of[rows] == shard]
        self.tables[INSTRUMENTS.name][rows] = table[rows]
        # A row of an image has no moment but that of its newest event, or else of any.
        moments = table[:, TS_EVENT]
        own = np.where(np.isnan(moments), np.nanmax(moments, initial=0.0), moments)[rows] * 1e6
        fresh = np.where(oldest_ns[rows] > 0, oldest_ns[rows], own.astype(np.int64))
        now = self.oldest_ns[rows]
        self.oldest_ns[rows] = np.where((now == 0) | (fresh < now), fresh, now)

    def add_up(self, shards: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Positions, and what is summed from them, of all shards' tables."""
        for number, tables in enumerate(shards):
            self._take_positions(number, tables[POSITIONS.name])
        for name in (BOOKS.name, CLASSES.name):
            whole = self.tables[name]
            whole[:] = np.nan
            for tables in shards:
                part = tables[name]
                # The number of lines is known, where there are any.
                there = np.flatnonzero(~np.isnan(part[:, 5]))
                whole[there[np.isnan(whole[there, 5])]] = 0.0
                whole[there] += part[there]
        self._take_execution([tables[EXECUTION.name] for tables in shards])

    def _take_positions(self, number: int, part: np.ndarray) -> None:
        used = part[np.isfinite(part[:, 0])]
        keys, places = self._known.get(number, (used[:0, :2], np.zeros(0, np.int64)))
        if not np.array_equal(keys, used[:, :2]):
            pairs = [(int(book), int(instrument)) for book, instrument in used[:, :2]]
            found = [self._place.setdefault(pair, len(self._place)) for pair in pairs]
            places = np.array(found, np.int64)
            self._known[number] = used[:, :2].copy(), places
        table = self.tables[POSITIONS.name]
        more = int(places.max(initial=-1)) + 1 - len(table)
        if more > 0:
            more = -(-more // POSITIONS_STEP) * POSITIONS_STEP
            table = np.concatenate((table, POSITIONS.empty(more)))
            self.tables[POSITIONS.name] = table
        table[places] = used

    def _take_execution(self, parts: list[np.ndarray]) -> None:
        whole = self.tables[EXECUTION.name]
        whole[:] = np.nan
        first = BOOK_ROWS + TRADER_ROWS + VENUE_ROWS
        starts = (0, BOOK_ROWS, BOOK_ROWS + TRADER_ROWS, first)
        for start, end in itertools.pairwise(starts):
            place: dict[float, int] = {}
            for line in (line for part in parts for line in part[start:end] if line[0] >= 0):
                row = min(place.setdefault(line[1], start + len(place)), end - 1)
                if np.isnan(whole[row, 1]):
                    whole[row] = line
                else:
                    whole[row, SUMS] += line[list(SUMS)]
        for basis_points, cost, worth in COSTS:
            sums = whole[:first]
            with np.errstate(divide="ignore", invalid="ignore"):
                found = sums[:, cost] / sums[:, worth] * 1e4
            sums[:, basis_points] = np.where(sums[:, worth] > 0.0, found, np.nan)
        orders = np.concatenate([part[first:][part[first:, 0] == OF_ORDER] for part in parts])
        newest = np.argsort(-orders[:, 4], kind="stable")[: len(whole) - first]
        whole[first : first + len(newest)] = orders[newest]

    def _grow(self, rows: int) -> None:
        table = self.tables[INSTRUMENTS.name]
        more = rows - len(table)
        if more > 0:
            self.tables[INSTRUMENTS.name] = np.concatenate((table, INSTRUMENTS.empty(more)))
            self.oldest_ns = np.concatenate((self.oldest_ns, np.zeros(more, np.int64)))


class Merge:
    """The loop of the process role `merge`."""

    def __init__(
        self,
        rows: ReferenceFollower,
        bus: Bus,
        shards: int,
        *,
        now_ns: Callable[[], int] = clock.now_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is read before the first step."""
        self.rows, self.bus, self.now_ns, self.monotonic = rows, bus, now_ns, monotonic
        self.followers = {stream(number): Follower(bus, stream(number)) for number in range(shards)}
        self.whole = Whole(shards)
        self.reference = Reference(rows.read_all())
        self.whole.know(self.reference)
        self.cutter = delta.Cutter()
        self.stages = Stages("gather", "cut")
        self.problem = ""
        self.epoch = self.sequence = 0
        self._dirty = False
        self._cut_at = self._image_due = self._health_due = self._retry_at = self._look_at = 0.0
        self._heard_at = dict.fromkeys(self.followers, self.monotonic())
        self._heard: set[int] = set()  # Whose tables are not merged yet.
        self._gather_until = self._sum_at = 0.0
        self._unsummed = False

    def step(self) -> int:
        """Follow, merge, tell; the deltas and images applied."""
        now = self.monotonic()
        if now < self._retry_at:
            time.sleep(self._retry_at - now)
        try:
            self._begin()
            self._refresh()
            applied = self._follow()
            now = self.monotonic()
            self._add_up(now)
            since = now - self._cut_at
            due = since >= (CUT_MS / 1e3 if self._dirty else HEARTBEAT_SECONDS)
            if due and self._gathered(now):
                self._cut(now)
            if now >= self._health_due:
                self._report(now)
        except SupersededError:
            raise  # Our successor tells the numbers now.
        except BusError as error:
            # What a frame held is lost to readers: the next one goes with an image.
            self.problem, self.epoch = str(error), 0
            self._retry_at = self.monotonic() + RETRY_SECONDS
            return 0
        return applied

    def _begin(self) -> None:
        """An epoch of our own, later than any there was; positions keep their places."""
        if self.epoch:
            return
        epoch = max(self.bus.last_epoch(WORKER) + 1, self.now_ns() // 1_000_000)
        former = self.bus.image(WORKER)
        if former and not self.sequence:
            self.whole.recall(delta.unpack_image(former).tables[POSITIONS.name])
        self.epoch, self._image_due = epoch, 0.0

    def _refresh(self) -> None:
        rows = self.rows.poll()
        if rows:
            self.reference.update(rows)
            moved = self.whole.know(self.reference)
            for number, follower in enumerate(self.followers.values()):
                table = follower.tables[INSTRUMENTS.name]
                rows_there = moved[moved < len(table)]
                none = np.zeros(len(table), np.int64)
                self.whole.take(number, rows_there, none, table)
            self._dirty = True

    def _follow(self) -> int:
        """What every shard has told since; waits for the first of it, or until a cut is due."""
        applied, now = 0, self.monotonic()
        if now >= self._look_at:  # Who has no image yet is looked for now and then.
            lacking = {name: one for name, one in self.followers.items() if not one.whole}
            for name, follower in lacking.items():
                applied += self._hear(name, follower.step())
            if any(not follower.whole for follower in lacking.values()):
                self._look_at = now + 0.02
        places = {name: one.position for name, one in self.followers.items() if one.whole}
        every_s = CUT_MS / 1e3 if self._dirty or len(places) < len(self.followers) else 0.1
        wait_s = max(0.0, self._cut_at + every_s - self.monotonic())
        if not places:
            time.sleep(0.02)
            return applied
        for name, entries in self.bus.deltas_of(places, wait_s or 1e-3).items():
            applied += self._hear(name, self.followers[name].feed(entries))
        if applied:
            self._merge()
        return applied

    def _hear(self, name: int, applied: int) -> int:
        if applied:
            self._heard_at[name] = self.monotonic()
            self._heard.add(name)
        return applied

    def _merge(self) -> None:
        began = time.perf_counter()
        for number, (name, follower) in enumerate(self.followers.items()):
            if name not in self._heard:
                continue
            rows, oldest_ns = follower.take()
            table = follower.tables[INSTRUMENTS.name]
            self.whole.take(number, rows.pop(INSTRUMENTS.name), oldest_ns, table)
            self._unsummed = self._unsummed or any(len(changed) for changed in rows.values())
            self._dirty = self._dirty or bool((self.whole.oldest_ns > 0).any())
        self._heard.clear()
        self.stages.add("gather", (time.perf_counter() - began) * 1e3)

    def _add_up(self, now: float) -> None:
        if self._unsummed and now >= self._sum_at:
            self.whole.add_up([one.tables for one in self.followers.values()])
            self._sum_at, self._unsummed, self._dirty = now + TOTAL_SECONDS, False, True

    def _gathered(self, now: float) -> bool:
        """Whether there is something to tell: at the start, of all shards if they come soon."""
        told = [one for one in self.followers.values() if one.images]
        if told and not self._gather_until:
            self._gather_until = now + GATHER_SECONDS
        return bool(told) and (len(told) == len(self.followers) or now >= self._gather_until)

    def _cut(self, now: float) -> None:
        began = time.perf_counter()
        self.sequence += 1
        tables, ts_cut = self.whole.tables, self.now_ns()
        frame = self.cutter.cut(tables, self.whole.oldest_ns, self.epoch, self.sequence, ts_cut)
        image = None
        if now >= self._image_due:
            image = delta.pack_image(tables, self.epoch, self.sequence, ts_cut, {})
        self._cut_at = now
        self.bus.publish(WORKER, self.epoch, self.sequence, frame, image)
        self._dirty, self.problem = False, ""
        if image is not None:
            self._image_due = now + IMAGE_SECONDS
        self.stages.add("cut", (time.perf_counter() - began) * 1e3)

    def _silent(self, now: float) -> str:
        """Who says nothing, for people."""
        silent = {
            number: now - self._heard_at[name]
            for number, name in enumerate(self.followers)
            if now - self._heard_at[name] > SILENT_SECONDS
        }
        if not silent:
            return ""
        names = ", ".join(map(str, silent))
        return f"nothing is heard of partition {names} for {max(silent.values()):.0f} s"

    def _report(self, now: float) -> None:
        self._health_due = now + HEALTH_SECONDS
        health = {
            "now_ms": self.now_ns() / 1e6,
            "problem": self.problem or self._silent(now),
            "shards": len(self.followers),
            "images": sum(one.images for one in self.followers.values()),
            "mirror_gaps": sum(one.gaps for one in self.followers.values()),
            "merge_ms": self.stages.told(),
        }
        if self.bus.report("merge.0", health):
            self._image_due = 0.0
