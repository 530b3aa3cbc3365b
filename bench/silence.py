"""Rule: for how long nothing new was told of each group of instruments, as a page sees it.

It reads what pages read, the stream that `live` or `merge` tells, and notes when a row of each
group last had an event. A group is a partition, or an asset class, which is a topic.
"""

import time
from collections.abc import Callable

import numpy as np

from compute.bus import Bus
from compute.follow import Follower
from compute.table import INSTRUMENTS
from ingest.instrument import Reference

LOOK_SECONDS = 0.002
START_SECONDS = 180.0


class Silence:
    """Of the product whose Redis this is."""

    def __init__(self, bus: Bus, by: str) -> None:
        """`by` names the groups, `shard` or `asset_class`. Waits until all have been told of."""
        self.reader = Follower(bus, 0)
        deadline = time.monotonic() + START_SECONDS
        self.wanted: frozenset[int] = frozenset()
        missing: set[int] = set()
        while missing or not self.wanted:
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing was told of {by} {sorted(missing)}")
            if not self.wanted:  # Nobody knows the instruments yet.
                self.groups = Reference.from_json(bus.reference() or b"[]").array[by]
                missing = set(np.unique(self.groups[self.groups >= 0]).tolist())
                self.wanted = frozenset(missing)
            missing -= self._news() if self.wanted else set()
            time.sleep(LOOK_SECONDS)

    def _news(self) -> set[int]:
        """Groups of which there is something new."""
        self.reader.step()
        rows, oldest_ns = self.reader.take()
        changed = rows[INSTRUMENTS.name]
        return set(self.groups[changed[oldest_ns[changed] > 0]].tolist())

    def until(self, over: Callable[[], bool]) -> dict[int, float]:
        """The longest time, ms, without news of each group, from now until it is over."""
        begun = time.monotonic()
        heard = dict.fromkeys(self.wanted, begun)
        longest = dict.fromkeys(self.wanted, 0.0)
        while not over():
            news, now = self._news() & self.wanted, time.monotonic()
            for group in news:
                longest[group] = max(longest[group], (now - heard[group]) * 1e3)
                heard[group] = now
            time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        return {g: max(ms, (now - heard[g]) * 1e3) for g, ms in longest.items()}

    def during(self, seconds: float) -> float:
        """The longest of all groups, ms, in so many seconds from now."""
        end = time.monotonic() + seconds
        return max(self.until(lambda: time.monotonic() >= end).values())
