import numpy as np
import pytest

from compute.engine import Engine
from ingest.event import EVENT, NO_PRICE, Flag, Kind
from ingest.feeds.feed import FeedError
from ingest.feeds.open import open_feed
from ingest.instrument import AssetClass, Reference

NAMES = ("COINBASE.ws.28.0", "KRAKEN_FUTURES.ws.1.0", "BITMEX.ws.1.0", "DERIBIT.ws.1.0")


def of(feed, found, symbol):
    row = next(row for row in feed.instruments if row.symbol == symbol)
    return row, found[found["instrument"] == row.id]


def hits(found):
    """Share of sided trades at or through the quote before them, of their own instrument."""
    good = []
    for number in np.unique(found["instrument"]):
        own = found[found["instrument"] == number]
        at = np.flatnonzero((own["kind"] == Kind.TRADE) & (np.arange(len(own)) > 0))
        quoted = np.where(own["kind"] == Kind.QUOTE, np.arange(len(own)), 0)
        before = own[np.maximum.accumulate(quoted)[at]]
        buyer = own["flags"][at] & Flag.BUYER > 0
        price = own["price"][at]
        good += np.where(buyer, price <= before["bid"], price >= before["ask"]).tolist()
    return 1 - np.mean(good)


@pytest.mark.parametrize("name", NAMES)
def test_books_are_never_crossed_and_no_trade_is_on_the_wrong_side(recorded, everything, name):
    found = everything(open_feed(recorded(f"cryptofeed/{name}")))
    quotes = found[found["kind"] == Kind.QUOTE]
    both = (quotes["bid"] != NO_PRICE) & (quotes["ask"] != NO_PRICE)
    assert both.mean() > 0.9
    assert not (quotes["bid"] > quotes["ask"])[both].any()
    if (found["kind"] == Kind.TRADE).any():
        assert hits(found) == 1
    assert (np.abs(found["ts_event"] - found["ts_recv"]) < 900_000_000_000).all()


def test_coinbase(recorded, everything):
    feed = open_feed(recorded("cryptofeed/COINBASE.ws.28.0"))
    found = everything(feed)
    row, own = of(feed, found, "SKLBTC.COINBASE")
    assert (row.asset_class, row.currency, row.tick) == (AssetClass.CRYPTO_SPOT, "BTC", 1e-8)
    trade = own[own["kind"] == Kind.TRADE][0]
    # "size":"985","price":"0.00001305","side":"sell" rested, time 16:43:37.089723, trade 280232
    assert (trade["price"], trade["size"], trade["reference"]) == (13_050, 985, 280_232)
    assert (trade["flags"], trade["sequence"]) == (Flag.BUYER, 177_100_030)
    assert trade["ts_event"] == 1_618_677_817_089_723_000
    assert (own[0]["flags"], own[0]["bid"], own[0]["ask"]) == (Flag.SNAPSHOT, 13_020, 13_050)
    assert (found["kind"] == Kind.TRADE).sum() == 97


def test_kraken_contracts_are_dollars_paid_in_coins(recorded, everything):
    feed = open_feed(recorded("cryptofeed/KRAKEN_FUTURES.ws.1.0"))
    found = everything(feed)
    row, own = of(feed, found, "FI_BCHUSD_210730")
    # Best: 20108 contracts of 1 USD bid at 439.3, 50 offered at 439.6.
    first = own[0]
    assert (first["bid"], first["ask"]) == (439_300_000_000, 439_600_000_000)
    assert (first["bid_size"], first["ask_size"]) == (20_108, 50)
    assert (row.inverse, row.base, row.multiplier) == (True, "BCH", 1.0)
    assert (row.expiry, first["sequence"]) == ("2021-07-30", 91_192)
    trade = of(feed, found, "PI_LTCUSD")[1]
    trade = trade[trade["kind"] == Kind.TRADE][0]
    assert (trade["price"], trade["flags"]) == (119_440_000_000, Flag.BUYER)
    assert trade["size"] == 320
    assert all(one.inverse and one.symbol[3:].startswith(one.base) for one in feed.instruments)


def test_bitmex_contracts_tell_what_they_are(recorded, everything):
    feed = open_feed(recorded("cryptofeed/BITMEX.ws.1.0"))
    found = everything(feed)
    quanto, own = of(feed, found, "UNIUSDT.BITMEX")
    assert (quanto.currency, quanto.multiplier) == ("XBT", 1e-5)
    trade = own[own["kind"] == Kind.TRADE][0]
    # Buy 52 at 17.297 at 22:36:10.014
    assert (trade["price"], trade["size"]) == (17_297_000_000, 52)
    assert (trade["flags"], trade["ts_event"]) == (Flag.BUYER, 1_626_993_370_014_000_000)
    inverse, own = of(feed, found, "XBTUSD.BITMEX")
    assert (inverse.currency, inverse.multiplier, inverse.base) == ("USD", 1.0, "XBT")
    assert {row.symbol for row in feed.instruments if row.inverse} == {"XBTUSD.BITMEX"}
    quotes = own[own["kind"] == Kind.QUOTE]
    assert (quotes["bid_size"] % 1 == 0).all()  # Contracts.
    # A TRX costs 0.0000016425 bitcoin: told in thousandths of one.
    fine, own = of(feed, found, "TRXU21")
    assert fine.multiplier == pytest.approx(0.001)
    assert 1.6e-3 < own[0]["bid"] / 1e9 < 1.7e-3


def test_an_inverse_contract_earns_coins_between_recorded_prices(recorded, everything):
    feed = open_feed(recorded("cryptofeed/BITMEX.ws.1.0"))
    row, own = of(feed, everything(feed), "XBTUSD.BITMEX")
    quotes = own[(own["kind"] == Kind.QUOTE) & (own["bid"] < own["ask"])]
    engine = Engine(Reference(feed.instruments))
    trade = own[own["kind"] == Kind.TRADE][0]
    events = np.zeros(2, EVENT)
    events["instrument"], events["kind"] = row.id, (Kind.FILL, Kind.QUOTE)
    events["ts_event"] = quotes["ts_event"][-1]
    events["price"], events["size"] = trade["price"], 5_000
    for name in ("bid", "ask", "bid_size", "ask_size"):
        events[name][1] = quotes[name][-1]
    engine.step(events, None)
    entry, leave = trade["price"] / 1e9, (quotes["bid"][-1] + quotes["ask"][-1]) / 2e9
    coins = 5_000 * row.multiplier * (1 / entry - 1 / leave)
    assert engine._state["mark"][row.id] == pytest.approx(leave, rel=1e-15)
    assert engine._state["pnl"][row.id] == pytest.approx(coins * leave, rel=1e-9, abs=1e-9)


def test_deribit_options_and_what_lies_under_them(recorded, everything):
    feed = open_feed(recorded("cryptofeed/DERIBIT.ws.1.0"), 11)
    found = everything(feed)
    option, own = of(feed, found, "ETH-30JUL21-2800-C")
    first = own[0]
    assert (first["bid"], first["bid_size"]) == (1_500_000, 4_714)
    assert (first["ask"], first["ask_size"]) == (2_500_000, 873)
    assert first["ts_event"] == 1_626_993_723_632_000_000
    assert (option.strike, option.right, option.expiry) == (2800.0, "C", "2021-07-30")
    assert (option.exercise, option.currency, option.usd_rate) == ("european", "ETH", 2006.72)
    (under,) = [row for row in feed.instruments if row.id == option.underlying]
    level = found[found["instrument"] == under.id][0]
    assert level["bid"] == level["ask"] == 2_003_610_000_000
    assert (level["flags"], level["bid_size"]) == (Flag.INDICATIVE, 0)


def test_the_list_of_instruments_alone_is_a_feed_without_events(recorded, everything):
    feed = open_feed(recorded("cryptofeed/DERIBIT.0"))
    assert (len(everything(feed)), feed.tally.rows) == (0, 0)
    assert sum(row.strike is not None for row in feed.instruments) > 900


@pytest.mark.parametrize("name", NAMES)
def test_garbage_in_the_middle_is_kept_and_the_rest_is_read(recorded, everything, tmp_path, name):
    path = recorded(f"cryptofeed/{name}")
    whole = open_feed(path)
    everything(whole)
    lines = path.read_bytes().split(b"\n")
    bad = [
        b"\xff\x00 garbage",
        lines[40][:-5],
        b'1626993723.1: {"type":"match","feed":"trade"}',
        b'1626993723.1: {"table":"trade","action":"insert","data":[{"symbol":"X"}]}',
        b'1626993723.1: {"params":{"channel":"ticker.X","data":{}}}',
        b"1626993723.1: 7",
    ]
    (tmp_path / name).write_bytes(b"\n".join(lines[:60] + bad + lines[60:]))
    feed = open_feed(tmp_path / name)
    everything(feed)
    kept = [one.data for one in feed.refused]
    assert bad[:2] == kept[:2]
    assert set(kept) <= set(bad)
    assert len(kept) >= 4 - (name == "DERIBIT.ws.1.0")
    # What is JSON and speaks of nothing known to this venue is a message without market data.
    assert feed.tally.rows == whole.tally.rows + len(bad) - len(kept)


def test_a_capture_without_what_it_takes_is_an_error(tmp_path):
    for host, says in (
        ("wss://ws-feed.pro.coinbase.com", "no product"),
        ("wss://www.bitmex.com/realtime", "no trade"),
        ("wss://futures.kraken.com/ws/v1", "no book"),
        ("wss://www.deribit.com/ws/api/v2", "no option"),
    ):
        path = tmp_path / "x.0"
        path.write_text(f'{host} <-> 1626993367.388005\n1626993367.4: {{"type":"x"}}\n')
        with pytest.raises(FeedError, match=says):
            open_feed(path)
