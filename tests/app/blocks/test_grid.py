"""What a trader does with a grid, in Chromium: arrange, sort, group, copy, by pointer and by keys.

Sorts, groups and totals are the product's own sessions; the market is made up.
"""

import json
import math
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from compute.table import INSTRUMENTS
from ingest.universe import universe

MINUS = "\u2212"
GROUP = 1 << 31


def glass(page: Any) -> list[dict[str, Any]]:
    """Lines that show something."""
    return [line for line in page.evaluate("() => tickglass.glass()") if line]


def middle(page: Any, name: str) -> tuple[float, float]:
    """The middle of a column's head."""
    head = page.evaluate("(name) => tickglass.head(name)", name)
    return head["x"] + head["w"] / 2, head["y"] + head["h"] / 2


def columns(page: Any) -> list[str]:
    """Names of the columns that are shown."""
    names: list[str] = page.evaluate("() => tickglass.columns()")
    return names


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """By the pointer, in steps."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, end[1])
    page.mouse.move(*end)
    page.mouse.up()


def settle(page: Any) -> None:
    """Two frames and what the server answers."""
    page.wait_for_timeout(250)


def settled(page: Any, pushes: int) -> None:
    """So many pushes more have been painted."""
    painted = page.evaluate("() => tickglass.counted().pushes")
    page.wait_for_function("(n) => tickglass.counted().pushes >= n", arg=painted + pushes)


def kept(page: Any) -> dict[str, Any]:
    """The arrangement as it is kept between visits."""
    text = page.evaluate("() => localStorage.getItem('tickglass:grid:Overview:Blotter')")
    found: dict[str, Any] = json.loads(text)
    return found


def table(server: Any, names: list[str]) -> np.ndarray:
    """Columns of all instruments as the server has them."""
    rows = server.ask(table="instruments", columns=names, rows=list(range(1500)))
    return np.array(rows, float)


def test_columns_are_resized_moved_pinned_hidden_and_kept(open_page, sessions) -> None:
    page = open_page(sessions)
    head = page.evaluate("() => tickglass.head('last')")
    edge = head["x"] + head["w"] - 1, head["y"] + 8
    drag(page, edge, (edge[0] + 40, edge[1]))
    settle(page)
    assert page.evaluate("() => tickglass.head('last').w") == pytest.approx(head["w"] + 40, abs=2)
    assert page.evaluate("() => tickglass.sent.filter(m => m.type === 'sort').length") == 0
    page.mouse.dblclick(edge[0] + 40, edge[1])
    settle(page)
    fitted = page.evaluate("() => tickglass.head('last').w")
    assert fitted < head["w"] + 40
    before = page.evaluate("() => tickglass.all()")
    drag(page, middle(page, "vwap"), (middle(page, "bid")[0] - 30, middle(page, "bid")[1]))
    settle(page)
    after = columns(page)
    assert after.index("vwap") == after.index("bid") - 1
    assert sorted(page.evaluate("() => tickglass.all()")) == sorted(before)
    for name, item in (("pnl", "Pin left"), ("ask_size", "Hide")):
        page.mouse.click(*middle(page, name), button="right")
        page.get_by_role("menuitemcheckbox", name=item).or_(
            page.get_by_role("menuitem", name=item)
        ).click()
        settle(page)
    assert columns(page)[:2] == ["symbol", "pnl"]
    assert "ask_size" not in columns(page)
    hidden = INSTRUMENTS.index("ask_size")
    assert hidden  # Its cells do not travel any more.
    told = [m for m in sessions.ask(heard=1) if m["type"] == "columns"][-1]
    assert 3 not in told["shown"]  # The fourth column of the feed.
    assert kept(page)["widths"]["last"] == pytest.approx(fitted, abs=1)
    page.reload()
    page.wait_for_function("() => window.tickglass && tickglass.painted > 0")
    page.wait_for_function("() => tickglass.rows().length > 10")
    assert columns(page)[:2] == ["symbol", "pnl"]
    assert page.evaluate("() => tickglass.head('last').w") == fitted


def test_the_same_by_keys_alone(open_page, sessions) -> None:
    page = open_page(sessions)
    page.get_by_role("grid", name="Blotter").focus()
    page.keyboard.press("ArrowUp")  # From the first line to the head.
    names = columns(page)
    at = page.evaluate("() => tickglass.columns()[2]")
    assert at == names[2]
    page.keyboard.press("Alt+ArrowRight")
    settle(page)
    assert columns(page)[3] == at
    width = page.evaluate("(name) => tickglass.head(name).w", at)
    page.keyboard.press("Alt+Shift+ArrowRight")
    settle(page)
    assert page.evaluate("(name) => tickglass.head(name).w", at) == width + 8
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Enter")
    settle(page)
    assert [name for name, _ in page.evaluate("() => tickglass.arrangement().sorts")] == [
        at,
        columns(page)[4],
    ]
    heads = page.get_by_role("columnheader")
    page.wait_for_timeout(1100)
    said = [head.get_attribute("aria-sort") for head in heads.all()]
    assert said[3:5] == ["descending", "descending"]
    active = page.get_by_role("grid", name="Blotter").get_attribute("aria-activedescendant")
    assert active == "cell-0-4"
    page.keyboard.press("m")
    assert page.get_by_role("menu").is_visible()
    page.keyboard.type("hid")
    page.keyboard.press("Enter")
    settle(page)
    assert len(columns(page)) == len(names) - 1
    page.keyboard.press("m")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    settle(page)
    assert columns(page) == names
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog", name="Keys").is_visible()


def test_many_sorts_order_as_numpy_does(open_page, sessions) -> None:
    page = open_page(sessions)
    page.mouse.click(*middle(page, "bid_size"))
    page.keyboard.down("Shift")
    page.mouse.click(*middle(page, "volume"))
    page.keyboard.up("Shift")
    page.mouse.move(10, 10)
    settle(page)
    sort = [m for m in sessions.ask(heard=1) if m["type"] == "sort"][-1]
    assert sort["by"][-2:] == [["bid_size", True], ["volume", True]]
    values = table(sessions, ["bid_size", "volume"])
    keys = [np.where(np.isnan(values[:, k]), np.inf, -values[:, k]) for k in (1, 0)]
    assert page.evaluate("() => tickglass.rows()")[:30] == np.lexsort(keys)[:30].tolist()


def test_groups_sum_what_can_be_summed_and_open_and_shut(open_page, sessions) -> None:
    page = open_page(sessions)
    page.get_by_role("grid", name="Blotter").focus()
    page.keyboard.press("m")
    page.keyboard.type("group")
    page.keyboard.press("Enter")
    page.get_by_role("menuitemradio", name="Class").click()
    settle(page)
    classes = np.array([row.asset_class for row in universe(1500)])
    pnl = table(sessions, ["pnl"])[:, 0]
    first = glass(page)[0]
    assert first["id"] == GROUP
    count = int((classes == 0).sum())
    assert first["cells"]["symbol"] == f"Cash equity \u00b7 {count}"
    assert first["cells"]["bid"] == first["cells"]["vwap"] == ""  # A sum of prices is none.
    shown = first["cells"]["pnl"].replace(MINUS, "-").replace("+", "").replace(",", "")
    assert float(shown) == pytest.approx(np.nansum(pnl[classes == 0]) / 1e3, abs=0.51)
    total = page.evaluate("() => tickglass.total()")
    assert total["symbol"] == "Total, 1,500 lines"
    shown = total["pnl"].replace(MINUS, "-").replace("+", "").replace(",", "")
    assert float(shown) == pytest.approx(np.nansum(pnl) / 1e3, abs=0.51)
    assert total["last"] == total["change"] == ""
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    settle(page)
    assert [line["group"] for line in glass(page)[:2]] == [0, 1]
    assert page.evaluate("() => tickglass.arrangement().shut") == [0]
    head = page.get_by_role("grid", name="Blotter").get_by_role("row").nth(1)
    expect(head).to_have_attribute("aria-expanded", "false")  # Told within the second.
    page.keyboard.press("f")
    page.keyboard.type("AAP")
    settle(page)
    symbols = np.array([row.symbol for row in universe(1500)])
    found = int((np.char.find(symbols, "AAP") >= 0).sum())
    page.wait_for_function(
        "(told) => tickglass.total().symbol.startsWith(told)", arg=f"Total, {found} line"
    )


def test_a_subtotal_follows_its_rows(open_page, sessions) -> None:
    page = open_page(sessions)
    page.get_by_role("grid", name="Blotter").focus()
    page.keyboard.press("m")
    page.keyboard.type("group")
    page.keyboard.press("Enter")
    page.get_by_role("menuitemradio", name="Currency").click()
    settle(page)
    before = glass(page)[0]["cells"]["pnl"]
    sessions.ask(set=[0, "pnl", 123_456_000.0])
    page.wait_for_function("(was) => tickglass.glass()[0].cells.pnl !== was", arg=before)
    pnl = table(sessions, ["pnl"])[:, 0]
    named = {row.id: row.currency for row in universe(1500)}
    mine = [pnl[k] for k in named if named[k] == named[0] and not math.isnan(pnl[k])]
    assert glass(page)[0]["cells"]["pnl"] == f"+{sum(mine) / 1e3:,.0f}"


def test_nothing_moves_under_the_pointer_and_everything_survives(open_page, ticking) -> None:
    page = open_page(ticking)
    page.mouse.click(*middle(page, "bid_size"))
    page.mouse.move(10, 10)
    for _ in range(2):  # Away from it rows do move.
        first = page.evaluate("() => tickglass.rows()")
        page.wait_for_function("(was) => tickglass.rows().join() !== was.join()", arg=first)
    page.mouse.move(700, 400)
    page.mouse.wheel(0, 200)
    page.wait_for_function("() => tickglass.held")
    settled(page, 10)  # What the server had sent before it heard of the pointer is here.
    page.mouse.click(700, 400)
    settle(page)
    page.keyboard.press("F2")
    field = page.get_by_label("Note on", exact=False)
    field.wait_for()
    page.keyboard.type("watch the cl")
    state = "() => [tickglass.rows(), tickglass.top(), tickglass.selected()]"
    was, painted = page.evaluate(state), page.evaluate("() => tickglass.painted")
    page.wait_for_timeout(2300)
    assert page.evaluate("() => tickglass.painted") > painted + 20
    assert page.evaluate(state) == was
    page.keyboard.type("ose")
    page.keyboard.press("Enter")
    symbol = next(line for line in glass(page) if line["id"] == was[2])["cells"]["symbol"]
    assert kept(page)["notes"] == {symbol: "watch the close"}
    settle(page)
    assert [line["cells"]["note"] for line in glass(page) if line["id"] == was[2]] == [
        "watch the close"
    ]
    page.mouse.move(10, 10)
    page.wait_for_function("() => !tickglass.held")
    page.wait_for_function("(was) => tickglass.rows().join() !== was.join()", arg=was[0])


def test_formats_copies_and_ranges(open_page, ticking) -> None:
    page = open_page(ticking)
    picture = {}
    for name, form in (("pnl", "Bar"), ("change", "Heat"), ("last", "Sparkline"), ("vwap", "Fade")):
        page.mouse.click(*middle(page, name), button="right")
        page.get_by_role("menuitemradio", name=form).click()
        settle(page)
        picture[name] = page.evaluate("(name) => tickglass.head(name).form", name)
    assert picture == {"pnl": "bar", "change": "heat", "last": "spark", "vwap": "age"}
    washes = page.evaluate("() => [tickglass.washes('pnl'), tickglass.washes('change')]")
    assert all(len(set(of)) > 2 for of in washes)
    page.wait_for_timeout(2300)
    assert page.evaluate("() => tickglass.trail(tickglass.rows()[0], 'last').length") >= 2
    ticking.ask(still=True)
    page.wait_for_timeout(300)
    page.get_by_role("grid", name="Blotter").focus()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    for key in ("Shift+ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    names, lines = columns(page)[1:3], glass(page)[:2]
    page.keyboard.press("Control+c")
    shown = "\n".join("\t".join(line["cells"][name] for name in names) for line in lines)
    assert page.evaluate("() => tickglass.copied") == shown
    page.keyboard.press("Control+Shift+C")
    rows = [line["id"] for line in lines]
    raw = ticking.ask(table="instruments", columns=names, rows=rows)
    said = page.evaluate("() => tickglass.copied").split("\n")
    assert [[float(v) for v in line.split("\t")] for line in said] == raw


def test_a_wide_grid_slides_by_whole_columns_and_keeps_its_pins(open_page, sessions) -> None:
    page = open_page(sessions, desk="wide_desk")
    assert len(page.evaluate("() => tickglass.all()")) == 42
    seen = set(columns(page))
    assert len(seen) < 30
    page.get_by_role("grid", name="Wide").focus()
    for _ in range(70):
        page.keyboard.press("ArrowRight")
        names = columns(page)
        assert names[0] == "symbol"
        right = page.evaluate("(name) => tickglass.head(name)", names[-1])
        box = page.locator(".panel.grid .body").bounding_box()
        assert right["x"] + right["w"] <= box["x"] + box["width"]
        seen |= set(names)
    assert len(seen) == 42
    page.keyboard.press("Home")
    settle(page)
    row = page.evaluate("() => tickglass.rows()[5]")
    told = sessions.ask(table="instruments", columns=["mid"], rows=[row])[0][0]
    page.wait_for_function("([row, v]) => tickglass.cell(row, 'mid')?.value === v", arg=[row, told])
    page.keyboard.press("End")
    settle(page)
    page.wait_for_function("() => tickglass.columns().includes('gaps')")
    assert page.evaluate("(row) => tickglass.cell(row, 'gaps').painted", row)


@pytest.mark.parametrize("density", ["compact", "normal", "relaxed", "comfortable"])
def test_every_density_fits_the_screen(open_page, sessions, density) -> None:
    page = open_page(sessions, f"?density={density}&theme=light&palette=green")
    rows = {"compact": 18, "normal": 20, "relaxed": 24, "comfortable": 28}
    assert page.evaluate("() => tickglass.row()") == rows[density]
    for size in ((1920, 1080), (1366, 768)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.wait_for_timeout(400)
        boxes = page.locator(".panel:visible, .bar:visible").evaluate_all(
            "(all) => all.map(e => { const b = e.getBoundingClientRect();"
            " return [b.width * b.height, b.right, b.bottom]; })"
        )
        assert sum(box[0] for box in boxes) > 0.98 * size[0] * size[1]
        assert max(box[1] for box in boxes) <= size[0] + 0.5
        assert max(box[2] for box in boxes) <= size[1] + 0.5
        for names in page.evaluate("() => tickglass.cut()"):
            assert not names
    page.keyboard.press("v")
    page.get_by_role("menuitemradio", name="Dark").click()
    page.keyboard.press("Escape")
    assert page.evaluate("() => tickglass.tokens().panel") == "#0e1217"
    assert page.evaluate("() => JSON.parse(localStorage['tickglass:look']).theme") == "dark"


def test_no_cell_flashes_more_than_three_times_a_second(open_page, sessions) -> None:
    page = open_page(sessions)
    page.wait_for_timeout(400)
    row = page.evaluate("() => tickglass.rows()[4]")
    value = page.evaluate("(row) => tickglass.cell(row, 'last').value", row)
    page.evaluate(
        "(row) => { window.starts = new Set(); setInterval(() => "
        "starts.add(tickglass.flashedAt(row, 'last')), 5); }",
        row,
    )
    for k in range(12):  # Just slow enough not to be told as busy.
        sessions.ask(set=[row, "last", value + k + 1])
        page.wait_for_timeout(260)
    starts = [at for at in page.evaluate("() => [...starts]") if at > 0]
    most = max(sum(a <= b < a + 1000 for b in starts) for a in starts)
    assert 1 <= most <= 3, starts
