"""Layouts say what they show; what cannot be shown is refused by name."""

import pytest

from app.blocks import Books, Chart, Desk, Exposure, Exposures, Grid, Orders, Strip
from app.blocks.block import Feeds
from app.blocks.desk import FIRST
from app.view import view_key
from compute.table import ANALYTICS


def test_an_unknown_column_is_refused_with_what_there_is() -> None:
    with pytest.raises(KeyError, match=r"instruments has no column 'vwpa'. Did you mean vwap"):
        Grid("Blotter", columns=["last", "vwpa"])


def test_an_unknown_table_is_refused_with_what_there_is() -> None:
    with pytest.raises(KeyError, match=r"no table 'bonds'; there are instruments"):
        Grid("Blotter", table="bonds", columns=["last"])


def test_blocks_on_one_table_share_a_feed() -> None:
    left, strip = [Books(), Exposure()], Strip(risk=())
    desk = Desk("Test", strip, left=left, centre=[Grid(columns=["bid"])], right=[Chart()])
    feeds = desk.spec()["feeds"]
    assert [feed.get("table", feed["kind"]) for feed in feeds] == [
        *("instruments", "classes", "books", "series", "status")
    ]
    assert feeds[0]["columns"] == ["bid", "ts_event", "state"]
    assert set(feeds[1]["columns"]) >= {"day_pnl", "gross", "net", "long", "short"}
    assert len(set(feeds[1]["columns"])) == len(feeds[1]["columns"])


def test_a_set_of_columns_is_a_feed_of_its_own_that_nobody_asks_for_yet() -> None:
    grid = Grid(sets={"Prices": ["bid"], "Greeks": ["implied", "delta"]})
    spec = Desk("Test", centre=[grid]).spec()
    numbers = spec["panels"][0]["feeds"]
    first, second, detail = spec["feeds"][0], *(spec["feeds"][numbers[k]] for k in numbers)
    assert first["columns"] == ["bid", "ts_event", "state"]
    assert second["columns"] == ["implied", "delta", "ts_event", "state"]
    assert second["window"] == detail["window"] == [0, 0]
    assert {"underlying_price", "forward", "smile_age_s"} <= set(detail["columns"])


def test_columns_may_be_those_of_the_table_beside() -> None:
    columns = {one["name"]: one for one in Grid(columns=["bid", "delta"]).spec()["columns"]}
    assert columns["delta"]["source"] == ANALYTICS.columns[ANALYTICS.index("delta")].source
    with pytest.raises(KeyError, match="positions has no column 'delta'"):
        Grid(table="positions", columns=["delta"])


def test_every_feed_of_every_desk_can_be_served() -> None:
    desk = Desk("Test", left=[Exposures()], right=[Orders()], centre=[Grid(columns=["bid"])])
    for feed in desk.spec()["feeds"]:
        if feed["kind"] == "grid":
            view_key(feed["table"], feed["columns"], feed.get("match"))


def test_desks_name_each_other() -> None:
    told = Desk("Test").spec()["desks"]
    assert told[0] == ["Overview", "overview"]
    assert ["FX", "fx"] in told
    stems = [stem for _, stem in told]
    named = [stem for stem in FIRST if stem in stems]
    assert stems == named + sorted(set(stems) - set(named))


def test_the_status_feed_is_always_there() -> None:
    assert Feeds().spec() == [{"kind": "status"}]
