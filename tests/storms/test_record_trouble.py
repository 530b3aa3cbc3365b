"""ClickHouse refuses: the recorder says why, loses nothing, and goes on once the cause is gone."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compute import account, record
from compute.archive import Archive, ArchiveError
from compute.checkpoint import Checkpoints
from compute.record import Record
from tests.clickhouse import ClickHouse
from tests.compute.test_record import Log, Table, instruments, market

SECONDS_MAX = 60.0
DISK_BYTES = 48 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ClickHouse]:
    server = ClickHouse(tmp_path / "clickhouse").start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RETRY_SECONDS_MAX", 0.2)
    monkeypatch.setattr(record, "GATHER_SECONDS", 0.0)


def recorder(archive: Archive, log: Log, folder: Path) -> Record:
    checkpoints = Checkpoints(folder / "checkpoints")
    return Record(log, Table(instruments()), archive, checkpoints, flush_s=0.01)


def until(made: Record, reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not reached():
        made.step()
        assert time.monotonic() < deadline, (made.state, made.problem, made.rows_recorded)


def whole(archive: Archive, log: Log, made: Record) -> None:
    until(made, lambda: not log.lag(made.recorded))
    assert not made.problem
    counts = account.count(archive)
    assert not any(one.named for one in counts), account.describe(counts)
    assert sum(one.rows for one in counts) == made.rows_recorded


def test_too_many_parts(server: ClickHouse, tmp_path: Path) -> None:
    archive, log = Archive(server.address), Log(market(3, 900))
    made = recorder(archive, log, tmp_path)
    until(made, lambda: made.rows_recorded > 1_000)
    events = f"{archive.database}.events"
    archive.command(f"SYSTEM STOP MERGES {events}")
    archive.command(f"ALTER TABLE {events} MODIFY SETTING parts_to_throw_insert = 2")
    until(made, lambda: made.problem)
    assert "Too many parts" in made.problem
    assert archive.size()[0] == made.rows_recorded, "what was refused was taken for recorded"
    archive.command(f"ALTER TABLE {events} RESET SETTING parts_to_throw_insert")
    archive.command(f"SYSTEM START MERGES {events}")
    whole(archive, log, made)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder))
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode
    except OSError:
        done = 1
    if done:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield
    finally:
        subprocess.run(("umount", "-l", str(folder)), check=True)


def test_disk_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        server = ClickHouse(disk / "clickhouse").start()
        try:
            archive, log = Archive(server.address), Log(market(4, 600))
            made = recorder(archive, log, tmp_path)
            until(made, lambda: made.rows_recorded > 1_000)
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
            until(made, lambda: made.problem)
            assert "space" in made.problem
            assert archive.size()[0] == made.rows_recorded, "what was refused was taken as done"
            ballast.unlink()
            whole(archive, log, made)
        finally:
            server.kill()


def test_a_newer_schema_is_said_and_waited_out(server: ClickHouse, tmp_path: Path) -> None:
    archive, log = Archive(server.address), Log(market(5, 60))
    archive.prepare()
    versions = f"{archive.database}.versions"
    archive.command(f"INSERT INTO {versions} SELECT 99, now64(9, 'UTC')")
    made = recorder(archive, log, tmp_path)
    until(made, lambda: made.problem)
    assert "schema 99" in made.problem
    assert made.state == "starting"
    archive.command(f"ALTER TABLE {versions} DELETE WHERE version = 99 SETTINGS mutations_sync = 2")
    whole(archive, log, made)


def test_clickhouse_away_for_long(server: ClickHouse, tmp_path: Path) -> None:
    messages = market(6, 300)
    archive, log = Archive(server.address), Log(messages[:100])
    made = recorder(archive, log, tmp_path)
    until(made, lambda: made.rows_recorded)
    server.kill()
    log.messages = messages  # There is more to record, however fast the first part was.
    until(made, lambda: made.problem)
    assert "does not answer" in made.problem
    first = made.behind_s
    until(made, lambda: made.behind_s > first + 0.5)
    with pytest.raises(ArchiveError):
        archive.size()
    server.start()
    whole(archive, log, made)
    assert made.behind_s == 0.0
