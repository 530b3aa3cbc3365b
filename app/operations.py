"""Rule: what a desk of operations is told once a second: roles, what was refused, ways, servers.

It is told to the pages that have such a block and to no other.
"""

import json
from typing import Any

from app.view import json_section
from app.watch import SILENT, RoleState, Told, Watch, told
from compute import reports as reports_room

OPERATIONS = "operations"  # Kind of the feed.
SECTION = 10  # Kind of its section: JSON.
RATES = ("events_per_s", "rows_per_s")
LINE = (
    *("gaps", "repeats", "copies", "recovered", "overtaken", "resets", "skewed", "clock_steps"),
)
STAGES = (  # Of a number, in the order in which it goes through them; who times them.
    ("live", "made_to_taken", "made to taken"),
    ("live", "decode", "decoded"),
    ("live", "engine", "computed"),
    ("live", "cut", "cut"),
    ("live", "publish", "published"),
    ("web", "cut_to_mirror", "to the server"),
    ("web", "mirror", "applied"),
    ("web", "encode", "encoded"),
    ("web", "wait", "waited for the page"),
)


def section_of(feed: int, reports: Told, watch: Watch | None) -> bytes:
    """The section; a page of the past has nobody to watch."""
    content = whole(reports, watch) if watch else {}
    return json_section(feed, SECTION, json.dumps(content).encode())


def whole(reports: Told, watch: Watch) -> dict[str, Any]:
    """All of it, as the page reads it (app/blocks/operations.js)."""
    live, risk = (reports_room.of(reports, role) for role in ("live", "risk"))
    webs = [one for one in watch.roles if one.role.startswith("web.")]
    return {
        "state": watch.state,
        "roles": [_role(one) for one in watch.roles],
        "refused": {
            "count": live.get("quarantined"),
            "reasons": live.get("reasons") or {},
            **{name: risk.get(name) for name in ("replayed", "refused_again")},
        },
        "line": {name: live.get(name) for name in LINE},
        "clocks": live.get("clocks") or [],
        "stages": [
            [role, title, *ways]
            for role, name, title in STAGES
            if (ways := _ways(reports, webs, role, name))
        ],
        "servers": [_server(one) for one in webs],
        "changes": list(watch.changes)[::-1],
    }


def _role(one: RoleState) -> dict[str, Any]:
    rate = next((one.report[name] for name in RATES if one.report.get(name) is not None), None)
    frames = one.report.get("behind_frames")
    return told(one) | {"for_s": round(one.for_s, 1), "rate": rate, "behind_frames": frames}


def _server(one: RoleState) -> dict[str, Any]:
    names = ("sessions", "glass_ms_p50", "glass_ms_p99", "glass_samples", "clients_refused")
    return {
        "role": one.role,
        "silent": one.state == SILENT,
        **{name: one.report.get(name) for name in (*names, "nonsense", "images", "mirror_gaps")},
        **{name: one.report.get(name) for name in ("screens_lost", "acts_lost")},
    }


def _ways(reports: Told, webs: list[RoleState], role: str, name: str) -> list[float | None]:
    """p50 and p99 in ms of a stage: of live, or of the server where it took longest."""
    found: list[Any] = [reports_room.of(reports, "live")]
    if role == "web":
        found = [one.report for one in webs]
    ways = [one.get("stages_ms", {}).get(name) for one in found]
    timed: list[list[float]] = [way for way in ways if way and way[1] is not None]
    return [*max(timed, key=lambda way: way[1])] if timed else []
