"""Rule: the tables as they were at any moment on the tape.

`Past.at` gives for each worker the tables after the newest slice at or before the moment: the
newest whole slice, then the slices behind it in order. A whole slice and what follows it up to the
next one are a stretch; so is a note, which is always whole. Where stretches begin is looked up an
hour at a time, so that a move is one question for exactly what it lacks. Stretches once read are
kept, so that a move nearby or the next step of a play reads nothing. Runs in a thread of a web
process: numpy and the door to ClickHouse, no numba. One `Past` belongs to one caller.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from compute import delta
from compute.archive import Archive
from compute.delta import Image
from compute.tape_row import TAPE, Slice, slice_at

STRETCHES_MAX = 400  # In memory; a stretch of tables is 2 s, 0.2 to 6 MB compressed.
STRETCH_BYTES_MAX = 96 << 20
HOURS_MAX = 48
STREAMS = ("live", "risk")
NOTES = ("names", "alerts", "reference")
HEALTH = "health"
NAMES = (*STREAMS, *NOTES, HEALTH)
HOUR_NS = 3_600_000_000_000
HEALTH_NS = 6_000_000_000  # A report is told every second: older says nothing.
LATE_NS = 2_000_000_000  # A worker's slice may reach the tape so long after another's.
NOTHING_SECONDS = 5.0
LOOK_SECONDS = 0.5  # Between two looks at what has come: the tape itself grows every 2 s.

_BEGIN = np.dtype([("name", "u1"), ("ts_first", "<i8"), ("ts", "<i8"), ("known", "<i8")])


class Told(NamedTuple):
    """The world as it was."""

    ts: int  # What was asked for.
    images: dict[str, Image]  # By stream; ts_cut is the moment of its newest slice.
    next_ns: int | None  # Where ts lies in a hole of `live`: when it ends.


class _Place(NamedTuple):
    """A stretch on the tape."""

    name: str
    begin: int
    end: int | None  # Where the next one begins; None: not yet.
    next_ns: int | None  # What the next one is the end of: later than here where a hole is.

    @property
    def where(self) -> str:
        if self.name not in STREAMS:
            return f"(stream = '{self.name}' AND ts = {_moment(self.begin)})"
        until = f" AND ts < {_moment(self.end)}" if self.end is not None else ""
        return f"(stream = '{self.name}' AND ts >= {_moment(self.begin)}{until})"


class _Hour:
    """Where the stretches of an hour begin, of each stream in order."""

    def __init__(self) -> None:
        self.first: dict[str, np.ndarray] = {}
        self.begin: dict[str, np.ndarray] = {}
        self.known = 0  # All is here up to this moment.
        self.looked_at = -1e9
        self._rows = np.zeros(0, _BEGIN)

    def take(self, rows: np.ndarray, known: int) -> None:
        """Rows behind `self.known`; from now on it is `known`."""
        kept = self._rows[self._rows["ts"] <= self.known]
        self._rows = np.sort(np.concatenate((kept, rows)), order=("name", "ts"))
        for number, name in enumerate(NAMES, 1):
            mine = self._rows[self._rows["name"] == number]
            self.first[name], self.begin[name] = mine["ts_first"].copy(), mine["ts"].copy()
        self.known = max(self.known, known)


class _Contents:
    """Where stretches begin; asks for each hour once, and for more of the newest while it grows."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._table = f"{archive.database}.{TAPE}"
        self._hours: OrderedDict[int, _Hour] = OrderedDict()
        self._beside: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._nothing: dict[tuple[str, str, int], float] = {}  # Where, and when it was looked for.

    def place(self, name: str, ts: int) -> _Place | None:
        """The stretch that `ts` lies in; None where nothing is known by then."""
        number = ts // HOUR_NS
        hour = self._of(number, ts)
        moments = hour.begin[name]
        at = int(np.searchsorted(moments, ts, side="right"))
        before = int(moments[at - 1]) if at else self._edge(name, "<", number * HOUR_NS)[1]
        if not before:
            return None
        if at < len(moments):
            return _Place(name, before, int(moments[at]), int(hour.first[name][at]))
        end = (number + 1) * HOUR_NS
        first, after = self._edge(name, ">=", end) if hour.known >= end else (0, 0)
        return _Place(name, before, after or None, first or None)

    def _edge(self, name: str, side: str, edge: int) -> tuple[int, int]:
        """(end of what was before, beginning) of the stretch next to an hour's edge; 0: none."""
        key = name, side, edge
        now = time.monotonic()
        if key not in self._beside and now > self._nothing.get(key, -1e9) + NOTHING_SECONDS:
            found = self.archive.rows(
                "SELECT toUnixTimestamp64Nano(ts_first), toUnixTimestamp64Nano(ts) "
                f"FROM {self._table} WHERE stream = '{name}' AND whole AND ts {side} "
                f"{_moment(edge)} ORDER BY ts {'DESC' if side == '<' else 'ASC'} LIMIT 1"
            )
            if found:
                self._beside[key] = int(found[0][0]), int(found[0][1])
            else:
                self._nothing[key] = now
        return self._beside.get(key, (0, 0))

    def _of(self, number: int, ts: int) -> _Hour:
        """The hour of that number, known as far as the tape had come a moment ago, or to `ts`."""
        hour = self._hours.setdefault(number, _Hour())
        self._hours.move_to_end(number)
        while len(self._hours) > HOURS_MAX:
            self._hours.popitem(last=False)
        end = (number + 1) * HOUR_NS
        now = time.monotonic()
        if hour.known >= min(ts, end) or now < hour.looked_at + LOOK_SECONDS:
            return hour
        after = max(number * HOUR_NS - 1, hour.known)
        listed = ", ".join(f"'{name}'" for name in NAMES)
        body = self.archive.raw(
            f"SELECT toUInt8(indexOf([{listed}], toString(stream))), "
            "toUnixTimestamp64Nano(ts_first), toUnixTimestamp64Nano(ts), "
            f"toUnixTimestamp64Nano(assumeNotNull((SELECT max(ts) FROM {self._table}))) "
            f"FROM {self._table} WHERE whole AND stream IN ({listed}) "
            f"AND ts > {_moment(after)} AND ts < {_moment(end)}",
            "RowBinary",
        )
        rows = np.frombuffer(body, _BEGIN)
        reach = int(rows["known"].max()) - LATE_NS if len(rows) else self._reach() - LATE_NS
        hour.take(rows, min(reach, end))
        hour.looked_at = now  # Not before: who was not answered has seen nothing.
        return hour

    def _reach(self) -> int:
        found = self.archive.rows(f"SELECT toUnixTimestamp64Nano(max(ts)) FROM {self._table}")
        return int(found[0][0])


class _Stretch:
    """Slices of a place, as far as they were on the tape when they were read."""

    def __init__(self, slices: list[Slice], end: int | None) -> None:
        self.slices, self.end = slices, end
        self.moments = np.array([one.ts for one in slices])
        self.bytes = sum(len(one.data) for one in slices)
        self.read_at = time.monotonic()

    def covers(self, ts: int) -> bool:
        """Whether nothing of it up to `ts` can be missing, or was a moment ago."""
        whole = self.end is not None or (bool(self.slices) and ts <= self.slices[-1].ts)
        return whole or time.monotonic() < self.read_at + LOOK_SECONDS


class _Tables:
    """One worker's tables at a moment, which can be moved on."""

    def __init__(self, whole: Slice) -> None:
        self.image = delta.unpack_image(whole.body)
        self.begin = whole.ts
        self.applied = 1

    def advance(self, slices: list[Slice], count: int) -> None:
        tables = self.image.tables
        for one in slices[self.applied : count]:
            if one.whole:  # It came between the look where stretches begin and the reading.
                self.image = delta.unpack_image(one.body)
                tables = self.image.tables
                continue
            (epoch, sequence, ts_cut), sections = delta.unpack(one.body)
            for section in sections:
                name = section.table.name
                if name not in tables or len(tables[name]) < section.capacity:
                    grown = section.table.empty(section.capacity)
                    have = tables.get(name)
                    if have is not None:
                        grown[: len(have)] = have
                    tables[name] = grown
                scatter(section, tables[name])
            self.image = Image(epoch, sequence, ts_cut, {}, tables)
        self.applied = max(self.applied, count)


def scatter(section: delta.Packed, table: np.ndarray) -> None:
    """Write a section's cells into a float64 array [rows, columns] of at least its capacity."""
    bits = np.unpackbits(section.masks.view(np.uint8), bitorder="little").view(np.bool_)
    cells = bits.nonzero()[0]
    shift = section.touched.astype(np.int64) * section.table.width
    shift -= np.arange(0, 32 * len(shift), 32)
    cells += shift.take(cells >> 5)
    table.reshape(-1)[cells] = section.values


class Past:
    """The tape, read; ArchiveError where ClickHouse does not answer."""

    def __init__(self, archive: Archive) -> None:
        """Nothing is read yet."""
        self.archive = archive
        self._contents = _Contents(archive)
        self._stretches: OrderedDict[tuple[str, int], _Stretch] = OrderedDict()
        self._tables: dict[str, _Tables] = {}

    def span(self) -> tuple[int, int] | None:
        """First and last moment on the tape in ns; None where it is empty."""
        found = self.archive.rows(  # ClickHouse knows it of each part, without reading.
            "SELECT count(), toUnixTimestamp64Nano(min(ts)), toUnixTimestamp64Nano(max(ts)) "
            f"FROM {self.archive.database}.{TAPE}"
        )
        count, first, last = found[0]
        return (int(first), int(last)) if count else None

    def at(self, ts: int) -> Told:
        """The tables at `ts`; a worker of which nothing is known by then is not among them.

        The arrays are this object's own: they change with the next call. Notes and health of the
        same moment have then been read with it.
        """
        places = self._read(ts, NAMES)
        images: dict[str, Image] = {}
        next_ns = None
        for stream in STREAMS:
            place, stretch = places.get(stream, (None, None))
            if place is None or stretch is None or not stretch.slices:
                self._tables.pop(stream, None)
                continue
            count = int(np.searchsorted(stretch.moments, ts, side="right"))
            tables = self._tables.get(stream)
            if tables is None or tables.begin != place.begin or tables.applied > count:
                tables = self._tables[stream] = _Tables(stretch.slices[0])
            tables.advance(stretch.slices, count)
            images[stream] = tables.image
            late = place.next_ns is not None and place.next_ns > ts
            if stream == STREAMS[0] and count == len(stretch.slices) and late:
                next_ns = place.next_ns
        return Told(ts, images, next_ns)

    def note(self, name: str, ts: int) -> bytes:
        """The newest of NOTES with that name at `ts`, JSON; b"" without one."""
        _, stretch = self._read(ts, (name,)).get(name, (None, None))
        return stretch.slices[0].body if stretch and stretch.slices else b""

    def health(self, ts: int) -> dict[str, dict[str, Any]]:
        """Everyone's report as it was."""
        place, stretch = self._read(ts, (HEALTH,)).get(HEALTH, (None, None))
        if place is None or not stretch or not stretch.slices or place.begin < ts - HEALTH_NS:
            return {}
        return dict(json.loads(stretch.slices[0].body))

    def around(self, ts: int) -> None:
        """Read the tables beside `ts` too, for whoever goes on from there."""
        beside = []
        for stream in STREAMS:
            place = self._contents.place(stream, ts)
            if place is not None:
                moments = (place.begin - 1, *(() if place.end is None else (place.end,)))
                beside += [self._contents.place(stream, moment) for moment in moments]
        self._take(place for place in beside if place is not None)

    def _read(self, ts: int, names: Iterable[str]) -> dict[str, tuple[_Place, _Stretch]]:
        """The stretches of `names` in which `ts` lies, those that are known; one question."""
        found = {name: self._contents.place(name, ts) for name in names}
        places = {name: place for name, place in found.items() if place is not None}
        self._take(places.values(), ts)
        return {name: (place, self._stretches[name, place.begin]) for name, place in places.items()}

    def _take(self, places: Iterable[_Place], ts: int = 0) -> None:
        """Have the stretches of `places`, at least up to `ts`."""
        wanted = {(place.name, place.begin): place for place in places}
        missing = {
            key: place
            for key, place in wanted.items()
            if key not in self._stretches or not self._known(self._stretches[key], place, ts)
        }
        if missing:
            slices = self._slices(missing.values())
            for key, place in missing.items():
                mine = slices.get(place.name, [])
                within = [one for one in mine if _within(one, place)]
                self._stretches[key] = _Stretch(within, place.end)
        for key in wanted:
            self._stretches.move_to_end(key)
        held = sum(one.bytes for one in self._stretches.values())
        while len(self._stretches) > max(STRETCHES_MAX, len(wanted)) or (
            held > STRETCH_BYTES_MAX and len(self._stretches) > len(wanted)
        ):
            held -= self._stretches.popitem(last=False)[1].bytes

    def _known(self, stretch: _Stretch, place: _Place, ts: int) -> bool:
        if place.name not in STREAMS:  # It is one slice, whatever follows.
            return bool(stretch.slices)
        return stretch.end == place.end and stretch.covers(ts)

    def _slices(self, places: Iterable[_Place]) -> dict[str, list[Slice]]:
        found: dict[str, list[Slice]] = {}
        where = " OR ".join(place.where for place in places)
        for one in read_slices(self.archive, TAPE, f"{where} ORDER BY ts, number"):
            found.setdefault(one.stream, []).append(one)
        return found


def _within(one: Slice, place: _Place) -> bool:
    return one.ts >= place.begin and (place.end is None or one.ts < place.end)


def read_slices(archive: Archive, table: str, where: str) -> list[Slice]:
    """The slices of a table that `where` (and its order) names."""
    body = archive.raw(
        "SELECT toString(stream), number, toUnixTimestamp64Nano(ts_first), "
        f"toUnixTimestamp64Nano(ts), whole, data FROM {archive.database}.{table} WHERE {where}",
        "RowBinary",
    )
    return unpack_slices(body)


def unpack_slices(body: bytes) -> list[Slice]:
    """Inverse of `read_slices`' query in RowBinary."""
    found, at = [], 0
    while at < len(body):
        one, at = slice_at(body, at)
        found.append(one)
    return found


def _moment(ts: int) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({ts}), 'UTC')"
