"""Rule: what takes time before a shard's numbers can move, done before the shard is wanted.

While a shard moves from worker to worker its numbers stand still. So the engine that will have it
is made before there is any to be had (`Ahead`): with a row for each instrument, and compiled code
bound. What is left to do is to take up the state that the former owner kept. For the copies from
which checkpoints are packed all shards of a worker have one room (`Saver`): to ask for such memory
takes five times as long as to fill it.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from compute.engine import Engine
from ingest.fund import Book
from ingest.instrument import Instrument, Reference

AHEAD_MAX = 2  # 50 MB each; where one worker comes or goes, few get more than two shards.
SAVER_NICE = 19


class Rows(Protocol):
    """Where reference rows come from."""

    def read_all(self) -> list[Instrument]:
        """Every reference row there is."""


class Ready[Source: Rows]:
    """An engine that has had no event, and the reference rows that it knows."""

    def __init__(self, rows: Source, books: Sequence[Book]) -> None:
        """`rows` tells what comes later too; `books` are the fund's."""
        self.rows = rows
        self.reference = Reference(rows.read_all())
        self.engine = Engine(self.reference, books)


class Ahead[Source: Rows]:
    """AHEAD_MAX Readies at hand before they are wanted; who has taken some makes more by a thread.

    The first ones are made before any shard is asked for: made beside one that is just being
    taken they would keep it from moving.
    """

    def __init__(self, view: Callable[[], Source], books: Sequence[Book]) -> None:
        """`view` gives the rows as one engine reads them."""
        self.view, self.books = view, books
        self.at_hand: list[Ready[Source]] = []
        self._thread: threading.Thread | None = None
        for _ in range(AHEAD_MAX):
            self._make(view())

    def take(self) -> Ready[Source]:
        """One that is at hand, or will be soon; without any, one that is made now."""
        if not self.at_hand and self._thread is not None:
            self._thread.join()
        return self.at_hand.pop(0) if self.at_hand else Ready(self.view(), self.books)

    def renew(self, wanted: int) -> None:
        """Begin to make the next, unless there are as many as are wanted, or AHEAD_MAX."""
        making = self._thread is not None and self._thread.is_alive()
        if not making and len(self.at_hand) < min(wanted, AHEAD_MAX):
            rows = self.view()  # Not in the thread: who reads the rows is listed by the loop.
            self._thread = threading.Thread(target=self._make, args=(rows,), daemon=True)
            self._thread.start()

    def _make(self, rows: Source) -> None:
        ready = Ready(rows, self.books)
        ready.engine.warm()
        self.at_hand.append(ready)


class Saver:
    """Takes checkpoints of engines that go on: a copy at once, the rest in a thread.

    Packing and sending 17 MB takes 60 ms, which every cell would wait for. One at a time.
    """

    def __init__(self) -> None:
        """No room yet."""
        self._copy: Engine | None = None
        self._of: Engine | None = None
        self._thread: threading.Thread | None = None

    def make_room(self, engine: Engine) -> None:
        """Memory asked for now is not asked for in between."""
        if self._copy is None:
            self._copy = engine.freeze()

    @property
    def busy(self) -> bool:
        """Whether one is being packed and sent."""
        return self._thread is not None and self._thread.is_alive()

    def save(self, engine: Engine, keep: Callable[[Engine], None]) -> None:
        """Have `keep` called in a thread, with the engine as it stands now; waits while busy."""
        self.wait()
        copy = self._copy = engine.freeze(self._copy)
        self._of = engine
        self._thread = threading.Thread(
            target=_behind, args=(keep, copy), name="checkpoint", daemon=True
        )
        self._thread.start()

    def wait(self, engine: Engine | None = None) -> None:
        """Until what was begun is kept; of this engine, where one is named."""
        if self._thread is not None and (engine is None or engine is self._of):
            self._thread.join()


def _behind(keep: Callable[[Engine], None], copy: Engine) -> None:
    """In a thread of its own, which takes of a busy machine what the numbers leave over."""
    with contextlib.suppress(OSError):  # Another system.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), SAVER_NICE)
    keep(copy)
