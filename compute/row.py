"""Shape: a row of the record, a block's line in the chain's table, and their bytes on the wire.

A row is one RECORD: where the event stood in the log, the event, and the numbers after it. The
packed array's own bytes are the canonical bytes of the record (ClickHouse's RowBinary); they
travel as columns (its format Native), which costs ClickHouse a third of what rows cost it.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from compute.chain import Sealed
from compute.enriched import ENRICHED
from ingest.event import EVENT_BYTES
from ingest.frame import REASONS

SCHEMA = 2  # Version of RECORD and of the tables; part of every token and leaf.

RECORD = np.dtype(
    [
        ("topic", "u1"),  # Index among ingest.source.TOPICS
        ("partition", "<u2"),
        ("offset", "<u8"),
        ("index", "<u2"),  # Of the event within its frame, from 0
        ("ts_event", "<i8"),  # The event, its union as four columns that do not overlap
        ("ts_recv", "<i8"),
        ("sequence", "<u8"),
        ("instrument", "<u4"),
        ("source", "<u2"),  # FILL, ORDER, CASH: the book
        ("kind", "u1"),  # REFUSED: no event came of this frame, `flags` says why
        ("flags", "u1"),
        ("price", "<i8"),  # QUOTE: bid
        ("ask", "<i8"),  # Others: reference
        ("size", "<f8"),  # QUOTE: bid size
        ("ask_size", "<f8"),  # FILL: fee
        *((name, "<f8") for name in ENRICHED.names or ()),
    ]
)
KEY_BYTES = 13
assert RECORD.itemsize == KEY_BYTES + EVENT_BYTES + ENRICHED.itemsize == 141

REFUSED = 255  # Kind of the one row that stands for a frame without events.

NO_EVENT = (*REASONS, "repeat")  # Why a frame gave none: refused, or all of it seen before.

# The same bytes, fewer fields.
PARTS = np.dtype(
    [
        *((name, RECORD[name]) for name in ("topic", "partition", "offset", "index")),
        ("event", f"V{EVENT_BYTES}"),
        ("enriched", f"V{ENRICHED.itemsize}"),
    ]
)
assert PARTS.itemsize == RECORD.itemsize

BLOCK = np.dtype(
    [
        ("topic", "u1"),
        ("partition", "<u2"),
        ("first", "<u8"),
        ("last", "<u8"),
        ("rows", "<u8"),
        ("schema", "<u2"),
        ("epoch", "<u8"),
        ("ts", "<i8"),
        ("digest", "V32"),
        ("link", "V32"),
    ]
)

SEGMENT_FRAMES = 4_096  # Offsets of a partition whose rows lie together, by instrument.

TYPES = {
    "|u1": "UInt8",
    "<u2": "UInt16",
    "<u4": "UInt32",
    "<u8": "UInt64",
    "<i8": "Int64",
    "<f8": "Float64",
    "|V32": "FixedString(32)",
}
MOMENTS = (
    "ts_event",
    "ts_recv",
    "ts",
)  # Nanoseconds; a DateTime64(9) is the same 8 bytes.


def columns(shape: np.dtype) -> list[tuple[str, str]]:
    """Name and ClickHouse type of each field of a dtype, in order."""
    return [
        (name, "DateTime64(9, 'UTC')" if name in MOMENTS else TYPES[shape[name].str])
        for name in shape.names or ()
    ]


def refusal(place: tuple[int, int], offset: int, reason: str, ts_ns: int) -> np.ndarray:
    """The one row (RECORD [1]) of a frame that gave no event; its flags index NO_EVENT."""
    rows = np.zeros(1, RECORD)
    rows["topic"], rows["partition"] = place
    rows["offset"], rows["flags"] = offset, NO_EVENT.index(reason)
    rows["kind"], rows["ts_event"], rows["ts_recv"] = REFUSED, ts_ns, ts_ns
    for name in ENRICHED.names or ():
        rows[name] = np.nan
    return rows


def native(rows: np.ndarray) -> np.ndarray:
    """One block in ClickHouse's format Native: an array of a packed dtype, column by column."""
    whole, targets = native_frame(rows.dtype, len(rows))
    for name, target in zip(rows.dtype.names or (), targets, strict=True):
        target[:] = rows[name]
    return whole


def native_frame(
    shape: np.dtype, count: int, memory: np.ndarray | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Body of a Native block of `count` rows, uint8, and each of its columns yet to be written.

    The columns are views of the body, wherever in it they come to lie; the body is the beginning
    of `memory` (uint8) if that is given and large enough.
    """
    heads = [_head(name, kind) for name, kind in columns(shape)]
    start = number(len(heads)) + number(count)
    size = len(start) + sum(map(len, heads)) + count * shape.itemsize
    # Not a bytearray: that would be written twice, with zeros first.
    enough = memory is not None and len(memory) >= size
    whole = memory[:size] if memory is not None and enough else np.empty(size, np.uint8)
    whole[: len(start)] = np.frombuffer(start, np.uint8)
    at = len(start)
    targets = []
    for name, head in zip(shape.names or (), heads, strict=True):
        whole[at : at + len(head)] = np.frombuffer(head, np.uint8)
        at += len(head)
        targets.append(np.frombuffer(whole.data, shape[name], count, at))
        at += count * shape[name].itemsize
    return whole, targets


def from_native(data: bytes, shape: np.dtype) -> np.ndarray:
    """Rows (of the packed dtype `shape`) of successive blocks in format Native, as they came.

    ValueError where the bytes are not whole blocks of just these columns: a count is not believed
    before there are bytes for it.
    """
    heads = [_head(name, kind) for name, kind in columns(shape)]
    parts, at = [], 0
    while at < len(data):
        wide, at = _number_at(data, at)
        count, at = _number_at(data, at)
        if wide != len(heads):
            raise ValueError(f"a block of {wide} columns where {len(heads)} were asked for")
        if count * shape.itemsize > len(data) - at:
            raise ValueError(f"{count} rows are told in {len(data) - at} bytes")
        rows = np.empty(count, shape)
        for name, head in zip(shape.names or (), heads, strict=True):
            if data[at : at + len(head)] != head:
                raise ValueError(f"{data[at : at + len(head)]!r} where column {name} should begin")
            at += len(head)
            rows[name] = np.frombuffer(data, shape[name], count, at)
            at += count * shape[name].itemsize
        parts.append(rows)
    return np.concatenate(parts) if parts else np.empty(0, shape)


def _head(name: str, kind: str) -> bytes:
    return b"".join((number(len(name)), name.encode(), number(len(kind)), kind.encode()))


def number(value: int) -> bytes:
    """Unsigned LEB128, ClickHouse's VarUInt."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number_at(data: bytes, at: int) -> tuple[int, int]:
    """The number (LEB128) that begins at `at`, and where it ends; ValueError where it is torn."""
    value = shift = 0
    for place in range(at, min(at + 10, len(data))):
        value |= (data[place] & 127) << shift
        shift += 7
        if data[place] < 128:
            return value, place + 1
    raise ValueError(f"no number at byte {at} of {len(data)}")


def token_of(sealed: Sequence[Sealed]) -> str:
    """Name of an insert: the places, the schema and the digests of all its blocks.

    ClickHouse drops other data under a used token and reports success, so whatever tells two
    inserts apart must be in it.
    """
    hashed = hashlib.sha256()
    for block in sealed:
        hashed.update(repr(tuple(block)).encode())
    return hashed.hexdigest()
