"""Rule: counters and latency histograms that every stage stamps, mergeable and of fixed size.

Buckets grow by 2 % from 1 us to about 100 s, so a percentile is read to 1 % at any scale and a
histogram of a whole day costs 8 KiB.
"""

import math

import numpy as np

LOW_MS = 0.001
GROWTH = math.log(1.02)
BUCKETS = 1024  # 0.001 ms * 1.02**1023 is 6e5 ms: ten minutes, beyond any age we would chart.


class Histogram:
    """Counts of durations in milliseconds; negative durations are counted apart, never clamped."""

    def __init__(self) -> None:
        """Start empty."""
        self.counts = np.zeros(BUCKETS, np.int64)
        self.negative = 0
        self.max_ms = 0.0

    def add(self, ms: np.ndarray | float) -> None:
        """Count one duration or an array of them; not-finite values are ignored."""
        values = np.atleast_1d(np.asarray(ms, np.float64))
        values = values[np.isfinite(values)]
        good = values[values >= 0]
        self.negative += len(values) - len(good)
        if len(good):
            index = np.log(np.maximum(good, LOW_MS) / LOW_MS) / GROWTH
            np.add.at(self.counts, np.minimum(index.astype(np.int64), BUCKETS - 1), 1)
            self.max_ms = max(self.max_ms, float(good.max()))

    @property
    def count(self) -> int:
        """Durations counted, without the negative ones."""
        return int(self.counts.sum())

    def percentile(self, share: float) -> float | None:
        """Upper edge in ms of the bucket that holds the `share` (0..1) quantile; None if empty."""
        total = self.count
        if not total:
            return None
        rank = max(1, math.ceil(share * total))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return min(LOW_MS * math.exp(GROWTH * (bucket + 1)), self.max_ms)

    def clear(self) -> None:
        """Forget everything, to start a new interval."""
        self.counts[:] = 0
        self.negative = 0
        self.max_ms = 0.0


class Stages:
    """How long each stage of a way takes, since it was last told; in ms."""

    def __init__(self, *names: str) -> None:
        """The stages in their order."""
        self._moments: dict[str, list[float]] = {name: [] for name in names}

    def add(self, name: str, *ms: float) -> None:
        """Note durations; cheap, because whoever notes them is in a hurry."""
        self._moments[name] += ms

    def told(self) -> dict[str, list[float | None]]:
        """[p50, p99] of each, None where there was nothing; begins anew."""
        found = {}
        for name, moments in self._moments.items():
            histogram = Histogram()
            histogram.add(np.array(moments))
            moments.clear()
            found[name] = [histogram.percentile(0.5), histogram.percentile(0.99)]
        return found


class Rate:
    """Events a second over the interval between two readings."""

    def __init__(self, now_ns: int) -> None:
        """Start counting at `now_ns`."""
        self.total = 0
        self._read_total = 0
        self._read_ns = now_ns

    def add(self, count: int) -> None:
        """Count `count` more."""
        self.total += count

    def read(self, now_ns: int) -> float:
        """Rate since the last reading; 0 where no time has passed."""
        elapsed_ns = now_ns - self._read_ns
        counted = self.total - self._read_total
        self._read_ns, self._read_total = now_ns, self.total
        return counted * 1e9 / elapsed_ns if elapsed_ns > 0 else 0.0
