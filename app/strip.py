"""Rule: what the strip of every page says of the product: rates, ages, what is wrong."""

from typing import Any

import numpy as np

from app import watched
from app.mirror import Mirror
from compute.table import INSTRUMENTS
from ingest import clock

# Of what `risk` reports, what the strip of a page may say.
RISK_FIGURES = ("limits_breached", "limits_unknown", "alerts_open", "positions_missing")
RISK_OLD_SECONDS = 2.0  # It tells something four times a second.
RECORD_OLD_SECONDS = 5.0


def status(mirror: Mirror, sessions: int) -> dict[str, Any]:
    """The content of a STATUS section."""
    now_ms = clock.now_ns() / 1e6
    live = mirror.health.get(f"live.{mirror.worker}", {})
    record = mirror.health.get(f"record.{mirror.worker}", {})
    risk = mirror.health.get("risk.0", {})
    live_age_s = (now_ms - live["now_ms"]) / 1e3 if live else None
    record_age_s = (now_ms - record["now_ms"]) / 1e3 if record else None
    notes = [text for text in (mirror.problem, mirror.health_problem) if text]
    notes += _risk_notes(mirror, risk)
    if record_age_s is not None and record_age_s > RECORD_OLD_SECONDS:
        notes.append(f"recorder silent for {record_age_s:.0f} s; prices are live")
    if record.get("problem"):
        notes.append(f"recording waits: {record['problem']}")
    notes += watched.notes(mirror.health, now_ms)
    # From the cells themselves: a report of live is up to a second old.
    moments = mirror.tables[INSTRUMENTS.name][:, INSTRUMENTS.index("ts_event")]
    known = moments[np.isfinite(moments)]
    feed_age_s = max(0.0, (now_ms - float(known.max())) / 1e3) if len(known) else None
    return {
        "now_ms": now_ms,
        "state": mirror.state,
        **{name: live.get(name) for name in ("events_per_s", "behind_s", "gaps", "repeats")},
        **{name: live.get(name) for name in ("resets", "quarantined")},
        "feed_age_s": feed_age_s,
        "live_age_s": live_age_s,
        "recorded_rows": record.get("recorded_rows"),
        "record_behind_s": record.get("behind_s"),
        "risk_age_s": mirror.risk_age_s(),
        **{name: risk.get(name) for name in RISK_FIGURES},
        **watched.figures(mirror.health),
        "sessions": sessions,
        "notes": notes,
    }


def _risk_notes(mirror: Mirror, risk: dict[str, Any]) -> list[str]:
    """What a page says of worker 1, while prices are live; nothing where it never was."""
    age_s = mirror.risk_age_s()
    if mirror.state != "live" or age_s is None:
        return []
    if age_s > RISK_OLD_SECONDS:
        return [f"risk numbers are {age_s:.0f} s old"]
    return [f"risk waits: {risk['problem']}"] if risk.get("problem") else []
