"""What `./tickglass check` says of layouts, what a server shows of broken ones, and the docs."""

import json
import re
import urllib.request

import panel as pn
import pytest
from bokeh.client import pull_session

import app.blocks
from app import check as room
from app import check_commands, glossary
from app.blocks import desk as desk_room
from app.blocks.block import Block
from app.blocks.desk import describe
from app.blocks.notebook import SHOWN, listening
from app.blocks.page import page_of
from app.check import check
from app.layout import written
from app.settings import ROOT
from app.standins import free_port

GUIDE = (ROOT / "docs/guide.md").read_text()
CODE = [
    (note.strip(), text)
    for note, text in re.findall(r"^```python(.*?)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
]
DESKS = [text for note, text in CODE if not note]
GOOD = (
    "from app.blocks import Chart, Desk, Grid\n"
    'Desk("Good", centre=[Grid("Quotes", columns=["bid", "ask"])], right=[Chart()]).servable()\n'
)
OWN = 'from app.blocks import column\nown = column("own", lambda bid: bid * 2)\n'
HALF = GOOD.replace("import Chart", "import Block, Chart, Stock").replace(
    "Desk(",
    "class Mine(Block):\n    def needs(self):\n        raise RuntimeError('no such thing')\n"
    'Desk(left=[Mine("Mine"), Stock("Drawn", make=lambda source: 1 / 0, columns=["bid"])], title=',
)


@pytest.fixture
def layout(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def said(path, **more):
    return [str(one) for one in check(path, [path.parent], **more)]


# ---- check --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted((ROOT / "layouts").glob("*.py")), ids=lambda path: path.stem
)
def test_shipped_layouts_are_good(path):
    assert said(path) == []


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("from app.blocks import Desk\nDesk(\n", 2, "it is no Python: '(' was never closed"),
        (f"import os\n{GOOD}", 1, "it imports os. A layout composes blocks"),
        (f"from compute.table import BOOKS\n{GOOD}", 1, "Write `from app.blocks import ...`"),
        (GOOD.replace(".servable()", ""), 0, "describes no desk: end it with Desk"),
        (f"{GOOD}exit()\n", 3, "it ends the process"),
        (f"{GOOD}1 / 0\n", 3, "ZeroDivisionError: division by zero"),
        (GOOD.replace('"ask"', '\n"askk"'), 3, "no column 'askk'. Did you mean ask"),
        (
            f'from app.blocks import column\ncolumn("delta") + column("delta_usd")\n{GOOD}',
            2,
            "they share no row",
        ),
        (
            f'from app.blocks import column\ncolumn("bid") + column("volume")\n{GOOD}',
            2,
            "bid is in price, volume in units",
        ),
        (GOOD.replace('"Quotes"', '"Quotes", height=2000'), 2, "take 978 px off a block's height"),
        (
            GOOD.replace('["bid"', '["bid", "bid"').replace(
                "right=", "widths=(900, 900, 700, 700), right="
            ),
            2,
            "widths smaller",
        ),
        (GOOD.replace("right=[", 'right=[Grid("Two", columns=["bid"]), '), 2, "has one grid"),
        (
            'from app.blocks import Chart, Desk\nDesk("No", right=[Chart()]).servable()\n',
            *(2, "add Grid(...)"),
        ),
        (
            GOOD.replace("import Chart", "import Bars, Chart").replace(
                "right=[", 'right=[Bars("B", bar="pnl", columns=["pnl_base"]), '
            ),
            2,
            "pnl_base is no sum",
        ),
        (
            OWN + GOOD.replace("Chart()", "Chart(hight=99)"),
            *(4, "unexpected keyword argument 'hight'. Did you mean 'height'"),
        ),
        (HALF, 5, "the block fails: RuntimeError: no such thing"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(layout, text, line, expected):
    found = check(layout(text), [])
    assert any(one.line in (line, line - 1) and expected in one.text for one in found), found


def test_a_desk_that_changes_faster_than_it_is_painted_is_told(layout, monkeypatch):
    monkeypatch.setattr(room, "BUDGET_CELLS_PER_S", 100.0)
    (found,) = said(layout(GOOD))
    assert "cells may change a second, and the painter has time for 100" in found


def test_what_a_person_may_not_see_is_told(layout):
    path = layout(GOOD)
    refused = said(path, allowed=lambda table, _: f"{table} are not yours" * (table == "classes"))
    assert refused == [f"{path}:2: classes are not yours"]


def test_the_access_file_says_what_a_person_may_not_ask_for(layout, tmp_path):
    path, access = layout(GOOD.replace('"ask"', '"pnl"')), tmp_path / "access.toml"
    access.touch(0o600)
    access.write_text(
        '[rights.a]\npeople = ["ann"]\nbooks = ["*"]\nhide = ["pnl"]\n'
        '[rights.b]\npeople = ["bob"]\nbooks = ["*"]\n'
    )
    found = said(path, allowed=check_commands._allowed("ann", access))
    assert (
        found[0] == f"{path}:2: ann: pnl of instruments may not be seen: take it out, or ask "
        "for the right to it"
    )
    assert said(path, allowed=check_commands._allowed("bob", access)) == []
    assert any(
        "nothing of classes" in one
        for one in said(path, allowed=check_commands._allowed("nobody", access))
    )


def test_a_quant_column_outside_of_the_folders_is_remarked(layout, tmp_path):
    path = layout(DESKS[0])
    assert said(path) == []
    (found,) = check(path, [tmp_path / "elsewhere"])
    assert not found.wrong
    assert f"up --layouts {tmp_path}" in found.text


# ---- a server -----------------------------------------------------------------------------------


class Session:
    reference, ticket = "[]", ""

    def control(self, message):
        """Nothing is asked here."""


@pytest.fixture
def serve(monkeypatch):
    """A running server of page functions; gives what each page is told to draw."""
    monkeypatch.setattr(desk_room, "join", lambda *_: Session())
    servers = []

    def start(pages):
        port = free_port()
        servers.append(pn.serve(pages, port=port, threaded=True, show=False))
        listening(port)

        def panels(name):
            session = pull_session(url=f"http://localhost:{port}/{name}")
            try:
                (spec,) = [
                    json.loads(model.data.spec)
                    for model in session.document.models
                    if hasattr(getattr(model, "data", None), "spec")
                ]
            finally:
                session.close()
            return {panel["title"]: panel for panel in spec["panels"]}

        return panels

    yield start
    for server in servers:
        server.stop()


@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
def test_a_broken_layout_is_an_error_on_its_own_page_and_a_block_in_its_own_tile(layout, serve):
    broken = layout(GOOD.replace('"bid"', '"bidd"'), "broken.py")
    pages = {path.stem: page_of(path) for path in (layout(GOOD, "good.py"), broken)}
    panels = serve(pages | {"half": page_of(layout(HALF, "half.py"))})
    wrong = panels("broken")["broken.py is no desk"]
    assert wrong["kind"] == "problem"
    assert "broken.py:2: instruments has no column 'bidd'. Did you mean bid" in wrong["text"]
    half = panels("half")
    assert half["Mine"]["kind"] == "problem"
    assert "RuntimeError: no such thing" in half["Mine"]["text"]
    assert half["Drawn"]["kind"] == "stock"
    good = panels("good")["Quotes"]  # Its feeds and its number are of its desk.
    assert good == half["Quotes"] | {name: good[name] for name in ("feeds", "ref")}
    before = written([broken.parent])
    broken.write_text(GOOD.replace('"Quotes"', '"Mended"'))
    assert written([broken.parent]) != before
    assert panels("broken")["Mended"]["kind"] == "grid"


# ---- the guide and the glossary -----------------------------------------------------------------


@pytest.mark.parametrize("text", DESKS, ids=range(len(DESKS)))
def test_each_desk_of_the_guide_passes_and_is_described(layout, text):
    path = layout(text)
    assert said(path) == []
    assert json.dumps(describe(path).spec())


def test_what_the_guide_says_is_refused_is_refused(layout):
    refused = [(note, text) for note, text in CODE if note.startswith("refused: ")]
    assert refused
    for note, text in refused:
        assert any(note.removeprefix("refused: ") in one for one in said(layout(text)))


def test_a_desk_in_a_notebook_shows_itself(monkeypatch):
    monkeypatch.setattr(desk_room, "join", lambda *_: Session())
    (text,) = [text for note, text in CODE if note == "notebook"]
    names = {}
    exec(text, names)
    try:
        told = names["desk"]._repr_mimebundle_()
        address = told["text/plain"].removeprefix("Notes: ")
        assert f'<iframe src="{address}"' in told["text/html"]
        assert names["desk"]._repr_mimebundle_() == told  # The same server again.
        with urllib.request.urlopen(address, timeout=30) as page:
            assert "Tickglass · Notes" in page.read().decode()
    finally:
        SHOWN.close()


def test_the_first_desk_of_the_guide_is_ten_lines():
    lines = [line for line in DESKS[0].splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 10


def test_every_block_stands_on_a_desk_that_is_built():
    written = GUIDE + "".join(path.read_text() for path in (ROOT / "layouts").glob("*.py"))
    blocks = [
        name
        for name in app.blocks.__all__
        if isinstance(made := getattr(app.blocks, name), type) and issubclass(made, Block)
    ]
    missing = [name for name in blocks if not re.search(rf"\b{name}\(", written)]
    assert set(missing) <= {"Block", "Strip"}


def test_the_glossary_is_of_the_tables_as_they_are():
    known = (ROOT / "docs/glossary.md").read_text()
    assert known == glossary.text(), "write it again: ./tickglass glossary"
