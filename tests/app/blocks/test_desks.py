"""Every shipped desk in Chromium: whole at each size, one choice followed by all its blocks."""

import math
from typing import Any

import pytest

from app.blocks.desk import desks
from compute.group import BOOK, CLASS

SIZES = ((1920, 1080), (1366, 768))
FIGURE = "(kind) => tickglass.figure(kind)?.told"
PANEL = "(kind) => tickglass.panel(kind).painter.told"


def settled(page: Any, what: str) -> None:
    """Until nothing is wrong with the desk; else what is."""
    try:
        page.wait_for_function("() => tickglass.problems().length === 0", timeout=60_000)
    except Exception:
        pytest.fail(f"{what}: {page.evaluate('() => tickglass.problems()')}")


@pytest.mark.parametrize("stem", [stem for _, stem in desks() if stem != "operations"])
def test_a_desk_is_whole_at_each_size(open_page, sessions, stem) -> None:
    """Nothing blank, cut off or over another, also on a phone, where the page scrolls."""
    page = open_page(sessions, desk=stem)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        settled(page, f"{stem} at {width}x{height}")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => tickglass.panel('grid').root.clientWidth <= 390")
    tall = page.evaluate("() => document.querySelector('*') && tickglass.page()")
    page.wait_for_function("() => tickglass.cut().flat().length === 0")  # No figure is cut.
    shown = page.evaluate("() => tickglass.columns()")
    assert shown[0] == "symbol"
    assert len(shown) >= 3
    assert tall["wide"] <= 390
    assert tall["high"] > 844  # Panels are not squeezed: they stand below each other.


def test_a_phone_slides_and_a_vast_screen_has_larger_text(open_page, sessions) -> None:
    """What has no room beside the name comes by a finger; 4K is read from where HD is."""
    page = open_page(sessions, desk="overview")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => tickglass.columns()[1] === 'last'")
    assert page.evaluate("() => tickglass.columns()")[:4] == ["symbol", "last", "change", "pnl"]
    body = page.evaluate(
        """() => { const body = tickglass.panel('grid').body;
                   body.scrollIntoView();
                   const box = body.getBoundingClientRect();
                   return [box.x + 300, box.y + 100]; }"""
    )
    swipe = """([x, y]) => {
      const finger = { pointerType: 'touch', pointerId: 7, bubbles: true, composed: true };
      const touch = (type, x) => new PointerEvent(type, { ...finger, clientX: x, clientY: y });
      const body = tickglass.panel('grid').body;
      for (const [type, by] of [['pointerdown', 0], ['pointermove', -50], ['pointermove', -100],
                                ['pointerup', -100], ['pointermove', -200]])
        body.dispatchEvent(touch(type, x + by));
    }"""
    page.evaluate(swipe, body)
    page.wait_for_function("() => tickglass.columns()[1] === 'pnl'")
    assert page.evaluate("() => tickglass.columns()[0]") == "symbol"
    page.set_viewport_size({"width": 3840, "height": 2160})
    page.wait_for_function("() => tickglass.row() === 27")
    settled(page, "overview at 3840x2160")
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.wait_for_function("() => tickglass.row() === 20")


def test_a_book_of_the_tree_is_followed(open_page, sessions) -> None:
    """Positions are filtered, the steps of the day are the book's, a line is followed by charts."""
    page = open_page(sessions, desk="portfolio")
    page.wait_for_function("() => tickglass.panel('tree').painter.nodes.length > 8")
    nodes = page.evaluate(
        "() => tickglass.panel('tree').painter.nodes.map((n) => [n.role, n.name, n.book ?? -1])"
    )
    assert nodes[0][0] == "fund"
    assert {role for role, _, _ in nodes} == {"fund", "strategies", "books"}
    name, book = next((name, book) for role, name, book in nodes if role == "books")
    page.evaluate(
        """(book) => { const tree = tickglass.panel('tree').painter;
                       tree.take(tree.nodes.find((n) => n.book === book)); }""",
        book,
    )
    page.wait_for_function("(book) => tickglass.filter().book === book", arg=book)
    lines = page.wait_for_function(
        """() => { const all = tickglass.panel('tree').painter.nodes
                     .filter((n) => n.role === 'lines');
                   return all.length > 3 && all.map((n) => [n.instrument, n.name]); }"""
    ).json_value()
    assert page.evaluate("() => tickglass.chosen().name") == name
    steps = page.wait_for_function(
        f"(was) => {{ const told = ({PANEL})('waterfall');"
        " return tickglass.panel('waterfall').title.textContent.includes(was) && told; }",
        arg=name,
    ).json_value()
    parts = [v for step, v in steps.items() if step not in ("day_pnl", "total", "from_fx")]
    assert math.isclose(sum(parts), steps["day_pnl"], rel_tol=1e-9)
    assert math.isclose(steps["day_pnl"] + steps["from_fx"], steps["total"], rel_tol=1e-9)
    assert page.evaluate("() => tickglass.chosen()")["scope"] == BOOK
    instrument = lines[2][0]
    page.evaluate(
        """(id) => { const tree = tickglass.panel('tree').painter;
                     tree.take(tree.nodes.find((n) => n.instrument === id)); }""",
        instrument,
    )
    page.wait_for_function("(id) => tickglass.figure('candles').row === id", arg=instrument)
    assert page.evaluate("() => tickglass.followed()") == instrument
    # A line of the table explains its group.
    page.wait_for_function("() => tickglass.table('attribution').length > 3")
    line = page.evaluate("() => tickglass.table('attribution')[1]")
    page.mouse.click(line["x"] + 30, line["y"] + 8)
    page.wait_for_function("(scope) => tickglass.chosen().scope === scope", arg=CLASS)
    heard(page, name, [line[1] for line in lines])


def heard(page, book: str, lines: list[str]) -> None:
    """The tree by keys alone, as a screen reader tells it."""

    def told(text: str, **more: str) -> str:
        """What is told of the line at the cursor, once it begins with that and is like that."""
        return page.wait_for_function(
            """([text, more]) => {
              const tree = tickglass.panel('tree').body;
              const id = tree.getAttribute('aria-activedescendant');
              const item = id && tree.querySelector('#' + id);
              const like = ([name, value]) => item.getAttribute('aria-' + name) === value;
              if (!item || !Object.entries(more).every(like)) return false;
              return item.textContent.startsWith(text + ', ') && item.textContent;
            }""",
            arg=[text, more],
        ).json_value()

    tree = page.get_by_role("tree")
    tree.focus()
    fund = page.evaluate("() => tickglass.panel('tree').painter.nodes[0].name")
    page.keyboard.press("Home")
    assert "Day P&L k" in told(fund, level="1", expanded="true", selected="true", posinset="1")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    while page.evaluate("() => tickglass.panel('tree').painter.cursorAt") < page.evaluate(
        "(name) => tickglass.panel('tree').painter.nodes.findIndex((n) => n.name === name)", book
    ):
        page.keyboard.press("ArrowDown")
    told(book, level="3", expanded="true", selected="true")
    page.keyboard.press("ArrowDown")
    told(lines[0], level="4", posinset="1")
    page.wait_for_function(
        "(s) => tickglass.instrument(tickglass.followed()).symbol === s", arg=lines[0]
    )
    page.keyboard.press("ArrowLeft")  # To the head above it, which shuts.
    told(book, expanded="true")
    page.keyboard.press("ArrowLeft")
    told(book, expanded="false")
    page.keyboard.press("ArrowRight")
    told(book, expanded="true")
    names = tree.get_by_role("treeitem").all_inner_texts()
    assert len(names) == page.evaluate("() => tickglass.panel('tree').painter.nodes.length")


def test_books_and_strategies_are_told_to_other_windows_and_followed(open_page, sessions) -> None:
    """As portfolios, by the desktop's agent: with their lines, and not back to who told them."""
    page = open_page(sessions, desk="portfolio")
    page.wait_for_function("() => tickglass.panel('tree').painter.nodes.length > 8")
    page.evaluate(
        """() => { window.fdc3 = { told: [], heard: {},
             broadcast(context) { this.told.push(context); return Promise.resolve(); },
             addContextListener(type, take) { this.heard[type] = take; } };
           dispatchEvent(new Event('fdc3Ready')); }"""
    )
    nodes = page.evaluate(
        "() => tickglass.panel('tree').painter.nodes.map((n) => [n.role, n.name, n.book ?? -1])"
    )
    books = [(name, book) for role, name, book in nodes if role == "books"]
    named = {name for name, _ in books}  # A strategy may be called as its book is.
    strategies = [name for role, name, _ in nodes if role == "strategies" and name not in named]

    def chosen(name: str) -> dict[str, Any]:
        """The portfolio that is told once that group is taken in the tree."""
        page.evaluate(
            """(name) => { const tree = tickglass.panel('tree').painter;
               tree.take(tree.nodes.find((n) => n.name === name && n.role !== 'lines')); }""",
            name,
        )
        return page.wait_for_function(
            "(name) => fdc3.told.at(-1)?.name === name && fdc3.told.at(-1)", arg=name
        ).json_value()

    def heard(name: str) -> None:
        page.evaluate(
            "(name) => fdc3.heard['fdc3.portfolio']({ type: 'fdc3.portfolio', name })", name
        )
        page.wait_for_function("(name) => tickglass.chosen().name === name", arg=name)

    told = chosen(books[0][0])
    assert told["type"] == "fdc3.portfolio"
    tickers = {one["instrument"]["id"]["ticker"] for one in told["positions"]}
    lines = page.wait_for_function(
        """() => { const lines = tickglass.panel('tree').painter.nodes
                     .filter((n) => n.role === 'lines').map((n) => n.name);
                   return lines.length > 3 && lines; }"""
    ).json_value()
    assert tickers
    assert tickers <= set(lines)
    assert all(one["holding"] for one in told["positions"])
    heard(books[1][0])
    page.wait_for_function("(book) => tickglass.filter().book === book", arg=books[1][1])
    heard(strategies[-1])
    assert page.evaluate("() => tickglass.filter().book") == -1
    chosen(strategies[0])
    # By the grid's own menu too, and what was heard was not told back.
    page.get_by_label("Book", exact=True).first.select_option(label=books[2][0])
    page.wait_for_function("(name) => fdc3.told.at(-1).name === name", arg=books[2][0])
    page.wait_for_function("(name) => tickglass.chosen().name === name", arg=books[2][0])
    names = page.evaluate(
        "() => fdc3.told.filter((c) => c.type === 'fdc3.portfolio').map((c) => c.name)"
    )
    assert names == [books[0][0], strategies[0], books[2][0]]


def test_a_chain_is_of_the_instrument_that_is_selected(open_page, sessions) -> None:
    """Strikes in order, calls left and puts right; an expiry chosen in one is that of all."""
    page = open_page(sessions, desk="options")
    told = page.wait_for_function(f"() => ({PANEL})('chain')").json_value()
    assert told["strikes"] >= 3
    rows = page.evaluate(
        "() => tickglass.panel('chain').painter.items"
        ".map((k) => [k.strike, k.call?.row, k.put?.row])"
    )
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    call, put = rows[len(rows) // 2][1:]
    assert page.evaluate("(id) => tickglass.instrument(id).right", call) == "C"
    page.evaluate("(id) => tickglass.selectInstrument(id)", put)
    page.wait_for_function("(id) => tickglass.figure('tiles').row === id", arg=put)
    assert page.evaluate(FIGURE, "chain") or page.evaluate(PANEL, "chain")["strikes"] >= 3
    page.evaluate("() => tickglass.panel('chain').root.querySelectorAll('.sets button')[1].click()")
    page.wait_for_function(
        "() => { const chain = tickglass.panel('chain').painter; return chain.expiry === 1"
        " && tickglass.figure('smile').told?.expiry === chain.told.expiry; }"
    )


def test_a_desk_of_classes_stays_with_them(open_page, sessions) -> None:
    """FX shows pairs alone, also after its filters are cleared; a tile is followed."""
    page = open_page(sessions, desk="fx")
    kinds = """() => [...new Set(tickglass.rows().filter((id) => id < 2 ** 31)
                      .map((id) => tickglass.instrument(id).asset_class))]"""
    page.wait_for_function(f"() => ({kinds})().join() === '7'")
    page.evaluate("() => tickglass.filterTo([0])")
    page.wait_for_function(f"() => ({kinds})().join() === '0'")
    page.keyboard.press("Escape")
    page.wait_for_function(f"() => ({kinds})().join() === '7'")
    page.wait_for_function(f"() => ({PANEL})('pairs')?.pairs > 3")
    tile = page.evaluate(
        """() => { const p = tickglass.panel('pairs').painter, k = p.cells[2];
                   const b = p.surface.canvas.getBoundingClientRect();
                   return { row: k.row, text: k.text, x: b.x + k.x + 40, y: b.y + k.y + 40 }; }"""
    )
    assert tile["text"]
    page.mouse.click(tile["x"], tile["y"])
    page.wait_for_function("(id) => tickglass.followed() === id", arg=tile["row"])
    page.wait_for_function("(id) => tickglass.figure('candles').row === id", arg=tile["row"])
    assert page.evaluate("() => tickglass.selected()") == tile["row"]


@pytest.mark.parametrize(
    ("desk", "kind"),
    [("fx", "pairs"), ("rates", "term"), ("execution", "slippage"), ("charts", "position_map")],
)
def test_points_of_a_drawing_are_followed_by_keys(
    open_page, sessions, desk: str, kind: str
) -> None:
    """Arrows go through them in the order in which they are read, and it is heard which."""
    page = open_page(sessions, desk=desk)
    if kind == "slippage":  # Nothing has been traded here.
        points = [
            {"x": x, "y": 9, "instrument": row} for x, row in ((8, 1), (2, 4), (5, 2), (9, 4))
        ]
        page.wait_for_function("() => tickglass.panel('slippage')?.painter.said")
        page.evaluate(
            "(p) => { tickglass.panel('slippage').painter.draw = () => {};"
            " tickglass.panel('slippage').painter.points = p; }",
            points,
        )
        assert page.evaluate("() => tickglass.panel('slippage').painter.choices()") == [4, 2, 1]
    page.wait_for_function(
        "(kind) => tickglass.panel(kind)?.painter.choices().length > 2", arg=kind
    )
    choices = page.evaluate("(kind) => tickglass.panel(kind).painter.choices()", kind)
    drawing = page.locator(f".panel.{kind} [role=listbox]").first
    drawing.focus()
    at = 0
    for key, to in (("Home", 0), ("ArrowRight", 1), ("ArrowDown", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        at = to
        page.wait_for_function("(id) => tickglass.followed() === id", arg=choices[at])
        symbol = page.evaluate("(id) => tickglass.instrument(id).symbol", choices[at])
        said = drawing.get_by_role("option")
        assert said.inner_text() == symbol
        assert said.get_attribute("aria-posinset") == str(at + 1)
    assert drawing.get_attribute("aria-activedescendant") == said.get_attribute("id")


def test_what_a_trader_cannot_see_says_why(open_page, without_risk) -> None:
    """Without risk a manager's panels say so, each in its place; prices go on."""
    page = open_page(without_risk, desk="portfolio")
    page.wait_for_function(
        "() => /[Rr]isk/.test(tickglass.panel('waterfall').painter.said || '')"
        " && ['attribution', 'tree'].every((kind) =>"
        " /[Rr]isk/.test(tickglass.panel(kind).root.innerText))"
    )
