"""Rule: what was refused is kept whole, with its place, the reason in one word, and a text.

Frames are kept as they are refused. A reference row may stand refused for a moment, until the row
that it hangs on has come; it is kept once it has stood refused for STANDING_SECONDS, and then once
for each row and reason. A value that was published again is noted beside it: by whom, and where it
stands now.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from ingest.instrument import Refusal
from ingest.reference_file import RefusedLine

QUARANTINE_TOPIC = "quarantine"
STANDING_SECONDS = 2.0

Headers = list[tuple[str, str | bytes | None]]


class Refused(NamedTuple):
    """One value and its place; partition and offset are -1 where only the row itself is known."""

    topic: str
    partition: int
    offset: int
    value: bytes
    reason: str  # One word, for counting.
    text: str  # For people.


class Replayed(NamedTuple):
    """A note that a kept value was published again, to where it came from."""

    of: str  # The kept value's own place on the topic `quarantine`: PARTITION:OFFSET.
    person: str
    topic: str  # Where it stands now.
    partition: int
    offset: int


class Publisher(Protocol):
    """What is needed of ingest.source.Publisher."""

    def publish(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Queue one value."""


def keep(publisher: Publisher, refused: Refused) -> None:
    """Into the topic `quarantine`."""
    headers: Headers = [
        ("reason", refused.reason.encode()),
        ("text", refused.text.encode()),
        ("topic", refused.topic.encode()),
        ("partition", str(refused.partition).encode()),
        ("offset", str(refused.offset).encode()),
    ]
    publisher.publish(QUARANTINE_TOPIC, -1, refused.value, headers=headers)


def note(publisher: Publisher, replayed: Replayed) -> None:
    """Into the same topic, without a value."""
    headers: Headers = [(name, str(told).encode()) for name, told in replayed._asdict().items()]
    publisher.publish(QUARANTINE_TOPIC, -1, b"", headers=[("reason", b"replayed"), *headers])


def read(headers: Mapping[str, bytes], value: bytes) -> Refused | Replayed:
    """What `keep` or `note` wrote; ValueError where neither did."""
    try:
        told = {name: data.decode(errors="replace") for name, data in headers.items()}
        place = told["topic"], int(told["partition"]), int(told["offset"])
        if "of" in told:
            return Replayed(told["of"], told["person"], *place)
        return Refused(*place, value, told["reason"], told["text"])
    except (KeyError, AttributeError) as error:
        raise ValueError(f"the headers of what was refused lack {error}") from None


class RefusedLines:
    """Lines of a file of reference rows that were refused, each told once for each reason."""

    def __init__(self, topic: str) -> None:
        """`topic` is where the rows would have gone; none was refused yet."""
        self.topic, self.count = topic, 0
        self._told: set[RefusedLine] = set()
        self._waiting: list[RefusedLine] = []

    def take(self, refused: Iterable[RefusedLine]) -> list[RefusedLine]:
        """What a reading refused: those that are news."""
        lines = list(refused)
        self._told &= set(lines)  # A line that was right meanwhile is told anew.
        fresh = [line for line in lines if line not in self._told]
        self._told.update(fresh)
        self._waiting += fresh
        self.count += len(fresh)
        return fresh

    def keep(self, publisher: Publisher) -> None:
        """Into the topic `quarantine`, whole, with file, line and reason."""
        for line in self._waiting:
            value = line.line.encode()
            keep(publisher, Refused(self.topic, -1, -1, value, "reference", str(line)))
        self._waiting.clear()


class StandingRows:
    """Reference rows that stay refused beside the others."""

    def __init__(self, topic: str) -> None:
        """`topic` is where the rows come from; nothing stands refused yet."""
        self.topic = topic
        self._since: dict[Refusal, float] = {}
        self._told: set[Refusal] = set()

    def due(self, refusals: Mapping[int, Refusal], now: float) -> Iterable[Refused]:
        """What has stood refused long enough at `now`, in seconds, and was not told before."""
        standing = set(refusals.values())
        self._since = {one: self._since.get(one, now) for one in standing}
        self._told &= standing  # A row that was right meanwhile is told anew.
        for one in sorted(standing - self._told, key=lambda one: one.row.id):
            if now - self._since[one] >= STANDING_SECONDS:
                self._told.add(one)
                yield Refused(self.topic, -1, -1, one.row.to_json(), "reference", one.reason)
