"""Shape: a column of a quant's own, as a file of the layouts says it.

A quant column is a function of columns that stand in the same row, written in a layout:
`column("spread_bps", lambda bid, ask, mid: (ask - bid) / mid * 1e4, unit="bp")`, the same with an
expression of columns in place of the lambda, or a plain function under `@column(unit="bp")`. A
file is read, never run: compute/quant_read.py finds the columns in its syntax, and
compute/quant_rule.py says which of them may be. What leaves is a `Definition`, whose text holds
arithmetic, branches and mathematical functions alone. Web processes and workers read the same
files, so nothing but numbers travels between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from compute.table import ANALYTICS, INSTRUMENTS, POSITIONS, QUANT, QUANT_POSITIONS, RISK, Column
from compute.unit import Unit, parse

COLUMNS_MAX = QUANT.width  # Of each kind of rows.
# By the table of a grid: those whose columns stand in the same row, and where quant columns go.
ROWS = {INSTRUMENTS.name: (INSTRUMENTS, ANALYTICS), POSITIONS.name: (POSITIONS, RISK)}
QUANT_OF = {INSTRUMENTS.name: QUANT, POSITIONS.name: QUANT_POSITIONS}
FORMATS = ("price", "quantity", "percent", "basis_points", "money_k", "money_m", "count", "number")
AGGREGATES = ("none", "sum")
_BY_UNIT = {"price": "price", "units": "quantity", "USD": "money_k", "%": "percent"}
_BY_UNIT |= {"bp": "basis_points", "% a year": "percent"}


class QuantError(ValueError):
    """A column that cannot be: what is wrong, in which line, and what to write instead."""

    def __init__(self, text: str, line: int = 0, name: str = "") -> None:
        """`line` 0: not known; `name`: of the column."""
        super().__init__(text)
        self.line, self.name = line, name


@dataclass(frozen=True, slots=True)
class Definition:
    """One quant column. `text` is the source of `def NAME(ARGUMENTS)` and means nothing else."""

    name: str
    arguments: tuple[str, ...]
    text: str
    formula: str  # As people read it.
    rows: str  # "instruments" or "positions": what a row is.
    unit: str = ""
    head: str = ""
    format: str = ""
    aggregate: str = "none"
    file: str = ""
    line: int = 0

    @property
    def column(self) -> Column:
        """As a column of a table is described."""
        shown = self.format or _BY_UNIT.get(self.unit, "number")
        return Column(
            *(self.name, self.head or self.name.replace("_", " "), shown),
            *(self.unit or "1", self.aggregate, self.formula),
        )

    @property
    def same(self) -> tuple[object, ...]:
        """What two definitions of the same column share, wherever they stand."""
        return (self.name, self.arguments, self.text, self.rows, self.unit, self.aggregate)


def columns_of(rows: str) -> dict[str, Column]:
    """The columns that a function of such a row may take, by name."""
    found: dict[str, Column] = {}
    for table in reversed(ROWS[rows]):
        found |= {column.name: column for column in table.columns}
    return found


def known() -> frozenset[str]:
    """The names that are taken: of columns that every row of their table has."""
    return frozenset(name for rows in ROWS for name in columns_of(rows))


def units_of(rows: str) -> Mapping[str, Unit | None]:
    """The unit of each column of such a row; None where it holds no quantity."""
    return {name: parse(column.unit) for name, column in columns_of(rows).items()}
