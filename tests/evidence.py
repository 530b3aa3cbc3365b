"""A small record on a real engine, sealed and witnessed, for tests to verify and to forge."""

from pathlib import Path

import numpy as np

from compute import anchor, chain, keys, note
from compute.alert_row import row as alert_row
from compute.archive import Archive, Block
from compute.enriched import ENRICHED
from compute.evidence import ALERTS, Database, Evidence
from compute.gather import fill
from compute.keys import Keys
from compute.progress import Progress
from compute.roots import SEAL, WITNESS
from compute.row import RECORD, SCHEMA
from compute.seal import Seal, Tower
from compute.verify import Verdict, Verifier
from compute.witness import Witness
from ingest.clock import VirtualClock
from ingest.event import EVENT
from ingest.source import Message

PLACES = [(0, 0), (0, 1), (7, 0), (12, 0)]


class Case:
    """One database with who writes, seals and witnesses it."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        archive.prepare()
        self.archive, self.folder, self.clock = archive, folder, VirtualClock()
        self.links: dict[tuple[int, int], bytes] = {}
        self.next: dict[tuple[int, int], int] = {}
        self.draw = np.random.default_rng(7)
        self.seal = self.sealer()
        self.witness = self.watcher()

    def sealer(self) -> Seal:
        tower = self.tower(SEAL)
        keyring = Keys(self.folder, SEAL)
        return Seal(tower, keyring, every_s=1.0, now_ns=self.clock, wait=lambda _s: None)

    def watcher(self) -> Witness:
        keyring = Keys(self.folder, WITNESS, note.WITNESS)
        public = lambda: keys.read(self.folder / f"{SEAL}.keys")
        tower = self.tower(WITNESS)
        return Witness(tower, keyring, public, now_ns=self.clock, wait=lambda _s: None)

    def tower(self, kind: str) -> Tower:
        file = anchor.roots_file(self.folder, self.archive.database, kind)
        return Tower(kind, self.archive, file, None, "audit.roots")

    def write(self, blocks: int = 1, places: list[tuple[int, int]] = PLACES) -> None:
        """Blocks of a few frames, each insert one block a place, and one alert."""
        for _ in range(blocks):
            made = [self.block(place) for place in places]
            self.archive.insert(made)
        place = (ALERTS, 0)
        offset = self.next.get(place, 0)
        message = Message(*place, offset, self.clock(), b'{"no": "alert %d"}' % offset)
        one = alert_row(message, self.links.get(place, chain.ORIGIN))
        self.links[place], self.next[place] = one.link, offset + 1
        self.archive.insert_alerts([one])

    def block(self, place: tuple[int, int]) -> Block:
        first = self.next.get(place, 0)
        frames, at = [], 0
        for k in range(int(self.draw.integers(1, 4))):
            size = int(self.draw.integers(1, 6))
            frames.append((first + k, at, size))
            at += size
        events = np.frombuffer(self.draw.bytes(at * EVENT.itemsize), EVENT)
        numbers = np.frombuffer(self.draw.bytes(at * ENRICHED.itemsize), ENRICHED)
        rows = fill(place, frames, events, numbers)
        self.next[place] = first + len(frames)
        return self.sealed(place, rows, self.links.get(place, chain.ORIGIN))

    def sealed(self, place: tuple[int, int], rows: np.ndarray, before: bytes) -> Block:
        offsets = rows["offset"]
        identity = (*place, int(offsets[0]), int(offsets[-1]), len(rows), SCHEMA)
        digest = chain.leaf(identity, [rows.tobytes()])
        link = self.links[place] = chain.link(before, digest)
        return Block(chain.Sealed(*identity, digest, link), 1, self.clock(), [rows])

    def root(self, *, witnessed: bool = True) -> None:
        """A signed root, and the witness's word on it."""
        self.clock.advance(2)
        assert self.seal.step() == 1, self.seal.problem
        if witnessed:
            self.watch()

    def watch(self) -> None:
        self.clock.advance(2)
        while self.witness.step():
            pass

    def fill(self) -> "Case":
        """Three roots, all countersigned, and a block since."""
        for blocks in (2, 1, 1):
            self.write(blocks)
            self.root()
        assert not self.witness.fault
        assert self.witness.last is not None
        self.write()
        return self

    # What an auditor does

    def judge(self) -> anchor.Judgement:
        return anchor.judge(anchor.read(self.folder, self.archive.database, self.archive))

    def verify(self, evidence: Evidence | None = None, progress: Progress | None = None) -> Verdict:
        found = evidence or Database(self.archive)
        signed = anchor.read(self.folder, self.archive.database, None).kept
        return Verifier(lambda: found, signed, progress).run(list(found.places()), 1)

    def faults(self) -> list[str]:
        """All that is wrong, in words; also rows that no block covers."""
        verdict = self.verify()
        loose = [f"{rows} rows in no block" for rows in verdict.loose.values()]
        return [*self.judge().faults, *(fault.what for fault in verdict.faults), *loose]

    # What a forger does

    def rows(self, place: tuple[int, int]) -> np.ndarray:
        data = self.archive.read_block(*place, 0, 2**62)
        return np.frombuffer(data, RECORD).copy()

    def change(self, table: str, what: str) -> None:
        self.archive.command(
            f"ALTER TABLE {self.archive.database}.{table} {what} SETTINGS mutations_sync = 2"
        )

    def insert(self, rows: np.ndarray) -> None:
        body = bytearray(rows.tobytes())
        names = list(RECORD.names or ())
        self.archive.send("events", names, body, f"forged-{self.draw.integers(2**60)}", "RowBinary")

    def replace(self, place: tuple[int, int], rows: np.ndarray) -> None:
        """Other rows in place of all those of a partition."""
        self.change("events", f"DELETE WHERE topic = {place[0]} AND partition = {place[1]}")
        self.insert(rows)
