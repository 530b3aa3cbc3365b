"""What stands around the numbers, in Chromium: news, notes that stay, menus that all follow."""

import json
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.blocks.around import NOTES_MAX, Notes, Selectors
from app.blocks.desk import describe
from app.blocks.personal import DeskError, arranged, made, python, told
from app.check import check
from app.settings import ROOT
from compute.table import State

NEWS = "() => tickglass.panel('news').body.innerText.replaceAll('\\n', ' ')"
PORTFOLIO = ROOT / "layouts/portfolio.py"


def test_a_halt_is_news_and_its_instrument_is_followed(open_page, sessions) -> None:
    """Told once, by name, with its end; the list is for keys, and is what its menu says."""
    page = open_page(sessions, desk="overview")
    page.wait_for_function("() => tickglass.panel('news').body.innerText.includes('halted')")
    symbol = page.evaluate("() => tickglass.instrument(3).symbol")
    assert f"{symbol} halted" not in page.evaluate(NEWS)
    sessions.ask(set=[3, "state", float(State.HALTED)])
    page.wait_for_function(
        f"(said) => ({NEWS})().includes(said)", arg=f"{symbol} halted", timeout=30_000
    )
    line = page.get_by_role("button", name=f"{symbol} halted: show it")
    line.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => tickglass.followed() === 3")
    sessions.ask(set=[3, "state", 0.0])
    page.wait_for_function(f"(said) => ({NEWS})().includes(said)", arg=f"{symbol} trades again")
    page.get_by_role("group", name="Kind of news").get_by_role("button", name="Moves").click()
    page.wait_for_function(f"() => !({NEWS})().includes('halted')")


def test_limits_are_news(open_page, still) -> None:
    """Raised, acknowledged by whom, and a new one at once."""
    page = open_page(still, desk="overview")
    page.get_by_role("group", name="Kind of news").get_by_role("button", name="Limits").click()
    page.wait_for_function(f"() => ({NEWS})().includes('limit')")
    still.ask(raise_alert={"name": "Fund gross", "level": "breach"})
    page.wait_for_function(f"() => ({NEWS})().includes('Fund gross over its limit')")


def test_notes_are_part_of_the_desk(open_page, sessions, tmp_path) -> None:
    """Written on the page they stand in its link, are there after a reload, and in the file."""
    page = open_page(sessions, desk="portfolio")
    page.get_by_role("textbox", name="Notes").fill('Roll ESZ6 on Friday.\nAsk Ann about "gamma".')
    page.wait_for_function("() => location.search.includes('with=')")
    packed = parse_qs(urlsplit(page.url).query)["with"][0]
    done = json.loads(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    desk = arranged(describe(PORTFOLIO), done)
    (notes,) = [block for block in desk.blocks if isinstance(block, Notes)]
    assert notes.text == 'Roll ESZ6 on Friday.\nAsk Ann about "gamma".'
    assert made(json.loads(json.dumps(told(desk)))).blocks == desk.blocks
    path = tmp_path / "mine.py"
    path.write_text(python(desk, "Desk: with notes."))
    assert check(path, [tmp_path]) == []
    (again,) = [block for block in describe(path).blocks if isinstance(block, Notes)]
    assert again.text == notes.text
    page.keyboard.press("e")  # Letters belong to the text.
    assert page.get_by_role("textbox", name="Notes").input_value().endswith("e")


@pytest.mark.parametrize("wrong", [["Roll"], [7], ["x" * (NOTES_MAX + 1)], ["a", "b"]])
def test_what_is_no_note_is_refused(wrong: list[Any]) -> None:
    """Of another block, of another type, too long."""
    base = describe(PORTFOLIO)
    ref, kind = ("0:selectors", "Selectors") if wrong == ["Roll"] else ("Notes", "Notes")
    with pytest.raises(DeskError, match=rf"{kind} has no text|notes have"):
        arranged(base, {"centre": [["4:grid", 0, 0]], "left": [[ref, 79, 79, *wrong]]})
    with pytest.raises(DeskError, match="no menu of"):
        made({"title": "Mine", "left": [["Selectors", {"of": ["moon"]}]], "centre": []})
    assert Selectors(of=["trader"]).spec()["of"][0][0] == "trader"


def test_menus_choose_for_all_that_follow(open_page, sessions) -> None:
    """A strategy leaves the lines of its books; a currency the lines paid in it; both in a link."""
    page = open_page(sessions, desk="portfolio")
    strategy = page.get_by_role("combobox", name="Strategy")
    page.wait_for_function("() => tickglass.panel('selectors').body.innerText.includes('Macro')")
    every = page.evaluate("() => tickglass.lineTotal()")
    strategy.select_option(label="Macro")
    page.wait_for_function("() => tickglass.chosen().name === 'Macro'")
    books = page.evaluate("() => tickglass.filter().books")
    assert len(books) >= 2
    page.wait_for_function("(every) => tickglass.lineTotal() < every", arg=every)
    rows = page.evaluate("() => tickglass.rows()")
    held = sessions.ask(table="positions", rows=rows, columns=["book", "instrument"])
    assert {int(book) for book, _ in held} == set(books)
    page.get_by_role("combobox", name="Currency").select_option(label="EUR")
    page.wait_for_function(
        """() => { const ids = tickglass.rows().map((r) => tickglass.cell(r, 'symbol'));
          return tickglass.filter().currency === 'EUR' && ids.length; }"""
    )
    page.wait_for_timeout(500)
    held = sessions.ask(
        table="positions", rows=page.evaluate("() => tickglass.rows()"), columns=["instrument"]
    )
    paid = page.evaluate(
        "(ids) => ids.map((id) => tickglass.instrument(id).currency)", [row for (row,) in held]
    )
    assert set(paid) == {"EUR"}
    page.evaluate("() => tickglass.panel('grid').body.focus()")
    page.keyboard.press("l")
    page.wait_for_function("() => location.search.includes('currency=EUR')")
    other = open_page(sessions, "?" + urlsplit(page.url).query, desk="portfolio")
    other.wait_for_function(
        "() => tickglass.filter().currency === 'EUR' && tickglass.filter().books.length > 1"
    )
    assert strategy.input_value() == other.get_by_role("combobox", name="Strategy").input_value()


def test_the_filter_of_a_tile_is_that_of_the_grid(open_page, sessions) -> None:
    """Words and classes from the tile, told back in the grid's head, and cleared in one go."""
    page = open_page(sessions, desk="charts")
    every = page.evaluate("() => tickglass.lineTotal()")
    words = page.get_by_role("searchbox", name="Lines that have")
    words.fill("AAPL")
    page.wait_for_function("() => tickglass.filter().text === 'AAPL'")
    page.wait_for_function("(every) => tickglass.lineTotal() < every", arg=every)
    words.press("Enter")
    assert page.evaluate("() => tickglass.panel('grid').body.matches(':focus')")
    classes = page.get_by_role("group", name="Classes shown")
    classes.get_by_role("button", name="FX", exact=True).click()
    page.wait_for_function("() => tickglass.filter().classes.length === 1")
    assert classes.locator("[aria-pressed=true]").inner_text() == "FX"
    page.locator(".fields").get_by_role("button", name="Clear filter").click()
    page.wait_for_function("(every) => tickglass.lineTotal() === every", arg=every)
    assert words.input_value() == ""
    assert classes.locator("[aria-pressed=true]").inner_text() == "All"


def test_the_moment_of_a_tile_opens_the_past(open_page, sessions) -> None:
    """A moment that is typed, or so long ago; what is no moment is said to be none."""
    page = open_page(sessions, desk="charts")
    clock = page.get_by_role("textbox", name="Moment to show, UTC")
    clock.fill("noon")
    clock.press("Enter")
    page.wait_for_function("() => tickglass.panel('as_of').root.innerText.includes('say 14:03')")
    assert "asof=" not in page.url
    clock.fill("2026-11-22 09:03:02.113")
    with page.expect_navigation(url="**asof=2026-11-22T09:03:02.113**", wait_until="commit"):
        clock.press("Enter")
    page = open_page(sessions, desk="charts")
    with page.expect_navigation(url="**asof=**", wait_until="commit"):
        page.get_by_role("group", name="Back by").get_by_role("button", name="15 m back").click()
