"""Promise: event made -> cell painted, everything on this machine: p50 <= 20 ms, p99 <= 50 ms.

The product itself is started (`up`: market, Kafka, live, record, ClickHouse, Redis, web; stand-ins
where no address is given), a headless Chromium opens the overview desk, or the one that --desk
names, and every sample is taken there: from the intended time of the oldest event that a row had
not yet shown, to the moment after the frame that painted it. The market is an open loop, so a
stall counts against every event that was due in it. The answer is checked too: no sequence
missing, no row of the record missing or doubled, the record keeping up.
"""

import json as json_room
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import psutil
import typer

from app.settings import RATE_MAX
from app.standins import free_port
from bench.browser import Page, page
from bench.report import machine, report
from bench.shipped import timed_alone
from compute.bus import Bus, BusError
from ingest.meter import Histogram

ROOT = Path(__file__).parents[1]
P50_MS_MAX, P99_MS_MAX = 20.0, 50.0
SAMPLES_MIN = 1_000
DESK = "overview"
WARM_SECONDS = 6.0
START_SECONDS = 90.0
SETTLE_SECONDS = 400.0  # A first start compiles the kernels, at full rate beside everything else.
ROLES = ("live.", "record.", "risk.", "tape.", "seal.", "witness.", "web.")
BEHIND_SECONDS_MAX = 10.0  # How far the record may be when we stop looking.
KNEE_FACTOR = 1.25
KNEE_FIGURES = ("rate_processed", "glass_ms_p50", "glass_ms_p99", "record_behind_s", "lost")
RATE_SHARE_MIN = 0.98  # Of what was offered must be processed: the rest would be queueing.


class Door(Protocol):
    """How the product is guarded, and how a page comes in all the same."""

    flags: tuple[str, ...]

    def environment(self, port: int) -> dict[str, str]:
        """Settings of `up`."""

    def address(self, port: int) -> str:
        """Of the desk, once there is an answer."""


@contextmanager
def product(
    rate: int,
    data: Path,
    port: int,
    extra: list[str],
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen]:
    """`up` as a user starts it, ended as a user ends it."""
    command = [sys.executable, "-m", "app", "up", "--rate", str(rate), "--port", str(port)]
    log = (data / "up.log").open("wb")
    process = subprocess.Popen(
        [*command, "--data", str(data / "run"), *extra],
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def addresses(data: Path, process: subprocess.Popen) -> dict[str, Any]:
    """What `up` wrote of itself, once live has reported."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            run = json_room.loads((data / "run" / "run.json").read_bytes())
            if any(role.startswith("live.") for role in Bus(run["redis"]).health()):
                return dict(run)
        except (OSError, ValueError, KeyError, BusError):
            pass
        time.sleep(0.2)
    raise SystemExit(f"up did not start; it said:\n{(data / 'up.log').read_text()[-2000:]}")


def settle(bus: Bus) -> None:
    """Wait until every role works: what a start costs is not what running costs."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        told = bus.health()
        waited = [role for role in ROLES if not any(name.startswith(role) for name in told)]
        waited += [
            f"{name} ({row['starting']})" for name, row in told.items() if row.get("starting")
        ]
        if not waited:
            return
        time.sleep(0.2)
    raise SystemExit(f"not at work after {SETTLE_SECONDS:.0f} s: {', '.join(waited)}")


def cpu_seconds(process: subprocess.Popen) -> dict[str, float]:
    """CPU seconds so far of every process of the product and of the browser, by role."""
    found: dict[str, float] = {}
    browsers = psutil.Process().children(recursive=True)
    for child in {*psutil.Process(process.pid).children(recursive=True), *browsers}:
        try:
            words, times = child.cmdline(), child.cpu_times()
        except psutil.Error:
            continue
        role = _role(words)
        found[role] = found.get(role, 0.0) + times.user + times.system
    return found


def _role(words: list[str]) -> str:
    if "app" in words:
        after = [word for word in words[words.index("app") + 1 :] if not word.startswith("-")]
        return "-".join(after[:2]) if after[:1] == ["standin"] else (after or ["up"])[0]
    name = Path(words[0].split()[0]).name if words and words[0] else "?"
    return {"chromium": "browser"}.get(name, name)


def _sum(rows: dict[str, dict[str, Any]], role: str, name: str) -> float:
    return float(sum(row.get(name) or 0 for key, row in rows.items() if key.startswith(role)))


def _watch(seen: Page, bus: Bus, process: subprocess.Popen, seconds: float) -> dict[str, Any]:
    """Samples of the page and counters of the product over `seconds`."""
    seen.evaluate("(window.tickglass.drain(), window.tickglass.stages(), 0)")
    before, cpu, start = bus.health(), cpu_seconds(process), time.monotonic()
    time.sleep(seconds)  # Nobody asks the page for anything meanwhile.
    stages = seen.evaluate("window.tickglass.stages()")
    elapsed = time.monotonic() - start
    after, cpu_after = bus.health(), cpu_seconds(process)
    samples = seen.evaluate("Array.from(window.tickglass.drain())")
    # The reports' own moments bound the interval of their counters.
    span_s = (_newest(after, "live.") - _newest(before, "live.")) / 1e3 or elapsed
    return {
        "samples": samples,
        "health": after,
        "stages": stages,
        "events": _sum(after, "live.", "events") - _sum(before, "live.", "events"),
        "recorded": _sum(after, "record.", "recorded_rows")
        - _sum(before, "record.", "recorded_rows"),
        "span_s": span_s,
        "cpu": {
            role: round((used - cpu.get(role, 0.0)) / elapsed, 2)
            for role, used in sorted(cpu_after.items())
        },
    }


def _newest(rows: dict[str, dict[str, Any]], role: str) -> float:
    return max((row["now_ms"] for key, row in rows.items() if key.startswith(role)), default=0.0)


def _count(run: dict[str, Any]) -> tuple[int, int, int]:
    """Rows on record, offsets missing, rows doubled."""
    from compute import account
    from compute.archive import Archive

    rows = account.count(Archive(run["clickhouse"], run.get("database", "tickglass")))
    return (
        sum(row.rows for row in rows),
        sum(row.holes + row.torn for row in rows),
        sum(row.doubles for row in rows),
    )


def measure(
    rate: int, seconds: float, extra: list[str], door: Door | None = None, desk: str = DESK
) -> dict[str, Any]:
    """Figures of one run at `rate` events/s of a page of `desk`, open as on one's own machine.

    A `door` guards the product, and leads to the desk of its own address.
    """
    with tempfile.TemporaryDirectory(prefix="tickglass-glass-") as folder:
        data, port = Path(folder), free_port()
        settings = door.environment(port) if door else None
        flags = door.flags if door else ()
        with product(rate, data, port, extra, settings) as process, page(*flags) as glass:
            run = addresses(data, process)
            glass.goto(door.address(port) if door else f"http://127.0.0.1:{port}/{desk}")
            glass.wait_for("!!window.tickglass && window.tickglass.stats().total > 0", 30.0)
            settle(Bus(run["redis"]))
            time.sleep(WARM_SECONDS)
            seen = _watch(glass, Bus(run["redis"]), process, seconds)
            recorded, missing, doubled = _count(run)
    histogram = Histogram()
    histogram.add(np.array(seen["samples"], np.float64))
    health = seen["health"]
    live = next(row for role, row in health.items() if role.startswith("live."))
    record: dict[str, Any] = next(
        (row for role, row in health.items() if role.startswith("record.")), {}
    )
    return {
        "desk": desk if door is None else DESK,
        "rate_offered": rate,
        "rate_processed": round(seen["events"] / seen["span_s"]),
        "rate_recorded": round(seen["recorded"] / seen["span_s"]),
        "recorded_rows": recorded,
        "record_behind_s": record.get("behind_s"),
        "lost": int(_sum(health, "live.", "gaps")) + missing,
        "doubled": int(_sum(health, "live.", "repeats")) + doubled,
        "quarantined": int(_sum(health, "live.", "quarantined")),
        "glass_ms_p50": histogram.percentile(0.5),
        "glass_ms_p99": histogram.percentile(0.99),
        "glass_ms_p999": histogram.percentile(0.999),
        "glass_ms_max": histogram.max_ms,
        "samples": histogram.count,
        "negative": histogram.negative,
        "kafka_ms_p50": live.get("kafka_ms_p50"),
        "kafka_ms_p99": live.get("kafka_ms_p99"),
        "stages_ms": _stages(seen["stages"], health),
        "cpu_cores": seen["cpu"],
    }


def _stages(page: dict[str, Any], health: dict[str, Any]) -> dict[str, list[float | None]]:
    """[p50, p99] of each stage on the way: the servers' of their last second, the page's of all."""
    told: dict[str, list[float | None]] = {}
    for kind in ("live.", "web."):
        row: dict[str, Any] = next(
            (row for role, row in health.items() if role.startswith(kind)), {}
        )
        told |= row.get("stages_ms", {})
    return told | {name: [row["p50"], row["p99"]] for name, row in page.items()}


def holds(figures: dict[str, Any]) -> bool:
    """Whether one run kept the promise."""
    return bool(
        figures["samples"] >= SAMPLES_MIN
        and figures["glass_ms_p50"] <= P50_MS_MAX
        and figures["glass_ms_p99"] <= P99_MS_MAX
        and figures["lost"] == 0
        and figures["doubled"] == 0
        and figures["quarantined"] == 0
        and figures["rate_processed"] >= RATE_SHARE_MIN * figures["rate_offered"]
        and (figures["record_behind_s"] or 0.0) <= BEHIND_SECONDS_MAX
    )


@contextmanager
def real_kafka() -> Iterator[str]:
    """A real broker from deploy/kafka, for one run; its address."""
    with tempfile.TemporaryDirectory(prefix="tickglass-kafka-") as folder:
        command = [str(ROOT / "deploy" / "kafka" / "start"), "--port", str(free_port())]
        with subprocess.Popen(
            [*command, "--data", folder], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline().split()
                if said[:1] != ["ready"]:
                    raise SystemExit("The real Kafka did not start; its reason stands above.")
                yield said[1]
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def find_knee(rate: int, seconds: float, extra: list[str], desk: str = DESK) -> dict[str, Any]:
    """Raise the rate by KNEE_FACTOR until a promise breaks; the last that held is the knee."""
    tried: dict[str, Any] = {}
    best = 0
    while True:
        found = measure(rate, seconds, extra, desk=desk)
        tried[str(rate)] = {name: found[name] for name in KNEE_FIGURES} | {"holds": holds(found)}
        print(rate, tried[str(rate)], file=sys.stderr, flush=True)
        if not holds(found) or rate >= RATE_MAX:
            return found | {"knee": best, "broke_at": None if holds(found) else rate, "runs": tried}
        best, rate = rate, min(RATE_MAX, round(rate * KNEE_FACTOR))


Rate = Annotated[int, typer.Option(min=1, help="Events a second, offered open loop.")]
Seconds = Annotated[float, typer.Option(min=1, help="How long to look, after warming up.")]
Address = Annotated[str | None, typer.Option(help="Use this one in place of the stand-in.")]


def main(  # noqa: PLR0913
    rate: Rate = 100_000,
    seconds: Seconds = 30.0,
    kafka: Annotated[
        str | None, typer.Option(help="Use this one in place of the stand-in; `real` starts one.")
    ] = None,
    redis: Address = None,
    clickhouse: Address = None,
    partitions: Annotated[int | None, typer.Option(help="Partitions of each topic.")] = None,
    desk: Annotated[str, typer.Option(help="Which desk the page shows.")] = DESK,
    knee: Annotated[bool, typer.Option(help="Raise the rate from here until it breaks.")] = False,
    compare: Annotated[bool, typer.Option(help="And stock Panel at a rate it can take.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """Event made -> cell painted at one rate, everything on this machine."""
    desk = timed_alone(desk)
    with ExitStack() as stack:
        if kafka == "real":
            kafka = stack.enter_context(real_kafka())
        given = {"kafka": kafka, "redis": redis, "clickhouse": clickhouse, "partitions": partitions}
        pairs = ((name, value) for name, value in given.items() if value)
        extra = [word for name, value in pairs for word in (f"--{name}", str(value))]
        found = machine()
        figures = (find_knee if knee else measure)(rate, seconds, extra, desk=desk)
    kept = bool(figures["knee"]) if knee else holds(figures)
    if compare:
        from bench.compare import compare as beside

        figures["compare"] = beside(seconds)
    report("glass", kept, figures, found)


if __name__ == "__main__":
    typer.run(main)
