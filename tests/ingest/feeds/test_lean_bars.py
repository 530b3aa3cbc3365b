import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest

from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass


def utc(ns):
    return datetime.fromtimestamp(int(ns) / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def write(path, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in entries.items():
            file.writestr(name, text)
    return path


def of(feed, found, symbol):
    """The instrument and its events."""
    row = next(row for row in feed.instruments if row.symbol == symbol)
    return row, found[found["instrument"] == row.id]


def test_a_trade_bar_is_told_at_its_close(recorded, everything):
    feed = open_feed(recorded("lean/future/cme/minute/es/20131007_trade.zip"))
    row, own = of(feed, everything(feed), "ESZ13")
    # 0,1676.5,1676.5,1676.5,1676.5,9
    assert (utc(own[0]["ts_event"]), own[0]["price"]) == ("2013-10-07T00:01:00", 1_676_500_000_000)
    assert (own[0]["size"], own[0]["flags"], own[0]["kind"]) == (9, Flag.SNAPSHOT, Kind.TRADE)
    assert (row.asset_class, row.multiplier, row.expiry) == (
        *(AssetClass.INDEX_FUTURE, 50.0, "2013-12-20"),
    )


def test_an_index_option_knows_its_terms_and_its_index(recorded, everything):
    feed = open_feed(recorded("lean/indexoption/usa/minute/spxw/20210104_quote_european.zip"), 7)
    row, own = of(feed, everything(feed), "SPXW210104C03700000")
    # 34200000,651000,671000,635000,649000,48,692000,707000,674000,679000,15
    first = own[0]
    assert utc(first["ts_event"]) == "2021-01-04T14:31:00"
    assert (first["bid"], first["ask"]) == (64_900_000_000, 67_900_000_000)
    assert (first["bid_size"], first["ask_size"]) == (48, 15)
    assert (row.strike, row.right, row.exercise, row.expiry) == (
        3700,
        "C",
        "european",
        "2021-01-04",
    )
    assert row.multiplier == 100
    (under,) = [one for one in feed.instruments if one.id == row.underlying]
    assert under.symbol == "SPX"


def test_an_option_on_a_future_lies_on_that_future(recorded, everything):
    name = "lean/futureoption/cme/minute/es/202003/20200106_quote_american.zip"
    feed = open_feed(recorded(name))
    row, own = of(feed, everything(feed), "ESH20 C3000")
    # 0,242.5,251,242.5,250.75,15,261.25,261.25,253.75,254,15
    assert (own[0]["bid"], own[0]["ask"]) == (250_750_000_000, 254_000_000_000)
    assert utc(own[0]["ts_event"]) == "2020-01-06T00:01:00"
    assert (row.asset_class, row.multiplier, row.exercise, row.expiry) == (
        *(AssetClass.FUTURE_OPTION, 50.0, "american", "2020-03-20"),
    )
    assert feed.instruments[row.underlying].symbol == "ESH20"


def test_an_index_is_a_level_and_no_trade(recorded, everything):
    found = everything(open_feed(recorded("lean/index/usa/minute/spx/20210104_trade.zip")))
    first = found[0]
    # 30600000,3764.61,3769.99,3764.61,3766.63,59: 08:30 in Chicago, a minute long.
    assert utc(first["ts_event"]) == "2021-01-04T14:31:00"
    assert first["bid"] == first["ask"] == 3_766_630_000_000
    assert (first["bid_size"], first["kind"]) == (0, Kind.QUOTE)
    assert (found["flags"] == Flag.INDICATIVE | Flag.SNAPSHOT).all()


def test_ticks_of_a_future_and_of_a_metal(recorded, everything):
    feed = open_feed(recorded("lean/future/comex/tick/gc/20131007_trade.zip"))
    row, own = of(feed, everything(feed), "GCV13")
    # 4933381,1313.8,1,usa,,0
    assert utc(own[0]["ts_event"]) == "2013-10-07T01:22:13"
    assert (own[0]["price"], own[0]["size"], own[0]["flags"]) == (1_313_800_000_000, 1, 0)
    assert (row.multiplier, row.expiry) == (100.0, "2013-10-29")
    metal = open_feed(recorded("lean/cfd/oanda/tick/xauusd/20140512_quote.zip"))
    # 251.169,1283.288,1283.575
    first = everything(metal)[0]
    assert first["ts_event"] % 1_000_000_000 == 251_169_000
    assert (first["bid"], first["ask"]) == (1_283_288_000_000, 1_283_575_000_000)
    assert metal.instruments[0].asset_class == AssetClass.COMMODITY_FUTURE


def test_crypto_sizes_are_fractions(recorded, everything):
    feed = open_feed(recorded("lean/crypto/coinbase/minute/btcusd/20180404_quote.zip"))
    first = everything(feed)[0]
    # 0,...,7424.9,1.88483821,...,7424.91,33.35399601000002
    assert first["bid_size"] == pytest.approx(1.88483821, rel=1e-15)
    assert first["ask_size"] == pytest.approx(33.35399601, rel=1e-15)
    assert (feed.instruments[0].symbol, feed.instruments[0].asset_class) == (
        *("BTCUSD.COINBASE", AssetClass.CRYPTO_SPOT),
    )


def test_open_interest_is_counted_and_makes_no_event(recorded, everything):
    name = "lean/option/usa/minute/goog/20151224_openinterest_american.zip"
    feed = open_feed(recorded(name))
    assert len(everything(feed)) == 0
    assert feed.tally.skipped == {"open interest: no event says it": 2_058}
    assert len(feed.instruments) == 2_059


def test_a_chain_and_its_underlying_in_a_folder_are_one_feed(recorded, everything, tmp_path):
    for name in (
        "option/usa/minute/goog/20151224_trade_american",
        "equity/usa/minute/goog/20151224_trade",
    ):
        path = tmp_path / "lean" / f"{name}.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(recorded(f"lean/{name}.zip").read_bytes())
    feed = open_feed(tmp_path, 20)
    found = everything(feed)
    stock, own = of(feed, found, "GOOG")
    assert len(own) == 227
    options = [row for row in feed.instruments if row.symbol != "GOOG"]
    assert {row.underlying for row in options} == {stock.id}
    assert (np.diff(found["ts_event"]) >= 0).all()


def test_sides_without_a_price_and_garbage_in_the_middle(everything, tmp_path):
    lines = ["0,,,,,0,21500,21500,5000,5000,19", "garbage", "60000,1,1,1,10000,7,,,,,0"]
    name = "20151224_goog_minute_quote_american_put_7500000_20151231.csv"
    text = "\n".join(lines)
    feed = open_feed(write(tmp_path / "option/usa/minute/goog/q.zip", {name: text, "x": "y"}))
    found = everything(feed)
    assert found["bid"].tolist() == [NO_PRICE, 1_000_000_000]
    assert found["ask"].tolist() == [500_000_000, NO_PRICE]
    assert found["ask_size"].tolist() == [19, 0]
    assert [one.data for one in feed.refused] == [b"", b"garbage"]


def test_a_bar_that_closes_outside_its_range_is_an_alarm(everything, tmp_path):
    text = "0,1,2,1,1.5,10\n60000,1,2,1,3,10"
    path = write(tmp_path / "crypto/x/minute/y/t.zip", {"20180404_btcusd_minute_trade.csv": text})
    feed = open_feed(path)
    assert len(everything(feed)) == 2
    assert feed.tally.alarms == {"a bar that closes outside its range": 1}
