"""Rule: the proof of one row, in one file that anyone can check without the record.

It holds the block that the row is in, byte for byte, the link before it, the digests of the blocks
from there up to a signed head, the way from that head to the root, and the signed root itself. The
check makes all hashes again and ends at a key; whom that key belongs to is for the reader to know.
"""

import base64
import binascii
import json
import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import zstandard

from compute import chain, merkle, note, roots
from compute.chain import Sealed
from compute.evidence import Evidence, Place
from compute.note import Key
from compute.roots import Signed
from compute.row import RECORD, REFUSED

FORMAT = "tickglass proof 1"
ROWS_BYTES_MAX = 1 << 30
TORN = (
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    binascii.Error,
    struct.error,
    zstandard.ZstdError,
)


class ProofError(RuntimeError):
    """There is no proof, or it does not hold; says why."""


class Rooted(NamedTuple):
    """A block that is under a signed root."""

    data: bytes  # Its canonical bytes
    block: Sealed
    fields: roots.Fields  # Of the root
    signers: list[tuple[Key, int]]  # Keys that signed, and the second at which a witness looked


class Proven(NamedTuple):
    """What a proof shows, once it holds."""

    rows: np.ndarray  # RECORD: all rows of the offset, or the one of the index
    block: Sealed
    fields: roots.Fields  # Of the root
    signers: list[tuple[Key, int]]  # Keys that signed, and the second at which a witness looked


def make(
    evidence: Evidence, signed: Sequence[Signed], row: tuple[int, int, int, int | None]
) -> bytes:
    """The proof of (topic, partition, offset, index or None: all) by the first root that has it."""
    held = {
        "format": FORMAT,
        "row": list(row),
        "columns": [[name, RECORD[name].str] for name in RECORD.names or ()],
        **under_root(evidence, signed, row[:2], row[2]),
    }
    proof = json.dumps(held, ensure_ascii=False, indent=1).encode()
    check(proof, ())  # What does not hold is not handed out.
    return proof


def under_root(
    evidence: Evidence, signed: Sequence[Signed], place: Place, offset: int
) -> dict[str, Any]:
    """The part of a proof that is about one block: its bytes, and the way to the first root."""
    block, before = _block(evidence, place, offset, signed)
    reach = ((one, one.root.head(*place)) for one in signed)
    found = next(((one, head) for one, head in reach if head and head.last >= block.last), None)
    if found is None:
        raise ProofError(
            f"offset {offset} is on record and chained, but no root is signed yet: wait a minute"
        )
    one, head = found
    data = evidence.read([block])[0]
    if not data:
        raise ProofError(
            f"the rows of offsets {block.first} to {block.last} are no longer on record: audit "
            "verify says whether retention dropped them"
        )
    after = [
        later.digest for later in evidence.blocks(place, block.last) if later.last <= head.last
    ]
    index = one.root.heads.index(head)
    return {
        "block": block[:6],
        "before": before.hex(),
        "after": [digest.hex() for digest in after],
        "head": roots.head_row(head),
        "index": index,
        "path": [beside.hex() for beside in merkle.path(one.root.leaves, index)],
        "note": one.note,
        "bytes": base64.b64encode(zstandard.compress(data, 9)).decode(),
    }


def _block(
    evidence: Evidence, place: Place, offset: int, signed: Sequence[Signed]
) -> tuple[Sealed, bytes]:
    """The block that holds an offset, and the link before it; looked for behind a signed head."""
    heads = (one.root.head(*place) for one in signed)
    near = max((head for head in heads if head and head.last < offset), default=None)
    before, after = (near.link, near.last) if near else (chain.ORIGIN, -1)
    for block in evidence.blocks(place, after):
        if block.first <= offset <= block.last:
            return block, before
        before = block.link
    raise ProofError(
        f"offset {offset} of topic {place[0]} partition {place[1]} is in no sealed block"
    )


def check(proof: bytes, trusted: Sequence[Key]) -> Proven:
    """Everything made again from the bytes; ProofError where something does not fit.

    With `trusted` keys one of them must have signed; without, the signature is not looked at.
    """
    try:
        held = json.loads(proof)
        if held["format"] != FORMAT:
            raise ProofError(f"this is no {FORMAT}")
        data, block, said, signers = rooted(held, trusted)
        return Proven(_row(held, data), block, said, signers)
    except TORN as error:
        raise ProofError(f"this is no whole proof: {error}") from None


def rooted(held: dict[str, Any], trusted: Sequence[Key]) -> Rooted:
    """The block that `under_root` wrote down, all hashes made again; ProofError, or one of TORN."""
    data = zstandard.decompress(base64.b64decode(held["bytes"]), max_output_size=ROWS_BYTES_MAX)
    topic, partition, first, last, count, schema = map(int, held["block"])
    digest = chain.leaf((topic, partition, first, last, count, schema), [data])
    link = chain.link(bytes.fromhex(held["before"]), digest)
    block = Sealed(topic, partition, first, last, count, schema, digest, link)
    for later in held["after"]:
        link = chain.link(link, bytes.fromhex(later))
    head = roots.head_of(held["head"])
    if head[:2] != block[:2] or head.link != link or head.last < last:
        raise ProofError("the blocks do not lead to the head that was signed")
    text, _ = note.split(str(held["note"]))
    said = roots.fields(text)
    leaf = merkle.leaf(chain.head_bytes(head))
    path = [bytes.fromhex(beside) for beside in held["path"]]
    if merkle.climb(leaf, int(held["index"]), said.size, path) != said.root:
        raise ProofError("the head is not under the root that was signed")
    signers = [
        (key, second)
        for key in trusted
        if (second := note.signed_by(str(held["note"]), key)) is not None
    ]
    if trusted and not signers:
        raise ProofError("none of the keys that are trusted here has signed this root")
    return Rooted(data, block, said, signers)


def _row(held: dict[str, Any], data: bytes) -> np.ndarray:
    shape = np.dtype([(str(name), str(kind)) for name, kind in held["columns"]])
    if shape != RECORD:
        raise ProofError("the row has another shape than this version reads")
    rows = np.frombuffer(data, RECORD)
    topic, partition, offset, index = held["row"]
    wanted = (rows["topic"] == topic) & (rows["partition"] == partition)
    wanted &= rows["offset"] == offset
    if index is not None:
        wanted &= rows["index"] == index
    found: np.ndarray = rows[wanted]
    if not len(found):
        raise ProofError("the row is not in the block")
    return found


def named(row: Any) -> dict[str, Any]:
    """A row's fields by name, unknown numbers as None; prices stay exact integers of 1e-9."""
    said = {name: row[name].item() for name in RECORD.names or ()}
    if said["kind"] == REFUSED:
        return {name: said[name] for name in ("topic", "partition", "offset", "kind", "flags")}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in said.items()
    }
