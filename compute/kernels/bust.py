"""Rule: the bust of a trade, which takes it back out of every number it went into.

A BUST repeats id, price, size and flags of the trade it voids; its ts_event is its own. The
RECENT newest eligible trades of the instrument are remembered: a bust that finds its trade there
undoes volume, trades, the session's and the minute's averages exactly, last if it was the last,
and open, high and low where all trades of the session are remembered. An older trade is taken
out of the session's sums if they can hold it; its bucket is not known, so the minute's average
keeps it until it expires (60 s at most), and last, open, high and low stay. A bust that no sum
can hold, or whose trade cannot have been, is counted and moves nothing. In every case CORRECTED
shows until the next normal trade. A correction is a BUST and a TRADE.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import (
    BUSTS_UNMATCHED,
    CORRECTED,
    FLAG_INDICATIVE,
    FLAG_INELIGIBLE,
    FROZEN,
    NO_PRICE,
    PRICE_UNITS,
    SECOND_NS,
    SIZE_MAX,
)
from compute.kernels.exact import add
from compute.kernels.quote import change, move_mark
from compute.kernels.trade import RECENT
from compute.kernels.vwap import (
    WINDOW_S,
    derive_session,
    derive_window,
    exclude_from_session,
    exclude_from_window,
)

SLACK = 1e-12  # Share of a size by which decimal sizes may miss each other in a sum.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def bust(row, ring, recent, counts, event):
    """Apply a BUST; False where it cannot be true of any trade."""
    size = event.size
    if size == 0.0 or event.flags & FLAG_INDICATIVE != 0:
        return True
    if not 0.0 < size <= SIZE_MAX or event.price == NO_PRICE:
        return False
    row.bits |= CORRECTED
    row.state = float(row.bits)
    if event.flags & FLAG_INELIGIBLE != 0:
        done = _fits(row, size)
        if done:
            _take_volume(row, size)
    else:
        done = _void(row, ring, recent, event)
    if not done:
        counts[BUSTS_UNMATCHED] += 1
    return done


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _void(row, ring, recent, event):
    """Take an eligible trade out; False where it cannot be among those that counted."""
    instrument, price, size = event.instrument, event.price, event.size
    number = _find(row, recent, event)
    if number < 0:
        all_known = _remembered(row, recent, instrument) == row.eligible
        held = row.sum_size + row.sum_size_low
        if all_known or not _fits(row, size) or held < size * (1.0 - SLACK):
            return False
        _take_volume(row, size)
        exclude_from_session(row, price, size)
        derive_session(row)
        return True
    place = recent[instrument, number % RECENT]
    place.size = 0.0
    second = place.ts_event // SECOND_NS
    if second > row.second - WINDOW_S:
        exclude_from_window(row, ring[instrument, second % WINDOW_S], price, size)
        derive_window(row)
    if number >= row.session_start:
        _take_volume(row, size)
        exclude_from_session(row, price, size)
        _rederive_range(row, recent, instrument)
    if place.ts_event == row.last_ns and price / PRICE_UNITS == row.last:
        _rederive_last(row, recent, instrument)
    derive_session(row)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _find(row, recent, event):
    """Number of the remembered trade that `event` voids, the newest first; -1 if none."""
    oldest = max(row.remembered - RECENT, 0)
    number = row.remembered - 1
    while number >= oldest:
        place = recent[event.instrument, number % RECENT]
        same = place.price == event.price and place.size == event.size
        if same and place.id == event.reference:
            return number
        number -= 1
    return -1


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _fits(row, size):
    return row.trades >= 1.0 and row.volume + row.volume_low >= size * (1.0 - SLACK)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _take_volume(row, size):
    row.trades -= 1.0
    row.volume, row.volume_low = add(row.volume, row.volume_low, -size, 0.0)
    if row.trades == 0.0 or row.volume <= 0.0:
        row.volume, row.volume_low = 0.0, 0.0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _remembered(row, recent, instrument):
    """How many of the session's eligible trades are remembered and not void."""
    count = 0
    for number in range(max(row.remembered - RECENT, row.session_start), row.remembered):
        if recent[instrument, number % RECENT].size > 0.0:
            count += 1
    return count


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _rederive_range(row, recent, instrument):
    """Open, high and low anew, where every trade of the session is remembered."""
    if _remembered(row, recent, instrument) != row.eligible:
        return
    row.open, row.high, row.low = np.nan, np.nan, np.nan
    for number in range(max(row.remembered - RECENT, row.session_start), row.remembered):
        place = recent[instrument, number % RECENT]
        if place.size > 0.0:
            price = place.price / PRICE_UNITS
            if math.isnan(row.open):
                row.open = price
            if not row.high >= price:
                row.high = price
            if not row.low <= price:
                row.low = price


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _rederive_last(row, recent, instrument):
    """The newest trade that is left is the last; if none is remembered, there is none."""
    row.last, row.last_size, row.last_ns = np.nan, np.nan, 0
    for number in range(max(row.remembered - RECENT, 0), row.remembered):
        place = recent[instrument, number % RECENT]
        if place.size > 0.0 and place.ts_event >= row.last_ns:
            row.last_ns = place.ts_event
            row.last = place.price / PRICE_UNITS
            row.last_size = place.size
    price = row.mid if math.isnan(row.last) else row.last
    row.change = change(price, row.close_prev)
    if math.isnan(row.mid) and row.bits & FROZEN == 0:
        _mark_without_mid(row)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _mark_without_mid(row):
    mark = row.close_prev if math.isnan(row.last) else row.last
    if math.isnan(mark) and row.position_usd == 0.0:
        row.mark = mark  # Nothing is held: P&L and exposure are known without a mark.
        row.exposure = 0.0
        row.pnl = row.pnl_at_zero
    else:
        move_mark(row, mark)
