"""Two web servers behind nginx, a real page, and servers that die, hang, go blind, begin anew."""

import asyncio
import json
import signal
import time
from contextlib import ExitStack
from http import HTTPStatus

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from app import probe
from bench import teller
from bench.farm import farm
from tests.browser import chromium
from tests.kafka import free_ports
from tests.proxy import Proxy
from tests.web import until

BACK_SECONDS = 60
STATE = """() => [tickglass.top(), tickglass.selected(), tickglass.filter(), tickglass.set,
  tickglass.arrangement().sorts, location.pathname, window.same]"""
LIVE = "(server) => tickglass.link().server !== server && tickglass.state.word === 'LIVE'"


@pytest.fixture(scope="module")
def servers(tmp_path_factory, require):
    """Two of them and nginx, over a market that moves."""
    require("nginx")
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("farm")
        address = stack.enter_context(teller.redis(folder))
        told = teller.Teller(address)
        wires = [stack.enter_context(Proxy(address)) for _ in range(2)]  # Each server's to Redis.
        known = [wire.address for wire in wires]
        made = stack.enter_context(farm(folder, known, free_ports(3), 2))
        made.wires = dict(zip(made.ports, wires, strict=True))
        stack.enter_context(told.telling(20.0))
        yield made


@pytest.fixture(scope="module")
def browser(require):
    require("chromium")
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, servers):
    """A page that its trader has arranged."""
    until(lambda: all(probe.listening(port) for port in servers.ports), BACK_SECONDS)
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    made, problems = context.new_page(), []
    made.on("pageerror", lambda error: problems.append(f"{error}\n{error.stack}"))
    made.goto(servers.url)
    made.wait_for_function("() => window.tickglass && tickglass.rows().length > 0", timeout=60_000)
    made.evaluate("() => { window.same = 1; tickglass.filterTo([0]); tickglass.select(7); }")
    head = made.evaluate("() => tickglass.head('symbol')")
    made.mouse.click(head["x"] + head["w"] / 2, head["y"] + head["h"] / 2)
    made.mouse.move(700, 400)
    made.mouse.wheel(0, 400)
    made.wait_for_function("() => tickglass.top() > 0 && tickglass.arrangement().sorts.length > 0")
    made.wait_for_function("() => tickglass.rows().length > 0 && tickglass.rows()[0] !== 0")
    yield made
    assert not problems
    context.close()


def here(page):
    return int(page.evaluate("() => tickglass.link().server"))


def painted_on(page):
    """Something new is painted: the page lives."""
    before = page.evaluate("() => tickglass.counted().pushes")
    page.wait_for_function(
        f"() => tickglass.counted().pushes > {before} + 5", timeout=BACK_SECONDS * 1000
    )


@pytest.mark.requires("chromium", "nginx")
def test_a_killed_server_is_not_noticed(page, servers):
    before, rows = page.evaluate(STATE), page.evaluate("() => tickglass.rows()")
    assert before[0] > 0
    assert before[1] == 7
    assert before[4]
    server = here(page)
    servers.signal(server, signal.SIGKILL)
    page.wait_for_function(LIVE, arg=str(server), timeout=BACK_SECONDS * 1000)
    assert "gap" in page.locator(".live").inner_text()
    painted_on(page)
    assert page.evaluate(STATE) == before
    # A note at the foot takes a few lines for a while.
    assert page.evaluate("() => tickglass.rows()")[:10] == rows[:10]
    link = page.evaluate("() => tickglass.link()")
    assert link["own"]
    assert len(link["gaps"]) == 1
    # What it asks from now on is heard: the filter lets go of all rows.
    page.evaluate("() => tickglass.filterTo([11])")
    page.wait_for_function("() => !tickglass.rows().length", timeout=BACK_SECONDS * 1000)


@pytest.mark.requires("chromium", "nginx")
def test_a_server_that_hangs_is_left(page, servers):
    before, server = page.evaluate(STATE), here(page)
    servers.signal(server, signal.SIGSTOP)
    try:
        page.wait_for_function(LIVE, arg=str(server), timeout=BACK_SECONDS * 1000)
        painted_on(page)
        assert here(page) != server
    finally:
        servers.signal(server, signal.SIGCONT)
    painted_on(page)
    assert page.evaluate(STATE) == before
    assert here(page) != server, "what it has to say now comes too late"


@pytest.mark.requires("chromium", "nginx")
def test_a_server_without_a_market_is_left_for_one_that_has_it(page, servers):
    before, server = page.evaluate(STATE), here(page)
    servers.wires[server].cut()
    try:
        page.wait_for_function(LIVE, arg=str(server), timeout=BACK_SECONDS * 1000)
        painted_on(page)
        assert page.evaluate(STATE) == before
        assert len(page.evaluate("() => tickglass.link().gaps")) == 1, (
            "it is said that nothing came"
        )
    finally:
        servers.wires[server].heal()


@pytest.mark.requires("chromium", "nginx")
def test_when_all_are_away_the_page_says_so_and_returns_by_itself(page, servers):
    before, server = page.evaluate(STATE), here(page)
    servers.hold()
    try:
        for port in servers.ports:
            servers.signal(port, signal.SIGKILL)
        page.get_by_text("Trying again by itself").wait_for(timeout=BACK_SECONDS * 1000)
        page.wait_for_timeout(3_000)
        assert page.locator(".live strong").inner_text().startswith("RECONNECTING")
        assert page.locator(".desk.frozen").count() == 1
        assert page.evaluate(STATE) == before
    finally:
        servers.release()
    page.wait_for_function("() => !tickglass.link().away", timeout=BACK_SECONDS * 1000)
    painted_on(page)
    assert page.evaluate(STATE) == before
    assert page.evaluate("() => tickglass.link().gaps.length") == 1
    assert server in servers.ports


@pytest.mark.requires("chromium", "nginx")
def test_all_servers_are_started_anew_while_the_page_looks_on(page, servers):
    before, pids = page.evaluate(STATE), [servers.pid(port) for port in servers.ports]
    servers.roll()
    assert not {*pids} & {servers.pid(port) for port in servers.ports}
    page.wait_for_function("() => !tickglass.link().away", timeout=BACK_SECONDS * 1000)
    painted_on(page)
    assert page.evaluate(STATE) == before
    assert page.evaluate("() => tickglass.link().gaps.length") >= 1


@pytest.mark.requires("nginx")
@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("no JSON", 4400),
        ("[]", 4400),
        (b"\0" * 24, 4400),
        (json.dumps({"ticket": "", "wishes": 7}), 4400),
        (json.dumps({"ticket": "", "wishes": [{}] * 1_000}), 4400),
        (json.dumps({"ticket": "a.b", "wishes": []}), 4403),
        (json.dumps({"ticket": {"user": "boss"}, "wishes": [], "asof": "now"}), 4403),
    ],
)
def test_who_has_no_ticket_is_sent_away(servers, in_loop, said, code):
    async def tell():
        link = await connect(servers)
        await link.write_message(said, binary=isinstance(said, bytes))
        assert await link.read_message() is None
        link.close()
        return link.close_code

    assert in_loop(tell()) == code


@pytest.mark.requires("nginx")
def test_a_page_of_elsewhere_gets_no_link(servers, in_loop):
    async def tell():
        with pytest.raises(Exception, match="403"):
            await connect(servers, origin="http://elsewhere.example")

    in_loop(tell())


async def connect(servers, origin=None):
    origin = origin or f"http://127.0.0.1:{servers.port}"
    url = f"ws://127.0.0.1:{servers.port}/link"
    deadline = time.monotonic() + BACK_SECONDS
    while True:  # Servers that were killed before are left alone for a while.
        try:
            return await websocket_connect(HTTPRequest(url, headers={"Origin": origin}))
        except HTTPClientError as error:
            if error.code != HTTPStatus.BAD_GATEWAY or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.2)
