"""The walk of desks: found, filtered, arranged, kept, lost and restored, passed on, printed, saved.

One Chromium and one web process of the product, told by hand what a market would be.
"""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import redis as redis_library
from pyarrow import parquet

from app.blocks.desk import describe
from app.blocks.personal import STACKS
from app.check import check
from tests.browser import chromium
from tests.web import Publisher, serving

PATIENCE_MS = 90_000
LIVE = "() => window.tickglass && tickglass.painted > 0 && tickglass.rows().length > 3"
STANDS = """() => ({ panels: tickglass.stands(), filter: tickglass.filter().classes,
  sort: tickglass.arrangement().sorts,
  followed: tickglass.instrument(tickglass.followed()).symbol })
"""


AGENT = """window.fdc3 = { told: [], heard: {},
  broadcast(context) { this.told.push(context); return Promise.resolve(); },
  addContextListener(type, take) { this.heard[type] = take; } };
window.noticed = [];
window.Notification = class {
  static permission = 'granted';
  static requestPermission() { return Promise.resolve('granted'); }
  constructor(title, { body }) { noticed.push(body); }
};"""
LIMIT = {
    "alert": "3-0-17",
    "limit": 3,
    "name": "Gross of the fund",
    "key": "",
    "kind": "raised",
    "level": "breach",
    "number": 1,
    "open": True,
    "acknowledged": False,
    "person": "",
    "value": 6.1e8,
    "measure": "gross",
    "scope": "fund",
    "warning": 5e8,
    "breach": 6e8,
}
FRIEND, STRANGER = "http://friend.test", "http://stranger.test"


def until(page: Any, text: str, arg: Any = None) -> Any:
    """What the page gives once it gives something."""
    return page.wait_for_function(text, arg=arg, timeout=PATIENCE_MS).json_value()


def whole(page: Any) -> None:
    """Nothing is cut, too small or over another; blank may be what this market knows nothing of."""
    until(page, "() => tickglass.problems().every((said) => said.endsWith('is blank'))")


def go(page: Any, url: str) -> None:
    """Open a desk; it is live."""
    page.goto(url)
    until(page, LIVE)


def named(panels: dict[str, Any]) -> dict[str, Any]:
    """Which block stands where, however high."""
    return {stack: [one[0] for one in panels[stack]] for stack in STACKS}


def saved(page: Any, block: str, form: str, path: Path) -> Path:
    """A block as a file, by its menu."""
    page.locator(f"section.panel[aria-label='{block}'] header h2 button").first.click()
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_role("menuitem", name=f"Save as {form}").click()
    download.value.save_as(path)
    return path


def arranged(page: Any) -> None:
    """By keys: the first block one down, higher, its side wider; one taken out, and that undone."""
    page.keyboard.press("e")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Delete")
    page.keyboard.press("Control+z")


def dragged(page: Any) -> None:
    """By pointer: the chart from the right to the head of the left."""
    head = page.locator("section.panel.chart > header").bounding_box()
    goal = page.locator("section.panel.bars > header").first.bounding_box()
    page.mouse.move(head["x"] + head["width"] - 90, head["y"] + 9)
    page.mouse.down()
    page.mouse.move(goal["x"] + 60, goal["y"] + 30, steps=4)
    page.mouse.move(goal["x"] + 60, goal["y"] + 5, steps=4)
    page.mouse.up()


def kept(page: Any) -> None:
    """Under a name, by a person, for a team."""
    page.get_by_role("button", name="Keep as mine").click()
    page.get_by_label("Its name").fill("Morning")
    page.get_by_label("Your name").fill("Ann Lee")
    page.get_by_label("Team to share with").fill("macro")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("mine="), timeout=PATIENCE_MS, wait_until="commit")
    until(page, LIVE)


def palette(page: Any, text: str) -> None:
    """Find something by keys and do it."""
    page.keyboard.press("/")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


@pytest.mark.requires("chromium")
def test_a_desk_of_ones_own(redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the shipped one to one's own, everywhere, and back."""
    monkeypatch.setenv("TICKGLASS_FDC3", FRIEND)
    market = Publisher(redis)
    with serving(redis, "", tmp_path) as url, chromium() as browser:
        context = browser.new_context(viewport={"width": 1920, "height": 1080})
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(AGENT)
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        go(page, f"{url}/overview")
        shipped = page.evaluate(STANDS)["panels"]
        arranged(page)
        mine = page.evaluate(STANDS)["panels"]
        assert [one[0] for one in mine["left"]][:2] == [one[0] for one in shipped["left"]][1::-1]
        assert mine["left"][1][1] == shipped["left"][0][1] + 20
        assert mine["widths"][0] == shipped["widths"][0] + 20
        dragged(page)
        chart = page.evaluate(STANDS)["panels"]
        assert chart["left"][0][0].endswith(":chart")
        page.reload()  # What was done stands in the address; heights are those there is room for.
        until(page, LIVE)
        assert named(page.evaluate(STANDS)["panels"]) == named(chart)
        kept(page)
        whole(page)
        own = page.evaluate(STANDS)["panels"]
        assert {stack: len(own[stack]) for stack in STACKS} == {
            stack: len(chart[stack]) for stack in STACKS
        }

        # Redis loses all; whoever opens the desk has it all the same.
        redis_library.Redis.from_url(redis).delete("tickglass:desks")
        page.reload()
        until(page, LIVE)
        assert page.evaluate(STANDS)["panels"] == own

        # A link says where one stands, and its page comes to stand there.
        page.evaluate("() => tickglass.filterTo([0, 1])")
        symbol = until(page, "() => tickglass.instrument(tickglass.rows()[2])?.symbol")
        palette(page, symbol)
        until(page, "(s) => tickglass.instrument(tickglass.followed())?.symbol === s", symbol)
        contexts(page, symbol)
        head = page.evaluate("() => tickglass.head('last')")
        page.mouse.click(head["x"] + head["w"] - 20, head["y"] + 8)
        until(page, "() => tickglass.arrangement().sorts.length === 1")
        page.keyboard.press("l")
        stands = page.evaluate(STANDS)
        assert stands["filter"] == [0, 1]
        other = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
        other.on("pageerror", lambda error: errors.append(str(error)))
        go(other, page.url)
        until(other, "(s) => tickglass.instrument(tickglass.followed())?.symbol === s", symbol)
        there = other.evaluate(STANDS)
        assert {**there, "panels": 0} == {**stands, "panels": 0}
        whole(other)

        shared(page, other)
        files(page, tmp_path)
        looks(page)
        noticed(page, market)
        refused(page, url, tmp_path)
        assert not errors
    market.bus.close()


def answered(text: str) -> Any:
    """A route that answers with a page of that text."""
    return lambda route: route.fulfill(body=text, content_type="text/html")


def contexts(page: Any, symbol: str) -> None:
    """Other windows are told what is followed, and followed where they are known."""
    told = {"type": "fdc3.instrument", "name": symbol, "id": {"ticker": symbol}}
    assert page.evaluate("() => fdc3.told.at(-1)") == told

    def followed() -> str:
        return str(page.evaluate("() => tickglass.instrument(tickglass.followed()).symbol"))

    page.evaluate("(c) => fdc3.heard['fdc3.instrument'](c)", {**told, "id": {"ticker": "C4"}})
    assert followed() == "C4"
    assert page.evaluate("() => fdc3.told.at(-1)") == told  # Not told back.
    for origin, ticker in ((STRANGER, "H1"), (FRIEND, symbol)):
        said = {"fdc3": "broadcast", "context": {**told, "id": {"ticker": ticker}}}
        text = f"<script>opener.postMessage({json.dumps(said)}, '*')</script>"
        page.context.route(f"{origin}/**", answered(text))
        page.evaluate("(url) => { window.open(url); }", f"{origin}/other.html")
        if origin == STRANGER:
            until(page, "() => tickglass.refusedContexts() === 1")
            assert followed() == "C4"
    until(page, "(s) => tickglass.instrument(tickglass.followed()).symbol === s", symbol)
    # A portfolio that no book is called after: the first of its lines that is known here.
    held = [{"type": "fdc3.position", "instrument": {"id": {"ticker": t}}} for t in ("?", "H1")]
    portfolio = {"type": "fdc3.portfolio", "name": "Theirs", "positions": held}
    page.evaluate("(c) => fdc3.heard['fdc3.portfolio'](c)", portfolio)
    assert followed() == "H1"
    page.evaluate("(c) => fdc3.heard['fdc3.instrument'](c)", told)
    assert followed() == symbol


def shared(page: Any, other: Any) -> None:
    """The team has the desk in its menu, and has it no more once it is shared with nobody."""
    menu, theirs = "Desk", "Morning \u00b7 Ann Lee"
    other.get_by_role("button", name=menu, exact=True).click()
    other.get_by_role("menuitem", name="Who I am").click()
    other.get_by_label("Your name").fill("Bob Ray")
    other.get_by_label("Your team, if any").fill("macro")
    other.keyboard.press("Enter")
    other.get_by_role("button", name=menu, exact=True).click()
    other.get_by_role("menuitemradio", name=theirs).wait_for()
    other.keyboard.press("Escape")
    page.get_by_role("button", name=menu, exact=True).click()
    page.get_by_role("menuitem", name="Share with a team").click()
    page.get_by_label("Team; empty: nobody").fill("")
    page.keyboard.press("Enter")
    page.get_by_text("Shared with nobody.").wait_for()
    other.get_by_role("button", name=menu, exact=True).click()
    other.get_by_role("menuitemradio", name=theirs).wait_for(state="detached")
    other.keyboard.press("Escape")


def noticed(page: Any, market: Publisher) -> None:
    """Clocks of a zone that is chosen; an alert told beyond the page, once that is chosen."""
    palette(page, "clock: tokyo")
    clock = """() => {
      const root = tickglass.panel('grid').root.getRootNode(), zone = { timeZone: 'Asia/Tokyo' };
      const hour = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...zone };
      const now = new Intl.DateTimeFormat('en-GB', hour).format(Date.now());
      return root.querySelector('.live').textContent.includes(' ' + now + ':');
    }"""
    until(page, clock)
    palette(page, "notify beyond this page")
    until(page, "() => tickglass.notices().notify")
    raised = {**LIMIT, "changed_ms": page.evaluate("() => Date.now()")}
    market.bus.set_alerts(json.dumps([raised]).encode())
    market.tell()
    said = until(page, "() => noticed.length && noticed[0]")
    assert said.startswith("Limit passed: Gross of the fund")


def files(page: Any, folder: Path) -> None:
    """Tables with units, a picture, one sheet of paper, and the layout that the desk equals."""
    text = saved(page, "Blotter", "CSV", folder / "b.csv").read_text()
    rows = list(csv.reader(text.splitlines()))
    heads = next(k for k, row in enumerate(rows) if row[0] == "Symbol")
    assert rows[0][0] == "# tickglass.desk: Morning"
    assert dict(zip(rows[heads], rows[heads + 1], strict=True))["Last"] == "price"
    lasts = [float(row[rows[heads].index("Last")]) for row in rows[heads + 2 :]]
    assert lasts == sorted(lasts, reverse=True)
    assert len(lasts) == page.evaluate("() => tickglass.rows().length")
    table = parquet.read_table(saved(page, "P&L by book", "Parquet", folder / "b.parquet"))
    assert table.schema.metadata[b"tickglass.block"] == b"P&L by book"
    assert table.schema.field("P&L k").metadata[b"unit"] == b"USD"
    picture = saved(page, "Blotter", "PNG", folder / "b.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5_000
    sheet = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type /Page\n", sheet)) == 1
    wide, high = (float(v) for v in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", sheet)[0])
    assert wide > high > 800
    whole(page)  # As before.
    with page.expect_download(timeout=PATIENCE_MS) as download:
        palette(page, "write as a layout")
    layout = folder / "mine.py"
    download.value.save_as(layout)
    assert [str(one) for one in check(layout, []) if one.wrong] == []
    again = describe(layout).spec()
    shown = page.evaluate(STANDS)["panels"]
    for stack in STACKS:
        told = [p for p in again["panels"] if p["place"] == stack]
        assert [[p["height"], p["narrow"]] for p in told] == [one[1:] for one in shown[stack]]


def looks(page: Any) -> None:
    """Numbers as a person wants them, by the palette; nothing notifies or sounds unasked."""
    palette(page, "below nought: (1,234)")
    until(page, "() => tickglass.format.num(-1234.5, 1) === '(1,234.5)'")
    palette(page, "thousands: k, m, b")
    until(page, "() => tickglass.format.quantity(2e10).endsWith('B')")
    whole(page)
    assert page.evaluate("() => tickglass.notices()") == {"notify": False, "sound": False}


def refused(page: Any, url: str, folder: Path) -> None:
    """A desk that cannot be is the shipped one, which says why; taken away it is no more."""
    go(page, f"{url}/overview?mine=Ann Lee/Morning")
    page.get_by_role("button", name="Desk", exact=True).click()
    page.get_by_role("menuitem", name="Take away").click()
    page.wait_for_url(re.compile(r"/overview$"), timeout=PATIENCE_MS, wait_until="commit")
    go(page, f"{url}/overview?mine=Ann Lee/Morning")
    said = page.locator("section.mine").inner_text()
    assert "This is Overview as shipped: there is no desk 'Ann Lee/Morning'" in said
    gone = json.loads((folder / "data" / "desks" / "Ann Lee" / "Morning.json").read_text())
    assert gone["desk"] is None
