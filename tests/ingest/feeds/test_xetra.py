import gzip
import json

from ingest.event import Flag, Kind
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass

FILE = "xetra/DETR-posttrade-2025-10-31T13_54.json.gz"
LINE = {
    "messageId": "posttrade",
    "isin": "DE0007100000",
    "currency": "EUR",
    "tickActionIndicator": "I",
    "mmtMarketMechanism": "8",
    "mmtTradingMode": "2",
    "mmtNegotTransPretrdWaivInd": "-",
    "mmtModificationInd": "-",
    "mmtBenchmarkRefprcInd": "-",
    "mmtPubModeDefReason": "-",
    "lastQty": 159.0,
    "lastTrade": 56.2,
    "lastTradeTime": "2025-10-31T13:54:00.042457058Z",
    "distributionDateTime": "2025-10-31T13:54:00.052903000Z",
    "transIdCode": "1",
}


def lines(path, *changes):
    rows = [json.dumps(LINE | change, separators=(",", ":")) for change in changes]
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    return path


def test_trades_read_as_their_lines_say(recorded, everything):
    feed = open_feed(recorded(FILE))
    found = everything(feed)
    first = found[0]
    assert first["ts_event"] == 1_761_918_840_042_457_058
    assert first["ts_recv"] == 1_761_918_840_052_903_000
    assert (first["price"], first["size"], first["flags"]) == (56_200_000_000, 159, 0)
    assert (found["kind"] == Kind.TRADE).all()
    shares = {row.symbol: row for row in feed.instruments}
    assert shares["DE0007100000"].asset_class == AssetClass.EQUITY
    assert shares["DE0007100000"].tick <= 0.01
    assert sum(row.asset_class == AssetClass.ETF for row in feed.instruments) > 90
    assert sum(row.currency == "USD" for row in feed.instruments) >= 1
    assert len({row.symbol[:12] for row in feed.instruments}) == 268  # ISINs.


def test_mmt_flags(tmp_path, everything):
    changes = [
        {"mmtTradingMode": "O"},
        {"mmtTradingMode": "4"},
        {"mmtMarketMechanism": "4"},
        {"mmtBenchmarkRefprcInd": "B"},
        {"mmtNegotTransPretrdWaivInd": "1"},
        {"mmtPubModeDefReason": "2"},
        {},
    ]
    changes = [change | {"transIdCode": str(i)} for i, change in enumerate(changes)]
    found = everything(open_feed(lines(tmp_path / "x.json.gz", *changes)))
    assert found["flags"].tolist() == [Flag.AUCTION, *[Flag.INELIGIBLE] * 5, 0]


def test_an_amendment_a_cancellation_and_one_of_nothing(tmp_path, everything):
    path = lines(
        tmp_path / "x.json.gz",
        {},
        {"mmtModificationInd": "A", "lastTrade": 56.3},
        {"mmtModificationInd": "C", "lastTrade": 56.3},
        {"mmtModificationInd": "C", "transIdCode": "9"},
    )
    feed = open_feed(path)
    found = everything(feed)
    told = [Kind.TRADE, Kind.BUST, Kind.TRADE, Kind.BUST]
    assert found["kind"].tolist() == told
    assert found["reference"].tolist() == [1, 1, 1, 1]
    assert found["price"].tolist() == [56_200_000_000, 56_200_000_000, *[56_300_000_000] * 2]
    assert found["flags"].tolist() == [0, Flag.CORRECTED, Flag.CORRECTED, 0]
    assert sum(feed.tally.alarms.values()) == sum(feed.tally.skipped.values()) == 1


def test_garbage_in_the_middle_costs_its_line(tmp_path, everything):
    rows = [json.dumps(LINE, separators=(",", ":")).encode()] * 3
    rows[1] = rows[1][:-30]
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b"\n".join(rows)))
    feed = open_feed(path)
    assert len(everything(feed)) == 2
    assert [one.data for one in feed.refused] == [rows[1]]
