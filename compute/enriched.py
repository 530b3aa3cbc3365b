"""Shape: the numbers put on record beside each event, as the engine left them after it.

64 bytes, an EVENT's size. NaN is unknown. Without numba, so that a web process can read history.
"""

import numpy as np

ENRICHED = np.dtype(
    [
        ("mid", "<f8"),  # price
        ("vwap", "<f8"),  # price, session
        ("vwap_1m", "<f8"),  # price, one minute
        ("volatility", "<f8"),  # % a year
        ("volume", "<f8"),  # units, session
        ("position", "<f8"),  # units, over all books
        ("pnl", "<f8"),  # USD thousands
        ("mark", "<f8"),  # price the P&L was struck at
    ]
)
assert ENRICHED.itemsize == 64
