"""Door: the pages of bench/crowd.py, each of which goes on at another server when its own is lost.

As a browser's page does it (app/blocks/link.js): a server that says nothing is asked and then
left; after a moment of chance, and later and later while nobody answers, the page shows its ticket
on a socket at nginx. What the crowd is asked for besides: {"returns": true}, seconds without
numbers, and {"servers": true}, how many pages hang on which.

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
from collections import Counter
from typing import Any

from app.push import ACK, BEAT_MAGIC
from bench.crowd import READ_BYTES, Crowd, Page, main, masked

SPREAD_S_EACH, SPREAD_S_MAX = 0.012, 3.5  # As app/blocks/link.js has them, these and the next.
RETRY_S, RETRY_S_MAX = 0.25, 3.0
QUIET_S, SILENT_S, ASKED_MAX = 1.0, 2.0, 3
OPEN_S, OPEN_TIMES_MAX = 1.5, 4
LOOK_S = 0.25  # Between two looks whether anything is heard.
BEAT = masked(ACK.pack(BEAT_MAGIC, 1, 0, 0.0, 0.0), 2)
TICKET = re.compile(r'"ticket":("(?:[^"\\]|\\.)*")')


class ReturningPage(Page):
    """One page; `returns` are the seconds that it was without numbers, each time."""

    crowd: "ReturningCrowd"
    known: dict[str, Any] | None = None
    linked = False
    head: bytes | None = None  # Of the answer to its request, until it is whole.
    heard_at = lost_at = open_by = 0.0
    tries = asked = 0  # Since the last push; since anything was heard.

    def _mount(self, content: bytes) -> None:
        found = TICKET.search(content.decode())
        if found:
            self.known = json.loads(json.loads(found[1]))
        super()._mount(content)

    def leave(self) -> None:
        """Its server has gone, or is as good as gone: come back in a moment."""
        self.lost_at = self.lost_at or self.heard_at
        wait = min(SPREAD_S_MAX, SPREAD_S_EACH * self.crowd.beside(self)) * random.random()  # noqa: S311
        if self.tries:
            wait = min(RETRY_S_MAX, RETRY_S * 2 ** (self.tries - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
            self.tries += 1
        self.open_by, self.head = 0.0, None
        self.crowd.returning.append((time.perf_counter() + wait, self))

    def look(self, now: float) -> None:
        """Leave a server that does not open in time, or says nothing even when it is asked."""
        quiet = now - self.heard_at
        if self.open_by:
            if now > self.open_by:
                self.crowd.left(self)
        elif self.known is not None and self.heard_at and quiet >= QUIET_S:
            self.asked += 1
            if self.asked == 1:
                self.send(BEAT)
            elif quiet >= SILENT_S and self.asked > ASKED_MAX:
                self.crowd.left(self)

    def go_on(self) -> None:
        """Ask for a link at nginx; what follows is read as it comes."""
        assert self.known is not None
        crowd = self.crowd
        self.tries = self.tries or 1
        try:
            self.socket = socket.create_connection((crowd.host, crowd.front), OPEN_S)
        except OSError:
            self.leave()
            return
        self.open_by = time.perf_counter() + OPEN_S * min(self.tries, OPEN_TIMES_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        place = f"{crowd.host}:{crowd.front}"
        # Not where it comes from, unless there is nowhere else.
        avoid = f"?avoid={self.known['server']}" if self.tries % 2 else ""
        self.socket.sendall(
            (
                f"GET /link{avoid} HTTP/1.1\r\nHost: {place}\r\n"
                f"Origin: http://{place}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ).encode()
        )
        self.socket.setblocking(False)
        self.linked, self.head, self.buffer, self.parts = True, b"", bytearray(), []
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
        self.heard_at, self.asked = time.perf_counter(), 0
        if self.linked and opcode == 1:
            self.known, self.open_by = json.loads(payload), 0.0
        else:
            super()._take(opcode, payload)

    def _push(self, push: bytes) -> None:
        if not push_sections(push):  # The answer to whether anybody is there.
            return
        super()._push(push)
        self.tries = 0
        if self.lost_at:
            self.crowd.returns.append(self.heard_at - self.lost_at)
            self.lost_at = 0.0

    def control(self, told: dict[str, Any]) -> None:
        """On a link it is plain JSON."""
        if self.linked:
            self.send(masked(json.dumps(told).encode(), 1))
        else:
            super().control(told)


def push_sections(push: bytes) -> int:
    """How many sections a push has."""
    return int.from_bytes(push[4:6], "little")


class ReturningCrowd(Crowd):
    """All of them."""

    kind = ReturningPage

    def __init__(self, url: str, front: int) -> None:
        """Opened at `url`; they come back at port `front`."""
        super().__init__(url)
        self.front = front
        self.returning: list[tuple[float, ReturningPage]] = []
        self.returns: list[float] = []
        self.look_at = 0.0
        self.counted: Counter[str] = Counter()  # Pages by server, as of the last look.

    def beside(self, page: ReturningPage) -> int:
        """How many pages hung on the page's server, as that tells each of them."""
        return self.counted[page.known["server"]] if page.known else 1

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
        if now >= self.look_at:
            self.look_at = now + LOOK_S
            self.counted = self.servers()
            away = {page for _, page in self.returning}
            for each in self.pages:
                if isinstance(each, ReturningPage) and each not in away:
                    each.look(now)
        soonest = min((at for at, _ in self.returning), default=now + seconds)
        return super().turn(max(0.0, min(seconds, LOOK_S, soonest - now)))

    def obey(self, command: dict[str, Any]) -> Any:
        """One command of whoever started this process."""
        if "returns" in command:
            found, self.returns = self.returns, []
            return found
        return self.servers() if "servers" in command else super().obey(command)

    def servers(self) -> Counter[str]:
        """How many pages hang on which."""
        mine = (page for page in self.pages if isinstance(page, ReturningPage))
        return Counter(page.known["server"] for page in mine if page.known)


if __name__ == "__main__":
    main(ReturningCrowd(sys.argv[1], int(sys.argv[3])))
