"""Rule: lines of a Lean bar file, a future's tick file or an open interest file -> events.

A trade bar is a TRADE as `bars` says. A quote bar is the QUOTE that stood at its end, marked
SNAPSHOT like it, and told at its close.

An index bar is no trade, its last field counts updates: it is an INDICATIVE QUOTE, bid = ask =
level, without size.
"""

from collections.abc import Iterator

import numpy as np

from ingest.event import NO_PRICE, PRICE_SCALE, Flag, Kind
from ingest.feeds.feed import Tally, events
from ingest.feeds.lines import OPTIONAL, ROUND, TEXT

_SIZE = 9 + ROUND
OPEN_INTEREST = (6, 0)
FUTURE_TRADE = (6, 9, _SIZE, TEXT, TEXT, 0)


def trade_bar(places: int) -> tuple[int, ...]:
    """Spec of `ms, open, high, low, close, volume`."""
    return 6, places, places, places, places, _SIZE


def quote_bar(places: int) -> tuple[int, ...]:
    """Spec of `ms`, then open, high, low, close and last size of bid and ask; empty is no quote."""
    price = places + OPTIONAL
    side = (price, price, price, price, _SIZE + OPTIONAL)
    return 6, *side, *side


def levels(
    rows: Iterator[np.ndarray], number: int, start: int, _tally: Tally
) -> Iterator[np.ndarray]:
    """An INDICATIVE QUOTE a bar of an index."""
    for line, time, _, _, _, close, _ in (block.T for block in rows):
        out = events(Kind.QUOTE, number, start + time, line)
        out["bid"] = out["ask"] = close
        out["flags"] = Flag.SNAPSHOT | Flag.INDICATIVE
        yield out


def quotes(
    rows: Iterator[np.ndarray], number: int, start: int, _tally: Tally
) -> Iterator[np.ndarray]:
    """A QUOTE a bar; a side without a price has no size either."""
    for block in rows:
        out = events(Kind.QUOTE, number, start + block[:, 1], block[:, 0])
        for side, price, size in (("bid", 5, 6), ("ask", 10, 11)):
            there = (block[:, price] != NO_PRICE) & (block[:, price] > 0)
            out[side] = np.where(there, block[:, price], NO_PRICE)
            sized = there & (block[:, size] != NO_PRICE)
            out[f"{side}_size"] = np.where(sized, block[:, size], 0) / PRICE_SCALE
        out["flags"] = Flag.SNAPSHOT
        yield out


def future_trades(
    rows: Iterator[np.ndarray], number: int, start: int, _tally: Tally
) -> Iterator[np.ndarray]:
    """A TRADE a line. One of size 0 has no volume; a suspicious one is ineligible."""
    for line, time, price, size, _, _, doubt in (block.T for block in rows):
        out = events(Kind.TRADE, number, start + time, line)
        out["price"], out["size"], out["reference"] = price, size / PRICE_SCALE, line
        out["flags"] = np.where(doubt, Flag.INELIGIBLE, 0)
        yield out


def open_interest(
    rows: Iterator[np.ndarray], _number: int, _start: int, tally: Tally
) -> Iterator[np.ndarray]:
    """No event: an event is a quote, a trade, a fill or a status."""
    for block in rows:
        tally.skipped["open interest: no event says it"] += len(block)
    yield from ()
