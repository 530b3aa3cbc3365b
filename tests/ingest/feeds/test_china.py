import gzip

import numpy as np
import pytest
import zstandard

from ingest.event import Flag, Kind
from ingest.feeds.feed import FeedError
from ingest.feeds.open import open_feed
from ingest.feeds.wondertrader import HEAD_BYTES, RECORD
from ingest.instrument import AssetClass

CFFEX = "wondertrader/CFFEX.IF.HOT_tick_20210104.dsb"


def test_cffex_ticks_are_quotes_and_what_was_traded(recorded, everything):
    feed = open_feed(recorded(CFFEX))
    found = everything(feed)
    trade, quote = found[0], found[1]
    # 09:29:00.400 in Shanghai: 240 traded, last 5230.0.
    assert trade["ts_event"] == 1_609_723_740_400_000_000
    assert (trade["kind"], trade["price"], trade["size"]) == (Kind.TRADE, 5_230_000_000_000, 240)
    assert quote["kind"] == Kind.QUOTE
    last = found[-1]
    assert (last["bid"], last["ask"]) == (5_259_200_000_000, 5_262_000_000_000)
    assert (last["bid_size"], last["ask_size"]) == (5, 14)
    trades = found[found["kind"] == Kind.TRADE]
    assert trades["size"].sum() == 84_288  # The day's volume by the exchange.
    assert (found[found["kind"] == Kind.QUOTE]["bid"] % 200_000_000 == 0).all()
    (row,) = feed.instruments
    assert (row.symbol, row.multiplier, row.expiry) == ("IF2101", 300.0, "2021-01-15")


def test_a_damaged_block_gives_what_is_whole(recorded, everything, tmp_path):
    data = recorded(CFFEX).read_bytes()
    path = tmp_path / "a.dsb"
    path.write_bytes(data[: len(data) // 2])
    feed = open_feed(path)
    assert len(everything(feed)) > 10_000
    assert [one.reason for one in feed.refused] == ["ends before its end"]
    path.write_bytes(data[:8] + b"\1" + data[9:])
    with pytest.raises(FeedError, match="no packed block of ticks"):
        open_feed(path)


def test_a_record_without_a_possible_time_is_refused(recorded, everything, tmp_path):
    data = recorded(CFFEX).read_bytes()
    text = zstandard.ZstdDecompressor().decompressobj().decompress(data[HEAD_BYTES:])
    records = np.frombuffer(text, RECORD, 10).copy()
    records["date"][4] = 20211301
    path = tmp_path / "a.dsb"
    path.write_bytes(data[:HEAD_BYTES] + zstandard.compress(records.tobytes()))
    feed = open_feed(path)
    found = everything(feed)
    assert set(found["sequence"].tolist()) == {1, 2, 3, 4, 6, 7, 8, 9, 10}
    assert [one.data for one in feed.refused] == [records[4].tobytes()]


def test_bars_of_a_bond_future(recorded, everything):
    feed = open_feed(recorded("tqsdk/CFFEX.T2003_1min_2019-12-01_2020-02-01.csv.gz"))
    first = everything(feed)[0]
    # 34720,1577064060000000000,97.885,97.885,97.875,97.885,104,82319,82287
    assert first["ts_event"] == 1_577_064_120_000_000_000
    assert (first["price"], first["size"], first["flags"]) == (97_885_000_000, 104, Flag.SNAPSHOT)
    (row,) = feed.instruments
    assert (row.asset_class, row.currency, row.multiplier) == (
        *(AssetClass.RATES_FUTURE, "CNY", 10_000.0),
    )
    assert row.expiry == "2020-03-13"


def test_ticks_of_copper(recorded, everything):
    feed = open_feed(recorded("tqsdk/SHFE.cu1909_ticks_2019-09-16.csv.gz"))
    found = everything(feed)
    quotes = found[found["kind"] == Kind.QUOTE]
    assert len(quotes) == 200
    first = quotes[0]
    assert (first["ask"], first["ask_size"]) == (47_820_000_000_000, 10)
    assert (first["bid"], first["bid_size"]) == (47_780_000_000_000, 10)
    assert first["ts_event"] == 1_568_613_693_000_000_000
    trades = found[found["kind"] == Kind.TRADE]
    assert trades[:3]["size"].tolist() == [10, 10, 40]  # 7360, 7370, 7380, 7420
    assert feed.instruments[0].expiry == "2019-09-16"


def test_garbage_in_the_middle_and_a_missing_column(everything, tmp_path):
    path = tmp_path / "SHFE.cu1909_1min.csv.gz"
    head = b"id,datetime,open,high,low,close,volume,open_oi,close_oi\n"
    path.write_bytes(gzip.compress(head + b"1,5,1,2,1,2,3,4,5\nx,y\n2,6,1,2,1,2,3,4,5\n"))
    feed = open_feed(path)
    assert everything(feed)["sequence"].tolist() == [2, 4]
    assert [one.data for one in feed.refused] == [b"x,y"]
    path.write_bytes(gzip.compress(head.replace(b"close,", b"") + b"1,5,1,2,1,3,4,5\n"))
    with pytest.raises(FeedError, match="no column close"):
        open_feed(path)


def test_daily_closes_are_levels(recorded, everything):
    feed = open_feed(recorded("rates-daily/US10_carrydata.csv"))
    found = everything(feed)
    # 1982-05-04,71.96875,71.84375,198212.0,198209.0; 14:00 in Chicago, summer time.
    near, traded = found[:2]
    assert near["ts_event"] == traded["ts_event"] == 389_386_800_000_000_000
    assert (near["bid"], traded["ask"]) == (71_968_750_000, 71_843_750_000)
    names = {row.id: row.symbol for row in feed.instruments}
    assert [names[int(row["instrument"])] for row in (near, traded)] == ["ZNZ82", "ZNU82"]
    assert (found["flags"] == Flag.INDICATIVE | Flag.SNAPSHOT).all()
    assert (found["bid"] == found["ask"]).all()


def test_a_damaged_close_costs_its_line(everything, tmp_path):
    path = tmp_path / "EDOLLAR_carrydata.csv"
    head = "DATETIME,NEARER,TRADED,NEAR_MONTH,TRADE_MONTH\n"
    path.write_text(head + "1983-09-26,,89.06,198409.0,198412.0\n1983-09-27,x,1,198409.0,1\n")
    feed = open_feed(path)
    assert everything(feed)["bid"].tolist() == [89_060_000_000]
    assert feed.tally.refused_total == 1
