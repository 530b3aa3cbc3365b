import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.snapshot import CLOCKS
from ingest.offset import AHEAD_NS, STEP_NS, TRANSIT_NS, Offsets, Steps, Ways, rows

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
MS = 1_000_000
WAYS = (2 * MS, 3 * MS, 40 * MS)  # What frames truly take.


class World:
    """Us, our wall clock, and a source with a clock of its own."""

    def __init__(self):
        self.monotonic, self.ours, self.theirs = 10 * SECOND, 0, 0
        self.true = 1_700_000_000 * SECOND
        self.ways = Ways(self.now, self.monotonic)

    @property
    def now(self):
        return self.true + self.ours

    def second(self, frames=0, source=3, extra_ns=0):
        """A second passes, with a frame for each of WAYS; what is reported."""
        self.true += SECOND
        self.monotonic += SECOND
        sent = [(source, self.true + self.theirs - way - extra_ns) for way in WAYS]
        self.ways.take(sent, self.now)
        return self.ways.health(self.now, self.monotonic, frames)


def test_clocks_that_agree_time_what_lies_between():
    told = World().second()
    assert told["kafka_ms_p50"] == pytest.approx(3, rel=0.02)
    assert told["kafka_ms_p99"] == pytest.approx(40, rel=0.02)
    assert told["behind_s"] == pytest.approx(0.003, rel=0.02)
    assert (told["clock_note"], told["clock_steps"]) == ("", 0)
    assert told["clocks"][0]["offset_ms"] == -2


@pytest.mark.parametrize("off_ns", [HOUR, -HOUR, SECOND, -SECOND, 20 * MS, 400 * 24 * HOUR])
def test_a_source_whose_clock_is_off_leaves_latency_unknown_and_says_so(off_ns):
    world = World()
    world.theirs = off_ns
    told = world.second()
    assert told["kafka_ms_p50"] is None
    assert told["kafka_ms_p99"] is None
    assert told["feed_age_s"] is None
    assert told["behind_s"] == 0.0, "nothing waits: so much is known"
    assert "clock of source 3 is" in told["clock_note"]
    assert ("ahead of" in told["clock_note"]) == (off_ns > 0)
    measured = told["clocks"][0]
    assert measured["off"]
    assert measured["offset_ms"] == pytest.approx(off_ns / MS, abs=2.1)


def test_a_long_way_while_frames_wait_is_a_true_one():
    told = World().second(frames=900, extra_ns=30 * SECOND)
    assert told["behind_s"] == pytest.approx(30, rel=0.02)
    assert told["clock_note"] == ""


def test_what_is_off_and_waits_is_unknown():
    world = World()
    world.theirs = -HOUR
    world.second()
    assert world.second(frames=900)["behind_s"] is None


@pytest.mark.parametrize("step_ns", [HOUR, -HOUR, 100 * MS, -100 * MS])
def test_our_own_clock_is_set_and_a_second_later_all_is_known_again(step_ns):
    world = World()
    world.second()
    world.ours = step_ns
    world.theirs = step_ns  # They are set from the same hour.
    told = world.second()
    assert (told["kafka_ms_p50"], told["clock_steps"]) == (None, 1)
    assert f"{step_ns / SECOND:+,.1f} s" in told["clock_note"]
    told = world.second()
    assert told["clock_note"] == ""
    assert told["kafka_ms_p50"] == pytest.approx(3, rel=0.02)


def test_a_source_that_is_right_is_timed_beside_one_that_is_off():
    world = World()
    world.ways.take([(9, world.now + HOUR)], world.now)
    told = world.second()
    assert told["kafka_ms_p50"] == pytest.approx(3, rel=0.02)
    assert "source 9" in told["clock_note"]


@given(st.lists(st.integers(-STEP_NS, STEP_NS), max_size=30), st.integers(STEP_NS + 1, HOUR))
def test_slews_are_no_steps_and_a_step_is_one(slews, step):
    monotonic, now = 0, 0
    steps = Steps(now, monotonic)
    for slew in slews:
        monotonic += SECOND
        now += SECOND + slew
        assert steps.look(now, monotonic) == 0
    for way in (step, -step):
        now += way
        assert steps.look(now, monotonic) == way
    assert (steps.count, steps.newest_ns) == (2, -step)


@given(st.integers(-(2**62), 2**62), st.lists(st.integers(0, TRANSIT_NS), min_size=1))
def test_an_offset_is_off_by_no_more_than_it_says(theirs, ways):
    offsets = Offsets()
    for way in ways:
        offsets.take(1, way - theirs)
    (one,) = offsets.read(waiting=False)
    assert abs(one.offset_ns - theirs) <= one.uncertainty_ns
    if theirs > AHEAD_NS + TRANSIT_NS or theirs < -TRANSIT_NS:
        assert one.off


def test_the_record_takes_them():
    world = World()
    world.second()
    (row,) = rows(world.ways.offsets.known.values(), world.now, "here")
    assert tuple(row) == tuple(name for name, _ in CLOCKS)
    assert (row["host"], row["reference"], row["offset_ns"]) == ("source 3", "here", -2 * MS)
