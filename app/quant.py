"""Rule: quant columns in a web process, by name: where a column stands here, and where it is told.

A worker tells numbers by place, and which place is which column with the names, for one epoch
(compute/quant_part.py). Here every column has a place of its own for as long as the process lives,
whatever place the worker gives it: a view that was made before the worker knew the column, or
after it gave the place to another one, shows the right one or nothing.
"""

import json
from typing import Any, NamedTuple

import numpy as np

from compute.quant import COLUMNS_MAX, QUANT_OF, Definition
from compute.table import Column

TABLES = tuple(table.name for table in QUANT_OF.values())
_KEYS = ("name", "head", "format", "unit", "aggregate", "source")


class Columns:
    """The quant columns that this process knows, of both kinds of rows."""

    def __init__(self) -> None:
        """None is known yet."""
        self._known: dict[str, dict[str, Column]] = {table: {} for table in TABLES}

    def declare(self, table: str, column: Column) -> int:
        """The column's place in `table` ("quant", ...) here; KeyError where there is no room."""
        known = self._known[table]
        if column.name not in known and len(known) >= COLUMNS_MAX:
            raise KeyError(
                f"this web server has shown {COLUMNS_MAX} quant columns and has no room for "
                f"{column.name!r}: ./tickglass restart web"
            )
        known[column.name] = column
        return [*known].index(column.name)

    def define(self, definition: Definition) -> None:
        """The same, of what a layout says."""
        self.declare(QUANT_OF[definition.rows].name, definition.column)

    def find(self, table: str, name: str) -> tuple[int, Column] | None:
        """Place and description of a column by its name; None where it is not known."""
        known = self._known.get(table, {})
        return ([*known].index(name), known[name]) if name in known else None

    def at(self, table: str, place: int) -> Column:
        """The column at a place."""
        return [*self._known[table].values()][place]


COLUMNS = Columns()  # Of this process: layouts, mirrors and views speak of the same.


class Told(NamedTuple):
    """What a worker's places mean here: by table, our place of each of its own, or -1."""

    epoch: int = -1
    places: dict[str, np.ndarray] = {}  # noqa: RUF012 (never written)


def told(names: bytes, columns: Columns = COLUMNS) -> Told:
    """Read the names that `risk` told; what is not as it should be is as good as not told."""
    try:
        said: Any = json.loads(names or b"{}")
        epoch = int(said.get("quant_epoch", -1))
        places = {table: np.full(COLUMNS_MAX, -1) for table in TABLES}
        for one in said.get("quant", {}).get("columns", ()):
            table = QUANT_OF[one["rows"]].name
            column = Column(*(str(one[key]) for key in _KEYS))
            places[table][int(one["place"])] = columns.declare(table, column)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return Told()
    return Told(epoch, places)


def is_quant(table: str) -> bool:
    """Whether a table holds quant columns."""
    return table in TABLES


def translated(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A worker's table [rows, columns] with each column at our place; the others blank."""
    out = np.full_like(array, np.nan)
    mine = np.flatnonzero(places >= 0)
    out[:, places[mine]] = array[:, mine]
    return out
