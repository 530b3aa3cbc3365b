"""Implied volatility: the inverse of the price, wherever a price has one."""

import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import plain
from bench.options_figures import EPS, IMPLIED_ERROR_MAX, errors_implied, hard_prices
from compute.kernels import implied
from compute.kernels.bachelier import bachelier
from compute.kernels.black import PRICE, columns, forward_form

mpf = mpmath.mpf


def cold(*values):
    arguments = columns(*values)
    out = np.empty_like(arguments[0])
    alone = implied.cold(*arguments, out)
    return out, alone


def warm(*values):
    arguments = columns(*values)
    out = np.empty_like(arguments[0])
    alone = implied.warm(*arguments, out)
    return out, alone


def normal(*values):
    arguments = columns(*values)
    out = np.empty_like(arguments[0])
    implied.normal(*arguments, out)
    return out


def test_hard_prices_imply_what_50_digits_say_and_none_fails():
    found = errors_implied()
    assert found["implied_points"] == 657
    assert found["implied_cold_failures"] == 0
    assert found["implied_cold_error_max"] <= IMPLIED_ERROR_MAX
    assert found["implied_warm_error_max"] <= IMPLIED_ERROR_MAX


def test_two_steps_from_the_guess_do_for_all_prices_there_are():
    rng = np.random.default_rng(5)
    x = np.concatenate([np.zeros(1_000), 10.0 ** rng.uniform(-15.9, 1.5, 99_000)])
    forward, strike = 100.0, 100.0 * np.exp(np.where(rng.random(len(x)) < 0.5, x, -x))
    sign = np.where(strike >= forward, 1.0, -1.0)
    total = np.maximum(10.0 ** rng.uniform(-9.0, 1.0, len(x)), np.abs(x) / 36.0)
    price = forward_form(sign, forward, strike, 1.0, total, 1.0)[PRICE]
    inside = (price > 1e-280) & (price < (1.0 - 1e-12) * np.minimum(forward, strike))
    found, alone = cold(sign, price, forward, strike, 1.0, 1.0)
    assert np.isfinite(found[inside]).all()
    assert alone == 0
    again = forward_form(sign, forward, strike, 1.0, found, 1.0)[PRICE]
    # A price is good to 4 eps of its conditioning, and so is what it implies.
    y = np.abs(np.log(forward / strike)) / total
    slack = 16 * EPS * (1.0 + y * y + np.minimum(forward, strike) / price)
    assert np.all(np.abs(again / price - 1.0)[inside] <= slack[inside])


def test_a_guess_is_within_a_tenth():
    _, price, strike, t, v, _ = hard_prices()
    share = price / np.minimum(strike, 100.0)
    x = np.abs(np.log(100.0 / strike))
    for each in zip(x, share, v * np.sqrt(t), strict=True):
        assert implied.guess(*each[:2]) == pytest.approx(each[2], rel=0.1)


def test_a_bad_guess_gives_the_cold_answer():
    rng = np.random.default_rng(2)
    strike, v = 100.0 * np.exp(rng.normal(0.0, 0.3, 500)), rng.uniform(0.1, 0.9, 500)
    sign = np.where(strike >= 100.0, 1.0, -1.0)
    price = forward_form(sign, 100.0, strike, 0.5, v, 0.98)[PRICE]
    given = (sign, price, 100.0, strike, 0.5, 0.98)
    known, _ = cold(*given)
    for bad in (np.nan, 0.0, 1e-9, 1e9, np.inf):
        found, alone = warm(*given, bad)
        assert alone == np.count_nonzero(price / 0.98 / np.minimum(strike, 100.0) >= 1e-300)
        np.testing.assert_array_equal(found, known)
    for off in (-0.2, -1.0, *(10.0 ** rng.uniform(-3.0, 3.0, 200))):
        found, _ = warm(*given, off * v)
        good = price > 1e-6
        np.testing.assert_allclose(found[good], known[good], rtol=2e-13)


def test_a_good_guess_needs_no_cold_start():
    rng = np.random.default_rng(3)
    strike, v = 100.0 * np.exp(rng.normal(0.0, 0.2, 2_000)), rng.uniform(0.1, 0.8, 2_000)
    sign, t = np.where(strike >= 100.0, 1.0, -1.0), rng.uniform(0.05, 2.0, 2_000)
    price = forward_form(sign, 100.0, strike, t, v, 1.0)[PRICE]
    keep = price > 1e-4
    sign, price, strike, t, v = (column[keep] for column in (sign, price, strike, t, v))
    near = v * rng.uniform(0.8, 1.2, len(v))
    found, alone = warm(sign, price, 100.0, strike, t, 1.0, near)
    assert alone == 0
    np.testing.assert_allclose(found, v, rtol=1e-13)


def test_ordinary_points_are_those_of_quantlib():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Its binding's types have no __module__.
        ql = pytest.importorskip("QuantLib", reason="QuantLib is not installed")
    rng = np.random.default_rng(4)
    for _ in range(50):
        strike, price = rng.uniform(100.0, 120.0), rng.uniform(1.0, 20.0)
        deviation = ql.blackFormulaImpliedStdDev(
            *(ql.Option.Call, strike, 100.0, price, 0.97, 0.0, ql.nullDouble(), 1e-13, 200)
        )
        found = cold(1, price, 100.0, strike, 0.5, 0.97)[0][0]
        assert found == pytest.approx(deviation / np.sqrt(0.5), rel=1e-9)


@given(
    st.sampled_from([1.0, -1.0]),
    st.floats(0.3, 3.0),
    st.floats(0.01, 5.0),
    st.floats(0.05, 3.0),
    st.floats(0.5, 1.0),
)
@settings(deadline=None)  # The first call compiles.
def test_a_price_comes_back(sign, ratio, t, v, discount):
    price = forward_form(sign, 100.0, 100.0 * ratio, t, v, discount)[PRICE, 0]
    found = cold(sign, price, 100.0, 100.0 * ratio, t, discount)[0][0]
    if np.isnan(found):  # The price rounds to its intrinsic value less a bit, or to its bound.
        inner = discount * max(sign * (100.0 - 100.0 * ratio), 0.0)
        bound = discount * 100.0 * (1.0 if sign > 0 else ratio)
        assert price <= inner * (1.0 + 8 * EPS) or price >= bound * (1.0 - 8 * EPS)
        return
    again = forward_form(sign, 100.0, 100.0 * ratio, t, found, discount)[PRICE, 0]
    assert again == pytest.approx(price, rel=1e-12, abs=64 * EPS * 100.0 * max(ratio, 1.0))


def test_singular_cases_come_first():
    bound = 0.9 * 100.0
    price = np.array([0.0, -1e-12, bound, bound + 1.0, 1.0, np.nan])
    found, _ = cold(1, price, 100.0, 110.0, 1.0, 0.9)
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, True, False, True])
    assert found[0] == 0.0
    found, _ = cold(1, [10.0, 9.999, 10.001], 100.0, 90.0, 1.0, 1.0)
    assert found[0] == 0.0
    assert np.isnan(found[1])
    assert found[2] > 0.0
    found, _ = cold(-1, [99.0, 100.0], 90.0, 100.0, 1.0, 1.0)
    assert found[0] > 0.0
    assert np.isnan(found[1])
    good = [1.0, 5.0, 100.0, 110.0, 1.0, 0.9]
    for argument in range(6):
        for bad in (np.nan, 0.0, -1.0, np.inf):
            values = list(good)
            values[argument] = bad
            if (argument, bad) in ((1, 0.0), (0, -1.0), (4, np.inf)):
                continue  # No premium implies 0; a put; and for ever, any small volatility.
            assert np.isnan(cold(*values)[0][0]), values
            assert np.isnan(warm(*values, 0.2)[0][0]), values


def test_normal_volatilities_are_those_of_50_digits():
    worst = 0.0
    with mpmath.workdps(60):
        for h in (0, 1e-9, 1e-3, 0.1, 0.5, 1, 2, 5, 10, 20, 30, 36):
            for v in (1e-3, 1.0, 250.0):
                gap, total = mpf(h * v), mpf(v)
                price = float(total * mpmath.npdf(gap / total) - gap * mpmath.ncdf(-gap / total))
                if price < 1e-290:
                    continue
                for _ in range(4):
                    d = gap / total
                    tail = mpmath.ncdf(-d)
                    value = total * mpmath.npdf(d) - gap * tail
                    total -= (value - mpf(price)) / mpmath.npdf(d)
                bound = 1 + (price + 2 * gap * tail) / (mpmath.npdf(d) * total)
                for sign in (1.0, -1.0):
                    found = normal(sign, price, -sign * float(gap), 0.0, 1.0, 1.0)[0]
                    worst = max(worst, float(abs(found / total - 1) / (EPS * bound)))
    assert worst <= IMPLIED_ERROR_MAX


@given(
    st.sampled_from([1.0, -1.0]),
    st.floats(-100.0, 100.0),
    st.floats(-5.0, 5.0),
    st.floats(0.01, 5.0),
    st.floats(0.1, 100.0),
)
@settings(deadline=None)  # The first call compiles.
def test_a_normal_price_comes_back(sign, forward, d, t, v):
    strike = forward - d * v * np.sqrt(t)
    price = bachelier(sign, forward, strike, t, v, 0.0)[PRICE, 0]
    found = normal(sign, price, forward, strike, t, 1.0)[0]
    again = bachelier(sign, forward, strike, t, found, 0.0)[PRICE, 0]
    assert again == pytest.approx(price, rel=1e-12, abs=0.0)


def test_normal_singular_cases():
    found = normal(1, [5.0, 4.0, 0.0], [5.0, 5.0, -5.0], 0.0, 1.0, 1.0)
    np.testing.assert_array_equal(found, [0.0, np.nan, 0.0])
    good = [1.0, 5.0, -1.0, 2.0, 1.0, 0.9]
    for argument in range(6):
        for bad in (np.nan, np.inf):
            if (argument, bad) != (4, np.inf):
                values = list(good)
                values[argument] = bad
                assert np.isnan(normal(*values)[0]), values
    assert np.isnan(normal(1, 5.0, -1.0, 2.0, 0.0, 1.0)[0])


def test_kernels_and_plain_python_agree_to_the_bit():
    rng = np.random.default_rng(6)
    sign, price, strike, t, v, _ = hard_prices()[:, ::9]
    off = v * rng.choice([np.nan, 0.9, 1.1, 5.0], len(v))
    price[:3] = 0.0, np.nan, 1e9
    given = columns(sign, price, 100.0, strike, t, 1.0)
    for kernel, extra in ((implied.cold, []), (implied.warm, [off]), (implied.normal, [])):
        compiled, slow = np.zeros((2, len(v)))
        kernel(*given, *extra, compiled)
        with np.errstate(all="ignore"):
            plain(kernel)(*given, *extra, slow)
        np.testing.assert_array_equal(compiled, slow)
