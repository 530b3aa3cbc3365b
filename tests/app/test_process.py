import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from app import process
from app.settings import ROOT


class Counting:
    def __init__(self, steps):
        self.left, self.closed = steps, 0

    def step(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return 1

    def close(self):
        self.closed += 1


def test_a_loop_that_says_it_is_done_ends_well():
    loop = Counting(3)
    assert process.run(lambda: loop, process.Stop()) == 0
    assert (loop.left, loop.closed) == (-1, 1)


def test_a_fault_ends_the_process_with_one_json_line(capsys):
    class Broken:
        def step(self):
            raise KeyError("what")

    assert process.run(Broken, process.Stop()) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert '"kind": "KeyError"' in line
    assert "test_process.py" in line, "the log says where"


def test_an_expected_fault_is_a_sentence_without_a_trace(capsys):
    def refuse():
        raise RuntimeError("Kafka at x does not answer.")

    assert process.run(refuse, process.Stop()) == 1
    line = capsys.readouterr().err
    assert "Kafka at x does not answer." in line
    assert "trace" not in line


def test_a_signal_only_sets_a_flag_and_the_step_is_finished():
    code = """
import os, signal
from app import process
class Loop:
    def step(self):
        os.kill(os.getpid(), signal.SIGTERM)
        print("finished", flush=True)
        return 1
    def close(self):
        print("closed", flush=True)
raise SystemExit(process.run(Loop))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.stdout == b"finished\nclosed\n"
    assert done.returncode == 0


def test_a_child_ends_when_its_parent_is_killed():
    child = "import os, time; from app.process import end_with; end_with(os.getppid()); "
    child += "print(os.getpid(), flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE
    ) as process_:
        pid = int(process_.stdout.readline())
        process_.send_signal(signal.SIGKILL)
        process_.wait()
        deadline = time.monotonic() + 5
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _alive(pid)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
