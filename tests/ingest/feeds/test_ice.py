import struct

import numpy as np
import pytest

from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds.feed import FeedError
from ingest.feeds.open import open_feed

FILE = "omi/Ice.Mdf.iMpact.v1.1.33.Example.pcap"
SENT_MS = 1_534_845_600_696


def message(letter, form, *values, rest=b""):
    body = struct.pack(">" + form, *values) + rest
    return letter + struct.pack(">H", len(body)) + body


def order(number, side, price, size, market=7):
    values = (market, number, 0, side, price, size, b"N", b"N", SENT_MS)
    return message(b"E", "iqHcqiccq", *values, rest=bytes(12))


def trade(number, price, size, side, leg=b"N"):
    values = (7, number, leg, price, size, b" ", SENT_MS)
    return message(b"G", "iqcqicq", *values, rest=b" NN" + side + bytes(8))


def pcap(*packets):
    """A capture of UDP packets, each a list of messages or raw bytes."""
    out = b"\x4d\x3c\xb2\xa1" + struct.pack("<HHiIII", 2, 4, 0, 0, 65_535, 1)
    for number, messages in enumerate(packets):
        body = struct.pack(">HIHQ", 1, number, len(messages), SENT_MS + number) + b"".join(messages)
        udp = struct.pack(">HHHH", 1, 2, 8 + len(body), 0) + body
        ip = bytes([0x45]) + bytes(8) + bytes([17]) + bytes(10)
        packet = bytes(14) + ip + udp + bytes(4)  # Padding, as of short frames.
        out += struct.pack("<IIII", 1_534_845_600, number, len(packet), len(packet)) + packet
    return out


def test_the_capture_is_read_and_its_trades_hit_its_book(recorded, everything):
    feed = open_feed(recorded(FILE))
    found = everything(feed)
    first = found[0]
    # Bid 15 at 24.460 in market 1660891.
    assert (first["bid"], first["bid_size"], first["ask"]) == (24_460_000_000, 15, NO_PRICE)
    assert (first["ts_event"], first["ts_recv"]) == (
        *(1_534_845_600_696_000_000, 1_534_845_600_696_608_111),
    )
    assert feed.instruments[0].symbol == "ICE.1660891"
    assert len(feed.instruments) == 204
    trades = found[found["kind"] == Kind.TRADE]
    assert len(trades) == 290
    assert (trades[0]["price"], trades[0]["size"], trades[0]["flags"]) == (
        *(24_550_000_000, 5, Flag.SELLER),
    )
    quotes = found[found["kind"] == Kind.QUOTE]
    both = (quotes["bid"] != NO_PRICE) & (quotes["ask"] != NO_PRICE)
    assert not (quotes["bid"] > quotes["ask"])[both].any()
    hit = []
    for row in trades[trades["flags"] & (Flag.BUYER | Flag.SELLER) > 0]:
        before = quotes[
            (quotes["instrument"] == row["instrument"]) & (quotes["sequence"] < row["sequence"])
        ]
        if len(before) and before[-1]["bid"] != NO_PRICE and before[-1]["ask"] != NO_PRICE:
            buyer = row["flags"] & Flag.BUYER
            last = before[-1]
            hit.append(row["price"] >= last["ask"] if buyer else row["price"] <= last["bid"])
    assert np.mean(hit) > 0.95


def test_messages_read_as_they_are_laid(tmp_path, everything):
    delete = message(b"F", "iqq", 7, 11, SENT_MS)
    path = tmp_path / "a.pcap"
    path.write_bytes(
        pcap(
            [order(11, b"1", 24_460, 15), order(12, b"2", 24_500, 5)],
            # Between S and E a book is not looked at: here it would be crossed for a moment.
            [message(b"T", "c", b"S"), order(13, b"1", 24_510, 5), trade(1, 24_500, 5, b"1")],
            [message(b"F", "iqq", 7, 12, SENT_MS), order(14, b"2", 24_520, 9)],
            [message(b"T", "c", b"E"), delete, trade(2, 24_000, 1, b" ", leg=b"Y")],
            [message(b"Z", "c", b"?")],
        )
    )
    feed = open_feed(path, 5)
    found = everything(feed)
    assert (feed.tally.rows, feed.tally.refused_total) == (11, 0)
    assert found["kind"].tolist() == [Kind.QUOTE] * 2 + [Kind.TRADE, Kind.QUOTE, Kind.TRADE]
    quotes = found[found["kind"] == Kind.QUOTE]
    assert quotes["bid"].tolist() == [24_460_000_000, 24_460_000_000, 24_510_000_000]
    assert quotes["ask"].tolist() == [NO_PRICE, 24_500_000_000, 24_520_000_000]
    assert quotes["ask_size"].tolist() == [0, 5, 9]
    trades = found[found["kind"] == Kind.TRADE]
    assert trades["flags"].tolist() == [Flag.BUYER, Flag.INELIGIBLE]
    assert trades["reference"].tolist() == [1, 2]
    assert (found["instrument"] == 5).all()


def test_damage_costs_its_packet_and_a_cut_end_is_told(tmp_path, everything):
    good = [order(11, b"1", 24_460, 15)]
    bad = [b"E" + struct.pack(">H", 400) + b"short"]
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(good, bad, [order(12, b"2", 24_500, 5)], good)[:-7])
    feed = open_feed(path)
    assert len(everything(feed)) == 2
    assert [one.reason for one in feed.refused] == [
        *("a message ends before its end", "ends within a packet"),
    ]
    path.write_bytes(pcap(bad))
    with pytest.raises(FeedError, match="no order and no trade"):
        open_feed(path)
