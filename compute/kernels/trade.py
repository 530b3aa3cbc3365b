"""Rule: what a trade, its bust and a new session do to an instrument's row.

A trade of size 0 and an INDICATIVE price move nothing. An INELIGIBLE trade counts in volume and
trades only. An eligible one also moves last, open, high, low and the averages (vwap.py); one that
is older than the newest (by ts_event) counts everywhere but does not move last or open.

A BUST repeats price, size, flags and ts_event of the trade it voids and takes it out of volume,
trades and the averages. The trade is not remembered by id: where the sums cannot hold it, it is
counted as unmatched and moves nothing; last, open, high and low stay (blank if no eligible trade
is left) and CORRECTED shows until the next normal trade. A correction is a BUST and a TRADE.
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
from compute.kernels.vwap import (
    derive_session,
    derive_window,
    exclude_from_session,
    exclude_from_window,
    include,
)

SLACK = 1e-12  # Share of a size by which decimal sizes may miss each other in a sum.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def trade(row, ring, instrument, event):
    """Apply a TRADE; False where price or size cannot be true."""
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
        _move_prices(row, event.price / PRICE_UNITS, size, event.ts_event)
        include(row, ring, instrument, event)
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
def bust(row, ring, instrument, event):
    """Apply a BUST; False where the sums cannot hold the trade that it voids."""
    size = event.size
    if size == 0.0 or event.flags & FLAG_INDICATIVE != 0:
        return True
    if not 0.0 < size <= SIZE_MAX or event.price == NO_PRICE:
        return False
    row.bits |= CORRECTED
    row.state = float(row.bits)
    eligible = event.flags & FLAG_INELIGIBLE == 0
    fits = row.trades >= 1.0 and row.volume + row.volume_low >= size * (1.0 - SLACK)
    if eligible:
        held = row.sum_size + row.sum_size_low
        fits = fits and row.eligible >= 1 and held >= size * (1.0 - SLACK)
    if not fits:
        return False
    row.trades -= 1.0
    row.volume, row.volume_low = add(row.volume, row.volume_low, -size, 0.0)
    if row.trades == 0.0 or row.volume <= 0.0:
        row.volume, row.volume_low = 0.0, 0.0
    if eligible:
        exclude_from_session(row, event)
        exclude_from_window(row, ring, instrument, event)
        derive_window(row)
        if row.eligible == 0:
            _no_trade_left(row)
        derive_session(row)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _no_trade_left(row):
    row.open, row.high, row.low = np.nan, np.nan, np.nan
    row.last, row.last_size = np.nan, np.nan
    row.last_ns = 0
    row.change = change(row.mid, row.close_prev)
    if math.isnan(row.mid) and row.bits & FROZEN == 0:
        revalue_at_close(row)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def revalue_at_close(row):
    """The mark falls back on the previous close, which may be unknown."""
    mark = row.close_prev
    if math.isnan(mark) and row.position_usd == 0.0:
        row.mark = mark  # Nothing is held: P&L and exposure are known without a mark.
    else:
        move_mark(row, mark)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def reset(row):
    """A new session begins: its figures start again; quote, last, mark and position go on."""
    row.vwap, row.vs_vwap = np.nan, np.nan
    row.open, row.high, row.low = np.nan, np.nan, np.nan
    row.volume, row.volume_low, row.trades = 0.0, 0.0, 0.0
    row.sum_value, row.sum_value_low = 0.0, 0.0
    row.sum_size, row.sum_size_low = 0.0, 0.0
    row.eligible = 0
    row.sample = np.nan
    row.bits &= ~(GAP | CORRECTED)
    row.state = float(row.bits)
