"""Rule: volatility of the mid, realised on a fixed grid and as an exponentially weighted mean.

Both sample the last valid mid before an instant of a grid of event time (previous tick), take log
returns, subtract no mean, and are percent a year. A quiet step is a return of 0, a mid of 0 or
below makes none. A new session or a pause (halt, auction, close) starts a new chain of samples, so
no overnight jump counts as a return (it has the column `gap_overnight`); what was returned stays.

realised: the grid is whole multiples of the class's interval. Over the last RETURNS returns r,

    realised = 100 sqrt( A sum r^2 / n )      A the intervals in a trading year of the class.

The sum is made anew at every step of the grid, always in the same order, so it cannot drift. The
same count of returns in every class means the same standard error: 9 % for all 60, and blank
while it would be above 20 % (fewer than RETURNS_MIN). A chain's first sample is at the first
instant of the grid after its first mid.

EWMA (column `volatility`): the grid is whole seconds, d = 2 ** (-1 / 60) (half-life 60 s),

    volatility = 100 sqrt( A sum_k d^(n-k) r_k^2 / sum_k d^(n-k) ),

A the seconds in a trading year. A chain's first sample is its first mid. Blank without a return.

Sources: RiskMetrics Technical Document (4th ed., 1996), 5.2, for the weights; mid-quotes, not
trades, after Bandi and Russell, Review of Economic Studies 75 (2008); realised variance on a
previous-tick grid after Andersen, Bollerslev, Diebold and Labys, Econometrica 71 (2003).
"""

import math

from numba import njit

from compute.kernels.codes import UNSAMPLED

HALF_LIFE_S = 60.0
DECAY = 0.9885140203528962  # 2 ** (-1 / HALF_LIFE_S), written out: no library, no last bit.
RETURNS = 60
RETURNS_MIN = 12  # 1 / sqrt(2 n) is the standard error of a root mean square.
STEPS_MAX = 65_536  # d ** 65,536 = 2 ** -1092 is 0 in float64; more steps change nothing.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def log_ratio(a, b):
    """ln(a / b) for positive a, b, by + - * / and sqrt only, so every CPU gives the same bits.

    2 atanh((a - b) / (a + b)) by its series to x**19; a ratio outside [0.8, 1.25] is first
    brought near 1 by square roots, each of which halves the logarithm. Relative error < 1e-15
    inside that range, < 4e-15 outside.
    """
    scale = 2.0
    if 0.8 * b <= a <= 1.25 * b:
        x = (a - b) / (a + b)  # a - b is exact here (Sterbenz), so small moves lose nothing.
    else:
        ratio = a / b
        while ratio < 0.8 or ratio > 1.25:
            ratio = math.sqrt(ratio)
            scale += scale
        x = (ratio - 1.0) / (ratio + 1.0)
    y = x * x
    series = 1.0 / 17.0 + y * (1.0 / 19.0)
    series = 1.0 / 13.0 + y * (1.0 / 15.0 + y * series)
    series = 1.0 / 9.0 + y * (1.0 / 11.0 + y * series)
    series = 1.0 / 5.0 + y * (1.0 / 7.0 + y * series)
    return scale * (x + x * y * (1.0 / 3.0 + y * series))


@njit(nogil=True, boundscheck=False, error_model="numpy")
def power(base, exponent):
    """Power of `base` for a whole exponent >= 0, by squaring: the same bits everywhere."""
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


@njit(nogil=True, boundscheck=False, error_model="numpy")
def sample(row, steps):
    """`steps` >= 1 grid seconds have passed with the mid that the row shows now."""
    if row.bits & UNSAMPLED != 0:
        return  # No chain of samples yet; the next valid mid starts it.
    before, mid = row.sample, row.mid
    row.sample = mid
    if mid <= 0.0:
        return
    squares, weight = row.return_squares, row.return_weight
    if before > 0.0:
        step_return = 0.0 if mid == before else log_ratio(mid, before)
        squares = DECAY * squares + step_return * step_return
        weight = DECAY * weight + 1.0
    if steps > 1:  # The first step made the return, the others are quiet.
        fade = power(DECAY, min(steps - 1, STEPS_MAX))
        squares *= fade
        weight = fade * weight + (1.0 - fade) / (1.0 - DECAY)
    if weight > 0.0:
        row.return_squares, row.return_weight = squares, weight
        row.volatility = row.annual * math.sqrt(squares / weight)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def grid(row, squares, instrument, ts_event):
    """The first event at or after the grid's next instant; `squares` [rows, RETURNS] are r^2."""
    steps = (ts_event - row.grid_ns) // row.interval_ns + 1
    row.grid_ns += steps * row.interval_ns
    before, mid = row.grid_sample, row.mid
    if row.bits & UNSAMPLED != 0:
        return
    row.grid_sample = mid
    if mid <= 0.0:
        return
    if before > 0.0:
        step_return = 0.0 if mid == before else log_ratio(mid, before)
        squares[instrument, row.returned % RETURNS] = step_return * step_return
        row.returned += 1
    for _ in range(min(steps - 1, RETURNS)):  # The first step made the return, these are quiet.
        squares[instrument, row.returned % RETURNS] = 0.0
        row.returned += 1
    count = min(row.returned, RETURNS)
    if count >= RETURNS_MIN:
        total = 0.0
        for place in range(count):
            total += squares[instrument, place]
        row.realised = row.grid_annual * math.sqrt(total / count)
