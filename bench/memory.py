"""Promise: memory stays flat: server RSS and browser heap while pages come and go.

The product's web server over a Redis of its own, in which a market ticks; a Chromium keeps the
desk open, some pages stay, others come and go all the time, one never reads. RSS and heap are
sampled (the heap after a collection), the first third is warming up, and a line is laid through
the rest: what it rises in an hour, and how far a sample of a flat line would stray by its noise.

With `--stalled` nobody comes or goes: all pages but one stop reading, and the Chromium's is behind
others, so that it paints nothing. At the end they wake, and are to have the newest by what had
been on its way to them and one message more.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from app.flow import WINDOW
from bench import teller
from bench.browser import Page, page
from bench.report import machine, report

STAY, COME = 20, 5
STALLED = 100  # Pages that stop reading, beside one that reads.
WAKE_SECONDS = 10.0
CATCH_UP_MAX = WINDOW + 3  # Pushes of a page that wakes: those on their way, one, and as all.
RISE_MIB_MAX = 16.0  # Of the server, by all that stopped: their sockets' bytes are the kernel's.
# As a background tab: frames do not come, until they do.
HIDE = """(() => { window.frames = window.requestAnimationFrame; window.kept = [];
  window.requestAnimationFrame = (paint) => window.kept.push(paint); return 0; })()"""
SHOW = """(() => { window.requestAnimationFrame = frames;
  kept.forEach((paint) => frames(paint)); return 0; })()"""
LOOK_SECONDS = 5.0
WARM_SHARE = 1 / 3
TICKS_PER_S = 20.0
SHARE_PER_HOUR_MAX = 0.05  # Of what it is: less than the allocator's own breathing.


def slope(seconds: np.ndarray, mib: np.ndarray) -> dict[str, float]:
    """MiB an hour of the line through the samples, and twice its standard error."""
    hours = (seconds - seconds.mean()) / 3600
    rise = float((hours * (mib - mib.mean())).sum() / (hours**2).sum())
    rest = mib - mib.mean() - rise * hours
    error = float(np.sqrt((rest**2).sum() / max(1, len(mib) - 2) / (hours**2).sum()))
    return {"mib": float(mib.mean()), "mib_per_hour": rise, "noise_mib_per_hour": 2 * error}


def flat(found: dict[str, float]) -> bool:
    """Whether a rise is within its noise, or too small to matter in a day."""
    rise = found["mib_per_hour"]
    return rise <= found["noise_mib_per_hour"] or rise <= SHARE_PER_HOUR_MAX * found["mib"]


@contextlib.contextmanager
def watched(
    folder: Path, sessions: int
) -> Iterator[tuple[psutil.Process, Page, teller.Crowd, teller.Teller]]:
    """A web server, the browser and the crowd that look at it, and the market that ticks."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(teller.redis(folder))
        told = teller.Teller(address)
        process, port = stack.enter_context(teller.web(folder, address))
        url, server = f"http://127.0.0.1:{port}/overview", psutil.Process(process.pid)
        glass = stack.enter_context(page())
        stack.enter_context(told.telling(TICKS_PER_S))
        glass.goto(url)
        glass.wait_for("!!window.tickglass && window.tickglass.stats().total > 0", 30.0)
        crowd = teller.Crowd(url, sessions)
        stack.callback(crowd.stop)
        yield server, glass, crowd, told


def measure(minutes: float, folder: Path) -> dict[str, Any]:
    """Figures of one run."""
    moments, server_mib, heap_mib, opened = [], [], [], 0
    with watched(folder, STAY) as (server, glass, crowd, told):
        crowd.ask(stall=0)
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < 60 * minutes:
            crowd.ask(open=COME)
            opened += COME
            time.sleep(LOOK_SECONDS)
            crowd.ask(close=COME)
            moments.append(now)
            server_mib.append(server.memory_info().rss / 2**20)
            glass.evaluate("(window.tickglass.drain(), window.tickglass.stages(), 0)")
            heap_mib.append(glass.heap_bytes() / 2**20)
        lost = crowd.ask()["lost"]
    from_here = int(len(moments) * WARM_SHARE)
    seconds = np.array(moments[from_here:])
    return {
        "minutes": minutes,
        "sessions_opened": opened,
        "samples": len(seconds),
        "server": slope(seconds, np.array(server_mib[from_here:])),
        "heap": slope(seconds, np.array(heap_mib[from_here:])),
        "sockets_lost": lost,
        "ticks": told.sequence,
    }


def woken(crowd: teller.Crowd) -> tuple[int, float]:
    """Pushes that a page took until it had the newest, at most; and for how long in ms."""
    for number in range(1, STALLED + 1):
        crowd.ask(wake=number)
    before = begun = crowd.ask()
    since = time.monotonic()
    while time.monotonic() - since < WAKE_SECONDS:
        now = crowd.ask()
        if min(now["sequences"]) >= before["sequences"][0]:
            break
        time.sleep(0.01)
    else:
        raise SystemExit("pages that read again did not get the newest")
    ahead = now["each"][0] - begun["each"][0]  # What a page was sent meanwhile that never slept.
    took = max(b - a for a, b in zip(begun["each"], now["each"], strict=True)) - ahead
    return took, 1e3 * (time.monotonic() - since)


def measure_stalled(minutes: float, folder: Path) -> dict[str, Any]:
    """Figures of pages that stop reading."""
    moments, server_mib, heap_mib = [], [], []
    with watched(folder, 1 + STALLED) as (server, glass, crowd, told):
        time.sleep(LOOK_SECONDS)
        glass.evaluate(HIDE)
        for number in range(1, STALLED + 1):
            crowd.ask(stall=number)
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < 60 * minutes:
            moments.append(now)
            server_mib.append(server.memory_info().rss / 2**20)
            heap_mib.append(glass.heap_bytes() / 2**20)
            time.sleep(LOOK_SECONDS)
        took, took_ms = woken(crowd)
        hidden = glass.evaluate("tickglass.counted().pushes")
        painted = glass.evaluate("tickglass.stats().painted")
        glass.evaluate(SHOW)
        glass.wait_for(f"tickglass.stats().painted > {painted}", WAKE_SECONDS)
        lost = crowd.ask()["lost"]
    seconds = np.array(moments)
    return {
        "minutes": minutes,
        "stalled": STALLED,
        "server": slope(seconds, np.array(server_mib)),
        "heap": slope(seconds, np.array(heap_mib)),
        "server_rise_mib": max(server_mib) - server_mib[0],
        "catch_up_pushes": took,
        "catch_up_ms": took_ms,
        "hidden_pushes": hidden,
        "sockets_lost": lost,
        "ticks": told.sequence,
    }


def main(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long.")] = 20.0,
    stalled: Annotated[
        bool, typer.Option("--stalled", help="Pages that stop reading, and one that is hidden.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """Slope of server memory and of a browser's heap."""
    found = machine()
    with tempfile.TemporaryDirectory(prefix="tickglass-memory-") as name:
        if stalled:
            figures = measure_stalled(minutes, Path(name))
            bounded = figures["server_rise_mib"] <= RISE_MIB_MAX and not figures["sockets_lost"]
            report("memory", bounded and figures["catch_up_pushes"] <= CATCH_UP_MAX, figures, found)
            return
        figures = measure(minutes, Path(name))
    report("memory", flat(figures["server"]) and flat(figures["heap"]), figures, found)


if __name__ == "__main__":
    typer.run(main)
