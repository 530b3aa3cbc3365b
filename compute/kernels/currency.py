"""Rule: what a unit of a currency is worth now, from the mids of this engine's own instruments.

Every currency has one leg against USD: a pair X/USD gives its mid, USD/X gives 1 / mid, hundredths
(GBX) a hundredth of it; a cross is the quotient of two legs, so triangles close exactly. Where no
pair has a mid the reference's rate stands. A leg is stale where it is the reference's, where its
market stands still (halt, auction, close) or where its newest quote or trade is STALE_NS older
than the newest event of what is held; one stale leg makes the result stale. USD is never stale.
"""

import numpy as np
from numba import njit

from compute.kernels.codes import FROZEN

STALE_NS, MS_NS = 300 * 1_000_000_000, 1e6
USD = 0  # Number of the currency.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def usd(state, currencies, number):
    """USD of one unit; NaN unknown."""
    currency = currencies[number]
    if currency.row >= 0:
        mid = state[currency.row].mid
        if mid > 0.0:
            return currency.scale * (mid if currency.power > 0 else 1.0 / mid)
    return currency.usd


@njit(nogil=True, boundscheck=False, error_model="numpy")
def stale(state, currencies, number, now_ns):
    """Whether the rate of `usd` may not be the market's of `now_ns`."""
    if number == USD:
        return False
    index = currencies[number].row
    if index < 0:
        return True
    row = state[index]
    halted = row.bits & FROZEN != 0
    return not row.mid > 0.0 or halted or row.ts_event < (now_ns - STALE_NS) / MS_NS


@njit(nogil=True, boundscheck=False, error_model="numpy")
def rate(state, currencies, number, base):
    """Units of the currency `base` of one unit of the currency `number`; 1 where they are one."""
    if number == base:
        return 1.0
    return usd(state, currencies, number) / usd(state, currencies, base)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def paid_rate(row, ledger, instrument, book):
    """Units of the book's currency of one unit of what the instrument pays in."""
    terms = ledger.terms[instrument]
    found = rate(ledger.state, ledger.currencies, terms.currency, ledger.books[book].currency)
    if terms.inverse != 0:
        return found * row.mark
    return found


@njit(nogil=True, boundscheck=False, error_model="numpy")
def value_of(price, inverse):
    """v(p): what one unit is worth per unit of multiplier."""
    if inverse != 0:
        return -1.0 / price if price > 0.0 else np.nan
    return price


@njit(nogil=True, boundscheck=False, error_model="numpy")
def price_of(value, inverse):
    """Inverse of `value_of`."""
    if inverse != 0:
        return -1.0 / value if value < 0.0 else np.nan
    return value
