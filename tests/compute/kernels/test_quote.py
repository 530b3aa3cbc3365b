"""Quotes and trading status: the mid, what it refuses, and what it leaves standing."""

import math

import pytest

from compute.table import State
from ingest.event import Flag, Status


def test_two_sides_make_a_mid_and_a_mark(market):
    row = market.quote(185.23, 185.25, sizes=(300.0, 200.0))
    assert market.cells("bid", "ask", "mid", "bid_size", "ask_size") == [
        *(185.23, 185.25, 185.24, 300.0, 200.0)
    ]
    assert (row["mid"], row["mark"]) == (185.24, 185.24)
    assert market.state() == 0


def test_a_crossed_book_keeps_the_last_valid_mid(market):
    market.quote(10.0, 10.02)
    row = market.quote(10.10, 10.05)
    assert market.cells("bid", "ask", "mid") == [10.10, 10.05, 10.01]
    assert row["mark"] == 10.01
    assert market.state() == State.CROSSED
    market.quote(10.10, 10.12)
    assert market.cell("mid") == 10.11
    assert market.state() == 0


def test_a_locked_book_has_a_mid(market):
    market.quote(10.0, 10.0)
    assert market.cell("mid") == 10.0
    assert market.state() == State.LOCKED


@pytest.mark.parametrize(("bid", "ask"), [(None, 10.0), (10.0, None), (None, None)])
def test_an_absent_side_is_blank_and_the_mid_stays(market, bid, ask):
    market.quote(9.0, 9.5)
    market.quote(bid, ask)
    for side, value in (("bid", bid), ("ask", ask)):
        shown = market.cells(side, f"{side}_size")
        assert all(map(math.isnan, shown)) if value is None else shown == [value, 100.0]
    assert market.cell("mid") == 9.25
    assert market.state() == State.ONE_SIDED


def test_nothing_is_known_before_the_first_event(market):
    blank = ("bid", "ask", "last", "mid", "change", "vwap", "vwap_1m", "volatility", "high")
    assert all(map(math.isnan, market.cells(*blank, "ts_event")))
    assert market.cells("volume", "trades", "position", "pnl", "exposure", "gaps") == [0.0] * 6


@pytest.mark.parametrize("price", [0.0, 1e-9, -37.63, 5e8, -5e8])
def test_extreme_prices_pass_through_whole(market, price):
    market.quote(price, price)
    assert market.cells("bid", "mid") == [price, price]
    assert math.copysign(1.0, market.cell("bid")) == (1.0 if price >= 0 else -1.0)


def test_the_widest_prices_do_not_overflow(market):
    limit = (2**63 - 1) / 1e9
    market.send(1, None, 0, 0, bid=-(2**63) + 1, ask=2**63 - 1)
    assert market.cells("bid", "mid", "ask") == [-limit, 0.0, limit]


@pytest.mark.parametrize(
    ("status", "bit"),
    [
        (Status.HALTED, State.HALTED),
        (Status.AUCTION, State.AUCTION),
        (Status.CLOSED, State.CLOSED),
    ],
)
def test_mid_and_mark_stand_still_until_trading_resumes(market, status, bit):
    market.quote(10.0, 10.2)
    market.status(status)
    row = market.quote(11.0, 11.2)
    market.trade(11.1)
    assert market.state() == bit
    assert market.cells("bid", "mid", "last") == [11.0, 10.1, 11.1]
    assert row["mark"] == 10.1
    row = market.status(Status.TRADING)
    assert (row["mid"], row["mark"]) == (11.1, 11.1)
    assert market.state() == 0


def test_a_status_replaces_the_one_before_and_an_unknown_one_is_refused(market):
    market.status(Status.HALTED)
    market.status(Status.AUCTION)
    assert market.state() == State.AUCTION
    market.status(7)
    assert market.state() == State.AUCTION
    assert market.engine.counters["refused"] == 1


def test_resuming_on_a_crossed_book_keeps_the_mark(market):
    market.quote(10.0, 10.2)
    market.status(Status.HALTED)
    market.quote(12.0, 11.0)
    market.status(Status.TRADING)
    assert market.cell("mid") == 10.1
    assert market.state() == State.CROSSED


def test_change_is_percent_of_the_previous_close(make_market):
    market = make_market(close_prev=100.0)
    market.quote(101.0, 103.0)
    assert market.cell("change") == pytest.approx(2.0, abs=1e-12)
    market.trade(99.0)
    assert market.cell("change") == pytest.approx(-1.0, abs=1e-12)
    market.quote(104.0, 106.0)
    assert market.cell("change") == pytest.approx(-1.0, abs=1e-12)


@pytest.mark.parametrize("close", [None, 0.0, -37.63])
def test_no_change_against_a_close_that_is_unknown_or_not_positive(make_market, close):
    market = make_market(close_prev=close)
    market.trade(20.0)
    assert math.isnan(market.cell("change"))


def test_mark_is_mid_else_last_else_previous_close(make_market):
    market = make_market(close_prev=50.0)
    assert market.fill(1.0, 49.0)["mark"] == 50.0
    assert market.trade(51.0)["mark"] == 51.0
    assert market.quote(52.0, 54.0)["mark"] == 53.0
    assert market.trade(60.0)["mark"] == 53.0


def test_age_is_that_of_the_newest_event(market):
    market.quote(1.0, 2.0, at=5.0)
    market.quote(1.0, 2.0, at=3.0)
    assert market.cell("ts_event") == 1_700_000_005_000.0


def test_a_new_session_keeps_quote_and_mark_and_clears_the_gap(market):
    market.quote(10.0, 10.2)
    market.engine.mark_gap([0, 0, 99], 4)
    assert (market.state(), market.cell("gaps")) == (State.GAP, 4.0)
    market.trade(10.1, 0.0, flags=Flag.RESET)
    assert (market.state(), market.cell("gaps"), market.cell("mid")) == (0, 4.0, 10.1)
