"""The script that everything starts with."""

import os
import shutil
import subprocess

import pytest

from tests.house.house import ROOT

NEEDS = ("bash", "env", "dirname", "readlink", "cat", "cksum", "id")


@pytest.fixture
def run(tmp_path):
    """Runs the script where nothing is installed but what every system has."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in NEEDS:
        (path / name).symlink_to(shutil.which(name))
    home = tmp_path / "home"
    environment = {"PATH": str(path), "HOME": str(tmp_path), "TICKGLASS_HOME": str(home)}

    def call(*arguments):
        return subprocess.run(
            [ROOT / "tickglass", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return call, path, home


def test_a_machine_without_python_gets_one_sentence(run):
    done = run[0]("up")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("tickglass: needs Python 3.12 or newer")
    assert done.stderr.count("\n") == 1


def test_an_old_python_or_an_empty_shim_is_passed_over(run):
    call, path, _ = run
    for name in ("python3.13", "python3"):
        (path / name).write_text("#!/usr/bin/env bash\necho 'no such version' >&2; exit 127\n")
        (path / name).chmod(0o755)
    done = call("up")
    assert done.stderr.startswith("tickglass: needs Python 3.12 or newer")
    assert "no such version" not in done.stderr


def test_a_ready_environment_costs_no_installation(run):
    call, _, home = run
    (home / "bin").mkdir(parents=True)
    python = home / "bin" / "python"
    python.write_text('#!/usr/bin/env bash\necho "$@" "$NUMBA_CACHE_DIR"\n')
    python.chmod(0o755)
    text = (ROOT / "requirements/base.txt").read_bytes()
    checksum = subprocess.run(["cksum"], input=text, capture_output=True, check=True).stdout
    (home / "base.stamp").write_text(f"{ROOT} {checksum.decode()}")
    done = call("up", "--rate", "5")
    assert done.stdout == f"-P -m app up --rate 5 {home}/numba\n"
    assert done.stderr == ""


def test_it_can_be_run():
    assert os.access(ROOT / "tickglass", os.X_OK)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert os.access(ROOT / "deploy" / "kafka" / "start", os.X_OK)
