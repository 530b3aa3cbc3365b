"""Rule: a Kafka value <-> an array of EVENT. No copy on the way in; refuses what is not whole.

A frame is a 32-byte header and `count` packed events of one source. Its checksum covers every
other byte. `first_sequence` numbers the source's events in this topic and partition, so that a
reader can tell a gap, a repeat and a restart without looking at an event.
"""

import struct
import zlib
from typing import NamedTuple

import numpy as np

from ingest.event import EVENT, EVENT_BYTES, KINDS

FRAME_MAGIC = 0x4754  # "TG"
FRAME_VERSION = 1
FRAME_EVENTS_MAX = 8_192  # 512 KiB + 32: half of Kafka's customary 1 MiB message limit.
SEQUENCE_MAX = 1 << 62  # No source numbers so far; beyond, a count would leave 64 bits.
FUTURE_NS_MAX = 60_000_000_000  # An event over a minute ahead of our clock cannot be true.

HEADER = np.dtype(
    [
        ("magic", "<u2"),
        ("version", "<u2"),
        ("source", "<u2"),
        ("flags", "<u2"),
        ("count", "<u4"),
        ("checksum", "<u4"),
        ("first_sequence", "<u8"),
        ("ts_send", "<i8"),
    ]
)
HEADER_BYTES = 32
assert HEADER.itemsize == HEADER_BYTES
_UNPACK = struct.Struct("<HHHHIIQq").unpack_from  # HEADER, thirty times faster for one.
_PACK = struct.Struct("<HHHHIIQq").pack

RESTART = 1  # Header flag: the source numbers anew from here, on purpose.


class Frame(NamedTuple):
    """A decoded frame. `events` is a read-only array of EVENT that shares the value's bytes."""

    source: int
    first_sequence: int
    ts_send: int
    restart: bool
    events: np.ndarray


class FrameError(ValueError):
    """Why a value was refused: `reason` is one word for counting, the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        """`reason` is one of REASONS."""
        super().__init__(text)
        self.reason = reason


REASONS = (
    "truncated",
    "magic",
    "version",
    "checksum",
    "empty",
    "kind",
    "size",
    "future",
    "unknown",
    "sequence",
    "topic",
)


def encode(
    events: np.ndarray, source: int, first_sequence: int, ts_send: int, *, restart: bool = False
) -> bytes:
    """Bytes of one frame from an array of EVENT [n], 1 <= n <= FRAME_EVENTS_MAX."""
    if not 0 < len(events) <= FRAME_EVENTS_MAX:
        raise ValueError(f"a frame holds 1 to {FRAME_EVENTS_MAX} events, not {len(events)}")
    body = events.tobytes()
    flags = RESTART if restart else 0
    head = _PACK(
        *(FRAME_MAGIC, FRAME_VERSION, source, flags, len(events), 0, first_sequence, ts_send)
    )
    checksum = _checksum(head, body)
    return b"".join((head[:12], checksum.to_bytes(4, "little"), head[16:], body))


def decode(value: bytes) -> Frame:
    """The frame in `value`, or FrameError with the reason; its events are not looked at yet.

    A frame's own bytes are judged here, what the events say by `check`: a reader that takes many
    frames at once checks all their events in one pass.
    """
    if len(value) < HEADER_BYTES:
        raise FrameError("truncated", f"{len(value)} bytes, a header alone has {HEADER_BYTES}")
    magic, version, source, flags, count, checksum, first, sent = _UNPACK(value)
    if magic != FRAME_MAGIC:
        raise FrameError("magic", f"starts with {value[:2].hex()}, a frame starts with 5447")
    if version != FRAME_VERSION:
        raise FrameError("version", f"frame version {version}, known is {FRAME_VERSION}")
    if count == 0:
        raise FrameError("empty", "the header counts 0 events")
    whole = HEADER_BYTES + count * EVENT_BYTES
    if count > FRAME_EVENTS_MAX or len(value) != whole:
        raise FrameError("truncated", f"{len(value)} bytes where {count} events make {whole}")
    if zlib.crc32(memoryview(value)[16:], zlib.crc32(value[:12])) != checksum:
        raise FrameError("checksum", "the checksum does not fit the bytes")
    if first > SEQUENCE_MAX:
        raise FrameError("sequence", f"its first event has number {first}, beyond any source")
    events = np.frombuffer(value, EVENT, count, HEADER_BYTES)
    return Frame(source, first, sent, bool(flags & RESTART), events)


def source_of(value: bytes) -> int:
    """The source that a decodable frame names."""
    return int.from_bytes(value[4:6], "little")


def check(events: np.ndarray, now_ns: int, instruments: np.ndarray | None = None) -> None:
    """FrameError where an event has no known kind, no finite size, no possible time or no name.

    `instruments` is the bool array [ids] of instruments that exist; None skips that check.
    """
    kinds = KINDS[events["kind"]]
    if not kinds.all():
        wrong = int(np.argmin(kinds))
        kind = events["kind"][wrong]
        raise FrameError("kind", f"event {wrong} has kind {kind}, which no event has")
    # One pass over both size slots: a sum is finite only if both are (sizes are far below 1e308).
    sizes = np.isfinite(events["bid_size"] + events["ask_size"])
    if not sizes.all():
        raise FrameError("size", f"event {int(np.argmin(sizes))} has a size that is not finite")
    newest = int(events["ts_event"].max())
    if newest > now_ns + FUTURE_NS_MAX:
        ahead = (newest - now_ns) / 1e9
        raise FrameError("future", f"an event lies {ahead:.0f} s ahead of the log's clock")
    if instruments is not None:
        ids = events["instrument"]
        top = int(ids.max())
        if top >= len(instruments) or not instruments[ids].all():
            unknown = top if top >= len(instruments) else int(ids[~instruments[ids]][0])
            raise FrameError("unknown", f"instrument {unknown} is not in the reference data")


def _checksum(head: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(head[16:], zlib.crc32(head[:12])))
