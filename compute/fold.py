"""Rule: the recorder's bars, from rows that are on record, each row in them exactly once.

`add` takes rows that ClickHouse has confirmed and keeps open bars in memory; `flush` inserts all
of them at once, a few seconds' worth, so that an insert carries few parts of a bar. How far bars
reach is in the table itself, the highest offset of each partition: one insert is all or nothing.
After a kill `catch_up` reads the rows behind that from the record and folds them again, a piece
at a time beside the recording, which goes first; what is recorded meanwhile follows them.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from compute import bars
from compute.archive import Archive
from compute.kernels import fold
from compute.row import RECORD

FLUSH_SECONDS = 10.0  # Live charts do not wait for it: their newest points come from the mirror.
OPEN_BARS_MAX = 2_000_000  # 400 MB; flushed before, whatever the clock says.
READ_OFFSETS = 256  # A piece of the record to catch up with: 250,000 rows at 1,000 a frame.


class _Place:
    """Open bars of one partition of one topic."""

    def __init__(self) -> None:
        self.slots = np.full(0, -1, np.int64)
        self.recent = np.zeros((0, 2 * fold.RECENT + 1), np.int64)
        self.out, self.count = np.empty(0, bars.BAR), 0
        self.voids: list[np.ndarray] = []

    def take(self, rows: np.ndarray, versions: np.ndarray) -> None:
        known = rows["instrument"][rows["kind"] != fold.REFUSED]
        if not len(known):
            return
        more = int(known.max()) + 1 - len(self.slots)
        if more > 0:
            more += len(self.slots)  # Doubles, so that growing is rare.
            self.slots = np.concatenate((self.slots, np.full(more, -1, np.int64)))
            empty = np.zeros((more, self.recent.shape[1]), np.int64)
            self.recent = np.concatenate((self.recent, empty))
        if self.count + len(rows) > len(self.out):
            out = np.empty(2 * (self.count + len(rows)), bars.BAR)
            out[: self.count] = self.out[: self.count]
            self.out = out
        newest = np.empty(self.count + len(rows), np.int64)
        span_ns = bars.SPANS_S[0] * 1_000_000_000
        self.count = fold.bars(
            rows, span_ns, _reaching(versions, known), self.slots, newest, self.out, self.count
        )
        self._take_busts(rows)

    def _take_busts(self, rows: np.ndarray) -> None:
        places, moments = np.empty((2, len(rows)), np.int64)
        count = fold.voids(rows, self.recent, places, moments)
        if not count:
            return
        busts, out = rows[places[:count]], np.empty(count, bars.VOID)
        for name in bars.VOID.names or ():
            if name not in ("id", "ts_trade"):
                out[name] = busts[name]
        out["id"], out["ts_trade"] = busts["ask"], moments[:count]
        self.voids.append(out)

    def parts(self, topic: int, partition: int) -> list[np.ndarray]:
        """Bars (BAR) of every span; seconds in which a flat instrument did not trade are left out.

        Quotes alone would give every instrument a row a second: more bars than events.
        """
        short = self.out[: self.count].copy()
        long = np.empty(len(short), bars.BAR)
        self.slots[short["instrument"]] = -1
        count = fold.longer(short, bars.SPANS_S[1] * 1_000_000_000, self.slots, long)
        told = (short["trades"] > 0) | (short["position"] != 0) & ~np.isnan(short["position"])
        found = [short[told | (short["volume"] > 0)], long[:count].copy()]
        for part, span_s in zip(found, bars.SPANS_S, strict=True):
            part["topic"], part["partition"], part["span_s"] = topic, partition, span_s
        return found

    def clear(self) -> None:
        self.count = 0
        self.voids = []


class Fold:
    """Bars of all partitions that one recorder writes."""

    def __init__(
        self, archive: Archive, tell: Callable[[np.ndarray], None] = lambda _voids: None
    ) -> None:
        """Nothing is asked of ClickHouse yet. `tell` hears of busts (VOID) once they are there."""
        self.archive = archive
        self._places: dict[tuple[int, int], _Place] = {}
        self._missing: dict[tuple[int, int], tuple[int, int]] = {}  # On record, not in the bars.
        # Sealed, not yet confirmed: bars by their token, and busts.
        self._ready: tuple[str, bytearray, list[np.ndarray]] | None = None
        self.tell = tell
        self._flushed_at = 0.0
        # By instrument the bit of its version of the eligibility table; 0 (and beyond): by all.
        self.versions = np.zeros(0, np.uint8)

    def reach(self) -> dict[tuple[int, int], int]:
        """Highest offset of each (topic, partition) that is in the bars."""
        found = self.archive.rows(
            f"SELECT topic, partition, max(last_offset) FROM {self.archive.database}.bars "
            f"WHERE span_s = {bars.SPANS_S[1]} GROUP BY topic, partition"
        )
        return {(int(t), int(p)): int(last) for t, p, last in found}

    def begin(self, recorded: Mapping[tuple[int, int], int]) -> None:
        """Begin anew behind what is in the bars; what lies between is for `catch_up`."""
        reach = self.reach()
        self._places, self._ready = {}, None
        self._missing = {
            place: (reach.get(place, -1) + 1, last)
            for place, last in recorded.items()
            if reach.get(place, -1) < last
        }

    def catch_up(self) -> bool:
        """Fold the next rows that are on record and not in the bars; whether there were any."""
        if not self._missing:
            return False
        place, (first, last) = next(iter(self._missing.items()))
        end = min(last, first + READ_OFFSETS - 1)
        data = self.archive.read_block(*place, first, end)
        if end < last:
            self._missing[place] = end + 1, last
        else:
            del self._missing[place]
        if data:
            self._take(np.frombuffer(data, RECORD).copy())  # As fresh ones: one kernel for both.
        return True

    def add(self, arrays: Sequence[np.ndarray]) -> None:
        """Fold rows (RECORD) that are on record; each array is of one place, in the log's order."""
        for rows in arrays:
            if not len(rows):
                continue
            place = int(rows["topic"][0]), int(rows["partition"][0])
            if place in self._missing:  # They follow those before them.
                self._missing[place] = self._missing[place][0], int(rows["offset"][-1])
            else:
                self._take(rows)

    def _take(self, rows: np.ndarray) -> None:
        place = int(rows["topic"][0]), int(rows["partition"][0])
        self._places.setdefault(place, _Place()).take(rows, self.versions)

    def step(self, now: float) -> bool:
        """Flush if it is time; whether it did."""
        open_bars = sum(one.count for one in self._places.values())
        if now < self._flushed_at + FLUSH_SECONDS and open_bars <= OPEN_BARS_MAX:
            return False
        self.flush()
        self._flushed_at = now
        return True

    def flush(self) -> None:
        """Insert the bars that are open; ArchiveError leaves them for the next time."""
        if self._ready is None:
            arrays = [rows for key, one in self._places.items() for rows in one.parts(*key)]
            if not sum(map(len, arrays)):
                return
            voids = [rows for one in self._places.values() for rows in one.voids]
            body = bars.native("bars", arrays)
            token = hashlib.sha256(body).hexdigest()
            self._ready = token, body, voids
            for one in self._places.values():
                one.clear()
        token, body, voids = self._ready
        voids_body = bars.native("voids", voids) if voids else bytearray()
        for table, data in (("voids", voids_body), ("bars", body)):  # Bars say how far both reach.
            if data:
                names = [column[0] for column in bars.COLUMNS[table]]
                self.archive.send(table, names, data, f"{table}-{token}", "Native")
        self._ready = None
        for busts in voids:
            self.tell(busts)


def _reaching(versions: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`versions` as far as the instruments `known` go."""
    missing = int(known.max()) + 1 - len(versions)
    return np.pad(versions, (0, missing)) if missing > 0 else versions


def rehearse() -> None:
    """Compile before anything waits."""
    place = _Place()
    place.take(np.zeros(1, RECORD), np.zeros(1, np.uint8))
    place.parts(0, 0)
