"""The exponential, the logarithm and the tail, against 50 digits."""

import mpmath
import numpy as np
import pytest

from compute.kernels.normal import exp, log_ratio, loss, mills

ULP = 2.0**-52
mpf = mpmath.mpf


def over(function, *arguments):
    return np.array([function(*each) for each in zip(*arguments, strict=True)])


def worst(found, exact):
    with mpmath.workdps(50):
        return max(abs(float((mpf(a) - b) / b)) for a, b in zip(found.tolist(), exact, strict=True))


def test_exp_is_within_one_ulp():
    x = np.concatenate([np.linspace(-707.9, 708.9, 2_000), np.geomspace(1e-17, 1.0, 200)])
    with mpmath.workdps(50):
        assert worst(over(exp, x), [mpmath.exp(mpf(v)) for v in x.tolist()]) <= ULP


def test_exp_ends_in_zero_and_infinity_and_keeps_nan():
    found = over(exp, np.array([-709.0, -1e300, -np.inf, 710.0, np.inf, np.nan, 0.0]))
    np.testing.assert_array_equal(found, [0.0, 0.0, 0.0, np.inf, np.inf, np.nan, 1.0])


def test_log_ratio_is_within_two_ulp_also_next_to_one():
    rng = np.random.default_rng(0)
    a = np.exp(rng.uniform(-300.0, 300.0, 1_000))
    near = np.exp(rng.normal(0.0, 1.0, 1_000) * 10.0 ** rng.uniform(-15, 0, 1_000))
    b = np.concatenate([a[:500] * near[:500], near[500:]])
    with mpmath.workdps(50):
        exact = [mpmath.log(mpf(x) / mpf(y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        found = over(log_ratio, a, b)
        assert all(x == 0.0 for x, y in zip(found, exact, strict=True) if y == 0)
        pairs = [(x, y) for x, y in zip(found, exact, strict=True) if y != 0]
        assert worst(np.array([x for x, _ in pairs]), [y for _, y in pairs]) <= 2.0 * ULP


@pytest.mark.parametrize("function", [mills, loss])
def test_tails_are_within_four_ulp(function):
    h = np.concatenate([np.linspace(0.0, 40.0, 2_000), np.geomspace(1e-12, 1e6, 300)])
    with mpmath.workdps(60):
        ratio = [
            mpmath.sqrt(mpmath.pi / 2) * mpmath.exp(x * x / 2) * mpmath.erfc(x / mpmath.sqrt(2))
            if x < 100
            else 1 / x
            - x**-3
            + 3 * x**-5
            - 15 * x**-7
            + 105 * x**-9
            - 945 * x**-11
            + 10395 * x**-13
            for x in map(mpf, h.tolist())
        ]
        if function is loss:
            ratio = [1 - x * r for x, r in zip(map(mpf, h.tolist()), ratio, strict=True)]
        assert worst(over(function, h), ratio) <= 4.0 * ULP


def test_tails_of_the_infinite_are_finite():
    h = np.array([1e30, 1e300, np.inf])
    assert np.all(over(mills, h) <= 1e-19)
    assert np.all(np.isfinite(over(loss, h)))
