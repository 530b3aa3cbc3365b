"""Rule: a capture of BitMEX's websocket -> best bid and ask as `quote` tells them, and trades.

`orderBookL2` says the same in more words and is read over; a `partial` of trades was before the
capture. What a contract is, its first trades tell by their value in bitcoin (`grossValue`, 1e-8):
an inverse one is a USD each, paid in bitcoin: size / price; any other is worth price times a
multiplier, in bitcoin, also where its price is in dollars (quanto). Sizes are contracts. A price
that needs more than 9 decimals (a TRX in bitcoin) is told in thousandths, and the multiplier with
it.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from ingest.event import NO_PRICE, Flag
from ingest.feeds import capture, drafts
from ingest.feeds.currency import USD_OF
from ingest.feeds.feed import Feed, FeedError, Tally, step
from ingest.feeds.lines import exact, parse_moment
from ingest.instrument import AssetClass, Instrument

SATOSHI = 1e-8
_FINE = 12  # Places of prices that are told in thousandths.


class _Contract(NamedTuple):
    id: int
    places: int  # Power of ten of its prices: 9, or 12 where they are told in thousandths.


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A capture. FeedError where it tells no contract: then it lacks `quote` or `trade`."""
    prices: dict[str, list[str]] = {}
    traded: dict[str, dict[str, Any]] = {}
    for message in capture.messages(path, Tally()):
        table = message.body.get("table") if isinstance(message.body, dict) else None
        for row in message.body.get("data", []) if table in ("quote", "trade") else []:
            keys = ("price",) if table == "trade" else ("bidPrice", "askPrice")
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                told = [row[key] for key in keys if row.get(key)]
                for text in told:
                    exact(text, _FINE)
                if table == "trade" and float(row["grossValue"]) * float(row["size"]) > 0:
                    traded.setdefault(row["symbol"], row)
                prices.setdefault(row["symbol"], []).extend(told)
    if not traded:
        raise FeedError("no trade in it", path, "give a capture with quote and trade")
    bitcoin = float(traded["XBTUSD"]["price"]) if "XBTUSD" in traded else USD_OF["XBT"]
    rows: list[Instrument] = []
    contracts: dict[str, _Contract] = {}
    for name, trade in traded.items():
        own, contract = _instrument(name, trade, prices[name], first_id + len(rows), bitcoin)
        rows.append(own)
        contracts[name] = contract
    return Feed(rows, drafts.chunks(_events(path, contracts, tally)), tally)


def _instrument(
    name: str, trade: dict[str, Any], prices: list[str], number: int, bitcoin: float
) -> tuple[Instrument, _Contract]:
    value = float(trade["grossValue"]) * SATOSHI
    size, price = float(trade["size"]), float(trade["price"])
    inverse = abs(value * price / size - 1) < 0.001
    fine = max(-int(Decimal(text).as_tuple().exponent) for text in prices) > 9
    places = _FINE if fine else 9
    multiplier = 1.0 if inverse else float(f"{value / (size * price):.6g}") / 10 ** (places - 9)
    expiry = re.search(r"[FGHJKMNQUVXZ]\d\d$", name)
    symbol = name if expiry else f"{name}.BITMEX"
    own = Instrument(
        *(number, symbol, AssetClass.CRYPTO_PERPETUAL, "BITMEX", "USD" if inverse else "XBT"),
        *(multiplier, *step(exact(text, places) for text in prices)),
        usd_rate=1.0 if inverse else bitcoin,
        base="XBT" if inverse else "",
        inverse=inverse,
    )
    return own, _Contract(number, places)


def _events(path: Path, contracts: dict[str, _Contract], tally: Tally) -> Iterator[bytes]:
    for message in capture.messages(path, tally):
        try:
            body = message.body
            table, partial = body.get("table"), body.get("action") == "partial"
            quote = table == "quote"
            events = []
            if quote or (table == "trade" and not partial):
                events = [_event(row, message, contracts, (quote, partial)) for row in body["data"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            tally.refuse(message.place, repr(error), message.data)
            continue
        tally.rows += 1
        if not events:
            depth = "depth: quote tells the best bid and ask"
            reason = {"orderBookL2": depth, "trade": "trades before the capture"}
            tally.skipped[reason.get(table or "", "no market data")] += 1
        yield from events


def _event(
    row: dict[str, Any],
    message: capture.Message,
    contracts: dict[str, _Contract],
    what: tuple[bool, bool],
) -> bytes:
    contract, (quote, partial) = contracts[row["symbol"]], what
    time = parse_moment(row["timestamp"], "UTC")
    envelope = time, message.received_ns, message.line, contract.id
    if quote:
        sides = []
        for side in ("bid", "ask"):
            price = (
                exact(row[f"{side}Price"], contract.places) if row.get(f"{side}Price") else NO_PRICE
            )
            size = float(row.get(f"{side}Size") or 0)
            sides.append((price, 0.0 if price == NO_PRICE else size))
        return drafts.quote(envelope, sides[0], sides[1], Flag.SNAPSHOT if partial else 0)
    price = exact(row["price"], contract.places)
    flags = Flag.BUYER if row["side"] == "Buy" else Flag.SELLER
    reference = capture.identity(row["trdMatchID"])
    return drafts.trade(envelope, price, float(row["size"]), reference, flags)
