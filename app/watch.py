"""Rule: heartbeats and health reports of all roles -> what is up, behind, degraded, since when.

Who is silent is judged by the reader's own monotonic clock and by whether a heartbeat's count has
moved: a wall clock that steps, here or there, kills nobody. Nothing here is ever guessed: a role
that was never heard of is not listed, a figure that was not told is None.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ingest import clock

SILENT_SECONDS = 1.25  # Five heartbeats.
SILENT_SECONDS_NICE = 2.5  # Of who gives way to all others: a busy machine lets it wait.
NICE = ("tape", "seal", "witness")
CHANGES_MAX = 64
FORGET_SECONDS = 3_600.0  # What has been silent for so long has been taken down.
STUCK_SECONDS = {"live": 2.0, "merge": 2.0, "web": 2.0, "risk": 5.0}  # Without a finished step.
STUCK_SECONDS_ELSE = 30.0  # A recorder's insert, a witness's minute.
BEHIND_SECONDS = {"live": 1.0, "risk": 2.0, "record": 10.0, "tape": 10.0}
BEHIND_SECONDS_ELSE = 600.0  # Sealing and witnessing have time.

UP, STARTING, BEHIND, DEGRADED = "up", "starting", "behind", "degraded"
STUCK, SILENT, ENDED = "stuck", "silent", "ended"
STATES = (UP, STARTING, BEHIND, DEGRADED, STUCK, SILENT, ENDED)
AWAY = (STUCK, SILENT)  # Nothing comes of it.
_TROUBLES = (BEHIND, DEGRADED, *AWAY)

Told = Mapping[str, Mapping[str, Any]]


class RoleState(NamedTuple):
    """One role, judged."""

    role: str
    state: str  # One of STATES.
    since_ms: float  # Wall clock, for people.
    for_s: float  # How long it has been so.
    why: str  # A sentence's end, "" where there is nothing to say.
    age_s: float  # Since its heart was last heard.
    beat: Mapping[str, Any]
    report: Mapping[str, Any]


class _Pulse:
    """What this reader has seen of one role."""

    def __init__(self, count: Any, heard_at: float) -> None:
        self.count, self.heard_at = count, heard_at
        self.state, self.since_at, self.since_ms = "", heard_at, 0.0


class Watch:
    """Judges all roles each time it is told; `roles` are in order of their names."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = clock.now_ns,
    ) -> None:
        """Nobody has been heard of."""
        self.monotonic, self.now_ns = monotonic, now_ns
        self.roles: list[RoleState] = []
        # (moment in ms, role, state before, state, why), the newest last.
        self.changes: deque[tuple[float, str, str, str, str]] = deque(maxlen=CHANGES_MAX)
        self.version = 0  # One step for each change of any role's state.
        self.heard_at = monotonic()  # When Redis last answered.
        self._pulses: dict[str, _Pulse] = {}

    def take(self, beats: Told, reports: Told) -> None:
        """Judge by what Redis holds now."""
        now, self.heard_at = self.monotonic(), self.monotonic()
        found = []
        for role in sorted({*beats, *reports}):
            beat, report = beats.get(role, {}), reports.get(role, {})
            judged = self._judge(role, beat, report, now)
            if judged.age_s < FORGET_SECONDS:
                found.append(judged)
        before = {one.role: one.state for one in self.roles}
        self.roles = found
        for one in found:
            was = before.pop(one.role, "")
            if was != one.state:
                self.version += 1
                self.changes.append((one.since_ms, one.role, was, one.state, one.why))
        self.version += len(before)  # Who was forgotten.

    def _judge(
        self, role: str, beat: Mapping[str, Any], report: Mapping[str, Any], now: float
    ) -> RoleState:
        told = beat or report
        count = (beat.get("pid"), beat.get("count")) if beat else report.get("now_ms")
        pulse = self._pulses.get(role)
        if pulse is None:  # How old it was before we came, only the clocks can say.
            age_s = self.now_ns() / 1e9 - (told.get("now_ms") or 0.0) / 1e3
            heard_at = now - max(0.0, age_s - SILENT_SECONDS)
            pulse = self._pulses[role] = _Pulse(count, heard_at)
        elif count != pulse.count:
            pulse.count, pulse.heard_at = count, now
        age_s = now - pulse.heard_at
        state, why = _state(role, beat, report, age_s)
        if state != pulse.state:
            pulse.since_at, pulse.since_ms = now, self.now_ns() / 1e6
            own_ms = beat.get("since_ms")
            if state in (SILENT, STUCK):
                pulse.since_at -= age_s if state == SILENT else beat["step_age_s"]
                pulse.since_ms -= 1e3 * (now - pulse.since_at)
            elif not pulse.state and own_ms and pulse.since_ms > own_ms:  # It knows better.
                pulse.since_at -= (pulse.since_ms - own_ms) / 1e3
                pulse.since_ms = own_ms
            pulse.state = state
        return RoleState(
            role, state, pulse.since_ms, now - pulse.since_at, why, age_s, beat, report
        )

    def of(self, role: str) -> RoleState | None:
        """What is known of a role; None where nothing is."""
        return next((one for one in self.roles if one.role == role), None)

    def starting(self) -> list[RoleState]:
        """Roles that make ready."""
        return [one for one in self.roles if one.state == STARTING]

    def troubles(self) -> list[RoleState]:
        """Roles that are not as they should be, the worst first."""
        found = [one for one in self.roles if one.state in _TROUBLES]
        return sorted(found, key=lambda one: -STATES.index(one.state))

    @property
    def state(self) -> str:
        """Of the whole: the worst that any role is; `starting` where nobody was heard of."""
        troubles = self.troubles()
        if troubles:
            return troubles[0].state
        return STARTING if not self.roles or self.starting() else UP


def _state(
    role: str, beat: Mapping[str, Any], report: Mapping[str, Any], age_s: float
) -> tuple[str, str]:
    kind = role.partition(".")[0]
    if beat.get("state") == ENDED:
        return ENDED, "ended as it was told to"
    if beat.get("state") == "failed":
        return SILENT, "ended by an error that its log tells"
    silent_s = SILENT_SECONDS_NICE if kind in NICE or not beat else SILENT_SECONDS
    if age_s > silent_s:
        return SILENT, "no heartbeat: it hangs, has died, or Redis does not hear it"
    if beat.get("state") == STARTING:
        return STARTING, str(beat.get("what") or "makes ready")
    if (beat.get("step_age_s") or 0.0) > STUCK_SECONDS.get(kind, STUCK_SECONDS_ELSE):
        return STUCK, "its process lives, its loop does not turn"
    if report.get("starting") or report.get("state") in ("starting", "catching up"):
        return STARTING, str(report.get("starting") or report["state"])
    if report.get("problem") or report.get("state") == "fault":
        return DEGRADED, str(report.get("problem") or report["state"])
    behind_s = report.get("behind_s") or 0.0
    if behind_s > BEHIND_SECONDS.get(kind, BEHIND_SECONDS_ELSE):
        return BEHIND, f"{behind_s:.1f} s behind"
    return UP, ""


def sentence(one: RoleState) -> str:
    """A role's state in words, as the terminal and the notes of a page say it."""
    name = one.role.removesuffix(".0")
    if one.state == SILENT:
        return f"{name} silent for {one.age_s:.0f} s"
    return f"{name} {one.state} for {one.for_s:.0f} s" + (f" ({one.why})" if one.why else "")


def told(one: RoleState) -> dict[str, Any]:
    """A role as JSON takes it."""
    beat = one.beat
    return {
        "role": one.role,
        "state": one.state,
        "since": datetime.fromtimestamp(one.since_ms / 1e3, UTC).isoformat(timespec="milliseconds"),
        "since_ms": round(one.since_ms),
        "why": one.why,
        "heartbeat_age_s": round(one.age_s, 2),
        "behind_s": one.report.get("behind_s"),
        "partitions": one.report.get("partitions"),
        "problem": one.report.get("problem") or "",
        **{name: beat.get(name) for name in ("restarts", "memory_bytes", "cpu_s", "steps")},
        **{name: beat.get(name) for name in ("step_age_s", "started_ms", "pid", "host")},
    }
