"""Questions about cells: one at a time a page, the newest of those that wait, nobody held up."""

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from app import provenance
from app.inquiry import AT_ONCE, Inquiries
from app.provenance import Question
from app.rights import ALL
from app.screens import Screens
from tests.app.test_provenance import mirror, reference

ASK = {"type": "provenance", "table": "instruments", "row": 1, "column": "vwap"}


class Page:
    """A session, as far as this goes."""

    def __init__(self) -> None:
        self.transport: object | None = object()
        self.rights = ALL
        self.answers: list[bytes] = []

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(section[8:]) for section in self.answers]


class World:
    """A hub whose record answers when the test lets it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.mirror = SimpleNamespace(tables=mirror(), reference=reference(), now_ns=lambda: 10**18)
        self.charts = SimpleNamespace(past=SimpleNamespace(archive=None))
        self.go = threading.Event()
        self.asked: list[int] = []
        self.pushed: list[Page] = []
        self.changed = asyncio.Event()

    def push(self, session: Page) -> None:
        self.pushed.append(session)
        self.changed.set()

    def answer(self, _archive: object, asked: Question) -> dict[str, Any]:
        self.asked.append(asked.id)
        assert self.go.wait(20)
        return {"type": "provenance", "id": asked.id}

    def settle(self, pages: list[Page], answers: int) -> None:
        async def wait() -> None:
            while sum(len(page.answers) for page in pages) < answers:
                await self.changed.wait()
                self.changed.clear()

        self.loop.run_until_complete(asyncio.wait_for(wait(), 20))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = World()
    monkeypatch.setattr(provenance, "answer", made.answer)
    yield made
    made.go.set()
    made.loop.run_until_complete(made.loop.shutdown_default_executor())
    made.loop.close()


def test_of_what_a_page_asks_meanwhile_the_newest_is_answered(world: World) -> None:
    page, inquiries = Page(), Inquiries(world)
    for number in range(5):
        inquiries.ask(page, {**ASK, "id": number})
    world.go.set()
    world.settle([page], 2)
    assert [one["id"] for one in page.told] == [0, 4]
    assert world.asked == [0, 4]
    assert world.pushed == [page, page]


def test_a_few_are_read_at_once_and_all_are_answered(world: World) -> None:
    pages, inquiries = [Page() for _ in range(6)], Inquiries(world)
    for number, page in enumerate(pages):
        inquiries.ask(page, {**ASK, "id": number})
    assert inquiries.read == AT_ONCE
    pages[3].transport = None  # It is gone before its turn.
    world.go.set()
    world.settle(pages, 5)
    assert sorted(world.asked) == [0, 1, 2, 4, 5]


def test_nonsense_and_no_record_are_said_at_once(world: World) -> None:
    page, inquiries = Page(), Inquiries(world)
    inquiries.ask(page, {**ASK, "id": 1, "row": 99})
    world.charts.past = None
    inquiries.ask(page, {**ASK, "id": 2})
    assert "no such cell" in page.told[0]["error"]
    assert "nothing is on record" in page.told[1]["error"]
    assert not world.asked


def test_an_act_goes_with_the_next_batch_and_a_what_if_that_is_asked_again_once() -> None:
    heads: list[dict[str, Any]] = []

    class Bus:
        async def put_screens(self, head: bytes, _body: bytes) -> None:
            heads.append(json.loads(head))

    screens = Screens(Bus(), "web.1-1")
    page = screens.open({"title": "Risk", "feeds": []}, "")
    page.acted({"type": "acknowledge", "alert": "gross", "person": "Ann", "id": "1"}, "")
    for number in range(3):
        page.acted({"type": "what_if", "trades": [{"book": 1}], "id": str(number)}, "bob")
    screens.cut()
    asyncio.run(screens.flush())
    acts = [row[1:] for row in heads[0]["acts"]]
    assert acts == [
        ["Ann", "web.1-1-1", "acknowledge", "gross", '{"alert":"gross","person":"Ann"}'],
        ["bob", "web.1-1-1", "what_if", "1 trades", '{"trades":[{"book":1}]}'],
    ]
