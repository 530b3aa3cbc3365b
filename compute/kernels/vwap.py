"""Rule: volume-weighted average prices of eligible trades, invertible.

VWAP = sum p q / sum q. Every sum is kept in two limbs (exact.py), so a bust takes away exactly
what the trade added. Prices enter in their exact units of 1e-9 (a float64 holds them up to 9.0e6
whole, beyond that to 1.1e-16).

session: its sums stand in the row. ex-auctions: the session less the sum AUCTIONS.
windows: 1, 5 and 30 minutes of event time are 60 buckets of 1, 5 and 30 seconds, the newest of
them begun: so 5 minutes are 295 to 300 seconds. Trades of the row's second gather in the sum OPEN;
when the second is over it goes into the bucket of each window and into the window's own sum, and
what has expired leaves them (lazily, at the next event of the instrument). A window is its sum and
OPEN. A late trade goes into its own bucket where that is still inside. A window without trades is
exactly empty.
"""

import numpy as np
from numba import njit

from compute.kernels.codes import AUCTIONED, PRICE_UNITS, SECOND_NS
from compute.kernels.exact import add, two_product, two_sum

BUCKETS = 60
WIDTHS_S = (1, 5, 30)  # Of a bucket; the window of `width` is sums[instrument, number of it].
WINDOWS = len(WIDTHS_S)
LONGEST = WINDOWS - 1  # Holds whatever a shorter window holds.
OPEN, AUCTIONS = WINDOWS, WINDOWS + 1
SUMS = 8  # Room to the end of a cache line; the last are spare.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def enter(total, value, value_low, size):
    """Add a trade of p q = (value, value_low) to a sum."""
    total.value, total.value_low = add(total.value, total.value_low, value, value_low)
    total.size, total.size_low = add(total.size, total.size_low, size, 0.0)
    total.trades += 1


@njit(nogil=True, boundscheck=False, error_model="numpy")
def leave(total, value, value_low, size):
    """Take such a trade out of a sum that holds it."""
    if total.trades == 1:
        clear(total)
    else:
        total.value, total.value_low = add(total.value, total.value_low, -value, -value_low)
        total.size, total.size_low = add(total.size, total.size_low, -size, 0.0)
        total.trades -= 1


@njit(nogil=True, boundscheck=False, error_model="numpy")
def clear(total):
    """A sum of nothing."""
    total.value, total.value_low = 0.0, 0.0
    total.size, total.size_low, total.trades = 0.0, 0.0, 0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _merge(total, part):
    total.value, total.value_low = add(total.value, total.value_low, part.value, part.value_low)
    total.size, total.size_low = add(total.size, total.size_low, part.size, part.size_low)
    total.trades += part.trades


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _separate(total, part):
    total.trades -= part.trades
    if total.trades == 0:
        clear(total)
    else:
        value, size = -part.value, -part.size
        total.value, total.value_low = add(total.value, total.value_low, value, -part.value_low)
        total.size, total.size_low = add(total.size, total.size_low, size, -part.size_low)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _mean(value, size):
    return value / (size * PRICE_UNITS) + 0.0  # + 0.0: never -0.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _mean_with(total, more):
    """Mean price of two sums together; NaN where both are empty."""
    if total.trades + more.trades == 0:
        return np.nan
    value, error = two_sum(total.value, more.value)
    size, size_error = two_sum(total.size, more.size)
    value += error + (total.value_low + more.value_low)
    return _mean(value, size + (size_error + (total.size_low + more.size_low)))


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def derive_windows(row, minute, five, thirty, second):
    """The VWAP of each window from its sum and that of the open second."""
    row.vwap_1m = _mean_with(minute, second)
    row.vwap_5m = _mean_with(five, second)
    row.vwap_30m = _mean_with(thirty, second)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def derive_session(row, auctions):
    """VWAP, without auctions too, and the distance of the last from it in basis points."""
    row.vwap = np.nan
    row.vs_vwap = np.nan
    if row.sum_size > 0.0:
        vwap = _mean(row.sum_value, row.sum_size)
        row.vwap = vwap
        if vwap > 0.0:
            row.vs_vwap = (row.last / vwap - 1.0) * 1e4
    row.vwap_ex = row.vwap
    if row.bits & AUCTIONED != 0:
        row.vwap_ex = _without(row, auctions)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _without(row, auctions):
    if row.eligible <= auctions.trades:
        return np.nan
    value, error = two_sum(row.sum_value, -auctions.value)
    size, size_error = two_sum(row.sum_size, -auctions.size)
    size += size_error + (row.sum_size_low - auctions.size_low)
    if not size > 0.0:
        return np.nan
    return _mean(value + (error + (row.sum_value_low - auctions.value_low)), size)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def enter_session(row, price, size):
    """Add an eligible trade to the session; (value, value_low) of p q."""
    value, value_low = two_product(float(price), size)
    row.sum_value, row.sum_value_low = add(row.sum_value, row.sum_value_low, value, value_low)
    row.sum_size, row.sum_size_low = add(row.sum_size, row.sum_size_low, size, 0.0)
    row.eligible += 1
    return value, value_low


@njit(nogil=True, boundscheck=False, error_model="numpy")
def leave_session(row, price, size):
    """Take a voided eligible trade out of the session; the caller knows that it fits."""
    value, value_low = two_product(float(price), size)
    row.sum_value, row.sum_value_low = add(row.sum_value, row.sum_value_low, -value, -value_low)
    row.sum_size, row.sum_size_low = add(row.sum_size, row.sum_size_low, -size, 0.0)
    row.eligible -= 1
    if row.eligible == 0 or row.sum_size <= 0.0:
        row.sum_value, row.sum_value_low = 0.0, 0.0
        row.sum_size, row.sum_size_low = 0.0, 0.0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def enter_late(row, sums, ring, instrument, ts_event, price, size):
    """Add a trade of a second before the row's to the windows whose buckets reach so far."""
    value, value_low = two_product(float(price), size)
    second = ts_event // SECOND_NS
    for window in range(WINDOWS):
        width = WIDTHS_S[window]
        if second // width > row.second // width - BUCKETS:
            bucket = ring[instrument, window, second // width % BUCKETS]
            enter(bucket, value, value_low, size)
            enter(sums[instrument, window], value, value_low, size)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def leave_windows(row, sums, ring, instrument, ts_event, price, size):
    """Take a voided trade out of every window that holds it."""
    value, value_low = two_product(float(price), size)
    second = ts_event // SECOND_NS
    if second == row.second:
        leave(sums[instrument, OPEN], value, value_low, size)
        return
    for window in range(WINDOWS):
        width = WIDTHS_S[window]
        if second // width > row.second // width - BUCKETS:
            leave(ring[instrument, window, second // width % BUCKETS], value, value_low, size)
            leave(sums[instrument, window], value, value_low, size)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def roll(row, sums, ring, instrument, second):
    """The row's second is over, `second` begins: close the open sum, expire buckets.

    Call before the row's `second` moves.
    """
    gathered = sums[instrument, OPEN]
    if gathered.trades + sums[instrument, LONGEST].trades == 0:
        return  # Every bucket is empty.
    for window in range(WINDOWS):
        total = sums[instrument, window]
        width = WIDTHS_S[window]
        newest = row.second // width
        if gathered.trades != 0:
            _merge(total, gathered)
            _merge(ring[instrument, window, newest % BUCKETS], gathered)
        if total.trades != 0:
            _expire(total, ring, instrument, window, newest, second // width)
    clear(gathered)
    derive_windows(
        row, sums[instrument, 0], sums[instrument, 1], sums[instrument, LONGEST], gathered
    )


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _expire(total, ring, instrument, window, newest, number):
    """Empty the buckets that those after `newest` up to `number` push out."""
    index = (newest + 1) % BUCKETS
    for _ in range(min(number - newest, BUCKETS)):
        bucket = ring[instrument, window, index]
        if bucket.trades != 0:
            _separate(total, bucket)
            clear(bucket)
        index += 1
        if index == BUCKETS:
            index = 0
