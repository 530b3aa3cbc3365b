"""Rule: Databento DBN, market by order -> trades and best bid and ask.

Per Databento's documentation of the schema `mbo`: A, M, C and R change the book; T is a trade of
the aggressor (side = aggressor), F the fill of a resting order, and neither touches the book,
since a C or M with the result follows. A packet is whole at F_LAST; only then is the book looked
at. The day begins with a snapshot of the resting orders, which is one packet here.

Layout of the head after `DBN` and the version byte: u32 length; dataset char[16], schema u16,
start, end, limit u64 (version 1 also u64 record count), stype in, out, ts_out u8, from version 2
on u16 length of a symbol, reserved to 100 bytes; u32 length of a schema definition; then lists of
symbols, partial, not found, and mappings.
"""

import re
import struct
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ingest.book import MESSAGE, TOP, Action, Book
from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds import blocks
from ingest.feeds.feed import Feed, FeedError, Tally, events, moved, weave
from ingest.instrument import AssetClass, Instrument

RECORD = np.dtype(
    [
        *(("length", "u1"), ("rtype", "u1"), ("publisher", "<u2"), ("instrument", "<u4")),
        *(("ts_event", "<i8"), ("order", "<i8"), ("price", "<i8"), ("size", "<u4")),
        *(("flags", "u1"), ("channel", "u1"), ("action", "u1"), ("side", "u1")),
        *(("ts_recv", "<i8"), ("ts_in_delta", "<i4"), ("sequence", "<u4")),
    ]
)
assert RECORD.itemsize == 56
_MBO = 160  # rtype, and number 0 of the schemas
_LAST, _SNAPSHOT = 128, 32  # flags
_TRADE, _FILL = ord("T"), ord("F")
_UNDEFINED = 2**63 - 1  # A price that is none.
_ACTIONS = np.zeros(256, np.uint8)
_ACTIONS[[ord("A"), ord("M"), ord("C"), ord("R")]] = [
    *(Action.ADD, Action.MODIFY, Action.CANCEL, Action.CLEAR)
]
_SIDES = np.zeros(256, np.int8)
_SIDES[[ord("B"), ord("A")]] = 1, -1
_AGGRESSOR = np.zeros(256, np.uint8)
_AGGRESSOR[[ord("B"), ord("A")]] = Flag.BUYER, Flag.SELLER

# Contract terms, which DBN does not carry: USD of a point, tick. CME rulebook chapters 358, 359.
TERMS = {"ES": (50.0, 0.25), "MES": (5.0, 0.25), "NQ": (20.0, 0.25), "MNQ": (2.0, 0.25)}
_MONTHS = "FGHJKMNQUVXZ"
_SYMBOL = re.compile(rf"(?P<root>[A-Z0-9]+)(?P<month>[{_MONTHS}])(?P<year>\d)")


class _State(NamedTuple):
    """What goes on from chunk to chunk, for one instrument."""

    id: int
    book: Book
    last: np.ndarray  # TOP [1] of the last quote


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A file of schema mbo, plain or Zstandard. FeedError where head or contracts are unknown."""
    with path.open("rb") as file:
        packed = file.read(4) == b"\x28\xb5\x2f\xfd"
    data = blocks.zstd(path, tally) if packed else blocks.plain(path)
    head = b""
    for block in data:
        head += block
        if len(head) >= 8 and len(head) >= 8 + int.from_bytes(head[4:8], "little"):
            break
    try:
        size, names, step = _head(head)
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        remedy = "this version reads DBN versions 1 to 3, schema mbo"
        raise FeedError(f"the head of the file is not read ({error})", path, remedy) from None
    rows: dict[int, Instrument] = {}
    for number, (name, start) in sorted(names.items()):
        rows[number] = _instrument(name, start, first_id + len(rows), path)
    records = _records(_after(head[size:], data), step, str(path), size, tally)
    return Feed(list(rows.values()), _chunks(records, rows, str(path), tally), tally)


def _head(data: bytes) -> tuple[int, dict[int, tuple[str, int]], int]:
    """Bytes of the head, (symbol, first day YYYYMMDD) by instrument number, bytes of a record."""
    version = data[3]
    if data[:3] != b"DBN" or not 1 <= version <= 3:
        raise ValueError(f"begins with {data[:4]!r}")
    size = 8 + int.from_bytes(data[4:8], "little")
    (schema,) = struct.unpack_from("<H", data, 24)
    if schema != 0:
        raise ValueError(f"schema number {schema} is not mbo")
    at = 50 if version > 1 else 58  # Behind the count of records, which only version 1 has.
    ts_out = data[at + 2]
    width = struct.unpack_from("<H", data, at + 3)[0] if version > 1 else 22
    at = 108
    at += 4 + struct.unpack_from("<I", data, at)[0]
    for _ in range(3):
        at += 4 + width * struct.unpack_from("<I", data, at)[0]
    names = {}
    (mappings,) = struct.unpack_from("<I", data, at)
    at += 4
    for _ in range(mappings):
        raw, intervals = _text(data, at, width), struct.unpack_from("<I", data, at + width)[0]
        at += width + 4
        for _ in range(intervals):
            start, mapped = struct.unpack_from("<I", data, at)[0], _text(data, at + 8, width)
            number, name = (mapped, raw) if mapped.isdigit() else (raw, mapped)
            names[int(number)] = name, start
            at += 8 + width
    return size, names, RECORD.itemsize + (8 if ts_out else 0)


def _text(data: bytes, at: int, width: int) -> str:
    return data[at : at + width].rstrip(b"\0").decode("ascii")


def _instrument(name: str, start: int, number: int, path: Path) -> Instrument:
    parts = _SYMBOL.fullmatch(name)
    if parts is None or parts["root"] not in TERMS:
        known = ", ".join(TERMS)
        raise FeedError(f"contract terms of {name} are not known", path, f"known are {known}")
    multiplier, tick = TERMS[parts["root"]]
    # The year is its last digit: the first such year from the data's own on.
    year = start // 10_000 + (int(parts["year"]) - start // 10_000) % 10
    first = date(year, _MONTHS.index(parts["month"]) + 1, 1)
    expiry = first + timedelta(days=(4 - first.weekday()) % 7 + 14)  # The third Friday.
    return Instrument(
        *(number, name, AssetClass.INDEX_FUTURE, "CME", "USD", multiplier, tick, 2),
        expiry=expiry.isoformat(),
    )


def _after(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _records(
    data: Iterator[bytes], step: int, place: str, at: int, tally: Tally
) -> Iterator[np.ndarray]:
    """Arrays of RECORD; what is no mbo record is refused, and reading goes on behind it."""
    padded = np.dtype({**_fields(), "itemsize": step})
    rest = b""
    for block in data:
        rest += block
        while len(rest) >= step:
            rows = np.frombuffer(rest, padded, len(rest) // step)
            good = (rows["rtype"] == _MBO) & (rows["length"] == step // 4)
            count = len(rows) if good.all() else int(np.argmin(good))
            if count:
                yield rows[:count]
            rest = rest[count * step :]
            at += count * step
            if count < len(rows):
                size = rest[0] * 4 or step
                tally.refuse(f"{place} byte {at} unpacked", "not an mbo record", rest[:size])
                rest = rest[size:]
                at += size
    if rest:
        tally.refuse(f"{place} byte {at} unpacked", "ends within a record", rest)


def _fields() -> dict[str, list[object]]:
    fields = RECORD.fields or {}
    return {
        "names": list(fields),
        "formats": [field[0] for field in fields.values()],
        "offsets": [field[1] for field in fields.values()],
    }


def _chunks(
    records: Iterator[np.ndarray], rows: dict[int, Instrument], place: str, tally: Tally
) -> Iterator[np.ndarray]:
    none = np.array([(NO_PRICE, NO_PRICE, 0, 0)], TOP)
    states = {number: _State(row.id, Book(), none) for number, row in rows.items()}
    held: np.ndarray | None = None  # The last record: whether it ends a snapshot, the next tells.
    for block in records:
        block = block if held is None else np.concatenate((held, block))
        held = block[-1:]
        yield from _chunk(block[:-1], block[1:], states, place, tally)
    if held is not None:
        yield from _chunk(held, np.zeros_like(held), states, place, tally)


def _chunk(
    block: np.ndarray, after: np.ndarray, states: dict[int, _State], place: str, tally: Tally
) -> Iterator[np.ndarray]:
    first = tally.rows
    tally.rows += len(block)
    snapshot = block["flags"] & _SNAPSHOT != 0
    whole = (block["flags"] & _LAST != 0) | (snapshot & (after["flags"] & _SNAPSHOT == 0))
    parts = [(np.zeros(0, np.int64), np.zeros(0, events(Kind.QUOTE, 0, whole[:0], whole[:0]).dtype))]
    for number in np.unique(block["instrument"]).tolist():
        at = np.flatnonzero(block["instrument"] == number)
        if number not in states:
            reason = f"{len(at)} records of an instrument {number} that the head does not name"
            tally.refuse(f"{place} records from {first}", reason, block[at].tobytes())
            continue
    yield parts[0][1]
