"""The demo market as a log in memory, read by several workers at once, for their tests."""

from ingest.clock import VirtualClock
from ingest.instrument import Instrument
from ingest.market import Market
from ingest.quarantine import Refused
from ingest.replay import Replay, Synthetic
from ingest.source import TOPIC_INDEX, TOPICS, Message, Places, Positions
from ingest.universe import universe

SHARDS = 4
ROWS = universe(240, SHARDS)
BATCH = 48  # Messages of a poll.


class Log:
    """All messages in the order in which they were published; readers see those before `end`."""

    identity = "this log"

    def __init__(self, rate: float = 4_000, seconds: float = 1.5, seed: int = 5) -> None:
        self.clock = VirtualClock()
        self.messages: list[Message] = []
        self._next: dict[tuple[int, int], int] = {}
        replay = Replay(Synthetic(Market(ROWS, seed), rate), ROWS, self, now_ns=self.clock)
        until = self.clock() + round(seconds * 1e9)
        while self.clock() < until:
            while replay.step():
                pass
            self.clock.advance(0.002)
        self.end = len(self.messages)

    def publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        if topic in TOPIC_INDEX:
            place = TOPIC_INDEX[topic], partition
            offset = self._next.get(place, 0)
            self._next[place] = offset + 1
            self.messages.append(Message(*place, offset, self.clock(), value))

    def flush(self, _seconds: float) -> int:
        return 0

    def last(self) -> Positions:
        """The last offset of each place, of what readers may see."""
        return {message[:2]: message.offset for message in self.messages[: self.end]}


class Reader:
    """One worker's consumer: what is needed of ingest.source.Source."""

    silent_s = 0.0

    def __init__(self, log: Log) -> None:
        self.whole, self.log = log, log.identity
        self.assigned = [(topic, part) for topic in range(len(TOPICS)) for part in range(SHARDS)]
        self._at: Positions = {}
        self._from = 0  # Messages before it are no news.

    def add(self, places: Places, positions: Positions) -> None:
        assert not self._at.keys() & set(places), "a place is read twice"
        self._at |= {place: positions.get(place, -1) for place in places}
        self._from = 0

    def drop(self, places: Places) -> None:
        for place in places:
            del self._at[place]

    def seek(self, positions: Positions) -> None:
        self._at = {}
        self.add(self.assigned, positions)

    def poll(self, timeout_s: float = 0.0) -> list[Message]:
        found: list[Message] = []
        while self._from < self.whole.end and len(found) < BATCH:
            message = self.whole.messages[self._from]
            if self._at.get(message[:2], message.offset) < message.offset:
                found.append(message)
                self._at[message[:2]] = message.offset
            self._from += 1
        return found

    def commit(self, positions: Positions) -> None:
        pass

    def lag(self, positions: Positions, places: Places | None = None) -> int:
        last = self.whole.last()
        wanted = self.assigned if places is None else places
        return sum(last.get(place, -1) - positions.get(place, -1) for place in wanted)


class Topic:
    """The reference rows."""

    def read_all(self) -> list[Instrument]:
        return ROWS

    def poll(self) -> list[Instrument]:
        return []

    def take_refused(self) -> list[Refused]:
        return []


class Values:
    """What was published: quarantine, digests."""

    def __init__(self) -> None:
        self.values: list[tuple[str, bytes]] = []

    def publish(self, topic: str, partition: int, value: bytes, **_more: object) -> None:
        self.values.append((topic, value))
