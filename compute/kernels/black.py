"""Rule: the European option, log-normal and normal."""
import math

import numpy as np
from numba import njit

from compute.kernels.normal import DENSITY_0, exp, log_ratio, mills

TINY = 1e-140
LEAST, MOST = 1e-300, 1e300


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _black(sign, spot, strike, time, volatility, rate, income):
    root = math.sqrt(time)
    total = volatility * root
    total = TINY if total < TINY else total
    x = log_ratio(spot, strike) + (rate - income) * time
    y = x / total
    known = (
        (spot >= LEAST) & (spot <= MOST) & (strike >= LEAST) & (strike <= MOST)
        & (time >= 0.0) & (volatility >= 0.0) & (sign * sign == 1.0)
    )
    d1 = y + 0.5 * total if known else np.nan
    d2 = y - 0.5 * total
    a = spot * exp(-income * time)
    b = strike * exp(-rate * time)
    density = a * (exp(-0.5 * d1 * d1) * DENSITY_0)
    tail1 = density * mills(abs(d1))
    tail2 = density * mills(abs(d2))
    long = a - tail1 if sign * d1 > 0.0 else tail1
    short = b - tail2 if sign * d2 > 0.0 else tail2
    out = 1.0 if x < 0.0 else -1.0
    tail_long = a - tail1 if out * d1 > 0.0 else tail1
    tail_short = b - tail2 if out * d2 > 0.0 else tail2
    otm = abs(tail1 - tail2) if d1 * d2 > 0.0 else out * (tail_long - tail_short)
    price = otm if sign == out else otm + sign * (a - b)
    return price, long, short, density, total, root, d1, d2


@njit(nogil=True, boundscheck=False, error_model="numpy")
def greeks(sign, spot, strike, time, volatility, rate, income, out):
    for i in range(sign.shape[0]):
        price, long, short, density, total, root, d1, d2 = _black(
            sign[i], spot[i], strike[i], time[i], volatility[i], rate[i], income[i]
        )
        out[0, i] = price
        out[1, i] = sign[i] * long / spot[i]
        out[2, i] = density / total / spot[i] / spot[i]
        out[3, i] = density * root * .01
        out[4, i] = (sign[i]*(income[i]*long-rate[i]*short) - .5*density*volatility[i]*volatility[i]/total)/365
        out[5, i] = sign[i]*time[i]*short*1e-4
