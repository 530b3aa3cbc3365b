"""Door: many pages without a browser: real sockets that speak Bokeh's protocol, in one process.

Each page does what a browser does, byte for byte on the server's side: it loads the desk's HTML,
opens the WebSocket with the token it found there, pulls its document, says what the desk's
program says on mount, takes pushes, and acknowledges each. Every push is read and every cell of
it kept; pages that have had the same bytes share one copy, so a thousand pages cost one core less.

    python -m bench.crowd URL PAGES      commands come as JSON lines, answers go out as lines:
    {"stat": true}     pushes, bytes, acks, sequences held, CPU seconds
    {"cells": feed}    every page's rows and cells of a feed, those that are equal once
    {"columns": feed}  names of its columns
    {"tables": true}   the table of each feed
    {"open": n}        opens n more pages; answers how long each took to its first number
    {"stall": k}       page k reads nothing, until {"wake": k}
    {"note": k, "row": r}  page k sends an ordinary message of Bokeh's: it selects row r
    {"close": n}       closes the newest n pages
"""

import base64
import hashlib
import json
import os
import re
import selectors
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np

PUSH_MAGIC, ACK_MAGIC = 0x31504754, 0x31414754
CELLS, ROWS = 1, 2
VIEW_ROWS = 45  # Lines of a blotter on a screen of 1080 px.
MASK = b"\0\0\0\0"  # A mask of zeros leaves a client's bytes as they are.
_ACK = struct.Struct("<IHHdd")
ACK_HOLD_SECONDS, ACKS_MAX = 0.1, 5  # As app/blocks/wire.js has them.
_HEAD = struct.Struct("<IHHddd")
READ_BYTES = 1 << 18
CONNECT_SECONDS = 30.0


def masked(data: bytes, opcode: int) -> bytes:
    """A whole message of a client in one WebSocket frame."""
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + MASK + data


def message(kind: str, content: dict[str, Any]) -> bytes:
    """A message of Bokeh's protocol: header, metadata, content."""
    parts: tuple[dict[str, Any], ...] = ({"msgid": "1", "msgtype": kind}, {}, content)
    return b"".join(masked(json.dumps(part).encode(), 1) for part in parts)


class Shown:
    """What a page shows: by feed its rows and its cells. Never changed: `after` makes the next."""

    def __init__(self, feeds: dict[int, tuple[bytes, bytes]]) -> None:
        """Feed -> (row numbers u4, cells f8)."""
        self.feeds = feeds
        self._next: dict[bytes, Shown] = {}

    def after(self, push: bytes, columns: dict[int, int]) -> "Shown":
        """What it shows when `push` is painted too; pages that share this share that."""
        found = self._next.get(push)
        if found is None:
            if len(self._next) > 8:
                self._next.clear()
            found = self._next[push] = Shown(_apply(self.feeds, push, columns))
        return found


def _apply(
    feeds: dict[int, tuple[bytes, bytes]], push: bytes, columns: dict[int, int]
) -> dict[int, tuple[bytes, bytes]]:
    feeds, at = dict(feeds), _HEAD.size
    while at < len(push):
        feed, kind, size = struct.unpack_from("<HHI", push, at)
        at += 8
        if kind == ROWS:
            _, _, count, _ = struct.unpack_from("<4I", push, at)
            blank = np.full(count * columns[feed], np.nan).tobytes()
            feeds[feed] = push[at + 16 : at + 16 + 4 * count], blank
        elif kind == CELLS:
            count, stamped, _ = struct.unpack_from("<IId", push, at)
            values = np.frombuffer(push, "<f8", count, at + 16)
            places = np.frombuffer(push, "<u2", count, at + 16 + 8 * count + 6 * stamped)
            cells = np.frombuffer(feeds[feed][1]).copy()
            cells[places] = values
            feeds[feed] = feeds[feed][0], cells.tobytes()
        at += size
    return feeds


class Page:
    """One page's socket."""

    def __init__(self, crowd: "Crowd", answering: bool = True) -> None:
        """Load, connect, pull the document and say what a desk says on mount."""
        self.crowd, self.buffer = crowd, bytearray()
        self.pushes = self.bytes = 0
        self.sequence = -1
        self.opened = time.perf_counter()
        self.first_number_s = 0.0
        self.answering = answering
        self.unsaid: list[tuple[float, float]] = []  # Sequence and moment of paints to be told.
        html = crowd.load()
        self.loaded_s = time.perf_counter() - self.opened
        found = re.search(r'"token":"([^"]+)"', html)
        if not found:
            raise RuntimeError(f"{crowd.url} has no token: {html[:200]}")
        self.socket = self._connect(found[1])
        self.parts: list[bytes] = []
        self.model = ""
        self.shown = crowd.nothing

    def _connect(self, token: str) -> socket.socket:
        crowd = self.crowd
        sock = socket.create_connection((crowd.host, crowd.port), CONNECT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            (
                f"GET {crowd.path}/ws HTTP/1.1\r\nHost: {crowd.host}:{crowd.port}\r\n"
                f"Origin: http://{crowd.host}:{crowd.port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: bokeh, {token}\r\n\r\n"
            ).encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            if not byte:
                raise RuntimeError(f"{crowd.url} refused a socket: {head[:200]!r}")
            head += byte
        sock.setblocking(False)
        return sock

    def read(self) -> bool:
        """Take what has come; False where the server has closed."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self.bytes += len(data)
        if self.buffer:
            self.buffer += data
            data = bytes(self.buffer)
        taken = 0
        for opcode, payload, end in _frames(data):
            taken = end
            self._take(opcode, payload)
        self.buffer = bytearray(data[taken:])
        return True

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 2 and payload[:4] == b"TGP1":
            self._push(payload)
            return
        if opcode == 9:
            self.send(masked(payload, 10))
            return
        if opcode == 8:
            return
        self.parts.append(payload)
        head = json.loads(self.parts[0])
        if len(self.parts) < 3 + 2 * head.get("num_buffers", 0):
            return
        content, self.parts = self.parts[2], []
        self.crowd.heard[head["msgtype"]] = self.crowd.heard.get(head["msgtype"], 0) + 1
        if head["msgtype"] == "ACK":
            self.send(message("PULL-DOC-REQ", {}))
        elif head["msgtype"] == "PULL-DOC-REPLY":
            self._mount(content)

    def _mount(self, content: bytes) -> None:
        text = content.decode()
        self.model = _model_id(json.loads(text))
        if not self.model:  # A page of stock Panel: its numbers are in the document.
            self.first_number_s = time.perf_counter() - self.opened
            return
        desk = self.crowd.learn(text)
        self.control({"type": "ready", "epoch": 0, "sequence": -1})
        for feed, (first, count) in desk.items():
            self.control({"type": "viewport", "feed": feed, "first": first, "count": count})
        if self.crowd.select >= 0:
            self.control({"type": "select", "row": self.crowd.select})

    def control(self, told: dict[str, Any]) -> None:
        """A message of the desk's program, as its component sends it."""
        values = {"type": "map", "entries": [["model", {"id": self.model}], ["data", _map(told)]]}
        event = {"type": "event", "name": "data_event", "values": values}
        said = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}
        self.send(message("PATCH-DOC", {"events": [said]}))

    def _push(self, push: bytes) -> None:
        _, _, steps, sequence, _, _ = _HEAD.unpack_from(push)
        self.pushes += 1
        self.shown = self.shown.after(push, self.crowd.columns)
        self.sequence = int(sequence)
        if not self.first_number_s and self.shown.feeds.get(0, (b"", b""))[1]:
            self.first_number_s = time.perf_counter() - self.opened
        if not self.answering:
            return
        now = time.perf_counter()
        if not self.unsaid:
            self.crowd.due.append((now + ACK_HOLD_SECONDS, self))
        self.unsaid.append((sequence, now))
        if steps > 1 or len(self.unsaid) == ACKS_MAX:
            self.acknowledge(now)

    def acknowledge(self, now: float) -> None:
        """Tell of all paints that were not told of."""
        told = [_ACK.pack(ACK_MAGIC, 1, round(1e3 * (now - at)), n, 10.0) for n, at in self.unsaid]
        self.unsaid.clear()
        if told:
            self.send(masked(b"".join(told), 2))

    def send(self, data: bytes) -> None:
        """To the server, whole; what a client says is small."""
        self.socket.setblocking(True)
        try:
            self.socket.sendall(data)
        except OSError:
            self.crowd.lost += 1
        finally:
            self.socket.setblocking(False)


def _map(told: dict[str, Any]) -> dict[str, Any]:
    return {"type": "map", "entries": [[name, value] for name, value in told.items()]}


def _frames(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(opcode, payload, bytes used so far) of each whole frame of a server."""
    at, end = 0, len(data)
    while end - at >= 2:
        size, head = data[at + 1] & 127, 2
        if size >= 126:
            head = 4 if size == 126 else 10
            if end - at < head:
                return
            size = int.from_bytes(data[at + 2 : at + head], "big")
        if end - at < head + size:
            return
        payload = data[at + head : at + head + size]
        opcode = data[at] & 15
        at += head + size
        yield opcode, payload, at


def _model_id(document: Any) -> str:
    """Id of the desk's component in a pulled document; "" where there is none."""
    found: list[str] = []

    def look(part: Any) -> None:
        if isinstance(part, dict):
            if "ReactiveESM" in str(part.get("name", "")) and "id" in part:
                found.append(part["id"])
            for value in part.values():
                look(value)
        elif isinstance(part, list):
            for value in part:
                look(value)

    look(document)
    return found[0] if found else ""


class Crowd:
    """All pages of this process."""

    kind = Page

    def __init__(self, url: str) -> None:
        """Of one desk at `url`."""
        parts = urlsplit(url)
        self.url, self.path = url, parts.path.rstrip("/")
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.pages: list[Page] = []
        self.columns: dict[int, int] = {}
        self.names: dict[int, list[str]] = {}
        self.tables: dict[int, str] = {}
        self.windows: dict[int, tuple[int, int]] = {}
        self.nothing = Shown({})
        self.heard: dict[str, int] = {}
        self.lost = 0
        self.select = 0
        self.due: deque[tuple[float, Page]] = deque()  # When a page tells of its paints.
        self.selector = selectors.EpollSelector()
        self.web = HTTPConnection(self.host, self.port, timeout=CONNECT_SECONDS)

    def load(self) -> str:
        """The desk's HTML."""
        self.web.request("GET", self.path)
        return self.web.getresponse().read().decode()

    def learn(self, text: str) -> dict[int, tuple[int, int]]:
        """Feeds of the desk and the rows that a browser would ask of each, from the first page."""
        if not self.columns:
            found = re.search(r'"spec":("(?:[^"\\]|\\.)*")', text)
            if not found:
                raise RuntimeError("the pulled document has no desk")
            spec = json.loads(json.loads(found[1]))
            grid = next((p for p in spec["panels"] if p["kind"] == "grid"), None)
            for number, feed in enumerate(spec["feeds"]):
                if feed["kind"] != "grid":
                    continue
                self.columns[number] = len(feed["columns"])
                self.names[number], self.tables[number] = feed["columns"], feed["table"]
                rows = 64 if feed["table"] == "books" else 12
                if grid and number == 0:
                    rows = VIEW_ROWS
                first, count = feed.get("window", [0, rows])
                if count:
                    self.windows[number] = (first, count)
            if not any(feed["kind"] == "series" for feed in spec["feeds"]):
                self.select = -1
        return self.windows

    def open(self, count: int, answering: bool = True) -> list[Page]:
        """So many more, one after the other, each until its first number."""
        made = []
        for _ in range(count):
            page = self.kind(self, answering)
            self.pages.append(page)
            made.append(page)
            self.selector.register(page.socket, selectors.EVENT_READ, page)
            deadline = time.perf_counter() + CONNECT_SECONDS
            while not page.first_number_s and time.perf_counter() < deadline:
                self.turn(0.05)
            if not page.first_number_s:
                raise RuntimeError(f"page {len(self.pages)} had no number in {CONNECT_SECONDS} s")
        return made

    def turn(self, seconds: float) -> bool:
        """Read whatever has come, at most `seconds` waiting; whether a command waits."""
        asked, now = False, time.perf_counter()
        while self.due and self.due[0][0] <= now:
            self.due.popleft()[1].acknowledge(now)
        if self.due:
            seconds = min(seconds, self.due[0][0] - now)
        for key, _ in self.selector.select(seconds):
            page = key.data
            if page is None:
                asked = True
            elif not page.read():
                self.left(page)
        return asked

    def left(self, page: Page) -> None:
        """The server has closed a page's socket."""
        page.unsaid.clear()
        self.selector.unregister(page.socket)
        page.socket.close()
        self.lost += 1

    def stall(self, number: int, reading: bool) -> None:
        """A page stops reading, or reads again."""
        page = self.pages[number]
        if reading:
            self.selector.register(page.socket, selectors.EVENT_READ, page)
        else:
            self.selector.unregister(page.socket)

    def close(self, count: int) -> None:
        """The newest `count` pages go."""
        for page in self.pages[len(self.pages) - count :]:
            page.unsaid.clear()
            self.selector.unregister(page.socket)
            page.socket.close()
        del self.pages[len(self.pages) - count :]

    def stat(self) -> dict[str, Any]:
        """What has come so far."""
        times = os.times()
        return {
            "pages": len(self.pages),
            "pushes": sum(page.pushes for page in self.pages),
            "bytes": sum(page.bytes for page in self.pages),
            "each": [page.pushes for page in self.pages],
            "sequences": [page.sequence for page in self.pages],
            "lost": self.lost,
            "heard": self.heard,
            "cpu_s": times.user + times.system,
        }

    def cells(self, feed: int) -> list[dict[str, Any]]:
        """What pages show of a feed: rows and cells as base64, and how many pages show it."""
        found: dict[str, dict[str, Any]] = {}
        for page in self.pages:
            rows, cells = page.shown.feeds.get(feed, (b"", b""))
            name = hashlib.sha256(rows + cells).hexdigest()
            one = found.setdefault(name, {"pages": 0})
            one["pages"] += 1
            one["rows"], one["cells"] = (base64.b64encode(part).decode() for part in (rows, cells))
        return list(found.values())

    def obey(self, command: dict[str, Any]) -> Any:
        """One command of whoever started this process."""
        match command:
            case {"open": count}:
                pages = self.open(count, command.get("answering", True))
                return {
                    "first_number_s": [page.first_number_s for page in pages],
                    "loaded_s": [page.loaded_s for page in pages],
                }
            case {"cells": feed}:
                return self.cells(feed)
            case {"columns": feed}:
                return self.names[feed]
            case {"tables": _}:
                return self.tables
            case {"stall": number}:
                return self.stall(number, reading=False)
            case {"wake": number}:
                return self.stall(number, reading=True)
            case {"note": number}:
                return self.pages[number].control({"type": "select", "row": command["row"]})
            case {"close": count}:
                return self.close(count)
        return self.stat()


def main(crowd: Crowd | None = None) -> None:
    """Serve commands until standard input ends."""
    crowd = crowd or Crowd(sys.argv[1])
    os.set_blocking(0, False)
    crowd.selector.register(0, selectors.EVENT_READ, None)
    waiting = b""
    crowd.open(int(sys.argv[2]))
    print(json.dumps({"ready": len(crowd.pages)}), flush=True)
    while True:
        if not crowd.turn(1.0):
            continue
        data = os.read(0, READ_BYTES)
        if not data:
            return
        waiting += data
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            print(json.dumps(crowd.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
