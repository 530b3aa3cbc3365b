import shutil

import numpy as np
import pytest

from ingest.event import NO_PRICE, Flag, Kind, Status
from ingest.feeds.feed import FeedError
from ingest.feeds.open import open_feed

NAME = "AMZN_2012-06-21_34200000_57600000_message_1.csv"
AMZN = f"lobster/{NAME}"


def test_amzn_is_all_read_and_every_quote_is_the_book_file(recorded, everything):
    path = recorded(AMZN)
    feed = open_feed(path)
    found = everything(feed)
    assert (feed.tally.rows, feed.tally.refused_total) == (57_515, 0)
    quotes, trades = (found[found["kind"] == kind] for kind in (Kind.QUOTE, Kind.TRADE))
    assert len(trades) == 8_974 + 2_445
    book = np.genfromtxt(str(path).replace("message", "orderbook"), delimiter=",", skip_header=1)
    last = np.maximum.accumulate(
        np.bincount(quotes["sequence"].astype(int), np.arange(len(quotes)), len(book) + 1)
    ).astype(int)[1:]
    for i, (field, unit) in enumerate(
        (("ask", 1e-5), ("ask_size", 1), ("bid", 1e-5), ("bid_size", 1))
    ):
        assert (np.rint(quotes[field][last] * unit) == book[:, i]).all()


def test_without_the_book_file_what_the_messages_do_not_tell_is_unknown(
    recorded, everything, tmp_path
):
    shutil.copy(recorded(AMZN), tmp_path / NAME)
    quotes = everything(open_feed(tmp_path / NAME))
    assert (quotes["bid"] == NO_PRICE).any()
    both = everything(open_feed(recorded(AMZN)))
    known = {(row["sequence"], row["bid"]) for row in both if row["kind"] == Kind.QUOTE}
    said = quotes[(quotes["kind"] == Kind.QUOTE) & (quotes["bid"] != NO_PRICE)]
    latest = said[np.isin(said["sequence"], list({sequence for sequence, _ in known}))]
    assert all((row["sequence"], row["bid"]) in known for row in latest)


def test_messages_read_as_the_format_says(tmp_path, everything):
    lines = [
        "34200.000000001,1,11,100,1000000,1",  # A bid of 100 at $100.
        "34200.5,1,12,50,1010000,-1",
        "34201.0,4,11,40,1000000,1",  # The resting bid is hit: a seller.
        "34201.1,5,0,10,1005000,-1",  # Hidden: does not touch the book.
        "34201.2,1,13,70,1002000,1",
        "34201.3,6,0,500,1001000,-1",  # Cross.
        "34202.0,7,0,0,-1,-1",
        "34203.0,7,0,0,0,-1",
        "34204.0,7,0,0,1,-1",
        "34205.0,2,13,20,1002000,1",
        "34206.0,3,13,50,1002000,1",
    ]
    path = tmp_path / "XYZ_2012-06-21_34200000_57600000_message_1.csv"
    path.write_text("\n".join(lines))
    feed = open_feed(path, 3)
    found = everything(feed)
    trades = found[found["kind"] == Kind.TRADE]
    assert trades["flags"].tolist() == [Flag.SELLER, Flag.BUYER, Flag.AUCTION]
    assert trades["price"].tolist() == [100_000_000_000, 100_500_000_000, 100_100_000_000]
    status = found[found["kind"] == Kind.STATUS]
    states = [Status.HALTED, Status.AUCTION, Status.TRADING]
    assert status["reference"].tolist() == states
    assert (status["size"] == 0).all()
    # 2012-06-21 09:30 in New York is 13:30 UTC.
    assert found["ts_event"][0] > 1_340_285_400_000_000_000
    quotes = found[found["kind"] == Kind.QUOTE]
    assert quotes["bid_size"].tolist() == [70, 50, 0]
    assert quotes["bid"].tolist() == [100_200_000_000, 100_200_000_000, NO_PRICE]
    assert feed.tally.rows == 11


def test_a_bad_line_in_either_file_costs_that_line(recorded, everything, tmp_path):
    for kind in ("message", "orderbook"):
        name = NAME.replace("message", kind)
        lines = recorded(f"lobster/{name}").read_bytes().split(b"\n")
        lines[500 if kind == "message" else 900] = b"damaged"
        (tmp_path / name).write_bytes(b"\n".join(lines))
    feed = open_feed(tmp_path / NAME)
    everything(feed)
    assert feed.tally.rows == 57_514
    assert [one.data for one in feed.refused] == [b"damaged"] * 2


def test_a_name_without_symbol_and_day_is_refused(tmp_path):
    path = tmp_path / "messages.csv"
    path.write_text("34200.1,1,11,100,1000000,1\n")
    with pytest.raises(FeedError, match="name it like AMZN_2012-06-21"):
        open_feed(path)
