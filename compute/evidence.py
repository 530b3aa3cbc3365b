"""Rule: the record as evidence: its partitions, their sealed blocks, and the bytes of each.

From the database, or from a folder that was exported from it; who checks it need not know which.
An alert is a block of its own (compute/alert_row.py), and its bytes are only given where every
column of its row is what its message says. So is a statement of how far the tape had come
(compute/tape_seal.py).
"""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import zstandard

from compute import tape_seal
from compute.alert_row import COLUMNS, AlertRow, canonical, packed
from compute.archive import Archive
from compute.chain import Sealed
from compute.row import RECORD, SCHEMA

ALERTS = 13  # Topic index of `alerts`; tests hold it against ingest/source.py.
GROUP_ROWS = 200_000  # Rows read at a time: 28 MB.
GROUP_BLOCKS = 20_000
OFFSET_MAX = 2**64 - 1
SETTLE_SECONDS = 10.0  # A recorder chains what it has inserted within this.
SETTLE_POLL_SECONDS = 0.5
FORMAT = "tickglass record 1"

Place = tuple[int, int]


class EvidenceError(RuntimeError):
    """A folder that holds no record; says what and where."""


class Tail(NamedTuple):
    """Rows of a partition that no block covers."""

    before: int  # Rows below the first sealed offset
    after: int  # Rows above the last sealed offset
    last: int  # The highest of all offsets


class Evidence(Protocol):
    """Where a record can be read back from."""

    name: str

    def places(self) -> dict[Place, int]:
        """Every (topic, partition) that has rows or blocks, and about how many rows it has."""

    def blocks(self, place: Place, after: int = -1) -> Iterator[Sealed]:
        """Its sealed blocks that end beyond offset `after`, in order."""

    def read(self, blocks: Sequence[Sealed]) -> list[bytes]:
        """Canonical bytes, as they are now, of successive blocks of one partition."""

    def tail(self, place: Place, first: int, last: int) -> Tail:
        """What lies outside of the sealed offsets first..last."""


class Database:
    """The record as ClickHouse has it."""

    def __init__(self, archive: Archive) -> None:
        """Nothing is asked yet; threads may share the archive."""
        self.archive = archive
        self.name = f"{archive.database} at {archive.address}"
        self._tape = False

    def places(self) -> dict[Place, int]:
        """Every (topic, partition) that has rows or blocks, and how many rows it has."""
        name = self.archive.database
        found = self.archive.rows(
            f"SELECT topic, partition, count() FROM {name}.events GROUP BY topic, partition "
            f"UNION ALL SELECT topic, partition, count() FROM {name}.alerts "
            "GROUP BY topic, partition "
            f"UNION ALL SELECT DISTINCT topic, partition, 0 FROM {name}.blocks"
        )
        places: dict[Place, int] = {}
        for topic, partition, rows in sorted(found):
            place = (int(topic), int(partition))
            places[place] = places.get(place, 0) + int(rows)
        if self._has_tape():
            count = self.archive.rows(f"SELECT count() FROM {name}.{tape_seal.TABLE}")[0][0]
            places |= {tape_seal.PLACE: int(count)} if count else {}
        return places

    def _has_tape(self) -> bool:
        self._tape = self._tape or tape_seal.there(self.archive)
        return self._tape

    def ends(self) -> dict[Place, int]:
        """The last sealed offset of each partition."""
        name = self.archive.database
        found = self.archive.rows(
            f"SELECT topic, partition, max(last) FROM {name}.blocks GROUP BY topic, partition "
            f"UNION ALL SELECT topic, partition, max(offset) FROM {name}.alerts "
            "GROUP BY topic, partition"
        )
        ends = {(int(topic), int(part)): int(last) for topic, part, last in sorted(found)}
        tape = tape_seal.newest(self.archive) if self._has_tape() else None
        return ends | ({tape_seal.PLACE: tape.last} if tape else {})

    def blocks(self, place: Place, after: int = -1) -> Iterator[Sealed]:
        """Its sealed blocks that end beyond offset `after`, in order."""
        topic, partition = place
        if topic == ALERTS:
            for row in self._alerts(partition, after + 1, None):
                yield row.sealed
            return
        if topic == tape_seal.TAPE_TOPIC:
            for one in tape_seal.read(self.archive, after + 1) if self._has_tape() else ():
                yield one.sealed
            return
        beyond = f"AND last > {after} " if after >= 0 else ""
        found = self.archive.rows(
            "SELECT first, last, rows, schema, hex(digest), hex(link) "
            f"FROM {self.archive.database}.blocks WHERE topic = {topic} "
            f"AND partition = {partition} {beyond}ORDER BY first, last"
        )
        for first, last, rows, schema, digest, link in found:
            yield Sealed(
                *(topic, partition, first, last, rows, schema),
                *(bytes.fromhex(digest), bytes.fromhex(link)),
            )

    def read(self, blocks: Sequence[Sealed]) -> list[bytes]:
        """Canonical bytes, as they are now, of successive blocks of one partition.

        One question for all of them: rows that stand where none should be are in the block whose
        offsets they claim.
        """
        place, first, last = blocks[0][:2], blocks[0].first, blocks[-1].last
        if place[0] == ALERTS:
            return self._alert_bytes(place[1], blocks)
        if place[0] == tape_seal.TAPE_TOPIC:
            stated = tape_seal.read(self.archive, first, last)
            given = [[one.data for one in stated if one.sealed == block] for block in blocks]
            return [found[0] if len(found) == 1 else b"" for found in given]
        data = self.archive.read_block(*place, first, last)
        offsets = np.frombuffer(data, RECORD)["offset"]
        edges = np.array([[b.first, min(b.last + 1, OFFSET_MAX)] for b in blocks], np.uint64)
        at = np.searchsorted(offsets, edges).tolist()
        return [data[a * RECORD.itemsize : b * RECORD.itemsize] for a, b in at]

    def tail(self, place: Place, first: int, last: int) -> Tail:
        """What lies outside of the sealed offsets first..last."""
        if place[0] in (ALERTS, tape_seal.TAPE_TOPIC):
            return Tail(0, 0, last)  # Every row is a block.
        found = self.archive.rows(
            f"SELECT countIf(offset < {first}), countIf(offset > {last}), "
            f"max(offset) FROM {self.archive.database}.events WHERE topic = {place[0]} "
            f"AND partition = {place[1]} "
            f"AND (offset < {first} OR offset > {last})"
        )
        before, after, highest = found[0]
        return Tail(int(before), int(after), int(highest))

    def _alerts(self, partition: int, first: int, last: int | None) -> list[AlertRow]:
        return self.archive.alert_rows(_alert_range(partition, first, last))

    def _alert_bytes(self, partition: int, blocks: Sequence[Sealed]) -> list[bytes]:
        first, last = blocks[0].first, blocks[-1].last
        rows = self._alerts(partition, first, last)
        if len(rows) == len(blocks) and self._stored(partition, first, last) == _packed(rows):
            return [canonical(row.ts_log, row.message) for row in rows]
        given = []
        for block in blocks:
            rows = self._alerts(partition, block.first, block.last)
            stored = self._stored(partition, block.first, block.last)
            whole = len(rows) == 1 and stored == _packed(rows)
            given.append(canonical(rows[0].ts_log, rows[0].message) if whole else b"")
        return given

    def _stored(self, partition: int, first: int, last: int) -> bytes:
        names = ", ".join(f"`{name}`" for name, _ in COLUMNS)
        where = _alert_range(partition, first, last)
        return self.archive.raw(
            f"SELECT {names} FROM {self.archive.database}.alerts WHERE {where}", "RowBinary"
        )


def _alert_range(partition: int, first: int, last: int | None) -> str:
    until = "" if last is None else f"AND offset <= {last} "
    return (
        f"topic = {ALERTS} AND partition = {partition} AND offset >= {first} "
        f"{until}ORDER BY offset, link"
    )


def _packed(rows: Sequence[AlertRow]) -> bytes:
    return b"".join(map(packed, rows))


def groups(blocks: Iterator[Sealed]) -> Iterator[list[Sealed]]:
    """Successive blocks in groups of about GROUP_ROWS rows, to be read at once.

    A block that does not follow the one before stands first in a group of its own: what is asked
    for at once is one run of offsets.
    """
    group: list[Sealed] = []
    rows = 0
    for block in blocks:
        follows = bool(group) and block.first == group[-1].last + 1 and block.last >= block.first
        full = rows + block.rows > GROUP_ROWS or len(group) >= GROUP_BLOCKS
        if group and (full or not follows):
            yield group
            group, rows = [], 0
        group.append(block)
        rows += block.rows
    if group:
        yield group


# A folder


class Folder:
    """A record that was exported: files that need no database and no trust in one."""

    def __init__(self, path: Path) -> None:
        """EvidenceError where there is none of this version."""
        self.path, self.name = path, str(path)
        try:
            self.about: dict[str, Any] = json.loads((path / "record.json").read_bytes())
        except (OSError, ValueError) as error:
            raise EvidenceError(f"{path} holds no exported record: {error}") from None
        if self.about.get("format") != FORMAT:
            raise EvidenceError(f"{path} is not of the format {FORMAT!r}")
        self._at: dict[Sealed, tuple[int, int]] = {}

    def places(self) -> dict[Place, int]:
        """Every (topic, partition) with a file, and how many rows it has."""
        found: dict[Place, int] = {}
        for path in sorted(self.path.glob("*.blocks")):
            topic, partition = map(int, path.stem.split("-"))
            with path.open("rb") as file:
                place = (topic, partition)
                found[place] = sum(self._read_line(place, line)[0].rows for line in file)
        return found

    def blocks(self, place: Place, after: int = -1) -> Iterator[Sealed]:
        """Its sealed blocks that end beyond offset `after`, in order."""
        with self._file(place, "blocks").open("rb") as file:
            for line in file:
                block, start, size = self._read_line(place, line)
                if block.last > after:
                    self._at[block] = start, size
                    yield block

    def read(self, blocks: Sequence[Sealed]) -> list[bytes]:
        """Canonical bytes, as they are now, of blocks that `blocks` has just given."""
        given = []
        with self._file(blocks[0][:2], "rows").open("rb") as file:
            for block in blocks:
                start, size = self._at.pop(block, (0, 0))
                file.seek(start)
                try:
                    given.append(zstandard.decompress(file.read(size)))
                except zstandard.ZstdError:
                    given.append(b"")
        return given

    def tail(self, place: Place, first: int, last: int) -> Tail:
        """Nothing: what no block covers is not exported, but counted."""
        del first
        before, after = self.about["loose"].get(f"{place[0]}-{place[1]}", (0, 0))
        return Tail(before, after, last)

    def _read_line(self, place: Place, line: bytes) -> tuple[Sealed, int, int]:
        try:
            topic, partition, first, last, rows, schema, digest, link, start, size = json.loads(
                line
            )
            identity = tuple(map(int, (topic, partition, first, last, rows, schema)))
            hashes = (bytes.fromhex(digest), bytes.fromhex(link))
            return Sealed(*identity, *hashes), int(start), int(size)  # type: ignore[call-arg, arg-type]
        except (ValueError, TypeError):
            raise EvidenceError(
                f"{self._file(place, 'blocks')} has a line that is no block: {line[:80]!r}"
            ) from None

    def _file(self, place: Place, kind: str) -> Path:
        return self.path / f"{place[0]:02}-{place[1]:05}.{kind}"


def unchained(database: Database, highest: dict[Place, int], seconds: float) -> dict[Place, int]:
    """Of the rows up to `highest`: the places where, `seconds` later, they are still not chained.

    With the last sealed offset of each. One question at a time, however many places wait.
    """
    deadline = time.monotonic() + seconds
    while True:
        ends = database.ends()
        left = {p: ends.get(p, -1) for p, last in highest.items() if ends.get(p, -1) < last}
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(SETTLE_POLL_SECONDS)


def chained(evidence: Evidence, place: Place, last: int, highest: int, seconds: float) -> bool:
    """Whether a recorder chains, within `seconds`, what lies from behind `last` up to `highest`."""
    deadline = time.monotonic() + seconds
    while not any(block.last >= highest for block in evidence.blocks(place, last)):
        if time.monotonic() >= deadline:
            return False
        time.sleep(SETTLE_POLL_SECONDS)
    return True


def _loose(evidence: Evidence, place: Place, first: int, last: int) -> tuple[int, int]:
    """Rows before and behind the blocks; those that are chained while we look are none."""
    found = evidence.tail(place, first, last)
    if found.after and chained(evidence, place, last, found.last, SETTLE_SECONDS):
        return found.before, 0
    return found.before, found.after


def export(evidence: Evidence, path: Path, tell: Any = None) -> int:
    """Write all of it into a new folder; the number of rows. `tell(rows)` hears of progress."""
    path.mkdir(parents=True, exist_ok=False)
    compress = zstandard.ZstdCompressor(level=1).compress
    loose: dict[str, tuple[int, int]] = {}
    total = 0
    for place in evidence.places():
        stem = path / f"{place[0]:02}-{place[1]:05}"
        span: list[int] = []
        with (
            stem.with_suffix(".blocks").open("w") as index,
            stem.with_suffix(".rows").open("wb") as rows,
        ):
            for group in groups(evidence.blocks(place)):
                for block, data in zip(group, evidence.read(group), strict=True):
                    start, packed_bytes = rows.tell(), compress(data)
                    rows.write(packed_bytes)
                    hashes = (block.digest.hex(), block.link.hex())
                    index.write(json.dumps([*block[:6], *hashes, start, len(packed_bytes)]) + "\n")
                    span = span or [block.first]
                    span[1:] = [block.last]
                    total += block.rows
                if tell:
                    tell(sum(block.rows for block in group))
        loose[f"{place[0]}-{place[1]}"] = _loose(evidence, place, *(span or (0, -1)))
    about = {
        "format": FORMAT,
        "from": evidence.name,
        "schema": SCHEMA,
        "row": [[name, RECORD[name].str] for name in RECORD.names or ()],
        "loose": loose,
    }
    (path / "record.json").write_text(json.dumps(about, indent=1))
    return total
