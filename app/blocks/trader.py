"""Shape: the blocks of traders: one instrument in tiles, its chain, its term, pairs, DV01, costs.

All of them follow the instrument that is selected, wherever that was; what they show is made by
the server (app/figures.py, app/curves.py) or travels in the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.blocks.block import Block, grid_feed
from app.blocks.charts import Ladder
from app.blocks.risk import _KEY_RATES, _ORDER, Execution, Exposures
from compute.table import EXECUTION, INSTRUMENTS
from ingest.instrument import AssetClass

PAIRS_MAX = 48
ORDERS_MAX = 128  # Each new order moves all of them by one row.


@dataclass(frozen=True, slots=True)
class Tiles(Block):
    """What is known of the selected instrument, a tile a number; which numbers its class says."""

    title: str = "Quote"
    height: int = 179
    narrow: int | None = 179

    kind = "tiles"


@dataclass(frozen=True, slots=True)
class Chain(Ladder):
    """Calls, strikes and puts of one expiry: quotes, implied volatility, Greeks, positions."""

    title: str = "Chain"
    note: str = "calls | puts"

    kind = "chain"


@dataclass(frozen=True, slots=True)
class VolTerm(Block):
    """Volatility at the money by expiry, and the expiry that is shown."""

    title: str = "At the money"
    note: str = "IV % by expiry, square root of time"

    kind = "vol_term"


@dataclass(frozen=True, slots=True)
class Term(Block):
    """Prices of one product along its expiries, yields of one issuer along maturity."""

    title: str = "Term"
    yields: bool = False  # Of a future on bonds those bonds' yields.
    spreads: bool = False  # Of credit the spread over the curve.

    kind = "term"

    def spec(self) -> dict[str, Any]:
        """Whether it is of yields, or of spreads."""
        return Block.spec(self) | {"yields": self.yields, "spreads": self.spreads}


@dataclass(frozen=True, slots=True)
class Basis(Block):
    """A coin at each venue: price, basis to the spot, volume, what was paid in funding."""

    title: str = "Basis and funding"
    note: str = "bp over spot · funding received USD"

    kind = "basis"


@dataclass(frozen=True, slots=True)
class Pairs(Block):
    """Currency pairs as tiles: bid and ask with the big figure, pips large, spread in pips."""

    title: str = "Pairs"
    note: str = "big figure · pips · spread in pips"
    columns: Sequence[str] = ("bid", "ask", "change", "position", "ts_event", "state")

    kind = "pairs"

    def own(self) -> dict[str, dict[str, Any]]:
        """All pairs; the page filters and draws what it has room for."""
        return {"main": grid_feed(INSTRUMENTS.name, self.columns, 0, PAIRS_MAX)}

    def spec(self) -> dict[str, Any]:
        """The class that the feed is filtered by."""
        return Block.spec(self) | {"classes": [int(AssetClass.FX)]}


@dataclass(frozen=True, slots=True)
class Dv01Ladder(Exposures):
    """DV01 of each group by key rate, USD for yield - 1 bp; the fund as pinned foot."""

    title: str = "DV01 ladder"
    note: str = "USD k for yield − 1 bp, by key rate"  # noqa: RUF001 (the true minus)
    columns: Sequence[str] = ("dv01", *_KEY_RATES, "cs01")
    tabs: Sequence[str] = ("book", "class", "currency", "strategy", "trader")


@dataclass(frozen=True, slots=True)
class Costs(Execution):
    """What execution cost by one of book, trader or venue, against all three prices."""

    by: str = "book"
    columns: Sequence[str] = (
        *("worth", "arrival_bp", "arrival_usd", "vwap_bp", "vwap_usd", "decision_bp"),
        *("decision_usd", "fees"),
    )

    def spec(self) -> dict[str, Any]:
        """One scope, without tabs."""
        tabs = [tab for tab in Execution.spec(self)["tabs"] if tab[0].lower() == self.by]
        if not tabs:
            raise ValueError(f"costs are told by book, trader or venue, not by {self.by!r}")
        return Execution.spec(self) | {"tabs": tabs, "head": tabs[0][0]}


@dataclass(frozen=True, slots=True)
class Slippage(Block):
    """What each of the newest orders cost against arrival, in bp over its size."""

    title: str = "Slippage of orders"
    note: str = "bp against arrival by size traded · + is cost"

    kind = "slippage"

    def own(self) -> dict[str, dict[str, Any]]:
        """The newest orders' rows."""
        columns = ("instrument", "worth", "arrival_bp", "arrival_usd")
        return {"main": grid_feed(EXECUTION.name, columns, 0, ORDERS_MAX, {"scope": _ORDER})}
