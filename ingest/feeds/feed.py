"""Shape: what a reader of recorded data hands out, and what it could not use.

A feed is `instruments` and an iterator of arrays of EVENT. Nothing that was in the file is lost
in silence: a row became events, or stands under `skipped` with the reason, or was refused, is
counted and kept whole. `sequence` is the exchange's number where there is one, else the row's
number in its file; `reference` of a trade without a trade id is that number too. `source` is 0:
whoever publishes the events names their source.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ingest.event import EVENT, PRICE_SCALE, Kind
from ingest.instrument import Instrument

CHUNK_EVENTS = 8_192  # 512 KiB.
REFUSED_MAX = 1_000  # Refusals kept, and
REFUSED_BYTES_MAX = 16 << 20  # the bytes kept with them; all beyond are only counted.


class FeedError(ValueError):
    """Why nothing can be read from here: what is wrong, where, and what to do about it."""

    def __init__(self, what: str, where: object, remedy: str) -> None:
        """Three short clauses, without full stops."""
        super().__init__(f"{where}: {what}; {remedy}")


class Refusal(NamedTuple):
    """A piece that was not understood, whole; `place` is file, entry, line or byte offset."""

    place: str
    reason: str
    data: bytes


@dataclass
class Tally:
    """What a feed has read so far; it grows while the chunks are consumed."""

    rows: int = 0  # Rows (lines, messages, records) of the source that were understood.
    skipped: Counter[str] = field(default_factory=Counter)  # Of these, no event, by reason.
    refused: list[Refusal] = field(default_factory=list)  # The first REFUSED_MAX.
    refused_total: int = 0
    refused_bytes: int = 0
    alarms: Counter[str] = field(default_factory=Counter)  # Read, but it contradicts the rest.

    def refuse(self, place: str, reason: str, data: bytes = b"") -> None:
        """Count a piece and keep it while there is room."""
        self.refused_total += 1
        self.refused_bytes += len(data)
        if len(self.refused) < REFUSED_MAX and self.refused_bytes <= REFUSED_BYTES_MAX:
            self.refused.append(Refusal(place, reason, data))


@dataclass
class Feed:
    """Recorded data, opened. Ids of `instruments` are dense from the caller's `first_id`."""

    instruments: list[Instrument]
    chunks: Iterator[np.ndarray]  # Arrays of EVENT, some thousand each, in the order of the file.
    tally: Tally
    events: int | None = None  # Events in all, where that is known before reading.

    @property
    def refused(self) -> list[Refusal]:
        """What was not understood so far."""
        return self.tally.refused


@lru_cache(64)
def midnight_ns(date: str, zone: str) -> int:
    """Start of the day `date` (YYYYMMDD or ISO) in `zone`, ns since the epoch, UTC."""
    day = datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone))
    return int(day.timestamp()) * 1_000_000_000


def events(kind: Kind, instrument: int, ts_event: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """EVENT [n] with the envelope filled; `ts_recv` = `ts_event` where nobody noted it."""
    rows = np.zeros(len(ts_event), EVENT)
    rows["kind"] = kind
    rows["instrument"] = instrument
    rows["ts_event"] = rows["ts_recv"] = ts_event
    rows["sequence"] = sequence
    return rows


def step(prices: Iterable[int] | np.ndarray) -> tuple[float, int]:
    """Tick and decimals of exact `prices`: the coarsest decimal place that holds them all."""
    every = np.fromiter(prices, np.int64) if not isinstance(prices, np.ndarray) else prices
    common = int(np.gcd.reduce(every, initial=PRICE_SCALE))
    places = next(places for places in range(10) if common % 10 ** (9 - places) == 0)
    return 10.0**-places, places


def weave(first: np.ndarray, at_first: np.ndarray, then: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Two arrays of EVENT in the order of their rows `at_first` and `at`; `first` goes first."""
    rows = np.concatenate((first, then))
    return rows[np.argsort(np.concatenate((at_first, at)), kind="stable")]


def by_time(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same events in order of time; for files of a day that are sorted by instrument."""
    every = np.concatenate([np.empty(0, EVENT), *chunks])
    every = every[np.argsort(every["ts_event"], kind="stable")]
    for first in range(0, len(every), CHUNK_EVENTS):
        yield every[first : first + CHUNK_EVENTS]


def moved(tops: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Where a row of the structured array `tops` differs from the one before; `last` [1] first."""
    before = np.concatenate((last, tops[:-1]))
    return np.asarray(tops != before)
