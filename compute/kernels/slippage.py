"""Rule: what execution cost, an order at a time: own fills against three prices of reference.

arrival = the mid as the order was placed (ORDER's place in the log), interval VWAP = of the
eligible trades between the order and its last fill, decision = the price the order came with.

    cost = (sum dq v - filled v_ref) m,   bp = cost / (|filled v_ref| m) 1e4

so a cost above 0 is worse than the reference for buys and sells alike, in the currency the
instrument pays in. A reference that is unknown (no mid, no trade between, no decision price, a
session that ended between) has no cost and no share in the sums by book, trader and venue. A fill
finds its order by `reference` among the newest of its position; one without an order is left out.
A void fill is taken back out; the interval stays.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import NO_PRICE, PRICE_UNITS
from compute.kernels.currency import value_of
from compute.kernels.exact import add
from compute.kernels.lots import ORDERS

LOOKED_BACK = 64  # Orders of a position that are searched for a fill's.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def place(row, ledger, index, event):
    """Remember an ORDER and the market it met."""
    control, slot = ledger.control, ledger.slots[index]
    number = control[ORDERS]
    control[ORDERS] += 1
    inverse = ledger.terms[event.instrument].inverse
    order = ledger.orders[number % ledger.orders.shape[0]]
    order.reference, order.slot, order.before = event.reference, index, slot.order
    slot.order = number + 1  # 0: none.
    order.ts_event, order.size = event.ts_event, event.size
    order.decision = np.nan
    if event.price != NO_PRICE:
        order.decision = value_of(event.price / PRICE_UNITS, inverse)
    order.arrival = value_of(row.mid * row.owed, inverse)
    order.session = row.session_start
    order.sum_value, order.sum_value_low = row.sum_value, row.sum_value_low
    order.sum_size, order.sum_size_low = row.sum_size, row.sum_size_low
    order.filled, order.value, order.vwap = 0.0, 0.0, np.nan
    order.fees, order.fills = 0.0, 0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def find_order(ledger, index, reference):
    """Place of the position's order `reference` in the ring; -1 where it is not known."""
    number, oldest = ledger.slots[index].order, ledger.control[ORDERS] - ledger.orders.shape[0]
    for _ in range(LOOKED_BACK):
        if number <= max(oldest, 0):
            return -1
        place_ = (number - 1) % ledger.orders.shape[0]
        if ledger.orders[place_].reference == reference:
            return place_
        number = ledger.orders[place_].before
    return -1


@njit(nogil=True, boundscheck=False, error_model="numpy")
def executed(row, ledger, index, event, size, value, fee, fills):
    """Count a fill (`fills` 1), or take a void one out (-1, with `size` and `fee` reversed)."""
    if event.reference <= 0:
        return
    number = find_order(ledger, index, event.reference)
    if number < 0:
        return
    slot, order = ledger.slots[index], ledger.orders[number]
    _count(slot, order, -1.0)
    order.filled += size
    order.value += size * value
    order.fees += fee
    order.fills += fills
    if order.fills <= 0:
        order.filled, order.value, order.fees, order.vwap = 0.0, 0.0, 0.0, np.nan
    elif fills > 0:
        order.vwap = value_of(interval_vwap(row, order), ledger.terms[event.instrument].inverse)
    _count(slot, order, 1.0)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def interval_vwap(row, order):
    """VWAP of the eligible trades since the order; NaN where none, or not of one session."""
    if order.session != row.session_start:
        return np.nan
    value, _ = add(row.sum_value, row.sum_value_low, -order.sum_value, -order.sum_value_low)
    size, _ = add(row.sum_size, row.sum_size_low, -order.sum_size, -order.sum_size_low)
    if not size > 0.0:
        return np.nan
    return value / size / PRICE_UNITS


@njit(nogil=True, boundscheck=False, error_model="numpy")
def cost(order, reference):
    """(cost, worth of the reference) per unit of multiplier; NaN where `reference` is."""
    return order.value - order.filled * reference, abs(order.filled * reference)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def basis_points(money, worth):
    """Cost in bp of the worth of its reference; NaN where that is nought."""
    if worth > 0.0:
        return money / worth * 1e4 + 0.0
    return np.nan


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _count(slot, order, sign):
    """Put the order's costs into the position's sums (1.0), or take them out (-1.0)."""
    slot.order_fees += sign * order.fees
    slot.order_worth += sign * abs(order.value)
    money, worth = cost(order, order.arrival)
    if not math.isnan(money):
        slot.arrival_cost += sign * money
        slot.arrival_worth += sign * worth
    money, worth = cost(order, order.vwap)
    if not math.isnan(money):
        slot.vwap_cost += sign * money
        slot.vwap_worth += sign * worth
    money, worth = cost(order, order.decision)
    if not math.isnan(money):
        slot.decision_cost += sign * money
        slot.decision_worth += sign * worth
