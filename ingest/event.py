"""Shape: one market event, 64 bytes, the same in Kafka, in the engine and in the record.

The first half is the envelope; the second half is a union that `kind` decides, so a quote
has `bid, ask, bid_size, ask_size` where a trade has `price, reference, size, fee`. Prices are
exact: int64 in units of 1e-9, `NO_PRICE` where a side is absent. Sizes are float64 in the
instrument's own unit (shares, contracts, face, base currency). FILL, ORDER, CASH and ACTION say
what happened to the fund's own positions; they travel in the topic `fills`. What the market says
has its own topics, and two topics have no order between them: so a split is told in both.
"""

from enum import IntEnum, IntFlag

import numpy as np

PRICE_SCALE = 1_000_000_000  # Units of an exact price: price = integer * 1e-9.
PRICE_UNIT = 1e-9
NO_PRICE = -(2**63)  # A side that is absent; no market quotes -9.2e9.

EVENT_BYTES = 64

EVENT = np.dtype(
    {
        "names": [
            *("ts_event", "ts_recv", "sequence", "instrument", "source", "kind", "flags"),
            *("bid", "ask", "bid_size", "ask_size"),  # QUOTE
            *("price", "reference", "size", "fee"),  # All others, as Kind says
            "book",  # FILL, ORDER, CASH: whose position, in place of the source
            "left_out",  # TRADE, BUST, in place of the fee: versions as bits, see Kind
        ],
        "formats": [
            *("<i8", "<i8", "<u8", "<u4", "<u2", "u1", "u1"),
            *("<i8", "<i8", "<f8", "<f8"),
            *("<i8", "<i8", "<f8", "<f8"),
            "<u2",
            "<f8",
        ],
        "offsets": [0, 8, 16, 24, 28, 30, 31, 32, 40, 48, 56, 32, 40, 48, 56, 28, 56],
        "itemsize": EVENT_BYTES,
    }
)
assert EVENT.itemsize == EVENT_BYTES


class Kind(IntEnum):
    """What an event says; the union's second half follows it."""

    QUOTE = 1  # Best bid and ask of the instrument after the event, whole.
    # price, size > 0 or 0 (a size-0 trade moves nothing), reference = trade id; left_out: versions
    # of the eligibility table by which it counts in volume alone, bit v - 1 for version v.
    TRADE = 2
    BUST = 3  # The trade `reference` is void; all but the time repeats the voided trade's.
    STATUS = 4  # reference = a Status
    # Own execution: size signed (+ bought), fee in the instrument's currency (Flag.BASE_FEE: in
    # units of the instrument), reference = id of its order, or 0. With Flag.CORRECTED the fill of
    # this book, reference, price and size is void; what is right follows as a new fill.
    FILL = 5
    ORDER = 6  # Own order placed: price = the decision's or NO_PRICE, size signed, reference = id
    CASH = 7  # Paid on a position: reference = a Cash, size = amount, + received
    ACTION = 8  # Split, all books: `price` new units for `reference` old ones, counts, both > 0
    SPLIT = 9  # The same, told to the market: from here on its prices are of new units


class Status(IntEnum):
    """Trading status that a STATUS event carries in `reference`."""

    TRADING = 0
    HALTED = 1
    AUCTION = 2
    CLOSED = 3


class Cash(IntEnum):
    """Why money was paid on a position: what a CASH event carries in `reference`.

    The amount is in the currency in which the instrument pays (an inverse contract: its base).
    """

    DIVIDEND = 0  # Paid away on a short position.
    COUPON = 1
    FUNDING = 2  # Of a perpetual.
    FEE = 3  # Beside a fill's own; an amount below 0 adds to the fees.
    BORROW = 4  # Cost of a borrowed short position.
    ACCRUED = 5  # Interest bought (-) or sold (+) with a bond; counts as coupon.


class Flag(IntFlag):
    """Bits of `flags`. A correction is a BUST and a TRADE of the same id, both CORRECTED."""

    BUYER = 1  # The aggressor bought.
    SELLER = 2  # The aggressor sold.
    CORRECTED = 4
    INELIGIBLE = 8  # By every version: counts in volume, not in VWAP, last, high or low.
    BASE_FEE = 8  # FILL: `fee` is in units of the instrument (coins) and leaves the position.
    AUCTION = 16
    SNAPSHOT = 32
    RESET = 64  # First event of a new session: session figures start again.
    INDICATIVE = 128


KINDS = np.zeros(256, np.bool_)
KINDS[[int(kind) for kind in Kind]] = True

OWN = np.zeros(256, np.bool_)  # Kinds that travel in the topic `fills`.
OWN[[int(kind) for kind in (Kind.FILL, Kind.ORDER, Kind.CASH, Kind.ACTION)]] = True
