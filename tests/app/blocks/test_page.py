"""The face in a real Chromium: what was pushed is what is painted, and what is asked is sent."""

import io
import math
from dataclasses import asdict
from typing import Any

import pytest
from playwright.sync_api import expect

from compute.table import INSTRUMENTS, State
from ingest.universe import universe

CELL = "([row, column]) => tickglass.cell(row, column)"
COLUMNS = ("bid", "ask", "last", "vwap", "bid_size", "position", "change", "vs_vwap", "pnl")
MINUS = "\u2212"


def expected(column: str, value: float | None, decimals: int, price_format: int) -> str:
    """A second, slow telling of the number formats."""
    if value is None:
        return ""
    if column in ("bid", "ask", "last", "vwap"):
        if price_format in (1, 2):
            parts = math.floor(abs(value) * 128 + 0.5)
            whole, rest = divmod(parts, 128)
            tail = ["", "¼", "½", "¾"][rest % 4] if price_format == 2 else "+" * (rest % 4 >= 2)
            return (MINUS if value < 0 else "") + f"{whole}-{rest // 4:02d}{tail}"
        return f"{value:,.{decimals}f}".replace("-", MINUS)
    places, scale = {"change": (2, 1.0), "vs_vwap": (1, 1.0), "pnl": (0, 1e3)}.get(column, (0, 1))
    if column in ("bid_size", "position"):
        return f"{value:,.0f}".replace("-", MINUS)
    text = f"{abs(value / scale):,.{places}f}"
    zero = not text.strip("0.,")
    return text if zero else (MINUS if value < 0 else "+") + text


def same_text(got: str, want: str) -> bool:
    """Equal, or apart by the rounding of a tie in the last place only."""
    if got == want:
        return True
    strip = str.maketrans({",": "", MINUS: "-", "+": ""})
    try:
        a, b = float(got.translate(strip)), float(want.translate(strip))
    except ValueError:
        return False
    places = len(want.partition(".")[2])
    return abs(a - b) <= 1.01 * 10.0**-places


def check_all_cells(page: Any, server: Any, reference: dict[int, Any]) -> int:
    """Compare every painted cell of the visible lines with the server's table."""
    rows = page.evaluate("() => tickglass.rows()")
    table = server.ask(table="instruments", rows=rows)
    shown = page.evaluate(
        "([rows, columns]) => rows.map(r => columns.map(c => tickglass.cell(r, c)))",
        [rows, COLUMNS],
    )
    checked = 0
    for row, values, cells in zip(rows, table, shown, strict=True):
        for column, cell in zip(COLUMNS, cells, strict=True):
            value = values[INSTRUMENTS.index(column)]
            if not cell["painted"]:
                continue
            got = None if math.isnan(cell["value"]) else cell["value"]
            assert got == value, (row, column)
            known = reference[row]
            want = expected(column, value, known["decimals"], known["price_format"])
            assert same_text(cell["text"], want), (row, column, value, cell["text"], want)
            checked += 1
    return checked


@pytest.fixture
def reference() -> dict[int, Any]:
    """The fake server's reference rows by id."""
    return {row.id: asdict(row) for row in universe(2500)}


def test_every_painted_number_is_the_pushed_one(open_page, still, reference) -> None:
    page = open_page(still)
    assert check_all_cells(page, still, reference) >= 39 * len(COLUMNS)
    for top in (10, 1400, 1000):  # Another class, other formats.
        page.mouse.move(700, 400)
        page.mouse.wheel(0, 20 * top)
        page.wait_for_timeout(400)
        assert check_all_cells(page, still, reference) >= 39 * len(COLUMNS)


def test_a_change_reaches_the_pixels_and_only_its_cell(open_page, still) -> None:
    page = open_page(still)
    page.wait_for_timeout(600)
    row = page.evaluate("() => tickglass.rows()[4]")
    before = page.evaluate(CELL, [row, "last"])
    clip = {"x": before["x"], "y": before["y"], "width": before["w"], "height": before["h"]}
    other = clip | {"y": clip["y"] + 40}
    old, beside = page.screenshot(clip=clip), page.screenshot(clip=other)
    still.ask(set=[row, "last", before["value"] + 1.0])
    page.wait_for_function(
        "([row, v]) => tickglass.cell(row, 'last').value === v", arg=[row, before["value"] + 1.0]
    )
    page.wait_for_timeout(600)  # The flash is over.
    assert page.screenshot(clip=clip) != old
    assert page.screenshot(clip=other) == beside
    after = page.evaluate(CELL, [row, "last"])
    assert after["text"] == f"{before['value'] + 1.0:,.2f}"
    still.ask(set=[row, "last", None])
    page.wait_for_function("(row) => tickglass.cell(row, 'last').text === ''", arg=row)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_flash_fades_in_four_steps_unless_motion_is_reduced(open_page, still, motion) -> None:
    page = open_page(still, reduced_motion=motion)
    page.wait_for_timeout(500)
    row = page.evaluate("() => tickglass.rows()[4]")
    cell = page.evaluate(CELL, [row, "last"])
    seen = page.evaluate(
        """async ([row, cell]) => {
          const find = (n) => n.shadowRoot ? [n.shadowRoot, ...all(n.shadowRoot)] : [];
          const all = (r) => [...r.querySelectorAll('*')].flatMap(find);
          const canvas = all(document).flatMap(r => [...r.querySelectorAll('.grid canvas')])[0];
          const c = canvas.getContext('2d'), box = canvas.getBoundingClientRect();
          const colors = new Set();
          window.flashSeen = colors;
          window.flashStop = setInterval(() => {
            const p = c.getImageData(cell.x - box.x + 5, cell.y - box.y + 5, 1, 1).data;
            colors.add([p[0], p[1], p[2]].join());
          }, 10);
          return colors.size;
        }""",
        [row, cell],
    )
    assert seen == 0
    still.ask(set=[row, "last", cell["value"] + 0.5])
    page.wait_for_timeout(900)
    colors = page.evaluate("() => { clearInterval(flashStop); return [...flashSeen]; }")
    assert len(colors) == (5 if motion == "no-preference" else 1), colors


def test_scroll_asks_for_rows_and_keys_move(open_page, still) -> None:
    page = open_page(still)
    lines = page.evaluate("() => tickglass.lines()")
    page.mouse.move(700, 400)
    page.mouse.wheel(0, 600)
    page.wait_for_function("() => tickglass.top() === 30")
    page.wait_for_function("() => tickglass.rows()[2] === 30")
    asked = [m for m in still.ask(heard=1) if m["type"] == "viewport" and m["feed"] == 0]
    assert asked[-1]["first"] == 28
    assert asked[-1]["count"] >= lines
    page.mouse.click(700, 200)
    page.keyboard.press("Control+End")
    page.wait_for_function(f"() => tickglass.top() === 2500 - {lines}")
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    page.wait_for_function(f"() => tickglass.top() === 2500 - {lines} - {lines - 1}")
    page.keyboard.press("Control+Home")
    page.wait_for_function("() => tickglass.top() === 0")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("() => tickglass.selected() === 1")
    assert still.ask(heard=1)[-1] == {"type": "select", "row": 1}


def test_a_click_on_a_line_that_is_on_its_way_selects_it(open_page, still) -> None:
    page = open_page(still)
    page.mouse.move(700, 400)
    page.mouse.wheel(0, 20 * 500)
    page.wait_for_function("() => tickglass.top() === 500")
    page.mouse.click(700, 300)
    page.wait_for_function("() => tickglass.selected() > 500")
    selected = page.evaluate("() => tickglass.selected()")
    assert {"type": "select", "row": selected} in page.evaluate("() => tickglass.sent")


def test_a_click_on_a_head_sorts(open_page, still) -> None:
    page = open_page(still)
    cell = page.evaluate(CELL, [0, "volume"])
    page.mouse.click(cell["x"] + cell["w"] - 20, cell["y"] - 10)
    page.wait_for_function("() => tickglass.rows()[0] !== 0")
    sent = [m for m in still.ask(heard=1) if m["type"] == "sort"]
    assert sent == [{"type": "sort", "feed": 0, "column": "volume", "descending": True}]
    volumes = page.evaluate("() => tickglass.rows().map(r => tickglass.cell(r, 'volume').value)")
    assert volumes == sorted(volumes, reverse=True)


def test_search_filters_and_an_empty_result_has_its_way_back(open_page, still) -> None:
    page = open_page(still)
    page.keyboard.press("f")
    page.keyboard.type("AAP")
    page.wait_for_function(
        "() => tickglass.rows().slice(0, 30)"
        ".every(row => tickglass.cell(row, 'symbol').text.includes('AAP'))"
    )
    said = [m for m in still.ask(heard=1) if m["type"] == "filter"]
    assert said == [{"type": "filter", "feed": 0, "classes": [], "text": "AAP"}]
    page.keyboard.type("QQQQ")
    page.get_by_text("No line has “AAPQQQQ” in its symbol.").wait_for()
    page.get_by_role("button", name="Clear filter").click()
    page.wait_for_function("() => tickglass.rows().length >= 40")
    page.get_by_role("button", name="FX", exact=True).click()
    page.wait_for_timeout(400)
    page.keyboard.press("Escape")
    page.wait_for_timeout(400)
    said = [m for m in still.ask(heard=1) if m["type"] == "filter"]
    assert [m["classes"] for m in said[-2:]] == [[7], []]


def test_no_request_leaves_the_server(open_page, moving) -> None:
    page = open_page(moving)
    page.wait_for_timeout(500)
    away = [
        url
        for url in page.requested
        if not url.startswith((f"http://127.0.0.1:{moving.port}/", "data:", "blob:"))
    ]
    assert not away
    fonts = page.evaluate("() => [...document.fonts].map(f => f.family + f.weight + f.status)")
    assert sum("Plex" in font and font.endswith("loaded") for font in fonts) == 3


def test_latency_is_counted_and_acknowledged(open_page, moving) -> None:
    page = open_page(moving)
    page.evaluate("() => tickglass.drain()")
    page.wait_for_timeout(1500)
    samples = page.evaluate("() => tickglass.drain()")
    assert len(samples) > 15 * 30  # 20 pushes a second, about 38 moving lines in each.
    assert all(0 < ms < 2000 for ms in samples)
    assert page.evaluate("() => tickglass.drain().length") < len(samples)
    page.wait_for_timeout(300)  # Acknowledgements are gathered for a tenth of a second.
    acks = moving.ask(acks=1)
    sequences = [ack[0] for ack in acks]
    assert sequences == sorted(sequences)
    assert len(set(sequences)) > 20
    assert sum(ack[1] for ack in acks) >= len(samples)
    assert max(samples) <= max(ack[2] for ack in acks) + 1e-9


def test_a_silent_feed_and_a_silent_server_are_said(open_page, moving) -> None:
    page = open_page(moving)
    tag = page.locator(".live strong")
    wait = "(word) => tickglass.state.word === word"
    page.wait_for_function(wait, arg="LIVE")
    moving.ask(still=True)
    page.wait_for_function(wait, arg="FEED SILENT", timeout=8000)
    assert tag.inner_text().startswith("FEED SILENT")
    expect(page.locator(".panel.grid .tag")).to_contain_text("FEED SILENT")
    moving.ask(still=False)
    page.wait_for_function(wait, arg="LIVE", timeout=8000)
    moving.ask(still=True)
    moving.ask(mute=True)
    page.wait_for_function(wait, arg="STALE", timeout=8000)
    assert tag.inner_text().startswith("STALE")


def test_a_lost_socket_is_said_and_everything_comes_back(open_page, moving) -> None:
    page = open_page(moving)
    page.mouse.move(700, 400)
    page.mouse.wheel(0, 400)
    page.wait_for_function("() => tickglass.top() === 20")
    page.evaluate("() => { window.same = 1; }")
    moving.ask(cut=1)
    page.get_by_text("RECONNECT", exact=False).first.wait_for(timeout=2000)
    page.wait_for_function("() => tickglass.state.word === 'LIVE'", timeout=10_000)
    painted = page.evaluate("() => tickglass.painted")
    page.wait_for_function(f"() => tickglass.painted > {painted + 5}")
    assert page.evaluate("() => [window.same, tickglass.top()]") == [1, 20]
    assert moving.ask(heard=1)[-1]["type"] != "ready"
    assert page.locator(".desk.frozen").count() == 0


def test_states_are_drawn_with_a_second_sign(open_page, still) -> None:
    page = open_page(still)
    halted = 7
    assert page.evaluate(CELL, [halted, "state"])["value"] == State.HALTED
    picture = page.screenshot()
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    cell = page.evaluate(CELL, [halted, "symbol"])
    inside = [
        image.getpixel((int(cell["x"] + x), int(cell["y"] + 10))) for x in range(int(cell["w"]))
    ]
    assert (0xF0, 0x8C, 0xC0) in inside  # The HALT tag.
    one_sided = 21
    assert page.evaluate(CELL, [one_sided, "ask"])["text"] == ""


def test_the_mirror_says_what_is_painted(open_page, still) -> None:
    page = open_page(still)
    page.wait_for_timeout(1500)
    grid = page.get_by_role("grid", name="Blotter")
    assert grid.get_attribute("aria-rowcount") == "2501"
    first = grid.get_by_role("row").nth(1)
    row = page.evaluate("() => tickglass.rows()[0]")
    texts = [cell.inner_text() for cell in first.get_by_role("gridcell").all()]
    shown = page.evaluate("(row) => tickglass.columns().map(c => tickglass.cell(row, c).text)", row)
    assert texts[:-1] == shown[:-1]  # The age runs on by itself.


@pytest.mark.parametrize("size", [(1920, 1080), (1366, 768)])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_layouts_fill_the_screen(open_page, still, size, theme) -> None:
    page = open_page(still, f"?theme={theme}", viewport={"width": size[0], "height": size[1]})
    boxes = page.locator(".panel:visible, .bar:visible").evaluate_all(
        "(all) => all.map(e => { const b = e.getBoundingClientRect(); return b.width * b.height; })"
    )
    assert sum(boxes) > 0.985 * size[0] * size[1]  # The rest is gutters of 1 px.
    last = page.evaluate("() => tickglass.cell(tickglass.rows()[0], 'ts_event')")
    right = page.locator(".panel.grid .body").bounding_box()
    assert last["x"] + last["w"] <= right["x"] + right["width"]
    panel = page.evaluate("() => tickglass.tokens().panel")
    assert panel == ("#0e1217" if theme == "dark" else "#fbfbfa")
