"""Kernel: events and their numbers -> rows of the record; rows -> the columns of an insert.

Both copy bits, whatever they mean. A row is written once, and read once on its way to the wire.
"""

import numpy as np
from numba import njit

DIGIT_BITS = 11  # Of a radix sort: its counts fit the first-level cache, three passes do 32 bits.


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def fill(rows, topic, partition, frames, events, enriched):
    """Rows of successive frames of one place.

    rows: RECORD [total], written; frames: int64 [n, 3], offset, start and count of each; events:
    EVENT and enriched: ENRICHED, the events of a frame at start to before start + count.
    """
    to = 0
    for k in range(len(frames)):
        offset, start = frames[k, 0], frames[k, 1]
        for index in range(frames[k, 2]):
            row, event, numbers = rows[to], events[start + index], enriched[start + index]
            row.topic = topic
            row.partition = partition
            row.offset = offset
            row.index = index
            row.ts_event = event.ts_event
            row.ts_recv = event.ts_recv
            row.sequence = event.sequence
            row.instrument = event.instrument
            row.source = event.source
            row.kind = event.kind
            row.flags = event.flags
            row.price = event.bid
            row.ask = event.ask
            row.size = event.bid_size
            row.ask_size = event.ask_size
            row.mid = numbers.mid
            row.vwap = numbers.vwap
            row.vwap_1m = numbers.vwap_1m
            row.volatility = numbers.volatility
            row.volume = numbers.volume
            row.position = numbers.position
            row.pnl = numbers.pnl
            row.mark = numbers.mark
            to += 1


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def arrange(rows, segment_frames, order, spare):
    """Indexes of rows in the order of storage: by segment of offsets, instrument, and as they were.

    rows: RECORD [n] in order of (offset, index); order, spare: int32 [n], written.
    """
    counts = np.empty(1 << DIGIT_BITS, np.int64)
    begin = 0
    while begin < len(rows):
        segment = rows[begin].offset // segment_frames
        end = begin
        while end < len(rows) and rows[end].offset // segment_frames == segment:
            order[end] = end
            end += 1
        for shift in range(0, 32, DIGIT_BITS):
            counts[:] = 0
            for k in range(begin, end):
                counts[(rows[k].instrument >> shift) & (len(counts) - 1)] += 1
            if counts.max() == end - begin:
                continue  # All alike in this digit.
            total = begin
            for digit in range(len(counts)):
                count = counts[digit]
                counts[digit] = total
                total += count
            for k in range(begin, end):
                digit = (rows[order[k]].instrument >> shift) & (len(counts) - 1)
                spare[counts[digit]] = order[k]
                counts[digit] += 1
            order[begin:end] = spare[begin:end]
        begin = end


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def spread(
    rows, order, at, topic, partition, offset, index, ts_event, ts_recv, sequence, instrument,
    source, kind, flags, price, ask, size, ask_size, mid, vwap, vwap_1m, volatility, volume,
    position, pnl, mark,
):  # fmt: skip
    """Columns from `at` on: the rows in that order."""
    for k in range(len(order)):
        row, to = rows[order[k]], at + k
        topic[to] = row.topic
        partition[to] = row.partition
        offset[to] = row.offset
        index[to] = row.index
        ts_event[to] = row.ts_event
        ts_recv[to] = row.ts_recv
        sequence[to] = row.sequence
        instrument[to] = row.instrument
        source[to] = row.source
        kind[to] = row.kind
        flags[to] = row.flags
        price[to] = row.price
        ask[to] = row.ask
        size[to] = row.size
        ask_size[to] = row.ask_size
        mid[to] = row.mid
        vwap[to] = row.vwap
        vwap_1m[to] = row.vwap_1m
        volatility[to] = row.volatility
        volume[to] = row.volume
        position[to] = row.position
        pnl[to] = row.pnl
        mark[to] = row.mark
