"""Rule: a day of option trades of Bovespa (NEG_OPCOES zip) -> trades, times of Sao Paulo.

Lines are fixed fields between semicolons, sorted by series, behind a heading and before a trailer
that both count the lines; the events are put in order of time. A series' name tells right and month
of expiry, and no strike: no Greeks can be had from this file alone.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from ingest.event import PRICE_SCALE, Flag, Kind
from ingest.feeds import blocks
from ingest.feeds.b3_tickers import third_monday
from ingest.feeds.currency import usd_rate
from ingest.feeds.feed import Feed, FeedError, Tally, by_time, events, midnight_ns
from ingest.feeds.lines import CLOCK, LETTER, MOMENT, TEXT, columns_and_text, texts, whole_lines
from ingest.instrument import AssetClass, Instrument

SPEC = (
    *(MOMENT, TEXT, 0, 9, 9, CLOCK, LETTER, TEXT, TEXT, TEXT, LETTER),
    *(TEXT, TEXT, TEXT, LETTER, TEXT, TEXT, TEXT),
)
_SERIES = re.compile(rb"[A-Z]{4}([A-X])\d+\w*|IBOV([A-X])\d+\w*")
_CANCELLED, _AGGRESSOR = ord("2"), ord("1")
_TRAILER = re.compile(rb"^RT NEG.*?(\d+)\s*$", re.MULTILINE)


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A day. FeedError where the zip is not whole or holds no such file."""
    try:
        with ZipFile(path) as archive:
            info = archive.infolist()[0]
    except (BadZipFile, IndexError) as error:
        raise FeedError(f"not a whole zip ({error})", path, "fetch the file again") from None
    found: dict[bytes, Instrument] = {}
    for rows, text in _rows(path, info, Tally()):
        for name in dict.fromkeys(texts(rows[:, 2], text)):
            if name not in found:
                found[name] = _instrument(name, int(rows[0, 1]), first_id + len(found), path)
    if not found:
        raise FeedError("no line is a trade", path, "give a file NEG_OPCOES of the exchange")
    numbers = {name: row.id for name, row in found.items()}
    return Feed(list(found.values()), by_time(_chunks(path, info, numbers, tally)), tally)


def _rows(path: Path, info: ZipInfo, tally: Tally) -> Iterator[tuple[np.ndarray, bytes]]:
    place = f"{path}!{info.filename}"
    body = _body(blocks.entry(path, info, tally), place, tally)
    return columns_and_text(body, SPEC, place, tally, skip=1, separator=";")


def _body(data: Iterator[bytes], place: str, tally: Tally) -> Iterator[bytes]:
    """Without the trailer; that it counts other lines than there are is an alarm."""
    lines = 0
    for text in whole_lines(data, place, tally):
        lines += text.count(b"\n")
        end = _TRAILER.search(text)
        if end and int(end[1]) != lines:
            tally.alarms["the trailer counts other lines than there are"] += 1
        yield text[: end.start()] if end else text


def _instrument(name: bytes, day_ns: int, number: int, path: Path) -> Instrument:
    series = _SERIES.fullmatch(name)
    letter = ord((series[1] or series[2]).decode()) - ord("A") if series else 0
    today = date(1970, 1, 1) + timedelta(days=day_ns // 86_400_000_000_000)
    month = letter % 12 + 1
    year = today.year + (month < today.month)
    return Instrument(
        *(number, name.decode("ascii", "replace"), AssetClass.EQUITY_OPTION, "B3", "BRL"),
        *(1.0, 0.01, 2),
        usd_rate=usd_rate("BRL", path),
        expiry=third_monday(year, month).isoformat(),
        right="C" if letter < 12 else "P",
    )


def _chunks(
    path: Path, info: ZipInfo, numbers: dict[bytes, int], tally: Tally
) -> Iterator[np.ndarray]:
    for rows, text in _rows(path, info, tally):
        valid = rows[:, 7] != _CANCELLED
        if not valid.all():
            tally.skipped["cancelled by the exchange"] += int(np.count_nonzero(~valid))
        names = texts(rows[valid, 2], text)
        line, day, _, trade, price, size, clock = rows[valid, :7].T
        dates = day.astype("datetime64[ns]").astype("datetime64[D]").astype(str).tolist()
        starts = np.array([midnight_ns(one, "America/Sao_Paulo") for one in dates], np.int64)
        out = events(Kind.TRADE, 0, starts + clock, line - 1)
        out["instrument"] = [numbers[name] for name in names]
        out["price"], out["size"], out["reference"] = price, size / PRICE_SCALE, trade
        bought, sold = rows[valid, 11] == _AGGRESSOR, rows[valid, 15] == _AGGRESSOR
        sides = np.where(bought, Flag.BUYER, Flag.SELLER)
        out["flags"] = np.where(bought != sold, sides, 0)
        yield out
