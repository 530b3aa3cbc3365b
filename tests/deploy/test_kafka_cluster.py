"""Three real brokers: the leader dies under load, and nothing is lost, doubled or out of order."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from app.standins import make_topics
from ingest.source import TOPICS, Positions, Publisher, Source
from tests.kafka import Kafka

VALUES = 600  # Of each topic; half of them before the blow.
SECONDS_MAX = 60.0


@pytest.fixture
def cluster(tmp_path):
    cluster = Kafka(tmp_path / "kafka", brokers=3)
    try:
        make_topics(cluster.start().address, 1)
        yield cluster
    finally:
        cluster.close()


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def publish(publisher: Publisher, first: int, last: int) -> None:
    for number in range(first, last):
        for topic in TOPICS:
            publisher.publish(topic, 0, b"%d" % number * 500)
        time.sleep(0.002)


@pytest.mark.requires("kafka")
def test_the_leader_dies_under_load_and_nothing_is_lost(cluster):
    admin = AdminClient({"bootstrap.servers": cluster.address, "log_level": 2})

    def of(topic):
        return admin.list_topics(topic, timeout=10).topics[topic].partitions[0]

    topic = TOPICS[0]
    assert len(of(topic).replicas) == 3
    publisher = Publisher(cluster.address, once=True)
    source = Source(cluster.address, "test")
    source.seek({})
    publish(publisher, 0, VALUES // 2)
    leader = of(topic).leader
    cluster.kill(leader)
    publish(publisher, VALUES // 2, VALUES)
    assert publisher.flush(SECONDS_MAX) == 0
    assert publisher.failed == 0
    assert of(topic).leader not in (leader, -1)
    taken: Positions = {}
    wanted = dict.fromkeys(((index, 0) for index in range(len(TOPICS))), VALUES - 1)

    def all_read():
        for message in source.poll():
            number = taken.get(message[:2], -1) + 1
            assert (message.offset, message.value) == (number, b"%d" % number * 500)
            taken[message[:2]] = message.offset
        return taken == wanted

    until(all_read)
    cluster.restart(leader)  # Alone, beside the others: it takes what it lacks from them.
    until(lambda: len(of(topic).isrs) == 3)
    low, high = source._consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    assert (low, high) == (0, VALUES)
    source.close()
