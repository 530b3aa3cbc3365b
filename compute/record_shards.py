"""Rule: how a worker of `record` runs its shards: each a Record of its own, with its own fence.

A partition's chain, blocks and offsets have nothing to do with those of another, so a Record that
is given one partition of every topic writes the very rows and links that one of all would. Alerts
go with partition 0. Which P&L a book had in each second of the past (table `books`) is a sum over
all partitions: only a recorder that has all of them writes it, in the place of others the tape.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from compute.archive import Archive
from compute.checkpoint import Checkpoints
from compute.derived import Derived
from compute.digest import Values
from compute.live_shards import lend
from compute.record import GATHER_SECONDS, Record
from compute.record_start import Alerts
from compute.schema import Keep
from compute.worker import SharedRows
from ingest.shard import Shard

LEGS_SECONDS = 0.5  # Between looks; a recorder adds positions up once a second.
EMPTY_POLLS = 40  # In a row, two seconds of them: then Kafka has no more for us.
ALERTS_WITH = 0  # Alerts are recorded with this partition.


class RecordShards:
    """The kind of loop of the group `record`."""

    def __init__(  # noqa: PLR0913
        self,
        rows: SharedRows,
        address: str,
        database: str,
        folder: Path,
        *,
        alerts: Callable[[Archive], Alerts],
        digests: Values,
        report: Callable[[dict[str, Any]], bool],
        legs: Callable[[], Mapping[int, bytes]],
        keep: Keep | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`address` and `database` are ClickHouse's; checkpoints lie in `folder`.

        `alerts` makes what records them; `report` says how the worker is; `legs` asks what the
        workers of `live` told last of what currencies are worth.
        """
        self.rows, self.address, self.database, self.folder = rows, address, database, folder
        self.alerts, self.digests, self.report, self.keep = alerts, digests, report, keep
        self.legs, self.sleep = legs, sleep
        self._legs_at = 0.0

    def make(self, shard: Shard, tell: Callable[[dict[str, Any]], bool]) -> Record:
        """A Record that goes on where the partition's record ends."""
        archive = Archive(self.address, self.database)
        return Record(
            shard,
            self.rows.view(),
            archive,
            Checkpoints(self.folder, shard.number),
            alerts=self.alerts(archive) if shard.number == ALERTS_WITH else None,
            derived=Derived(archive, books=False),
            digests=self.digests,
            keep=self.keep,
            partition=shard.number,
            tell=tell,
            wait=lambda _: None,  # All shards together wait in `between`.
        )

    def close(self, loop: Record) -> None:
        """Record what was taken, and keep the state."""
        loop.close()
        loop.archive.close()

    def pause_s(self, loops: Iterable[Record]) -> float:
        """What has come is taken; it was waited for in `between`."""
        del loops
        return 0.0

    def between(self, loops: Mapping[int, Record]) -> None:
        """Fewer, bigger batches: the record may lag a little."""
        if not loops:
            return
        self.sleep(GATHER_SECONDS)
        for loop in loops.values():
            if isinstance(loop.frames, Shard) and loop.frames.shards.empty < EMPTY_POLLS:
                loop.heard()
        now = time.monotonic()
        if now >= self._legs_at:
            self._legs_at = now + LEGS_SECONDS
            found = self.legs()
            for number, loop in loops.items():
                lend(loop.engine, number, found)
