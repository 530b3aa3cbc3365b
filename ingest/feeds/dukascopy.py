"""Rule: an hour of Dukascopy quotes in JSON -> quotes of one pair, times in UTC.

`times` are ms since the tick before (the first since `timestamp`), `asks` and `bids` steps of
`multiplier` since the price before, sizes are in the base currency. The file is named after its
pair (`ticks-EUR-USD-...json`).
"""

import json
import re
from pathlib import Path

import numpy as np

from ingest.event import Kind
from ingest.feeds import blocks
from ingest.feeds.currency import pair
from ingest.feeds.feed import CHUNK_EVENTS, Feed, FeedError, Tally, events
from ingest.feeds.lines import exact

_NAME = re.compile(r".*?([A-Z]{3})-?([A-Z]{3})\b")
_ARRAYS = ("times", "asks", "bids", "askVolumes", "bidVolumes")


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """An hour. FeedError where the JSON is not whole or not of this shape, or names no pair."""
    name = _NAME.match(path.name)
    if name is None:
        raise FeedError(
            "its name tells no pair", path, "name it like ticks-EUR-USD-2026-7-13-12.json"
        )
    try:
        told = json.loads(b"".join(blocks.text(path, tally)), parse_float=str)
        unit = exact(str(told["multiplier"]))
        times, asks, bids = (np.array(told[key], np.int64) for key in _ARRAYS[:3])
        ask_sizes, bid_sizes = (np.array(told[key], np.float64) for key in _ARRAYS[3:])
        ask, bid = (exact(str(told[key])) for key in ("ask", "bid"))
        start = int(told["timestamp"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise FeedError(f"no hour of quotes ({error!r})", path, "fetch the file again") from None
    sizes = {len(told[key]) for key in _ARRAYS}
    if len(sizes) != 1 or not len(times):
        raise FeedError(f"its arrays have lengths {sorted(sizes)}", path, "fetch the file again")
    own = pair((name[1], name[2]), "DUKASCOPY", ask / 1e9, first_id, path)
    out = events(
        *(Kind.QUOTE, first_id, (start + np.cumsum(times)) * 1_000_000),
        np.arange(1, len(times) + 1),
    )
    out["ask"], out["bid"] = ask + np.cumsum(asks) * unit, bid + np.cumsum(bids) * unit
    out["ask_size"], out["bid_size"] = ask_sizes, bid_sizes
    tally.rows += len(out)
    parts = (out[at : at + CHUNK_EVENTS] for at in range(0, len(out), CHUNK_EVENTS))
    return Feed([own], parts, tally, len(out))
