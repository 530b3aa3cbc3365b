"""A Chromium and a fake server for the tests of the face; both real, both on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "/usr/bin/chromium"
SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Server:
    """The fake server as a process; `ask` sends one command and returns its answer."""

    def __init__(self, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        script = Path(__file__).with_name("fake_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert json.loads(self._line())["ready"]
        self.url = f"http://127.0.0.1:{self.port}/overview"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ask(self, **command: Any) -> Any:
        """Send a command, wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self._line())["answer"]

    def stop(self) -> None:
        """End the process that this object started."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")  # Its loop runs in this thread: no other module may meet it.
def browser() -> Iterator[Any]:
    """Headless Chromium; skips where there is none, fails where it is required."""
    if not shutil.which(CHROMIUM):
        if "chromium" in os.environ.get("TICKGLASS_REQUIRE", ""):
            pytest.fail("chromium is required and absent")
        pytest.skip("chromium is absent")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield made
        made.close()


@pytest.fixture
def still() -> Iterator[Server]:
    """A server whose market stands still, so that a test knows every number."""
    server = Server("--rate", "0", "--instruments", "2500")
    yield server
    server.stop()


@pytest.fixture
def without_risk() -> Iterator[Server]:
    """A server that is told nothing of risk."""
    server = Server("--rate", "0", "--instruments", "2500", "--no-risk")
    yield server
    server.stop()


@pytest.fixture
def moving() -> Iterator[Server]:
    """A server whose visible cells all move 20 times a second."""
    server = Server("--rate", "20", "--instruments", "2500", "--all")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def sessions() -> Iterator[Server]:
    """The product's own sessions over a market that stands still."""
    server = Server("--rate", "0", "--instruments", "1500", "--true")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ticking() -> Iterator[Server]:
    """The same over one in which everything moves twenty times a second."""
    server = Server("--rate", "20", "--instruments", "600", "--all", "--true")
    yield server
    server.stop()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a desk and waits for its first painted push; fails on any error of the page."""
    contexts: list[Any] = []
    problems: list[str] = []

    def open_desk(server: Server, query: str = "", desk: str = "overview", **options: Any) -> Any:
        options.setdefault("viewport", {"width": 1920, "height": 1080})
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)  # A busy machine takes its time.
        page.on("pageerror", lambda error: problems.append(f"{error}\n{error.stack}"))
        page.requested = []
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(server.url.replace("overview", desk) + query)
        page.wait_for_function("() => window.tickglass && tickglass.painted > 0")
        page.wait_for_function("() => tickglass.rows().length > 3")
        return page

    yield open_desk
    for context in contexts:
        context.close()
    assert not problems, problems
