"""The whole suite: first what no clock decides, on every core at once; then the rest, one by one.

What runs real processes against the clock (the mark `clocked`, set in conftest.py) has the machine
to itself. A shared machine may still hold its breath for seconds: if a few of those tests fail,
they get one second look in a process of their own, with everything started anew, and the summary
says so. What fails twice is red, and so is whatever else fails once.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import typer

from app.settings import ROOT

FEW = 5  # More than these is not a machine that held its breath.
CACHE = Path(".pytest_cache")
NOTHING_TO_RUN = 5


def run(name: str, *options: str) -> int:
    """One run of pytest, with a memory of its own for what failed."""
    typer.echo(f"\n=== {name}: pytest {' '.join(options)}")
    memory = ["-o", f"cache_dir={CACHE / name}"]
    code = subprocess.run([sys.executable, "-m", "pytest", *memory, *options], check=False)
    return 0 if code.returncode == NOTHING_TO_RUN else code.returncode


def failed(name: str) -> list[str]:
    """What failed in the run of that name."""
    path = ROOT / CACHE / name / "v" / "cache" / "lastfailed"
    return list(json.loads(path.read_text())) if path.is_file() else []


def main(words: list[str]) -> int:
    """The suite where nothing is asked for, else the tests asked for; 0 if all passed."""
    os.chdir(ROOT)
    if words:
        return run("asked", *words)
    for name in ("unclocked", "clocked"):
        shutil.rmtree(ROOT / CACHE / name, ignore_errors=True)
    cores = os.cpu_count() or 1
    first = run("unclocked", "-m", "not clocked", "-n", str(cores), "--dist", "loadfile")
    second = run("clocked", "-m", "clocked", "--durations", "15")
    again = failed("clocked")
    if second == 1 and 0 < len(again) <= FEW:
        second = run("second-look", *again)
        typer.echo(f"=== second look at {len(again)}: {'still red' if second else 'passed'}")
    return first or second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
