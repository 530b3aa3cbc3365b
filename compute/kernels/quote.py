"""Rule: what a quote and a trading status do to bid, ask, mid, mark and the state bits.

mid = (bid + ask) / 2 of a two-sided book that is not crossed. A crossed book has no mid: the
last valid one stays and CROSSED shows; a locked book (bid = ask) has one. A side that is absent
is blank, ONE_SIDED shows, the mid stays. While HALTED, AUCTION or CLOSED holds, bid and ask are
shown but mid and mark stand still; on TRADING they follow the newest quote at once.
mark = mid, else last, else previous close. (FINRA 6240 for locked and crossed.)
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import (
    AUCTION,
    CLOSED,
    CROSSED,
    FROZEN,
    HALTED,
    LOCKED,
    NO_PRICE,
    ONE_SIDED,
    PRICE_UNITS,
    SIDES,
)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def move_mark(row, mark):
    """Set the mark and the P&L and exposure (USD) that hang on it; `mark` is not NaN."""
    exposure = row.position_usd * mark + 0.0  # + 0.0: a flat book is worth 0, never -0.
    row.mark = mark
    row.exposure = exposure
    row.pnl = row.pnl_at_zero + exposure


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def change(price, close_prev):
    """Percent since the previous close; NaN where that is unknown, zero or negative."""
    if close_prev > 0.0:
        return (price / close_prev - 1.0) * 100.0
    return np.nan


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def quote(row, event):
    """Apply a QUOTE."""
    bid, ask = event.bid, event.ask
    bits = row.bits & ~SIDES
    if NO_PRICE in (bid, ask):
        bits |= ONE_SIDED
        _one_sided(row, event)
    else:
        bid_price, ask_price = bid / PRICE_UNITS, ask / PRICE_UNITS
        row.bid = bid_price
        row.ask = ask_price
        row.bid_size = event.bid_size + 0.0
        row.ask_size = event.ask_size + 0.0
        if bid > ask:
            bits |= CROSSED
        else:
            if bid == ask:
                bits |= LOCKED
            if bits & FROZEN == 0:
                move_mid(row, 0.5 * (bid_price + ask_price))
    row.bits = bits
    row.state = float(bits)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _one_sided(row, event):
    row.bid, row.bid_size = np.nan, np.nan
    row.ask, row.ask_size = np.nan, np.nan
    if event.bid != NO_PRICE:
        row.bid = event.bid / PRICE_UNITS
        row.bid_size = event.bid_size + 0.0
    if event.ask != NO_PRICE:
        row.ask = event.ask / PRICE_UNITS
        row.ask_size = event.ask_size + 0.0


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def move_mid(row, mid):
    """A valid mid: it is the mark, and the change where there is no last."""
    row.mid = mid
    if math.isnan(row.sample):
        row.sample = mid  # Volatility samples from here on.
    move_mark(row, mid)
    if math.isnan(row.last):
        row.change = change(mid, row.close_prev)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def status(row, event):
    """Apply a STATUS; False where `reference` names no status."""
    code = event.reference
    if code < 0 or code > 3:
        return False
    bits = row.bits & ~FROZEN
    if code == 0:
        if row.bits & FROZEN != 0:
            _resume(row)
    else:
        if code == 1:
            bits |= HALTED
        elif code == 2:
            bits |= AUCTION
        else:
            bits |= CLOSED
        row.sample = np.nan  # The jump over the pause is no return of the market.
    row.bits = bits
    row.state = float(bits)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _resume(row):
    bid, ask = row.bid, row.ask
    if bid <= ask:  # False where a side is NaN.
        move_mid(row, 0.5 * (bid + ask))
    elif math.isnan(row.mid) and not math.isnan(row.last):
        move_mark(row, row.last)
