"""Rule: how a worker of `live` runs its shards: each a Live of its own, on a stream of its own.

What shards need of each other is what currencies are worth: the pair that tells it may lie in
another one. So workers swap these few rows through Redis as often as positions are summed. What
market data alone moves needs nobody, and is bit for bit the same however shards are dealt out.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from compute.bus import BusError
from compute.engine import LEG
from compute.live import TOTAL_MS, Deltas, Live
from compute.ready import Ahead, Saver
from compute.share import stream
from compute.table import INSTRUMENTS
from compute.worker import SharedRows
from ingest.fund import Book
from ingest.quarantine import Publisher
from ingest.shard import Shard

LEADER = 0  # The shard whose Live speaks of the reference rows.
AHEAD_SECONDS = 1.0  # So long after one was taken the next is made: several may come in a row.
_TOLD = tuple(INSTRUMENTS.index(name) for name in ("mid", "ts_event", "state"))


class Bus(Deltas, Protocol):
    """What is needed of compute.bus.Bus."""

    def swap_legs(self, mine: Mapping[int, bytes]) -> dict[int, bytes]:
        """Tell the legs of currencies that we have; all there are."""


class LiveShards:
    """The kind of loop of the group `live`."""

    def __init__(  # noqa: PLR0913
        self,
        role: str,
        rows: SharedRows,
        bus: Bus,
        quarantine: Publisher,
        books: Sequence[Book] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`role` is as in the health reports: `live.0`. What a first shard needs is made ready."""
        self.role, self.rows, self.bus, self.quarantine = role, rows, bus, quarantine
        self.books, self.monotonic = tuple(books), monotonic
        self._swap_at = self._ahead_at = 0.0
        self._shards = 1
        self.ahead, self.saver = Ahead(rows.view, self.books), Saver()
        self.saver.make_room(self.ahead.at_hand[0].engine)

    def make(self, shard: Shard, tell: Callable[[dict[str, Any]], bool]) -> Live:
        """A Live that stands where the shard's newest checkpoint does."""
        ready = self.ahead.take()
        self._ahead_at = self.monotonic() + AHEAD_SECONDS
        self._shards = shard.shards.count
        return Live(
            *(shard, ready.rows, self.bus, self.quarantine),
            worker=stream(shard.number),
            books=self.books,
            tell=tell,
            leads=shard.number == LEADER,
            ready=ready,
            saver=self.saver,
        )

    def close(self, loop: Live) -> None:
        """Tell all that was taken, and keep the state."""
        loop.hand_over()

    def pause_s(self, loops: Iterable[Live]) -> float:
        """Until a cut of any of them is due."""
        return min((loop.patience_s() for loop in loops), default=0.0)

    def between(self, loops: Mapping[int, Live]) -> None:
        """Swap legs when positions are about to be summed; leave a Redis alone that is away.

        And be ready for more shards, where there are some that others have.
        """
        if self.monotonic() >= self._ahead_at:
            self.ahead.renew(self._shards - len(loops))
        retry_at = max((loop.retry_at for loop in loops.values()), default=0.0)
        for loop in loops.values():
            loop.retry_at = retry_at
        now = self.monotonic()
        if now < max(self._swap_at, retry_at) or not loops:
            return
        self._swap_at = now + TOTAL_MS / 1e3
        try:
            found = self.bus.swap_legs(dict(leg for one in loops.items() for leg in _legs(*one)))
        except BusError:
            return  # The rates that were told last stand.
        for number, loop in loops.items():
            lend(loop.engine, number, found)

    def report(self, health: dict[str, Any]) -> bool:
        """Say how the worker is; True where Redis has forgotten what it was told."""
        try:
            return self.bus.report(self.role, health)
        except BusError:
            return False


def _legs(number: int, loop: Live) -> list[tuple[int, bytes]]:
    """What this shard knows of currencies first-hand."""
    rows = loop.engine.legs
    mine = rows[loop.reference.array["shard"][rows] == number]
    legs = np.empty(len(mine), LEG)
    legs["row"] = mine
    table = loop.engine.tables[INSTRUMENTS.name]
    for name, column in zip((LEG.names or ())[1:], _TOLD, strict=True):
        legs[name] = table[mine, column]
    return [(int(leg["row"]), leg.tobytes()) for leg in legs]


def lend(engine: Any, number: int, found: Mapping[int, bytes]) -> None:
    """Give an engine of that shard what the others told of currencies."""
    rows = engine.legs
    shards = engine.reference.array["shard"][rows]
    others = [found[row] for row in rows[shards != number].tolist() if row in found]
    engine.lend(np.frombuffer(b"".join(others), LEG))
