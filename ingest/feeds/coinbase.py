"""Rule: a capture of Coinbase's websocket -> best bid and ask from level 2, and trades.

`side` of a match is that of the resting order, so the aggressor is the other. `ticker` repeats what
`match` and the book say. `last_match` was before the capture.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ingest.event import Flag
from ingest.feeds import capture, drafts
from ingest.feeds.currency import usd_rate
from ingest.feeds.depth import CLEAR, SIZE_PLACES, SIZE_SCALE, level
from ingest.feeds.feed import Feed, FeedError, Tally, step
from ingest.feeds.lines import exact, parse_moment
from ingest.feeds.tape import Row, Tape
from ingest.instrument import AssetClass, Instrument

_SIDES = {"buy": 1, "sell": -1}


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A capture. FeedError where no product is in it or one in an unknown currency."""
    prices: dict[str, list[int]] = {}
    for message in capture.messages(path, Tally()):
        if isinstance(message.body, dict) and message.body.get("type") == "snapshot":
            body = message.body
            with suppress(ValueError, KeyError, TypeError):
                own = [exact(price) for price, _ in body["asks"] + body["bids"]]
                prices.setdefault(body["product_id"], own)
    if not prices:
        raise FeedError("no product in it", path, "give a capture with level2")
    rows = [
        _instrument(name, own, first_id + i, path) for i, (name, own) in enumerate(prices.items())
    ]
    numbers = {name: row.id for name, row in zip(prices, rows, strict=True)}
    return Feed(rows, _chunks(path, numbers, tally), tally)


def _instrument(name: str, prices: list[int], number: int, path: Path) -> Instrument:
    base, _, quote = name.partition("-")
    return Instrument(
        *(number, f"{base}{quote}.COINBASE", AssetClass.CRYPTO_SPOT, "COINBASE", quote),
        *(1.0, *step(prices)),
        usd_rate=usd_rate(quote, path),
    )


def _chunks(path: Path, numbers: dict[str, int], tally: Tally) -> Iterator[np.ndarray]:
    tape, clock = Tape(tally, SIZE_SCALE), 0
    for message in capture.messages(path, tally):
        try:
            clock = _note(message, numbers, (tape, clock, tally))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            tally.refuse(message.place, repr(error), message.data)
            continue
        tally.rows += 1
        if tape.full:
            yield tape.cut()
    yield tape.cut()


def _note(message: capture.Message, numbers: dict[str, int], into: tuple[Tape, int, Tally]) -> int:
    """Note one message; the latest time of the exchange, which a snapshot without one takes."""
    tape, clock, tally = into
    body: dict[str, Any] = message.body
    kind = body["type"]
    if kind not in ("snapshot", "l2update", "match"):
        reason = {
            "ticker": "ticker: match and the book tell it",
            "last_match": "a trade before the capture",
        }.get(kind, "no market data")
        tally.skipped[reason] += 1
        return clock
    number = numbers[body["product_id"]]
    if kind == "snapshot":
        rows: list[Row] = [CLEAR]
        for key, side in (("bids", 1), ("asks", -1)):
            rows += [_level(price, size, side) for price, size in body[key]]
        time = clock or message.received_ns
        tape.book((time, message.received_ns, message.line, number), rows, Flag.SNAPSHOT)
        return clock
    time = parse_moment(body["time"], "UTC")
    if kind == "l2update":
        rows = [_level(price, size, _SIDES[side]) for side, price, size in body["changes"]]
        tape.book((time, message.received_ns, message.line, number), rows)
        return time
    envelope = time, message.received_ns, int(body["sequence"]), number
    flags = Flag.SELLER if _SIDES[body["side"]] > 0 else Flag.BUYER
    price, size, trade = exact(body["price"]), float(body["size"]), int(body["trade_id"])
    tape.event(drafts.trade(envelope, price, size, trade, flags))
    return time


def _level(price: str, size: str, side: int) -> Row:
    return level(exact(price), exact(size, SIZE_PLACES), side)
