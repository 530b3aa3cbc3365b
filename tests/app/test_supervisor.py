import os
import signal
import sys
import time
from pathlib import Path

import pytest

from app import supervisor as supervisor_room
from app.supervisor import RESTART_SECONDS_MAX, Role, Supervisor, restart_seconds

SLEEP = "import time; time.sleep(60)"
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def python(name, code, **more):
    return Role(name, (sys.executable, "-c", code), **more)


@pytest.fixture
def said():
    return []


@pytest.fixture
def supervisor(tmp_path, said):
    found = Supervisor(tmp_path, lambda: dict(os.environ), said.append)
    yield found
    found.stop()


def until(condition, supervisor, seconds=10.0):
    deadline = time.monotonic() + seconds
    deaths = []
    while not condition() and time.monotonic() < deadline:
        deaths += supervisor.step()
        time.sleep(0.01)
    assert condition()
    return deaths


def pid(supervisor, name):
    process = supervisor.children[name].process
    return process.pid if process else None


def test_what_is_killed_lives_again_and_it_is_said(supervisor, said):
    supervisor.start(python("live", SLEEP))
    first = pid(supervisor, "live")
    os.kill(first, signal.SIGKILL)
    deaths = until(lambda: pid(supervisor, "live") not in (None, first), supervisor)
    assert [(death.role.name, death.code) for death in deaths] == [("live", -9)]
    assert "live was ended by signal 9" in said[0]
    assert "Starting it again in 0.1 s." in said[0]


def test_an_early_death_shows_the_last_lines_of_its_log_once(supervisor, said):
    supervisor.start(python("record", "print('first'); raise SystemExit('no such table')"))
    until(lambda: len(said) >= 2, supervisor)
    assert "ended with code 1" in said[0]
    assert "no such table" in said[0]
    assert "2 times in a row" in said[1]
    assert said[1].count("\n") == said[0].count("\n") + 2, "only new lines are shown again"


def test_the_wait_doubles_up_to_its_limit():
    waits = [restart_seconds(n) for n in range(12)]
    assert waits[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == RESTART_SECONDS_MAX
    assert restart_seconds(10_000) == RESTART_SECONDS_MAX


def test_after_a_good_life_the_wait_is_short_again(tmp_path, said):
    now = [0.0]
    supervisor = Supervisor(tmp_path, lambda: dict(os.environ), said.append, now=lambda: now[0])
    try:
        supervisor.start(python("live", SLEEP))
        for lived in (1.0, 1.0, 1.0, 60.0):
            now[0] += lived
            os.kill(pid(supervisor, "live"), signal.SIGKILL)
            supervisor.children["live"].process.wait()
            supervisor.step()
            now[0] += 20
            supervisor.step()
    finally:
        supervisor.stop()
    waits = [text.partition("again in ")[2][:3] for text in said]
    assert waits == ["0.1", "0.2", "0.4", ""], "after a good life there is none"


def test_what_may_end_is_not_started_again(supervisor, said):
    supervisor.start(python("replay", "print('done')", ends=True))
    until(lambda: said, supervisor)
    for _ in range(30):
        supervisor.step()
        time.sleep(0.01)
    assert said == ["replay has finished."]
    assert pid(supervisor, "replay") is None


def test_what_may_end_but_fails_is_started_again(supervisor, said):
    supervisor.start(python("replay", "raise SystemExit(1)", ends=True))
    until(lambda: len(said) > 1, supervisor)


def test_all_end_within_three_seconds_even_the_deaf(supervisor):
    supervisor.start(python("deaf", DEAF))
    supervisor.start(python("kafka", SLEEP, leaned_on=True))
    supervisor.start(python("live", SLEEP))
    until(lambda: "deaf" in supervisor.tail("deaf"), supervisor)
    pids = [pid(supervisor, name) for name in ("deaf", "kafka", "live")]
    started = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - started < 3
    for number in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
    assert supervisor.children == {}


def test_what_others_lean_on_ends_after_them(supervisor, tmp_path):
    note = "import signal, sys, time\ndef end(*_): open({!r}, 'a').write({!r}); sys.exit()\n"
    note += "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(60)"
    order = str(tmp_path / "order")
    slow = note.replace("open(", "time.sleep(0.3); open(", 1)
    supervisor.start(python("kafka", note.format(order, "kafka "), leaned_on=True))
    supervisor.start(python("live", slow.format(order, "live ")))
    until(lambda: all("ready" in supervisor.tail(n) for n in ("kafka", "live")), supervisor)
    supervisor.stop()
    assert Path(order).read_text() == "live kafka "


def test_some_can_be_ended_while_others_live_on(supervisor):
    supervisor.start(python("live", SLEEP))
    supervisor.start(python("web", SLEEP))
    supervisor.stop(["live"])
    assert list(supervisor.children) == ["web"]
    assert supervisor.step() == []


def test_a_child_runs_at_its_niceness_and_in_a_session_of_its_own(supervisor):
    code = "import os; print(os.getpriority(os.PRIO_PROCESS, 0), os.getsid(0) == os.getpid())"
    supervisor.start(python("record", "import time; time.sleep(0.2);" + code, nice=10, ends=True))
    until(lambda: pid(supervisor, "record") is None, supervisor)
    assert supervisor.tail("record") == "10 True"


def test_a_long_log_is_moved_aside(supervisor, monkeypatch):
    monkeypatch.setattr(supervisor_room, "LOG_BYTES_MAX", 100)
    supervisor.log("live").write_text("x" * 101)
    supervisor.start(python("live", SLEEP))
    assert supervisor.log("live").with_suffix(".log.1").stat().st_size == 101
    assert supervisor.log("live").stat().st_size == 0


def test_a_restarted_child_gets_the_environment_of_that_moment(tmp_path, said):
    environment = dict(os.environ, WHICH="old")
    supervisor = Supervisor(tmp_path, lambda: environment, said.append)
    try:
        supervisor.start(python("live", "import os; print(os.environ['WHICH'])"))
        environment["WHICH"] = "new"
        until(lambda: supervisor.tail("live") == "old\nnew", supervisor)
    finally:
        supervisor.stop()
