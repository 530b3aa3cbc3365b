"""Rule: a chain of hashes over the blocks of the record, one chain a partition.

leaf = SHA-256 over what a block is (schema version, topic, partition, first and last offset,
rows) and its canonical bytes, the packed records. link = SHA-256 over the previous link and the
leaf. Whoever holds the last link can tell any change of any byte before it, and `verify` names
the first block that is wrong. A head says how far a chain goes; signed roots (compute/roots.py)
are over heads. Knows neither the database nor the shape of a record.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

HASH_BYTES = 32
ORIGIN = bytes(HASH_BYTES)  # The link before a partition's first block.

_LEAF_HEAD = struct.Struct("<8sHBHQQQ")
_LEAF_TAG = b"TGleaf1\0"  # Keeps leaves and links apart: neither can pass for the other.
_LINK_TAG = b"TGlink1\0"
_HEAD = struct.Struct("<8sBHQQQ32s")
_HEAD_TAG = b"TGhead1\0"


class Sealed(NamedTuple):
    """A block as the chain knows it: which offsets of which partition, and its hashes."""

    topic: int
    partition: int
    first: int
    last: int
    rows: int
    schema: int
    digest: bytes
    link: bytes


class Fault(NamedTuple):
    """The first wrong block of a partition and what is wrong with it."""

    topic: int
    partition: int
    first: int
    last: int
    what: str


class Head(NamedTuple):
    """How far the chain of a partition goes: its last offset, its blocks and rows, its link."""

    topic: int
    partition: int
    last: int
    blocks: int
    rows: int
    link: bytes


Identity = tuple[int, int, int, int, int, int]  # The first six fields of Sealed.


def leaf(identity: Identity, pieces: Iterable[bytes | memoryview]) -> bytes:
    """SHA-256 of a block: (topic, partition, first, last, rows, schema) and its canonical bytes.

    `pieces` are the bytes in order, cut anywhere.
    """
    topic, partition, first, last, rows, schema = identity
    head = _LEAF_HEAD.pack(_LEAF_TAG, schema, topic, partition, first, last, rows)
    hashed = hashlib.sha256(head)
    for piece in pieces:
        hashed.update(piece)
    return hashed.digest()


def link(previous: bytes, digest: bytes) -> bytes:
    """The next link after `previous` for a block whose leaf is `digest`; both 32 bytes."""
    if len(previous) != HASH_BYTES or len(digest) != HASH_BYTES:
        raise ValueError(f"a link joins two hashes of {HASH_BYTES} bytes")
    return hashlib.sha256(_LINK_TAG + previous + digest).digest()


def verify(blocks: Iterable[Sealed], read: Callable[[Sealed], bytes]) -> Fault | None:
    """The first fault among `blocks`, or None where every byte is as it was sealed.

    `blocks` come in order of (topic, partition, first), whole chains from their origin; `read`
    gives a block's canonical bytes as they are now. The tail cut off whole is beyond a chain
    alone: compare the last link with one kept elsewhere.
    """
    where: tuple[int, int] | None = None
    before: Sealed | None = None
    for block in blocks:
        if (block.topic, block.partition) != where:
            where, before = (block.topic, block.partition), None
        what = fault(block, before, leaf(block[:6], (read(block),)))
        if what:
            return Fault(block.topic, block.partition, block.first, block.last, what)
        before = block
    return None


def fault(block: Sealed, before: Sealed | Head | None, digest: bytes) -> str:
    """What is wrong with a block that follows `before` and whose bytes give `digest`; "" if none.

    `before` is None at the origin of a chain.
    """
    if block.last < block.first:
        return f"ends at offset {block.last}, before its start"
    if before is not None and block.first <= before.last:
        return f"begins at offset {block.first}, which the block before it holds"
    if before is not None and block.first != before.last + 1:
        return f"begins at offset {block.first} where {before.last + 1} follows"
    if digest != block.digest:
        return "its bytes are not the bytes that were sealed"
    if link(before.link if before else ORIGIN, digest) != block.link:
        return "its link does not follow from the link before it"
    return ""


def grown(before: Head | None, block: Sealed) -> Head:
    """The head of a chain that `block` was added to; `before` is None at its origin."""
    blocks, rows = (before.blocks, before.rows) if before else (0, 0)
    place = (block.topic, block.partition)
    return Head(*place, block.last, blocks + 1, rows + block.rows, block.link)


def head_bytes(head: Head) -> bytes:
    """The bytes of a head that a root is over."""
    return _HEAD.pack(_HEAD_TAG, *head)
