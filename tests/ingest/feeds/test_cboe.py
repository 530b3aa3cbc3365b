import gzip
import json

import numpy as np
import pytest

from ingest.event import NO_PRICE, Flag, Kind
from ingest.feeds.feed import FeedError
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass

FILE = "cboe/AAPL_chain_2026-07-24_close_odd_expiries.json.gz"


def test_the_chain_and_its_underlying(recorded, everything):
    feed = open_feed(recorded(FILE), 4)
    found = everything(feed)
    assert len(found) == 1 + 1_808
    under, option = found[0], found[1]
    # 15:59:59 in New York; the answer was made at 03:44:38 UTC.
    assert under["ts_event"] == 1_784_923_199_000_000_000
    assert under["ts_recv"] == 1_784_951_078_000_000_000
    assert (under["bid"], under["ask"]) == (333_720_000_000, 333_860_000_000)
    assert (option["bid"], option["bid_size"]) == (221_750_000_000, 31)
    assert (option["ask"], option["ask_size"]) == (224_200_000_000, 45)
    assert (found["flags"] == Flag.SNAPSHOT).all()
    assert (found["kind"] == Kind.QUOTE).all()
    stock, first = feed.instruments[:2]
    assert (stock.symbol, stock.id, stock.asset_class) == ("AAPL", 4, AssetClass.EQUITY)
    assert (first.symbol, first.underlying) == ("AAPL260724C00110000", 4)
    assert (first.strike, first.right, first.expiry) == (110.0, "C", "2026-07-24")
    assert (first.exercise, first.multiplier) == ("american", 100.0)
    assert found[2]["bid"] == NO_PRICE  # A bid of 0 is none.
    assert len({row.expiry for row in feed.instruments[1:]}) == 12


def test_a_bad_contract_costs_itself_and_a_cut_answer_is_an_error(recorded, everything, tmp_path):
    told = json.loads(gzip.decompress(recorded(FILE).read_bytes()))
    told["data"]["options"] = told["data"]["options"][:5]
    told["data"]["options"][2]["bid"] = "x"
    told["data"]["options"][3]["option"] = "nothing"
    path = tmp_path / "c.json.gz"
    text = json.dumps(told, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(text))
    feed = open_feed(path)
    found = everything(feed)
    assert np.unique(found["sequence"]).tolist() == [0, 1, 2, 5]
    assert (feed.tally.rows, feed.tally.refused_total) == (3, 2)
    path.write_bytes(gzip.compress(text[:-9]))
    with pytest.raises(FeedError, match="no chain of options"):
        open_feed(path)
