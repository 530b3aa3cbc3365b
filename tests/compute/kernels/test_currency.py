"""Currencies: what was paid, at the rate of then; what is held, at the rate of now."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.kernels.currency import STALE_NS, rate, usd
from ingest.event import Cash, Flag, Status
from ingest.fund import Book

FX = {"asset_class": 7, "multiplier": 1.0}
EURUSD = FX | {"symbol": "EURUSD", "base": "EUR", "currency": "USD"}
USDJPY = FX | {"symbol": "USDJPY", "base": "USD", "currency": "JPY", "usd_rate": 0.008}
GBPUSD = FX | {"symbol": "GBPUSD", "base": "GBP", "currency": "USD"}
SHARE = {"currency": "EUR", "usd_rate": 1.25}
LONDON = {"currency": "GBX", "usd_rate": 0.0125}
FUTURE = {"currency": "EUR", "usd_rate": 1.25, "asset_class": 3}
ROWS = {0: SHARE, 1: EURUSD, 2: USDJPY, 3: LONDON, 4: FUTURE, 5: GBPUSD}
BOOKS = [Book(0, "U", "T", "S"), Book(1, "E", "T", "S", currency="EUR")]
BOOKS += [Book(2, "J", "T", "S", currency="JPY")]
rates = st.integers(300, 1_000).map(lambda k: k / 512)  # Whole in 1e-9.
prices = st.integers(1, 5_000).map(lambda k: k / 4)


@pytest.fixture
def world(make_market):
    return make_market(count=6, rows=ROWS, books=BOOKS)


def test_rates_go_through_the_dollar_and_triangles_close(world):
    names = ("EUR", "JPY", "GBX", "GBP", "USD")
    world.quote(1.1, 1.3, instrument=1)
    world.quote(160.0, 160.0, instrument=2)
    world.quote(1.5, 1.5, instrument=5)
    ledger = world.engine._ledger
    state, currencies = world.engine._state, ledger.currencies
    codes = {name: ledger._codes[name] for name in names if name in ledger._codes}
    found = {name: usd(state, currencies, code) for name, code in codes.items()}
    wanted = {"EUR": 1.2, "JPY": 1 / 160, "GBX": 0.015, "USD": 1.0}
    assert found == pytest.approx(wanted, rel=1e-15)
    cross = rate(state, currencies, codes["EUR"], codes["JPY"])
    assert cross == pytest.approx(192.0, rel=1e-15)
    back = rate(state, currencies, codes["JPY"], codes["EUR"])
    assert cross * back == pytest.approx(1.0, rel=1e-15)


moves = st.one_of(
    st.tuples(st.just("rate"), rates),
    st.tuples(st.just("mark"), prices),
    st.tuples(st.just("fill"), st.sampled_from([1.0, -2.0, 4.0, -1.0]), prices),
    st.tuples(st.just("cash"), prices),
    st.tuples(st.just("day"), prices),
)


@given(st.lists(moves, min_size=1, max_size=25), st.sampled_from([0, 1]))
@settings(deadline=None)
def test_what_a_book_earns_is_cash_at_its_rates_and_the_rest_at_the_rate_of_now(
    make_market, steps, book
):
    """pnl_base = sum of cash at the rates of then + q mark at the rate of now, exactly."""
    market = make_market(count=6, rows=ROWS, books=BOOKS)
    fx, mark = Fraction(5, 4), Fraction(100)
    market.quote(1.25, 1.25, instrument=1)
    market.quote(100.0, 100.0)
    paid, quantity, scale, start = Fraction(0), Fraction(0), Fraction(100), Fraction(0)

    def now() -> Fraction:
        return fx if book == 0 else Fraction(1)

    def worth() -> Fraction:
        return paid + quantity * mark * now()

    for name, *words in steps:
        if name == "rate":
            market.quote(words[0], words[0], instrument=1)
            fx = Fraction(words[0])
        elif name == "mark":
            market.quote(words[0], words[0])
            mark = Fraction(words[0])
        elif name == "day":
            start = worth()
            market.quote(words[0], words[0], flags=Flag.RESET)
            mark = Fraction(words[0])
        elif name == "fill":
            market.fill(words[0], words[1], fee=0.25, book=book)
            paid -= (Fraction(words[0]) * Fraction(words[1]) + Fraction(1, 4)) * now()
            quantity += Fraction(words[0])
            scale += abs(Fraction(words[0]) * Fraction(words[1]))
        else:
            market.cash(Cash.DIVIDEND, words[0], book=book)
            paid += Fraction(words[0]) * now()
        for line in market.positions():
            base = 1.0 if book == 0 else float(fx)
            bound = 1e-12 * float(scale + abs(quantity * mark)) * 4
            assert line["pnl_base"] == pytest.approx(float(worth()), rel=1e-12, abs=bound)
            today = line["day_pnl"] + line["day_translation"]
            assert today / base == pytest.approx(float(worth() - start), rel=1e-12, abs=bound)
            assert line["fx"] == float(fx)
            if book == 1:
                assert line["translation"] == line["day_translation"] == 0.0
    assert market.engine._state["usd_rate"][0] in (1.25, float(fx))


def test_a_future_carries_no_translation_of_its_notional(world):
    world.quote(1.25, 1.25, instrument=1)
    world.quote(100.0, 100.0, instrument=4)
    world.fill(10.0, 90.0, instrument=4)
    world.quote(1.5, 1.5, instrument=1)
    line = world.positions()[0]
    assert (line["pnl"], line["translation"], line["pnl_base"]) == (150.0, 0.0, 150.0)


def test_price_and_currency_part_as_the_definition_says(world):
    """q m (P_t - P_0) FX_t + q m P_0 (FX_t - FX_0)."""
    world.quote(1.25, 1.25, instrument=1)
    world.fill(10.0, 100.0)
    world.quote(110.0, 110.0)
    world.quote(1.5, 1.5, instrument=1)
    line = world.positions()[0]
    assert (line["pnl"], line["translation"]) == (10 * 10 * 1.5, 10 * 100 * 0.25)
    assert world.cell("pnl") == line["pnl"]


def test_the_rows_that_a_rate_moves_are_told(world):
    world.fill(10.0, 100.0)
    world.quote(110.0, 110.0)
    world.positions()
    world.engine.oldest_ns[:] = 0
    world.quote(1.5, 1.5, instrument=1)
    world.positions()
    assert world.cell("exposure") == 1_650.0
    assert np.flatnonzero(world.engine.oldest_ns).tolist() == [0, 1]


def test_a_leg_that_is_not_live_makes_the_rate_stale(world):
    def stale(book=0):
        world.engine.total()
        lines = [line for line in world.positions() if line["book"] == book]
        return lines[0]["fx_stale"]

    world.quote(100.0, 100.0)
    world.fill(1.0, 100.0)
    assert (stale(), world.positions()[0]["fx"]) == (1.0, 1.25)  # The reference's rate.
    world.quote(1.5, 1.5, instrument=1)
    assert (stale(), world.positions()[0]["fx"]) == (0.0, 1.5)
    world.quote(100.0, 100.0, at=STALE_NS / 1e9 + 1.0)
    assert stale() == 1.0
    world.quote(1.5, 1.5, instrument=1)
    assert stale() == 0.0
    world.fill(1.0, 100.0, book=2)  # EUR to JPY: the yen's leg has no mid.
    assert stale(2) == 1.0
    world.quote(160.0, 160.0, instrument=2)
    assert stale(2) == 0.0
    world.status(Status.HALTED, instrument=2)
    assert (stale(2), stale(0)) == (1.0, 0.0)


def test_an_unknown_rate_is_blank_and_not_nought(make_market):
    fund = [Book(0, "X", "T", "S", currency="XAU")]
    market = make_market(books=fund)
    market.quote(100.0, 100.0)
    market.fill(1.0, 90.0)
    line = market.positions()[0]
    assert line["pnl"] == 10.0
    assert math.isnan(line["translation"])
    assert math.isnan(line["pnl_base"])
