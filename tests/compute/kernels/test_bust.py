"""Busts: every number the trade went into forgets it."""

import math

import numpy as np
import pytest

from compute.kernels.trade import RECENT
from compute.table import INSTRUMENTS, State
from ingest.event import Flag

LAST = INSTRUMENTS.index("state")


def shown(market):
    return np.delete(market.engine.tables["instruments"][0], LAST).tobytes()


@pytest.mark.parametrize(("price", "size"), [(13.0, 0.3), (5.0, 70.0), (11.0, 1e12), (-2.0, 1e-12)])
def test_a_bust_puts_every_cell_back_to_the_bit(market, price, size):
    for k, before in enumerate((10.0, 12.0, 11.0)):
        market.trade(before, 0.1 + k, ident=k, at=k)
    cells = shown(market)
    market.trade(price, size, ident=9, at=2)
    assert shown(market) != cells
    market.bust(price, size, ident=9, at=2)
    assert shown(market) == cells
    assert market.state() == State.CORRECTED
    assert market.engine.counters["busts_unmatched"] == 0


def test_a_late_bust_finds_the_second_of_its_trade(market):
    market.trade(10.0, 100.0, ident=1, at=0)
    market.trade(20.0, 100.0, ident=2, at=10)
    market.bust(20.0, 100.0, ident=2, at=40)
    assert market.cells("vwap", "vwap_1m", "last") == [10.0, 10.0, 10.0]
    market.trade(12.0, 100.0, ident=3, at=59)
    assert market.cell("vwap_1m") == 11.0
    market.quote(1.0, 2.0, at=60)
    assert market.cell("vwap_1m") == 12.0


def test_a_bust_of_a_trade_that_left_the_minute_does_not_touch_the_minute(market):
    market.trade(10.0, ident=1, at=0)
    market.trade(20.0, ident=2, at=70)
    market.bust(10.0, ident=1, at=71)
    assert market.cells("vwap", "vwap_1m", "volume") == [20.0, 20.0, 100.0]


def test_a_correction_is_a_bust_and_a_trade(market):
    market.trade(10.0, ident=1)
    market.trade(99.0, ident=2)
    market.bust(99.0, ident=2, flags=Flag.CORRECTED)
    market.trade(9.9, ident=2, flags=Flag.CORRECTED)
    cells = market.cells("open", "high", "low", "last", "volume", "trades", "vwap")
    assert cells == [10.0, 10.0, 9.9, 9.9, 200.0, 2.0, pytest.approx(9.95)]
    assert market.state() == State.CORRECTED
    market.trade(10.0, ident=3)
    assert market.state() == 0


def test_the_bust_of_the_only_trade_leaves_blanks(make_market):
    market = make_market(close_prev=8.0)
    market.trade(10.0)
    row = market.bust(10.0)
    blank = market.cells("open", "high", "low", "last", "last_size", "vwap", "vwap_1m", "vs_vwap")
    assert all(map(math.isnan, blank))
    assert market.cells("volume", "trades") == [0.0, 0.0]
    assert row["mark"] == 8.0


def test_a_bust_of_a_trade_that_never_was_moves_nothing_and_is_counted(market):
    market.trade(10.0, ident=1)
    cells = shown(market)
    market.bust(10.0, 200.0, ident=1)
    market.bust(11.0, ident=1)
    market.bust(10.0, ident=5)
    assert shown(market) == cells
    assert market.engine.counters["busts_unmatched"] == 3
    market.bust(10.0, ident=1)
    market.bust(10.0, ident=1)
    assert market.engine.counters["busts_unmatched"] == 4
    assert market.cells("volume", "trades") == [0.0, 0.0]


def test_a_trade_older_than_memory_leaves_the_session_sums(market):
    for k in range(RECENT + 5):
        market.trade(10.0 + k % 3, 100.0, ident=k, at=k)
    market.bust(10.0, 100.0, ident=0, at=50)
    assert market.cells("volume", "trades") == [100.0 * (RECENT + 4), RECENT + 4]
    prices = [10.0 + k % 3 for k in range(1, RECENT + 5)]
    assert market.cell("vwap") == pytest.approx(np.mean(prices), rel=1e-15)


def test_sums_never_go_below_nothing(market):
    for k in range(RECENT + 5):
        market.trade(10.0, 1.0, ident=k)
    for _ in range(3 * RECENT):
        market.bust(10.0, 5.0, ident=-1)
    volume, trades, vwap = market.cells("volume", "trades", "vwap")
    assert volume >= 0.0
    assert trades >= 0.0
    assert math.isnan(vwap) or vwap == 10.0
    assert market.engine.counters["busts_unmatched"] > 0


def test_a_bust_from_the_session_before_touches_the_minute_only(market):
    market.trade(10.0, ident=1, at=0)
    market.trade(20.0, ident=2, at=5, flags=Flag.RESET)
    market.bust(10.0, ident=1, at=6)
    assert market.cells("volume", "trades", "vwap", "vwap_1m") == [100.0, 1.0, 20.0, 20.0]


def test_an_ineligible_trade_is_taken_out_of_volume_alone(market):
    market.trade(10.0, ident=1)
    market.trade(99.0, 50.0, ident=2, flags=Flag.INELIGIBLE)
    market.bust(99.0, 50.0, ident=2, flags=Flag.INELIGIBLE)
    assert market.cells("volume", "trades", "vwap", "last") == [100.0, 1.0, 10.0, 10.0]


def test_high_and_low_follow_while_the_session_is_remembered(market):
    for k, price in enumerate((10.0, 15.0, 5.0, 12.0)):
        market.trade(price, ident=k, at=k)
    market.bust(15.0, ident=1)
    market.bust(5.0, ident=2)
    assert market.cells("open", "high", "low", "last") == [10.0, 12.0, 10.0, 12.0]
    market.bust(10.0, ident=0)
    assert market.cells("open", "high", "low", "last") == [12.0, 12.0, 12.0, 12.0]
