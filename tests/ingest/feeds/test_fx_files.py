import gzip
import json

import pytest

from ingest.event import Kind
from ingest.feeds.feed import FeedError
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass

DUKASCOPY = "dukascopy/ticks-EUR-USD-2026-7-13-12.json"
HOUR = {
    "timestamp": 1_000,
    "multiplier": 1e-5,
    "ask": 1.00002,
    "bid": 1.00001,
    "times": [5, 10],
    "asks": [0, 3],
    "bids": [0, -1],
    "askVolumes": [900000.0, 1.0],
    "bidVolumes": [1.0, 2.0],
}


def test_dukascopy_adds_its_steps_up_exactly(recorded, everything):
    feed = open_feed(recorded(DUKASCOPY))
    found = everything(feed)
    first, second, last = found[0], found[1], found[-1]
    # From 12:00:00.000 UTC: +93 ms, 1.14273 / 1.14277; +104 ms, both two steps lower.
    assert first["ts_event"] == 1_783_944_000_093 * 1_000_000
    assert (first["bid"], first["ask"]) == (1_142_730_000, 1_142_770_000)
    assert (second["bid"], second["ask"]) == (1_142_710_000, 1_142_750_000)
    assert (first["ask_size"], second["ask_size"]) == (1_800_000, 900_000)
    assert last["ts_event"] == (1_783_944_000_000 + 3_597_150) * 1_000_000
    assert (found["bid"] < found["ask"]).all()
    assert feed.instruments[0].symbol == "EURUSD.DUKASCOPY"


def test_an_hour_that_is_not_whole_is_an_error(everything, tmp_path):
    path = tmp_path / "ticks-EUR-USD-1.json"
    path.write_text(json.dumps(HOUR))
    assert everything(open_feed(path))["ask"].tolist() == [1_000_020_000, 1_000_050_000]
    for bad in (json.dumps(HOUR)[:-9], json.dumps(HOUR | {"asks": [1]}), '{"timestamp":1}'):
        path.write_text(bad)
        with pytest.raises(FeedError, match="fetch the file again"):
            open_feed(path)


def test_truefx_reads_as_its_lines_say(recorded, everything):
    feed = open_feed(recorded("nautilus/usdjpy-ticks.csv"))
    found = everything(feed)
    # 2013-01-01 22:00:00.295000+00:00,86.655,86.728
    assert found[0]["ts_event"] == 1_357_077_600_295_000_000
    assert (found[0]["bid"], found[0]["ask"]) == (86_655_000_000, 86_728_000_000)
    (pair,) = feed.instruments
    assert (pair.symbol, pair.decimals) == ("USDJPY.TRUEFX", 3)
    assert pair.usd_rate == pytest.approx(1 / 86.655)


def test_truefx_keeps_what_it_cannot_read(everything, tmp_path):
    path = tmp_path / "eurusd-ticks.csv"
    good = "2013-01-01 22:00:00.295000+00:00,1.3,1.4"
    path.write_text(f"timestamp,bid,ask\n{good}\ngarbage\n2013-01-32 00:00:00,1,2\n{good}\n")
    feed = open_feed(path)
    assert len(everything(feed)) == 2
    assert [one.data for one in feed.refused] == [b"garbage", b"2013-01-32 00:00:00,1,2"]
    path.rename(tmp_path / "x.csv")
    with pytest.raises(FeedError, match=r"name it like usdjpy-ticks\.csv"):
        open_feed(tmp_path / "x.csv")


def test_bars_of_the_euro_future(recorded, everything):
    feed = open_feed(recorded("nautilus/6EH4.XCME_1min_bars_20240101_20240131.csv.gz"))
    found = everything(feed)
    # 2024-01-01 23:01:00,1.1076,1.10785,1.1076,1.1078,205
    assert found[0]["ts_event"] == 1_704_150_060_000_000_000
    assert (found[0]["price"], found[0]["size"]) == (1_107_800_000, 205)
    assert (found["kind"] == Kind.TRADE).all()
    (future,) = feed.instruments
    assert (future.asset_class, future.multiplier, future.expiry) == (
        *(AssetClass.FX, 125_000.0, "2024-03-18"),
    )


def test_a_contract_of_unknown_terms_is_an_error(tmp_path):
    path = tmp_path / "XXH4.XCME_1min_bars.csv.gz"
    path.write_bytes(
        gzip.compress(b"timestamp_utc,open,high,low,close,volume\n2024-01-01,1,1,1,1,1\n")
    )
    with pytest.raises(FeedError, match="terms of XXH4"):
        open_feed(path)
