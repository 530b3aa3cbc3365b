"""Rule: all of a record against its chains and signed roots; names the first wrong block.

Every block is read back and its leaf and link are made anew, partition beside partition. Each root
says where each chain stood: the blocks must lead there to the bit. What no block covers is told.
A block whose rows are gone to the last one, and which a root older than the retained window covers,
has expired: its leaf stands for its rows in the chain. Within the window a missing row is a fault.
What is judged is what was sealed when the run began: a record that is being written has no end.
A run that was broken off goes on from where it was, if it is the same record and the same roots.
"""

import bisect
import itertools
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from compute import chain
from compute.chain import Fault, Head, Sealed
from compute.evidence import ALERTS, Evidence, EvidenceError, Place, groups
from compute.progress import Progress
from compute.roots import Signed
from compute.tape_seal import TAPE_TOPIC


class Verdict(NamedTuple):
    """What was found: faults in order of (topic, partition), and how much was looked at."""

    faults: list[Fault]
    heads: dict[Place, Head]
    loose: dict[Place, int]  # Rows above the last sealed offset
    finished: bool
    expired: dict[Place, int]  # Rows that retention has dropped, of those under the heads

    @property
    def rows(self) -> int:
        """Rows under the heads that were reached."""
        return sum(head.rows for head in self.heads.values())


class Verifier:
    """One run over all partitions."""

    def __init__(  # noqa: PLR0913 (each is a fact of the run)
        self,
        open_evidence: Callable[[], Evidence],
        signed: Sequence[Signed],
        progress: Progress | None = None,
        tell: Callable[[int], None] = lambda _rows: None,
        retained_ns: int = 0,
        ends: Mapping[Place, int] | None = None,
    ) -> None:
        """`open_evidence` gives each thread its own; `tell(rows)` hears of rows looked at.

        What was sealed before the moment `retained_ns` may have expired; 0: nothing may. `ends`:
        the last offsets to look at, each the last of a block; None: all there are.
        """
        self.ends = ends
        self.retained_ns = retained_ns
        self.expired: dict[Place, int] = {}
        self.open_evidence, self.tell = open_evidence, tell
        self.progress = progress or Progress(None, "")
        self.stop = threading.Event()
        self.signed: dict[Place, dict[int, tuple[int, Head]]] = {}
        self._ts: dict[int, int] = {}
        for one in signed:
            self._ts[one.root.number] = one.root.ts_ns
            for head in one.root.heads:
                trail = self.signed.setdefault(head[:2], {})
                trail.setdefault(head.last, (one.root.number, head))
        self._ends = {place: sorted(trail) for place, trail in self.signed.items()}

    def run(self, places: Sequence[Place], workers: int = 2) -> Verdict:
        """Look at `places` and at all that is signed."""
        wanted = sorted({*places, *self.signed})
        faults: list[Fault] = []
        loose: dict[Place, int] = {}
        whole = finished = False
        with ThreadPoolExecutor(workers) as pool:
            try:
                for place, fault, beyond in pool.map(self._place, wanted):
                    if fault:
                        faults.append(fault)
                    if beyond:
                        loose[place] = beyond
                whole = True
            finally:
                if not whole:  # Broken off: the others' work ends too, and can be resumed.
                    self.stop.set()
                finished = not self.stop.is_set()
                if not finished:
                    pool.shutdown(cancel_futures=True)
                self.progress.save()
        return Verdict(faults, dict(self.progress.heads), loose, finished, dict(self.expired))

    def _place(self, place: Place) -> tuple[Place, Fault | None, int]:
        try:
            return place, *self._chain(place, self.open_evidence())
        except (EvidenceError, struct.error, OverflowError) as error:
            return place, Fault(*place, 0, 0, f"cannot be read: {error}"), 0

    def _chain(self, place: Place, evidence: Evidence) -> tuple[Fault | None, int]:
        head = self.progress.heads.get(place)
        for group in groups(self._blocks(place, head, evidence)):
            if self.stop.is_set():
                return None, 0
            for block, data in zip(group, evidence.read(group), strict=True):
                gone = not data and self._expired(block)
                if gone:
                    self.expired[place] = self.expired.get(place, 0) + block.rows
                digest = block.digest if gone else chain.leaf(block[:6], (data,))
                what = chain.fault(block, head, digest)
                grown = chain.grown(head, block)
                what = what or self._against(grown, head.last if head else -1)
                if what:
                    return Fault(*place, block.first, block.last, what), 0
                head = grown
            if head is not None:
                self.progress.reached(head)
            self.tell(sum(block.rows for block in group))
        return self._end(place, head, evidence)

    def _blocks(self, place: Place, head: Head | None, evidence: Evidence) -> Iterator[Sealed]:
        """Those behind `head` up to where the run ends."""
        found = evidence.blocks(place, head.last if head else -1)
        if self.ends is None:
            return found
        end = self.ends.get(place, -1)
        return itertools.takewhile(lambda block: block.last <= end, found)

    def _expired(self, block: Sealed) -> bool:
        """Whether a block without rows may be one: by the time of the first root over it."""
        if block.topic in (ALERTS, TAPE_TOPIC):
            return False  # They are kept for ever.
        ends = self._ends.get(block[:2], [])
        at = bisect.bisect_left(ends, block.last)
        if at == len(ends):
            return False
        return self._ts[self.signed[block[:2]][ends[at]][0]] < self.retained_ns

    def _against(self, head: Head, after: int) -> str:
        """What a root says of a chain that went on from offset `after` to `head`."""
        ends = self._ends.get(head[:2], [])
        at = bisect.bisect_right(ends, after)
        if at == len(ends) or ends[at] > head.last:
            return ""
        number, signed = self.signed[head[:2]][ends[at]]
        if signed.last < head.last:
            return f"root {number} was signed over a block that ended at offset {signed.last}"
        return "" if signed == head else f"root {number} was signed over another history up to here"

    def _end(self, place: Place, head: Head | None, evidence: Evidence) -> tuple[Fault | None, int]:
        last = head.last if head else -1
        missing = [at for at in self._ends.get(place, ()) if at > last]
        if missing:
            at, number = missing[0], self.signed[place][missing[0]][0]
            what = f"root {number} was signed up to offset {at}: the end is cut off"
            return Fault(*place, last + 1, at, what), 0
        opening = next(iter(evidence.blocks(place)), None)
        tail = evidence.tail(place, opening.first if opening else 0, last)
        if tail.before:
            what = f"{tail.before} rows stand before the first sealed block"
            return Fault(*place, 0, last, what), 0
        return None, tail.after
