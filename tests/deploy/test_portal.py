"""The example portal, in Chromium with cookies of third parties blocked: frames, and a desk as a
part of its page, of the same site and of another one; whoever is not listed shows nothing."""

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from app import standins
from app.people import mark_of
from app.settings import ROOT, load
from tests.browser import chromium
from tests.kafka import free_ports
from tests.web import Publisher, serving, until

KEY = "the portal's key"
SOON = 120_000  # ms; a busy machine takes its time.
BLOCKED = "--test-third-party-cookie-phaseout"
PAINTED = "() => window.tickglass?.stats().painted > 0"


@contextmanager
def portal(desk, port, *words):
    """The example, as it is started; it serves 127.0.0.1 and localhost."""
    command = [sys.executable, ROOT / "deploy" / "portal" / "serve", "--desk", desk]
    command += ["--port", str(port), *words]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("ready ")
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A desk at localhost; a portal of the same site and another, unlisted, without a login."""
    folder = tmp_path_factory.mktemp("portal")
    web = free_ports(4)
    listed, unlisted, nobody = (web + k for k in (1, 2, 3))
    origins = [f"http://{host}:{listed}" for host in ("localhost", "127.0.0.1")]
    access, key = folder / "access.toml", folder / "portal.key"
    for path in (access, key):
        path.touch(0o600)
    known = [*origins, f"http://localhost:{nobody}", f"http://127.0.0.1:{nobody}"]
    access.write_text(f'portals = {json.dumps(known)}\n[keys]\nportal = "{mark_of(KEY)}"\n')
    key.write_text(KEY)
    desk = f"http://localhost:{web}"
    signed = ("--key-file", key, "--person", "ann")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKGLASS_ACCESS", str(access))
        patch.setenv("TICKGLASS_FDC3", origins[0])
        patch.setenv("TICKGLASS_ORIGINS", ",".join(urlsplit(one).netloc for one in origins))
        redis = stack.enter_context(standins.started(load(data=folder / "redis"), "redis"))
        Publisher(redis)
        stack.enter_context(serving(redis, "", folder, web))
        for port, words in ((listed, signed), (unlisted, signed), (nobody, ())):
            stack.enter_context(portal(desk, port, *words))
        yield {"same": origins[0], "cross": origins[1], "unlisted": unlisted, "nobody": nobody}


@pytest.fixture(scope="module")
def browser():
    with chromium(BLOCKED) as found:
        yield found


def opened(browser, address):
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    page.told = []
    page.on("console", lambda message: page.told.append(message.text))
    page.goto(address)
    return page


def desk_of(page):
    """The frame's document, once it shows numbers."""
    page.frame_locator("iframe").locator("canvas").first.wait_for(timeout=SOON)
    page.frames[1].wait_for_function(PAINTED, timeout=SOON)
    return page.frames[1]


@pytest.mark.requires("chromium")
def test_a_frame_of_the_same_site_follows_the_portal(browser, world):
    page = opened(browser, world["same"])
    desk = desk_of(page)
    assert "token" not in desk.url
    page.locator("#theme").select_option("light")
    desk.wait_for_function("() => document.documentElement.dataset.theme === 'light'", timeout=SOON)
    page.locator("#instrument").fill("C4")
    page.keyboard.press("Enter")
    desk.wait_for_function("() => window.tickglass.followed() === 4", timeout=SOON)
    desk.evaluate("() => window.tickglass.selectInstrument(1)")
    page.get_by_text("Instrument H1").wait_for(timeout=SOON)  # What is chosen there is told here.
    width = "() => document.querySelector('canvas, .bk-root, body').getBoundingClientRect().width"
    page.set_viewport_size({"width": 1000, "height": 700})
    desk.wait_for_function(f"() => ({width})() <= 1000", timeout=SOON)
    told = {"fdc3": "broadcast", "context": {"type": "fdc3.instrument", "id": {"ticker": "C4"}}}
    evil = "{ data, origin: 'http://evil.example', source: parent }"
    desk.evaluate(f"(data) => void dispatchEvent(new MessageEvent('message', {evil}))", told)
    assert desk.evaluate("() => [tickglass.refusedContexts(), tickglass.followed()]") == [1, 1]


@pytest.mark.requires("chromium")
def test_a_frame_of_another_site_shows_the_desk_and_an_unlisted_one_nothing(browser, world):
    page = opened(browser, world["cross"])
    desk_of(page)
    for host in ("localhost", "127.0.0.1"):
        refused = opened(browser, f"http://{host}:{world['unlisted']}")
        refused.wait_for_timeout(100)  # What the browser says comes with the next answer.
        said = lambda one=refused: one.evaluate("1") and "frame-ancestors" in str(one.told)
        until(said, 60, lambda one=refused: one.told)
    asking = opened(browser, f"http://127.0.0.1:{world['nobody']}")
    asking.frame_locator("iframe").get_by_text("Sign in to see the desk").wait_for(timeout=SOON)


@pytest.mark.requires("chromium")
def test_a_desk_is_part_of_a_page_of_the_portal(browser, world):
    for site in ("same", "cross"):
        page = opened(browser, f"{world[site]}/embedded")
        page.wait_for_function(PAINTED, timeout=SOON)
        page.locator("#theme").select_option("light")
        page.locator("#instrument").fill("C4")
        page.keyboard.press("Enter")
        page.wait_for_function("() => window.tickglass.followed() === 4", timeout=SOON)
        # It fills its place, and the portal's own bar is not below it.
        assert page.evaluate("() => document.elementFromPoint(20, 10).closest('header') !== null")
        with page.expect_response("**/login/renew") as kept:  # The page keeps its sign-in.
            page.evaluate("() => window.tickglass.renew()")
        assert kept.value.status == 204
    for host in ("localhost", "127.0.0.1"):
        refused = opened(browser, f"http://{host}:{world['unlisted']}/embedded")
        refused.get_by_text("its origin must be among TICKGLASS_ORIGINS").wait_for(timeout=SOON)
        assert refused.locator("canvas").count() == 0
    asking = opened(browser, f"http://localhost:{world['nobody']}/embedded")
    asking.get_by_text("nobody is signed in at this portal").wait_for(timeout=SOON)
