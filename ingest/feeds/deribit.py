"""Rule: a capture of Deribit -> options: best bid and ask as `ticker` tells them, and trades.

An option's price is in the coin it is on. Beside each one stands its underlying, the future or
synthetic of the same expiry, whose price every ticker repeats: an INDICATIVE QUOTE, bid = ask,
without size. `book` says what the ticker says in more words. A capture of the list of instruments
alone (`get_instruments`) is a feed of no event. The venue's own volatilities and Greeks are not
events: they are read by who compares.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.event import NO_PRICE, Flag
from ingest.feeds import capture, drafts
from ingest.feeds.currency import usd_rate
from ingest.feeds.feed import Feed, FeedError, Tally
from ingest.feeds.lines import exact
from ingest.instrument import AssetClass, Instrument

_NAME = re.compile(
    r"(?P<coin>[A-Z]+)-(?P<expiry>\d{1,2}[A-Z]{3}\d\d)-(?P<strike>\d+)-(?P<right>[CP])"
)
_TICKS = {"BTC": (0.0005, 4), "ETH": (0.0005, 4)}
_MS = 1_000_000


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A capture. FeedError where no option is in it."""
    names: dict[str, str] = {}  # Option -> index price, as text, where one is told.
    for answer in capture.answers(path):
        result = answer.get("result") if isinstance(answer, dict) else None
        for row in result if isinstance(result, list) else []:
            if isinstance(row, dict) and _NAME.fullmatch(row.get("instrument_name", "")):
                names.setdefault(row["instrument_name"], "")
    for message in capture.messages(path, Tally()):
        for channel, row in _data(message.body):
            if channel == "ticker" and _NAME.fullmatch(row.get("instrument_name", "")):
                names.setdefault(row["instrument_name"], row.get("index_price", ""))
    if not names:
        raise FeedError("no option in it", path, "give a capture of options")
    rows: dict[str, Instrument] = {}
    for name, price in names.items():
        _add(name, price, (rows, first_id, path))
    return Feed(list(rows.values()), drafts.chunks(_events(path, rows, tally)), tally)


def _add(name: str, price: str, into: tuple[dict[str, Instrument], int, Path]) -> None:
    """An option, and before it its underlying."""
    rows, first_id, path = into
    parts = _NAME.fullmatch(name)
    assert parts is not None
    coin, expiry = parts["coin"], parts["expiry"]
    day = datetime.strptime(expiry, "%d%b%y").replace(tzinfo=UTC).date().isoformat()
    under = f"{coin}-{expiry}"
    if under not in rows:
        rows[under] = Instrument(
            *(first_id + len(rows), under, AssetClass.CRYPTO_PERPETUAL, "DERIBIT", "USD"),
            *(1.0, 0.01, 2),
            expiry=day,
        )
    rows[name] = Instrument(
        *(first_id + len(rows), name, AssetClass.CRYPTO_PERPETUAL, "DERIBIT", coin),
        *(1.0, *_TICKS.get(coin, (0.0001, 4))),
        usd_rate=float(price) if price else usd_rate(coin, path),
        underlying=rows[under].id,
        expiry=day,
        strike=float(parts["strike"]),
        right=parts["right"],
        exercise="european",
    )


def _data(body: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Channel and data of a message; of several trades each."""
    parameters = body.get("params") if isinstance(body, dict) else None
    if not isinstance(parameters, dict) or "channel" not in parameters:
        return
    channel = parameters["channel"].partition(".")[0]
    data = parameters["data"]
    for row in data if isinstance(data, list) else [data]:
        yield channel, row


def _events(path: Path, rows: dict[str, Instrument], tally: Tally) -> Iterator[bytes]:
    last: dict[int, int] = {}  # Underlying -> price last told.
    for message in capture.messages(path, tally):
        try:
            channel, events = "", []
            for channel, row in _data(message.body):
                if channel in ("ticker", "trades"):
                    events += _told(channel, row, message, (rows, last))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            tally.refuse(message.place, repr(error), message.data)
            continue
        tally.rows += 1
        if not events:
            depth = "depth: ticker tells the best bid and ask"
            tally.skipped[depth if channel == "book" else "no market data"] += 1
        yield from events


def _told(
    channel: str,
    row: dict[str, Any],
    message: capture.Message,
    known: tuple[dict[str, Instrument], dict[int, int]],
) -> list[bytes]:
    rows, last = known
    option = rows[row["instrument_name"]]
    envelope = int(row["timestamp"]) * _MS, message.received_ns, message.line, option.id
    if channel == "trades":
        flags = Flag.BUYER if row["direction"] == "buy" else Flag.SELLER
        reference = int(re.sub(r"\D", "", str(row["trade_id"])))
        return [drafts.trade(envelope, exact(row["price"]), float(row["amount"]), reference, flags)]
    sides = []
    for side in ("bid", "ask"):
        price, size = exact(row[f"best_{side}_price"]), float(row[f"best_{side}_amount"])
        sides.append((price, size) if price > 0 and size > 0 else (NO_PRICE, 0.0))
    events = []
    price = exact(row["underlying_price"])
    if last.get(option.underlying) != price:
        last[option.underlying] = price
        below = (*envelope[:3], option.underlying)
        events.append(drafts.quote(below, (price, 0.0), (price, 0.0), Flag.INDICATIVE))
    events.append(drafts.quote(envelope, sides[0], sides[1]))
    return events
