"""Rule: the head of a Databento DBN file -> the instruments it speaks of.

Layout, after `DBN` and a version byte: u32 length; dataset char[16], schema u16, start, end,
limit u64 (version 1 also a u64 count of records), stype in, out, ts_out u8, from version 2 on u16
length of a symbol, reserved to 100 bytes; u32 length of a schema definition and that; then, each
behind a u32 count, symbols, partial, not found, and mappings of a symbol to numbers by days.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ingest.feeds.feed import FeedError
from ingest.feeds.futures import MONTHS, TERMS, future
from ingest.instrument import Instrument

SCHEMA_MBO = 0
_FIXED_BYTES = 108  # Magic, version, length and the 100 bytes.

_SYMBOL = re.compile(rf"(?P<root>[A-Z0-9]+)(?P<month>[{MONTHS}])(?P<year>\d)")


class Head(NamedTuple):
    """What the head says. `names`: (symbol, first day as YYYYMMDD) by instrument number."""

    size: int  # bytes
    schema: int
    record_bytes_more: int  # 8 where every record also carries the gateway's send time.
    names: dict[int, tuple[str, int]]


def read_head(blocks: Iterator[bytes], path: Path) -> tuple[Head, bytes]:
    """The head and the bytes that came with it and stand behind it."""
    data = b""
    for block in blocks:
        data += block
        if len(data) >= 8 and len(data) >= 8 + int.from_bytes(data[4:8], "little"):
            break
    try:
        head = _parse(data)
    except (struct.error, ValueError, IndexError) as error:
        remedy = "this version reads DBN versions 1 to 3"
        raise FeedError(f"the head is damaged or unknown ({error})", path, remedy) from None
    if head.schema != SCHEMA_MBO:
        raise FeedError(f"has schema {head.schema}, not mbo", path, "ask Databento for schema mbo")
    return head, data[head.size :]


def instrument(name: str, start: int, number: int, path: Path) -> Instrument:
    """The future `name`, like ESH4, in data that start on the day `start` (YYYYMMDD)."""
    parts = _SYMBOL.fullmatch(name)
    if parts is None or parts["root"] not in TERMS:
        known = f"known are contracts of {', '.join(TERMS)}"
        raise FeedError(f"the contract terms of {name} are not known", path, known)
    # The year is told by its last digit: the first such year from the data's own on.
    year = start // 10_000 + (int(parts["year"]) - start // 10_000) % 10
    return future(name, parts["root"], (year, MONTHS.index(parts["month"]) + 1), number)


def _parse(data: bytes) -> Head:
    version = data[3]
    if data[:3] != b"DBN" or not 1 <= version <= 3:
        raise ValueError(f"it begins with {data[:4]!r}")
    (schema,) = struct.unpack_from("<H", data, 24)
    at = 58 if version == 1 else 50
    more = 8 * data[at + 2]
    width = 22 if version == 1 else struct.unpack_from("<H", data, at + 3)[0]

    at = _FIXED_BYTES
    at += 4 + struct.unpack_from("<I", data, at)[0]
    for _ in range(3):
        at += 4 + width * struct.unpack_from("<I", data, at)[0]
    names = {}
    (mappings,) = struct.unpack_from("<I", data, at)
    at += 4
    for _ in range(mappings):
        symbol, intervals = _text(data, at, width), struct.unpack_from("<I", data, at + width)[0]
        at += width + 4
        for _ in range(intervals):
            (start,) = struct.unpack_from("<I", data, at)
            mapped = _text(data, at + 8, width)
            # Asked for by symbol or by number, the other one stands here.
            number, name = (mapped, symbol) if mapped.isdigit() else (symbol, mapped)
            names[int(number)] = name, start
            at += 8 + width
    return Head(8 + int.from_bytes(data[4:8], "little"), schema, more, names)


def _text(data: bytes, at: int, width: int) -> str:
    return data[at : at + width].rstrip(b"\0").decode("ascii")
