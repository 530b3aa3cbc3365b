"""Promise: a killed worker is replaced and current within 2 s, and nothing is lost or doubled.

The product runs (`up`), and `live` and `record` are killed in turn with SIGKILL. `live` is current
when deltas flow again that are young: the middle row of a cut tells of an event made less than
YOUNG_MS before. `record` is current when an insert of the successor is on record. Afterwards the
record is counted, and live's own count of gaps and repeats: both must be 0.
"""

import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from app.standins import free_port
from bench.glass import addresses, product
from bench.report import machine, report
from compute import account, delta
from compute.archive import Archive
from compute.bus import Bus
from compute.table import INSTRUMENTS

RATE = 20_000
WORKERS = ("live", "record")
WORKER_MS_MAX = 2_000.0
YOUNG_MS = 100.0
REST_SECONDS = 5.5  # Alternating, a worker lives twice that: a good life, restarted at once.
CURRENT_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 30.0


def measure(kills: int) -> dict[str, Any]:
    """Figures of so many kills: worker_ms_p50, worker_ms_p99, lost, doubled, and by worker."""
    with tempfile.TemporaryDirectory(prefix="tickglass-failover-") as folder:
        data = Path(folder)
        with product(RATE, data, free_port(), []) as process:
            run = addresses(data, process)
            bus, archive = Bus(run["redis"]), Archive(run["clickhouse"], run["database"])
            _await(lambda: _recorded_epoch(archive) > 0)
            times: dict[str, list[float]] = {worker: [] for worker in WORKERS}
            for number in range(kills):
                time.sleep(REST_SECONDS)
                worker = WORKERS[number % len(WORKERS)]
                current = _live_current(bus) if worker == "live" else _record_current(archive)
                kill(process.pid, worker)
                begun = time.monotonic()
                _await(current)
                times[worker].append((time.monotonic() - begun) * 1e3)
            counted = account_of(bus, archive)
    every = np.array([ms for found in times.values() for ms in found])
    by_worker = {
        f"{worker}_ms_{name}": round(float(np.percentile(found, share)), 1)
        for worker, found in times.items()
        for name, share in (("p50", 50), ("max", 100))
        if found
    }
    p50, p99 = np.percentile(every, [50, 99])
    return {
        "kills": len(every),
        "worker_ms_p50": round(float(p50), 1),
        "worker_ms_p99": round(float(p99), 1),
        **by_worker,
        **counted,
    }


def holds(figures: dict[str, Any]) -> bool:
    """Whether the promise was kept."""
    whole = figures["lost"] == figures["doubled"] == 0
    return bool(whole and figures["worker_ms_p99"] <= WORKER_MS_MAX)


def kill(up: int, worker: str) -> None:
    """SIGKILL for the first such worker of that `up`."""
    for child in psutil.Process(up).children(recursive=True):
        words = child.cmdline()
        if "app" in words and words[words.index("app") + 1 :][:1] == [worker]:
            child.send_signal(signal.SIGKILL)
            return
    raise SystemExit(f"no {worker} is running")


def _live_current(bus: Bus) -> Any:
    """Whether a later epoch than the present one tells of young events."""
    former = bus.last_epoch()
    image = delta.unpack_image(bus.image() or b"")
    place = [image.epoch, image.sequence]

    def current() -> bool:
        for epoch, sequence, frame in bus.deltas(*place):
            place[:] = epoch, sequence
            head, sections = delta.unpack(frame)
            moments = [one.oldest_ns for one in sections if one.table is INSTRUMENTS]
            made = np.concatenate(moments) if moments else np.zeros(0)
            made = made[made > 0]
            if epoch > former and len(made) and (head[2] - np.median(made)) / 1e6 < YOUNG_MS:
                return True
        return False

    return current


def _record_current(archive: Archive) -> Any:
    """Whether an insert of a later writer than the present one is on record."""
    former = _recorded_epoch(archive)
    return lambda: _recorded_epoch(archive) > former


def _recorded_epoch(archive: Archive) -> int:
    """Of the writer of the newest insert that holds rows; 0: none."""
    found = archive.rows(f"SELECT max(epoch) FROM {archive.database}.blocks")
    return int(found[0][0])


def _await(done: Any) -> None:
    deadline = time.monotonic() + CURRENT_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            if done():
                return
        except RuntimeError:  # The tables are not there yet.
            time.sleep(0.1)
        time.sleep(0.005)
    raise SystemExit(f"not current after {CURRENT_SECONDS_MAX:.0f} s")


def account_of(bus: Bus, archive: Archive) -> dict[str, Any]:
    """What the record lacks or has twice, once it has caught up, and what live missed."""
    time.sleep(REST_SECONDS)
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while bus.health()["record.0"]["behind_s"] > 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    rows, live = account.count(archive), bus.health()["live.0"]
    return {
        "recorded_rows": sum(row.rows for row in rows),
        "lost": sum(row.holes + row.torn for row in rows) + live["gaps"],
        "doubled": sum(row.doubles for row in rows) + live["repeats"],
    }


def main(
    kills: Annotated[int, typer.Option(min=1, help="How many, in turn.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """Kill `live` and `record` again and again: how long until their successors are current."""
    found = machine()
    figures = measure(kills)
    report("failover_workers", holds(figures), figures, found)


if __name__ == "__main__":
    typer.run(main)
