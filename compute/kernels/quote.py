"""Rule: what a quote and a trading status do to bid, ask, mid, mark and the state bits.

mid = (bid + ask) / 2 of a two-sided book that is not crossed. A crossed book has no mid: the
last valid one stays and CROSSED shows; a locked book (bid = ask) has one. A side that is absent
is blank, ONE_SIDED shows, the mid stays. While HALTED, AUCTION or CLOSED holds, bid and ask are
shown but mid and mark stand still; on TRADING they follow the newest quote at once. An indicative
quote moves what a firm one moves, and INDICATIVE shows. (FINRA 6240 for locked and crossed.)

A gap (engine.mark_gap) ends for a row with a quote flagged SNAPSHOT, with its next session, or when
all that was missing has come late and the row has been quoted since.

The mark, its source and its moment:
* A tight mid is the mark. A book is wide where ask - bid is more than both `wide_share` of the mid
  and `wide_floor`; a wide mid is shown, ESTIMATED shows with it, and it is the mark only where the
  mark that stands is estimated itself or older than `fresh_ns` by event time.
* A trade is the mark where there is no tight mid now: the book is wide, crossed, one-sided or not
  yet known (trade.py). It must not be older than the mark that stands.
* The print of an auction (flag AUCTION) is the mark at once, also while AUCTION or CLOSED holds,
  and stays it until the next quote of a trading market. HALTED freezes everything.
* The previous close is the mark before all that, ESTIMATED.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import (
    AUCTION,
    AUCTIONED,
    BOOK,
    CLOSED,
    CORRECTED,
    CROSSED,
    ESTIMATED,
    FILLED,
    FLAG_INDICATIVE,
    FLAG_SNAPSHOT,
    FROZEN,
    GAP,
    HALTED,
    INDICATIVE,
    LOCKED,
    MIDLESS,
    NO_PRICE,
    OF_AUCTION,
    OF_LAST,
    OF_MID,
    ONE_SIDED,
    OTHER_MARK,
    PRICE_UNITS,
    ROUGH,
    SHOWN,
    UNQUOTED,
    UNSAMPLED,
    UNTRADED,
    WIDE,
)

SPECIAL = FLAG_INDICATIVE | FLAG_SNAPSHOT
CALM = GAP | CORRECTED | UNTRADED | AUCTIONED  # What a quote may leave alone.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def move_mark(row, mark):
    """Set the mark and the P&L and exposure (USD) that hang on it; `mark` is not NaN."""
    exposure = row.position_usd * mark + 0.0  # + 0.0: a flat book is worth 0, never -0.
    row.mark = mark
    row.exposure = exposure
    row.pnl = row.pnl_at_zero + exposure


@njit(nogil=True, boundscheck=False, error_model="numpy")
def set_mark(row, mark, source, moment, rough):
    """The mark with its source (MarkSource) and moment (ms); `rough`: it is an estimate."""
    bits = row.bits & ~(ROUGH | OTHER_MARK)
    if rough:
        bits |= ROUGH
    if source != OF_MID:
        bits |= OTHER_MARK
    row.bits = bits
    row.mark_source = float(source)
    row.ts_mark = moment
    move_mark(row, mark)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def show(row):
    """The column `state` from the row's bits."""
    bits = row.bits & SHOWN
    if row.bits & (ROUGH | WIDE) != 0:
        bits |= ESTIMATED
    row.state = float(bits)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def change(price, close_prev):
    """Percent since the previous close; NaN where that is unknown, zero or negative."""
    if close_prev > 0.0:
        return (price / close_prev - 1.0) * 100.0
    return np.nan


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def quote(row, event, moment):
    """Apply a QUOTE of event time `moment` (ms).

    A tight firm book on a row whose mark is the mid moves six cells and no bit; whatever is
    otherwise goes the careful way.
    """
    bid, ask = event.bid, event.ask
    if row.bits & ~CALM == 0 and event.flags & SPECIAL == 0 and NO_PRICE < bid < ask:
        bid_price, ask_price = bid / PRICE_UNITS, ask / PRICE_UNITS
        mid = 0.5 * (bid_price + ask_price)
        if ask_price - bid_price <= max(row.wide_share * abs(mid), row.wide_floor):
            row.bid = bid_price
            row.ask = ask_price
            row.bid_size = event.bid_size + 0.0
            row.ask_size = event.ask_size + 0.0
            row.mid = mid
            row.ts_mark = moment
            move_mark(row, mid)
            if row.bits & UNTRADED != 0:
                row.change = change(mid, row.close_prev)
            return
    _quote(row, event, moment)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _quote(row, event, moment):
    bid, ask = event.bid, event.ask
    bits = row.bits & ~(BOOK | UNQUOTED)
    if bits & FILLED != 0 or event.flags & FLAG_SNAPSHOT != 0:
        bits &= ~(GAP | FILLED)
    if event.flags & FLAG_INDICATIVE != 0:
        bits |= INDICATIVE
    row.bid, row.bid_size = np.nan, np.nan
    row.ask, row.ask_size = np.nan, np.nan
    if bid != NO_PRICE:
        row.bid = bid / PRICE_UNITS
        row.bid_size = event.bid_size + 0.0
    if ask != NO_PRICE:
        row.ask = ask / PRICE_UNITS
        row.ask_size = event.ask_size + 0.0
    mid = 0.5 * (row.bid + row.ask)
    if NO_PRICE in (bid, ask):
        bits |= ONE_SIDED
    elif bid > ask:
        bits |= CROSSED
    elif bid == ask:
        bits |= LOCKED
    elif row.ask - row.bid > max(row.wide_share * abs(mid), row.wide_floor):
        bits |= WIDE
    row.bits = bits
    if bits & (CROSSED | ONE_SIDED | FROZEN) == 0:
        _move_mid(row, mid)
        _mark_by_mid(row, moment)
    show(row)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _move_mid(row, mid):
    """A valid mid; it starts what waits for one."""
    row.mid = mid
    if row.bits & UNSAMPLED != 0:
        row.sample = mid  # Volatility samples from here on.
        if row.bits & MIDLESS != 0 and row.mid_before > 0.0:
            row.gap_overnight = (mid / row.mid_before - 1.0) * 100.0
        row.bits &= ~(UNSAMPLED | MIDLESS)
    if row.bits & UNTRADED != 0:
        row.change = change(mid, row.close_prev)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _mark_by_mid(row, moment):
    wide = row.bits & WIDE != 0
    if not wide or row.bits & ROUGH != 0 or not moment - row.ts_mark < row.fresh_ms:
        set_mark(row, row.mid, OF_MID, moment, wide)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def status(row, event, moment):
    """Apply a STATUS; False where `reference` names no status."""
    code = event.reference
    if code < 0 or code > 3:
        return False
    frozen = row.bits & FROZEN != 0
    row.bits &= ~FROZEN
    if code == 0:
        if frozen:
            _resume(row, moment)
    else:
        if code == 1:
            row.bits |= HALTED
        elif code == 2:
            row.bits |= AUCTION
        else:
            row.bits |= CLOSED
        row.bits |= UNSAMPLED  # The jump over the pause is no return of the market.
        row.grid_sample = np.nan
    show(row)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _resume(row, moment):
    by_auction = row.mark_source == OF_AUCTION
    if row.bid <= row.ask:  # False where a side is NaN.
        _move_mid(row, 0.5 * (row.bid + row.ask))
        if not by_auction:
            _mark_by_mid(row, moment)
    elif not by_auction and not math.isnan(row.last) and not row.last_ns / 1e6 < row.ts_mark:
        set_mark(row, row.last, OF_LAST, row.last_ns / 1e6, False)
