"""Rule: a batch of events, one after another, through the laws of their kinds.

The order of events is all that counts: how they were cut into batches changes nothing. An event
touches its own instrument's row, so events of other instruments can wait or come before.
"""

import numpy as np
from numba import njit

from compute.kernels.bust import bust
from compute.kernels.codes import (
    BUST,
    EVENTS,
    FILL,
    FLAG_RESET,
    QUOTE,
    REFUSED,
    SECOND_NS,
    STATUS,
    TRADE,
    UNKNOWN,
)
from compute.kernels.position import fill
from compute.kernels.quote import quote, status
from compute.kernels.trade import RECENT, reset, trade
from compute.kernels.volatility import sample
from compute.kernels.vwap import WINDOW_S, expire


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def turn(row, ring, instrument, ts_event):
    """The row's clock has reached a new second: sample the mid, empty what is a minute old."""
    second = ts_event // SECOND_NS
    steps = second - row.second
    sample(row, steps)
    expire(row, ring, instrument, steps)
    row.second = second
    row.turn_ns = (second + 1) * SECOND_NS


@njit(nogil=True, boundscheck=False, error_model="numpy")
def rare(row, ring, recent, slots, counts, event, books_max):
    """The kinds of which there are few; False where the event cannot be."""
    kind = event.kind
    if kind == FILL:
        return fill(row, slots, counts, event, books_max)
    if kind == BUST:
        return bust(row, ring, recent, counts, event)
    if kind == STATUS:
        return status(row, event)
    return False


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def emit(out, row):
    """The numbers put on record beside the event."""
    out.mid = row.mid
    out.vwap = row.vwap
    out.vwap_1m = row.vwap_1m
    out.volatility = row.volatility
    out.volume = row.volume
    out.position = row.position
    out.pnl = row.pnl
    out.mark = row.mark


@njit(nogil=True, boundscheck=False, error_model="numpy")
def emit_unknown(out):
    """An instrument that has no row has no numbers."""
    out.mid, out.vwap, out.vwap_1m, out.volatility = np.nan, np.nan, np.nan, np.nan
    out.volume, out.position, out.pnl, out.mark = np.nan, np.nan, np.nan, np.nan


def build(stamp: int):
    """The compiled step. Its machine code is kept on disk under `stamp`, a digest of all kernels.

    Numba's cache looks only at the file of the outermost function and at the values it closes
    over; closing over the digest makes it see a change in any of the laws.
    """

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def step(events, state, ring, recent, slots, oldest_ns, counts, enriched, books_max):
        rows = state.shape[0] if stamp >= 0 else 0
        emits = enriched.shape[0] > 0
        counts[EVENTS] += events.shape[0]
        for index in range(events.shape[0]):
            event = events[index]
            instrument = event.instrument
            if instrument >= rows:
                counts[UNKNOWN] += 1
                if emits:
                    emit_unknown(enriched[index])
                continue
            row = state[instrument]
            ts_event = event.ts_event
            if oldest_ns[instrument] == 0:
                oldest_ns[instrument] = max(ts_event, 1)
            if event.flags & FLAG_RESET != 0:
                reset(row)
            if ts_event >= row.turn_ns:
                turn(row, ring, instrument, ts_event)
            if ts_event > row.newest_ns:
                row.newest_ns = ts_event
                row.ts_event = ts_event / 1e6
            # Arrays as arguments cost a reference count each; the hot kinds get records.
            kind = event.kind
            if kind == QUOTE:
                quote(row, event)
            elif kind == TRADE:
                second = ts_event // SECOND_NS
                inside = second > row.second - WINDOW_S
                bucket = ring[instrument, second % WINDOW_S]
                place = recent[instrument, row.remembered % RECENT]
                if not trade(row, bucket, inside, place, event):
                    counts[REFUSED] += 1
            elif not rare(row, ring, recent, slots, counts, event, books_max):
                counts[REFUSED] += 1
            if emits:
                emit(enriched[index], row)

    return step
