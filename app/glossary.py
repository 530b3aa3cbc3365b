"""Rule: what a layout may name -> the glossary that people read, docs/glossary.md.

Columns are those of compute/table.py, blocks those of app/blocks; where one stands is read of the
shipped layouts.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

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

Every column and [every block](#blocks) that a layout may name. `./tickglass glossary` writes this
file of the tables and blocks themselves. *Total* says what a group or a total may do with a
column: `sum`, `last` (the newest), or nothing. A head that ends in k or M is shown in thousands or
millions of its unit.
"""


_BLOCKS = """## Blocks

What may stand on a desk, with what may be said of it beside `title`, `note`, `height` and `narrow`.
*See* is a shipped desk where it stands, or the guide.

| block | what it shows | options | see |
|---|---|---|---|"""
_OF_ALL = {"title", "note", "height", "narrow"}
_GUIDE = "[guide](guide.md)"


def text() -> str:
    """The whole file."""
    tables = [_table(table) for table in TABLES if not is_quant(table.name)]
    return "\n".join([_HEAD, *tables, _BLOCKS, *_blocks(), ""])


def _blocks() -> list[str]:
    """A line a block, by name."""
    from app import blocks
    from app.blocks.block import Block, Strip
    from app.blocks.desk import describe

    seen: dict[str, str] = {}
    for layout in sorted((Path(__file__).parents[1] / "layouts").glob("*.py")):
        for block in describe(layout).blocks:
            seen.setdefault(type(block).__name__, layout.stem)
    made = {name: getattr(blocks, name) for name in blocks.__all__}
    kinds = {k: v for k, v in made.items() if isinstance(v, type) and issubclass(v, Block)}
    return [
        _block(name, kind, seen.get(name))
        for name, kind in sorted(kinds.items())
        if kind not in (Block, Strip)
    ]


def _block(name: str, kind: type[Any], desk: str | None) -> str:
    options = ", ".join(f"`{one.name}`" for one in fields(kind) if one.name not in _OF_ALL)
    said = (kind.__doc__ or "").partition("\n")[0]
    where = f"[{desk}](../layouts/{desk}.py)" if desk else _GUIDE
    return f"| `{name}` | {said} | {options} | {where} |"


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
