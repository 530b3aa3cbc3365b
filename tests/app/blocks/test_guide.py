"""The guide's desks as a stranger would write them: each is opened, shows numbers, is photographed.

What the guide says of a page is done on that page: its keys give the very file that it prints.
"""

import json
import re

import pytest

from app.blocks.block import Grid
from app.blocks.desk import describe
from app.blocks.personal import arranged, python
from app.blocks.stock import Stock
from app.check import check
from app.settings import ROOT
from tests.app.blocks.conftest import Server
from tests.app.blocks.test_desks import settled
from tests.walk.test_walk import ARTIFACTS

GUIDE = (ROOT / "docs/guide.md").read_text()
DESKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
TEN = 10  # Lines, beside the docstring, imports and closing brackets that a formatter sets.
SHOWN = """(names) => tickglass.rows().slice(0, 8).map((row) =>
  names.map((name) => tickglass.cell(row, name)?.text || ''))"""
# Every glyph that Bokeh draws is of a source of ours, has numbers, and its axes reach them.
DRAWN = """() => { const all = Bokeh.documents.flatMap((d) => [...d._all_models.values()])
    .filter((m) => m.type === 'GlyphRenderer');
  const reach = Bokeh.documents.flatMap((d) => [...d._all_models.values()])
    .filter((m) => m.type === 'Figure').every((m) => m.x_range.type === 'DataRange1d'
      && Number.isFinite(m.y_range.start) && m.x_range.end !== 1);
  const told = (values) => [...values].filter(Number.isFinite).length > 3;
  return all.length > 0 && reach && all.every(({ data_source: { name, data } }) =>
    /^tickglass-/.test(name) && Object.values(data).every(told));
}"""


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """A server of the guide's desks, each a file of a stranger's folder."""
    folder = tmp_path_factory.mktemp("layouts")
    for number, text in enumerate(DESKS):
        (folder / f"guide_{number}.py").write_text(text)
    server = Server("--rate", "0", "--instruments", "1500", "--true", "--layouts", str(folder))
    server.folder = folder
    yield server
    server.stop()


def test_each_desk_of_the_guide_shows_numbers(open_page, guided) -> None:
    """Nothing blank, cut off or over another; figures in every column that is no quant's."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for number in range(len(DESKS)):
        desk = describe(guided.folder / f"guide_{number}.py")
        page = open_page(guided, desk=f"guide_{number}")
        settled(page, desk.title)
        shown = page.evaluate("() => tickglass.columns()")
        (grid,) = [block for block in desk.blocks if isinstance(block, Grid)]
        told = [
            name for name in page.evaluate("() => tickglass.columns()") if name in _tabled(grid)
        ]
        assert len(told) >= 3, (desk.title, shown)
        figures = page.evaluate(SHOWN, told)
        for name, column in zip(told, zip(*figures, strict=True), strict=True):
            assert any(re.search(r"[0-9A-Za-z]", text) for text in column), (desk.title, name)
        if any(isinstance(block, Stock) for block in desk.blocks):
            page.wait_for_function(DRAWN)
        page.screenshot(path=ARTIFACTS / f"guide-{number}.png")
        page.context.close()


def _tabled(grid: Grid) -> set[str]:
    """Columns that a market tells: a quant's are computed in `risk`, which is not here."""
    from app.blocks.block import table_named
    from app.blocks.column import names_of

    return set(names_of(table_named(grid.table))) - {"ts_event"}


def test_the_keys_of_the_guide_give_the_file_that_it_prints(open_page, guided, tmp_path) -> None:
    """Arranged on the page, told by it, written out: what `check` accepts and the guide prints."""
    ((stem, keys),) = re.findall(r"^```keys (\w+)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    (printed,) = re.findall(
        r"^```python written by the page\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE
    )
    page = open_page(guided, desk=stem)
    for key in keys.split():
        page.keyboard.press(key)
    done = page.evaluate("() => tickglass.stands()")
    desk = arranged(describe(ROOT / f"layouts/{stem}.py"), json.loads(json.dumps(done)))
    text = python(desk, f"Desk: {desk.title}, made of {stem}.")
    assert text == printed, text
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert check(path, [tmp_path]) == []


@pytest.mark.parametrize("number", range(len(DESKS)))
def test_a_desk_of_the_guide_is_about_ten_lines(number) -> None:
    """Of what a person decides; the smallest is ten with everything."""
    body = DESKS[number].partition("Desk(\n")[2]
    assert len([line for line in body.splitlines() if line.strip(" )]},")]) <= 2 * TEN
