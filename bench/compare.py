"""Rule: the same blotter three times in one run: Tickglass, stock Panel's patch, stock Tabulator.

45 rows, a tenth of the cells changed 20 times a second, one headless Chromium each in turn. A
sample is a row's way from the moment its number was made to the first task behind the frame that
follows its arrival in the page. For Tickglass that is when it is painted; stock widgets may paint
later still (Tabulator sets all its data anew, asynchronously), so theirs is a lower bound.
"""

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import teller
from bench.browser import Page, page
from bench.fanout import stock

TICKS_PER_S = 20.0
WARM_SECONDS = 4.0
SOURCE = """(() => { for (const d of window.Bokeh?.documents || [])
  for (const m of d._all_models.values())
  if (m.type === "ColumnDataSource" && "ts" in m.data) return m; })()"""
WATCH = f"""(() => {{
  window.ages = []; const source = {SOURCE};
  const wall = () => performance.timeOrigin + performance.now(), task = new MessageChannel();
  let waiting = [], drawn = [];
  task.port1.onmessage = () => {{ const now = wall(); for (const ts of drawn) ages.push(now - ts); drawn = []; }};
  source.patching.connect((rows) => {{
    const all = source.data.ts, newest = Math.max(...rows.map((k) => all[k]));
    for (const k of new Set(rows)) if (all[k] === newest) waiting.push(all[k]);
    requestAnimationFrame(() => {{ drawn.push(...waiting); waiting = []; task.port2.postMessage(0); }});
  }});
  return true; }})()"""  # noqa: E501 (a program)


def _quantiles(samples: list[float]) -> dict[str, Any]:
    values = np.array(samples, float)
    if not len(values):
        return {"samples": 0, "p50": None, "p99": None}
    return {
        "samples": len(values),
        "p50": float(np.quantile(values, 0.5)),
        "p99": float(np.quantile(values, 0.99)),
    }


def _stock(kind: str, seconds: float, folder: Path) -> dict[str, Any]:
    with stock(kind, TICKS_PER_S, folder) as (_, url), page() as glass:
        glass.goto(url)
        glass.wait_for(f"!!({SOURCE})", 60.0)
        glass.evaluate(WATCH)
        time.sleep(WARM_SECONDS)
        glass.evaluate("(ages.length = 0)")
        return _quantiles(_collect(glass, "window.ages.splice(0)", seconds))


def _collect(glass: Page, expression: str, seconds: float) -> list[float]:
    samples: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1.0)
        samples += glass.evaluate(expression)
    return samples


def _ours(seconds: float, folder: Path) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(teller.redis(folder))
        told = teller.Teller(address)
        _, port = stack.enter_context(teller.web(folder, address))
        glass = stack.enter_context(page())
        stack.enter_context(told.telling(TICKS_PER_S))
        glass.goto(f"http://127.0.0.1:{port}/overview")
        glass.wait_for("!!window.tickglass && window.tickglass.stats().total > 0", 60.0)
        time.sleep(WARM_SECONDS)
        drain = "Array.from(window.tickglass.drain())"
        glass.evaluate(drain)
        return _quantiles(_collect(glass, drain, seconds))


def compare(seconds: float) -> dict[str, Any]:
    """Samples, p50 and p99 in ms of each."""
    with tempfile.TemporaryDirectory(prefix="tickglass-compare-") as name:
        folder = Path(name)
        return {
            "ticks_per_s": TICKS_PER_S,
            "tickglass_ms": _ours(seconds, folder),
            "stock_patch_ms": _stock("patch", seconds, folder),
            "stock_tabulator_ms": _stock("tabulator", seconds, folder),
        }
