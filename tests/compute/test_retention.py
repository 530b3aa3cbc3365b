"""What retention has dropped is told as that; what somebody else has dropped is found."""

import pytest

from app.verification import retained_ns
from compute import anchor, proof
from compute.chain import Head
from compute.evidence import Database
from compute.proof import ProofError
from compute.verify import Verdict, Verifier
from tests.evidence import Case

PLACE = (0, 1)


def verified(case: Case, retained: int) -> Verdict:
    found = Database(case.archive)
    signed = anchor.read(case.folder, case.archive.database, None).kept
    verifier = Verifier(lambda: found, signed, retained_ns=retained)
    return verifier.run(list(found.places()), 1)


def first_head(case: Case) -> tuple[Head, int]:
    """How far the partition was when the first root was signed, and a moment after that root."""
    signed = anchor.read(case.folder, case.archive.database, None).kept
    head = signed[0].root.head(*PLACE)
    assert head is not None
    return head, signed[1].root.ts_ns - 1


def drop(case: Case, what: str) -> None:
    case.change("events", f"DELETE WHERE topic = {PLACE[0]} AND partition = {PLACE[1]} AND {what}")


def test_what_expired_is_told_and_the_chain_holds_by_its_leaves(case: Case) -> None:
    head, retained = first_head(case)
    drop(case, f"offset <= {head.last}")
    verdict = verified(case, retained)
    assert verdict.faults == []
    assert verdict.expired == {PLACE: head.rows}
    assert verdict.heads[PLACE].blocks > head.blocks
    with pytest.raises(ProofError, match="no longer on record"):
        proof.make(Database(case.archive), case.judge().roots, (*PLACE, 0, None))


def test_without_retention_missing_rows_are_wrong(case: Case) -> None:
    head, _ = first_head(case)
    drop(case, f"offset <= {head.last}")
    assert [fault[:2] for fault in verified(case, 0).faults] == [PLACE]


@pytest.mark.parametrize("what", ["offset = {last} + 1", "offset = {last} AND `index` = 0"])
def test_rows_dropped_within_the_window_or_singly_are_found(case: Case, what: str) -> None:
    head, retained = first_head(case)
    if "index" in what:  # A block of which others are left is none that expired.
        rows = case.rows(PLACE)
        assert (rows["offset"] <= head.last).sum() > 1
    drop(case, what.format(last=head.last))
    faults = verified(case, retained).faults
    assert [fault.what for fault in faults] == ["its bytes are not the bytes that were sealed"]


def test_whole_blocks_dropped_within_the_window_are_found(case: Case) -> None:
    head, retained = first_head(case)
    drop(case, f"offset > {head.last}")
    assert verified(case, retained).faults[0].first == head.last + 1


def test_a_leaf_that_stands_for_its_rows_may_not_be_another(case: Case) -> None:
    head, retained = first_head(case)
    drop(case, f"offset <= {head.last}")
    case.change(
        "blocks",
        "UPDATE digest = unhex(repeat('ab', 32)) "
        f"WHERE topic = {PLACE[0]} AND partition = {PLACE[1]} AND last = {head.last}",
    )
    assert "its link does not follow" in verified(case, retained).faults[0].what


def test_years_are_those_of_the_calendar() -> None:
    leap_day = 1_709_164_800  # 2024-02-29
    assert retained_ns(0, leap_day * 10**9) == 0
    assert retained_ns(1, leap_day * 10**9) == 1_677_542_400 * 10**9  # 2023-02-28
    assert retained_ns(4, leap_day * 10**9) == 1_582_934_400 * 10**9  # 2020-02-29
