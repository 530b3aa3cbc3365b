import gzip
import zipfile

import numpy as np

from ingest.event import Flag, Kind
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass


def of(feed, found, symbol):
    row = next(row for row in feed.instruments if row.symbol == symbol)
    return row, found[found["instrument"] == row.id]


def test_the_price_report(recorded, everything):
    feed = open_feed(recorded("b3/pricereport.xml.gz"))
    found = everything(feed)
    dollar, own = of(feed, found, "DOLG18")
    trade, quote = own
    assert (trade["price"], trade["size"]) == (3_271_000_000_000, 321_435)
    assert trade["flags"] == Flag.SNAPSHOT | Flag.INELIGIBLE
    assert (quote["bid"], quote["ask"]) == (3_270_000_000_000, 3_271_000_000_000)
    assert (dollar.asset_class, dollar.multiplier, dollar.close_prev) == (
        *(AssetClass.FX, 50.0, 3315.727),
    )
    assert trade["ts_event"] == 1_514_933_023_000_000_000  # 2018-01-02 22:43:43 UTC.
    corn, _ = of(feed, found, "CCMH18P002850")
    assert (corn.asset_class, corn.strike, corn.right) == (AssetClass.FUTURE_OPTION, 28.5, "P")
    share, own = of(feed, found, "PETR4")
    assert (share.asset_class, own[0]["size"]) == (AssetClass.EQUITY, 33_461_800)
    kinds = [int((found["kind"] == kind).sum()) for kind in (Kind.TRADE, Kind.QUOTE)]
    assert kinds == [2_258, 2_560]
    assert of(feed, found, "BOVA11")[0].asset_class == AssetClass.ETF


def test_a_damaged_report_does_not_touch_the_next(recorded, everything, tmp_path):
    text = gzip.decompress(recorded("b3/pricereport.xml.gz").read_bytes())
    parts = text.split(b"</PricRpt>")[:20]
    parts[7] = parts[7].replace(b"TckrSymb", b"Tckr")
    path = tmp_path / "p.xml.gz"
    path.write_bytes(gzip.compress(b"</PricRpt>".join(parts) + b"<PricRpt>"))
    feed = open_feed(path)
    everything(feed)
    assert feed.tally.rows == 18
    assert [one.reason for one in feed.refused] == ["no TckrSymb", "ends before its end"]


def test_option_trades(recorded, everything):
    feed = open_feed(recorded("b3/NEG_OPCOES_20151126.zip"))
    found = everything(feed)
    series, own = of(feed, found, "ABEVA20")
    # 13:29:05.765 in Sao Paulo (UTC-2): 900 at 0.32; the seller hit a resting bid.
    assert own[0]["ts_event"] == 1_448_551_745_765_000_000
    assert (own[0]["price"], own[0]["size"], own[0]["reference"]) == (320_000_000, 900, 10)
    assert own[0]["flags"] == Flag.SELLER
    assert (series.right, series.expiry) == ("C", "2016-01-18")
    assert of(feed, found, "VIVTX9")[0].right == "P"
    assert (np.diff(found["ts_event"]) >= 0).all()
    assert found["ts_event"][0] == 1_448_539_200_001_000_000  # 10:00:00.001
    assert feed.tally.skipped == {"cancelled by the exchange": 1}
    assert not feed.tally.alarms


def test_a_bad_line_among_option_trades(recorded, everything, tmp_path):
    with zipfile.ZipFile(recorded("b3/NEG_OPCOES_20151126.zip")) as file:
        lines = file.read(file.namelist()[0]).split(b"\n")[:6]
    lines[2] = lines[2].replace(b";", b",", 1)
    path = tmp_path / "n.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("NEG.TXT", b"\n".join(lines) + b"\nRT NEG 2015-11-26 000000099\n")
    feed = open_feed(path)
    assert len(everything(feed)) == 4
    assert [one.data for one in feed.refused] == [lines[2].rstrip(b"\n")]
    assert feed.tally.alarms == {"the trailer counts other lines than there are": 1}


def test_debentures(recorded, everything, tmp_path):
    path = recorded("b3/NegociosBalcao_2022-12-07_DEB.csv.gz")
    feed = open_feed(path)
    found = everything(feed)
    # OMGE13;1560;995,76466900;...;08:29:24;07/12/2022;#99509506
    first = found[found["reference"] == 99_509_506][0]
    assert first["ts_event"] == 1_670_412_564_000_000_000 == found["ts_event"].min()
    assert (first["price"], first["size"]) == (995_764_669_000, 1_560)
    assert {row.asset_class for row in feed.instruments} == {AssetClass.CREDIT}
    assert (np.diff(found["ts_event"]) >= 0).all()
    lines = gzip.decompress(path.read_bytes()).split(b"\n")[:6]
    lines[3] = b"DEB;garbage"
    cut = tmp_path / "d.csv.gz"
    cut.write_bytes(gzip.compress(b"\n".join(lines)))
    feed = open_feed(cut)
    assert len(everything(feed)) == 3
    assert [one.data for one in feed.refused] == [b"DEB;garbage"]
