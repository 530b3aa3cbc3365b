"""Rule: lines of a Lean US equity tick file (AlgoSeek) -> events.

Quote lines are the national best bid and offer, a side a line: each update is a bid line and then
an ask line of the same millisecond, and the letter names the exchange that sets that side. (Taken
for quotes of single exchanges, whose last values would all stay in force, the book would be
crossed 99 % of the day; as the best of all it is crossed for less than 0.1 %.) The two lines make
one QUOTE. Trade lines carry the sale condition as a set of bits, meanings from Lean's
TradeConditionFlags and QuoteConditionFlags; what they are good for
is told by `ingest/condition.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest import condition
from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds.feed import Tally, events
from ingest.feeds.lines import HEX, LETTER
from ingest.instrument import AssetClass, Instrument

# Times in ms to ns is 6 places, prices in 1e-4 dollars to 1e-9 is 5.
QUOTE = (6, 5, 0, 5, 0, LETTER, HEX, 0)
TRADE = (6, 5, 0, LETTER, HEX, 0)
_LINE, _TIME, _BID, _BID_SIZE, _ASK, _ASK_SIZE, _, _STATE, _DOUBT = range(9)

# Exchange-traded funds among the symbols; the files do not say what a symbol is.
FUNDS = frozenset(
    [
        *("DIA", "EEM", "EFA", "GLD", "HYG", "IWM", "LQD", "QQQ", "SHY"),
        *("SLV", "SPY", "TLT", "USO", "VTI", "VXX", "XLE", "XLF"),
    ]
)


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


MASKS = {version: condition.lean_masks(version) for version in condition.VERSIONS}
_EVERY_VERSION = sum(map(condition.bit, condition.VERSIONS))
# Regular, slow, closing, opening, resume, price bands, fast trading; all else is not firm.
FIRM = _bits(0, 1, 3, 11, 13, 18, 19, 21)


def instrument(symbol: str, _path: Path, _line: bytes, number: int) -> tuple[Instrument, str]:
    """The share or fund of a US ticker, and the zone of its times."""
    name = symbol.upper()
    kind = AssetClass.ETF if name in FUNDS else AssetClass.EQUITY
    return Instrument(number, name, kind, "US", "USD", 1.0, 0.01, 2), "America/New_York"


def trades(
    rows: Iterator[np.ndarray], number: int, start: int, _tally: Tally
) -> Iterator[np.ndarray]:
    """A TRADE a line. A suspicious one (far from the market) is ineligible."""
    for line, time, price, size, _, state, doubt in (block.T for block in rows):
        out = events(Kind.TRADE, number, start + time, line)
        out["price"] = price
        out["reference"] = line
        out["size"] = np.where(state & MASKS[1].silent, 0, size)
        for version, masks in MASKS.items():
            out["left_out"] += (state & masks.ineligible != 0) * condition.bit(version)
        doubtful = (out["left_out"] == _EVERY_VERSION) | (doubt != 0)
        auction = state & MASKS[1].auction != 0
        out["flags"] = doubtful * np.uint8(Flag.INELIGIBLE) | auction * np.uint8(Flag.AUCTION)
        yield out


def quotes(
    rows: Iterator[np.ndarray], number: int, start: int, tally: Tally
) -> Iterator[np.ndarray]:
    """A QUOTE a pair of lines; a line that stands alone makes one with the other side as it was."""
    none = np.array([[0, 0, NO_PRICE, 0, NO_PRICE, 0, 0, 1, 0]])
    sides, held = np.concatenate((none, none)), none[:0]  # The last bid line and ask line.
    for block in rows:
        lines = np.concatenate((held, block))
        held = lines[-1:][lines[-1:, _BID_SIZE] > 0]  # Its ask may stand in the next block.
        lines = lines[: len(lines) - len(held)]
        if len(lines):
            out, sides = _quotes(lines, sides, number, start, tally)
            yield out
    if len(held):
        yield _quotes(held, sides, number, start, tally)[0]


def _quotes(
    block: np.ndarray, sides: np.ndarray, number: int, start: int, tally: Tally
) -> tuple[np.ndarray, np.ndarray]:
    lines = np.concatenate((sides, block))
    row = np.arange(len(lines))
    is_bid = lines[:, _BID_SIZE] > 0
    is_bid[:2] = True, False
    bids = lines[np.maximum.accumulate(np.where(is_bid, row, 0))]
    asks = lines[np.maximum.accumulate(np.where(is_bid, 1, row))]
    paired = is_bid[2:-1] & ~is_bid[3:] & (lines[2:-1, _TIME] == lines[3:, _TIME])
    tally.skipped["a bid whose ask follows in the same update: one quote for both"] += int(
        np.count_nonzero(paired)
    )
    ends = 2 + np.flatnonzero(np.append(~paired, True))
    left, right = bids[ends], asks[ends]
    out = events(Kind.QUOTE, number, start + lines[ends, _TIME], lines[ends, _LINE])
    out["bid"], out["bid_size"] = left[:, _BID], left[:, _BID_SIZE]
    out["ask"], out["ask_size"] = right[:, _ASK], right[:, _ASK_SIZE]
    loose = ((left[:, _STATE] | right[:, _STATE]) & ~FIRM) | left[:, _DOUBT] | right[:, _DOUBT]
    out["flags"] = np.where(loose, Flag.INDICATIVE, 0)
    return out, np.concatenate((bids[-1:], asks[-1:]))
