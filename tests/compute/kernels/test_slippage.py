"""Execution: the cost of own fills against arrival, interval VWAP and decision, by the formula."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.ledger import ORDERS_MAX
from compute.table import EXECUTION
from ingest.event import Flag
from ingest.fund import Book

cents = st.integers(1, 90_000).map(lambda c: c / 100)
trades = st.tuples(st.just("trade"), cents, st.sampled_from([1.0, 3.0, 0.5]))
executions = st.tuples(st.just("fill"), cents, st.sampled_from([1.0, 2.0, 0.25]))
SCOPES = ("book", "trader", "venue", "order")


def exactly(price: float) -> Fraction:
    return Fraction(round(price * 10**9), 10**9)


def rows(market, scope):
    return [row for row in market.executions() if row["scope"] == SCOPES.index(scope)]


def near(value: Fraction, scale: Fraction):
    return pytest.approx(float(value), rel=1e-12, abs=1e-12 * float(scale) + 1e-15)


@given(
    st.sampled_from([1.0, -1.0]),
    cents,
    cents,
    st.lists(st.one_of(trades, executions), min_size=1, max_size=20),
)
@settings(deadline=None)
def test_costs_are_those_of_exact_arithmetic(make_market, side, mid, decision, steps):
    market = make_market(multiplier=5.0, usd_rate=2.0)
    market.trade(1.0, 1_000.0)  # Before the order: not of its interval.
    market.quote(mid, mid)
    market.order(side * 100.0, 9, decision=decision)
    own: list[tuple[Fraction, Fraction]] = []
    traded: list[tuple[Fraction, Fraction]] = []
    until = 0
    for name, price, size in steps:
        if name == "trade":
            market.trade(price, size)
            traded.append((Fraction(size), exactly(price)))
        else:
            market.fill(side * size, price, order=9, fee=0.5)
            own.append((Fraction(side * size), exactly(price)))
            until = len(traded)
    (order,) = rows(market, "order")
    assert [order[name] for name in ("key", "size", "fills")] == [9.0, side * 100.0, len(own)]
    if not own:
        assert math.isnan(order["arrival_bp"])
        return
    filled = sum(size for size, _ in own)
    spent = sum(size * price for size, price in own)
    assert order["filled"] == float(filled)
    assert order["price"] == near(spent / filled, Fraction(1))
    volume = sum((size for size, _ in traded[:until]), Fraction(0))
    vwap = sum(size * price for size, price in traded[:until]) / volume if volume else None
    references = {"arrival": exactly(mid), "decision": exactly(decision), "vwap": vwap}
    for name, reference in references.items():
        if reference is None:
            assert math.isnan(order["vwap"])
            assert math.isnan(order["vwap_usd"])
            continue
        money = (spent - filled * reference) * 10
        worth = abs(filled * reference) * 10
        scale = abs(spent) * 10 + worth
        assert order[f"{name}_usd"] == near(money, scale)
        assert order[f"{name}_bp"] == near(money / worth * 10_000, scale / worth * 10_000)
        for scope in ("book", "venue"):
            (row,) = rows(market, scope)
            assert row[f"{name}_usd"] == near(money, scale)
            assert row[f"{name}_bp"] == near(money / worth * 10_000, scale / worth * 10_000)
    assert order["fees"] == len(own)
    assert order["worth"] == near(abs(spent) * 10, abs(spent) * 10)


def test_sums_are_by_book_trader_and_venue(make_market):
    fund = [
        Book(0, "A", "Ann", "S"),
        Book(1, "B", "Bob", "S"),
        Book(2, "C", "Ann", "S"),
    ]
    market = make_market(books=fund, rows={1: {"venue": "Y"}, 2: {"venue": "Y"}})
    for instrument in range(3):
        market.quote(100.0, 100.0, instrument=instrument)
    for book, instrument, price in ((0, 0, 101.0), (1, 1, 102.0), (2, 2, 104.0)):
        market.order(10.0, 1 + book, book=book, instrument=instrument)
        market.fill(10.0, price, order=1 + book, book=book, instrument=instrument)

    def costs(scope):
        return {row["key"]: row["arrival_usd"] for row in rows(market, scope)}

    assert costs("book") == {0: 10.0, 1: 20.0, 2: 40.0}
    assert costs("trader") == {0: 50.0, 1: 20.0}
    assert costs("venue") == {0: 10.0, 1: 60.0}
    assert costs("order") == {3: 40.0, 2: 20.0, 1: 10.0}
    ann = rows(market, "trader")[0]
    assert ann["arrival_bp"] == pytest.approx(250.0)
    assert math.isnan(ann["decision_bp"])
    assert ann["decision_worth"] == 0.0


def test_a_void_fill_costs_nothing(market):
    market.quote(100.0, 100.0)
    market.order(10.0, 4, decision=99.0)
    market.fill(5.0, 101.0, order=4)
    before = rows(market, "order")[0]
    market.fill(5.0, 110.0, order=4, fee=2.0)
    market.void(5.0, 110.0, order=4, fee=2.0)
    after = rows(market, "order")[0]
    for name in EXECUTION.names:
        assert after[name] == before[name] or math.isnan(before[name])
    market.void(5.0, 101.0, order=4)
    assert (rows(market, "order")[0]["filled"], rows(market, "book")) == (0.0, [])


def test_an_interval_over_the_end_of_a_session_has_no_vwap(market):
    market.quote(100.0, 100.0)
    market.trade(100.0)
    market.order(10.0, 4)
    market.trade(102.0)
    market.fill(5.0, 101.0, order=4)
    assert rows(market, "order")[0]["vwap"] == 102.0
    market.quote(100.0, 100.0, flags=Flag.RESET)
    market.trade(103.0)
    market.fill(5.0, 101.0, order=4)
    order = rows(market, "order")[0]
    assert math.isnan(order["vwap"])
    assert order["arrival_bp"] == 100.0


def test_an_order_without_a_market_has_no_arrival_and_one_forgotten_no_fills(market):
    market.order(10.0, 4)
    market.fill(5.0, 101.0, order=4)
    order = rows(market, "order")[0]
    assert math.isnan(order["arrival_usd"])
    assert order["done"] == 50.0
    for number in range(ORDERS_MAX):
        market.order(1.0, 5 + number)
    market.fill(5.0, 101.0, order=4)
    assert rows(market, "order")[-1]["key"] > 4
    assert market.cell("position") == 10.0
    market.order(0.0, 7)
    assert market.engine.counters["refused"] == 1


def test_an_inverse_contract_pays_its_slippage_in_coins(make_market):
    terms = {"inverse": True, "base": "BTC", "multiplier": 10.0, "asset_class": 11}
    market = make_market(count=1, **terms)
    market.quote(50_000.0, 50_000.0)
    market.order(-100.0, 4, decision=50_500.0)
    market.fill(-100.0, 49_900.0, order=4)
    order = rows(market, "order")[0]
    coins = Fraction(1000) * (Fraction(1, 49_900) - Fraction(1, 50_000))
    assert order["arrival_usd"] == pytest.approx(float(coins * 50_000), rel=1e-9)
    assert order["arrival"] == pytest.approx(50_000.0)
    assert order["price"] == pytest.approx(49_900.0)
    assert order["decision"] == pytest.approx(50_500.0)
