"""Rule: what a chart of one instrument misses; pages that miss the same of it share the bytes.

The mirror's own samples, one a second, in front of them what the record knows, and the present as
a tip that is written over. All pages have the same turns, SERIES_SECONDS apart.
"""

import struct
import time

import numpy as np

from app.feed import Feed
from app.mirror import Mirror
from app.view import SERIES, section
from compute.table import INSTRUMENTS

SERIES_SECONDS = 0.25
HISTORY_POINTS_MAX = 1_800
_COLUMNS = [INSTRUMENTS.index(name) for name in ("last", "vwap", "volume")]
_NOTE = struct.Struct("<4I")  # row, points, mode: 0 all, 1 written over by time, 0


class Series:
    """Charts of all pages of a hub."""

    def __init__(self, mirror: Mirror) -> None:
        """None made yet."""
        self.mirror = mirror
        self._turn = 0
        self._made: dict[tuple, tuple[bytes, float]] = {}

    def turn(self) -> int:
        """The present turn; whoever has been served in it has all there is."""
        turn = int(time.monotonic() / SERIES_SECONDS)
        if turn != self._turn:
            self._turn, self._made = turn, {}
        return turn

    def section(self, feed: Feed, turn: int) -> bytes:
        """What a page misses of it in this turn; from then on it has it."""
        if feed.series_at == turn or not 0 <= feed.row < len(self.mirror.tables[INSTRUMENTS.name]):
            return b""
        key = feed.index, feed.row, feed.series_ms, id(feed.earlier)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._make(feed)
        feed.series_at = turn
        part, feed.series_ms = found
        return part

    def _make(self, feed: Feed) -> tuple[bytes, float]:
        """The section, and the time in ms up to which it reaches."""
        table = self.mirror.tables[INSTRUMENTS.name]
        moments, values = self.mirror.history.read(feed.row, feed.series_ms)
        tip_ms = (self.mirror.now_ns() // 1_000_000_000) * 1000.0
        moments = np.append(moments, tip_ms)
        values = np.vstack((values, table[feed.row, _COLUMNS]))
        mode = 0 if feed.series_ms < 0 else 1
        if mode == 0 and feed.earlier is not None:
            keep = feed.earlier[:, 0] < moments[0]
            moments = np.concatenate((feed.earlier[keep, 0], moments))
            values = np.vstack((feed.earlier[keep, 1:4], values))
        moments, values = moments[-HISTORY_POINTS_MAX:], values[-HISTORY_POINTS_MAX:]
        columns = (values[:, k].astype("<f8").tobytes() for k in range(3))
        note = _NOTE.pack(feed.row, len(moments), mode, 0)
        payload = note + moments.astype("<f8").tobytes() + b"".join(columns)
        return section(feed.index, SERIES, payload), tip_ms - 1.0
