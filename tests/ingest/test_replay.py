"""The replay: every event leaves, in order, numbered, at the time it was meant for."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.clock import VirtualClock
from ingest.event import EVENT, OWN, Kind
from ingest.frame import FRAME_EVENTS_MAX, Frame, check, decode
from ingest.instrument import AssetClass, Instrument
from ingest.market import Market
from ingest.replay import STEP_EVENTS_MAX, Recorded, Replay, Script, Synthetic
from ingest.universe import universe

SHARDS = 3
ROWS = universe(600, SHARDS)
KNOWN = np.ones(len(ROWS), np.bool_)
TOPICS = [*(asset_class.topic for asset_class in AssetClass), "fills"]
START_NS = 1_780_000_000_000_000_000


class Log:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.values: list[tuple[str, int, bytes, bytes | None]] = []
        self.flushed_after: list[int] = []

    def publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        self.values.append((topic, partition, value, key))

    def flush(self, seconds: float) -> int:
        assert seconds > 0
        self.flushed_after.append(len(self.values))
        return 0

    def frames(self) -> list[tuple[str, int, Frame]]:
        return [(t, p, decode(value)) for t, p, value, _ in self.values if t != "reference"]

    def events(self) -> np.ndarray:
        """All events of the frames in the order of publication, copied byte for byte."""
        return np.frombuffer(b"".join(f.events.tobytes() for _, _, f in self.frames()), EVENT)


class Bench:
    """A replay on a clock that the test moves, 1 ms a round."""

    def __init__(self, script: Script, instruments: list[Instrument] = ROWS) -> None:
        self.clock, self.log = VirtualClock(START_NS), Log()
        self.replay = Replay(script, instruments, self.log, now_ns=self.clock)

    def run(self, seconds: float) -> int:
        sent = 0
        for _ in range(round(seconds * 1_000)):
            self.clock.advance(0.001)
            sent += self.replay.step()
        return sent


def market(rate: float, seed: int = 7, *, fills: bool = True) -> Synthetic:
    return Synthetic(Market(ROWS, seed, halts_per_minute=600, halt_s=0.05), rate, fills=fills)


def of_market(events: np.ndarray) -> np.ndarray:
    """The market's events without the opening books and own fills."""
    return events[~OWN[events["kind"]] & (events["flags"] & 32 == 0)]


def record(times_ms: list[int], instruments: int = 600) -> np.ndarray:
    """Quotes at `times_ms` after an hour in the past."""
    events = np.zeros(len(times_ms), EVENT)
    events["ts_event"] = 1_500_000_000_000_000_000 + np.array(times_ms, np.int64) * 1_000_000
    events["kind"] = Kind.QUOTE
    events["instrument"] = np.arange(len(events)) % instruments
    events["bid"] = np.arange(len(events)) + 1
    events["bid_size"] = events["ask_size"] = 1
    return events


def milliseconds(events: np.ndarray) -> list[int]:
    return ((events["ts_event"] - START_NS) // 1_000_000).tolist()


def test_reference_comes_first_and_has_arrived_before_an_event() -> None:
    bench = Bench(market(10_000))
    bench.replay.step()
    topics = [topic for topic, _, _, _ in bench.log.values]
    assert topics.index(next(t for t in topics if t != "reference")) == len(ROWS)
    assert "reference" not in topics[len(ROWS) :]
    assert bench.log.flushed_after == [len(ROWS)]
    for row, (_, _, value, key) in zip(ROWS, bench.log.values, strict=False):
        assert Instrument.from_json(value) == row
        assert key == row.symbol.encode()


def test_every_frame_is_whole_and_its_stream_is_numbered_without_gaps() -> None:
    bench = Bench(market(200_000))
    bench.replay.step()
    bench.run(1.0)
    expected: dict[tuple[str, int], int] = defaultdict(int)
    newest: dict[tuple[str, int], int] = defaultdict(int)
    for topic, partition, frame in bench.log.frames():
        events = frame.events
        check(events, bench.clock(), KNOWN)
        stream = (topic, partition)
        assert frame.source == TOPICS.index(topic)
        assert frame.restart == (stream not in expected)
        assert frame.first_sequence == expected[stream]
        assert (events["sequence"] == frame.first_sequence + np.arange(len(events))).all()
        assert (events["ts_recv"] == frame.ts_send).all()
        assert (events["ts_event"] <= frame.ts_send).all()
        for event in events[:20]:
            row = ROWS[event["instrument"]]
            assert stream == (TOPICS[12 if OWN[event["kind"]] else row.asset_class], row.shard)
        if topic != "fills":
            assert (np.diff(events["ts_event"]) >= 0).all()
            assert events["ts_event"][0] >= newest[stream]
            newest[stream] = int(events["ts_event"][-1])
        expected[stream] += len(events)
    assert len(expected) == 13 * SHARDS
    assert sum(expected.values()) == bench.replay.status().events


def test_the_streams_together_are_the_market_byte_for_byte() -> None:
    bench = Bench(market(50_000, fills=False))
    bench.replay.step()
    bench.run(0.4)
    sent = np.sort(of_market(bench.log.events())["ts_event"], kind="stable")
    assert len(sent) == 20_001  # Those of [0 s, 0.4 s], both ends.
    once_more = Market(ROWS, 7, halts_per_minute=600, halt_s=0.05)
    twin = [once_more.step(START_NS, START_NS + 20_000, 1)]
    for step in range(100):
        first = START_NS + 20_000 + step * 4_000_000
        twin.append(once_more.step(first, first + 4_000_000, 200))
    assert (sent == np.concatenate([part["ts_event"] for part in twin])).all()
    for instrument in (0, 100, 300):
        own = bench.log.events()
        own = of_market(own[own["instrument"] == instrument])
        same = [part[part["instrument"] == instrument] for part in twin]
        for name in ("kind", "flags", "bid", "ask", "bid_size", "ask_size"):
            assert (own[name] == np.concatenate([part[name] for part in same])).all()


@pytest.mark.parametrize("rate", [1, 250, 30_000, 500_000])
def test_the_rate_is_kept_to_the_event(rate: int) -> None:
    bench = Bench(market(rate))
    bench.replay.step()
    bench.run(2.0 if rate < 1_000 else 0.2)
    seconds = (bench.clock() - START_NS) / 1e9
    assert len(of_market(bench.log.events())) == pytest.approx(rate * seconds + 1, abs=rate * 0.004)


def test_a_lone_event_leaves_at_once() -> None:
    bench = Bench(market(10, fills=False))
    bench.replay.step()
    moments = []
    for _ in range(1_000):
        bench.clock.advance(0.001)
        if bench.replay.step():
            moments.append(bench.clock() - START_NS)
    assert moments == [place * 100_000_000 for place in range(1, 11)]


def test_frames_are_cut_no_finer_than_frame_ms() -> None:
    bench = Bench(market(100_000))
    bench.replay.step()
    bench.run(0.2)
    sends = sorted({frame.ts_send for _, _, frame in bench.log.frames()})
    assert min(later - earlier for earlier, later in pairwise(sends)) == 4_000_000


def test_after_a_pause_all_of_it_is_sent_with_the_times_that_were_meant() -> None:
    bench = Bench(market(100_000, fills=False))
    bench.replay.step()
    bench.run(0.1)
    bench.clock.advance(2.0)  # The process stood still.
    assert bench.replay.status().behind_s == pytest.approx(2.0, abs=0.01)
    rounds = 0
    while bench.replay.step():
        rounds += 1
    assert rounds >= 200_000 / STEP_EVENTS_MAX
    assert bench.replay.status().behind_s < 0.004
    times = np.sort(of_market(bench.log.events())["ts_event"])
    assert len(times) == 210_001
    assert int(np.diff(times).max()) < 2_000_000  # No hole where the pause was.
    per_100_ms = np.bincount((times - START_NS) // 100_000_000)
    assert np.abs(per_100_ms[:-1] - 10_000).max() < 200  # Runs borrow from what follows.
    assert max(len(frame.events) for _, _, frame in bench.log.frames()) <= FRAME_EVENTS_MAX


def test_a_clock_that_steps_back_sends_nothing_twice() -> None:
    bench = Bench(market(50_000, fills=False))
    bench.replay.step()
    bench.run(0.1)
    bench.clock.advance(-0.05)
    assert bench.run(0.05) == 0
    bench.run(0.1)
    assert len(of_market(bench.log.events())) == pytest.approx(10_001, abs=200)


def test_a_record_is_shifted_to_now_and_keeps_its_gaps() -> None:
    bench = Bench(Recorded([record([0, 7, 7, 30]), record([31, 100])]))
    bench.replay.step()
    bench.run(0.2)
    assert sorted(milliseconds(bench.log.events())) == [0, 7, 7, 30, 31, 100]
    assert bench.replay.status().finished
    for _, _, frame in bench.log.frames():
        late = frame.ts_send - frame.events["ts_event"]
        assert (late >= 0).all()
        assert (late <= 4_000_000).all()


@pytest.mark.parametrize(("speed", "expected"), [(2.0, [0, 50, 100]), (0.5, [0, 200, 400])])
def test_speed_scales_the_gaps(speed: float, expected: list[int]) -> None:
    bench = Bench(Recorded([record([0, 100, 200])], speed=speed))
    bench.replay.step()
    bench.run(0.5)
    assert sorted(milliseconds(bench.log.events())) == expected


def test_rate_spaces_a_record_evenly() -> None:
    bench = Bench(Recorded([record([0, 1, 2]), record([900, 901])], rate=100))
    bench.replay.step()
    bench.run(0.1)
    assert sorted(milliseconds(bench.log.events())) == [0, 10, 20, 30, 40]


def test_order_of_the_record_stands_where_its_times_go_back() -> None:
    events = record([0, 20, 10, 30])
    events["instrument"] = 0
    bench = Bench(Recorded([events]))
    bench.replay.step()
    bench.run(0.1)
    assert bench.log.events()["bid"].tolist() == [1, 2, 3, 4]
    assert milliseconds(bench.log.events()) == [0, 20, 10, 30]


def test_a_number_of_the_exchange_is_kept() -> None:
    events = record([0, 1, 2])
    events["instrument"], events["sequence"] = 0, (900, 0, 902)
    bench = Bench(Recorded([events]))
    bench.replay.step()
    bench.run(0.05)
    assert bench.log.events()["sequence"].tolist() == [900, 1, 902]


def test_a_loop_restarts_the_numbering_of_every_stream() -> None:
    bench = Bench(Recorded([record([0, 10], 2), record([20, 40], 2)], loop=True))
    bench.replay.step()
    bench.run(0.125)
    assert sorted(milliseconds(bench.log.events()))[:9] == [0, 10, 20, 40, 40, 50, 60, 80, 80]
    streams = defaultdict(list)
    for topic, partition, frame in bench.log.frames():
        streams[topic, partition].append((frame.restart, frame.first_sequence))
    for frames in streams.values():
        assert [restart for restart, _ in frames].count(True) >= 3
        for (_, before), (restart, first) in pairwise(frames):
            assert restart == (first == 0)
            assert restart or first > before
    assert not bench.replay.status().finished


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=6),
    st.integers(1, 30),
)
def test_how_a_record_is_chunked_makes_no_difference(
    gaps_ms: list[int], cuts: list[int], round_ms: int
) -> None:
    events = record(np.cumsum(gaps_ms).tolist())
    chunks = np.split(events, sorted(cut for cut in cuts if cut < len(events)))
    bench = Bench(Recorded(iter(chunks)))
    bench.replay.step()
    while not bench.replay.status().finished:
        bench.clock.advance(round_ms / 1_000)
        bench.replay.step()
    sent = np.sort(bench.log.events(), order="bid")
    assert (sent["ts_event"] - START_NS == events["ts_event"] - events["ts_event"][0]).all()
    assert sent["bid"].tolist() == events["bid"].tolist()


def test_an_empty_record_is_finished() -> None:
    bench = Bench(Recorded([np.zeros(0, EVENT)], loop=True))
    bench.run(0.01)
    assert bench.replay.status().finished
    assert bench.replay.status().events == 0


def test_an_instrument_without_reference_is_named() -> None:
    events = record([0])
    events["instrument"] = 4_711
    bench = Bench(Recorded([events]))
    with pytest.raises(ValueError, match="instrument 4711, which is not among the 600 reference"):
        bench.replay.step()


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf")])
def test_rates_and_speeds_that_cannot_be_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"replay: rate is .* give a number above 0"):
        market(wrong)
    with pytest.raises(ValueError, match=r"replay: rate is .* give a number above 0"):
        Recorded([], rate=wrong)
    with pytest.raises(ValueError, match=r"replay: speed is .* give a number above 0"):
        Recorded([], speed=wrong)
    with pytest.raises(ValueError, match=r"replay: frame_ms is .* give a number above 0"):
        Replay(market(1), ROWS, Log(), frame_ms=wrong)


def test_a_loop_over_what_can_be_read_once_is_refused() -> None:
    def chunks() -> Iterator[np.ndarray]:
        yield record([0])

    with pytest.raises(ValueError, match="give a list"):
        Recorded(chunks(), loop=True)
