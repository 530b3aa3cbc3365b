"""The fork server: what it forks is as if the supervisor had started it, and outlives it."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from app import fork_server
from app.settings import ROOT
from app.supervisor import Role, Supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux adopts grandchildren")

# A server that has loaded nothing: the order's arguments are Python code here.
SERVER = """
import sys
from app import fork_server
from app.process import Stop
order = fork_server.serve(Stop().listen())
if order is not None:
    exec(order.arguments[0])
"""
SLEEP = "import time; print('here', flush=True); time.sleep(60)"
SERVER_ROLE = Role("fork-server", (sys.executable, "-c", SERVER), forks=True)


def forked(name, code, **more):
    return Role(name, (sys.executable, "-m", "app", code), forked=True, **more)


@pytest.fixture
def said():
    return []


@pytest.fixture
def supervisor(tmp_path, said):
    found = Supervisor(
        tmp_path, lambda: {**os.environ, "TICKGLASS_SEED": "7"}, said.append, folder=ROOT
    )
    found.start(SERVER_ROLE)
    until(lambda: found.forks.ready, found)
    yield found
    found.stop()


def until(condition, supervisor, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        supervisor.step()
        time.sleep(0.01)
    assert condition()


def pid(supervisor, name):
    process = supervisor.children[name].process
    return process.pid if process else None


def test_what_is_forked_stands_as_what_is_started(supervisor):
    code = (
        "import os, sys; print(os.getppid(), os.getsid(0) == os.getpid(), os.getcwd(), "
        "os.getpriority(os.PRIO_PROCESS, 0), os.environ['TICKGLASS_SEED'], "
        "sys.stdin.read() == '', sys.argv[1] == order.arguments[0])"
    )
    supervisor.start(forked("live", code, nice=3, ends=True))
    until(lambda: pid(supervisor, "live") is None, supervisor)
    assert supervisor.tail("live") == f"{os.getpid()} True {ROOT} 3 7 True True"


def test_it_is_seen_by_its_own_name(supervisor):
    supervisor.start(forked("live", SLEEP))
    until(lambda: supervisor.tail("live") == "here", supervisor)
    words = psutil.Process(pid(supervisor, "live")).cmdline()
    assert words[:3] == [sys.executable, "-m", "app"]
    assert words[3] == SLEEP


def test_what_is_killed_is_forked_again_and_the_exit_code_is_told(supervisor, said):
    supervisor.start(forked("live", SLEEP))
    first = pid(supervisor, "live")
    assert psutil.Process(first).ppid() == os.getpid()
    os.kill(first, signal.SIGKILL)
    until(lambda: pid(supervisor, "live") not in (None, first), supervisor)
    assert "live was ended by signal 9" in said[0]
    supervisor.start(forked("record", "raise SystemExit(3)"))
    until(lambda: any("record ended with code 3" in text for text in said), supervisor)


def test_the_death_of_the_server_ends_nobody_and_it_comes_back(supervisor):
    supervisor.start(forked("live", SLEEP))
    worker, server = pid(supervisor, "live"), pid(supervisor, "fork-server")
    os.kill(server, signal.SIGKILL)
    until(lambda: pid(supervisor, "fork-server") not in (None, server), supervisor)
    until(lambda: supervisor.forks.ready, supervisor)
    assert pid(supervisor, "live") == worker
    assert psutil.Process(worker).is_running()


def test_without_a_server_a_role_is_started_from_nothing(tmp_path, said):
    supervisor = Supervisor(tmp_path, lambda: dict(os.environ), said.append, folder=ROOT)
    try:
        supervisor.start(
            Role("app", (sys.executable, "-m", "app", "--help"), forked=True, ends=True)
        )
        until(lambda: said, supervisor)
        assert said == ["app has finished."]
    finally:
        supervisor.stop()


def test_a_server_that_hangs_costs_seconds_and_no_second_process(supervisor, monkeypatch, tmp_path):
    monkeypatch.setattr("app.forks.ANSWER_SECONDS", 0.2)
    server = psutil.Process(pid(supervisor, "fork-server"))
    server.suspend()
    note = f"open({str(tmp_path / 'late')!r}, 'w')"
    assert (
        supervisor.forks.fork(
            fork_server.Order((note,), dict(os.environ), str(tmp_path / "log"), "/", 0, os.getpid())
        )
        is None
    )
    server.resume()
    until(lambda: not psutil.pid_exists(server.pid) or server.status() == "zombie", supervisor)
    assert not (tmp_path / "late").exists(), "nobody waits for it any more: it must not run"


def test_forked_workers_end_with_the_supervisor(tmp_path):
    code = f"""
import os, sys, time
from pathlib import Path
from app.settings import ROOT
from app.supervisor import Role, Supervisor
supervisor = Supervisor(Path({str(tmp_path)!r}), lambda: dict(os.environ), print, folder=ROOT)
supervisor.start(Role("fork-server", (sys.executable, "-c", {SERVER!r}), forks=True))
while not supervisor.forks.ready:
    time.sleep(0.01)
supervisor.start(Role("live", (sys.executable, "-m", "app", {SLEEP!r}), forked=True))
print(supervisor.children["live"].process.pid, flush=True)
time.sleep(60)
"""
    with psutil.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=-1,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        _, alive = psutil.wait_procs([worker], timeout=10)
        assert not alive


def test_what_is_loaded_leaves_one_thread(tmp_path):
    """A fork copies one thread alone; what others hold locked would stay so for ever."""
    code = (
        "from pathlib import Path; from app import fork_server; import os\n"
        f"fork_server.load(Path({str(tmp_path)!r})); print(len(os.listdir('/proc/self/task')))"
    )
    done = psutil.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=-1,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.communicate()[0].split() == [b"1"]
    assert Path("/proc/self/task").is_dir()
