"""Shape: every table and column of the product, once; arrays, SQL and widgets derive from it.

A table is a float64 array [rows, columns]. NaN is unknown and is shown as a blank, never as 0.
Moments are milliseconds since the epoch (float64 holds them to 0.25 us); exact nanoseconds stay
in the events.
"""

from dataclasses import dataclass
from enum import IntFlag

import numpy as np


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `format` is what the painter knows, `unit` what a person reads."""

    name: str
    head: str
    format: str  # price, quantity, percent, basis_points, money_k, money_m, count, moment, flags
    unit: str
    aggregate: str  # sum, last, or none: what a group or a total may do with it
    source: str  # How it is computed, for the glossary.


@dataclass(frozen=True, slots=True)
class Table:
    """A named list of columns; `id` is its number on the wire."""

    id: int
    name: str
    columns: tuple[Column, ...]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    def index(self, name: str) -> int:
        """Position of the column `name`; KeyError lists the columns there are."""
        try:
            return self.names.index(name)
        except ValueError:
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
    GAP = 16  # Events of its source are missing since the session began.
    CORRECTED = 32  # The newest trade event was a correction or a bust.
    AUCTION = 64
    CLOSED = 128


INSTRUMENTS = Table(
    0,
    "instruments",
    (
        Column("bid", "Bid", "price", "price", "none", "best bid of the newest quote"),
        Column("ask", "Ask", "price", "price", "none", "best ask of the newest quote"),
        Column("last", "Last", "price", "price", "none", "price of the newest eligible trade"),
        Column("mid", "Mid", "price", "price", "none", "(bid + ask) / 2, kept while crossed"),
        Column("bid_size", "Bid size", "quantity", "units", "none", "size at the best bid"),
        Column("ask_size", "Ask size", "quantity", "units", "none", "size at the best ask"),
        Column("last_size", "Last size", "quantity", "units", "none", "size of the newest trade"),
        Column("change", "Chg %", "percent", "%", "none", "last (else mid) / previous close - 1"),
        Column("vwap", "VWAP", "price", "price", "none", "sum p q / sum q, session, eligible"),
        Column("vwap_1m", "VWAP 1m", "price", "price", "none", "the same over 60 s buckets"),
        Column("vs_vwap", "vs VWAP bp", "basis_points", "bp", "none", "(last / vwap - 1) 1e4"),
        Column("volatility", "Vol %", "percent", "% a year", "none", "EWMA of mid, see volatility"),
        Column("open", "Open", "price", "price", "none", "first eligible trade of the session"),
        Column("high", "High", "price", "price", "none", "highest eligible trade"),
        Column("low", "Low", "price", "price", "none", "lowest eligible trade"),
        Column("volume", "Volume", "quantity", "units", "none", "sum of trade sizes, session"),
        Column("trades", "Trades", "count", "trades", "sum", "trades that counted in volume"),
        Column("position", "Position", "quantity", "units", "none", "sum over books"),
        Column("pnl", "P&L k", "money_k", "USD", "sum", "realised + unrealised - fees, USD"),
        Column("exposure", "Value M", "money_m", "USD", "sum", "position x mark x multiplier, USD"),
        Column("ts_event", "Age", "moment", "ms", "last", "event time of the newest event"),
        Column("state", "State", "flags", "bits", "none", "see State"),
        Column("gaps", "Gaps", "count", "events", "sum", "events of its source found missing"),
    ),
)

POSITIONS = Table(
    1,
    "positions",
    (
        Column("book", "Book", "count", "id", "none", "whose position"),
        Column("instrument", "Instrument", "count", "id", "none", "of what"),
        Column("quantity", "Position", "quantity", "units", "none", "sum of fills, signed"),
        Column("average", "Avg cost", "price", "price", "none", "average cost of what is open"),
        Column("realised", "Realised k", "money_k", "USD", "sum", "closed at average cost"),
        Column("unrealised", "Unrealised k", "money_k", "USD", "sum", "q (mark - average) m"),
        Column("fees", "Fees k", "money_k", "USD", "sum", "sum of fees"),
        Column("pnl", "P&L k", "money_k", "USD", "sum", "realised + unrealised - fees"),
        Column("value", "Value M", "money_m", "USD", "sum", "q mark m"),
    ),
)

_TOTALS = (
    Column("long", "Long M", "money_m", "USD", "sum", "sum of positive values"),
    Column("short", "Short M", "money_m", "USD", "sum", "sum of negative values"),
    Column("net", "Net M", "money_m", "USD", "sum", "long + short"),
    Column("gross", "Gross M", "money_m", "USD", "sum", "long - short"),
    Column("pnl", "P&L k", "money_k", "USD", "sum", "sum of the positions' P&L"),
    Column("positions", "Lines", "count", "lines", "sum", "positions that are not flat"),
)
BOOKS = Table(2, "books", _TOTALS)  # One row a book.
CLASSES = Table(3, "classes", _TOTALS)  # One row an asset class.

TABLES = (INSTRUMENTS, POSITIONS, BOOKS, CLASSES)

BOOKS_MAX = 64  # Rows of BOOKS; a fund of this size has tens of books.
POSITIONS_MAX = 8_192  # Rows of POSITIONS: books x traded instruments, about 20 x 400 here.

BOOK_NAMES = (
    *("Macro rates", "FX carry", "Commodity trend", "US TMT", "EU industrials"),
    *("Index dispersion", "IG curve", "Digital assets"),
)
