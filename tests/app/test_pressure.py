"""Pages that are slow, asleep or hidden: the newest for them, bounded memory for the server.

The product's own web server over a Redis of its own, in which numbers move at a known pace; the
pages are a Chromium's, and sockets that speak its protocol.
"""

import time

import psutil
import pytest

from app.flow import WINDOW
from app.standins import StandinError
from bench import teller
from tests.browser import chromium

TICKS_PER_S = 20.0
BUSY_MS = 120
FADES_MAX = 6  # In eight seconds, where a push came late for once; there were three a second.
FRAME_MS = 34  # Two frames at 60 a second.
SETTLE_SECONDS = 15.0
OPEN = "() => window.tickglass && window.tickglass.stats().total > 0"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A market that ticks, and a web server that shows it: (teller, server process, address)."""
    folder = tmp_path_factory.mktemp("pressure")
    try:
        with teller.redis(folder) as address:
            told = teller.Teller(address)
            with teller.web(folder, address) as (process, port), told.telling(TICKS_PER_S):
                yield told, psutil.Process(process.pid), f"http://127.0.0.1:{port}/overview"
    except StandinError as error:
        pytest.skip(f"no Redis to stand in: {error}")


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


def opened(browser, url):
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.goto(url)
    page.wait_for_function(OPEN)
    return page


def drained(page):
    return page.evaluate("() => Array.from(tickglass.drain())")


def at(ages, share):
    return sorted(ages)[min(len(ages) - 1, int(share * len(ages)))]


@pytest.mark.requires("chromium")
def test_a_busy_page_shows_values_that_stay_young_and_says_so(desk, browser):
    """Age at paint, beside that of an idle page in the same seconds of the same machine.

    Each push keeps the page busy for BUSY_MS before it is drawn, at more pushes than it can take:
    without acknowledgements its values would be 0.6 s older each second.
    """
    _, _, url = desk
    idle, busy = opened(browser, url), opened(browser, url)
    busy.evaluate(
        """(busy) => { const draw = window.requestAnimationFrame;
          window.requestAnimationFrame = (paint) => draw.call(window, (t) => {
            const end = performance.now() + busy;
            while (performance.now() < end) ;
            paint(t); }); }""",
        BUSY_MS,
    )
    time.sleep(2)
    drained(idle), drained(busy)
    before = busy.evaluate("tickglass.counted()")
    ages, theirs = [], []
    for _ in range(8):
        time.sleep(1)
        ages.append(drained(busy))
        theirs += drained(idle)
    mine = [age for second in ages for age in second]
    assert len(mine) >= 40
    assert len(theirs) >= 40
    told = {
        name: [round(at(found, share)) for share in (0.1, 0.5, 0.9)]
        for name, found in (("busy", mine), ("idle", theirs))
    }
    # An event waits for the paint that goes on, and for its own. What the machine's other work
    # adds is what it adds to the idle page.
    noise = at(theirs, 0.9) - at(theirs, 0.1)
    assert at(mine, 0.5) <= at(theirs, 0.5) + 2 * BUSY_MS + FRAME_MS + 2 * noise, told
    first, last = ([age for second in part for age in second] for part in (ages[:3], ages[-3:]))
    assert at(last, 0.5) - at(first, 0.5) < 1_200, f"values grow old: {told}"
    # Each frame costs BUSY_MS, so none is spent on what fades or is due while numbers come.
    after = busy.evaluate("tickglass.counted()")
    spent = {name: after[name] - before[name] for name in ("paints", "pushes")}
    assert spent["paints"] - spent["pushes"] <= FADES_MAX, spent
    busy.wait_for_function("() => /CONFLATED/.test(tickglass.tag())", timeout=5_000)
    idle.close()
    busy.close()


@pytest.mark.requires("chromium")
def test_a_hidden_page_catches_up_when_it_is_looked_at(desk, browser):
    told, _, url = desk
    page = opened(browser, url)
    page.evaluate(
        """() => { window.frames = window.requestAnimationFrame;
          window.kept = [];
          window.requestAnimationFrame = (paint) => window.kept.push(paint); }"""
    )  # As a background tab: frames do not come.
    time.sleep(1.0)  # What was on its way has come; nothing is acknowledged from here on.
    before = page.evaluate("() => tickglass.counted().pushes")
    time.sleep(2.0)
    asleep = page.evaluate("() => tickglass.counted().pushes") - before
    assert asleep <= 1  # It is not even sent what it will not paint.
    page.evaluate(
        "() => { window.requestAnimationFrame = frames; kept.forEach((paint) => frames(paint)); }"
    )
    page.wait_for_function("(n) => tickglass.stats().painted > n", arg=told.sequence)
    page.close()


def test_a_page_that_stops_reading_costs_no_memory_and_wakes_to_the_newest(desk):
    _, server, url = desk
    crowd = teller.Crowd(url, 6)
    try:
        time.sleep(1)
        before = server.memory_info().rss
        for number in range(3):
            crowd.ask(stall=number)
        time.sleep(4)
        assert server.memory_info().rss - before < 16 << 20
        stat = crowd.ask()
        for number in range(3):
            crowd.ask(wake=number)
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            now = crowd.ask()
            if min(now["sequences"]) >= max(stat["sequences"]):
                break
            time.sleep(0.05)
        assert min(now["sequences"]) >= max(stat["sequences"])
        late = [now["each"][k] - stat["each"][k] for k in range(3)]
        ahead = now["sequences"][5] - stat["sequences"][5]
        # What was on its way, one message, then as all.
        assert all(pushes <= ahead + WINDOW + 1 for pushes in late), late
    finally:
        crowd.stop()


def test_pages_that_are_closed_are_forgotten(desk):
    told, server, url = desk
    port = url.split(":")[2].split("/")[0]
    crowd = teller.Crowd(url, 8)

    def sessions():
        return told.bus.health().get(f"web.{port}", {}).get("sessions", -1)

    try:
        wait_for(lambda: sessions() >= 8)
        crowd.ask(close=8)
        wait_for(lambda: sessions() == 0)
        assert crowd.ask()["lost"] == 0
        assert server.is_running()
    finally:
        crowd.stop()


def wait_for(found):
    deadline = time.monotonic() + SETTLE_SECONDS
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.1)
