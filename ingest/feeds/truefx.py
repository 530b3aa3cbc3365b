"""Rule: `timestamp,bid,ask` lines of TrueFX, times in UTC -> quotes of one pair.

The file is named after its pair (`usdjpy-ticks.csv`). It carries no sizes, so sizes are 0.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest.event import Kind
from ingest.feeds import blocks
from ingest.feeds.currency import pair
from ingest.feeds.feed import Feed, FeedError, Tally, events
from ingest.feeds.lines import MOMENT, columns

SPEC = (MOMENT, 9, 9)
_NAME = re.compile(r"([A-Za-z]{3})[-_]?([A-Za-z]{3})[-_.]")


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A file of quotes. FeedError where the name tells no pair."""
    name = _NAME.match(path.name)
    if name is None:
        raise FeedError("its name tells no pair", path, "name it like usdjpy-ticks.csv")
    first = next(columns(blocks.text(path, Tally()), SPEC, str(path), Tally(), skip=1), None)
    if first is None:
        raise FeedError("no line is a quote", path, "lines are timestamp,bid,ask")
    own = pair((name[1], name[2]), "TRUEFX", first[0, 2] / 1e9, first_id, path)
    return Feed([own], _chunks(path, first_id, tally), tally)


def _chunks(path: Path, number: int, tally: Tally) -> Iterator[np.ndarray]:
    rows = columns(blocks.text(path, tally), SPEC, str(path), tally, skip=1)
    for line, time, bid, ask in (block.T for block in rows):
        out = events(Kind.QUOTE, number, time, line - 1)
        out["bid"], out["ask"] = bid, ask
        yield out
