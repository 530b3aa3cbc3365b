"""Shape: the blocks of a portfolio manager: the tree of books, and what the day's P&L came of.

A book has one strategy (ingest/fund.py), so the tree is fund, strategy, book, line. Groups are
chosen here and followed by all blocks that explain one; a line chosen here is followed as if it
had been chosen in the grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.blocks.block import Block, grid_feed, table_named
from app.blocks.column import setting
from compute.group import BOOK, SCOPES, STRATEGY
from compute.table import ATTRIBUTION, EXPOSURES, POSITIONS

LINES_MAX = 400  # Of one book; more than a page can show.
_PARTS = tuple(name for name in ATTRIBUTION.names if name not in ("scope", "key"))


@dataclass(frozen=True, slots=True)
class BookTree(Block):
    """Fund, strategies, books and the lines of the open one, each with its live sums.

    Only the lines of the book that is open travel. `columns`: of EXPOSURES, each with the column
    of POSITIONS that a line shows in its place.
    """

    title: str = "Book tree"
    note: str = "P&L USD k, net USD M"
    columns: Sequence[tuple[str, str]] = (
        *(("day_pnl", "day_pnl"), ("net", "value"), ("pnl", "pnl")),
    )

    kind = "tree"

    def own(self) -> dict[str, dict[str, Any]]:
        """One feed a level; that of the lines asks for none until a book is opened."""
        sums = ("scope", "key", *(name for name, _ in self.columns))
        lines = ("book", "instrument", "quantity", *(name for _, name in self.columns))
        return {
            "fund": grid_feed(EXPOSURES.name, sums, 0, 1, {"scope": 0}),
            "strategies": grid_feed(EXPOSURES.name, sums, 0, 64, {"scope": STRATEGY}),
            "books": grid_feed(EXPOSURES.name, sums, 0, 64, {"scope": BOOK}),
            "lines": grid_feed(POSITIONS.name, lines, 0, 0),
        }

    def spec(self) -> dict[str, Any]:
        """Columns of a group, each with the name of a line's."""
        columns = [
            setting(table_named(EXPOSURES.name), name) | {"line": line}
            for name, line in self.columns
        ]
        return Block.spec(self) | {"columns": columns, "head": "Book", "lines_max": LINES_MAX}


@dataclass(frozen=True, slots=True)
class Attribution(Block):
    """What the day's P&L came of, by class, strategy, book or trader; the fund as pinned foot."""

    title: str = "Day P&L by source"
    note: str = "USD k"
    columns: Sequence[str] = _PARTS
    tabs: Sequence[str] = ("class", "strategy", "book", "trader")

    kind = "attribution"

    def own(self) -> dict[str, dict[str, Any]]:
        """Groups of the chosen scope, and the fund's row."""
        columns = ("scope", "key", *self.columns)
        return {
            "main": grid_feed(ATTRIBUTION.name, columns, 0, 128),
            "fund": grid_feed(ATTRIBUTION.name, columns, 0, 1, {"scope": 0}),
        }

    def spec(self) -> dict[str, Any]:
        """Columns, and scopes by tab."""
        table = table_named(ATTRIBUTION.name)
        return Block.spec(self) | {
            "columns": [setting(table, name) for name in self.columns],
            "tabs": [[name.capitalize(), SCOPES.index(name)] for name in self.tabs],
            "head": "Group",
        }


@dataclass(frozen=True, slots=True)
class Waterfall(Block):
    """From nought to the day's P&L of the chosen group, one step a source, the residual shown."""

    title: str = "Day P&L"
    note: str = "USD k, what it came of"

    kind = "waterfall"

    def own(self) -> dict[str, dict[str, Any]]:
        """The row of the group that is chosen."""
        return {"main": grid_feed(ATTRIBUTION.name, ATTRIBUTION.names, 0, 1, {"scope": 0})}

    def spec(self) -> dict[str, Any]:
        """Names of the steps in their order; the two sums among them."""
        table = table_named(ATTRIBUTION.name)
        steps = [[name, setting(table, name)["head"].removesuffix(" k")] for name in _PARTS]
        return Block.spec(self) | {"steps": steps, "sums": ["day_pnl", "total"]}
