"""Rule: a zero curve as numbers: discount factors, its fit, and what moves when it moves.

The curve is q(t) = -ln(discount factor) at `node` times, straight lines between (log-linear
discount factors: the forward rate is constant between nodes), from q(0) = 0, the last forward
going on for ever. Times are years by ACT/365F from the as-of date; rates compound continuously.
A flow that lies between two nodes knows q by its place: left[j] (the node before it, -1 is time 0)
and share[j], its share of the way: q = (1 - share) q[left] + share q[left + 1].

A bond b is worth sum amount_j exp(-(q_j - Q_b) - s_b (t_j - T_b)) on its settlement date T_b, s_b
its z-spread. The curve's zero rates move by tents: bucket k of KEYS rises from the key before it
to its own and falls to the next; flat before the first and after the last; at every t the tents
sum to 1, so the buckets sum to the parallel figure exactly, up to rounding.

    pv01       -(d value / d zero rate) x 1 bp, all rates in parallel, the z-spread kept
    key_rate   the same for each tent
All arrays float64 but offsets and places (int64).
"""

import math

import numpy as np
from numba import njit

KEYS = (0.25, 1.0, 2.0, 5.0, 10.0, 30.0)  # Years: 3m, 1y, 2y, 5y, 10y, 30y.
BASIS_POINT = 1e-4
ROUNDS = 25
ENOUGH = 1e-9  # Of a zero rate: a hundred-thousandth of a basis point.
HUBER = 10.0  # Basis points of yield; a quote farther off the curve counts by size, not by square.
SMOOTH = 0.01  # A jump of the forward rate, as an error: 100 bp of it weigh as 1 bp of yield.
CLOSE = 1e-5  # A step of the spread small enough to be the last.
SPREAD_MAX = 20.0  # 200,000 bp; beyond it there is no spread.


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def tent(k, t):
    """Weight of bucket `k` at time t: the tents of all buckets sum to 1."""
    last = len(KEYS) - 1
    if t <= KEYS[0]:
        return 1.0 if k == 0 else 0.0
    if t >= KEYS[last]:
        return 1.0 if k == last else 0.0
    if k > 0 and KEYS[k - 1] < t <= KEYS[k]:
        return (t - KEYS[k - 1]) / (KEYS[k] - KEYS[k - 1])
    if k < last and KEYS[k] < t < KEYS[k + 1]:
        return (KEYS[k + 1] - t) / (KEYS[k + 1] - KEYS[k])
    return 0.0


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def locate(node, t, left, share):
    """Places of the times `t` [m] among the nodes [k] (rising, above 0): see the file's law."""
    last = node.shape[0] - 1
    for j in range(t.shape[0]):
        after = 0
        while after < last and node[after] < t[j]:
            after += 1
        begin = node[after - 1] if after > 0 else 0.0
        left[j] = after - 1
        share[j] = (t[j] - begin) / (node[after] - begin)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def evaluate(q, left, share, out):
    """The curve at every place, into `out` [m]."""
    for j in range(out.shape[0]):
        before = q[left[j]] if left[j] >= 0 else 0.0
        out[j] = before + share[j] * (q[left[j] + 1] - before)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _solve(matrix, right):
    """Solve matrix x = right in place by Cholesky; False where it is not positive definite."""
    n = right.shape[0]
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not total > 0.0:
                    return False
                matrix[i, i] = math.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    for i in range(n):
        total = right[i]
        for k in range(i):
            total -= matrix[i, k] * right[k]
        right[i] = total / matrix[i, i]
    for i in range(n - 1, -1, -1):
        total = right[i]
        for k in range(i + 1, n):
            total -= matrix[k, i] * right[k]
        right[i] = total / matrix[i, i]
    return True


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _bond_row(q, first, amount, left, share, settle_left, settle_share, b, row):
    """Value of bond `b` on its settlement date; `row` gets d value / dq."""
    row[:] = 0.0
    before = q[settle_left] if settle_left >= 0 else 0.0
    start = before + settle_share * (q[settle_left + 1] - before)
    value = 0.0
    for j in range(first[b], first[b + 1]):
        place = left[j]
        before = q[place] if place >= 0 else 0.0
        term = amount[j] * math.exp(start - before - share[j] * (q[place + 1] - before))
        value += term
        if place >= 0:
            row[place] -= term * (1.0 - share[j])
        row[place + 1] -= term * share[j]
    if settle_left >= 0:
        row[settle_left] += value * (1.0 - settle_share)
    row[settle_left + 1] += value * settle_share
    return value


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _future_row(q, left, share, i, row):
    """Rise of the curve over the period of future `i`; `row` gets its slope by q."""
    row[:] = 0.0
    growth = 0.0
    for end in range(2):
        place, part = left[2 * i + end], share[2 * i + end]
        sign = 1.0 if end == 1 else -1.0
        before = q[place] if place >= 0 else 0.0
        growth += sign * (before + part * (q[place + 1] - before))
        if place >= 0:
            row[place] += sign * (1.0 - part)
        row[place + 1] += sign * part
    return growth


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _take(matrix, right, row, miss, scale):
    """Add one equation row . step = -miss, both in `scale` units, to the normal equations."""
    weight = 1.0 / (scale * scale)
    size = abs(miss) / (scale * BASIS_POINT)
    if size > HUBER:
        weight *= HUBER / size
    for i in range(right.shape[0]):
        if row[i] != 0.0:
            right[i] -= weight * row[i] * miss
            for k in range(i + 1):
                matrix[i, k] += weight * row[i] * row[k]


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _smooth(matrix, right, node, q):
    """Hold back jumps of the forward rate: nodes that no quote reaches follow their neighbours."""
    row = np.empty(node.shape[0])
    for i in range(1, node.shape[0]):
        row[:] = 0.0
        width = node[i] - node[i - 1]
        begin = node[i - 2] if i > 1 else 0.0
        low = q[i - 2] if i > 1 else 0.0
        near = node[i - 1] - begin
        row[i] = 1.0 / width
        row[i - 1] = -1.0 / width - 1.0 / near
        if i > 1:
            row[i - 2] = 1.0 / near
        jump = (q[i] - q[i - 1]) / width - (q[i - 1] - low) / near
        _take(matrix, right, row, jump, 1.0 / SMOOTH)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def fit(
    node,
    dirty,
    first,
    amount,
    left,
    share,
    settle_left,
    settle_share,
    weight,
    rate,
    rate_years,
    rate_left,
    rate_share,
    q,
    residual,
):
    """Least squares of q [k] to bonds [n] and to simple forward rates [m]; returns the rounds.

    `dirty` and `rate` with NaN do not take part. `weight`: d dirty / d yield of each bond, so that
    all errors are errors of yield. Futures: `rate` over `rate_years`, from place 2 i to 2 i + 1 of
    rate_left, rate_share. q enters as the guess. residual [n + m]: model - market in bp of yield.
    0 rounds: nothing to fit, q is NaN; -1: no convergence.
    """
    size, count = node.shape[0], dirty.shape[0]
    matrix, step, row = np.empty((size, size)), np.empty(size), np.empty(size)
    residual[:] = np.nan
    if not (np.isfinite(dirty).any() or np.isfinite(rate).any()):
        q[:] = np.nan
        return 0
    if math.isnan(q[0]):
        for i in range(size):
            q[i] = 0.03 * node[i]
    for turn in range(1, ROUNDS + 1):
        matrix[:], step[:] = 0.0, 0.0
        for b in range(count):
            if math.isnan(dirty[b]) or not weight[b] > 0.0:
                continue
            value = _bond_row(
                q, first, amount, left, share, settle_left[b], settle_share[b], b, row
            )
            miss = value - dirty[b]
            residual[b] = -miss / (weight[b] * BASIS_POINT)
            _take(matrix, step, row, miss, weight[b])
        for i in range(rate.shape[0]):
            if math.isnan(rate[i]):
                continue
            growth = _future_row(q, rate_left, rate_share, i, row)
            miss = growth - math.log1p(rate[i] * rate_years[i])
            residual[count + i] = miss / (rate_years[i] * BASIS_POINT)
            _take(matrix, step, row, miss, rate_years[i])
        _smooth(matrix, step, node, q)
        for i in range(size):
            matrix[i, i] *= 1.0 + 1e-12
        if not _solve(matrix, step):
            return -1
        largest = 0.0
        for i in range(size):
            move = min(max(step[i], -0.5), 0.5)
            q[i] += move
            largest = max(largest, abs(step[i]) / node[i])
        if largest <= ENOUGH:
            return turn
    return -1


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def spread(first, amount, t, flow_q, settle_t, settle_q, dirty, scratch, out):
    """z-spreads that give the dirty prices, into `out` [n], which holds the guesses (or NaN).

    flow_q, t [m]: q and years of the flows; settle_q, settle_t [n]: of the settlements; scratch
    [m] gets each flow's worth at the answer. Newton's step with its second-order term.
    """
    for b in range(dirty.shape[0]):
        low, high = first[b], first[b + 1]
        s = 0.0 if math.isnan(out[b]) else out[b]
        out[b] = np.nan
        if low == high or not dirty[b] > 0.0 or math.isnan(settle_q[b]):
            continue
        for _ in range(ROUNDS):
            for j in range(low, high):
                scratch[j] = amount[j] * math.exp(
                    settle_q[b] - flow_q[j] - s * (t[j] - settle_t[b])
                )
            value, slope, bend = 0.0, 0.0, 0.0
            for j in range(low, high):
                away = t[j] - settle_t[b]
                value += scratch[j]
                slope += away * scratch[j]
                bend += away * away * scratch[j]
            # ln(value) is convex in s: Newton's on it, then Halley's correction.
            miss = math.log(value / dirty[b])
            fall = slope / value
            step = miss / fall
            curve = bend / value - fall * fall
            step = step / (1.0 - 0.5 * step * curve / fall) if abs(step) < 0.01 else step
            s += step
            if abs(step) <= CLOSE:
                # Both orders of a step this small: what is left is below 1e-11 of anything.
                for j in range(low, high):
                    d = step * (t[j] - settle_t[b])
                    scratch[j] *= 1.0 - d + 0.5 * d * d
                break
            if not abs(s) < SPREAD_MAX:
                s = np.nan
                break
        out[b] = s


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def sensitivities(first, t, scratch, settle_t, spreads, bucket, near, pv01, key_rate):
    """pv01 [n] and key_rate [n, 6], per 100 face, from each flow's worth, `scratch` [m].

    bucket [m], near [m]: a flow's first tent and its weight; the next tent has the rest. The
    settlement, to which values are brought, gives back the short bucket's part before it.
    NaN where the spread is.
    """
    last = len(KEYS) - 1
    for b in range(pv01.shape[0]):
        for k in range(last + 1):
            key_rate[b, k] = np.nan if math.isnan(spreads[b]) else 0.0
        pv01[b] = np.nan
        if math.isnan(spreads[b]):
            continue
        value, total = 0.0, 0.0
        for j in range(first[b], first[b + 1]):
            value += scratch[j]
            part = scratch[j] * t[j] * BASIS_POINT
            total += part
            key_rate[b, bucket[j]] += near[j] * part
            if bucket[j] < last:
                key_rate[b, bucket[j] + 1] += (1.0 - near[j]) * part
        part = value * settle_t[b] * BASIS_POINT
        for k in range(last + 1):
            key_rate[b, k] -= part * tent(k, settle_t[b])
        pv01[b] = total - part


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def buckets(t, bucket, near):
    """The first tent of every time [m], and its weight."""
    for j in range(t.shape[0]):
        bucket[j] = 0
        while bucket[j] < len(KEYS) - 1 and t[j] >= KEYS[bucket[j] + 1]:
            bucket[j] += 1
        near[j] = tent(bucket[j], t[j])


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def moves(t, out):
    """What -1 bp on each tent adds to -q at the times [m]: out [m, 6] = 1 bp x t x tent."""
    for j in range(t.shape[0]):
        for k in range(len(KEYS)):
            out[j, k] = BASIS_POINT * t[j] * tent(k, t[j])
