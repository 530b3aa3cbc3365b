"""Promise: at twice the promised rate numbers are conflated, and nothing else: age <= 1 s, no loss.

The whole product runs at a rate that it does not promise, and a headless Chromium looks. Who is too
slow gets newer numbers less often: what is painted is never older than a second, no process grows
beyond its limit. Then the market rests, the record catches up, and every event of it must be there
once.
"""

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from app.standins import free_port
from bench.browser import Page, page
from bench.glass import addresses, product, settle
from bench.report import machine, report
from compute import account
from compute.archive import Archive
from compute.bus import Bus

AGE_MS_MAX = 1_000.0
MEMORY_MIB_MAX = 1_500.0  # Of any role but the stores, whose limits are their own.
LOOK_SECONDS, WARM_SECONDS = 1.0, 3.0
CATCH_UP_SECONDS_MAX = 300.0
RESTED_SECONDS = 1.0  # Behind: the newest event is on record.
STORES = ("kafka", "clickhouse")


def roles(up: int) -> Iterator[tuple[str, psutil.Process]]:
    """The processes of `up` that are the product's own, with the first word of what they do."""
    for child in psutil.Process(up).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = [word for word in child.cmdline() if word]
            if "app" in words:
                what, *more = words[words.index("app") + 1 :]
                yield (more[0] if what == "standin" else what), child


def look(glass: Page, bus: Bus, up: int, seconds: float) -> dict[str, Any]:
    """What is offered, processed, painted and held in memory over so many seconds."""
    glass.evaluate("(tickglass.drain(), 0)")
    before, begun = bus.health()["live.0"], time.monotonic()
    painted: list[float] = []
    behind = 0.0
    memory_mib: dict[str, int] = {}
    while time.monotonic() < begun + seconds:
        time.sleep(LOOK_SECONDS)
        painted += glass.evaluate("Array.from(tickglass.drain())")
        behind = max(behind, bus.health()["live.0"]["behind_s"] or 0.0)
        for role, process in roles(up):
            with contextlib.suppress(psutil.NoSuchProcess):
                size = process.memory_info().rss / 2**20
                memory_mib[role] = max(round(size), memory_mib.get(role, 0))
    health = bus.health()
    after = health["live.0"]
    span_s = (after["now_ms"] - before["now_ms"]) / 1e3
    return {
        "rate_processed": round((after["events"] - before["events"]) / span_s),
        "live_behind_s_max": behind,
        "record_behind_s": health["record.0"]["behind_s"],
        "age_ms_p50": float(np.median(painted)) if painted else None,
        "age_ms_p99": float(np.quantile(painted, 0.99)) if painted else None,
        "age_ms_max": max(painted, default=None),
        "samples": len(painted),
        "memory_mib": memory_mib,
    }


def rest(bus: Bus, archive: Archive, up: int) -> dict[str, Any]:
    """The market stands still: how long the record takes to have all of it, and what it has."""
    for role, process in roles(up):
        if role == "replay":
            process.send_signal(signal.SIGSTOP)
    begun, rows, before = time.monotonic(), -1, -2
    while (bus.health()["record.0"]["behind_s"] or 0.0) > RESTED_SECONDS or rows != before:
        if time.monotonic() > begun + CATCH_UP_SECONDS_MAX:
            raise SystemExit("the record does not catch up")
        time.sleep(LOOK_SECONDS)
        before, rows = rows, archive.size()[0]
    counts, live = account.count(archive), bus.health()["live.0"]
    return {
        "catch_up_s": round(time.monotonic() - begun, 1),
        "recorded_rows": sum(one.rows for one in counts),
        "events": live["events"],
        "lost": sum(one.holes + one.torn for one in counts) + live["gaps"],
        "doubled": sum(one.doubles for one in counts) + live["repeats"],
    }


def measure(rate: int, seconds: float) -> dict[str, Any]:
    """Figures of one run."""
    with tempfile.TemporaryDirectory(prefix="tickglass-overload-") as folder:
        data, port = Path(folder), free_port()
        with product(rate, data, port, []) as process, page() as glass:
            run = addresses(data, process)
            bus, archive = Bus(run["redis"]), Archive(run["clickhouse"], run["database"])
            glass.goto(f"http://127.0.0.1:{port}/overview")
            glass.wait_for("!!window.tickglass && tickglass.stats().total > 0", 60.0)
            settle(bus)
            time.sleep(WARM_SECONDS)
            found = look(glass, bus, process.pid, seconds)
            return {"rate_offered": rate, **found, **rest(bus, archive, process.pid)}


def holds(found: dict[str, Any]) -> bool:
    """Whether nothing but conflation happened."""
    own = {role: size for role, size in found["memory_mib"].items() if role not in STORES}
    return bool(
        found["samples"]
        and found["age_ms_p99"] <= AGE_MS_MAX
        and found["live_behind_s_max"] * 1e3 <= AGE_MS_MAX
        and max(own.values()) <= MEMORY_MIB_MAX
        and found["lost"] == found["doubled"] == 0
        and found["recorded_rows"] >= found["events"]
    )


def main(
    rate: Annotated[
        int, typer.Option(min=1, help="Events a second: twice what is held.")
    ] = 200_000,
    seconds: Annotated[float, typer.Option(min=2, help="How long it lasts.")] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """Age, memory and the record at twice the promised rate."""
    found = machine()
    figures = measure(rate, seconds)
    report("overload", holds(figures), figures, found)


if __name__ == "__main__":
    typer.run(main)
