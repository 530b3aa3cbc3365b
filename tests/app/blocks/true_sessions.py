"""The product's own hub, views and sessions over a made-up market, for what only a server decides.

Enters: the tables of the fake market, taken as an image at every step. Leaves: pushes, as they
leave the product.
"""

import asyncio
import json
from typing import Any

from made_past import MadePast

from app.blocks.transport import connect, hear_acks
from app.mirror import Mirror
from app.session import Hub
from compute import delta
from ingest.instrument import Instrument, Reference


class Nobody:
    """A bus on which nobody answers what pages ask, as where `risk` does not run."""

    async def ask_risk(self, message: dict[str, Any]) -> None:
        """Goes nowhere."""

    async def answer(self, name: str, seconds: float) -> None:
        """None, after `seconds`."""
        await asyncio.sleep(seconds)


class TrueSessions:
    """A hub that is fed by hand."""

    def __init__(self, market: Any, rows: list[dict[str, Any]]) -> None:
        """Follows nothing until `begin`."""
        self.market, self.rows = market, rows
        self.heard: list[dict[str, Any]] = []
        self.step_number = 0
        self.hub: Hub | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call in the loop."""
        hear_acks()
        mirror = Mirror(bus=Nobody())  # type: ignore[arg-type]
        mirror.reference = Reference(Instrument(**row) for row in self.rows)
        mirror.names = json.dumps(self.market.names).encode()
        self.hub = Hub(mirror, loop)
        self.hub.charts.past = MadePast(self.market)
        self.charts = loop.create_task(self.hub.charts.run())
        self.take()

    def attach(self, spec: dict[str, Any], document: Any) -> Any:
        """A session whose wishes are remembered."""
        assert self.hub is not None
        found: list[Any] = []
        session = self.hub.attach(spec, lambda: connect(document, found[0]))
        found.append(session)
        heed = session.control

        def control(message: dict[str, Any]) -> None:
            self.heard.append(message)
            heed(message)

        session.control = control  # type: ignore[method-assign]
        return session

    def take(self) -> None:
        """What the market is now, as one step of the mirror; wakes every page."""
        assert self.hub is not None
        self.step_number += 1
        image = delta.pack_image(self.market.tables, 1, self.step_number, 0, {})
        self.hub.mirror.take_image(delta.unpack_image(image))
