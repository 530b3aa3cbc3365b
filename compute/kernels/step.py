"""Rule: a batch of events, one after another, through the laws of their kinds.

The order of events is all that counts: how they were cut into batches changes nothing. An event
touches its own instrument's row, so events of other instruments can wait or come before.

Once a second of event time a row turns: it samples its mid, lets windows expire, and where the
event has passed the reset instant of its calendar, its session begins anew. Instants lie on whole
seconds, so the first event at or after one is the first of the new session.

Own events (FILL, ORDER, CASH, ACTION) come by another topic, and no two readers meet them at the
same place among the market's. So they move what the fund has and nothing of the market: not the
row's clock, its session, its moment (`ts_event`), and no price. The day of the positions begins
with the first event of either side that has passed the instant.
"""

import numpy as np
from numba import carray, njit  # type: ignore[attr-defined]

from compute.kernels.bust import bust
from compute.kernels.codes import (
    ACTION,
    BUST,
    CASH,
    EVENTS,
    FILL,
    FLAG_RESET,
    ORDER,
    QUOTE,
    REFUSED,
    SECOND_NS,
    SPLIT,
    STATUS,
    TRADE,
    UNKNOWN,
)
from compute.kernels.position import action, cash, fill, order, reset_day
from compute.kernels.prefetch import pointer, prefetch
from compute.kernels.quote import quote, status
from compute.kernels.restate import restate
from compute.kernels.trade import RECENT, late_trade, reset, trade
from compute.kernels.volatility import RETURNS, grid, sample
from compute.kernels.vwap import AUCTIONS, BUCKETS, LONGEST, OPEN, SUMS, WIDTHS_S, WINDOWS, roll

# Hints for the cache run ahead of the events: first the row, then what can be known from it. Both
# are many times 20 ns ahead, a line's way from memory.
AHEAD, NEXT = 16, 8
LINE = 64
STATE_BYTES, SUMS_BYTES = 9 * LINE, 5 * LINE  # Of a row.
PRINT_BYTES, SUM_BYTES = 32, 40
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
def session_of(row, instants, spans, ts_event):
    """(the reset instant of the event's session, 0: before all; the next one)."""
    low, high = spans[row.calendar, 0], spans[row.calendar, 1]
    first = low
    while low < high:
        middle = (low + high) // 2
        if instants[middle] <= ts_event:
            low = middle + 1
        else:
            high = middle
    start = instants[low - 1] if low > first else 0
    return start, instants[low] if low < spans[row.calendar, 1] else NEVER_NS


@njit(nogil=True, boundscheck=False, error_model="numpy")
def pass_instant(row, sums, ledger, instants, spans, instrument, ts_event):
    """The event lies at or after the row's next reset instant: find its session."""
    start, row.reset_ns = session_of(row, instants, spans, ts_event)
    if start > row.session_ns:
        if row.session_ns > 0:  # Not the first event of all.
            reset(row, sums[instrument, AUCTIONS])
        row.session_ns = start
    pass_day(row, ledger, start)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def pass_day(row, ledger, start):
    """Begin the day of the positions that starts at this instant, unless it has begun."""
    if start > row.day_ns:
        if row.day_ns > 0:
            reset_day(row, ledger)
        row.day_ns = start


@njit(nogil=True, boundscheck=False, error_model="numpy")
def rare(row, sums, ring, recent, ledger, counts, event, moment):
    """The kinds of which there are few; False where the event cannot be."""
    kind = event.kind
    if kind == BUST:
        return bust(row, sums, ring, recent, counts, event, moment)
    if kind == STATUS:
        return status(row, event, moment)
    if kind == SPLIT:
        return restate(row, sums, ring, recent, ledger, event)
    return False


@njit(nogil=True, boundscheck=False, error_model="numpy")
def own(row, ledger, counts, event):
    """What happened to the fund's own positions; False where the event cannot be."""
    kind = event.kind
    if kind == FILL:
        return fill(row, ledger, counts, event)
    if kind == ORDER:
        return order(row, ledger, counts, event)
    if kind == CASH:
        return cash(row, ledger, counts, event)
    return action(row, ledger, event)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def hint_row(addresses, event):
    """What any event of this kind will touch."""
    place = np.int64(event.instrument)
    line = addresses[0] + place * STATE_BYTES
    prefetch(line)
    prefetch(line + LINE)
    prefetch(line + 2 * LINE)
    # No branch: kinds come as they like, and a wrong guess costs more than asking twice.
    traded = event.kind == TRADE
    more = line + 3 * LINE if traded else line
    step = LINE if traded else 0
    prefetch(more)
    prefetch(more + step)
    prefetch(more + 2 * step)
    more = addresses[1] + place * SUMS_BYTES if traded else line
    prefetch(more)
    prefetch(more + step)
    prefetch(more + 2 * step)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def hint_print(addresses, row, event):
    """Where a trade will be remembered, which its row must tell."""
    line = addresses[0] + np.int64(event.instrument) * STATE_BYTES
    number = np.int64(event.instrument) * RECENT + row.remembered % RECENT
    place = addresses[3] + number * PRINT_BYTES
    prefetch(place if event.kind == TRADE else line)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def hint_turn(addresses, row, event):
    """What a row that turns will touch: its clock, its sums, the buckets that end and begin."""
    place = np.int64(event.instrument)
    line = addresses[0] + place * STATE_BYTES
    prefetch(line + 6 * LINE)
    prefetch(line + 7 * LINE)
    line = addresses[1] + place * SUMS_BYTES
    prefetch(line)
    prefetch(line + LINE)
    prefetch(line + 2 * LINE)
    second = row.turn_ns // SECOND_NS - 1
    line = addresses[2] + place * (WINDOWS * BUCKETS * SUM_BYTES)
    for window in range(WINDOWS):
        bucket = window * BUCKETS + second // WIDTHS_S[window] % BUCKETS
        prefetch(line + bucket * SUM_BYTES)
        prefetch(line + bucket * SUM_BYTES + LINE)


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


@njit(nogil=True, boundscheck=False, error_model="numpy")
def step(events, enriched, book, ledger, oldest_ns, counts, sessions):
    """Apply events until all are done or one is outside the sessions covered; how many.

    book: state, sums, ring, recent, squares, addresses. sessions: instants, spans, low, high ns.
    """
    state, sums, ring, recent, squares, addresses = book
    instants, spans, low_ns, high_ns = sessions
    rows = state.shape[0]
    emits, last = enriched.shape[0] > 0, events.shape[0] - 1
    for index in range(events.shape[0]):
        hint_row(addresses, events[min(index + AHEAD, last)])
        event = events[min(index + NEXT, last)]
        if event.kind == TRADE and event.instrument < rows:
            row = state[event.instrument]
            hint_print(addresses, row, event)
            if event.ts_event >= row.turn_ns:
                hint_turn(addresses, row, event)
        event = events[index]
        instrument = event.instrument
        if instrument >= rows:
            counts[UNKNOWN] += 1
            if emits:
                emit_unknown(enriched[index])
            continue
        row = state[instrument]
        ts_event = event.ts_event
        moment, kind = ts_event / 1e6, event.kind
        mine, done = FILL <= kind <= ACTION, True
        if mine:
            if ts_event >= row.reset_ns:
                if not low_ns <= ts_event < high_ns:
                    counts[EVENTS] += index
                    return index
                pass_day(row, ledger, session_of(row, instants, spans, ts_event)[0])
        else:
            if event.flags & FLAG_RESET != 0:
                renew(row, sums, ledger, instrument)
            if ts_event >= row.turn_ns:
                if ts_event >= row.reset_ns:
                    if not low_ns <= ts_event < high_ns:
                        counts[EVENTS] += index
                        return index
                    pass_instant(row, sums, ledger, instants, spans, instrument, ts_event)
                turn(row, sums, ring, squares, instrument, ts_event)
            if not moment <= row.ts_event:
                row.ts_event = moment
        row.newest_ns = max(row.newest_ns, ts_event)
        if oldest_ns[instrument] == 0:
            oldest_ns[instrument] = max(ts_event, 1)
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
        elif mine:
            done = own(row, ledger, counts, event)
        else:
            done = rare(row, sums, ring, recent, ledger, counts, event, moment)
        if not done:
            counts[REFUSED] += 1
        if emits:
            emit(enriched[index], row)
    counts[EVENTS] += events.shape[0]
    return events.shape[0]


def build(stamp, dtypes, ledger_of):
    """The compiled step. Its machine code is kept on disk under `stamp`, a digest of all kernels.

    Numba's cache looks only at the file of the outermost function and at the values it closes
    over; closing over the digest makes it see a change in any of the laws.

    To hand two dozen arrays over at each call takes a twentieth of a batch's time, so they come
    as numbers: `plan`, int64 [arrays, 2], address and rows of each. Their order is that of `book`,
    `ledger`, `oldest_ns`, `counts`, `sessions`; `dtypes` are of the first two, without the state
    in the ledger, whose tuple `ledger_of` makes.
    """
    state_s, sums_s, ring_s, recent_s, squares_s = dtypes[:5]
    slots_s, costs_s, lots_s, open_s, orders_s, terms_s, currencies_s, books_s, int_s = dtypes[5:]

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def run(events, enriched, plan, low_ns, high_ns):
        """As `step`."""
        if stamp < 0:
            return 0
        state = carray(pointer(plan[0, 0]), (plan[0, 1],), state_s)
        sums = carray(pointer(plan[1, 0]), (plan[1, 1], SUMS), sums_s)
        ring = carray(pointer(plan[2, 0]), (plan[2, 1], WINDOWS, BUCKETS), ring_s)
        recent = carray(pointer(plan[3, 0]), (plan[3, 1], RECENT), recent_s)
        squares = carray(pointer(plan[4, 0]), (plan[4, 1], RETURNS), squares_s)
        ledger = ledger_of(
            state,
            carray(pointer(plan[5, 0]), (plan[5, 1],), slots_s),
            carray(pointer(plan[6, 0]), (plan[6, 1], 2), costs_s),
            carray(pointer(plan[7, 0]), (plan[7, 1],), lots_s),
            carray(pointer(plan[8, 0]), (plan[8, 1], 2), open_s),
            carray(pointer(plan[9, 0]), (plan[9, 1],), orders_s),
            carray(pointer(plan[10, 0]), (plan[10, 1],), terms_s),
            carray(pointer(plan[11, 0]), (plan[11, 1],), currencies_s),
            carray(pointer(plan[12, 0]), (plan[12, 1],), books_s),
            carray(pointer(plan[13, 0]), (plan[13, 1],), int_s),
        )
        oldest_ns = carray(pointer(plan[14, 0]), (plan[14, 1],), np.int64)
        counts = carray(pointer(plan[15, 0]), (plan[15, 1],), np.int64)
        instants = carray(pointer(plan[16, 0]), (plan[16, 1],), np.int64)
        spans = carray(pointer(plan[17, 0]), (plan[17, 1], 2), np.int64)
        addresses = (plan[0, 0], plan[1, 0], plan[2, 0], plan[3, 0])
        book = (state, sums, ring, recent, squares, addresses)
        return step(
            events, enriched, book, ledger, oldest_ns, counts, (instants, spans, low_ns, high_ns)
        )

    return run
