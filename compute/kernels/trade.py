"""Rule: what a trade and a new session do to an instrument's row.

A trade of size 0 and an INDICATIVE price move nothing. An INELIGIBLE trade counts in volume and
trades only. An eligible one also moves last, open, high, low and the averages (vwap.py); one that
is older than the newest (by ts_event) counts everywhere but does not move last or open. The
newest RECENT eligible trades are remembered, so that a bust can find its own (bust.py).
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import (
    CORRECTED,
    FLAG_CORRECTED,
    FLAG_INDICATIVE,
    FLAG_INELIGIBLE,
    FROZEN,
    GAP,
    NO_PRICE,
    PRICE_UNITS,
    SIZE_MAX,
)
from compute.kernels.exact import add
from compute.kernels.quote import change, move_mark
from compute.kernels.vwap import derive_session, derive_window, include

RECENT = 32  # Trades remembered an instrument, 32 bytes each: 5 MB for 5,000 instruments.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def trade(row, bucket, inside, place, event):
    """Apply a TRADE; False where price or size cannot be true.

    `bucket` is the one of its second, good if `inside` the minute; `place` is where it will be
    remembered.
    """
    size = event.size
    flags = event.flags
    if size == 0.0 or flags & FLAG_INDICATIVE != 0:
        return True
    if not 0.0 < size <= SIZE_MAX or event.price == NO_PRICE:
        return False
    row.volume, row.volume_low = add(row.volume, row.volume_low, size, 0.0)
    row.trades += 1.0
    bits = row.bits & ~CORRECTED
    if flags & FLAG_CORRECTED != 0:
        bits |= CORRECTED
    row.bits = bits
    row.state = float(bits)
    if flags & FLAG_INELIGIBLE == 0:
        place.id, place.ts_event = event.reference, event.ts_event
        place.price, place.size = event.price, size
        row.remembered += 1
        _move_prices(row, event.price / PRICE_UNITS, size, event.ts_event)
        include(row, bucket, inside, event)
        derive_session(row)
        derive_window(row)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _move_prices(row, price, size, ts_event):
    if not row.high >= price:  # True where high is NaN.
        row.high = price
    if not row.low <= price:
        row.low = price
    if math.isnan(row.open):
        row.open = price
    if ts_event >= row.last_ns:
        row.last_ns = ts_event
        row.last = price
        row.last_size = size
        row.change = change(price, row.close_prev)
        if math.isnan(row.mid) and row.bits & FROZEN == 0:
            move_mark(row, price)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def reset(row):
    """A new session begins: its figures start again; quote, last, mark and position go on."""
    row.vwap, row.vs_vwap = np.nan, np.nan
    row.open, row.high, row.low = np.nan, np.nan, np.nan
    row.volume, row.volume_low, row.trades = 0.0, 0.0, 0.0
    row.sum_value, row.sum_value_low = 0.0, 0.0
    row.sum_size, row.sum_size_low = 0.0, 0.0
    row.eligible = 0
    row.session_start = row.remembered
    row.sample = np.nan
    row.bits &= ~(GAP | CORRECTED)
    row.state = float(row.bits)
