"""Bachelier's formula against 50 digits, against QuantLib, and against its own laws."""

import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import plain
from compute.kernels import bachelier as kernels
from compute.kernels.bachelier import bachelier
from compute.kernels.black import CHARM, DELTA, GREEKS, PRICE, RHO, THETA, columns

EPS = 2.0**-52
mpf = mpmath.mpf


def exact_price(w, forward, strike, t, v, r):
    total = v * mpmath.sqrt(t)
    d = (forward - strike) / total
    undiscounted = w * (forward - strike) * mpmath.ncdf(w * d) + total * mpmath.npdf(d)
    return mpmath.exp(-r * t) * undiscounted


def test_prices_and_first_greeks_on_a_hard_grid_are_those_of_50_digits():
    points = [
        (sign, forward, strike, t, v, 0.03)
        for sign in (1.0, -1.0)
        for forward in (-37.63, 0.0, 20.0)
        for strike in (-50.0, -37.63, -37.0, 0.0, 1e-3, 10.0, 200.0)
        for t in (1 / 525_600, 1 / 365, 0.5, 10.0)
        for v in (0.01, 1.0, 30.0, 500.0)
    ]
    found = bachelier(*np.array(points).T)
    counted = 0
    with mpmath.workdps(60):
        for n, point in enumerate(points):
            w, f, k, t, v, r = map(mpf, point)
            price = exact_price(*map(mpf, point))
            total, discount = v * mpmath.sqrt(t), mpmath.exp(-r * t)
            d = (f - k) / total
            if w * d > 0 or price < mpf(10) ** -290:
                continue
            counted += 1
            bell, delta = discount * mpmath.npdf(d), w * discount * mpmath.ncdf(w * d)
            bound = (abs(f) + abs(k)) * abs(delta) + 2 * bell * total + price
            assert abs(mpf(found[PRICE, n]) - price) <= 4 * EPS * bound, point
            decay = bell * v / (2 * mpmath.sqrt(t))
            theta, size = (r * price - decay) / 365, (r * price + decay) / 365
            expected = (
                delta,
                bell / total,
                bell * mpmath.sqrt(t) / 100,
                theta,
                -t * price / 10_000,
            )
            for row, (exact, scale) in enumerate(
                zip(expected, (delta, bell / total, expected[2], size, price), strict=True), 1
            ):
                assert abs(mpf(found[row, n]) - exact) <= 1e-12 * abs(scale), (point, GREEKS[row])
    assert counted > 150


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("strike", [-45, -37, 12])
def test_every_greek_is_the_derivative_its_unit_says(sign, strike):
    point = (mpf("-37.63"), mpf("0.75"), mpf("30"), mpf("0.04"))

    def by(*orders):
        def price(f, t, v, r):
            return exact_price(sign, f, strike, t, v, r)

        return mpmath.diff(price, point, orders + (0,) * (4 - len(orders)))

    with mpmath.workdps(40):
        expected = [
            *(by(0), by(1), by(2), by(0, 0, 1) / 100, -by(0, 1) / 365, by(0, 0, 0, 1) / 10_000),
            *(mpf(0), by(1, 0, 1) / 100, by(0, 0, 2) / 10_000, -by(1, 1) / 365),
        ]
    found = bachelier(sign, -37.63, strike, 0.75, 30.0, 0.04)[:, 0]
    np.testing.assert_allclose(found, np.array(expected, float), rtol=1e-12)


def test_ordinary_prices_are_those_of_quantlib():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Its binding's types have no __module__.
        ql = pytest.importorskip("QuantLib", reason="QuantLib is not installed")
    rng = np.random.default_rng(0)
    for _ in range(100):
        forward, strike = rng.normal(0.0, 20.0, 2).tolist()
        t, v = rng.uniform(0.1, 2.0), rng.uniform(5.0, 50.0)
        expected = ql.bachelierBlackFormula(ql.Option.Put, strike, forward, v * np.sqrt(t), 0.97)
        found = bachelier(-1, forward, strike, t, v, -np.log(0.97) / t)[PRICE, 0]
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


prices = st.floats(-1e4, 1e4)


@given(prices, prices, st.floats(1e-6, 10.0), st.floats(0.01, 1e3), st.floats(-0.05, 0.2))
@settings(deadline=None)  # The first call compiles.
def test_a_call_less_a_put_is_the_forward(forward, strike, t, v, r):
    call, put = bachelier([1.0, -1.0], forward, strike, t, v, r).T
    worth = np.exp(-r * t) * (forward - strike)
    slack = 8 * EPS * (abs(worth) + v * np.sqrt(t))
    assert call[PRICE] - put[PRICE] == pytest.approx(worth, rel=0, abs=slack)
    assert call[DELTA] - put[DELTA] == pytest.approx(np.exp(-r * t), rel=8 * EPS)
    assert bachelier(1, forward, strike, t, 1.1 * v, r)[PRICE, 0] >= call[PRICE] - slack


def test_without_time_or_volatility_an_option_is_its_intrinsic_value():
    found = bachelier([1, -1], -30.0, -40.0, 2.0, 0.0, 0.03)
    worth = np.exp(-0.06)
    np.testing.assert_allclose(found[PRICE], [10.0 * worth, 0.0], rtol=1e-15)
    np.testing.assert_allclose(found[DELTA], [worth, 0.0], rtol=1e-15)
    np.testing.assert_allclose(found[THETA], [0.03 * 10.0 * worth / 365, 0.0], rtol=1e-14)
    np.testing.assert_allclose(found[CHARM], [0.03 * worth / 365, 0.0], rtol=1e-14)
    kink = bachelier(1, -30.0, -30.0, 0.0, 5.0, 0.03)[:, 0]
    assert kink[PRICE] == kink[RHO] == 0.0
    assert np.isnan(kink[[DELTA, THETA, CHARM]]).all()


@pytest.mark.parametrize(
    ("argument", "bad"),
    [(n, np.nan) for n in range(6)] + [(0, 0.5), (1, np.inf), (2, 1e101), (3, -1.0), (4, -1.0)],
)
def test_what_is_unknown_or_impossible_has_no_number(argument, bad):
    for sign, strike in ((1.0, 5.0), (-1.0, 5.0), (1.0, 3.0)):
        values = [sign, 4.0, strike, 0.5, 3.0, 0.02]
        values[argument] = bad
        assert np.isnan(bachelier(*values)).all()


def test_kernel_and_plain_python_agree_to_the_bit():
    rng = np.random.default_rng(1)
    sign, total = np.where(rng.random(60) < 0.5, 1.0, -1.0), rng.uniform(0.0, 3.0, 60)
    total[:5] = 0.0
    arguments = columns(sign, rng.normal(size=60), rng.normal(size=60), total, total, 0.03)
    compiled, slow = np.zeros((2, 10, 60))
    kernels.greeks(*arguments, compiled)
    with np.errstate(all="ignore"):
        plain(kernels.greeks)(*arguments, slow)
    np.testing.assert_array_equal(compiled, slow)
