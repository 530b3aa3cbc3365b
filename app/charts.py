"""Loop: the figures that pages look at, refreshed a few times a second, told to each page once.

A page says which figures it wants; pages that want the same share one figure and its encoded
bytes. A page that is busy is told nothing, and the newest when it is ready: nothing queues. The
record is read in threads, at most LOADS_MAX at a time; without a record charts begin now.
"""

import asyncio
import json
import math
import struct
import time
from collections.abc import Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from app import curves, news
from app.figures import KINDS, Figure, Past
from app.mirror import Mirror
from app.process import say
from app.rights import NOT_PERMITTED, Rights, seen
from app.view import NO_FEED, section

FIGURE = 9  # Kind of the section.
TURN_SECONDS = 0.05
FIGURES_MAX = 256  # Of one web process; who asks for more is told that there are too many.
WISHES_MAX = 16  # Of one page.
LOADS_MAX = 2
_KINDS = {**KINDS, **curves.KINDS, **news.KINDS}
_HEAD = struct.Struct("<4I")  # bytes of JSON, rows, columns, mode: 0 all, 1 written over by time


# What a wish, a row or the record may bring about: it is said on the tile, and other tiles go on.
_TROUBLES = (ValueError, LookupError, ArithmeticError)

# A figure's own name is the page's: whoever may see something else has another figure of it.
Key = tuple[Rights, str]
_OF_BOOKS = {"pnl": ("books", "pnl"), "holdings": ("positions", "value")}  # What they are made of.


class Page(Protocol):
    """What is needed of app.session.Session."""

    transport: Any
    rights: Rights


class Hub(Protocol):
    """What is needed of app.session.Hub."""

    mirror: Mirror

    def push(self, session: Any) -> None:
        """Send what it misses."""


class Shown:
    """One figure that some page looks at, and how far it is."""

    def __init__(self, key: str, figure: Figure, rights: Rights) -> None:
        """Nothing told yet."""
        self.key, self.figure, self.rights = key, figure, rights
        self.version = 0
        self.problem = ""  # Of its past.
        self.trouble = ""  # Of its present.
        self.due = 0.0
        self.load_due = 0.0 if figure.loads else float("inf")
        self.loading = False
        self._told: list[tuple[int, np.ndarray]] = []  # Versions and the rows as they were then.
        self._sections: dict[int, bytes] = {}

    def moved(self) -> None:
        """Something is new."""
        self.version += 1
        self._sections.clear()
        if self.figure.appends:
            self._told = [*self._told[-7:], (self.version, self.figure.rows.copy())]

    def since(self, version: int) -> bytes:
        """A section for a page that has `version` (0: nothing)."""
        found = self._sections.get(version)
        if found is None:
            found = self._sections[version] = self._section(version)
        return found

    def _section(self, version: int) -> bytes:
        rows, mode = self.figure.rows, 0
        had = next((rows for at, rows in self._told if at == version), None)
        if had is not None and len(had) and len(rows) and had.shape[1] == rows.shape[1]:
            places = np.searchsorted(had[:, 0], rows[:, 0])
            known = places < len(had)
            same = np.zeros(len(rows), np.bool_)
            old = had[places[known]]
            equal = (old == rows[known]) | (np.isnan(old) & np.isnan(rows[known]))
            same[known] = equal.all(axis=1)
            rows, mode = rows[~same], 1
        problem = self.problem or self.trouble
        facts = {"key": self.key, "problem": problem, **self.figure.facts}
        text = json.dumps(facts).encode()
        text += b" " * (-len(text) % 8)
        head = _HEAD.pack(len(text), len(rows), rows.shape[1], mode)
        return section(NO_FEED, FIGURE, head + text + rows.T.astype("<f8").tobytes())


class Charts:
    """All figures of one web process."""

    def __init__(self, hub: Hub, past: Past | None = None) -> None:
        """`past` reads the record; None where there is none."""
        self.hub, self.past = hub, past
        self.shown: dict[Key, Shown] = {}
        self.wishes: WeakKeyDictionary[Page, dict[Key, int]] = WeakKeyDictionary()
        self._loads = 0

    def wish(self, page: Page, message: Mapping[str, Any]) -> None:
        """A page's message: `key` and `figure` to look at, `drop` a key no longer looked at.

        ValueError and KeyError where it makes no sense.
        """
        mine = self.wishes.setdefault(page, {})
        if message.get("drop"):
            mine.pop((page.rights, str(message["drop"])), None)
        if message.get("key") is None:
            return
        key = page.rights, str(message["key"])[:200]
        if key not in self.shown:
            used = {name for wanted in self.wishes.values() for name in wanted}
            self.shown = {name: one for name, one in self.shown.items() if name in used}
            if len(self.shown) >= FIGURES_MAX or len(mine) >= WISHES_MAX:
                raise ValueError("too many figures are looked at")
            self.shown[key] = self._made(message, *key)
        mine[key] = 0

    def _made(self, message: Mapping[str, Any], rights: Rights, key: str) -> Shown:
        kind = message["figure"]
        one = Shown(key, _KINDS[kind](message, seen(self.hub.mirror, rights)), rights)
        if kind in _OF_BOOKS and not rights.column(*_OF_BOOKS[kind]):
            one.problem, one.due, one.load_due = NOT_PERMITTED, math.inf, math.inf
            one.moved()
        return one

    def step(self, now: float) -> int:
        """One round: refresh what is due and wake the pages that miss it; how many."""
        wanted = {key for page, keys in self.wishes.items() if page.transport for key in keys}
        for key in wanted:
            self._refresh(self.shown[key], now)
        late = [
            page
            for page, keys in self.wishes.items()
            if page.transport and any(self.shown[key].version != at for key, at in keys.items())
        ]
        for page in late:
            self.hub.push(page)
        return len(late)

    def news(self, page: Page) -> list[bytes]:
        """Sections that the page misses; from then on it has them."""
        keys = self.wishes.get(page)
        if not keys:
            return []
        late = [key for key, version in keys.items() if self.shown[key].version != version]
        parts = [self.shown[key].since(keys[key]) for key in late]
        keys.update((key, self.shown[key].version) for key in late)
        return parts

    def _refresh(self, one: Shown, now: float) -> None:
        if now >= one.load_due and not one.loading and self._loads < LOADS_MAX:
            self._load(one, now)
        if now >= one.due:
            one.due = now + one.figure.every_s
            try:
                new, trouble = one.figure.refresh(self.hub.mirror.now_ns()), ""
            except _TROUBLES as error:
                new, trouble = False, _told_of("cannot be drawn", one, error)
            if new or trouble != one.trouble:
                one.trouble = trouble
                one.moved()

    def _load(self, one: Shown, now: float) -> None:
        one.load_due = now + one.figure.reload_s
        if self.past is None:
            return
        one.loading = True
        self._loads += 1
        task = asyncio.get_running_loop().run_in_executor(
            None, one.figure.load, seen_past(self.past, one.rights), self.hub.mirror.now_ns()
        )
        task.add_done_callback(lambda done: self._loaded(one, done))

    def _loaded(self, one: Shown, done: "asyncio.Future[Any]") -> None:
        one.loading = False
        self._loads -= 1
        error = done.exception()
        problem = f"no history: {error}" if error else ""
        if not error:
            try:
                one.figure.take(done.result())
            except _TROUBLES as wrong:
                error, problem = wrong, _told_of("no history", one, wrong)
        if not error or problem != one.problem:
            one.problem = problem
            one.moved()

    def forget(self, page: Page) -> None:
        """The page has nothing (it came back): everything is told to it again."""
        self.wishes[page] = dict.fromkeys(self.wishes.get(page, {}), 0)

    def drop(self, page: Page) -> None:
        """The page may see something else from now on: it asks again."""
        self.wishes.pop(page, None)

    async def run(self) -> None:
        """Rounds for ever."""
        while True:
            await asyncio.sleep(TURN_SECONDS)
            self.step(time.monotonic())


def _told_of(what: str, one: Shown, error: Exception) -> str:
    """What a tile says of `error`; the log has its place in our code, once."""
    told = f"{what}: {type(error).__name__}: {error}"
    if told not in (one.problem, one.trouble):
        say("figure", error=error, figure=type(one.figure).__name__)
    return told


class _SeenPast:
    """The record without the P&L of books that may not be seen; prices are everybody's."""

    def __init__(self, past: Past, rights: Rights) -> None:
        self.rights, self.past = rights, past
        self.bars, self.lasts, self.levels = past.bars, past.lasts, past.levels

    def books(self, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """See Past."""
        if not self.rights.column("books", "pnl"):
            return np.zeros((0, 3))
        rows = self.past.books(from_ns, to_ns, step_s)
        mine = self.rights.books
        return rows if mine is None else rows[np.isin(rows[:, 0], [*mine])]


def seen_past(past: Past, rights: Rights) -> Past:
    """The record itself where nothing is withheld."""
    return past if rights.everything else _SeenPast(past, rights)


class Record:
    """Figures' past by compute/past.py; each thread of the pool has an archive of its own."""

    def __init__(self, make: Any) -> None:
        """`make()` opens an Archive."""
        import threading

        self._make, self._own = make, threading.local()

    @property
    def archive(self) -> Any:
        """This thread's."""
        if not hasattr(self._own, "archive"):
            self._own.archive = self._make()
        return self._own.archive

    def bars(self, row: int, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """See Past."""
        from compute import past

        return past.bars(self.archive, row, from_ns, to_ns, step_s)

    def lasts(self, row: int, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """See Past."""
        from compute import past

        return past.series(self.archive, row, from_ns, to_ns, step_s, ("last",))

    def levels(self, place: tuple[int, int], row: int, from_ns: int, to_ns: int) -> np.ndarray:
        """See Past."""
        from compute import past

        return past.levels(self.archive, place, row, from_ns, to_ns)

    def books(self, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
        """See Past."""
        from compute import past

        return past.books(self.archive, from_ns, to_ns, step_s, None)[:, :3]
