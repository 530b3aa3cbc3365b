"""Loop: a second pair of eyes. Reads the rows again and countersigns the roots they bear out.

Every new block is read back from ClickHouse, its leaf and link are made anew from the rows, and a
root is countersigned only where each of its heads is the head that came of that, its signature is
good, and it follows the root that was countersigned before. What the witness has countersigned is
all its state: after a kill it goes on from there. It verifies everything and may lag; it says how
far behind it is. Once it has found a fault it says so until somebody looks, and signs no more.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from compute import chain, keys, note, roots
from compute.archive import ArchiveError
from compute.evidence import Database, Place, groups
from compute.keys import Entry, KeyFileError, Keys
from compute.roots import SEAL, Root, RootError, Signed
from compute.seal import Tower
from ingest import clock

POLL_SECONDS = 1.0
REST = 4.0  # Times as long as a piece took: a fifth of a core, unless a second root waits.
REST_SECONDS_MAX = 1.0
HEALTH_SECONDS = 1.0

Tell = Callable[[dict[str, Any]], None]


class Witness:
    """Watches one database."""

    def __init__(  # noqa: PLR0913
        self,
        tower: Tower,
        secret: Keys,
        seal_keys: Callable[[], list[Entry]],
        *,
        tell: Tell | None = None,
        now_ns: Callable[[], int] = clock.now_ns,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`secret` are its own keys, `seal_keys` gives the public ones of who makes roots."""
        self.tower, self.secret, self.seal_keys = tower, secret, seal_keys
        self.evidence = Database(tower.archive)
        self.tell, self.now_ns, self._wait = tell, now_ns, wait
        self.last: Root | None = None  # Countersigned.
        self.waiting: list[Signed] = []  # Roots that are not yet.
        self.fault = self.problem = ""
        self.rows = 0
        self._heads: dict[Place, chain.Head] = {}  # How far the rows were read.
        self._trail: dict[tuple[Place, int], chain.Head] = {}  # Heads since `last`, by offset.
        self._work: Iterator[int] | None = None
        self._begun = False
        self._health_ns = self._poll_ns = 0

    def step(self) -> int:
        """One round: a group of blocks, or a look for news; the rows read."""
        done = 0
        now_ns = self.now_ns()
        try:
            if not self.fault and now_ns >= self._poll_ns:
                done = self._round(now_ns)
                self.problem = ""
        except ArchiveError as error:
            self.problem, self._work = str(error), None
            self.waiting, self._begun = [], False  # From what is countersigned, once it answers.
            self._poll_ns = now_ns + int(POLL_SECONDS * 1e9)
        except (RootError, KeyFileError, OSError) as error:
            self.fault = str(error)
        if self.tell is not None and now_ns >= self._health_ns:
            self._health_ns = now_ns + int(HEALTH_SECONDS * 1e9)
            self.tell(self.health())
        if not done:
            self._wait(0.1)
        return done

    def health(self) -> dict[str, Any]:
        """How it is, for whoever asks."""
        behind_ns = self.now_ns() - self.waiting[0].root.ts_ns if self.waiting else 0
        return {
            "state": "fault" if self.fault else "waiting" if self.problem else "watching",
            "problem": self.fault or self.problem,
            "root": self.last.number if self.last else None,
            "root_ms": self.last.ts_ns / 1e6 if self.last else None,
            "behind_s": round(max(0, behind_ns) / 1e9, 3),
            "roots_waiting": len(self.waiting),
            "rows": self.rows,
        }

    def _round(self, now_ns: int) -> int:
        if not self._begun:
            kept = self.tower.level()
            self.last = kept.root if kept else None
            self._heads = {head[:2]: head for head in kept.root.heads} if kept else {}
            self._trail = {(place, head.last): head for place, head in self._heads.items()}
            self._begun = True
        if self._work is None:
            after = self.waiting[-1].root if self.waiting else self.last
            fresh = roots.table(self.tower.archive, SEAL, after.number if after else -1)
            self.waiting += fresh
            if not self.waiting:  # Rows are read a minute at a time: long runs cost least.
                self._poll_ns = now_ns + int(POLL_SECONDS * 1e9)
                return 0
            self._work = self._read_on()
        done = next(self._work, 0)
        if done and len(self.waiting) == 1:
            took_s = max(0, self.now_ns() - now_ns) / 1e9
            self._wait(min(REST * took_s, REST_SECONDS_MAX))
        if not done:
            self._work = None
            self._poll_ns = now_ns + int(POLL_SECONDS * 1e9)
            while self.waiting:
                self._countersign(self.waiting[0], now_ns)
                self.waiting.pop(0)
        return done

    def _read_on(self) -> Iterator[int]:
        """Go over all new blocks, a group at a time; yields the rows of each."""
        for place in self.evidence.ends():
            head = self._heads.get(place)
            for group in groups(self.evidence.blocks(place, head.last if head else -1)):
                for block, data in zip(group, self.evidence.read(group), strict=True):
                    what = chain.fault(block, head, chain.leaf(block[:6], (data,)))
                    if what:
                        raise RootError(
                            f"topic {place[0]} partition {place[1]} block {block.first} to "
                            f"{block.last}: {what}"
                        )
                    head = chain.grown(head, block)
                    self._heads[place] = head
                    self._trail[place, head.last] = head
                done = sum(block.rows for block in group)
                self.rows += done
                yield max(1, done)

    def _countersign(self, signed: Signed, now_ns: int) -> None:
        root = signed.root
        entries = self.seal_keys()
        for what in follows(root, self.last, self.tower.archive.database):
            raise RootError(what)
        key = keys.at(entries, root.ts_ns)
        if key is None or note.signed_by(signed.note, key) is None:
            raise RootError(f"root {root.number} is not signed by the key that held at its time")
        for head in root.heads:
            if self._trail.get((head[:2], head.last)) != head:
                raise RootError(
                    f"root {root.number}: the rows of topic {head.topic} partition "
                    f"{head.partition} do not lead to the head that was signed at {head.last}"
                )
        with self.secret.held(now_ns) as secret:
            text, lines = note.split(signed.note)
            second = now_ns // 1_000_000_000
            cosigned = Signed(root, note.join(text, *lines, secret.sign(text, second)))
            self.tower.file.append(cosigned)
        self.last = root
        ends = {head[:2]: head.last for head in root.heads}
        self._trail = {
            (place, last): head
            for (place, last), head in self._trail.items()
            if last >= ends.get(place, 0)
        }
        self.tower.publish(cosigned)


def follows(root: Root, before: Root | None, database: str) -> Iterator[str]:
    """What is wrong with a root that should follow `before`; nothing if all is well."""
    if root.origin != f"tickglass/{database}":
        yield f"root {root.number} is of {root.origin}, not of tickglass/{database}"
    number, previous = (before.number + 1, before.hash) if before else (0, chain.ORIGIN)
    if root.number != number:
        yield f"root {root.number} stands where root {number} should"
    elif root.previous != previous:
        yield f"root {root.number} does not follow from the root before it"
    if before is None:
        return
    if root.ts_ns <= before.ts_ns:
        yield f"root {root.number} is no younger than the root before it"
    now = {head[:2]: head for head in root.heads}
    for head in before.heads:
        later = now.get(head[:2])
        if later is None or any(b < a for a, b in zip(head[2:5], later[2:5], strict=True)):
            yield (
                f"root {root.number} knows less of topic {head.topic} partition {head.partition} "
                "than the root before it"
            )
        elif later.last == head.last and later != head:
            yield (
                f"root {root.number} has another history of topic {head.topic} partition "
                f"{head.partition} than the root before it"
            )
