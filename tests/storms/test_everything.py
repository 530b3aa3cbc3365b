"""The storm over everything, its short form; and that what it does is its seed's alone."""

from itertools import islice

import pytest

from tests.storms.blows import cards, rounds
from tests.storms.everything import Wish, run

BLOWS = [("kill", "live"), ("stop", "record"), ("flush", "redis"), ("kill", "web.0")]


@pytest.mark.requires("nginx", "redis")
def test_a_short_storm():
    report = run(Wish(seed=197, minutes=0.0, rate=2_000.0, pages=4, glass=False), BLOWS, len(BLOWS))
    assert f"{len(BLOWS)} blows healed" in report
    assert "the digest of every partition is the record's" in report


def drawn(seed: int, *, apart: bool, count: int = 200) -> list:
    return list(islice(rounds(seed, BLOWS, apart=apart), count))


@pytest.mark.parametrize("apart", [False, True])
def test_a_storm_is_drawn_from_its_seed_alone(apart):
    assert drawn(3, apart=apart) == drawn(3, apart=apart) != drawn(4, apart=apart)
    blows = [blow for each in drawn(3, apart=apart) for blow in each.blows]
    assert [(blow.what, blow.whom) for blow in blows[: len(BLOWS)]] == BLOWS
    every = [(blow.what, blow.whom) for blow in blows[len(BLOWS) :]]
    one_deal = len(cards(apart=apart))
    assert sorted(every[:one_deal]) == sorted(cards(apart=apart)), "a card was left out"


def test_what_falls_together_does_not_stop_what_it_kills():
    pairs = [each.blows for each in drawn(5, apart=True, count=500) if len(each.blows) > 1]
    assert pairs
    assert all(one.whom != other.whom for one, other in pairs)
