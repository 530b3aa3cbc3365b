"""The event's bytes are a contract: nobody moves a field by accident."""

import numpy as np

from ingest.event import EVENT, EVENT_BYTES, KINDS, NO_PRICE, Kind


def test_offsets():
    offsets = {name: EVENT.fields[name][1] for name in EVENT.names}
    assert EVENT.itemsize == EVENT_BYTES == 64
    envelope = dict(ts_event=0, ts_recv=8, sequence=16, instrument=24, source=28, kind=30, flags=31)
    quote = dict(bid=32, ask=40, bid_size=48, ask_size=56)
    other = dict(price=32, reference=40, size=48, fee=56, book=28, left_out=56)
    assert offsets == envelope | quote | other


def test_a_quote_and_a_trade_share_their_second_half():
    event = np.zeros(1, EVENT)
    event["bid"], event["ask"], event["bid_size"] = 100, NO_PRICE, 7.5
    assert event["price"][0] == 100
    assert event["reference"][0] == NO_PRICE
    assert event["size"][0] == 7.5


def test_every_kind_is_known_and_nothing_else():
    assert set(np.flatnonzero(KINDS)) == {int(kind) for kind in Kind}
