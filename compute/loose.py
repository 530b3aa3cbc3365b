"""Rule: rows above the newest sealed block are what Kafka holds there, or they are never sealed.

A recorder that is killed between an insert and its blocks leaves such rows; anybody who may write
to the database can leave others. Before the next recorder seals them it makes them again of the
log, on its way to where the record ends, and holds one against the other: which rows there are,
every byte of the events, and the numbers that the market alone moves, bit for bit.

Not held: position and P&L, and all numbers of fills (they depend on how two topics fell between
each other, compute/digest.py); the numbers, where Kafka no longer has what they begin with; and
whether an instrument that is known now was known then.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from compute.archive import INSERT_ROWS_MAX, Archive
from compute.chain import Sealed
from compute.digest import COLUMNS
from compute.gather import fill
from compute.intake import Batch
from compute.row import NO_EVENT, PARTS, RECORD, REFUSED, refusal
from ingest.source import FILLS, TOPICS, Message, Positions

Place = tuple[int, int]
UNKNOWN = NO_EVENT.index("unknown")  # The one refusal that later reference rows can undo.


class Loose:
    """The rows above the newest blocks, and what was found of them in Kafka."""

    def __init__(
        self, archive: Archive, blocks: Mapping[Place, Sealed], recorded: Positions
    ) -> None:
        """Read them. ArchiveError."""
        self.archive = archive
        self.rows: dict[Place, np.ndarray] = {}  # RECORD, by offset and index
        self.problem = ""  # The first difference.
        self._proven: dict[Place, int] = {}  # Rows that were found in Kafka.
        for place, last in recorded.items():
            first = blocks[place].last + 1 if place in blocks else 0
            if first > last:
                continue
            where = f"topic = {place[0]} AND partition = {place[1]} AND offset >= {first}"
            found = archive.rows(f"SELECT count() FROM {archive.database}.events WHERE {where}")
            if found[0][0] > INSERT_ROWS_MAX:
                self._tell(place, f"{found[0][0]:,} rows are more than a recorder leaves")
                continue
            self.rows[place] = np.frombuffer(archive.read_block(*place, first, last), RECORD)
            self._proven[place] = 0

    def first(self, place: Place) -> int | None:
        """Where those of a place begin; None where there are none."""
        rows = self.rows.get(place)
        return None if rows is None else int(rows["offset"][0])

    def below(self, recorded: Positions) -> Positions:
        """How far the record goes without them: from there on the log must be read again."""
        firsts = {place: self.first(place) for place in recorded}
        return {
            place: last if (first := firsts[place]) is None else first - 1
            for place, last in recorded.items()
        }

    def unknown(self, refused: set[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
        """Of frames on record as refused, those whose refusal is to be taken at its word."""
        kept = {key for key in refused if not self._holds(key)}
        for place, rows in self.rows.items():
            said = rows[(rows["kind"] == REFUSED) & (rows["flags"] == UNKNOWN)]
            kept |= {(*place, int(offset)) for offset in said["offset"]}
        return kept

    def _holds(self, key: tuple[int, int, int]) -> bool:
        first = self.first(key[:2])
        return first is not None and key[2] >= first

    def compare(self, batch: Batch, enriched: np.ndarray, *, numbers: bool) -> None:
        """Hold what the log gives against the rows; `numbers`: also what the engine made of it."""
        for span in batch.spans:
            place, offset = span.message[:2], span.message.offset
            if not self._holds(span.message[:3]):
                continue
            if span.count:
                frame = [(offset, span.start, span.count)]
                self._hold(place, offset, fill(place, frame, batch.events, enriched), numbers)
            else:
                row = refusal(place, offset, span.reason, span.message.timestamp_ns)
                self._hold(place, offset, row, numbers=False)

    def compare_unknown(self, messages: Sequence[Message]) -> None:
        """Hold frames that are on record as refused for an unknown instrument."""
        for message in messages:
            if self._holds(message[:3]):
                row = refusal(message[:2], message.offset, "unknown", message.timestamp_ns)
                self._hold(message[:2], message.offset, row, numbers=False)

    def _hold(self, place: Place, offset: int, wanted: np.ndarray, numbers: bool) -> None:
        rows = self.rows[place]
        found = rows[slice(*np.searchsorted(rows["offset"], [offset, offset + 1]))]
        self._proven[place] += len(found)
        if len(found) != len(wanted):
            self._tell(place, f"offset {offset} has {len(found)} rows, not {len(wanted)}")
            return
        parts, own = found.view(PARTS), wanted.view(PARTS)
        if any((parts[name] != own[name]).any() for name in ("index", "event")):
            self._tell(place, f"offset {offset} is another event")
        elif numbers and place[0] != FILLS and any(_differ(found, wanted, n) for n in COLUMNS):
            self._tell(place, f"offset {offset} has other numbers")

    def _tell(self, place: Place, what: str) -> None:
        if not self.problem:
            topic, part = place
            self.problem = (
                f"{TOPICS[topic]} partition {part}: rows above the last sealed block are not what "
                f"Kafka holds ({what}). They are not sealed, and nothing is recorded until they "
                f"are moved away from {self.archive.database}.events at {self.archive.address}"
            )

    def judge(self) -> str:
        """Why they must not be sealed; "" where all was found in Kafka as it is."""
        for place, rows in self.rows.items():
            if self._proven[place] != len(rows):
                missing = len(rows) - self._proven[place]
                self._tell(place, f"it does not have {missing:,} of {len(rows):,} rows")
        return self.problem


def _differ(found: np.ndarray, wanted: np.ndarray, name: str) -> bool:
    one, other = (np.ascontiguousarray(rows[name]).view(np.uint64) for rows in (found, wanted))
    return bool((one != other).any())
