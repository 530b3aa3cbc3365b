"""Rule: exponential, logarithm and the normal tail, as formulas without a branch.

Every function is straight-line arithmetic, inlined, so that a loop over plain arrays becomes
vector instructions. Only operations that IEEE 754 rounds correctly (+ - * / and moves of bits)
and no contraction or reordering: the same bits on every CPU, and in plain Python.

Sources: argument reduction by powers of two as in W. J. Cody and W. Waite, "Software Manual for
the Elementary Functions" (1980); log by the series of 2 artanh. The coefficients of the Mills
ratio are our own: the rational function of h that equals it at 22 Chebyshev points of
t = 1 / (1 + h / 4), solved in 60 digits; it is off by 2.2e-17 at most. So is the loss: 23 points,
4.4e-17.
"""

# ruff: noqa: FURB136 - min and max can lose a NaN; a comparison that it fails keeps it.

import math

import numpy as np
from numba import njit

LN2_HIGH = 6.93147180369123816490e-01  # 32 bits: its product with an exponent is exact.
LN2_LOW = 1.90821492927058770002e-10
LOG2_E = 1.4426950408889634
SHIFT = 6755399441055744.0  # 1.5 * 2**52: adding it leaves the nearest integer in the low bits.
EXPONENT_BIAS = 1023
HALF_ROOT_BITS = 0x3FE6A09E667F3BCD  # The bits of sqrt(1/2).
EXP_MIN, EXP_MAX = -708.0, 709.0  # Beyond: 0 and infinity.
TAIL_MAX = 1e20  # exp(-h**2 / 2) is long 0 there, and h**11 still finite.
DENSITY_0 = 1.0 / math.sqrt(2.0 * math.pi)  # The normal density at 0.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def exp(x):
    """e**x within 1 ulp from 3.3e-308; smaller ones are 0, beyond 709 infinity, NaN of NaN."""
    y = EXP_MIN if x < EXP_MIN else x
    y = EXP_MAX if y > EXP_MAX else y
    shifted = np.float64(y * LOG2_E + SHIFT)
    n = shifted - SHIFT
    f = (y - n * LN2_HIGH) - n * LN2_LOW
    p = 1.0 / 6227020800.0  # Taylor to 13: the next term is below 4e-18 for |f| <= ln(2) / 2.
    p = p * f + 1.0 / 479001600.0
    p = p * f + 1.0 / 39916800.0
    p = p * f + 1.0 / 3628800.0
    p = p * f + 1.0 / 362880.0
    p = p * f + 1.0 / 40320.0
    p = p * f + 1.0 / 5040.0
    p = p * f + 1.0 / 720.0
    p = p * f + 1.0 / 120.0
    p = p * f + 1.0 / 24.0
    p = p * f + 1.0 / 6.0
    p = p * f + 0.5
    p = p * f + 1.0
    p = p * f + 1.0
    power = p * np.int64((shifted.view(np.int64) + EXPONENT_BIAS) << 52).view(np.float64)
    power = 0.0 if x < EXP_MIN else power
    return np.inf if x > EXP_MAX else power


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def log_ratio(a, b):
    """ln(a / b) within 2 ulp, also where a is next to b; a, b and a / b positive and normal.

    Of anything else, NaN too, it is some number: the caller says what is known.
    """
    bits = np.float64(a / b).view(np.int64)
    exponent = (bits - HALF_ROOT_BITS) >> 52
    m = np.int64(bits - (exponent << 52)).view(np.float64)
    # Between sqrt(1/2) and sqrt(2) the difference of a and b itself is exact; that of m is not.
    near = exponent == 0
    f = (a - b if near else m - 1.0) / (a + b if near else m + 1.0)
    z = f * f
    p = 1.0 / 23.0  # 2 artanh(f); the next term is below 4e-19 of the sum.
    p = p * z + 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    n = np.float64(exponent)
    return n * LN2_HIGH + (n * LN2_LOW + (2.0 * f + 2.0 * f * (z * p)))


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def mills(h):
    """N(-h) / n(h) for h >= 0, N the normal distribution and n its density; within 4 ulp."""
    h = TAIL_MAX if h > TAIL_MAX else h
    s = h * h
    z = s * s
    # All coefficients are positive: nothing cancels. Four short sums round less than a long one.
    p = (1451444.4311114256 + z * (442852.36404014286 + z * 422.47729594743475)) + h * (
        2499061.9855821915 + z * (124144.7612225787 + z * 29.18712338281613)
    )
    p = p + s * (
        (2124982.652489747 + z * (25793.233161042903 + z))
        + h * (1156736.2462255775 + z * 3930.323590091473)
    )
    q = (1158085.1024471046 + z * (1273312.2515818102 + z * 3959.510713476024)) + h * (
        2917981.1981237344 + z * (467810.6419772239 + z * 423.47729594742714)
    )
    q = q + s * (
        (3444660.4458678523 + z * (128016.71057984451 + z * 29.187123382816143))
        + h * (2520398.854135845 + z * (26213.710456788765 + z))
    )
    return p / q


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def loss(h):
    """1 - h N(-h) / n(h) for h >= 0: the expected excess over h, by the density; within 4 ulp."""
    h = TAIL_MAX if h > TAIL_MAX else h
    s = h * h
    z = s * s
    p = (3973335.231050498 + z * (685523.3747456537 + z * 464.7870792519526)) + h * (
        5767644.709366971 + z * (173272.39241898537 + z * 30.380268365406007)
    )
    p = p + s * (
        (4222019.569251942 + z * (32867.80140754009 + z))
        + h * (2013211.5897973368 + z * 4626.670550124588)
    )
    q = (3973335.231050498 + z * (6100487.616080279 + z * (34256.16264460571 + z))) + h * (
        10747481.926736303 + z * (2506544.806055207 + z * 4717.811355226214)
    )
    q = q + s * (
        (13718655.377523122 + z * (781380.05388009 + z * 467.78707925193095))
        + h * (10949433.001350926 + z * (186970.12251162712 + z * 30.38026836540604))
    )
    return p / q
