"""Door: the link of a page whose server has gone: a WebSocket of ours, without a document.

Bokeh's document of the page stays in the browser as it is; numbers come by push and wishes go by
message on either socket, so nothing of it is needed to go on. The page shows its ticket
(app/ticket.py) and tells all its wishes in one message; it is answered once and sent all that it
shows. A document made anew would take a hundred times as long, and two hundred pages come at once.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from bokeh.server.views.ws import WSHandler
from tornado.locks import Lock
from tornado.websocket import WebSocketHandler

from app.blocks.transport import hear, join
from app.pace import Pace
from app.people import address_of
from app.session import Session

MESSAGE_BYTES_MAX = 1 << 18  # A ticket and the wishes of the widest desk take a tenth of it.
WISHES_MAX = 256  # A desk tells three for each of its feeds, and some.
REFUSED, NOT_NOW, NONSENSE = 4403, 4503, 4400  # What the page's program reads of an end.
# A page that shows itself says something each second, one behind others once a minute.
SILENT_SECONDS = 150.0

Connect = Callable[[], Any]
Admit = Callable[[Any], Any]  # Who asks, or None where nobody may come in like that.
# The session of a page that says all this, and what it is answered; RefusedError where it cannot.
GoOn = Callable[[dict[str, Any], Connect, Any], tuple[Session, dict[str, Any]]]


class RefusedError(RuntimeError):
    """The page cannot go on here; the text says why."""

    def __init__(self, text: str, *, now: bool = False) -> None:
        """`now`: it may well do so at another time, or at another server."""
        super().__init__(text)
        self.code = NOT_NOW if now else REFUSED


class LinkHandler(WebSocketHandler):
    """One such socket."""

    check_origin = WSHandler.check_origin  # Whoever may not open a page may not go on with one.
    tickglass_session: Session | None = None
    tickglass_transport: Any = None
    pace = Pace()  # Of all of them in this process.

    def initialize(self, go_on: GoOn, leave: Callable[[Session], None], admit: Admit) -> None:
        """As Tornado calls it for each request."""
        self.go_on, self.leave, self.admit = go_on, leave, admit
        self.write_lock = Lock()  # PageTransport asks it; nobody here writes in parts.
        self.session: Session | None = None
        self.begun = False
        self._heard = self._known = 0

    @property
    def max_message_size(self) -> int:
        """What Tornado takes of a page at once."""
        return MESSAGE_BYTES_MAX

    async def on_message(self, message: str | bytes) -> None:
        """The ticket, then wishes and acknowledgements."""
        self._heard += 1
        if isinstance(message, bytes):
            if not hear(self, message):
                self.close(NONSENSE)
            return
        try:
            told = json.loads(message)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            self.close(NONSENSE)
        elif self.session is not None:
            self.session.control(told)
        elif not self.begun:
            self.begun = True
            await self._begin(told)

    async def _begin(self, told: dict[str, Any]) -> None:
        wishes = told.get("wishes")
        if not isinstance(wishes, list) or len(wishes) > WISHES_MAX:
            self.close(NONSENSE)
            return
        signed = self.admit(self.request)
        if signed is None:
            self.close(REFUSED, "sign in")
            return
        await asyncio.sleep(self.pace.turn())
        begun = time.monotonic()
        try:
            # The past is opened in ClickHouse, which takes its time.
            away = asyncio.to_thread if "asof" in told else _here
            self.session, answer = await away(self.go_on, told, self._join, signed)
        except RefusedError as error:
            self.close(error.code, str(error)[:100])
            return
        if self.ws_connection is None:  # It has gone meanwhile.
            self.on_close()
            return
        if self.session.shown:
            self.session.shown.came(self.session.user, address_of(self.request))
        await self.write_message(json.dumps(answer))
        self.session.take_all([wish for wish in wishes if isinstance(wish, dict)])
        if "asof" not in told:
            self.pace.took(time.monotonic() - begun)
        self._watch()

    def _join(self) -> Any:
        assert self.session is not None
        return join(self, self.session)

    def _watch(self) -> None:
        """End with a page that says nothing any more: its machine is gone, or sleeps."""
        heard = self._heard + (self.session.acks if self.session else 0)
        if heard == self._known:
            self.close()
        elif self.ws_connection is not None:
            self._known = heard
            asyncio.get_running_loop().call_later(SILENT_SECONDS, self._watch)

    def on_pong(self, data: bytes) -> None:
        """Nobody pings here: the page itself looks whether we are there."""

    def on_close(self) -> None:
        """The page has gone, or has gone on elsewhere."""
        session, self.session = self.session, None
        if session is not None:
            if self.tickglass_transport is not None:
                session.lost(self.tickglass_transport)
            self.leave(session)


async def _here(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


__all__ = ["Admit", "GoOn", "LinkHandler", "RefusedError"]
