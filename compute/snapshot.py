"""Rule: what each book made and held, put on record as the clock of events moves on.

Enriched rows say the P&L of an instrument over all books; who made it stands in the engine's
tables. Every second of event time that passes leaves one row a book, every minute one row a
position, so any past moment is known as of then. What a book made is a sum over all partitions:
where several recorders share these the tape takes it, of what `live` told. Rows of one moment that
come again (a recorder that was killed repeats up to FLUSH_SECONDS) replace themselves: same key,
newest insert.

Also the shape of what others tell the record: offsets of clocks.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from compute.archive import Archive
from compute.table import BOOKS, POSITIONS, Table

SECOND_NS = 1_000_000_000
FLUSH_SECONDS = 10.0
WAITING_MAX = 3_600  # Moments that are held while ClickHouse is away; then the oldest go.
_KEYS = {BOOKS.name: ("book",), POSITIONS.name: ("book", "instrument")}
_ENGINE = "ReplacingMergeTree ORDER BY ({keys}, ts) SETTINGS index_granularity = 1024"
_MOMENT = "DateTime64(9, 'UTC')"

CLOCKS = (  # One row a measurement: how far a clock is from the reference it was compared with.
    ("ts", _MOMENT),
    ("host", "LowCardinality(String)"),
    ("role", "LowCardinality(String)"),
    ("reference", "LowCardinality(String)"),
    ("offset_ns", "Int64"),
    ("uncertainty_ns", "UInt64"),
)
_ONCE = "non_replicated_deduplication_window = 1000"  # Inserts back that a repeat is known.
_LOGS = {"clocks": (CLOCKS, "host, ts")}


def _columns(table: Table) -> list[tuple[str, str]]:
    keys = _KEYS[table.name]
    numbers = [(name, "Float64") for name in table.names if name not in keys]
    return [("ts", _MOMENT), *((name, "UInt32") for name in keys), *numbers]


def ddl(database: str) -> tuple[str, ...]:
    """Statements that create the tables, derived from BOOKS, POSITIONS and CLOCKS."""
    made = [
        (table.name, _columns(table), _ENGINE.format(keys=", ".join(_KEYS[table.name])))
        for table in (BOOKS, POSITIONS)
    ]
    made += [
        (name, list(shape), f"MergeTree ORDER BY ({order}) SETTINGS {_ONCE}")
        for name, (shape, order) in _LOGS.items()
    ]
    return tuple(
        f"CREATE TABLE IF NOT EXISTS {database}.{name} (\n  "
        + ",\n  ".join(f"`{column}` {kind} CODEC(ZSTD(1))" for column, kind in columns)
        + f"\n) ENGINE = {engine}"
        for name, columns, engine in made
    )


def tell(archive: Archive, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to `clocks`: dicts by column, `ts` in ns; KeyError if one lacks."""
    shape = _LOGS[table][0]
    lines = []
    for row in rows:
        line = {name: row[name] for name, _ in shape}
        ns = int(line["ts"])
        line["ts"] = f"{ns // SECOND_NS}.{ns % SECOND_NS:09d}"
        lines.append(json.dumps(line))
    if lines:
        names = [name for name, _ in shape]
        body = bytearray("\n".join(lines).encode())
        token = f"{table}-{hash_of(body)}"
        archive.send(table, names, body, token, "JSONEachRow")


def hash_of(body: bytes | bytearray) -> str:
    """Name of an insert: what it brings."""
    import hashlib

    return hashlib.sha256(body).hexdigest()


class Snapshot:
    """Rows of books and positions that wait to be inserted."""

    def __init__(self, archive: Archive, of: Collection[Table] = (BOOKS, POSITIONS)) -> None:
        """Nothing taken; `of` which of the two tables it is."""
        self.archive = archive
        self._second = self._minute = 0
        self._rows: dict[str, list[np.ndarray]] = {table.name: [] for table in of}
        self._flushed_at = 0.0

    def due(self, newest_ns: int) -> bool:
        """Whether a second of event time has passed since the last one taken."""
        return newest_ns // SECOND_NS > self._second

    def take(self, tables: Mapping[str, np.ndarray], newest_ns: int) -> None:
        """Keep the engine's tables as they are now, its totals being fresh."""
        second = newest_ns // SECOND_NS
        self._second = second
        if BOOKS.name in self._rows:
            held = tables[BOOKS.name]
            at = np.flatnonzero(held[:, BOOKS.index("positions")] > 0)
            self._keep(BOOKS, held[at], second * SECOND_NS, at[:, None].astype("<u4"))
        if POSITIONS.name in self._rows and second // 60 > self._minute:
            self._minute = second // 60
            held = tables[POSITIONS.name]
            held = held[held[:, POSITIONS.index("quantity")] != 0]
            held = held[np.isfinite(held[:, :3]).all(axis=1)]
            keys = held[:, [0, 1]].astype("<u4")
            self._keep(POSITIONS, held[:, 2:], self._minute * 60 * SECOND_NS, keys)

    def _keep(self, table: Table, numbers: np.ndarray, ts_ns: int, keys: np.ndarray) -> None:
        width = keys.shape[1]
        shape = np.dtype(
            [("ts", "<i8"), ("keys", "<u4", (width,)), ("v", "<f8", numbers.shape[1:])]
        )
        rows = np.empty(len(numbers), shape)
        rows["ts"], rows["keys"], rows["v"] = ts_ns, keys, numbers
        waiting = self._rows[table.name]
        if len(rows):
            waiting.append(rows)
        del waiting[:-WAITING_MAX]

    def step(self, now: float) -> bool:
        """Insert what waits, if it is time; ArchiveError leaves it for the next time."""
        if now < self._flushed_at + FLUSH_SECONDS:
            return False
        self.flush()
        self._flushed_at = now
        return True

    def flush(self) -> None:
        """Insert what waits."""
        for table in (BOOKS, POSITIONS):
            waiting = self._rows.get(table.name)
            if waiting:
                body = bytearray(b"".join(rows.tobytes() for rows in waiting))
                names = [name for name, _ in _columns(table)]
                token = f"{table.name}-{hash_of(body)}"
                self.archive.send(table.name, names, body, token, "RowBinary")
                self._rows[table.name] = []
