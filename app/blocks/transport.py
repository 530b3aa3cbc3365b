"""Door: one page's WebSocket. Writes shared bytes to it and hears its binary acknowledgements.

Bokeh owns the socket. A push is one binary frame, written only while Bokeh writes nothing (its
`write_lock` is free), so it stands between two of Bokeh's messages and the page takes it before
Bokeh's receiver sees it (wire.js). It goes to the socket itself: Tornado's stream takes only what
the socket has no room for. Acknowledgements are a binary frame of 24 bytes each, caught where the
socket becomes readable: a thousand pages acknowledge twenty thousand pushes a second, and the way
through Tornado's reader costs 0.1 ms, a Bokeh event more than 1 ms. A page that is pushed to needs
no keep-alive beside it.
"""

import logging
import socket
import time
from collections.abc import Callable
from typing import Any

from bokeh.server.views.ws import WSHandler
from tornado.iostream import IOStream, StreamClosedError

from app.allowance import Allowance
from app.push import ACK, BEAT_MAGIC, pack_push, unpack_acks
from app.session import Session

# Acknowledgements as a browser frames them: final and binary, masked and short, the mask.
# Its answer to a keep-alive is caught beside it: once a second for each page, 0.1 ms otherwise.
_BINARY, _PONG = 0x82, 0x8A
_READ_BYTES = 16_384
_HEADER_BYTES = 2
QUIET_SECONDS = 0.3  # With a keep-alive a second, a proxy hears something every 1.3 s.
_MASKED, _LONG = 0x80, 0x80 | 126  # From _LONG on the second byte says where the length stands.
# What a client may say. A page's longest message is a hypothetical portfolio of 64 KiB; at 120
# frames/s it acknowledges 120 times a second, and it tells some 20 kB of wishes when it begins.
CLIENT_BYTES_MAX = 1 << 20
FRAMES_BURST, FRAMES_PER_S = 4_000, 500
WISHES_BURST, WISHES_PER_S = 2 * CLIENT_BYTES_MAX, 65_536  # Bytes.


class PageTransport:
    """The socket of one connection of one page."""

    def __init__(self, handler: Any) -> None:
        """`handler` is Bokeh's WebSocket handler of the connection."""
        self._handler = handler
        self._stream = handler.ws_connection.stream
        self._socket: socket.socket = self._stream.socket
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lock = handler.write_lock
        self._plain = type(self._stream) is IOStream  # Not one that encrypts.
        self._wrote_at = 0.0

    def ready(self) -> bool:
        """Whether the socket is idle and Bokeh is not in the middle of a message."""
        locked = self._lock._block._value == 0  # noqa: SLF001 (no public way to ask)
        return not (locked or self._stream.writing())

    def write(self, push: bytes) -> bool:
        """Write framed bytes; False where the page has gone."""
        self._wrote_at = time.monotonic()
        try:
            sent = self._socket.send(push) if self._plain else 0
        except BlockingIOError:
            sent = 0
        except OSError:  # Tornado finds it closed by itself.
            return False
        if sent == len(push):
            return True
        try:
            self._stream.write(memoryview(push)[sent:])
        except StreamClosedError:
            return False
        return True

    def end(self) -> None:
        """The page is to go."""
        self._handler.close()

    def quiet(self) -> bool:
        """Whether nothing was written for long enough that a keep-alive has something to say."""
        return time.monotonic() - self._wrote_at > QUIET_SECONDS


class AckReader:
    """Reads a stream's socket in Tornado's place: takes acknowledgements, hands it all else.

    Tornado is given whole frames only, through its own `read_from_fd`. What of a frame has not
    come yet is waited for here, so a frame's begin is never guessed.
    """

    def __init__(
        self,
        stream: Any,
        take: Callable[[int, float, int, int], None],
        pong: Callable[[bytes], None],
        refuse: Callable[[str], None] = lambda _why: None,
    ) -> None:
        """`take` is told sequence, latency in ms, samples and for how long in ms it was held back.

        `pong` is told what was echoed, `refuse` why the client was sent away: it says more at
        once than a page has to say, or more and more.

        To be made between two frames of the client, as in the handler of a message.
        """
        self._stream, self._take, self._pong, self._refuse = stream, take, pong, refuse
        self._frames = Allowance(FRAMES_BURST, FRAMES_PER_S)
        self._wishes = Allowance(WISHES_BURST, WISHES_PER_S)
        self._socket = stream.socket
        self._handle = stream._handle_events  # noqa: SLF001 (Tornado's own, as it registered it)
        self._begun = self._waiting = b""
        self._ended = False
        self._take_begun(stream)
        stream.read_from_fd = self._read_from_fd
        loop, descriptor = stream.io_loop, stream.fileno()
        loop.remove_handler(descriptor)
        loop.add_handler(descriptor, self._readable, stream._state)  # noqa: SLF001

    def _take_begun(self, stream: Any) -> None:
        """What Tornado has read already of a frame that is not whole is ours to complete."""
        held = stream._read_buffer  # noqa: SLF001 (a frame's begin, between two frames)
        self._begun = split_acks(bytes(held))[3]
        if self._begun:
            del held[-len(self._begun) :]
            stream._read_buffer_size -= len(self._begun)  # noqa: SLF001

    def _readable(self, descriptor: Any, events: int) -> None:
        if events & self._stream.io_loop.READ:
            self._read()
            if events == self._stream.io_loop.READ and not (self._waiting or self._ended):
                return
        self._handle(descriptor, events)

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._ended = not data
        acks, pongs, rest, self._begun = split_acks(self._begun + data)
        self._waiting += rest
        why = "" if len(self._begun) <= CLIENT_BYTES_MAX else "message too long"
        if not (self._frames.take(len(acks) + len(pongs)) and self._wishes.take(len(rest))):
            why = "flood"
        if why:
            # As if it had gone: Tornado ends what is left of it.
            self._begun, self._waiting, self._ended = b"", b"", True
            self._refuse(why)
            return
        for _, samples, held_ms, sequence, latency_ms in acks:
            self._take(int(sequence), latency_ms, samples, held_ms)
        for echoed in pongs:
            self._pong(echoed)

    def _read_from_fd(self, buffer: bytearray | memoryview) -> int | None:
        """As Tornado's: bytes read, 0 at the end, None where there is nothing now."""
        if not self._waiting:
            return 0 if self._ended else None
        size = min(len(buffer), len(self._waiting))
        buffer[:size] = self._waiting[:size]
        self._waiting = self._waiting[size:]
        return size


Acks = list[tuple[int, int, int, float, float]]


def split_acks(data: bytes) -> tuple[Acks, list[bytes], bytes, bytes]:
    """Frames of a client: what acknowledgements and pongs say, all others, and a begun one.

    `data` begins with a frame.
    """
    acks, pongs, rest = [], [], b""
    at = 0
    while at < len(data):
        size = _frame_bytes(data, at)
        frame = data[at : at + size]
        if not size or len(frame) < size:
            break
        at += size
        short = _MASKED <= frame[1] < _LONG
        if frame[0] == _BINARY and short:
            told = unpack_acks(_unmasked(frame))
            if told:
                acks += told
                continue
        if frame[0] == _PONG and short:
            pongs.append(_unmasked(frame))
        else:
            rest += frame
    return acks, pongs, rest, data[at:]


def _unmasked(frame: bytes) -> bytes:
    """Payload of a whole short frame."""
    size = len(frame) - 6
    mask = (frame[2:6] * (size // 4 + 1))[:size]
    return (int.from_bytes(frame[6:]) ^ int.from_bytes(mask)).to_bytes(size)


def _frame_bytes(data: bytes, at: int) -> int:
    """Length of the frame at `at`; 0 where so little has come that it is not known."""
    if len(data) - at < _HEADER_BYTES:
        return 0
    masked, size, extended = data[at + 1] & 0x80, data[at + 1] & 0x7F, 0
    if size >= _LONG & 0x7F:  # The length stands behind the head, in two or eight bytes.
        extended = 2 if size == _LONG & 0x7F else 8
        if len(data) - at < _HEADER_BYTES + extended:
            return 0
        size = int.from_bytes(data[at + _HEADER_BYTES : at + _HEADER_BYTES + extended])
    return _HEADER_BYTES + extended + (4 if masked else 0) + size


def connect(document: Any, session: Session) -> PageTransport | None:
    """The transport of a document's newest connection, which will bring `session` its acks."""
    context = document.session_context
    connections = context.session._subscribed_connections if context else ()  # noqa: SLF001
    handlers = [connection._socket for connection in connections]  # noqa: SLF001
    open_handlers = [handler for handler in handlers if handler.ws_connection is not None]
    if not open_handlers:
        return None
    return join(open_handlers[-1], session)


def join(handler: Any, session: Session) -> PageTransport:
    """The transport of a WebSocket handler's connection, which will bring `session` its acks."""
    known = getattr(handler, "tickglass_session", None)
    handler.tickglass_session = session
    if known is None and type(handler.ws_connection.stream) is IOStream:
        stream, refuse = handler.ws_connection.stream, session.hub.refuse
        AckReader(stream, session.ack, handler.on_pong, refuse)
    transport = handler.tickglass_transport = PageTransport(handler)
    return transport


def hear(handler: Any, message: bytes) -> bool:
    """Take a binary frame of ours, an acknowledgement or a beat; False where it is none."""
    page = getattr(handler, "tickglass_session", None)
    if page is None:
        return False
    told = unpack_acks(message)
    for _, samples, held_ms, sequence, latency_ms in told:
        page.ack(int(sequence), latency_ms, samples, held_ms)
    beat = len(message) == ACK.size and ACK.unpack(message)[0] == BEAT_MAGIC
    if beat:
        transport: PageTransport = handler.tickglass_transport
        if transport.ready():  # If not, something else is on its way and answers as well.
            transport.write(pack_push([], -1, 0, 0))
    return bool(told) or beat


def hear_acks(refuse: Callable[[str], None] = lambda _why: None) -> None:
    """Teach Bokeh's WebSocket handler to tell sessions of acks and of its end; once a process.

    `refuse` is told why a client was sent away whose messages Bokeh cannot read.
    """
    if getattr(WSHandler, "tickglass_hears", False):
        return
    bokeh_on_message, bokeh_on_close = WSHandler.on_message, WSHandler.on_close
    bokeh_ping = WSHandler.ping

    async def on_message(self: Any, message: str | bytes) -> None:
        if isinstance(message, bytes) and hear(self, message):
            return
        await bokeh_on_message(self, message)

    def on_close(self: Any) -> None:
        page = getattr(self, "tickglass_session", None)
        if page is not None:  # Bokeh keeps its session a while, in case the page comes back.
            page.lost(self.tickglass_transport)
        bokeh_on_close(self)

    def ping(self: Any, data: str | bytes = b"") -> None:
        transport = getattr(self, "tickglass_transport", None)
        if transport is None or transport.quiet():
            bokeh_ping(self, data)

    def nonsense(self: Any, _message: str) -> None:
        refuse("nonsense")
        self.close(1003, "that is no message of a page")

    # Bokeh would write the whole of such a message to the log.
    logging.getLogger(WSHandler.__module__).setLevel(logging.CRITICAL)
    for fault in ("_internal_error", "_protocol_error"):
        setattr(WSHandler, fault, nonsense)
    WSHandler.ping = ping  # type: ignore[method-assign]
    WSHandler.on_message = on_message  # type: ignore[method-assign]
    WSHandler.on_close = on_close  # type: ignore[method-assign]
    WSHandler.tickglass_hears = True  # type: ignore[attr-defined]


__all__ = ["AckReader", "PageTransport", "connect", "hear", "hear_acks", "join", "split_acks"]
