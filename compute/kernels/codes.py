"""Shape: the numbers that kernels share with the shapes upstream, as plain constants.

Kernels import numpy, numba and math only, so what `ingest/event.py` and `compute/table.py` name
by enums stands here as numbers; a test holds both sides equal.
"""

# Kind
QUOTE, TRADE, BUST, STATUS, FILL = 1, 2, 3, 4, 5

# Flag
FLAG_CORRECTED, FLAG_INELIGIBLE, FLAG_RESET, FLAG_INDICATIVE = 4, 8, 64, 128

# State
HALTED, CROSSED, LOCKED, ONE_SIDED, GAP, CORRECTED, AUCTION, CLOSED = (
    1,
    2,
    4,
    8,
    16,
    32,
    64,
    128,
)
SIDES = CROSSED | LOCKED | ONE_SIDED  # What a quote decides anew.
FROZEN = HALTED | AUCTION | CLOSED  # While one of these holds, mid and mark stand still.

NO_PRICE = -(2**63)
# Dividing by 1e9 gives the float64 nearest to the decimal price; multiplying by 1e-9 does not.
PRICE_UNITS = 1e9
SECOND_NS = 1_000_000_000

# A size beyond this is no size: the product with the greatest price (9.2e18 units) squared stays
# far below the float64 limit, so nothing that enters a sum can make it infinite.
SIZE_MAX = 1e15

# Counters of the engine, by index. Every event is in `events`; one that moved nothing because it
# cannot be is in `unknown` (no such instrument) or `refused`, and there once more by its reason.
EVENTS, UNKNOWN, REFUSED, BUSTS_UNMATCHED, POSITIONS_FULL, POSITIONS = 0, 1, 2, 3, 4, 5
COUNTERS = ("events", "unknown", "refused", "busts_unmatched", "positions_full", "positions")
