"""Rule: a digest of what an engine emitted, per partition and minute, to hold `live` by `record`.

Both run the same engine over the same log, so for every partition of market data and every minute
of the log's time both must come to the same digest over event and numbers, in order. Fills are
left out, and so are position and P&L, the only numbers that own events move (kernels/step.py):
they come from another topic, and how it falls between the market's events differs between two
readers of Kafka. A minute ends when a frame of a later one comes; one whose beginning was not seen
is not told.
"""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from compute.enriched import ENRICHED
from compute.intake import Batch
from compute.kernels import digest as kernel
from ingest.event import EVENT
from ingest.source import DIGESTS_TOPIC, FILLS

MINUTE_NS = 60_000_000_000
COLUMNS = ("mid", "vwap", "vwap_1m", "volatility", "volume", "mark")  # All but position and P&L.
_COLUMNS = np.array([(ENRICHED.names or ()).index(name) for name in COLUMNS], np.int64)


class Minute(NamedTuple):
    """A minute of a partition, as one reader of the log saw it."""

    topic: int
    partition: int
    minute: int  # Since the epoch, of the log's time
    first: int  # Offsets of its first and last frame that gave events
    last: int
    rows: int
    digest: int


class Values(Protocol):
    """What is needed of ingest.source.Publisher."""

    def publish(self, topic: str, partition: int, value: bytes) -> None:
        """Queue one value."""


class _Fold:
    """A minute that is open."""

    __slots__ = ("first", "last", "minute", "place", "rows", "slot", "value", "whole")

    def __init__(self, place: tuple[int, int], minute: int, first: int, *, whole: bool) -> None:
        self.place, self.minute, self.first, self.whole = place, minute, first, whole
        self.last, self.rows, self.value, self.slot = first, 0, int(kernel.SEED), -1


@functools.cache
def compiled() -> Callable[..., None]:
    """The kernel."""
    built: Callable[..., None] = kernel.build()
    return built


def fold(events: np.ndarray, enriched: np.ndarray, value: int = int(kernel.SEED)) -> int:
    """The digest after more rows: EVENT and ENRICHED, as many."""
    folds = np.array([value], np.uint64)
    one = np.zeros(1, np.int64)
    _run(events, enriched, (one, np.array([len(events)]), one), folds)
    return int(folds[0])


def _run(events: np.ndarray, enriched: np.ndarray, segments: Any, folds: np.ndarray) -> None:
    rows = (len(events), 8)
    words = np.ascontiguousarray(events).view(np.uint64).reshape(rows)
    numbers = enriched[: len(events)].view(np.float64).reshape(rows)
    compiled()(words, numbers.view(np.uint64), numbers, _COLUMNS, *segments, folds)


def rehearse() -> None:
    """Have the machine code ready for arrays of our own and for those out of messages."""
    for events in (np.zeros(0, EVENT), np.frombuffer(b"", EVENT)):
        fold(events, np.zeros(0, ENRICHED))


class Digests:
    """Follows one reader of the log."""

    def __init__(self, role: str) -> None:
        """`role` names the reader: live, record."""
        self.role = role
        self._open: dict[tuple[int, int], _Fold] = {}
        self._closed: list[Minute] = []

    def take(self, batch: Batch, enriched: np.ndarray) -> None:
        """What the engine made of a batch; `enriched` has a row an event."""
        starts, counts, slots = [], [], []
        active: list[_Fold] = []
        closing: list[_Fold] = []
        for span in batch.spans:
            topic, partition, offset, ts_ns, _ = span.message
            if not span.count or topic >= FILLS:
                continue
            place, minute = (topic, partition), ts_ns // MINUTE_NS
            one = self._open.get(place)
            if one is None or minute > one.minute:
                if one is not None:
                    closing.append(one)
                # A minute is seen from its beginning if the one before it was, or the log's own.
                one = _Fold(place, minute, offset, whole=one is not None or offset == 0)
                self._open[place] = one
            if one.slot < 0:
                one.slot = len(active)
                active.append(one)
            one.last = offset
            one.rows += span.count
            starts.append(span.start)
            counts.append(span.count)
            slots.append(one.slot)
        if starts:
            folds = np.array([one.value for one in active], np.uint64)
            segments = tuple(np.array(part, np.int64) for part in (starts, counts, slots))
            _run(batch.events, enriched, segments, folds)
            for one, value in zip(active, folds.tolist(), strict=True):
                one.value, one.slot = value, -1
        self._closed += [
            Minute(*one.place, one.minute, one.first, one.last, one.rows, one.value)
            for one in closing
            if one.whole
        ]

    def closed(self) -> list[Minute]:
        """Minutes that have ended since the last call."""
        closed, self._closed = self._closed, []
        return closed

    def tell(self, values: Values) -> None:
        """Publish the minutes that have ended, if there are any."""
        closed = self.closed()
        if closed:
            values.publish(DIGESTS_TOPIC, 0, message(self.role, closed))

    def state(self) -> list[list[Any]]:
        """What is open, for a checkpoint; JSON."""
        return [
            [*one.place, one.minute, one.first, one.last, one.rows, one.whole, f"{one.value:x}"]
            for one in self._open.values()
        ]

    def restore(self, state: Sequence[Sequence[Any]]) -> None:
        """Inverse of `state`."""
        self._open, self._closed = {}, []
        for topic, partition, minute, first, last, rows, whole, value in state:
            place = (int(topic), int(partition))
            one = _Fold(place, int(minute), int(first), whole=bool(whole))
            one.last, one.rows, one.value = int(last), int(rows), int(value, 16)
            self._open[place] = one


def message(role: str, minutes: Sequence[Minute]) -> bytes:
    """The value in Kafka."""
    rows = [[*one[:6], f"{one.digest:016x}"] for one in minutes]
    return json.dumps({"role": role, "minutes": rows}, separators=(",", ":")).encode()


def read(value: bytes) -> tuple[str, list[Minute]]:
    """Inverse of `message`; ValueError where it is none."""
    try:
        said = json.loads(value)
        rows = [Minute(*map(int, (*row[:6], int(row[6], 16)))) for row in said["minutes"]]
        return str(said["role"]), rows
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"this tells no digests: {error}") from None
