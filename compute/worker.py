"""Loop: one of several workers of a group: a loop for each shard that it has, while it has it.

Enters: shards, by compute/share.py. For each a loop is made, the very one that runs alone where
there is one worker (compute/live.py, compute/record.py), and steps in turn with the others. A
shard that goes is closed first: what was taken of it is told or recorded, its state is kept, and
only then it is let go; whoever takes it goes on from there. The other shards wait meanwhile, for a
tenth of a second: beside them, by a thread, it took up to a second, in which its numbers stood
still. Of several that others may have each goes when the one before has begun there; until then
its numbers move here. One that was lost, because this process slept, is dropped as it stands: what
it would still say is fenced.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from weakref import WeakSet

from compute import archive, bus
from compute.reports import merged
from compute.share import Share
from ingest.instrument import Instrument
from ingest.quarantine import Refused
from ingest.shard import Shard, Shards

HEALTH_SECONDS = 1.0
GIVE_SECONDS = 0.6  # Between two that are given away: a new worker's first takes half a second.
IDLE_SECONDS = 0.02  # A worker without a shard looks so often whether there is one.


class Loop(Protocol):
    """What runs one shard."""

    def step(self) -> int:
        """One round."""


class Kind(Protocol):
    """How the shards of a group are run: compute.live_shards, compute.record_shards."""

    def make(self, shard: Shard, tell: Callable[[dict[str, Any]], bool]) -> Loop:
        """The loop of a shard, standing where the former one ended; `tell` takes its health."""

    def close(self, loop: Loop) -> None:
        """Tell or record what was taken, and keep the state."""

    def pause_s(self, loops: Iterable[Loop]) -> float:
        """How long the next poll may wait."""

    def between(self, loops: Mapping[int, Loop]) -> None:
        """What the shards of a worker do together, once a round."""

    def report(self, health: dict[str, Any]) -> bool:
        """Say how we are; True where Redis has forgotten what it was told."""


class Worker:
    """The shards of one process."""

    def __init__(  # noqa: PLR0913
        self,
        share: Share,
        frames: Shards,
        kind: Kind,
        *,
        now_ns: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is taken before the first step."""
        self.share, self.frames, self.kind = share, frames, kind
        self.now_ns, self.monotonic, self.sleep = now_ns, monotonic, sleep
        self.loops: dict[int, Loop] = {}
        self.moves = 0  # Shards taken and closed.
        self._healths: dict[int, dict[str, Any]] = {}
        self._forgotten: set[int] = set()
        self._health_due = self._give_at = 0.0

    def step(self) -> int:
        """Let go, take at most one, and one round of every shard; the work done."""
        self._settle()
        if not self.loops:
            self.sleep(IDLE_SECONDS)
        self.frames.pump(self.kind.pause_s(self.loops.values()))
        count = 0
        for number in list(self.loops):
            try:
                count += self.loops[number].step()
            except RuntimeError as error:
                if not _superseded(error):
                    raise
                self._drop(number)
                self.share.let_go(number)
        self.kind.between(self.loops)
        if self.monotonic() >= self._health_due:
            self._report()
        return count

    def close(self) -> None:
        """Leave the group: others may have each shard as soon as it is closed."""
        self.share.leave()
        for number in list(self.loops):
            self._close(number)
        self.share.close()

    def _settle(self) -> None:
        for number in self.share.lost():
            self._drop(number)
        if self.monotonic() >= self._give_at:
            for number in self.share.surplus()[:1]:
                self._close(number)
                self._give_at = self.monotonic() + GIVE_SECONDS
        taken = self.share.take()
        if taken is not None:
            self._open(taken)

    def _open(self, number: int) -> None:
        self.moves += 1
        shard = self.frames.open(number)
        self.loops[number] = self.kind.make(shard, lambda health: self._told(number, health))
        self._health_due = 0.0

    def _close(self, number: int) -> None:
        try:
            self.kind.close(self.loops[number])
        except RuntimeError as error:
            if not _superseded(error):
                raise
        self.moves += 1
        self._drop(number)
        self.share.let_go(number)

    def _drop(self, number: int) -> None:
        del self.loops[number]
        self._healths.pop(number, None)
        self.frames.close(number)
        self._health_due = 0.0

    def _told(self, number: int, health: dict[str, Any]) -> bool:
        """A shard's health; True, once, where Redis has forgotten what it was told."""
        self._healths[number] = health
        forgotten = number in self._forgotten
        self._forgotten.discard(number)
        return forgotten

    def _report(self) -> None:
        self._health_due = self.monotonic() + HEALTH_SECONDS
        health = merged([self._healths[number] for number in sorted(self._healths)])
        health |= {"now_ms": self.now_ns() / 1e6, "partitions": sorted(self.loops)}
        if self.kind.report(health | {"moves": self.moves}):
            self._forgotten = set(self.loops)


def _superseded(error: BaseException) -> bool:
    """Whether a shard was told that somebody else has it."""
    fenced = (bus.SupersededError, archive.SupersededError)
    return isinstance(error, fenced) or isinstance(error.__cause__, fenced)


class Topic(Protocol):
    """What is needed of ingest.source.ReferenceSource."""

    def read_all(self) -> list[Instrument]:
        """Every reference row there is."""

    def poll(self) -> list[Instrument]:
        """Rows that came since."""

    def take_refused(self) -> list[Refused]:
        """Values that were no row."""


class SharedRows:
    """The reference rows, read once for all shards of a worker."""

    def __init__(self, topic: Topic) -> None:
        """Read what there is."""
        self.topic = topic
        self.rows = {row.id: row for row in topic.read_all()}
        self._views: WeakSet[RowsView] = WeakSet()  # As long as somebody reads them.

    def view(self) -> "RowsView":
        """The rows as one shard reads them."""
        view = RowsView(self)
        self._views.add(view)
        return view

    def poll(self) -> None:
        """Hand all shards what came since."""
        rows = self.topic.poll()
        self.rows |= {row.id: row for row in rows}
        for view in self._views:
            view.waiting += rows


class RowsView:
    """What a loop needs of a source of reference rows."""

    def __init__(self, shared: SharedRows) -> None:
        """It has all that is known."""
        self.shared = shared
        self.waiting: list[Instrument] = []

    def read_all(self) -> list[Instrument]:
        """Every reference row there is."""
        return list(self.shared.rows.values())

    def poll(self) -> list[Instrument]:
        """Rows that came since."""
        self.shared.poll()
        rows, self.waiting = self.waiting, []
        return rows

    def take_refused(self) -> list[Refused]:
        """Values that were no row."""
        return self.shared.topic.take_refused()
