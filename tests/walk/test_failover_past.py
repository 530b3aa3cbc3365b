"""A page of the past goes on at another server at the same moment, with the same numbers."""

import signal

import pytest

from app.moment import show
from bench.farm import farm
from compute.archive import Archive
from compute.bus import Bus
from compute.tape import Tape
from ingest import clock
from tests.browser import chromium
from tests.clickhouse import ClickHouse
from tests.kafka import free_ports
from tests.walk.test_past import settled
from tests.web import Publisher, until

MINUTE_MS = 60_000


@pytest.mark.requires("chromium", "nginx")
def test_the_moment_and_what_was_then_are_kept(redis, tmp_path):
    clickhouse = ClickHouse(tmp_path / "clickhouse").start()
    publisher, archive = Publisher(redis), Archive(clickhouse.address)
    tape = Tape(Bus(redis), archive)
    try:
        for _ in range(3):
            publisher.change()
            until(tape.step, 20)
        tape.close()
        moment = show(clock.now_ns())
        port = free_ports(3)
        with farm(tmp_path, redis, port, 2, clickhouse.address) as servers, chromium() as browser:
            page = browser.new_page(viewport={"width": 1600, "height": 900})
            page.goto(f"{servers.url}?asof={moment}", timeout=MINUTE_MS)
            page.wait_for_function("() => window.tickglass?.past().made_ms > 0", timeout=MINUTE_MS)
            page.wait_for_function("() => tickglass.rows().length > 0", timeout=MINUTE_MS)
            before, feeds = page.evaluate("() => tickglass.past()"), settled(page)["feeds"]
            server = page.evaluate("() => tickglass.link().server")
            servers.signal(int(server), signal.SIGKILL)
            page.wait_for_function(
                "(server) => tickglass.link().server !== server && !tickglass.link().away",
                arg=server,
                timeout=MINUTE_MS,
            )
            # It is opened at the millisecond, and goes to the very moment.
            page.wait_for_function(
                "(ts) => tickglass.past().made_ms > 0 && tickglass.past().ts_ms === ts",
                arg=before["ts_ms"],
                timeout=MINUTE_MS,
            )
            assert not page.evaluate("() => tickglass.past().playing")
            assert until(lambda: settled(page)["feeds"][0] == feeds[0], 20)
            assert page.evaluate("() => tickglass.link().own")
    finally:
        clickhouse.kill()
