"""`up` as a process: what it says before it starts, and that nothing of it is left when it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from app.settings import ROOT, process_mark
from app.standins import free_port


@pytest.fixture
def up(tmp_path):
    """Starts `up` on a data folder of its own; (process, data folder, log)."""
    started = []

    def start(*options):
        log = (tmp_path / "up.log").open("wb")
        command = [sys.executable, "-m", "app", "up", "--rate", "2000", "--port", str(free_port())]
        process = subprocess.Popen(
            [*command, "--data", str(tmp_path / "data"), *options],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        log.close()
        started.append(process)
        return process, tmp_path / "data", tmp_path / "up.log"

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(found, seconds, log):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(0.05)
    return pytest.fail(f"did not come within {seconds} s:\n{log.read_text()[-3000:]}")


def roles(process):
    """Process by role, of all children of `up`."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if not words:  # It has just ended.
            continue
        if "valkey-server" in words[0] or "redis-server" in words[0]:
            found["redis"] = child
        elif words[1:3] == ["-m", "app"]:
            found[words[4] if words[3] == "standin" else words[3]] = child
    return found


ALL = (
    {"kafka", "redis", "clickhouse", "live", "risk", "replay", "record", "tape", "web"}
    | {
        "seal",
        "witness",
    }
    | ({"fork-server"} if sys.platform == "linux" else set())
)


def recorded(log):
    return "rows" in log.read_text() and "recorded - rows" not in log.read_text().splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_everything_and_leaves_nothing(up, number):
    process, data, log = up()
    until(lambda: "Tickglass is up" in log.read_text(), 120, log)
    until(lambda: set(roles(process)) == ALL, 120, log)
    assert roles(process)["risk"].environ()["OPENBLAS_NUM_THREADS"] == "1"
    children = list(roles(process).values())
    started = time.monotonic()
    process.send_signal(number)
    assert process.wait(10) == 0
    assert time.monotonic() - started < 3
    assert not [child for child in children if child.is_running()]
    assert json.loads((data / "run.json").read_text())["pid"] == 0


def test_when_it_is_killed_its_children_go_too(up):
    process, _, log = up()
    until(lambda: set(roles(process)) == ALL, 120, log)
    children = list(roles(process).values())
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(children, timeout=3)
    # Who takes the place of their parent may be slow to hear that they have ended.
    assert not [one for one in alive if psutil.Process(one.pid).status() != psutil.STATUS_ZOMBIE]
    assert len(gone) + len(alive) == len(ALL)


def test_what_dies_comes_back_and_the_numbers_go_on(up):
    process, _, log = up()
    until(lambda: set(roles(process)) == ALL and " 0 pages" in log.read_text(), 120, log)
    for role in ("live", "risk", "record", "redis", "replay"):
        victim = roles(process)[role]
        victim.kill()
        until(lambda r=role, v=victim: (n := roles(process).get(r)) and n.pid != v.pid, 10, log)
        assert f"{role} was ended by signal 9" in log.read_text()

    def well():
        last = log.read_text().splitlines()[-1]
        return "events/s" in last and "no news" not in last and not last.startswith(("-", "0 "))

    until(well, 30, log)


def test_a_kafka_stand_in_that_dies_begins_a_new_record(up):
    process, data, log = up()
    until(lambda: set(roles(process)) == ALL, 120, log)
    before = json.loads((data / "run.json").read_text())
    web = roles(process)["web"].pid
    time.sleep(1.1)  # The record is named by the second.
    roles(process)["kafka"].kill()
    until(lambda: "log is lost" in log.read_text(), 5, log)

    def changed():
        run = json.loads((data / "run.json").read_text())
        return run if run["kafka"] != before["kafka"] else None

    after = until(changed, 15, log)
    assert after["database"] > before["database"]
    assert after["redis"] == before["redis"], "the web server is to find it again"
    until(lambda: set(roles(process)) == ALL, 120, log)
    assert roles(process)["web"].pid == web


def test_a_taken_port_is_said_before_anything_is_started(tickglass):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = tickglass("up", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"Port {port} cannot be used (address already in use). Name another: --port.\n"
    )
    assert done.stdout == ""


def test_a_read_only_data_folder(tickglass, tmp_path):
    (tmp_path / "file").touch()  # Even root cannot make a folder below a file.
    done = tickglass("up", "--port", str(free_port()), "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "cannot be written (not a directory). Name another: --data." in done.stderr
    assert done.stderr.count("\n") == 1


def test_addresses_that_do_not_answer_are_all_named(tickglass):
    port = free_port()
    done = tickglass(
        *("up", "--port", str(free_port()), "--kafka", f"127.0.0.1:{port}"),
        *("--clickhouse", f"http://127.0.0.1:{port}"),
        TICKGLASS_REDIS=f"redis://:geheim@127.0.0.1:{port}/0",
    )
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stderr.splitlines()] == [
        "Kafka",
        "Redis",
        "ClickHouse",
    ]
    assert "geheim" not in done.stderr


def test_a_second_one_on_the_same_data_folder(tickglass, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    mark = process_mark(os.getpid())
    (data / "run.json").write_text(json.dumps({"pid": os.getpid(), "process_mark": mark}))
    done = tickglass("up", "--port", str(free_port()))
    assert done.returncode == 1
    assert f"Another ./tickglass up (process {os.getpid()})" in done.stderr
