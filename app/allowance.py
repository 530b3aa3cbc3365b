"""Rule: how much a client may say: a burst at once, and so much a second from then on."""

import time
from collections import Counter
from collections.abc import Callable

from app.process import say


class Allowance:
    """Fills up with time, is used up by what is said."""

    def __init__(
        self, burst: float, per_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Full: `burst` may be said at once."""
        self.burst, self.per_s, self.monotonic = burst, per_s, monotonic
        self.left, self._at = burst, monotonic()

    def take(self, amount: float) -> bool:
        """Use it; False where more was said than may be."""
        now = self.monotonic()
        self.left = min(self.burst, self.left + (now - self._at) * self.per_s) - amount
        self._at = now
        return self.left >= 0


class Refusals(Counter[str]):
    """Clients that were sent away, by reason; `refusals(why)` counts one and says so."""

    def __call__(self, why: str) -> None:
        """A client was sent away."""
        self[why] += 1
        say("client refused", why=why, refused=self[why])
