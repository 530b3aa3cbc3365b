"""What memory cannot hold stays on disk as long as a group has yet to read it, and no longer."""

import os
from collections import namedtuple

import pytest

from app import kafka_store
from app.kafka_store import BATCH_TIME_AT, CHUNK_BYTES, REREAD_SECONDS, Disk, Log

GROUP = b"record"
BATCH_BYTES = 10_000
KEPT_BYTES = 1 << 20


def batch(number: int, time_ms: int = 0) -> bytes:
    head = bytes(BATCH_TIME_AT) + (time_ms or number).to_bytes(8)
    return head + bytes([number % 251]) * (BATCH_BYTES - len(head))


def fill(log: Log, first: int, last: int) -> None:
    """Batches of three records each, as the broker appends them."""
    for number in range(first, last):
        log.append(batch(number), 3)
        if log.kept_bytes > KEPT_BYTES:
            log.shrink(KEPT_BYTES)
        assert log.kept_bytes <= KEPT_BYTES


def read(log: Log, offset: int) -> list[bytes]:
    """All from an offset on, as a client that fetches again and again."""
    found: list[bytes] = []
    while offset < log.end:
        before = log.bytes_from(offset)
        pieces, size = log.read(offset, CHUNK_BYTES)
        whole = b"".join(pieces)
        assert len(whole) == size <= before
        found += [whole[at : at + BATCH_BYTES] for at in range(0, size, BATCH_BYTES)]
        offset += 3 * (size // BATCH_BYTES)
    return found


@pytest.fixture
def log(tmp_path) -> Log:
    return Log(Disk(tmp_path))


def test_without_a_reader_that_commits_the_oldest_is_forgotten(log, tmp_path):
    fill(log, 0, 500)
    assert log.start > 0
    assert not log.chunks
    assert log.disk.bytes == 0
    assert read(log, log.start) == [batch(n) for n in range(log.start // 3, 500)]


def test_what_a_group_has_yet_to_read_is_all_there(log):
    log.committed(GROUP, 0, 0.0)
    fill(log, 0, 2_000)
    assert log.start == 0
    assert log.disk.bytes > 0.9 * 2_000 * BATCH_BYTES - KEPT_BYTES
    assert read(log, 0) == [batch(n) for n in range(2_000)]
    middle = log.chunks[3].base
    assert read(log, middle) == [batch(n) for n in range(middle // 3, 2_000)]


def test_an_offset_within_a_chunk_is_found_in_it(log):
    log.committed(GROUP, 0, 0.0)
    fill(log, 0, 500)
    chunk = log.chunks[2]
    pieces, size = log.read(chunk.base + 4, 1)
    assert (b"".join(pieces)[:BATCH_BYTES], size) == (batch(chunk.base // 3), chunk.size)


def test_what_was_read_goes_once_no_checkpoint_needs_it(log, tmp_path):
    log.committed(GROUP, 0, 0.0)
    fill(log, 0, 1_000)
    log.committed(GROUP, 2_000, 1.0)
    assert log.start == 0, "a reader that dies now goes back to where it was"
    log.committed(GROUP, log.end, 1.0 + REREAD_SECONDS)
    assert log.start <= 2_000 < log.chunks[0].end
    log.committed(GROUP, log.end, 1.0 + 3 * REREAD_SECONDS)
    assert not log.chunks
    assert log.disk.bytes == 0
    assert read(log, log.start) == [batch(n) for n in range(log.start // 3, 1_000)]


def test_the_slowest_group_counts(log):
    log.committed(GROUP, 0, 0.0)
    log.committed(b"other", 0, 0.0)
    fill(log, 0, 500)
    for moment in (100.0, 200.0):
        log.committed(GROUP, log.end, moment)
    assert log.start == 0


@pytest.mark.parametrize("why", ["share", "full", "refused"])
def test_where_the_disk_has_no_room_the_oldest_of_it_goes(log, monkeypatch, why):
    log.committed(GROUP, 0, 0.0)
    fill(log, 0, 1_000)
    if why == "share":
        log.disk.bytes_max = log.disk.bytes
    elif why == "full":
        room = iter([False, False, True] * 1_000)
        keep = log.disk.keep
        monkeypatch.setattr(log.disk, "keep", lambda pieces: keep(pieces) if next(room) else None)
    else:
        monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    fill(log, 1_000, 1_500)
    assert log.start > 0
    assert read(log, log.start) == [batch(n) for n in range(log.start // 3, 1_500)]
    if why != "refused":
        assert log.chunks
        assert log.disk.bytes == sum(chunk.size for chunk in log.chunks)


def test_a_disk_that_others_need_is_left_alone(log, monkeypatch):
    Free = namedtuple("Free", "f_bavail f_frsize")
    monkeypatch.setattr(kafka_store.os, "statvfs", lambda _: Free(1_000, 4_096))
    log.committed(GROUP, 0, 0.0)
    fill(log, 0, 500)
    assert not log.chunks
    assert log.start > 0


def test_files_leave_no_trace(log, tmp_path):
    log.committed(GROUP, 0, 0.0)
    fill(log, 0, 500)
    assert log.chunks
    assert list(tmp_path.iterdir()) == []


def test_the_time_of_an_offset_is_found_on_disk_too(log):
    log.committed(GROUP, 0, 0.0)
    fill(log, 0, 500)
    assert log.since(0) == (log.chunks[0].time_ms, 0)
    second = log.chunks[1]
    assert log.since(second.time_ms) == (second.time_ms, second.base)
    assert log.since(499) == (499, 3 * 499)
    assert log.since(500) == (-1, -1)
