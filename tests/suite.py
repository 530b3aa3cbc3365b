"""The whole suite: first what no clock decides, on every core at once; then the rest.

What runs real processes against the clock has the mark `clocked` (set in conftest.py). Of it, the
rooms that wait for one server or one browser each go side by side, two files at a time; what runs
the product has the machine to itself. A shared machine may still hold its breath for seconds: if a
few of the clocked tests fail, they get one second look in a process of their own, with everything
started anew, and the summary says so. What fails twice is red, and so is whatever else fails once.
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
PAIRED = ("tests/compute", "tests/ingest", "tests/app/blocks")  # Their files may go side by side.


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
    for name in ("unclocked", "paired", "clocked"):
        shutil.rmtree(ROOT / CACHE / name, ignore_errors=True)
    cores = ("-n", str(os.cpu_count() or 1), "--dist", "loadfile")
    slowest = ("--durations", "15")
    first = run("unclocked", "-m", "not clocked", *cores)
    paired = run("paired", "-m", "clocked", *cores, *slowest, *PAIRED)
    alone = run("clocked", "-m", "clocked", *slowest, *(f"--ignore={room}" for room in PAIRED))
    again = failed("paired") + failed("clocked")
    second = max(paired, alone)
    if second == 1 and 0 < len(again) <= FEW:
        second = run("second-look", *again)
        typer.echo(f"=== second look at {len(again)}: {'still red' if second else 'passed'}")
    return first or second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
