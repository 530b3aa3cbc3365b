"""Clients that open a page's WebSocket as a browser does, and then say what no browser says."""

import os
import random
import re
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from bench.crowd import masked

WAIT_SECONDS = 30.0


def garbage() -> Iterator[tuple[str, bool, bytes]]:
    """What is said once the socket is open, and whether the server must end it for that."""
    chance = random.Random(3)
    header = b'{"msgid": "1", "msgtype": "%s"}'
    yield "random bytes", True, chance.randbytes(5_000)
    yield "binary", True, masked(chance.randbytes(300), 2)
    yield "no such message", True, masked(header % b"NONSENSE", 1) + 2 * masked(b"{}", 1)
    yield "no text", True, masked(b"\xff\xfe\xfd", 1)
    yield "nobody's", True, b"".join(masked(os.urandom(24), 2) for _ in range(50))
    yield "too long", True, masked(b"x" * (3 << 20), 1)
    yield "endless", True, struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 40) + bytes(4 << 20)
    yield "no mask", True, b"\x81\x02hi" * 100
    # Well formed for Bokeh, which answers it with an error or waits for the rest of it.
    patch = header % b"PATCH-DOC", b"{}", b'{"events": [{"kind": "ModelChanged", "model": 7}]}'
    yield "malformed patch", False, b"".join(masked(part, 1) for part in patch)
    yield "half", False, masked(b"{", 1)
    yield "deep", False, masked(b"[" * 100_000, 1)


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


def ended(sock: socket.socket, data: bytes) -> bool:
    """Say it, and hear what the server makes of it: did it end the connection in time?"""
    deadline = time.monotonic() + WAIT_SECONDS
    sock.settimeout(WAIT_SECONDS)
    try:
        with sock:
            sock.sendall(data)
            while time.monotonic() < deadline:
                if not sock.recv(65_536):
                    return True
    except TimeoutError:
        return False
    except OSError:  # Reset, which is an end.
        return True
    return False


def not_ended(port: int) -> list[str]:
    """All of the garbage at once, each by a client of its own; what was not ended and should be."""
    said = list(garbage())
    sockets = [opened(port) for _ in said]
    with ThreadPoolExecutor(len(said)) as clients:
        answers = [
            clients.submit(ended, sock, data) if must_end else clients.submit(sock.sendall, data)
            for sock, (_, must_end, data) in zip(sockets, said, strict=True)
        ]
    for sock in sockets:
        sock.close()
    return [
        name
        for (name, must_end, _), answer in zip(said, answers, strict=True)
        if must_end and not answer.result()
    ]
