"""Shape: the blocks a layout may name, and the JSON that tells the page to draw them.

A block says what is shown (table, columns, title) and how tall it is; it holds no data and draws
nothing. Heights are whole rows of 20 px so that no row is cut: `height` on a wide screen,
`narrow` below 1500 px; 0 takes what is left, `None` leaves the block out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.blocks.column import setting
from compute.table import BOOK_NAMES, BOOKS, CLASSES, INSTRUMENTS, TABLES, Table
from ingest.instrument import AssetClass

ROW_PX = 20
_NAMES = {
    "books": list(BOOK_NAMES),
    "classes": [item.label for item in AssetClass],
}


def table_named(name: str) -> Table:
    """The table called `name`; KeyError lists the tables there are."""
    for table in TABLES:
        if table.name == name:
            return table
    known = ", ".join(table.name for table in TABLES)
    raise KeyError(f"there is no table {name!r}; there are {known}")


@dataclass(frozen=True, slots=True)
class Block:
    """What every block has: a title, a line at the right of its head, and its heights."""

    title: str = ""
    note: str = ""
    height: int = 0
    narrow: int | None = 0

    kind = "block"

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """Tables and columns whose cells must reach the page."""
        return []

    def spec(self) -> dict[str, Any]:
        """The page's description of the block, without the numbers of its feeds."""
        return {
            "kind": self.kind,
            "title": self.title,
            "note": self.note,
            "height": self.height,
            "narrow": self.narrow,
        }


@dataclass(frozen=True, slots=True)
class Grid(Block):
    """All rows of a table, painted on a canvas: scroll, sort, filter, search, select."""

    title: str = "Blotter"
    table: str = "instruments"
    columns: Sequence[str] = ()

    kind = "grid"

    def __post_init__(self) -> None:
        """KeyError when a column is not in the table."""
        for name in self.columns:
            table_named(self.table).index(name)

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """The named columns; an instrument's row also needs its age and state to be drawn."""
        extra = ("ts_event", "state") if self.table == INSTRUMENTS.name else ()
        return [(self.table, (*self.columns, *extra))]

    def spec(self) -> dict[str, Any]:
        """Columns as the painter knows them."""
        table = table_named(self.table)
        columns = [setting(table, name) for name in self.columns]
        return Block.spec(self) | {"table": self.table, "columns": columns}


@dataclass(frozen=True, slots=True)
class Bars(Block):
    """A short table with a name, one bar and some figures a row, and a pinned total."""

    table: str = "books"
    head: str = ""
    bar: str = ""
    columns: Sequence[str] = ()
    total: bool = True

    kind = "bars"

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """What the bar stands for, and the figures."""
        return [(self.table, (*self.bar_columns, *self.columns))]

    @property
    def bar_columns(self) -> tuple[str, ...]:
        """`exposure` draws short and long from one zero line, with net as a tick."""
        return ("long", "short", "net") if self.bar == "exposure" else (self.bar,)

    def spec(self) -> dict[str, Any]:
        """Names of the rows travel with the block: they are few and do not change."""
        table = table_named(self.table)
        columns = [setting(table, name) for name in self.columns]
        return Block.spec(self) | {
            "table": self.table,
            "head": self.head,
            "bar": self.bar,
            "columns": columns,
            "total": self.total,
            "names": _NAMES[self.table],
        }


def bars_height(rows: int) -> int:
    """Panel head, column head, `rows`, total; the total's edge lies on the last hairline."""
    return (rows + 3) * ROW_PX - 1


@dataclass(frozen=True, slots=True)
class Books(Bars):
    """P&L of each book with a bar from a common zero."""

    title: str = "P&L by book"
    note: str = "USD k"
    height: int = bars_height(len(BOOK_NAMES))
    narrow: int | None = bars_height(len(BOOK_NAMES))
    table: str = BOOKS.name
    head: str = "Book"
    bar: str = "pnl"
    columns: Sequence[str] = ("pnl", "positions")


@dataclass(frozen=True, slots=True)
class Exposure(Bars):
    """Long and short of each asset class, net as a tick, and gross."""

    title: str = "Exposure by class"
    note: str = "USD M"
    height: int = bars_height(len(AssetClass))
    narrow: int | None = bars_height(len(AssetClass))
    table: str = CLASSES.name
    head: str = "Class"
    bar: str = "exposure"
    columns: Sequence[str] = ("net", "gross")


@dataclass(frozen=True, slots=True)
class Strip(Block):
    """The line of headline figures: totals of the class table at the left, health at the right."""

    figures: Sequence[str] = ("pnl", "gross", "net")

    kind = "strip"

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """Totals are sums over the classes."""
        return [(CLASSES.name, self.figures)]

    def spec(self) -> dict[str, Any]:
        """Figure names; the page knows their heads from the table."""
        return Block.spec(self) | {"figures": list(self.figures)}


@dataclass(frozen=True, slots=True)
class Chart(Block):
    """Price of the selected instrument: last, VWAP and volume, axis at the right."""

    kind = "chart"


@dataclass(frozen=True, slots=True)
class Feed(Block):
    """Rates, lag, gaps, repeats, refusals and the record, with notes of what is wrong."""

    title: str = "Feed and record"
    height: int = 300
    narrow: int | None = 220

    kind = "feed"


@dataclass(frozen=True, slots=True)
class Glass(Block):
    """Event to paint, measured in this browser over the last seconds."""

    title: str = "Glass"
    note: str = "event made to cell painted, ms, last 5 s"
    height: int = 161
    narrow: int | None = 150

    kind = "glass"


@dataclass(frozen=True, slots=True)
class Curve(Block):
    """Sum of P&L over the time this page has been open."""

    title: str = "P&L"
    note: str = "USD M, since this page was opened"
    height: int = 161
    narrow: int | None = 150

    kind = "curve"

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """P&L of the classes."""
        return [(CLASSES.name, ("pnl",))]


@dataclass(frozen=True, slots=True)
class Treemap(Block):
    """Area is gross exposure of a class, tint is its P&L over gross."""

    title: str = "Exposure map"
    note: str = "area gross · tint P&L / gross"
    height: int = 161
    narrow: int | None = 150

    kind = "map"

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """Gross, net and P&L of the classes."""
        return [(CLASSES.name, ("gross", "pnl"))]

    def spec(self) -> dict[str, Any]:
        """Names and codes of the classes."""
        return Block.spec(self) | {
            "names": _NAMES["classes"],
            "codes": [item.code for item in AssetClass],
        }


@dataclass(slots=True)
class Feeds:
    """The numbered feeds of a desk: blocks on one table share one feed with all their columns."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def add(self, block: Block) -> None:
        """Take in what `block` needs."""
        for table, columns in block.needs():
            held = self.tables.setdefault(table, [])
            held.extend(name for name in columns if name not in held)
        wanted = {"chart": "series"}.get(block.kind)
        if wanted and wanted not in self.others:
            self.others.append(wanted)

    def spec(self) -> list[dict[str, Any]]:
        """As the session layer reads it: position in the list is the number on the wire."""
        grids = [
            {"kind": "grid", "table": table, "columns": columns}
            for table, columns in self.tables.items()
        ]
        return grids + [{"kind": kind} for kind in (*self.others, "status")]
