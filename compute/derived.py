"""Rule: what the recorder keeps beside the record so that its past is quickly told.

Bars of each instrument (compute/fold.py), those made anew that lost a trade (compute/mend.py), and
each book's P&L and positions (compute/snapshot.py). None of it is in the chain: all of it can be
made again of the events. It follows the record and never holds it up: what ClickHouse does not take
now is tried again later, as it was.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compute import bars, fold, snapshot
from compute.archive import Archive, ArchiveError, Block
from compute.fold import Fold
from compute.mend import Mender
from compute.schema import CHARTED
from compute.snapshot import Snapshot
from compute.table import BOOKS, INSTRUMENTS, POSITIONS

LOOK_SECONDS = 0.5  # Between looks at the engine's clock; books are told by the second.
RETRY_SECONDS = 5.0


def prepare(archive: Archive) -> None:
    """Make the tables that are missing, and have bars stored as charts ask for them."""
    database = archive.database
    archive.create((*bars.ddl(database), *snapshot.ddl(database)))
    archive.tune((*bars.COLUMNS,), CHARTED)


class Derived:
    """Bars and snapshots of one recorder."""

    def __init__(self, archive: Archive, *, books: bool = True) -> None:
        """Nothing is asked of ClickHouse yet. `books` False: it has a part of the positions."""
        fold.rehearse()
        self.archive = archive
        self.mender = Mender(archive)
        self.fold = Fold(archive, self.mender.add)
        self.snapshot = Snapshot(archive, (BOOKS, POSITIONS) if books else (POSITIONS,))
        self._newest_ns = 0
        self.problem = ""
        self._look_at = self._again_at = -1e9

    def begin(self, recorded: Mapping[tuple[int, int], int], engine: Any) -> None:
        """Make the tables that are missing, and look how far the bars reach. ArchiveError."""
        self.fold.versions = engine.vwap_versions
        prepare(self.archive)
        self.fold.begin(recorded)
        self.problem = ""

    def add(self, blocks: Sequence[Block]) -> None:
        """Rows that are on record now."""
        self.fold.add([rows for block in blocks for rows in block.rows])

    def step(self, now: float, engine: Any) -> None:
        """Look at the engine and insert what is due; what fails is said in `problem`."""
        if now >= self._look_at + LOOK_SECONDS:
            self._look_at = now
            self.look(engine)
        if now < self._again_at:
            return
        try:
            self.fold.catch_up()
            self.fold.step(now)
            self.snapshot.step(now)
            self.mender.step(now, self._newest_ns)
            self.problem = ""
        except ArchiveError as error:
            self.problem, self._again_at = str(error), now + RETRY_SECONDS

    def look(self, engine: Any) -> None:
        """Keep books and positions where a second of event time has passed."""
        self.fold.versions = engine.vwap_versions
        moments = engine.tables[INSTRUMENTS.name][:, INSTRUMENTS.index("ts_event")]
        newest_ms = np.nanmax(moments, initial=0.0) if len(moments) else 0.0
        newest_ns = self._newest_ns = int(newest_ms * 1e6)
        if newest_ns and self.snapshot.due(newest_ns):
            engine.total()
            self.snapshot.take(engine.tables, newest_ns)

    def flush(self) -> None:
        """Insert what waits, if ClickHouse answers; the next recorder makes the rest again."""
        try:
            self.fold.flush()
            self.snapshot.flush()
        except ArchiveError as error:
            self.problem = str(error)
