import os
import time

import numpy as np
import pytest

from app import process, publish
from app.publish import Order, PublishError, Readers, Recording, ReferenceRows
from compute.bus import Bus
from ingest import clock
from ingest.instrument import Instrument
from ingest.source import REFERENCE_TOPIC, ReferenceSource, Source


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


class Said:
    """A publisher that remembers the rows it was given."""

    def __init__(self):
        self.rows, self.refused = [], []

    def publish(self, topic, partition, value, key=None, headers=None):
        if topic == "quarantine":
            self.refused.append((value, dict(headers)["topic"]))
            return
        assert (topic, partition) == (REFERENCE_TOPIC, -1)
        self.rows.append(Instrument.from_json(value))
        assert key == self.rows[-1].symbol.encode()


def test_a_file_of_reference_rows_is_laid_over_what_is_published(tmp_path, capsys):
    known = Recording((capture(tmp_path),), 1).instruments
    file = tmp_path / "rows.csv"
    file.write_text("symbol,multiplier\nABC,10\nABC,11\n")
    rows = ReferenceRows(file, known, 1)
    assert rows.rows[0].multiplier == 10
    assert f"Refused: {file} line 3: " in capsys.readouterr().err


def test_a_change_of_the_file_is_published_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "FILE_SECONDS", 0.0)
    known = Recording(tuple(capture(tmp_path, symbol=name) for name in ("A", "B")), 1).instruments
    file, said = tmp_path / "rows.csv", Said()
    file.write_text("symbol,multiplier\nA,10\n")
    rows = ReferenceRows(file, known, 1)
    assert rows.step(said) == 0
    for text, moment, expected in (
        ("symbol,multiplier\nA,20\n", 1, [("A", 20.0)]),
        ("symbol,multiplier\nA,20\nB,5\n", 2, [("B", 5.0)]),
        ("symbol,multiplier\nB,x\n", 3, []),  # What stood before stands.
    ):
        file.write_text(text)
        os.utime(file, (moment, moment))
        said.rows.clear()
        assert rows.step(said) == len(expected)
        assert [(row.symbol, row.multiplier) for row in said.rows] == expected
        assert rows.step(said) == 0
    file.unlink()
    assert rows.step(said) == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PublishError, match=r"--reference .*none\.csv: No such file"):
        ReferenceRows(tmp_path / "none.csv", [], 1)


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


def test_what_readers_get_is_what_the_file_says(settings, kafka, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("symbol,multiplier,asset_class,venue,currency,tick,decimals\nABC,10,,,,,\n")
    settings = settings.model_copy(update={"kafka": kafka, "reference": file})
    loop = publish.publication(settings, Order((capture(tmp_path),), rate=1e6))
    reader = ReferenceSource(kafka, "test")
    rows = {row.symbol: row for row in reader.read_all()}
    assert rows["ABC"].multiplier == 10
    file.write_text(file.read_text() + "NEW,5,equity,XNAS,USD,0.01,2\n")
    os.utime(file, (1, 1))
    deadline = time.monotonic() + 5
    while "NEW" not in rows and time.monotonic() < deadline:
        loop.reference.step(loop.publisher)
        rows |= {row.symbol: row for row in reader.poll()}
    reader.close()
    assert (rows["NEW"].multiplier, rows["NEW"].id) == (5, 1)
