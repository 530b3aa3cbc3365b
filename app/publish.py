"""Key: what `replay` publishes, the demo market or recorded files, and when it begins."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app import status
from app.settings import Settings
from compute.bus import Bus, BusError
from ingest import clock, reference_file
from ingest.event import EVENT
from ingest.feeds import open as feeds
from ingest.feeds.feed import FeedError, Tally
from ingest.instrument import Instrument
from ingest.market import Market
from ingest.quarantine import RefusedLines
from ingest.replay import Recorded, Replay, Script, Synthetic
from ingest.source import REFERENCE_TOPIC, Publisher
from ingest.universe import universe

FRAME_MS = 8.0  # At 500,000 events/s and 13 partitions a frame has about 300 events.
IDLE_SECONDS_MAX = 0.02  # Where nothing is due for long: how soon the end of a record is seen.
ASK_SECONDS = 0.1
AFTER_SECONDS_MAX = 120.0  # The first start ever compiles all kernels: a minute on a slow core.
FLUSH_SECONDS = 2.0
PROGRESS_SECONDS = 0.2
FILE_SECONDS = 1.0  # Between looks at the file of reference rows.


class PublishError(RuntimeError):
    """There is nothing to publish; the text says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to publish and how fast; no `paths` is the demo market. `after`: kinds of process."""

    paths: tuple[Path, ...] = ()
    rate: float | None = None
    speed: float = 1.0
    loop: bool = False
    after: str = ""


class Recording:
    """Recorded files, read anew by each iteration, all of them from the same moment on."""

    def __init__(self, paths: tuple[Path, ...], partitions: int) -> None:
        """Open once to know the instruments; PublishError where a path holds no feed."""
        self.paths, self.partitions = paths, partitions
        self.instruments: list[Instrument] = []
        self.tallies: list[Tally] = []
        list(self._open())

    def __iter__(self) -> Iterator[np.ndarray]:
        """Arrays of EVENT of all files, in the order of their time since each one's first."""
        return feeds.in_order([_from_zero(chunks) for chunks in self._open()])

    def count(self) -> int:
        """Events in all; reads everything once."""
        return sum(len(chunk) for chunk in self)

    def _open(self) -> Iterator[Iterator[np.ndarray]]:
        self.instruments, self.tallies = [], []
        for path in self.paths:
            try:
                feed = feeds.open_feed(path, len(self.instruments))
            except (FeedError, OSError) as error:
                raise PublishError(str(error)) from None
            self.instruments += [
                replace(row, shard=row.id % self.partitions) for row in feed.instruments
            ]
            self.tallies.append(feed.tally)
            yield feed.chunks


def _from_zero(chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same events, times counted from the first: files of different days play together."""
    first: int | None = None
    for chunk in chunks:
        if first is None and len(chunk):
            first = int(chunk["ts_event"][0])
        if len(chunk):
            chunk["ts_event"] -= first
            yield chunk


class Publication:
    """The loop that `replay` runs: waits for its readers, then replays, then says what it read."""

    def __init__(self, replay: Replay, publisher: Publisher, readers: "Readers") -> None:
        """Nothing is published before the first `step`."""
        self.replay, self.publisher, self.readers = replay, publisher, readers
        self.reference: ReferenceRows | None = None
        self.progress: Progress | None = None
        self.recording: Recording | None = None

    def step(self) -> int:
        """One round; StopIteration at the end of the files."""
        if not self.readers.ready():
            time.sleep(ASK_SECONDS)
            return 0
        if self.reference:
            self.reference.step(self.publisher)
        sent = self.replay.step()
        state = self.replay.status()
        if self.progress:
            self.progress.show(state.events, state.behind_s)
        if state.finished:
            raise StopIteration
        if not sent:
            time.sleep(min(self.replay.wait_s(), IDLE_SECONDS_MAX))
        return sent

    def close(self) -> None:
        """Deliver what is queued and tell what the files held."""
        lost = self.publisher.flush(FLUSH_SECONDS)
        if self.progress:
            self.progress.close()
        if lost:
            print(f"{lost} frames could not be delivered to Kafka.", file=sys.stderr)  # noqa: T201
        if self.recording:
            _tell(self.recording, self.replay.status().events)


class ReferenceRows:
    """The file of `--reference`: over the rows that we know, and again whenever it changes."""

    def __init__(self, path: Path, known: list[Instrument], partitions: int) -> None:
        """PublishError where the file cannot be read; rows that are refused are told."""
        self.path, self.partitions = path, partitions
        self.rows = {row.id: row for row in known}  # As published.
        self.refused = RefusedLines(REFERENCE_TOPIC)
        self._stamp = self._due = 0.0
        try:
            self._stamp = path.stat().st_mtime
            self.changed()
        except OSError as error:
            raise PublishError(f"--reference {path}: {error.strerror}") from None

    def changed(self) -> list[Instrument]:
        """Read the file: rows that are new or other than those published.

        What it does not say, or says wrongly, stands as it was: a file half written takes nothing
        back.
        """
        loaded = reference_file.load(self.path, self.rows.values(), self.partitions)
        for refusal in self.refused.take(loaded.refused):
            print(f"Refused: {refusal}", file=sys.stderr)  # noqa: T201
        found = [row for row in loaded.rows if self.rows.get(row.id) != row]
        self.rows |= {row.id: row for row in found}
        return found

    def step(self, publisher: Publisher) -> int:
        """Once a second: publish what has changed in the file; the number of rows."""
        if time.monotonic() < self._due:
            return 0
        self._due = time.monotonic() + FILE_SECONDS
        try:
            stamp = self.path.stat().st_mtime
            found = self.changed() if stamp != self._stamp else []
        except OSError:
            return 0  # It is being written anew, or is away: the rows stand as they are.
        self._stamp = stamp
        self.refused.keep(publisher)
        _publish(found, publisher)
        return len(found)


class Readers:
    """Whether those have reported who must read from the first event on."""

    def __init__(self, settings: Settings, kinds: str) -> None:
        """`kinds`: comma-separated, for example `live,record`; "" waits for nobody."""
        self.kinds = [kind for kind in kinds.split(",") if kind]
        self._bus = Bus(settings.redis) if self.kinds else None
        self._since_ms = clock.now_ns() / 1e6
        self._deadline = time.monotonic() + AFTER_SECONDS_MAX

    def ready(self) -> bool:
        """Asks Redis until all have; after AFTER_SECONDS_MAX nobody is waited for any more."""
        if self._bus is None:
            return True
        try:
            there = status.reported(self._bus.health(), self._since_ms, self.kinds)
        except BusError:
            there = False
        if there or time.monotonic() > self._deadline:
            self._bus.close()
            self._bus = None
        return self._bus is None


class Progress:
    """A bar on a terminal."""

    def __init__(self, total: int) -> None:
        """`total` events are to come."""
        from rich import progress

        self._bar = progress.Progress(
            *("[progress.description]{task.description}", progress.BarColumn()),
            *("{task.completed:,.0f} of {task.total:,.0f} events", progress.TimeRemainingColumn()),
            transient=False,
        )
        self._task = self._bar.add_task("Publishing", total=total)
        self._due = 0.0
        self._bar.start()

    def show(self, events: int, behind_s: float) -> None:
        """`events` have been sent."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + PROGRESS_SECONDS
            late = f", {behind_s:.1f} s late" if behind_s > 1 else ""
            self._bar.update(self._task, completed=events, description=f"Publishing{late}")

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bar.stop()


class _Nobody:
    """A publisher that drops all: for the rehearsal."""

    def publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """Nothing."""

    def flush(self, seconds: float) -> int:
        """Nothing is left."""
        return 0


def publication(settings: Settings, order: Order) -> Publication:
    """The loop for an order; PublishError where a path holds nothing to publish."""
    # Once: a broker that dies and comes back would else hold frames twice, or out of order.
    publisher = Publisher(settings.kafka, once=True)
    readers = Readers(settings, order.after)
    if not order.paths:
        reference, rows = _overlaid(settings, universe(shards=settings.partitions))
        _announce(reference, rows, publisher)
        rate = order.rate or settings.rate
        _rehearse(Synthetic(Market(rows, settings.seed), rate), rows)
        replay = Replay(
            Synthetic(Market(rows, settings.seed), rate), rows, publisher, frame_ms=FRAME_MS
        )
        loop = Publication(replay, publisher, readers)
        loop.reference = reference
        return loop
    recording = Recording(order.paths, settings.partitions)
    reference, rows = _overlaid(settings, recording.instruments)
    _announce(reference, rows, publisher)
    script = Recorded(recording, order.speed, order.rate, loop=order.loop)
    _rehearse(Recorded([np.zeros(0, EVENT)]), rows)
    replay = Replay(script, rows, publisher, frame_ms=FRAME_MS)
    loop = Publication(replay, publisher, readers)
    loop.reference, loop.recording = reference, recording
    if sys.stdout.isatty() and not order.loop:
        loop.progress = Progress(recording.count())
    return loop


def _overlaid(
    settings: Settings, rows: list[Instrument]
) -> tuple[ReferenceRows | None, list[Instrument]]:
    """`rows` as the file of the settings changes them; what it adds has no events of ours."""
    if settings.reference is None:
        return None, rows
    reference = ReferenceRows(settings.reference, rows, settings.partitions)
    return reference, [reference.rows[row.id] for row in rows]


def _announce(
    reference: ReferenceRows | None, rows: list[Instrument], publisher: Publisher
) -> None:
    """Publish the reference rows now: readers take them up while we make ready."""
    _publish(list(reference.rows.values()) if reference else rows, publisher)
    if reference:
        reference.refused.keep(publisher)
    publisher.flush(FLUSH_SECONDS)


def _publish(rows: list[Instrument], publisher: Publisher) -> None:
    for row in rows:
        publisher.publish(REFERENCE_TOPIC, -1, row.to_json(), row.symbol.encode())


def _rehearse(script: Script, rows: list[Instrument]) -> None:
    """Compile what the replay needs before its clock runs."""
    Replay(script, rows, _Nobody()).step()


def _tell(recording: Recording, events: int) -> None:
    """What was read, and what was refused, by file."""
    print(f"Published {events:,} events of {len(recording.instruments)} instruments.")  # noqa: T201
    for path, tally in zip(recording.paths, recording.tallies, strict=False):
        for refusal in tally.refused[:3]:
            print(f"{path}: refused {refusal.place}: {refusal.reason}")  # noqa: T201
        if tally.refused_total > 3:
            print(f"{path}: {tally.refused_total:,} pieces were refused in all.")  # noqa: T201


__all__ = ["Order", "PublishError", "Recording", "publication"]
