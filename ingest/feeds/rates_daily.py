"""Rule: `DATETIME,NEARER,TRADED,NEAR_MONTH,TRADE_MONTH` lines -> two daily closes of a product.

Named after the product (`US10_carrydata.csv`). A close without volume is no trade that anybody
could count, so it is an INDICATIVE QUOTE, bid = ask = close, without size, at 14:00 in Chicago,
when the exchange settles. Closes that went through a float before the file was made
(97.34750000000001) are rounded to 1e-9. A line makes an event for each contract whose close it has.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds import blocks
from ingest.feeds.feed import Feed, FeedError, Tally, events, midnight_ns, weave
from ingest.feeds.futures import code, future
from ingest.feeds.lines import MOMENT, OPTIONAL, ROUND, columns
from ingest.instrument import Instrument

SPEC = (MOMENT, 9 + OPTIONAL + ROUND, 9 + OPTIONAL + ROUND, OPTIONAL, OPTIONAL)
PRODUCTS = {"US10": "ZN", "EDOLLAR": "GE"}
SETTLEMENT_NS = 14 * 3_600_000_000_000
_NAME = re.compile(r"([A-Z0-9]+)_carrydata")


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A file of one product. FeedError where its name tells none that is known."""
    name = _NAME.match(path.name)
    if name is None or name[1] not in PRODUCTS:
        known = f"name it like US10_carrydata.csv; known are {', '.join(PRODUCTS)}"
        raise FeedError("its name tells no product of known terms", path, known)
    root = PRODUCTS[name[1]]
    found: dict[int, Instrument] = {}
    for block in columns(blocks.text(path, Tally()), SPEC, str(path), Tally(), skip=1):
        for month in dict.fromkeys(block[:, 4:].ravel().tolist()):
            if month not in found and _possible(np.array(month)):
                when = divmod(month, 100)
                found[month] = future(code(root, when), root, when, first_id + len(found))
    if not found:
        raise FeedError("no line names a contract", path, "lines are as their heading says")
    numbers = {month: own.id for month, own in found.items()}
    return Feed(list(found.values()), _chunks(path, numbers, tally), tally)


def _possible(months: np.ndarray) -> np.ndarray:
    return np.asarray((months > 190_000) & (months % 100 >= 1) & (months % 100 <= 12))


def _chunks(path: Path, numbers: dict[int, int], tally: Tally) -> Iterator[np.ndarray]:
    for rows in columns(blocks.text(path, tally), SPEC, str(path), tally, skip=1):
        line, day, near, traded, near_month, traded_month = rows.T
        dates = day.astype("datetime64[ns]").astype("datetime64[D]").astype(str)
        starts = [midnight_ns(date, "America/Chicago") for date in dates.tolist()]
        time = np.array(starts, np.int64) + SETTLEMENT_NS
        parts = []
        for price, month in ((near, near_month), (traded, traded_month)):
            at = np.flatnonzero((price != NO_PRICE) & _possible(month))
            out = events(Kind.QUOTE, 0, time[at], line[at] - 1)
            out["instrument"] = [numbers[one] for one in month[at].tolist()]
            out["bid"] = out["ask"] = price[at]
            out["flags"] = Flag.INDICATIVE | Flag.SNAPSHOT
            parts += [out, at]
        without = len(rows) - len(np.union1d(parts[1], parts[3]))
        if without:
            tally.skipped["no close of either contract"] += without
        yield weave(*parts)
