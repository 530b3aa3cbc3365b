"""Rule: how much of a web server's time pages that come back from another one may take: half.

Hundreds lose one server at the same moment, and each costs the next one some milliseconds: what it
is told, and all that it shows. Those who are there already want their changed cells meanwhile. So
who comes back has a turn, as far behind the one before as that costs twice; nobody waits so long
that he would give up.
"""

import time
from collections.abc import Callable

SHARE = 0.5
COST_S = 0.002  # What one costs, before any has been measured.
WEIGHT = 0.125  # Of the newest, in the mean.
WAIT_S_MAX = 1.0  # Below OPEN_MS of app/blocks/link.js, after which a page tries elsewhere.


class Pace:
    """Of one web process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Nobody waits."""
        self._monotonic = monotonic
        self._cost_s, self._next_at = COST_S, 0.0

    def turn(self) -> float:
        """Seconds until the turn of one who has come now."""
        now = self._monotonic()
        at = min(max(now, self._next_at), now + WAIT_S_MAX)
        self._next_at = at + self._cost_s / SHARE
        return at - now

    def took(self, seconds: float) -> None:
        """So long one has kept the loop."""
        self._cost_s += WEIGHT * (seconds - self._cost_s)
