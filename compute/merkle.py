"""Rule: the Merkle tree of RFC 6962 (SHA-256): its root, the path of one leaf, and its check.

A leaf is hashed behind a zero byte and a node behind a one, so neither can pass for the other; a
tree of n leaves splits at the largest power of two below n.
"""

import hashlib
from collections.abc import Sequence

EMPTY = hashlib.sha256(b"").digest()


def leaf(data: bytes) -> bytes:
    """Hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Hash of a node over its two children's."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over hashed leaves in order."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY
    at = _split(len(leaves))
    return node(root(leaves[:at]), root(leaves[at:]))


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Hashes beside the way from leaf `index` up to the root, the lowest first."""
    if len(leaves) < 2:
        return []
    at = _split(len(leaves))
    if index < at:
        return [*path(leaves[:at], index), root(leaves[at:])]
    return [*path(leaves[at:], index - at), root(leaves[:at])]


def climb(hashed: bytes, index: int, size: int, beside: Sequence[bytes]) -> bytes:
    """The root that a hashed leaf at `index` of `size` leads to; ValueError if it cannot be."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} among {size}")
    if size == 1:
        if beside:
            raise ValueError("the path is longer than the tree is high")
        return hashed
    if not beside:
        raise ValueError("the path is shorter than the tree is high")
    at = _split(size)
    if index < at:
        return node(climb(hashed, index, at, beside[:-1]), beside[-1])
    return node(beside[-1], climb(hashed, index - at, size - at, beside[:-1]))


def _split(size: int) -> int:
    """The largest power of two below `size`, which is 2 or more."""
    return 1 << (size - 1).bit_length() - 1
