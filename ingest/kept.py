"""Door: the topic `quarantine` read again, and what was refused published to where it came from.

A value goes to its own topic and partition at a new offset, with headers that say which kept value
it is and who sent it. Nothing of the log changes: who reads it meets the value once more, and
refuses it once more if it is as bad as it was.
"""

import time
from typing import Any, NamedTuple

from ingest.instrument import Instrument
from ingest.quarantine import QUARANTINE_TOPIC, Headers, Refused, Replayed, note, read
from ingest.source import REFERENCE_TOPIC, SELDOM, TOPICS, Publisher, Source

NEWEST = 200  # Of each partition: what a person can look through.
BATCH = 512
ARRIVAL_SECONDS = 2.0


class ReplayError(ValueError):
    """It cannot be published again; the text says why, and what to do instead."""


class Kept(NamedTuple):
    """What stands on the topic `quarantine` at a place; `ts_ns` is the log's time."""

    name: str  # PARTITION:OFFSET
    ts_ns: int
    what: Refused | Replayed


class KeptSource(Source):
    """A consumer of the topic `quarantine`, from its newest values on."""

    def __init__(self, brokers: str, newest: int = NEWEST) -> None:
        """Connect; SourceError."""
        super().__init__(brokers, "quarantine", patience=SELDOM, topics=(QUARANTINE_TOPIC,))
        self.missing = self.seek_newest(newest)  # Of those that stood there at the beginning.
        self.strange = 0  # Values that no process of ours has written.

    def take(self, timeout_s: float = 0.0) -> list[Kept]:
        """What has come since; waits at most so long for the first."""
        first = self._consumer.poll(timeout_s)
        found = [first, *self._consumer.consume(BATCH, 0)] if first is not None else []
        kept = []
        for message in found:
            if message.error() is not None:
                self.errors += 1
                continue
            self.missing -= 1
            name = f"{message.partition()}:{message.offset()}"
            headers: Any = dict(message.headers() or ())
            try:
                what = read(headers, message.value() or b"")
            except ValueError:
                self.strange += 1
            else:
                kept.append(Kept(name, message.timestamp()[1] * 1_000_000, what))
        return kept


class Replayer(Publisher):
    """A producer that knows where what it sent has come to stand."""

    def __init__(self, brokers: str) -> None:
        """Connect lazily."""
        super().__init__(brokers, once=True)
        self._awaited: tuple[str, bytes] | None = None  # Topic and value of what is on its way.
        self._arrived: list[tuple[int, int]] = []

    def _delivered(self, error: Any, message: Any) -> None:
        super()._delivered(error, message)
        if error is None and (message.topic(), message.value() or b"") == self._awaited:
            self._arrived.append((message.partition(), message.offset()))

    def replay(self, kept: Kept, person: str, seconds: float = ARRIVAL_SECONDS) -> Replayed:
        """Publish a kept value again, and note who did; ReplayError."""
        refused = kept.what
        if isinstance(refused, Replayed):
            raise ReplayError(f"{kept.name} is a note, no value that was refused")
        key = _key(refused)
        of = kept.name.encode()
        headers: Headers = [("replayed", of), ("person", person.encode())]
        self._awaited = refused.topic, refused.value
        self._arrived.clear()
        self.publish(refused.topic, refused.partition, refused.value, key, headers)
        deadline = time.monotonic() + seconds
        while not self._arrived and time.monotonic() < deadline:
            self.flush(0.05)
        if not self._arrived:
            raise ReplayError(
                f"Kafka did not confirm {kept.name} within {seconds:g} s; it may still arrive. "
                "Look again before it is replayed once more"
            )
        replayed = Replayed(kept.name, person, refused.topic, *self._arrived[0])
        note(self, replayed)
        return replayed


def _key(refused: Refused) -> bytes | None:
    """By which it is published; reference rows have their symbol, frames none."""
    if refused.topic in TOPICS and refused.partition >= 0:
        return None
    try:
        if refused.topic == REFERENCE_TOPIC:
            return Instrument.from_json(refused.value).symbol.encode()
    except ValueError:
        pass
    raise ReplayError(
        f"what was refused of {refused.topic} is a line or a row that cannot be read: mend it "
        "where it comes from, it is published from there"
    )
