"""Rule: how a page goes on at this server after another: what it is given, and what is believed.

Every page is given a ticket (app/ticket.py) when it is made and a newer one each time that it
goes on. Who brings one back has a session at once: its desk, its user and which instruments it
knows are in the ticket, all else it tells by its wishes, which are checked like any others.
"""

import json
from collections.abc import Callable
from typing import Any

from app.blocks.link import Connect, RefusedError
from app.session import Hub, Session
from app.settings import Settings
from app.ticket import SECRET_FILE, Ticket, TicketError, digest, read, secret_of, write
from ingest import clock

ANYBODY = object()  # Who has come in where nobody is asked to sign in.


def secret(settings: Settings) -> str:
    """What all web servers of this product sign with."""
    return settings.secret or secret_of(settings.data / SECRET_FILE)


class Resume:
    """Of one web process."""

    def __init__(
        self,
        settings: Settings,
        hub: Callable[[], Hub],
        past: Callable[[Hub, str], Hub],
    ) -> None:
        """`hub` is that of live numbers, `past` makes one for a moment."""
        self.server, self.hub, self.past = str(settings.port), hub, past
        self._secret = secret(settings)
        self._digest = ("", "")  # Of the newest list of instruments.

    def ticket(self, hub: Hub, spec: dict[str, Any], user: str) -> str:
        """What a page of that hub needs to go on elsewhere: this server and its ticket, JSON."""
        past = hub is not self.hub()
        ticket = Ticket(spec.get("title", ""), spec["feeds"], user, self._instruments(hub), past)
        return json.dumps(self._told(ticket))

    def go_on(
        self, told: dict[str, Any], connect: Connect, signed: Any = ANYBODY
    ) -> tuple[Session, dict[str, Any]]:
        """The session of a page that shows its ticket, and what it is answered.

        `signed` is who has come in with it.

        RefusedError where the ticket is none, or where nothing can be shown yet; to a page whose
        own server still lives (`moving`) also where the market is not here either.
        """
        try:
            ticket = read(told.get("ticket"), self._secret, clock.now_ns() / 1e9)
        except TicketError as error:
            raise RefusedError(str(error)) from None
        if signed is not ANYBODY and signed.person != ticket.user:
            raise RefusedError("this page is another person's")
        hub = self.hub()
        if not hub.mirror.images:
            raise RefusedError("this server has just begun and knows no numbers yet", now=True)
        if told.get("moving") and hub.mirror.state != "live":
            raise RefusedError("this server has no market either", now=True)
        if ticket.past:
            try:
                hub = self.past(hub, str(told.get("asof"))[:64])
            except (RuntimeError, ValueError) as error:  # Each says in a sentence why not.
                raise RefusedError(str(error), now=True) from None
        session = hub.attach(ticket.spec, connect, ticket.user)
        session.signed = None if signed is ANYBODY else signed
        # A page that knows another list is sent the whole of ours: changes are counted by server.
        known = self._instruments(hub)
        if known != ticket.instruments:
            session.known.made_with = 0
        return session, self._told(ticket)

    def _told(self, ticket: Ticket) -> dict[str, Any]:
        written = write(ticket, self._secret, clock.now_ns() / 1e9)
        return {"server": self.server, "ticket": written}

    def _instruments(self, hub: Hub) -> str:
        text = hub.notes.instruments.whole()[0]
        if text is not self._digest[0]:
            self._digest = (text, digest(text))
        return self._digest[1]
