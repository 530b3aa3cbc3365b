"""Door: a headless Chromium that paints without a GPU, and a page of it that is only looked at.

The tests drive Chromium through Playwright, which hears of every WebSocket frame of a page: at a
thousand frames a second that is a tenth of a core in the very process that is measured. A bench
asks for values once a second, so it speaks the browser's own protocol and subscribes to nothing.
"""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
UNTHROTTLED = ("--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows")
START_SECONDS = 20.0
ANSWER_SECONDS = 30.0
ANSWER_BYTES_MAX = 256 * 1024 * 1024  # Every latency sample of a long second at full rate.
ASK_SECONDS = 0.1


def executable() -> str | None:
    """Path of a Chromium on this machine, or None."""
    return next((path for name in CANDIDATES if (path := shutil.which(name))), None)


class Page:
    """One page, asked by JavaScript expressions; RuntimeError where one of them throws."""

    def __init__(self, url: str, width: int, height: int) -> None:
        """Attach to the page's socket `url` and give it a size in CSS pixels."""
        from tornado.websocket import websocket_connect

        self._loop = asyncio.new_event_loop()
        self._socket = self._loop.run_until_complete(
            _begin(websocket_connect, url, ANSWER_BYTES_MAX)
        )
        self._asked = 0
        self.resize(width, height)

    def goto(self, url: str) -> None:
        """Begin to load `url`."""
        self._ask("Page.navigate", {"url": url})

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, through JSON."""
        answer = self._ask("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wheel(self, x: float, y: float, delta: float) -> None:
        """Turn the wheel there, by so many CSS pixels down."""
        turn = {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": delta}
        self._ask("Input.dispatchMouseEvent", turn)

    def resize(self, width: int, height: int) -> None:
        """Give the page another size in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", size)

    def photograph(self) -> bytes:
        """What it shows now, as PNG."""
        return base64.b64decode(self._ask("Page.captureScreenshot", {"format": "png"})["data"])

    def heap_bytes(self) -> int:
        """JavaScript heap in use, after a collection."""
        self._ask("HeapProfiler.collectGarbage", {})
        return int(self._ask("Runtime.getHeapUsage", {})["usedSize"])

    def wait_for(self, expression: str, seconds: float) -> None:
        """Until the expression is true; TimeoutError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page did not come to {expression} in {seconds} s")
            time.sleep(ASK_SECONDS)

    def _ask(self, method: str, values: dict[str, Any]) -> dict[str, Any]:
        self._asked += 1
        asked = self._asked

        async def answer() -> dict[str, Any]:
            await self._socket.write_message(
                json.dumps({"id": asked, "method": method, "params": values})
            )
            while True:
                text = await self._socket.read_message()
                if text is None:
                    raise RuntimeError("the browser has closed the page")
                message = json.loads(text)
                if message.get("id") == asked:
                    if "error" in message:
                        raise RuntimeError(f"{method}: {message['error']}")
                    return dict(message["result"])

        return self._loop.run_until_complete(asyncio.wait_for(answer(), ANSWER_SECONDS))

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()
        self._loop.close()


async def _begin(connect: Any, url: str, bytes_max: int) -> Any:
    return await connect(url, max_message_size=bytes_max)


@contextmanager
def page(*flags: str, width: int = 1920, height: int = 1080) -> Iterator[Page]:
    """An empty page of a browser of its own, with these flags besides; ended at the end."""
    path = executable()
    if path is None:
        raise SystemExit("No Chromium was found. Install it (Debian: apt-get install chromium).")
    with tempfile.TemporaryDirectory(
        prefix="tickglass-browser-", ignore_cleanup_errors=True
    ) as folder:
        command = [path, *ARGUMENTS, *UNTHROTTLED, *flags, "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            [*command, f"--user-data-dir={folder}", "about:blank"],
            start_new_session=True,  # A session of its own weighs as much as each of the product's.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            found = Page(_page_socket(Path(folder), browser), width, height)
            try:
                yield found
            finally:
                found.close()
        finally:
            browser.terminate()
            try:
                browser.wait(5)
            except subprocess.TimeoutExpired:
                browser.kill()


def _page_socket(folder: Path, browser: subprocess.Popen) -> str:
    """Address of a new page's socket, once the browser has said where it listens."""
    note = folder / "DevToolsActivePort"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and browser.poll() is None:
        if note.exists() and (lines := note.read_text().split()):
            asked = HTTPConnection("127.0.0.1", int(lines[0]), timeout=START_SECONDS)
            asked.request("PUT", "/json/new?about:blank")
            return str(json.load(asked.getresponse())["webSocketDebuggerUrl"])
        time.sleep(ASK_SECONDS)
    raise SystemExit(f"Chromium did not start within {START_SECONDS:.0f} s.")
