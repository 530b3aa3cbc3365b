"""Clients that open a page's WebSocket as a browser does, and then say what no browser says."""

import contextlib
import os
import random
import re
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator

from bench.crowd import masked

WAIT_SECONDS, HEAR_SECONDS = 20.0, 2.0


def garbage() -> Iterator[tuple[str, bytes]]:
    """What is said, once the socket is open."""
    chance = random.Random(3)
    header = b'{"msgid": "1", "msgtype": "%s"}'
    yield "random bytes", chance.randbytes(5_000)
    yield "binary", masked(chance.randbytes(300), 2)
    yield "text", masked(b"{", 1)
    yield "deep", masked(b"[" * 100_000, 1)
    yield "no such message", masked(header % b"NONSENSE", 1) + 2 * masked(b"{}", 1)
    patch = header % b"PATCH-DOC", b"{}", b'{"events": [{"kind": "ModelChanged", "model": 7}]}'
    yield "malformed patch", b"".join(masked(part, 1) for part in patch)
    yield "no text", masked(b"\xff\xfe\xfd", 1)
    yield "acknowledgements of nobody", b"".join(masked(os.urandom(24), 2) for _ in range(50))
    yield "too long", masked(b"x" * (3 << 20), 1)
    yield "endless", struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 40) + bytes(4 << 20)
    yield "no mask", b"\x81\x02hi" * 100


def opened(port: int) -> socket.socket:
    """A socket as a page's: its token is taken from the page itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/overview", timeout=WAIT_SECONDS) as page:
        found = re.search(r'"token":"([^"]+)"', page.read().decode())
    assert found
    sock = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
    sock.sendall(
        f"GET /overview/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nOrigin: http://127.0.0.1:{port}\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: bokeh, {found[1]}\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        more = sock.recv(4_096)
        assert more, head
        head += more
    assert b" 101 " in head.split(b"\r\n")[0], head
    return sock


def say(sock: socket.socket, data: bytes) -> None:
    """Say it, and hear for a while what the server makes of it: an end, an answer, or nothing."""
    deadline = time.monotonic() + HEAR_SECONDS
    sock.settimeout(HEAR_SECONDS)
    with sock, contextlib.suppress(OSError):
        sock.sendall(data)
        while time.monotonic() < deadline and sock.recv(65_536):
            pass
