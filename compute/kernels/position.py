"""Rule: positions by (book, instrument) at average cost, and what they add up to.

Fill (dq, p, fee) on a position q at average a: away from zero, a moves to the weighted mean;
towards zero, realised += (p - a) closed, a stays; through zero, all is closed at a and the rest
opens at p. Flat keeps its realised figure. Realised and fees are kept in the instrument's currency
per unit of multiplier and become USD where they are shown (today's rate), so at every event

    realised + unrealised - fees = (-sum dq p + q mark) multiplier usd - fees usd.

An instrument's slots form a chain (`first_slot`, `next`), books are few: a fill walks the chain,
finds its book and adds the chain up anew, so aggregates never drift. Average cost as in
nautilus_trader and Lean; the identity is free of the cost method.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import (
    NO_PRICE,
    POSITIONS,
    POSITIONS_FULL,
    PRICE_UNITS,
    SIZE_MAX,
)

# A rest this small beside the fill is rounding of decimal sizes (0.1 + 0.2 - 0.3), not a position.
FLAT_SHARE = 1e-12


@njit(nogil=True, boundscheck=False, error_model="numpy")
def fill(row, slots, counts, event, books_max):
    """Apply a FILL; False where it is not a fill or the table of positions is full."""
    size, fee = event.size, event.fee
    known = row.asset_class >= 0 and event.book < books_max
    priced = event.price != NO_PRICE or size == 0.0
    if not (known and priced and abs(size) <= SIZE_MAX and math.isfinite(fee)):
        return False
    index = _find(row, slots, counts, event.instrument, event.book)
    if index < 0:
        counts[POSITIONS_FULL] += 1
        return False
    slot = slots[index]
    slot.fees += fee
    slot.fills += 1
    if size != 0.0:
        _trade(slot, size, event.price / PRICE_UNITS)
    aggregate(row, slots)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _find(row, slots, counts, instrument, book):
    """Index of the position's slot, taken now if it has none; -1 where the table is full."""
    before, index = -1, row.first_slot
    while index >= 0:
        if slots[index].book == book:
            return index
        before, index = index, slots[index].next
    index = counts[POSITIONS]
    if index >= slots.shape[0]:
        return -1
    counts[POSITIONS] += 1
    slot = slots[index]
    slot.book, slot.instrument, slot.next = book, instrument, -1
    if before < 0:
        row.first_slot = index
    else:
        slots[before].next = index
    return index


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _trade(slot, size, price):
    held = slot.quantity
    total = held + size
    if abs(total) <= FLAT_SHARE * max(abs(held), abs(size)):
        total = 0.0
    if held == 0.0:
        slot.average = price
    elif (held > 0.0) == (size > 0.0):
        slot.average += (price - slot.average) * (size / total)
    else:
        reverses = total != 0.0 and (total > 0.0) != (held > 0.0)
        closed = held if total == 0.0 or reverses else -size
        slot.realised += (price - slot.average) * closed
        if reverses:
            slot.average = price
        elif total == 0.0:
            slot.average = np.nan
    slot.quantity = total


@njit(nogil=True, boundscheck=False, error_model="numpy")
def aggregate(row, slots):
    """Position, P&L and exposure of the instrument from its chain of slots."""
    quantity, base, fees = 0.0, 0.0, 0.0
    index = row.first_slot
    while index >= 0:
        slot = slots[index]
        quantity += slot.quantity
        base += slot.realised
        if slot.quantity != 0.0:
            base -= slot.quantity * slot.average
        fees += slot.fees
        index = slot.next
    row.position = quantity
    row.base = base
    row.fees = fees
    row.position_usd = quantity * row.unit_usd
    row.pnl_at_zero = base * row.unit_usd - fees * row.usd_rate + 0.0
    row.exposure = 0.0
    row.pnl = row.pnl_at_zero
    if quantity != 0.0:
        row.exposure = row.position_usd * row.mark + 0.0
        row.pnl = row.pnl_at_zero + row.exposure


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _sum(line, value, pnl, quantity):
    if not value <= 0.0:  # NaN goes into both sides.
        line[0] += value
    if not value >= 0.0:
        line[1] += value
    line[2] = line[0] + line[1]
    line[3] = line[0] - line[1]
    line[4] += pnl
    if quantity != 0.0:
        line[5] += 1.0


def build(stamp: int):
    """The compiled `total`, kept on disk under `stamp` as the step is (see step.py)."""

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def total(state, slots, used, positions, books, classes):
        """Rows of POSITIONS at today's marks, and their sums by book and by asset class.

        A held position without a mark has a blank value, and so has every sum that contains it.
        """
        books[:, :] = np.nan
        classes[:, :] = 0.0
        for index in range(used if stamp >= 0 else 0):
            slot = slots[index]
            row = state[slot.instrument]
            quantity, unrealised, value = slot.quantity, 0.0, 0.0
            if quantity != 0.0:
                unrealised = quantity * (row.mark - slot.average) * row.unit_usd + 0.0
                value = quantity * row.mark * row.unit_usd + 0.0
            realised = slot.realised * row.unit_usd + 0.0
            fees = slot.fees * row.usd_rate + 0.0
            line = positions[index]
            line[0], line[1] = slot.book, slot.instrument
            line[2], line[3] = quantity, slot.average
            line[4], line[5], line[6] = realised, unrealised, fees
            line[7], line[8] = realised + unrealised - fees, value
            if math.isnan(books[slot.book, 5]):
                books[slot.book, :] = 0.0
            _sum(books[slot.book], value, line[7], quantity)
            _sum(classes[row.asset_class], value, line[7], quantity)

    return total
