"""Rule: one message -> the 64 bytes of an event; for formats that are read message by message."""

import struct
from collections.abc import Iterable, Iterator

import numpy as np

from ingest.event import EVENT, EVENT_BYTES, Kind
from ingest.feeds.feed import CHUNK_EVENTS

_PACK = struct.Struct("<qqQIHBBqqdd").pack
assert struct.calcsize("<qqQIHBBqqdd") == EVENT_BYTES


def quote(
    envelope: tuple[int, int, int, int],
    bid: tuple[int, float],
    ask: tuple[int, float],
    flags: int = 0,
) -> bytes:
    """`envelope`: ts_event, ts_recv, sequence, instrument. A side: exact price and size."""
    return _PACK(*envelope, 0, Kind.QUOTE, flags, bid[0], ask[0], bid[1], ask[1])


def trade(  # noqa: PLR0913
    envelope: tuple[int, int, int, int],
    price: int,
    size: float,
    reference: int,
    flags: int = 0,
    left_out: float = 0.0,
) -> bytes:
    """A TRADE; `price` exact, the last two as ingest/condition.py tells them."""
    return _PACK(*envelope, 0, Kind.TRADE, flags, price, reference, size, left_out)


def bust(  # noqa: PLR0913
    envelope: tuple[int, int, int, int],
    price: int,
    size: float,
    reference: int,
    flags: int = 0,
    left_out: float = 0.0,
) -> bytes:
    """A BUST of the trade `reference`, whose price and size it repeats."""
    return _PACK(*envelope, 0, Kind.BUST, flags, price, reference, size, left_out)


def chunks(events: Iterable[bytes]) -> Iterator[np.ndarray]:
    """Arrays of EVENT of as many as CHUNK_EVENTS."""
    held = bytearray()
    for event in events:
        held += event
        if len(held) == CHUNK_EVENTS * EVENT_BYTES:
            yield np.frombuffer(held, EVENT)
            held = bytearray()
    if held:
        yield np.frombuffer(held, EVENT)
