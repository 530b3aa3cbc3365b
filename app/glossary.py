"""Rule: the tables of compute/table.py -> the glossary that people read, docs/glossary.md."""

from app.quant import is_quant
from compute.table import LIVE_TABLES, TABLES, Column, Table

_ROWS = {
    "instruments": "One row an instrument.",
    "analytics": "Models' numbers, beside each instrument.",
    "positions": "One row a position: an instrument in a book.",
    "risk": "Risk numbers, beside each position.",
    "books": "One row a book.",
    "classes": "One row an asset class.",
    "exposures": "One row a group of the fund.",
    "attribution": "One row a group: where the day's P&L comes from.",
    "explained": "The same beside each position.",
    "value_at_risk": "The fund, its books, strategies and traders.",
    "scenarios": "One row a cell of the grid of scenarios.",
    "limits": "One row a limit.",
    "execution": "Books, traders, venues and the newest orders.",
}
_HEAD = """# Glossary

Every column that a layout may name, as compute/table.py has it. `./tickglass glossary` writes this
file. *Total* says what a group or a total may do with a column: `sum`, `last` (the newest), or
nothing. A head that ends in k or M is shown in thousands or millions of its unit.
"""


def text() -> str:
    """The whole file."""
    return "\n".join([_HEAD, *(_table(table) for table in TABLES if not is_quant(table.name))])


def _table(table: Table) -> str:
    worker = "live" if table in LIVE_TABLES else "risk"
    lines = [
        f"## {table.name}",
        "",
        f"{_ROWS.get(table.name, '')} Told by `{worker}`.".strip(),
        "",
        "| column | head | unit | total | formula |",
        "|---|---|---|---|---|",
        *(_line(column) for column in table.columns),
        "",
    ]
    return "\n".join(lines)


def _line(column: Column) -> str:
    total = "" if column.aggregate == "none" else column.aggregate
    cells = (f"`{column.name}`", column.head, column.unit, total, column.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
