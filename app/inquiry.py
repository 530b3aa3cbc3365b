"""Loop: pages' questions about their cells, answered out of the record without holding up a push.

A page has one question under way; of what it asks meanwhile the newest is kept, the others are
never read. AT_ONCE of all pages are read of the record at a time, in threads, the rest stand in
line: as many as there are pages, at most. The answer goes to the page that asked.
"""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from app import provenance
from app.provenance import Question
from app.rights import Rights, seen
from app.view import ANSWER, NO_FEED, json_section

AT_ONCE = 2
LINE_MAX = 512  # Pages that wait; beyond that a page is told so.
KIND = "provenance"


class Page(Protocol):
    """What is needed of app.session.Session."""

    transport: Any
    rights: Rights
    answers: list[bytes]


class Hub(Protocol):
    """What is needed of app.session.Hub."""

    mirror: Any
    charts: Any
    loop: asyncio.AbstractEventLoop

    def push(self, session: Any) -> None:
        """Send what it misses."""


class Inquiries:
    """Those of one web process; lives in the server's loop."""

    def __init__(self, hub: Hub) -> None:
        """The record is what the hub's charts read of it."""
        self.hub = hub
        self.read = 0  # Questions that went to the record.
        self._line: dict[Page, Question] = {}  # In the order in which they came.
        self._busy: set[Page] = set()

    def ask(self, page: Page, message: Mapping[str, Any]) -> None:
        """Take a page's message; what is wrong with it, the page is told."""
        mirror = seen(self.hub.mirror, page.rights)
        try:
            asked = provenance.question(mirror.tables, mirror.reference, message, mirror.now_ns())
        except ValueError as error:
            self._tell(page, {"id": message.get("id"), "error": str(error)})
            return
        if said := provenance.permitted(page.rights, asked, {}):
            self._tell(page, said)
            return
        if self.hub.charts.past is None:
            self._tell(page, {"id": asked.id, "error": "nothing is on record: no ClickHouse"})
        elif page not in self._line and len(self._line) >= LINE_MAX:
            self._tell(page, {"id": asked.id, "error": "too many ask the record; try again"})
        else:
            self._line[page] = asked
            self._start()

    def _start(self) -> None:
        for page in [one for one in self._line if one not in self._busy]:
            if len(self._busy) >= AT_ONCE:
                return
            asked = self._line.pop(page)
            if page.transport is None:
                continue  # It is gone.
            self._busy.add(page)
            self.read += 1
            task = self.hub.loop.run_in_executor(None, self._answer, asked)
            task.add_done_callback(partial(self._done, page, asked))

    def _answer(self, asked: Question) -> dict[str, Any]:
        return provenance.answer(self.hub.charts.past.archive, asked)

    def _done(self, page: Page, asked: Question, done: "asyncio.Future[dict[str, Any]]") -> None:
        self._busy.discard(page)
        error = done.exception()
        answer = {"id": asked.id, "error": str(error)} if error else done.result()
        self._tell(page, provenance.permitted(page.rights, asked, answer))
        self._start()

    def _tell(self, page: Page, answer: dict[str, Any]) -> None:
        text = json.dumps({"type": KIND, **answer}).encode()
        page.answers.append(json_section(NO_FEED, ANSWER, text))
        self.hub.push(page)
