"""Stock Bokeh and HoloViews on our numbers: a page shows the same in both, and repaints."""

import pytest
from bokeh.models import ColumnDataSource

from app.blocks import Stock
from tests.app.blocks.conftest import Server

SOURCES = """() => Bokeh.documents.flatMap((d) => d._all_models ? [...d._all_models.values()] : [])
  .filter((m) => m.type === "ColumnDataSource" && (m.name || "").startsWith("tickglass-"))"""
DATA = f"""(column) => ({SOURCES})().map((m) => Array.from(m.data[column]))"""
SHOWN = """() => Bokeh.documents.flatMap((d) => [...d._all_models.values()])
  .filter((m) => m.type === "GlyphRenderer").map((m) => m.data_source.name)"""
OURS = (
    """(column) => tickglass.rows().slice(0, 12).map((row) => tickglass.cell(row, column).value)"""
)


@pytest.fixture
def stock():
    server = Server("--rate", "0", "--instruments", "500")
    yield server
    server.stop()


def test_a_stock_figure_and_a_holoviews_element_show_what_the_grid_shows(stock, open_page):
    page = open_page(stock, desk="stock_desk")
    page.wait_for_function(f"() => ({DATA})('bid').length === 2")
    assert len({*page.evaluate(SHOWN)}) == 2  # Each glyph has a source of its own, both ours.
    same = f"""(c) => ({DATA})(c).every((got) => {{
        const want = ({OURS})(c);
        return got.length === want.length && got.every((v, k) => Object.is(v, want[k])); }})"""
    page.wait_for_function(same, arg="bid")
    page.wait_for_function(same, arg="ask")
    figures = page.locator(".stock canvas").first
    row = page.evaluate("() => tickglass.rows()[3]")
    bid = page.evaluate("(row) => tickglass.cell(row, 'bid').value", row)
    page.wait_for_timeout(500)
    before = figures.screenshot()
    stock.ask(set=[row, "bid", bid * 3])
    page.wait_for_function(
        "([at, value, data]) => eval(data)('bid').every((got) => got[at] === value)",
        arg=[3, bid * 3, DATA],
    )
    page.wait_for_timeout(500)
    assert figures.screenshot() != before
    assert not [m for m in stock.ask(heard=True) if m.get("type") not in KNOWN]


KNOWN = {"ready", "viewport", "sort", "filter", "select", "group", "columns", "hold"}


def test_a_source_is_as_long_as_its_viewport_and_blank():
    block = Stock("X", make=lambda source: source.id, columns=["bid"], rows=7)
    name, _ = block.made()
    assert name.startswith("tickglass-")
    assert block.own()["cells"]["window"] == [0, 7]
    with pytest.raises(ValueError, match="1 to 400"):
        Stock(rows=401)
    assert ColumnDataSource({"bid": []}).id != name
