import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.watch import SILENT_SECONDS, Watch, sentence
from ingest.clock import VirtualClock

HOUR = 3_600.0


class World:
    """A reader with a monotonic clock and a wall clock that move apart as a test likes."""

    def __init__(self):
        self.at = 100.0
        self.wall = VirtualClock()
        self.watch = Watch(lambda: self.at, self.wall)
        self.count = 0

    def wait(self, seconds):
        self.at += seconds
        self.wall.advance(seconds)

    def beat(self, **more):
        self.count += 1
        ms = self.wall() / 1e6
        return {"count": self.count, "pid": 7, "now_ms": ms, "state": "running"} | more

    def look(self, beat, report=None, role="live.0"):
        self.watch.take({role: beat} if beat else {}, {role: report} if report else {})
        return self.watch.of(role)


def test_a_role_that_beats_is_up_and_since_when():
    world = World()
    began_ms = world.wall() / 1e6
    for _ in range(8):
        one = world.look(world.beat(since_ms=began_ms))
        world.wait(0.5)
    assert (one.state, one.since_ms, one.for_s) == ("up", began_ms, 3.5)
    assert world.watch.state == "up"


def test_a_hung_role_is_silent_since_its_last_beat_and_well_again_at_its_next():
    world = World()
    last = world.beat()
    world.look(last)
    last_ms = world.wall() / 1e6
    world.wait(SILENT_SECONDS)
    assert world.look(last).state == "up"
    version = world.watch.version
    world.wait(0.1)
    one = world.look(last)
    assert (one.state, round(one.since_ms)) == ("silent", last_ms)
    assert one.for_s == pytest.approx(SILENT_SECONDS + 0.1)
    assert world.watch.version == version + 1
    assert sentence(one) == "live silent for 1 s"
    assert world.watch.state == "silent"
    assert world.look(world.beat()).state == "up"
    assert world.watch.version == version + 2


@given(st.lists(st.floats(-30 * HOUR, 30 * HOUR), min_size=1, max_size=20))
def test_a_wall_clock_that_steps_kills_nobody_and_revives_nobody(steps):
    world = World()
    world.look(world.beat())
    for step in steps:
        world.wall.advance(step)
        world.wait(0.3)
        assert world.look(world.beat()).state == "up"
    dead = world.beat()
    world.look(dead)
    for step in steps:
        world.wall.advance(step)
        world.wait(SILENT_SECONDS + 0.1)
        assert world.look(dead).state == "silent"


def test_what_was_silent_before_we_came_is_silent_and_long_gone_is_forgotten():
    world = World()
    old = world.beat()
    world.wall.advance(60)
    assert world.look(old).state == "silent"
    world = World()
    old = world.beat()
    world.wall.advance(2 * HOUR)
    assert world.look(old) is None


@pytest.mark.parametrize(
    ("beat", "report", "state"),
    [
        ({"state": "starting", "what": "compiles"}, {}, "starting"),
        ({"step_age_s": 2.5}, {}, "stuck"),
        ({}, {"behind_s": 1.5}, "behind"),
        ({}, {"behind_s": None}, "up"),
        ({}, {"problem": "Kafka is away"}, "degraded"),
        ({}, {"state": "catching up"}, "starting"),
        ({}, {"starting": "options"}, "starting"),
        ({"state": "ended"}, {}, "ended"),
        ({"state": "failed"}, {}, "silent"),
    ],
)
def test_what_a_role_says_of_itself_decides(beat, report, state):
    world = World()
    one = world.look(world.beat(**beat), report)
    assert one.state == state
    assert one.why or state == "up"


def test_the_worst_is_the_whole_and_one_that_starts_is_told():
    world = World()
    beats = {"live.0": world.beat(), "risk.0": world.beat(state="starting", what="reads limits")}
    world.watch.take(beats, {})
    assert world.watch.state == "starting"
    assert [(one.role, one.why) for one in world.watch.starting()] == [("risk.0", "reads limits")]
    world.watch.take(beats, {"live.0": {"behind_s": 9.0}})
    assert world.watch.state == "behind"
    assert [sentence(one) for one in world.watch.troubles()] == [
        "live behind for 0 s (9.0 s behind)"
    ]


def test_a_role_that_only_reports_is_judged_by_its_reports():
    world = World()
    report = {"now_ms": world.wall() / 1e6}
    assert world.look(None, report).state == "up"
    world.wait(3)
    assert world.look(None, report).state == "silent"
