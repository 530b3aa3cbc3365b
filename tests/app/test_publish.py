import time

import numpy as np
import pytest

from app import process, publish
from app.publish import Order, PublishError, Readers, Recording
from compute.bus import Bus
from ingest import clock
from ingest.source import Source


def capture(path, rows=3, first=34_200.0, symbol="ABC"):
    """A small LOBSTER message file: `rows` new orders, a second apart."""
    file = path / f"{symbol}_2012-06-21_34200000_57600000_message_1.csv"
    lines = [f"{first + k:.9f},1,{k + 1},100,{1_000_000 + k * 100},1\n" for k in range(rows)]
    file.write_text("".join(lines))
    return file


def test_a_recording_can_be_read_again_and_starts_at_zero(tmp_path):
    recording = Recording((capture(tmp_path),), partitions=2)
    once = np.concatenate(list(recording))
    again = np.concatenate(list(recording))
    assert len(once) == recording.count() > 0
    assert once.tobytes() == again.tobytes()
    assert once["ts_event"][0] == 0


def test_files_of_different_hours_play_together(tmp_path):
    early = capture(tmp_path, symbol="EARLY")
    late = capture(tmp_path, symbol="LATE", first=50_000.0)
    events = np.concatenate(list(Recording((early, late), partitions=2)))
    assert np.ptp(events["ts_event"]) < 10e9, "hours apart in the files, side by side here"
    assert set(events["instrument"]) == {0, 1}
    assert (np.diff(events["ts_event"]) >= 0).all()


def test_instruments_are_dealt_to_the_partitions(tmp_path):
    files = tuple(capture(tmp_path, symbol=name) for name in ("A", "B", "C"))
    rows = Recording(files, partitions=2).instruments
    assert [(row.id, row.shard) for row in rows] == [(0, 0), (1, 1), (2, 0)]


def test_what_holds_no_market_is_said(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(PublishError, match=r"empty\.csv"):
        Recording((tmp_path / "empty.csv",), 1)


def test_it_waits_for_its_readers(settings, redis):
    bus = Bus(redis)
    bus.report("live.0", {"now_ms": clock.now_ns() / 1e6 - 5_000})  # Of a run before.
    readers = Readers(settings.model_copy(update={"redis": redis}), "live,record")
    assert not readers.ready()
    bus.report("live.0", {"now_ms": clock.now_ns() / 1e6})
    assert not readers.ready()
    bus.report("record.0", {"now_ms": clock.now_ns() / 1e6})
    assert readers.ready()
    assert readers.ready()
    bus.close()


def test_it_does_not_wait_for_ever(settings, monkeypatch):
    monkeypatch.setattr(publish, "AFTER_SECONDS_MAX", 0.0)
    gone = settings.model_copy(update={"redis": "redis://127.0.0.1:1/0"})
    readers = Readers(gone, "live")
    assert readers.ready()


def test_a_recording_goes_to_kafka_whole_and_then_the_loop_is_done(settings, kafka, tmp_path):
    settings = settings.model_copy(update={"kafka": kafka})
    file = capture(tmp_path, rows=50)
    loop = publish.publication(settings, Order((file,), rate=1e6))
    assert process.run(lambda: loop, process.Stop(), 0) == 0
    source = Source(kafka, "test")
    source.seek({})
    values, deadline = [], time.monotonic() + 5
    while not values and time.monotonic() < deadline:
        values += [message.value for message in source.poll(0.1)]
    source.close()
    assert values
