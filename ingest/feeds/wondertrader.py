"""Rule: a tick block of WonderTrader (.dsb) -> a QUOTE and what was traded, a snapshot of 500 ms.

Head: 8 bytes of magic, u16 type, u16 version, u64 size, then Zstandard; inside, packed records.
Prices are doubles in the file itself; CFFEX prices have at most 4 places, so the nearest 1e-4 is
the price that was meant. Times are those of Shanghai, UTC+8 all year round. See `bars`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zstandard

from ingest.feeds import bars, blocks
from ingest.feeds.currency import usd_rate
from ingest.feeds.feed import CHUNK_EVENTS, Feed, FeedError, Tally
from ingest.feeds.futures import TERMS, future
from ingest.instrument import Instrument

RECORD = np.dtype(
    [
        *(("exchange", "S10"), ("code", "S32"), ("last", "<f8"), ("open", "<f8")),
        *(("high", "<f8"), ("low", "<f8"), ("settle", "<f8"), ("upper", "<f8")),
        *(("lower", "<f8"), ("volume_day", "<u4"), ("volume", "<u4"), ("turnover_day", "<f8")),
        *(("turnover", "<f8"), ("open_interest", "<u4"), ("change", "<i4")),
        *(("trading_date", "<u4"), ("date", "<u4"), ("time", "<u4"), ("close_before", "<f8")),
        *(("settle_before", "<f8"), ("open_interest_before", "<i4"), ("bid", "<f8", 10)),
        *(("ask", "<f8", 10), ("bid_size", "<u4", 10), ("ask_size", "<u4", 10)),
    ]
)
assert RECORD.itemsize == 402
HEAD_BYTES = 20
TICKS = 24  # The type of a block of ticks, packed.
_CODE = re.compile(r"(?P<root>[A-Za-z]+)(?P<year>\d\d)(?P<month>\d\d)")


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A block of ticks. FeedError where it is none, or of a contract of unknown terms."""
    records, cut = _records(path)
    if cut:
        tally.refuse(str(path), cut)
    found: dict[bytes, Instrument] = {}
    for code in dict.fromkeys(records["code"].tolist()):
        found[code] = _instrument(code, first_id + len(found), path)
    return Feed(list(found.values()), _chunks(path, records, found, tally), tally)


def _records(path: Path) -> tuple[np.ndarray, str]:
    """The records, and why they end before their end, if so."""
    data = b"".join(blocks.plain(path))
    if int.from_bytes(data[8:10], "little") != TICKS:
        raise FeedError("no packed block of ticks", path, "give a file of storage/ticks")
    text, cut = b"", ""
    decoder = zstandard.ZstdDecompressor().decompressobj()
    try:
        for at in range(HEAD_BYTES, len(data), blocks.PACKED_BYTES):
            text += decoder.decompress(data[at : at + blocks.PACKED_BYTES])
    except zstandard.ZstdError as error:
        cut = f"damaged: {error}"
    if not decoder.eof or len(text) % RECORD.itemsize:
        cut = cut or "ends before its end"
    return np.frombuffer(text, RECORD, len(text) // RECORD.itemsize), cut


def _instrument(code: bytes, number: int, path: Path) -> Instrument:
    symbol = code.decode("ascii", "replace")
    name = _CODE.fullmatch(symbol)
    if name is None or name["root"] not in TERMS:
        known = f"known are contracts of {', '.join(TERMS)}"
        raise FeedError(f"the contract terms of {symbol} are not known", path, known)
    month = 2000 + int(name["year"]), int(name["month"])
    rate = usd_rate(TERMS[name["root"]].currency, path)
    return future(symbol, name["root"], month, number, rate)


def _chunks(
    path: Path, records: np.ndarray, found: dict[bytes, Instrument], tally: Tally
) -> Iterator[np.ndarray]:
    for first in range(0, len(records), CHUNK_EVENTS):
        rows = records[first : first + CHUNK_EVENTS]
        line = np.arange(first + 1, first + 1 + len(rows))
        time, good = _times(rows["date"], rows["time"])
        for at in np.flatnonzero(~good).tolist():
            place = f"{path} record {line[at]}"
            tally.refuse(place, "not a date and time", rows[at : at + 1].tobytes())
        rows, line, time = rows[good], line[good], time[good]
        tally.rows += len(rows)
        numbers = np.zeros(len(rows), np.uint32)
        for code, own in found.items():
            numbers[rows["code"] == code] = own.id
        sides = (
            *(_exact(rows["bid"][:, 0]), rows["bid_size"][:, 0]),
            *(_exact(rows["ask"][:, 0]), rows["ask_size"][:, 0]),
        )
        last = _exact(rows["last"]), rows["volume"].astype(np.float64)
        yield bars.snapshots(numbers, time, line, sides, last)


def _exact(prices: np.ndarray) -> np.ndarray:
    known = (prices > 0) & (prices < 1e9)  # 0 and the greatest double mean: no price.
    return np.rint(np.where(known, prices, 0) * 1e4).astype(np.int64) * 100_000


def _times(dates: np.ndarray, clocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Time (ns, UTC) of YYYYMMDD and HHMMSSmmm in Shanghai, and where these are possible."""
    days, clock = dates.astype(np.int64), clocks.astype(np.int64)
    year, month, day = days // 10_000, days // 100 % 100, days % 100
    good = (year >= 1970) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    start = months.astype("datetime64[D]").astype(np.int64) + day - 1
    hour, minute, ms = clock // 10_000_000, clock // 100_000 % 100, clock % 100_000
    good &= (hour < 24) & (minute < 60) & (ms < 61_000)
    since = ((start * 24 + hour - 8) * 60 + minute) * 60_000 + ms
    return since * 1_000_000, good
