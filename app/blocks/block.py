"""Shape: the blocks a layout may name, and the JSON that tells the page to draw them.

A block says what is shown (table, columns, title) and how tall it is; it holds no data and draws
nothing. Heights are whole rows of 20 px so that no row is cut: `height` on a wide screen,
`narrow` below 1500 px; 0 takes what is left, `None` leaves the block out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.blocks.column import MissingError, details, has_column, names_of, setting
from compute.table import (
    BOOK_NAMES,
    BOOKS,
    CLASSES,
    EXPOSURES,
    TABLES,
    VALUE_AT_RISK,
    Table,
)
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
    told = ""  # A kind of feed that is no table and that blocks share.

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """Tables and columns whose cells must reach the page."""
        return []

    def own(self) -> dict[str, dict[str, Any]]:
        """Feeds that no other block shares, by role; see `grid_feed`."""
        return {}

    def spec(self) -> dict[str, Any]:
        """The page's description of the block, without the numbers of its feeds."""
        return {
            "kind": self.kind,
            "title": self.title,
            "note": self.note,
            "height": self.height,
            "narrow": self.narrow,
        }


def grid_feed(
    table: str,
    columns: Sequence[str],
    first: int = 0,
    count: int | None = None,
    match: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """A feed of a table. The page asks for `count` rows from `first`; None: it knows by itself.

    `match`: columns that a row must have at a number to be there, such as {"scope": 3}.

    KeyError when a column is neither in the table nor in the one beside it.
    """
    missing = [name for name in columns if not has_column(table_named(table), name)]
    if missing:
        raise MissingError(table, missing, names_of(table_named(table)))
    feed: dict[str, Any] = {"kind": "grid", "table": table, "columns": list(dict.fromkeys(columns))}
    if match:
        feed["match"] = dict(match)
    return feed if count is None else feed | {"window": [first, count]}


@dataclass(frozen=True, slots=True)
class Grid(Block):
    """All rows of a table, painted on a canvas: scroll, sort, filter, search, select.

    `sets`: more lists of columns by name, of which a trader chooses one; only the chosen one's
    cells travel. The first of them is `columns` if that is not given.
    """

    title: str = "Blotter"
    table: str = "instruments"
    columns: Sequence[str] = ()
    sets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Classes that a set has something to say of: chosen with it, unless a filter was chosen.
    focus: Mapping[str, Sequence[AssetClass]] = field(default_factory=dict)
    classes: Sequence[AssetClass] = ()  # Of which the desk is; none: all.

    kind = "grid"

    def __post_init__(self) -> None:
        """KeyError when a column is not in the table."""
        for columns in self._sets.values():
            grid_feed(self.table, columns)

    @property
    def _sets(self) -> dict[str, Sequence[str]]:
        return dict(self.sets) or {"": self.columns}

    @property
    def _always(self) -> tuple[str, ...]:
        """What a row needs to be drawn, whatever its columns are."""
        rows = {"instruments": ("ts_event", "state"), "positions": ("instrument", "stale")}
        return rows.get(self.table, ())

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """The first set; a position's foot shows the sums of its book."""
        first = next(iter(self._sets.values()))
        found: list[tuple[str, Sequence[str]]] = [(self.table, (*first, *self._always))]
        if self.table == "positions":
            sums = [name for columns in self._sets.values() for name in columns]
            found.append((BOOKS.name, [name for name in sums if name in BOOKS.names]))
        return found

    def own(self) -> dict[str, dict[str, Any]]:
        """The other sets, asked for when chosen, and what a hover card shows beside a value."""
        others = list(self._sets.values())[1:]
        feeds = {
            f"set{number}": grid_feed(self.table, (*columns, *self._always), 0, 0)
            for number, columns in enumerate(others, 1)
        }
        columns = [setting(table_named(self.table), name, self.classes) for name in self._all()]
        names = [column["name"] for column in details(table_named(self.table), columns)]
        return feeds | ({"detail": grid_feed(self.table, names, 0, 0)} if names else {})

    def _all(self) -> list[str]:
        return list(dict.fromkeys(name for names in self._sets.values() for name in names))

    def spec(self) -> dict[str, Any]:
        """Columns as the painter knows them."""
        table = table_named(self.table)
        sets = [
            {
                "name": name,
                "columns": [setting(table, column, self.classes) for column in columns],
                "classes": sorted(int(item) for item in self.focus.get(name, ())),
            }
            for name, columns in self._sets.items()
        ]
        every = [setting(table, name, self.classes) for name in self._all()]
        return Block.spec(self) | {
            "table": self.table,
            "columns": sets[0]["columns"],
            "sets": sets,
            "inputs": {one["name"]: one for one in details(table, every)},
            "names": list(BOOK_NAMES) if self.table == "positions" else [],
            "base": sorted(int(item) for item in self.classes),
        }


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
    """The line of headline figures at the left, health at the right.

    `figures`: columns of the class table, which are summed; `risk`: columns of the fund's row of
    the exposures, and `hist_99` of the values at risk.
    """

    figures: Sequence[str] = ("day_pnl", "gross", "net")
    risk: Sequence[str] = ("delta", "vega", "dv01", "hist_99")

    kind = "strip"

    def needs(self) -> list[tuple[str, Sequence[str]]]:
        """Totals are sums over the classes."""
        return [(CLASSES.name, self.figures)]

    def own(self) -> dict[str, dict[str, Any]]:
        """The fund's own rows: the first of their tables."""
        fund = [name for name in self.risk if name in EXPOSURES.names]
        at_risk = [name for name in self.risk if name in VALUE_AT_RISK.names]
        feeds = {}
        if fund:
            feeds["fund"] = grid_feed(EXPOSURES.name, fund, 0, 1, {"scope": 0})
        if at_risk:
            feeds["at_risk"] = grid_feed(VALUE_AT_RISK.name, at_risk, 0, 1, {"scope": 0})
        return feeds

    def spec(self) -> dict[str, Any]:
        """Figure names; the page knows their heads from the table."""
        return Block.spec(self) | {"figures": list(self.figures), "risk": list(self.risk)}


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
    own: list[tuple[Block, str, dict[str, Any]]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def add(self, block: Block) -> None:
        """Take in what `block` needs."""
        for table, columns in block.needs():
            held = self.tables.setdefault(table, [])
            held.extend(name for name in columns if name not in held)
        self.own.extend((block, role, feed) for role, feed in block.own().items())
        wanted = {"chart": "series"}.get(block.kind, block.told)
        if wanted and wanted not in self.others:
            self.others.append(wanted)

    def numbers(self, block: Block) -> dict[str, int]:
        """Numbers of the block's own feeds, by role."""
        start = len(self.tables)
        return {
            role: start + place for place, (owner, role, _) in enumerate(self.own) if owner is block
        }

    def spec(self) -> list[dict[str, Any]]:
        """As the session layer reads it: position in the list is the number on the wire."""
        grids = [
            {"kind": "grid", "table": table, "columns": columns}
            for table, columns in self.tables.items()
        ]
        mine = [feed for _, _, feed in self.own]
        return grids + mine + [{"kind": kind} for kind in (*self.others, "status")]
