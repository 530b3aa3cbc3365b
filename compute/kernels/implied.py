"""Rule: the volatility that a price implies, log-normal (Black) and normal (Bachelier).

Cold, nothing is known: the guess of P. Jaeckel, "Let's Be Rational" (Wilmott, 2015), written from
its mathematics, then two Householder steps of fourth order. With x = |ln(forward / strike)| and
b(s) the out-of-the-money price over sqrt(forward strike) at total volatility s = volatility
sqrt(time), b is convex below s = sqrt(2 x) and concave above; the tangent there meets 0 and the
bound at two more places. They cut prices in four zones. In the middle two, s(b) itself is a
rational cubic of known ends, slopes and one curvature. In the outer two a map that makes b nearly
linear is interpolated so, and inverted by the normal quantile.
Warm, the previous tick's volatility is the guess: the same two steps. Where the second one still
moved by more than MOVED_MAX, what remains might exceed 1e-13, and the option is solved cold.

The steps solve ln(value / target) = 0, target being the price, or the distance to its bound for
prices above half of it, so that no digit is lost on either side. A step is straight-line
arithmetic over arrays and vectorises; the cold guess branches, one option at a time.

Arguments are float64 arrays [n]: `sign` +1 call, -1 put, `price` as paid today, `forward`,
`strike`, `time` in years, `discount` (the value today of 1 at expiry). Result: `out` [n],
volatility a year. Singular cases: a price at intrinsic value implies 0; below it, at or above
its bound (discounted forward for calls, strike for puts; none for Bachelier), no time, NaN or
anything out of order implies NaN.
An in-the-money price is first made out-of-the-money; what its own rounding means is the caller's.

No fast-math, as in black.py. Error against 50 digits: cold <= 2 eps x conditioning on every hard
point, warm <= 1e-13 for guesses within 20 %.

Sources: Jaeckel as above; R. Delbourgo and J. A. Gregory (1985) for the rational cubic;
M. Abramowitz and I. Stegun 26.2.23 for the first quantile; A. S. Householder (1970).
"""

import math

import numpy as np
from numba import njit

from compute.kernels.normal import DENSITY_0, exp, log_ratio, loss, mills

MOVED_MAX = 3e-4
FORWARD_MIN, FORWARD_MAX = 1e-300, 1e300
ROOT_3 = math.sqrt(3.0)
ROOT_HALF_PI = math.sqrt(0.5 * math.pi)
SHAPE_MIN = 1e-6  # Of the rational cubic's control, which must exceed -1.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def householder(total, miss, slope, bend, twist):
    """The step from `total` of the method of order 4 for ln(value / target) = miss = 0.

    slope = value' / value, bend = value'' / value', twist = value''' / value'.
    """
    newton = -miss / slope
    second = bend - slope
    third = twist - 3.0 * bend * slope + 2.0 * slope * slope
    return newton * (1.0 + 0.5 * second * newton) / (
        1.0 + newton * (second + third * newton * (1.0 / 6.0))
    )


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def step(x, share, total):
    """How far to move `total`; share = out-of-the-money price / min(forward, strike)."""
    y = x / total
    d1 = 0.5 * total - y
    d2 = 0.5 * total + y  # The usual d2 is its negative.
    density = exp(-0.5 * d1 * d1) * DENSITY_0
    tail1 = density * mills(abs(d1))
    tail2 = density * mills(d2)
    upper = share > 0.5
    both = tail1 + tail2
    lower = 1.0 - both if d1 > 0.0 else tail1 - tail2
    value = both if upper else lower
    target = 1.0 - share if upper else share
    slope = (-density if upper else density) / value
    bend = -d1 * d2 / total
    slant = y / total
    twist = bend * bend - 3.0 * slant * slant - 0.25
    return householder(total, log_ratio(value, target), slope, bend, twist)
