"""Rule: how a column of `compute.table` is set in a grid; what it means stays in the table.

What enters is a table and the column names that a layout wrote; what leaves is plain JSON for the
page. The painter knows only what is said here: width, place on the decimal point, and the order in
which columns go when the panel is narrow (`drop` 0 never goes, the highest goes first).
"""

from dataclasses import dataclass
from typing import Any

from compute.table import Column, Table


@dataclass(frozen=True, slots=True)
class Setting:
    """Widths in px at the one type size. `flash`: a change of the value is worth a look."""

    width: int
    drop: int = 0
    flash: bool = False
    quiet: bool = False  # Secondary: drawn in text2.
    signed: bool = False


_BY_FORMAT = {
    "price": Setting(82, drop=1, quiet=True),
    "quantity": Setting(72, drop=2),
    "percent": Setting(60, drop=1, quiet=True),
    "basis_points": Setting(74, signed=True),
    "money_k": Setting(68, signed=True),
    "money_m": Setting(66, signed=True),
    "count": Setting(56, drop=2, quiet=True),
    "moment": Setting(54),
    "flags": Setting(0),
}
_BY_NAME = {
    "bid": Setting(82, flash=True),
    "ask": Setting(82, flash=True),
    "last": Setting(82, flash=True),
    "bid_size": Setting(54, drop=3, quiet=True),
    "ask_size": Setting(54, drop=3, quiet=True),
    "change": Setting(66, signed=True),
    "position": Setting(78),
    "pnl": Setting(68, flash=True, signed=True),
    "exposure": Setting(66, flash=True, signed=True),
    "net": Setting(56, signed=True),
    "gross": Setting(58, drop=1),
    "positions": Setting(44, drop=2, quiet=True),
    "volume": Setting(76, drop=2, quiet=True),
}


def setting(table: Table, name: str) -> dict[str, Any]:
    """The page's description of one column; KeyError names what the table has."""
    column: Column = table.columns[table.index(name)]
    chosen = _BY_NAME.get(name) or _BY_FORMAT[column.format]
    return {
        "name": name,
        "head": column.head,
        "format": column.format,
        "width": chosen.width,
        "drop": chosen.drop,
        "flash": chosen.flash,
        "quiet": chosen.quiet,
        "signed": chosen.signed,
    }
