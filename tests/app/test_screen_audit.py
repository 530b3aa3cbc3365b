"""What a screen showed, proved by one file; and a check of a record that grows comes to its end."""

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from app import verification
from app.settings import Settings, load
from compute import evidence, keys, note, outcome, screen_proof, tape_check, tape_seal
from compute.archive import Archive
from compute.evidence import Database
from compute.proof import ProofError
from compute.roots import SEAL
from compute.tape import Tape
from tests.app.test_screens import Watched, _at_ack, taped  # noqa: F401 (a fixture)
from tests.clickhouse import ClickHouse
from tests.compute.test_asof import Clock, World
from tests.evidence import Case


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    server = ClickHouse(tmp_path_factory.mktemp("clickhouse")).start()
    yield server
    server.kill()


@pytest.fixture
def case(server: ClickHouse, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    """A small record; its settings are `settings_of(case)`."""
    archive = Archive(server.address, "c" + re.sub(r"\W", "", request.node.name)[:40])
    case = Case(archive, tmp_path / "data" / "audit")
    case.write()
    yield case
    archive.close()


def settings_of(case: Case) -> Settings:
    database = case.archive.database
    return load(data=case.folder.parent, clickhouse=case.archive.address, database=database)


def exactly(ts: int) -> str:
    """A moment as people write it, to the nanosecond."""
    return f"{datetime.fromtimestamp(ts // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{ts % 10**9:09d}"


def test_what_a_screen_showed_is_proved_and_any_change_is_found(case: Case) -> None:
    watched = Watched(5)
    for _ in range(60):
        watched.step()
    watched.close()
    taped(Archive(case.archive.address, case.archive.database), watched.redis.batches)
    case.root()
    settings, file = settings_of(case), case.folder / "proof.json"
    trusted = [entry.key for entry in keys.read(case.folder / f"{SEAL}.keys")]
    taken = []
    for ts, user, sequence, rows, cells in watched.held[:: len(watched.held) // 4]:
        text = verification.prove(settings, f"screen:{user}@{exactly(ts)}", None, file)
        assert "Proven" in text
        assert verification.check(settings, file, []) in text
        seen = screen_proof.check(file.read_bytes(), trusted)
        assert (seen.shown.page.user, seen.shown.screen.sequence) == (user, sequence)
        grid = seen.shown.screen.grids[0]
        assert grid.rows == rows
        np.testing.assert_array_equal(grid.cells, cells)
        taken.append(seen.slices)
    assert min(taken) < len(watched.redis.batches), "no more of the tape than it takes"
    held = json.loads(file.read_bytes())
    passed = [where for where, change in forged(held) if holds(change, trusted)]
    assert not passed
    with pytest.raises(ProofError, match="none of the keys"):
        screen_proof.check(file.read_bytes(), [note.make("a stranger", note.SIGNER).key])
    for name, said in (
        ("screen:nobody@-1s", "no page of 'nobody'"),
        ("screen:ann", "names no screen"),
        ("screen:ann@never", "is no moment"),
        ("screen:ann@2020-01-01T00:00:00", "no page of 'ann'"),
    ):
        with pytest.raises(ProofError, match=said):
            verification.prove(settings, name, None, file)


def holds(held: dict, trusted: list[note.Key]) -> bool:
    try:
        screen_proof.check(json.dumps(held).encode(), trusted)
    except ProofError:
        return False
    return True


def forged(held: dict) -> Iterator[tuple[str, dict]]:
    """The proof with one thing changed."""
    at = len(held["slices"]) - 1
    number, first, ts, whole, data = held["slices"][at]
    middle = len(data) // 2
    other = data[:middle] + ("A" if data[middle] != "A" else "B") + data[middle + 1 :]
    for where, value in (
        ("bytes", [number, first, ts, whole, other]),
        ("moment", [number, first, ts + 1, whole, data]),
        ("number", [number + 1, first, ts, whole, data]),
    ):
        slices = [*held["slices"][:at], value]
        yield where, held | {"slices": slices}
    yield "first batch", held | {"slices": held["slices"][1:]}
    yield "link", held | {"link": "00" * 32}
    yield "later", held | {"later": [*held["later"], "00" * 32]}
    yield "statement", held | {"statement": held["statement"] | {"before": "11" * 32}}
    yield "format", held | {"format": "another"}


def test_a_record_that_grows_is_judged_up_to_where_it_was(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, clock = World(2), Clock()
    tape = Tape(world, Archive(case.archive.address, case.archive.database), monotonic=clock)

    def grow(_: object = None) -> None:
        case.write()
        world.change(0)
        clock.s += 30.0
        tape.step()

    for _ in range(4):
        grow()
    case.root()
    before = Database(case.archive).ends()
    read, raw = Database.read, Archive.raw
    grown = itertools.count()

    def read_and_grow(self, blocks):
        grow()
        return read(self, blocks)

    def raw_and_grow(self, query: str, form: str) -> bytes:
        if "number >= " in query and next(grown) < 50:  # Slices of the tape are read.
            grow()
        return raw(self, query, form)

    monkeypatch.setattr(Database, "read", read_and_grow)
    monkeypatch.setattr(Archive, "raw", raw_and_grow)
    monkeypatch.setattr(tape_check, "READ_SLICES", 2)
    text, found, whole = verification.verify(settings_of(case), None, None, 1, afresh=True)
    assert whole, text
    told = outcome.newest(outcome.outcomes_file(case.folder, case.archive.database))
    assert told is not None
    assert (told.verified, told.rows, told.slices) == (True, found["rows"], found["tape_slices"])
    tape.close()
    monkeypatch.undo()
    after = Database(case.archive).ends()
    assert all(after[place] > last for place, last in before.items())
    assert found["rows"] < sum(Database(case.archive).places().values())
    assert tape_seal.PLACE in before, "statements of the tape are among what is judged"
    assert 0 < found["tape_slices"] < tape_check.count(case.archive)
    # Rows that stood unchained when it began, and still do, are a fault.
    monkeypatch.setattr(evidence, "SETTLE_SECONDS", 0.0)
    case.change("events", "DROP CONSTRAINT IF EXISTS writer")
    rows = case.rows((0, 0))[-1:]
    rows["offset"] += 5
    case.insert(rows)
    text, _, whole = verification.verify(settings_of(case), None, None, 2, afresh=True)
    assert not whole
    assert "nobody has chained them" in text
    path = outcome.outcomes_file(case.folder, case.archive.database)
    with path.open("ab") as file:
        file.write(b'{"torn')
    told = outcome.newest(path)
    assert told is not None
    assert not told.verified
    assert "nobody has chained them" in told.fault
    outcome.append(path, told._replace(rows=7))
    said = outcome.told(outcome.newest(path))
    assert (said["verified"], said["verified_rows"]) == (False, 7)
