"""Rights that change while a browser looks: no byte on its socket tells what is withheld since."""

import json

import numpy as np
import pytest

from app import standins
from app.people import hashed
from app.settings import load
from tests.browser import chromium
from tests.web import Publisher, serving, until

PASSWORD = "correct horse"
HASHED = hashed(PASSWORD)  # Once: another hash is another password.
SOON = 120_000  # ms; a busy machine takes its time.
MINE, YOURS = 3, 1  # Books: US TMT, FX carry.
NAMES = {MINE: "US TMT", YOURS: "FX carry"}


class Market(Publisher):
    """Lines of two books, each number of them there once and in no other place."""

    def __init__(self, redis) -> None:
        self.marks = 0
        super().__init__(redis)
        self.mark()

    def mark(self) -> None:
        """New numbers everywhere."""
        table = self.workers[0].tables["positions"]
        self.told = {MINE: [], YOURS: []}
        for row in range(len(table)):
            book = MINE if row % 2 else YOURS
            self.marks += 1000
            table[row] = 710_000_000.5 + self.marks + np.arange(table.shape[1])
            table[row, :2] = book, row
            self.told[book] += table[row, 2:].tolist()
        names = {str(book): [name, "Chen", "Volatility"] for book, name in NAMES.items()}
        self.bus.set_names(json.dumps({"books": names}).encode())
        self.tell()

    def found(self, book, frames) -> set[float]:
        """Which numbers of a book's lines are in these bytes, wherever they begin."""
        data = b"".join(one if isinstance(one, bytes) else one.encode() for one in frames)
        wanted, data = np.array(self.told[book]), data + bytes(8)
        seen = set()
        for start in range(8):
            numbers = np.frombuffer(data, "<f8", (len(data) - start) // 8, start)
            seen |= set(numbers[np.isin(numbers, wanted)].tolist())
        return seen | {one for one in wanted.tolist() if str(one).encode() in data}


def grant(path, books) -> None:
    path.touch(0o600)
    path.write_text(
        f'[passwords]\nann = "{HASHED}"\n'
        f'[rights.desk]\npeople = ["ann"]\nbooks = {json.dumps(books)}\n'
    )


@pytest.mark.requires("chromium")
def test_a_change_of_rights_holds_on_open_pages(tmp_path, monkeypatch):
    access = tmp_path / "access.toml"
    grant(access, ["*"])
    monkeypatch.setenv("TICKGLASS_ACCESS", str(access))
    with (
        standins.started(load(data=tmp_path / "redis"), "redis") as redis,
        serving(redis, "", tmp_path) as address,
        chromium() as browser,
    ):
        market = Market(redis)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        frames, loads = [], []
        page.set_default_timeout(SOON)

        def heard(frame):
            frames.append(frame)

        page.on("websocket", lambda socket: socket.on("framereceived", heard))
        page.on("domcontentloaded", lambda _: (loads.append(1), frames.clear()))
        page.goto(f"{address}/login?next=/risk")
        page.get_by_label("Person").fill("ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/risk")

        def told(book):
            market.tell()
            page.wait_for_timeout(50)
            return market.found(book, frames)

        until(lambda: told(MINE) and told(YOURS), 120)
        before = len(loads)
        grant(access, [NAMES[MINE]])
        until(lambda: (told(MINE), len(loads) > before)[1], 120)
        market.mark()
        until(lambda: told(MINE), 120)
        for _ in range(20):
            assert not told(YOURS)
        page.goto(f"{address}/overview")
        page.wait_for_function("() => window.tickglass?.lines() > 0")
        page.get_by_role("button", name="P&L", exact=True).first.click()
        withheld = "() => tickglass.glass().some((line) => line?.cells.pnl === 'n/p')"
        page.wait_for_function(withheld)
        assert not page.evaluate("tickglass.glass().some((line) => line?.cells.bid === 'n/p')")
