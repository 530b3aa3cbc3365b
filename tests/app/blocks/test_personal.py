"""Desks as data: each shipped one comes back the same, as a file too; nonsense is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.blocks import Desk, Feed, Grid, PnlCurve, Stock, Term
from app.blocks.desk import describe
from app.blocks.personal import DeskError, arranged, catalogue, in_room, made, python, told
from app.check import check
from app.settings import ROOT

LAYOUTS = sorted((ROOT / "layouts").glob("*.py"))
DESK = {"title": "Mine", "widths": [320, 448, 264, 336], "centre": [["Grid", {"columns": ["bid"]}]]}


def seen(desk: Desk) -> dict:
    """What a page is told, but for the name under which it is served."""
    return {name: value for name, value in desk.spec().items() if name != "stem"}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda path: path.stem)
def test_a_shipped_desk_is_the_same_as_data_and_as_a_file(layout: Path, tmp_path: Path) -> None:
    """Through JSON, and through the Python that it equals, which the check accepts."""
    desk = describe(layout)
    again = made(json.loads(json.dumps(told(desk))))
    assert seen(again) == seen(desk)
    path = tmp_path / "mine.py"
    path.write_text(python(again, 'Desk: a "quoted" one.'))
    assert [str(one) for one in check(path, []) if one.wrong] == []
    assert seen(describe(path)) == seen(desk)
    assert max(map(len, path.read_text().splitlines())) < 100


def test_what_a_page_has_done_is_done_to_its_desk() -> None:
    """Blocks of the desk by number and kind, new ones by class, with heights; room is kept."""
    desk = describe(ROOT / "layouts" / "overview.py")
    refs = [panel["ref"] for panel in desk.spec()["panels"]]
    grid = next(ref for ref in refs if ref.endswith(":grid"))
    done = {
        "left": [[refs[1], 299, 299], [refs[0], 219, 219]],
        "centre": [[grid, 0, 0]],
        "right": [["Alerts", 219, 179], ["Feed", 5 * 199, 5 * 199], ["Glass", 161, 150]],
        "widths": [400, 448, 264, 336],
    }
    mine = arranged(desk, done)
    assert [block.title for block in mine.left] == ["Exposure by class", "P&L by book"]
    assert [type(block).__name__ for block in mine.right] == ["Alerts", "Feed", "Glass"]
    assert sum(block.narrow or 0 for block in mine.right) <= 768 - 58
    assert [panel["ref"] for panel in mine.spec()["panels"]][-3:] == ["Alerts", "Feed", "Glass"]
    assert mine.widths == (400, 448, 264, 336)
    for wrong, words in (
        ({"left": [["0:grid", 0, 0]]}, "has changed since"),
        ({"left": [["99:bars", 0, 0]]}, "has changed since"),
        ({"left": [["Nothing", 0, 0]]}, "there is no block 'Nothing'"),
        ({"left": [["Feed", -1, 0]]}, "a height is"),
        ({"left": [["Feed"]]}, "which block"),
        ({"left": "all"}, "left is a list"),
        ({"widths": [1, 2, 3, 4]}, "widths are four"),
    ):
        with pytest.raises(DeskError, match=words):
            arranged(desk, {**done, **wrong})


def test_more_than_a_narrow_page_holds_is_left_out_there() -> None:
    """The grid never is; on a wide page heights give way alone."""
    feeds = [Feed(height=399, narrow=399, title=f"Feed {k}") for k in range(12)]
    mine = in_room(Desk("Mine", centre=[Grid(columns=["bid"]), Term(height=2000)], right=feeds))
    assert mine.centre[0].narrow == 0
    assert 0 < sum(block.narrow is not None for block in mine.right) < len(feeds)
    assert all(block.height == 79 for block in mine.right)
    assert mine.centre[1].height < 1022


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"left": [["Stock", {}]]}, "there is no block 'Stock'"),
        ({"left": [["__import__", {}]]}, "there is no block"),
        ({"left": [["Feed", {"make": "x"}]]}, "Feed has no 'make'"),
        ({"left": [["Feed", {"height": "tall"}]]}, "Feed: Input should be a valid integer"),
        ({"left": [["Feed", {"title": "a\nb"}]]}, "a title is a text"),
        ({"left": [["Feed", {}]] * 30}, "at most 24 blocks"),
        ({"left": [7]}, "7 is no block"),
        ({"title": ""}, "a title is a text"),
        ({"strip": ["Feed", {}]}, "strip is a Strip"),
    ],
)
def test_what_is_no_desk_is_refused(wrong: dict, words: str) -> None:
    """With what of it is wrong."""
    with pytest.raises(DeskError, match=words):
        made({**DESK, **wrong})


def test_columns_are_those_of_the_tables() -> None:
    """And what only a layout's own code makes is not kept."""
    with pytest.raises(KeyError, match="instruments has no column 'bidd'"):
        made({**DESK, "centre": [["Grid", {"columns": ["bidd"]}]]})
    with pytest.raises(DeskError, match="own code"):
        told(Desk("Mine", centre=[Grid(columns=["bid"])], right=[Stock("Own", columns=["bid"])]))


def test_every_block_of_the_catalogue_can_be_added() -> None:
    """As it stands there: class, kind, title and a sentence."""
    base = made(DESK)
    for name, kind, title, said in catalogue():
        desk = arranged(base, {"centre": [["0:grid", 0, 0]], "right": [[name, 219, 179]]})
        panel = desk.spec()["panels"][-1]
        assert (panel["kind"], panel["ref"]) == (kind, name)
        assert title
        assert said.endswith(".")
        assert made(told(desk)).spec()["feeds"] == desk.spec()["feeds"]
        assert replace(desk.right[0], height=0).height == 0


def test_a_desk_kept_under_a_blocks_former_name_is_whole() -> None:
    """Curve is PnlCurve now: whoever kept a desk with it finds it there."""
    data = told(Desk("Mine", centre=[Grid()], foot=[PnlCurve("P&L today", height=161)]))
    data["foot"][0][0] = "Curve"
    assert made(data).foot == [PnlCurve("P&L today", height=161)]
