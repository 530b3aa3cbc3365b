"""Rule: the volatility smile of an underlying, a slice an expiry, without arbitrage.

From quotes to a surface, off the tick path:
    forward   the underlying's forward from put-call parity of two-sided quotes
    judge     which quotes may speak, their log-moneyness k, total variance w, and its error
    fit       a slice w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + s^2)), raw SVI, to those
    total_variance, volatility   the surface at (k, time), on the tick path

k = ln(strike / forward), w = volatility^2 time. SVI, because its five numbers follow equity, index,
FX and crypto smiles, its wings are straight (R. Lee, 2004, allows no more) and both conditions of
no static arbitrage are simple in it (J. Gatheral, A. Jacquier, "Arbitrage-free SVI volatility
surfaces", 2014): the density is not negative where
    g(k) = (1 - k w' / (2 w))^2 - (w' / 2)^2 (1 / w + 1 / 4) + w'' / 2 >= 0
and calendar spreads are not negative where w(k) does not fall from one expiry to the next. The fit
is penalised where they fail on a grid, the calendar is repaired by lifting the slice, and what
still fails is reported in bits. Between expiries w is linear in time at equal k, which keeps the
calendar; before the first and after the last, volatility is flat in time.

A smile belongs to k: as spot and forward move, an option takes the volatility of its new k (sticky
moneyness). All arrays are float64; times in years; a slice is (a, b, rho, m, s).
"""

import math

import numpy as np
from numba import njit

# Why a quote may not speak; 0 for one that may.
USED, ONE_SIDED, CROSSED, BELOW_INTRINSIC, IN_THE_MONEY, NO_VOLATILITY, TINY_VEGA, WIDE = range(8)
REASONS = (
    *("used", "one-sided", "crossed", "below intrinsic", "in the money"),
    *("no volatility", "tiny vega", "wide"),
)
VEGA_MIN = 0.02  # Share of the vega at the money: farther out a tick is many vol points.
WIDE_MAX = 0.25  # Half the spread, in volatility, as a share of the volatility.
ERROR_MIN = 2e-3  # The same, at least: half a tick is not all that is wrong with a quote.
PARITY_STRIKES = 8  # Nearest the money, where early exercise and stale wings matter least.

A, B, RHO, M, S = range(5)
PARAMETERS = 5
# What is still wrong with a slice.
FIT_FEW, FIT_BUTTERFLY, FIT_CALENDAR, FIT_LIFTED = 1, 2, 4, 8

QUOTES_MIN = 5  # As many as parameters.
GRID = 41  # Points of the penalties; odd, so that one is at the money.
CHECKS = 201  # Points of the final checks.
K_MAX = 1.5  # Strikes of 22 to 448 % of the forward.
COMPASS = 24  # Rounds of the search for a start.
ROUNDS = 40
STEP = 1e-7  # Of a parameter, for slopes.
STIFFNESS = (1e2, 1e3, 1e4)  # Of the penalties, round after round while arbitrage remains.
MARGIN = 2e-3  # Penalties begin before 0, so that between points of the grid there is none either.
HUBER = 3.0  # Errors beyond so many of a quote's own count by size, not by square.
WING_MAX = 1.98  # Slope of w; 2 is Lee's bound.
WING_MIN = 1e-7
RIDGE = (
    0.02  # Holds back wings that quotes do not: a slope, per root of w at the money, as an error.
)
BEYOND = 0.1  # The calendar is kept within the quotes and this share of their reach on either side.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _weighted_median(value, error, near, count):
    """The least of the `near` values with half of the weight, 1 / error^2, at or below it."""
    whole = 0.0
    for place in range(count):
        whole += 1.0 / (error[near[place]] * error[near[place]])
    middle = np.inf
    for place in range(count):
        below = 0.0
        for other in range(count):
            if value[near[other]] <= value[near[place]]:
                below += 1.0 / (error[near[other]] * error[near[other]])
        if below >= 0.5 * whole:
            middle = min(middle, value[near[place]])
    return middle


@njit(nogil=True, boundscheck=False, error_model="numpy")
def forward(strike, call_bid, call_ask, put_bid, put_ask, discount):
    """(forward, its error, number of strikes used) by C - P = discount (F - K); NaN without any.

    Arrays [n], one expiry, a row a strike. Of the two-sided, uncrossed pairs, the PARITY_STRIKES
    whose call and put are worth most nearly the same; of their forwards, the mean weighted by
    1 / spread^2 over those that hold the weighted median within their spread.
    """
    size = strike.shape[0]
    away, value, error = np.empty(size), np.empty(size), np.empty(size)
    for i in range(size):
        away[i] = np.inf
        open_call = 0.0 < call_bid[i] <= call_ask[i]
        open_put = 0.0 < put_bid[i] <= put_ask[i]
        if open_call and open_put:
            gap = 0.5 * (call_bid[i] + call_ask[i] - put_bid[i] - put_ask[i])
            away[i] = abs(gap)
            value[i] = strike[i] + gap / discount
            spread = 0.5 * (call_ask[i] - call_bid[i] + put_ask[i] - put_bid[i]) / discount
            error[i] = max(spread, 1e-6 * strike[i])
    near, count = np.empty(PARITY_STRIKES, np.int64), 0
    while count < PARITY_STRIKES:
        nearest = -1
        for i in range(size):
            if away[i] < (away[nearest] if nearest >= 0 else np.inf):
                nearest = i
        if nearest < 0:
            break
        near[count] = nearest
        away[nearest] = np.inf
        count += 1
    if count == 0:
        return np.nan, np.nan, 0
    middle = _weighted_median(value, error, near, count)
    total, weight, used = 0.0, 0.0, 0
    for place in range(count):
        i = near[place]
        if abs(value[i] - middle) <= error[i]:
            total += value[i] / (error[i] * error[i])
            weight += 1.0 / (error[i] * error[i])
            used += 1
    return total / weight, 1.0 / math.sqrt(weight), used


@njit(nogil=True, boundscheck=False, error_model="numpy")
def judge(sign, strike, bid, ask, implied, at, discount, time, k, w, error, reason):
    """Fill k, w, the error of w (all [n]) and `reason` (u1 [n]) for the quotes of one expiry.

    `implied` is the volatility of the mid, whoever inverted it; `at` the forward. The error is
    half the spread through the vega, at least ERROR_MIN of the volatility. Returns the number of
    quotes that may speak.
    """
    used = 0
    for i in range(sign.shape[0]):
        k[i] = math.log(strike[i] / at)
        w[i] = implied[i] * implied[i] * time
        root = math.sqrt(w[i])
        high = -k[i] / root + 0.5 * root
        share = math.exp(-0.5 * high * high)  # Of the vega at the money.
        vega = discount * at * math.sqrt(time) * share * (1.0 / math.sqrt(2.0 * math.pi))
        blur = 0.5 * (ask[i] - bid[i]) / vega
        error[i] = 2.0 * implied[i] * time * max(blur, ERROR_MIN * implied[i])
        intrinsic = discount * sign[i] * (at - strike[i])
        reason[i] = USED
        if not (bid[i] > 0.0 and ask[i] > 0.0):
            reason[i] = ONE_SIDED
        elif bid[i] > ask[i]:
            reason[i] = CROSSED
        elif ask[i] < intrinsic:
            reason[i] = BELOW_INTRINSIC
        elif intrinsic > 0.0:
            reason[i] = IN_THE_MONEY
        elif not implied[i] > 0.0:
            reason[i] = NO_VOLATILITY
        elif share < VEGA_MIN:
            reason[i] = TINY_VEGA
        elif blur > WIDE_MAX * implied[i]:
            reason[i] = WIDE
        else:
            used += 1
    return used


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _svi(a, b, rho, m, s, k):
    """(w, w', w'') of raw SVI."""
    x = k - m
    root = math.sqrt(x * x + s * s)
    return a + b * (rho * x + root), b * (rho + x / root), b * s * s / (root * root * root)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _density(k, w, slope, bend):
    """Gatheral and Jacquier's g: the density over a positive factor."""
    lean = 1.0 - 0.5 * k * slope / w
    return lean * lean - 0.25 * slope * slope * (1.0 / w + 0.25) + 0.5 * bend


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _grid(scale, out):
    """Fill `out` with k from -K_MAX to K_MAX, dense within a few `scale` of the money."""
    reach = math.asinh(K_MAX / scale)
    for j in range(out.shape[0]):
        out[j] = scale * math.sinh(reach * (2.0 * j / (out.shape[0] - 1) - 1.0))


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _unpack(free, scale):
    """(a, b, rho, m, s) of the free numbers: a, the wings' slopes, m and ln(s).

    w is linear in the first three, which makes the valley of SVI's near-equals less winding.
    `scale`, w at the money, makes all of one size.
    """
    left, right = max(free[B], WING_MIN), max(free[RHO], WING_MIN)
    s = math.exp(min(max(free[S], -9.0), 2.0))
    return free[A] * scale, 0.5 * (left + right), (right - left) / (left + right), free[M], s


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _residuals(free, scale, k, w, error, grid, floor, stiffness, out):
    """Errors in units of the quotes' own, then penalties; returns half their sum of squares."""
    a, b, rho, m, s = _unpack(free, scale)
    quotes = k.shape[0]
    share = 1.0 / math.sqrt(quotes)
    for i in range(quotes):
        x = k[i] - m
        miss = (a + b * (rho * x + math.sqrt(x * x + s * s)) - w[i]) / error[i]
        if abs(miss) > HUBER:
            miss = math.copysign(math.sqrt(HUBER * (2.0 * abs(miss) - HUBER)), miss)
        out[i] = miss * share
    for j in range(grid.shape[0]):
        value, slope, bend = _svi(a, b, rho, m, s, grid[j])
        least = 1e-3 * scale
        density = _density(grid[j], max(value, least), slope, bend)
        short = max(MARGIN - density, 0.0)
        low = max(floor[j] * (1.0 + MARGIN) + least - value, 0.0) / scale
        out[quotes + j] = stiffness * short
        out[quotes + GRID + j] = stiffness * low
    left, right = b * (1.0 - rho), b * (1.0 + rho)
    last = quotes + 2 * GRID
    beyond = max(max(left, right) - WING_MAX, 0.0)
    out[last] = stiffness * (beyond + max(-min(free[B], free[RHO]), 0.0))
    out[last + 1] = RIDGE * left / math.sqrt(scale)
    out[last + 2] = RIDGE * right / math.sqrt(scale)
    total = 0.0
    for i in range(out.shape[0]):
        total += out[i] * out[i]
    return 0.5 * total


@njit(nogil=True, boundscheck=False, error_model="numpy")
def solve(matrix, right):
    """Solve matrix x = right in place (x in `right`); symmetric and positive, by elimination."""
    size = right.shape[0]
    for i in range(size):
        pivot = matrix[i, i]
        if not pivot > 0.0:
            return False
        for j in range(i + 1, size):
            factor = matrix[j, i] / pivot
            right[j] -= factor * right[i]
            for c in range(i, size):
                matrix[j, c] -= factor * matrix[i, c]
    for i in range(size - 1, -1, -1):
        for c in range(i + 1, size):
            right[i] -= matrix[i, c] * right[c]
        right[i] /= matrix[i, i]
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _dot(one, other):
    total = 0.0
    for i in range(one.shape[0]):
        total += one[i] * other[i]
    return total


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _descend(free, scale, k, w, error, grid, floor, stiffness):
    """Levenberg and Marquardt from `free`, which it moves; returns the cost reached."""
    size = k.shape[0] + 2 * GRID + 3
    here, there = np.empty(size), np.empty(size)
    slopes = np.empty((PARAMETERS, size))
    trial = np.empty(PARAMETERS)
    matrix, step = np.empty((PARAMETERS, PARAMETERS)), np.empty(PARAMETERS)
    normal, gradient = np.empty((PARAMETERS, PARAMETERS)), np.empty(PARAMETERS)
    cost = _residuals(free, scale, k, w, error, grid, floor, stiffness, here)
    damping, stale = 1e-3, True
    for _ in range(ROUNDS):
        if stale:
            for p in range(PARAMETERS):
                for c in range(PARAMETERS):
                    trial[c] = free[c] + (STEP if c == p else 0.0)
                _residuals(trial, scale, k, w, error, grid, floor, stiffness, there)
                for i in range(size):
                    slopes[p, i] = (there[i] - here[i]) / STEP
            for p in range(PARAMETERS):
                gradient[p] = _dot(slopes[p], here)
                for c in range(p + 1):
                    normal[p, c] = _dot(slopes[p], slopes[c])
                    normal[c, p] = normal[p, c]
            stale = False
        for p in range(PARAMETERS):
            for c in range(PARAMETERS):
                matrix[p, c] = normal[p, c]
            matrix[p, p] = normal[p, p] * (1.0 + damping) + 1e-12
            step[p] = -gradient[p]
        if not solve(matrix, step):
            damping *= 10.0
            continue
        for p in range(PARAMETERS):
            trial[p] = free[p] + step[p]
        reached = _residuals(trial, scale, k, w, error, grid, floor, stiffness, there)
        if reached < cost:
            done = cost - reached <= 1e-7 * cost
            for p in range(PARAMETERS):
                free[p] = trial[p]
            for i in range(size):
                here[i] = there[i]
            cost, damping, stale = reached, max(damping * 0.2, 1e-9), True
            if done:
                break
        else:
            damping *= 8.0
            if damping > 1e9:
                break
    return cost


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _project(m, log_s, scale, k, w, error, trial):
    """`trial` at (m, s) with a, b rho and b by linear least squares; returns its cost alone."""
    matrix, right = np.zeros((3, 3)), np.zeros(3)
    s = math.exp(log_s)
    for i in range(k.shape[0]):
        x, weight = k[i] - m, 1.0 / (error[i] * error[i])
        root = math.sqrt(x * x + s * s)
        matrix[0, 0] += weight
        matrix[1, 0] += weight * x
        matrix[2, 0] += weight * root
        matrix[1, 1] += weight * x * x
        matrix[2, 1] += weight * x * root
        matrix[2, 2] += weight * root * root
        right[0] += weight * w[i]
        right[1] += weight * w[i] * x
        right[2] += weight * w[i] * root
    for p in range(3):
        matrix[p, p] *= 1.0 + 1e-12
        for c in range(p):
            matrix[c, p] = matrix[p, c]
    if not solve(matrix, right):
        return np.inf
    left, rise = max(right[2] - right[1], WING_MIN), max(right[2] + right[1], WING_MIN)
    left, rise = min(left, WING_MAX), min(rise, WING_MAX)
    trial[A], trial[B], trial[RHO], trial[M], trial[S] = right[0] / scale, left, rise, m, log_s
    b, tilt = 0.5 * (left + rise), 0.5 * (rise - left)
    cost = k.shape[0] * RIDGE * RIDGE * (left * left + rise * rise) / scale
    for i in range(k.shape[0]):
        x = k[i] - m
        miss = (right[0] + tilt * x + b * math.sqrt(x * x + s * s) - w[i]) / error[i]
        cost += min(miss * miss, 2.0 * HUBER * abs(miss))
    return cost


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _start(scale, k, w, error, low, high, free):
    """The slice without regard to arbitrage: a compass search over (m, ln s)."""
    reach = high - low
    at_m, at_s, least = 0.0, 0.0, np.inf
    for place in range(20):
        m = low + reach * (0.1 + 0.2 * (place % 5))
        log_s = math.log(reach * (0.02, 0.07, 0.2, 0.6)[place // 5])
        cost = _project(m, log_s, scale, k, w, error, free)
        if cost < least:
            least, at_m, at_s = cost, m, log_s
    step_m, step_s = 0.1 * reach, 0.6
    for _ in range(COMPASS):
        moved = False
        for place in range(4):
            m = at_m + step_m * (1.0, -1.0, 0.0, 0.0)[place]
            log_s = at_s + step_s * (0.0, 0.0, 1.0, -1.0)[place]
            cost = _project(m, log_s, scale, k, w, error, free)
            if cost < least:
                least, at_m, at_s, moved = cost, m, log_s, True
        if not moved:
            step_m, step_s = 0.4 * step_m, 0.4 * step_s
    return _project(at_m, at_s, scale, k, w, error, free)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def check(own, before, scale, low, high):
    """(least g, least rise of w since the slice `before` for k in low ... high), on CHECKS points.

    `scale`: w about the money, which sets how dense the points are. The rise is infinite where
    `before` is NaN: there is no slice before. Where w <= 0 or a wing is too steep, g is -infinity.
    """
    points = np.empty(CHECKS)
    _grid(math.sqrt(scale), points)
    density, rise = np.inf, np.inf
    for j in range(CHECKS):
        value, slope, bend = _svi(own[A], own[B], own[RHO], own[M], own[S], points[j])
        g = _density(points[j], value, slope, bend) if value > 0.0 else -np.inf
        density = min(density, g)
        below = _svi(before[A], before[B], before[RHO], before[M], before[S], points[j])[0]
        if low <= points[j] <= high and not math.isnan(below):
            rise = min(rise, value - below)
    if own[B] * (1.0 + abs(own[RHO])) > 2.0:
        density = -np.inf
    return density, rise


@njit(nogil=True, boundscheck=False, error_model="numpy")
def fit(k, w, error, before, own):
    """Fit the slice `own` [5] to w +- error at k (all [n], any order); returns FIT_ bits.

    `before` is the slice of the expiry before, fitted first, or NaN. With fewer than QUOTES_MIN
    quotes `own` is NaN and the answer FIT_FEW. FIT_LIFTED: the slice was raised to end a calendar
    arbitrage; FIT_BUTTERFLY, FIT_CALENDAR: there still is one on the points of `check`. The
    calendar is kept where there are quotes and BEYOND their ends: wings farther out are a guess.
    """
    own[:] = np.nan
    if k.shape[0] < QUOTES_MIN:
        return FIT_FEW
    scale = w[np.argmin(np.abs(k))]
    low, high = k[0], k[0]
    for i in range(k.shape[0]):
        low, high = min(low, k[i]), max(high, k[i])
    free, bits = np.empty(PARAMETERS), 0
    if not math.isfinite(_start(scale, k, w, error, low, high, free)):
        return FIT_FEW
    beyond = BEYOND * (high - low)
    low, high = low - beyond, high + beyond
    grid, floor = np.empty(GRID), np.zeros(GRID)
    _grid(math.sqrt(scale), grid)
    if not math.isnan(before[A]):
        for j in range(GRID):
            if low <= grid[j] <= high:
                floor[j] = _svi(before[A], before[B], before[RHO], before[M], before[S], grid[j])[0]
    for stiffness in STIFFNESS:
        _descend(free, scale, k, w, error, grid, floor, stiffness)
        own[A], own[B], own[RHO], own[M], own[S] = _unpack(free, scale)
        density, rise = check(own, before, scale, low, high)
        if density >= 0.0 and rise >= 0.0:
            return bits
    if rise < 0.0:
        own[A] -= rise * (1.0 + 1e-9)
        bits |= FIT_LIFTED
        density, rise = check(own, before, scale, low, high)
    if density < 0.0:
        bits |= FIT_BUTTERFLY
    if rise < 0.0:
        bits |= FIT_CALENDAR
    return bits


@njit(nogil=True, boundscheck=False, error_model="numpy")
def total_variance(expiries, slices, k, time, out):
    """Total variance at (k, time) [n] into `out`.

    `expiries` [m] rising, in years; `slices` [m, 5] without NaN.
    """
    last = expiries.shape[0] - 1
    for i in range(k.shape[0]):
        after = 0
        while after < last and expiries[after] < time[i]:
            after += 1
        one = slices[after]
        high = _svi(one[A], one[B], one[RHO], one[M], one[S], k[i])[0]
        if time[i] <= expiries[0] or time[i] >= expiries[last]:
            out[i] = high * (time[i] / expiries[after])
            continue
        one = slices[after - 1]
        low = _svi(one[A], one[B], one[RHO], one[M], one[S], k[i])[0]
        share = (time[i] - expiries[after - 1]) / (expiries[after] - expiries[after - 1])
        out[i] = low + share * (high - low)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def volatility(expiries, slices, k, time, out):
    """Volatility at (k, time) [n] into `out`, as `total_variance`; time above 0."""
    total_variance(expiries, slices, k, time, out)
    for i in range(k.shape[0]):
        out[i] = math.sqrt(out[i] / time[i])
