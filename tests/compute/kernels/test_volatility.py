"""Volatility against a slow recomputation from the sampled grid."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import START_NS, instruments
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.kernels.volatility import (
    DECAY,
    HALF_LIFE_S,
    RETURNS,
    RETURNS_MIN,
    log_ratio,
    power,
)
from ingest import calendar
from ingest.event import EVENT, Flag, Kind, Status

positive = st.floats(1e-9, 1e10)


@given(positive, positive)
@settings(deadline=None)  # The first call compiles.
def test_the_logarithm_of_any_ratio_is_right_to_4e_15(a, b):
    with mpmath.workdps(40):
        truth = mpmath.log(mpmath.mpf(a) / mpmath.mpf(b))
        assert abs(log_ratio(a, b) - truth) <= 4e-15 * abs(truth)


@given(st.floats(1.0, 1e6), st.floats(1e-12, 1e-3))
@settings(deadline=None)
def test_small_moves_keep_their_digits(a, move):
    b = a * (1.0 + move)
    with mpmath.workdps(40):
        truth = mpmath.log(mpmath.mpf(b) / mpmath.mpf(a))
        assert abs(log_ratio(b, a) - truth) <= 1e-15 * abs(truth)


@given(st.integers(0, 65_536))
@settings(deadline=None)
def test_powers_of_the_decay(exponent):
    assert power(DECAY, exponent) == pytest.approx(2.0 ** (-exponent / HALF_LIFE_S), rel=1e-11)


def test_the_decay_is_its_half_life():
    assert DECAY == 2.0 ** (-1.0 / HALF_LIFE_S)


def slow_volatility(seconds: np.ndarray, mids: np.ndarray, year_s: float) -> list[float]:
    """After each quote: previous-tick samples at every whole second since the first quote."""
    shown = []
    for count in range(1, len(mids) + 1):
        grid = np.arange(math.floor(seconds[0]) + 1, math.floor(seconds[count - 1]) + 1)
        places = np.searchsorted(seconds[:count], grid, "left") - 1  # Strictly before the second.
        samples = np.concatenate((mids[:1], mids[places]))
        valid = (samples[1:] > 0) & (samples[:-1] > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            returns = np.where(valid, np.log(samples[1:] / samples[:-1]), 0.0)
        ages = np.cumsum(valid[::-1])[::-1] - 1  # A second without a return ages nothing.
        weights = np.where(valid, 0.5 ** (ages / HALF_LIFE_S), 0.0)
        total = weights.sum()
        mean = (weights * returns**2).sum() / total if total else math.nan
        shown.append(100.0 * math.sqrt(mean * year_s) if total else math.nan)
    return shown


mids = st.one_of(st.integers(9_000, 11_000), st.sampled_from([0, -3_763, 1, 10**9]))


@given(
    st.lists(st.tuples(st.integers(1, 40), mids), min_size=2, max_size=60),
    st.integers(0, 11),
)
@settings(deadline=None)
def test_it_is_the_weighted_mean_over_the_grid(steps, instrument):
    seconds = 0.05 + np.cumsum([step[0] for step in steps]) * 0.1
    events = np.zeros(len(steps), EVENT)
    events["kind"], events["instrument"] = Kind.QUOTE, instrument
    events["ts_event"] = START_NS + np.round(seconds * 1e9).astype(np.int64)
    events["bid"] = events["ask"] = np.array([step[1] for step in steps]) * 10**7
    out = np.zeros(len(steps), ENRICHED)
    Engine(instruments(12)).step(events, out)
    year_s = calendar.periods_per_year(calendar.default_calendar(instrument), 1.0)
    truth = slow_volatility(seconds, out["mid"], year_s)
    np.testing.assert_allclose(out["volatility"], truth, rtol=1e-9, atol=1e-9)


def test_blank_until_there_is_a_return_and_0_while_nothing_moves(market):
    market.quote(10.0, 10.0, at=0.5)
    assert math.isnan(market.cell("volatility"))
    market.quote(10.0, 10.0, at=1.5)
    assert market.cell("volatility") == 0.0


@pytest.mark.parametrize("price", [0.0, -37.63])
def test_mids_of_0_or_below_make_no_return(market, price):
    for at, mid in enumerate((price, price, 10.0, price, 12.0)):
        market.quote(mid, mid, at=at + 0.5)
        assert math.isnan(market.cell("volatility"))
    market.quote(12.0, 12.0, at=6.5)
    assert market.cell("volatility") == 0.0


def test_a_crossed_book_makes_no_return(market):
    market.quote(10.0, 10.0, at=0.5)
    market.quote(20.0, 5.0, at=1.5)
    market.quote(10.0, 10.0, at=2.5)
    assert market.cell("volatility") == 0.0


def test_the_jump_over_a_pause_or_a_night_is_no_return(market):
    for at in range(3):
        market.quote(10.0, 10.0, at=at + 0.5)
    market.status(Status.HALTED, at=3.5)
    market.quote(15.0, 15.0, at=5.5)
    market.status(Status.TRADING, at=9.5)
    market.quote(15.0, 15.0, at=10.5)
    market.quote(15.0, 15.0, at=11.5)
    assert market.cell("volatility") == 0.0
    market.quote(30.0, 30.0, at=40_000.5, flags=Flag.RESET)
    market.quote(30.0, 30.0, at=40_002.5)
    assert market.cell("volatility") == 0.0
    market.quote(31.0, 31.0, at=40_003.5)
    market.quote(31.0, 31.0, at=40_004.5)
    assert market.cell("volatility") > 0.0


def quotes(seconds: np.ndarray, mids: np.ndarray, instrument: int, start_s: int) -> np.ndarray:
    events = np.zeros(len(mids), EVENT)
    events["kind"], events["instrument"] = Kind.QUOTE, instrument
    events["ts_event"] = start_s * 10**9 + np.round(seconds * 1e9).astype(np.int64)
    events["bid"] = events["ask"] = mids * 10**7
    return events


def slow_realised(events: np.ndarray, instrument: int) -> float:
    """From the whole history of one session: previous-tick mids on the grid, no ring."""
    interval_ns = calendar.sample_s(instrument) * 10**9
    moments, mids = events["ts_event"], events["bid"] / 1e9
    first = -(-int(moments[0] + 1) // interval_ns)
    grid = np.arange(first, int(moments[-1]) // interval_ns + 1) * interval_ns
    samples = mids[np.searchsorted(moments, grid, "left") - 1]
    valid = (samples[1:] > 0) & (samples[:-1] > 0)
    # After a price of 0 or below, a quiet step from it makes no return either.
    ratio = samples[1:][valid] / samples[:-1][valid]
    small = np.log1p((samples[1:] - samples[:-1])[valid] / samples[:-1][valid])
    squares = np.where(abs(ratio - 1.0) < 0.1, small, np.log(ratio)) ** 2
    squares = squares[-RETURNS:]
    if len(squares) < RETURNS_MIN:
        return math.nan
    name = calendar.default_calendar(instrument)
    periods = calendar.periods_per_year(name, interval_ns / 1e9)
    return 100.0 * math.sqrt(periods * squares.mean())


TUESDAY_S = 1_773_878_400 + 3_600  # 2026-03-19 01:00 UTC, within every session but New York's.


@given(
    st.lists(st.tuples(st.integers(1, 4_000), mids), min_size=2, max_size=120),
    st.sampled_from([3, 4, 7, 10, 11]),
)
@settings(deadline=None)
def test_realised_is_the_root_mean_square_of_the_last_returns_on_the_grid(steps, instrument):
    seconds = 0.05 + np.cumsum([step[0] for step in steps]) * 0.2
    interval = calendar.sample_s(instrument)
    shown_at = np.array([step[1] for step in steps])
    events = quotes(seconds * interval / 60.0, shown_at, instrument, TUESDAY_S)
    engine = Engine(instruments(12))
    engine.step(events, None)
    truth = slow_realised(events, instrument)
    shown = engine._state["realised"][instrument]
    np.testing.assert_allclose(shown, truth, rtol=1e-12, atol=1e-12)


def test_realised_does_not_drift_over_a_day_of_ticks():
    rng = np.random.default_rng(3)
    seconds = np.sort(rng.random(200_000)) * 86_000.0
    # Great moves first and tiny ones after: what a running sum would never get rid of.
    moves = np.where(np.arange(200_000) < 100_000, 5_000, 1) * rng.integers(-1, 2, 200_000)
    levels = 10**9 + np.cumsum(moves)
    events = quotes(seconds, levels, 10, 1_773_878_400)  # Crypto: a day from 00:00 UTC.
    engine = Engine(instruments(12))
    for start in range(0, len(events), 7_001):
        engine.step(events[start : start + 7_001], None)
        if start > 20_000:
            truth = slow_realised(events[: start + 7_001], 10)
            assert engine._state["realised"][10] == pytest.approx(truth, rel=1e-13)
    assert engine._state["realised"][10] < 0.01


def test_realised_is_blank_below_12_returns(make_market):
    market = make_market(asset_class=10)
    for minute in range(RETURNS_MIN + 1):
        market.quote(10.0, 10.0, at=60.0 * minute + 50.0)
        assert math.isnan(market.cell("realised"))
    market.quote(10.0, 10.0, at=60.0 * RETURNS_MIN + 130.0)
    assert market.cell("realised") == 0.0


def test_the_night_is_in_its_own_column_and_in_no_volatility(make_market):
    market = make_market(asset_class=10)  # A session a day, from 00:00 UTC.
    night = 6_400.0  # START_S is 6,400 s before it.
    for minute in range(40):
        market.quote(100.0, 100.0, at=60.0 * minute + 0.5)
    assert math.isnan(market.cell("gap_overnight"))
    market.quote(101.0, 101.0, at=night - 0.5)
    for minute in range(40):
        market.quote(110.0, 110.0, at=night + 60.0 * minute + 0.5)
        assert market.cell("gap_overnight") == pytest.approx((110 / 101 - 1) * 100, rel=1e-12)
    assert market.cell("volatility") < 1e-3 * 100
    quiet = market.cell("realised")
    assert quiet == 0.0  # 101 fell on no instant of the grid before the night.
    market.quote(120.0, 120.0, at=night + 86_400.0 + 5.0)
    assert market.cell("gap_overnight") == pytest.approx((120 / 110 - 1) * 100, rel=1e-12)


def test_a_pause_is_no_gap_of_the_night(make_market):
    market = make_market(asset_class=10)
    market.quote(100.0, 100.0, at=6_399.0)
    market.quote(110.0, 110.0, at=6_401.0)
    market.status(Status.HALTED, at=6_500.0)
    market.status(Status.TRADING, at=6_600.0)
    market.quote(150.0, 150.0, at=6_601.0)
    assert market.cell("gap_overnight") == pytest.approx(10.0)
