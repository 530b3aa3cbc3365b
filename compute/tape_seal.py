"""Shape: how far the tape had come, as a block of the record's chains, so that roots cover it.

A statement names the newest slice of each stream that has grown, with its link. It is one row of
one chain (topic TAPE_TOPIC, partition 0), chained, sealed, witnessed and exported like any block;
a slice is then under the signed roots by the link of the statement behind it.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from compute import chain
from compute.archive import Archive
from compute.chain import Sealed
from compute.row import number as varint
from compute.schema import TOKENS

TABLE = "tape_seals"
TAPE_TOPIC = 14  # In the chains; behind those of the log.
PLACE = (TAPE_TOPIC, 0)
STATEMENT_SCHEMA = 1
_COLUMNS = ("offset", "statement", "digest", "link")


class End(NamedTuple):
    """The newest slice of a stream, of the table `tape` or `screens`."""

    table: str
    stream: str
    number: int
    ts: int  # ns, its end
    link: bytes


class Stated(NamedTuple):
    """A statement with its place in the chain."""

    sealed: Sealed
    data: bytes


def pack(ts_ns: int, ends: Sequence[End]) -> bytes:
    """The bytes of a statement; JSON."""
    rows = [[one.table, one.stream, one.number, one.ts, one.link.hex()] for one in ends]
    return json.dumps({"ts": ts_ns, "ends": rows}, separators=(",", ":")).encode()


def unpack(data: bytes) -> tuple[int, list[End]]:
    """Inverse of `pack`; ValueError where it is none."""
    try:
        said = json.loads(data)
        ends = [
            End(str(table), str(stream), int(count), int(ts), bytes.fromhex(link))
            for table, stream, count, ts, link in said["ends"]
        ]
        return int(said["ts"]), ends
    except (KeyError, TypeError) as error:
        raise ValueError(f"this states no tape: {error}") from None


def seal(data: bytes, before: Sealed | None) -> Stated:
    """The statement behind `before`; None at the origin."""
    offset = before.last + 1 if before else 0
    identity = (*PLACE, offset, offset, 1, STATEMENT_SCHEMA)
    digest = chain.leaf(identity, [data])
    link = chain.link(before.link if before else chain.ORIGIN, digest)
    return Stated(Sealed(*identity, digest, link), data)


# The table


def ddl(database: str) -> str:
    """The statement that creates it. It is kept for ever: a hundred bytes a minute."""
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{TABLE} (`offset` UInt64, `statement` String, "
        "`digest` FixedString(32), `link` FixedString(32)) ENGINE = MergeTree ORDER BY offset "
        f"SETTINGS non_replicated_deduplication_window = {TOKENS}"
    )


def insert(archive: Archive, one: Stated) -> None:
    """Put it into the table, once however often it is tried."""
    sealed, data = one
    body = struct.pack("<Q", sealed.last) + varint(len(data)) + data + sealed.digest + sealed.link
    token = f"{TABLE}-{sealed.link.hex()}"
    archive.send(TABLE, list(_COLUMNS), bytearray(body), token, "RowBinary")


def there(archive: Archive) -> bool:
    """Whether the record has a tape that is sealed."""
    found = archive.rows(
        "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        {"database": archive.database, "name": TABLE},
    )
    return bool(found)


def read(archive: Archive, first: int = 0, last: int = 2**63) -> list[Stated]:
    """The statements with those offsets, in order, as the table has them."""
    found = archive.rows(
        f"SELECT offset, hex(statement), hex(digest), hex(link) FROM {archive.database}.{TABLE} "
        f"WHERE offset >= {first} AND offset <= {last} ORDER BY offset, link"
    )
    return [
        Stated(
            Sealed(
                *(*PLACE, offset, offset, 1, STATEMENT_SCHEMA),
                *(bytes.fromhex(digest), bytes.fromhex(link)),
            ),
            bytes.fromhex(data),
        )
        for offset, data, digest, link in found
    ]


def newest(archive: Archive) -> Sealed | None:
    """The last statement's place in the chain."""
    found = archive.rows(f"SELECT max(offset), count() FROM {archive.database}.{TABLE}")
    offset, count = found[0]
    return read(archive, offset, offset)[-1].sealed if count else None


def grown(ends: Mapping[str, End], stated: Mapping[str, int]) -> list[End]:
    """What is to be stated: streams that are beyond the numbers stated before."""
    return [end for _, end in sorted(ends.items()) if end.number > stated.get(end.stream, -1)]
