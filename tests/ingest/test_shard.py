"""Shards of one consumer: each gets its own, comes and goes without disturbing the others."""

import time

import pytest

from app import standins
from app.settings import load
from ingest import shard as room
from ingest.shard import Shards
from ingest.source import TOPICS, Publisher, Source
from tests.shards import BATCH, SHARDS, Log, Reader


@pytest.fixture
def brokers(tmp_path):
    with standins.started(load(data=tmp_path, partitions=3), "kafka") as address:
        yield address


def take(shards: Shards, *wanted: tuple[room.Shard, int]) -> list[list[tuple[int, int]]]:
    """(topic, offset) of so many messages of each shard, once they have come."""
    found: list[list[tuple[int, int]]] = [[] for _ in wanted]
    deadline = time.monotonic() + 20
    while any(len(got) < count for got, (_, count) in zip(found, wanted, strict=True)):
        assert time.monotonic() < deadline, found
        shards.pump(0.05)
        for got, (one, _) in zip(found, wanted, strict=True):
            got += [(message.topic, message.offset) for message in one.poll()]
    return [sorted(got) for got in found]


def test_shards_are_read_apart_and_go_on_where_they_are_told(brokers: str) -> None:
    publisher = Publisher(brokers)
    for number in range(3):
        for topic in (TOPICS[0], TOPICS[12]):
            for _ in range(5):
                publisher.publish(topic, number, b"frame")
    assert publisher.flush(10) == 0
    every = [(topic, offset) for topic in (0, 12) for offset in range(5)]
    shards = Shards(Source(brokers, "live"))
    assert shards.count == 3
    first, second = shards.open(0), shards.open(1)
    assert {partition for _, partition in second.assigned} == {1}
    first.seek({})
    second.seek({(0, 1): 2})
    assert take(shards, (first, 10), (second, 7)) == [every, [(0, 3), (0, 4), *every[5:]]]
    assert first.lag({(0, 0): 1, (12, 0): 4}) == 3
    second.seek({(0, 1): 3, (12, 1): 4})  # Again, from elsewhere.
    assert take(shards, (second, 1)) == [[(0, 4)]]
    shards.close(1)
    publisher.publish(TOPICS[0], 1, b"frame")
    publisher.publish(TOPICS[0], 0, b"frame")
    assert publisher.flush(10) == 0
    third = shards.open(2)
    third.seek({})
    assert take(shards, (first, 1), (third, 10)) == [[(0, 5)], every]
    assert second.poll() == []


def test_who_does_not_read_stops_the_reading_and_nothing_is_lost(monkeypatch) -> None:
    monkeypatch.setattr(room, "WAITING_MAX", 2 * BATCH)
    log = Log(seconds=0.5)
    shards = Shards(Reader(log))
    opened = [shards.open(number) for number in range(SHARDS)]
    for one in opened:
        one.seek({})
    while shards.pump():
        pass
    assert max(len(one.waiting) for one in opened) < 3 * BATCH
    found = []
    while any(one.waiting for one in opened) or shards.pump():
        for one in opened:
            messages = one.poll()
            assert {message.partition for message in messages} <= {one.number}
            found += messages
    assert sorted(found) == sorted(log.messages)
