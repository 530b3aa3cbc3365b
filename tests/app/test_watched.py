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
    ],
)
def test_what_is_wrong_is_said(role: str, changed: dict[str, object], said: str) -> None:
    health = {"seal.0": SEAL, "witness.0": WELL}
    assert notes(health | {role: health[role] | changed}, NOW) == [said]


def test_figures_for_the_strip() -> None:
    health = {"witness.0": WELL | {"root_ms": 5.0, "digests_ms": 7.0}}
    assert figures(health) == {"countersigned_ms": 5.0, "digests_ms": 7.0}
    assert figures({}) == {"countersigned_ms": None, "digests_ms": None}
