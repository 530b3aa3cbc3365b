"""Rule: what happens to the fund's own positions: fills, orders, cash, splits, a new day.

A position is a (book, instrument); its cost is kept by average and by FIFO at once (lots.py). With
v(p) = p, or -1/p where the contract is inverse (P&L in coins), and m the multiplier, at every
event and for either method

    realised + unrealised - fees + income = (-sum dq v + q v(mark)) m - fees + income.

A commission in units of the instrument leaves the position: a fill of dq with fee f is one of
dq - f, and f v m is the fee. Cash on a position is income (a FEE: fees); it moves no quantity. A
split multiplies quantities and divides prices. It is told twice, here (ACTION) and to the market
(SPLIT, restate.py), by topics without an order: between the two the row owes the ratio (`owed`),
so the position is valued at mark x owed and no money moves at either. The previous close is the
reference's to restate. A new day starts from the mark it ends with, until the reference brings an
official close. Flat keeps its realised figures. What is void of an earlier day counts on the day
it is known.

An instrument's slots form a chain (`first_slot`, `next`), books are few: an event walks the
chain, finds its book and adds the chain up anew, so aggregates never drift.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import (
    FILLS_UNMATCHED,
    FLAG_BASE_FEE,
    FLAG_CORRECTED,
    NO_PRICE,
    POSITIONS,
    POSITIONS_FULL,
    PRICE_UNITS,
    SIZE_MAX,
)
from compute.kernels.currency import paid_rate, value_of
from compute.kernels.lots import NOW, find, split, take, void
from compute.kernels.slippage import executed, place

DIVIDEND, COUPON, FUNDING, FEE, BORROW, ACCRUED = 0, 1, 2, 3, 4, 5  # Cash
ROUNDING = 1e-9  # No split is nearer to 1 than this.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def fill(row, ledger, counts, event):
    """Apply a FILL, or void one; False where it cannot be or there is no room for it."""
    size, fee = event.size, event.fee
    inverse = ledger.terms[event.instrument].inverse
    value = np.nan
    if event.price != NO_PRICE:
        value = value_of(event.price / PRICE_UNITS, inverse)
    if not (_may(row, ledger, event) and abs(fee) <= SIZE_MAX):
        return False
    if math.isnan(value) and (size != 0.0 or event.flags & FLAG_BASE_FEE != 0):
        return False
    if event.flags & FLAG_BASE_FEE != 0:
        size -= fee
        fee *= value * ledger.terms[event.instrument].multiplier
    if event.flags & FLAG_CORRECTED != 0:
        done = _void(row, ledger, counts, event, size, value, fee)
    else:
        index = _take(row, ledger, counts, event)
        done = index >= 0 and _fill(row, ledger, counts, index, event, size, value, fee, 1)
    if done:
        aggregate(row, ledger, event.instrument)
    return done


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _may(row, ledger, event):
    known = row.asset_class >= 0 and event.book < ledger.books.shape[0]
    return known and abs(event.size) <= SIZE_MAX


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _fill(row, ledger, counts, index, event, size, value, fee, fills):
    slot = ledger.slots[index]
    rate = paid_rate(row, ledger, event.instrument, event.book)
    if size != 0.0:
        if not take(ledger, counts, index, size, value, fee, rate, event.reference):
            return False
        executed(row, ledger, index, event, size, value, fee, fills)
    slot.fills += fills
    _flow(slot, size, value, fee, rate)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _flow(slot, size, value, fee, rate):
    """What was paid, and at which rate."""
    slot.fees += fee
    slot.day_paid -= fee
    slot.paid_base -= fee * rate
    if size != 0.0:
        slot.flow_base -= size * value * rate
        slot.day_size += size
        slot.day_value += size * value


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _void(row, ledger, counts, event, size, value, fee):
    """Take a fill back; False where it is none of this position's."""
    _, index = _find(row, ledger.slots, event.book)
    number, before, known = -1, -1, False
    if index >= 0 and size == 0.0:
        known = ledger.slots[index].fills > 0
    elif index >= 0:
        number, before = find(ledger, index, event.reference, size, value)
        known = number >= 0 or ledger.slots[index].forgotten > 0
    if not known:
        counts[FILLS_UNMATCHED] += 1
        return False
    slot = ledger.slots[index]
    if number < 0:
        if size != 0.0:
            slot.forgotten -= 1
        return _fill(row, ledger, counts, index, event, -size, value, -fee, -1)
    fee, rate = ledger.lots[number].fee, ledger.lots[number].rate
    void(ledger, index, before, number)
    executed(row, ledger, index, event, -size, value, -fee, -1)
    slot.fills -= 1
    _flow(slot, -size, value, -fee, rate)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def order(row, ledger, counts, event):
    """Apply an ORDER; False where it cannot be or the table of positions is full."""
    if not _may(row, ledger, event) or event.size == 0.0:
        return False
    index = _take(row, ledger, counts, event)
    if index < 0:
        return False
    place(row, ledger, index, event)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def cash(row, ledger, counts, event):
    """Apply a CASH; False where `reference` names no kind or the amount cannot be."""
    kind, amount = event.reference, event.size
    if not _may(row, ledger, event) or kind < DIVIDEND or kind > ACCRUED:
        return False
    index = _take(row, ledger, counts, event)
    if index < 0:
        return False
    slot = ledger.slots[index]
    if kind == FEE:
        slot.fees -= amount
    elif kind == DIVIDEND:
        slot.dividends += amount
    elif kind == FUNDING:
        slot.funding += amount
    elif kind == BORROW:
        slot.borrow += amount
    else:
        slot.coupons += amount
    slot.day_paid += amount
    slot.paid_base += amount * paid_rate(row, ledger, event.instrument, event.book)
    aggregate(row, ledger, event.instrument)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def splits(row, ledger, event):
    """Whether an ACTION or SPLIT can be: no contract is inverse and split."""
    if event.price <= 0 or event.reference <= 0 or row.asset_class < 0:
        return False
    return ledger.terms[event.instrument].inverse == 0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def owe(row, times, over):
    """One side has had its split; exactly 1 once both have."""
    row.owed = row.owed * times / over
    if abs(row.owed - 1.0) < ROUNDING:
        row.owed = 1.0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def action(row, ledger, event):
    """Apply an ACTION: a split; False where its ratio cannot be or the contract is inverse."""
    if not splits(row, ledger, event):
        return False
    new, old = float(event.price), float(event.reference)
    index = row.first_slot
    while index >= 0:
        slot = ledger.slots[index]
        split(ledger, index, new, old)
        slot.sod = slot.sod * new / old
        slot.close = slot.close * old / new
        slot.close_due = slot.close_due * old / new
        slot.day_size = slot.day_size * new / old
        index = slot.next
    owe(row, old, new)
    aggregate(row, ledger, event.instrument)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def reset_day(row, ledger):
    """A new day of the instrument begins: what is held is held overnight, at the mark."""
    index = row.first_slot
    while index >= 0:
        slot = ledger.slots[index]
        slot.sod = ledger.costs[index, NOW].quantity
        slot.close = row.mark * row.owed
        slot.day_size, slot.day_value, slot.day_paid = 0.0, 0.0, 0.0
        slot.sod_flow, slot.sod_paid = slot.flow_base, slot.paid_base
        slot.sod_rate = paid_rate(row, ledger, slot.instrument, slot.book)
        index = slot.next


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _find(row, slots, book):
    """(the last slot looked at, the position's slot), each -1 where there is none."""
    before, index = -1, row.first_slot
    while index >= 0:
        if slots[index].book == book:
            break
        before, index = index, slots[index].next
    return before, index


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _take(row, ledger, counts, event):
    """The position's slot, taken now if it has none; -1 where the table is full."""
    slots = ledger.slots
    before, index = _find(row, slots, event.book)
    if index >= 0:
        return index
    index = counts[POSITIONS]
    if index >= slots.shape[0]:
        counts[POSITIONS_FULL] += 1
        return -1
    counts[POSITIONS] += 1
    slot = slots[index]
    slot.book, slot.instrument, slot.next = event.book, event.instrument, -1
    slot.close, slot.close_told, slot.close_due = row.close_prev, row.close_prev, row.close_prev
    if before < 0:
        row.first_slot = index
    else:
        slots[before].next = index
    return index


@njit(nogil=True, boundscheck=False, error_model="numpy")
def aggregate(row, ledger, instrument):
    """Position, P&L and exposure of the instrument from its chain of slots.

    P&L is linear in the mark: for v(p) = p by what is held, for an inverse contract, whose coin
    is worth the mark, by the coins that are won, owed and paid.
    """
    quantity, base, fees = 0.0, 0.0, 0.0
    index = row.first_slot
    while index >= 0:
        slot, cost = ledger.slots[index], ledger.costs[index, NOW]
        quantity += cost.quantity
        base += cost.realised
        if cost.quantity != 0.0:
            base -= cost.quantity * cost.average
        fees += slot.fees - (slot.dividends + slot.coupons + slot.funding + slot.borrow)
        index = slot.next
    row.position = quantity
    row.base = base
    row.fees = fees
    flow = base * row.unit_usd - fees * row.usd_rate + 0.0
    if ledger.terms[instrument].inverse != 0:
        row.position_usd, row.pnl_at_zero = flow, 0.0 - quantity * row.unit_usd
    else:
        row.position_usd, row.pnl_at_zero = quantity * (row.unit_usd * row.owed), flow
    row.exposure = 0.0
    row.pnl = row.pnl_at_zero
    if row.position_usd != 0.0:
        row.exposure = row.position_usd * row.mark + 0.0
        row.pnl = row.pnl_at_zero + row.exposure
