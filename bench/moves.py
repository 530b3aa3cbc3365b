"""Promise: workers of `live` come and go, and no tile stands still for longer than a second.

The product runs on four partitions, and its workers become two, three, four, one and two; then
one of them is killed with SIGKILL. Meanwhile the bench reads what pages read: for how long was
nothing new told of each partition (bench/silence.py)? Afterwards live's own count of gaps and
repeats must be 0.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from app.settings import ROOT
from app.standins import free_port
from bench.failover_workers import WORKER_MS_MAX, kill
from bench.glass import addresses, product, settle
from bench.report import machine, report
from bench.silence import Silence
from compute import reports
from compute.bus import Bus

COUNTS = (2, 3, 4, 1, 2)  # Workers, one number after the other.
PARTITIONS, RATE = 4, 20_000
REST_SECONDS, MOVE_SECONDS = 4.0, 6.0
KILLED_SECONDS = 8.0
SILENT_MS_MAX = 1_000.0
ASK_SECONDS = 60.0


def measure(rate: int) -> dict[str, Any]:
    """Milliseconds of silence: at rest, with each number of workers, and with one killed."""
    with tempfile.TemporaryDirectory(prefix="tickglass-moves-") as folder:
        data = Path(folder)
        options = ["--live", "1", "--partitions", str(PARTITIONS)]
        with product(rate, data, free_port(), options) as process:
            bus = Bus(addresses(data, process)["redis"])
            silence = Silence(bus, "shard")
            settle(bus)
            rest = silence.during(REST_SECONDS)
            moved = [(count, _move(silence, data, count)) for count in COUNTS]
            kill(process.pid, "live")
            killed = silence.during(KILLED_SECONDS)
            told = reports.of(bus.health(), "live")
    return {
        "rest_silent_ms_max": round(rest, 1),
        "moved_silent_ms_max": round(max(ms for _, ms in moved), 1),
        "moved_silent_ms": [[count, round(ms, 1)] for count, ms in moved],
        "killed_silent_ms_max": round(killed, 1),
        "lost": int(told["gaps"]),
        "doubled": int(told["repeats"]),
    }


def _move(silence: Silence, data: Path, count: int) -> float:
    """Have so many workers; the longest silence meanwhile, ms."""
    words = ["-m", "app", "workers", "--live", str(count), "--data", str(data / "run")]
    asked = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        return silence.during(MOVE_SECONDS)
    finally:
        asked.wait(ASK_SECONDS)


def holds(figures: dict[str, Any]) -> bool:
    """Whether the promise was kept."""
    return bool(
        figures["moved_silent_ms_max"] <= SILENT_MS_MAX
        and figures["killed_silent_ms_max"] <= WORKER_MS_MAX
        and figures["lost"] == figures["doubled"] == 0
    )


def main(
    rate: Annotated[int, typer.Option(min=1_000, help="Events a second.")] = RATE,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """Add and remove workers of `live`: how long does a tile stand still?"""
    found = machine()
    figures = measure(rate)
    report("moves", holds(figures), figures, found)


if __name__ == "__main__":
    typer.run(main)
