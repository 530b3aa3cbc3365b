"""Rule: a pcap of ICE iMpact multicast -> best bid and ask from the orders, and trades.

Big endian; a UDP packet is u16 session, u32 sequence, u16 messages, u64 time (ms); a message a
letter, u16 length, body. E adds or modifies an order, F deletes one, G is a trade, T begins (S) and
ends (E) what belongs together: only then is a book looked at. Read from the bytes of a capture, not
from a specification; letters not named are read over.

The capture holds no definitions of products: a market is its number, prices are thousandths (as of
TTF gas near 24.5 EUR/MWh), the multiplier is unknown and stands as 1. Orders that rested before the
capture are not known, so a book is that of what came since. Legs that the system priced (of a
spread) and blocks are INELIGIBLE.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ingest import condition
from ingest.book import Action
from ingest.event import Flag
from ingest.feeds import blocks, drafts
from ingest.feeds.feed import Feed, FeedError, Tally
from ingest.feeds.tape import Tape
from ingest.instrument import AssetClass, Instrument

PRICE_PLACE = 1_000_000  # Thousandths to 1e-9.
_MAGIC = {b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xd4\xc3\xb2\xa1": ("<", 1_000)}  # ns or us stamps.
_UDP, _ETHERNET_BYTES, _PACKET_BYTES = 17, 14, 16
_PACKET = struct.Struct(">HIHQ").unpack_from
_HEAD = struct.Struct(">cH").unpack_from
_ORDER = struct.Struct(">iqHcqiccq").unpack_from  # market, order, its sequence, side, price, ...
_DELETED = struct.Struct(">iqq").unpack_from
_TRADE = struct.Struct(">iqcqicq").unpack_from
_BODY_BYTES = {b"E": 37, b"F": 20, b"G": 34, b"T": 1}
_AGGRESSOR_AT = 37  # In G, behind two more letters.
_MS = 1_000_000


class _Message(NamedTuple):
    number: int  # In the file, from 1.
    letter: bytes
    body: bytes
    received_ns: int
    sent_ns: int


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A capture. FeedError where no order or trade is in it."""
    numbers: dict[int, int] = {}
    for message in _messages(path, Tally()):
        if message.letter in b"EG":
            market = int.from_bytes(message.body[:4], "big", signed=True)
            numbers.setdefault(market, first_id + len(numbers))
    if not numbers:
        raise FeedError(
            "no order and no trade in it", path, "give a capture of a market data group"
        )
    rows = [
        Instrument(
            *(number, f"ICE.{market}", AssetClass.COMMODITY_FUTURE, "ICE ENDEX", "EUR"),
            *(1.0, 0.001, 3),
            usd_rate=1.12,
        )
        for market, number in numbers.items()
    ]
    return Feed(rows, _chunks(path, numbers, tally), tally)


def _packets(path: Path, tally: Tally) -> Iterator[tuple[int, bytes]]:
    """Time of capture, ns, and the bytes of each UDP packet."""
    data = b"".join(blocks.plain(path))
    order, unit = _MAGIC[data[:4]]
    record = struct.Struct(f"{order}IIII")
    at = 24
    while at + record.size <= len(data):
        seconds, part, size, _ = record.unpack_from(data, at)
        packet = data[at + record.size : at + record.size + size]
        if len(packet) < size:
            break
        yield seconds * 1_000_000_000 + part * unit, packet
        at += record.size + size
    if at < len(data):
        tally.refuse(f"{path} byte {at}", "ends within a packet", data[at : at + 65_536])


def _messages(path: Path, tally: Tally) -> Iterator[_Message]:
    number = 0
    for count, (received, packet) in enumerate(_packets(path, tally), 1):
        at = _ETHERNET_BYTES
        head = (packet[at] & 15) * 4 if len(packet) > at + 20 else 0
        if not head or packet[at + 9] != _UDP:
            tally.refuse(f"{path} packet {count}", "not a UDP packet", packet)
            continue
        at += head
        end = at + int.from_bytes(packet[at + 4 : at + 6], "big")  # Short packets are padded.
        body = packet[at + 8 : end]
        if len(body) < _PACKET_BYTES:
            tally.refuse(f"{path} packet {count}", "shorter than its head", packet)
            continue
        _, _, messages, sent = _PACKET(body)
        at = _PACKET_BYTES
        for _ in range(messages):
            letter, size = _HEAD(body, at) if at + 3 <= len(body) else (b"", 0)
            inside = body[at + 3 : at + 3 + size]
            if not letter or len(inside) < max(size, _BODY_BYTES.get(letter, 0)):
                tally.refuse(f"{path} packet {count}", "a message ends before its end", packet)
                break
            number += 1
            yield _Message(number, letter, inside, received, sent * _MS)
            at += 3 + size


def _chunks(path: Path, numbers: dict[int, int], tally: Tally) -> Iterator[np.ndarray]:
    tape, whole = Tape(tally, 1), True
    for message in _messages(path, tally):
        tally.rows += 1
        letter = message.letter
        if letter == b"T":
            whole = message.body[:1] != b"S"
            tally.skipped["begins or ends what belongs together"] += 1
            if whole:
                tape.settle()
        elif letter in (b"E", b"F", b"G"):
            _note(message, numbers, tape, tally, whole=whole)
        else:
            tally.skipped[f"message {letter.decode('latin-1')}: neither order nor trade"] += 1
        if tape.full and whole:
            yield tape.cut()
    yield tape.cut()


def _note(
    message: _Message, numbers: dict[int, int], tape: Tape, tally: Tally, *, whole: bool
) -> None:
    body, received = message.body, message.received_ns
    if message.letter == b"G":
        market, trade, leg, price, size, block, _ = _TRADE(body)
        envelope = message.sent_ns, received, message.number, numbers[market]
        marks = {"leg": leg == b"Y", "block": block != b" "}
        found = [word for word, holds in marks.items() if holds]
        flags, left_out = Flag(condition.flags("IFEU", found)), condition.left_out("IFEU", found)
        side = body[_AGGRESSOR_AT : _AGGRESSOR_AT + 1]
        flags |= {b"1": Flag.BUYER, b"2": Flag.SELLER}.get(side, Flag(0))
        exact = price * PRICE_PLACE
        tape.event(drafts.trade(envelope, exact, float(size), trade, int(flags), left_out))
        return
    if message.letter == b"F":
        market, order, _ = _DELETED(body)
        if market not in numbers:
            tally.skipped["deletes an order from before the capture"] += 1
            return
        row = order, 0, 0, 0, int(Action.DELETE)
    else:
        market, order, _, side, price, size, *_ = _ORDER(body)
        sign = 1 if side == b"1" else -1
        row = order, price * PRICE_PLACE, size, sign, int(Action.MODIFY)
    envelope = message.sent_ns, received, message.number, numbers[market]
    tape.book(envelope, [row], whole=whole)
