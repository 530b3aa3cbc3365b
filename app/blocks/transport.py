"""Door: one page's WebSocket. Writes shared bytes to it and hears its binary acknowledgements.

Bokeh owns the socket. A push is one binary frame, written only while Bokeh writes nothing (its
`write_lock` is free), so it stands between two of Bokeh's messages and the page takes it before
Bokeh's receiver sees it (wire.js). An acknowledgement is a 24-byte binary frame, caught before
Bokeh's receiver here: as a Bokeh event it would cost the server sixty times what it acknowledges.
"""

import socket
from typing import Any

from bokeh.server.views.ws import WSHandler
from tornado.iostream import StreamClosedError

from app.session import ACK, ACK_MAGIC, Session


class PageTransport:
    """The socket of one connection of one page."""

    def __init__(self, handler: Any) -> None:
        """`handler` is Bokeh's WebSocket handler of the connection."""
        self._handler = handler
        self._stream = handler.ws_connection.stream
        self._stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ready(self) -> bool:
        """Whether the socket is idle and Bokeh is not in the middle of a message."""
        locked = self._handler.write_lock._block._value == 0  # noqa: SLF001 (no public way to ask)
        return not (locked or self._stream.writing())

    def write(self, push: bytes) -> bool:
        """Write framed bytes; False where the page has gone."""
        try:
            self._stream.write(push)
        except StreamClosedError:
            return False
        return True


def connect(document: Any, session: Session) -> PageTransport | None:
    """The transport of a document's newest connection, which will bring `session` its acks."""
    context = document.session_context
    connections = context.session._subscribed_connections if context else ()  # noqa: SLF001
    handlers = [connection._socket for connection in connections]  # noqa: SLF001
    open_handlers = [handler for handler in handlers if handler.ws_connection is not None]
    if not open_handlers:
        return None
    handler = open_handlers[-1]
    handler.tickglass_session = session
    return PageTransport(handler)


def hear_acks() -> None:
    """Teach Bokeh's WebSocket handler to pass acknowledgements to their session; once a process."""
    if getattr(WSHandler, "tickglass_hears", False):
        return
    bokeh_on_message = WSHandler.on_message

    async def on_message(self: Any, message: str | bytes) -> None:
        if isinstance(message, bytes) and len(message) == ACK.size:
            magic, samples, sequence, latency_ms = ACK.unpack(message)
            page = getattr(self, "tickglass_session", None)
            if magic == ACK_MAGIC and page is not None:
                page.ack(int(sequence), latency_ms, samples)
                return
        await bokeh_on_message(self, message)

    WSHandler.on_message = on_message  # type: ignore[method-assign]
    WSHandler.tickglass_hears = True  # type: ignore[attr-defined]
