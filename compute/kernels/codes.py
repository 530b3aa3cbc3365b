"""Shape: the numbers that kernels share with the shapes upstream, as plain constants.

Kernels import numpy, numba and math only, so what `ingest/event.py` and `compute/table.py` name
by enums stands here as numbers; a test holds both sides equal.
"""

# Kind
QUOTE, TRADE, BUST, STATUS, FILL, ORDER, CASH, ACTION, SPLIT = 1, 2, 3, 4, 5, 6, 7, 8, 9

# Flag
FLAG_CORRECTED, FLAG_INELIGIBLE, FLAG_AUCTION, FLAG_SNAPSHOT, FLAG_RESET = 4, 8, 16, 32, 64
FLAG_INDICATIVE = 128

FLAG_BASE_FEE = 8  # Of a FILL.

# State
HALTED, CROSSED, LOCKED, ONE_SIDED, GAP, CORRECTED, AUCTION, CLOSED, INDICATIVE, ESTIMATED = (
    *(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
SHOWN = 0xFF_FF  # What the column `state` shows of a row's bits; the rest is the engine's own:
WIDE = 1 << 16  # The newest book makes a mid, but no tight one.
ROUGH = 1 << 17  # The mark is an estimate: ESTIMATED shows for this and for WIDE.
OTHER_MARK = 1 << 18  # The mark is not the mid.
UNSAMPLED = 1 << 19  # No chain of mid samples: the next valid mid starts one.
MIDLESS = 1 << 20  # No valid mid in this session yet.
UNTRADED = 1 << 21  # No last.
AUCTIONED = 1 << 22  # An auction's trade is in the session's sums.
UNQUOTED = 1 << 23  # No quote since a gap was found.
FILLED = 1 << 24  # Of a gap: all that was missing has come; the next quote ends it.
BLANK = OTHER_MARK | UNSAMPLED | MIDLESS | UNTRADED  # A row before its first event.
BOOK = CROSSED | LOCKED | ONE_SIDED | INDICATIVE | WIDE  # What a quote decides anew.
NO_MID = CROSSED | ONE_SIDED | WIDE  # While one of these holds, the book makes no tight mid.
FROZEN = HALTED | AUCTION | CLOSED  # While one of these holds, mid and mark stand still.

# MarkSource
OF_AUCTION, OF_MID, OF_LAST, OF_MODEL, OF_CLOSE = 1, 2, 3, 4, 5

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
FILLS_UNMATCHED, LOTS_MERGED, LATE_TRADES = 6, 7, 8
COUNTERS = (
    *("events", "unknown", "refused", "busts_unmatched", "positions_full", "positions"),
    *("fills_unmatched", "lots_merged", "late_trades"),
)
