"""Door: the pages of bench/crowd.py, each of which goes on at another server when its own is lost.

As a browser's page does it (app/blocks/link.js): after a moment of chance, with its ticket, on a
socket at nginx. What the crowd is asked for besides: {"returns": true}, seconds without numbers.

    python -m bench.returning URL PAGES NGINX_PORT
"""

import base64
import json
import os
import random
import re
import selectors
import socket
import sys
import time
from typing import Any

from bench.crowd import CONNECT_SECONDS, READ_BYTES, Crowd, Page, main, masked

SPREAD_S_EACH, SPREAD_S_MAX = 0.0015, 0.3  # As app/blocks/link.js has them.
RETRY_S = 0.25
TICKET = re.compile(r'"ticket":("(?:[^"\\]|\\.)*")')


class ReturningPage(Page):
    """One page; `returns` are the seconds that it was without numbers, each time."""

    crowd: "ReturningCrowd"
    known: dict[str, Any] | None = None
    linked = False
    head: bytes | None = None  # Of the answer to its request, until it is whole.
    heard_at = lost_at = 0.0

    def _mount(self, content: bytes) -> None:
        found = TICKET.search(content.decode())
        if found:
            self.known = json.loads(json.loads(found[1]))
        super()._mount(content)

    def leave(self) -> None:
        """Its server has gone: come back in a moment."""
        self.lost_at = self.lost_at or self.heard_at
        most = min(SPREAD_S_MAX, SPREAD_S_EACH * len(self.crowd.pages))
        wait = RETRY_S if self.head is not None else most
        self.crowd.returning.append((time.perf_counter() + wait * random.random(), self))  # noqa: S311

    def go_on(self) -> None:
        """Ask for a link at nginx; what follows is read as it comes."""
        assert self.known is not None
        crowd = self.crowd
        self.socket = socket.create_connection((crowd.host, crowd.front), CONNECT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        place = f"{crowd.host}:{crowd.front}"
        self.socket.sendall(
            (
                f"GET /link?avoid={self.known['server']} HTTP/1.1\r\nHost: {place}\r\n"
                f"Origin: http://{place}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        self.socket.setblocking(False)
        self.linked, self.head, self.buffer = True, b"", bytearray()
        crowd.selector.register(self.socket, selectors.EVENT_READ, self)

    def read(self) -> bool:
        """As of any page, once the request is answered."""
        if self.head is None:
            return super().read()
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.head += data
        if not data or (b"\r\n\r\n" in self.head and not self.head.startswith(b"HTTP/1.1 101")):
            return False
        if b"\r\n\r\n" in self.head:
            self.head = None
            self.send(masked(json.dumps(self._hello()).encode(), 1))
        return True

    def _hello(self) -> dict[str, Any]:
        assert self.known is not None
        viewports = [
            {"type": "viewport", "feed": feed, "first": first, "count": count}
            for feed, (first, count) in self.crowd.windows.items()
        ]
        ready = {"type": "ready", "epoch": 0, "sequence": self.sequence}
        return {"ticket": self.known["ticket"], "wishes": [ready, *viewports]}

    def _take(self, opcode: int, payload: bytes) -> None:
        if self.linked and opcode == 1:
            self.known = json.loads(payload)
        else:
            super()._take(opcode, payload)

    def _push(self, push: bytes) -> None:
        super()._push(push)
        self.heard_at = time.perf_counter()
        if self.lost_at:
            self.crowd.returns.append(self.heard_at - self.lost_at)
            self.lost_at = 0.0

    def control(self, told: dict[str, Any]) -> None:
        """On a link it is plain JSON."""
        if self.linked:
            self.send(masked(json.dumps(told).encode(), 1))
        else:
            super().control(told)


class ReturningCrowd(Crowd):
    """All of them."""

    kind = ReturningPage

    def __init__(self, url: str, front: int) -> None:
        """Opened at `url`; they come back at port `front`."""
        super().__init__(url)
        self.front = front
        self.returning: list[tuple[float, ReturningPage]] = []
        self.returns: list[float] = []

    def left(self, page: Page) -> None:
        """The server has closed a page's socket."""
        super().left(page)
        assert isinstance(page, ReturningPage)
        page.leave()

    def turn(self, seconds: float) -> bool:
        """Read, and let those come back whose moment it is."""
        now = time.perf_counter()
        due = [(at, page) for at, page in self.returning if at <= now]
        self.returning = [(at, page) for at, page in self.returning if at > now]
        for _, page in due:
            page.go_on()
        soonest = min((at for at, _ in self.returning), default=now + seconds)
        return super().turn(max(0.0, min(seconds, soonest - now)))

    def obey(self, command: dict[str, Any]) -> Any:
        """One command of whoever started this process."""
        if "returns" in command:
            found, self.returns = self.returns, []
            return found
        return super().obey(command)


if __name__ == "__main__":
    main(ReturningCrowd(sys.argv[1], int(sys.argv[3])))
