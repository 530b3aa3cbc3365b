"""Rule: the record's own events through a fresh engine give the numbers on record, to the bit.

A partition of market data holds all events of its instruments, so each is made again by itself, in
the order of its offsets. What stands beside its events in compute/digest.py's COLUMNS is compared
with what the fresh engine says, and the digests of its minutes with those that `live` and `record`
told. Fills come by another topic, and the order in which they fell between the market's events is
not on record: position and P&L, all that they move, are not compared.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from compute import digest
from compute.digest import COLUMNS, Minute
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.evidence import Evidence, Place, groups
from compute.row import PARTS, RECORD, REFUSED
from ingest.event import EVENT
from ingest.instrument import Reference
from ingest.source import FILLS, TOPICS


class Rebuilt(NamedTuple):
    """What came of one partition."""

    place: Place
    events: int
    minutes: int  # Digests that were told and came out the same
    faults: list[str]  # The first number and the first minute that did not

    def __str__(self) -> str:
        """For people."""
        name = f"{TOPICS[self.place[0]]} partition {self.place[1]}"
        what = "; ".join(self.faults) or f"the same numbers, {self.minutes} minutes' digests agree"
        return f"{name}: {self.events:,} events, {what}"


class _Told:
    """The minutes that were told of one partition, folded again over the offsets they span."""

    def __init__(self, minutes: Iterable[Minute]) -> None:
        # Both readers tell the same; where they do not, both are held against the rebuild.
        self._open = sorted(set(minutes), key=lambda one: (one.first, one.last))
        self._value = dict.fromkeys(self._open, digest.fold(_NONE[0], _NONE[1]))
        self.agreed = 0
        self.fault = ""

    def take(self, offsets: np.ndarray, events: np.ndarray, enriched: np.ndarray) -> None:
        first, last = int(offsets[0]), int(offsets[-1])
        for one in [one for one in self._open if one.first <= last and one.last >= first]:
            a = int(np.searchsorted(offsets, np.uint64(one.first)))
            b = int(np.searchsorted(offsets, np.uint64(one.last), side="right"))
            self._value[one] = digest.fold(events[a:b], enriched[a:b], self._value[one])
            if last >= one.last:
                self._end(one)
        self._open = [one for one in self._open if one in self._value]

    def _end(self, one: Minute) -> None:
        if self._value.pop(one) == one.digest:
            self.agreed += 1
        elif not self.fault:
            clock = f"{one.minute // 60 % 24:02}:{one.minute % 60:02} UTC"
            self.fault = f"the digest told for {clock} is another"


_NONE = np.zeros(0, EVENT), np.zeros(0, ENRICHED)


def places(evidence: Evidence) -> list[Place]:
    """The partitions of market data."""
    return sorted(place for place in evidence.places() if place[0] < FILLS)


def rebuild(
    evidence: Evidence,
    place: Place,
    reference: Reference,
    told: Sequence[Minute] = (),
    tell: Callable[[int], None] = lambda _rows: None,
) -> Rebuilt:
    """All of one partition; `tell(rows)` hears of progress."""
    engine = Engine(reference)
    minutes = _Told(one for one in told if one[:2] == place)
    fault, count = "", 0
    for group in groups(evidence.blocks(place)):
        data = b"".join(evidence.read(group))
        rows = np.frombuffer(data, RECORD)
        rows = rows[rows["kind"] != REFUSED]
        parts = rows.view(PARTS)
        events = np.ascontiguousarray(parts["event"]).view(EVENT)
        enriched = np.empty(len(rows), ENRICHED)
        engine.step(events, enriched)
        if len(rows):
            fault = fault or _difference(rows, enriched)
            minutes.take(rows["offset"], events, enriched)
        count += len(rows)
        tell(sum(block.rows for block in group))
    return Rebuilt(place, count, minutes.agreed, [one for one in (fault, minutes.fault) if one])


def _difference(rows: np.ndarray, enriched: np.ndarray) -> str:
    """The first number that came out another, in words."""
    wrong: dict[int, str] = {}
    for name in COLUMNS:
        on_record, now = rows[name], enriched[name]
        same = on_record.copy().view(np.uint64) == now.copy().view(np.uint64)
        same |= np.isnan(on_record) & np.isnan(now)
        if not same.all():
            wrong.setdefault(int(np.argmin(same)), name)
    if not wrong:
        return ""
    at = min(wrong)
    row, name = rows[at], wrong[at]
    return (
        f"offset {row['offset']} index {row['index']}: {name} on record is {float(row[name])!r}, "
        f"made again {float(enriched[name][at])!r}"
    )
