"""Conditions: the table's letters, its versions, and what is not known."""

import pytest

from ingest import condition
from ingest.condition import NORMAL, NOTHING, UNKNOWN, VOLUME, judge, use
from ingest.event import Flag


@pytest.mark.parametrize("letter", list("CNRHPV74GZUTL"))
@pytest.mark.parametrize("tape", ["CTA", "UTP"])
def test_what_is_no_price_of_now_counts_in_volume_alone(tape, letter):
    assert use(tape, letter) == VOLUME


def test_the_same_letter_differs_by_tape():
    assert use("CTA", "B") == VOLUME, "average price"
    assert use("UTP", "B") == NORMAL, "one print for many"
    assert use("UTP", "W") == VOLUME, "average price"


def test_auctions_count_and_are_marked():
    for letter in "O56":
        assert use("CTA", letter) == (True, True, True)
    assert condition.flags("CTA", ["O"]) == Flag.AUCTION
    assert condition.flags("CTA", ["O", "Z"]) == Flag.AUCTION | Flag.INELIGIBLE


def test_official_prices_repeat_the_auctions_volume():
    for letter in "MQ9":
        assert use("UTP", letter) == NOTHING


def test_odd_lots_by_version():
    assert use("CTA", "I", 1) == NORMAL
    assert use("CTA", "I", 2) == VOLUME
    bit = 1 << 31
    assert condition.lean_masks(1).ineligible & bit == 0
    assert condition.lean_masks(2).ineligible & bit
    assert condition.lean_masks(1).ineligible | bit == condition.lean_masks(2).ineligible


def test_the_event_says_which_versions_leave_it_out():
    assert (condition.flags("CTA", ["I"]), condition.left_out("CTA", ["I"])) == (0, 2.0)
    assert (condition.flags("CTA", []), condition.left_out("CTA", [])) == (0, 0.0)
    assert condition.flags("CTA", ["I", "Z"]) == Flag.INELIGIBLE
    assert condition.left_out("CTA", ["I", "Z"]) == 3.0


def test_what_is_not_known_counts_in_volume_alone():
    assert use("CTA", "?") == UNKNOWN == VOLUME
    with pytest.raises(KeyError, match="no version 3"):
        use("CTA", "I", 3)
    with pytest.raises(KeyError):
        use("NO TAPE", "I")


def test_all_conditions_of_a_trade_hold():
    assert judge("CTA", []) == NORMAL
    assert judge("CTA", ["F", "I"]) == NORMAL
    assert judge("CTA", ["6", "M"]) == (False, False, True)


def test_lean_bits_are_those_of_its_enumeration():
    masks = condition.lean_masks()
    eligible = {0, 4, 5, 6, 7, 8, 12, 15, 21, 27, 28, 29, 30, 31}
    assert masks.ineligible == sum(1 << bit for bit in range(32) if bit not in eligible)
    assert masks.auction == 1 << 6 | 1 << 7 | 1 << 8
    assert masks.silent == 1 << 24 | 1 << 26
