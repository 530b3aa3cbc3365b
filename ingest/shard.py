"""Rule: one consumer read by several engines, each of which has one shard.

A shard is the partitions of one number, of all topics. An instrument's market data and its fills
lie in partitions of its number (`shard` of its reference row), so all that ever moves its row lies
in one shard: an engine that is given a shard, and only that, needs no other one, and can be moved
as a whole. A consumer for each shard would have threads and fetches of its own; here one serves
all that a worker has, and a shard that comes or goes does not disturb the others.
"""

from collections import deque
from typing import Protocol

from ingest.source import POLL_MESSAGES_MAX, POLL_SECONDS, Message, Places, Positions

WAITING_MAX = 4 * POLL_MESSAGES_MAX  # Of a shard; then Kafka keeps the rest, also of the others.


class Source(Protocol):
    """What is needed of ingest.source.Source."""

    log: str
    silent_s: float

    @property
    def assigned(self) -> list[tuple[int, int]]:
        """All partitions there are."""

    def poll(self, timeout_s: float = ...) -> list[Message]:
        """All that has arrived."""

    def add(self, places: Places, positions: Positions) -> None:
        """Read these too."""

    def drop(self, places: Places) -> None:
        """Read these no more."""

    def commit(self, positions: Positions) -> None:
        """Tell Kafka how far we are."""

    def lag(self, positions: Positions, places: Places | None = None) -> int:
        """Frames that Kafka holds beyond these."""


class Shards:
    """What one consumer reads, by shard."""

    def __init__(self, source: Source) -> None:
        """Nothing is read before a shard is opened and sought."""
        self.source = source
        self.count = 1 + max(partition for _, partition in source.assigned)
        self._open: dict[int, Shard] = {}
        self.empty = 0  # Polls in a row that gave nothing.

    def open(self, number: int) -> "Shard":
        """The shard, to be read by one engine until it is closed."""
        shard = self._open[number] = Shard(self, number)
        return shard

    def pump(self, timeout_s: float = POLL_SECONDS) -> int:
        """Hand each shard what has arrived; waits only while there is nothing. Messages."""
        if any(len(shard.waiting) >= WAITING_MAX for shard in self._open.values()):
            self.empty = 0
            return 0
        messages = self.source.poll(timeout_s) if self._open else []
        self.empty = 0 if messages else self.empty + 1
        for message in messages:
            shard = self._open.get(message.partition)
            if shard is not None:
                shard.waiting.append(message)
        return len(messages)

    def close(self, number: int) -> None:
        """Nobody reads this shard any more."""
        self._open.pop(number).leave()


class Shard:
    """What an engine needs of a source, of the partitions of one number."""

    def __init__(self, shards: Shards, number: int) -> None:
        """Nothing is read before `seek`."""
        self.shards, self.number = shards, number
        self.log = shards.source.log
        self.assigned = [place for place in shards.source.assigned if place[1] == number]
        self.waiting: deque[Message] = deque()
        self._sought = False

    def poll(self, timeout_s: float = 0.0) -> list[Message]:
        """What was handed to this shard since, POLL_MESSAGES_MAX at most."""
        count = min(len(self.waiting), POLL_MESSAGES_MAX)
        return [self.waiting.popleft() for _ in range(count)]

    def seek(self, positions: Positions) -> None:
        """Read on after `positions`; from the beginning where absent."""
        self.leave()
        self.shards.source.add(self.assigned, positions)
        self._sought = True

    def commit(self, positions: Positions) -> None:
        """Tell Kafka how far we are."""
        self.shards.source.commit(positions)

    @property
    def silent_s(self) -> float:
        """Since Kafka was heard, which speaks all the time."""
        return self.shards.source.silent_s

    def lag(self, positions: Positions) -> int:
        """Frames that Kafka holds beyond `positions`."""
        return self.shards.source.lag(positions, self.assigned)

    def leave(self) -> None:
        """Read no more of it."""
        self.waiting.clear()
        if self._sought:
            self.shards.source.drop(self.assigned)
            self._sought = False
