"""The desk of risk in a real Chromium: what was pushed is what is painted, and what is asked."""

import math
from typing import Any

import pytest

from compute.group import SCOPES
from compute.table import State

MINUS = "\u2212"
LINES = "(kind) => tickglass.table(kind)"
COUNT = "(kind) => tickglass.table(kind).length"


def group(value: float | None, scale: float, places: int, signed: bool) -> str:
    """A second telling of money, percent and basis points."""
    if value is None or math.isnan(value):
        return ""
    text = f"{abs(value / scale):,.{places}f}"
    if not text.strip("0.,"):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def near(got: str, want: str) -> bool:
    """Equal, or apart by the rounding of a tie."""
    if got == want:
        return True
    strip = str.maketrans({",": "", MINUS: "-", "+": ""})
    try:
        places = len(want.partition(".")[2])
        return abs(float(got.translate(strip)) - float(want.translate(strip))) <= 1.01 / 10**places
    except ValueError:
        return False


FORMATS = {  # column: scale, places, signed
    "exposures": {
        **dict.fromkeys(("long", "gross"), (1e6, 1, False)),
        **dict.fromkeys(("short", "net", "delta", "beta"), (1e6, 1, True)),
        **dict.fromkeys(("vega", "dv01", "cs01", "day_pnl", "pnl"), (1e3, 0, True)),
        "net_pct": (1, 1, True),
        "gross_pct": (1, 1, False),
        "stale_share": (1, 1, False),
    },
    "var": dict.fromkeys(("hist_99", "es_975", "param_99", "known_99"), (1e3, 0, False)),
    "limits": {"use_pct": (1, 0, False)},
    "execution": {
        "worth": (1e6, 1, False),
        **dict.fromkeys(("arrival_bp", "vwap_bp"), (1, 1, True)),
        "arrival_usd": (1e3, 0, True),
    },
    "orders": dict.fromkeys(("arrival_bp", "vwap_bp"), (1, 1, True)),
}
TABLES = {
    "exposures": "exposures",
    "var": "value_at_risk",
    "limits": "limits",
    "execution": "execution",
    "orders": "execution",
}


def open_risk(open_page: Any, server: Any, **options: Any) -> Any:
    page = open_page(server, desk="risk", **options)
    page.wait_for_function("() => tickglass.table('exposures').length > 5")
    page.wait_for_timeout(400)
    return page


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_every_painted_number_is_the_pushed_one(open_page, still, kind) -> None:
    page = open_risk(open_page, still)
    lines = page.evaluate(LINES, kind)
    assert len(lines) >= 6
    columns = list(FORMATS[kind])
    rows = [line["row"] for line in lines]
    table = still.ask(table=TABLES[kind], rows=rows, columns=columns)
    checked = 0
    for line, values in zip(lines, table, strict=True):
        for column, value in zip(columns, values, strict=True):
            cell = line["cells"].get(column)
            if cell is None:
                continue  # Left out at this width.
            got = None if cell["value"] is None or math.isnan(cell["value"]) else cell["value"]
            assert got == value, (kind, line["row"], column)
            want = group(value, *FORMATS[kind][column])
            assert near(cell["text"], want), (kind, column, value, cell["text"], want)
            checked += 1
    assert checked >= 2 * len(lines) or kind == "limits"  # A limit has one such column.


@pytest.mark.parametrize("size", [(1920, 1080), (1366, 768), (3840, 2160)])
def test_names_are_whole_and_figures_give_way_to_them(open_page, still, size) -> None:
    """Which limit, which order and which alert can be read; what it came to stands beside it."""
    page = open_risk(open_page, still, viewport={"width": size[0], "height": size[1]})
    page.wait_for_function("() => tickglass.shortened().length === 0")
    left = {
        kind: page.evaluate("(k) => tickglass.panel(k).painter.columns.map((c) => c.name)", kind)
        for kind in ("limits", "orders")
    }
    assert {"name", "use_pct"} <= set(left["limits"])
    assert {"name", "size", "arrival_bp"} <= set(left["orders"])
    if size[0] > 1366:
        assert {"bar", "breach"} <= set(left["limits"])
        assert {"price", "vwap_bp"} <= set(left["orders"])
    open_alerts = page.locator(".incidents li.open .what")
    assert open_alerts.count() > 3
    assert not open_alerts.evaluate_all(
        "(all) => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)"
    )


def test_a_short_table_is_heard_and_sorted_by_keys_alone(open_page, still) -> None:
    """What is painted is told line by line; Enter takes a line, or sorts by a head."""
    page = open_risk(open_page, still)
    grid = page.get_by_role("grid", name="Exposure", exact=True)
    grid.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    told = """() => { const body = tickglass.panel('exposures').body;
      return body.querySelector('#' + body.getAttribute('aria-activedescendant'))?.textContent; }"""
    line = page.evaluate(LINES, "exposures")[1]["cells"]
    page.wait_for_function(
        f"(said) => ({told})()?.startsWith(said[0]) && ({told})().includes('Gross M ' + said[1])",
        arg=[line["name"]["text"], line["gross"]["text"]],
    )
    page.keyboard.press("Enter")
    page.wait_for_function(
        "(said) => tickglass.panel('key_rates').root.innerText.includes(said)"
        " || tickglass.panel('exposures').painter.selected >= 0",
        arg=line["name"]["text"],
    )
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")  # To the heads.
    page.keyboard.press("ArrowRight")
    head = page.evaluate("() => tickglass.panel('exposures').painter.columns[1].name")
    page.keyboard.press("Enter")
    page.wait_for_function(
        f"(head) => {{ const all = ({LINES})('exposures').map((l) => l.cells[head].value);"
        " return all.every((v, i) => !i || all[i - 1] >= v); }",
        arg=head,
    )
    description = grid.get_attribute("aria-description")
    assert description is not None
    assert description.startswith("Sort by ")


def test_positions_are_painted_as_pushed_in_every_set(open_page, still) -> None:
    page = open_risk(open_page, still)
    sets = [
        {"pnl": 1e3, "day_pnl": 1e3, "overnight": 1e3, "value": 1e6},
        {"delta_usd": 1e6, "vega_usd": 1e3, "dv01_usd": 1e3, "worst_usd": 1e3},
        {"fifo_realised": 1e3, "mean_realised": 1e3, "dividends": 1e3},
    ]
    for number, scales in enumerate(sets):
        if number:
            page.keyboard.press("c")
        page.wait_for_function(f"() => tickglass.set === {number}")
        page.wait_for_timeout(400)
        rows = page.evaluate("() => tickglass.rows()")[:20]
        columns = list(scales)
        table = still.ask(table="positions", rows=rows, columns=columns)
        shown = page.evaluate(
            "([rows, columns]) => rows.map(r => columns.map(c => tickglass.cell(r, c)))",
            [rows, columns],
        )
        for values, cells in zip(table, shown, strict=True):
            for column, value, cell in zip(columns, values, cells, strict=True):
                assert cell["painted"], column
                places = 1 if scales[column] == 1e6 else 0
                assert near(cell["text"], group(value, scales[column], places, True)), column


def test_only_the_chosen_set_travels(open_page, still) -> None:
    page = open_risk(open_page, still)
    page.get_by_role("button", name="Risk", exact=True).click()
    page.wait_for_function("() => tickglass.set === 1")
    page.wait_for_timeout(300)
    heard = [m for m in still.ask(heard=1) if m["type"] == "viewport"]
    newest = {m["feed"]: m["count"] for m in heard}
    assert newest[0] == 0
    second = next(m["feed"] for m in reversed(heard) if m["feed"] != 0 and m["count"] > 20)
    assert newest[second] > 20
    page.get_by_role("button", name="P&L", exact=True).click()
    page.wait_for_function("() => tickglass.set === 0")
    page.wait_for_timeout(300)
    newest = {m["feed"]: m["count"] for m in still.ask(heard=1) if m["type"] == "viewport"}
    assert newest[second] == 0
    assert newest[0] > 20


def test_a_set_of_few_classes_shows_those_and_gives_them_back(open_page, still) -> None:
    page = open_page(still)
    page.get_by_role("button", name="Greeks", exact=True).click()
    page.wait_for_function("() => tickglass.set === 2")
    page.wait_for_timeout(300)
    shown = page.evaluate("() => tickglass.rows().map(r => tickglass.cell(r, 'delta').value)")
    assert not any(math.isnan(value) for value in shown)
    page.get_by_role("button", name="Quotes", exact=True).click()
    page.wait_for_function("() => tickglass.set === 0 && tickglass.rows()[0] === 0")
    said = [m["classes"] for m in still.ask(heard=1) if m["type"] == "filter"]
    assert said == [[2, 6], []]


def test_tabs_change_the_scope(open_page, still) -> None:
    page = open_risk(open_page, still)
    page.get_by_role("group", name="Scope").get_by_role("button", name="Trader").click()
    page.wait_for_function(
        "() => tickglass.table('exposures').some(l => l.cells.name.text === 'Okafor')"
    )
    said = [m for m in still.ask(heard=1) if m["type"] == "filter" and "key" not in m]
    assert [m["scope"] for m in said] == [SCOPES.index("class"), SCOPES.index("trader")]
    names = [line["cells"]["name"]["text"] for line in page.evaluate(LINES, "execution")]
    assert "Okafor" not in names
    page.get_by_role("group", name="Execution by").get_by_role("button", name="Trader").click()
    page.wait_for_function(
        "() => tickglass.table('execution').some(l => l.cells.name.text === 'Okafor')"
    )


def test_a_book_is_chosen_and_its_positions_asked_for(open_page, still) -> None:
    page = open_risk(open_page, still)
    page.get_by_label("Book", exact=True).select_option(label="US TMT")
    page.wait_for_function("() => tickglass.rows().length > 5 && tickglass.rows()[0] >= 0")
    page.wait_for_timeout(400)
    said = [m for m in still.ask(heard=1) if m["type"] == "filter" and "book" in m]
    assert said[-1]["book"] == 3
    rows = page.evaluate("() => tickglass.rows()")
    books = still.ask(table="positions", rows=rows, columns=["book"])
    assert {book for (book,) in books} == {3.0}


def test_an_alert_is_acknowledged_by_a_person_who_is_asked_once(open_page, still) -> None:
    page = open_risk(open_page, still)
    count = page.locator(".count")
    before = int(count.inner_text().split()[0])
    buttons = page.get_by_role("button", name="Acknowledge: ")
    buttons.first.click()
    name = page.get_by_label("Your name")
    name.press("Enter")  # Nobody: nothing is sent.
    assert not [m for m in still.ask(heard=1) if m["type"] == "acknowledge"]
    name.fill("M. Okafor")
    name.press("Enter")
    page.wait_for_function(
        "() => tickglass.incidents().filter(m => m.person === 'M. Okafor').length === 1"
    )
    buttons.first.click()
    page.wait_for_function(
        "() => tickglass.incidents().filter(m => m.person === 'M. Okafor').length === 2"
    )
    said = [m for m in still.ask(heard=1) if m["type"] == "acknowledge"]
    assert [m["person"] for m in said] == ["M. Okafor"] * 2
    assert len({m["alert"] for m in said}) == 2
    assert [m["number"] for m in said] == [0, 0]  # The message that was seen.
    page.wait_for_timeout(1200)
    assert int(count.inner_text().split()[0]) == before - 2


def test_a_new_alert_is_said_politely_and_old_ones_are_not(open_page, still) -> None:
    page = open_risk(open_page, still)
    voice = page.locator(".voice")
    assert voice.get_attribute("aria-live") == "polite"
    assert voice.inner_text() == ""
    still.ask(raise_alert={"name": "Fund gross", "level": "breach"})
    page.wait_for_function(
        "() => tickglass.incidents().some(m => m.name === 'Fund gross' && m.level === 'breach')"
    )
    page.wait_for_timeout(300)
    assert voice.inner_text().startswith("Limit passed: Fund gross")


def test_the_scenarios_of_each_rates_shift_are_drawn(open_page, still) -> None:
    page = open_risk(open_page, still)
    cells = "() => tickglass.panel('scenarios').painter.cells"
    for shift, label in ((0, "0 bp"), (100, "+100 bp")):
        page.get_by_role("button", name=label, exact=True).click()
        page.wait_for_function(f"() => tickglass.panel('scenarios').painter.rates === {shift}")
        page.wait_for_timeout(700)
        shown = page.evaluate(cells)
        assert len(shown) == 35
        table = still.ask(table="scenarios", rows=list(range(105)))
        known = {tuple(row[2:5]): row[5] for row in table}
        for one in shown:
            value = known[one["spot"], one["vol"], shift]
            assert one["pnl"] == value
            assert near(one["text"], group(value, 1e3, 0, True))


def test_a_hover_says_the_value_in_full_its_source_and_inputs(open_page, still) -> None:
    page = open_page(still)
    page.get_by_role("button", name="Greeks", exact=True).click()
    page.wait_for_function("() => tickglass.set === 2")
    page.wait_for_timeout(400)
    row = page.evaluate("() => tickglass.rows()[5]")
    cell = page.evaluate("(r) => tickglass.cell(r, 'implied')", row)
    page.mouse.move(cell["x"] + 20, cell["y"] + 10)
    card = page.locator(".card")
    card.wait_for()
    page.wait_for_timeout(900)
    text = card.inner_text()
    assert f"{cell['value']:.12g}"[:8] in text
    assert "of the mid" in text
    under = still.ask(table="instruments", rows=[row], columns=["underlying_price"])[0][0]
    assert f"{under:,.12g}"[:7] in text
    assert "black scholes merton" in text
    page.mouse.move(5, 5)
    page.wait_for_timeout(300)
    assert card.is_hidden()
    detail = [m for m in still.ask(heard=1) if m["type"] == "viewport"][-1]
    assert detail["count"] == 0  # Nothing travels for a card that is closed.


def test_states_are_tagged_and_told(open_page, still) -> None:
    page = open_page(still)
    page.wait_for_timeout(1500)
    indicative, estimated = 24, 27
    assert page.evaluate("(r) => tickglass.cell(r, 'state').value", indicative) == State.INDICATIVE
    grid = page.get_by_role("grid", name="Blotter").get_by_role("row")
    told = {grid.nth(row + 1).get_attribute("aria-description") for row in (indicative, estimated)}
    assert told == {"indicative", "estimated"}


def test_without_risk_panels_say_what_is_missing(open_page, without_risk) -> None:
    page = open_page(without_risk, desk="risk")
    page.wait_for_timeout(1500)
    assert page.get_by_text("Risk is not running").count() >= 4
    assert page.evaluate("() => tickglass.rows().length") > 20  # Positions are live's own.


def test_no_request_leaves_the_server(open_page, still) -> None:
    page = open_risk(open_page, still)
    away = [
        url
        for url in page.requested
        if not url.startswith((f"http://127.0.0.1:{still.port}/", "data:", "blob:"))
    ]
    assert not away


def test_the_bar_leads_to_the_other_desk(open_page, still) -> None:
    page = open_risk(open_page, still)
    page.get_by_role("link", name="Overview").click()
    page.wait_for_function("() => window.tickglass && tickglass.painted > 0")
    assert page.url.endswith("/overview")
    page.keyboard.press("3")
    page.wait_for_url("**/risk")


@pytest.mark.parametrize("size", [(1920, 1080), (1366, 768)])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_clipped(open_page, still, size, theme) -> None:
    page = open_page(
        still, f"?theme={theme}", desk="risk", viewport={"width": size[0], "height": size[1]}
    )
    page.wait_for_timeout(800)
    boxes = page.locator(".panel:visible, .bar:visible").evaluate_all(
        "(all) => all.map(e => { const b = e.getBoundingClientRect(); return b.width * b.height; })"
    )
    assert sum(boxes) > 0.985 * size[0] * size[1]
    for kind in FORMATS:
        over = page.evaluate(
            "(kind) => { const s = tickglass.panel(kind).painter;"
            "const last = s.columns.at(-1); return last.x + last.w - s.room; }",
            kind,
        )
        assert over <= 0, kind
    heads = page.locator(".panel > header").evaluate_all(
        "(all) => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)"
    )
    assert not heads


def what_if(page: Any) -> Any:
    return page.locator(".panel.what_if")


def write_trade(page: Any, symbol: str, quantity: str) -> None:
    page.keyboard.press("w")
    page.keyboard.type(symbol)
    page.keyboard.press("Enter")
    page.keyboard.type(quantity)
    page.keyboard.press("Tab")


def test_what_if_is_asked_by_keyboard_and_shown_before_and_after(open_page, still) -> None:
    page = open_risk(open_page, still)
    write_trade(page, "nvd", "200k")
    rows = what_if(page).locator(".changes tbody tr")
    rows.first.wait_for()
    asked = [m for m in still.ask(heard=1) if m["type"] == "what_if"]
    (trade,) = asked[0]["trades"]
    row = trade["instrument"]
    (mark,) = still.ask(table="instruments", rows=[row], columns=["mark"])[0]
    assert trade == {"book": 0, "instrument": row, "quantity": 200_000, "price": None}
    cells = rows.first.locator("th, td").all_inner_texts()
    after = 200.0 + 0.2 * mark
    assert cells == ["Gross M", "200.0", group(after, 1, 1, False), group(0.2 * mark, 1, 1, True)]
    assert rows.count() == 10
    moved = what_if(page).locator(".moves li")
    assert "Fund gross" in moved.first.inner_text()
    assert "over limit" in moved.first.inner_text()
    page.wait_for_timeout(2600)  # It is live: the same is asked again while it stands.
    assert len([m for m in still.ask(heard=1) if m["type"] == "what_if"]) > len(asked)
    page.get_by_role("button", name="Clear").click()
    what_if(page).locator(".changes").wait_for(state="hidden")


def test_what_is_wrong_is_said_at_its_own_line_and_nothing_is_asked(open_page, still) -> None:
    page = open_risk(open_page, still)
    write_trade(page, "nvd", "lots")
    why = what_if(page).locator(".trade.wrong .why")
    why.wait_for()
    assert why.inner_text() == "lots is no quantity; write it like -1,500 or 2.5m"
    page.keyboard.press("Escape")
    assert not [m for m in still.ask(heard=1) if m["type"] == "what_if"]
    what_if(page).get_by_label("Price").first.fill("101.25")
    what_if(page).get_by_label("Quantity, signed").first.fill("-2.5m")
    what_if(page).locator(".changes").wait_for()
    asked = next(m for m in still.ask(heard=1) if m["type"] == "what_if")
    (trade,) = asked["trades"]
    assert (trade["quantity"], trade["price"]) == (-2_500_000, 101.25)
    assert why.count() == 0


def test_instruments_are_found_by_their_letters(open_page, still) -> None:
    page = open_risk(open_page, still)
    page.keyboard.press("w")
    page.keyboard.type("nosuchthing")
    found = page.get_by_role("listbox").get_by_role("option")  # Not those of the books' lists.
    assert found.count() == 0
    page.keyboard.press("Tab")
    why = what_if(page).locator(".trade.wrong .why")
    why.wait_for()
    assert why.inner_text() == "no instrument is called nosuchthing"
    symbol = what_if(page).get_by_role("combobox", name="Instrument").first
    symbol.fill("")
    symbol.type("NVD")
    assert found.count() == 8
    assert found.first.get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowDown")
    second = found.nth(1).locator("b").inner_text()
    page.keyboard.press("Enter")
    assert symbol.input_value() == second
    assert page.get_by_role("listbox").count() == 0  # Closed, and so hidden from readers.


def test_a_risk_that_does_not_answer_is_said_and_old_figures_fade(open_page, still) -> None:
    page = open_risk(open_page, still)
    write_trade(page, "nvd", "1,000")
    what_if(page).locator(".changes").wait_for()
    still.ask(deaf=True)
    said = what_if(page).locator(".said.warn")
    said.wait_for(timeout=15_000)
    assert said.inner_text() == "Risk did not answer"
    assert "held" in what_if(page).get_attribute("class")
    still.ask(deaf=False)
    said.wait_for(state="hidden", timeout=15_000)
    assert "held" not in what_if(page).get_attribute("class")


def test_positions_say_where_their_mark_is_from_and_how_old_it_is(open_page, still) -> None:
    page = open_risk(open_page, still)
    rows = page.evaluate("() => tickglass.rows()")[:12]
    words = {2.0: "mid", 3.0: "last", 5.0: "previous close"}
    for row in rows:
        source, age = (
            page.evaluate("([r, c]) => tickglass.cell(r, c)", [row, name])
            for name in ("mark_source", "ts_mark")
        )
        assert source["text"] == words[source["value"]]
        assert age["text"].endswith((" s", " m"))


def test_a_risk_that_is_silent_is_tagged_with_its_age(open_page, still) -> None:
    page = open_risk(open_page, still)
    still.ask(risk_age_s=9.0)
    tag = page.locator(".panel.limits .tag")
    tag.wait_for()
    assert tag.inner_text().split()[0] == "RISK"
    still.ask(risk_age_s=0.1)
    tag.wait_for(state="hidden")
