"""Desks that people keep: they outlive Redis and each copy, the newest wins, trouble is told."""

from itertools import count
from pathlib import Path

import pytest

from app.blocks.desk import describe
from app.desks import Desks, page_desk
from app.keeping import EVERYBODY, Keeping, KeptError
from app.settings import ROOT
from compute.bus import BusError

LAYOUTS = {path.stem: path for path in (ROOT / "layouts").glob("*.py")}
DESK = {"title": "Mine", "widths": [320, 448, 264, 336], "centre": [["Grid", {"columns": ["bid"]}]]}


class Held:
    """What Redis would hold; it may be away."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.away = False

    def desks(self) -> dict[str, bytes]:
        if self.away:
            raise BusError("away")
        return dict(self.held)

    def keep_desk(self, key: str, data: bytes) -> None:
        self.desks()
        self.held[key] = data


@pytest.fixture
def keeping(tmp_path: Path) -> Keeping:
    return Keeping(Held(), tmp_path, count(1).__next__)


def test_a_desk_outlives_redis_and_each_of_its_copies(keeping: Keeping, tmp_path: Path) -> None:
    """A flush is made good by who looks; another machine, without the file, has it of Redis."""
    kept = keeping.keep("Ann Lee", "Morning", "overview", "macro", DESK)
    assert keeping.get("Ann Lee/Morning") == kept
    keeping.bus.held.clear()
    assert keeping.get("Ann Lee/Morning") == kept
    assert "Ann Lee/Morning" in keeping.bus.held
    elsewhere = Keeping(keeping.bus, tmp_path / "elsewhere")
    assert elsewhere.get("Ann Lee/Morning") == kept
    keeping.bus.away = True
    assert keeping.get("Ann Lee/Morning") == kept
    newer = keeping.keep("Ann Lee", "Morning", "risk", "", DESK)  # Redis hears of it later.
    keeping.bus.away = False
    assert keeping.get("Ann Lee/Morning") == newer
    assert elsewhere.get("Ann Lee/Morning") == newer


def test_what_was_taken_away_does_not_come_back(keeping: Keeping) -> None:
    """Not from an older copy either."""
    keeping.keep("Ann", "A", "overview", "", DESK)
    before = dict(keeping.bus.held)
    keeping.take_away("Ann", "A")
    keeping.bus.held = before
    with pytest.raises(KeptError, match="there is no desk 'Ann/A'"):
        keeping.get("Ann/A")
    assert keeping.of("Ann", "") == []
    with pytest.raises(KeptError, match="there is no desk"):
        keeping.take_away("Ann", "A")


def test_who_sees_which(keeping: Keeping) -> None:
    """One's own first, then those shared with one's team or with everybody."""
    keeping.keep("Ann", "Own", "overview", "", DESK)
    keeping.keep("Bob", "Team", "risk", "macro", DESK)
    keeping.keep("Cem", "All", "risk", EVERYBODY, DESK)

    def names(person: str, team: str) -> list[str]:
        return [one.name for one in keeping.of(person, team)]

    assert names("Ann", "") == ["Own", "All"]
    assert names("Ann", "macro") == ["Own", "Team", "All"]
    assert names("", "") == ["All"]
    keeping.share("Bob", "Team", "")
    assert names("Ann", "macro") == ["Own", "All"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "x" * 65, 'a"b', "a\nb", " a"])
def test_a_name_is_one_of_a_file_on_any_system(keeping: Keeping, name: str, tmp_path: Path) -> None:
    """Refused whole: neither a file nor Redis has anything of it."""
    for person, desk in ((name, "A"), ("Ann", name)):
        with pytest.raises(KeptError, match="is called by 1 to 64 letters"):
            keeping.keep(person, desk, "overview", "", DESK)
    assert not list(tmp_path.rglob("*.json"))
    assert not keeping.bus.held


def test_a_broken_desk_is_told_and_the_shipped_one_opened(keeping: Keeping, tmp_path: Path) -> None:
    """Whatever is wrong: the file, its columns, the link, the name."""
    shipped = describe(LAYOUTS["overview"])
    keeping.keep("Ann", "Good", "overview", "", DESK)
    keeping.keep("Ann", "Odd", "overview", "", {**DESK, "centre": [["Grid", {"columns": ["x"]}]]})
    (tmp_path / "Ann" / "Torn.json").write_bytes(b"{")
    good = page_desk(keeping, shipped, "Ann/Good", "")
    assert (good.title, good.stem, good.said) == ("Mine", "overview", "")
    assert good.mine == {"key": "Ann/Good", "person": "Ann", "name": "Good", "team": ""}
    for mine, done, words in (
        ("Ann/Torn", "", "cannot be read"),
        ("Ann/Odd", "", "instruments has no column 'x'"),
        ("Ann/None", "", "there is no desk"),
        ("", "e30=x%", "the link is not whole"),
        ("", "W10", "an object of stacks"),
        ("", "e30", "the grid of a desk stays"),
    ):
        desk = page_desk(keeping, shipped, mine, done)
        assert desk.spec()["feeds"] == shipped.spec()["feeds"]
        assert words in desk.said
    assert shipped.said == ""
    assert len(keeping.of("Ann", "")) == 2


def test_pages_are_answered_in_words(keeping: Keeping) -> None:
    """Kept only what the check accepts; written out as a layout; by whom the server knows."""
    desks = Desks(None, keeping, LAYOUTS)
    panels = describe(LAYOUTS["overview"]).spec()["panels"]
    stacks = {"left": [], "right": [], "foot": []}
    stacks["centre"] = [[p["ref"], 0, 0] for p in panels if p["kind"] == "grid"]
    asked = {"base": "overview", "with": stacks, "person": "Ann", "name": "Mine"}
    assert desks.answer({**asked, "do": "keep"})["desk"]["name"] == "Mine"
    assert desks.answer({**asked, "do": "keep"}, "Known")["desk"]["person"] == "Known"
    text = desks.answer({**asked, "do": "python"})["text"]
    assert text.startswith('"""Desk: Mine, made of overview by Ann."""')
    found = desks.answer({"do": "list", "person": "Ann", "team": ""})
    assert [one["name"] for one in found["desks"]] == ["Mine"]
    assert "there is no desk 'x'" in desks.answer({**asked, "do": "keep", "base": "x"})["error"]
    without = {**asked, "with": {**stacks, "centre": []}, "do": "keep"}
    assert "the grid of a desk stays" in desks.answer(without)["error"]
    assert "asked for one of" in desks.answer({"do": "dance"})["error"]
    assert "error" in desks.answer({"do": "keep"})
    assert "error" in desks.answer({"do": "keep", "base": "overview", "with": 7})
    assert desks.answer({"do": "share", "person": "Ann", "name": "Mine", "team": "x"})["desk"]
    assert desks.answer({"do": "take_away", "person": "Ann", "name": "Mine"}) == {"do": "take_away"}
