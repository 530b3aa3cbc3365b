"""VaR against numpy: sorted losses, and the covariance matrix that the kernel never builds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.kernels import exposure
from compute.kernels import value_at_risk as kernel
from compute.table import RISK

DAYS = 500


def market(seed, days=DAYS):
    dice = np.random.default_rng(seed)
    moves = dice.normal(size=(20, days)) * 0.01
    moves[0] = 0.0
    moves[8:14] *= 500.0
    weights = 0.97 ** np.arange(days - 1, -1, -1.0)
    return dice, moves, weights / weights.sum()


def positions(dice, count):
    risk = np.zeros((count, RISK.width))
    for column in (exposure.VALUE, exposure.DELTA, exposure.GAMMA, exposure.VEGA, exposure.CS01):
        risk[:, column] = dice.normal(size=count) * 1e6
    risk[:, exposure.GAMMA] *= 0.01
    risk[:, exposure.KEY_RATE : exposure.SUMMED] = dice.normal(size=(count, 6)) * 1e3
    rows = np.stack(
        (
            *(dice.integers(1, 6, count), np.full(count, 6), np.full(count, 8)),
            *(dice.integers(14, 16, count), dice.integers(16, 20, count)),
        ),
        axis=1,
    )
    return risk, np.ones(count), dice.integers(0, 3, count), rows


def run(risk, quantity, book, rows, moves, weights):
    full, linear = np.empty((3, moves.shape[1])), np.empty((3, moves.shape[1]))
    missing, variance = np.empty(3, np.int64), np.empty(len(quantity))
    kernel.profit_and_loss(
        *(risk, quantity, book, rows, moves, weights, full, linear, missing, variance),
        *(np.empty((len(quantity), 0), np.int64), np.empty((2, 0, moves.shape[1]))),
        np.empty(0, np.int64),
    )
    return full, linear, missing, variance


def by_hand(risk, rows, moves):
    """(full, linear) [n, t] by numpy."""
    linear = risk[:, [exposure.DELTA]] * moves[rows[:, kernel.PRICE]]
    linear += risk[:, [exposure.VEGA]] * moves[rows[:, kernel.VOLATILITY]]
    linear += risk[:, [exposure.CS01]] * moves[rows[:, kernel.CREDIT]]
    linear += risk[:, [exposure.VALUE]] * moves[rows[:, kernel.CURRENCY]]
    for k in range(6):
        linear -= risk[:, [exposure.KEY_RATE + k]] * moves[rows[:, kernel.CURVE] + k]
    bent = 0.5 * (100.0 * risk[:, [exposure.GAMMA]]) * moves[rows[:, kernel.PRICE]] ** 2
    return linear + bent, linear


@given(st.integers(0, 2**31), st.integers(1, 40))
@settings(deadline=None, max_examples=30)
def test_profit_and_loss_by_day_is_numpys(seed, count):
    dice, moves, weights = market(seed)
    risk, quantity, book, rows = positions(dice, count)
    full, linear, missing, variance = run(risk, quantity, book, rows, moves, weights)
    whole, straight = by_hand(risk, rows, moves)
    for number in range(3):
        mine = book == number
        size = np.abs(whole).sum() + 1.0
        assert np.allclose(full[number], whole[mine].sum(0), rtol=0, atol=1e-13 * size)
        assert np.allclose(linear[number], straight[mine].sum(0), rtol=0, atol=1e-13 * size)
    assert np.allclose(variance, (straight**2) @ weights, rtol=1e-12)
    assert not missing.any()


def figures(full, linear, weights):
    out = np.empty((len(full), kernel.FIGURES))
    kernel.figures(full, linear, weights, out)
    return out


@given(st.integers(0, 2**31), st.sampled_from([1, 7, 99, 100, 101, 250, 500]))
@settings(deadline=None)
def test_quantiles_are_order_statistics(seed, days):
    dice = np.random.default_rng(seed)
    full = dice.normal(size=(1, days))
    out = figures(full, full, np.full(days, 1.0 / days))[0]
    losses = np.sort(-full[0])[::-1]
    worse = [int((losses > out[column]).sum()) for column in (kernel.HIST_95, kernel.HIST_99)]
    assert worse == [-(-days * 5 // 100) - 1, -(-days // 100) - 1]
    # Acerbi and Tasche: the mean of the tail as an integral of the quantile.
    tail = days * 0.025
    wanted = sum(loss * min(1.0, max(0.0, tail - k)) for k, loss in enumerate(losses)) / tail
    assert out[kernel.ES_975] == pytest.approx(wanted, rel=1e-12)
    assert out[kernel.WORST] == losses[0]
    assert out[kernel.ES_975] >= np.quantile(losses, 0.975) - 1e-12


def test_parametric_is_the_covariance_matrix():
    dice, moves, weights = market(5)
    risk, quantity, _, rows = positions(dice, 30)
    book = np.zeros(30, np.int64)
    full, linear, _, _ = run(risk, quantity, book, rows, moves, weights)
    exposures = np.zeros(len(moves))
    for line, row in zip(risk, rows, strict=True):
        exposures[row[kernel.PRICE]] += line[exposure.DELTA]
        exposures[row[kernel.VOLATILITY]] += line[exposure.VEGA]
        exposures[row[kernel.CREDIT]] += line[exposure.CS01]
        exposures[row[kernel.CURRENCY]] += line[exposure.VALUE]
        for k in range(6):
            exposures[row[kernel.CURVE] + k] -= line[exposure.KEY_RATE + k]
    covariance = (moves * weights) @ moves.T
    sigma = np.sqrt(exposures @ covariance @ exposures)
    out = figures(full, linear, weights)[0]
    assert out[kernel.PARAM_99] == pytest.approx(2.3263478740408408 * sigma, rel=1e-12)
    assert out[kernel.PARAM_95] == pytest.approx(1.6448536269514722 * sigma, rel=1e-12)


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_components_add_up_and_increments_are_the_difference(seed):
    dice, moves, weights = market(seed)
    risk, quantity, _, rows = positions(dice, 25)
    book = np.zeros(25, np.int64)
    full, linear, _, variance = run(risk, quantity, book, rows, moves, weights)
    whole = figures(full, linear, weights)[0, kernel.PARAM_99]
    marginal = moves @ (weights * linear[0])
    component, incremental = np.empty(25), np.empty(25)
    sigma = np.sqrt(kernel.weighted_square(linear[0], weights))
    kernel.components(*(risk, quantity, rows, marginal, variance, sigma, component, incremental))
    assert component.sum() == pytest.approx(whole, rel=1e-10)
    without = quantity.copy()
    without[3] = 0.0
    full, linear, _, _ = run(risk, without, book, rows, moves, weights)
    rest = figures(full, linear, weights)[0, kernel.PARAM_99]
    assert incremental[3] == pytest.approx(whole - rest, rel=1e-7, abs=1e-7 * whole)


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_a_doubled_book_has_double_the_figures(seed):
    dice, moves, weights = market(seed)
    risk, quantity, book, rows = positions(dice, 20)
    one = figures(*run(risk, quantity, book, rows, moves, weights)[:2], weights)
    two = figures(*run(2.0 * risk, quantity, book, rows, moves, weights)[:2], weights)
    assert np.array_equal(two, 2.0 * one)  # Doubling is exact in binary.


def test_a_line_that_is_not_known_is_counted_and_left_out():
    dice, moves, weights = market(1)
    risk, quantity, book, rows = positions(dice, 10)
    book[:] = 0
    before = run(risk[:9], quantity[:9], book[:9], rows[:9], moves, weights)[0]
    risk[9, exposure.VEGA] = np.nan
    full, _, missing, variance = run(risk, quantity, book, rows, moves, weights)
    assert missing.tolist() == [1, 0, 0]
    assert np.isnan(variance[9])
    assert np.array_equal(full, before)
    risk[9, exposure.VEGA], rows[9, kernel.PRICE] = 1.0, -1
    assert run(risk, quantity, book, rows, moves, weights)[2][0] == 1
    risk[9, [exposure.DELTA, exposure.GAMMA]] = 0.0  # No price risk: its driver does not matter.
    assert run(risk, quantity, book, rows, moves, weights)[2][0] == 0


def test_gamma_of_an_option_on_a_rates_future_works_through_the_curve():
    _, moves, weights = market(2)
    risk, rows = np.zeros((1, RISK.width)), np.zeros((1, 5), np.int64)
    rows[0, kernel.CURVE] = 8
    risk[0, [exposure.DELTA, exposure.GAMMA, exposure.KEY_RATE]] = 2e6, 3e4, 900.0
    full, linear, _, _ = run(risk, np.ones(1), np.zeros(1, np.int64), rows, moves, weights)
    back = -900.0 * moves[8] / 2e6  # Return of the future.
    assert np.allclose(full[0] - linear[0], 0.5 * 3e6 * back**2, rtol=1e-12)


def test_no_history_and_no_position():
    out = figures(np.zeros((1, 0)), np.zeros((1, 0)), np.zeros(0))
    assert np.isnan(out).all()
    flat = figures(np.zeros((1, DAYS)), np.zeros((1, DAYS)), np.full(DAYS, 1 / DAYS))
    assert not flat.any()
    assert not np.signbit(flat).any()
