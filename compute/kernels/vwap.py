"""Rule: volume-weighted average prices of eligible trades, invertible.

session: sum p q / sum q in two limbs (exact.py), so a bust takes away exactly what the trade
added. Prices enter in their exact units of 1e-9 (a float64 holds them up to 9.0e6 whole, beyond
that to 1.1e-16). One minute: 60 buckets of one second of event time; a bucket expires when the
row's newest second has moved 60 on (lazily, at the next event of the instrument), a late trade
goes into its own second while that is inside. A window without trades is exactly empty.
"""

import numpy as np
from numba import njit

from compute.kernels.codes import PRICE_UNITS
from compute.kernels.exact import add, two_product

WINDOW_S = 60


@njit(nogil=True, boundscheck=False, error_model="numpy")
def expire(row, ring, instrument, steps):
    """Empty the buckets that `steps` >= 1 new seconds push out; call before `second` moves."""
    if row.window_trades == 0:
        return  # Every bucket is empty.
    index = (row.second + 1) % WINDOW_S
    for _ in range(min(steps, WINDOW_S)):
        bucket = ring[instrument, index]
        if bucket.trades != 0:
            _take_from_window(row, bucket)
            _empty(bucket)
        index += 1
        if index == WINDOW_S:
            index = 0
    derive_window(row)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _take_from_window(row, bucket):
    row.window_trades -= bucket.trades
    if row.window_trades == 0:
        row.window_value, row.window_value_low = 0.0, 0.0
        row.window_size, row.window_size_low = 0.0, 0.0
    else:
        row.window_value, row.window_value_low = add(
            row.window_value, row.window_value_low, -bucket.value, -bucket.value_low
        )
        row.window_size, row.window_size_low = add(
            row.window_size, row.window_size_low, -bucket.size, -bucket.size_low
        )


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _empty(bucket):
    bucket.value, bucket.value_low = 0.0, 0.0
    bucket.size, bucket.size_low, bucket.trades = 0.0, 0.0, 0


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def derive_window(row):
    """VWAP of the minute from the window's sums."""
    row.vwap_1m = np.nan
    if row.window_size > 0.0:
        row.vwap_1m = row.window_value / row.window_size / PRICE_UNITS + 0.0


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def derive_session(row):
    """VWAP and the distance of the last from it, in basis points."""
    row.vwap = np.nan
    row.vs_vwap = np.nan
    if row.sum_size > 0.0:
        vwap = row.sum_value / row.sum_size / PRICE_UNITS + 0.0
        row.vwap = vwap
        if vwap > 0.0:
            row.vs_vwap = (row.last / vwap - 1.0) * 1e4


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def include(row, bucket, inside, event):
    """Add an eligible trade to the session and, if its second is inside, to `bucket`."""
    size = event.size
    value, value_low = two_product(float(event.price), size)
    row.sum_value, row.sum_value_low = add(row.sum_value, row.sum_value_low, value, value_low)
    row.sum_size, row.sum_size_low = add(row.sum_size, row.sum_size_low, size, 0.0)
    row.eligible += 1
    if inside:
        bucket.value, bucket.value_low = add(bucket.value, bucket.value_low, value, value_low)
        bucket.size, bucket.size_low = add(bucket.size, bucket.size_low, size, 0.0)
        bucket.trades += 1
        row.window_value, row.window_value_low = add(
            row.window_value, row.window_value_low, value, value_low
        )
        row.window_size, row.window_size_low = add(row.window_size, row.window_size_low, size, 0.0)
        row.window_trades += 1


@njit(nogil=True, boundscheck=False, error_model="numpy")
def exclude_from_session(row, price, size):
    """Take a voided eligible trade out of the session; the caller knows that it fits."""
    value, value_low = two_product(float(price), size)
    row.sum_value, row.sum_value_low = add(row.sum_value, row.sum_value_low, -value, -value_low)
    row.sum_size, row.sum_size_low = add(row.sum_size, row.sum_size_low, -size, 0.0)
    row.eligible -= 1
    if row.eligible == 0 or row.sum_size <= 0.0:
        row.sum_value, row.sum_value_low = 0.0, 0.0
        row.sum_size, row.sum_size_low = 0.0, 0.0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def exclude_from_window(row, bucket, price, size):
    """Take a voided trade out of the bucket of its second, which holds it."""
    if bucket.trades == 1:
        _take_from_window(row, bucket)
        _empty(bucket)
        return
    value, value_low = two_product(float(price), size)
    bucket.value, bucket.value_low = add(bucket.value, bucket.value_low, -value, -value_low)
    bucket.size, bucket.size_low = add(bucket.size, bucket.size_low, -size, 0.0)
    bucket.trades -= 1
    row.window_value, row.window_value_low = add(
        row.window_value, row.window_value_low, -value, -value_low
    )
    row.window_size, row.window_size_low = add(row.window_size, row.window_size_low, -size, 0.0)
    row.window_trades -= 1
