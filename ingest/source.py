"""Door: Kafka, the only importer of its client. Bounded batches in, frames out, commit when told.

Partitions are assigned by us and not by Kafka's group protocol: a worker starts at once, and
those of one number, of all topics, stay together (ingest/shard.py), which the protocol has no
word for.
"""

import contextlib
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage

from ingest.address import AddressError, parse, shown
from ingest.instrument import AssetClass, Instrument
from ingest.quarantine import QUARANTINE_TOPIC, Headers, Refused

TOPICS = (*(asset_class.topic for asset_class in AssetClass), "fills")
FILLS = len(AssetClass)  # Index of `fills` among TOPICS.
TOPIC_INDEX = {topic: index for index, topic in enumerate(TOPICS)}
REFERENCE_TOPIC = "reference"
ALERTS_TOPIC = "alerts"  # What limits raise: JSON, compute/limits.py; the key is the limit.
ALERTS = len(TOPICS)  # Its index, behind those of the market.
ROOTS_TOPIC = "audit.roots"  # Signed roots of the record, compute/roots.py.
DIGESTS_TOPIC = "audit.digests"  # What `live` and `record` made of the log, compute/digest.py.
_NAMES = (*TOPICS, ALERTS_TOPIC, ROOTS_TOPIC, DIGESTS_TOPIC, QUARANTINE_TOPIC)
_INDEX = {topic: index for index, topic in enumerate(_NAMES)}

POLL_MESSAGES_MAX = 512  # x up to a few hundred events a frame: a batch of about 100,000 events.
POLL_SECONDS = 0.02  # How long an idle poll sleeps in the client; a message wakes it at once.
CONNECT_SECONDS = 10.0
# A broker that leaves a request unanswered for so long is left, and connected anew: its connection
# may be half open. It answers a fetch within half a second, whether there is anything or not.
ANSWER_MS = 5_000
STATISTICS_MS = 1_000  # How often a source looks when its brokers were last heard.

Positions = dict[tuple[int, int], int]  # (topic index, partition) -> offset
Places = Sequence[tuple[int, int]]


class Message(NamedTuple):
    """One Kafka value and its place; `timestamp_ns` is the log's, the same for all readers."""

    topic: int
    partition: int
    offset: int
    timestamp_ns: int
    value: bytes


class Patience(NamedTuple):
    """A fetch is answered once it has `bytes_min`, or after `wait_ms`."""

    wait_ms: int
    bytes_min: int


EAGER = Patience(100, 1)  # `live`: whatever there is, now.
PATIENT = Patience(100, 262_144)  # `record`: fewer and bigger answers; it may lag.
SELDOM = Patience(500, 1)  # Topics of which little is expected, at once when it comes.
REFUSED_MAX = 1_000  # Refused reference rows that are kept for whoever asks.


class SourceError(RuntimeError):
    """Kafka cannot be reached or refuses; the text says what, where and what to do."""


REFUSAL_SECONDS = 3.0  # Brokers hold back a little who has shown a wrong password.
# What a broker says of a password that is none, the client of a certificate that is none.
REFUSALS = (KafkaError._AUTHENTICATION, KafkaError._SSL)  # noqa: SLF001 (their public names)
MECHANISM = "SCRAM-SHA-512"  # How a password is shown to be known, unless the address says.


def let_in(brokers: str) -> dict[str, str]:
    """The client's words for where the brokers are and what it takes to be let in.

    SourceError where the address, or a file that it names, cannot be.
    """
    try:
        place = parse(brokers)
        password = place.password
    except AddressError as error:
        raise SourceError(f"Kafka at {shown(brokers)}: {error}") from None
    names = {
        "ca": "ssl.ca.location",
        "certificate": "ssl.certificate.location",
        "key": "ssl.key.location",
    }
    files = {names[name]: path for name, path in place.files.items() if name in names}
    sasl = {
        "sasl.mechanism": place.other.get("mechanism", MECHANISM),
        "sasl.username": place.user,
        "sasl.password": password,
    }
    return {
        "bootstrap.servers": ",".join(place.hosts),
        **({"security.protocol": place.scheme} if place.scheme else {}),
        **files,
        **(sasl if place.scheme.startswith("sasl_") else {}),
    }


def _config(brokers: str) -> dict[str, object]:
    return {
        **let_in(brokers),
        "socket.nagle.disable": True,
        "socket.keepalive.enable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        # By itself the client looks for a dead leader's successor once a second, and may lose it
        # again for the next; asked for all the time, it is found when there is one.
        "topic.metadata.refresh.interval.ms": 250,
        "topic.metadata.refresh.fast.interval.ms": 50,
        "retry.backoff.ms": 20,
        "retry.backoff.max.ms": 200,
        "socket.timeout.ms": ANSWER_MS,
        "socket.connection.setup.timeout.ms": ANSWER_MS,
        "api.version.request.timeout.ms": ANSWER_MS,
        "log_level": 2,  # The client's own chatter; we report what we see ourselves.
    }


def _refusal(brokers: str) -> str:
    """What brokers say that let us not in; "" where they say nothing of that, or ask nobody."""
    if not parse(brokers).scheme:
        return ""
    said: list[KafkaError] = []
    client = Consumer({**_config(brokers), "group.id": "refusal", "error_cb": said.append})
    deadline = time.monotonic() + REFUSAL_SECONDS
    found: list[str] = []
    while not found and time.monotonic() < deadline:
        client.poll(0.1)
        found = [str(one.str()) for one in said if one.code() in REFUSALS]
    client.close()
    return found[0] if found else ""


def _partitions(client: Consumer, topics: Iterable[str], brokers: str) -> dict[str, int]:
    """Partition count by topic, asking until all exist or CONNECT_SECONDS have passed."""
    wanted = list(topics)
    deadline = time.monotonic() + CONNECT_SECONDS
    problem = "no answer"
    while time.monotonic() < deadline:
        try:
            known = client.list_topics(timeout=2.0).topics
        except KafkaException as error:
            problem = _refusal(brokers) or str(error.args[0])
            continue
        missing = [topic for topic in wanted if topic not in known or not known[topic].partitions]
        if not missing:
            return {topic: len(known[topic].partitions) for topic in wanted}
        problem = f"no topic {', '.join(missing)}"
        for topic in missing:  # Asking for one topic creates it where the cluster allows that.
            with contextlib.suppress(KafkaException):
                client.list_topics(topic, timeout=2.0)
    raise SourceError(
        f"Kafka at {shown(brokers)} is not ready: {problem}. Check the address and that the "
        "topics exist."
    )


class Spread(NamedTuple):
    """Of a topic: how many partitions, the fewest copies of one, and the fewest up to date."""

    partitions: int
    copies: int
    in_sync: int


def spreads(brokers: str) -> dict[str, Spread]:
    """Every topic there is; SourceError where no broker answers."""
    client = Consumer({**_config(brokers), "group.id": "spreads"})
    try:
        known = client.list_topics(timeout=ANSWER_MS / 1e3).topics
    except KafkaException as error:
        problem = _refusal(brokers) or error.args[0]
        raise SourceError(f"Kafka at {shown(brokers)} does not answer: {problem}") from None
    finally:
        client.close()
    return {
        name: Spread(
            len(topic.partitions),
            min((len(one.replicas) for one in topic.partitions.values()), default=0),
            min((len(one.isrs) for one in topic.partitions.values()), default=0),
        )
        for name, topic in known.items()
    }


class Source:
    """A consumer of every partition of the market and the fills; ingest/shard.py reads some."""

    def __init__(
        self,
        brokers: str,
        group: str,
        *,
        patience: Patience = EAGER,
        topics: Sequence[str] = TOPICS,
    ) -> None:
        """Connect and find the partitions; reading starts at `seek`.

        `patience` is how a fetch trades delay for fewer, bigger answers; `topics` are others
        than the market's where given.
        """
        self.brokers, self._topics = brokers, tuple(topics)
        # Since all brokers that lead what is read were heard, as of the newest `poll`.
        self.silent_s = 0.0
        self._heard_us: int | None = None
        self._left = False
        self._consumer = Consumer(
            {
                **_config(brokers),
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": patience.wait_ms,
                "fetch.min.bytes": patience.bytes_min,
                "fetch.queue.backoff.ms": 2,
                "fetch.error.backoff.ms": 20,
                "queued.min.messages": 20_000,
                "queued.max.messages.kbytes": 131_072,
                "fetch.message.max.bytes": 2_097_152,
                "statistics.interval.ms": STATISTICS_MS,
                "stats_cb": self._measured,
            }
        )
        counts = _partitions(self._consumer, topics, brokers)
        every = [(_INDEX[topic], part) for topic in topics for part in range(counts[topic])]
        self.log = str(self._consumer.list_topics(timeout=CONNECT_SECONDS).cluster_id)
        self.assigned = sorted(every)
        self.errors = 0

    def seek(self, positions: Positions) -> None:
        """Read on after `positions` (the last offset taken); from the beginning where absent."""
        self._consumer.assign(_starts(self.assigned, positions))

    def seek_newest(self, count: int) -> int:
        """Read on from the newest `count` values of each partition: how many; SourceError."""
        places, found = _starts(self.assigned, {}), 0
        try:
            for place in places:
                low, high = self._consumer.get_watermark_offsets(place, timeout=CONNECT_SECONDS)
                place.offset = max(low, high - count)
                found += high - place.offset
        except KafkaException as error:
            raise SourceError(
                f"Kafka at {shown(self.brokers)} does not say its offsets: {error}"
            ) from None
        self._consumer.assign(places)
        return found

    def add(self, places: Places, positions: Positions) -> None:
        """Read these too, as `seek` does; the others are not disturbed."""
        self._consumer.incremental_assign(_starts(places, positions))

    def drop(self, places: Places) -> None:
        """Read these no more: nothing of them is given from now on."""
        self._consumer.incremental_unassign(_starts(places, {}))

    def poll(self, timeout_s: float = POLL_SECONDS) -> list[Message]:
        """All that has arrived, at most POLL_MESSAGES_MAX; waits only while there is nothing."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(POLL_MESSAGES_MAX - 1, 0)]
        return list(self._whole(messages))

    def _whole(self, messages: list) -> Iterator[Message]:
        for message in messages:
            error = message.error()
            if error is None:
                yield Message(
                    _INDEX[message.topic()],
                    message.partition(),
                    message.offset(),
                    message.timestamp()[1] * 1_000_000,
                    message.value() or b"",
                )
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 (the client's name)
                self.errors += 1  # Transient: the client itself retries and reconnects.

    def _measured(self, statistics: str) -> None:
        """Take note of when the brokers were last heard; the client calls it within `poll`.

        Fetches go on where nothing is published: a broker that is well is heard all the time. Who
        is slow and has not read what was fetched has no reason to fetch more, and misses nothing.
        """
        if self._left:  # While it closes, the client cannot say what it reads.
            return
        told = json.loads(statistics)
        wanted = {f"{place.topic}-{place.partition}" for place in self._consumer.assignment()}
        idle = [
            broker["rxidle"] if broker["state"] == "UP" else -1  # Below 0: not heard yet.
            for broker in told["brokers"].values()
            if not wanted.isdisjoint(broker["toppars"])
        ]
        topics = told["topics"].values()
        unread = any(one["fetchq_cnt"] for topic in topics for one in topic["partitions"].values())
        led = set().union(*(broker["toppars"] for broker in told["brokers"].values()))
        if unread:
            self._heard_us = told["ts"]
        elif wanted <= led and min(idle, default=0) >= 0:
            self._heard_us = max(self._heard_us or 0, told["ts"] - max(idle, default=0))
        elif self._heard_us is None:
            self._heard_us = told["ts"]
        self.silent_s = (told["ts"] - self._heard_us) / 1e6

    def commit(self, positions: Positions) -> None:
        """Tell Kafka how far we are, for its lag tools; never trusted for resuming."""
        self._consumer.commit(
            offsets=[
                TopicPartition(_NAMES[topic], part, offset + 1)
                for (topic, part), offset in positions.items()
            ],
            asynchronous=True,
        )

    def lag(self, positions: Positions, places: Places | None = None) -> int:
        """Frames that Kafka holds beyond `positions`, from the client's own cached watermarks.

        `places` are all that is read where not given.
        """
        behind = 0
        for topic, part in self.assigned if places is None else places:
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(_NAMES[topic], part), cached=True
            )
            if high > 0:
                behind += max(0, high - 1 - positions.get((topic, part), -1))
        return behind

    def read_since(self, ts_ns: int, seconds: float = CONNECT_SECONDS) -> list[Message]:
        """All that was published since that time, up to the log's present end, by partition.

        SourceError where that cannot be read within `seconds`; half of it would mislead.
        """
        at_ms = ts_ns // 1_000_000
        places = [TopicPartition(_NAMES[topic], part, at_ms) for topic, part in self.assigned]
        found: dict[tuple[int, int], list[Message]] = {place: [] for place in self.assigned}
        deadline = time.monotonic() + seconds
        try:
            begins = self._consumer.offsets_for_times(places, timeout=seconds)
            ends = {
                (_INDEX[place.topic], place.partition): self._consumer.get_watermark_offsets(
                    place, timeout=seconds
                )[1]
                for place in begins
                if place.offset >= 0  # Below: nothing that young.
            }
        except KafkaException as error:
            raise SourceError(
                f"Kafka at {shown(self.brokers)} does not say its offsets: {error}"
            ) from None
        self._consumer.assign([place for place in begins if place.offset >= 0])
        while any(not found[place] or found[place][-1].offset < ends[place] - 1 for place in ends):
            if time.monotonic() > deadline:
                raise SourceError(
                    f"Kafka at {shown(self.brokers)} did not give all of "
                    f"{', '.join(self._topics)} within {seconds:.0f} s. Check the brokers."
                )
            for message in self.poll():
                found[message[:2]].append(message)
        return [message for place in self.assigned for message in found[place]]

    def close(self) -> None:
        """Leave without committing."""
        self._left = True
        self._consumer.close()


def _starts(places: Places, positions: Positions) -> list[TopicPartition]:
    return [
        TopicPartition(_NAMES[topic], part, positions.get((topic, part), -1) + 1)
        if (topic, part) in positions
        else TopicPartition(_NAMES[topic], part, OFFSET_BEGINNING)
        for topic, part in places
    ]


class ReferenceSource:
    """Reads the compacted topic `reference`: everything at the start, changes later."""

    def __init__(self, brokers: str, group: str) -> None:
        """Connect and start at the beginning."""
        self._consumer = Consumer(
            {**_config(brokers), "group.id": f"{group}-reference", "enable.auto.commit": False}
            | {"fetch.wait.max.ms": 50, "enable.partition.eof": True}
        )
        count = _partitions(self._consumer, [REFERENCE_TOPIC], brokers)[REFERENCE_TOPIC]
        self._consumer.assign(
            [TopicPartition(REFERENCE_TOPIC, part, OFFSET_BEGINNING) for part in range(count)]
        )
        self._ends_wanted = count
        self._refused: deque[Refused] = deque(maxlen=REFUSED_MAX)
        self._newest: dict[bytes, bytes] = {}  # Value by key: a repeat says nothing new.
        self.newest_ms = 0  # The log's time of the newest value.

    def read_all(self, seconds: float = 5.0) -> list[Instrument]:
        """Every row up to the present end of the topic."""
        rows: list[Instrument] = []
        ends: set[int] = set()
        deadline = time.monotonic() + seconds
        while len(ends) < self._ends_wanted and time.monotonic() < deadline:
            for message in self._consumer.consume(1000, 0.05):
                error = message.error()
                if error is None:
                    self._take(message, rows)
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    ends.add(message.partition() or 0)
        return rows

    def poll(self) -> list[Instrument]:
        """Rows that arrived since; does not wait."""
        rows: list[Instrument] = []
        while messages := self._consumer.consume(1000, 0):
            for message in messages:
                if message.error() is None:
                    self._take(message, rows)
        return rows

    def take_refused(self) -> list[Refused]:
        """Values since the last call that are no row, with their places and the reason."""
        refused = list(self._refused)
        self._refused.clear()
        return refused

    def _take(self, message: KafkaMessage, rows: list[Instrument]) -> None:
        self.newest_ms = max(self.newest_ms, message.timestamp()[1])
        key, value = message.key() or b"", message.value() or b""
        if key and self._newest.get(key) == value:
            return
        self._newest[key] = value
        try:
            rows.append(Instrument.from_json(value))
        except ValueError as error:
            place = (REFERENCE_TOPIC, message.partition() or 0, message.offset() or 0)
            self._refused.append(Refused(*place, value, "reference", str(error)))

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


class Publisher:
    """A producer. `publish` never loses a value: while the queue is full it waits and serves it."""

    def __init__(self, brokers: str, *, once: bool = False) -> None:
        """Connect lazily; `flush` tells whether all arrived.

        `once`: the brokers find repeats, and a value is sent until it arrives, however long that
        takes; else the reader finds them, and it is given up after the client's five minutes.
        """
        self._producer = Producer(
            {
                **_config(brokers),
                "linger.ms": 0,
                "acks": "all",
                "enable.idempotence": once,  # Costs nothing that could be measured.
                "message.timeout.ms": 0 if once else 300_000,
                "batch.size": 1_048_576,
                "message.max.bytes": 2_097_152,
                "queue.buffering.max.kbytes": 262_144,
                "queue.buffering.max.messages": 200_000,
            }
        )
        self.failed = 0

    def publish(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Queue one value; partition -1 lets the key decide."""
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=self._delivered, headers=headers or []
                )
            except BufferError:
                self._producer.poll(0.01)
            else:
                break
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self.failed += 1

    def waiting(self) -> int:
        """Values that have not arrived yet; does not wait."""
        self._producer.poll(0)
        return len(self._producer)

    def flush(self, seconds: float) -> int:
        """Wait until all is delivered; the number that is not."""
        return int(self._producer.flush(seconds))
