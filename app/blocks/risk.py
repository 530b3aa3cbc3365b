"""Shape: the blocks of risk: exposures, value at risk, scenarios, limits, alerts, execution.

What a group, a book or a limit is called travels as names beside the tables; a block says which
columns it shows and which rows of a table are its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.blocks.block import Block, grid_feed, table_named
from app.blocks.column import setting
from compute.group import SCOPES
from compute.table import BOOK_NAMES, EXECUTION, EXPOSURES, LIMITS, SCENARIOS, VALUE_AT_RISK

# Rows of EXECUTION: books, traders and venues, at most 64 each, then orders, newest first.
_GROUPS = 3 * 64
_ORDERS, _ORDER = 64, 3  # The newest, of which a panel shows fewer; the scope of an order.
_TABS = (
    *("class", "currency", "sector", "country", "strategy", "book", "trader"),
    *("beta", "liquidity"),
)
_SUMS = ("dv01", "gamma", "theta")  # Of the key rates, and at the foot of the positions.
_KEY_RATES = tuple(name for name in EXPOSURES.names if name.startswith("kr_"))


def _settings(table: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    return [setting(table_named(table), name) for name in columns]


@dataclass(frozen=True, slots=True)
class Exposures(Block):
    """The fund's exposure by one scope at a time, the fund itself as pinned foot."""

    title: str = "Exposure"
    note: str = "delta-adjusted, net by underlying; % of NAV at start of day"
    columns: Sequence[str] = (
        *("long", "short", "net", "gross", "net_pct", "gross_pct", "delta", "beta", "vega"),
        *("dv01", "cs01", "day_pnl", "pnl", "stale_share", "lines", "missing"),
    )
    tabs: Sequence[str] = _TABS

    kind = "exposures"

    def own(self) -> dict[str, dict[str, Any]]:
        """Groups of the chosen scope with their key rates, and the fund's row."""
        columns = ("scope", "key", *self.columns, *_SUMS, *_KEY_RATES)
        return {
            "main": grid_feed(EXPOSURES.name, columns, 0, 128),
            "fund": grid_feed(EXPOSURES.name, columns, 0, 1, {"scope": 0}),
        }

    def spec(self) -> dict[str, Any]:
        """Columns, and the numbers of the scopes that have a tab."""
        tabs = [[name.capitalize(), SCOPES.index(name)] for name in self.tabs]
        columns = _settings(EXPOSURES.name, self.columns)
        return Block.spec(self) | {"columns": columns, "tabs": tabs, "head": "Group"}


@dataclass(frozen=True, slots=True)
class ValueAtRisk(Block):
    """Losses that a day exceeds so often: the fund, its books, strategies and traders."""

    title: str = "Value at risk"
    note: str = "1 day, loss, USD"
    columns: Sequence[str] = (
        *("hist_95", "hist_99", "es_975", "param_95", "param_99", "worst", "hist_99_pct"),
        *("known_99", "missing", "scenarios"),
    )

    kind = "var"

    def own(self) -> dict[str, dict[str, Any]]:
        """All rows."""
        columns = ("scope", "key", *self.columns, "as_of_ms")
        return {"main": grid_feed(VALUE_AT_RISK.name, columns, 0, 128)}

    def spec(self) -> dict[str, Any]:
        """Columns; rows are named by scope and key."""
        columns = _settings(VALUE_AT_RISK.name, self.columns)
        return Block.spec(self) | {"columns": columns, "head": "Group"}


@dataclass(frozen=True, slots=True)
class Scenarios(Block):
    """P&L over spot and volatility at a chosen move of rates, as a matrix."""

    title: str = "Scenarios"
    note: str = "USD k, options revalued"
    height: int = 161
    narrow: int | None = 161

    kind = "scenarios"

    def own(self) -> dict[str, dict[str, Any]]:
        """The fund's and its books' grids; the table has strategies' and traders' after them."""
        return {"main": grid_feed(SCENARIOS.name, SCENARIOS.names, 0, 105)}


@dataclass(frozen=True, slots=True)
class KeyRates(Block):
    """DV01 by key rate of the group selected in the exposures, one bar a tenor."""

    title: str = "Key-rate DV01"
    note: str = "USD k for yield − 1 bp"  # noqa: RUF001 (the true minus)
    height: int = 161
    narrow: int | None = 161

    kind = "key_rates"

    def spec(self) -> dict[str, Any]:
        """Columns of the exposures' feed, in order of tenor."""
        tenors = [[name.removeprefix("kr_"), name] for name in _KEY_RATES]
        return Block.spec(self) | {"tenors": tenors}


@dataclass(frozen=True, slots=True)
class Limits(Block):
    """Every watched limit: how much of it is used, and its state; the most used first."""

    title: str = "Limits"
    columns: Sequence[str] = ("use_pct", "value", "breach")

    kind = "limits"

    def own(self) -> dict[str, dict[str, Any]]:
        """All rows; the page orders them."""
        columns = ("id", "scope", "key", "warning", "state", "acknowledged", *self.columns)
        return {"main": grid_feed(LIMITS.name, columns, 0, 400)}

    def spec(self) -> dict[str, Any]:
        """Columns beside the name and the bar."""
        columns = _settings(LIMITS.name, self.columns)
        return Block.spec(self) | {"columns": columns, "head": "Limit"}


@dataclass(frozen=True, slots=True)
class WhatIf(Block):
    """Trades not yet made: what they would change of exposure, losses and limits."""

    title: str = "What if"
    height: int = 399
    narrow: int | None = 319

    kind = "what_if"

    def spec(self) -> dict[str, Any]:
        """Names of the books, until the process `risk` tells its own."""
        return Block.spec(self) | {"names": list(BOOK_NAMES)}


@dataclass(frozen=True, slots=True)
class Alerts(Block):
    """Open incidents, newest first, each to be acknowledged by a named person."""

    title: str = "Alerts"
    height: int = 300
    narrow: int | None = 220

    kind = "alerts"


@dataclass(frozen=True, slots=True)
class Execution(Block):
    """What execution cost by book, trader or venue, against arrival, VWAP and decision."""

    title: str = "Execution"
    note: str = "+ is cost"
    columns: Sequence[str] = (
        *("worth", "arrival_bp", "vwap_bp", "decision_bp", "arrival_usd", "fees"),
    )

    kind = "execution"

    def own(self) -> dict[str, dict[str, Any]]:
        """The groups' rows."""
        columns = ("scope", "key", *self.columns)
        return {"main": grid_feed(EXECUTION.name, columns, 0, _GROUPS)}

    def spec(self) -> dict[str, Any]:
        """Columns, and scopes by tab."""
        return Block.spec(self) | {
            "columns": _settings(EXECUTION.name, self.columns),
            "tabs": [["Book", 0], ["Trader", 1], ["Venue", 2]],
            "names": list(BOOK_NAMES),
            "head": "",
        }


@dataclass(frozen=True, slots=True)
class Orders(Block):
    """The newest own orders and what each cost."""

    title: str = "Orders"
    note: str = "newest first · + is cost"
    columns: Sequence[str] = (*("ts_order", "size", "price", "done", "arrival_bp", "vwap_bp"),)

    kind = "orders"

    def own(self) -> dict[str, dict[str, Any]]:
        """The newest orders' rows."""
        columns = ("key", "book", "instrument", *self.columns, "filled", "arrival", "vwap")
        return {"main": grid_feed(EXECUTION.name, columns, 0, _ORDERS, {"scope": _ORDER})}

    def spec(self) -> dict[str, Any]:
        """Columns beside the symbol."""
        columns = _settings(EXECUTION.name, self.columns)
        return Block.spec(self) | {"columns": columns, "head": "Symbol"}
