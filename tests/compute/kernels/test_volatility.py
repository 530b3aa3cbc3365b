"""Volatility against a slow recomputation from the sampled grid."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import START_NS, instruments
from compute.engine import YEAR_S, Engine
from compute.enriched import ENRICHED
from compute.kernels.volatility import DECAY, HALF_LIFE_S, log_ratio, power
from ingest.event import EVENT, Flag, Kind, Status
from ingest.instrument import AssetClass

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
    truth = slow_volatility(seconds, out["mid"], YEAR_S[AssetClass(instrument)])
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
