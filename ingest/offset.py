"""Rule: how far the clocks of sources stand from ours, and whether what they time can be believed.

One way is all that is seen: a frame says when it was sent, we know when it came. The least that
lies between in WINDOW_SECONDS is the way's own time less what the source's clock is ahead; the
way through Kafka takes TRANSIT_NS at most in fair weather, and no time is below none. So a least
below none, or far above it while nothing waits to be read, is a clock that is off: times between
that source and us are unknown then, not wrong. Our own clock is compared with the machine's
monotonic one, which nobody sets.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ingest.meter import Histogram

WINDOW_SECONDS = 5
TRANSIT_NS = (
    250_000_000  # With a busy machine's pauses; beyond, while nothing waits, it is a clock.
)
AHEAD_NS = 5_000_000  # What two clocks of one room may differ by.
STEP_NS = 50_000_000  # A clock that is slewed moves 0.5 ms a second.
SOURCES_MAX = 1_024
TOLD_MAX = 16


class Offset(NamedTuple):
    """A source's clock less ours, as far as one way can tell."""

    source: int
    offset_ns: int  # Above 0: its clock is ahead of ours.
    uncertainty_ns: int
    samples: int

    @property
    def off(self) -> bool:
        """Whether times between that clock and ours mean nothing."""
        return not -TRANSIT_NS <= self.offset_ns <= AHEAD_NS


class Offsets:
    """The least way of every source, second by second, for WINDOW_SECONDS."""

    def __init__(self) -> None:
        """No source has been seen."""
        self._leasts: dict[int, list[int]] = {}  # By source: the least of each reading, ns.
        self._now: dict[int, tuple[int, int]] = {}  # Since the last reading: least, samples.
        self.known: dict[int, Offset] = {}

    def take(self, source: int, way_ns: int) -> None:
        """A frame was `way_ns` on its way by the two clocks."""
        least, samples = self._now.get(source, (way_ns, 0))
        if samples or len(self._now) < SOURCES_MAX:
            self._now[source] = min(least, way_ns), samples + 1

    def read(self, *, waiting: bool) -> list[Offset]:
        """Once a second: the offsets of sources that spoke, the farthest first.

        `waiting`: frames wait to be read, so that a long way may well be a true one.
        """
        for source, (least, samples) in self._now.items():
            leasts = [*self._leasts.get(source, ()), least][-WINDOW_SECONDS:]
            self._leasts[source] = leasts
            shortest = min(leasts)
            if waiting and shortest > 0:
                continue  # What was known of that clock still holds.
            self.known[source] = Offset(source, -shortest, TRANSIT_NS, samples)
        self._now = {}
        return sorted(self.known.values(), key=lambda one: -abs(one.offset_ns))

    def off(self, source: int) -> bool:
        """Whether times of that source mean nothing."""
        found = self.known.get(source)
        return found is not None and found.off

    def forget(self) -> None:
        """Our own clock has been set: all is measured anew."""
        self._leasts, self._now, self.known = {}, {}, {}


class Steps:
    """Whether our clock has been set, told by one that nobody sets."""

    def __init__(self, now_ns: int, monotonic_ns: int) -> None:
        """Both as they are now."""
        self._apart = now_ns - monotonic_ns
        self.count, self.newest_ns = 0, 0

    def look(self, now_ns: int, monotonic_ns: int) -> int:
        """By how much the clock was set since the last look; 0 where it was not."""
        apart = now_ns - monotonic_ns
        step, self._apart = apart - self._apart, apart
        if abs(step) <= STEP_NS:
            return 0
        self.count, self.newest_ns = self.count + 1, step
        return step


def told(offsets: Iterable[Offset]) -> list[dict[str, Any]]:
    """For a health report: the farthest clocks."""
    return [
        {
            "source": one.source,
            "offset_ms": round(one.offset_ns / 1e6, 3),
            "uncertainty_ms": one.uncertainty_ns / 1e6,
            "samples": one.samples,
            "off": one.off,
        }
        for one in list(offsets)[:TOLD_MAX]
    ]


def rows(offsets: Iterable[Offset], ts_ns: int, reference: str) -> list[dict[str, Any]]:
    """For the table `clocks` of the record: one row a source, compared with host `reference`."""
    return [
        {
            "ts": ts_ns,
            "host": f"source {one.source}",
            "role": "source",
            "reference": reference,
            "offset_ns": one.offset_ns,
            "uncertainty_ns": one.uncertainty_ns,
        }
        for one in offsets
    ]


def sentence(offsets: Iterable[Offset]) -> str:
    """What people should know of clocks that are off; "" where none is."""
    wrong = [one for one in offsets if one.off]
    if not wrong:
        return ""
    worst = max(wrong, key=lambda one: abs(one.offset_ns))
    side = "ahead of" if worst.offset_ns > 0 else "behind"
    others = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return (
        f"clock of source {worst.source} is {_span(abs(worst.offset_ns))} {side} ours{others}: "
        "latency unknown"
    )


def _span(ns: int) -> str:
    seconds = ns / 1e9
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


class Ways:
    """How long frames were on their way to us, where the clocks can say."""

    def __init__(self, now_ns: int, monotonic_ns: int) -> None:
        """Nothing has come."""
        self.offsets, self.steps = Offsets(), Steps(now_ns, monotonic_ns)
        self._ms: dict[int, list[float]] = {}  # By source, since the last reading.
        self._sent: dict[int, int] = {}  # The newest moment at which a source sent.

    def take(self, sent: Iterable[tuple[int, int]], now_ns: int) -> None:
        """Frames (source, moment at which it was sent) that came just now."""
        for source, at_ns in sent:
            self.offsets.take(source, now_ns - at_ns)
            if source in self._ms or len(self._ms) < SOURCES_MAX:
                self._ms.setdefault(source, []).append((now_ns - at_ns) / 1e6)
                self._sent[source] = max(at_ns, self._sent.get(source, at_ns))

    def health(self, now_ns: int, monotonic_ns: int, frames: int) -> dict[str, Any]:
        """Once a second, for the report; `frames` wait to be read. Unknown is None."""
        step = self.steps.look(now_ns, monotonic_ns)
        if step:
            self.offsets.forget()
            self._ms, self._sent = {}, {}
        offsets = self.offsets.read(waiting=frames > 0)
        ways, newest_ns = Histogram(), 0
        for source, found in self._ms.items():
            if not self.offsets.off(source):
                ways.add(np.array(found))
                newest_ns = max(newest_ns, self._sent.get(source, 0))
        came = any(self._ms.values())
        self._ms = {}
        p50 = ways.percentile(0.5)
        # Of frames that are off nothing is known, but that none waits is known of all.
        unknown_s = 0.0 if not frames or not came else None
        return {
            "behind_s": p50 / 1e3 if p50 is not None else unknown_s,
            "kafka_ms_p50": p50,
            "kafka_ms_p99": ways.percentile(0.99),
            "feed_age_s": (now_ns - newest_ns) / 1e9 if newest_ns else None,
            "clocks": told(offsets),
            "clock_steps": self.steps.count,
            "clock_note": f"our clock was set by {step / 1e9:+,.1f} s: latency unknown"
            if step
            else sentence(offsets),
        }
