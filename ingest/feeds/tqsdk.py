"""Rule: CSV of the Chinese futures exchanges as tqsdk answers: minute bars, or ticks of 500 ms.

Named `EXCHANGE.CONTRACT_...csv`; `datetime` is in ns since the epoch, of a bar its start. A tick is
a snapshot with the day's running volume, see `bars`; the exchange's five levels are read, the best
is told. Volume is as the exchange counts: SHFE counted both sides of a trade until 2019.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest.feeds import bars, blocks
from ingest.feeds.currency import usd_rate
from ingest.feeds.feed import Feed, FeedError, Tally
from ingest.feeds.futures import TERMS, future
from ingest.feeds.lines import OPTIONAL, ROUND, TEXT, columns

MINUTE_NS = 60_000_000_000
_NAME = re.compile(r"[A-Z]+\.(?P<symbol>(?P<root>[A-Za-z]+)(?P<year>\d\d)(?P<month>\d\d))_")
_BAR = ("datetime", "open", "high", "low", "close", "volume")
_TICK = (
    *("datetime", "bid_price1", "bid_volume1", "ask_price1", "ask_volume1"),
    *("last_price", "volume"),
)


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A file of either kind. FeedError where name or heading do not tell which."""
    name = _NAME.match(path.name)
    if name is None or name["root"] not in TERMS:
        known = f"name it like SHFE.cu1909_ticks.csv; known are {', '.join(TERMS)}"
        raise FeedError("its name tells no contract of known terms", path, known)
    month = 2000 + int(name["year"]), int(name["month"])
    rate = usd_rate(TERMS[name["root"]].currency, path)
    own = future(name["symbol"], name["root"], month, first_id, rate)

    head = next(blocks.text(path, Tally()), b"").split(b"\n", 1)[0].decode("ascii", "replace")
    heading = head.strip().split(",")
    wanted = _BAR if "open" in heading else _TICK
    if missing := set(wanted) - set(heading):
        raise FeedError(f"no column {', '.join(sorted(missing))}", path, "fetch the file again")
    spec = tuple(_spec(column, wanted) for column in heading)
    order = [0, *(1 + heading.index(column) for column in wanted)]
    rows = columns(blocks.text(path, tally), spec, str(path), tally, skip=1)
    picked = (block[:, order] for block in rows)
    if wanted is _BAR:
        return Feed([own], bars.trades(picked, first_id, MINUTE_NS, tally), tally)
    return Feed([own], _ticks(picked, first_id), tally)


def _spec(column: str, wanted: tuple[str, ...]) -> int:
    if column not in wanted:
        return TEXT
    if column == "datetime":
        return 0
    return 9 + ROUND if column == "volume" else 9 + OPTIONAL


def _ticks(blocks_: Iterator[np.ndarray], number: int) -> Iterator[np.ndarray]:
    before = None  # What was traded before the first snapshot, nobody tells.
    for line, time, bid, bid_size, ask, ask_size, last, volume in (block.T for block in blocks_):
        start = volume[0] if before is None else before
        new = np.diff(volume, prepend=start) / 1e9
        before = volume[-1]
        sides = bid, bid_size / 1e9, ask, ask_size / 1e9
        yield bars.snapshots(number, time, line - 1, sides, (last, new))
