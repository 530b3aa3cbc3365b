"""Shape: how far a run over the whole record has come, kept in a file for the run after it.

A run that is broken off, or killed, leaves what was right so far: of each partition the head of
its chain, of each stream of the tape its last slice. A later run of the same record and the same
roots goes on from there; one that came to its end leaves nothing.
"""

import json
import threading
import time
from pathlib import Path
from typing import NamedTuple

from compute.chain import Head
from compute.roots import head_of, head_row

SAVE_SECONDS = 5.0  # Of work at most are done again by a run that goes on from a killed one.


class Reached(NamedTuple):
    """How far a stream of the tape was right."""

    number: int  # Of its last slice
    link: bytes
    slices: int
    expired: bool  # Its beginning is no longer kept.


class Progress:
    """What was reached; threads may tell it."""

    def __init__(self, path: Path | None, mark: str) -> None:
        """`mark` tells one record and its roots from another; nothing is kept without a path."""
        self.path, self.mark = path, mark
        self.heads: dict[tuple[int, int], Head] = {}
        self.streams: dict[tuple[str, str], Reached] = {}  # By table and name
        self._lock = threading.Lock()
        self._saved_at = time.monotonic()

    def load(self) -> bool:
        """Take up what a broken-off run of the same mark left; whether there was any."""
        try:
            assert self.path is not None
            said = json.loads(self.path.read_bytes())
            if said["mark"] != self.mark:
                return False
            heads = [head_of(row) for row in said["heads"]]
            streams = {
                (str(table), str(name)): Reached(
                    int(last), bytes.fromhex(link), int(slices), bool(expired)
                )
                for table, name, last, link, slices, expired in said["streams"]
            }
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            return False
        self.heads, self.streams = {head[:2]: head for head in heads}, streams
        return bool(heads)

    def reached(self, head: Head) -> None:
        """A chain is right up to there."""
        with self._lock:
            self.heads[head[:2]] = head
            self._save_when_due()

    def taped(self, table: str, name: str, last: Reached) -> None:
        """A stream is right up to there."""
        with self._lock:
            self.streams[table, name] = last
            self._save_when_due()

    def _save_when_due(self) -> None:
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self._saved_at = time.monotonic()
            self.save()

    def save(self) -> None:
        """Keep it for the next run."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".draft")
        heads = [*map(head_row, self.heads.values())]
        streams = [
            [*place, one.number, one.link.hex(), one.slices, one.expired]
            for place, one in self.streams.items()
        ]
        draft.write_text(json.dumps({"mark": self.mark, "heads": heads, "streams": streams}))
        draft.replace(self.path)

    def end(self) -> None:
        """Forget it all, after a whole run."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
