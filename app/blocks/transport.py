"""Door: one page's WebSocket. Writes shared bytes to it and hears its binary acknowledgements.

Bokeh owns the socket. A push is one binary frame, written only while Bokeh writes nothing (its
`write_lock` is free), so it stands between two of Bokeh's messages and the page takes it before
Bokeh's receiver sees it (wire.js). It goes to the socket itself: Tornado's stream takes only what
the socket has no room for. An acknowledgement is a 24-byte binary frame, caught where the socket
becomes readable: a thousand pages acknowledge twenty thousand times a second, and the way through
Tornado's reader costs 0.1 ms, a Bokeh event more than 1 ms.
"""

import socket
from collections.abc import Callable
from typing import Any

from bokeh.server.views.ws import WSHandler
from tornado.iostream import IOStream, StreamClosedError

from app.push import ACK, ACK_MAGIC
from app.session import Session

# An acknowledgement as a browser frames it: final and binary, masked and 24 bytes, the mask.
# Its answer to a keep-alive is caught beside it: once a second for each page, 0.1 ms otherwise.
_PONG = 0x8A
_ACK_HEAD = bytes((0x82, 0x80 | ACK.size))
_FRAME_BYTES = 6 + ACK.size
_READ_BYTES = 65_536  # Tornado's own.
_HEADER_BYTES = 2
_LONG = 0x80 | 126  # From here on the second byte says where the length stands.


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

    def ready(self) -> bool:
        """Whether the socket is idle and Bokeh is not in the middle of a message."""
        locked = self._lock._block._value == 0  # noqa: SLF001 (no public way to ask)
        return not (locked or self._stream.writing())

    def write(self, push: bytes) -> bool:
        """Write framed bytes; False where the page has gone."""
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


class AckReader:
    """Reads a stream's socket in Tornado's place: takes acknowledgements, hands it all else.

    Tornado is given whole frames only, through its own `read_from_fd`. What of a frame has not
    come yet is waited for here, so a frame's begin is never guessed.
    """

    def __init__(
        self, stream: Any, take: Callable[[int, float, int], None], pong: Callable[[bytes], None]
    ) -> None:
        """`take` is told sequence, latency in ms and samples of each; `pong` what was echoed.

        To be made between two frames of the client, as in the handler of a message.
        """
        self._stream, self._take, self._pong = stream, take, pong
        self._socket = stream.socket
        self._handle = stream._handle_events  # noqa: SLF001 (Tornado's own, as it registered it)
        self._begun = self._waiting = b""
        self._ended = False
        stream.read_from_fd = self._read_from_fd
        loop, descriptor = stream.io_loop, stream.fileno()
        loop.remove_handler(descriptor)
        loop.add_handler(descriptor, self._readable, stream._state)  # noqa: SLF001

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
        for _, samples, sequence, latency_ms in acks:
            self._take(int(sequence), latency_ms, samples)
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


Acks = list[tuple[int, int, float, float]]


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
        if size == _FRAME_BYTES and frame[:2] == _ACK_HEAD:
            ack = ACK.unpack(_unmasked(frame))
            if ack[0] == ACK_MAGIC:
                acks.append(ack)
                continue
        if frame[0] == _PONG and frame[1] < _LONG:
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
    handler = open_handlers[-1]
    known = getattr(handler, "tickglass_session", None)
    handler.tickglass_session = session
    if known is None and type(handler.ws_connection.stream) is IOStream:
        AckReader(handler.ws_connection.stream, session.ack, handler.on_pong)
    transport = handler.tickglass_transport = PageTransport(handler)
    return transport


def hear_acks() -> None:
    """Teach Bokeh's WebSocket handler to tell sessions of acks and of its end; once a process."""
    if getattr(WSHandler, "tickglass_hears", False):
        return
    bokeh_on_message, bokeh_on_close = WSHandler.on_message, WSHandler.on_close

    async def on_message(self: Any, message: str | bytes) -> None:
        if isinstance(message, bytes) and len(message) == ACK.size:
            magic, samples, sequence, latency_ms = ACK.unpack(message)
            page = getattr(self, "tickglass_session", None)
            if magic == ACK_MAGIC and page is not None:
                page.ack(int(sequence), latency_ms, samples)
                return
        await bokeh_on_message(self, message)

    def on_close(self: Any) -> None:
        page = getattr(self, "tickglass_session", None)
        if page is not None:  # Bokeh keeps its session a while, in case the page comes back.
            page.lost(self.tickglass_transport)
        bokeh_on_close(self)

    WSHandler.on_message = on_message  # type: ignore[method-assign]
    WSHandler.on_close = on_close  # type: ignore[method-assign]
    WSHandler.tickglass_hears = True  # type: ignore[attr-defined]


__all__ = ["AckReader", "PageTransport", "connect", "hear_acks", "split_acks"]
