"""Several recorders share the partitions: each offset on record once, whoever comes or hangs."""

import time

import numpy as np
import pytest

from compute import account, chain
from compute.archive import Archive
from compute.bus import Bus
from compute.checkpoint import Checkpoints
from compute.digest import COLUMNS
from compute.record import Record
from compute.record_shards import RecordShards
from compute.row import PARTS, RECORD
from compute.share import Share
from compute.worker import SharedRows, Worker
from ingest.shard import Shards
from ingest.source import FILLS
from tests.shards import SHARDS, Log, Reader, Topic, Values

LEASE_SECONDS = 1.0
SECONDS_MAX = 120.0


class Alerts:
    """No alerts come; who records them is told by who begins."""

    problem, rows_recorded = "", 0

    def begin(self) -> None:
        pass

    def step(self, now: float) -> int:
        return 0


class Recorders:
    """A log, workers of `record` that read it, and one database."""

    def __init__(self, log: Log, archive: Archive, url: str, folder) -> None:
        self.log, self.archive, self.url, self.folder = log, archive, url, folder
        self.workers: dict[int, Worker] = {}
        self.asleep: set[int] = set()
        self.alerts: list[int] = []

    def start(self, number: int) -> None:
        bus, role = Bus(self.url), f"record.{number}"
        kind = RecordShards(
            *(SharedRows(Topic()), self.archive.address, self.archive.database, self.folder),
            alerts=lambda _: self.alerts.append(number) or Alerts(),
            digests=Values(),
            report=lambda health: bus.report(role, health),
            legs=lambda: bus.swap_legs({}),
            sleep=lambda _: None,
        )
        share = Share(bus, role, SHARDS, LEASE_SECONDS, 1_000 + number)
        frames = Shards(Reader(self.log))
        self.workers[number] = Worker(share, frames, kind, now_ns=self.log.clock)

    def until(self, what: str, condition) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.told()}"
            for number, worker in self.workers.items():
                if number not in self.asleep:
                    worker.share.look()
                    worker.step()

    def loops(self) -> dict[int, Record]:
        awake = [w for n, w in self.workers.items() if n not in self.asleep]
        return {number: loop for worker in awake for number, loop in worker.loops.items()}

    def told(self) -> list[str]:
        return [f"{n} {loop.state} {loop.problem}" for n, loop in sorted(self.loops().items())]

    def recorded(self) -> bool:
        """Whether all that the log has is on record, of every shard by one recorder."""
        found = {p: o for loop in self.loops().values() for p, o in loop.recorded.items()}
        running = all(loop.state == "recording" for loop in self.loops().values())
        return len(self.loops()) == SHARDS and running and found == self.log.last()

    def dealt(self) -> list[int]:
        return [len(worker.loops) for worker in self.workers.values()]


def rows(archive: Archive) -> dict[tuple[int, int], np.ndarray]:
    found = archive.highest_offsets()
    return {p: np.frombuffer(archive.read_block(*p, 0, last), RECORD) for p, last in found.items()}


@pytest.fixture
def recorders(archive: Archive, redis: str, tmp_path) -> Recorders:
    return Recorders(Log(rate=2_000), archive, redis, tmp_path / "shards")


def test_each_offset_is_on_record_once_with_the_numbers_of_one_recorder(
    recorders: Recorders, server, tmp_path
) -> None:
    log, count = recorders.log, len(recorders.log.messages)
    log.end = count // 4
    recorders.start(0)
    recorders.until("all by one", recorders.recorded)
    recorders.start(1)
    recorders.until("two each", lambda: recorders.dealt() == [2, 2])
    log.end = count // 2
    recorders.until("all by two", recorders.recorded)

    recorders.asleep.add(0)  # It hangs with rows that it has gathered, and not inserted.
    hung = dict(recorders.workers[0].loops)
    log.end = 3 * count // 4
    for loop in hung.values():
        recorders.workers[0].frames.pump()
        loop.step()
        loop._seal()
    recorders.until("all by the other", recorders.recorded)
    assert recorders.dealt() == [2, 4]
    recorders.asleep.remove(0)  # It wakes, and what it still had is refused.
    log.end = count
    for loop in hung.values():
        if loop._inserts:
            with pytest.raises(RuntimeError, match="another recorder has taken over"):
                loop._attempt(loop._insert)
    recorders.until("all by both", lambda: recorders.recorded() and recorders.dealt() == [2, 2])
    for worker in recorders.workers.values():
        worker.close()

    read = recorders.archive.read_block
    for one in account.count(recorders.archive):
        assert (one.first, one.holes, one.doubles, one.torn) == (0, 0, 0, 0)
        blocks = recorders.archive.blocks(one.topic, one.partition)
        assert chain.verify(blocks, lambda sealed: read(*sealed[:4])) is None
    found, wanted = rows(recorders.archive), rows(alone(log, server, tmp_path))
    assert found.keys() == wanted.keys()
    for place, one in found.items():
        assert one.view(PARTS)["event"].tobytes() == wanted[place].view(PARTS)["event"].tobytes()
        for name in COLUMNS if place[0] != FILLS else ():
            same = np.ascontiguousarray(one[name]).tobytes()
            assert same == np.ascontiguousarray(wanted[place][name]).tobytes(), (place, name)
    assert len(recorders.alerts) >= 1


def alone(log: Log, server, folder) -> Archive:
    """The record of one that has all partitions."""
    archive = Archive(server.address, "alone")
    made = Record(Reader(log), Topic(), archive, Checkpoints(folder / "alone"), wait=lambda _: None)
    deadline = time.monotonic() + SECONDS_MAX
    while made.recorded != log.last() or made.state != "recording":
        made.step()
        assert time.monotonic() < deadline, f"{made.state} {made.problem}"
    return archive


def test_one_recorder_of_all_takes_over_from_several_and_back(
    recorders: Recorders, tmp_path
) -> None:
    recorders.log.end //= 4
    recorders.start(0)
    recorders.until("recorded", recorders.recorded)
    former = recorders.workers[0].loops[1]
    whole = Record(
        *(Reader(recorders.log), Topic(), recorders.archive, Checkpoints(tmp_path / "whole")),
        wait=lambda _: None,
    )
    while whole.state != "recording":
        whole.step()
    row = np.zeros(1, RECORD)
    row["partition"] = 1
    late = former._block((0, 1), 10**6, 10**6, row)
    with pytest.raises(RuntimeError, match="another recorder has taken over"):
        former.archive.insert([late])
    recorders.workers.clear()
    recorders.start(1)
    recorders.until("recorded by several again", recorders.recorded)
    whole.archive.close()
