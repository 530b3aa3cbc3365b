"""Rule: Cboe's delayed answer for one underlying -> a QUOTE a contract and one of the underlying.

A snapshot: every event is marked so. Its time is the underlying's last trade (New York), for the
answer itself was made hours after the close; when that was is `ts_recv`. The venue's own implied
volatilities and Greeks are not events: they are read by who compares.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.event import NO_PRICE, Flag
from ingest.feeds import blocks, drafts, lean_equity
from ingest.feeds.feed import Feed, FeedError, Tally
from ingest.feeds.futures import occ
from ingest.feeds.lines import exact, parse_moment
from ingest.instrument import AssetClass, Instrument

_OCC = re.compile(r"(?P<root>[A-Z]+)(?P<expiry>\d{6})(?P<right>[CP])(?P<strike>\d{8})")


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A chain. FeedError where the answer is not whole or not of this shape."""
    try:
        told = json.loads(b"".join(blocks.text(path, tally)), parse_float=str)
        chain, data = told["data"]["options"], told["data"]
        received = parse_moment(told["timestamp"], "UTC")
        time = parse_moment(data["last_trade_time"], "America/New_York")
        stock = data["security_type"] == "stock"
        under, _ = lean_equity.instrument(data["symbol"].strip("^"), path, b"", first_id)
        first = _quote((time, received, 0, first_id), data)
    except (ValueError, KeyError, TypeError) as error:
        raise FeedError(f"no chain of options ({error!r})", path, "fetch the file again") from None
    rows, quotes = [under], [first]
    for number, option in enumerate(chain, 1):
        try:
            own = _instrument(option, first_id + len(rows), first_id, stock)
            quotes.append(_quote((time, received, number, own.id), option))
        except (ValueError, KeyError, TypeError) as error:
            place = f"{path} option {number}"
            tally.refuse(place, str(error), json.dumps(option).encode())
            continue
        rows.append(own)

    def counted() -> Iterator[bytes]:
        yield quotes[0]
        for quote in quotes[1:]:
            tally.rows += 1
            yield quote

    return Feed(rows, drafts.chunks(counted()), tally, len(quotes))


def _instrument(option: dict[str, Any], number: int, under: int, stock: bool) -> Instrument:
    name = _OCC.fullmatch(option["option"])
    if name is None:
        raise ValueError(f"{option['option']!r} is no option symbol")
    day = name["expiry"]
    expiry = f"20{day[:2]}-{day[2:4]}-{day[4:]}"
    strike = int(name["strike"]) / 1000
    close = float(option.get("prev_day_close") or 0)
    return Instrument(
        number,
        occ(name["root"], expiry, name["right"], strike),
        AssetClass.EQUITY_OPTION,
        *("OPRA", "USD", 100.0, 0.01, 2),
        close_prev=close or None,
        underlying=under,
        expiry=expiry,
        strike=strike,
        right=name["right"],
        exercise="american" if stock else "european",
    )


def _quote(envelope: tuple[int, int, int, int], told: dict[str, Any]) -> bytes:
    sides = []
    for side in ("bid", "ask"):
        price, size = exact(str(told[side])), float(told[f"{side}_size"])
        sides.append((price, size) if price > 0 else (NO_PRICE, 0.0))
    return drafts.quote(envelope, sides[0], sides[1], Flag.SNAPSHOT)
