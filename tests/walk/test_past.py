"""The past on the glass: a real page, the tape, and what both say of one moment, cell for cell."""

import io
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from app.moment import show
from app.view import TOTAL
from compute.archive import Archive
from compute.bus import Bus
from compute.screen import pages, recall
from compute.tape import Tape
from ingest import clock
from tests.browser import chromium
from tests.clickhouse import ClickHouse
from tests.web import ROOT, Publisher, serving, until

FEEDS = """() => {
  const desk = tickglass.panel("grid").painter.desk;
  if (desk.sequence !== desk.painted || desk.taken || desk.unpainted) return null;
  const number = (v) => (Number.isFinite(v) ? v : null);
  const feeds = desk.feeds.map((f) => !f || !f.columns ? null : {
    rows: Array.from(f.rows), columns: f.columns,
    cells: Array.from(f.value.subarray(0, f.rows.length * f.width), number) });
  return { painted: desk.painted, at: Date.now(), feeds };
}"""


@pytest.fixture
def clickhouse(tmp_path):
    server = ClickHouse(tmp_path / "clickhouse").start()
    yield server
    server.kill()


@pytest.fixture
def web(redis, clickhouse, tmp_path):
    """The product's own web process; the publisher has told its first."""
    publisher = Publisher(redis)
    with serving(redis, clickhouse.address, tmp_path) as url:
        yield url, publisher


def settled(page) -> dict:
    """What the page holds once it has painted all that it was sent."""
    return until(lambda: page.evaluate(FEEDS), 20)


def same_cells(mine: dict, theirs) -> int:
    """Compare a page's feed with a grid of the tape; how many known cells there were."""
    rows = theirs.rows[:-1] if theirs.rows[-1:] == [TOTAL] else theirs.rows
    assert rows == mine["rows"]
    cells = np.array([np.nan if v is None else v for v in mine["cells"]])
    np.testing.assert_array_equal(theirs.cells[: len(rows)].reshape(-1), cells)
    return int(np.isfinite(cells).sum())


@pytest.mark.requires("chromium")
def test_what_a_screen_showed_and_the_desk_as_it_was(web, redis, clickhouse, tmp_path):
    url, publisher = web
    archive = Archive(clickhouse.address)
    tape = Tape(Bus(redis), archive)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.goto(f"{url}/overview")
        page.wait_for_function("() => window.tickglass && tickglass.painted > 0", timeout=30_000)
        page.wait_for_function("() => tickglass.rows().length > 0", timeout=30_000)
        first, captured = settled(page), []
        for _ in range(6):
            publisher.change()
            until(tape.step, 20)
            before = captured[-1]["feeds"] if captured else first["feeds"]
            until(lambda was=before: settled(page)["feeds"][0] != was[0], 20)
            captured.append(settled(page))
        # Flashes are over: what is on the glass is the numbers and nothing else.
        time.sleep(0.8)
        last = captured[-1] = settled(page)
        cell, picture = glass(page)
        publisher.change(60)
        until(lambda: settled(page)["feeds"] != last["feeds"], 20)
        time.sleep(0.6)  # The web process hands its batches on four times a second.
        until(tape.step, 20)
        tape.close()
        (opened,) = pages(archive, clock.now_ns())
        known = 0
        for one in captured:
            shown = recall(archive, opened, one["at"] * 1_000_000)
            assert shown.screen.sequence == one["painted"]
            for number, feed in enumerate(one["feeds"]):
                if feed and feed["rows"]:
                    known += same_cells(feed, shown.screen.grids[number])
        assert known > 6 * 25 * 5, "the comparison must have had something to compare"
        told = command(tmp_path, clickhouse, show(last["at"] * 1_000_000), opened.session)
        assert told[0]["sequence"] == last["painted"]
        assert next(t for t in told[0]["tables"] if t["table"] == "instruments")["rows"][0][
            "symbol"
        ]

        past = browser.new_page(viewport={"width": 1600, "height": 900})
        past.goto(f"{url}/overview?asof={show(last['at'] * 1_000_000)}")
        past.wait_for_function("() => window.tickglass && tickglass.rows().length > 0")
        past.wait_for_function("() => tickglass.past().made_ms > 0")
        as_it_was(past, last)
        past.wait_for_timeout(900)
        mine, his = glass(past)
        assert mine["text"] == cell["text"]
        assert picture == his, "the same pixels, live and as of then"
        moved(past, captured)


def command(tmp_path, clickhouse, moment: str, session: str) -> list:
    """What `./tickglass asof` prints."""
    found = subprocess.run(
        [
            *(sys.executable, "-m", "app", "asof", moment, "--session", session, "--json"),
            *("--clickhouse", clickhouse.address, "--database", "tickglass"),
            *("--data", str(tmp_path / "data")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(found.stdout)


def glass(page) -> tuple[dict, bytes]:
    """A line's price as text, and the pixels of three of its cells."""
    from PIL import Image

    image = Image.open(io.BytesIO(page.screenshot()))
    row = page.evaluate("() => tickglass.rows()[3]")
    found = [
        page.evaluate("(a) => tickglass.cell(...a)", [row, name]) for name in ("bid", "ask", "last")
    ]
    boxes = [(c["x"], c["y"], c["x"] + c["w"], c["y"] + c["h"]) for c in found]
    pixels = [image.crop([round(v) for v in box]).convert("RGB").tobytes() for box in boxes]
    return found[2], b"".join(pixels)


def as_it_was(past, one: dict) -> None:
    """Every cell of the blotter that both pages hold is the same."""
    mine = until(lambda: past.evaluate(FEEDS), 20)["feeds"][0]
    theirs = one["feeds"][0]
    width, compared = len(theirs["columns"]), 0
    assert mine["columns"] == theirs["columns"]
    for slot, row in enumerate(mine["rows"]):
        if row in theirs["rows"]:
            other = theirs["rows"].index(row)
            cells = mine["cells"][slot * width : (slot + 1) * width]
            assert cells == theirs["cells"][other * width : (other + 1) * width], row
            compared += len(cells)
    assert compared > 25 * 5


def moved(past, captured: list) -> None:
    """Moves on the tape show what was there then; playing goes on by itself."""
    for one in (captured[1], captured[4], captured[2]):
        before = past.evaluate("() => tickglass.past().moves.length")
        past.evaluate("(ms) => tickglass.go({ ts_ms: ms, playing: false })", one["at"])
        until(lambda n=before: past.evaluate("() => tickglass.past().moves.length") > n, 20)
        as_it_was(past, one)
    past.evaluate("() => tickglass.go({ playing: true, speed: 5 })")
    start = past.evaluate("() => tickglass.past().ts_ms")
    until(lambda: past.evaluate("() => tickglass.past().ts_ms") > start + 500, 20)
    assert past.evaluate("() => tickglass.past().on && document.title.length > 0")
