import random
import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest

from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds.feed import FeedError
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass

USA = "lean/equity/usa/tick"
QUOTES = {"ibm/20131007": 109_067, "ibm/20131008": 125_750, "ibm/20131009": 135_492}
QUOTES |= {"bac/20131007": 476_855, "aig/20131011": 1_100_346}
TRADES = {"ibm/20131007": 24_293, "ibm/20131008": 33_381, "ibm/20131009": 27_042}
TRADES |= {"bac/20131007": 88_172, "aig/20131011": 31_318, "spy/20131007": 250_601}
FX = {
    "forex/fxcm/tick/eurusd/20140501": (51_053, "2014-05-01T05:00:01.787"),
    "forex/fxcm/tick/eurusd/20140506": (102_682, "2014-05-06T05:00:00.339"),
    "forex/fxcm/tick/eurusd/20140508": (167_466, "2014-05-08T05:00:17.007"),
    "forex/oanda/tick/eurusd/20140508": (87_833, "2014-05-08T00:00:08.715"),
    "forex/fxcm/tick/nzdusd/20140508": (103_173, "2014-05-08T05:00:01.836"),
}


def utc(ns):
    return datetime.fromtimestamp(int(ns) // 1_000_000_000, UTC).replace(tzinfo=None).isoformat()


def write(path, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in entries.items():
            file.writestr(name, text)
    return path


@pytest.mark.parametrize(("name", "rows"), QUOTES.items())
def test_equity_quotes_are_all_read_and_hardly_ever_crossed(recorded, everything, name, rows):
    feed = open_feed(recorded(f"{USA}/{name}_quote.zip"), first_id=5)
    quotes = everything(feed)
    assert feed.tally.rows == rows
    assert feed.tally.refused_total == 0
    assert len(quotes) + sum(feed.tally.skipped.values()) == rows
    assert [row.id for row in feed.instruments] == [5]
    assert (quotes["instrument"] == 5).all()
    both = (quotes["bid"] != NO_PRICE) & (quotes["ask"] != NO_PRICE)
    assert both.sum() >= len(quotes) - 1
    midday = both & (np.abs(quotes["ts_event"] - np.median(quotes["ts_event"])) < 3.6e12)
    assert (quotes["bid"] > quotes["ask"])[midday].mean() < 0.001
    assert (np.diff(quotes["ts_event"]) >= 0).all()


@pytest.mark.parametrize(("name", "rows"), TRADES.items())
def test_equity_trades_are_all_read(recorded, everything, name, rows):
    feed = open_feed(recorded(f"{USA}/{name}_trade.zip"))
    trades = everything(feed)
    assert (feed.tally.rows, len(trades), feed.tally.refused_total) == (rows, rows, 0)
    assert (trades["kind"] == Kind.TRADE).all()
    assert (trades["price"] > 0).all()
    assert 0 < (trades["flags"] & Flag.INELIGIBLE > 0).mean() < 0.05
    assert (trades["flags"] & Flag.AUCTION > 0).any()
    kind = AssetClass.ETF if name.startswith("spy") else AssetClass.EQUITY
    assert feed.instruments[0].asset_class == kind


def test_ibm_trades_read_as_their_lines_say(recorded, everything):
    feed = open_feed(recorded(f"{USA}/ibm/20131007_trade.zip"))
    first = everything(feed)[0]
    # 14430270,1815200,283,P,20002020,0: 04:00:30.270 in New York (UTC-4 in October), $181.52.
    assert utc(first["ts_event"]) == "2013-10-07T08:00:30"
    assert first["ts_event"] % 1_000_000_000 == 270_000_000
    assert (first["price"], first["size"]) == (181_520_000_000, 283)
    assert first["flags"] == Flag.INELIGIBLE  # Extended hours.


@pytest.mark.parametrize(("name", "expected"), FX.items())
def test_fx_is_all_read_in_its_zone(recorded, everything, name, expected):
    rows, start = expected
    feed = open_feed(recorded(f"lean/{name}_quote.zip"))
    quotes = everything(feed)
    assert (feed.tally.rows, len(quotes), feed.tally.refused_total) == (rows, rows, 0)
    assert utc(quotes["ts_event"][0]) == start.split(".")[0]
    assert quotes["ts_event"][0] % 1_000_000_000 == int(start[-3:]) * 1_000_000
    assert feed.instruments[0].symbol.endswith(name.split("/")[1].upper())


def test_eurusd_is_exact(recorded, everything):
    feed = open_feed(recorded("lean/forex/fxcm/tick/eurusd/20140501_quote.zip"))
    first = everything(feed)[0]
    assert (first["bid"], first["ask"]) == (1_387_270_000, 1_387_290_000)


def test_sale_conditions(tmp_path, everything):
    conditions = ["1", "20", "40", "20100200", "4000000", "80000000", "0"]
    lines = [f"{i},1000000,100,Q,{bits},{int(i == 6)}" for i, bits in enumerate(conditions)]
    path = write(tmp_path / "20131007_trade.zip", {"20131007_ibm_Trade_Tick.csv": "\n".join(lines)})
    trades = everything(open_feed(path))
    bad = Flag.INELIGIBLE
    # Regular, sweep, opening print, average price, official open, odd lot, suspicious.
    assert trades["flags"].tolist() == [0, 0, Flag.AUCTION, bad, bad, 0, bad]
    assert trades["size"].tolist() == [100, 100, 100, 100, 0, 100, 100]


def test_quote_lines_pair_and_a_loose_one_is_marked(tmp_path, everything):
    text = (
        "1,0,0,1010000,3,B,1,0\n"  # An ask alone.
        "2,1000000,5,0,0,Q,1,0\n2,0,0,1010000,4,P,1,0\n"
        "3,1000100,6,0,0,Q,1,0\n4,0,0,1010000,9,P,1,0\n"  # Not one millisecond: two quotes.
        "5,1000200,7,0,0,Q,10,0\n5,0,0,1010000,9,P,1,0\n"  # Trading halt.
        "6,1000300,8,0,0,Q,1,0\n"  # A bid alone, last.
    )
    path = write(tmp_path / "q.zip", {"20131007_ibm_Quote_Tick.csv": text})
    feed = open_feed(path)
    quotes = everything(feed)
    assert quotes["bid_size"].tolist() == [0, 5, 6, 6, 7, 8]
    assert quotes["ask_size"].tolist() == [3, 4, 4, 9, 9, 9]
    assert quotes["bid"].tolist()[:2] == [NO_PRICE, 100_000_000_000]
    assert quotes["flags"].tolist() == [0, 0, 0, 0, Flag.INDICATIVE, 0]
    assert quotes["sequence"].tolist() == [1, 3, 4, 5, 7, 8]


def test_garbage_in_the_middle_costs_the_bad_lines_only(tmp_path, everything):
    lines = [f"{i},1.{i % 9}0001,1.{i % 9}0002".encode() for i in range(20_000)]
    lines[7_000] = b"\xff\x00garbage, no line"
    lines[7_001] = b"1,2"
    path = write(
        tmp_path / "fxcm/a.zip",
        {"20140501_eurusd_tick_quote.csv": b"\n".join(lines), "readme.txt": b"no market data"},
    )
    feed = open_feed(path)
    assert len(everything(feed)) == 19_998
    assert [one.data for one in feed.refused[1:]] == lines[7_000:7_002]
    assert feed.refused[0].place.endswith("!readme.txt")
    assert feed.refused[1].place.endswith("20140501_eurusd_tick_quote.csv line 7001")


def test_a_damaged_entry_does_not_touch_the_next(tmp_path, everything):
    chance = random.Random(3)
    text = "\n".join(f"{i},1.{chance.randrange(10**5)},1.5" for i in range(40_000))
    path = write(
        tmp_path / "oanda/a.zip",
        {"20140501_eurusd_tick_quote.csv": text, "20140502_eurusd_tick_quote.csv": text},
    )
    data = bytearray(path.read_bytes())
    middle = len(data) // 4
    data[middle : middle + 200] = chance.randbytes(200)
    path.write_bytes(data)
    feed = open_feed(path)
    quotes = everything(feed)
    day = quotes["ts_event"] // 86_400_000_000_000
    assert (day == day.max()).sum() == 40_000
    assert (day == day.min()).sum() > 10_000
    assert feed.refused
    assert len(feed.instruments) == 1


@pytest.mark.parametrize(
    ("folder", "entries", "says"),
    [
        ("fxcm", {"20140501_eurxyz_tick_quote.csv": "1,0.8,0.9"}, "worth in USD"),
        ("elsewhere", {"20140501_eurusd_tick_quote.csv": "1,1.1,1.2"}, "venue"),
        ("fxcm", {"notes.txt": "hello"}, "YYYYMMDD_symbol"),
        ("fxcm", {"20140501_eurusd_minute.csv": "1,1,1,1"}, "not a layout"),
        ("fxcm", {"20140501_eurusd_minute.csv": "1,1,1,1,1,1"}, "below a folder named equity"),
        ("future", {"20140501_zz_minute_trade_201406.csv": "1,1,1,1,1,1"}, "terms or the month"),
        ("fxcm", {}, "no entry"),
    ],
)
def test_a_zip_that_cannot_be_read_says_why(tmp_path, folder, entries, says):
    path = write(tmp_path / folder / "a.zip", entries)
    with pytest.raises(FeedError, match=says) as error:
        open_feed(path)
    assert str(path) in str(error.value)


def test_a_time_beyond_the_day_is_refused(tmp_path, everything):
    text = "1,1.1,1.2\n90000001,1.1,1.2\n2,1.1,1.2"
    path = write(tmp_path / "oanda/a.zip", {"20140501_eurusd_tick_quote.csv": text})
    feed = open_feed(path)
    assert everything(feed)["sequence"].tolist() == [1, 3]
    assert (feed.tally.rows, feed.tally.refused_total) == (2, 1)
