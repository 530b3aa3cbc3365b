"""Rule: rows of the record become bars, in one pass; bars become longer bars.

A bar is what one instrument did within one span of event time. Rows come a block at a time, and a
block ends anywhere, so an open bar goes on with the next: `slots` says which bar of `out` an
instrument is in. What is in neither (an event out of order) begins another part of the same bar;
whoever reads joins parts. The key of an event is its nanoseconds since the bar began, then its
place in the log: it orders the events of parts. A trade is judged as the engine judges it, by the
version of the eligibility table that its instrument is on. Of each instrument the RECENT newest
trades are remembered, so that a bust can say when its trade was.
"""

import numpy as np
from numba import njit

TRADE, BUST, REFUSED = 2, 3, 255
INELIGIBLE = 8
VERSIONS_MAX = 2.0**31  # As in compute/kernels/trade.py: beyond the bits of all versions.
PLACE_BITS = 28  # 262,144 frames of 1,024 events: two of one nanosecond are never further apart.
HIGHEST, LOWEST = 2**63 - 1, -(2**63)
RECENT = 32  # 2.5 MB for 5,000 instruments.

assert 60_000_000_000 >> (64 - PLACE_BITS) == 0  # A minute in nanoseconds stands before it.


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def bars(rows, span_ns, versions, slots, newest, out, count):
    """Fold `rows` (RECORD) of one place into `out` (BAR), behind the `count` there; how many then.

    `versions` (uint8 by instrument): the bit of its version in what a trade is left out by.
    `slots` (int64 by instrument): the open bar, -1 for none. `newest` (int64, as long as out) is
    room to work in. `out` must have room for len(rows) more.
    """
    newest[:count] = -1
    for i in range(len(rows)):
        row = rows[i]
        if row.kind == REFUSED:
            continue
        start = row.ts_event - row.ts_event % span_ns
        at = slots[row.instrument]
        if at < 0 or out[at].start_ns != start:
            at = count
            count += 1
            slots[row.instrument] = at
            newest[at] = i
            _begin(out[at], row.instrument, start, row.offset)
        bar = out[at]
        bar.first_offset = min(bar.first_offset, row.offset)
        bar.last_offset = max(bar.last_offset, row.offset)
        place = (row.offset * np.uint64(1024) + np.uint64(row.index)) & np.uint64(
            (1 << PLACE_BITS) - 1
        )
        key = np.uint64(row.ts_event - start) << np.uint64(PLACE_BITS) | place
        if key >= bar.state_key:
            bar.state_key = key
            newest[at] = i
        if row.kind == TRADE and row.size > 0.0:
            _trade(bar, row, key, versions[row.instrument])
    for at in range(count):
        if newest[at] < 0:
            continue
        row, bar = rows[newest[at]], out[at]
        bar.mid, bar.vwap, bar.vwap_1m = row.mid, row.vwap, row.vwap_1m
        bar.volatility, bar.volume_session = row.volatility, row.volume
        bar.position, bar.pnl, bar.mark = row.position, row.pnl, row.mark
    return count


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _begin(bar, instrument, start, offset):
    bar.instrument, bar.start_ns = instrument, start
    bar.first_offset = bar.last_offset = offset
    bar.open_key, bar.close_key = np.uint64(2**64 - 1), np.uint64(0)
    bar.state_key = np.uint64(0)
    bar.open = bar.close = 0
    bar.high, bar.low = LOWEST, HIGHEST
    bar.paid = bar.counted = bar.volume = 0.0
    bar.trades, bar.versions = np.uint64(0), np.uint8(0)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _trade(bar, row, key, version):
    bar.volume += row.size
    bar.versions |= version
    if row.flags & INELIGIBLE != 0:
        return
    left_out = row.ask_size  # The union's last field, see EVENT.
    if 0.0 < left_out < VERSIONS_MAX and np.int64(left_out) & np.int64(version) != 0:
        return
    bar.trades += np.uint64(1)
    bar.paid += float(row.price) * row.size
    bar.counted += row.size
    bar.high, bar.low = max(bar.high, row.price), min(bar.low, row.price)
    if key < bar.open_key:
        bar.open_key, bar.open = key, row.price
    if key >= bar.close_key:
        bar.close_key, bar.close = key, row.price


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def longer(parts, span_ns, slots, out):
    """Join `parts` (BAR) into bars of `span_ns` in `out`; how many. `slots` is -1 when idle."""
    count = 0
    for i in range(len(parts)):
        part = parts[i]
        start = part.start_ns - part.start_ns % span_ns
        at = slots[part.instrument]
        if at < 0 or out[at].start_ns != start:
            at = count
            count += 1
            slots[part.instrument] = at
            _begin(out[at], part.instrument, start, part.first_offset)
        bar, shift = out[at], np.uint64(part.start_ns - start) << np.uint64(PLACE_BITS)
        bar.first_offset = min(bar.first_offset, part.first_offset)
        bar.last_offset = max(bar.last_offset, part.last_offset)
        bar.volume += part.volume
        bar.versions |= part.versions
        if shift + part.state_key >= bar.state_key:
            bar.state_key = shift + part.state_key
            bar.mid, bar.vwap, bar.vwap_1m = part.mid, part.vwap, part.vwap_1m
            bar.volatility, bar.volume_session = part.volatility, part.volume_session
            bar.position, bar.pnl, bar.mark = part.position, part.pnl, part.mark
        if part.trades == 0:
            continue
        bar.trades += part.trades
        bar.paid += part.paid
        bar.counted += part.counted
        bar.high, bar.low = max(bar.high, part.high), min(bar.low, part.low)
        if shift + part.open_key < bar.open_key:
            bar.open_key, bar.open = shift + part.open_key, part.open
        if shift + part.close_key >= bar.close_key:
            bar.close_key, bar.close = shift + part.close_key, part.close
    for at in range(count):
        slots[out[at].instrument] = -1
    return count


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def voids(rows, recent, places, moments):
    """Busts among `rows`: their places, and when the trade of each was (0 where that is forgotten).

    `recent` (int64 [instruments, 2 * RECENT + 1]): next place, ids, moments of the newest trades.
    """
    count = 0
    for i in range(len(rows)):
        row = rows[i]
        if row.kind == TRADE:
            mine = recent[row.instrument]
            at = mine[0]
            mine[1 + at], mine[1 + RECENT + at] = row.ask, row.ts_event
            mine[0] = (at + 1) % RECENT
        elif row.kind == BUST:
            mine = recent[row.instrument]
            places[count], moments[count] = i, 0
            for back in range(1, RECENT + 1):  # The newest first: an id may come again.
                at = (mine[0] - back) % RECENT
                if mine[1 + at] == row.ask and mine[1 + RECENT + at] != 0:
                    moments[count] = mine[1 + RECENT + at]
                    break
            count += 1
    return count
