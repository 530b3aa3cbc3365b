"""Every offset on record exactly once, whatever dies, with the numbers of an undisturbed run."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compute import account, chain, record
from compute.archive import Archive, ArchiveError
from compute.checkpoint import Checkpoints
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.intake import Intake
from compute.record import Record, RecordError
from compute.row import NO_EVENT, PARTS, RECORD, REFUSED
from ingest.clock import VirtualClock
from ingest.event import EVENT, Kind
from ingest.frame import encode
from ingest.instrument import Instrument, Reference
from ingest.source import FILLS, Message
from tests.clickhouse import ROOT, ClickHouse

PLACES = [(0, 0), (0, 1), (7, 0), (FILLS, 0)]
START_NS = VirtualClock().ns


def instruments(size: int = 8) -> list[Instrument]:
    return [
        Instrument(id=k, symbol=f"S{k}", asset_class=0, venue="X", currency="USD",
                   multiplier=1.0, tick=0.01, decimals=2)
        for k in range(size)
    ]  # fmt: skip


def events_of(place: tuple[int, int], draw: np.random.Generator, at_ns: int) -> np.ndarray:
    """A few events of the instruments that live in `place`."""
    events = np.zeros(int(draw.integers(1, 30)), EVENT)
    home = PLACES.index(place)
    events["ts_event"] = at_ns + np.arange(len(events)) * 1000
    events["ts_recv"] = events["ts_event"] + 50
    events["instrument"] = draw.integers(0, 2, len(events)) + 2 * min(home, 2)
    price = 100 * 10**9 + draw.integers(-50, 50, len(events)) * 10**7
    if place[0] == FILLS:
        events["kind"], events["book"] = Kind.FILL, draw.integers(0, 3, len(events))
        events["price"], events["size"] = price, draw.integers(-9, 9, len(events)) * 2 + 1
        events["fee"] = 0.25
        return events
    trade = draw.random(len(events)) < 0.3
    events["kind"] = np.where(trade, Kind.TRADE, Kind.QUOTE)
    events["price"] = price
    events["ask"] = np.where(trade, np.arange(len(events)) + at_ns, price + 10**7)
    events["bid_size"] = draw.integers(1, 9, len(events))
    events["ask_size"] = np.where(trade, 0.0, 5.0)
    return events


def market(seed: int, frames: int) -> list[Message]:
    """A log: messages of all places in the order in which they were published."""
    draw = np.random.default_rng(seed)
    sequences: dict[tuple[int, int], int] = {}
    offsets: dict[tuple[int, int], int] = {}
    log = []
    for k in range(frames):
        place = PLACES[int(draw.integers(0, len(PLACES)))]
        at_ns = START_NS + k * 1_000_000
        events = events_of(place, draw, at_ns)
        sequence = sequences.get(place, 0) + (5 if k % 41 == 40 else 0)  # a gap
        sequence -= 3 if k % 53 == 52 and sequence > 3 else 0  # a repeat, in part or whole
        sequences[place] = max(sequences.get(place, 0), sequence + len(events))
        value = encode(events, 1, sequence, at_ns)
        if k % 29 == 28:
            value = value[:-1]  # refused
        log.append(Message(*place, offsets.get(place, 0), at_ns, value))
        offsets[place] = offsets.get(place, 0) + 1
    return log


class Log:
    """A Kafka that gives messages in the order of the log, from where each partition stands."""

    def __init__(self, messages: list[Message], batch: int = 7) -> None:
        self.messages, self.batch = messages, batch
        self.assigned = list(PLACES)
        self.log = "this one"
        self.at: dict[tuple[int, int], int] = {}
        self.committed: dict[tuple[int, int], int] = {}
        self.on_commit: Callable[[], None] = lambda: None
        self.polls = 0

    def seek(self, positions: dict[tuple[int, int], int]) -> None:
        self.at = dict(positions)

    def poll(self, timeout_s: float = 0) -> list[Message]:
        self.polls += 1
        taken: list[Message] = []
        for message in self.messages:
            if len(taken) == self.batch:
                break
            if message.offset > self.at.get(message[:2], -1):
                taken.append(message)
                self.at[message[:2]] = message.offset
        return taken

    def commit(self, positions: dict[tuple[int, int], int]) -> None:
        self.committed |= positions
        self.on_commit()

    silent_s = 0.0

    def lag(self, positions: dict[tuple[int, int], int]) -> int:
        return sum(m.offset > positions.get(m[:2], -1) for m in self.messages)


class Table:
    """Reference rows; `later` come when next asked."""

    def __init__(self, rows: list[Instrument]) -> None:
        self.rows = rows
        self.later: list[Instrument] = []

    def read_all(self) -> list[Instrument]:
        return self.rows

    def poll(self) -> list[Instrument]:
        rows, self.later = self.later, []
        return rows


def recorder(log: Log, archive: Archive, folder: Path, clock: VirtualClock, **more: Any) -> Record:
    return Record(
        log, more.pop("rows", Table(instruments())), archive, Checkpoints(folder),
        now_ns=clock, elapsed_ns=clock, wait=clock.advance, **more,
    )  # fmt: skip


def run(made: Record, log: Log, seconds: float = 600) -> None:
    """Step until all of the log is on record; events' time passes with the clock."""
    clock = made.now_ns
    assert isinstance(clock, VirtualClock)
    end = clock() + seconds * 1e9
    while log.lag(made.recorded) or made.state != "recording":
        made.step()
        clock.advance(0.01)
        assert clock() < end, f"{made.state} {made.problem} {log.lag(made.recorded)}"


def everything(archive: Archive) -> dict[tuple[int, int], bytes]:
    return {
        place: archive.read_block(*place, 0, last)
        for place, last in archive.highest_offsets().items()
    }


def assert_whole(archive: Archive, log: Log) -> None:
    """Nothing lost, nothing twice, the chain closed over all of it."""
    counts = {(c.topic, c.partition): c for c in account.count(archive)}
    for place in PLACES:
        offsets = [m.offset for m in log.messages if m[:2] == place]
        found = counts[place]
        assert (found.first, found.last) == (0, offsets[-1])
        assert (found.holes, found.doubles, found.torn) == (0, 0, 0)
        blocks = list(archive.blocks(*place))
        assert blocks[0].first == 0
        assert blocks[-1].last == offsets[-1]
        assert chain.verify(blocks, lambda s: archive.read_block(*s[:4])) is None


@pytest.fixture(scope="module")
def truth(server: ClickHouse, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The market, and its record as an undisturbed run makes it."""
    log = Log(market(1, 600))
    archive = Archive(server.address, "truth")
    run(recorder(log, archive, tmp_path_factory.mktemp("checkpoints"), VirtualClock()), log)
    assert_whole(archive, log)
    return log.messages, everything(archive)


def test_rows_are_the_events_and_what_the_engine_said(truth: Any) -> None:
    messages, found = truth
    assert sum(len(data) for data in found.values()) > 100_000
    rows = {place: np.frombuffer(data, RECORD) for place, data in found.items()}
    intake = Intake(Reference(instruments()))
    engine = Engine(Reference(instruments()))
    for message in messages:
        batch = intake.take([message])
        for gap in batch.gaps:
            engine.mark_gap(gap.instruments, gap.missing)
        enriched = np.zeros(len(batch.events), ENRICHED)
        engine.step(batch.events, enriched)
        own = rows[message[:2]]
        own = own[own["offset"] == message.offset]
        if len(batch.events) == 0:
            assert own["kind"].tolist() == [REFUSED]
            assert NO_EVENT[own["flags"][0]] == batch.spans[0].reason
            continue
        parts = own.view(PARTS)
        assert parts["event"].tobytes() == batch.events.tobytes()
        assert parts["enriched"].tobytes() == enriched.tobytes()
        assert own["index"].tolist() == list(range(len(own)))
    reasons = {NO_EVENT[r["flags"]] for own in rows.values() for r in own[own["kind"] == REFUSED]}
    assert "truncated" in reasons


def test_commits_only_what_is_on_record(archive: Archive, tmp_path: Path) -> None:
    log = Log(market(2, 200))
    seen = []

    def compare() -> None:
        on_record = archive.highest_offsets()
        assert all(offset <= on_record[place] for place, offset in log.committed.items())
        seen.append(1)

    log.on_commit = compare
    run(recorder(log, archive, tmp_path, VirtualClock(), flush_s=0.1), log)
    assert len(seen) > 1
    assert log.committed == archive.highest_offsets()


class Killed(BaseException):
    """As a kill -9 does: no clean-up code of ours runs."""


@pytest.mark.parametrize("seed", range(4))
def test_killed_anywhere_it_goes_on_as_if_it_had_not_been(
    truth: Any, archive: Archive, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages, wanted = truth
    chance = random.Random(seed)
    monkeypatch.setattr(record, "CHECKPOINT_SECONDS", 0.4)
    plain = archive._insert
    deaths = []

    def deadly(table: str, *rest: Any) -> None:
        what = chance.random()
        if what < 0.15:
            deaths.append(f"before {table}")
            raise Killed
        plain(table, *rest)
        if what < 0.3:
            deaths.append(f"after {table}")
            raise Killed

    monkeypatch.setattr(archive, "_insert", deadly)
    clock = VirtualClock()
    log = Log(messages, batch=chance.randrange(1, 9))
    made = recorder(log, archive, tmp_path, clock, flush_s=0.3)
    for _ in range(200):
        try:
            run(made, log)
            break
        except Killed:
            log = Log(messages, batch=chance.randrange(1, 9))
            made = recorder(log, archive, tmp_path, clock, flush_s=chance.random() / 2)
    monkeypatch.undo()
    assert len(deaths) > 2, "the test must kill"
    assert_whole(archive, log)
    assert everything(archive) == wanted
    assert list(tmp_path.glob("*.checkpoint"))


@pytest.mark.parametrize("stop", [0, 1, 6])
def test_a_recorder_that_wakes_after_its_successor_doubles_nothing(
    truth: Any, archive: Archive, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One recorder sleeps at any call to ClickHouse while another, with other cuts, goes past."""
    messages, wanted = truth
    plain, calls = archive.send, count()

    def sleepy(*call: Any) -> None:
        if next(calls) == stop:  # Its request is made, but has not left: then it sleeps.
            second = Archive(archive.address, archive.database)
            log = Log(messages, batch=5)
            run(recorder(log, second, tmp_path / "second", VirtualClock(), flush_s=0.17), log)
            second.close()
        plain(*call)

    monkeypatch.setattr(archive, "send", sleepy)
    log = Log(messages, batch=3)
    stale = recorder(log, archive, tmp_path / "first", VirtualClock(), flush_s=0.2)
    with pytest.raises(RecordError, match="another recorder has taken over"):
        run(stale, log)
    highest = archive.highest_offsets()
    assert all(offset <= highest[place] for place, offset in log.committed.items())
    assert_whole(archive, Log(messages))
    assert everything(archive) == wanted


def test_an_answer_that_gets_lost_doubles_nothing(
    truth: Any, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages, wanted = truth
    plain = archive._insert
    calls = count()

    def lossy(*rest: Any) -> None:
        plain(*rest)
        if next(calls) % 5 in (1, 2):
            raise ArchiveError("the answer is lost", away=True)

    monkeypatch.setattr(archive, "_insert", lossy)
    log = Log(messages)
    run(recorder(log, archive, tmp_path, VirtualClock(), flush_s=0.2), log)
    assert_whole(archive, log)
    assert everything(archive) == wanted


def test_clickhouse_killed_and_away(truth: Any, tmp_path: Path) -> None:
    messages, wanted = truth
    server = ClickHouse(tmp_path / "data").start()
    archive = Archive(server.address)
    log, clock = Log(messages), VirtualClock()
    made = recorder(log, archive, tmp_path / "checkpoints", clock, flush_s=0.05)
    try:
        while len(log.committed) < len(PLACES):
            made.step()
            clock.advance(0.01)
        server.kill()
        told: list[dict[str, Any]] = []
        made.tell = told.append
        for _ in range(100):
            made.step()
            clock.advance(0.05)
        assert "does not answer" in made.problem
        assert told[-1]["state"] == "waiting"
        assert told[-1]["waiting_rows"] > 0
        assert told[-1]["behind_s"] > 3
        server.start()
        run(made, log)
        assert not made.problem
        assert made.behind_s == 0
        assert_whole(archive, log)
        assert everything(archive) == wanted
    finally:
        archive.close()
        server.kill()


CHILD = """
import sys
sys.path.insert(0, ".")
from pathlib import Path
from tests.compute import test_record as t
log = t.Log(t.market(1, 600), batch=2)
archive = t.Archive(sys.argv[1], sys.argv[2])
t.record.CHECKPOINT_SECONDS = 0.2
made = t.Record(log, t.Table(t.instruments()), archive, t.Checkpoints(Path(sys.argv[3])),
                flush_s=0.1)
while log.lag(made.recorded):
    made.step()
    if made.state == "recording" and made.rows_recorded > 100:
        print("up", flush=True)
"""


def test_a_recorder_process_killed(truth: Any, archive: Archive, tmp_path: Path) -> None:
    messages, wanted = truth
    archive.prepare()
    command = [sys.executable, "-c", CHILD, archive.address, archive.database, str(tmp_path)]
    for pause_s in (0.11, 0.37):
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        time.sleep(pause_s)
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert archive.highest_offsets(), "it was killed too early to mean anything"
    log = Log(messages)
    assert log.lag(archive.highest_offsets()), "it was killed too late to mean anything"
    run(recorder(log, archive, tmp_path, VirtualClock()), log)
    assert_whole(archive, log)
    assert everything(archive) == wanted


def test_a_quiet_partition_is_recorded_within_two_seconds(archive: Archive, tmp_path: Path) -> None:
    log, clock = Log([]), VirtualClock()
    made = recorder(log, archive, tmp_path, clock)
    while made.state != "recording":
        made.step()
    log.messages = market(3, 1)
    begin = clock()
    while not made.recorded:
        made.step()
        clock.advance(0.001)
    assert clock() - begin < 2e9


def test_clickhouse_away_from_the_start(tmp_path: Path) -> None:
    log, clock = Log(market(3, 20)), VirtualClock()
    archive = Archive("http://127.0.0.1:1")
    made = recorder(log, archive, tmp_path, clock)
    for _ in range(20):
        made.step()
        clock.advance(0.5)
    assert "does not answer" in made.problem
    assert log.polls == 0


def test_what_waits_has_a_limit(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "PENDING_ROWS_MAX", 500)
    monkeypatch.setattr(record, "BLOCK_ROWS", 200)
    log, clock = Log(market(4, 400)), VirtualClock()
    made = recorder(log, archive, tmp_path, clock)
    while made.state != "recording":
        made.step()
    plain = archive._insert

    def away(*_: Any) -> None:
        raise ArchiveError("away", away=True)

    monkeypatch.setattr(archive, "_insert", away)
    for _ in range(300):
        made.step()
        clock.advance(0.1)
    polls = log.polls
    assert made.pending_rows + made._waiting_rows() < 500 + log.batch * 30
    monkeypatch.setattr(archive, "_insert", plain)
    run(made, log)
    assert log.polls > polls
    assert_whole(archive, log)


def test_a_large_flush_is_several_inserts(
    truth: Any, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages, wanted = truth
    monkeypatch.setattr(record, "INSERT_ROWS_MAX", 900)
    monkeypatch.setattr(record, "PIECE_ROWS_MAX", 100)
    sizes = []
    plain = archive.insert

    def watched(blocks: Any) -> None:
        sizes.append(sum(block.sealed.rows for block in blocks))
        plain(blocks)

    monkeypatch.setattr(archive, "insert", watched)
    log = Log(messages, batch=1000)
    run(recorder(log, archive, tmp_path, VirtualClock()), log)
    assert max(sizes) <= 900
    assert len(sizes) > 3
    assert_whole(archive, log)
    assert everything(archive) == wanted


def test_what_kafka_let_go_is_said_and_stays_a_hole(archive: Archive, tmp_path: Path) -> None:
    messages = market(3, 120)
    place = (0, 0)
    gone = {m.offset for m in messages if m[:2] == place and 5 <= m.offset <= 9}
    log = Log([m for m in messages if m[:2] != place or m.offset not in gone])
    told: list[dict[str, Any]] = []
    made = recorder(log, archive, tmp_path, VirtualClock(), flush_s=0.1, tell=told.append)
    run(made, log)
    made._report(1e9)
    assert made.lost == told[-1]["lost_frames"] == len(gone)
    assert "offsets 5 to 9" in told[-1]["problem"]
    assert told[-1]["state"] == "recording"
    counts = {(c.topic, c.partition): c for c in account.count(archive)}
    assert counts[place].named == ("hole 5 to 9",)
    assert sum(c.holes for c in counts.values()) == len(gone)
    for other in PLACES:
        assert chain.verify(archive.blocks(*other), lambda s: archive.read_block(*s[:4])) is None


def test_what_was_refused_once_stays_refused(archive: Archive, tmp_path: Path) -> None:
    """Reference data that came later must not change what the record's engine has seen."""
    log, clock = Log(market(5, 60)), VirtualClock()
    run(recorder(log, archive, tmp_path, clock, rows=Table(instruments(3))), log)
    found = everything(archive)
    unknown = NO_EVENT.index("unknown")
    rows = np.frombuffer(b"".join(found.values()), RECORD)
    refused = rows[(rows["kind"] == REFUSED) & (rows["flags"] == unknown)]
    assert len(refused)
    made = recorder(log, archive, tmp_path, clock, rows=Table(instruments()))
    first = recorder(log, archive, tmp_path / "other", clock, rows=Table(instruments(3)))
    for one in (made, first):
        while one.state != "recording":
            one.step()
    volume = made.engine.tables["instruments"][:3]
    np.testing.assert_array_equal(volume, first.engine.tables["instruments"])
    assert np.isnan(made.engine.tables["instruments"][3:, 0]).all()
    assert everything(archive) == found


def test_another_log_is_told_apart(archive: Archive, tmp_path: Path) -> None:
    log, clock = Log(market(6, 100)), VirtualClock()
    run(recorder(log, archive, tmp_path, clock), log)
    shorter = Log(market(6, 10))
    with pytest.raises(RecordError, match=f"in {archive.database}, but Kafka's log ends"):
        run(recorder(shorter, archive, tmp_path, clock), shorter)
    made = recorder(log, archive, tmp_path, clock)
    run(made, log)
    log.at = {}  # Out of range, so the client begins anew.
    with pytest.raises(RecordError, match="begun anew"):
        made.step()


def test_another_log_that_is_longer_is_told_apart(archive: Archive, tmp_path: Path) -> None:
    log, clock = Log(market(6, 50)), VirtualClock()
    run(recorder(log, archive, tmp_path, clock), log)
    found = everything(archive)
    other = Log(market(8, 400))
    other.log = "that one"
    with pytest.raises(RecordError, match=r"of another log .*this one, not that one"):
        run(recorder(other, archive, tmp_path, clock), other)
    assert everything(archive) == found


def test_closing_records_what_waits(archive: Archive, tmp_path: Path) -> None:
    log, clock = Log(market(7, 50), batch=50), VirtualClock()
    made = recorder(log, archive, tmp_path, clock)
    while not made.positions or made.state != "recording":
        made.step()
    made.close()
    assert log.lag(archive.highest_offsets()) == 0
    assert list(tmp_path.glob("*.checkpoint"))
    again = recorder(log, archive, tmp_path, clock)
    again.step()
    assert again.positions == made.recorded
