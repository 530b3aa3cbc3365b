"""Loop: once a minute a signed root over all chains, beside the recorder and never in its way.

Only what ClickHouse says is on record is signed, and only where each chain goes on from the head
that was signed before: whoever rewrites what is signed finds no one to sign it anew. The file comes
first, then the table and Kafka; after a kill both are brought level with the file.
"""

import fcntl
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from compute import chain, roots
from compute.archive import Archive, ArchiveError
from compute.evidence import Database
from compute.keys import KeyFileError, Keys
from compute.note import join
from compute.roots import Root, RootError, RootFile, Signed
from ingest import clock

ROOT_SECONDS = 60.0
HEALTH_SECONDS = 1.0
RETRY_SECONDS = 2.0


class Values(Protocol):
    """What is needed of ingest.source.Publisher."""

    def publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """Queue one value."""


class HeldError(ArchiveError):
    """Another process holds the file of roots; this one takes over when that one ends."""


class Tower:
    """Where signed roots go: a file, a table, a topic; the same for who seals and who witnesses.

    Who writes the file holds it by a lock, so that of two processes one waits. Elsewhere, with a
    file of its own, a second one finds the table ahead of its file and signs nothing.
    """

    def __init__(
        self, kind: str, archive: Archive, file: RootFile, values: Values | None, topic: str
    ) -> None:
        """`values` is None where there is no Kafka."""
        self.kind, self.archive, self.file = kind, archive, file
        self.values, self.topic = values, topic
        self._held = False

    def _hold(self) -> None:
        if self._held:
            return
        path = self.file.path.with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise HeldError(
                f"another {self.kind} holds {path}: this one waits", away=True
            ) from None
        self._held = True
        weakref.finalize(self, os.close, lock)  # Gone with this tower, or with its process.

    def level(self) -> Signed | None:
        """Bring the table level with the file; the newest of the file. RootError where they part.

        A table that is ahead of the file means that the file was cut. HeldError while another
        process writes the file.
        """
        self._hold()
        roots.prepare(self.archive)
        kept = self.file.read()
        stored = roots.table(self.archive, self.kind)
        if stored and (not kept or stored[-1].root.number > kept[-1].root.number):
            raise RootError(
                f"{self.file.path} ends before root {stored[-1].root.number}, which the table has: "
                "the file was cut"
            )
        known = {one.root.number for one in stored}
        for one in kept:
            if one.root.number not in known:
                self.publish(one)
        return kept[-1] if kept else None

    def publish(self, signed: Signed) -> None:
        """Tell Kafka and the table what the file has; ArchiveError leaves the rest to `level`."""
        if self.values is not None:
            self.values.publish(self.topic, -1, roots.line(signed), self.kind.encode())
        roots.insert(self.archive, self.kind, signed)


class Seal:
    """Makes the roots of one database."""

    def __init__(  # noqa: PLR0913
        self,
        tower: Tower,
        keys: Keys,
        *,
        reference: Callable[[], bytes] | None = None,
        tell: Callable[[dict[str, Any]], None] | None = None,
        every_s: float = ROOT_SECONDS,
        now_ns: Callable[[], int] = clock.now_ns,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is asked before the first `step`.

        `reference` gives the hash of the reference rows in use, 32 bytes.
        """
        self.tower, self.keys, self.evidence = tower, keys, Database(tower.archive)
        self.reference, self.tell, self.every_s = reference, tell, every_s
        self.now_ns, self._wait = now_ns, wait
        self.last: Signed | None = None
        self.problem = ""
        self._level = False
        self._due_ns = self._health_ns = 0

    def step(self) -> int:
        """One round; the number of roots made."""
        now_ns = self.now_ns()
        made = 0
        if now_ns >= self._due_ns:
            try:
                made = self._seal(now_ns)
                self.problem = ""
                every_ns = int(self.every_s * 1e9)
                self._due_ns = (now_ns // every_ns + 1) * every_ns
            except (ArchiveError, RootError, KeyFileError, OSError) as error:
                self.problem, self._level = str(error), False
                self._due_ns = now_ns + int(RETRY_SECONDS * 1e9)
        if now_ns >= self._health_ns and self.tell is not None:
            self._health_ns = now_ns + int(HEALTH_SECONDS * 1e9)
            self.tell(self._health())
        self._wait(0.2)
        return made

    def _seal(self, now_ns: int) -> int:
        if not self._level:
            self.last, self._level = self.tower.level(), True
        before = self.last.root if self.last else None
        heads = tuple(self._heads(before))
        if not heads or (before is not None and heads == before.heads):
            return 0  # Nothing new is on record.
        number, previous = (before.number + 1, before.hash) if before else (0, chain.ORIGIN)
        reference = self.reference() if self.reference else chain.ORIGIN
        with self.keys.held(now_ns) as secret:
            # A clock that was set back must not make roots older than those before.
            ts_ns = max(now_ns, before.ts_ns + 1 if before else 0)
            origin = f"tickglass/{self.tower.archive.database}"
            root = Root(origin, number, previous, ts_ns, heads, reference=reference)
            signed = Signed(root, join(root.text, secret.sign(root.text)))
            self.tower.file.append(signed)
        self.last = signed
        self.tower.publish(signed)
        return 1

    def _heads(self, before: Root | None) -> Iterator[chain.Head]:
        known = {head[:2]: head for head in before.heads} if before else {}
        ends = self.evidence.ends()
        for place, head in known.items():
            if ends.get(place, -1) < head.last:
                raise RootError(
                    f"topic {place[0]} partition {place[1]}: the record ends before offset "
                    f"{head.last}, which is signed"
                )
        for place in sorted(ends):
            stands: chain.Head | None = known.get(place)
            for block in self.evidence.blocks(place, stands.last if stands else -1):
                what = chain.fault(block, stands, block.digest)
                if what:
                    raise RootError(
                        f"topic {place[0]} partition {place[1]} block {block.first} to "
                        f"{block.last}: {what}; it is not signed"
                    )
                stands = chain.grown(stands, block)
            if stands is not None:
                yield stands

    def _health(self) -> dict[str, Any]:
        root = self.last.root if self.last else None
        return {
            "state": "waiting" if self.problem else "sealing",
            "problem": self.problem,
            "root": root.number if root else None,
            "root_ms": root.ts_ns / 1e6 if root else None,
        }
