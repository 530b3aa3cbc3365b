import os
import signal
import subprocess
import sys
import time

import pytest

from app.heartbeat import Heartbeat, memory_bytes
from app.watch import Watch
from compute.bus import Bus, BusError

CHILD = """
import sys, time
from app.heartbeat import Heartbeat
from app.process import run
from compute.bus import Bus

class Loop:
    def step(self):
        time.sleep(0.01)
        return 1

with Heartbeat("live.0", Bus(sys.argv[1])) as heart:
    time.sleep(float(sys.argv[2]))
    heart.failed = run(lambda: heart.around(Loop)) != 0
"""


@pytest.fixture
def child(redis):
    started = []

    def start(making_s=0.0):
        command = [sys.executable, "-c", CHILD, redis, str(making_s)]
        started.append(subprocess.Popen(command))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(watch, bus, state, seconds=15.0):
    """Looks as a web server does; how long the state took to come."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        watch.take(bus.beats(), {})
        one = watch.of("live.0")
        if one and one.state == state:
            return one
        time.sleep(0.05)
    return pytest.fail(f"not {state} within {seconds} s, but {watch.roles}")


def test_a_process_that_starts_runs_hangs_goes_on_and_ends(child, redis):
    bus, watch = Bus(redis), Watch()
    process = child(making_s=0.5)
    assert until(watch, bus, "starting").why == "reads the reference rows and compiles its kernels"
    one = until(watch, bus, "up")
    assert one.beat["pid"] == process.pid
    assert one.beat["memory_bytes"] > 10e6
    assert one.beat["restarts"] == 0
    os.kill(process.pid, signal.SIGSTOP)
    assert until(watch, bus, "silent").age_s >= 1.25
    os.kill(process.pid, signal.SIGCONT)
    until(watch, bus, "up")
    process.terminate()
    assert process.wait(10) == 0
    assert until(watch, bus, "ended").beat["steps"] > 1


def test_a_killed_process_is_silent_and_its_next_life_is_counted(child, redis):
    bus, watch = Bus(redis), Watch()
    process = child()
    until(watch, bus, "up")
    process.kill()
    until(watch, bus, "silent")
    child()
    assert until(watch, bus, "up").beat["restarts"] == 1


class Deaf:
    def started(self, role):
        raise BusError("away")

    def beat(self, role, beat):
        raise BusError("away")

    def close(self):
        pass


def test_redis_away_costs_beats_and_nothing_else():
    with Heartbeat("live.0", Deaf(), every_s=0.01) as heart:
        time.sleep(0.05)
        heart.stepped()
    assert heart.steps == 1
    assert heart.restarts is None


def test_memory_of_a_process_that_is_not():
    assert memory_bytes() > 1e6
    assert memory_bytes("none") is None
