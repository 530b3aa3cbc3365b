"""Clients that open a page's WebSocket as a browser does, and then say what no browser says."""

import os
import random
import re
import socket
import struct
import urllib.request
from collections.abc import Iterator

WAIT_SECONDS = 20.0


def frame(opcode: int, data: bytes) -> bytes:
    """One masked frame; the mask is nought, so the data stand in it as they are."""
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + bytes(4) + data


def garbage() -> Iterator[tuple[str, bytes]]:
    """What is said, once the socket is open."""
    chance = random.Random(3)
    header = b'{"msgid": "1", "msgtype": "%s"}'
    yield "random bytes", chance.randbytes(5_000)
    yield "binary", frame(2, chance.randbytes(300))
    yield "text", frame(1, b"{")
    yield "deep", frame(1, b"[" * 100_000)
    yield "no such message", frame(1, header % b"NONSENSE") + 2 * frame(1, b"{}")
    patch = header % b"PATCH-DOC", b"{}", b'{"events": [{"kind": "ModelChanged", "model": 7}]}'
    yield "malformed patch", b"".join(frame(1, part) for part in patch)
    yield "no text", frame(1, b"\xff\xfe\xfd")
    yield "acknowledgements of nobody", b"".join(frame(2, os.urandom(24)) for _ in range(50))
    yield "too long", frame(1, b"x" * (3 << 20))
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


def is_ended(sock: socket.socket, data: bytes) -> bool:
    """Say it; whether the server then ends the connection."""
    try:
        sock.sendall(data)
        while sock.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    finally:
        sock.close()
    return True
