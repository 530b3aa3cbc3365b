"""Black's formula against 50 digits, against QuantLib, and against its own laws."""

import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import plain
from bench.options_figures import (
    GREEKS_ERROR_MAX,
    PRICE_ERROR_MAX,
    THETA_ERROR_MAX,
    errors_greeks,
    hard_grid,
    market,
)
from compute.kernels import black
from compute.kernels.black import (
    CHARM,
    DELTA,
    GAMMA,
    PRICE,
    RHO,
    RHO_INCOME,
    THETA,
    VANNA,
    VEGA,
    VOLGA,
    black_76,
    black_scholes_merton,
    forward_form,
    garman_kohlhagen,
)

EPS = 2.0**-52
mpf = mpmath.mpf


def test_the_hard_grid_has_every_corner():
    assert hard_grid().shape == (7, 1_666)


def test_greeks_on_the_hard_grid_are_those_of_50_digits():
    found = errors_greeks()
    assert found["price_error_max"] <= PRICE_ERROR_MAX
    assert found["greeks_error_max"] <= GREEKS_ERROR_MAX
    assert found["theta_error_max"] <= THETA_ERROR_MAX


def exact_price(w, spot, strike, t, v, r, q):
    total = v * mpmath.sqrt(t)
    d1 = (mpmath.log(spot / strike) + (r - q) * t) / total + total / 2
    long = spot * mpmath.exp(-q * t) * mpmath.ncdf(w * d1)
    return w * (long - strike * mpmath.exp(-r * t) * mpmath.ncdf(w * (d1 - total)))


def derivatives(price, rates):
    """The ten rows by numerical derivatives of price(spot, time, volatility, *rates)."""

    def by(*orders):
        return mpmath.diff(price, POINT[: 3 + rates], orders + (0,) * (3 + rates - len(orders)))

    income = by(0, 0, 0, 0, 1) / 10_000 if rates == 2 else mpf(0)
    return [
        *(price(*POINT[: 3 + rates]), by(1), by(2), by(0, 0, 1) / 100, -by(0, 1) / 365),
        *(by(0, 0, 0, 1) / 10_000, income, by(1, 0, 1) / 100, by(0, 0, 2) / 10_000),
        -by(1, 1) / 365,
    ]


POINT = (mpf("101.5"), mpf("0.75"), mpf("0.3"), mpf("0.04"), mpf("0.015"))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("strike", [80, 100, 130])
def test_every_greek_is_the_derivative_its_unit_says(sign, strike):
    spot, t, v, r, q = map(float, POINT)
    with mpmath.workdps(40):
        of_spot = derivatives(lambda s, t, v, r, q: exact_price(sign, s, strike, t, v, r, q), 2)
        of_future = derivatives(lambda f, t, v, r: exact_price(sign, f, strike, t, v, r, r), 1)
    found = black_scholes_merton(sign, spot, strike, t, v, r, q)[:, 0]
    np.testing.assert_allclose(found, np.array(of_spot, float), rtol=1e-12)
    found = black_76(sign, spot, strike, t, v, r)[:, 0]
    np.testing.assert_allclose(found, np.array(of_future, float), rtol=1e-12)


def test_ordinary_points_are_those_of_quantlib():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Its binding's types have no __module__.
        ql = pytest.importorskip("QuantLib", reason="QuantLib is not installed")
    options = market(300)
    found = black_scholes_merton(*options)
    for n, (sign, spot, strike, t, v, r, q) in enumerate(np.array(options).T.tolist()):
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if sign > 0 else ql.Option.Put, strike)
        forward = spot * np.exp((r - q) * t)
        one = ql.BlackCalculator(payoff, forward, v * np.sqrt(t), np.exp(-r * t))
        expected = {
            PRICE: one.value(),
            DELTA: one.delta(spot),
            GAMMA: one.gamma(spot),
            VEGA: one.vega(t) / 100,
            THETA: one.theta(spot, t) / 365,
            RHO: one.rho(t) / 10_000,
            RHO_INCOME: one.dividendRho(t) / 10_000,
        }
        if one.value() > 1e-6:  # Further out QuantLib itself loses its digits.
            rows = list(expected)
            np.testing.assert_allclose(found[rows, n], list(expected.values()), 1e-8, 1e-12)


spots = st.floats(0.01, 1e5)
ratios = st.floats(0.2, 5.0)
times = st.floats(1e-6, 10.0)
volatilities = st.floats(0.01, 5.0)
rates = st.floats(-0.05, 0.2)


@given(spots, ratios, times, volatilities, rates, rates)
@settings(deadline=None)  # The first call compiles.
def test_a_call_less_a_put_is_the_forward(spot, ratio, t, v, r, q):
    strike = spot * ratio
    call, put = black_scholes_merton([1.0, -1.0], spot, strike, t, v, r, q).T
    paid, owed = spot * np.exp(-q * t), strike * np.exp(-r * t)
    size = paid + owed
    assert call[PRICE] - put[PRICE] == pytest.approx(paid - owed, rel=0, abs=8 * EPS * size)
    assert call[DELTA] - put[DELTA] == pytest.approx(np.exp(-q * t), rel=8 * EPS)
    for row in (GAMMA, VEGA, VANNA, VOLGA):
        assert call[row] == put[row]


@given(spots, ratios, times, volatilities, rates, rates, st.floats(1e-6, 1.0))
@settings(deadline=None)  # The first call compiles.
def test_a_price_lies_between_its_bounds_and_rises_with_volatility(spot, ratio, t, v, r, q, more):
    strike = spot * ratio
    for sign in (1.0, -1.0):
        low, high = black_scholes_merton(sign, spot, strike, t, [v, v + more], r, q)[PRICE]
        paid, owed = spot * np.exp(-q * t), strike * np.exp(-r * t)
        slack = 8 * EPS * (paid + owed)
        assert max(sign * (paid - owed), 0.0) - slack <= low <= high + slack
        assert high <= (paid if sign > 0.0 else owed) + slack


@given(spots, ratios, times, volatilities, rates, rates)
@settings(deadline=None)  # The first call compiles.
def test_a_call_on_a_currency_is_a_put_on_the_other(spot, ratio, t, v, domestic, foreign):
    strike = spot * ratio
    call = garman_kohlhagen(1, spot, strike, t, v, domestic, foreign)[PRICE, 0]
    put = garman_kohlhagen(-1, 1.0 / spot, 1.0 / strike, t, v, foreign, domestic)[PRICE, 0]
    assert call == pytest.approx(spot * strike * put, rel=1e-10, abs=16 * EPS * (spot + strike))


def test_a_forward_and_a_discount_are_a_future_and_a_rate():
    years = np.array([0.0, 0.5, 3.0])
    found = forward_form(1, 100.0, 90.0, years, 0.2, np.exp(-0.03 * years))
    np.testing.assert_allclose(
        found, black_76(1, 100.0, 90.0, years, 0.2, [0.0, 0.03, 0.03]), 1e-13
    )
    assert np.isnan(forward_form(1, 100.0, 90.0, 1.0, 0.2, 0.0)).all()


@pytest.mark.parametrize(("t", "v"), [(0.0, 0.2), (0.0, 0.0), (2.0, 0.0)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("strike", [50.0, 200.0])
def test_without_time_or_volatility_an_option_is_its_intrinsic_value(t, v, sign, strike):
    found = black_scholes_merton(sign, 100.0, strike, t, v, 0.03, 0.01)[:, 0]
    paid, owed = 100.0 * np.exp(-0.01 * t), strike * np.exp(-0.03 * t)
    inside = float(sign * (paid - owed) > 0.0)
    expected = np.zeros(10)
    expected[PRICE] = inside * sign * (paid - owed)
    expected[DELTA] = inside * sign * np.exp(-0.01 * t)
    expected[THETA] = inside * sign * (0.01 * paid - 0.03 * owed) / 365
    expected[RHO] = inside * sign * t * owed * 1e-4
    expected[RHO_INCOME] = -inside * sign * t * paid * 1e-4
    expected[CHARM] = 0.01 * expected[DELTA] / 365
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0.0)


def test_at_the_kink_the_price_is_zero_and_the_greeks_are_blank():
    for t, v in ((0.0, 0.2), (1.0, 0.0)):
        found = black_scholes_merton([1, -1], 100.0, 100.0, t, v, 0.02, 0.02)
        assert np.all(found[PRICE] == 0.0)
        assert np.isnan(found[1:]).all()


BAD = {
    0: (0.5, 0.0, np.inf),
    1: (0.0, -1.0, np.inf, 1e-310),
    2: (0.0, -1.0, np.inf),
    3: (-1e-9,),
    4: (-0.1,),
    5: (),
    6: (),
}


@pytest.mark.parametrize("argument", BAD)
@pytest.mark.parametrize("future", [False, True])
def test_what_is_unknown_or_impossible_has_no_number(argument, future):
    for bad in (np.nan, *BAD[argument]):
        for sign in (1.0, -1.0):
            for t in (0.5, 0.0):
                values = [sign, 100.0, 110.0, t, 0.2, 0.03, 0.01]
                values[argument] = bad
                arguments = black.columns(*values)
                out = np.zeros((10, 1))
                for kernel in black.KERNELS:
                    kernel(*arguments, future, out)
                assert np.isnan(out).all(), (values, out)


def test_kernels_and_plain_python_agree_to_the_bit():
    grid = hard_grid()[:, ::23]
    odd = np.array([(1.0, 100.0, 100.0, 0.0, 0.2, 0.02, 0.02), (-1.0, 1.0, 2.0, 1.0, 0.0, 0.1, 0)])
    arguments = [np.ascontiguousarray(row) for row in np.hstack([grid, odd.T, market(40)])]
    for kernel in black.KERNELS:
        for future in (False, True):
            compiled, slow = np.zeros((2, 10, len(arguments[0])))
            kernel(*arguments, future, compiled)
            with np.errstate(all="ignore"):
                plain(kernel)(*arguments, future, slow)
            np.testing.assert_array_equal(compiled, slow)


def test_the_price_alone_is_the_price():
    options = market(100)
    out = np.empty(100)
    black.price(*options, out)
    np.testing.assert_array_equal(out, black_scholes_merton(*options)[PRICE])
