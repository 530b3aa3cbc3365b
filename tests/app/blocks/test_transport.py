"""The page's socket: acknowledgements are caught before Tornado, all else reaches it unharmed."""

import asyncio
import os
import socket
import struct
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httpserver import HTTPServer
from tornado.locks import Lock
from tornado.testing import bind_unused_port
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from app.blocks.transport import AckReader, PageTransport, split_acks
from app.push import ACK, ACK_MAGIC, ACKS_MAX, unpack_acks

WAIT_SECONDS = 10.0


def frame(data: bytes, opcode: int, mask: bytes) -> bytes:
    """As a browser sends it."""
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    masked = bytes(byte ^ mask[k % 4] for k, byte in enumerate(data))
    return head + mask + masked


def ack(sequence: int, mask: bytes) -> bytes:
    return frame(ACK.pack(ACK_MAGIC, 1, 0, sequence, 5.0), 2, mask)


def test_paints_that_a_page_tells_together_are_taken_one_by_one():
    paints = [(ACK_MAGIC, k, 10 * k, float(k), 1.5 * k) for k in range(ACKS_MAX)]
    message = b"".join(ACK.pack(*paint) for paint in paints)
    assert split_acks(frame(message, 2, b"abcd")) == (paints, [], b"", b"")
    assert unpack_acks(message[:-1]) == unpack_acks(b"") == unpack_acks(bytes(48)) == []
    assert unpack_acks(message + message[:24]) == []  # More than a page may say at once.


masks = st.binary(min_size=4, max_size=4)
frames = st.lists(
    st.one_of(
        st.builds(lambda n, mask: ("ack", n, ack(n, mask)), st.integers(0, 2**40), masks),
        st.builds(
            lambda data, mask: ("other", data, frame(data, 1, mask)),
            st.text(max_size=200).map(str.encode),
            masks,
        ),
        st.builds(
            lambda data, mask: ("other", data, frame(data, 2, mask)),
            st.one_of(st.binary(max_size=24), st.just(bytes(24)), st.just(bytes(70_000))),
            masks,
        ),
        st.builds(
            lambda data, mask: ("pong", data, frame(data, 10, mask)),
            st.binary(min_size=1, max_size=20),
            masks,
        ),
    ),
    max_size=8,
)


@given(frames, st.integers(0, 40))
def test_acks_are_taken_and_the_rest_stays_as_it_was(sent, cut):
    data = b"".join(raw for _, _, raw in sent)
    acks, pongs, rest, begun = split_acks(data)
    assert [int(one[3]) for one in acks] == [n for kind, n, _ in sent if kind == "ack"]
    assert pongs == [data for kind, data, _ in sent if kind == "pong"]
    assert rest == b"".join(raw for kind, _, raw in sent if kind == "other")
    assert begun == b""
    first = data[: max(0, len(data) - cut)]
    *told, begun = split_acks(first)
    more = split_acks(begun + data[len(first) :])
    assert told[0] + more[0] == acks
    assert told[1] + more[1] == pongs
    assert told[2] + more[2] == rest


class Handler(WebSocketHandler):
    """Bokeh's, as far as a transport knows it."""

    made: ClassVar[list["Handler"]] = []

    def open(self):
        self.write_lock = Lock()
        self.heard, self.acks, self.pongs = [], [], []
        self.transport = PageTransport(self)
        AckReader(self.ws_connection.stream, self.take, self.pongs.append)
        self.made.append(self)

    def take(self, sequence, _latency_ms, _samples, _held_ms):
        self.acks.append(sequence)

    gone = False

    def on_close(self):
        self.gone = True

    def on_message(self, message):
        self.heard.append(message)


async def opened(first=b""):
    """A server's handler and a client's bare socket, that says `first` with its request."""
    Handler.made.clear()
    listener, port = bind_unused_port()
    server = HTTPServer(Application([("/ws", Handler)]))
    server.add_socket(listener)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" + first
    )
    await reader.readuntil(b"\r\n\r\n")
    await until(lambda: Handler.made)
    return server, Handler.made[0], reader, writer


async def until(found):
    async with asyncio.timeout(WAIT_SECONDS):
        while not found():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("piece", [1, 7, 30, 31, 1000, 10**6])
def test_a_page_may_say_anything_in_any_pieces(piece):
    """Acks between messages, cut anywhere: none is lost, none doubled, messages stay in order."""

    async def run():
        server, handler, _, writer = await opened()
        told = []
        data = b""
        for k in range(40 if piece > 1 else 4):
            data += ack(k, os.urandom(4))
            if k % 3 == 0:
                told.append("x" * (k * 37 % 300) + str(k))
                data += frame(told[-1].encode(), 1, os.urandom(4))
            if k % 5 == 0:
                data += frame(b"%d" % k, 10, os.urandom(4))
        data += frame(b"y" * 70_000, 1, os.urandom(4)) if piece >= 1000 else b""
        told += ["y" * 70_000] if piece >= 1000 else []
        for at in range(0, len(data), piece):
            writer.write(data[at : at + piece])
            await writer.drain()
            await asyncio.sleep(0)
        acks = 40 if piece > 1 else 4

        await until(lambda: len(handler.acks) == acks and len(handler.heard) == len(told))
        assert handler.acks == list(range(acks))
        assert handler.heard == told
        assert len(handler.pongs) == (acks + 4) // 5
        writer.close()
        await until(lambda: handler.gone)  # The end of the stream came through, too.
        server.stop()

    asyncio.run(run())


@pytest.mark.parametrize("cut", [1, 2, 5, 20, 30, 45])
def test_a_frame_that_tornado_has_begun_to_read_is_completed(cut):
    async def run():
        data = frame(b"x" * 25, 1, b"mask") + ack(7, b"abcd") + frame(b"last", 1, b"mask")
        server, handler, _, writer = await opened(data[:cut])
        await asyncio.sleep(0.02)
        writer.write(data[cut:])
        await until(lambda: len(handler.heard) == 2 and handler.acks)
        assert handler.heard == ["x" * 25, "last"]
        assert handler.acks == [7]
        writer.close()
        server.stop()

    asyncio.run(run())


def test_pushes_go_out_at_once_and_whole_also_where_the_socket_is_full():
    async def run():
        server, handler, reader, writer = await opened()
        stream = handler.ws_connection.stream
        assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        sent = b""
        while handler.transport.ready() and len(sent) < 64 << 20:
            push = os.urandom(100_000)
            assert handler.transport.write(push)
            sent += push
        assert not handler.transport.ready()  # The page does not read: it is left alone.
        assert await asyncio.wait_for(reader.readexactly(len(sent)), WAIT_SECONDS) == sent
        await until(handler.transport.ready)
        with await handler.write_lock.acquire():
            assert not handler.transport.ready()  # Bokeh is in the middle of a message.
        assert handler.transport.ready()
        writer.close()
        await until(stream.closed)
        assert not handler.transport.write(b"x")
        server.stop()

    asyncio.run(run())
