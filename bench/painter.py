"""Promise: 40 x 15 cells that all change cost the page <= 10 ms of its main thread an update.

A whole overview desk in a headless Chromium without a GPU, fed by a made-up market in which every
visible cell changes at every update, 20 and 60 times a second. What the main thread does is read
from Chromium's own trace: all of its tasks, script, style, layout, paint and garbage, summed over
the time of each update. Then the blotter is scrolled by its wheel through 20,000 rows of 40
columns while it ticks; a hitch is the longest time between two frames.

With --desk shipped desks are measured in its place, each with all of its blocks and the product's
own sessions, every instrument changing 20 times a second: which is the heaviest, and does it hold?
What is told of processes is not made up, so the blocks of operations stand empty.
"""

import asyncio
import json as json_text
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench.browser import Page, page
from bench.report import machine, report
from bench.shipped import named

SERVER = Path(__file__).parents[1] / "tests/app/blocks/fake_server.py"
RATES = (20, 60)
MAIN_MS_MAX = 10.0
FRAMES_SHARE_MIN = 0.95  # Of the updates, or of 60 frames a second.
HITCH_MS_MAX = 100.0
ROWS = 20_000
DESK_RATE, DESK_ROWS = 20, 2_500
WARM_SECONDS = 2.0
_TASK = "RunTask"
_COUNT = "tickglass.counted()"
_WATCH = """(() => { window.gaps = []; let was = 0;
  const look = (now) => {
    if (was) gaps.push(now - was);
    was = now;
    window.looking = requestAnimationFrame(look);
  };
  requestAnimationFrame(look); return 1; })()"""


@contextmanager
def market(rate: int, *more: str) -> Iterator[str]:
    """Address of a server whose visible cells all change `rate` times a second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(SERVER), str(port), "--rate", str(rate), "--all", *more]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if not json_text.loads(process.stdout.readline() or "{}").get("ready"):
            raise SystemExit("The made-up market did not start.")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.communicate()


def trace(shown: Page, seconds: float) -> list[dict[str, Any]]:
    """Events of Chromium's trace of the next `seconds`; times in microseconds."""
    found: list[dict[str, Any]] = []

    async def run() -> None:
        say = lambda number, method, **values: shown._socket.write_message(  # noqa: SLF001
            json_text.dumps({"id": number, "method": method, "params": values})
        )
        await say(
            10**8, "Tracing.start", categories="-*,toplevel,disabled-by-default-devtools.timeline"
        )
        await asyncio.sleep(seconds)
        await say(10**8 + 1, "Tracing.end")
        while True:
            message = json_text.loads(await shown._socket.read_message())  # noqa: SLF001
            if message.get("method") == "Tracing.dataCollected":
                found.extend(message["params"]["value"])
            elif message.get("method") == "Tracing.tracingComplete":
                return

    shown._loop.run_until_complete(run())  # noqa: SLF001
    return found


def main_ms(events: list[dict[str, Any]], rate: int) -> np.ndarray:
    """Milliseconds of the page's main thread in each period of one update."""
    named = [e for e in events if e["name"] == "thread_name"]
    mains = {(e["pid"], e["tid"]) for e in named if e["args"]["name"] == "CrRendererMain"}
    # The thread's own time, so that what else this machine does is not counted.
    tasks = [
        (e["ts"], e["dur"], e.get("tdur", e["dur"]))
        for e in events
        if e["name"] == _TASK and (e["pid"], e["tid"]) in mains and "dur" in e
    ]
    moments, lengths, spent = np.array(sorted(tasks), float).T
    # Of nested tasks only the outer one counts.
    ends = np.maximum.accumulate(moments + lengths)
    outer = np.concatenate(([True], moments[1:] >= ends[:-1] - 1))
    places = ((moments[outer] - moments[0]) * rate / 1e6).astype(int)
    return np.bincount(places, spent[outer] / 1e3)[:-1]


def ticking(address: str, rate: int, seconds: float) -> dict[str, float]:
    """Figures of the desk at `address`, of which every cell changes at every update."""
    with page() as shown:
        shown.goto(address)
        shown.wait_for("window.tickglass && tickglass.painted > 10", 60.0)
        time.sleep(WARM_SECONDS)
        before, began = shown.evaluate(_COUNT), time.perf_counter()
        events = trace(shown, seconds)
        after, took = shown.evaluate(_COUNT), time.perf_counter() - began
    spent = main_ms(events, rate)
    each = {name: (after[name] - before[name]) / took for name in after}
    return {
        "main_ms_per_update_mean": round(float(spent.mean()), 2),
        "main_ms_per_update_p50": round(float(np.quantile(spent, 0.5)), 2),
        "main_ms_per_update_p99": round(float(np.quantile(spent, 0.99)), 2),
        "updates_per_s": round(each["pushes"], 1),
        "frames_per_s": round(each["paints"], 1),
        "cells_per_s": round(each["cells"]),
        "cells_per_update": round(each["cells"] / max(1.0, each["pushes"])),
    }


def dense(rate: int, seconds: float) -> dict[str, float]:
    """Figures of a blotter of 40 x 15 such cells."""
    with market(rate) as address:
        return ticking(f"{address}dense_desk", rate, seconds)


def shipped(names: list[str], seconds: float) -> dict[str, Any]:
    """Figures of each of these desks, and which of them takes most of the main thread."""
    found: dict[str, Any] = {}
    with market(DESK_RATE, "--true", "--instruments", str(DESK_ROWS)) as address:
        for name in named(names):
            figures = ticking(address + name, DESK_RATE, seconds)
            each_second = round(figures["main_ms_per_update_mean"] * DESK_RATE, 1)
            found[name] = {"main_ms_per_s": each_second, **figures}
    heaviest = max(found, key=lambda name: found[name]["main_ms_per_s"])
    return {"rate": DESK_RATE, "heaviest": heaviest, "desks": found}


def holds_at(figures: dict[str, float], rate: int) -> bool:
    """Whether updates cost what they may and frames are not missed."""
    cheap = figures["main_ms_per_update_p99"] <= MAIN_MS_MAX
    return cheap and figures["frames_per_s"] >= FRAMES_SHARE_MIN * rate


def scrolling(seconds: float) -> dict[str, float]:
    """Figures of a wheel that turns 60 times a second over a blotter that ticks."""
    with market(20, "--instruments", str(ROWS)) as address, page() as shown:
        shown.goto(address + "wide_desk")
        shown.wait_for("window.tickglass && tickglass.painted > 10", 60.0)
        time.sleep(WARM_SECONDS)
        shown.evaluate(_WATCH)
        at = {"type": "mouseWheel", "x": 700, "y": 500, "deltaX": 0}
        began, turns = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            shown._ask("Input.dispatchMouseEvent", {**at, "deltaY": 120})  # noqa: SLF001
            turns += 1
            time.sleep(max(0.0, turns / 60 - now))
        gaps = np.array(shown.evaluate("(cancelAnimationFrame(looking), gaps)"))[2:]
        top, wide = shown.evaluate("[tickglass.top(), tickglass.all().length]")
    return {
        "rows": ROWS,
        "columns": wide,
        "scrolled_rows": top,
        "frame_ms_p50": round(float(np.quantile(gaps, 0.5)), 1),
        "frame_ms_p99": round(float(np.quantile(gaps, 0.99)), 1),
        "hitch_ms": round(float(gaps.max()), 1),
        "frames_per_s": round(1e3 / float(gaps.mean()), 1),
    }


def main(
    seconds: Annotated[float, typer.Option(min=2, help="Of each rate, and of the scroll.")] = 6.0,
    desk: Annotated[
        list[str] | None, typer.Option(help="Shipped desks in its place, or `all`.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """Main thread of a desk whose cells all change, and the longest wait of a scroll."""
    found = machine()
    if desk:
        figures = shipped(desk, seconds)
        holds = all(holds_at(one, DESK_RATE) for one in figures["desks"].values())
        report("painter", holds, figures, found)
        return
    figures = {f"at_{rate}_per_s": dense(rate, seconds) for rate in RATES}
    figures["scroll"] = scrolling(seconds)
    holds = figures["scroll"]["hitch_ms"] <= HITCH_MS_MAX and all(
        holds_at(figures[f"at_{rate}_per_s"], rate) for rate in RATES
    )
    report("painter", holds, figures, found)


if __name__ == "__main__":
    typer.run(main)
