"""Rule: what a split does to an instrument's market numbers, told by SPLIT.

From here on a price is one of a new unit, of which `price` stand for `reference` old ones. What is
a price of now (bid, ask, mid, mark, last) is divided by the ratio and its size multiplied; the
previous close is the reference's to restate. Trades of old and of new units make no average: VWAP,
open, high, low and volume start anew as with a session, the windows are empty, and a bust of a
trade of before finds nothing to take out. Volatility keeps its returns and starts a new chain, so
the jump is none. What is held is valued as before: see position.py for the half that is its own.
"""

import math

import numpy as np
from numba import njit

from compute.kernels.codes import FILLED, GAP, MIDLESS, OF_CLOSE, UNQUOTED
from compute.kernels.position import aggregate, owe, splits
from compute.kernels.quote import change, show
from compute.kernels.trade import RECENT, reset
from compute.kernels.vwap import AUCTIONS, BUCKETS, OPEN, WINDOWS, clear

KEPT = GAP | UNQUOTED | FILLED | MIDLESS  # It is still the same day and the same stream.


@njit(nogil=True, boundscheck=False, error_model="numpy")
def restate(row, sums, ring, recent, ledger, event):
    """Apply a SPLIT; False where its ratio cannot be or the contract is inverse."""
    if not splits(row, ledger, event):
        return False
    new, old = float(event.price), float(event.reference)
    _prices(row, new, old)
    kept, overnight = row.bits & KEPT, row.gap_overnight
    reset(row, sums[event.instrument, AUCTIONS])
    row.bits = row.bits & ~KEPT | kept
    row.gap_overnight = overnight
    show(row)
    _forget(row, sums, ring, recent, event.instrument)
    owe(row, new, old)
    aggregate(row, ledger, event.instrument)
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _prices(row, new, old):
    row.bid, row.ask, row.mid = row.bid * old / new, row.ask * old / new, row.mid * old / new
    row.bid_size, row.ask_size = row.bid_size * new / old, row.ask_size * new / old
    row.last, row.last_size = row.last * old / new, row.last_size * new / old
    row.mid_before = row.mid_before * old / new
    if row.mark_source != OF_CLOSE:
        row.mark = row.mark * old / new
    row.change = change(row.mid if math.isnan(row.last) else row.last, row.close_prev)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _forget(row, sums, ring, recent, instrument):
    """No trade of old units is in a window, and none can be taken back."""
    clear(sums[instrument, OPEN])
    for window in range(WINDOWS):
        clear(sums[instrument, window])
        for bucket in range(BUCKETS):
            clear(ring[instrument, window, bucket])
    for place in range(RECENT):
        recent[instrument, place].size = 0.0
    row.vwap_1m, row.vwap_5m, row.vwap_30m = np.nan, np.nan, np.nan
