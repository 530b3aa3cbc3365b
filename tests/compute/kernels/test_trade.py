"""Trades: what counts where, what is late, and what moves nothing."""

import math

import pytest

from compute.table import State
from ingest.event import Flag

SESSION = ("open", "high", "low", "last", "volume", "trades", "vwap")


def test_a_trade_moves_prices_volume_and_average(market):
    market.trade(10.0, 100.0, at=1)
    market.trade(12.0, 300.0, at=2)
    market.trade(11.0, 100.0, at=3)
    assert market.cells(*SESSION) == [10.0, 12.0, 10.0, 11.0, 500.0, 3.0, 11.4]
    assert market.cell("last_size") == 100.0
    assert market.cell("vs_vwap") == pytest.approx((11.0 / 11.4 - 1.0) * 1e4)


def test_size_0_and_indicative_prices_move_nothing_but_are_events(market):
    market.trade(10.0)
    before = market.engine.tables["instruments"][0].tobytes()
    market.trade(99.0, 0.0)
    market.trade(99.0, 500.0, flags=Flag.INDICATIVE)
    assert market.engine.tables["instruments"][0].tobytes() == before
    counters = market.engine.counters
    assert counters.pop("events") == 3
    assert set(counters.values()) == {0}


@pytest.mark.parametrize("size", [-1.0, 1e300, math.inf, math.nan])
def test_a_size_that_cannot_be_is_refused_and_counted(market, size):
    market.trade(10.0, size)
    assert market.engine.counters["refused"] == 1
    assert market.cells("volume", "trades") == [0.0, 0.0]
    assert math.isnan(market.cell("last"))


def test_a_trade_without_a_price_is_refused(market):
    market.trade(None, 10.0)
    assert market.engine.counters["refused"] == 1


def test_an_ineligible_trade_counts_in_volume_and_trades_only(market):
    market.trade(10.0)
    market.trade(99.0, 50.0, flags=Flag.INELIGIBLE)
    assert market.cells(*SESSION) == [10.0, 10.0, 10.0, 10.0, 150.0, 2.0, 10.0]


def test_a_late_trade_counts_but_does_not_move_last_or_open(market):
    market.trade(10.0, at=10)
    market.trade(12.0, 300.0, at=5)
    assert market.cells(*SESSION) == [10.0, 12.0, 10.0, 10.0, 400.0, 2.0, 11.5]
    market.trade(11.0, at=10)
    assert market.cell("last") == 11.0


def test_a_new_session_starts_its_figures_again(market):
    market.trade(10.0, at=1)
    market.trade(20.0, 50.0, at=2, flags=Flag.RESET)
    assert market.cells(*SESSION) == [20.0, 20.0, 20.0, 20.0, 50.0, 1.0, 20.0]
    market.status(0, at=3)
    market.send(1, 4, 0, Flag.RESET, bid=1, ask=2)
    assert market.cells("last", "volume", "trades") == [20.0, 0.0, 0.0]
    assert all(map(math.isnan, market.cells("open", "high", "low", "vwap", "vs_vwap")))


def test_a_correction_shows_until_the_next_normal_trade(market):
    market.trade(10.0, flags=Flag.CORRECTED)
    assert market.state() == State.CORRECTED
    market.trade(10.0, 0.0)
    assert market.state() == State.CORRECTED
    market.trade(10.0)
    assert market.state() == 0


@pytest.mark.parametrize("price", [0.0, -37.63, 1e-9, 9e8])
def test_any_price_is_a_price(market, price):
    market.trade(price, 3.0)
    assert (
        market.cells("open", "high", "low", "last", "vwap", "vwap_1m")
        == [pytest.approx(price, rel=1e-15)] * 6
    )
    shown = market.engine.tables["instruments"][0]
    assert not any(v == 0 and math.copysign(1, v) < 0 for v in shown)


def test_an_instrument_that_does_not_exist_is_counted_and_has_no_numbers(market):
    row = market.trade(10.0, instrument=99)
    assert market.engine.counters["unknown"] == 1
    assert all(math.isnan(value) for value in row.item())
