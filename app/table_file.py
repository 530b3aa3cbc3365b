"""Rule: a table that a page shows, as a file: CSV or Parquet, with its units and its moment.

Enters: JSON of columns (name, unit, kind), rows and facts. A CSV has the facts in `#` lines above
the heads and the units in the line below them; Parquet has them in its metadata and its fields'.
Numbers are float64 as the page has them, moments are UTC. TableError says what makes no sense.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from tornado.web import RequestHandler

from compute.table import TABLES

FORMS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
ROWS_MAX, COLUMNS_MAX, TEXT_MAX = 200_000, 200, 200


class TableError(ValueError):
    """Not a table; the text says where."""


def table_file(body: bytes) -> tuple[bytes, str]:
    """The file that a page's request describes, and its type."""
    try:
        asked = json.loads(body)
        form, facts = asked["form"], asked["facts"]
        columns, rows = asked["columns"], asked["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(f"a table has form, facts, columns and rows: {error}") from None
    if not isinstance(form, str) or form not in FORMS:
        raise TableError(f"there is no form {form!r:.20}; there are {', '.join(FORMS)}")
    if not isinstance(facts, dict) or not isinstance(columns, list) or not isinstance(rows, list):
        raise TableError("facts are an object, columns and rows are lists")
    if not 0 < len(columns) <= COLUMNS_MAX or len(rows) > ROWS_MAX:
        raise TableError(f"a table has 1 to {COLUMNS_MAX} columns and at most {ROWS_MAX:,} rows")
    made = _table(columns, rows).replace_schema_metadata(
        {f"tickglass.{_text(name)}": _text(value) for name, value in facts.items()}
    )
    return (_csv(made) if form == "csv" else _parquet(made)), FORMS[form]


def _table(columns: Sequence[Any], rows: Sequence[Any]) -> pa.Table:
    arrays, fields, names = [], [], set()
    for k, column in enumerate(columns):
        if not isinstance(column, Mapping) or str(column.get("kind")) not in _KINDS:
            raise TableError(f"column {k} is of kind {', '.join(_KINDS)}")
        name = base = _text(column.get("name")) or f"column {k + 1}"
        again = 2
        while name in names:
            name, again = f"{base} {again}", again + 1
        names.add(name)
        kind, take = _KINDS[str(column["kind"])]
        try:
            cells = [None if row[k] is None else take(row[k]) for row in rows]
        except (TypeError, ValueError, IndexError, KeyError, OverflowError, OSError) as error:
            raise TableError(f"column {name}: {error}") from None
        arrays.append(pa.array(cells, kind))
        unit = _text(column.get("unit")) or _UNITS.get((_text(column.get("table")), name), "")
        fields.append(pa.field(name, kind, metadata={"unit": unit} if unit else None))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.20} is no number")
    return float(value)


def _moment(value: Any) -> datetime:
    return datetime.fromtimestamp(_number(value) / 1e3, UTC)


def _text(value: Any) -> str:
    text = str(value if value is not None else "")[:TEXT_MAX]
    return text.encode(errors="replace").decode()  # JSON may name halves of letters.


_KINDS: dict[str, tuple[pa.DataType, Callable[[Any], Any]]] = {
    "number": (pa.float64(), _number),
    "text": (pa.string(), _text),
    "moment": (pa.timestamp("ms", "UTC"), _moment),
}


# By table and column; a column of any table under "*", where the first that has it says.
_UNITS = {("*", one.name): one.unit for table in reversed(TABLES) for one in table.columns} | {
    (table.name, one.name): one.unit for table in TABLES for one in table.columns
}


def _csv(table: pa.Table) -> bytes:
    out = io.StringIO()
    for name, value in (table.schema.metadata or {}).items():
        out.write(f"# {name.decode()}: {' '.join(value.decode().split())}\n")
    write = csv.writer(out, lineterminator="\n").writerow
    write(table.column_names)
    write([(field.metadata or {}).get(b"unit", b"").decode() for field in table.schema])
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        write([_written(value) for value in row])
    return out.getvalue().encode()


def _written(value: Any) -> Any:
    """A number as briefly as it can be read back; a text that no sheet takes for a formula."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, str) and value[:1] in ("=", "@", "+", "\t", "\r"):
        return "'" + value
    return "" if value is None else value


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    parquet.write_table(table, out, compression="zstd", version="2.6")
    return out.getvalue()


class TableHandler(RequestHandler):
    """/table: what a page shows, sent back as a file."""

    def initialize(self, tell: Callable[[Any, str, str], None] = lambda *_: None) -> None:
        """`tell` puts on record who wrote what: the request, the file's facts, its form."""
        self.tell = tell

    def post(self) -> None:
        """The file, or 400 with what is wrong."""
        try:
            body, kind = table_file(self.request.body)
        except TableError as error:
            self.set_status(400)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(f"{error}\n")
            return
        asked = json.loads(self.request.body)
        facts = ", ".join(
            f"{_text(name)}: {_text(value)}" for name, value in asked["facts"].items()
        )
        self.tell(self.request, facts, f"{len(asked['rows'])} rows, {asked['form']}")
        self.set_header("Content-Type", kind)
        self.set_header("Cache-Control", "no-store")
        self.finish(body)
