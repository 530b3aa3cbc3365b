"""Rule: the health reports of all processes -> one line for a terminal, and who has reported.

A report is what `compute.bus.Bus.health()` gives by role: `live.0`, `record.0`, `risk.0`,
`web.5006`. Unknown is shown as a dash, never as 0; a report older than OLD_SECONDS is no news.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from app.watch import AWAY, STARTING, Watch, sentence

OLD_SECONDS = 5.0
UNKNOWN = "-"
TROUBLES = ("gaps", "repeats", "quarantined", "doubled", "lost")  # Shown when not 0.
RISKS = {"limits_breached": "limits breached", "limits_unknown": "limits unknown"}  # The same.

Health = Mapping[str, Mapping[str, Any]]


def fresh(health: Health, now_ms: float) -> dict[str, Mapping[str, Any]]:
    """The reports that are news at `now_ms`."""
    oldest_ms = now_ms - OLD_SECONDS * 1e3
    return {role: row for role, row in health.items() if (row.get("now_ms") or 0) >= oldest_ms}


def starting(health: Health, now_ms: float, role: str = "risk.0") -> str:
    """What a process says that it still makes ready; "" where it does not, or says nothing now."""
    return str(fresh(health, now_ms).get(role, {}).get("starting") or "")


def reported(health: Health, since_ms: float, kinds: Iterable[str]) -> bool:
    """Whether a process of every kind (`live`, `record`) has reported since `since_ms`."""
    alive = {role.partition(".")[0] for role, row in health.items() if row["now_ms"] >= since_ms}
    return set(kinds) <= alive


def line(health: Health, now_ms: float, watch: Watch | None = None) -> str:
    """One line: events/s, behind, recorded rows, glass p99, sessions, and troubles if any.

    `watch` adds who still starts, and who hangs or has gone silent.
    """
    news = fresh(health, now_ms)
    parts = [
        f"{_number(_sum(news, 'live', 'events_per_s'))} events/s",
        f"behind {_seconds(_worst(news, 'live', 'behind_s'))}",
        f"recorded {_number(_sum(news, 'record', 'recorded_rows'))} rows",
        f"record behind {_seconds(_worst(news, 'record', 'behind_s'))}",
        f"glass p99 {_milliseconds(_worst(news, 'web', 'glass_ms_p99'))}",
        f"{_number(_sum(news, 'web', 'sessions'))} pages",
    ]
    for name in TROUBLES:
        count = _sum(news, "live", name) or _sum(news, "record", name)
        if count:
            parts.append(f"{_number(count)} {name}")
    risk = _of(health, "risk")  # Prices go on without it; who had it misses it.
    if risk:
        behind_s = _worst(news, "risk", "behind_s")
        parts.append(f"risk behind {_seconds(behind_s)}")
    for name, words in RISKS.items():
        count = _sum(news, "risk", name)
        if count:
            parts.append(f"{_number(count)} {words}")
    kinds = ("live", "record", "risk", "web") if risk else ("live", "record", "web")
    said = [one for one in watch.roles if one.state in (STARTING, *AWAY)] if watch else []
    parts += [sentence(one) for one in said]
    told = {one.role.partition(".")[0] for one in said}
    silent = [kind for kind in kinds if not _of(news, kind) and kind not in told]
    if silent:
        parts.append(f"no news of {', '.join(silent)}")
    return " · ".join(parts)


def _of(health: Health, kind: str) -> list[Mapping[str, Any]]:
    return [row for role, row in health.items() if role.partition(".")[0] == kind]


def _values(health: Health, kind: str, name: str) -> list[float]:
    return [row[name] for row in _of(health, kind) if row.get(name) is not None]


def _sum(health: Health, kind: str, name: str) -> float | None:
    values = _values(health, kind, name)
    return sum(values) if values else None


def _worst(health: Health, kind: str, name: str) -> float | None:
    return max(_values(health, kind, name), default=None)


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.1f} s" if value >= 1 else f"{value * 1e3:.0f} ms"


def _milliseconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f} ms"


class Screen:
    """Where `up` writes: sentences stay, the status line is overwritten where that is possible."""

    def __init__(self, out: TextIO | None = None) -> None:
        """`out` is standard output if not given."""
        self.out = out or sys.stdout
        self._live = self.out.isatty()
        self._open = False  # A status line stands on the present line.

    def say(self, text: str) -> None:
        """Write a sentence that stays."""
        self._write(text + "\n")

    def status(self, text: str) -> None:
        """Show the present status."""
        self._write(text if self._live else text + "\n")
        self._open = self._live

    def close(self) -> None:
        """Leave the cursor on a line of its own."""
        if self._open:
            self._open = False
            self.out.write("\n")
            self.out.flush()

    def _write(self, text: str) -> None:
        start = "\r\033[K" if self._open else ""
        self._open = False
        self.out.write(start + text)
        self.out.flush()
