"""Rule: what the positions are worth at the marks and rates of now, and what they add up to.

u = v(mark), fx = USD of what the instrument pays in, b = USD of the book's base currency:

    unrealised = q (u - a) m fx          realised by the book's method (average cost or FIFO)
    pnl        = realised + unrealised - fees + income, all at the rate of now
    overnight  = q_sod (u - v(close)) m  intraday = (sum dq u - sum dq v) m, of today's fills
    day_pnl    = overnight + intraday + income - fees of today
    translation = what was paid at the rates of then, less the same at the rate of now
    pnl_base   = (pnl + translation) in the book's currency = sum of all cash at the rates it was
                 paid at + q u m at the rate of now

Translation is of positions that are paid for (shares, bonds, options, coins), the others carry
currency risk on their accumulated P&L alone. Where a position carries it, day_translation is
today's part of it. A held position without a mark has a blank value, and so has every sum that
contains it. `exit` is at the bid for what is long, at the ask for what is short.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.currency import price_of, rate, stale, usd, value_of
from compute.kernels.lots import NOW, ORDERS, fifo_average
from compute.kernels.position import aggregate
from compute.kernels.slippage import basis_points, cost

MS_NS = 1e6
BOOK_ROWS = TRADER_ROWS = VENUE_ROWS = 64  # Of the table `execution`; then one row an order.
OF_BOOK, OF_TRADER, OF_VENUE, OF_ORDER = 0, 1, 2, 3


@njit(nogil=True, boundscheck=False, error_model="numpy")
def newest(ledger, used):
    """Event time of the newest event of what is held and of the legs of currencies."""
    ns = 0
    for index in range(used):
        ns = max(ns, ledger.state[ledger.slots[index].instrument].newest_ns)
    for number in range(ledger.currencies.shape[0]):
        row = ledger.currencies[number].row
        if row >= 0:
            ns = max(ns, ledger.state[row].newest_ns)
    return ns


@njit(nogil=True, boundscheck=False, error_model="numpy")
def refresh(ledger, used, oldest_ns, now_ns):
    """Bring the rates of held instruments to the market's, and tell the rows that move."""
    state = ledger.state
    for index in range(used):
        instrument = ledger.slots[index].instrument
        row, terms = state[instrument], ledger.terms[instrument]
        if ledger.currencies[terms.currency].row < 0:
            continue  # The instrument's own row of the reference says it.
        found = usd(state, ledger.currencies, terms.currency)
        if found > 0.0 and found != row.usd_rate:
            row.usd_rate, row.unit_usd = found, terms.multiplier * found
            aggregate(row, ledger, instrument)
            if oldest_ns[instrument] == 0:
                oldest_ns[instrument] = max(now_ns, 1)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _worth(quantity, value, multiplier, fx, inverse):
    if quantity == 0.0:
        return 0.0
    return quantity * (-value if inverse != 0 else value) * multiplier * fx + 0.0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def line_of(ledger, index, line, now_ns):
    """One row of POSITIONS; columns in the order of compute/table.py."""
    slot, held = ledger.slots[index], ledger.costs[index, NOW]
    row, terms = ledger.state[slot.instrument], ledger.terms[slot.instrument]
    quantity, m, inverse = held.quantity, terms.multiplier, terms.inverse
    fx = row.usd_rate * row.mark if inverse != 0 else row.usd_rate
    if inverse != 0 and quantity == 0.0 and held.realised == 0.0:
        fx = row.usd_rate  # Nothing is owed in coins.
    base = ledger.books[slot.book].currency
    mark = value_of(row.mark * row.owed, inverse)
    lots_average = fifo_average(held)
    fifo = ledger.books[slot.book].fifo != 0
    average, realised = held.average, held.realised
    if fifo:
        average, realised = lots_average, held.fifo
    unrealised = 0.0
    if quantity != 0.0:
        unrealised = quantity * (mark - average) * m * fx + 0.0
    income = slot.dividends + slot.coupons + slot.funding + slot.borrow
    line[0], line[1], line[2] = slot.book, slot.instrument, quantity
    line[3] = price_of(average, inverse)
    line[4], line[5] = realised * m * fx + 0.0, unrealised
    line[6], line[9] = slot.fees * fx + 0.0, income * fx + 0.0
    line[7] = line[4] + line[5] - line[6] + line[9]
    line[8] = _worth(quantity, mark, m, fx, inverse)
    line[10], line[11] = slot.dividends * fx + 0.0, slot.coupons * fx + 0.0
    line[12], line[13] = slot.funding * fx + 0.0, slot.borrow * fx + 0.0
    _day(slot, line, mark, m, fx, inverse)
    _translate(ledger, index, line, base, mark)
    line[20] = fx
    line[21] = 1.0 if _stale(ledger, terms.currency, base, now_ns) else 0.0
    line[22] = row.mark * row.owed
    line[23], line[24] = np.nan, 0.0
    if quantity != 0.0:
        line[23] = (row.bid if quantity > 0.0 else row.ask) * row.owed
        line[24] = _worth(quantity, value_of(line[23], inverse), m, fx, inverse)
    line[25], line[26] = price_of(lots_average, inverse), held.fifo * m * fx + 0.0
    line[27] = price_of(held.average, inverse)
    line[28] = held.realised * m * fx + 0.0
    line[29], line[30] = slot.sod, slot.close


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _stale(ledger, currency, base, now_ns):
    state, currencies = ledger.state, ledger.currencies
    one = stale(state, currencies, currency, now_ns)
    return one or stale(state, currencies, base, now_ns)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _day(slot, line, mark, m, fx, inverse):
    overnight, intraday = 0.0, 0.0
    if slot.sod != 0.0:
        overnight = slot.sod * (mark - value_of(slot.close, inverse)) * m * fx + 0.0
    if slot.day_size != 0.0:
        intraday = slot.day_size * mark
    intraday = (intraday - slot.day_value) * m * fx + 0.0
    line[14] = overnight + intraday + slot.day_paid * fx
    line[15], line[16] = overnight, intraday


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _translate(ledger, index, line, base, mark):
    """Columns 17 to 19: what currencies did, in USD, and the whole in the book's currency."""
    slot, held = ledger.slots[index], ledger.costs[index, NOW]
    terms = ledger.terms[slot.instrument]
    base_usd = usd(ledger.state, ledger.currencies, base)
    translation, day_translation = 0.0, 0.0
    if terms.funded != 0 and terms.currency != base:
        m, now = terms.multiplier, rate(ledger.state, ledger.currencies, terms.currency, base)
        value = held.quantity * mark * m if held.quantity != 0.0 else 0.0
        whole = slot.flow_base * m + slot.paid_base + value * now
        translation = whole * base_usd - line[7]
        began = slot.sod_flow * m + slot.sod_paid
        if slot.sod != 0.0:
            began += slot.sod * slot.close * m * slot.sod_rate
        day_translation = (whole - began) * base_usd - line[14]
    line[17], line[18] = day_translation + 0.0, translation + 0.0
    line[19] = (line[7] + line[18]) / base_usd


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _sum(into, line):
    """Add a position to a row of BOOKS or CLASSES."""
    value = line[8]
    if not value <= 0.0:  # NaN goes into both sides.
        into[0] += value
    if not value >= 0.0:
        into[1] += value
    into[2] = into[0] + into[1]
    into[3] = into[0] - into[1]
    into[4] += line[7]
    if line[2] != 0.0:
        into[5] += 1.0
    into[6] += line[4]
    into[7] += line[5]
    into[8] += line[6]
    into[9] += line[9]
    into[10] += line[14]
    into[11] += line[15]
    into[12] += line[16]
    into[13] += line[17]
    into[14] += line[18]
    into[15] += line[24]
    into[16] += line[21]


@njit(nogil=True, boundscheck=False, error_model="numpy")
def execution_of(ledger, used, table):
    """The rows of EXECUTION: sums by book, trader, venue, then the newest orders."""
    table[:, :] = np.nan
    for index in range(used):
        slot = ledger.slots[index]
        if slot.order_worth == 0.0 and slot.order_fees == 0.0:
            continue
        terms, row = ledger.terms[slot.instrument], ledger.state[slot.instrument]
        fx = row.usd_rate * row.mark if terms.inverse != 0 else row.usd_rate
        book = slot.book
        _gather(table, 0, BOOK_ROWS, OF_BOOK, book, slot, terms.multiplier * fx, fx)
        trader = ledger.books[book].trader
        if trader >= 0:
            _gather(
                table, BOOK_ROWS, TRADER_ROWS, OF_TRADER, trader, slot, terms.multiplier * fx, fx
            )
        start = BOOK_ROWS + TRADER_ROWS
        _gather(table, start, VENUE_ROWS, OF_VENUE, terms.venue, slot, terms.multiplier * fx, fx)
    first = BOOK_ROWS + TRADER_ROWS + VENUE_ROWS
    for place in range(min(table.shape[0] - first, ledger.control[ORDERS])):
        number = (ledger.control[ORDERS] - 1 - place) % ledger.orders.shape[0]
        _order(ledger, ledger.orders[number], table[first + place])


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _gather(table, start, rows, scope, key, slot, unit, fx):
    """Add a position's costs to the row of `key`; the last row takes what has no room."""
    place = start
    while place < start + rows - 1 and table[place, 1] != key and not math.isnan(table[place, 1]):
        place += 1
    line = table[place]
    if math.isnan(line[1]):
        line[:] = 0.0
        line[0], line[1] = scope, key
        for column in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12):
            line[column] = np.nan
    line[13] += slot.order_worth * unit
    line[14] += slot.order_fees * fx
    line[16] += slot.arrival_cost * unit
    line[18] += slot.vwap_cost * unit
    line[20] += slot.decision_cost * unit
    line[21] += slot.arrival_worth * unit
    line[22] += slot.vwap_worth * unit
    line[23] += slot.decision_worth * unit
    line[15] = basis_points(line[16], line[21])
    line[17] = basis_points(line[18], line[22])
    line[19] = basis_points(line[20], line[23])


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _order(ledger, order, line):
    slot = ledger.slots[order.slot]
    terms, row = ledger.terms[slot.instrument], ledger.state[slot.instrument]
    inverse = terms.inverse
    fx = row.usd_rate * row.mark if inverse != 0 else row.usd_rate
    unit = terms.multiplier * fx
    line[0], line[1] = OF_ORDER, order.reference
    line[2], line[3], line[4] = slot.book, slot.instrument, order.ts_event / MS_NS
    line[5], line[6], line[7] = order.size, order.filled, order.fills
    line[9] = price_of(order.arrival, inverse)
    line[11] = price_of(order.decision, inverse)
    line[13], line[14] = abs(order.value) * unit, order.fees * fx + 0.0
    if order.filled == 0.0:
        return
    line[8] = price_of(order.value / order.filled, inverse)
    line[10] = price_of(order.vwap, inverse)
    line[12] = order.filled / order.size * 100.0
    _measure(order, order.arrival, unit, line, 15, 21)
    _measure(order, order.vwap, unit, line, 17, 22)
    _measure(order, order.decision, unit, line, 19, 23)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _measure(order, reference, unit, line, column, worth_column):
    money, worth = cost(order, reference)
    line[column] = basis_points(money, worth)
    line[column + 1], line[worth_column] = money * unit + 0.0, worth * unit


def build(stamp: int):
    """The compiled `total`, kept on disk under `stamp` as the step is (see step.py)."""

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def total(ledger, used, oldest_ns, positions, books, classes, execution):
        """Rows of POSITIONS at the marks and rates of now, and all that is summed from them."""
        books[:, :] = np.nan
        classes[:, :] = 0.0
        now_ns = newest(ledger, used) if stamp >= 0 else 0
        refresh(ledger, used, oldest_ns, now_ns)
        for index in range(used):
            slot, line = ledger.slots[index], positions[index]
            line_of(ledger, index, line, now_ns)
            book = books[slot.book]
            if math.isnan(book[5]):
                book[:] = 0.0
            _sum(book, line)
            book[17] += line[19]
            _sum(classes[ledger.state[slot.instrument].asset_class], line)
        execution_of(ledger, used, execution)

    return total
