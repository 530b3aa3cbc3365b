"""Figures of the rates room: what a step costs when prices have changed, and how close it is.

Prices move by a basis point or so from step to step, as they do from one tenth of a second to the
next, so searches and fits begin at the last answer; all of it (yields, curves, z-spreads, key
rates, futures, swaps) is done in every step.
"""

import statistics
import time
from typing import Any

import numpy as np

from compute import rates
from compute.schedule import day_number
from ingest.instrument import Reference
from ingest.universe import AS_OF, universe

STEP_MS_MAX = 2.0
BUCKETS_ERROR_MAX = 1e-14  # Of the buckets' sizes: the sum is the parallel figure but for rounding.
MOVE = 1e-4
DAY_NS = 86_400 * 10**9


def rates_figures(count: int = 5_000, passes: int = 41) -> dict[str, Any]:
    """All figures, and `rates_hold`: whether the promises are kept."""
    rows = universe(count)
    mids = np.array([np.nan if row.close_prev is None else row.close_prev for row in rows])
    made = rates.Rates(Reference(rows))
    now_ns = day_number(AS_OF) * DAY_NS + DAY_NS // 2
    made.step(mids, now_ns)  # Compiles.
    fresh = rates.Rates(made.reference)
    begin = time.thread_time_ns()
    fresh.step(mids, now_ns)
    prepared = time.thread_time_ns() - begin
    rng = np.random.default_rng(0)
    taken, worst = [], 0.0
    for _ in range(passes):
        moved = mids * (1.0 + MOVE * rng.normal(size=len(mids)))
        begin = time.thread_time_ns()
        found = made.step(moved, now_ns)
        taken.append(time.thread_time_ns() - begin)
        known = np.isfinite(found.pv01)
        missed = np.abs(found.key_rate.sum(axis=1) - found.pv01)[known]
        worst = max(worst, float((missed / np.abs(found.key_rate).sum(axis=1)[known]).max()))
    figures: dict[str, Any] = {
        "rates_instruments": len(found.ids),
        "rates_known": int(np.isfinite(found.dv01).sum()),
        "rates_step_ms": round(statistics.median(taken) / 1e6, 3),
        "rates_prepare_ms": round(prepared / 1e6, 1),
        "rates_buckets_error_max": worst,
    }
    figures["rates_hold"] = (
        figures["rates_step_ms"] <= STEP_MS_MAX
        and figures["rates_buckets_error_max"] <= BUCKETS_ERROR_MAX
    )
    return figures
