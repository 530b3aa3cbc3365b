"""A page says what is wrong with sealing and witnessing, and nothing while all is well."""

import pytest

from app.watched import figures, notes

NOW = 1e12
WELL = {"now_ms": NOW, "state": "watching", "problem": "", "behind_s": 3.0, "digests": "agree"}
SEAL = {"now_ms": NOW, "state": "sealing", "problem": ""}


def test_all_well_or_never_started_is_no_news() -> None:
    assert notes({"seal.0": SEAL, "witness.0": WELL}, NOW) == []
    assert notes({}, NOW) == []


@pytest.mark.parametrize(
    ("role", "changed", "said"),
    [
        ("seal.0", {"problem": "no key"}, "the record is not being signed: no key"),
        ("seal.0", {"now_ms": NOW - 20_000}, "seal silent for 20 s"),
        ("witness.0", {"state": "fault", "problem": "x"}, "the witness found a fault: x"),
        ("witness.0", {"behind_s": 1200.0}, "the witness is 20 min behind"),
        ("witness.0", {"digests": "they disagree"}, "they disagree"),
        ("witness.0", {"verified": False, "verify_fault": "x"}, "audit verify found: x"),
        ("record.0", {"history_problem": "x"}, "bars and books of the past wait: x"),
    ],
)
def test_what_is_wrong_is_said(role: str, changed: dict[str, object], said: str) -> None:
    health: dict[str, dict[str, object]] = {"seal.0": SEAL, "witness.0": WELL}
    health["record.0"] = {"now_ms": NOW}
    assert notes(health | {role: health[role] | changed}, NOW) == [said]


@pytest.mark.parametrize(
    ("changed", "proof"),
    [
        ({}, "agree"),
        ({"root_ms": NOW - 700_000}, "late"),
        ({"now_ms": NOW - 20_000}, "late"),
        ({"state": "fault", "problem": "x"}, "wrong"),
        ({"digests": "live and record disagree"}, "wrong"),
        ({"verified": True, "verified_ms": 3.0, "verified_rows": 7}, "agree"),
        ({"verified": False, "verified_ms": 3.0, "verified_rows": 7}, "wrong"),
    ],
)
def test_figures_for_the_strip(changed: dict[str, object], proof: str) -> None:
    health = {"seal.0": SEAL, "witness.0": WELL | {"root_ms": NOW - 5, "digests_ms": 7.0} | changed}
    found = figures(health, NOW)
    assert found["proof"] == proof
    assert found["digests_ms"] == 7.0
    assert found["verified_rows"] == changed.get("verified_rows")


def test_without_a_witness_nothing_is_known() -> None:
    assert set(figures({}, NOW).values()) == {None}
