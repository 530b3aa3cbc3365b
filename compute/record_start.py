"""Rule: where a recorder that begins stands, asked of ClickHouse and of its own checkpoints.

Nothing of this needs the market or its reference rows, and a recorder that was killed is waited
for: so a process asks `ahead`, in a thread, while it reads those. The order is what makes it safe:
first the claim, after which no insert of a former writer can land, then how far the record goes.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from compute.archive import Archive, ArchiveError
from compute.chain import Sealed
from compute.checkpoint import Checkpoint, Checkpoints
from compute.loose import Loose, Place
from compute.schema import Keep
from ingest import clock
from ingest.source import Positions


class Alerts(Protocol):
    """What a recorder needs of compute.alert_record.AlertRecord."""

    problem: str
    rows_recorded: int

    def begin(self) -> None:
        """Stand behind what is on record."""

    def step(self, now: float) -> int:
        """Record what has arrived, if it is time."""


class Standing(NamedTuple):
    """Where the record ends, and what to begin with."""

    epoch: int
    sealed: dict[Place, Sealed]  # The newest block of each place.
    recorded: Positions
    loose: Loose  # Rows above these blocks.
    checkpoint: Checkpoint | None  # The newest that is nowhere beyond what is sealed or proven.
    taken: Positions  # As the checkpoint has it; -1 where it has nothing.
    refused: set[tuple[int, int, int]]  # Frames beyond that, on record as refused.
    rows: int


class Start:
    """Asks; ArchiveError where ClickHouse does not say."""

    def __init__(  # noqa: PLR0913
        self,
        archive: Archive,
        checkpoints: Checkpoints,
        assigned: Sequence[Place],
        alerts: Alerts | None = None,
        keep: Keep | None = None,
        partition: int | None = None,
        now_ns: Callable[[], int] = clock.now_ns,
    ) -> None:
        """Nothing is asked yet. As of compute.record.Record."""
        self.archive, self.checkpoints, self.assigned = archive, checkpoints, assigned
        self.alerts, self.keep, self.partition, self.now_ns = alerts, keep, partition, now_ns
        self._found: Standing | None = None
        self._asking = threading.Thread(target=self._ask, name="record-start", daemon=True)

    def ahead(self) -> "Start":
        """Begin to ask, in a thread; nobody else may use the archive until `take`."""
        self._asking.start()
        return self

    def take(self) -> Standing:
        """What was asked ahead, the first time; later, and where nothing was, it is asked now."""
        if self._asking.ident is not None:
            self._asking.join()
        found, self._found = self._found, None
        return found or self.ask()

    def _ask(self) -> None:
        with contextlib.suppress(ArchiveError):  # `take` asks again, and says why in vain.
            self._found = self.ask()

    def ask(self) -> Standing:
        """Become the writer, and see where the record ends."""
        archive, assigned = self.archive, self.assigned
        archive.prepare(self.keep)
        epoch = archive.claim(self.now_ns(), self.partition)
        if self.alerts is not None:
            self.alerts.begin()
        sealed = archive.last_blocks(assigned)
        ends = {place: block.last for place, block in sealed.items()}
        # Above the chain's heads there is little to look at; below them rows may have expired.
        highest = archive.highest_offsets({place: ends.get(place, -1) for place in assigned})
        recorded = {p: last for p, last in (ends | highest).items() if p in set(assigned)}
        loose = Loose(archive, sealed, recorded)
        checkpoint = self.checkpoints.newest(loose.below(recorded))
        known = checkpoint.positions if checkpoint else {}
        taken = {place: known.get(place, -1) for place in assigned}
        refused = archive.refused(taken)
        rows = archive.recorded_rows(self.partition)
        return Standing(epoch, sealed, recorded, loose, checkpoint, taken, refused, rows)
