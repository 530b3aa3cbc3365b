"""Rule: the instants at which sessions begin, as one table for the kernels.

A pure function of the calendars' names and of the moments asked for: the engine asks when an event
lies outside of what is covered, so the table grows with event time and answers the same for
`live`, for `record` and for a replay, however it grew.
"""

import numpy as np

from ingest import calendar

DAY_NS = 86_400_000_000_000
MARGIN_NS = 40 * DAY_NS  # No venue rests for so long: a session begins before and after.
STEP_NS = 400 * DAY_NS  # Asked for at once: a year of 19 calendars takes 20 ms to make.
NAMES = tuple(calendar.CALENDARS)


class Sessions:
    """Session starts of the calendars in use; `instants` and `spans` are what a kernel reads.

    instants: int64 [n], ns UTC, calendar after calendar, ascending in each. spans: int64
    [calendars, 2], where each stands in it. `low_ns` <= an event < `high_ns` is covered.
    """

    def __init__(self) -> None:
        """Nothing is covered."""
        self._used: frozenset[int] = frozenset()
        self.low_ns = self.high_ns = 0
        self._make()

    def use(self, codes: frozenset[int]) -> None:
        """These calendars (places in CALENDARS) are asked for from now on."""
        if not codes <= self._used:
            self._used |= codes
            self._make()

    def cover(self, moment_ns: int) -> None:
        """Let the table cover an event of `moment_ns` too."""
        low, high = moment_ns - STEP_NS // 4, moment_ns + STEP_NS
        if self.high_ns > self.low_ns:
            low, high = min(low, self.low_ns), max(high, self.high_ns)
        self.low_ns, self.high_ns = low, high
        self._make()

    def _make(self) -> None:
        parts, at = [np.zeros(0, np.int64)], 0
        self.spans = np.zeros((len(NAMES), 2), np.int64)
        for code in sorted(self._used) if self.high_ns > self.low_ns else ():
            first, last = self.low_ns - MARGIN_NS, self.high_ns + MARGIN_NS
            starts = calendar.reset_instants(NAMES[code], first, last)
            if (starts % 1_000_000_000).any():
                raise ValueError(f"calendar {NAMES[code]}: a session must start on a whole second")
            self.spans[code] = at, at + len(starts)
            at += len(starts)
            parts.append(starts)
        self.instants = np.concatenate(parts)
