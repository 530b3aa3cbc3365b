"""Layouts say what they show; what cannot be shown is refused by name."""

import pytest

from app.blocks import Books, Chart, Desk, Exposure, Grid
from app.blocks.block import Feeds


def test_an_unknown_column_is_refused_with_what_there_is() -> None:
    with pytest.raises(KeyError, match=r"instruments has no column 'vwpa'; it has bid, ask"):
        Grid("Blotter", columns=["last", "vwpa"])


def test_an_unknown_table_is_refused_with_what_there_is() -> None:
    with pytest.raises(KeyError, match=r"no table 'bonds'; there are instruments"):
        Grid("Blotter", table="bonds", columns=["last"])


def test_blocks_on_one_table_share_a_feed() -> None:
    desk = Desk("Test", left=[Books(), Exposure()], centre=[Grid(columns=["bid"])], right=[Chart()])
    feeds = desk.spec()["feeds"]
    assert [feed.get("table", feed["kind"]) for feed in feeds] == [
        *("instruments", "classes", "books", "series", "status")
    ]
    assert feeds[0]["columns"] == ["bid", "ts_event", "state"]
    assert set(feeds[1]["columns"]) >= {"pnl", "gross", "net", "long", "short"}
    assert len(set(feeds[1]["columns"])) == len(feeds[1]["columns"])


def test_the_status_feed_is_always_there() -> None:
    assert Feeds().spec() == [{"kind": "status"}]
