"""American options: QuantLib, symmetry, bounds, slopes, and what the approximations cost."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import njit

from bench.american_figures import grid, quantlib
from compute.kernels import american, black

CHARM, DELTA, GAMMA, PRICE, RHO, RHO_INCOME, THETA, VANNA, VEGA, VOLGA = (
    black.GREEKS.index(name)
    for name in (
        *("charm", "delta", "gamma", "price", "rho", "rho_income"),
        *("theta", "vanna", "vega", "volga"),
    )
)


def columns(*arguments):
    """Arguments as float64 arrays of one length."""
    return [np.ascontiguousarray(a) for a in np.broadcast_arrays(*np.atleast_1d(*arguments), 0.0)][
        :-1
    ]


def price(*arguments):
    """sign, spot, strike, time, volatility, rate, income -> price."""
    arrays = [array.astype(np.float64) for array in columns(*arguments)]
    out = np.empty(arrays[0].size)
    american.price(*arrays, out)
    return out


def greeks(*arguments):
    arrays = [array.astype(np.float64) for array in columns(*arguments)]
    out = np.empty((10, arrays[0].size))
    american.greeks(*arrays, out)
    return out


def european(*arguments):
    arrays = [array.astype(np.float64) for array in columns(*arguments)]
    out = np.empty(arrays[0].size)
    black.price(*arrays, out)
    return out


def test_prices_are_those_of_quantlibs_high_precision_engine():
    options = grid(400, seed=3)
    expected = quantlib(options)
    known = np.isfinite(expected)
    assert known.mean() > 0.9  # It does not know the case of two boundaries.
    error = np.abs(price(*options) - expected)[known] / options[1][known]
    assert error.max() <= 5e-6


def test_the_grid_has_its_hard_corners():
    sign, spot, strike, time, volatility, rate, income = grid(4_000, seed=3)
    assert set(sign) == {-1.0, 1.0}
    assert (spot / strike).min() < 0.51
    assert (spot / strike).max() > 1.96
    assert time.min() < 0.02
    assert time.max() == 3.0
    assert {0.05, 1.0} <= set(volatility)
    for column in (rate, income):
        assert {-0.01, 0.0, 0.1} <= set(column)
    assert (income > rate).any()


def test_two_boundaries_fall_to_the_tree_and_its_error_is_known():
    rng = np.random.default_rng(5)
    count = 30
    spot, time = np.exp(rng.uniform(-0.7, 0.7, count)), rng.uniform(0.02, 3.0, count)
    volatility = rng.choice([0.05, 0.1, 0.3, 1.0], count)
    rate = rng.uniform(-0.0095, -0.001, count)
    own = price(-1.0, spot, 1.0, time, volatility, rate, -0.01)
    steps = american.LATTICE_STEPS
    deep = [_tree(-1.0, spot[i], 1.0, time[i], volatility[i], rate[i], -0.01, 10 * steps)
            for i in range(count)]  # fmt: skip
    assert np.abs(own - deep).max() <= 3e-5


@njit
def _tree(sign, spot, strike, time, volatility, rate, income, steps):
    """Plain Cox-Ross-Rubinstein."""
    step = time / steps
    up = math.exp(volatility * math.sqrt(step))
    weight = (math.exp((rate - income) * step) - 1.0 / up) / (up - 1.0 / up)
    discount = math.exp(-rate * step)
    level = spot * up ** np.arange(-float(steps), float(steps) + 1.0)
    values = np.maximum(sign * (level[::2] - strike), 0.0)
    for depth in range(steps - 1, -1, -1):
        for place in range(depth + 1):
            wait = discount * (weight * values[place + 1] + (1.0 - weight) * values[place])
            values[place] = max(wait, sign * (level[steps - depth + 2 * place] - strike))
    return values[0]


options = {
    "sign": st.sampled_from([-1.0, 1.0]),
    "moneyness": st.floats(-1.0, 1.0),
    "time": st.floats(0.002, 5.0),
    "volatility": st.floats(0.03, 2.0),
    "rate": st.floats(-0.02, 0.2),
    "income": st.floats(-0.02, 0.2),
}


@settings(max_examples=300, deadline=None)
@example(1.0, 1.0, 0.03125, 1.0, 0.0, 1e-189)
@example(1.0, 0.125, 0.00390625, 0.25, -0.01953125, -0.015625)
@given(**options)
def test_bounds(sign, moneyness, time, volatility, rate, income):
    spot, strike = 100.0 * math.exp(moneyness), 100.0
    arguments = (sign, spot, strike, time, volatility, rate, income)
    worth = price(*arguments)[0]
    assert worth >= european(*arguments)[0] - 1e-12 * (spot + strike)
    assert worth >= sign * (spot - strike)
    if sign > 0:
        assert worth <= spot * math.exp(max(-income * time, 0.0)) * (1.0 + 1e-12)
    else:
        assert worth <= strike * math.exp(max(-rate * time, 0.0)) * (1.0 + 1e-12)


@settings(max_examples=200, deadline=None)
@given(**options)
def test_a_call_is_a_put_on_the_other_side(sign, moneyness, time, volatility, rate, income):
    spot, strike = 100.0 * math.exp(moneyness), 100.0
    one = price(sign, spot, strike, time, volatility, rate, income)[0]
    other = price(-sign, strike, spot, time, volatility, income, rate)[0]
    assert one == pytest.approx(other, rel=1e-12, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(**{**options, "rate": st.floats(0.0, 0.2), "income": st.floats(0.0, 0.2)})
def test_worth_grows_with_volatility_time_and_moneyness(
    sign, moneyness, time, volatility, rate, income
):
    spot, strike = 100.0 * math.exp(moneyness), 100.0
    small = 2e-5 * spot  # Twice the error of the method.
    base = price(sign, spot, strike, time, volatility, rate, income)[0]
    assert price(sign, spot, strike, time, 1.01 * volatility, rate, income)[0] >= base - small
    assert price(sign, spot, strike, 1.01 * time, volatility, rate, income)[0] >= base - small
    assert price(sign, spot, strike * (1 - 0.01 * sign), time, volatility, rate, income)[0] >= base
    moved = price(sign, 1.01 * spot, strike, time, volatility, rate, income)[0]
    assert -small <= sign * (moved - base) <= 0.01 * spot + small
    bend = price(sign, 0.99 * spot, strike, time, volatility, rate, income)[0] + moved - 2 * base
    assert bend >= -small  # Convex in the spot.


def slopes(arguments, step):
    """Central differences of our price in (spot, time, volatility, rate, income)."""
    found = {}
    for place in (1, 3, 4, 5, 6):
        up, down = list(arguments), list(arguments)
        size = step * arguments[place] if place in (1, 3, 4) else np.full(1, step)
        up[place], down[place] = arguments[place] + size, arguments[place] - size
        found[place] = (
            (price(*up) - price(*down)) / (2.0 * size),
            (price(*up) - 2.0 * price(*arguments) + price(*down)) / (size * size),
        )
    return found


def test_greeks_are_slopes_of_the_price():
    rng = np.random.default_rng(11)
    count = 400
    sign = rng.choice([-1.0, 1.0], count)
    spot = 100.0 * np.exp(rng.normal(0.0, 0.15, count))
    time, volatility = rng.uniform(0.05, 2.0, count), rng.uniform(0.1, 0.8, count)
    rate, income = rng.uniform(0.005, 0.08, count), rng.uniform(0.005, 0.08, count)
    arguments = [sign, spot, np.full(count, 100.0), time, volatility, rate, income]
    found = greeks(*arguments)
    alive = found[PRICE] > sign * (spot - 100.0)
    # Within 0.02 above the boundary the kink of the second derivative is in reach of the steps.
    near = price(*arguments) - sign * (spot - 100.0) < 0.02
    apart = alive & ~near
    assert apart.sum() > 300
    first = slopes(arguments, 2e-4)

    def close(row, expected, scale, worst):
        assert np.abs(found[row] - expected)[apart].max() <= worst * scale, black.GREEKS[row]

    close(DELTA, first[1][0], 1.0, 2e-4)
    close(GAMMA, first[1][1], np.abs(first[1][1][apart]).max(), 2e-2)
    close(VEGA, first[4][0] * 0.01, 0.5, 1e-4)
    close(VOLGA, first[4][1] * 1e-4, 1e-2, 1e-2)
    close(THETA, -first[3][0] / 365.0, 0.1, 1e-3)
    close(RHO, first[5][0] * 1e-4, 1e-2, 1e-3)
    close(RHO_INCOME, first[6][0] * 1e-4, 1e-2, 1e-3)


def test_cross_greeks_are_slopes_of_delta():
    rng = np.random.default_rng(12)
    count = 200
    arguments = [
        rng.choice([-1.0, 1.0], count),
        100.0 * np.exp(rng.normal(0.0, 0.1, count)),
        np.full(count, 100.0),
        rng.uniform(0.1, 2.0, count),
        rng.uniform(0.15, 0.8, count),
        rng.uniform(0.01, 0.05, count),
        rng.uniform(0.01, 0.05, count),
    ]
    found = greeks(*arguments)
    apart = found[PRICE] - arguments[0] * (arguments[1] - 100.0) > 0.1
    for row, place, unit in ((VANNA, 4, 0.01), (CHARM, 3, -1.0 / 365.0)):
        up, down = list(arguments), list(arguments)
        up[place], down[place] = arguments[place] * 1.001, arguments[place] * 0.999
        slope = (greeks(*up)[DELTA] - greeks(*down)[DELTA]) / (0.002 * arguments[place]) * unit
        assert np.abs(found[row] - slope)[apart].max() <= 2e-4


def test_the_greeks_obey_the_equation_of_black_and_scholes():
    sign, spot, strike, _, volatility, rate, income = options_ = grid(3_000, seed=8)
    found = greeks(*options_)
    more = found[PRICE] - sign * (spot - strike)
    # Next to the boundary gamma is good to 5 % only.
    apart = (more > 1e-2 * spot) & (rate >= 0) & (income >= 0)
    assert apart.sum() > 500
    flow = (
        365.0 * found[THETA]
        + 0.5 * (volatility * spot) ** 2 * found[GAMMA]
        + (rate - income) * spot * found[DELTA]
        - rate * found[PRICE]
    )
    assert np.abs(flow / spot)[apart].max() <= 1.5e-4


def test_special_cases_come_first():
    nan = math.nan
    table = [  # sign, spot, strike, time, volatility, rate, income -> price
        ((-1, 90, 100, 0.0, 0.2, 0.05, 0.0), 10.0),
        ((-1, 90, 100, 1.0, 0.0, 0.05, 0.0), 10.0),
        ((1, 90, 100, 1.0, 0.0, 0.01, 0.05), 0.0),
        ((1, 110, 100, 1.0, 0.0, 0.01, 0.05), 10.0),
        ((-1, 50, 100, 1.0, 0.2, 0.05, 0.0), 50.0),
        ((1, 300, 100, 1.0, 0.2, 0.01, 0.08), 200.0),
        ((-1, 98, 100, 2.0, 0.0, -0.01, 0.01), 100 * math.exp(0.02) - 98 * math.exp(-0.02)),
        ((-1, nan, 100, 1.0, 0.2, 0.05, 0.0), nan),
        ((-1, 100, 0, 1.0, 0.2, 0.05, 0.0), nan),
        ((-1, 100, 100, -1.0, 0.2, 0.05, 0.0), nan),
        ((-1, 100, 100, 1.0, -0.2, 0.05, 0.0), nan),
        ((-1, 100, 100, 1.0, math.inf, 0.05, 0.0), nan),
        ((-1, 100, 100, 1.0, 0.2, math.inf, 0.0), nan),
        ((0, 100, 100, 1.0, 0.2, 0.05, 0.0), nan),
    ]
    for arguments, expected in table:
        assert price(*arguments)[0] == pytest.approx(expected, rel=1e-14, nan_ok=True), arguments
    exercised = greeks(-1, 50, 100, 1.0, 0.2, 0.05, 0.0)[:, 0]
    assert exercised[:3].tolist() == [50.0, -1.0, 0.0]
    assert not exercised[3:].any()


@settings(max_examples=100, deadline=None)
@given(
    moneyness=st.floats(-1.0, 1.0),
    time=st.floats(0.0, 3.0),
    volatility=st.floats(0.0, 2.0),
    rate=st.floats(0.0, 0.1),
)
def test_without_a_reason_to_hurry_it_is_european(moneyness, time, volatility, rate):
    spot = 100.0 * math.exp(moneyness)
    for arguments in (
        (1.0, spot, 100.0, time, volatility, rate, 0.0),  # No income to catch.
        (-1.0, spot, 100.0, time, volatility, 0.0, rate),  # No interest on the strike.
        (-1.0, spot, 100.0, time, volatility, -rate, 0.01),
    ):
        assert price(*arguments)[0] == pytest.approx(european(*arguments)[0], abs=1e-12)


def test_without_volatility_it_is_the_limit():
    for sign, spot, rate, income in ((-1, 95, 0.1, 0.02), (1, 105, 0.02, 0.1), (-1, 99, 0.01, 0.1)):
        limit = price(sign, spot, 100, 2.0, 0.0, rate, income)[0]
        assert price(sign, spot, 100, 2.0, 2e-3, rate, income)[0] == pytest.approx(limit, abs=2e-2)


def test_implied_volatility_comes_back():
    rng = np.random.default_rng(7)
    count = 500
    arguments = columns(
        rng.choice([-1.0, 1.0], count), 100.0 * np.exp(rng.normal(0.0, 0.2, count)), 100.0,
        rng.uniform(0.02, 3.0, count), rng.uniform(0.05, 1.0, count),
        rng.uniform(0.0, 0.08, count), rng.uniform(0.0, 0.08, count),
    )  # fmt: skip
    worth, vega = price(*arguments), greeks(*arguments)[VEGA]
    sign, spot, strike, time, volatility, rate, income = arguments
    out = np.empty(count)
    american.implied(sign, spot, strike, time, rate, income, worth, np.full(count, 0.3), out)
    clear = (vega > 1e-4) & (worth > sign * (spot - strike) + 1e-6)
    assert clear.sum() > 400
    assert np.abs(out - volatility)[clear].max() <= 1e-6
    exercised = worth == sign * (spot - strike)
    assert exercised.any()
    assert np.isnan(out[exercised]).all()


@njit
def _escrowed_tree(sign, spot, strike, time, volatility, rate, dates, amounts, steps):
    """Spot less the dividends to come follows the tree; exercise gets the whole spot."""
    step = time / steps
    up = math.exp(volatility * math.sqrt(step))
    weight = (math.exp(rate * step) - 1.0 / up) / (up - 1.0 / up)
    discount = math.exp(-rate * step)
    bare = spot - (amounts * np.exp(-rate * dates)).sum()
    level = bare * up ** np.arange(-float(steps), float(steps) + 1.0)
    values = np.maximum(sign * (level[::2] - strike), 0.0)
    for depth in range(steps - 1, -1, -1):
        coming = 0.0
        for j in range(dates.size):
            if dates[j] > depth * step:
                coming += amounts[j] * math.exp(-rate * (dates[j] - depth * step))
        for place in range(depth + 1):
            wait = discount * (weight * values[place + 1] + (1.0 - weight) * values[place])
            whole = level[steps - depth + 2 * place] + coming
            values[place] = max(wait, sign * (whole - strike))
    return values[0]


@pytest.mark.parametrize(
    ("income", "worst", "typical"), [(0.015, 4e-3, 8e-4), (0.06, 1.6e-2, 4e-3)]
)
def test_discrete_dividends_cost_what_is_said(income, worst, typical):
    rng = np.random.default_rng(13)
    errors = []
    for _ in range(60):
        time, strike = rng.uniform(0.04, 2.0), 100.0 * math.exp(rng.normal(0.0, 0.15))
        volatility, rate = rng.choice([0.15, 0.25, 0.4, 0.6]), rng.choice([0.01, 0.03, 0.05])
        dates = np.arange(rng.uniform(0.01, 0.04), time, 0.25)
        amounts = np.full(dates.size, 100.0 * income / 4.0)
        flow = np.empty(1)
        american.escrowed_yield(100.0, rate, np.array([time]), dates, amounts, flow)
        bare = 100.0 - (amounts * np.exp(-rate * dates)).sum()
        for sign in (-1.0, 1.0):
            own = price(sign, 100.0, strike, time, volatility, rate, flow[0])[0]
            fine = [_escrowed_tree(sign, 100.0, strike, time, volatility, rate, dates, amounts, n)
                    for n in (1_000, 1_001)]  # fmt: skip
            errors.append((own - 0.5 * sum(fine)) / 100.0)
            # The European price is the escrowed model's own.
            assert european(sign, 100.0, strike, time, volatility, rate, flow[0])[0] == (
                pytest.approx(
                    european(sign, bare, strike, time, volatility, rate, 0.0)[0], abs=1e-9
                )
            )
    error = np.array(errors)
    root = np.sqrt((error**2).mean())
    table = f"dividends of {income:.1%}: max {np.abs(error).max():.1e} rms {root:.1e} of the spot"
    print("\n" + table)  # noqa: T201 - For people to read.
    assert np.abs(error).max() <= worst
    assert root <= typical


def test_dividends_that_do_not_count():
    out = np.empty(2)
    dates, amounts = np.array([-0.1, 0.5, 3.0]), np.array([1.0, 2.0, 4.0])
    american.escrowed_yield(100.0, 0.0, np.array([0.25, 1.0]), dates, amounts, out)
    assert out[0] == 0.0
    assert out[1] == pytest.approx(-math.log(0.98))
