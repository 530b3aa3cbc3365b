"""Shape: a batch: what one web process did with its pages for a while, as the tape keeps it.

Entries (a push sent, a paint acknowledged, a wish heard, a page closed) in the order in which they
happened, and each body once, however many pages it was sent to.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from itertools import starmap

import numpy as np

NO_BODY = 0xFFFF_FFFF
WHOLE_SECONDS = 30.0  # At least this often a push holds all that a page shows.


class Act(IntEnum):
    """What an entry is of."""

    CLOSE = 1
    WISH = 2  # Body: JSON, as the page asked: viewport, sort, filter, select.
    SENT = 3  # Body: the push, as it was written to the socket.
    WHOLE = 4  # The same, and nothing before it is needed; the wishes that hold stand before it.
    PAINTED = 5  # `sequence` is on the glass; `latency_ms` as the page measured it.


ENTRY = np.dtype(
    [
        *(("ts", "<i8"), ("latency_ms", "<f8"), ("sequence", "<i8")),
        *(("page", "<u4"), ("body", "<u4"), ("act", "<u4"), ("pad", "<u4")),
    ]
)
_ENTRY = struct.Struct("<qdqIII4x")  # The same; a list of tuples takes numpy four times as long.
assert ENTRY.itemsize == _ENTRY.size == 40


def pack_batch(
    entries: Sequence[tuple[int, float, int, int, int, int]], bodies: Sequence[bytes]
) -> bytes:
    """One batch: entries (ts, latency_ms, sequence, page, body, act), bodies that they name."""
    table = b"".join(starmap(_ENTRY.pack, entries))
    sizes = np.array([len(body) for body in bodies], "<u4")
    return b"".join((struct.pack("<II", len(entries), len(sizes)), table, sizes.tobytes(), *bodies))


def unpack_batch(data: bytes) -> tuple[np.ndarray, list[bytes]]:
    """Inverse of `pack_batch`; ValueError where it is not whole."""
    count, several = struct.unpack_from("<II", data)
    entries = np.frombuffer(data, ENTRY, count, 8)
    at = 8 + ENTRY.itemsize * count
    sizes = np.frombuffer(data, "<u4", several, at).tolist()
    at += 4 * several
    bodies = []
    for size in sizes:
        bodies.append(data[at : at + size])
        at += size
    if at != len(data):
        raise ValueError(f"a batch of {len(data)} bytes, {at} were said")
    return entries, bodies
