import subprocess
import sys

import pytest

from app.settings import ROOT

COMMANDS = [
    *([], ["up"], ["replay"], ["live"], ["record"], ["web"], ["standin"], ["standin", "kafka"]),
    *(["standin", "redis"], ["standin", "clickhouse"], ["audit"], ["audit", "count"], ["bench"]),
    *(["audit", "alerts"], ["audit", "verify"], ["audit", "export"], ["audit", "prove"]),
    *(["audit", "check"], ["audit", "rebuild"], ["audit", "keys"], ["audit", "rotate-key"]),
    *(["seal"], ["witness"]),
    ["test"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_everywhere(command, tickglass):
    done = tickglass(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ./tickglass")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("up --rate 0", "--rate is 0.0 but should be greater than 0"),
        ("up --rate -5", "--rate is -5.0 but should be greater than 0"),
        ("up --rate fast", "Invalid value for '--rate'"),
        ("up --speed 0 --replay .", "--speed is 0"),
        ("up --speed 2", "--speed and --loop are for recorded files"),
        ("up --rate 5 --speed 2 --replay .", "exclude each other"),
        ("up market.zip", "Did you mean --replay market.zip?"),
        ("replay --loop --kafka 127.0.0.1:1", "--speed and --loop are for recorded files"),
        ("live", "No Kafka address is known"),
        ("record --kafka 127.0.0.1:1", "No Clickhouse address is known"),
        ("web", "No Redis address is known"),
        ("bench nothing", "There is no bench 'nothing'. There are: "),
        ("dance", "No such command 'dance'"),
        ("standin kafka --brokers 3", "No such option: --brokers"),
    ],
)
def test_a_wrong_command_line_is_said_and_ends_with_2(command, said, tickglass):
    done = tickglass(*command.split())
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4


def test_a_file_that_is_not_there(tickglass, tmp_path):
    missing = tmp_path / "none.zip"
    done = tickglass("up", "--replay", str(missing), "--port", "65000")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{missing} does not exist.")


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.csv", b""), ("wrong.pdf", b"%PDF-1.7 nothing"), ("garbage.zip", b"PK\x03\x04xxxx")],
)
def test_files_that_hold_no_market_are_said(kafka, tickglass, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    done = tickglass("replay", str(tmp_path / name), "--kafka", kafka)
    assert done.returncode == 1
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert "trace" not in done.stderr


def test_nobody_answers_a_command_of_its_own(tickglass):
    done = tickglass("live", "--kafka", "127.0.0.1:1", "--redis", "redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "Kafka at 127.0.0.1:1 is not ready" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("what", ["count", "alerts"])
def test_the_audit_of_nothing_says_so(tickglass, what):
    done = tickglass("audit", what)
    assert done.returncode == 1
    assert done.stderr.startswith("There is no record under ")


def test_the_audit_starts_clickhouse_where_none_runs(tickglass, tmp_path):
    (tmp_path / "data" / "clickhouse").mkdir(parents=True)
    done = tickglass("audit", "count", timeout=60)
    assert done.returncode == 1
    assert "Database tickglass does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_of_ours_is_one_line_with_its_place():
    code = "import app.__main__ as m, app.settings as s; m.cli = lambda **_: 1 / 0; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "division by zero" in done.stderr
