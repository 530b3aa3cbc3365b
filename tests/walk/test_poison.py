"""A poisoned producer: half of what it sends is garbage, and nothing of that reaches a number.

The whole product runs. What is good is on record once, what is not is in the topic `quarantine`
byte for byte with its place and reason, every process lives, and `live` says how many there were.
What was refused for want of an instrument is taken once it is replayed, garbage is refused again,
by the command and on the desk of operations.
Clients of the web server send garbage too, and are sent away.
"""

import dataclasses
import random
import subprocess
import sys
import time
from collections import Counter

import pytest
from confluent_kafka import Consumer, TopicPartition

from compute import account
from compute.archive import Archive
from compute.bus import Bus
from ingest.event import EVENT, Kind
from ingest.frame import FRAME_EVENTS_MAX, HEADER_BYTES, encode
from ingest.instrument import AssetClass
from ingest.quarantine import QUARANTINE_TOPIC
from ingest.source import REFERENCE_TOPIC, Publisher
from tests.walk.dialog import replayed_by_hand
from tests.walk.garbage import not_ended
from tests.walk.test_walk import (
    FIRST,
    NOBODY,
    ROOT,
    SOURCE,
    WALKER,
    Product,
    known_to_both,
    trade,
    wait_for,
)

LATE = dataclasses.replace(WALKER, id=NOBODY + 1, symbol="LATE")
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


def replayed(product: Product, run: dict, publisher: Publisher, archive: Archive) -> None:
    """By the command: the frame of an instrument that came after it, and one that stays bad."""
    topic, event = AssetClass.EQUITY.topic, trade(FIRST, 1)
    event["instrument"], event["source"] = LATE.id, SOURCE + 1
    frame = encode(event, SOURCE + 1, 1, time.time_ns())
    for value in (frame, frame[:-1]):
        publisher.publish(topic, 0, value)
    assert publisher.flush(30) == 0
    command = [sys.executable, "-m", "app", "quarantine"]

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        told = [*command, *words, "--data", str(product.data)]
        return subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=False)

    def named(value: bytes) -> str:
        lines = [line.split() for line in ask("list").stdout.splitlines()]
        reason = "unknown" if value == frame else "truncated"
        size = f"{len(value):,}"
        found = [line[0] for line in lines[:2] if line[4] == size and reason in line]
        return found[0] if found else ""

    good, bad = (
        wait_for("its name", lambda v=v: named(v) or None, 60) for v in (frame, frame[:-1])
    )
    assert frame[:16].hex(" ") in ask("show", good).stdout
    publisher.publish(REFERENCE_TOPIC, 0, LATE.to_json(), b"LATE")
    assert publisher.flush(30) == 0
    bus = Bus(run["redis"])
    known = {"live.0": NOBODY + 2, "record.0": NOBODY + 2}
    wait_for(
        "the row", lambda: {role: bus.health()[role]["instruments"] for role in known} == known, 60
    )
    done = ask("replay", good, "--person", "Ann Lee")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert f"{good} was published again as {topic}:0:" in done.stdout
    of_late = f"SELECT count() FROM {archive.database}.events WHERE instrument = {LATE.id}"
    wait_for("the replayed event on record", lambda: archive.rows(of_late)[0][0] == 1, 60)
    done = ask("replay", bad, "--person", "Ann Lee")
    assert done.returncode == 1, done
    assert "Refused again, as 0:" in done.stdout
    wait_for("both counted", lambda: bus.health()["risk.0"].get("replayed") == 2, 90)
    assert bus.health()["risk.0"]["refused_again"] == 1
    bus.close()
    acts = f"SELECT person, subject FROM {archive.database}.actions WHERE action = 'replay'"
    both = {("Ann Lee", good), ("Ann Lee", bad)}
    wait_for("both among the actions", lambda: set(archive.rows(acts)) >= both, 60)
    third = frame[:-2]
    publisher.publish(topic, 0, third)
    assert publisher.flush(30) == 0
    replayed_by_hand(product.port, wait_for("its name", lambda: named(third) or None, 60), third)
    wait_for("it counted too", lambda: bus_health(run).get("refused_again") == 2, 90)
    gone = ask("replay", "0:987654")
    assert gone.returncode == 1
    assert "not among the" in gone.stderr


def bus_health(run: dict) -> dict:
    bus = Bus(run["redis"])
    found = bus.health()["risk.0"]
    bus.close()
    return found


def pids(run: dict) -> dict[str, int]:
    bus = Bus(run["redis"])
    found = {role: beat["pid"] for role, beat in bus.beats().items()}
    bus.close()
    return found


@pytest.mark.requires("chromium")
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
        replayed(product, run, publisher, archive)
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
