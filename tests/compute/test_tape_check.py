"""A slice of the tape that was changed, dropped or doubled is found by what the roots cover."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute import chain, progress, tape_check, tape_seal
from compute.archive import Archive
from compute.asof import read_slices
from compute.batch import pack_batch
from compute.progress import Progress
from compute.tape import Tape, TapeError
from compute.tape_check import Tally, check
from compute.tape_row import COLUMNS, packed, seal
from compute.tape_seal import PLACE
from tests.clickhouse import ClickHouse
from tests.compute.test_asof import START_NS, Clock, World
from tests.evidence import Case

TABLES = ("tape", "screens", "acts", "tape_seals")


def batch(number: int) -> tuple[str, bytes, bytes]:
    """What a web process hands to the tape."""
    moments = {"ts_first": START_NS + number, "ts": START_NS + number + 1}
    head = {"stream": "web.1-1", "number": number, **moments, "pages": []}
    head["acts"] = [[START_NS + number, "ann", "web.1-1-1", "export", f"table {number}", "{}"]]
    return str(number + 1), json.dumps(head).encode(), pack_batch([], [])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A record whose roots cover a tape, and a copy of the tape beside it."""
    server = ClickHouse(tmp_path_factory.mktemp("clickhouse")).start()
    archive = Archive(server.address, "taped")
    case = Case(archive, tmp_path_factory.mktemp("audit"))
    case.write()
    world, clock = World(1), Clock()
    tape = Tape(world, Archive(server.address, archive.database), monotonic=clock)
    for step in range(12):
        world.change(0)
        world.change(1)
        world.batches.append(batch(step))
        clock.s += 2.0
        tape.step()
    tape.close()
    assert not tape.problem
    case.root()
    for table in TABLES:
        case.change(table, "DROP CONSTRAINT writer")
        archive.command(f"CREATE TABLE taped.kept_{table} AS taped.{table}")
        archive.command(f"INSERT INTO taped.kept_{table} SELECT * FROM taped.{table}")
    yield case
    archive.close()
    server.kill()


@pytest.fixture
def case(whole: Case) -> Iterator[Case]:
    """The same for a test that changes it."""
    yield whole
    for table in TABLES:
        whole.change(table, "DROP CONSTRAINT IF EXISTS writer")
        whole.archive.command(f"TRUNCATE TABLE taped.{table}")
        whole.archive.command(f"INSERT INTO taped.{table} SELECT * FROM taped.kept_{table}")


def tallied(case: Case, retained: int = 0, progress: Progress | None = None) -> Tally:
    kept = {"tape": retained, "screens": retained}
    return check(case.archive, tape_seal.read(case.archive), kept, progress=progress)


def test_a_tape_as_it_was_sealed_passes_and_is_under_the_roots(case: Case) -> None:
    assert case.faults() == []
    assert case.verify().heads[PLACE].rows >= 2
    tally = tallied(case)
    assert tally.faults == []
    assert tally.slices > 40
    assert (tally.since, tally.expired) == (0, 0)
    acts = case.archive.rows("SELECT person, subject FROM taped.actions ORDER BY ts")
    assert acts == [("ann", f"table {number}") for number in range(12)]


def test_a_run_that_was_broken_off_goes_on_behind_the_last_slice(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape_check, "READ_SLICES", 4)
    monkeypatch.setattr(progress, "SAVE_SECONDS", 0.0)
    whole, left = tallied(case), [2]

    def broken_off(_slices: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    path, kept = tmp_path / "progress.json", {"tape": 0, "screens": 0}
    first = Progress(path, "a")
    first.heads = case.verify().heads
    with pytest.raises(KeyboardInterrupt):
        check(case.archive, tape_seal.read(case.archive), kept, broken_off, first)
    again, read = Progress(path, "a"), []
    assert again.load()
    assert again.streams == first.streams
    stated = tape_seal.read(case.archive)
    assert check(case.archive, stated, kept, read.append, again) == whole
    done = sum(one.slices for one in first.streams.values())
    assert 0 < done == whole.slices - sum(read)
    ((table, stream), reached), *_ = first.streams.items()
    last = reached.number
    case.change(table, f"DELETE WHERE stream = '{stream}' AND number = {last + 1}")
    found = tallied(case, progress=first)
    assert any(f"does not follow from slice {last}" in what for what in found.faults), found


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("tape", "UPDATE data = concat(data, 'x') WHERE stream = 'live' AND number = 5", "bytes"),
        ("tape", "UPDATE digest = link WHERE stream = 'risk' AND number = 3", "bytes"),
        ("tape", "DELETE WHERE stream = 'live' AND number = 7", "does not follow from slice 6"),
        ("tape", "DELETE WHERE stream = 'live' AND number < 4", "not by retention"),
        ("tape", "DELETE WHERE stream = 'live' AND number > 8", "the end is cut off"),
        ("tape", "DELETE WHERE stream = 'health'", "the end is cut off"),
        ("acts", "UPDATE data = replace(data, 'ann', 'eve') WHERE number = 2", "bytes"),
        ("acts", "UPDATE data = '' WHERE number = 0", "bytes"),
        ("acts", "DELETE WHERE number = 3", "does not follow from slice 2"),
        ("acts", "DELETE WHERE number = 0", "not by retention"),
        ("acts", "DELETE WHERE number > 4", "the end is cut off"),
        ("acts", "DELETE WHERE number >= 0", "the end is cut off"),
        ("screens", "UPDATE data = 'x' WHERE number = 2", "bytes"),
        ("screens", "DELETE WHERE number = 7", "does not follow from slice 6"),
    ],
)
def test_a_changed_tape_is_found(case: Case, table: str, change: str, said: str) -> None:
    case.change(table, change)
    assert any(said in what for what in tallied(case).faults), tallied(case).faults


def test_a_doubled_slice_is_found(case: Case) -> None:
    name = f"{case.archive.database}.tape"
    case.archive.command(f"INSERT INTO {name} SELECT * FROM {name} WHERE stream = 'live' LIMIT 1")
    assert any("stands twice" in what for what in tallied(case).faults)


def test_a_statement_that_was_changed_is_found_by_the_roots(case: Case) -> None:
    case.change("tape_seals", "UPDATE statement = concat(statement, ' ') WHERE offset = 0")
    assert case.verify().faults[0][:2] == PLACE


def test_a_stream_whose_links_are_made_again_is_found(case: Case) -> None:
    slices = read_slices(case.archive, "tape", "stream = 'risk' ORDER BY number")
    slices[2] = slices[2]._replace(data=slices[3].data)
    rows, link = [], chain.ORIGIN
    for one in slices:
        rows.append(seal(one, link))
        link = rows[-1].link
    case.change("tape", "DELETE WHERE stream = 'risk'")
    names = [name for name, _ in COLUMNS]
    case.archive.send("tape", names, packed(rows), "forged", "RowBinary")
    assert any("is not the one that was stated" in what for what in tallied(case).faults)


def test_what_expired_from_the_beginning_is_none(case: Case) -> None:
    case.change("tape", "DELETE WHERE stream = 'live' AND number < 4")
    tally = tallied(case, retained=START_NS * 2)
    assert (tally.faults, tally.expired) == ([], 1)


def test_of_two_tapes_the_newer_one_writes(case: Case) -> None:
    world, clock = World(2), Clock()
    address, database = case.archive.address, case.archive.database
    older, newer = (Tape(world, Archive(address, database), monotonic=clock) for _ in range(2))
    for tape in (older, newer):
        world.change(0)
        clock.s += 10.0
        tape.step()
    clock.s += 10.0
    world.change(0)
    newer.step()
    with pytest.raises(TapeError, match="another tape has taken over"):
        older.step()
    newer.close()
    assert tallied(case).faults == []
