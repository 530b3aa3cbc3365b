"""Rule: one day's profit and loss of every position on every day of history, and its quantiles.

A position is its sensitivities (a row of RISK) and the rows of `moves` that drive it: the return u
of its underlying, the change v of its volatility in points, the changes y of six key rates and s
of its credit spread in bp, and the return f of its currency. On day t it makes
    linear = delta u + vega v - sum(kr y) + cs01 s + value f,
    full = linear + 50 gamma u**2,
because gamma is the change of delta for 1 %. Where the underlying moves by rates alone its return
is -sum(kr y) / delta. The sums over a book's positions are its P&L by day.

Historical VaR at level a is the k-th largest loss, k = ceil((1 - a) n): of 500 days the 5th at
99 %. Expected shortfall is the mean of the worst (1 - a) n days, the last of them by its fraction
(Acerbi and Tasche, 2002). Parametric VaR is z sigma with mean 0 and a covariance matrix of weights
w that halve with age; sigma**2 = sum_t w_t linear_t**2 is that matrix between exposures, without
ever building it. Component VaR of position i is z sum_t w_t linear_i linear / sigma: they add up
to the whole (Euler). All figures double when the book does.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.exposure import (
    CS01,
    DELTA,
    GAMMA,
    KEY_RATE,
    KEY_RATES,
    VALUE,
    VEGA,
)

# Columns of `rows`: which row of moves drives what; 0 is a row of zeros, -1 is unknown.
PRICE, VOLATILITY, CURVE, CREDIT, CURRENCY = range(5)
Z_95, Z_99 = 1.6448536269514722, 2.3263478740408408  # Normal quantiles.
# Columns of `figures`.
HIST_95, HIST_99, ES_975, PARAM_95, PARAM_99, WORST = range(6)
FIGURES = 6


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def profit_and_loss(
    risk, quantity, book, rows, moves, weights, full, linear, missing, variance,
    places, more, more_missing,
):  # fmt: skip
    """P&L by book and day, and by what other groups are asked for.

    risk: float64 [n, .], rows of RISK; quantity: float64 [n]; book: int64 [n], -1 for a free slot;
    rows: int64 [n, 5]; moves: float64 [r, t], rates of a curve in consecutive rows.
    Out: full, linear [books, t]; missing int64 [books]: lines that could not be counted;
    variance [n]: sum w linear_i**2, NaN for a line that could not be counted.
    places: int64 [n, m], groups of each line, -1 none; more: float64 [2, groups, t], their full
    and linear P&L; more_missing: int64 [groups].
    """
    days = moves.shape[1]
    mine, bent = np.empty(days), np.empty(days)
    more[:, :, :] = 0.0
    more_missing[:] = 0
    full[:, :] = 0.0
    linear[:, :] = 0.0
    missing[:] = 0
    for i in range(quantity.shape[0]):
        variance[i] = 0.0
        if book[i] < 0 or quantity[i] == 0.0:
            continue
        if not _known(risk[i], rows[i]):
            missing[book[i]] += 1
            for m in range(places.shape[1]):
                if places[i, m] >= 0:
                    more_missing[places[i, m]] += 1
            variance[i] = np.nan
            continue
        _line(risk[i], rows[i], moves, mine, bent)
        whole, straight = full[book[i]], linear[book[i]]
        for t in range(days):
            straight[t] += mine[t]
            whole[t] += mine[t] + bent[t]
        for m in range(places.shape[1]):
            if places[i, m] < 0:
                continue
            whole, straight = more[0, places[i, m]], more[1, places[i, m]]
            for t in range(days):
                straight[t] += mine[t]
                whole[t] += mine[t] + bent[t]
        variance[i] = weighted_square(mine, weights)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _known(line, rows):
    """Whether what is used is known, and a row of moves for each that is not 0."""
    used = line[VALUE] + line[DELTA] + line[GAMMA] + line[VEGA] + line[CS01]
    for j in range(KEY_RATE, KEY_RATE + KEY_RATES):
        used += line[j]
    if math.isnan(used):
        return False
    rates = False
    for j in range(KEY_RATE, KEY_RATE + KEY_RATES):
        rates = rates or line[j] != 0.0
    moved = line[DELTA] != 0.0 or line[GAMMA] != 0.0
    return not (
        (moved and rows[PRICE] < 0)
        or (line[VEGA] != 0.0 and rows[VOLATILITY] < 0)
        or (rates and rows[CURVE] < 0)
        or (line[CS01] != 0.0 and rows[CREDIT] < 0)
        or (line[VALUE] != 0.0 and rows[CURRENCY] < 0)
    )


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _line(line, rows, moves, mine, bent):
    """One position's linear P&L into `mine` and what gamma adds into `bent`."""
    days = moves.shape[1]
    delta, bend = line[DELTA], 50.0 * line[GAMMA]
    mine[:] = 0.0
    bent[:] = 0.0
    if rows[CURVE] > 0:
        for k in range(KEY_RATES):
            bucket = line[KEY_RATE + k]
            if bucket != 0.0:
                move = moves[rows[CURVE] + k]
                for t in range(days):
                    mine[t] -= bucket * move[t]
        if bend != 0.0 and delta != 0.0 and rows[PRICE] == 0:
            scale = bend / (delta * delta)
            for t in range(days):
                bent[t] = scale * mine[t] * mine[t]
    if rows[PRICE] > 0:
        move = moves[rows[PRICE]]
        for t in range(days):
            mine[t] += delta * move[t]
            bent[t] = bend * move[t] * move[t]
    if line[VEGA] != 0.0 and rows[VOLATILITY] > 0:
        _shift(mine, line[VEGA], moves[rows[VOLATILITY]])
    if line[CS01] != 0.0 and rows[CREDIT] > 0:
        _shift(mine, line[CS01], moves[rows[CREDIT]])
    if line[VALUE] != 0.0 and rows[CURRENCY] > 0:
        _shift(mine, line[VALUE], moves[rows[CURRENCY]])


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _shift(mine, amount, move):
    for t in range(mine.shape[0]):
        mine[t] += amount * move[t]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def weighted_square(values, weights):
    """The sum of w v**2 in eight strands, added in a fixed order: the same bits everywhere."""
    strands = np.zeros(8)
    whole = values.shape[0] // 8 * 8
    for t in range(0, whole, 8):
        for j in range(8):
            strands[j] += weights[t + j] * values[t + j] * values[t + j]
    rest = 0.0
    for t in range(whole, values.shape[0]):
        rest += weights[t] * values[t] * values[t]
    low = (strands[0] + strands[1]) + (strands[2] + strands[3])
    return low + ((strands[4] + strands[5]) + (strands[6] + strands[7])) + rest


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def figures(full, linear, weights, out):
    """`out` [b, FIGURES] of P&L [b, t]; losses are positive. NaN where there is no history."""
    days = full.shape[1]
    for b in range(full.shape[0]):
        if days == 0:
            out[b, :] = np.nan
            continue
        ordered = np.sort(full[b])  # The worst day first; NaN last.
        if math.isnan(ordered[days - 1]):
            out[b, :] = np.nan
            continue
        out[b, HIST_95] = -ordered[(days * 5 + 99) // 100 - 1] + 0.0
        out[b, HIST_99] = -ordered[(days + 99) // 100 - 1] + 0.0
        tail, worst = days * 0.025, 0.0
        for t in range(int(tail)):
            worst -= ordered[t]
        if int(tail) < days:
            worst -= (tail - int(tail)) * ordered[int(tail)]
        out[b, ES_975] = worst / tail
        sigma = math.sqrt(weighted_square(linear[b], weights))
        out[b, PARAM_95] = Z_95 * sigma
        out[b, PARAM_99] = Z_99 * sigma
        out[b, WORST] = -ordered[0] + 0.0


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def components(risk, quantity, rows, marginal, variance, sigma, component, incremental):
    """Share of each position in Z_99 sigma, and by how much the whole would fall without it.

    marginal: float64 [r], sum_t w_t moves_rt linear_t; sigma: of the whole; variance [n] as
    `profit_and_loss` left it. Out: component, incremental [n]; NaN where unknown.
    """
    for i in range(quantity.shape[0]):
        component[i], incremental[i] = 0.0, 0.0
        if quantity[i] == 0.0 or variance[i] == 0.0:
            continue
        if math.isnan(variance[i]):
            component[i], incremental[i] = np.nan, np.nan
            continue
        line, row = risk[i], rows[i]
        shared = 0.0
        if row[PRICE] > 0:
            shared += line[DELTA] * marginal[row[PRICE]]
        if row[CURVE] > 0:
            for k in range(KEY_RATES):
                shared -= line[KEY_RATE + k] * marginal[row[CURVE] + k]
        if row[VOLATILITY] > 0:
            shared += line[VEGA] * marginal[row[VOLATILITY]]
        if row[CREDIT] > 0:
            shared += line[CS01] * marginal[row[CREDIT]]
        if row[CURRENCY] > 0:
            shared += line[VALUE] * marginal[row[CURRENCY]]
        component[i] = Z_99 * shared / sigma if sigma > 0.0 else 0.0
        rest = sigma * sigma - 2.0 * shared + variance[i]
        incremental[i] = Z_99 * (sigma - math.sqrt(max(0.0, rest)))
