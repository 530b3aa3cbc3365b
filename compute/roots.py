"""Shape: a signed root over the heads of all chains, and where roots are kept.

The text is a checkpoint as transparency logs write it (C2SP tlog-checkpoint): origin, size of the
tree, its root, then lines of our own: number, hash of the text before, moment, blocks and rows
under it, schema of the rows, hash of the reference rows. The tree is over the heads
(compute/chain.py) in order of (topic, partition). Its heads travel beside the text: whoever has
both can make the root again.

A root goes to a file outside the database first, then to ClickHouse's table `roots` and to Kafka.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compute import merkle, note
from compute.archive import Archive
from compute.chain import HASH_BYTES, ORIGIN, Head, head_bytes
from compute.keys import keep
from compute.row import SCHEMA, number
from compute.schema import TOKENS

SEAL, WITNESS = "seal", "witness"  # Who signed: kinds of rows of the table and of files.
_LINES = ("number", "previous", "time", "blocks", "rows", "schema", "reference")
_COLUMNS = (
    *(("number", "UInt64"), ("kind", "LowCardinality(String)")),
    *(("ts", "DateTime64(9, 'UTC')"), ("size", "UInt32"), ("blocks", "UInt64")),
    *(("rows", "UInt64"), ("root", "String"), ("hash", "String")),
    *(("note", "String"), ("heads", "String")),
)


class RootError(ValueError):
    """Text that is no root, or not the root of its heads."""


class Root(NamedTuple):
    """What was on record at `ts_ns`: the heads of all chains, and the root before."""

    origin: str
    number: int
    previous: bytes  # `hash` of the root before; ORIGIN for number 0
    ts_ns: int
    heads: tuple[Head, ...]
    schema: int = SCHEMA
    reference: bytes = ORIGIN  # SHA-256 of the reference rows in use; ORIGIN: unknown

    @property
    def leaves(self) -> list[bytes]:
        """The hashed leaves of the tree."""
        return [merkle.leaf(head_bytes(head)) for head in self.heads]

    @property
    def text(self) -> str:
        """What is signed."""
        values = (
            *(self.number, _base64(self.previous), self.ts_ns),
            *(sum(head.blocks for head in self.heads), sum(head.rows for head in self.heads)),
            *(self.schema, _base64(self.reference)),
        )
        lines = [f"{name} {value}" for name, value in zip(_LINES, values, strict=True)]
        root = _base64(merkle.root(self.leaves))
        return "\n".join([self.origin, str(len(self.heads)), root, *lines, ""])

    @property
    def hash(self) -> bytes:
        """By which the next root names this one."""
        return hashlib.sha256(self.text.encode()).digest()

    def head(self, topic: int, partition: int) -> Head | None:
        """The head of one chain."""
        return next((one for one in self.heads if one[:2] == (topic, partition)), None)


class Signed(NamedTuple):
    """A root and the note that holds its text with signatures."""

    root: Root
    note: str


class Fields(NamedTuple):
    """What a root's text says, without its heads."""

    origin: str
    size: int
    root: bytes
    number: int
    previous: bytes
    ts_ns: int
    schema: int
    reference: bytes


def fields(text: str) -> Fields:
    """Read the signed text; RootError where it is none."""
    try:
        origin, size, root, *lines, end = text.split("\n")
        pairs = [(name, value) for name, value in (line.split(" ") for line in lines)]
        if end or tuple(name for name, _ in pairs) != _LINES:
            raise RootError("its lines are not those of a root")
        said = dict(pairs)
        found = Fields(
            *(origin, int(size), _hash(root), int(said["number"]), _hash(said["previous"])),
            *(int(said["time"]), int(said["schema"]), _hash(said["reference"])),
        )
    except ValueError as error:
        raise RootError(f"this is no root: {error}") from None
    return found


def read(signed: str, heads: Sequence[Sequence[int | str]]) -> Signed:
    """A root from its note and its heads as JSON has them; RootError where they do not fit."""
    try:
        text = note.split(signed)[0]
        made = tuple(map(head_of, heads))
        said = fields(text)
    except (note.NoteError, ValueError, TypeError, IndexError) as error:
        raise RootError(str(error)) from None
    root = Root(said.origin, said.number, said.previous, said.ts_ns, made, *said[6:])
    places = [head[:2] for head in made]
    if places != sorted(set(places)):
        raise RootError(f"root {said.number} has heads that are not in order")
    try:
        fits = root.text == text
    except (struct.error, OverflowError):
        fits = False
    if not fits:
        raise RootError(f"root {said.number} is not the root of the heads beside it")
    return Signed(root, signed)


def head_row(head: Head) -> list[int | str]:
    """A head as JSON has it."""
    return [*head[:5], head.link.hex()]


def head_of(row: Sequence[int | str]) -> Head:
    """Inverse of `head_row`; ValueError where it is none."""
    topic, partition, last, blocks, rows, link = row
    counts = (int(topic), int(partition), int(last), int(blocks), int(rows))
    return Head(*counts, bytes.fromhex(str(link)))


def heads_text(root: Root) -> str:
    """Its heads as JSON."""
    return json.dumps([*map(head_row, root.heads)], separators=(",", ":"))


def line(signed: Signed) -> bytes:
    """A line of a file of roots, also the value in Kafka: a JSON object."""
    text = json.dumps(signed.note, ensure_ascii=False)
    return f'{{"note":{text},"heads":{heads_text(signed.root)}}}\n'.encode()


def read_line(data: bytes) -> Signed:
    """Inverse of `line`; RootError where it is torn."""
    try:
        said = json.loads(data)
        return read(str(said["note"]), said["heads"])
    except (ValueError, KeyError, TypeError) as error:
        raise RootError(str(error)) from None


class RootFile:
    """Roots in a file outside of the database: one line each, only ever appended to."""

    def __init__(self, path: Path) -> None:
        """The file is made when first appended to."""
        self.path = path

    def append(self, signed: Signed) -> None:
        """Have it on the disk before returning; OSError if that fails.

        Half a line that a kill left behind is ended first: it stays to be seen.
        """
        torn = False
        if self.path.exists() and self.path.stat().st_size:
            with self.path.open("rb") as file:
                file.seek(-1, 2)
                torn = file.read(1) != b"\n"
        keep(self.path, (b"\n" if torn else b"") + line(signed))

    def read(self) -> list[Signed]:
        """All roots in it; RootError names the line that is none. A torn last line is left out.

        A line that a kill tore and `append` ended is left out where the next one repeats it.
        """
        data = self.path.read_bytes() if self.path.exists() else b""
        lines = data.split(b"\n")[:-1]
        found: list[Signed] = []
        for place, text in enumerate(lines, 1):
            try:
                found.append(read_line(text + b"\n"))
            except RootError as error:
                whole = place < len(lines) and lines[place].startswith(text)
                if not whole:
                    raise RootError(f"{self.path} line {place}: {error}") from None
        return found

    def last(self) -> Signed | None:
        """The newest."""
        found = self.read()
        return found[-1] if found else None


# The table


def prepare(archive: Archive) -> None:
    """Create the table where it is missing."""
    columns = ", ".join(f"`{name}` {kind}" for name, kind in _COLUMNS)
    archive.command(f"CREATE DATABASE IF NOT EXISTS {archive.database}")
    archive.command(
        f"CREATE TABLE IF NOT EXISTS {archive.database}.roots ({columns}) ENGINE = MergeTree "
        f"ORDER BY (number, kind) SETTINGS non_replicated_deduplication_window = {TOKENS}"
    )


def insert(archive: Archive, kind: str, signed: Signed) -> None:
    """Put it into the table, once however often it is tried."""
    root = signed.root
    texts = [merkle.root(root.leaves).hex(), root.hash.hex(), signed.note, heads_text(root)]
    body = b"".join(
        (
            struct.pack("<Q", root.number),
            _text(kind),
            struct.pack("<qI", root.ts_ns, len(root.heads)),
            struct.pack("<Q", sum(head.blocks for head in root.heads)),
            struct.pack("<Q", sum(head.rows for head in root.heads)),
            *map(_text, texts),
        )
    )
    token = f"root-{kind}-{hashlib.sha256(signed.note.encode()).hexdigest()}"
    names = [name for name, _ in _COLUMNS]
    archive.send("roots", names, bytearray(body), token, "RowBinary")


def table(archive: Archive, kind: str, after: int = -1) -> list[Signed]:
    """Roots of the table beyond number `after`, in order; RootError where one is none."""
    found = archive.rows(
        f"SELECT note, heads FROM {archive.database}.roots WHERE kind = {{kind:String}} "
        "AND toInt64(number) > {after:Int64} ORDER BY number",
        {"kind": kind, "after": after},
    )
    return [read(str(signed), json.loads(heads)) for signed, heads in found]


def _text(value: str) -> bytes:
    data = value.encode()
    return number(len(data)) + data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _hash(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if len(data) != HASH_BYTES:
        raise RootError("a hash has 32 bytes")
    return data
