"""Rule: `timestamp_utc,open,high,low,close,volume` lines -> a TRADE a bar, see `bars`.

The file is named after its contract (`6EH4.XCME_1min_bars_...csv.gz`). A line's time is the close
of its minute: the first one of a session that opens at 23:00 says 23:01.
"""

import re
from pathlib import Path

from ingest.feeds import bars, blocks, dbn_head
from ingest.feeds.feed import Feed, FeedError, Tally
from ingest.feeds.lines import MOMENT, ROUND, columns

SPEC = (MOMENT, 9, 9, 9, 9, 9 + ROUND)
_NAME = re.compile(r"([A-Z0-9]+)\.XC[A-Z]+_")
_YEAR_NS = 31_556_952_000_000_000


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A file of bars. FeedError where the name tells no contract of known terms."""
    name = _NAME.match(path.name)
    if name is None:
        raise FeedError("its name tells no contract", path, "name it like 6EH4.XCME_1min_bars.csv")
    first = next(columns(blocks.text(path, Tally()), SPEC, str(path), Tally(), skip=1), None)
    if first is None:
        raise FeedError("no line is a bar", path, "lines are timestamp_utc,open,...,volume")
    year = 1970 + int(first[0, 1]) // _YEAR_NS
    own = dbn_head.instrument(name[1], year * 10_000, first_id, path)
    rows = columns(blocks.text(path, tally), SPEC, str(path), tally, skip=1)
    return Feed([own], bars.trades(rows, first_id, 0, tally), tally)
