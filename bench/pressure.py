"""Promise: a page that is busy for 120 ms in each frame shows values <= 150 ms old, for ever.

The product's web server over a Redis of its own, in which a market ticks as often as `live` cuts;
two headless Chromiums show the same desk, one idle, one that is kept busy before each paint. A
sample is a paint: how old the newest of the values is that it shows for the first time. Without
acknowledgements such a page would be several seconds behind and fall further: so the last third
of the samples is compared with the first.
"""

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench import teller
from bench.browser import page
from bench.report import machine, report

BUSY_MS = 120.0
AGE_MS_MAX = 150.0
TICKS_PER_S = 100.0
WARM_SECONDS = 3.0
SAMPLES_MIN = 100
GROWN_MS_MAX = 10.0  # Of the median: what grows by 1 % of its time shows within a minute.
# After each paint, in a task behind the page's own behind the frame, the youngest of its ages.
WATCH = """((busy) => {
  const draw = window.requestAnimationFrame, task = new MessageChannel();
  window.youngest = [];
  task.port1.onmessage = () => {
    const ages = tickglass.drain();
    if (ages.length) youngest.push(Math.min(...ages));
  };
  window.requestAnimationFrame = (paint) => draw.call(window, (t) => {
    const end = performance.now() + busy;
    while (performance.now() < end) ;
    paint(t);
    task.port2.postMessage(0);
  });
  return 0; })"""


def measure(seconds: float, folder: Path) -> dict[str, Any]:
    """Figures of one run."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(teller.redis(folder))
        told = teller.Teller(address)
        _, port = stack.enter_context(teller.web(folder, address))
        stack.enter_context(told.telling(TICKS_PER_S))
        pages = {name: stack.enter_context(page()) for name in ("idle", "busy")}
        found: dict[str, list[float]] = {}
        for name, glass in pages.items():
            glass.goto(f"http://127.0.0.1:{port}/overview")
            glass.wait_for("!!window.tickglass && window.tickglass.stats().total > 0", 60.0)
            glass.evaluate(f"{WATCH}({BUSY_MS if name == 'busy' else 0})")
        time.sleep(WARM_SECONDS)
        for name, glass in pages.items():
            glass.evaluate("(youngest.length = 0)")
            found[name] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(1.0)
            for name, glass in pages.items():
                found[name] += glass.evaluate("youngest.splice(0)")
    third = len(found["busy"]) // 3
    figures: dict[str, Any] = {
        "busy_ms": BUSY_MS,
        "samples": len(found["busy"]),
        "grown_ms": float(np.median(found["busy"][-third:]) - np.median(found["busy"][:third])),
    }
    for name, each in found.items():
        figures |= {f"{name}_age_ms_p{q}": float(np.percentile(each, q)) for q in (50, 99)}
    return figures


def main(
    seconds: Annotated[float, typer.Option(min=15, help="How long to look.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """How old the values are that a busy page shows."""
    found = machine()
    with tempfile.TemporaryDirectory(prefix="tickglass-pressure-") as folder:
        figures = measure(seconds, Path(folder))
    kept = (
        figures["samples"] >= SAMPLES_MIN
        and figures["busy_age_ms_p99"] <= AGE_MS_MAX
        and figures["grown_ms"] <= GROWN_MS_MAX
    )
    report("pressure", kept, figures, found)


if __name__ == "__main__":
    typer.run(main)
