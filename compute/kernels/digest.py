"""Rule: a digest over rows of 64-bit words, dependent on their order; not cryptographic.

It is to notice that two engines went apart, not to withstand a forger (compute/chain.py does).
"""

import numpy as np
from numba import njit

SEED = np.uint64(0x9E3779B97F4A7C15)
PRIME = np.uint64(0xD6E8FEB86659FD93)
UNKNOWN = np.uint64(0x7FF8000000000000)  # Every NaN counts as this one.
EVENT_WORDS = (0, 3)  # ts_event; instrument, source, kind and flags.


def build():
    """The compiled kernel; its machine code is kept on disk."""

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def digest(events, words, numbers, columns, starts, counts, slots, folds):
        """Fold rows of an event and the numbers after it into `folds`.

        events: uint64 [n, 8]. words and numbers: the enriched rows as uint64 and float64 [n, 8].
        columns: int64, those that count. A segment k is rows starts[k] : starts[k] + counts[k]
        and goes into folds[slots[k]] (uint64), after what is there.
        """
        shift = np.uint64(32)
        for segment in range(len(starts)):
            fold = folds[slots[segment]]
            for row in range(starts[segment], starts[segment] + counts[segment]):
                fold = (fold ^ events[row, 0]) * PRIME
                fold = (fold ^ events[row, 3]) * PRIME
                fold ^= fold >> shift
                for column in columns:
                    word = words[row, column]
                    if numbers[row, column] != numbers[row, column]:
                        word = UNKNOWN
                    fold = (fold ^ word) * PRIME
                    fold ^= fold >> shift
            folds[slots[segment]] = fold

    return digest
