"""The walk through all wires and all that can befall them: what a page says, and what is left.

    python -m tests.walk.network [--seconds 6] [--wire live-redis] [--fault "half open"]

Each wire between two roles (tests/walk/wired.py) is delayed, stalled, cut and left half open, in
turn. Meanwhile the page must say so; afterwards all must be well by itself. At the end, the market
standing still, the record must hold every offset once, and Redis the numbers of the record.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser import chromium
from tests.proxy import Proxy
from tests.walk.wired import BROWSER, NAMES, Wired
from tests.web import until

SAID_SECONDS = 60.0  # Until a page says what it must, on a machine that is busy.
FAULTS: dict[str, Callable[[Proxy], None]] = {
    "delay": lambda wire: wire.delay(100.0, jitter_ms=50.0),
    "stall": Proxy.stall,
    "cut": Proxy.cut,
    "half open": Proxy.half_open,
}
TEXT = """() => {
  const found = [];
  const look = (root) => { for (const node of root.querySelectorAll("*")) {
    if (node.shadowRoot) look(node.shadowRoot);
    else if (!node.children.length && node.textContent) found.push(node.textContent);
  } };
  look(document);
  return found.join("\\n");
}"""
# What the page must say while nothing passes a wire: a word of its LIVE tag, or of its notes.
WORDS = {
    "replay-kafka": ("FEED SILENT",),
    "live-kafka": ("FEED SILENT",),
    "live-redis": ("STALE", "DOWN"),
    "web-redis": ("STALE", "DOWN"),
    BROWSER: ("RECONNECTING", "STALE"),
}
NOTES = {
    "record-kafka": "Kafka has not answered for",
    "record-redis": "prices are live",
    "record-clickhouse": "does not answer",
}
PAST = "web-clickhouse"


class Page:
    """The desk in a browser, and one of the past beside it, both by the browser's wire."""

    def __init__(self, browser: Any, wired: Wired) -> None:
        """Until it is live."""
        self.live = browser.new_page(viewport={"width": 1920, "height": 1080})
        self.live.set_default_timeout(SAID_SECONDS * 1e3)
        self.live.goto(f"{wired.url}/overview")
        self.live.wait_for_function("() => window.tickglass && tickglass.rows().length > 0")
        until(lambda: self.word == "LIVE", SAID_SECONDS, lambda: self.word)
        self.live.evaluate("() => { window.same = 1; }")
        self.past = browser.new_page(viewport={"width": 1366, "height": 768})
        self.past.set_default_timeout(SAID_SECONDS * 1e3)
        self.past.goto(f"{wired.url}/overview?asof=-2s")
        self.past.wait_for_function("() => window.tickglass && tickglass.past().last_ms > 0")

    @property
    def word(self) -> str:
        """What its LIVE tag says."""
        return str(self.live.evaluate("() => tickglass.state.word"))

    @property
    def age_s(self) -> float:
        """And how old."""
        return float(self.live.evaluate("() => tickglass.state.age || 0"))

    def notes(self, page: Any = None) -> list[str]:
        """All that is written on it."""
        return str((page or self.live).evaluate(TEXT)).splitlines()

    def noted(self, words: str, page: Any = None) -> str:
        """The line that has these words; "" where none has."""
        return next((line for line in self.notes(page) if words in line), "")

    def go_back(self, seconds: float = 4.0) -> None:
        """Ask for a moment that was not read yet: so long ago."""
        moment = f"Date.now() - {seconds * 1e3}"
        self.past.evaluate(f"() => tickglass.go({{ ts_ms: {moment}, playing: false }})")

    def says(self, wire: str) -> str:
        """What it says of trouble on that wire; "" nothing."""
        if wire in WORDS:
            word = self.word
            return f"{word} {self.age_s:.1f} s" if word in WORDS[wire] else ""
        if wire == PAST:
            return self.noted("does not answer", self.past)
        return self.noted(NOTES[wire])

    def shows_all(self, wired: Wired) -> bool:
        """Whether the cells of the blotter are those of Redis, none else."""
        told = wired.told()
        script = """() => [tickglass.rows(), tickglass.columns()]"""
        rows, columns = self.live.evaluate(script)
        names = [name for name in columns if name in ("bid", "ask", "last", "vwap")]
        # What has not traded yet is not a number, on the page as in Redis.
        value = "((v) => (v === v ? v : null))((tickglass.cell(row, name) || {}).value ?? null)"
        shown = self.live.evaluate(
            f"([rows, names]) => rows.map((row) => names.map((name) => {value}))", [rows, names]
        )
        wanted = [[_cell(told[row][wired.column(name)]) for name in names] for row in rows]
        return bool(names and rows) and shown == wanted


def _cell(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


@contextmanager
def walked(folder: Path) -> Iterator[tuple[Wired, Page]]:
    """The product and the page that looks at it."""
    wired = Wired(folder).start()
    try:
        with chromium() as browser:
            yield wired, Page(browser, wired)
    finally:
        wired.close()


def one(wired: Wired, page: Page, wire: str, fault: str, seconds: float) -> dict[str, Any]:
    """One fault on one wire; what the page said of it, and how long it took until all was well."""
    proxy = wired.wires[wire]
    FAULTS[fault](proxy)
    begun, said, said_s = time.monotonic(), "", None
    if wire == PAST:
        page.go_back()
    while time.monotonic() < begun + (seconds if said or fault == "delay" else SAID_SECONDS):
        now = page.says(wire)
        if now and said_s is None:
            said_s = round(time.monotonic() - begun, 1)
        said = now or said
        time.sleep(0.1)
    word = page.word
    proxy.heal()
    healed = time.monotonic()
    wired.well()
    until(lambda: page.word == "LIVE", SAID_SECONDS, lambda: page.word)
    if wire == PAST:
        page.go_back()
    until(lambda: not page.says(wire), SAID_SECONDS, lambda: page.says(wire))
    well_s = round(time.monotonic() - healed, 1)
    found = {"wire": wire, "fault": fault, "said": said, "said_s": said_s, "well_s": well_s}
    return found | {"live": word, "right": bool(said) or fault == "delay"}


def judged(wired: Wired, page: Page) -> int:
    """The market stands still: rows on record; AssertionError where anything is wrong."""
    with wired.quiet():
        rows = wired.account()
        until(lambda: wired.untrue() == 0, SAID_SECONDS, lambda: "Redis and the record differ")
        until(lambda: page.shows_all(wired), SAID_SECONDS, lambda: "page and Redis differ")
    assert page.live.evaluate("() => window.same") == 1, "the page was loaded again"
    return rows


def main() -> None:
    """Print one line for each fault and one for the end; exit code 1 where a page kept silent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each fault lasts")
    parser.add_argument("--wire", choices=NAMES, action="append", help="only this one")
    parser.add_argument("--fault", choices=tuple(FAULTS), action="append", help="only this one")
    asked = parser.parse_args()
    right = True
    with tempfile.TemporaryDirectory() as folder, walked(Path(folder)) as (wired, page):
        for wire in asked.wire or NAMES:
            for fault in asked.fault or FAULTS:
                found = one(wired, page, wire, fault, asked.seconds)
                right &= found["right"]
                print(json.dumps(found), flush=True)  # noqa: T201 (the report)
        print(json.dumps({"rows": judged(wired, page), "right": right}))  # noqa: T201
    raise SystemExit(not right)


if __name__ == "__main__":
    main()
