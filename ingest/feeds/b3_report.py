"""Rule: B3's price report of a day (BVBG.086) -> a QUOTE of the last best prices, and a TRADE.

The TRADE is the day's: its quantity at the last price, at the time the report was made, SNAPSHOT
and INELIGIBLE, see `bars`. An instrument without best price or trade makes no event. The report is
read as a sequence of `PricRpt`, each on its own, so damage in one does not touch the next. It does
not say what an instrument is: the ticker tells, and no strike of options on shares.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from ingest.event import NO_PRICE, Flag
from ingest.feeds import blocks, drafts
from ingest.feeds.b3_tickers import instrument
from ingest.feeds.feed import Feed, FeedError, Tally
from ingest.feeds.lines import exact, parse_moment
from ingest.instrument import Instrument

END = b"</PricRpt>"
REPORT_BYTES_MAX = 1 << 20  # A report has some 3 kB: what runs on is none.
_FIELD = re.compile(rb"<([A-Za-z]+)(?: Ccy=\"[A-Z]{3}\")?>([^<>]*)</\1>")
_NEEDED = ("TckrSymb", "CreDt", "Dt")


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A report. FeedError where no instrument is in it."""
    rows: dict[str, Instrument] = {}  # A ticker may have several reports, one for each term.
    for _, fields in _reports(path, Tally()):
        ticker, day = fields["TckrSymb"], date.fromisoformat(fields["Dt"])
        close = fields.get("PrvsAdjstdQtTax") or fields.get("PrvsAdjstdQt")
        if ticker not in rows:
            rows[ticker] = instrument(ticker, day, first_id + len(rows), close, path)
    if not rows:
        raise FeedError("no price report in it", path, "give a file BVBG.086 of the exchange")
    numbers = {ticker: row.id for ticker, row in rows.items()}
    return Feed(list(rows.values()), drafts.chunks(_events(path, numbers, tally)), tally)


def _reports(path: Path, tally: Tally) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and fields of each report that has what it needs."""
    rest, number = b"", 0
    for block in blocks.text(path, tally):
        *whole, rest = (rest + block).split(END)
        for report in whole:
            number += 1
            fields = {key.decode(): value.decode() for key, value in _FIELD.findall(report)}
            try:
                for key in _NEEDED:
                    if key not in fields:
                        raise ValueError(f"no {key}")  # noqa: TRY301
                parse_moment(fields["CreDt"], "UTC")
                date.fromisoformat(fields["Dt"])
                for key in ("BestBidPric", "BestAskPric", "LastPric", "FinInstrmQty"):
                    exact(fields.get(key, "0"))
            except (ValueError, UnicodeDecodeError) as error:
                tally.refuse(f"{path} report {number}", str(error), report)
                continue
            yield number, fields
        if len(rest) > REPORT_BYTES_MAX:
            tally.refuse(str(path), f"no report ends within {REPORT_BYTES_MAX} bytes", rest)
            rest = b""
    if b"<PricRpt>" in rest:
        tally.refuse(f"{path} report {number + 1}", "ends before its end", rest)


def _events(path: Path, numbers: dict[str, int], tally: Tally) -> Iterator[bytes]:
    for number, fields in _reports(path, tally):
        tally.rows += 1
        time = parse_moment(fields["CreDt"], "UTC")
        envelope = time, time, number, numbers[fields["TckrSymb"]]
        bid, ask = fields.get("BestBidPric"), fields.get("BestAskPric")
        last, quantity = fields.get("LastPric"), fields.get("FinInstrmQty")
        if last and quantity:
            flags = Flag.SNAPSHOT | Flag.INELIGIBLE
            yield drafts.trade(envelope, exact(last), float(quantity), number, flags)
        if bid or ask:
            sides = [(exact(side) if side else NO_PRICE, 0.0) for side in (bid, ask)]
            yield drafts.quote(envelope, sides[0], sides[1], Flag.SNAPSHOT)
        elif not (last and quantity):
            tally.skipped["neither a best price nor a trade that day"] += 1
