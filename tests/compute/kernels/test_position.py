"""Positions: the identity holds at every event, whatever the method of cost says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.table import BOOKS_MAX, POSITIONS_MAX

MULTIPLIER, USD = 50.0, 1.0625
cents = st.integers(-5_000, 90_000).map(lambda c: c / 100)
fills = st.tuples(
    st.just("fill"),
    st.integers(0, 2),
    st.sampled_from([1.0, -1.0, 3.0, -4.0, 0.1, 0.2, -0.3, 1e6, -1e6, 1e-8, 0.0]),
    cents,
    st.sampled_from([0.0, 2.5, -0.25]),
)
marks = st.tuples(st.just("mark"), cents)


def approx(value: float, scale: float):
    return pytest.approx(value, rel=1e-9, abs=1e-12 * max(scale, 1.0))


@given(st.lists(st.one_of(fills, marks), min_size=1, max_size=60))
@settings(deadline=None)
def test_the_identity_holds_at_every_event(make_market, steps):
    market = make_market(multiplier=MULTIPLIER, usd_rate=USD, close_prev=100.0)
    quantity, cash, fees, mark, flow = 0.0, 0.0, 0.0, 100.0, 1.0
    for step in steps:
        if step[0] == "fill":
            _, book, size, price, fee = step
            row = market.fill(size, price, fee=fee, book=book)
            quantity += size
            cash -= size * price
            fees += fee
            flow += abs(size * price)
        else:
            mark = step[1]
            row = market.quote(mark, mark)
        scale = (flow + abs(quantity * mark)) * MULTIPLIER * USD
        total = (cash + quantity * mark) * MULTIPLIER * USD - fees * USD
        assert row["mark"] == mark
        assert row["position"] == approx(quantity, 1e6 if flow > 1e6 else 10.0)
        assert row["pnl"] == approx(total, scale)
        assert market.cell("exposure") == approx(quantity * mark * MULTIPLIER * USD, scale)
        lines = market.positions()
        assert sum(line["pnl"] for line in lines) == approx(total, scale)
        for line in lines:
            parts = line["realised"] + line["unrealised"] - line["fees"]
            assert line["pnl"] == approx(parts, scale)
            assert math.isnan(line["average"]) == (line["quantity"] == 0.0)


def test_average_cost_through_increase_decrease_flip_and_flat(make_market):
    market = make_market(multiplier=10.0, close_prev=100.0)

    def line():
        only = market.positions()[0]
        return only["quantity"], only["average"], only["realised"]

    market.fill(2.0, 100.0)
    assert line() == (2.0, 100.0, 0.0)
    market.fill(2.0, 110.0)
    assert line() == (4.0, 105.0, 0.0)
    market.fill(-1.0, 125.0)
    assert line() == (3.0, 105.0, 200.0)
    market.fill(-5.0, 115.0)
    assert line() == (-2.0, 115.0, 500.0)
    market.fill(-2.0, 113.0)
    assert line() == (-4.0, 114.0, 500.0)
    market.fill(4.0, 110.0)
    assert line()[0::2] == (0.0, 660.0)
    market.fill(1.0, 90.0)
    assert line() == (1.0, 90.0, 660.0)


def test_decimal_sizes_come_back_to_flat(market):
    for size in (0.1, 0.2, -0.3):
        market.fill(size, 10.0)
    assert market.cell("position") == 0.0
    assert market.positions()[0]["quantity"] == 0.0


def test_fees_are_paid_in_the_instruments_currency_and_shown_in_usd(make_market):
    market = make_market(multiplier=10.0, usd_rate=1.25)
    market.fill(0.0, 10.0, fee=4.0)
    line = market.positions()[0]
    assert (line["fees"], line["pnl"], line["quantity"]) == (5.0, -5.0, 0.0)
    assert market.cell("pnl") == -5.0


def test_pnl_of_a_held_position_is_blank_while_there_is_no_mark(market):
    market.fill(1.0, 10.0)
    assert all(map(math.isnan, market.cells("pnl", "exposure")))
    market.fill(-1.0, 12.0)
    assert market.cells("pnl", "exposure") == [2.0, 0.0]


def test_pnl_and_exposure_move_with_the_mark(market):
    market.fill(-100.0, 10.0)
    market.quote(8.0, 8.5)
    assert market.cells("pnl", "exposure") == [175.0, -825.0]
    market.quote(0.0, 0.0)
    assert market.cells("pnl", "exposure") == [1000.0, 0.0]
    assert math.copysign(1.0, market.cell("exposure")) == 1.0


@pytest.mark.parametrize("wrong", [{"book": BOOKS_MAX}, {"fee": math.inf}, {"size": 1e300}])
def test_a_fill_that_cannot_be_is_refused_and_counted(market, wrong):
    market.fill(**({"size": 1.0, "price": 10.0} | wrong))
    assert market.engine.counters["refused"] == 1
    assert market.positions() == []


def test_a_full_table_refuses_new_positions_and_keeps_the_old(make_market):
    count = POSITIONS_MAX // BOOKS_MAX + 1
    market = make_market(count=count)
    for book in range(BOOKS_MAX):
        for instrument in range(count - 1):
            market.fill(1.0, 10.0, book=book, instrument=instrument)
    assert market.engine.counters["positions"] == POSITIONS_MAX
    market.fill(1.0, 10.0, instrument=count - 1)
    counters = market.engine.counters
    assert (counters["positions_full"], counters["refused"]) == (1, 1)
    assert market.cell("position", count - 1) == 0.0
    market.fill(1.0, 10.0, book=BOOKS_MAX - 1)
    assert market.cell("position") == BOOKS_MAX + 1.0


def test_books_and_classes_are_the_sums_of_their_positions(make_market):
    market = make_market(asset_class=7, close_prev=10.0)
    market.fill(3.0, 9.0, book=1, instrument=0)
    market.fill(-5.0, 11.0, book=1, instrument=1)
    market.fill(2.0, 10.0, book=4, instrument=1, fee=1.0)
    market.fill(-2.0, 12.0, book=4, instrument=1)
    lines = market.positions()
    tables = market.engine.tables
    assert tables["books"][1].tolist() == [30.0, -50.0, -20.0, 80.0, 8.0, 2.0]
    assert tables["books"][4].tolist() == [0.0, 0.0, 0.0, 0.0, 3.0, 0.0]
    assert tables["classes"][7].tolist() == [30.0, -50.0, -20.0, 80.0, 11.0, 2.0]
    assert sum(line["pnl"] for line in lines) == 11.0
    assert np.isnan(tables["books"][[0, 2, 3]]).all()
    assert (tables["classes"][[0, 11]] == 0.0).all()


def test_a_sum_that_contains_an_unknown_value_is_unknown(market):
    market.fill(1.0, 10.0, instrument=0)
    market.fill(1.0, 10.0, instrument=1)
    market.quote(11.0, 11.0, instrument=0)
    market.positions()
    assert np.isnan(market.engine.tables["books"][0, :5]).all()
    assert market.engine.tables["books"][0, 5] == 2.0
