"""Shape: a slice of the tape on record: of which stream, from when to when, its bytes, its hashes.

The table `tape` holds what the workers told: of the streams `live` and `risk` slices of all cells
that changed since the slice before (a delta frame, compute/delta.py) and now and then the tables
whole (an image); of `health`, `alerts`, `names` and `reference` the JSON as it was told. The table
`screens` holds what web processes showed (compute/batch.py), a stream for each life of one. Data
is compressed once, by its writer. The slices of a stream are chained: a leaf is over everything
that a slice says, a link over the link before and the leaf.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import zstandard

from compute import chain
from compute.row import number as varint

TAPE_SCHEMA = 1
TAPE, SCREENS, PAGES = "tape", "screens", "pages"
ZSTD_LEVEL = 1  # 6 MB/s of cells cost 0.02 of a core; level 3 saves a tenth and costs twice that.
DATA_BYTES_MAX = 256 << 20  # Of one slice; tables whole are 5 MB.
_TOPIC = 255  # In the identity of a leaf: no topic of the log.
_MOMENTS = struct.Struct("<QqqB")

_MOMENT = "DateTime64(9, 'UTC')"
_HASH = "FixedString(32)"
COLUMNS = (  # Name and ClickHouse type, in the order of the bytes.
    *(("stream", "LowCardinality(String)"), ("number", "UInt64")),
    *(("ts_first", _MOMENT), ("ts", _MOMENT), ("whole", "UInt8")),
    *(("data", "String"), ("digest", _HASH), ("link", _HASH)),
)
PAGE_COLUMNS = (
    *(("ts", _MOMENT), ("session", "String"), ("user", "String"), ("desk", "String")),
    *(("feeds", "String"), ("stream", "LowCardinality(String)"), ("page", "UInt32")),
)


class Slice(NamedTuple):
    """What a stream did in (ts_first, ts]; ts_first is the end of the slice before.

    Where ts_first is later than that end, nothing is on record in between: a hole.
    """

    stream: str
    number: int  # Rises by one within a stream; one that is missing is a hole too.
    ts_first: int  # ns
    ts: int  # ns
    whole: bool  # Needs no slice before it.
    data: bytes  # zstd

    @property
    def body(self) -> bytes:
        """The data as it was before it was compressed."""
        return zstandard.ZstdDecompressor().decompress(self.data, max_output_size=DATA_BYTES_MAX)


class PageRow(NamedTuple):
    """A page that was opened."""

    ts: int  # ns
    session: str
    user: str  # "" where the server knew nobody.
    desk: str
    feeds: str  # JSON, the desk's list of feeds.
    stream: str  # Of the web process.
    page: int  # Its number there.


class Sealed(NamedTuple):
    """A slice with its hashes."""

    slice: Slice
    digest: bytes
    link: bytes


def compress(body: bytes) -> bytes:
    """As a slice holds it."""
    return zstandard.ZstdCompressor(ZSTD_LEVEL).compress(body)


def leaf(one: Slice) -> bytes:
    """SHA-256 over all that a slice says."""
    identity = (_TOPIC, 0, one.number, one.number, 1, TAPE_SCHEMA)
    name = one.stream.encode()
    head = _MOMENTS.pack(len(name), one.ts_first, one.ts, one.whole)
    return chain.leaf(identity, (head, name, one.data))


def seal(one: Slice, previous: bytes) -> Sealed:
    """The slice behind the link `previous` of its stream."""
    digest = leaf(one)
    return Sealed(one, digest, chain.link(previous, digest))


def fault(rows: Iterable[Sealed]) -> str:
    """What is wrong with the first slice that is; "" where all are as they were sealed.

    `rows` of one stream in order, from anywhere in it: where old slices have been let go, the
    first link is taken at its word.
    """
    before: Sealed | None = None
    for row in rows:
        one = row.slice
        where = f"slice {one.number} of {one.stream}"
        if leaf(one) != row.digest:
            return f"{where}: its bytes are not the bytes that were sealed"
        if before is not None and chain.link(before.link, row.digest) != row.link:
            return f"{where}: its link does not follow from slice {before.slice.number}"
        before = row
    return ""


def packed(rows: Sequence[Sealed]) -> bytearray:
    """The rows in ClickHouse's format RowBinary."""
    out = bytearray()
    for one, digest, link in rows:
        name = one.stream.encode()
        out += varint(len(name)) + name
        out += struct.pack("<QqqB", one.number, one.ts_first, one.ts, one.whole)
        out += varint(len(one.data)) + one.data + digest + link
    return out


def unpacked(body: bytes) -> list[Sealed]:
    """Inverse of `packed`."""
    found, at = [], 0
    while at < len(body):
        one, at = slice_at(body, at)
        found.append(Sealed(one, body[at : at + 32], body[at + 32 : at + 64]))
        at += 64
    return found


def slice_at(body: bytes, at: int) -> tuple[Slice, int]:
    """The slice in RowBinary that begins at `at`, without its hashes, and where it ends."""
    size, at = _varint(body, at)
    stream, at = body[at : at + size].decode(), at + size
    number, ts_first, ts, whole = _MOMENTS.unpack_from(body, at)
    size, at = _varint(body, at + _MOMENTS.size)
    data = body[at : at + size]
    return Slice(stream, number, ts_first, ts, bool(whole), data), at + size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def packed_pages(rows: Sequence[PageRow]) -> bytearray:
    """Rows of `pages` in RowBinary."""
    out = bytearray()
    for ts, *texts, page in rows:
        out += struct.pack("<q", ts)
        for text in texts:
            data = text.encode()
            out += varint(len(data)) + data
        out += struct.pack("<I", page)
    return out


def ddl(database: str, tape_hours: int, screens_days: int) -> tuple[str, ...]:
    """Statements that create the tables and set how long they keep what they have."""
    slices = ", ".join(f"`{name}` {kind}{_codec(name)}" for name, kind in COLUMNS)
    pages = ", ".join(f"`{name}` {kind}" for name, kind in PAGE_COLUMNS)
    # A granule is a few slices: a reader that wants five seconds must not read a minute.
    settings = (
        "SETTINGS index_granularity = 16, index_granularity_bytes = 1048576, "
        "ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000"
    )
    keep = {
        TAPE: f"toDateTime(ts) + INTERVAL {tape_hours} HOUR",
        SCREENS: f"toDateTime(ts) + INTERVAL {screens_days} DAY",
        PAGES: f"toDateTime(ts) + INTERVAL {screens_days} DAY",
    }
    made = [
        f"CREATE TABLE IF NOT EXISTS {database}.{table} ({columns}) ENGINE = MergeTree "
        f"PARTITION BY {parts} ORDER BY ({order}) TTL {keep[table]} {settings}"
        for table, columns, parts, order in (
            (TAPE, slices, "toStartOfHour(ts)", "stream, ts, number"),
            (SCREENS, slices, "toDate(ts)", "stream, ts, number"),
            (PAGES, pages, "toDate(ts)", "ts, session"),
        )
    ]
    changed = [
        f"ALTER TABLE {database}.{table} MODIFY TTL {rule} "
        "SETTINGS materialize_ttl_after_modify = 0"
        for table, rule in keep.items()
    ]
    return (f"CREATE DATABASE IF NOT EXISTS {database}", *made, *changed)


def _codec(name: str) -> str:
    return " CODEC(NONE)" if name in ("data", "digest", "link") else ""
