"""Rule: messages to books and events in between, in their order -> EVENT in that order.

For formats that are read message by message: a reader notes what each one does, and cuts when it
has noted enough. A change of a book that leaves its best bid and ask as they were is no event.
"""

import numpy as np

from ingest.event import EVENT, Kind
from ingest.feeds.depth import Depths, messages
from ingest.feeds.feed import Tally, events, weave

NOTES_MAX = 8_192  # Then it is time to cut.
_NO_CHANGE = "does not change the best bid or ask"
Envelope = tuple[int, int, int, int]  # ts_event, ts_recv, sequence, instrument
Row = tuple[int, int, int, int, int]


class Tape:
    """Notes since the last cut, and the books that go on from cut to cut."""

    def __init__(self, tally: Tally, size_scale: int) -> None:
        """A row counts sizes in 1 / `size_scale`."""
        self._tally, self._scale = tally, size_scale
        self._depths = Depths()
        self._clear()

    def _clear(self) -> None:
        self._rows: list[Row] = []
        self._whole: list[bool] = []
        self._envelopes: list[tuple[int, int, int, int, int, int]] = []
        self._packed: list[bytes] = []
        self._packed_at: list[int] = []
        self._booked = 0

    @property
    def full(self) -> bool:
        """Whether it is time to cut."""
        return len(self._rows) + len(self._packed) >= NOTES_MAX

    def book(
        self, envelope: Envelope, rows: list[Row], flags: int = 0, *, whole: bool = True
    ) -> None:
        """A message to the book of an instrument; not `whole`: another one belongs to it."""
        self._booked += 1
        at = len(self._rows) + len(self._packed)
        note = (*envelope, flags, at + len(rows) - 1)
        self._rows += rows
        self._envelopes += [note] * len(rows)
        self._whole += [False] * (len(rows) - 1) + [whole]

    def settle(self) -> None:
        """What belonged together is complete: the last row of each instrument is whole."""
        seen: set[int] = set()
        for at in range(len(self._rows) - 1, -1, -1):
            if self._whole[at]:
                break
            instrument = self._envelopes[at][3]
            self._whole[at] = instrument not in seen
            seen.add(instrument)

    def event(self, packed: bytes) -> None:
        """An event that is one already, see `drafts`."""
        self._packed_at.append(len(self._rows) + len(self._packed))
        self._packed.append(packed)

    def cut(self) -> np.ndarray:
        """Events of the notes so far, in their order."""
        packed = np.frombuffer(bytearray(b"".join(self._packed)), EVENT)
        at = np.array(self._packed_at, np.int64)
        if not self._rows:
            self._clear()
            return packed
        told = np.array(self._envelopes, np.int64)
        changed, tops = self._depths.changes(
            told[:, 3], messages(self._rows), np.array(self._whole)
        )
        told = told[changed]
        quotes = events(Kind.QUOTE, 0, told[:, 0], told[:, 2])
        quotes["ts_recv"], quotes["instrument"], quotes["flags"] = (
            told[:, 1],
            told[:, 3],
            told[:, 4],
        )
        for side in ("bid", "ask"):
            quotes[side] = tops[side]
            quotes[f"{side}_size"] = tops[f"{side}_size"] / self._scale
        if unseen := self._booked - len(quotes):
            self._tally.skipped[_NO_CHANGE] += unseen
        places = told[:, 5]
        self._clear()
        return weave(packed, at, quotes, places)
