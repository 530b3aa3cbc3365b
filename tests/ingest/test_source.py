"""The doors to Kafka against the stand-in, which speaks the real protocol."""

import json
import threading
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from app import kafka_log, standins
from app.process import Stop
from app.standins import free_port
from compute.alerts import RESTORE_NS
from ingest import source
from ingest.instrument import AssetClass, Instrument
from ingest.quarantine import QUARANTINE_TOPIC
from ingest.source import (
    ALERTS,
    ALERTS_TOPIC,
    FILLS,
    POLL_MESSAGES_MAX,
    REFERENCE_TOPIC,
    SELDOM,
    TOPICS,
    Patience,
    Publisher,
    ReferenceSource,
    Source,
    SourceError,
)

PARTITIONS = 3


@pytest.fixture
def brokers():
    """Address of a broker with the product's topics, in a thread of this process."""
    stop, addresses, up = Stop(), [], threading.Event()

    def ready(address):
        addresses.append(address)
        up.set()

    names = (*TOPICS, REFERENCE_TOPIC, QUARANTINE_TOPIC, ALERTS_TOPIC)
    topics = dict.fromkeys(names, PARTITIONS)
    thread = threading.Thread(target=kafka_log.serve, args=(topics, ready, stop))
    thread.start()
    assert up.wait(5)
    yield addresses[0]
    stop.set = True
    thread.join(5)


@pytest.fixture
def publisher(brokers):
    made = Publisher(brokers)
    yield made
    made.flush(5)


@pytest.fixture
def opened():
    """Closes what it is given, at the end."""
    made = []

    def keep(door):
        made.append(door)
        return door

    yield keep
    for door in made:
        door.close()


def polled(door, count, seconds=5.0):
    """So many messages or rows."""
    found, deadline = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        found += door.poll()
    assert len(found) == count
    return found


def instrument(number, **changes):
    fields = {
        "id": number,
        "symbol": f"S{number}",
        "asset_class": AssetClass.EQUITY,
        "venue": "X",
        "currency": "USD",
        "multiplier": 1.0,
        "tick": 0.01,
        "decimals": 2,
    }
    return Instrument(**fields | changes)


def test_what_is_published_comes_out_in_order_with_its_place(brokers, publisher, opened):
    sent = {}
    for number in range(300):
        topic, partition = number % len(TOPICS), number % PARTITIONS
        publisher.publish(TOPICS[topic], partition, b"%d" % number)
        sent.setdefault((topic, partition), []).append(b"%d" % number)
    assert publisher.flush(5) == 0
    reader = opened(Source(brokers, "live"))
    reader.seek({})
    found = polled(reader, 300)
    for place, values in sent.items():
        mine = [message for message in found if (message.topic, message.partition) == place]
        assert [message.value for message in mine] == values
        assert [message.offset for message in mine] == list(range(len(values)))
    assert all(abs(message.timestamp_ns / 1e9 - time.time()) < 60 for message in found)
    assert (publisher.failed, reader.errors) == (0, 0)


def test_all_partitions_of_all_topics_are_read(brokers, publisher, opened):
    reader = opened(Source(brokers, "live"))
    every = [(topic, part) for topic in range(len(TOPICS)) for part in range(PARTITIONS)]
    assert reader.assigned == every
    reader.seek({})
    for topic in TOPICS:
        for partition in range(PARTITIONS):
            publisher.publish(topic, partition, b"x")
    found = polled(reader, len(reader.assigned))
    assert sorted((message.topic, message.partition) for message in found) == reader.assigned
    assert reader.poll(0.1) == []


def test_reading_goes_on_behind_the_offset_that_was_taken_last(brokers, publisher, opened):
    for number in range(10):
        publisher.publish("fills", 0, b"%d" % number)
        publisher.publish("fills", 1, b"%d" % number)
    assert publisher.flush(5) == 0
    reader = opened(Source(brokers, "live"))
    reader.seek({(FILLS, 0): 6})
    found = polled(reader, 13)
    assert [message.offset for message in found if message.partition == 0] == [7, 8, 9]
    assert [message.offset for message in found if message.partition == 1] == list(range(10))
    reader.seek({(FILLS, 0): 9, (FILLS, 1): 3})  # Again, elsewhere.
    assert [message.offset for message in polled(reader, 6)] == [4, 5, 6, 7, 8, 9]


def test_a_poll_is_bounded_and_an_idle_one_waits_no_longer_than_told(brokers, publisher, opened):
    for number in range(3 * POLL_MESSAGES_MAX):
        publisher.publish("md.fx", number % PARTITIONS, b"x")
    assert publisher.flush(5) == 0
    reader = opened(Source(brokers, "live", patience=Patience(100, 1)))
    reader.seek({})
    sizes = []
    while sum(sizes) < 3 * POLL_MESSAGES_MAX:
        time.sleep(0.1)  # More than one poll's worth lies ready.
        sizes.append(len(reader.poll()))
    assert max(sizes) == POLL_MESSAGES_MAX
    begun = time.monotonic()
    assert reader.poll(0.05) == []
    assert 0.04 < time.monotonic() - begun < 0.5


def test_lag_counts_what_kafka_holds_beyond_us(brokers, publisher, opened):
    for partition in (0, 1):
        for _ in range(5):
            publisher.publish("md.etf", partition, b"x")
    assert publisher.flush(5) == 0
    reader = opened(Source(brokers, "live"))
    reader.seek({})
    polled(reader, 10)
    topic = TOPICS.index("md.etf")
    assert reader.lag({}) == 10
    assert reader.lag({(topic, 0): 4, (topic, 1): 2}) == 2
    assert reader.lag({(topic, 0): 4, (topic, 1): 4}) == 0


def test_a_commit_names_the_offset_to_read_next(brokers, publisher, opened):
    publisher.publish("fills", 2, b"x")
    assert publisher.flush(5) == 0
    reader = opened(Source(brokers, "record"))
    reader.seek({})
    polled(reader, 1)
    reader.commit({(FILLS, 2): 0})
    other = opened(Consumer({"bootstrap.servers": brokers, "group.id": "record"}))
    deadline = time.monotonic() + 5
    while other.committed([TopicPartition("fills", 2)], 5)[0].offset != 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_reference_rows_at_the_start_and_later(brokers, publisher, opened):
    rows = [instrument(number) for number in range(50)]
    for row in rows:
        publisher.publish(REFERENCE_TOPIC, -1, row.to_json(), row.symbol.encode())
    publisher.publish(REFERENCE_TOPIC, 0, b"{}", b"S")
    assert publisher.flush(5) == 0
    reader = opened(ReferenceSource(brokers, "live"))
    assert sorted(reader.read_all(), key=lambda row: row.id) == rows
    ((topic, partition, offset, value, reason, text),) = reader.take_refused()
    assert (topic, partition, value, reason) == (REFERENCE_TOPIC, 0, b"{}", "reference")
    assert offset >= 0
    assert text
    assert reader.take_refused() == []
    assert reader.poll() == []
    later = instrument(50, tick=0.05)
    publisher.publish(REFERENCE_TOPIC, -1, later.to_json(), b"S50")
    assert polled(reader, 1) == [later]


def test_an_empty_reference_topic_is_read_at_once(brokers, opened):
    begun = time.monotonic()
    assert opened(ReferenceSource(brokers, "live")).read_all() == []
    assert time.monotonic() - begun < 2


def test_what_is_quarantined_says_why_and_whence(brokers, publisher, opened):
    headers = [("reason", b"version"), ("topic", b"md.fx"), ("partition", b"1"), ("offset", b"77")]
    publisher.publish(QUARANTINE_TOPIC, 1, b"\0whole\xff", headers=headers)
    assert publisher.flush(5) == 0
    reader = opened(Consumer({"bootstrap.servers": brokers, "group.id": "test"}))
    reader.assign([TopicPartition(QUARANTINE_TOPIC, 1, 0)])
    message = reader.poll(5)
    assert (message.value(), message.headers()) == (b"\0whole\xff", headers)


def test_another_topic_is_read_back_to_a_moment_and_on_from_there(brokers, publisher, opened):
    for number in range(40):
        publisher.publish(ALERTS_TOPIC, number % 2, b"%d" % number)
    assert publisher.flush(5) == 0
    time.sleep(0.01)
    moment = time.time_ns()
    time.sleep(0.01)
    for number in range(40, 43):
        publisher.publish(ALERTS_TOPIC, 0, b"%d" % number)
    assert publisher.flush(5) == 0
    reader = opened(Source(brokers, "record", patience=SELDOM, topics=(ALERTS_TOPIC,)))
    assert reader.assigned == [(ALERTS, part) for part in range(PARTITIONS)]
    found = reader.read_since(0)
    assert [m.value for m in found if m.partition == 0] == [
        b"%d" % number for number in (*range(0, 40, 2), 40, 41, 42)
    ]
    assert [m.offset for m in found if m.partition == 1] == list(range(20))
    assert [m.value for m in reader.read_since(moment)] == [b"40", b"41", b"42"]
    assert reader.read_since(time.time_ns() + 10**9) == []
    reader.seek({(ALERTS, 0): 21, (ALERTS, 1): 19})
    assert [message.value for message in polled(reader, 1)] == [b"42"]


def test_a_publisher_that_repeats_until_it_arrives(brokers, opened):
    once = Publisher(brokers, once=True)
    for number in range(10):
        once.publish(ALERTS_TOPIC, -1, b"%d" % number, b"3")
    assert once.flush(5) == 0
    assert (once.waiting(), once.failed) == (0, 0)
    reader = opened(Source(brokers, "risk", topics=(ALERTS_TOPIC,)))
    assert [message.value for message in reader.read_since(0)] == [b"%d" % n for n in range(10)]


def test_one_key_goes_to_one_partition(brokers, publisher, opened):
    for _ in range(3):
        for number in range(20):
            publisher.publish("md.credit", -1, b"%d" % number, b"key %d" % number)
    publisher.flush(5)
    reader = opened(Source(brokers, "live"))
    reader.seek({})
    places = {}
    for message in polled(reader, 60):
        places.setdefault(message.value, set()).add(message.partition)
    assert {len(place) for place in places.values()} == {1}
    assert len(set.union(*places.values())) == PARTITIONS


def test_an_address_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(source, "CONNECT_SECONDS", 0.5)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceError, match=f"Kafka at {address} is not ready: .*Check the address"):
        Source(address, "live")
    with pytest.raises(SourceError, match=f"Kafka at {address} is not ready"):
        ReferenceSource(address, "live")


def test_topics_that_do_not_exist_are_named(monkeypatch):
    monkeypatch.setattr(source, "CONNECT_SECONDS", 0.5)
    stop, addresses, up = Stop(), [], threading.Event()

    def ready(address):
        addresses.append(address)
        up.set()

    topics = dict.fromkeys(TOPICS[:-1], 1)
    thread = threading.Thread(target=kafka_log.serve, args=(topics, ready, stop))
    thread.start()
    up.wait(5)
    with pytest.raises(SourceError, match="is not ready: no topic fills"):
        Source(addresses[0], "live")
    stop.set = True
    thread.join(5)


def test_a_publisher_without_kafka_says_how_many_are_undelivered():
    publisher = Publisher(f"127.0.0.1:{free_port()}")
    for _ in range(3):
        publisher.publish("fills", 0, b"x")
    assert publisher.flush(0.2) == 3


@pytest.mark.requires("kafka")
def test_alerts_on_a_real_broker_arrive_once_and_are_read_back(settings, real_kafka, opened):
    """The repeats that a broker drops, offsets by time and the retention are a real one's."""
    standins.make_topics(real_kafka, settings.partitions)
    before_ns = time.time_ns()
    once = Publisher(real_kafka, once=True)
    for number in range(200):
        once.publish(ALERTS_TOPIC, -1, b"%d" % number, b"%d" % (number % 7))
    assert once.flush(20) == 0
    reader = opened(Source(real_kafka, "risk", patience=SELDOM, topics=(ALERTS_TOPIC,)))
    found = [int(message.value) for message in reader.read_since(before_ns)]
    assert sorted(found) == list(range(200))
    for key in range(7):
        mine = [number for number in found if number % 7 == key]
        assert mine == sorted(mine)
    topic = ConfigResource(ConfigResource.Type.TOPIC, ALERTS_TOPIC)
    admin = AdminClient({"bootstrap.servers": real_kafka})
    (told,) = admin.describe_configs([topic]).values()
    assert int(told.result(10)["retention.ms"].value) > RESTORE_NS / 1e6


def statistics(ts_us: int, idle_us: int, unread: int, places: list[str]) -> str:
    """What the client tells of one broker."""
    broker = {"state": "UP", "rxidle": idle_us, "toppars": dict.fromkeys(places)}
    parts = {place: {"fetchq_cnt": unread} for place in places}
    told = {"ts": ts_us, "brokers": {"1": broker}, "topics": {"all": {"partitions": parts}}}
    return json.dumps(told)


def test_who_has_not_read_what_came_does_not_say_that_the_broker_is_silent(brokers):
    source = Source(brokers, "slow", topics=(TOPICS[0],))
    source.seek({})
    places = [f"{TOPICS[0]}-{part}" for part in range(PARTITIONS)]
    source._measured(statistics(100_000_000, 90_000_000, unread=20_000, places=places))
    assert source.silent_s == 0
    source._measured(statistics(102_000_000, 92_000_000, unread=0, places=places))
    assert source.silent_s == 2.0, "it was heard as long as there was something unread"
    source.close()
    source._measured(statistics(103_000_000, 0, unread=0, places=places))  # As the client may.
    assert source.silent_s == 2.0
