"""Shape: what travels on a page's socket beside Bokeh's messages. A push, and its acknowledgement.

A push is one WebSocket frame: a header of 32 bytes, then sections (app/view.py). An
acknowledgement is 24 bytes for each of up to ACKS_MAX paints. Both are little endian;
app/blocks/wire.js is the other end.
"""

import struct

from ingest import clock

PUSH_MAGIC = 0x31504754  # "TGP1"
ACK_MAGIC = 0x31414754  # "TGA1"
BEAT_MAGIC = 0x31424754  # "TGB1", in an acknowledgement's shape: answered by an empty push.
# magic, samples, ms for which it was held back, sequence painted, worst latency in ms
ACK = struct.Struct("<IHHdd")
SEQUENCE_MAX = 1 << 53  # Beyond, a float64 does not count.
ACKS_MAX = 5  # Of one message, so that its head is the shortest.
# magic, sections, steps of the mirror in it, sequence, ts_push in ms, epoch
_PUSH = struct.Struct("<IHHddd")
STEPS_MAX = 0xFFFF
_BINARY = 0x82  # A whole message in one frame, unmasked: what a server sends.


def unpack_acks(message: bytes) -> list[tuple[int, int, int, float, float]]:
    """The acknowledgements of a page's message; none where it is something else.

    Nor where it says what no page can: what they say goes on the tape with everybody else's.
    """
    if not message or len(message) % ACK.size or len(message) > ACKS_MAX * ACK.size:
        return []
    told = list(ACK.iter_unpack(message))
    return told if all(_believable(*one) for one in told) else []


def _believable(magic: int, _samples: int, _held: int, sequence: float, latency_ms: float) -> bool:
    """Whether an acknowledgement can be a page's; NaN and infinities are not."""
    return magic == ACK_MAGIC and 0 <= sequence <= SEQUENCE_MAX and latency_ms - latency_ms == 0


def pack_push(parts: list[bytes], sequence: int, steps: int, epoch: int) -> bytes:
    """The frame of a push; `steps` of the mirror it makes up for, 0 where it is all there is."""
    body = b"".join(parts)
    told = max(0, min(steps, STEPS_MAX))
    head = _PUSH.pack(
        *(PUSH_MAGIC, _count_sections(body), told),
        *(float(sequence), clock.now_ns() / 1e6, float(epoch)),
    )
    return frame_push(head + body)


def _count_sections(body: bytes) -> int:
    at = count = 0
    while at < len(body):
        at += 8 + struct.unpack_from("<I", body, at + 4)[0]
        count += 1
    return count


def frame_push(push: bytes) -> bytes:
    """The WebSocket frame that carries a push, so that one write sends it and pages share it.

    A Bokeh message of its own would be five frames: at a hundred pushes a second the browser's
    processes hand each other five hundred, which cost 0.1 of a core and the page's parsing of
    JSON that says the same each time.
    """
    size = len(push)
    if size < 126:
        head = struct.pack("!BB", _BINARY, size)
    elif size < 65_536:
        head = struct.pack("!BBH", _BINARY, 126, size)
    else:
        head = struct.pack("!BBQ", _BINARY, 127, size)
    return head + push
