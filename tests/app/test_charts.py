"""A figure that fails says so on its tile; other tiles, other pages and the server go on."""

import asyncio
import json
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app import charts
from app.charts import Charts
from app.figures import Figure
from app.rights import ALL


class Poor(Figure):
    """A figure that fails as its wish says."""

    every_s = 0.0

    def __init__(self, wish: Any, mirror: Any) -> None:
        super().__init__(wish, mirror)
        self.error: Exception | None = wish.get("error")
        self.torn: Exception | None = wish.get("torn")

    def load(self, past: Any, now_ns: int) -> Any:
        return None

    def take(self, loaded: Any) -> None:
        if self.torn:
            raise self.torn

    def refresh(self, now_ns: int) -> bool:
        if self.error:
            raise self.error
        self.rows = np.array([[now_ns]], float)
        return True


class Page:
    """A session, as far as this goes."""

    def __init__(self) -> None:
        self.transport: object | None = object()
        self.rights = ALL


class World:
    """A hub with two pages and a clock."""

    def __init__(self, past: Any = None) -> None:
        self.now = 0.0
        self.mirror = SimpleNamespace(now_ns=lambda: int(self.now * 1e3))
        self.pushed: list[Any] = []
        self.charts = Charts(self, past)  # type: ignore[arg-type]
        self.pages = [Page(), Page()]

    def push(self, session: Any) -> None:
        self.pushed.append(session)

    def look(self, page: int, key: str, **wish: Any) -> None:
        self.charts.wish(self.pages[page], {"key": key, "figure": "poor", **wish})

    def told(self, page: int) -> dict[str, tuple[str, int]]:
        """Of each figure that is new: what its tile says and how many rows it has."""
        self.now += 1.0
        self.charts.step(self.now)
        news = {}
        for part in self.charts.news(self.pages[page]):
            at = part.index(b"{")
            bytes_of_json, rows, _, _ = struct.unpack_from("<4I", part, at - 16)
            facts = json.loads(part[at : at + bytes_of_json])
            news[facts["key"]] = facts["problem"], rows
        return news


@pytest.fixture(autouse=True)
def _poor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(charts._KINDS, "poor", Poor)


@pytest.mark.parametrize(
    "error",
    [ValueError("no such strike"), KeyError("gamma"), IndexError("row 9"), ZeroDivisionError()],
)
def test_a_figure_that_cannot_be_drawn_says_so_once_and_others_go_on(
    error: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    """The page is told the reason once, the log once; the figure beside it moves on each step."""
    world = World()
    world.look(0, "bad", error=error)
    world.look(0, "good")
    world.look(1, "good")
    told = world.told(0)
    assert told["good"] == ("", 1)
    assert told["bad"][0] == f"cannot be drawn: {type(error).__name__}: {error}"
    for _ in range(5):
        assert world.told(0) == {"good": ("", 1)}
    assert world.told(1) == {"good": ("", 1)}
    assert capfd.readouterr().err.count('"event": "figure"') == 1


def test_a_figure_that_can_be_drawn_again_takes_its_words_back() -> None:
    """Whether or not anything else is new."""
    world = World()
    world.look(0, "bad", error=ValueError("torn"))
    assert world.told(0)["bad"][0]
    figure = world.charts.shown[ALL, "bad"].figure
    assert isinstance(figure, Poor)
    figure.error = None
    assert world.told(0) == {"bad": ("", 1)}


def test_what_we_do_wrong_is_not_hidden() -> None:
    """A mistake of our own ends the server, which says it: pages go on at another."""
    world = World()
    world.look(0, "bad", error=AttributeError("no such thing"))
    with pytest.raises(AttributeError):
        world.told(0)


def test_a_past_that_cannot_be_taken_leaves_the_present() -> None:
    """The tile says that there is no history; its rows of now come all the same."""

    async def walk() -> dict[str, tuple[str, int]]:
        world = World(past=object())
        world.look(0, "bad", torn=ValueError("9 columns, not 8"))
        world.told(0)
        task_turns = 200
        for _ in range(task_turns):
            await asyncio.sleep(0.005)
            if not world.charts.shown[ALL, "bad"].loading:
                break
        return world.told(0)

    told = asyncio.run(walk())
    assert told == {"bad": ("no history: ValueError: 9 columns, not 8", 1)}
