import contextlib
import os
import socket
import struct
import threading
import time
import uuid

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_STORED,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from hypothesis import given, settings
from hypothesis import strategies as st

from app import kafka_log, probe, standins
from app.process import Stop
from ingest.source import REFERENCE_TOPIC, TOPICS

LOG_BYTES_MAX = 1 << 20
TOTAL_BYTES_MAX = 5 << 19  # Two and a half partitions.


@contextlib.contextmanager
def broker(topics, **limits):
    """A broker in a thread of this process; its address."""
    stop, addresses, up = Stop(), [], threading.Event()

    def ready(address):
        addresses.append(address)
        up.set()

    thread = threading.Thread(target=kafka_log.serve, args=(topics, ready, stop), kwargs=limits)
    thread.start()
    try:
        assert up.wait(5)
        yield addresses[0]
    finally:
        stop.set = True
        thread.join(5)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def address():
    """A broker for the file. Tests make topics of their own by using them: 4 partitions each."""
    with broker({"one": 1, "three": 3}) as found:
        yield found


@pytest.fixture
def small():
    """Lets the test's own broker keep little."""
    limits = {"log_bytes_max": LOG_BYTES_MAX, "total_bytes_max": TOTAL_BYTES_MAX}
    with broker({}, **limits) as found:
        yield found


@pytest.fixture
def topic():
    """A name that no other test uses; the topic is made as soon as it is used."""
    return f"t-{uuid.uuid4()}"


@pytest.fixture
def producer(address):
    return Producer({"bootstrap.servers": address, "linger.ms": 0, "log_level": 2})


@pytest.fixture
def consumer(address):
    """Makes consumers, and closes them."""
    made = []

    def make(*places, **options):
        made.append(
            Consumer(
                {
                    "bootstrap.servers": address,
                    "group.id": "test",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "fetch.wait.max.ms": 20,
                    "log_level": 2,
                    **{name.replace("_", "."): value for name, value in options.items()},
                }
            )
        )
        if places:
            made[-1].assign([TopicPartition(*place) for place in places])
        return made[-1]

    yield make
    for one in made:
        one.close()


def read(consumer, count, seconds=10.0):
    """So many messages."""
    found, deadline = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        for message in consumer.consume(count - len(found), 0.1):
            assert message.error() is None, message.error()
            found.append(message)
    assert len(found) == count
    return found


def write(producer, topic, values, partition=0):
    """One batch a value."""
    for value in values:
        producer.produce(topic, value, partition=partition)
        assert producer.flush(5) == 0


def values(messages):
    return [message.value() for message in messages]


def test_value_key_headers_and_time_come_back_as_they_went_in(producer, consumer, topic):
    rows = [
        (
            b"value",
            b"key",
            [("reason", b"version"), ("empty", b""), ("none", None)],
            1_700_000_000_123,
        ),
        (b"", b"", None, 1),
        (None, b"deleted", None, 1_800_000_000_000),
        (os.urandom(900_000), None, [("a", b"1"), ("a", b"2")], 1_700_000_000_124),
    ]
    for value, key, headers, time_ms in rows:
        producer.produce(topic, value, key, 2, headers=headers, timestamp=time_ms)
        assert producer.flush(5) == 0
    found = read(consumer((topic, 2, 0)), len(rows))
    assert [(m.value(), m.key(), m.headers(), m.timestamp()[1]) for m in found] == rows
    assert [m.offset() for m in found] == [0, 1, 2, 3]


def test_offsets_count_records_and_delivery_reports_name_them(producer, consumer, topic):
    told = []
    for number in range(1000):  # Many records in a batch, several batches.
        producer.produce(
            topic, str(number), partition=0, on_delivery=lambda error, m: told.append(m.offset())
        )
        if number % 100 == 0:
            producer.flush(5)
    producer.flush(5)
    assert told == list(range(1000))
    found = read(consumer((topic, 0, 0)), 1000)
    assert [(m.offset(), int(m.value())) for m in found] == [(k, k) for k in range(1000)]


def test_two_consumers_read_the_same_and_one_that_lags_gets_everything(producer, consumer, topic):
    places = [(topic, partition, 0) for partition in range(4)]
    early = consumer(*places)
    sent = [os.urandom(2000) for _ in range(400)]
    for number, value in enumerate(sent):
        producer.produce(topic, value, partition=number % 4)
        producer.poll(0)
    assert producer.flush(5) == 0
    late = consumer(*places, fetch_min_bytes=32_768)
    for found in (read(early, 400), read(late, 400)):
        for partition in range(4):
            mine = [m.value() for m in found if m.partition() == partition]
            assert mine == sent[partition::4]


def test_a_seek_lands_anywhere_also_inside_a_batch(producer, consumer, topic):
    for size in (1, 50, 7, 30):
        for _ in range(size):
            producer.produce(topic, os.urandom(20), partition=0)
        producer.flush(5)
    reader = consumer((topic, 0, 0))
    everything = values(read(reader, 88))
    for offset in (87, 0, 1, 50, 51, 57, 58, 33):
        reader.seek(TopicPartition(topic, 0, offset))
        first = read(reader, 1)[0]
        assert (first.offset(), first.value()) == (offset, everything[offset])


def test_the_oldest_goes_and_who_asks_for_it_begins_at_what_is_left(small, consumer, topic):
    producer = Producer({"bootstrap.servers": small, "linger.ms": 0})
    size = 10_000
    write(producer, topic, [bytes([k]) * size for k in range(150)])
    low, high = consumer(bootstrap_servers=small).get_watermark_offsets(
        TopicPartition(topic, 0), timeout=5
    )
    assert high == 150
    assert 0.9 * LOG_BYTES_MAX < (high - low) * size <= LOG_BYTES_MAX
    found = read(
        consumer((topic, 0, 0), bootstrap_servers=small), high - low
    )  # auto.offset.reset: earliest.
    assert [m.offset() for m in found] == list(range(low, high))
    assert values(found) == [bytes([k]) * size for k in range(low, high)]
    for offset in (0, high + 1):
        reader = consumer((topic, 0, offset), auto_offset_reset="error", bootstrap_servers=small)
        message = reader.poll(5)
        assert message.error().code() == KafkaError._AUTO_OFFSET_RESET


def test_all_together_have_a_limit_and_the_biggest_gives_way(small, consumer, topic):
    producer = Producer({"bootstrap.servers": small, "linger.ms": 0})
    write(producer, topic, [b"small"], 3)
    write(producer, "one.batch", [os.urandom(900_000)])  # The last batch of a log always stays.
    for partition in range(3):
        write(producer, topic, [bytes(10_000)] * 100, partition)
    ask = consumer(bootstrap_servers=small)
    marks = [ask.get_watermark_offsets(TopicPartition(topic, p), timeout=5) for p in range(4)]
    kept = sum(high - low for low, high in marks[:3]) * 10_000
    kept += 900_000
    assert 0.8 * TOTAL_BYTES_MAX < kept <= TOTAL_BYTES_MAX
    assert marks[3] == (0, 1)


def test_a_fetch_that_waits_is_woken(producer, consumer, topic):
    write(producer, topic, [b"first"])
    reader = consumer((topic, 0, 0), fetch_wait_max_ms=500)
    read(reader, 1)
    delays = []
    for _ in range(10):
        time.sleep(0.05)  # The reader's next fetch waits by now.
        producer.produce(topic, b"x", partition=0)
        producer.poll(0)
        begun = time.monotonic()
        assert reader.poll(2) is not None
        delays.append(time.monotonic() - begun)
    assert sorted(delays)[5] < 0.05


def test_a_fetch_waits_for_as_many_bytes_as_it_asks_for(producer, consumer, topic):
    write(producer, topic, [b"first"])
    reader = consumer((topic, 0, 0), fetch_wait_max_ms=400, fetch_min_bytes=10_000)
    read(reader, 1)
    time.sleep(0.05)
    begun = time.monotonic()
    write(producer, topic, [b"little"])
    assert reader.poll(0.15) is None
    write(producer, topic, [bytes(20_000)])
    assert reader.poll(0.15) is not None
    assert time.monotonic() - begun < 0.39


@pytest.mark.parametrize("codec", ["lz4", "zstd", "gzip", "snappy"])
def test_a_compressed_batch_is_kept_compressed(address, consumer, topic, codec):
    producer = Producer({"bootstrap.servers": address, "compression.type": codec, "linger.ms": 50})
    sent = [bytes([k % 256]) * 9_000 for k in range(500)]
    for value in sent:
        producer.produce(topic, value, partition=1)
    assert producer.flush(5) == 0
    assert values(read(consumer((topic, 1, 0)), 500)) == sent


def test_a_group_finds_what_it_committed(producer, consumer, topic):
    write(producer, topic, [b"a", b"b", b"c"])
    reader = consumer((topic, 0, 0), group_id="first")
    read(reader, 3)
    assert reader.committed([TopicPartition(topic, 0)], 5)[0].offset < 0
    reader.commit(offsets=[TopicPartition(topic, 0, 2, "note")], asynchronous=False)
    other = consumer(group_id="first")
    found = other.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], 5)
    assert (found[0].offset, found[0].metadata) == (2, "note")
    assert found[1].offset < 0
    assert consumer(group_id="second").committed([TopicPartition(topic, 0)], 5)[0].offset < 0
    other.assign([TopicPartition(topic, 0, OFFSET_STORED)])
    assert values(read(other, 1)) == [b"c"]


def test_watermarks_and_offsets_by_time(producer, consumer, topic):
    ask = consumer()
    for time_ms in (1000, 2000, 3000):
        producer.produce(topic, b"x", partition=0, timestamp=time_ms)
        producer.flush(5)
    assert ask.get_watermark_offsets(TopicPartition(topic, 0), timeout=5) == (0, 3)
    assert ask.get_watermark_offsets(TopicPartition(topic, 1), timeout=5) == (0, 0)
    found = ask.offsets_for_times([TopicPartition(topic, 0, t) for t in (1500,)], 5)
    assert found[0].offset == 1
    found = ask.offsets_for_times([TopicPartition(topic, 0, t) for t in (3001,)], 5)
    assert found[0].offset in (-1, 3)  # None that late: the end.


def test_the_end_of_a_partition_is_told(producer, consumer, topic):
    write(producer, topic, [b"a"])
    reader = consumer((topic, 0, OFFSET_BEGINNING), enable_partition_eof=True)
    first, second = reader.poll(5), reader.poll(5)
    assert first.value() == b"a"
    assert second.error().code() == KafkaError._PARTITION_EOF
    assert second.offset() == 1


def test_topics_given_used_and_asked_for(address, producer):
    admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
    counts = {
        name: len(topic.partitions) for name, topic in admin.list_topics(timeout=5).topics.items()
    }
    assert (counts["one"], counts["three"]) == (1, 3)
    made = admin.create_topics([NewTopic("made", 5, config={"cleanup.policy": "compact"})])
    made["made"].result(5)
    assert len(admin.list_topics(timeout=5).topics["made"].partitions) == 5
    for wrong, code in (
        (NewTopic("made", 2), KafkaError.TOPIC_ALREADY_EXISTS),
        (NewTopic("bad name", 2), KafkaError.TOPIC_EXCEPTION),
        (NewTopic("many", 100_000), KafkaError.INVALID_PARTITIONS),
    ):
        with pytest.raises(KafkaException) as said:
            admin.create_topics([wrong])[wrong.topic].result(5)
        assert said.value.args[0].code() == code
    admin.create_topics([NewTopic("asked", 2)], validate_only=True)["asked"].result(5)
    assert "asked" not in admin.list_topics(timeout=5).topics
    producer.produce("used", b"x")
    assert producer.flush(5) == 0
    assert len(admin.list_topics(timeout=5).topics["used"].partitions) == 4


def test_the_topics_of_the_product_are_made_by_request():
    with broker({}) as empty:
        standins.make_topics(empty, 2)
        there = AdminClient({"bootstrap.servers": empty}).list_topics(timeout=5).topics
        assert {len(there[name].partitions) for name in (*TOPICS, REFERENCE_TOPIC)} == {2}


def test_a_reader_makes_no_topic(address, consumer, topic):
    reader = consumer((topic, 0, 0))
    assert reader.poll(0.3) is None
    assert topic not in reader.list_topics(timeout=5).topics


@pytest.mark.parametrize(
    "options", [{"acks": 0}, {"acks": 1}, {"acks": "all"}, {"enable.idempotence": True}]
)
def test_every_kind_of_producer_is_served(address, consumer, topic, options):
    producer = Producer({"bootstrap.servers": address, "log_level": 2, **options})
    for number in range(300):
        producer.produce(topic, str(number), partition=0)
    assert producer.flush(5) == 0
    assert values(read(consumer((topic, 0, 0)), 300)) == [b"%d" % k for k in range(300)]


def test_a_batch_that_fits_no_fetch_is_handed_out_all_the_same(producer, consumer, topic):
    sent = [os.urandom(100_000) for _ in range(8)]
    write(producer, topic, sent)
    limits = {"fetch_message_max_bytes": 1000, "fetch_max_bytes": 1000, "message_max_bytes": 1000}
    assert values(read(consumer((topic, 0, 0), **limits), 8)) == sent


# Below Kafka's clients: bytes.


def connect(address, receive_bytes=0):
    """A client; with `receive_bytes` its system keeps no more than that, whatever it could."""
    host, port = address.split(":")
    sock = socket.socket()
    sock.settimeout(5)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.connect((host, int(port)))
    return sock


def framed(api, version, correlation, body=b""):
    head = struct.pack(">hhih", api, version, correlation, -1)
    return struct.pack(">i", len(head) + len(body)) + head + body


def answered(sock):
    """(correlation, body) of the next answer; None where the broker hung up."""
    try:
        data = b""
        while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
            more = sock.recv(
                1 if len(data) < 4 else 4 + struct.unpack_from(">i", data)[0] - len(data)
            )
            if not more:
                return None
            data += more
    except ConnectionResetError:
        return None
    return struct.unpack_from(">i", data, 4)[0], data[8:]


def fetch(version, topic, offset, wait_ms=0, bytes_min=1, bytes_max=1 << 20):
    body = struct.pack(">iiiib", -1, wait_ms, bytes_min, 1 << 20, 0)
    body += struct.pack(">ii", 0, -1) if version >= 7 else b""
    body += struct.pack(">ih", 1, len(topic)) + topic.encode() + struct.pack(">ii", 1, 0)
    body += struct.pack(">i", -1) if version >= 9 else b""
    body += struct.pack(">q", offset) + (struct.pack(">q", 0) if version >= 5 else b"")
    body += struct.pack(">i", bytes_max)
    return body + (struct.pack(">i", 0) if version >= 7 else b"")


def test_an_unknown_version_of_api_versions_is_answered_in_the_oldest(address):
    with connect(address) as sock:
        sock.sendall(framed(kafka_log.API_VERSIONS, 4, 9, b"\0\0\0\0"))
        correlation, body = answered(sock)
        assert correlation == 9
        error, count = struct.unpack_from(">hi", body)
        assert (error, count) == (35, len(kafka_log.VERSIONS))
        assert len(body) == 6 + 6 * count
        sock.sendall(framed(kafka_log.API_VERSIONS, 0, 10))
        assert answered(sock)[1] == b"\0\0" + body[2:]


@pytest.mark.parametrize("version", range(4, 11))
def test_every_version_of_fetch_that_is_offered_is_spoken(address, producer, topic, version):
    write(producer, topic, [b"the value"])
    with connect(address) as sock:
        sock.sendall(framed(kafka_log.FETCH, version, 3, fetch(version, topic, 0)))
        _, body = answered(sock)
    at = 4 + (6 if version >= 7 else 0)  # Throttle, error and session.
    assert struct.unpack_from(">ih", body, at) == (1, len(topic))
    at += 6 + len(topic)
    assert struct.unpack_from(">iihqq", body, at) == (1, 0, 0, 1, 1)
    at += 26 + (8 if version >= 5 else 0)
    aborted, size = struct.unpack_from(">ii", body, at)
    assert (aborted, size) == (0, len(body) - at - 8)
    assert b"the value" in body[-size:]


def test_a_fetch_brings_all_batches_that_fit_and_one_at_least(address, producer, topic):
    write(producer, topic, [os.urandom(1000)] * 10)
    with connect(address) as sock:
        for bytes_max, batches in ((1, 1), (2500, 2), (5500, 5), (1 << 20, 10)):
            sock.sendall(framed(kafka_log.FETCH, 10, 1, fetch(10, topic, 0, bytes_max=bytes_max)))
            assert len(answered(sock)[1]) // 1000 == batches


def test_answers_keep_the_order_of_their_requests(address, producer, topic):
    write(producer, topic, [b"x"])
    with connect(address) as sock:
        begun = time.monotonic()
        sock.sendall(
            framed(kafka_log.API_VERSIONS, 0, 1)
            + framed(kafka_log.FETCH, 10, 2, fetch(10, topic, 1, wait_ms=60_000))
            + framed(kafka_log.API_VERSIONS, 0, 3)
            + framed(kafka_log.FETCH, 10, 4, fetch(10, topic, 0, wait_ms=60_000))
        )
        assert [answered(sock)[0] for _ in range(4)] == [1, 2, 3, 4]
        assert time.monotonic() - begun < 5


def test_a_fetch_waits_no_longer_than_it_says(address, producer, topic):
    write(producer, topic, [b"x"])
    with connect(address) as sock:
        begun = time.monotonic()
        sock.sendall(framed(kafka_log.FETCH, 10, 2, fetch(10, topic, 1, wait_ms=100)))
        assert answered(sock)[0] == 2
        assert 0.09 < time.monotonic() - begun < 1.0


def test_a_request_in_pieces_is_a_request(address):
    with connect(address) as sock:
        for byte in framed(kafka_log.API_VERSIONS, 0, 5):
            sock.sendall(bytes([byte]))
            time.sleep(0.001)
        assert answered(sock)[0] == 5


BAD = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff" * 100,
    b"\0" * 100,
    struct.pack(">i", kafka_log.REQUEST_BYTES_MAX + 1),
    framed(99, 0, 1),
    framed(kafka_log.PRODUCE, 2, 1),
    framed(kafka_log.FETCH, 16, 1),
    framed(kafka_log.METADATA, 4, 1, b"\x7f\xff\xff\xff"),
    framed(kafka_log.PRODUCE, 7, 1, struct.pack(">hhiihciii", -1, 1, 0, 1, 1, b"a", 1, 0, 1 << 30)),
]


@pytest.mark.parametrize("garbage", BAD)
def test_garbage_ends_its_connection_and_nothing_else(address, garbage):
    with connect(address) as sock:
        sock.sendall(garbage)
        assert answered(sock) is None
    assert probe.kafka(address) == ""


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(kafka_log.VERSIONS)), st.booleans())
def test_no_body_of_a_request_harms_the_broker(address, body, api, cut):
    request = framed(api, kafka_log.VERSIONS[api][1], 1, body)
    with connect(address) as sock:
        sock.sendall(request[: len(request) // 2] if cut else request)
    assert probe.kafka(address) == ""


def test_batches_that_are_not_whole_are_refused_and_leave_no_trace(
    address, producer, consumer, topic
):
    write(producer, topic, [b"x"])
    with connect(address) as sock:
        sock.sendall(framed(kafka_log.FETCH, 10, 1, fetch(10, topic, 0)))
        batch = answered(sock)[1][-62 - 7 :]
        batch = batch[batch.index(b"\0" * 8) :]
        old = bytearray(batch)
        old[16] = 1  # The magic byte: a format of before.
        for records, error in (
            (batch[:-1], 2),
            (batch + batch[:60], 2),
            (b"", 2),
            (bytes(old), 43),
        ):
            body = struct.pack(">hhiih", -1, 1, 1000, 1, len(topic)) + topic.encode()
            body += struct.pack(">iii", 1, 0, len(records)) + records
            sock.sendall(framed(kafka_log.PRODUCE, 7, 1, body))
            answer = answered(sock)[1]
            assert struct.unpack_from(">ih", answer, 10 + len(topic)) == (0, error)
    ask = consumer()
    assert ask.get_watermark_offsets(TopicPartition(topic, 0), timeout=5) == (0, 1)


def test_a_client_that_does_not_read_is_not_served_on(address, producer, topic, monkeypatch):
    monkeypatch.setattr(kafka_log, "UNSENT_BYTES_MAX", 4 << 20)
    write(producer, topic, [os.urandom(500_000)])
    count, served = 200, []
    fetched = kafka_log.Broker.fetched
    monkeypatch.setattr(
        kafka_log.Broker, "fetched", lambda *asked: served.append(asked) or fetched(*asked)
    )
    with connect(address, receive_bytes=1 << 16) as sock:
        for number in range(count):
            sock.sendall(framed(kafka_log.FETCH, 10, number, fetch(10, topic, 0)))
        time.sleep(0.2)
        assert probe.kafka(address) == ""
        assert 0 < len(served) < count / 2
        for number in range(count):
            assert answered(sock)[0] == number


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9_000), st.booleans()), max_size=60))
def test_what_was_written_is_read(address, rounds):
    topic = f"h-{uuid.uuid4()}"
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "log_level": 2})
    sent = {partition: [] for partition in range(4)}
    producer.list_topics(topic, 5)
    for partition, size, flush in rounds:
        value = os.urandom(size)
        sent[partition].append(value)
        producer.produce(topic, value, partition=partition)
        if flush:
            assert producer.flush(5) == 0
    assert producer.flush(5) == 0
    options = {"fetch.wait.max.ms": 20, "fetch.message.max.bytes": 10_000, "log_level": 2}
    reader = Consumer({"bootstrap.servers": address, "group.id": "h", **options})
    reader.assign([TopicPartition(topic, partition, 0) for partition in range(4)])
    found = read(reader, len(rounds)) if rounds else []
    reader.close()
    for partition in range(4):
        mine = [m for m in found if m.partition() == partition]
        assert values(mine) == sent[partition]
        assert [m.offset() for m in mine] == list(range(len(mine)))


def test_the_broker_ends_when_told_and_its_clients_with_it():
    with broker({"one": 1}) as address:
        sock = connect(address)
    assert sock.recv(1) == b""
    sock.close()
    assert "does not answer" in probe.kafka(address)
