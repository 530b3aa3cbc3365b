"""Rule: the bust of a trade, which takes it back out of every number it went into.

A BUST repeats id, price, size and flags of the trade it voids; its ts_event is its own. The
RECENT newest eligible trades of the instrument are remembered: a bust that finds its trade there
undoes volume, trades and every average exactly, last if it was the last (and the mark, where that
was the print), and open, high and low where all trades of the session are remembered. An older
trade is taken out of the session's sums, and of the auctions' if it has that flag, if they can hold
it; its bucket is not known, so the windows' averages keep it until it expires, and last, open,
high and low stay. A bust that no sum can hold, or whose trade cannot have been, is counted and
moves nothing. In every case CORRECTED shows until the next normal trade. A correction is a BUST
and a TRADE.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import (
    BUSTS_UNMATCHED,
    CORRECTED,
    FLAG_AUCTION,
    FLAG_INELIGIBLE,
    NO_MID,
    NO_PRICE,
    OF_AUCTION,
    OF_CLOSE,
    OF_LAST,
    OF_MID,
    OTHER_MARK,
    PRICE_UNITS,
    ROUGH,
    SIZE_MAX,
    UNTRADED,
)
from compute.kernels.exact import add, two_product
from compute.kernels.quote import change, set_mark, show
from compute.kernels.trade import RECENT, counted, eligible
from compute.kernels.vwap import (
    AUCTIONS,
    LONGEST,
    OPEN,
    derive_session,
    derive_windows,
    leave,
    leave_session,
    leave_windows,
)

SLACK = 1e-12  # Share of a size by which decimal sizes may miss each other in a sum.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def bust(row, sums, ring, recent, counts, event, moment):
    """Apply a BUST; False where it cannot be true of any trade."""
    size = event.size
    if not counted(event):
        return True
    if not 0.0 < size <= SIZE_MAX or event.price == NO_PRICE:
        return False
    row.bits |= CORRECTED
    if _in_volume_alone(row, recent, event):
        done = _fits(row, size)
        if done:
            _take_volume(row, size)
    else:
        done = _void(row, sums, ring, recent, event, moment)
    show(row)
    if not done:
        counts[BUSTS_UNMATCHED] += 1
    return done


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _in_volume_alone(row, recent, event):
    # A trade that is remembered was eligible, whatever the instrument's version says by now.
    remembered = event.flags & FLAG_INELIGIBLE == 0 and _find(row, recent, event) >= 0
    return not (remembered or eligible(row, event))


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _void(row, sums, ring, recent, event, moment):
    """Take an eligible trade out; False where it cannot be among those that counted."""
    instrument, price, size = event.instrument, event.price, event.size
    number = _find(row, recent, event)
    if number < 0:
        all_known = _remembered(row, recent, instrument) == row.eligible
        held = row.sum_size + row.sum_size_low
        if all_known or not _fits(row, size) or held < size * (1.0 - SLACK):
            return False
        _leave_session(row, sums, event)
        derive_session(row, sums[instrument, AUCTIONS])
        return True
    place = recent[instrument, number % RECENT]
    place.size = 0.0
    leave_windows(row, sums, ring, instrument, place.ts_event, price, size)
    derive_windows(
        *(row, sums[instrument, 0], sums[instrument, 1], sums[instrument, LONGEST]),
        sums[instrument, OPEN],
    )
    if number >= row.session_start:
        _leave_session(row, sums, event)
        _rederive_range(row, recent, instrument)
    if place.ts_event == row.last_ns and price / PRICE_UNITS == row.last:
        _rederive_last(row, recent, instrument, moment)
    derive_session(row, sums[instrument, AUCTIONS])
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _leave_session(row, sums, event):
    auctions = sums[event.instrument, AUCTIONS]
    _take_volume(row, event.size)
    leave_session(row, event.price, event.size)
    if event.flags & FLAG_AUCTION != 0 and auctions.trades > 0:
        value, value_low = two_product(float(event.price), event.size)
        leave(auctions, value, value_low, event.size)


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
def _rederive_last(row, recent, instrument, moment):
    """The newest trade that is left is the last; if none is remembered, there is none."""
    row.last, row.last_size, row.last_ns = np.nan, np.nan, 0
    row.bits |= UNTRADED
    for number in range(max(row.remembered - RECENT, 0), row.remembered):
        place = recent[instrument, number % RECENT]
        if place.size > 0.0 and place.ts_event >= row.last_ns:
            row.last_ns = place.ts_event
            row.last = place.price / PRICE_UNITS
            row.last_size = place.size
            row.bits &= ~UNTRADED
    price = row.mid if math.isnan(row.last) else row.last
    row.change = change(price, row.close_prev)
    if row.mark_source in (OF_LAST, OF_AUCTION):
        _mark_anew(row, moment)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _mark_anew(row, moment):
    """The mark was the print that is void: it is the mid, else the last left, else the close."""
    if not math.isnan(row.mid):
        set_mark(row, row.mid, OF_MID, moment, row.bits & NO_MID != 0)
    elif not math.isnan(row.last):
        set_mark(row, row.last, OF_LAST, row.last_ns / 1e6, False)
    elif not math.isnan(row.close_prev):
        set_mark(row, row.close_prev, OF_CLOSE, np.nan, True)
    else:
        row.mark, row.mark_source, row.ts_mark = np.nan, np.nan, np.nan
        row.bits = row.bits & ~ROUGH | OTHER_MARK
        row.exposure = row.position_usd * row.mark
        if row.position_usd == 0.0:
            row.exposure = 0.0  # Nothing is held: P&L and exposure are known without a mark.
        row.pnl = row.pnl_at_zero + row.exposure
