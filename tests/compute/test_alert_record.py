"""Every message of the topic on record exactly once, whatever dies, in a chain of hashes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from compute import chain
from compute.alert_record import POLL_SECONDS, AlertLogError, AlertRecord
from compute.alert_row import AlertRow, canonical, packed
from compute.archive import Archive, ArchiveError
from compute.incident import read
from compute.limits import Alert
from ingest.source import ALERTS, Message, Positions
from tests.clickhouse import ROOT, ClickHouse

SECOND = 1_000_000_000
START_NS = 1_763_719_200_000_000_000


def alert(number: int, **more: Any) -> Alert:
    kind = ("raised", "acknowledged", "cleared")[number % 3]
    fields: dict[str, Any] = {
        "alert": f"{number % 5}-0-{START_NS}",
        "number": number,
        "kind": kind,
        "level": "ok" if kind == "cleared" else "breach",
        "before": "ok",
        "ts_event": START_NS + number * SECOND,
        "ts_alert": START_NS + number * SECOND + 90_000_001,
        "limit": number % 5,
        "name": f"Gross „{number}“ of 'it' \\ \t",
        "measure": "gross",
        "scope": "book",
        "key": "Zoë",
        "value": None if number % 7 == 0 else 1.5 * number,
        "warning": 80.0,
        "breach": 100.0,
        "inputs": "0" * 32,
        "person": "R. Okafor" if kind == "acknowledged" else "",
    }
    return Alert(**fields | more)


def log_of(size: int) -> list[Message]:
    """Messages of two partitions; some are no alert."""
    values = [b"\xff{" if k % 11 == 10 else alert(k).to_json() for k in range(size)]
    return [Message(ALERTS, k % 2, k // 2, START_NS + k, v) for k, v in enumerate(values)]


class Topic:
    """The topic `alerts`, a few messages at a time."""

    def __init__(self, messages: list[Message], batch: int = 5) -> None:
        self.messages, self.batch = messages, batch
        self.at: Positions = {}
        self.committed: Positions = {}
        self.polls = 0

    def seek(self, positions: Positions) -> None:
        self.at = dict(positions)

    def poll(self, timeout_s: float = 1.0) -> list[Message]:
        assert timeout_s == 0.0, "the record must not wait here"
        self.polls += 1
        new = [one for one in self.messages if one.offset > self.at.get(one[:2], -1)][: self.batch]
        self.at |= {one[:2]: one.offset for one in new}
        return new

    def commit(self, positions: Positions) -> None:
        self.committed |= positions


def run(made: AlertRecord, size: int) -> None:
    now = made._due
    while sum(last + 1 for last in made.recorded.values()) < size:
        now += 0.05
        made.step(now)
        assert now < 1e4, made.problem


def recorder(topic: Topic, archive: Archive) -> AlertRecord:
    made = AlertRecord(topic, archive)
    made.begin()
    return made


def assert_whole(archive: Archive, messages: list[Message]) -> list[AlertRow]:
    rows = archive.alert_rows()
    wanted = sorted(messages, key=lambda one: one[:3])
    assert [row[:5] for row in rows] == [tuple(one) for one in wanted]
    for part in (0, 1):
        mine = [row for row in rows if row.partition == part]
        bytes_at = {row.sealed: canonical(row.ts_log, row.message) for row in mine}
        assert chain.verify([row.sealed for row in mine], bytes_at.__getitem__) is None
    return rows


def test_what_goes_in_comes_out_in_columns_and_as_it_came(archive: Archive) -> None:
    messages = log_of(60)
    made = recorder(Topic(messages), archive)
    run(made, 60)
    assert_whole(archive, messages)
    assert made.messages.committed == made.recorded == {(ALERTS, 0): 29, (ALERTS, 1): 29}
    told = [one for m in messages if (one := read(m.value))]
    assert archive.alerts() == told
    assert archive.alerts(told[30].ts_alert) == told[30:]
    table = f"{archive.database}.alerts"
    columns = archive.rows(
        f"SELECT alert, number, kind, level, before, toUnixTimestamp64Nano(ts_event), "
        "toUnixTimestamp64Nano(ts_alert), limit, name, measure, scope, key, "
        f"if(isNaN(value), NULL, value), warning, breach, inputs, person FROM {table} "
        "WHERE kind != 'refused' ORDER BY number"
    )
    assert [Alert(*row) for row in columns] == told
    refused = archive.rows(f"SELECT hex(message) FROM {table} WHERE kind = 'refused'")
    assert [bytes.fromhex(row[0]) for row in refused] == [b"\xff{"] * 5


def test_the_chain_finds_a_changed_message(archive: Archive) -> None:
    messages = log_of(8)
    run(recorder(Topic(messages), archive), 8)
    archive.command(
        f"ALTER TABLE {archive.database}.alerts UPDATE message = 'R. Nobody' "
        "WHERE partition = 1 AND offset = 2 SETTINGS mutations_sync = 2"
    )
    rows = [row for row in archive.alert_rows() if row.partition == 1]
    bytes_at = {row.sealed: canonical(row.ts_log, row.message) for row in rows}
    fault = chain.verify([row.sealed for row in rows], bytes_at.__getitem__)
    assert fault is not None
    assert fault.first == 2


class Killed(BaseException):
    """As a kill -9 does: no clean-up code of ours runs."""


@pytest.mark.parametrize("seed", range(4))
def test_killed_anywhere_it_goes_on_as_if_it_had_not_been(
    archive: Archive, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, messages, plain = random.Random(seed), log_of(160), archive.send
    deaths = []

    def deadly(*rest: Any) -> None:
        what = chance.random()
        if what < 0.2:
            deaths.append("before")
            raise Killed
        if what < 0.3:
            raise ArchiveError("away", away=True)
        plain(*rest)
        if what < 0.5:
            deaths.append("after")
            raise Killed
        if what < 0.6:
            raise ArchiveError("the answer is lost", away=True)

    monkeypatch.setattr(archive, "send", deadly)
    made = recorder(Topic(messages, chance.randrange(3, 9)), archive)
    for _ in range(500):
        try:
            run(made, 160)
            break
        except Killed:
            made = recorder(Topic(messages, chance.randrange(3, 9)), archive)
    assert {"before", "after"} <= set(deaths), "the test must kill"
    assert_whole(archive, messages)


CHILD = """
import sys
sys.path.insert(0, ".")
from tests.compute import test_alert_record as t
archive = t.Archive(sys.argv[1], sys.argv[2])
made, now = t.recorder(t.Topic(t.log_of(400), batch=1), archive), 0.0
while True:
    now += 1.0
    made.step(now)
    if made.rows_recorded == 5:
        print("up", flush=True)
"""


def test_a_recorder_process_killed(archive: Archive) -> None:
    command = [sys.executable, "-c", CHILD, archive.address, archive.database]
    for pause_s in (0.05, 0.13):
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        time.sleep(pause_s)
        child.send_signal(signal.SIGKILL)
        child.communicate()
    archive.claim(START_NS)  # What it had under way has ended.
    have = len(archive.alert_rows())
    assert 10 <= have < 400, "it was killed too late to mean anything"
    messages = log_of(400)
    run(recorder(Topic(messages, 50), archive), 400)
    assert_whole(archive, messages)


def test_clickhouse_killed_and_away(tmp_path: Path) -> None:
    server = ClickHouse(tmp_path / "data").start()
    archive = Archive(server.address)
    messages = log_of(30)
    topic = Topic(messages, batch=4)
    try:
        archive.prepare()
        made = recorder(topic, archive)
        made.step(1.0)
        server.kill()
        for now in range(2, 40):
            made.step(float(now))
        assert made.problem.startswith("alerts: ClickHouse at")
        assert topic.polls == 2, "what is not on record stays in Kafka"
        server.start()
        made.step(50.0)
        assert not made.problem
        run(made, 30)
        assert_whole(archive, messages)
    finally:
        archive.close()
        server.kill()


def test_it_asks_kafka_no_more_often_than_it_must(archive: Archive) -> None:
    topic = Topic([])
    made = recorder(topic, archive)
    for tick in range(100_000):
        made.step(tick * 1e-4)
    assert topic.polls <= 10.0 / POLL_SECONDS + 1


def test_another_log_is_not_mixed_in(archive: Archive) -> None:
    run(recorder(Topic(log_of(10)), archive), 10)
    topic = Topic(log_of(4))
    made = recorder(topic, archive)
    topic.seek({})  # As a consumer does that finds its offset beyond the end.
    with pytest.raises(AlertLogError, match="Name another database"):
        made.step(1.0)


def test_a_row_has_the_bytes_of_its_columns() -> None:
    message = log_of(1)[0]
    row = AlertRow(*message, b"d" * 32, b"l" * 32)
    data = packed(row)
    assert data[:19] == bytes([ALERTS, 0, 0]) + bytes(8) + START_NS.to_bytes(8, "little")
    assert data[19 : 20 + len(f"0-0-{START_NS}")].endswith(b"%d" % START_NS)
    assert data.endswith(message.value + b"d" * 32 + b"l" * 32)
