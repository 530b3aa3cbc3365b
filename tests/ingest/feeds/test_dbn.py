import numpy as np
import pytest

from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds import blocks
from ingest.feeds.dbn import RECORD
from ingest.feeds.dbn_head import read_head
from ingest.feeds.feed import FeedError, Tally
from ingest.feeds.open import open_feed

ES = "databento/esh4-glbx-mdp3-20231225.mbo.dbn.zst"
OPEN_NS = 1_703_545_200_000_000_000


@pytest.fixture
def plain(recorded):
    """The file unpacked, and the length of its head."""
    data = b"".join(blocks.zstd(recorded(ES), Tally()))
    return data, read_head(iter([data]), recorded(ES))[0].size


def test_es_is_all_read(recorded, everything):
    feed = open_feed(recorded(ES), 9)
    found = everything(feed)
    assert (feed.tally.rows, feed.tally.refused_total) == (68_792, 0)
    assert len(found) + sum(feed.tally.skipped.values()) == 68_792
    (es,) = feed.instruments
    assert (es.id, es.symbol, es.multiplier, es.expiry) == (9, "ESH4", 50.0, "2024-03-15")
    trades = found[found["kind"] == Kind.TRADE]
    assert len(trades) == 2_973
    sides = [int((trades["flags"] & flag > 0).sum()) for flag in (Flag.BUYER, Flag.SELLER)]
    assert sides == [1_542, 1_430]
    quotes = found[found["kind"] == Kind.QUOTE]
    assert (quotes["flags"] & Flag.SNAPSHOT > 0).sum() == 1
    crossed = (quotes["bid"] >= quotes["ask"]) & (quotes["ask"] != NO_PRICE)
    assert not crossed[quotes["ts_event"] >= OPEN_NS].any()
    assert (crossed == (quotes["flags"] & Flag.AUCTION > 0)).all()
    assert (quotes["bid"][~crossed] % 250_000_000 == 0).all()
    assert (found["ts_recv"] >= found["ts_event"]).all()


def test_trades_lie_on_the_quote_before_them(recorded, everything):
    found = everything(open_feed(recorded(ES)))
    at = np.flatnonzero((found["kind"] == Kind.TRADE) & (found["ts_event"] > OPEN_NS))
    before = np.maximum.accumulate(np.where(found["kind"] == Kind.QUOTE, np.arange(len(found)), 0))
    bid, ask = found["bid"][before[at]], found["ask"][before[at]]
    buyer = found["flags"][at] & Flag.BUYER > 0
    hit = np.where(buyer, found["price"][at] >= ask, found["price"][at] <= bid)
    assert hit.mean() > 0.98


def test_plain_and_cut_and_foreign_records(plain, everything, tmp_path):
    data, size = plain
    step = RECORD.itemsize
    path = tmp_path / "a.dbn"
    foreign = bytes([4, 23]) + bytes(14)  # A record of 16 bytes of another type.
    cut = size + 30_000 * step
    path.write_bytes(data[:cut] + foreign + data[cut : size + 40_000 * step + 20])
    feed = open_feed(path)
    everything(feed)
    assert feed.tally.rows == 40_000
    assert feed.refused[0].data == foreign
    assert [one.reason for one in feed.refused] == ["not an mbo record", "ends within a record"]


def test_an_instrument_that_the_head_does_not_name_is_refused(plain, everything, tmp_path):
    data, size = plain
    records = np.frombuffer(data[size : size + 100 * RECORD.itemsize], RECORD).copy()
    records["instrument"][50] = 7
    path = tmp_path / "a.dbn"
    path.write_bytes(data[:size] + records.tobytes())
    feed = open_feed(path)
    everything(feed)
    assert [one.data for one in feed.refused] == [records[50].tobytes()]


def test_a_damaged_head_is_an_error(plain, tmp_path):
    data, size = plain
    path = tmp_path / "a.dbn"
    for bad, says in (
        (data[: size // 2], "damaged"),
        (data[:24] + b"\1\0" + data[26:], "schema 1"),
        (data.replace(b"ESH4", b"ZZH4"), "terms of ZZH4"),
        (b"DBN\x09" + data[4:], "damaged or unknown"),
    ):
        path.write_bytes(bad)
        with pytest.raises(FeedError, match=says):
            open_feed(path)
