"""Rule: Deutsche Boerse's MiFID II post-trade lines, a JSON object each -> trades.

MMT flags decide what a trade is good for, see `ingest/condition.py`: auctions are marked;
INELIGIBLE are negotiated trades, those at a benchmark or reference price, deferred ones, and those
outside the book or its main session. An amendment is a BUST and a TRADE, both CORRECTED, a
cancellation a BUST; what refers to a trade that is not in the file is an alarm and makes no event.
The venue's trade id is longer than a `reference`: a trade is known by the number of its line. Times
are UTC to the nanosecond.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ingest import condition
from ingest.event import Flag
from ingest.feeds import blocks, drafts
from ingest.feeds.currency import usd_rate
from ingest.feeds.feed import Feed, FeedError, Tally, step
from ingest.feeds.lines import exact, parse_moment, whole_lines
from ingest.instrument import AssetClass, Instrument

FUNDS = ("IE", "LU", "XS", "JE")  # Countries of an ISIN that on Xetra are funds and their like.
_WAIVERS = {
    "mmtNegotTransPretrdWaivInd": "negotiated",
    "mmtBenchmarkRefprcInd": "benchmark",
    "mmtPubModeDefReason": "deferred",
}


class _Told(NamedTuple):
    """A trade of the file, as its amendment or cancellation must repeat it."""

    instrument: int
    price: int
    size: float
    line: int


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A file of post-trade lines."""
    prices: dict[tuple[str, str], list[int]] = {}
    for _, _, row in _rows(path, Tally()):
        prices.setdefault((row["isin"], row["currency"]), []).append(exact(row["lastTrade"]))
    if not prices:
        raise FeedError("no line is a trade", path, "give lines of the post-trade service")
    rows = [
        _instrument(*key, step(own), first_id + i, path)
        for i, (key, own) in enumerate(prices.items())
    ]
    numbers = {key: row.id for key, row in zip(prices, rows, strict=True)}
    return Feed(rows, drafts.chunks(_events(path, numbers, tally)), tally)


def _instrument(
    isin: str, currency: str, tick: tuple[float, int], number: int, path: Path
) -> Instrument:
    kind = AssetClass.ETF if isin[:2] in FUNDS else AssetClass.EQUITY
    symbol = isin if currency == "EUR" else f"{isin}.{currency}"
    rate = usd_rate(currency, path)
    return Instrument(number, symbol, kind, "XETRA", currency, 1.0, *tick, usd_rate=rate)


def _rows(path: Path, tally: Tally) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Line number, line, and its object where it has what a trade needs."""
    number = 0
    for text in whole_lines(blocks.text(path, tally), str(path), tally):
        for line in text.splitlines():
            number += 1
            try:
                row = json.loads(line, parse_float=str, parse_int=str)
                exact(row["lastTrade"])
                if float(row["lastQty"]) <= 0 or not row["isin"] or not row["currency"]:
                    raise ValueError("a trade without quantity or name")  # noqa: TRY301
                parse_moment(row["lastTradeTime"], "UTC")
            except (ValueError, KeyError, TypeError) as error:
                if line.strip():
                    tally.refuse(f"{path} line {number}", repr(error), line)
                continue
            yield number, line, row


def _flags(row: dict[str, Any]) -> int:
    conditions = [word for key, word in _WAIVERS.items() if row.get(key, "-") != "-"]
    conditions.append("mode" + row.get("mmtTradingMode", "-"))
    conditions.append("mechanism" + row.get("mmtMarketMechanism", "-"))
    return condition.flags("MMT", conditions)


def _events(path: Path, numbers: dict[tuple[str, str], int], tally: Tally) -> Iterator[bytes]:
    told: dict[str, _Told] = {}
    for line, _, row in _rows(path, tally):
        tally.rows += 1
        number = numbers[row["isin"], row["currency"]]
        price, size, flags = exact(row["lastTrade"]), float(row["lastQty"]), _flags(row)
        time = parse_moment(row["lastTradeTime"], "UTC")
        received = parse_moment(row.get("distributionDateTime") or row["lastTradeTime"], "UTC")
        envelope = time, received, line, number
        name = row.get("transIdCode", str(line))
        change = row.get("mmtModificationInd", "-")
        action = row.get("tickActionIndicator", "I")
        if action == "I" and change not in ("A", "C"):
            told[name] = _Told(number, price, size, line)
            yield drafts.trade(envelope, price, size, line, flags)
            continue
        old = told.pop(name, None)
        if old is None:
            tally.alarms["changes a trade that is not in the file"] += 1
            tally.skipped["changes a trade that is not in the file"] += 1
            continue
        voids = change == "C" or action in ("C", "D")
        marked = 0 if voids else int(Flag.CORRECTED)
        bust = time, received, line, old.instrument
        yield drafts.bust(bust, old.price, old.size, old.line, marked)
        if not voids:
            told[name] = _Told(number, price, size, old.line)
            yield drafts.trade(envelope, price, size, old.line, flags | marked)
