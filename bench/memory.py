"""Promise: memory stays flat: server RSS and browser heap while pages come and go.

The product's web server over a Redis of its own, in which a market ticks; a Chromium keeps the
desk open, some pages stay, others come and go all the time, one never reads. RSS and heap are
sampled (the heap after a collection), the first third is warming up, and a line is laid through
the rest: what it rises in an hour, and how far a sample of a flat line would stray by its noise.
"""

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from bench import teller
from bench.browser import page
from bench.report import machine, report

STAY, COME = 20, 5
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


def measure(minutes: float, folder: Path) -> dict[str, Any]:
    """Figures of one run."""
    moments, server_mib, heap_mib, opened = [], [], [], 0
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(teller.redis(folder))
        told = teller.Teller(address)
        process, port = stack.enter_context(teller.web(folder, address))
        url, server = f"http://127.0.0.1:{port}/overview", psutil.Process(process.pid)
        glass = stack.enter_context(page())
        stack.enter_context(told.telling(TICKS_PER_S))
        glass.goto(url)
        glass.wait_for("!!window.tickglass && window.tickglass.stats().total > 0", 30.0)
        crowd = teller.Crowd(url, STAY)
        stack.callback(crowd.stop)
        crowd.ask(stall=0)
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < 60 * minutes:
            crowd.ask(open=COME)
            opened += COME
            time.sleep(LOOK_SECONDS)
            crowd.ask(close=COME)
            moments.append(now)
            server_mib.append(server.memory_info().rss / 2**20)
            glass.evaluate("(window.tickglass.drain(), 0)")
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


def main(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long.")] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """Slope of server memory and of a browser's heap."""
    found = machine()
    with tempfile.TemporaryDirectory(prefix="tickglass-memory-") as name:
        figures = measure(minutes, Path(name))
    report("memory", flat(figures["server"]) and flat(figures["heap"]), figures, found)


if __name__ == "__main__":
    typer.run(main)
