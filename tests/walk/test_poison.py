"""A poisoned producer: half of what it sends is garbage, and nothing of that reaches a number.

The whole product runs. What is good is on record once, what is not is in the topic `quarantine`
byte for byte with its place and reason, every process lives, and `live` says how many there were.
Clients of the web server send garbage too, and are sent away.
"""

import random
import time
from collections import Counter

from confluent_kafka import Consumer, TopicPartition

from compute import account
from compute.archive import Archive
from compute.bus import Bus
from ingest.event import EVENT, Kind
from ingest.frame import FRAME_EVENTS_MAX, HEADER_BYTES, encode
from ingest.instrument import AssetClass
from ingest.quarantine import QUARANTINE_TOPIC
from ingest.source import REFERENCE_TOPIC, Publisher
from tests.walk.garbage import not_ended
from tests.walk.test_walk import (
    FIRST,
    NOBODY,
    SOURCE,
    WALKER,
    Product,
    known_to_both,
    trade,
    wait_for,
)

FRAMES = 1_500  # Of each sort.
MEMORY_BYTES_MAX = 700 << 20  # Of a web server; it has 370 MB by itself.
PACE = 50  # Frames between two breaths, 500 a second and sort.


def headed(frame: bytes, at: int, value: bytes) -> bytes:
    return frame[:at] + value + frame[at + len(value) :]


def poisoned(chance: random.Random, sequence: int) -> bytes:
    """One frame that must not be taken, of every sort by turns."""
    event = trade(FIRST, sequence)
    good = encode(event, SOURCE, sequence, time.time_ns())

    def wrong(**fields):
        spoiled = event.copy()
        for name, value in fields.items():
            spoiled[name] = value
        return encode(spoiled, SOURCE, sequence, time.time_ns())

    place = chance.randrange(len(good))
    return chance.choice(
        (
            lambda: chance.randbytes(chance.randrange(1, 400)),
            lambda: good[: chance.randrange(1, len(good))],
            lambda: good + chance.randbytes(7),
            lambda: headed(good, 8, chance.randbytes(4)),  # The count.
            lambda: headed(good, place, bytes([good[place] ^ (1 << chance.randrange(8))])),
            lambda: good[:HEADER_BYTES],
            lambda: chance.randbytes(900_000) if sequence % 50 == 0 else b"",
            lambda: wrong(kind=chance.choice([0, 77, 255])),
            lambda: wrong(size=chance.choice([float("nan"), float("inf"), float("-inf")])),
            lambda: wrong(ts_event=2**63 - 1),
            lambda: wrong(instrument=4_000_000_000),
            lambda: encode(event, SOURCE, 2**63, time.time_ns()),
            lambda: encode(event, SOURCE, 1 << 50, time.time_ns()),
        )
    )()


def send(publisher: Publisher, topic: str) -> Counter:
    """Good and bad frames in any order; the bad ones as sent."""
    chance = random.Random(7)
    bad: Counter = Counter()
    for sequence in range(FRAMES):
        both = [encode(trade(FIRST, sequence), SOURCE, sequence, time.time_ns())]
        garbage = poisoned(chance, sequence)
        bad[garbage] += 1
        both.append(garbage)
        if sequence:  # The source's first frame says where it begins.
            chance.shuffle(both)
        for value in both:
            publisher.publish(topic, 0, value)
        if sequence % PACE == 0:
            time.sleep(PACE / 500)
    assert publisher.flush(30) == 0
    return bad


def quarantined(brokers: str, count: int) -> Counter:
    """Values of the topic `quarantine`."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test-quarantine"})
    consumer.assign([TopicPartition(QUARANTINE_TOPIC, 0, 0)])
    found: Counter = Counter()

    def all_there():
        for message in consumer.consume(500, 0.2):
            headers = dict(message.headers())
            assert headers["reason"], headers
            assert headers["text"], headers
            assert headers["topic"] == AssetClass.EQUITY.topic.encode(), headers
            found[message.value() or b""] += 1
        return found.total() >= count

    wait_for("all that was refused", all_there, 30)
    consumer.close()
    return found


def pids(run: dict) -> dict[str, int]:
    bus = Bus(run["redis"])
    found = {role: beat["pid"] for role, beat in bus.beats().items()}
    bus.close()
    return found


def test_half_of_it_is_garbage(tmp_path):
    product = Product(tmp_path, {})
    try:
        run = product.run()
        publisher = Publisher(run["kafka"])
        publisher.publish(REFERENCE_TOPIC, 0, WALKER.to_json(), b"WALK")
        known_to_both(run)
        before = pids(run)
        bad = send(publisher, AssetClass.EQUITY.topic)
        bus, archive = Bus(run["redis"]), Archive(run["clickhouse"], run["database"])
        wait_for(
            "the count of the refused",
            lambda: bus.health()["live.0"]["quarantined"] == bad.total() == FRAMES,
            30,
        )
        assert quarantined(run["kafka"], FRAMES) == bad
        query = f"SELECT count(), sum(kind = {int(Kind.TRADE)}) FROM {archive.database}.events "
        wait_for(
            "all good events on record",
            lambda: archive.rows(f"{query} WHERE instrument = {NOBODY}")[0] == (FRAMES, FRAMES),
            30,
        )
        assert not_ended(product.port) == []
        refused = f"web.{product.port}", "clients_refused"
        wait_for("refusals", lambda: bus.health()[refused[0]][refused[1]] >= 4, 20)
        memory = bus.beats()[refused[0]]["memory_bytes"]
        assert memory < MEMORY_BYTES_MAX, memory
        health = bus.health()["live.0"]
        assert (health["gaps"], health["repeats"]) == (0, 0)
        after = pids(run)
        assert {role: after[role] for role in before} == before, "a process has died"
        for count in account.count(archive):
            assert (count.holes, count.doubles, count.torn) == (0, 0, 0)
    finally:
        product.end()


def test_the_poison_is_what_it_says():
    chance = random.Random(1)
    sizes = {len(poisoned(chance, sequence)) for sequence in range(500)}
    assert {0, HEADER_BYTES} < sizes
    assert max(sizes) > FRAME_EVENTS_MAX * EVENT.itemsize
