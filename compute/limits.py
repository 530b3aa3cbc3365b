"""Rule: limits against their measures, and the alerts that follow: same values, same alerts.

A limit is at a level: ok, warning, breach, or unknown. It rises as soon as the value reaches
`warning` or `breach`, and falls only when the value is HYSTERESIS below it, so that a value on the
line makes one alert, not a hundred. A value that is not known leaves the level as it was for
UNKNOWN_NS, then the limit is `unknown`, which is an alert too: nobody is watching it.

An alert is a message and never changes. Messages of one incident (from ok until ok again) share
`alert` and are numbered; to JSON, keys in this order:
    {"alert": "3-0-1763719200000000000-1763719200100000000", "number": 0, "kind": "raised",
     "level": "breach", "before": "warning", "ts_event": ns, "ts_alert": ns, "limit": 3,
     "name": "...", "measure": "gross", "scope": "book", "key": "...", "value": 1.0, "warning": 0.9,
     "breach": 1.0, "inputs": "32 hex digits", "person": "", "reason": ""}
`kind`: raised (worse than before), cleared (better; `level` is what holds now), acknowledged (by
`person`, at ts_alert). ts_event: event time of the newest event among the inputs; inputs: digest of
the position lines and sums that made the value, empty where nothing is heard. `value` is null
where unknown. `reason` says why an incident ended that no value ended: its limit is gone.
`alert` is limit, group, event time and time of the first message: what comes again is another.
A worse level asks to be acknowledged anew. `restore` takes the record's messages, so that a restart
repeats nothing.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from compute.table import LIMITS

HYSTERESIS = 0.02  # Of the level: 2 % below it, it is left.
UNKNOWN_NS = 5_000_000_000  # A part that starts, or a feed that stumbles, is silent for less.
PERSON_LENGTH_MAX = 200


class Level(IntEnum):
    """Where a limit stands; the column `state`."""

    OK = 0
    WARNING = 1
    BREACH = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Alert:
    """One message; see above."""

    alert: str
    number: int
    kind: str
    level: str
    before: str
    ts_event: int
    ts_alert: int
    limit: int
    name: str
    measure: str
    scope: str
    key: str
    value: float | None
    warning: float
    breach: float
    inputs: str
    person: str = ""
    reason: str = ""

    def to_json(self) -> bytes:
        """One compact JSON object, keys in the order of the fields."""
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Alert":
        """Inverse of `to_json`; ValueError where it is no alert."""
        try:
            return cls(**json.loads(data))
        except (TypeError, ValueError) as error:
            raise ValueError(f"not an alert: {error}") from None


class Watched(NamedTuple):
    """One limit on one group: a limit whose key is "*" is watched once for each."""

    limit: Any  # ingest.fund.Limit
    key: str  # Name of the group; "" is the fund.
    scope_number: int = 0
    key_number: int = 0
    row: int = 0  # Of EXPOSURES.


class Limits:
    """All limits of a fund. `table` is LIMITS, one row a watched group, in order of appearance."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.watched: list[Watched] = []
        self.table = LIMITS.empty(0)
        self._level = np.zeros(0, np.int64)  # As told.
        self._known = np.zeros(0, np.int64)  # The newest that rested on a value.
        self._blind_ns = np.zeros(0, np.int64)  # When the value went away; 0: it is there.
        self._newest: dict[int, Alert] = {}  # Newest message of each open incident, by row.
        self._on_record: dict[tuple[int, str], list[Alert]] = {}

    def watch(self, watched: Sequence[Watched]) -> None:
        """Watch these too."""
        start, more = len(self.watched), len(watched)
        if not more:
            return
        self.watched += watched
        none = np.zeros(more, np.int64)
        self._level = np.concatenate((self._level, none))
        self._known = np.concatenate((self._known, none))
        self._blind_ns = np.concatenate((self._blind_ns, none))
        self.table = np.concatenate((self.table, LIMITS.empty(more)))
        for row in range(start, start + more):
            one = self.watched[row]
            cells = self.table[row]
            cells[_ID], cells[_SCOPE], cells[_KEY] = one.limit.id, one.scope_number, one.key_number
            cells[_WARNING], cells[_BREACH], cells[_STATE] = one.limit.warning, one.limit.breach, 0
            for message in self._on_record.pop((one.limit.id, one.key), ()):
                self._follow(row, message)

    def step(
        self,
        values: np.ndarray,
        now_ns: int,
        made: Callable[[int], tuple[int, str]],
    ) -> list[Alert]:
        """The alerts that `values` [watched] make, NaN unknown; the table follows.

        `made(row)`: (ts_event in ns, digest) of what made the value; asked for an alert only.
        """
        blind = np.isnan(values)
        self._blind_ns[~blind] = 0
        self._blind_ns[blind & (self._blind_ns == 0)] = now_ns
        table = self.table
        known = levels_after(self._known, values, table[:, _WARNING], table[:, _BREACH])
        self._known = known
        lost = blind & (now_ns - self._blind_ns >= UNKNOWN_NS)
        # A value that is away for a moment leaves the level as it is.
        target = np.where(lost, Level.UNKNOWN, np.where(blind, self._level, known))
        alerts = []
        for row in np.flatnonzero(target != self._level).tolist():
            level, value = Level(int(target[row])), float(values[row])
            alerts.append(self._tell(row, level, value, now_ns, made(row)))
        table[:, _VALUE], table[:, _STATE] = values, self._level
        table[:, _USE] = 100.0 * values / table[:, _BREACH]
        return alerts

    def blind(self, now_ns: int, made: Callable[[int], tuple[int, str]]) -> list[Alert]:
        """No value can be known: every limit shows `unknown` at once, alerts follow as ever."""
        alerts = self.step(np.full(len(self.watched), np.nan), now_ns, made)
        self.table[:, _STATE] = Level.UNKNOWN
        return alerts

    def _tell(
        self, row: int, level: Level, value: float, now_ns: int, made: tuple[int, str]
    ) -> Alert:
        one, newest = self.watched[row], self._newest.get(row)
        before = Level(int(self._level[row]))
        ts_event, inputs = made
        worse = _GRAVITY[level] > _GRAVITY[before]
        alert = Alert(
            alert=newest.alert if newest else _name(one, ts_event, now_ns),
            number=newest.number + 1 if newest else 0,
            kind="raised" if worse else "cleared",
            level=level.name.lower(),
            before=before.name.lower(),
            ts_event=ts_event,
            ts_alert=now_ns,
            limit=one.limit.id,
            name=one.limit.name,
            measure=one.limit.measure,
            scope=one.limit.scope,
            key=one.key,
            value=None if math.isnan(value) else value,
            warning=float(one.limit.warning),
            breach=float(one.limit.breach),
            inputs=inputs,
        )
        self._follow(row, alert)
        return alert

    def _follow(self, row: int, alert: Alert) -> None:
        """The state after a message, when it is made and when it is restored."""
        cells, level = self.table[row], Level[alert.level.upper()]
        cells[_SINCE] = alert.ts_event / 1e6
        if alert.kind != "cleared":
            cells[_ACKNOWLEDGED] = float(alert.kind == "acknowledged")
        self._level[row] = cells[_STATE] = level
        if level != Level.UNKNOWN:
            self._known[row] = level
        self._newest[row] = alert
        if level == Level.OK:
            del self._newest[row]
            cells[_ACKNOWLEDGED] = np.nan

    def acknowledge(self, alert: str, person: str, ts_ns: int) -> Alert:
        """A named person has seen the incident as it stands; the message that says so.

        ValueError where nobody is named, or no incident of that name is open and unseen.
        """
        person = person.strip()
        if not person or len(person) > PERSON_LENGTH_MAX:
            raise ValueError(
                f"an alert is acknowledged by a person with a name, not {person!r:.40}"
            )
        row = next((row for row, open_ in self._newest.items() if open_.alert == alert), None)
        if row is None:
            raise ValueError(f"no open alert is named {alert}")
        if self.table[row, _ACKNOWLEDGED] == 1.0:
            raise ValueError(f"alert {alert} has been acknowledged already")
        newest = self._newest[row]
        seen = replace(
            newest,
            number=newest.number + 1,
            kind="acknowledged",
            before=newest.level,
            ts_alert=ts_ns,
            person=person,
        )
        self._follow(row, seen)
        return seen

    def restore(self, messages: Iterable[Alert]) -> None:
        """Take up what is on record, oldest first: an incident that was open goes on.

        What is not watched yet is kept until it is; of limits that are gone, for ever.
        """
        rows = {(one.limit.id, one.key): row for row, one in enumerate(self.watched)}
        for message in messages:
            place = message.limit, message.key
            if place in rows:
                self._follow(rows[place], message)
                continue
            self._on_record.setdefault(place, []).append(message)

    def open(self) -> list[Alert]:
        """The newest message of every incident that is not over."""
        return list(self._newest.values())

    @property
    def levels(self) -> np.ndarray:
        """Level [watched] as told, int64."""
        return self._level.copy()


def _name(one: Watched, ts_event: int, ts_alert: int) -> str:
    return f"{one.limit.id}-{one.key_number}-{ts_event}-{ts_alert}"


_ID, _SCOPE, _KEY, _VALUE, _WARNING, _BREACH, _USE, _STATE, _SINCE, _ACKNOWLEDGED = (
    LIMITS.index(name)
    for name in (
        *("id", "scope", "key", "value", "warning", "breach", "use_pct", "state", "since_ms"),
        "acknowledged",
    )
)
_GRAVITY = {Level.OK: 0, Level.WARNING: 1, Level.UNKNOWN: 2, Level.BREACH: 3}


def levels_after(
    level: np.ndarray, value: np.ndarray, warning: np.ndarray, breach: np.ndarray
) -> np.ndarray:
    """Levels (int64 [n], never UNKNOWN) of values after `level`; as they were for a NaN."""
    up = (value >= warning).astype(np.int64) + (value >= breach)
    held = (value > warning - HYSTERESIS * abs(warning)).astype(np.int64)
    held += value > breach - HYSTERESIS * abs(breach)
    out: np.ndarray = np.where(np.isnan(value), level, np.maximum(up, np.minimum(level, held)))
    return out
