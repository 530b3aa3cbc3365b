"""Rule: what the strip of every page says of the product: rates, ages, what is wrong."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from app import watched
from app.mirror import Mirror
from app.rights import Rights
from app.view import STATUS, json_section
from app.watch import AWAY, Watch, sentence
from compute import reports
from compute.table import INSTRUMENTS
from ingest import clock

# Of what `risk` reports, what the strip of a page may say.
RISK_FIGURES = ("limits_breached", "limits_unknown", "alerts_open", "positions_missing")
RISK_OLD_SECONDS = 2.0  # It tells something four times a second.
RECORD_OLD_SECONDS = 5.0


def status(mirror: Mirror, sessions: int, watch: Watch | None = None) -> dict[str, Any]:
    """The content of a STATUS section; `watch` knows who lives."""
    now_ms = clock.now_ns() / 1e6
    live, record = (reports.of(mirror.health, kind) for kind in ("live", "record"))
    risk = mirror.health.get("risk.0", {})
    live_age_s = (now_ms - live["now_ms"]) / 1e3 if live else None
    starting = watch.starting() if watch else []
    notes = [f"{one.role.removesuffix('.0')} is starting: {one.why}" for one in starting]
    notes += [text for text in (mirror.problem, mirror.health_problem) if text]
    notes += [live["clock_note"]] if live.get("clock_note") else []
    notes += _risk_notes(mirror, risk)
    notes += _silences(watch, record, now_ms)
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
        **watched.figures(mirror.health, now_ms),
        "sessions": sessions,
        "clock_note": live.get("clock_note") or "",
        "starting": {one.role: [one.why, round(one.for_s, 1)] for one in starting},
        "notes": notes,
    }


class Strip:
    """The status of a second, told alike to all who may see the same."""

    def __init__(self) -> None:
        """Nothing is told yet."""
        self._at = -1
        self._said: dict[Rights, bytes] = {}

    def forget(self) -> None:
        """What is known is another moment's."""
        self._at = -1

    def section(
        self, feed: int, moment: tuple[int, Rights], made: Callable[[], dict[str, Any]]
    ) -> bytes:
        """Of a moment for some rights: `made` anew for each; the others are told the same."""
        at, rights = moment
        if self._at != at:
            self._at, self._said = at, {}
        if rights not in self._said:
            self._said[rights] = json.dumps(rights.status(made(), RISK_FIGURES)).encode()
        return json_section(feed, STATUS, self._said[rights])


def _silences(watch: Watch | None, record: dict[str, Any], now_ms: float) -> list[str]:
    """Who is not heard of, or hangs; that prices go on where only the record waits."""
    if watch is None:
        age_s = (now_ms - record["now_ms"]) / 1e3 if record else 0.0
        late = age_s > RECORD_OLD_SECONDS
        return [f"recorder silent for {age_s:.0f} s; prices are live"] if late else []
    said = []
    for one in watch.troubles():
        # Who seals and who witnesses has a word of his own once it is that long.
        told = one.role in ("seal.0", "witness.0") and one.age_s > watched.OLD_SECONDS
        if one.state in AWAY and not told:
            prices = "; prices are live" if one.role.startswith("record.") else ""
            said.append(sentence(one) + prices)
    return said


def _risk_notes(mirror: Mirror, risk: dict[str, Any]) -> list[str]:
    """What a page says of worker 1, while prices are live; nothing where it never was."""
    age_s = mirror.risk_age_s()
    if mirror.state != "live" or age_s is None:
        return []
    if age_s > RISK_OLD_SECONDS:
        return [f"risk numbers are {age_s:.0f} s old"]
    return [f"risk waits: {risk['problem']}"] if risk.get("problem") else []
