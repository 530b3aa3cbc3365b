"""Shape: the fund: its books, whose they are, and the limits that they keep.

Read from a TOML file with `name`, `[[books]]` and `[[limits]]`, or the demo's. What contradicts
itself is refused whole, every wrong row named with the reason: half a set of limits is none.
"""

import math
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

BOOKS_MAX = 64  # As many as the table of books has rows.

# Measure -> what a limit on it counts. Money is USD, and a loss or a value at risk is above 0.
MEASURES = {
    "gross": "USD, long + short",
    "net": "USD, either sign",
    "long": "USD",
    "short": "USD, above 0",
    "delta": "USD, delta-adjusted, either sign",
    "beta": "USD, beta-adjusted, either sign",
    "vega": "USD a vol point, either sign",
    "dv01": "USD a basis point of yield, either sign",
    "cs01": "USD a basis point of spread, either sign",
    "var_99": "USD, one day, 99 %",
    "day_loss": "USD lost since the last close",
    "stale_share": "share of gross that is marked stale, 0 to 1",
    "concentration": "share of gross in the largest issuer, 0 to 1",
}
SHARES = frozenset({"stale_share", "concentration"})
SCOPES = (
    *("fund", "book", "trader", "strategy", "class", "currency", "sector", "country"),
    *("issuer", "instrument", "beta", "liquidity"),
)
EACH = "*"  # The key of a limit on every group of its scope.
UNNAMED = "-"  # The key of what the reference does not say.
# Buckets of beta and of days to exit at 20 % of the average volume: a name for what is below the
# first level, then for what is from each level on.
BETA_LEVELS = (0.0, 0.5, 0.8, 1.2, 1.5)
BETAS = ("below 0", "0 to 0.5", "0.5 to 0.8", "0.8 to 1.2", "1.2 to 1.5", "1.5 and more")
NO_BETA = "no beta"  # Rates, credit, currencies, commodities, coins.
EXIT_DAYS = (0.1, 1.0, 3.0, 10.0, 30.0)
EXITS = (
    *("below 0.1 day", "0.1 to 1 day", "1 to 3 days", "3 to 10 days"),
    *("10 to 30 days", "30 days and more"),
)
COSTS = ("average", "fifo")


class FundError(ValueError):
    """A fund that cannot be; the text names file, rows, reasons and remedies."""


@dataclass(frozen=True, slots=True)
class Book:
    """One book: its positions are its trader's, under one strategy, in one base currency."""

    id: int  # Row of the table of books; fills carry it.
    name: str
    trader: str
    strategy: str
    currency: str = "USD"  # In which it is told.
    cost: str = "average"  # One of COSTS.
    nav_usd: float = 0.0  # Net asset value at the start of the day.


@dataclass(frozen=True, slots=True)
class Limit:
    """A level that a measure of a scope must not pass; `key` names which of that scope."""

    id: int
    name: str
    measure: str  # One of MEASURES.
    scope: str  # One of SCOPES.
    key: str  # Name of the book, trader, class, ...; "" in the scope fund, "*": each of them.
    warning: float
    breach: float


@dataclass(frozen=True, slots=True)
class Fund:
    """The whole of it."""

    name: str
    books: tuple[Book, ...]
    limits: tuple[Limit, ...] = ()

    @property
    def nav_usd(self) -> float:
        """Net asset value of all books."""
        return math.fsum(book.nav_usd for book in self.books)

    def keys(self, scope: str) -> frozenset[str]:
        """The names of a scope that the fund itself says; empty where others do."""
        of_books = ("trader", "strategy")
        if scope == "book":
            return frozenset(book.name for book in self.books)
        if scope in of_books:
            return frozenset(getattr(book, scope) for book in self.books)
        known = {"beta": (*BETAS, NO_BETA, UNNAMED), "liquidity": (*EXITS, UNNAMED)}
        return frozenset(known.get(scope, ()))

    def check(self) -> None:
        """FundError where rows cannot be true: each is named with what to do."""
        wrong = [*_book_problems(self.books), *_limit_problems(self)]
        if wrong:
            raise FundError("; ".join(wrong))


def of(path: Path | None) -> Fund:
    """The fund that the user named, or the demo's."""
    return load(path) if path else DEMO


def load(path: Path) -> Fund:
    """The fund of a TOML file. FundError names the file, each wrong row, and what to do."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FundError(f"{path}: {error}; give a TOML file with [[books]]") from None
    unknown = set(told) - {"name", "books", "limits"}
    wrong = [f"{name} is not known; a fund has name, books, limits" for name in sorted(unknown)]
    books = _rows(told.get("books", []), Book, "book", wrong)
    limits = _rows(told.get("limits", []), Limit, "limit", wrong)
    if not wrong:
        fund = Fund(str(told.get("name", path.stem)), tuple(books), tuple(limits))
        try:
            fund.check()
        except FundError as error:
            wrong.append(str(error))
        else:
            return fund
    raise FundError(f"{path}: " + "; ".join(wrong))


def _rows[T](told: Any, kind: Callable[..., T], what: str, wrong: list[str]) -> list[T]:
    """Rows of `[[books]]` or `[[limits]]`; what is wrong with them joins `wrong`."""
    if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
        wrong.append(f"{what}s are no rows; write [[{what}s]] above each")
        return []
    found: list[T] = []
    for number, row in enumerate(told, 1):
        own = list(_field_problems(row, kind))
        wrong += [f"{what} {number} {row.get('name', '')!r}: {problem}" for problem in own]
        if not own:
            found.append(kind(**row))
    return found


def _field_problems(row: dict[str, Any], kind: Any) -> Iterator[str]:
    known = {field.name: field for field in fields(kind)}
    for name, value in row.items():
        if name not in known:
            yield f"{name} is not known; there are {', '.join(known)}"
            continue
        wanted = known[name].type
        if wanted is float and type(value) is int:
            continue
        if type(value) is not wanted:
            words: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text"}
            yield f"{name} is {value!r}; give {words[wanted]}"
    for name, field in known.items():
        if name not in row and field.default is MISSING:
            yield f"{name} is missing; add it"


def _book_problems(books: tuple[Book, ...]) -> Iterator[str]:
    if not books:
        yield "there is no book; add [[books]]"
    for name, values in (("id", [b.id for b in books]), ("name", [b.name for b in books])):
        for value, count in Counter(values).items():
            if count > 1:
                yield f"{count} books have the {name} {value!r}; give each its own"
    for book in books:
        tests = (
            (not 0 <= book.id < BOOKS_MAX, f"id is {book.id}; give 0 to {BOOKS_MAX - 1}"),
            (
                not book.name or not book.trader or not book.strategy,
                "name, trader or strategy is empty; give all three",
            ),
            (book.cost not in COSTS, f"cost is {book.cost!r}; give {' or '.join(COSTS)}"),
            (
                not (len(book.currency) == 3 and book.currency.isupper()),
                f"currency is {book.currency!r}; give three letters like USD",
            ),
            (
                not (math.isfinite(book.nav_usd) and book.nav_usd >= 0),
                f"nav_usd is {book.nav_usd}; give 0 or more",
            ),
        )
        yield from (f"book {book.id} {book.name!r}: {text}" for found, text in tests if found)


def _limit_problems(fund: Fund) -> Iterator[str]:
    for number, count in Counter(limit.id for limit in fund.limits).items():
        if count > 1:
            yield f"{count} limits have the id {number}; give each its own"
    for limit in fund.limits:
        among = fund.keys(limit.scope)
        tests = (
            (limit.id < 0, f"id is {limit.id}; give 0 or more"),
            (
                limit.measure not in MEASURES,
                f"measure is {limit.measure!r}; give one of {', '.join(MEASURES)}",
            ),
            (
                limit.scope not in SCOPES,
                f"scope is {limit.scope!r}; give one of {', '.join(SCOPES)}",
            ),
            (
                (limit.scope == "fund") != (limit.key == ""),
                "key is empty in the scope fund, and named in every other",
            ),
            (
                bool(among) and limit.key not in {EACH, *among},
                f"key {limit.key!r} is none of the fund's: {', '.join(sorted(among))}",
            ),
            (
                not 0 < limit.warning < limit.breach < math.inf,
                f"warning {limit.warning:g} and breach {limit.breach:g}: give 0 < warning < breach",
            ),
            (
                limit.measure in SHARES and limit.breach > 1,
                f"breach is {limit.breach:g}; a share is at most 1",
            ),
        )
        yield from (f"limit {limit.id} {limit.name!r}: {text}" for found, text in tests if found)


DEMO = Fund(
    "Tickglass demo fund",
    (
        Book(0, "Macro rates", "Okafor", "Macro", "USD", "average", 120e6),
        Book(1, "FX carry", "Lindqvist", "Macro", "USD", "average", 60e6),
        Book(2, "Commodity trend", "Marchetti", "Trend", "USD", "average", 70e6),
        Book(3, "US TMT", "Chen", "Long/short equity", "USD", "fifo", 110e6),
        Book(4, "EU industrials", "Duval", "Long/short equity", "EUR", "fifo", 70e6),
        Book(5, "Index dispersion", "Chen", "Volatility", "USD", "average", 80e6),
        Book(6, "IG curve", "Okafor", "Credit", "USD", "average", 60e6),
        Book(7, "Digital assets", "Haddad", "Digital assets", "USD", "average", 30e6),
    ),
    (
        Limit(0, "Fund gross", "gross", "fund", "", 1_800e6, 2_400e6),
        Limit(1, "Fund net", "net", "fund", "", 500e6, 700e6),
        Limit(2, "Fund VaR 99", "var_99", "fund", "", 12e6, 15e6),
        Limit(3, "Fund loss of the day", "day_loss", "fund", "", 6e6, 9e6),
        Limit(4, "Fund DV01", "dv01", "fund", "", 400e3, 600e3),
        Limit(5, "Fund vega", "vega", "fund", "", 800e3, 1_200e3),
        Limit(6, "Fund beta", "beta", "fund", "", 300e6, 450e6),
        Limit(7, "Fund CS01", "cs01", "fund", "", 120e3, 180e3),
        Limit(8, "Stale marks", "stale_share", "fund", "", 0.1, 0.25),
        Limit(9, "One issuer", "concentration", "fund", "", 0.1, 0.15),
        Limit(10, "Loss of the day, each book", "day_loss", "book", "*", 1.5e6, 2.5e6),
        Limit(11, "Gross, each trader", "gross", "trader", "*", 700e6, 1_000e6),
        Limit(12, "Delta of volatility", "delta", "strategy", "Volatility", 60e6, 90e6),
        Limit(13, "Gross of crypto perpetuals", "gross", "class", "crypto_perpetual", 120e6, 180e6),
        Limit(14, "Short in JPY", "short", "currency", "JPY", 80e6, 120e6),
        Limit(15, "Gross in one country", "gross", "country", "*", 1_200e6, 1_600e6),
        Limit(16, "Gross in one sector", "gross", "sector", "*", 300e6, 400e6),
        Limit(17, "Gross in one instrument", "gross", "instrument", "*", 25e6, 40e6),
    ),
)
