"""Door: wall time. Everything that needs the hour asks here, so a test or a replay can answer."""

import time
from collections.abc import Callable

now_ns: Callable[[], int] = time.time_ns


class VirtualClock:
    """A clock that a test moves by hand: `clock()` is `now_ns()`."""

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000) -> None:
        """Start at `start_ns` since the epoch."""
        self.ns = start_ns

    def __call__(self) -> int:
        """Nanoseconds since the epoch."""
        return self.ns

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, backwards if negative."""
        self.ns += round(seconds * 1e9)
