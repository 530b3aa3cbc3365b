"""Of two who seal or witness one record, one writes and the other waits to take over."""

from pathlib import Path

from compute.archive import Archive
from compute.seal import Seal
from compute.witness import Witness
from tests.clickhouse import ClickHouse
from tests.evidence import Case


def test_the_second_waits_until_the_first_is_gone(server: ClickHouse, tmp_path: Path) -> None:
    case = Case(Archive(server.address, "held"), tmp_path / "audit")
    case.write()
    case.root()
    seal: Seal = case.sealer()
    witness: Witness = case.watcher()
    case.write()
    case.clock.advance(2)
    assert seal.step() == 0
    assert "another seal holds" in seal.problem
    witness.step()
    assert "another witness holds" in witness.problem
    assert not witness.fault
    case.root()  # The first ones go on.
    assert case.faults() == []
    case.seal, case.witness = seal, witness  # They are gone: a lock ends with its process.
    case.clock.advance(5)
    case.write()
    case.root()
    assert not seal.problem
    assert not witness.problem
    assert case.faults() == []
    assert len(case.judge().roots) == case.judge().countersigned == 3
    case.archive.close()


def test_a_second_one_with_a_file_of_its_own_signs_nothing(
    server: ClickHouse, tmp_path: Path
) -> None:
    case = Case(Archive(server.address, "elsewhere"), tmp_path / "audit")
    case.write()
    case.root()
    other = Case(Archive(server.address, "elsewhere"), tmp_path / "other")
    other.clock.advance(10)
    assert other.seal.step() == 0
    assert "the file was cut" in other.seal.problem
    assert case.faults() == []
    for one in (case, other):
        one.archive.close()
