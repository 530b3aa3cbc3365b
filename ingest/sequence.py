"""Rule: per source, topic and partition: gaps, repeats and restarts of the numbering.

Nothing is dropped silently: a gap is counted and marks the instruments that the source has
spoken of; a repeated event is counted and kept from the engine, because counting a trade twice
would move every number; a restart begins a new numbering. The verdict depends on the stream
alone, so `live` and `record` reach the same one.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ingest.frame import Frame

StreamKey = tuple[int, int, int]  # topic index, partition, source


class Verdict(NamedTuple):
    """What of a frame is new (`skip` leading events are repeats) and what is missing before it."""

    skip: int
    missing: int
    instruments: np.ndarray  # ids to mark when missing > 0, else empty


@dataclass(slots=True)
class _Stream:
    expected: int
    seen: np.ndarray = field(default_factory=lambda: np.zeros(0, np.bool_))


_NONE = np.zeros(0, np.uint32)


class Sequences:
    """The numbering of every stream seen so far."""

    def __init__(self) -> None:
        """Start with no stream; the first frame of each is taken as it comes."""
        self.streams: dict[StreamKey, _Stream] = {}
        self.gaps = 0  # events found missing
        self.repeats = 0  # events seen before
        self.resets = 0  # times a source began anew

    def check(self, topic: int, partition: int, frame: Frame) -> Verdict:
        """Judge one frame and move the stream's expectation on."""
        key = (topic, partition, frame.source)
        first, count = frame.first_sequence, len(frame.events)
        stream = self.streams.get(key)
        if stream is None:
            stream = self.streams[key] = _Stream(first)
        skip = missing = 0
        restarted = frame.restart or (first == 0 and stream.expected > count)
        if restarted and first != stream.expected:
            self.resets += 1
        elif first > stream.expected:
            missing = first - stream.expected
            self.gaps += missing
        elif first < stream.expected:
            skip = min(count, stream.expected - first)
            self.repeats += skip
        marked = np.flatnonzero(stream.seen).astype(np.uint32) if missing else _NONE
        if skip < count:
            stream.expected = first + count
            _remember(stream, frame.events["instrument"])
        return Verdict(skip, missing, marked)

    def state(self) -> dict[str, object]:
        """What a checkpoint needs; `restore` is the inverse."""
        streams = [
            [*key, stream.expected, np.flatnonzero(stream.seen).tolist()]
            for key, stream in self.streams.items()
        ]
        counts = {"gaps": self.gaps, "repeats": self.repeats, "resets": self.resets}
        return {"streams": streams, **counts}

    def restore(self, state: dict) -> None:
        """Take up the numbering where `state()` left it."""
        self.streams = {}
        for topic, partition, source, expected, seen in state["streams"]:
            stream = self.streams[topic, partition, source] = _Stream(expected)
            _remember(stream, np.array(seen, np.int64))
        self.gaps, self.repeats = state["gaps"], state["repeats"]
        self.resets = state["resets"]


def _remember(stream: _Stream, instruments: np.ndarray) -> None:
    if not len(instruments):
        return
    top = int(instruments.max())
    if top >= len(stream.seen):
        grown = np.zeros(max(top + 1, 2 * len(stream.seen)), np.bool_)
        grown[: len(stream.seen)] = stream.seen
        stream.seen = grown
    stream.seen[instruments] = True
