"""Rule: a path -> a feed. The content tells the format; the name must not say otherwise.

A folder is opened with all files below it that are of a known format, in the order of event time;
an instrument that several files speak of is one instrument.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np

from ingest.event import EVENT
from ingest.feeds import (
    b3_otc,
    b3_report,
    b3_trades,
    binance,
    bitmex,
    blocks,
    cboe,
    coinbase,
    dbn,
    deribit,
    dtcc,
    dukascopy,
    ice,
    kraken_futures,
    lean,
    lobster,
    minute_bars,
    rates_daily,
    tqsdk,
    truefx,
    wondertrader,
    xetra,
)
from ingest.feeds.feed import Feed, FeedError, Tally
from ingest.instrument import Instrument

FILES_MAX = 1_000  # Each open file keeps a chunk in memory: about 0.5 MB, so 0.5 GB at most.
_HEAD_BYTES = 4096


class Format(NamedTuple):
    """A format: how its files begin when unpacked, how they are named, who reads them.

    A name counts without `.gz`. Of a zip it is the first entry that begins so.
    """

    name: str
    begins: re.Pattern[bytes]
    suffixes: tuple[str, ...]
    read: Callable[[Path, int, Tally], Feed]


_LOBSTER_LINE = rb"\d+(\.\d+)?,\d,\d+,\d+,-?\d+,-?1\r?\n"


def _begins(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?:\xef\xbb\xbf)?" + pattern)


FORMATS = (
    Format("option trades of B3", _begins(rb"RH NEG"), (".zip",), b3_trades.read),
    Format("swap reports of DTCC", _begins(rb"Dissemination Id"), (".zip",), dtcc.read),
    Format("a Databento DBN file", re.compile(rb"DBN[\1-\x0f]"), (".dbn",), dbn.read),
    Format("a Zstandard file of Databento", re.compile(rb"\x28\xb5\x2f\xfd"), (".zst",), dbn.read),
    Format("a Binance capture", re.compile(rb"\d{19} \{"), ("", ".txt", ".log"), binance.read),
    Format(
        *("a LOBSTER message file", re.compile(rb"([A-Z]\w+,[^\n]*\n)?" + _LOBSTER_LINE)),
        *((".csv",), lobster.read),
    ),
    Format("Xetra trades", _begins(rb'\{"messageId":"posttrade"'), (".json",), xetra.read),
    Format("Dukascopy quotes", _begins(rb'\{"timestamp": ?\d'), (".json",), dukascopy.read),
    Format("a Cboe chain", _begins(rb'\{"timestamp": ?"'), (".json",), cboe.read),
    Format("TrueFX quotes", _begins(rb"timestamp,bid,ask"), (".csv",), truefx.read),
    Format("minute bars", _begins(rb"timestamp_utc,open"), (".csv",), minute_bars.read),
    Format("tqsdk bars or ticks", _begins(rb"(id,)?datetime,"), (".csv",), tqsdk.read),
    Format("daily closes", _begins(rb"DATETIME,NEARER"), (".csv",), rates_daily.read),
    Format("OTC trades of B3", _begins(rb"Data/Hora"), (".csv",), b3_otc.read),
    Format(
        "a price report of B3", _begins(rb"<\?xml[^>]*>\s*<Document"), (".xml",), b3_report.read
    ),
    Format("a WonderTrader block", re.compile(rb"&\^%\$#@!\0"), (".dsb",), wondertrader.read),
    Format(
        "a pcap of ICE", re.compile(rb"\x4d\x3c\xb2\xa1|\xd4\xc3\xb2\xa1"), (".pcap",), ice.read
    ),
    *(
        Format(f"a capture of {venue}", re.compile(url), tuple(f".{i}" for i in range(10)), read)
        for venue, url, read in (
            ("Coinbase", rb"wss://\S*coinbase", coinbase.read),
            ("BitMEX", rb"wss://\S*bitmex", bitmex.read),
            ("Kraken Futures", rb"wss://futures\.kraken", kraken_futures.read),
            ("Deribit", rb"(wss|https)://\S*deribit", deribit.read),
        )
    ),
    # Last, for it is known by its wrapping alone.
    Format("a Lean zip", re.compile(rb"PK[\3\5]"), (".zip",), lean.read),
)
KNOWN = f"known are {', '.join(one.name for one in FORMATS)}"


def open_feed(path: str | Path, first_id: int = 0) -> Feed:
    """The feed at `path`, a file or a folder; its instruments get ids from `first_id` on.

    FeedError says what is wrong, where, and what to do. Damage inside a file is no error: what
    is whole is read, the rest stands in the feed's `tally`.
    """
    place = Path(path)
    if not place.exists():
        raise FeedError("there is no such file", place, "look at the path")
    if place.is_dir():
        return _open_folder(place, first_id)
    return _open_file(place, first_id, Tally())


def _open_file(path: Path, first_id: int, tally: Tally) -> Feed:
    with path.open("rb") as file:
        raw = file.read(_HEAD_BYTES)
    if not raw:
        raise FeedError("the file is empty", path, "fetch it again")
    packed = raw[:2] == b"\x1f\x8b"
    name = path.name.removesuffix(".gz") if packed else path.name
    suffix = Path(name).suffix.lower()
    heads = (_inside(path, raw), raw)
    found = next((one for head in heads for one in FORMATS if one.begins.match(head)), None)
    if found is None:
        named = next((one for one in FORMATS if suffix and suffix in one.suffixes), None)
        what = f"is named like {named.name}, but is none" if named else "is of no known format"
        raise FeedError(f"{what} (it begins with {heads[0][:16]!r})", path, KNOWN)
    if suffix not in found.suffixes or packed != path.name.endswith(".gz"):
        remedy = f"name it {path.stem}{found.suffixes[0]}{'.gz' * packed} if that is what it is"
        raise FeedError(f"begins like {found.name}, but is named {path.name}", path, remedy)
    return found.read(path, first_id, tally)


def _inside(path: Path, raw: bytes) -> bytes:
    """How the content begins: of a gzip file unpacked, of a zip its first entry."""
    if raw[:2] == b"\x1f\x8b":
        with suppress(zlib.error):
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw, _HEAD_BYTES)
        return b""
    if raw[:2] == b"PK":
        with suppress(BadZipFile, IndexError):
            with ZipFile(path) as archive:
                first = archive.infolist()[0]
            return next(blocks.entry(path, first, Tally()), b"")
    return raw


def _open_folder(folder: Path, first_id: int) -> Feed:
    # An order book file of LOBSTER is read with the messages beside it.
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and "_orderbook_" not in path.name
    )
    if len(files) > FILES_MAX:
        what = f"{len(files)} files are below it, more than {FILES_MAX}"
        raise FeedError(what, folder, "open a folder further down")
    tally = Tally()
    found: dict[str, Instrument] = {}
    opened: list[Iterator[np.ndarray]] = []
    for path in files:
        try:
            feed = _open_file(path, 0, tally)
        except (FeedError, OSError) as error:
            tally.refuse(str(path), str(error))
            continue
        ids: list[int] = []
        for row in feed.instruments:
            # What lies under an option stands before it.
            under = ids[row.underlying] if row.underlying >= 0 else -1
            new = replace(row, id=first_id + len(found), underlying=under)
            ids.append(found.setdefault(row.symbol, new).id)
        opened.append(_renumbered(feed.chunks, np.array(ids, np.uint32)))
    if not opened:
        raise FeedError(f"none of its {len(files)} files is of a known format", folder, KNOWN)
    return Feed(list(found.values()), in_order(opened), tally)


def _renumbered(chunks: Iterator[np.ndarray], ids: np.ndarray) -> Iterator[np.ndarray]:
    for chunk in chunks:
        chunk["instrument"] = ids[chunk["instrument"]]
        yield chunk


def in_order(feeds: list[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Chunks of several feeds as one, by event time.

    The order within a feed is kept where its times step back: an event waits there for the
    latest time before it, so nothing overtakes an event of its own feed.
    """
    sources = list(feeds)
    latest = [np.iinfo(np.int64).min] * len(sources)
    waiting: list[np.ndarray] = [np.empty(0, EVENT)] * len(sources)
    times: list[np.ndarray] = [np.empty(0, np.int64)] * len(sources)
    active = list(range(len(sources)))
    while True:
        for i in active:
            while not len(waiting[i]) and (chunk := next(sources[i], None)) is not None:
                waiting[i] = chunk
                times[i] = np.maximum.accumulate(np.maximum(chunk["ts_event"], latest[i]))
                latest[i] = times[i][-1] if len(chunk) else latest[i]
        active = [i for i in active if len(waiting[i])]
        if not active:
            return
        # Up to here no feed can bring anything that would have to go before.
        limit = min(times[i][-1] for i in active)
        cuts = [int(np.searchsorted(times[i], limit, "right")) for i in active]
        events = np.concatenate([waiting[i][:cut] for i, cut in zip(active, cuts, strict=True)])
        keys = np.concatenate([times[i][:cut] for i, cut in zip(active, cuts, strict=True)])
        for i, cut in zip(active, cuts, strict=True):
            waiting[i], times[i] = waiting[i][cut:], times[i][cut:]
        yield events[np.argsort(keys, kind="stable")]
