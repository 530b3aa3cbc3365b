"""Rule: what a trade and a new session do to an instrument's row.

A trade of size 0 and an INDICATIVE price move nothing. An INELIGIBLE trade counts in volume and
trades only, and so does one that the instrument's version of the eligibility table leaves out
(ingest/condition.py). An eligible one also moves last, open, high, low and the averages (vwap.py),
and the mark where quote.py says so; one that is older than the newest (by ts_event) counts
everywhere but does not move last or open. The newest RECENT eligible trades are remembered, so that
a bust can find its own (bust.py).

A session begins at the reset instant of the instrument's calendar (step.py) or with the flag RESET.
A trade from before the instant that comes after it belongs to the session before: it moves nothing
and is counted (`late_trades`).
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import (
    AUCTIONED,
    CORRECTED,
    FILLED,
    FLAG_AUCTION,
    FLAG_CORRECTED,
    FLAG_INDICATIVE,
    FLAG_INELIGIBLE,
    FROZEN,
    GAP,
    HALTED,
    LATE_TRADES,
    MIDLESS,
    NO_MID,
    NO_PRICE,
    OF_AUCTION,
    OF_LAST,
    OTHER_MARK,
    PRICE_UNITS,
    SECOND_NS,
    SIZE_MAX,
    UNQUOTED,
    UNSAMPLED,
    UNTRADED,
)
from compute.kernels.exact import add
from compute.kernels.quote import change, set_mark, show
from compute.kernels.vwap import (
    clear,
    derive_session,
    derive_windows,
    enter,
    enter_late,
    enter_session,
)

UNUSUAL = NO_MID | UNTRADED | OTHER_MARK  # Without these the mid is the mark and stays it.
VERSIONS_MAX = 2.0**31  # Beyond the bits of all versions.
RECENT = 32  # Trades remembered an instrument, 32 bytes each: 5 MB for 5,000 instruments.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def counted(event):
    """Whether a trade or bust is one of a size and a firm price."""
    return event.size != 0.0 and event.flags & FLAG_INDICATIVE == 0


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def eligible(row, event):
    """Whether a trade or bust counts in more than volume, by the instrument's version."""
    if event.flags & FLAG_INELIGIBLE != 0:
        return False
    return event.left_out == 0.0 or not _left_out(row, event)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _left_out(row, event):
    versions = event.left_out
    return 0.0 < versions < VERSIONS_MAX and np.int64(versions) & row.vwap_version != 0


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _possible(event):
    return 0.0 < event.size <= SIZE_MAX and event.price != NO_PRICE


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _before_session(row, event):
    # A session begins at a whole second, so a trade of the row's second cannot be.
    return event.ts_event < row.turn_ns - SECOND_NS and event.ts_event < row.session_ns


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def trade(row, minute, five, thirty, gathered, auctions, place, event, moment):
    """Apply a TRADE; False where price or size cannot be true.

    `minute` to `auctions` are the row's sums, `place` is where the trade will be remembered.
    One of a second before the row's has been entered into the windows by `late_trade`.
    """
    size, flags = event.size, event.flags
    if not counted(event) or _before_session(row, event):
        return True
    if not _possible(event):
        return False
    row.volume, row.volume_low = add(row.volume, row.volume_low, size, 0.0)
    row.trades += 1.0
    if (row.bits & CORRECTED) | (flags & FLAG_CORRECTED) != 0:
        row.bits &= ~CORRECTED
        if flags & FLAG_CORRECTED != 0:
            row.bits |= CORRECTED
        show(row)
    if eligible(row, event):
        place.id, place.ts_event = event.reference, event.ts_event
        place.price, place.size = event.price, size
        row.remembered += 1
        _move_prices(row, event, moment)
        value, value_low = enter_session(row, event.price, size)
        if event.ts_event >= row.turn_ns - SECOND_NS:
            enter(gathered, value, value_low, size)
        if flags & FLAG_AUCTION != 0:
            row.bits |= AUCTIONED
            enter(auctions, value, value_low, size)
        derive_session(row, auctions)
        derive_windows(row, minute, five, thirty, gathered)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def late_trade(row, sums, ring, counts, event):
    """Count a trade of the session before; enter one of a second before into the windows."""
    if not counted(event) or not _possible(event):
        return
    if _before_session(row, event):
        counts[LATE_TRADES] += 1
    elif eligible(row, event):
        enter_late(row, sums, ring, event.instrument, event.ts_event, event.price, event.size)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _move_prices(row, event, moment):
    price = event.price / PRICE_UNITS
    if not row.high >= price:  # True where high is NaN.
        row.high = price
    if not row.low <= price:
        row.low = price
    if math.isnan(row.open):
        row.open = price
    if event.ts_event >= row.last_ns:
        row.last_ns = event.ts_event
        row.last = price
        row.last_size = event.size
        row.change = change(price, row.close_prev)
        if row.bits & UNUSUAL != 0 or event.flags & FLAG_AUCTION != 0:
            row.bits &= ~UNTRADED
            _mark_by_trade(row, price, event.flags, moment)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _mark_by_trade(row, price, flags, moment):
    if flags & FLAG_AUCTION != 0:
        if row.bits & HALTED == 0:
            set_mark(row, price, OF_AUCTION, moment, False)
    elif (
        row.bits & FROZEN == 0
        and (row.bits & NO_MID != 0 or math.isnan(row.mid))
        and not moment < row.ts_mark  # True where there is no mark yet.
    ):
        set_mark(row, price, OF_LAST, moment, False)
    show(row)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def reset(row, auctions):
    """A new session begins: its figures start again; quote, last, mark and position go on."""
    row.vwap, row.vs_vwap, row.vwap_ex = np.nan, np.nan, np.nan
    row.open, row.high, row.low = np.nan, np.nan, np.nan
    row.volume, row.volume_low, row.trades = 0.0, 0.0, 0.0
    row.sum_value, row.sum_value_low = 0.0, 0.0
    row.sum_size, row.sum_size_low = 0.0, 0.0
    row.eligible = 0
    clear(auctions)
    row.session_start = row.remembered
    row.gap_overnight = np.nan
    if row.bits & MIDLESS == 0:
        row.mid_before = row.mid
    row.grid_sample = np.nan
    row.bits &= ~(GAP | UNQUOTED | FILLED | CORRECTED | AUCTIONED)
    row.bits |= UNSAMPLED | MIDLESS
    show(row)
