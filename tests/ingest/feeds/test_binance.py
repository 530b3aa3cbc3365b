import gzip

import numpy as np
import orjson
import pytest

from ingest.event import Flag, Kind
from ingest.feeds.feed import FeedError
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass

CAPTURES = {  # rows, bookTicker, trade, symbol, class, tick
    "usdm/btcusdt": (93_954, 66_089, 21_313, "BTCUSDT.P", AssetClass.CRYPTO_PERPETUAL, 0.1),
    "spot/btcusdt": (41_249, 28_040, 9_757, "BTCUSDT", AssetClass.CRYPTO_SPOT, 0.01),
    "cm/ethusd_perp": (40_454, 15_812, 1_732, "ETHUSD_PERP", AssetClass.CRYPTO_PERPETUAL, 0.01),
}
QUOTE = b'{"stream":"x","data":{"u":7,"s":"BTCUSDT","b":"10.10","B":"2","a":"10.30","A":"4.5"}}'
TRADE = (
    b'{"stream":"x","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":99,"p":"10.20",'
    b'"q":"0.5","T":1723161255342,"m":true,"M":true}}'
)
RECEIVED = 1_723_161_254_087_891_268


@pytest.mark.parametrize(("name", "expected"), CAPTURES.items())
def test_captures_are_all_read(recorded, everything, name, expected):
    rows, quotes, trades, symbol, kind, tick = expected
    feed = open_feed(recorded(f"hftbacktest/{name}_20240808.gz"))
    found = everything(feed)
    assert (feed.tally.rows, feed.tally.refused_total) == (rows, 0)
    kinds = found["kind"]
    read_over = sum(feed.tally.skipped.values())
    assert ((kinds == Kind.QUOTE).sum(), (kinds == Kind.TRADE).sum()) == (quotes, trades)
    assert len(found) + read_over == rows
    (row,) = feed.instruments
    assert (row.symbol, row.asset_class, row.tick) == (symbol, kind, tick)
    book = found[kinds == Kind.QUOTE]
    assert (book["bid"] < book["ask"]).mean() > 0.9999
    assert (np.abs(found["ts_event"] - found["ts_recv"]) < 5_000_000_000).all()


@pytest.mark.parametrize("name", CAPTURES)
def test_each_value_is_that_of_the_json(recorded, everything, name):
    path = recorded(f"hftbacktest/{name}_20240808.gz")
    found = {int(row["sequence"]): row for row in everything(open_feed(path))}
    with gzip.open(path) as file:
        for number, line in enumerate(file, 1):
            if number % 23 or number not in found:
                continue
            data, event = orjson.loads(line[20:])["data"], found[number]
            quote = event["kind"] == Kind.QUOTE
            fields = (("bid", "b", "B"), ("ask", "a", "A")) if quote else (("price", "p", "q"),)
            for field, price, size in fields:
                assert event[field] == round(float(data[price]) * 1e4) * 100_000
                volume = float(data[size])
                if name.startswith("cm"):
                    volume = volume * 10 / float(data[price])
                got = event[{"bid": "bid_size", "ask": "ask_size", "price": "size"}[field]]
                assert got == pytest.approx(volume, rel=1e-15)
            if not quote:
                assert event["flags"] == (Flag.SELLER if data["m"] else Flag.BUYER)
                assert event["reference"] == data["t"]
            assert event["ts_recv"] == int(line[:19])


def capture(path, *lines):
    path.write_bytes(gzip.compress(b"".join(b"%d %b\n" % (RECEIVED, line) for line in lines)))
    return path


def test_spot_quotes_take_the_latest_time_of_the_exchange(tmp_path, everything):
    later = TRADE.replace(b'"T":1723161255342', b'"T":1723161255400')
    feed = open_feed(capture(tmp_path / "a.gz", QUOTE, TRADE, QUOTE, later, QUOTE))
    ms = everything(feed)["ts_event"] // 1_000_000 - 1_723_161_255_000
    assert ms.tolist() == [342, 342, 342, 400, 400]


def test_bad_lines_are_refused_whole_and_the_rest_is_read(tmp_path, everything):
    bad = (
        QUOTE[:-9],
        QUOTE.replace(b'"b":"10.10"', b'"b":"10.1x"'),
        QUOTE.replace(b'"a":"10.30",', b""),
        TRADE.replace(b'"m":true,', b""),
        b'{"result":null}',
        b"\xff\xfe\x00",
    )
    other = b'{"stream":"x","data":{"e":"24hrTicker","E":1723161255999,"s":"BTCUSDT"}}'
    lines = [line for pair in zip(bad, [TRADE] * len(bad), strict=True) for line in pair]
    feed = open_feed(capture(tmp_path / "a.gz", *lines, other))
    assert len(everything(feed)) == len(bad)
    assert [one.data for one in feed.refused] == [b"%d %b" % (RECEIVED, line) for line in bad]
    assert [int(one.place.split()[-1]) for one in feed.refused] == [1, 3, 5, 7, 9, 11]
    assert feed.tally.skipped == {"neither bookTicker nor trade": 1}


def test_what_is_no_capture_is_an_error(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"hello\n"))
    with pytest.raises(FeedError, match="no known format"):
        open_feed(tmp_path / "a.gz")
    with pytest.raises(FeedError, match="ETHBTC is worth"):
        open_feed(capture(tmp_path / "b.gz", QUOTE.replace(b"BTCUSDT", b"ETHBTC")))
