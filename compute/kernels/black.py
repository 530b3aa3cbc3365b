"""Rule: price and Greeks of a European option whose underlying is log-normal (Black).

One formula serves Black-Scholes-Merton, Black-76 and Garman-Kohlhagen. An option on `spot` that
yields `income` (dividend yield; foreign rate; the rate itself if spot is a future) has
    long  = spot e**(-income time) N(sign d1),    d1 = x / total + total / 2,
    short = strike e**(-rate time) N(sign d2),    d2 = x / total - total / 2,
    price = sign (long - short),  x = ln(spot / strike) + (rate - income) time,
    total = volatility sqrt(time),
and every Greek is a plain product of these and of the density, because spot e**(-income time)
n(d1) = strike e**(-rate time) n(d2). The out-of-the-money price is the difference of two Mills
ratios times that density, so no digits are lost in the tails; the in-the-money price is it plus
the discounted intrinsic value. x is taken apart from the forward, whose rounding would be
multiplied by d1 / total.

Arguments are float64 arrays [n]: `sign` +1 call, -1 put; `time` in years of 365 days;
`volatility` a year (0.2 = 20 %); `rate` and `income` continuous.
The result is [rows, n], C-contiguous, in rows PRICE ... CHARM:
    PRICE       in the units of spot, per unit of the underlying (no multiplier)
    DELTA       per 1.0 of spot (of the future for Black-76)
    GAMMA       delta per 1.0 of spot
    VEGA        price per vol point: volatility + 0.01
    THETA       price per calendar day (1/365 year) that passes
    RHO         price per 1 bp of rate, spot and income fixed (Black-76: the future fixed)
    RHO_INCOME  price per 1 bp of income (dividend yield, foreign rate), 0 where there is none
    VANNA       delta per vol point
    VOLGA       vega per vol point
    CHARM       delta per calendar day that passes
`greeks_first` fills the first six, which is what ticks need, `greeks_second` the rest.

Singular cases. No time or no volatility: the discounted intrinsic value, and the limits of the
Greeks; exactly at the kink (x = 0 too) the price is 0, so is the RHO of Black-76, which is
-time price, and all other Greeks are NaN, blank. NaN, a negative time or volatility, a sign that
is not +1 or -1, a spot or strike not within 1e-300 ... 1e300: all NaN.

No fast-math here: live, record and a later check must find the same bits on any CPU, and without
contraction and reordering LLVM still makes vectors of it, because nothing branches and nothing is
summed over options. Error against 50 digits: price <= 4 eps x conditioning for every
out-of-the-money price >= 1e-290, Greeks <= 1e-12 of themselves or, where they are a sum that
changes its sign (theta, vanna, volga, charm), of the sizes summed. THETA is the Black-Scholes
equation, rate price - (rate - income) spot delta - volatility**2 spot**2 gamma / 2.

Sources: Black and Scholes (1973), Merton (1973), Black (1976), Garman and Kohlhagen (1983);
Greeks as in E. G. Haug, "The Complete Guide to Option Pricing Formulas" (2007).
"""

# ruff: noqa: FURB136 - min and max can lose a NaN; a comparison that it fails keeps it.

import math

import numpy as np
from numba import njit

from compute.kernels.normal import DENSITY_0, exp, log_ratio, mills

PRICE, DELTA, GAMMA, VEGA, THETA, RHO, RHO_INCOME, VANNA, VOLGA, CHARM = range(10)
GREEKS = (
    *("price", "delta", "gamma", "vega", "theta", "rho"),
    *("rho_income", "vanna", "volga", "charm"),
)
FIRST = 6  # Rows that greeks_first fills.

VOL_POINT = 0.01
DAY = 1.0 / 365.0
BASIS_POINT = 1e-4

TOTAL_MIN = 1e-140  # Stands for 0 in denominators: whatever it divides is multiplied by a 0 too.
SPOT_MIN, SPOT_MAX = 1e-300, 1e300


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def terms(sign, spot, strike, time, volatility, rate, income):
    """(price, long, short, density, total, d1, d2) as above; density is both sides' n(d)."""
    total = volatility * math.sqrt(time)
    total = TOTAL_MIN if total < TOTAL_MIN else total
    within = (spot >= SPOT_MIN) & (spot <= SPOT_MAX) & (strike >= SPOT_MIN) & (strike <= SPOT_MAX)
    known = within & (time >= 0.0) & (volatility >= 0.0) & (sign * sign == 1.0)
    x = log_ratio(spot, strike) + (rate - income) * time
    y = x / total if known else np.nan
    d1 = y + 0.5 * total
    d2 = y - 0.5 * total
    paid = spot * exp(-income * time)
    owed = strike * exp(-rate * time)
    density = paid * (exp(-0.5 * d1 * d1) * DENSITY_0)
    tail1 = density * mills(abs(d1))
    tail2 = density * mills(abs(d2))
    outside = 1.0 if x < 0.0 else -1.0  # The sign of the option that is out of the money.
    # Of that one both N are tails, or else the long one is above a half and the short one below.
    between = paid - tail1 - tail2 if outside > 0.0 else owed - tail2 - tail1
    out = abs(tail1 - tail2) if d1 * d2 > 0.0 else between
    out = 0.0 if out < 0.0 else out
    price = out if sign == outside else out + sign * (paid - owed)
    # At the kink all but the price is undefined.
    kink = (total == TOTAL_MIN) & (density > 0.0)
    price = 0.0 if kink else price
    density = np.nan if kink else density
    tail1 = np.nan if kink else tail1
    tail2 = np.nan if kink else tail2
    long = paid - tail1 if sign * d1 > 0.0 else tail1
    short = owed - tail2 if sign * d2 > 0.0 else tail2
    return price, long, short, density, total, d1, d2


@njit(nogil=True, boundscheck=False, error_model="numpy")
def price(sign, spot, strike, time, volatility, rate, income, out):
    """The price alone, into `out` [n]."""
    for i in range(sign.shape[0]):
        out[i] = terms(sign[i], spot[i], strike[i], time[i], volatility[i], rate[i], income[i])[0]


@njit(nogil=True, boundscheck=False, error_model="numpy")
def greeks_first(sign, spot, strike, time, volatility, rate, income, future, out):
    """Rows PRICE ... RHO of `out`; `future` (one bool): spot is a future, income equals rate."""
    for i in range(sign.shape[0]):
        s, at, t, v, r, q = sign[i], spot[i], time[i], volatility[i], rate[i], income[i]
        worth, long, short, density, total, _, _ = terms(s, at, strike[i], t, v, r, q)
        out[PRICE, i] = worth
        out[DELTA, i] = s * long / at
        out[GAMMA, i] = density / total / at / at
        out[VEGA, i] = density * math.sqrt(t) * VOL_POINT
        out[THETA, i] = (r * worth - (r - q) * s * long - 0.5 * density * v * (v / total)) * DAY
        out[RHO, i] = (-worth if future else s * short) * t * BASIS_POINT


@njit(nogil=True, boundscheck=False, error_model="numpy")
def greeks_second(sign, spot, strike, time, volatility, rate, income, future, out):
    """Rows RHO_INCOME ... CHARM of `out`, as greeks_first."""
    for i in range(sign.shape[0]):
        s, at, t, v, r, q = sign[i], spot[i], time[i], volatility[i], rate[i], income[i]
        _, long, _, density, total, d1, d2 = terms(s, at, strike[i], t, v, r, q)
        # Products begin with the density, so that without time or volatility its 0 prevails.
        slope = density * d2 * (v / total)  # density d2 / sqrt(time)
        vega = density * math.sqrt(t)
        out[RHO_INCOME, i] = s * long * t * (0.0 if future else -BASIS_POINT)
        out[VANNA, i] = -density * d2 * (math.sqrt(t) / total) / at * VOL_POINT
        out[VOLGA, i] = vega * d1 * d2 * (math.sqrt(t) / total) * (VOL_POINT * VOL_POINT)
        drift = density * (r - q) / total - 0.5 * slope * (v / total)
        out[CHARM, i] = (q * s * long - drift) / at * DAY


KERNELS = (greeks_first, greeks_second)


def black_scholes_merton(sign, spot, strike, time, volatility, rate, dividend_yield):
    """[10, n]: options on a spot that pays `dividend_yield`; arguments broadcast to one [n]."""
    return _both(False, sign, spot, strike, time, volatility, rate, dividend_yield)


def black_76(sign, future, strike, time, volatility, rate):
    """[10, n]: options on a future, paid for at once; Greeks are of the future."""
    return _both(True, sign, future, strike, time, volatility, rate, rate)


def garman_kohlhagen(sign, spot, strike, time, volatility, domestic, foreign):
    """[10, n]: options on a foreign currency; RHO is of the domestic rate, RHO_INCOME foreign.

    Price and delta are in the domestic currency per unit of the foreign one, not adjusted for
    premium.
    """
    return _both(False, sign, spot, strike, time, volatility, domestic, foreign)


def forward_form(sign, forward, strike, time, volatility, discount):
    """[10, n]: as black_76, by the value today of 1 at expiry (1 without time) for a rate."""
    *rest, years, sigma, worth = columns(sign, forward, strike, time, volatility, discount)
    rate = np.empty_like(years)
    implied_rate(worth, years, rate)
    return _both(True, *rest, years, sigma, rate, rate)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def implied_rate(discount, time, out):
    """Continuous rates into `out`; 0 where no time is left, NaN where discount is not positive."""
    for i in range(discount.shape[0]):
        rate = log_ratio(1.0, discount[i]) / time[i] if time[i] > 0.0 else 0.0
        out[i] = rate if discount[i] > 0.0 else np.nan


def columns(*values):
    """Scalars and arrays broadcast to contiguous float64 arrays of one length."""
    whole = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, np.float64)) for v in values))
    return [np.ascontiguousarray(column) for column in whole]


def _both(future, *values):
    arguments = columns(*values)
    out = np.empty((len(GREEKS), len(arguments[0])))
    for kernel in KERNELS:
        kernel(*arguments, future, out)
    return out
