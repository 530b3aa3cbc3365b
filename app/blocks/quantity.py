"""Shape: a column with its unit, as a layout speaks of it; and a quant's own, in one line.

`column("bid")` is a column of the tables; sums, products and quotients of such are checked at
once: adding a price to a size is an error in the layout's own line. With a function or such an
expression behind its name it is a new column, which the process `risk` computes
(compute/quant_part.py). Nothing is computed here: a layout is read for its columns, and its
functions are never called in a web process.
"""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, Never

from app.quant import COLUMNS
from compute.quant import ROWS, Definition, QuantError, columns_of
from compute.quant_read import Reading, nearest, read
from compute.unit import Unit, parse


class Quantity(str):  # noqa: SLOT000 (it has a unit)
    """A column's name, or an expression of columns, with its unit; usable where a name is."""

    unit: Unit | None = None
    rows: frozenset[str] = frozenset()

    def __add__(self, other: Any) -> "Quantity":
        """A sum; QuantError where the units differ."""
        return self._sum(other, "+")

    def __sub__(self, other: Any) -> "Quantity":
        """A difference; QuantError where the units differ."""
        return self._sum(other, "-")

    def __mul__(self, other: Any) -> "Quantity":
        """A product."""
        return self._product(other, "*")

    def __truediv__(self, other: Any) -> "Quantity":
        """A quotient."""
        return self._product(other, "/")

    def __radd__(self, other: Any) -> "Quantity":
        """A sum with a number."""
        return self._sum(other, "+")

    def __rmul__(self, other: Any) -> "Quantity":
        """A product with a number."""
        return self._product(other, "*")

    def __neg__(self) -> "Quantity":
        """The same below 0."""
        return _quantity(f"-({self})", self.unit, self.rows)

    def __abs__(self) -> "Quantity":
        """Its size."""
        return _quantity(f"abs({self})", self.unit, self.rows)

    def _sum(self, other: Any, sign: str) -> "Quantity":
        rows = self._rows(other, sign)
        if isinstance(other, Quantity) and self.unit != other.unit:
            _refuse(
                f"{self} {sign} {other}: {self} is in {self.unit or 'no quantity'}, {other} in "
                f"{other.unit or 'no quantity'}. A sum is of one unit: multiply or divide first, "
                "or take a column of the same unit"
            )
        return _quantity(f"({self} {sign} {other})", self.unit, rows)

    def _product(self, other: Any, sign: str) -> "Quantity":
        rows, unit = self._rows(other, sign), self.unit
        if isinstance(other, Quantity):
            if unit is None or other.unit is None:
                _refuse(f"{self} {sign} {other}: {self if unit is None else other} is no quantity")
            unit = unit * other.unit if sign == "*" else unit / other.unit
        return _quantity(f"{self} {sign} {other}", unit, rows)

    def _rows(self, other: Any, sign: str) -> frozenset[str]:
        if not isinstance(other, Quantity):
            if isinstance(other, bool) or not isinstance(other, int | float):
                _refuse(f'{self} {sign} {other!r}: write column("{other}") for a column')
            return self.rows
        if not self.rows & other.rows:
            _refuse(
                f"{self} ({self.unit}) is of {' and '.join(sorted(self.rows))}, {other} "
                f"({other.unit}) of {' and '.join(sorted(other.rows))}: they share no row. Take "
                "columns of one table"
            )
        return self.rows & other.rows


def column(name: Any = None, of: Any = None, **options: str) -> Any:
    """A column by its name; with a function of columns, or an expression, a new one.

    options: `unit` of the result (found by itself where it is left out), `head`, `format`,
    `aggregate` ("sum" for USD alone), `table` ("instruments" or "positions"). QuantError says
    which line is wrong, and what to write instead.
    """
    file = _file()
    if isinstance(name, str) and of is None and not options:
        return _known(name)
    if isinstance(name, str):
        return _defined(file, name)
    if callable(name):
        return _defined(file, name.__name__)
    return lambda function: _defined(file, function.__name__)


def _known(name: str) -> Quantity:
    for rows in ROWS:
        found = columns_of(rows).get(name)
        if found:
            shared = frozenset(one for one in ROWS if name in columns_of(one))
            return _quantity(name, parse(found.unit), shared)
    every = sorted({one for rows in ROWS for one in columns_of(rows)})
    raise QuantError(f"there is no column {name!r}.{nearest(name, every)}", 0, name)


def _defined(file: str, name: str) -> Quantity:
    """The column of that name that the file's own text defines."""
    path = Path(file)
    if not path.is_file():
        raise QuantError(
            f"{name}: a column's function is read from a file of the folder layouts, and this is "
            "none. Put it there; here, name it as any other column.",
            0,
            name,
        )
    reading = _read(file, path.stat().st_mtime_ns)
    for definition in reading.definitions:
        if definition.name == name:
            return declared(definition)
    for _, error in reading.refused:
        if error.name == name:
            raise error
    raise QuantError(f"{name} is not written as a column of a file is: see docs/guide.md", 0, name)


def declared(definition: Definition) -> Quantity:
    """Make a definition's column known in this process."""
    COLUMNS.define(definition)
    rows = frozenset({definition.rows})
    return _quantity(definition.name, parse(definition.column.unit), rows)


@lru_cache(maxsize=256)
def _read(file: str, _stamp: int) -> Reading:
    return read(Path(file))


def _quantity(text: str, unit: Unit | None, rows: frozenset[str]) -> Quantity:
    made = Quantity(text)
    made.unit, made.rows = unit, rows
    return made


def _file() -> str:
    """The file of who called `column`."""
    frame = sys._getframe(2)  # noqa: SLF001
    return frame.f_code.co_filename


def _refuse(text: str) -> Never:
    raise QuantError(f"{text}.")
