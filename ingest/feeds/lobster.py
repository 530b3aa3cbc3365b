"""Rule: LOBSTER message files (NASDAQ) -> trades, best bid and ask, trading halts.

`SYMBOL_DATE_START_END_message_N.csv` holds the events that touch the N best prices of a side.
With its order book file beside it (`_orderbook_N.csv`), the book is told what comes to light when
a best price empties, and every quote is exact; without it such a side is unknown (NO_PRICE) until
a new order makes it known. A hidden execution is a trade that does not touch the book.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest.book import MESSAGE, TOP, Action, Book
from ingest.event import NO_PRICE, Flag, Kind, Status
from ingest.feeds import blocks
from ingest.feeds.feed import Feed, FeedError, Tally, events, midnight_ns, moved, weave
from ingest.feeds.lines import columns
from ingest.instrument import AssetClass, Instrument

SPEC = (9, 0, 0, 0, 5, 0)  # Time (s), type, order, size, price (1e-4 dollars), direction.
_EXECUTED, _HIDDEN, _CROSS, _HALT = 4, 5, 6, 7
_TYPES = np.array(
    [
        *(Action.NONE, Action.ADD, Action.CANCEL, Action.DELETE, Action.EXECUTE),
        *(Action.NONE, Action.NONE, Action.NONE),
    ],
    np.uint8,
)
# A halt's price says which: -1 halted, 0 quoting resumes, 1 trading resumes (here times 1e5).
_STATES = ((-100_000, Status.HALTED), (0, Status.AUCTION), (100_000, Status.TRADING))
_NAME = re.compile(
    r"(?P<symbol>[A-Za-z.]+)_(?P<date>\d{4}-\d\d-\d\d)_\d+_\d+_message_(?P<depth>\d+)\.csv"
)


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A message file. FeedError where the name does not tell symbol, day and depth."""
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise FeedError(
            "symbol, day and depth of a LOBSTER file stand in its name, and this name has none",
            *(path, "name it like AMZN_2012-06-21_34200000_57600000_message_1.csv"),
        )
    symbol, depth = name["symbol"].upper(), int(name["depth"])
    share = Instrument(first_id, symbol, AssetClass.EQUITY, "NASDAQ", "USD", 1.0, 0.01, 2)
    start = midnight_ns(name["date"], "America/New_York")
    return Feed([share], _chunks(path, depth, first_id, start, tally), tally)


def _heading(path: Path) -> int:
    """Heading lines: LOBSTER writes none, some copies have one."""
    with path.open("rb") as file:
        return int(file.read(1).isalpha())


def _seeds(path: Path, depth: int, tally: Tally) -> np.ndarray | None:
    """int64 [lines + 1, 2, depth, 2] by line number, as Book.apply takes it; None: no such file."""
    beside = path.with_name(path.name.replace("_message_", "_orderbook_"))
    if not beside.exists():
        return None
    skip = _heading(beside)
    spec = (5, 0, 5, 0) * depth
    sides = Tally()
    rows = list(columns(blocks.plain(beside), spec, str(beside), sides, skip=skip))
    for refusal in sides.refused:
        tally.refuse(*refusal)
    lines = max((int(block[-1, 0]) for block in rows), default=0) - skip
    seeds = np.full((lines + 1, 2, depth, 2), -1, np.int64)
    for block in rows:
        levels = block[:, 1:].reshape(-1, depth, 2, 2)  # level, ask and bid, price and size
        seeds[block[:, 0] - skip] = levels[:, :, ::-1].swapaxes(1, 2)
    return seeds


def _chunks(path: Path, depth: int, number: int, start: int, tally: Tally) -> Iterator[np.ndarray]:
    seeds = _seeds(path, depth, tally)
    skip = _heading(path)
    book = Book(depth)
    last = np.array([(NO_PRICE, NO_PRICE, 0, 0)], TOP)
    for rows in columns(blocks.plain(path), SPEC, str(path), tally, skip=skip):
        line, time, kind, order, size, price, side = rows.T
        line = line - skip
        kind = np.where((kind < 0) | (kind > _HALT), 0, kind)
        told = None if seeds is None else seeds[np.where(line < len(seeds), line, 0)]
        messages = np.empty(len(rows), MESSAGE)
        messages["order"], messages["price"], messages["size"] = order, price, size
        messages["side"], messages["action"] = side, _TYPES[kind]
        tops = book.apply(messages, told)
        changed = moved(tops, last)
        last = tops[-1:]

        at = np.flatnonzero(changed)
        quotes = events(Kind.QUOTE, number, start + time[at], line[at])
        for field in TOP.names or ():
            quotes[field] = tops[field][at]
        traded = np.flatnonzero((kind >= _EXECUTED) & (kind <= _HALT))
        told_rows = changed.copy()
        told_rows[traded] = True
        tally.skipped["does not change the best bid or ask"] += int((~told_rows).sum())
        trades = _trades(rows[traded], line[traded], number, start)
        if len(trades) or len(quotes):
            yield weave(trades, traded, quotes, at)


def _trades(rows: np.ndarray, line: np.ndarray, number: int, start: int) -> np.ndarray:
    """TRADE and STATUS events of the executions and halts among the messages."""
    _, time, kind, _, size, price, side = rows.T
    out = events(Kind.TRADE, number, start + time, line)
    out["price"], out["size"], out["reference"] = price, size, line
    # The side is that of the resting order: the aggressor is the other.
    out["flags"] = np.where(side < 0, Flag.BUYER, Flag.SELLER)
    out["flags"][kind == _CROSS] = Flag.AUCTION
    halts = kind == _HALT
    out["kind"][halts] = Kind.STATUS
    for field in ("price", "size", "flags"):
        out[field][halts] = 0
    for said, status in _STATES:
        out["reference"][halts & (price == said)] = status
    return out
