"""Rule: Kafka's log, from its beginning, through a fresh engine gives the digests on record.

The record's own rows are not asked for an event: what is replayed is the log as Kafka has it, and
what comes of it is held against the record, partition by partition, up to where the record ends.
Where Kafka has let go of the beginning, an engine cannot come to the same sums: from there on the
events are held against each other and the numbers are not.
"""

from collections.abc import Callable, Set
from typing import NamedTuple, Protocol

import numpy as np

from compute import digest
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.evidence import Evidence, Place, groups
from compute.intake import Batch, Intake
from compute.row import PARTS, RECORD, REFUSED
from ingest.event import EVENT
from ingest.instrument import Reference
from ingest.source import FILLS, TOPICS, Message, Positions

QUIET_POLLS = 50  # Without a message: Kafka has no more, 5 s.
POLL_SECONDS = 0.1
_NONE = np.zeros(0, EVENT)


class Log(Protocol):
    """What is needed of ingest.source.Source."""

    def seek(self, positions: Positions) -> None:
        """Read on after these; from the beginning where absent."""

    def poll(self, timeout_s: float = ...) -> list[Message]:
        """All that has arrived."""


class Replayed(NamedTuple):
    """One partition of market data: what the log gave, and whether the record has the same."""

    place: Place
    first: int  # The first offset that Kafka had; -1: none
    last: int  # The last offset that was held against the record
    events: int
    fault: str

    def __str__(self) -> str:
        """For people."""
        name = f"{TOPICS[self.place[0]]} partition {self.place[1]}"
        if self.first < 0:
            return f"{name}: {self.fault or 'Kafka has nothing of it, and nothing is on record'}"
        what = "the same events" if self.first else "the same events and numbers"
        since = f", from offset {self.first}: Kafka has let go of what was before"
        since = since if self.first else ""
        return f"{name}: {self.events:,} events, {self.fault or what}{since}"


class _Part:
    """A partition under way: the digest of what the log has given so far."""

    def __init__(self, place: Place, last: int) -> None:
        self.place, self.last = place, last
        self.first = self.at = -1
        self.events = 0
        self.value = digest.fold(_NONE, _unknown(0))

    def take(self, message: Message, events: np.ndarray, enriched: np.ndarray) -> None:
        if self.first < 0:
            self.first = message.offset
        if message.offset > self.last:
            return
        self.at = max(self.at, message.offset)
        self.events += len(events)
        if len(events):
            numbers = enriched if self.first == 0 else _unknown(len(events))
            self.value = digest.fold(events, numbers, self.value)


def _unknown(count: int) -> np.ndarray:
    return np.zeros(count, ENRICHED)


def replay(  # noqa: PLR0913
    log: Log,
    evidence: Evidence,
    reference: Reference,
    ends: Positions,
    refused: Set[tuple[int, int, int]] = frozenset(),
    tell: Callable[[int], None] = lambda _rows: None,
) -> list[Replayed]:
    """All partitions of market data with something on record up to `ends`.

    `refused`: what the recorder refused, and put on record as refused; it gives no event here
    either, whatever is known of its instrument by now.
    """
    parts = {place: _Part(place, last) for place, last in ends.items() if place[0] < FILLS}
    _read(log, parts, reference, refused, tell)
    return [_held(evidence, part) for _, part in sorted(parts.items())]


def _read(
    log: Log,
    parts: dict[Place, _Part],
    reference: Reference,
    refused: Set[tuple[int, int, int]],
    tell: Callable[[int], None],
) -> None:
    engine, intake = Engine(reference), Intake(reference)
    log.seek({})
    quiet = 0
    while quiet < QUIET_POLLS and any(part.at < part.last for part in parts.values()):
        messages = log.poll(POLL_SECONDS)
        quiet = 0 if messages else quiet + 1
        if not messages:
            continue
        for message in (one for one in messages if one[:3] in refused and one[:2] in parts):
            parts[message[:2]].take(message, _NONE, _unknown(0))
        batch = intake.take([one for one in messages if one[:3] not in refused])
        enriched = np.empty(len(batch.events), ENRICHED)
        engine.step(batch.events, enriched)
        _fold(batch, enriched, parts)
        tell(len(batch.events))


def _fold(batch: Batch, enriched: np.ndarray, parts: dict[Place, _Part]) -> None:
    for message, start, count, _, _ in batch.spans:
        part = parts.get(message[:2])
        if part is not None:
            part.take(message, batch.events[start : start + count], enriched[start : start + count])


def _held(evidence: Evidence, part: _Part) -> Replayed:
    """What the log gave against the same offsets on record."""
    if part.first < 0 or part.at < part.last:
        reached = f"offset {part.at}" if part.at >= 0 else "nothing"
        what = f"Kafka gave {reached} of the {part.last} that are on record"
        return Replayed(part.place, part.first, part.at, part.events, what)
    value = digest.fold(_NONE, _unknown(0))
    events = 0
    for group in groups(evidence.blocks(part.place, part.first - 1)):
        rows = np.frombuffer(b"".join(evidence.read(group)), RECORD)
        inside = (rows["offset"] >= part.first) & (rows["offset"] <= part.last)
        rows = rows[inside & (rows["kind"] != REFUSED)]
        told = np.ascontiguousarray(rows.view(PARTS)["event"]).view(EVENT)
        numbers = np.ascontiguousarray(rows.view(PARTS)["enriched"]).view(ENRICHED)
        value = digest.fold(told, numbers if part.first == 0 else _unknown(len(rows)), value)
        events += len(rows)
    fault = ""
    if events != part.events:
        fault = f"the record has {events:,} events where the log gives {part.events:,}"
    elif value != part.value:
        fault = f"the digest of the log is {part.value:016x}, of the record {value:016x}"
    return Replayed(part.place, part.first, part.at, part.events, fault)
