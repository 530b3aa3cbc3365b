"""Rule: a table or view of the record as a file, piece by piece, with what proves where it is from.

Pieces are spans of time of at most PIECE_ROWS rows (a busy second is one piece), so memory is
bounded whatever the table holds. The reference says which database and which chain heads and
signed root stood when the export began: in Parquet's metadata, or in `#` lines above a CSV.
"""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import csv, parquet

from compute.archive import Archive

PIECE_ROWS = 500_000  # 200 MB in flight at the widest row.
SECOND_NS = 1_000_000_000
FORMATS = ("parquet", "csv")
_TIMES = ("ts_event", "ts", "ts_alert", "ts_log")


class ExportError(RuntimeError):
    """There is no such table, column or format; the text says which there are."""


class Order(NamedTuple):
    """What is wanted; None is no bound. Bounds in ns, half open."""

    table: str
    form: str
    from_ns: int | None = None
    to_ns: int | None = None
    instrument: int | None = None


class Export:
    """One export: `rows` and `reference` at once, `write` does it."""

    def __init__(self, archive: Archive, order: Order, now_ns: int) -> None:
        """Look at the table; ExportError where the order makes no sense."""
        if order.form not in FORMATS:
            raise ExportError(f"there is no format {order.form!r}; there are {', '.join(FORMATS)}")
        self.archive, self.order = archive, order
        found = archive.rows(
            "SELECT name, type FROM system.columns WHERE database = {database:String} "
            "AND table = {table:String} ORDER BY position",
            {"database": archive.database, "table": order.table},
        )
        self.columns = {str(name): str(kind) for name, kind in found}
        if not found:
            tables = archive.rows(
                "SELECT name FROM system.tables WHERE database = {database:String} ORDER BY name",
                {"database": archive.database},
            )
            names = ", ".join(row[0] for row in tables)
            raise ExportError(f"there is no table {order.table!r}; there are {names}")
        self.time = next((name for name in _TIMES if name in self.columns), None)
        if self.time is None and (order.from_ns, order.to_ns) != (None, None):
            raise ExportError(f"{order.table} has no column of time: leave --from and --to out")
        if order.instrument is not None and "instrument" not in self.columns:
            raise ExportError(f"{order.table} has no column instrument: leave --instrument out")
        self._seconds = self._count()
        self.rows = sum(count for _, count in self._seconds)
        self.reference = self._reference(now_ns)

    def write(self, path: Path, tell: Callable[[int], None] = lambda _rows: None) -> int:
        """Write the file, whole or not at all; `tell` hears of each piece's rows. The rows."""
        draft = path.with_name(path.name + ".draft")
        count = 0
        meta = {name: str(value).encode() for name, value in self._metadata().items()}
        with draft.open("wb") as file:
            writer: Any = None
            for piece in self._pieces():
                if writer is None:
                    schema = piece.schema.with_metadata(meta)
                    writer = self._writer(file, schema)
                writer.write_table(piece.cast(writer.schema if self._parquet else piece.schema))
                count += len(piece)
                tell(len(piece))
            if writer is not None:
                writer.close()
        draft.replace(path)
        return count

    @property
    def _parquet(self) -> bool:
        return self.order.form == "parquet"

    def _writer(self, file: Any, schema: pa.Schema) -> Any:
        if self._parquet:
            writer = parquet.ParquetWriter(file, schema, compression="zstd", version="2.6")
            writer.schema = schema
            return writer
        for name, value in self._metadata().items():
            file.write(f"# {name}: {value}\n".encode())
        return csv.CSVWriter(file, schema.remove_metadata())

    def _metadata(self) -> dict[str, Any]:
        return {f"tickglass.{name}": value for name, value in self.reference.items()}

    def _where(self, *more: str) -> str:
        order, bounds = self.order, [*more]
        if order.from_ns is not None:
            bounds.append(f"{self.time} >= {_moment(order.from_ns)}")
        if order.to_ns is not None:
            bounds.append(f"{self.time} < {_moment(order.to_ns)}")
        if order.instrument is not None:
            bounds.append(f"instrument = {order.instrument}")
        return " AND ".join(bounds) or "1"

    def _count(self) -> list[tuple[int | None, int]]:
        table = f"{self.archive.database}.{self.order.table}"
        second = "0" if self.time is None else f"toUnixTimestamp(toDateTime({self.time}, 'UTC'))"
        found = self.archive.rows(
            f"SELECT {second} AS s, count() FROM {table} WHERE {self._where()} "
            "GROUP BY s ORDER BY s"
        )
        return [(None if self.time is None else int(s), int(count)) for s, count in found]

    def _pieces(self) -> Iterator[pa.Table]:
        """Every row once, in order of time; one empty piece where there is none."""
        ranges: list[list[int | None]] = []
        held = 0
        for second, count in self._seconds:
            if ranges and held + count <= PIECE_ROWS:
                ranges[-1][1] = second
                held += count
            else:
                ranges.append([second, second])
                held = count
        for first, last in ranges or [[None, None]]:
            yield self._piece(first, last, empty=not ranges)

    def _piece(self, first: int | None, last: int | None, *, empty: bool) -> pa.Table:
        within = []
        if first is not None and last is not None:
            within = [
                f"{self.time} >= {_moment(first * SECOND_NS)}",
                f"{self.time} < {_moment((last + 1) * SECOND_NS)}",
            ]
        names = ", ".join(self._said(name) for name in self.columns)
        order = [name for name in ("topic", "partition", "offset", "index") if name in self.columns]
        by = [name for name in (self.time, *order) if name]
        ordered = " ORDER BY " + ", ".join(f"`{name}`" for name in by) if by else ""
        body = self.archive.raw(
            f"SELECT {names} FROM {self.archive.database}.{self.order.table} "
            f"WHERE {self._where(*within)}{ordered}{' LIMIT 0' if empty else ''} "
            "SETTINGS output_format_arrow_string_as_string = 1",
            "Arrow",
        )
        return pa.ipc.open_file(io.BytesIO(body)).read_all()

    def _said(self, name: str) -> str:
        """A CSV holds no bytes and no tuples: hexadecimal, and ClickHouse's own text."""
        if not self._parquet and "FixedString" in self.columns[name]:
            return f"lower(hex(`{name}`)) AS `{name}`"
        if not self._parquet and "Tuple" in self.columns[name]:
            return f"toString(`{name}`) AS `{name}`"
        return f"`{name}`"

    def _reference(self, now_ns: int) -> dict[str, Any]:
        heads = [
            {"topic": t, "partition": p, "offset": one.last, "link": one.link.hex()}
            for (t, p), one in sorted(self.archive.last_blocks().items())
        ]
        return {
            "database": self.archive.database,
            "address": self.archive.address,
            "table": self.order.table,
            "rows": self.rows,
            "from_ns": self.order.from_ns,
            "to_ns": self.order.to_ns,
            "instrument": self.order.instrument,
            "exported_ns": now_ns,
            "price_unit": 1e-9,  # Of prices that are whole numbers.
            "chain_heads": json.dumps(heads),
            "signed_root": json.dumps(self._root()),
        }

    def _root(self) -> dict[str, Any] | None:
        """The newest signed root, where roots are kept."""
        there = self.archive.rows(
            "SELECT count() FROM system.tables WHERE database = {database:String} "
            "AND name = 'roots'",
            {"database": self.archive.database},
        )
        if not there[0][0]:
            return None
        found = self.archive.rows(
            f"SELECT number, note FROM {self.archive.database}.roots ORDER BY number DESC LIMIT 1"
        )
        return {"number": int(found[0][0]), "note": str(found[0][1])} if found else None


def _moment(ns: int) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({ns}))"
