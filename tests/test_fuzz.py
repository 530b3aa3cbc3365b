"""Short runs of the fuzzers: every surface takes its inputs, and some are refused."""

import json
import re
import subprocess
import sys

import pytest

from app.settings import ROOT

SECONDS = 300  # A busy machine takes its time.


def test_no_input_of_some_thousand_ends_or_holds_up_anybody():
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "2000", "--seed", "11"]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert sum(told["inputs"].values()) == 2_000
    assert all(told["inputs"].values())
    assert 0 < told["refused"]["frames"] < told["inputs"]["frames"]
    assert told["nonsense"]


def test_inputs_that_coverage_chooses_end_nobody_and_reach_more():
    """From the inputs to begin with, libFuzzer finds branches that these did not take."""
    pytest.importorskip("atheris", reason="atheris has no build for this machine's Python")
    command = [sys.executable, "-m", "tests.guided", "--inputs", "4000", "--seed", "11"]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    reached = {
        state: int(number)
        for state, number in re.findall(r"(INITED|DONE) +cov: (\d+)", ended.stderr)
    }
    assert reached["DONE"] > reached["INITED"] > 100
