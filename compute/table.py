"""Shape: every table and column of the product, once; arrays, SQL and widgets derive from it.

A table is a float64 array [rows, columns]. NaN is unknown and is shown as a blank, never as 0.
Moments are milliseconds since the epoch (float64 holds them to 0.25 us); exact nanoseconds stay
in the events.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cached_property

import numpy as np

from ingest.instrument import AssetClass


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `format` is what the painter knows, `unit` what a person reads."""

    name: str
    head: str
    # price, quantity, percent, basis_points, money_k, money_m, count, moment, flags, or number:
    # four significant digits, whatever the instrument's tick is.
    format: str
    unit: str
    aggregate: str  # sum, last, or none: what a group or a total may do with it
    source: str  # How it is computed, for the glossary.


@dataclass(frozen=True)
class Table:
    """A named list of columns; `id` is its number on the wire."""

    id: int
    name: str
    columns: tuple[Column, ...]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def places(self) -> dict[str, int]:
        """Position of each column by its name: pages that come back ask for hundreds."""
        return {name: place for place, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """Position of the column `name`; KeyError lists the columns there are."""
        try:
            return self.places[name]
        except KeyError:
            known = ", ".join(self.names)
            raise KeyError(f"table {self.name} has no column {name!r}; it has {known}") from None

    def empty(self, rows: int) -> np.ndarray:
        """A float64 array [rows, columns] in which nothing is known yet."""
        return np.full((rows, self.width), np.nan)


class State(IntFlag):
    """Bits of the column `state`; 0 is a normal two-sided live market."""

    HALTED = 1
    CROSSED = 2
    LOCKED = 4
    ONE_SIDED = 8
    GAP = 16  # Events of its source are missing; until it is whole again, see kernels/quote.py.
    CORRECTED = 32  # The newest trade event was a correction or a bust.
    AUCTION = 64
    CLOSED = 128
    INDICATIVE = 256  # The newest quote binds nobody.
    ESTIMATED = 512  # The mark is of a wide book, an old last, or the previous close.


class MarkSource(IntEnum):
    """What the mark is of: the column `mark_source`, blank where there is no mark.

    In falling rank: the print of an auction until the market trades on; the mid of a two-sided,
    uncrossed, tight book; the last while it is fresh; a model's price; the previous close. An
    official settlement arrives as the previous close of the session after it.
    """

    AUCTION = 1
    MID = 2
    LAST = 3
    MODEL = 4  # Never from the engine: whoever prices by a model says so with it.
    PREVIOUS_CLOSE = 5


# Age in seconds, by asset class, from which a reader shows a number as stale while the instrument
# trades, and from which a last is no longer fresh enough to be the mark. Liquid futures, currencies
# and coins quote many times a second; a bond or an option may stand for minutes and be right.
STALE_S = (60.0, 60.0, 300.0, 30.0, 30.0, 60.0, 300.0, 30.0, 600.0, 1_800.0, 30.0, 30.0)

# Greatest width of a tight book, ask - bid, as a share of the mid, by asset class; a book of
# WIDE_TICKS ticks or fewer is tight whatever its price is. A few times the usual width: what is
# beyond is a market maker stepping back, not a price.
WIDE_SHARE = (0.02, 0.02, 0.25, 0.005, 0.005, 0.01, 0.25, 0.005, 0.01, 0.03, 0.01, 0.01)
WIDE_TICKS = 4.0


def _said(values: tuple[float, ...], words: Callable[[float], str]) -> str:
    """Settings by class as people read them: "30 s index future, fx; 60 s cash equity"."""
    told: dict[float, list[str]] = {}
    for kind in AssetClass:
        told.setdefault(values[kind], []).append(kind.label.lower())
    return "; ".join(f"{words(value)} {', '.join(names)}" for value, names in sorted(told.items()))


STALE_SAID = "event that made the mark; stale after " + _said(STALE_S, lambda s: f"{s:,.0f} s")
STALE_SAID += "; or stale_s of the instrument's row"
MARK_SOURCE_SAID = (
    "auction, mid of a tight book, last while fresh, model, previous close; "
    f"a book is wide from {WIDE_TICKS:g} ticks on and "
    + _said(WIDE_SHARE, lambda w: f"{w:.1%}")
    + "; or wide_share of the instrument's row"
)


INSTRUMENTS = Table(
    0,
    "instruments",
    (  # In the order in which the engine needs them near each other, not of a desk.
        Column("mid", "Mid", "price", "price", "none", "(bid + ask) / 2, kept while crossed"),
        Column("vwap", "VWAP", "price", "price", "none", "sum p q / sum q, session, eligible"),
        Column("vwap_1m", "VWAP 1m", "price", "price", "none", "the same over 60 buckets of 1 s"),
        Column(
            *("volatility", "EWMA vol %", "percent", "% a year", "none"),
            "EWMA of squared mid returns each second, half-life 60 s, annualised by class",
        ),
        Column("volume", "Volume", "quantity", "units", "none", "sum of trade sizes, session"),
        Column("position", "Position", "quantity", "units", "none", "sum over books"),
        Column("pnl", "P&L k", "money_k", "USD", "sum", "realised + unrealised - fees, USD"),
        Column("mark", "Mark", "price", "price", "none", "what P&L is struck at, see MarkSource"),
        Column("bid", "Bid", "price", "price", "none", "best bid of the newest quote"),
        Column("ask", "Ask", "price", "price", "none", "best ask of the newest quote"),
        Column("bid_size", "Bid size", "quantity", "units", "none", "size at the best bid"),
        Column("ask_size", "Ask size", "quantity", "units", "none", "size at the best ask"),
        Column("exposure", "Value M", "money_m", "USD", "sum", "position x mark x multiplier, USD"),
        Column("ts_event", "Age", "moment", "ms", "last", "event time of the newest market event"),
        Column("state", "State", "flags", "bits", "none", "see State"),
        Column("ts_mark", "Mark age", "moment", "ms", "last", "event time that made the mark"),
        Column("last", "Last", "price", "price", "none", "price of the newest eligible trade"),
        Column("last_size", "Last size", "quantity", "units", "none", "size of the newest trade"),
        Column("change", "Chg %", "percent", "%", "none", "last (else mid) / previous close - 1"),
        Column("vs_vwap", "vs VWAP bp", "basis_points", "bp", "none", "(last / vwap - 1) 1e4"),
        Column("open", "Open", "price", "price", "none", "first eligible trade of the session"),
        Column("high", "High", "price", "price", "none", "highest eligible trade"),
        Column("low", "Low", "price", "price", "none", "lowest eligible trade"),
        Column("trades", "Trades", "count", "trades", "sum", "trades that counted in volume"),
        Column("vwap_5m", "VWAP 5m", "price", "price", "none", "vwap over 60 buckets of 5 s"),
        Column("vwap_30m", "VWAP 30m", "price", "price", "none", "vwap over 60 buckets of 30 s"),
        Column("vwap_ex", "VWAP ex-auc", "price", "price", "none", "vwap without auction trades"),
        Column(
            *("realised", "Realised vol %", "percent", "% a year", "none"),
            "root mean square of the last 60 mid returns on the class's grid, annualised",
        ),
        Column(
            *("gap_overnight", "Gap %", "percent", "%", "none"),
            "first mid of the session / last mid before it - 1",
        ),
        Column("mark_source", "Mark of", "count", "code", "none", "see MarkSource"),
        Column("gaps", "Gaps", "count", "events", "sum", "events of its source found missing"),
    ),
)

POSITIONS = Table(  # One row a slot. Money in USD at the rate of now, see kernels/total.py.
    1,
    "positions",
    (
        Column("book", "Book", "count", "id", "none", "whose position"),
        Column("instrument", "Instrument", "count", "id", "none", "of what"),
        Column("quantity", "Position", "quantity", "units", "none", "sum of fills, signed"),
        Column("average", "Avg cost", "price", "price", "none", "cost of what is open, by method"),
        Column("realised", "Realised k", "money_k", "USD", "sum", "closed, by the book's method"),
        Column("unrealised", "Unrealised k", "money_k", "USD", "sum", "q (mark - average) m"),
        Column("fees", "Fees k", "money_k", "USD", "sum", "sum of fees"),
        Column("pnl", "P&L k", "money_k", "USD", "sum", "realised + unrealised - fees + income"),
        Column("value", "Value M", "money_m", "USD", "sum", "q mark m; inverse: q m / mark coins"),
        Column(
            "income", "Income k", "money_k", "USD", "sum", "dividends, coupons, funding, borrow"
        ),
        Column("dividends", "Dividends k", "money_k", "USD", "sum", "received; paid on shorts"),
        Column(
            "coupons", "Coupons k", "money_k", "USD", "sum", "coupons and accrued interest paid"
        ),
        Column("funding", "Funding k", "money_k", "USD", "sum", "of perpetuals"),
        Column("borrow", "Borrow k", "money_k", "USD", "sum", "cost of borrowed shorts"),
        Column(
            "day_pnl", "Day P&L k", "money_k", "USD", "sum", "both below + income - fees of today"
        ),
        Column(
            "overnight", "Overnight k", "money_k", "USD", "sum", "q at start of day (mark - close)"
        ),
        Column("intraday", "Intraday k", "money_k", "USD", "sum", "sum dq (mark - p) of today"),
        Column(
            "day_translation", "Day FX k", "money_k", "USD", "sum", "today's part of translation"
        ),
        Column("translation", "FX k", "money_k", "USD", "sum", "rate moves on what was paid"),
        Column("pnl_base", "P&L base k", "money_k", "book's", "none", "P&L + FX, book's currency"),
        Column("fx", "FX rate", "number", "USD", "none", "USD of what the instrument pays in"),
        Column("fx_stale", "FX stale", "count", "0 or 1", "sum", "a leg of the rate is not live"),
        Column("mark", "Mark", "price", "price", "none", "what P&L is struck at"),
        Column("exit_mark", "Exit", "price", "price", "none", "long: bid, short: ask"),
        Column("exit_value", "Exit value M", "money_m", "USD", "sum", "q exit m"),
        Column("fifo_average", "FIFO cost", "price", "price", "none", "mean of the open lots"),
        Column(
            "fifo_realised", "FIFO real. k", "money_k", "USD", "sum", "closed, oldest lots first"
        ),
        Column(
            "mean_average", "Mean cost", "price", "price", "none", "average cost of what is open"
        ),
        Column("mean_realised", "Mean real. k", "money_k", "USD", "sum", "closed at average cost"),
        Column("start_quantity", "Start", "quantity", "units", "none", "held at the start of day"),
        Column("close", "Close", "price", "price", "none", "what overnight P&L is struck from"),
    ),
)

_TOTALS = (
    Column("long", "Long M", "money_m", "USD", "sum", "sum of positive values"),
    Column("short", "Short M", "money_m", "USD", "sum", "sum of negative values"),
    Column("net", "Net M", "money_m", "USD", "sum", "long + short"),
    Column("gross", "Gross M", "money_m", "USD", "sum", "long - short"),
    Column("pnl", "P&L k", "money_k", "USD", "sum", "sum of the positions' P&L"),
    Column("positions", "Lines", "count", "lines", "sum", "positions that are not flat"),
    Column("realised", "Realised k", "money_k", "USD", "sum", "sum of realised"),
    Column("unrealised", "Unrealised k", "money_k", "USD", "sum", "sum of unrealised"),
    Column("fees", "Fees k", "money_k", "USD", "sum", "sum of fees"),
    Column("income", "Income k", "money_k", "USD", "sum", "sum of income"),
    Column("day_pnl", "Day P&L k", "money_k", "USD", "sum", "sum of day P&L"),
    Column("overnight", "Overnight k", "money_k", "USD", "sum", "sum of overnight P&L"),
    Column("intraday", "Intraday k", "money_k", "USD", "sum", "sum of intraday P&L"),
    Column("day_translation", "Day FX k", "money_k", "USD", "sum", "sum of today's translation"),
    Column("translation", "FX k", "money_k", "USD", "sum", "sum of translation"),
    Column("exit_value", "Exit value M", "money_m", "USD", "sum", "sum of exit values"),
    Column("fx_stale", "FX stale", "count", "lines", "sum", "lines at a rate that is not live"),
)
BOOKS = Table(  # One row a book.
    2,
    "books",
    (*_TOTALS, Column("pnl_base", "P&L base k", "money_k", "book's", "none", "P&L + FX, base")),
)
CLASSES = Table(3, "classes", _TOTALS)  # One row an asset class.

EXECUTION = Table(  # Rows: 64 of books, 64 of traders, 64 of venues, the newest orders.
    10,
    "execution",
    (
        Column("scope", "Scope", "count", "0 1 2 3", "none", "book, trader, venue, order"),
        # A trader's key is a book of his, a venue's an instrument of it: the lowest id.
        Column("key", "Key", "count", "id", "none", "book, book, instrument, order"),
        Column("book", "Book", "count", "id", "none", "whose order"),
        Column("instrument", "Instrument", "count", "id", "none", "of what"),
        Column("ts_order", "Placed", "moment", "ms", "none", "event time of the order"),
        Column("size", "Size", "quantity", "units", "none", "ordered, signed"),
        Column("filled", "Filled", "quantity", "units", "none", "executed, signed"),
        Column("fills", "Fills", "count", "fills", "none", "of the order"),
        Column("price", "Avg fill", "price", "price", "none", "mean price of the fills"),
        Column("arrival", "Arrival", "price", "price", "none", "mid as the order was placed"),
        Column("vwap", "Interval VWAP", "price", "price", "none", "market, order to last fill"),
        Column("decision", "Decision", "price", "price", "none", "price the order came with"),
        Column("done", "Done %", "percent", "%", "none", "filled / size"),
        Column("worth", "Traded M", "money_m", "USD", "sum", "sum |filled p| m"),
        Column("fees", "Fees k", "money_k", "USD", "sum", "of the orders' fills"),
        Column("arrival_bp", "vs arrival bp", "basis_points", "bp", "none", "cost / worth at it"),
        Column("arrival_usd", "vs arrival k", "money_k", "USD", "sum", "cost; above 0 is worse"),
        Column("vwap_bp", "vs VWAP bp", "basis_points", "bp", "none", "cost / worth at it"),
        Column("vwap_usd", "vs VWAP k", "money_k", "USD", "sum", "cost; above 0 is worse"),
        Column("decision_bp", "vs decision bp", "basis_points", "bp", "none", "cost / worth at it"),
        Column("decision_usd", "vs decision k", "money_k", "USD", "sum", "cost; above 0 is worse"),
        Column(
            "arrival_worth", "At arrival M", "money_m", "USD", "sum", "worth that has an arrival"
        ),
        Column("vwap_worth", "At VWAP M", "money_m", "USD", "sum", "worth that has a VWAP"),
        Column("decision_worth", "At decision M", "money_m", "USD", "sum", "worth with a decision"),
    ),
)
EXECUTION_ROWS = 3 * 64 + 256

RISK = Table(  # Beside POSITIONS: the same rows.
    5,
    "risk",
    (
        Column("value_usd", "Value M", "money_m", "USD", "sum", "q mark m, USD"),
        Column("delta_usd", "Delta M", "money_m", "USD", "sum", "delta S q m; value if linear"),
        Column("beta_usd", "Beta M", "money_m", "USD", "sum", "delta_usd x beta, index as named"),
        Column(
            *("gamma_usd", "Gamma 1% k", "money_k", "USD per 1 %", "sum"),
            "change of delta_usd for +1 %",
        ),
        Column("vega_usd", "Vega k", "money_k", "USD per vol point", "sum", "value for vol + 0.01"),
        Column("theta_usd", "Theta k", "money_k", "USD per day", "sum", "per calendar day"),
        Column("rho_usd", "Rho k", "money_k", "USD per bp", "sum", "value for the rate + 1 bp"),
        Column("dv01_usd", "DV01 k", "money_k", "USD per bp", "sum", "value for yield - 1 bp"),
        Column(
            "cs01_usd", "CS01 k", "money_k", "USD per bp", "sum", "value for credit spread + 1 bp"
        ),
        Column("kr_3m", "KR 3m", "money_k", "USD per bp", "sum", "share of dv01_usd at 3 months"),
        Column("kr_1y", "KR 1y", "money_k", "USD per bp", "sum", "share of dv01_usd at 1 year"),
        Column("kr_2y", "KR 2y", "money_k", "USD per bp", "sum", "share of dv01_usd at 2 years"),
        Column("kr_5y", "KR 5y", "money_k", "USD per bp", "sum", "share of dv01_usd at 5 years"),
        Column("kr_10y", "KR 10y", "money_k", "USD per bp", "sum", "share of dv01_usd at 10 years"),
        Column("kr_30y", "KR 30y", "money_k", "USD per bp", "sum", "share of dv01_usd at 30 years"),
        Column("stale", "Stale", "count", "0 or 1", "sum", "mark older than its class allows"),
        Column("days_to_exit", "Exit days", "quantity", "days", "none", "|q| / (20 % of ADV)"),
        Column("worst_usd", "Worst k", "money_k", "USD", "none", "worst of the scenario grid"),
        Column("component_usd", "Comp VaR k", "money_k", "USD", "sum", "share of parametric 99"),
        Column("incremental_usd", "Incr VaR k", "money_k", "USD", "none", "VaR 99 less without it"),
        Column("mark_source", "Mark of", "count", "code", "none", MARK_SOURCE_SAID),
        Column("ts_mark", "Mark age", "moment", "ms", "last", STALE_SAID),
    ),
)

EXPOSURES = Table(  # One row a group; what a key means is in the names published beside.
    6,
    "exposures",
    (
        Column("scope", "Scope", "count", "id", "none", "fund, book, class, currency, ..."),
        Column("key", "Key", "count", "id", "none", "number of the group in its scope"),
        Column("long", "Long M", "money_m", "USD", "none", "delta-adjusted, net by underlying"),
        Column("short", "Short M", "money_m", "USD", "none", "the negative ones"),
        Column("net", "Net M", "money_m", "USD", "none", "long + short"),
        Column("gross", "Gross M", "money_m", "USD", "none", "long - short"),
        Column("net_pct", "Net %", "percent", "% of NAV", "none", "of start-of-day NAV"),
        Column("gross_pct", "Gross %", "percent", "% of NAV", "none", "of start-of-day NAV"),
        Column("value", "Value M", "money_m", "USD", "none", "sum of value_usd"),
        Column("delta", "Delta M", "money_m", "USD", "none", "sum of delta_usd"),
        Column("beta", "Beta M", "money_m", "USD", "none", "sum of beta_usd"),
        Column("gamma", "Gamma 1% k", "money_k", "USD per 1 %", "none", "sum of gamma_usd"),
        Column("vega", "Vega k", "money_k", "USD per vol point", "none", "sum of vega_usd"),
        Column("theta", "Theta k", "money_k", "USD per day", "none", "sum of theta_usd"),
        Column("rho", "Rho k", "money_k", "USD per bp", "none", "sum of rho_usd"),
        Column("dv01", "DV01 k", "money_k", "USD per bp", "none", "sum of dv01_usd"),
        Column("cs01", "CS01 k", "money_k", "USD per bp", "none", "sum of cs01_usd"),
        Column("kr_3m", "KR 3m", "money_k", "USD per bp", "none", "sum of kr_3m"),
        Column("kr_1y", "KR 1y", "money_k", "USD per bp", "none", "sum of kr_1y"),
        Column("kr_2y", "KR 2y", "money_k", "USD per bp", "none", "sum of kr_2y"),
        Column("kr_5y", "KR 5y", "money_k", "USD per bp", "none", "sum of kr_5y"),
        Column("kr_10y", "KR 10y", "money_k", "USD per bp", "none", "sum of kr_10y"),
        Column("kr_30y", "KR 30y", "money_k", "USD per bp", "none", "sum of kr_30y"),
        Column("pnl", "P&L k", "money_k", "USD", "none", "sum of the positions' P&L"),
        Column("day_pnl", "Day P&L k", "money_k", "USD", "none", "sum of the positions' day P&L"),
        Column("stale_share", "Stale %", "percent", "% of gross", "none", "gross on stale marks"),
        Column("concentration", "Largest %", "percent", "% of gross", "none", "largest issuer"),
        Column("lines", "Lines", "count", "lines", "none", "positions that are not flat"),
        Column("missing", "Missing", "count", "lines", "none", "lines with an unknown number"),
    ),
)

VALUE_AT_RISK = Table(  # The fund, its books, strategies, traders. One day; a loss is positive.
    7,
    "value_at_risk",
    (
        Column("scope", "Scope", "count", "id", "none", "as in EXPOSURES"),
        Column("key", "Key", "count", "id", "none", "as in EXPOSURES"),
        Column("hist_95", "VaR 95 k", "money_k", "USD", "none", "historical, 1 day"),
        Column("hist_99", "VaR 99 k", "money_k", "USD", "none", "historical, 1 day"),
        Column("es_975", "ES 97.5 k", "money_k", "USD", "none", "mean of the worst 2.5 %"),
        Column("param_95", "Par. 95 k", "money_k", "USD", "none", "normal, EWMA covariance"),
        Column("param_99", "Par. 99 k", "money_k", "USD", "none", "normal, EWMA covariance"),
        Column("worst", "Worst k", "money_k", "USD", "none", "loss on the worst day"),
        Column("known_99", "Known 99 k", "money_k", "USD", "none", "VaR 99 of the known lines"),
        Column("hist_99_pct", "VaR 99 %", "percent", "% of NAV", "none", "of start-of-day NAV"),
        Column("scenarios", "Days", "count", "days", "none", "days of history used"),
        Column("missing", "Missing", "count", "lines", "none", "lines that blank the figures"),
        Column("as_of_ms", "As of", "moment", "ms", "last", "newest event time included"),
    ),
)

SCENARIOS = Table(  # One row a cell of the grid, the fund's grid first, then each book's.
    8,
    "scenarios",
    (
        Column("scope", "Scope", "count", "id", "none", "as in EXPOSURES"),
        Column("key", "Key", "count", "id", "none", "as in EXPOSURES"),
        Column("spot_pct", "Spot %", "percent", "%", "none", "move of every risky price"),
        Column("vol_points", "Vol pt", "quantity", "points", "none", "added to every volatility"),
        Column("rates_bp", "Rates bp", "basis_points", "bp", "none", "parallel move of curves"),
        Column("pnl_usd", "P&L k", "money_k", "USD", "none", "options revalued, rest by Taylor"),
    ),
)

ATTRIBUTION = Table(  # One row a group, as in EXPOSURES; see kernels/attribution.py.
    11,
    "attribution",
    (
        Column("scope", "Scope", "count", "id", "none", "as in EXPOSURES"),
        Column("key", "Key", "count", "id", "none", "as in EXPOSURES"),
        Column("from_price", "Price k", "money_k", "USD", "sum", "of what is held, options aside"),
        Column(
            "from_delta", "Delta k", "money_k", "USD", "sum", "options: delta x move of underlying"
        ),
        Column(
            "from_gamma", "Gamma k", "money_k", "USD", "sum", "options: gamma x half its square"
        ),
        Column(
            "from_vega", "Vega k", "money_k", "USD", "sum", "options: vega x move of volatility"
        ),
        Column("from_theta", "Theta k", "money_k", "USD", "sum", "options: theta x days passed"),
        Column("from_carry", "Carry k", "money_k", "USD", "sum", "income less fees of today"),
        Column(
            "from_trades", "Trades k", "money_k", "USD", "sum", "today's fills against the mark"
        ),
        Column(
            "residual", "Residual k", "money_k", "USD", "sum", "options: move less delta to theta"
        ),
        Column("day_pnl", "Day P&L k", "money_k", "USD", "sum", "all parts so far"),
        Column(
            "from_fx", "FX k", "money_k", "USD", "sum", "today's translation of what is paid for"
        ),
        Column("total", "Total k", "money_k", "USD", "sum", "day P&L + FX"),
    ),
)

LIMITS = Table(  # One row a limit that is watched; its words are in the names published beside.
    9,
    "limits",
    (
        Column("id", "Limit", "count", "id", "none", "number of the limit"),
        Column("scope", "Scope", "count", "id", "none", "as in EXPOSURES"),
        Column("key", "Key", "count", "id", "none", "as in EXPOSURES"),
        Column("value", "Value", "quantity", "its own", "none", "the measure now"),
        Column("warning", "Warn at", "quantity", "its own", "none", "level of warning"),
        Column("breach", "Limit at", "quantity", "its own", "none", "level of breach"),
        Column("use_pct", "Use %", "percent", "%", "none", "value / breach"),
        Column("state", "State", "count", "0 1 2 3", "none", "ok, warning, breach, unknown"),
        Column("since_ms", "Since", "moment", "ms", "none", "event time of the last change"),
        Column("acknowledged", "Ack", "count", "0 or 1", "none", "a named person has seen it"),
    ),
)

LIVE_TABLES = (INSTRUMENTS, POSITIONS, BOOKS, CLASSES, EXECUTION)  # What `live` tells, as worker 0.


class Model(IntEnum):
    """The model behind a row of ANALYTICS, column `model`."""

    BLACK_SCHOLES_MERTON = 1
    BLACK_76 = 2  # The underlying is a future.
    BACHELIER = 3  # Prices may be negative; volatilities in units of price a year.
    GARMAN_KOHLHAGEN = 4
    BLACK_76_COIN = 5  # Paid in the coin it is on: price in coin, Greeks in the underlying's money.
    BLACK_SCHOLES_MERTON_AMERICAN = 6  # With the premium of early exercise, column `early`.
    BLACK_76_AMERICAN = 7
    GARMAN_KOHLHAGEN_AMERICAN = 8
    BACHELIER_EARLY_EXERCISE_LEFT_OUT = 9  # An American option valued as European; see options.py.
    BOND = 16
    CREDIT_SWAP = 17
    BOND_FUTURE = 18


class Smile(IntFlag):
    """Bits of the column `smile_bits`; the first four are those of kernels/smile.fit."""

    FEW = 1  # Too few quotes may speak.
    BUTTERFLY = 2  # Arbitrage between strikes.
    CALENDAR = 4  # Arbitrage between expiries.
    LIFTED = 8  # The slice was raised to end an arbitrage between expiries.
    KEPT = 16  # The newest fit or parity failed: an older one stands.
    FLAT = 32  # No slice: an option's own volatility of the mid, else their median.
    CARRY = 64  # No parity: the forward is the spot carried at rate and dividends.


ANALYTICS = Table(
    4,
    "analytics",  # Rows are those of INSTRUMENTS.
    (
        Column("model_price", "Model", "price", "price", "none", "price at the smile's volatility"),
        Column("implied", "IV %", "percent", "% a year", "none", "of the mid"),
        Column("implied_bid", "IV bid %", "percent", "% a year", "none", "of the best bid"),
        Column("implied_ask", "IV ask %", "percent", "% a year", "none", "of the best ask"),
        Column("smile", "Smile %", "percent", "% a year", "none", "volatility used: of the smile"),
        Column("delta", "Delta", "number", "per 1", "none", "price per 1 of the underlying"),
        Column("gamma", "Gamma", "number", "per price", "none", "delta per 1 of the underlying"),
        Column(
            "vega", "Vega", "number", "price per vol point", "none", "price for volatility + 0.01"
        ),
        Column(
            "theta", "Theta", "number", "price per day", "none", "price per calendar day passed"
        ),
        Column("rho", "Rho", "number", "price per bp", "none", "price for the rate + 1 bp"),
        Column("vanna", "Vanna", "number", "per vol point", "none", "delta per vol point"),
        Column("volga", "Volga", "number", "price per vol point^2", "none", "vega per vol point"),
        Column("charm", "Charm", "number", "per day", "none", "delta per calendar day passed"),
        Column("underlying_price", "Under", "number", "price", "none", "underlying's mid, used"),
        Column("forward", "Fwd", "number", "price", "none", "underlying at expiry, used"),
        Column(
            "smile_age_s",
            "Smile age",
            "number",
            "s",
            "none",
            "since the smile was fitted, or found to fit",
        ),
        Column("smile_bits", "Smile", "flags", "bits", "none", "see Smile"),
        Column("yield", "Yield", "percent", "% a year", "none", "see kernels/bond"),
        Column("accrued", "Accrued", "number", "price", "none", "interest since the last coupon"),
        Column("duration", "Dur", "number", "years", "none", "modified"),
        Column("dv01", "DV01", "number", "price per bp", "none", "price units for yield - 1 bp"),
        Column("cs01", "CS01", "number", "price per bp", "none", "price units for spread + 1 bp"),
        Column("z_spread_bp", "Z bp", "basis_points", "bp", "none", "over the zero curve"),
        Column("model", "Model id", "count", "id", "none", "see Model"),
        Column("years", "Years", "number", "years", "none", "to expiry, of 365 days, used"),
        Column("rate", "Rate %", "percent", "% a year", "none", "continuous, to expiry, used"),
        Column("early", "Early", "number", "price", "none", "premium of early exercise, used"),
    ),
)

# Columns that quants wrote in layouts, beside INSTRUMENTS and beside POSITIONS: which is which is
# told with the names (compute/quant_part.py), and differs from run to run.
_PLACES = tuple(
    Column(f"quant_{place}", "", "number", "its own", "none", "see the layouts")
    for place in range(32)
)
QUANT = Table(13, "quant", _PLACES)
QUANT_POSITIONS = Table(14, "quant_positions", _PLACES)

# What `risk` tells, as worker 1.
RISK_TABLES = (
    *(ANALYTICS, RISK, EXPOSURES, VALUE_AT_RISK, SCENARIOS, LIMITS, ATTRIBUTION),
    *(QUANT, QUANT_POSITIONS),
)
TABLES = (*LIVE_TABLES, *RISK_TABLES)
assert len({table.id for table in TABLES}) == len(TABLES)
assert max(table.width for table in TABLES) <= 32  # A row's changed columns are a u4 mask.

BOOKS_MAX = 64  # Rows of BOOKS; a fund of this size has tens of books.
POSITIONS_MAX = 8_192  # Rows of POSITIONS: books x traded instruments, about 20 x 400 here.

BOOK_NAMES = (
    *("Macro rates", "FX carry", "Commodity trend", "US TMT", "EU industrials"),
    *("Index dispersion", "IG curve", "Digital assets"),
)
