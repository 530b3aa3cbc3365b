"""Rule: per source, topic and partition: gaps, repeats, restarts, and two lines of one source.

A source may come by two lines, A and B, of one numbering: a frame of line B has LINE_B set in its
source. Whatever comes first is taken, its copy is counted and left out, and what one line lost the
other makes good: a gap is told only once every line that still speaks has passed it. Nothing is
dropped silently: a gap is counted and marks the instruments that the source has spoken of; a repeat
is counted and kept from the engine, because counting a trade twice would move every number; what
comes late is taken as late; a restart begins a new numbering. The verdict depends on the stream
alone, so `live` and `record` reach the same one.

Once all that was told as a gap has come late, the stream is whole again and says so. It never is
after a part was given up (MISSING_MAX) or a restart came first; and an instrument whose STATUS was
among what came late stays marked, for whether it trades is not known.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ingest.event import Kind
from ingest.frame import Frame, FrameError

StreamKey = tuple[int, int, int]  # topic index, partition, source without LINE_B

LINE_B = 0x8000  # Bit of a frame's source: the same events as the source without it.
SILENCE_NS = 1_000_000_000  # A line that lags its twin by more is not waited for.
MISSING_MAX = 64  # Ranges of a numbering that may still come late; older ones are given up.
JUMP_MAX = 1 << 40  # Events that a source may be ahead: twelve days at a million a second.
SKEW_NS = 50_000_000  # Kafka's clock may lag a sender's by its rounding and some drift, not more.


_NONE = np.zeros(0, np.uint32)


class Piece(NamedTuple):
    """Events `start` to before `stop` of a frame; late: newer ones of its source were taken."""

    start: int
    stop: int
    late: bool


class Verdict(NamedTuple):
    """What of a frame is new (`skip` events are not) and what is missing before it."""

    skip: int
    missing: int
    instruments: np.ndarray  # ids to mark when missing > 0, else empty
    pieces: tuple[Piece, ...] = ()  # What to take, if it is not simply all after the first `skip`.
    whole: np.ndarray = _NONE  # ids of which all that was missing has come, with this frame


@dataclass(slots=True)
class _Numbering:
    """Sequences of a source between two restarts."""

    expected: int  # One beyond the highest taken.
    missing: list[list[int]] = field(default_factory=list)  # [from, to before, 1: told as a gap]

    def late(self, first: int, end: int) -> list[tuple[int, int]]:
        """Ranges within `first` to before `end` that were missing, and are no more."""
        found: list[tuple[int, int]] = []
        rest: list[list[int]] = []
        for low, high, told in self.missing:
            start, stop = max(low, first), min(high, end)
            if start >= stop:
                rest.append([low, high, told])
                continue
            found.append((start, stop))
            rest += [[a, b, told] for a, b in ((low, start), (stop, high)) if a < b]
        self.missing = rest
        return found

    @property
    def open(self) -> bool:
        """Whether something that was told as a gap is still missing."""
        return any(told for _, _, told in self.missing)


@dataclass(slots=True)
class _Line:
    numbering: _Numbering
    expected: int
    sent: int = 0  # ts_send of its newest frame


@dataclass(slots=True)
class _Stream:
    newest: _Numbering
    lines: dict[int, _Line] = field(default_factory=dict)
    seen: np.ndarray = field(default_factory=lambda: np.zeros(0, np.bool_))
    broken: bool = False  # Something that was told as a gap can no more come.
    unsure: set[int] = field(default_factory=set)  # Instruments of which a STATUS came late.


_ALL = Verdict(0, 0, _NONE)
_COUNTS = ("gaps", "repeats", "copies", "recovered", "overtaken", "resets", "skewed")


class Sequences:
    """The numbering of every stream seen so far."""

    def __init__(self) -> None:
        """Start with no stream; the first frame of each is taken as it comes."""
        self.streams: dict[StreamKey, _Stream] = {}
        self.gaps = 0  # events that no line brought in time
        self.repeats = 0  # events that the same line brought before
        self.copies = 0  # events that the other line brought before
        self.recovered = 0  # events that came after newer ones; of those told as gaps too
        self.overtaken = 0  # quotes and statuses among the recovered: not taken
        self.resets = 0  # times a source began anew
        self.skewed = 0  # frames sent after the log's clock says that they arrived
        self.skew_ns: dict[int, int] = {}  # by source: how far it ran ahead at the worst

    def check(self, topic: int, partition: int, frame: Frame) -> Verdict:
        """Judge one frame and move the stream's expectation on.

        FrameError where it lies so far ahead that it cannot be of this source: taken, it would
        make all that follows late.
        """
        source, first, count = frame.source, frame.first_sequence, len(frame.events)
        key = (topic, partition, source & ~LINE_B)
        stream = self.streams.get(key)
        if stream is None:
            stream = self.streams[key] = _Stream(_Numbering(first))
        newest, line = stream.newest, stream.lines.get(source & LINE_B)
        ordinary = line is not None and line.numbering is newest and not newest.missing
        if line is None or not ordinary or first != newest.expected:
            return self._judge(stream, frame)
        line.expected = newest.expected = first + count
        line.sent = frame.ts_send
        _remember(stream, frame.events["instrument"])
        return _ALL

    def clocks(self, source: int, ahead_ns: int) -> None:
        """A frame of `source` was sent `ahead_ns` after it arrived by the log's clock."""
        if ahead_ns > SKEW_NS:
            self.skewed += 1
            self.skew_ns[source] = max(ahead_ns, self.skew_ns.get(source, 0))

    def _judge(self, stream: _Stream, frame: Frame) -> Verdict:
        first, count = frame.first_sequence, len(frame.events)
        if first - stream.newest.expected > JUMP_MAX and not frame.restart:
            ahead = first - stream.newest.expected
            raise FrameError("sequence", f"it lies {ahead:,} events ahead of what source sends")
        end, known = first + count, stream.lines.get(frame.source & LINE_B)
        line = known or _Line(stream.newest, first)
        stream.lines[frame.source & LINE_B] = line
        restarted = frame.restart or (first == 0 and line.expected > count)
        if restarted and first != line.expected:
            if line.numbering is stream.newest:  # The other line follows when it restarts.
                stream.broken = stream.broken or stream.newest.open
                stream.newest = _Numbering(first)
                self.resets += 1
            line.numbering, line.expected = stream.newest, first
        numbering, before, was_open = line.numbering, line.expected, line.numbering.open
        line.expected, line.sent = max(before, end), frame.ts_send
        top = numbering.expected
        late = numbering.late(first, min(end, top)) if first < top else []
        pieces = [Piece(low - first, high - first, late=True) for low, high in late]
        self.recovered += sum(piece.stop - piece.start for piece in pieces)
        for piece in pieces:
            part = frame.events[piece.start : piece.stop]
            stream.unsure |= set(part["instrument"][part["kind"] == Kind.STATUS].tolist())
        if first > top:
            numbering.missing.append([top, first, 0])
            given_up = numbering.missing[:-MISSING_MAX]
            stream.broken = stream.broken or any(told for _, _, told in given_up)
            numbering.missing = numbering.missing[-MISSING_MAX:]
        if end > top:
            pieces.append(Piece(max(first, top) - first, count, late=False))
            numbering.expected = end
        skip = count - sum(piece.stop - piece.start for piece in pieces)
        again = min(skip, max(0, min(end, before) - first))  # By this line itself.
        self.repeats += again
        self.copies += skip - again
        missing = self._missed(stream, numbering)
        marked = np.flatnonzero(stream.seen).astype(np.uint32) if missing else _NONE
        if skip < count:
            _remember(stream, frame.events["instrument"])
        plain = len(pieces) == 1 and not pieces[0].late
        filled = was_open and not numbering.open and not stream.broken
        whole = _NONE
        if filled and numbering is stream.newest:
            found = np.flatnonzero(stream.seen)
            whole = found[~np.isin(found, list(stream.unsure))].astype(np.uint32)
        return Verdict(skip, missing, marked, () if plain else tuple(pieces), whole)

    def _missed(self, stream: _Stream, numbering: _Numbering) -> int:
        """Events that are now known to be lost: every line that speaks is beyond them."""
        lines = [line for line in stream.lines.values() if line.numbering is numbering]
        newest = max(line.sent for line in lines)
        passed = min(line.expected for line in lines if newest - line.sent <= SILENCE_NS)
        missing = 0
        for gap in numbering.missing:
            if not gap[2] and gap[1] <= passed:
                gap[2] = 1
                missing += gap[1] - gap[0]
        self.gaps += missing
        return missing

    def state(self) -> dict[str, object]:
        """What a checkpoint needs; `restore` is the inverse."""
        streams = []
        for key, stream in self.streams.items():
            numberings = [stream.newest]
            for line in stream.lines.values():
                if all(line.numbering is not one for one in numberings):
                    numberings.append(line.numbering)
            place = {id(one): number for number, one in enumerate(numberings)}
            lines = [
                [bit, place[id(line.numbering)], line.expected, line.sent]
                for bit, line in stream.lines.items()
            ]
            told = [[one.expected, one.missing] for one in numberings]
            seen = np.flatnonzero(stream.seen).tolist()
            streams.append([*key, told, lines, seen, stream.broken, sorted(stream.unsure)])
        counts: dict[str, object] = {name: getattr(self, name) for name in _COUNTS}
        return {"streams": streams, "skew_ns": list(self.skew_ns.items()), **counts}

    def restore(self, state: dict) -> None:
        """Take up the numbering where `state()` left it."""
        self.streams = {}
        for topic, partition, source, told, lines, seen, broken, unsure in state["streams"]:
            numberings = [_Numbering(top, [list(gap) for gap in missing]) for top, missing in told]
            stream = self.streams[topic, partition, source] = _Stream(numberings[0])
            stream.broken, stream.unsure = broken, set(unsure)
            for bit, place, expected, sent in lines:
                stream.lines[bit] = _Line(numberings[place], expected, sent)
            _remember(stream, np.array(seen, np.int64))
        self.skew_ns = dict(state["skew_ns"])
        for name in _COUNTS:
            setattr(self, name, state[name])


def _remember(stream: _Stream, instruments: np.ndarray) -> None:
    wide = instruments.astype(np.intp)  # What NumPy indexes by: others cost it ten times as much.
    try:
        stream.seen[wide] = True
    except IndexError:  # Seldom: to look for the highest each time would cost twice as much.
        grown = np.zeros(max(int(instruments.max()) + 1, 2 * len(stream.seen)), np.bool_)
        grown[: len(stream.seen)] = stream.seen
        stream.seen = grown
        stream.seen[wide] = True
