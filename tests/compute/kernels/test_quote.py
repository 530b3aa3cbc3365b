"""Quotes and trading status: the mid, what it refuses, and what it leaves standing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import Record, plain
from compute.engine import Engine
from compute.kernels.quote import _quote
from compute.table import WIDE_SHARE, MarkSource, State
from ingest.event import EVENT, Flag, Kind, Status
from ingest.instrument import Instrument, Reference
from tests.compute.kernels.conftest import START_S


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
    market.quote(9.2, 9.3)
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


def marks(market):
    return market.cell("mark"), market.cell("mark_source"), market.cell("ts_mark") / 1e3 - START_S


def test_mark_is_mid_else_last_else_previous_close(make_market):
    market = make_market(close_prev=50.0)
    assert market.cells("mark", "mark_source") == [50.0, MarkSource.PREVIOUS_CLOSE]
    assert math.isnan(market.cell("ts_mark"))
    assert market.state() == State.ESTIMATED
    assert market.fill(1.0, 49.0)["mark"] == 50.0
    assert market.trade(51.0, at=1.0)["mark"] == 51.0
    assert (marks(market), market.state()) == ((51.0, MarkSource.LAST, 1.0), 0)
    assert market.quote(52.9, 53.1, at=2.0)["mark"] == 53.0
    assert (marks(market), market.state()) == ((53.0, MarkSource.MID, 2.0), 0)
    assert market.trade(60.0, at=3.0)["mark"] == 53.0


def test_without_any_price_there_is_no_mark(market):
    assert all(map(math.isnan, market.cells("mark", "mark_source", "ts_mark")))
    assert market.state() == 0


def test_a_wide_mid_shows_and_displaces_no_fresh_mark(market):
    market.trade(50.0, at=1.0)
    market.quote(45.0, 54.0, at=2.0)
    assert market.cell("mid") == 49.5
    assert (marks(market), market.state()) == ((50.0, MarkSource.LAST, 1.0), State.ESTIMATED)
    market.quote(45.0, 53.0, at=60.5)  # The last is younger than a minute.
    assert marks(market) == (50.0, MarkSource.LAST, 1.0)
    market.quote(45.0, 53.0, at=61.0)
    assert marks(market) == (49.0, MarkSource.MID, 61.0)
    market.quote(45.0, 55.0, at=62.0)  # The mark is an estimate already: the newest will do.
    assert (marks(market), market.state()) == ((50.0, MarkSource.MID, 62.0), State.ESTIMATED)
    market.trade(52.0, at=63.0)
    assert (marks(market), market.state()) == ((52.0, MarkSource.LAST, 63.0), State.ESTIMATED)
    market.quote(51.0, 51.1, at=64.0)
    assert (marks(market)[1], market.state()) == (MarkSource.MID, 0)


def test_a_wide_mid_is_better_than_nothing_or_than_the_previous_close(make_market):
    for close_prev in (None, 70.0):
        market = make_market(close_prev=close_prev)
        market.quote(45.0, 55.0, at=1.0)
        assert (marks(market), market.state()) == ((50.0, MarkSource.MID, 1.0), State.ESTIMATED)


@pytest.mark.parametrize(("asset_class", "ask"), [(7, 100.51), (2, 125.1), (9, 103.1)])
def test_how_wide_is_wide_depends_on_the_class(make_market, asset_class, ask):
    fields = {"strike": 100.0, "right": "C", "expiry": "2030-01-01"} if asset_class == 2 else {}
    market = make_market(asset_class=asset_class, **fields)
    market.quote(100.0, ask)
    tight = WIDE_SHARE[asset_class] * (100.0 + ask) / 2 + 100.0
    assert bool(market.state() & State.ESTIMATED) == (ask > tight)
    market.quote(100.0, tight - 0.01)
    assert market.state() == 0


def test_an_instrument_may_have_thresholds_of_its_own(make_market):
    market = make_market(rows={1: {"stale_s": 5.0, "wide_share": 0.2}})
    for ident, fresh in ((0, 5.0), (1, 0.0)):
        market.quote(45.0, 54.0, at=ident * 100.0, instrument=ident)
        assert bool(market.state(ident) & State.ESTIMATED) == (ident == 0)
        market.trade(50.0, at=ident * 100.0 + 1.0, instrument=ident)
        market.quote(30.0, 60.0, at=ident * 100.0 + 7.0, instrument=ident)  # Wide by both.
        assert (market.cell("mark_source", ident) == MarkSource.LAST) == (fresh > 0.0)
    own = replace(market.reference.by_id[1], wide_share=None, stale_s=None)
    market.reference.update([own])
    market.engine.grow(market.reference)
    market.quote(45.0, 54.0, at=108.0, instrument=1)
    assert market.state(1) & State.ESTIMATED  # The class's again.


def test_four_ticks_are_tight_at_any_price(market):
    market.quote(0.01, 0.05)
    assert market.state() == 0
    market.quote(0.01, 0.06)
    assert market.state() == State.ESTIMATED


@pytest.mark.parametrize(("bid", "ask"), [(10.2, 10.1), (None, 10.2), (10.0, None)])
def test_a_trade_is_the_mark_while_the_book_makes_no_mid(market, bid, ask):
    market.quote(10.0, 10.02, at=1.0)
    market.quote(bid, ask, at=2.0)
    assert marks(market) == (10.01, MarkSource.MID, 1.0)
    market.trade(10.1, at=0.5)  # Older than the mark.
    assert marks(market) == (10.01, MarkSource.MID, 1.0)
    market.trade(10.15, at=3.0)
    assert marks(market) == (10.15, MarkSource.LAST, 3.0)
    market.bust(10.15, at=3.0)
    assert (market.cell("mark"), market.cell("mark_source")) == (10.01, MarkSource.MID)
    assert market.state() & State.ESTIMATED


def test_an_auctions_print_is_the_mark_until_a_quote_of_a_trading_market(market):
    market.quote(10.0, 10.02, at=1.0)
    market.status(Status.AUCTION, at=2.0)
    market.quote(11.0, 10.0, at=3.0)
    assert marks(market) == (10.01, MarkSource.MID, 1.0)
    market.trade(10.5, at=4.0, flags=Flag.AUCTION)
    market.quote(10.4, 10.42, at=5.0)
    market.status(Status.TRADING, at=6.0)
    assert marks(market) == (10.5, MarkSource.AUCTION, 4.0)
    assert market.cell("mid") == 10.41
    market.trade(10.6, at=7.0)
    assert marks(market) == (10.5, MarkSource.AUCTION, 4.0)
    market.quote(10.42, 10.44, at=8.0)
    assert marks(market) == (10.43, MarkSource.MID, 8.0)


def test_a_halt_freezes_even_an_auctions_print(market):
    market.quote(10.0, 10.02, at=1.0)
    market.status(Status.HALTED)
    market.trade(10.5, at=4.0, flags=Flag.AUCTION)
    assert marks(market) == (10.01, MarkSource.MID, 1.0)


def test_the_bust_of_an_auctions_print_takes_the_mark_back(market):
    market.trade(10.0, at=1.0, ident=1)
    market.trade(10.5, at=2.0, ident=2, flags=Flag.AUCTION)
    market.bust(10.5, at=3.0, ident=2, flags=Flag.AUCTION)
    assert marks(market) == (10.0, MarkSource.LAST, 1.0)


def test_an_indicative_quote_says_so_until_the_next(market):
    market.quote(10.0, 10.02, flags=Flag.INDICATIVE)
    assert market.cells("bid", "mid", "mark") == [10.0, 10.01, 10.01]
    assert market.state() == State.INDICATIVE
    market.quote(10.0, 10.02)
    assert market.state() == 0


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


exact_price = st.integers(-50, 400).map(lambda cents: cents * 10_000_000)
books = st.tuples(
    exact_price,
    st.integers(0, 60).map(lambda cents: cents * 10_000_000),
    st.sampled_from([0, 0, 0, int(Flag.INDICATIVE)]),
    st.sampled_from(["quote", "quote", "quote", "trade"]),
)


@given(st.lists(books, min_size=1, max_size=20))
@settings(deadline=None)
def test_the_short_way_of_a_quote_is_the_careful_way(steps):
    """Every row state that trades and books lead to, then one more quote by either way."""
    reference = Reference(
        [Instrument(0, "S", 0, "X", "USD", 1.0, tick=0.01, decimals=2, close_prev=2.0)]
    )
    engine = Engine(reference)
    for number, (price, width, flags, verb) in enumerate(steps):
        event = np.zeros(1, EVENT)
        event["ts_event"] = START_S * 10**9 + number * 7 * 10**9
        event["flags"] = flags
        if verb == "trade":
            event["kind"], event["price"], event["size"] = Kind.TRADE, price, 1.0
            engine.step(event, None)
            continue
        event["kind"], event["bid"], event["ask"] = Kind.QUOTE, price, price + width
        event["bid_size"], event["ask_size"] = 3.0, 4.0
        turned = event.copy()  # A trade of nothing lets the second turn, and moves nothing.
        turned["kind"], turned["size"] = Kind.TRADE, 0.0
        engine.step(turned, None)
        careful = engine._state.copy()
        engine.step(event, None)
        moment = float(event["ts_event"][0] / 1e6)
        with np.errstate(all="ignore"):
            plain(_quote)(Record(careful[0]), Record(event[0]), moment)
        assert careful.tobytes() == engine._state.tobytes()
