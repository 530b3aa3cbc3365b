"""Rule: the messages of alerts become incidents: from the moment a limit was passed until it is ok.

Enters: messages in the order of their partition, some perhaps twice, the oldest perhaps cut off.
Leaves: incidents, each with its newest message and with who acknowledged what; those that are
over up to a number. The same rule serves the process `risk`, its pages and the audit.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from compute.limits import Alert

CLOSED_MAX = 50  # Incidents that are over and still shown.
OK, RAISED, CLEARED, ACKNOWLEDGED = "ok", "raised", "cleared", "acknowledged"
KINDS = (RAISED, CLEARED, ACKNOWLEDGED)
LEVELS = (OK, "warning", "unknown", "breach")  # From good to bad.

_TYPES: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int)}


def read(value: bytes) -> Alert | None:
    """The alert that a message holds, every field of its type; None where it is none."""
    try:
        alert = Alert.from_json(value)
    except ValueError:
        return None
    for one in fields(Alert):
        told = getattr(alert, one.name)
        if one.name == "value" and told is None:
            continue
        if not isinstance(told, _TYPES.get(one.type, (float, int))) or isinstance(told, bool):
            return None
    known = alert.kind in KINDS and alert.level in LEVELS and alert.before in LEVELS
    whole = all(0 <= each < 2**62 for each in (alert.ts_event, alert.ts_alert))
    small = 0 <= alert.number < 2**31 and 0 <= alert.limit < 2**31
    return alert if known and whole and small else None


class Acknowledgement(NamedTuple):
    """Who has seen which level, and when."""

    person: str
    ts: int  # ns
    level: str


@dataclass(slots=True)
class Incident:
    """One passing of a limit."""

    first: Alert
    newest: Alert
    worst: str = OK
    acknowledged: list[Acknowledgement] = field(default_factory=list)
    seen: bool = False  # The newest acknowledgement is of what stands now.

    @property
    def open(self) -> bool:
        """Whether the limit is still passed, or nobody knows."""
        return self.newest.level != OK

    def follow(self, message: Alert) -> None:
        """Take the next message."""
        self.newest = message
        self.worst = max(self.worst, message.level, key=LEVELS.index)
        if message.kind == RAISED:
            self.seen = False
        elif message.kind == ACKNOWLEDGED:
            self.seen = True
            self.acknowledged.append(
                Acknowledgement(message.person, message.ts_alert, message.level)
            )

    def shown(self) -> dict[str, Any]:
        """What a page or a table shows of it; moments in ms, `acknowledged` as it stands."""
        one, last = self.newest, self.acknowledged[-1] if self.acknowledged else None
        return {
            **{name: getattr(one, name) for name in ("alert", "number", "kind", "level", "before")},
            "worst": self.worst,
            "open": self.open,
            **{name: getattr(one, name) for name in ("limit", "name", "measure", "scope", "key")},
            **{name: getattr(one, name) for name in ("value", "warning", "breach", "inputs")},
            "raised_ms": self.first.ts_alert / 1e6,
            "event_ms": self.first.ts_event / 1e6,
            "changed_ms": one.ts_alert / 1e6,
            "acknowledged": self.seen,
            "person": last.person if last else "",
            "acknowledged_ms": last.ts / 1e6 if last else None,
            "reason": one.reason,
        }


class Incidents:
    """All that are open, and the newest of those that are over."""

    def __init__(self, closed_max: int | None = CLOSED_MAX) -> None:
        """None yet; `closed_max` None keeps all."""
        self._named: dict[str, Incident] = {}  # The newest by its alert's name.
        self._closed: deque[Incident] = deque()
        self._closed_max = closed_max

    def take(self, message: Alert) -> bool:
        """Take the next message; False where it has been taken before."""
        incident = self._named.get(message.alert)
        again = incident is not None and (
            message.number > 0 or message.ts_alert == incident.first.ts_alert
        )
        if incident is not None and again:
            if message.number <= incident.newest.number:
                return False
        else:  # On older records a name may come again: the same inputs, told twice.
            incident = self._named[message.alert] = Incident(message, message)
        incident.follow(message)
        if not incident.open:
            self._close(incident)
        return True

    def _close(self, incident: Incident) -> None:
        self._closed.append(incident)
        if self._closed_max is not None and len(self._closed) > self._closed_max:
            oldest = self._closed.popleft()
            if self._named.get(oldest.newest.alert) is oldest:
                del self._named[oldest.newest.alert]

    @property
    def open(self) -> list[Incident]:
        """Those that are not over, newest change first."""
        found = [one for one in self._named.values() if one.open]
        return sorted(found, key=lambda one: one.newest.ts_alert, reverse=True)

    @property
    def closed(self) -> list[Incident]:
        """Those that are over, newest first."""
        return sorted(self._closed, key=lambda one: one.newest.ts_alert, reverse=True)

    def named(self, alert: str) -> Incident | None:
        """The newest incident of that name."""
        return self._named.get(alert)


def describe(incidents: Sequence[Incident]) -> str:
    """A table for people, one line an incident and one for each acknowledgement."""
    heads = ("raised (UTC)", "limit", "of", "worst", "now", "value", "after ms", "acknowledged by")
    rows = [heads]
    for one in incidents:
        first, newest = one.first, one.newest
        of = f"{newest.scope} {newest.key}".strip()
        value = "" if newest.value is None else f"{newest.value:,.4g}"
        late = f"{(first.ts_alert - first.ts_event) / 1e6:,.0f}"
        seen = [f"{a.person}, {_moment(a.ts)} ({a.level})" for a in one.acknowledged]
        now = newest.reason or newest.level
        head = (_moment(first.ts_alert), newest.name, of, one.worst, now, value, late)
        rows += [(*head, seen[0] if seen else "nobody" if one.open else "")]
        rows += [("",) * 7 + (more,) for more in seen[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _moment(ts_ns: int) -> str:
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03d}"
