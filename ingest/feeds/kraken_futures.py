"""Rule: a capture of Kraken Futures' websocket -> best bid and ask from the book, and trades.

PI (perpetual) and FI (dated) contracts are inverse: a USD each, paid in the coin of their name, so
that a size, in contracts, is worth size / price coins. `ticker_lite` repeats the book
without sizes; `trade_snapshot` was before the capture.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ingest.event import Flag
from ingest.feeds import capture, drafts
from ingest.feeds.depth import CLEAR, level
from ingest.feeds.feed import Feed, FeedError, Tally, step
from ingest.feeds.lines import exact
from ingest.feeds.tape import Row, Tape
from ingest.instrument import AssetClass, Instrument

_NAME = re.compile(
    r"(?P<kind>PI|FI)_(?P<base>\w+?)USD(?:_(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d))?"
)
_SIDES = {"buy": 1, "sell": -1}
_MS = 1_000_000


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A capture. FeedError where no book of an inverse contract is in it."""
    prices: dict[str, list[int]] = {}
    for message in capture.messages(path, Tally()):
        body = message.body
        if isinstance(body, dict) and body.get("feed") == "book_snapshot":
            with suppress(ValueError, KeyError, TypeError):
                own = [exact(row["price"]) for row in body["bids"] + body["asks"]]
                prices.setdefault(body["product_id"], own)
    rows = [
        _instrument(known, own, first_id + i)
        for i, (name, own) in enumerate(prices.items())
        if (known := _NAME.fullmatch(name))
    ]
    if not rows or len(rows) < len(prices):
        remedy = "known are inverse contracts, PI_ and FI_, against USD"
        raise FeedError("no book of a known contract, or one of another", path, remedy)
    numbers = {row.symbol: row.id for row in rows}
    return Feed(rows, _chunks(path, numbers, tally), tally)


def _instrument(name: re.Match[str], prices: list[int], number: int) -> Instrument:
    return Instrument(
        *(number, name[0], AssetClass.CRYPTO_PERPETUAL, "KRAKEN FUTURES", "USD", 1.0),
        *step(prices),
        expiry=f"20{name['year']}-{name['month']}-{name['day']}" if name["year"] else "",
        base=name["base"],
        inverse=True,
    )


def _chunks(path: Path, numbers: dict[str, int], tally: Tally) -> Iterator[np.ndarray]:
    tape = Tape(tally, 1)
    for message in capture.messages(path, tally):
        try:
            _note(message, numbers, tape, tally)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            tally.refuse(message.place, repr(error), message.data)
            continue
        tally.rows += 1
        if tape.full:
            yield tape.cut()
    yield tape.cut()


def _note(message: capture.Message, numbers: dict[str, int], tape: Tape, tally: Tally) -> None:
    body: dict[str, Any] = message.body
    feed = None if "event" in body else body["feed"]
    if feed not in ("book", "book_snapshot", "trade"):
        reason = {
            "ticker_lite": "ticker: the book tells it",
            "trade_snapshot": "trades before the capture",
        }.get(feed or "", "no market data")
        tally.skipped[reason] += 1
        return
    number = numbers[body["product_id"]]
    time = int(body["time" if feed == "trade" else "timestamp"]) * _MS
    envelope = time, message.received_ns, int(body["seq"]), number
    if feed == "trade":
        price, contracts = exact(body["price"]), float(body["qty"])
        flags = Flag.BUYER if _SIDES[body["side"]] > 0 else Flag.SELLER
        tape.event(drafts.trade(envelope, price, contracts, capture.identity(body["uid"]), flags))
    elif feed == "book":
        tape.book(envelope, [_level(body, _SIDES[body["side"]])])
    else:
        rows: list[Row] = [CLEAR]
        for key, side in (("bids", 1), ("asks", -1)):
            rows += [_level(row, side) for row in body[key]]
        tape.book(envelope, rows, Flag.SNAPSHOT)


def _level(row: dict[str, str], side: int) -> Row:
    return level(exact(row["price"]), exact(row["qty"], 0), side)
