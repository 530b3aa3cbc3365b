"""Lots: a void fill never was, whatever is remembered; limits cost detail, never money."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.kernels.lots import OLD, REMEMBERED, RESERVED
from compute.ledger import LOTS_MAX
from tests.compute.kernels.ledger import Exact

sizes = st.sampled_from([1.0, -1.0, 2.0, -3.0, 0.5, 16.0, -16.0])
cents = st.integers(-500, 9_000).map(lambda c: c / 100)
many = st.lists(st.tuples(sizes, cents), min_size=1, max_size=3 * REMEMBERED)


def exactly(price: float) -> Fraction:
    return Fraction(round(price * 10**9), 10**9)


def cost(market) -> np.ndarray:
    """What is kept of the cost of the first position, now."""
    return market.engine._ledger.costs[0, 0].copy()


def follow(market, fills) -> Exact:
    exact = Exact()
    for number, (size, price) in enumerate(fills):
        market.fill(size, price, order=number + 1)
        exact.fill(Fraction(size), exactly(price), Fraction(0))
    return exact


def close_to(market, exact, scale=1e4) -> None:
    kept = cost(market)
    assert kept["quantity"] == float(exact.quantity)
    for name, (mean, realised) in (("realised", exact.average()), ("fifo", exact.fifo())):
        assert kept[name] == pytest.approx(float(realised), rel=1e-12, abs=1e-12 * scale), name
        if mean is not None and name == "realised":
            assert kept["average"] == pytest.approx(float(mean), rel=1e-9, abs=1e-9)


def open_lots(market) -> list[tuple[float, float]]:
    ledger = market.engine._ledger
    number, found = int(ledger.slots[0]["first"]), []
    while number >= 0:
        if ledger.open[number, 0]:
            found.append((float(ledger.open[number, 0]), float(ledger.lots[number]["value"])))
        number = int(ledger.lots[number]["next"])
    return found


@given(many)
@settings(deadline=None, max_examples=60)
def test_what_is_forgotten_changes_no_cost(make_market, fills):
    market = make_market()
    exact = follow(market, fills)
    if market.engine.counters["lots_merged"] == 0:
        close_to(market, exact, 1e6)
    slot = market.engine._ledger.slots[0]
    assert slot["remembered"] == min(len(fills), REMEMBERED)
    assert slot["remembered"] + slot["forgotten"] == len(fills)
    assert slot["lots"] - slot["remembered"] <= OLD
    assert sum(size for size, _ in open_lots(market)) == float(exact.quantity)


@given(many, st.integers(0, REMEMBERED - 1))
@settings(deadline=None, max_examples=60)
def test_a_void_fill_that_is_remembered_never_was_to_the_bit(make_market, fills, back):
    """The position afterwards is that of a market in which the fill never came.

    Only what has been forgotten since may differ: those fills are the same in both.
    """
    index = max(0, len(fills) - 1 - back)
    with_it, without = make_market(), make_market()
    follow(with_it, fills)
    size, price = fills[index]
    with_it.void(size, price, order=index + 1)
    for number, (size, price) in enumerate(fills):
        if number != index:
            without.fill(size, price, order=number + 1)
    if with_it.engine.counters["lots_merged"] == without.engine.counters["lots_merged"] == 0:
        assert cost(with_it).tobytes() == cost(without).tobytes()
        assert open_lots(with_it) == open_lots(without)
    assert with_it.engine.counters["refused"] == 0
    assert with_it.cell("position") == without.cell("position")


def test_a_void_fill_that_is_forgotten_is_taken_back_at_its_own_price(make_market):
    market = make_market()
    fills = [(1.0, 10.0 + number) for number in range(REMEMBERED + 3)]
    follow(market, fills)
    market.quote(50.0, 50.0)
    market.void(1.0, 10.0, order=1)
    kept = market.positions()[0]
    assert kept["quantity"] == REMEMBERED + 2.0
    total = sum(50.0 - price for _, price in fills[1:])
    assert kept["pnl"] == pytest.approx(total, rel=1e-14)
    for _ in range(2):
        market.void(1.0, 10.0, order=1)
    assert market.engine.counters["fills_unmatched"] == 0  # Three were forgotten: they may be.
    market.engine._ledger.slots["forgotten"][0] = 0
    market.void(1.0, 10.0, order=1)
    assert market.engine.counters["fills_unmatched"] == 1


def test_beyond_the_limit_the_oldest_lots_merge_and_no_money_moves(make_market):
    market = make_market()
    count = REMEMBERED + OLD + 10
    exact = follow(market, [(1.0, 10.0 + number) for number in range(count)])
    assert market.engine.counters["lots_merged"] == 10
    lots = open_lots(market)
    assert lots[0] == (11.0, 15.0)
    assert lots[1] == (1.0, 21.0)
    market.fill(-5.0, 100.0)  # One more is forgotten, and merges: 12 lots at 15.5.
    kept = cost(market)
    assert kept["fifo"] == 5 * 84.5  # FIFO would have said 90 + 89 + ... + 86 = 440.
    mean = sum(size * value for size, value in open_lots(market))
    assert kept["fifo"] - mean == float(exact.flow) + 500.0


def test_a_merge_of_lots_partly_closed_keeps_the_identity(make_market):
    market = make_market()
    exact = follow(market, [(1.0, 10.0 + number**2) for number in range(REMEMBERED + OLD)])
    for size, price in [(-0.5, 7.0), *((0.25, 100.0 + k) for k in range(REMEMBERED))]:
        market.fill(size, price)
        exact.fill(Fraction(size), exactly(price), Fraction(0))
        kept = cost(market)
        worth = sum(size * value for size, value in open_lots(market))
        assert kept["fifo"] - worth == pytest.approx(float(exact.flow), rel=1e-13)
    assert market.engine.counters["lots_merged"] > 50


def test_a_full_pool_refuses_nobody(make_market):
    """Half of the pool is for those who have little."""
    instruments = 600
    market = make_market(count=instruments)
    ledger = market.engine._ledger
    for instrument in range(instruments - 1):
        for _ in range(REMEMBERED + 2):
            market.fill(1.0, 10.0, instrument=instrument)
    assert ledger.control[2] == ledger.slots["lots"].sum()
    assert LOTS_MAX // 2 < ledger.control[2] <= LOTS_MAX // 2 + RESERVED * instruments
    for _ in range(9):
        market.fill(2.0, 11.0, instrument=instruments - 1)
    assert market.engine.counters["refused"] == 0
    assert market.cell("position", instruments - 1) == 18.0
    last = ledger.slots[instruments - 1]
    assert last["lots"] == RESERVED
    market.fill(-18.0, 12.0, instrument=instruments - 1)
    assert ledger.costs[instruments - 1, 0]["fifo"] == 18.0
    assert ledger.control[2] == ledger.slots["lots"].sum()
