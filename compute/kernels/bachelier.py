"""Rule: price and Greeks of a European option whose forward is normal, so may be negative.

Bachelier (1900), for prices below zero (power, oil of April 2020, spreads, rates):
    price = discount (sign (forward - strike) N(sign d) + total n(d)),
    d = (forward - strike) / total,  total = volatility sqrt(time).
The out-of-the-money price is total n(d) (1 - |d| M(|d|)), M the Mills ratio: no digit is lost in
the tails. Arguments, rows, units, singular cases and the choice of no fast-math are those of
black.py, with `forward` for spot (RHO holds it fixed, RHO_INCOME is 0) and `volatility` in units
of price a year: a vol point is 0.01 of that. Forward and strike within +-1e100.

Error against 50 digits: price <= 4 eps x conditioning, Greeks <= 1e-12 as in black.py.
"""

# ruff: noqa: FURB136 - min and max can lose a NaN; a comparison that it fails keeps it.

import math

import numpy as np
from numba import njit

from compute.kernels.black import (
    BASIS_POINT,
    CHARM,
    DAY,
    DELTA,
    GAMMA,
    GREEKS,
    PRICE,
    RHO,
    RHO_INCOME,
    THETA,
    TOTAL_MIN,
    VANNA,
    VEGA,
    VOL_POINT,
    VOLGA,
    columns,
)
from compute.kernels.normal import DENSITY_0, exp, loss, mills

SIZE_MAX = 1e100


@njit(nogil=True, boundscheck=False, error_model="numpy")
def greeks(sign, forward, strike, time, volatility, rate, out):
    """All rows of `out` [10, n]."""
    for i in range(sign.shape[0]):
        s, t, v, r = sign[i], time[i], volatility[i], rate[i]
        root = math.sqrt(t)
        total = v * root
        total = TOTAL_MIN if total < TOTAL_MIN else total
        gap = forward[i] - strike[i]
        known = (abs(forward[i]) <= SIZE_MAX) & (abs(strike[i]) <= SIZE_MAX)
        known = known & (t >= 0.0) & (v >= 0.0) & (s * s == 1.0)
        discount = exp(-r * t)
        d = gap / total if known else np.nan
        density = discount * (exp(-0.5 * d * d) * DENSITY_0)
        tail = density * mills(abs(d))
        worth = density * total * loss(abs(d))
        worth = worth + (s * gap * discount if s * gap > 0.0 else 0.0)
        kink = (total == TOTAL_MIN) & (density > 0.0)
        worth = 0.0 if kink else worth
        density = np.nan if kink else density
        delta = s * (discount - tail if s * d > 0.0 else tail)
        delta = np.nan if kink else delta
        slope = density * d
        out[PRICE, i] = worth
        out[DELTA, i] = delta
        out[GAMMA, i] = density / total
        out[VEGA, i] = density * root * VOL_POINT
        out[THETA, i] = (r * worth - 0.5 * density * v * (v / total)) * DAY
        out[RHO, i] = -t * worth * BASIS_POINT
        out[RHO_INCOME, i] = 0.0 * worth
        out[VANNA, i] = -slope * (root / total) * VOL_POINT
        out[VOLGA, i] = slope * d * root * (root / total) * (VOL_POINT * VOL_POINT)
        out[CHARM, i] = (r * delta + 0.5 * slope * (v / total) * (v / total)) * DAY


def bachelier(sign, forward, strike, time, volatility, rate):
    """[10, n]: options on a forward or future; arguments broadcast to one [n]."""
    arguments = columns(sign, forward, strike, time, volatility, rate)
    out = np.empty((len(GREEKS), len(arguments[0])))
    greeks(*arguments, out)
    return out
