"""Rule: lines of a Lean FX or CFD tick file (`ms,bid,ask`) -> quotes of one dealer.

The files carry no sizes, so sizes are 0. FX has no consolidated tape: an instrument is a pair at
a venue, `EURUSD.FXCM`. FXCM's times are UTC-5 all year round, Oanda's are UTC.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest.event import Kind
from ingest.feeds.currency import pair
from ingest.feeds.feed import FeedError, Tally, events
from ingest.instrument import Instrument

QUOTE = (6, 9, 9)
ZONES = {"fxcm": "Etc/GMT+5", "oanda": "UTC"}  # POSIX sign: GMT+5 is five hours behind UTC.


def instrument(symbol: str, path: Path, line: bytes, number: int) -> tuple[Instrument, str]:
    """The pair at its venue, and the zone of its times. FeedError where that cannot be known."""
    venue = next((part.lower() for part in path.resolve().parts if part.lower() in ZONES), None)
    if venue is None:
        raise FeedError(
            "an FX file whose venue, and so time zone, is not in its path",
            path,
            f"keep it below a folder named {' or '.join(ZONES)}",
        )
    price = float(line.split(b",")[1])
    return pair((symbol[:3], symbol[3:]), venue, price, number, path), ZONES[venue]


def quotes(
    rows: Iterator[np.ndarray], number: int, start: int, _tally: Tally
) -> Iterator[np.ndarray]:
    """A QUOTE a line."""
    for line, time, bid, ask in (block.T for block in rows):
        out = events(Kind.QUOTE, number, start + time, line)
        out["bid"], out["ask"] = bid, ask
        yield out
