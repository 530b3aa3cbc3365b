"""A trader asks what is behind a cell, and an auditor proves what he was told."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app import verification
from app.settings import load
from compute.archive import Archive
from compute.enriched import ENRICHED
from compute.gather import fill
from compute.table import INSTRUMENTS
from ingest import clock
from ingest.event import EVENT, Kind
from tests.browser import chromium
from tests.clickhouse import ClickHouse
from tests.evidence import Case
from tests.web import Publisher, serving, until

ROW, LATER = 3, 4  # On record from the first; recorded while the trader looks.


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouse]:
    server = ClickHouse(tmp_path / "clickhouse").start()
    yield server
    server.kill()


def put_on_record(case: Case, row: int, ts_ns: int) -> None:
    """A quote and a trade of an instrument, at offsets 0 and 1 of its class's topic."""
    events = np.zeros(2, EVENT)
    events["ts_event"] = events["ts_recv"] = [ts_ns - 10**6, ts_ns]
    events["instrument"], events["kind"] = row, [Kind.QUOTE, Kind.TRADE]
    events["price"], events["size"] = 101_250_000_000, 300
    numbers = np.full(2, np.nan, ENRICHED)
    numbers["vwap"] = 101.5
    rows = fill((row, 0), [(0, 0, 1), (1, 1, 1)], events, numbers)
    case.archive.insert([case.sealed((row, 0), rows, case.links.get((row, 0), bytes(32)))])
    case.root()


def hover(page, row: int, column: str) -> None:
    page.mouse.move(5, 5)
    box = page.evaluate("(a) => tickglass.cell(...a)", [row, column])
    page.mouse.move(box["x"] + box["w"] / 2, box["y"] + box["h"] / 2)


def comes(page, state: str) -> dict:
    """What the page says of the cell once it is in that state."""
    found = until(
        lambda: (told := page.evaluate("() => tickglass.origin()"))["state"] == state and told,
        30,
        lambda: str(page.evaluate("() => tickglass.origin()")),
    )
    assert isinstance(found, dict)
    return found


@pytest.mark.requires("chromium")
def test_what_is_behind_a_cell_and_its_proof(
    redis: str, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    publisher, now = Publisher(redis), clock.now_ns()
    table = publisher.workers[0].tables[INSTRUMENTS.name]
    table[[ROW, LATER], INSTRUMENTS.index("ts_event")] = now / 1e6
    table[[ROW, LATER], INSTRUMENTS.index("vwap")] = 101.5
    publisher.tell()
    archive = Archive(clickhouse.address)
    case = Case(archive, tmp_path / "data" / "audit")
    put_on_record(case, ROW, now)
    with serving(redis, clickhouse.address, tmp_path) as url, chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.goto(f"{url}/overview")
        page.wait_for_function("() => window.tickglass && tickglass.rows().length > 0")
        page.keyboard.press("c")  # The next set of columns has the VWAP.
        page.wait_for_function(f"() => tickglass.cell({ROW}, 'vwap')?.painted")
        told = known(page)
        proved(told["events"][0]["name"], clickhouse, tmp_path)
        pinned(page, told["prove"])
        waited_for(page, case, now)
        never_in_the_way(page, publisher, clickhouse)


def known(page) -> dict:
    """The trade that the VWAP was last made of, and the number on record beside it."""
    hover(page, ROW, "vwap")
    told = comes(page, "known")
    assert [one["name"] for one in told["events"]] == ["md.index_future:0:1:0"]
    assert (told["value"], told["shown"], told["recorded"]) == (101.5, 101.5, True)
    for words in ("On record", "trade", "101.25 \u00d7 300", "101.5, as shown", told["prove"]):
        assert words in told["card"], told["card"]
    return told


def proved(name: str, clickhouse: ClickHouse, folder: Path) -> None:
    """`audit prove` shows the very event that the page named."""
    settings = load(data=folder / "data", clickhouse=clickhouse.address)
    shown = verification.prove(settings, name, None, folder / "proof.json")
    assert "price        101.25" in shown
    assert "Proven" in verification.check(settings, folder / "proof.json", [])


def pinned(page, command: str) -> None:
    """A card that is kept stays when the pointer leaves, and can be pressed."""
    page.keyboard.press("p")
    page.mouse.move(5, 5)
    time.sleep(0.3)
    assert command in page.evaluate("() => tickglass.origin().card")
    page.get_by_text("Copy command").click()
    page.keyboard.press("Escape")
    assert page.evaluate("() => tickglass.origin()") == {"state": "", "card": ""}


def waited_for(page, case: Case, now: int) -> None:
    """What is not on record yet says so, and is told once it is."""
    hover(page, LATER, "vwap")
    assert "not on record yet" in comes(page, "pending")["card"]
    put_on_record(case, LATER, now)
    assert comes(page, "known")["events"][0]["kind"] == "trade"


def never_in_the_way(page, publisher: Publisher, clickhouse: ClickHouse) -> None:
    """While ClickHouse does not answer the page goes on; when it is gone the card says so."""
    assert clickhouse.process is not None
    clickhouse.process.send_signal(signal.SIGSTOP)
    try:
        hover(page, ROW + 2, "vwap")
        assert "Asking the record" in comes(page, "loading")["card"]
        before = page.evaluate("() => tickglass.painted")
        publisher.change(60)
        until(lambda: page.evaluate("() => tickglass.painted") > before, 20)
        assert page.evaluate("() => tickglass.origin().state") == "loading"
    finally:
        clickhouse.process.send_signal(signal.SIGCONT)
    until(lambda: page.evaluate("() => tickglass.origin().state") not in ("", "loading"), 30)
    clickhouse.kill()
    hover(page, ROW + 3, "vwap")
    assert "The record does not say" in comes(page, "error")["card"]
