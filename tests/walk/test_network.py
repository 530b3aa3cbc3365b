"""The walk of the wires: nothing passes, then all are half open, and then all is well again.

The whole product runs over proxies (tests/walk/wired.py), a Chromium looks at it. Each fault on
each wire by itself, and what the page must say of it: `python -m tests.walk.network`.
"""

import pytest

from tests.walk.network import NOTES, PAST, SAID_SECONDS, judged, walked
from tests.web import until

LATE = ("record-clickhouse", PAST)  # Half open they are given up after 15 s; the command waits.


@pytest.mark.requires("chromium")
def test_whatever_befalls_the_wires_is_told_and_nothing_is_lost(tmp_path):
    with walked(tmp_path) as (wired, page):
        for wire in wired.wires.values():
            wire.stall()
        until(lambda: page.word != "LIVE", SAID_SECONDS, lambda: page.word)
        for name, wire in wired.wires.items():
            if name not in LATE:
                wire.half_open()
        becomes(page, "RECONNECTING")
        for wire in wired.wires.values():
            wire.heal()
        wired.well()
        becomes(page, "LIVE")
        for wire in NOTES:
            until(lambda wire=wire: not page.says(wire), SAID_SECONDS, lambda w=wire: page.says(w))
        judged(wired, page)


def becomes(page, word):
    """Wait until the page says so."""
    until(lambda: page.word == word, SAID_SECONDS, lambda: f"{page.word}, not {word}")
