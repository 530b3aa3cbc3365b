"""A client that says too much, or what no browser says, is sent away; its neighbour goes on."""

import asyncio
import os
import struct
from collections import Counter

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from app.blocks.transport import CLIENT_BYTES_MAX, FRAMES_BURST, AckReader
from tests.app.blocks.test_transport import Handler, ack, frame, opened, until

REFUSED: Counter = Counter()


class Strict(Handler):
    """As the product's: it counts whom it sends away."""

    def open(self):
        super().open()
        stream = self.ws_connection.stream
        self.reader = AckReader(stream, self.take, self.pongs.append, self.refuse)

    def refuse(self, why):
        REFUSED[why] += 1


async def connected(port):
    """A client's bare socket, and the handler that it met."""
    before = len(Handler.made)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    await until(lambda: len(Handler.made) > before)
    return Handler.made[-1], reader, writer


def endless(writer):
    """A frame that says to be 2^40 bytes long, and goes on and on."""
    writer.write(struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 40) + b"mask")
    return os.urandom(65_536)


def flood(writer):
    """Acknowledgements as fast as they go."""
    return b"".join(ack(k, b"mask") for k in range(1_000))


def wishes(writer):
    """Wishes as fast as they go."""
    return frame(b'{"type": "viewport"}' * 50, 1, b"mask") * 64


@pytest.mark.parametrize(
    ("say", "why"), [(endless, "message too long"), (flood, "flood"), (wishes, "flood")]
)
def test_who_says_too_much_is_sent_away_and_its_neighbour_is_heard(say, why):
    async def run():
        Handler.made.clear()
        REFUSED.clear()
        listener, port = bind_unused_port()
        server = HTTPServer(Application([("/ws", Strict)], websocket_max_message_size=1 << 20))
        server.add_socket(listener)
        good, _, good_writer = await connected(port)
        bad, _, bad_writer = await connected(port)
        piece = say(bad_writer)
        sent = 0
        try:
            while not bad.gone and sent < 64 * CLIENT_BYTES_MAX:
                bad_writer.write(piece)
                good_writer.write(ack(sent // len(piece), b"mask"))
                sent += len(piece)
                await asyncio.wait_for(bad_writer.drain(), 10)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        await until(lambda: bad.gone)
        assert dict(REFUSED) == {why: 1}
        assert len(bad.acks) <= 2 * FRAMES_BURST
        assert sent < 16 * CLIENT_BYTES_MAX
        held = bad.reader
        assert len(held._begun) + len(held._waiting) == 0, "nothing of it is kept"
        heard = len(good.acks)
        good_writer.write(ack(10**6, b"mask"))
        await until(lambda: len(good.acks) > heard and good.acks[-1] == 10**6)
        assert not good.gone
        good_writer.close()
        server.stop()

    asyncio.run(run())


@pytest.mark.parametrize(
    "data",
    [
        b"\x8a\x00",  # A pong without its mask.
        b"\x82\x18" + bytes(24),  # An acknowledgement without its mask.
        b"\xff\xff" + bytes(range(200)),
        b"\x00" * 500,
        frame(b"\xff\xfe no text", 1, b"mask"),
        frame(b"", 9, b"mask") * 100,
        os.urandom(3_000),
    ],
)
def test_what_no_browser_sends_ends_that_socket_at_most(data):
    async def run():
        server, bad, _, writer = await opened()
        writer.write(data)
        await writer.drain()
        writer.close()
        await until(lambda: bad.gone)
        assert bad.acks == []
        server.stop()

    asyncio.run(run())
