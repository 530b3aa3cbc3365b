"""Loop: publishes a market or recorded events at a rate, open loop, with their intended times.

Enters: a `Script` (what is to happen when). Leaves: frames by topic and partition, numbered by
stream. Open loop: an event is due at its intended time whatever the past has cost; a late round
sends more, and `ts_event` stays what was intended, so lateness shows as latency and is never
hidden. The loop does not sleep: who calls `step` waits when it returns 0.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numba import njit

from ingest import clock
from ingest.event import EVENT, EVENT_BYTES, Kind
from ingest.frame import FRAME_EVENTS_MAX, encode
from ingest.instrument import AssetClass, Instrument
from ingest.market import Market

STEP_EVENTS_MAX = 32_768  # 2 MiB a round: 16 ms of 2,000,000 events/s, so lateness stays in sight.
REFERENCE_FLUSH_S = 10.0  # Events follow once the reference rows have arrived.
_TOPICS = (*(asset_class.topic for asset_class in AssetClass), "fills")
_FILLS, _FILL, _ACTION = len(AssetClass), int(Kind.FILL), int(Kind.ACTION)


class Publishes(Protocol):
    """What the loop needs of a producer."""

    def publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """Queue one value; partition -1 lets the key decide."""

    def flush(self, seconds: float) -> int:
        """Wait until all is delivered; the number that is not."""


class Script(Protocol):
    """What is to happen when: `Synthetic` or `Recorded`."""

    def start(self, now_ns: int) -> None:
        """The first event is due at `now_ns`."""

    def due(self, now_ns: int, count_max: int) -> np.ndarray:
        """Array of EVENT [<= about count_max] due by `now_ns`, not handed out before, in order."""

    def behind_ns(self, now_ns: int) -> int:
        """How long the next event has been due; 0 or less while it lies ahead."""

    def took_restart(self) -> bool:
        """True once after the events began anew: the next frames restart their numbering."""

    def took_rows(self, now_ns: int) -> Sequence[Instrument]:
        """Reference rows that are others by `now_ns`, each once."""


class Synthetic:
    """A market at `rate` events a second: event k is due k / rate seconds after the start."""

    def __init__(self, market: Market, rate: float, *, fills: bool = True) -> None:
        """`fills`: own executions too, beside the rate. ValueError where `rate` is not above 0."""
        self.rate = _positive("rate", rate, "events a second")
        self._market, self._with_fills = market, fills
        self._start_ns = self._sent = self._fills_ns = 0
        self._opened = False

    def start(self, now_ns: int) -> None:
        """See `Script`."""
        self._start_ns = self._fills_ns = now_ns

    def _intended_ns(self, number: int) -> int:
        return self._start_ns + int(number * 1e9 / self.rate)

    def due(self, now_ns: int, count_max: int) -> np.ndarray:
        """See `Script`; the first round also tells every instrument's opening book."""
        parts = []
        if not self._opened:
            self._opened = True
            parts.append(self._market.opening(self._start_ns))
        count = int((now_ns - self._start_ns) * self.rate / 1e9) + 1 - self._sent
        count = min(count, count_max)
        if count > 0:
            until = max(self._intended_ns(self._sent + count), self._intended_ns(self._sent) + 1)
            parts.append(self._market.step(self._intended_ns(self._sent), until, count))
            self._sent += count
        if self._with_fills and now_ns > self._fills_ns:
            parts.append(self._market.fills(self._fills_ns, now_ns))
            self._fills_ns = now_ns
        return _joined(parts)

    def behind_ns(self, now_ns: int) -> int:
        """See `Script`."""
        return now_ns - self._intended_ns(self._sent)

    def took_restart(self) -> bool:
        """Never: a market goes on."""
        return False

    def took_rows(self, now_ns: int) -> Sequence[Instrument]:
        """See `Script`: what corporate actions changed."""
        return self._market.took_rows(now_ns)


class Recorded:
    """Events as they were: shifted so that the first is now, their gaps divided by `speed`.

    With `rate` they are due evenly at that many a second instead, whatever their gaps were.
    """

    def __init__(
        self,
        chunks: Iterable[np.ndarray],
        speed: float = 1.0,
        rate: float | None = None,
        *,
        loop: bool = False,
    ) -> None:
        """`chunks`: arrays of EVENT in the order of the record, with their own `ts_event`.

        `loop` begins anew at the end; `chunks` must then give a new iterator each time (a list,
        not a generator). ValueError where a rate or speed is not above 0, or for such a loop.
        """
        self.speed = _positive("speed", speed, "1 is as recorded")
        self.rate = None if rate is None else _positive("rate", rate, "events a second")
        if loop and iter(chunks) is chunks:
            raise ValueError("replay: loop needs chunks that can be read again; give a list")
        self._chunks, self._loop = chunks, loop
        self._restarted = self.finished = False
        self._begin()

    def _begin(self) -> None:
        self._reader: Iterator[np.ndarray] = iter(self._chunks)
        self._events = _NOTHING
        self._release = np.zeros(0, np.int64)  # When each is due: never before the one before it.
        self._next = self._taken = self._latest_ns = 0
        self._origin_ns: int | None = None

    def start(self, now_ns: int) -> None:
        """See `Script`."""
        self._start_ns = now_ns
        self._fetch()

    def _fetch(self) -> bool:
        """Have at least one event at hand; False at the end of the record."""
        while self._next >= len(self._events):
            chunk = next(self._reader, None)
            if chunk is None:
                return False
            self._events, self._next = self._shift(np.array(chunk, EVENT)), 0
        return True

    def _shift(self, events: np.ndarray) -> np.ndarray:
        if not len(events):
            return events
        if self._origin_ns is None:
            self._origin_ns = int(events["ts_event"][0])
            self._latest_ns = self._start_ns
        if self.rate is None:
            gaps = events["ts_event"] - self._origin_ns
            gaps = gaps if self.speed == 1.0 else (gaps / self.speed).astype(np.int64)
        else:
            gaps = ((self._taken + np.arange(len(events))) * (1e9 / self.rate)).astype(np.int64)
        self._taken += len(events)
        events["ts_event"] = self._start_ns + gaps
        self._release = np.maximum(np.maximum.accumulate(events["ts_event"]), self._latest_ns)
        self._latest_ns = int(self._release[-1])
        return events

    def due(self, now_ns: int, count_max: int) -> np.ndarray:
        """See `Script`. A round never holds events from both sides of a restart."""
        parts, left = [], count_max
        while left > 0 and (more := self._fetch()):
            until = int(np.searchsorted(self._release, now_ns, "right"))
            first, self._next = self._next, max(self._next, min(until, self._next + left))
            if self._next == first:
                break
            parts.append(self._events[first : self._next])
            left -= self._next - first
        if parts or left <= 0 or more:
            return _joined(parts)
        self.finished = not self._loop or not self._taken
        if not self.finished and now_ns > self._latest_ns:
            # Anew after the last event, by a nanosecond or by one gap of the rate.
            gap_ns = 1 if self.rate is None else round(1e9 / self.rate)
            latest_ns = self._latest_ns
            self._begin()
            self._restarted = True
            self.start(latest_ns + gap_ns)
            return self.due(now_ns, count_max)
        return _NOTHING

    def behind_ns(self, now_ns: int) -> int:
        """See `Script`."""
        waiting = self._next < len(self._events)
        return now_ns - int(self._release[self._next]) if waiting else 0

    def took_restart(self) -> bool:
        """See `Script`."""
        restarted, self._restarted = self._restarted, False
        return restarted

    def took_rows(self, now_ns: int) -> Sequence[Instrument]:
        """None: a record's reference rows are known before."""
        return ()


class ReplayStatus(NamedTuple):
    """Numbers for the status line."""

    events: int  # Sent so far.
    frames: int
    behind_s: float  # How long the next event has been due; 0 while on time.
    finished: bool  # A record came to its end.


class Replay:
    """Publishes a script's events. `step` does one round and returns the events it sent."""

    def __init__(
        self,
        script: Script,
        instruments: Sequence[Instrument],
        publisher: Publishes,
        *,
        frame_ms: float = 4.0,
        now_ns: Callable[[], int] = clock.now_ns,
    ) -> None:
        """`frame_ms` is the least time between two rounds of frames.

        ValueError where `frame_ms` is not above 0.
        """
        self._frame_ns = round(_positive("frame_ms", frame_ms, "milliseconds") * 1e6)
        self._script, self._publisher, self._now_ns = script, publisher, now_ns
        self._instruments = instruments
        self._shards = 1 + max((row.shard for row in instruments), default=0)
        size = 1 + max((row.id for row in instruments), default=-1)
        self._stream_of = np.full((size, 2), -1, np.int32)  # By id: market stream, fills stream.
        for row in instruments:
            market = row.asset_class * self._shards + row.shard
            self._stream_of[row.id] = market, _FILLS * self._shards + row.shard
        self._streams = np.zeros((len(_TOPICS) * self._shards, 2), np.int64)  # Next sequence, end.
        self._fresh = np.ones(len(self._streams), np.bool_)  # Its next frame restarts it.
        self._cut_ns: int | None = None
        self._sent = self._frames = 0
        # Compiles the kernel before a clock runs.
        _split(_words(_NOTHING), _words(_NOTHING.copy()), self._stream_of, self._streams, 0)

    def step(self) -> int:
        """Send all that is due, at most about `STEP_EVENTS_MAX`; 0 while nothing is.

        The first call publishes the reference rows and starts the script. ValueError where an
        event's instrument is not among `instruments`.
        """
        now = self._now_ns()
        if self._cut_ns is None:
            self._publish_reference()
            now = self._now_ns()
            self._script.start(now)
        elif (
            0 <= now - self._cut_ns < self._frame_ns
            and self._script.behind_ns(now) < self._frame_ns
        ):
            return 0
        events = self._script.due(now, STEP_EVENTS_MAX)
        if self._script.took_restart():
            self._streams[:, 0] = 0
            self._fresh[:] = True
        if len(events) or self._cut_ns is None:
            self._cut_ns = now  # A round without events delays none: the next leaves at once.
        self._publish(events, now)
        for row in self._script.took_rows(now):
            self._publisher.publish("reference", -1, row.to_json(), row.symbol.encode())
        self._sent += len(events)
        return len(events)

    def wait_s(self) -> float:
        """How long until a step has something to send, so that its caller can sleep till then."""
        if self._cut_ns is None:
            return 0.0
        now = self._now_ns()
        return max(self._cut_ns + self._frame_ns - now, -self._script.behind_ns(now), 0) / 1e9

    def status(self) -> ReplayStatus:
        """What was sent and how far behind its intended times the loop is."""
        behind = self._script.behind_ns(self._now_ns()) if self._cut_ns is not None else 0
        finished = bool(getattr(self._script, "finished", False))
        return ReplayStatus(self._sent, self._frames, max(behind, 0) / 1e9, finished)

    def _publish_reference(self) -> None:
        for row in self._instruments:
            self._publisher.publish("reference", -1, row.to_json(), row.symbol.encode())
        self._publisher.flush(REFERENCE_FLUSH_S)

    def _publish(self, events: np.ndarray, now_ns: int) -> None:
        if not len(events):
            return
        ordered = np.empty(len(events), EVENT)
        unknown = _split(_words(events), _words(ordered), self._stream_of, self._streams, now_ns)
        if unknown >= 0:
            raise ValueError(
                f"replay: an event speaks of instrument {unknown}, which is not among the "
                f"{len(self._instruments)} reference rows; add its row or leave the event out"
            )
        ends = self._streams[:, 1].tolist()
        for stream, (first, end) in enumerate(pairwise([0, *ends])):
            if end > first:
                self._publish_stream(stream, ordered[first:end], now_ns)

    def _publish_stream(self, stream: int, events: np.ndarray, now_ns: int) -> None:
        topic, partition = divmod(stream, self._shards)
        sequence = int(self._streams[stream, 0])
        for place in range(0, len(events), FRAME_EVENTS_MAX):
            part = events[place : place + FRAME_EVENTS_MAX]
            restart = bool(self._fresh[stream])
            value = encode(part, topic, sequence, now_ns, restart=restart)
            self._publisher.publish(_TOPICS[topic], partition, value)
            self._fresh[stream] = False
            sequence += len(part)
            self._frames += 1
        self._streams[stream, 0] = sequence


_NOTHING = np.zeros(0, EVENT)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    if len(parts) < 2:
        return parts[0] if parts else _NOTHING
    # As words: numpy's concatenate lays the overlapping fields of EVENT out anew, side by side.
    return np.concatenate([_words(part) for part in parts]).reshape(-1).view(EVENT)


def _words(events: np.ndarray) -> np.ndarray:
    return events.view(np.int64).reshape(-1, EVENT_BYTES // 8)


def _positive(name: str, value: float, meaning: str) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"replay: {name} is {value}; give a number above 0 ({meaning})")
    return value


@njit(cache=True)
def _split(
    words: np.ndarray, ordered: np.ndarray, stream_of: np.ndarray, streams: np.ndarray, now_ns: int
) -> int:
    """Sort events stably by stream, stamp `ts_recv`, number those without a sequence.

    `words`, `ordered`: int64 [n, 8], the eight words of a record. `streams` int64 [streams, 2]:
    in, the next sequence; out, beside it where the stream ends in `ordered`. Returns -1, or the id
    of an instrument without a stream.
    """
    ends = np.zeros(len(streams), np.int64)
    chosen = np.empty(len(words), np.int32)
    for place in range(len(words)):
        envelope = words[place, 3]
        instrument = envelope & 0xFFFFFFFF
        fill = 1 if _FILL <= (envelope >> 48) & 0xFF <= _ACTION else 0  # An own event.
        stream = stream_of[instrument, fill] if instrument < len(stream_of) else -1
        if stream < 0:
            return int(instrument)
        chosen[place] = stream
        ends[stream] += 1
    start = 0
    for stream in range(len(ends)):
        start, ends[stream] = start + ends[stream], start
    firsts = ends.copy()
    for place in range(len(words)):
        stream = chosen[place]
        to = ends[stream]
        ends[stream] = to + 1
        for word in range(8):
            ordered[to, word] = words[place, word]
        ordered[to, 1] = now_ns
        if ordered[to, 2] == 0:  # No number of the exchange's own.
            ordered[to, 2] = streams[stream, 0] + to - firsts[stream]
    streams[:, 1] = ends
    return -1
