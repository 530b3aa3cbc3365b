"""Rule: cut(table) -> frame of the cells that changed since the last cut; apply() its inverse.

A delta frame carries sections, one a table: row numbers, a bit mask of changed columns a row, the
new values in row order, and for each row the moment of the oldest event that the reader has not
been told of. An image is the same tables whole, with the Kafka positions they include. A worker
tells the tables it has: `live` those of LIVE_TABLES, `risk` those of RISK_TABLES; the first of
them, by instrument, is the one whose rows have moments. Only the cutting side loads numba; a web
process applies with numpy alone.
"""

import json
import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from compute.table import TABLES, Table

DELTA_MAGIC = 0x31444754  # "TGD1"
IMAGE_MAGIC = 0x31494754  # "TGI1"
_HEAD = struct.Struct("<IIQQq")  # magic, sections, epoch, sequence, ts_cut
_SECTION = struct.Struct("<HHIII")  # table, columns, rows in the table, rows here, values here
HEAD_BYTES = _HEAD.size
BY_ID = {table.id: table for table in TABLES}


class DeltaError(ValueError):
    """Bytes that are not a whole delta frame or image; the reader takes the image again."""


class Section(NamedTuple):
    """Changed cells of one table. `rows` and `columns` name each value's cell."""

    table: Table
    capacity: int
    touched: np.ndarray  # uint32 [n] rows with a change
    oldest_ns: np.ndarray  # int64 [n] oldest untold event of each, 0 if none
    rows: np.ndarray  # int64 [values]
    columns: np.ndarray  # int64 [values]
    values: np.ndarray  # float64 [values]


class Delta(NamedTuple):
    """One decoded frame."""

    epoch: int
    sequence: int
    ts_cut: int
    sections: list[Section]


class Cutter:
    """Remembers what was told of each table, so that a cut holds exactly the changed cells."""

    def __init__(self) -> None:
        """Nothing was told yet: the first cut of a table holds every known cell."""
        self._told: dict[str, np.ndarray] = {}

    def cut(
        self,
        tables: Mapping[str, np.ndarray],
        oldest_ns: np.ndarray,
        epoch: int,
        sequence: int,
        ts_cut: int,
    ) -> bytes:
        """A delta frame of the tables given.

        `oldest_ns` names the rows of the first of them to look at, and is reset.
        """
        sections: list[bytes] = []
        given = [table for table in TABLES if table.name in tables]
        for table in given:
            now = tables[table.name]
            if table is given[0]:
                candidates = np.flatnonzero(oldest_ns)
                oldest = oldest_ns[candidates]
                oldest_ns[candidates] = 0
            else:
                candidates = np.arange(len(now))
                oldest = np.zeros(len(now), np.int64)
            section = self._section(table, now, candidates, oldest)
            if section:
                sections.append(section)
        head = _HEAD.pack(DELTA_MAGIC, len(sections), epoch, sequence, ts_cut)
        return head + b"".join(sections)

    def _section(
        self, table: Table, now: np.ndarray, candidates: np.ndarray, oldest: np.ndarray
    ) -> bytes:
        from compute.kernels.cut import changed  # Numba stays out of web processes.

        told = self._told.get(table.name)
        if told is None or len(told) < len(now):
            grown = table.empty(len(now))
            grown[: 0 if told is None else len(told)] = 0.0 if told is None else told
            told = self._told[table.name] = grown
        n = len(candidates)
        rows, masks = np.empty(n, np.uint32), np.empty(n, np.uint32)
        values = np.empty(n * table.width, np.int64)
        bits = now.view(np.int64)
        n, cells = changed(bits, told.view(np.int64), candidates, rows, masks, values)
        if n == 0:
            return b""
        place = np.searchsorted(candidates, rows[:n])
        return b"".join(
            (
                _SECTION.pack(table.id, table.width, len(now), n, cells),
                *(rows[:n].tobytes(), masks[:n].tobytes()),
                *(oldest[place].tobytes(), values[:cells].tobytes()),
            )
        )


class Packed(NamedTuple):
    """A section as it travels: what `kernels.cut.scatter` takes. Without copies."""

    table: Table
    capacity: int
    touched: np.ndarray  # uint32 [n]
    masks: np.ndarray  # uint32 [n]
    oldest_ns: np.ndarray  # int64 [n]
    values: np.ndarray  # float64, by row


def decode(frame: bytes) -> Delta:
    """The cells in a delta frame; DeltaError where it is not whole."""
    head, packed = unpack(frame)
    return Delta(*head, [section_of(section) for section in packed])


def unpack(frame: bytes) -> tuple[tuple[int, int, int], list[Packed]]:
    """((epoch, sequence, ts_cut), sections as they travel); DeltaError where it is not whole."""
    try:
        magic, count, epoch, sequence, ts_cut = _HEAD.unpack_from(frame)
        if magic != DELTA_MAGIC:
            raise DeltaError("not a delta frame")
        at, sections = HEAD_BYTES, []
        for _ in range(count):
            section, at = _unpack_section(frame, at)
            sections.append(section)
    except (struct.error, KeyError, ValueError) as error:
        raise DeltaError(f"delta frame of {len(frame)} bytes is torn: {error}") from None
    if at != len(frame):
        raise DeltaError(f"delta frame has {len(frame) - at} bytes too many")
    return (epoch, sequence, ts_cut), sections


def _unpack_section(frame: bytes, at: int) -> tuple[Packed, int]:
    table_id, width, capacity, n, cells = _SECTION.unpack_from(frame, at)
    at += _SECTION.size
    touched = np.frombuffer(frame, "<u4", n, at)
    masks = np.frombuffer(frame, "<u4", n, at + 4 * n)
    oldest = np.frombuffer(frame, "<i8", n, at + 8 * n)
    values = np.frombuffer(frame, "<f8", cells, at + 16 * n)
    table = BY_ID[table_id]
    inside = n == 0 or (touched.max() < capacity and int(masks.max()) >> width == 0)
    if not inside or width != table.width or np.bitwise_count(masks).sum() != cells:
        raise DeltaError("its cells are not those of its table")
    section = Packed(table, capacity, touched, masks, oldest, values)
    return section, at + 16 * n + 8 * cells


def section_of(packed: Packed) -> Section:
    """A section whose cells are named one by one."""
    n, touched = len(packed.touched), packed.touched
    bits = np.unpackbits(packed.masks.view(np.uint8).reshape(n, 4), axis=1, bitorder="little")
    which, columns = np.nonzero(bits)
    return Section(
        *(packed.table, packed.capacity, touched, packed.oldest_ns),
        *(touched[which].astype(np.int64), columns, packed.values),
    )


def apply(section: Section, table: np.ndarray) -> None:
    """Write the section's cells into a float64 array [rows, columns] of at least `capacity`."""
    table[section.rows, section.columns] = section.values


def pack_image(
    tables: Mapping[str, np.ndarray],
    epoch: int,
    sequence: int,
    ts_cut: int,
    positions: Mapping[tuple[int, int], int],
) -> bytes:
    """The given tables whole, and the positions (topic, partition) -> offset they include."""
    note = json.dumps([[*place, offset] for place, offset in sorted(positions.items())]).encode()
    given = [table for table in TABLES if table.name in tables]
    parts = [_HEAD.pack(IMAGE_MAGIC, len(given), epoch, sequence, ts_cut)]
    parts += [struct.pack("<I", len(note)), note]
    for table in given:
        now = tables[table.name]
        parts.append(_SECTION.pack(table.id, table.width, len(now), len(now), now.size))
        parts.append(np.ascontiguousarray(now[:, : table.width]).tobytes())
    return b"".join(parts)


class Image(NamedTuple):
    """One decoded image."""

    epoch: int
    sequence: int
    ts_cut: int
    positions: dict[tuple[int, int], int]
    tables: dict[str, np.ndarray]


def unpack_image(data: bytes) -> Image:
    """Inverse of `pack_image`; the arrays are copies. DeltaError where it is not whole."""
    try:
        magic, count, epoch, sequence, ts_cut = _HEAD.unpack_from(data)
        if magic != IMAGE_MAGIC:
            raise DeltaError("not an image")
        (size,) = struct.unpack_from("<I", data, HEAD_BYTES)
        at = HEAD_BYTES + 4
        note = json.loads(data[at : at + size])
        at += size
        tables = {}
        for _ in range(count):
            table_id, width, _, rows, cells = _SECTION.unpack_from(data, at)
            at += _SECTION.size
            values = np.frombuffer(data, "<f8", cells, at).reshape(rows, width)
            tables[BY_ID[table_id].name] = values.copy()
            at += 8 * cells
    except (struct.error, KeyError, ValueError) as error:
        raise DeltaError(f"image of {len(data)} bytes is torn: {error}") from None
    positions = {(topic, part): offset for topic, part, offset in note}
    return Image(epoch, sequence, ts_cut, positions, tables)
