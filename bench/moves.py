"""Promise: workers of `live` come and go, and no tile stands still for longer than a second.

The product runs on four partitions, and its workers become two, three, four, one and two; then
one of them is killed with SIGKILL. Meanwhile the bench reads what pages read: for how long was
nothing new told of each partition (bench/silence.py)? Afterwards live's own count of gaps and
repeats must be 0.
"""

import subprocess
import sys
import tempfile
import time
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
REST_SECONDS, AFTER_SECONDS, MOVE_SECONDS_MAX = 4.0, 3.0, 60.0
LOOK_SECONDS, FRESH_MS = 0.2, 2_500.0
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
            moved = [(count, _move(silence, bus, data, count)) for count in COUNTS]
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


def _move(silence: Silence, bus: Bus, data: Path, count: int) -> float:
    """Have so many workers; the longest silence until each has its part and a while after, ms."""
    words = ["-m", "app", "workers", "--live", str(count), "--data", str(data / "run")]
    asked = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    dealt, moved_at = Dealt(bus, count), 0.0

    def over() -> bool:
        nonlocal moved_at
        if not moved_at and dealt():
            moved_at = time.monotonic()
        return bool(moved_at) and time.monotonic() > moved_at + AFTER_SECONDS

    try:
        return max(silence.until(over).values())
    finally:
        asked.wait(ASK_SECONDS)


class Dealt:
    """Whether so many workers are there, each with its part, by what they tell once a second."""

    def __init__(self, bus: Bus, count: int) -> None:
        """Not looked yet."""
        self.bus, self.count = bus, count
        self._look_at, self._end = 0.0, time.monotonic() + MOVE_SECONDS_MAX

    def __call__(self) -> bool:
        """Looks LOOK_SECONDS apart; SystemExit where it does not come to that."""
        now = time.monotonic()
        if now > self._end:
            raise SystemExit(f"no {self.count} workers of live within {MOVE_SECONDS_MAX:.0f} s")
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        told = {k: row for k, row in self.bus.health().items() if k.startswith("live.")}
        newest = max((row["now_ms"] for row in told.values()), default=0.0)
        parts = [row["partitions"] for row in told.values() if row["now_ms"] > newest - FRESH_MS]
        sizes = [len(part) for part in parts]
        return (
            len(sizes) == self.count
            and sorted(n for part in parts for n in part) == list(range(PARTITIONS))
            and max(sizes) - min(sizes) <= 1
        )


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
