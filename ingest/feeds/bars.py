"""Rule: trade bars and book snapshots -> events, with what they can and cannot say.

A bar is told at its close, never before: one TRADE of its whole volume at its last price, marked
SNAPSHOT, for it sums up and is no print. It counts in VWAP. Marked INDICATIVE it would move
nothing, so the instrument had neither price nor volume; marked INELIGIBLE it would say that its
trades were not fit for VWAP, and they were. But a bar's close is not the price of each trade in it:
the VWAP of bars is off by at most the mean of max(high - close, close - low), weighted by volume. A
day is too long for that, so the trade of a daily report is INELIGIBLE: it counts in volume alone.

A snapshot with a running volume is the same: a QUOTE, and before it a TRADE of what was traded
since the snapshot before, at its last price.
"""

from collections.abc import Iterator

import numpy as np

from ingest.event import NO_PRICE, PRICE_SCALE, Flag, Kind
from ingest.feeds.feed import Tally, events, weave


def trades(
    rows: Iterator[np.ndarray], number: int, start: int, tally: Tally
) -> Iterator[np.ndarray]:
    """A TRADE a bar. Columns: line, ns after `start` of its close, open, high, low, close, volume.

    Volume is in 1e-9.
    """
    for line, time, _, high, low, close, volume in (block.T for block in rows):
        out = events(Kind.TRADE, number, start + time, line)
        out["price"], out["size"], out["reference"] = close, volume / PRICE_SCALE, line
        out["flags"] = Flag.SNAPSHOT
        outside = int(np.count_nonzero((close > high) | (close < low)))
        if outside:
            tally.alarms["a bar that closes outside its range"] += outside
        yield out


def snapshots(
    number: int | np.ndarray,
    time: np.ndarray,
    line: np.ndarray,
    sides: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    last: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """EVENT of snapshots: `sides` bid, its size, ask, its size; `last` price and new volume."""
    out = events(Kind.QUOTE, 0, time, line)
    out["instrument"] = number
    for side, price, size in (("bid", *sides[:2]), ("ask", *sides[2:])):
        there = price > 0
        out[side] = np.where(there, price, NO_PRICE)
        out[f"{side}_size"] = np.where(there, size, 0)
    out["flags"] = Flag.SNAPSHOT
    price, volume = last
    at = np.flatnonzero((volume > 0) & (price > 0))
    traded = events(Kind.TRADE, 0, time[at], line[at])
    traded["instrument"] = out["instrument"][at]
    traded["price"], traded["size"], traded["reference"] = price[at], volume[at], line[at]
    traded["flags"] = Flag.SNAPSHOT
    return weave(traded, at, out, np.arange(len(out)))
