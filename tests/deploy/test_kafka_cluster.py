"""Three real brokers: one dies under load, then another, and both come back.

Whatever happens to them, what producers were told to publish is in the log once and in order, and
the readers get it; while too few are there nothing is taken, and nothing is lost. How long a page
misses them, also where leaders move or one stands still: `python -m tests.walk.brokers`.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from app.standins import make_topics
from ingest.source import TOPICS, Positions, Publisher, Source
from tests.kafka import Kafka

VALUES = 300  # Of each topic, with each blow; half of them before it.
SECONDS_MAX = 120.0  # Java takes its time to come back, on a machine that is busy.
QUIET_SECONDS = 3.0  # So long nothing may be taken while too few brokers live.


@pytest.fixture
def cluster(tmp_path):
    cluster = Kafka(tmp_path / "kafka", brokers=3)
    try:
        make_topics(cluster.start().address, 1)
        yield Watched(cluster)
    finally:
        cluster.close()


def until(reached: Callable[[], object], seconds: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Watched:
    """A cluster with one producer and one reader that live through all of it."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        patience = {"socket.timeout.ms": 3_000, "log_level": 2}  # Whoever is asked may stand still.
        self.admin = AdminClient({"bootstrap.servers": kafka.address, **patience})
        self.publisher = Publisher(kafka.address, once=True)
        self.source = Source(kafka.address, "test")
        self.source.seek({})
        self.published = 0
        self.taken: Positions = {}

    def of(self, topic: str = TOPICS[0]):
        """What the brokers say of its partition."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            with suppress(KafkaException, KeyError):  # Or not know the topic yet.
                return self.admin.list_topics(topic, timeout=4).topics[topic].partitions[0]
            assert time.monotonic() < deadline

    def publish(self, count: int = VALUES // 2) -> None:
        for number in range(self.published, self.published + count):
            for topic in TOPICS:
                self.publisher.publish(topic, 0, b"%d" % number * 500)
            time.sleep(0.002)
        self.published += count

    def read(self) -> bool:
        """Take what has come, each value in its turn; whether that is all."""
        for message in self.source.poll():
            number = self.taken.get(message[:2], -1) + 1
            assert (message.offset, message.value) == (number, b"%d" % number * 500)
            self.taken[message[:2]] = message.offset
        return self.taken == {(index, 0): self.published - 1 for index in range(len(TOPICS))}

    def all_arrives(self) -> None:
        """All that was published is taken and read, once and in order."""
        assert self.publisher.flush(SECONDS_MAX) == 0
        assert self.publisher.failed == 0
        until(self.read)
        for topic in (TOPICS[0], TOPICS[-1]):
            until(lambda topic=topic: self.ends(topic) == (0, self.published))

    def ends(self, topic: str) -> tuple[int, int] | None:
        """First and next offset of its partition."""
        with suppress(KafkaException):
            return self.source._consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
        return None

    def whole(self) -> bool:
        return all(len(self.of(topic).isrs) == 3 for topic in TOPICS)


@pytest.mark.requires("kafka")
def test_the_log_stays_whole_whatever_befalls_its_brokers(cluster):
    until(cluster.whole)
    first = leader_dies(cluster)
    too_few(cluster, first)


def leader_dies(cluster: Watched) -> int:
    """Two are enough: nothing is lost, nobody waits for long."""
    cluster.publish()
    leader = cluster.of().leader
    cluster.kafka.kill(leader)
    cluster.publish()
    cluster.all_arrives()
    until(lambda: cluster.of().leader not in (leader, -1))
    return leader


def too_few(cluster: Watched, first: int) -> None:
    """One is not: producers wait, readers get nothing that is not safe, and then all of it."""
    second = first % 3 + 1
    cluster.kafka.kill(second)
    before = cluster.published
    cluster.publish()
    assert cluster.publisher.flush(QUIET_SECONDS) == (cluster.published - before) * len(TOPICS)
    assert not cluster.read()
    assert set(cluster.taken.values()) == {before - 1}
    with ThreadPoolExecutor(2) as pool:  # Each alone, beside who is there: it takes what it lacks.
        list(pool.map(cluster.kafka.restart, (first, second)))
    cluster.publish()
    cluster.all_arrives()
    until(cluster.whole)
