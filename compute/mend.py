"""Rule: bars that lost a trade to a bust are put into `corrections` anew, beside the recording.

A minute is made anew once no event of it can come any more, with its seconds that lost a trade:
those due together by three questions. Each correction says up to which offset it holds and how many
trades it leaves out, so a reader sees whether something has come since. What was not made when a
recorder ended is found by the next one; until then whoever asks makes it for himself.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from compute import anew, bars
from compute.anew import MADE, SECOND_NS
from compute.archive import Archive

MINUTE_NS = 60 * SECOND_NS
REST_SECONDS = 20.0  # Between two batches: a question for many costs little more than for one.
MINUTES_MAX = (
    128  # Of one batch: six a second, twice as many as the demo market busts at 100,000/s.
)
DUE_MAX = 100_000  # Beyond it the oldest are left to the next recorder, and to whoever asks.
LATE_NS = 60 * SECOND_NS  # An event may come so long after its minute.
LOOK_BACK_NS = 7 * 86_400 * SECOND_NS  # A new recorder mends what is not older.

Minute = tuple[int, int]  # Instrument, where the minute begins in ns


class Mender:
    """Minutes that lost trades and stand in no correction yet."""

    def __init__(self, archive: Archive) -> None:
        """Nothing is due yet."""
        self.archive = archive
        self.due: dict[Minute, None] = {}
        self._ready: tuple[bytearray, list[Minute]] | None = None  # Made, not yet confirmed.
        self._again_at: float | None = None
        self._begun = False

    def _begin(self, newest_ns: int) -> None:
        """Find what earlier recorders left."""
        voids = _counted(self.archive, newest_ns - LOOK_BACK_NS)
        database = self.archive.database
        made = {
            (int(one), int(start)): int(count)
            for one, start, count in self.archive.rows(
                "SELECT instrument, toUnixTimestamp64Nano(ts), max(voids) "
                f"FROM {database}.corrections WHERE span_s = 60 GROUP BY instrument, ts"
            )
        }
        self.due |= {key: None for key, count in voids.items() if made.get(key, 0) < count}
        self._begun = True

    def add(self, voids: np.ndarray) -> None:
        """Busts (VOID) that are in the table."""
        known = voids[voids["ts_trade"] > 0]
        starts = known["ts_trade"] // MINUTE_NS * MINUTE_NS
        self.due |= dict.fromkeys(zip(known["instrument"].tolist(), starts.tolist(), strict=True))
        for key in [*self.due][: max(0, len(self.due) - DUE_MAX)]:
            del self.due[key]

    def step(self, now: float, newest_ns: int) -> bool:
        """Make the next batch, if it is time; whether it did. ArchiveError: the same again."""
        if self._ready is None:
            if self._again_at is None or now < self._again_at:
                self._again_at = self._again_at or now + REST_SECONDS
                return False
            self._again_at = now + REST_SECONDS
            if not self._begun:
                self._begin(newest_ns)
            over = newest_ns - MINUTE_NS - LATE_NS
            batch = [key for key in self.due if key[1] <= over][:MINUTES_MAX]
            if not batch:
                return False
            made = corrections(self.archive, batch)
            self._ready = bars.native("corrections", [made]) if len(made) else bytearray(), batch
        body, batch = self._ready
        if body:
            names = [column[0] for column in bars.COLUMNS["corrections"]]
            token = f"corrections-{hashlib.sha256(body).hexdigest()}"
            self.archive.send("corrections", names, body, token, "Native")
        for key in batch:
            self.due.pop(key, None)
        self._ready = None
        return True


def _counted(archive: Archive, since_ns: int) -> dict[Minute, int]:
    """Of each minute that lost trades how many."""
    found = archive.rows(
        f"SELECT instrument, intDiv(toUnixTimestamp64Nano(ts_trade), {MINUTE_NS}) * {MINUTE_NS} "
        f"AS start, uniqExact(topic, partition, id) FROM {archive.database}.voids "
        f"WHERE ts_trade > {anew.moment(max(0, since_ns))} GROUP BY instrument, start"
    )
    return {(int(one), int(start)): int(count) for one, start, count in found}


def corrections(archive: Archive, minutes: Sequence[Minute]) -> np.ndarray:
    """These minutes and their seconds that lost trades, made anew: CORRECTION.

    A bar that lies in two partitions gets none: its offsets do not say how far it has come.
    """
    parts = anew.read(archive, f"span_s IN (1, 60) AND {_within('ts', minutes)}")
    busted = _busted(archive, minutes)
    touched = {(one, ts // SECOND_NS * SECOND_NS) for one, _, ts in busted}
    voids: dict[int, set[int]] = {}
    for one, number, _ in busted:
        voids.setdefault(one, set()).add(number)
    short, long = parts[parts["span_s"] == 1], parts[parts["span_s"] == 60]
    keys = zip(short["instrument"].tolist(), short["start_ns"].tolist(), strict=True)
    lost = np.array([key in touched for key in keys], bool)
    made = anew.seconds(archive, short[lost], voids)
    kept = np.empty((~lost).sum(), MADE)
    for name in MADE.names or ():
        kept[name] = short[name][~lost]
    whole = np.concatenate((kept, made))
    out = [*_each(short[lost], made, 1, busted), *_each(long, whole, 60, busted)]
    return np.concatenate(out) if out else np.zeros(0, bars.CORRECTION)


def _within(column: str, minutes: Sequence[Minute]) -> str:
    """Rows of these minutes, in words that the tables' keys understand."""
    keys = ", ".join(f"({one}, {start // MINUTE_NS})" for one, start in minutes)
    starts = [start for _, start in minutes]
    return (
        f"(instrument, intDiv(toUnixTimestamp64Nano({column}), {MINUTE_NS})) IN ({keys}) "
        f"AND {column} >= {anew.moment(min(starts))} "
        f"AND {column} < {anew.moment(max(starts) + MINUTE_NS)}"
    )


def _busted(archive: Archive, minutes: Sequence[Minute]) -> set[tuple[int, int, int]]:
    """(instrument, id, ts) of the trades."""
    found = archive.rows(
        "SELECT DISTINCT instrument, id, toUnixTimestamp64Nano(ts_trade) "
        f"FROM {archive.database}.voids WHERE {_within('ts_trade', minutes)}"
    )
    return {(int(one), int(number), int(ts)) for one, number, ts in found}


def _each(
    stands_for: np.ndarray, made: np.ndarray, span_s: int, busted: set[tuple[int, int, int]]
) -> list[np.ndarray]:
    """A correction of each bar that the parts `stands_for` (PLACED) make up; from `made` (MADE)."""
    span_ns = span_s * SECOND_NS
    out = []
    for one, start in {
        *zip(stands_for["instrument"].tolist(), stands_for["start_ns"].tolist(), strict=True)
    }:
        own = stands_for[(stands_for["instrument"] == one) & (stands_for["start_ns"] == start)]
        if len({*zip(own["topic"].tolist(), own["partition"].tolist(), strict=True)}) > 1:
            continue
        left_out = sum(i == one and ts // span_ns * span_ns == start for i, _, ts in busted)
        row = np.zeros(1, bars.CORRECTION)
        row["high"], row["low"] = anew.LOWEST, anew.HIGHEST
        mine = made[(made["instrument"] == one) & (made["start_ns"] // span_ns * span_ns == start)]
        for bar in anew.joined(anew.bare(mine), span_s):
            for name in ("open", "close", "high", "low", "paid", "counted", "volume", "trades"):
                row[name] = bar[name]
        row["start_ns"], row["span_s"], row["instrument"] = start, span_s, one
        row["topic"], row["partition"] = own["topic"][0], own["partition"][0]
        row["last"], row["voids"] = own["last"].max(), left_out
        if left_out:
            out.append(row)
    return out
