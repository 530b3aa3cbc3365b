"""Loop: what pages ask of `risk`: handed on checked, answered to the page that asked, and no other.

A question is a task that waits for its answer; there are QUESTIONS_MAX of them and not more.
"""

import asyncio
import json
from typing import Any, Protocol

from app.ask import ask, text_of
from app.rights import Rights
from app.view import ANSWER, NO_FEED, json_section
from compute.bus import BusError

QUESTIONS_MAX = 32  # On their way to `risk`; whoever asks more is refused, not queued.
ANSWER_SECONDS = 5.0  # `risk` looks for questions at every step, ten times a second.


class Page(Protocol):
    """What is needed of app.session.Session."""

    user: str
    rights: Rights
    answers: list[bytes]


class Hub(Protocol):
    """What is needed of app.session.Hub."""

    mirror: Any
    loop: asyncio.AbstractEventLoop
    role: str
    epoch: int

    def push(self, session: Any) -> None:
        """Send what it misses."""


class Questions:
    """All of one web process."""

    def __init__(self, hub: Hub) -> None:
        """Nobody has asked."""
        self.hub = hub
        self.asked = 0
        self.trusting = True  # Nobody signs in, and pages come from this machine alone.
        self.tasks: set[asyncio.Task] = set()

    def take(self, page: Page, message: dict[str, Any]) -> dict[str, str]:
        """Hand a page's question on, once checked; its answer bears the page's own `id`.

        What is not permitted is answered here: what that says, for the record too; else {}.

        ValueError, TypeError and KeyError where it makes no sense, or too much is asked already.
        """
        if message["type"] == "replay" and not (page.user or self.trusting):
            raise ValueError("who replays signs in, or is on this machine")
        own = message.get("id")
        own = None if own is None else text_of(own, "id")
        self.asked += 1
        # A name that no other question has: of this process, since it began.
        name = f"{self.hub.role.replace('.', '-')}-{self.hub.epoch}-{self.asked}"
        asked = ask(message, page.user, name)
        if said := page.rights.refusal(asked, self.hub.mirror.alerts):
            self._tell(page, asked["type"], own, {"error": said})
            return {"refused": said}
        if len(self.tasks) >= QUESTIONS_MAX:
            raise ValueError(f"{QUESTIONS_MAX} questions are on their way already")
        task = self.hub.loop.create_task(self._ask(page, asked, own))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return {}

    async def _ask(self, page: Page, message: dict[str, Any], own: str | None) -> None:
        bus = self.hub.mirror.bus
        try:
            await bus.ask_risk(message)
            told = await bus.answer(message["id"], ANSWER_SECONDS)
            answer = told or {"error": f"risk did not answer within {ANSWER_SECONDS:g} s"}
            answer = page.rights.answer(answer, self.hub.mirror.names)  # As they are by now.
        except (BusError, ValueError) as error:
            answer = {"error": str(error)}
        self._tell(page, message["type"], own, answer)

    def _tell(self, page: Page, kind: str, own: str | None, answer: dict[str, Any]) -> None:
        text = json.dumps({**answer, "type": kind, "id": own}).encode()
        page.answers.append(json_section(NO_FEED, ANSWER, text))
        self.hub.push(page)
