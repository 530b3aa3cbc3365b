"""Rule: a batch of events, one after another, through the laws of their kinds.

The order of events is all that counts: how they were cut into batches changes nothing. An event
touches its own instrument's row, so events of other instruments can wait or come before.

Once a second of event time a row turns: it samples its mid, lets windows expire, and where the
event has passed the reset instant of its calendar, its session begins anew. Instants lie on whole
seconds, so the first event at or after one is the first of the new session.
"""

import numpy as np
from numba import njit

from compute.kernels.bust import bust
from compute.kernels.codes import (
    ACTION,
    BUST,
    CASH,
    FILL,
    FLAG_RESET,
    ORDER,
    QUOTE,
    REFUSED,
    SECOND_NS,
    STATUS,
    TRADE,
    UNKNOWN,
)
from compute.kernels.position import action, cash, fill, order, reset_day
from compute.kernels.prefetch import prefetch
from compute.kernels.quote import quote, status
from compute.kernels.trade import RECENT, late_trade, reset, trade
from compute.kernels.volatility import grid, sample
from compute.kernels.vwap import AUCTIONS, LONGEST, OPEN, roll

# Hints for the cache run ahead of the events: first the row, then what can be known from it. Both
# are many times 20 ns ahead, a line's way from memory.
AHEAD, NEXT = 12, 5
LINE = 64
STATE_BYTES, SUMS_BYTES = 9 * LINE, 5 * LINE  # Of a row.
PRINT_BYTES = 32
NEVER_NS = 2**63 - 1


@njit(nogil=True, boundscheck=False, error_model="numpy")
def turn(row, sums, ring, squares, instrument, ts_event):
    """The row's clock has reached a new second."""
    second = ts_event // SECOND_NS
    sample(row, second - row.second)
    if ts_event >= row.grid_ns:
        grid(row, squares, instrument, ts_event)
    roll(row, sums, ring, instrument, second)
    row.second = second
    row.turn_ns = (second + 1) * SECOND_NS


@njit(nogil=True, boundscheck=False, error_model="numpy")
def renew(row, sums, ledger, instrument):
    """A session begins."""
    reset(row, sums[instrument, AUCTIONS])
    reset_day(row, ledger)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def pass_instant(row, sums, ledger, instants, spans, instrument, ts_event):
    """The event lies at or after the row's next reset instant: find its session."""
    low, high = spans[row.calendar, 0], spans[row.calendar, 1]
    first = low
    while low < high:
        middle = (low + high) // 2
        if instants[middle] <= ts_event:
            low = middle + 1
        else:
            high = middle
    start = instants[low - 1] if low > first else 0
    row.reset_ns = instants[low] if low < spans[row.calendar, 1] else NEVER_NS
    if start > row.session_ns:
        if row.session_ns > 0:  # Not the first event of all.
            renew(row, sums, ledger, instrument)
        row.session_ns = start


@njit(nogil=True, boundscheck=False, error_model="numpy")
def rare(row, sums, ring, recent, ledger, counts, event, moment):
    """The kinds of which there are few; False where the event cannot be."""
    kind = event.kind
    if kind == FILL:
        return fill(row, ledger, counts, event)
    if kind == BUST:
        return bust(row, sums, ring, recent, counts, event, moment)
    if kind == STATUS:
        return status(row, event, moment)
    if kind == ORDER:
        return order(row, ledger, counts, event)
    if kind == CASH:
        return cash(row, ledger, counts, event)
    if kind == ACTION:
        return action(row, ledger, event)
    return False


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def hint_row(addresses, event):
    """What any event of this kind will touch."""
    place = np.int64(event.instrument)
    line = addresses[0] + place * STATE_BYTES
    prefetch(line)
    prefetch(line + LINE)
    prefetch(line + 2 * LINE)
    if event.kind == TRADE:
        prefetch(line + 3 * LINE)
        prefetch(line + 4 * LINE)
        prefetch(line + 5 * LINE)
        line = addresses[1] + place * SUMS_BYTES
        prefetch(line)
        prefetch(line + LINE)
        prefetch(line + 2 * LINE)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def hint_print(addresses, row, event):
    """Where a trade will be remembered, which its row must tell."""
    number = np.int64(event.instrument) * RECENT + row.remembered % RECENT
    prefetch(addresses[2] + number * PRINT_BYTES)


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
    def step(events, enriched, book, ledger, oldest_ns, counts, sessions):
        """Apply events until all are done or one is outside the sessions covered; how many.

        book: (state, sums, ring, recent, squares, their addresses). sessions: (instants, spans,
        low_ns, high_ns).
        """
        state, sums, ring, recent, squares, addresses = book
        instants, spans, low_ns, high_ns = sessions
        rows = state.shape[0] if stamp >= 0 else 0
        emits, last = enriched.shape[0] > 0, events.shape[0] - 1
        for index in range(events.shape[0]):
            hint_row(addresses, events[min(index + AHEAD, last)])
            event = events[min(index + NEXT, last)]
            if event.kind == TRADE and event.instrument < rows:
                hint_print(addresses, state[event.instrument], event)
            event = events[index]
            instrument = event.instrument
            if instrument >= rows:
                counts[UNKNOWN] += 1
                if emits:
                    emit_unknown(enriched[index])
                continue
            row = state[instrument]
            ts_event = event.ts_event
            moment = ts_event / 1e6
            if event.flags & FLAG_RESET != 0:
                renew(row, sums, ledger, instrument)
            if ts_event >= row.turn_ns:
                if ts_event >= row.reset_ns:
                    if not low_ns <= ts_event < high_ns:
                        return index
                    pass_instant(row, sums, ledger, instants, spans, instrument, ts_event)
                turn(row, sums, ring, squares, instrument, ts_event)
            if oldest_ns[instrument] == 0:
                oldest_ns[instrument] = max(ts_event, 1)
            if ts_event > row.newest_ns:
                row.newest_ns = ts_event
                row.ts_event = moment
            done, kind = True, event.kind
            if kind == QUOTE:
                quote(row, event, moment)
            elif kind == TRADE:
                # Arrays as arguments cost a reference count each; the hot kinds get records.
                if ts_event < row.turn_ns - SECOND_NS:
                    late_trade(row, sums, ring, counts, event)
                done = trade(
                    *(row, sums[instrument, 0], sums[instrument, 1], sums[instrument, LONGEST]),
                    *(sums[instrument, OPEN], sums[instrument, AUCTIONS]),
                    *(recent[instrument, row.remembered % RECENT], event, moment),
                )
            else:
                done = rare(row, sums, ring, recent, ledger, counts, event, moment)
            if not done:
                counts[REFUSED] += 1
            if emits:
                emit(enriched[index], row)
        return events.shape[0]

    return step
