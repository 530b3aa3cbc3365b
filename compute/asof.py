"""Rule: the tables as they were at any moment on the tape.

`Past.at` gives for each worker the tables after the newest slice at or before the moment: the
newest whole slice, then the slices behind it in order. Slices once read are kept, a few stretches
of them, so that a move nearby or the next step of a play reads little or nothing. Runs in threads
of a web process: numpy and the door to ClickHouse, no numba. One `Past` belongs to one caller.
"""

import json
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from compute import delta
from compute.archive import Archive
from compute.delta import Image
from compute.tape_row import TAPE, Slice

STRETCHES_MAX = 48  # In memory: a stretch is 5 s, 0.5 to 15 MB compressed at 20,000 to 500,000/s.
STRETCH_BYTES_MAX = 96 << 20
STREAMS = ("live", "risk")
NOTES = ("names", "alerts", "reference")
AHEAD_NS = 6_000_000_000  # Read with what is asked for: a whole slice comes every 5 s.


class Told(NamedTuple):
    """The world as it was."""

    ts: int  # What was asked for.
    images: dict[str, Image]  # By stream; ts_cut is the moment of its newest slice.
    next_ns: int | None  # Where ts lies in a hole of `live`: when it ends.


class _Stretch:
    """A whole slice and those behind it up to the next whole one, as far as they are known."""

    def __init__(self, slices: list[Slice], end_ns: int | None) -> None:
        self.slices = slices
        self.moments = np.array([one.ts for one in slices])
        self.end_ns = end_ns  # First moment of the next stretch; None: not begun yet.
        self.bytes = sum(len(one.data) for one in slices)

    def covers(self, ts: int) -> bool:
        if not self.slices or ts < self.slices[0].ts:
            return False
        return ts < self.end_ns if self.end_ns is not None else ts <= self.slices[-1].ts


class _Tables:
    """One worker's tables at a moment, which can be moved on."""

    def __init__(self, whole: Slice) -> None:
        self.image = delta.unpack_image(whole.body)
        self.stretch_ts = whole.ts
        self.applied = 1

    def advance(self, slices: list[Slice], count: int) -> None:
        tables = self.image.tables
        for one in slices[self.applied : count]:
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
        self._stretches: OrderedDict[tuple[str, int], _Stretch] = OrderedDict()
        self._tables: dict[str, _Tables] = {}
        self._notes: dict[str, tuple[int, int, bytes]] = {}
        self._health: list[Slice] = []  # Around the moment asked for last.
        self._last = 0  # How far the tape was known to reach when `span` last asked.

    def span(self) -> tuple[int, int] | None:
        """First and last moment on the tape in ns; None where it is empty."""
        found = self.archive.rows(
            "SELECT count(), toUnixTimestamp64Nano(min(ts)), toUnixTimestamp64Nano(max(ts)) "
            f"FROM {self.archive.database}.{TAPE} WHERE stream = 'live'"
        )
        count, first, last = found[0]
        self._last = int(last) if count else 0
        return (int(first), int(last)) if count else None

    def at(self, ts: int) -> Told:
        """The tables at `ts`; a worker of which nothing is known by then is not among them.

        The arrays are this object's own: they change with the next call.
        """
        images: dict[str, Image] = {}
        next_ns = None
        for stream in STREAMS:
            stretch = self._stretch(stream, ts)
            if stretch is None:
                self._tables.pop(stream, None)
                continue
            count = int(np.searchsorted(stretch.moments, ts, side="right"))
            tables = self._tables.get(stream)
            begin = stretch.slices[0].ts
            if tables is None or tables.stretch_ts != begin or tables.applied > count:
                tables = self._tables[stream] = _Tables(stretch.slices[0])
            tables.advance(stretch.slices, count)
            images[stream] = tables.image
            if stream == "live" and count == len(stretch.slices):
                next_ns = self._hole(ts)
        return Told(ts, images, next_ns)

    def note(self, name: str, ts: int) -> bytes:
        """The newest of NOTES with that name at `ts`, JSON; b"" without one."""
        first, until, data = self._notes.get(name, (0, 0, b""))
        if first <= ts < until:
            return data
        found = self._read(f"stream = '{name}' AND ts <= {_moment(ts)} ORDER BY ts DESC LIMIT 1")
        later = self._first(f"stream = '{name}' AND ts > {_moment(ts)}", "ts")
        if not found:
            return b""
        # Without a later one it holds as far as the tape was known to reach before it was asked:
        # all streams of one moment are inserted at once.
        until = max(ts, self._last) + 1 if later is None else later
        self._notes[name] = found[0].ts, until, found[0].body
        return self._notes[name][2]

    def health(self, ts: int) -> dict[str, dict[str, Any]]:
        """Everyone's report as it was."""
        if not self._health or not self._health[0].ts <= ts < self._health[-1].ts:
            near = f"ts > {_moment(ts - AHEAD_NS)} AND ts <= {_moment(ts + AHEAD_NS)}"
            self._health = self._read(f"stream = 'health' AND {near} ORDER BY ts")
        told = [one for one in self._health if one.ts <= ts]
        return dict(json.loads(told[-1].body)) if told else {}

    def _hole(self, ts: int) -> int | None:
        """When the next slice of `live` begins to be known, if nothing is known of `ts`."""
        known = self._first(f"stream = 'live' AND ts > {_moment(ts)}", "ts", "ts_first")
        return known if known is not None and known > ts else None

    def _stretch(self, stream: str, ts: int) -> _Stretch | None:
        for key, stretch in self._stretches.items():
            if key[0] == stream and stretch.covers(ts):
                self._stretches.move_to_end(key)
                return stretch
        slices = self._between(stream, ts)
        wholes = [place for place, one in enumerate(slices) if one.whole]
        if not wholes or slices[wholes[0]].ts > ts:
            return None
        first, after = wholes[0], wholes[1] if len(wholes) > 1 else len(slices)
        end = slices[after].ts if after < len(slices) else None
        stretch = _Stretch(slices[first:after], end)
        begin = stretch.slices[0].ts
        self._stretches[stream, begin] = stretch
        self._stretches.move_to_end((stream, begin))
        held = sum(one.bytes for one in self._stretches.values())
        while len(self._stretches) > STRETCHES_MAX or (
            held > STRETCH_BYTES_MAX and len(self._stretches) > len(STREAMS)
        ):
            held -= self._stretches.popitem(last=False)[1].bytes
        return stretch

    def _between(self, stream: str, ts: int) -> list[Slice]:
        """From the newest whole slice at or before `ts` to a little behind it; one question."""
        whole = (
            f"SELECT max(ts) FROM {self.archive.database}.{TAPE} "
            f"WHERE stream = '{stream}' AND whole AND ts <= {_moment(ts)}"
        )
        return self._read(
            f"stream = '{stream}' AND ts >= ({whole}) AND ts <= {_moment(ts + AHEAD_NS)} "
            "ORDER BY ts, number"
        )

    def _first(self, where: str, order: str, what: str = "ts") -> int | None:
        """A moment of the first slice in that order; read along the table's own order."""
        found = self.archive.rows(
            f"SELECT toUnixTimestamp64Nano({what}) FROM {self.archive.database}.{TAPE} "
            f"WHERE {where} ORDER BY {order} LIMIT 1"
        )
        return int(found[0][0]) if found else None

    def _read(self, where: str) -> list[Slice]:
        return read_slices(self.archive, TAPE, where)


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
        size, at = _varint(body, at)
        stream, at = body[at : at + size].decode(), at + size
        number, ts_first, ts = np.frombuffer(body, "<i8", 3, at).tolist()
        whole, at = bool(body[at + 24]), at + 25
        size, at = _varint(body, at)
        found.append(Slice(stream, number, ts_first, ts, whole, body[at : at + size]))
        at += size
    return found


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _moment(ts: int) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({ts}), 'UTC')"
