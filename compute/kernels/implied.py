"""Rule: the volatility that a price implies, log-normal (Black) and normal (Bachelier).

Cold, nothing is known: the guess of P. Jaeckel, "Let's Be Rational" (Wilmott, 2015), written from
its mathematics, then two Householder steps of fourth order. With x = |ln(forward / strike)| and
b(s) the out-of-the-money price over sqrt(forward strike) at total volatility s = volatility
sqrt(time), b is convex below s = sqrt(2 x) and concave above; the tangent there meets 0 and the
bound at two more places. They cut prices in four zones. In the middle two, s(b) itself is a
rational cubic of known ends, slopes and one curvature. In the outer two a map that makes b nearly
linear is interpolated so, and inverted by the normal quantile.
Warm, the previous tick's volatility is the guess: the same two steps. Where the residual before
the second was above LEFT_MAX, what remains might exceed 1e-13, and the option is solved cold.

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

# ruff: noqa: FURB136 - min and max can lose a NaN; a comparison that it fails keeps it.

import math

import numpy as np
from numba import njit

from compute.kernels.normal import DENSITY_0, exp, log_ratio, loss, mills

LEFT_MAX = 3e-4  # Residual before the last step, of the volatility: its 4th power is < 1e-14.
STEPS_MAX = 8  # From the cold guess two do; more are for a point nobody has met.
SHARE_MIN = 1e-300  # A price below this share of its bound counts as none.
SIZE_MAX = 1e300  # Of a forward, a strike, a discount.
STRADDLE = math.sqrt(0.5 * math.pi)  # Normal volatility of a straddle of 1; the Mills ratio of 0.
ROOT_3 = math.sqrt(3.0)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def householder(miss, slope, bend, twist):
    """(step of order 4, Newton's step) towards ln(value / target) = 0, where it is `miss`.

    slope = value' / value, bend = value'' / value', twist = value''' / value'.
    """
    newton = -miss / slope
    second = bend - slope
    third = twist - 3.0 * bend * slope + 2.0 * slope * slope
    over = 1.0 + 0.5 * second * newton
    under = 1.0 + newton * (second + third * newton * (1.0 / 6.0))
    return newton * over / under, newton


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def value_of(x, total):
    """(share, vega, rest) of the out-of-the-money price by min(forward, strike); rest 1 - share.

    vega is the derivative by `total`. Share and rest are as exact as their conditioning allows.
    """
    y = x / total
    d1 = 0.5 * total - y
    vega = exp(-0.5 * d1 * d1) * DENSITY_0
    tail1 = vega * mills(abs(d1))
    tail2 = vega * mills(0.5 * total + y)
    inside = d1 > 0.0
    share = 1.0 - (tail1 + tail2) if inside else tail1 - tail2
    return share, vega, tail1 + tail2 if inside else 1.0 - share


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def step(x, share, total):
    """(how far to move `total` so that the price is `share`, Newton's view of it)."""
    value, vega, rest = value_of(x, total)
    upper = share > 0.5
    value = rest if upper else value
    slope = (-vega if upper else vega) / value
    slant = x / (total * total)
    bend = slant * slant * total - 0.25 * total
    miss = log_ratio(value, 1.0 - share if upper else share)
    return householder(miss, slope, bend, bend * bend - 3.0 * slant * slant - 0.25)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def quantile(p):
    """The h >= 0 with N(-h) = p, within 1e-6, for 0 < p <= 1/2."""
    t = math.sqrt(2.0 * log_ratio(1.0, p))
    h = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (
        1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    )
    h = max(h, 0.0)
    ratio = mills(h)
    return h + ratio * log_ratio(DENSITY_0 * exp(-0.5 * h * h) * ratio, p)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def cubic(t, rest, width, f0, f1, slope0, slope1, curved, left):
    """The rational cubic at 0 <= t = 1 - rest <= 1 of an interval `width` wide.

    It has the ends f0, f1, their slopes, the second derivative `curved` at its left or right
    end where that leaves it monotone, and otherwise the least control that does.
    """
    mean = (f1 - f0) / width
    bow = 0.5 * width * curved + slope1 - slope0
    control = max(bow / (mean - slope0 if left else slope1 - mean), (slope0 + slope1) / mean)
    if not control < 1e15:  # A straight line.
        return f0 * rest + f1 * t
    above = (
        f1 * t * t * t
        + (control * f1 - width * slope1) * t * t * rest
        + (control * f0 + width * slope0) * t * rest * rest
        + f0 * rest * rest * rest
    )
    return above / (1.0 + (control - 3.0) * t * rest)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def guess(x, share):
    """Total volatility within a tenth, mostly within 0.1 %, for x >= 0 and 0 < share < 1."""
    if x == 0.0:
        return share / DENSITY_0 if share < 0.1 else 2.0 * quantile(0.5 - 0.5 * share)
    centre = math.sqrt(2.0 * x)  # Where the price as a function of total volatility turns.
    share_c, vega_c, rest_c = value_of(x, centre)
    if share < share_c:
        low = centre - share_c / vega_c
        if centre < 1e-3:  # It cancels; so its series, share_c / vega_c = M(0) - M(centre).
            low = centre * centre * (0.5 * STRADDLE - centre / 3.0)
        share_l, vega_l, _ = value_of(x, low)
        if share < share_l:
            return guess_low(x, share, low, share_l, vega_l)
        width = share_c - share_l
        t = (share - share_l) / width
        return cubic(t, 1.0 - t, width, low, centre, 1.0 / vega_l, 1.0 / vega_c, 0.0, False)
    high = centre + rest_c / vega_c
    share_u, vega_u, rest_u = value_of(x, high)
    if share > share_u:
        return guess_high(x, share, high, rest_u)
    width = share_u - share_c
    t = (share - share_c) / width
    return cubic(t, 1.0 - t, width, centre, high, 1.0 / vega_c, 1.0 / vega_u, 0.0, True)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def guess_low(x, share, low, share_l, vega_l):
    """Below the lower cut: f = size N(-z)**3 with z = x / (sqrt(3) total) is nearly the price."""
    size = 2.0 * math.pi * x / (3.0 * ROOT_3)
    scale = exp(-0.5 * x)  # sqrt(forward strike) by their maximum.
    z = x / (ROOT_3 * low)
    density = DENSITY_0 * exp(-0.5 * z * z)
    ratio = mills(z)
    tail = density * ratio
    slope = 3.0 * size * tail * tail * density * z / (low * vega_l)
    square = low * low
    bent = 8.0 * ROOT_3 * low * x + (3.0 * square * (square - 8.0) - 8.0 * x * x) * ratio
    growth = scale * exp(z * z + 0.125 * square)
    curved = math.pi / 6.0 * z * z / (low * square) * tail * bent * growth * growth
    t = share / share_l
    f = cubic(t, 1.0 - t, share_l, 0.0, size * tail * tail * tail, scale, slope, curved, False)
    return x / (ROOT_3 * quantile(exp(log_ratio(f, size) / 3.0)))


@njit(nogil=True, boundscheck=False, error_model="numpy")
def guess_high(x, share, high, rest_u):
    """Above the upper cut: f = N(-total / 2) is nearly a straight line in the price."""
    scale = exp(-0.5 * x)
    y = x / high
    half = 0.5 * high
    growth = scale * exp(0.5 * y * y)
    f_u = DENSITY_0 * exp(-0.5 * half * half) * mills(half)
    curved = STRADDLE * y * y / high * growth * growth * exp(0.5 * half * half)
    rest = (1.0 - share) / rest_u
    f = cubic(1.0 - rest, rest, rest_u, f_u, 0.0, -0.5 * growth, -0.5 * scale, curved, True)
    return 2.0 * quantile(f)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def normalise(sign, price, forward, strike, time, discount, x, share):
    """Fill x and share; share is NaN where nothing is implied."""
    for i in range(sign.shape[0]):
        f, k, s = forward[i], strike[i], sign[i]
        inner = s * (f - k)
        outer = price[i] / discount[i] - (0.0 if inner < 0.0 else inner)
        part = outer / (k if k < f else f)
        known = (f > 0.0) & (f <= SIZE_MAX) & (k > 0.0) & (k <= SIZE_MAX) & (s * s == 1.0)
        known = known & (discount[i] > 0.0) & (discount[i] <= SIZE_MAX) & (time[i] > 0.0)
        x[i] = abs(log_ratio(f, k))
        share[i] = part if known & (part >= 0.0) & (part < 1.0) else np.nan


@njit(nogil=True, boundscheck=False, error_model="numpy")
def move(x, share, total, out, left):
    """One step of all, into another array, as in place would not vectorise.

    `left` is the residual there was before: the price's error by its vega, relative to `total`.
    """
    for i in range(x.shape[0]):
        now = total[i]
        moved, newton = step(x[i], share[i], now)
        out[i] = now + moved
        left[i] = abs(newton) / now if now > 0.0 else np.inf


@njit(nogil=True, boundscheck=False, error_model="numpy")
def settle(x, share):
    """Cold, alone: at least two steps from the guess, NaN if STEPS_MAX do not do."""
    total = guess(x, share)
    for number in range(STEPS_MAX):
        moved, newton = step(x, share, total)
        total += moved
        if number > 0 and abs(newton) <= LEFT_MAX * total:
            return total
    return np.nan


@njit(nogil=True, boundscheck=False, error_model="numpy")
def finish(x, share, total, left, time, out):
    """The volatilities; how many had to be settled alone."""
    alone = 0
    for i in range(x.shape[0]):
        found = total[i]
        if share[i] < SHARE_MIN:
            found = 0.0
        elif not share[i] < 1.0:  # NaN.
            found = np.nan
        elif not (left[i] <= LEFT_MAX and found > 0.0):
            found = settle(x[i], share[i])
            alone += 1
        out[i] = found / math.sqrt(time[i])
    return alone


@njit(nogil=True, boundscheck=False, error_model="numpy")
def cold(sign, price, forward, strike, time, discount, out):
    """Volatilities into `out`, from the prices alone; how many took more than two steps."""
    x, share, first = np.empty_like(out), np.empty_like(out), np.empty_like(out)
    total, left = np.empty_like(out), np.empty_like(out)
    normalise(sign, price, forward, strike, time, discount, x, share)
    for i in range(out.shape[0]):
        total[i] = guess(x[i], share[i]) if share[i] >= SHARE_MIN else 1.0
    move(x, share, total, first, left)
    move(x, share, first, total, left)
    return finish(x, share, total, left, time, out)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def warm(sign, price, forward, strike, time, discount, previous, out):
    """Volatilities into `out`, from `previous` [n], NaN where unknown; how many went cold."""
    x, share, first = np.empty_like(out), np.empty_like(out), np.empty_like(out)
    total, left = np.empty_like(out), np.empty_like(out)
    normalise(sign, price, forward, strike, time, discount, x, share)
    for i in range(out.shape[0]):
        total[i] = previous[i] * math.sqrt(time[i])
    move(x, share, total, first, left)
    move(x, share, first, total, left)
    return finish(x, share, total, left, time, out)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def step_normal(gap, outer, total):
    """(how far to move the normal `total`, Newton's view of it); gap = |forward - strike|."""
    h = gap / total
    part = loss(h)
    bend = h * h / total
    slope = 1.0 / (total * part)
    value = total * (exp(-0.5 * h * h) * DENSITY_0) * part
    miss = log_ratio(value, outer)
    return householder(miss, slope, bend, bend * bend - 3.0 * h * h / (total * total))


@njit(nogil=True, boundscheck=False, error_model="numpy")
def normal(sign, price, forward, strike, time, discount, out):
    """Bachelier volatilities into `out`, in units of price a year.

    The guess is a closed form within 0.4 %: total volatility by straddle price is a smooth
    function of eta = v / artanh(v), v = gap / straddle (the variable of Choi, Kim and Kwak,
    2009; the cubic in sqrt(eta) is our own fit for prices down to 1e-290 of the gap).
    """
    for i in range(sign.shape[0]):
        s, f, k = sign[i], forward[i], strike[i]
        inner = s * (f - k)
        outer = price[i] / discount[i] - (0.0 if inner < 0.0 else inner)
        gap = abs(f - k)
        known = (discount[i] > 0.0) & (discount[i] <= SIZE_MAX) & (time[i] > 0.0)
        known = known & (gap <= SIZE_MAX) & (outer >= 0.0) & (outer <= SIZE_MAX) & (s * s == 1.0)
        none = (outer == 0.0) | (outer < SHARE_MIN * gap)
        target = 1.0 + gap if none else outer  # Anything that can be solved.
        straddle = gap + 2.0 * target
        eta = 2.0 * gap / (straddle * log_ratio(target + gap, target))
        u = math.sqrt(eta if gap > 1e-9 * target else 1.0)
        form = 0.40132789412046876 - 0.011494706836522088 * u
        form = form + (0.8880829319918614 - 0.27559790243407856 * u) * (u * u)
        total = STRADDLE * straddle * u * form
        total = total + step_normal(gap, target, total)[0]
        total = total + step_normal(gap, target, total)[0]
        total = (0.0 if none else total) / math.sqrt(time[i])
        out[i] = total if known else np.nan
