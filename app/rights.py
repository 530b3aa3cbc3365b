"""Rule: what a person may see: whose books, and which columns; all that tells pages asks here.

Enters: what the access file grants, the fund, the names that `risk` tells. Leaves: a `Rights`, the
same for all who may see the same, so that they share views; and what is left of tables, names,
alerts, answers and the status for it. What is of the whole fund and cannot be split is withheld
from whoever may not see all books. What is not said to be permitted is not: a row whose book is not
known is nobody's but theirs who may see everything.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from compute.table import (
    ANALYTICS,
    ATTRIBUTION,
    BOOK_NAMES,
    BOOKS,
    CLASSES,
    EXECUTION,
    EXPOSURES,
    INSTRUMENTS,
    LIMITS,
    POSITIONS,
    QUANT,
    QUANT_POSITIONS,
    RISK,
    SCENARIOS,
    TABLES,
    VALUE_AT_RISK,
    Table,
)
from ingest.fund import EACH, Fund

_QUANT = (QUANT.name, QUANT_POSITIONS.name)
# Of the whole fund: for whoever may not see all of its books there is no part of it that is theirs.
# What a quant computes may be made of anything.
OF_THE_FUND = frozenset(
    (
        *(f"{INSTRUMENTS.name}.{name}" for name in ("position", "pnl", "exposure")),
        *(f"{RISK.name}.{name}" for name in ("component_usd", "incremental_usd")),
        *(CLASSES.name, *_QUANT),
    )
)
# Columns by which the gain of a line is told, or can be computed of what else is shown.
_GAINS = (
    *("average", "fifo_average", "mean_average", "close", "realised", "unrealised", "fees", "pnl"),
    *("income", "dividends", "coupons", "funding", "borrow", "day_pnl", "overnight", "intraday"),
    *("day_translation", "translation", "pnl_base", "fifo_realised", "mean_realised"),
)
_OF_RISK = (RISK.name, EXPOSURES.name, VALUE_AT_RISK.name, SCENARIOS.name, LIMITS.name)
GROUPS: dict[str, frozenset[str]] = {  # What `hide` may name beside "table.column".
    "pnl": frozenset(
        (
            *(
                f"{table.name}.{name}"
                for table in (POSITIONS, BOOKS, CLASSES, EXPOSURES, EXECUTION)
                for name in _GAINS
                if name in table.names
            ),
            *(f"{INSTRUMENTS.name}.pnl", ATTRIBUTION.name, LIMITS.name, *_QUANT),
        )
    ),
    "positions": frozenset(
        (
            *(f"{INSTRUMENTS.name}.{name}" for name in ("position", "pnl", "exposure")),
            *(POSITIONS.name, EXECUTION.name, ATTRIBUTION.name, *_OF_RISK, *_QUANT),
            *(
                f"{table.name}.{name}"
                for table in (BOOKS, CLASSES)
                for name in ("long", "short", "net", "gross", "positions", "exit_value", "fx_stale")
            ),
        )
    ),
    "risk": frozenset((*_OF_RISK, *_QUANT)),
    "execution": frozenset((EXECUTION.name,)),
}
_OF_THE_MARKET = frozenset(
    (*(f"{INSTRUMENTS.name}.{name}" for name in INSTRUMENTS.names), ANALYTICS.name)
) - {f"{INSTRUMENTS.name}.{name}" for name in ("position", "pnl", "exposure")}
_SCOPED = frozenset(
    table.name for table in (EXPOSURES, VALUE_AT_RISK, SCENARIOS, ATTRIBUTION, LIMITS)
)
_BY_BOOK = frozenset((POSITIONS.name, RISK.name, QUANT_POSITIONS.name))
_ROWED = _SCOPED | _BY_BOOK | {BOOKS.name, EXECUTION.name}
_TABLE = {table.name: table for table in TABLES}
OF_BOOKS = ("book", "strategy", "trader")  # Scopes that are sums of whole books.
_LISTS_HELD = ("issuer", "instrument")  # Scopes whose names tell what the fund holds.
_SCOPES_MAX = 1 << 20  # Keys of a scope, which makes one number of scope and key.
_OF_BOOK, _OF_TRADER, _OF_VENUE, _OF_ORDER = range(4)  # Scopes of EXECUTION.
NOT_PERMITTED = "not permitted: the access file does not let you see it"


class RightsError(ValueError):
    """What is granted makes no sense; the text says what and what to do."""


class Mirror(Protocol):
    """What is needed of app.mirror.Mirror."""

    tables: Any
    names: Any
    sequence: int


class Rights(NamedTuple):
    """What may be seen. Equal ones are of people who may see the same."""

    books: frozenset[int] | None = None  # None: all.
    groups: frozenset[tuple[str, str]] = frozenset()  # Those of OF_BOOKS, by scope and name.
    traders: frozenset[int] = frozenset()  # Books of traders all of whose books may be seen.
    limits: frozenset[int] = frozenset()
    hidden: frozenset[str] = frozenset()  # "table.column", or a whole table.

    @property
    def everything(self) -> bool:
        """Whether nothing is withheld."""
        return self.books is None and not self.hidden

    def words(self) -> str:
        """For people."""
        if self.everything:
            return "everything"
        said = self._replace(hidden=self.hidden - OF_THE_FUND).said()
        books = ", ".join(said["books"]) or "no book"
        parts = ["all books" if self.books is None else f"{books}, nothing of the whole fund"]
        parts += [f"no {table}" for table in said["tables"]]
        parts += [f"no {', '.join(names)} of {table}" for table, names in said["columns"].items()]
        return "; ".join(parts)

    def column(self, table: str, name: str) -> bool:
        """Whether a column may be seen, in the rows that may be."""
        return table not in self.hidden and f"{table}.{name}" not in self.hidden

    def lacks(self, table: str, names: Sequence[str]) -> str:
        """Why these columns of a table may not be asked for, and what to do; "" where they may."""
        missing = [name for name in names if not self.column(table, name)]
        if not missing:
            return ""
        if len(missing) == len(names):
            return f"nothing of {table} may be seen: take the block out, or ask for the right to it"
        said = ", ".join(missing)
        return f"{said} of {table} may not be seen: take it out, or ask for the right to it"

    def columns(self, table: Table) -> np.ndarray:
        """Of each column whether it may be seen, bool [width]; not to be written."""
        return _columns(self.hidden, table)

    def guards(self, table: str) -> bool:
        """Whether some rows of a table may not be seen."""
        return table in self.hidden or (self.books is not None and table in _ROWED)

    def rows(self, mirror: Mirror, table: str, rows: np.ndarray) -> np.ndarray:
        """Of rows by their numbers, as they are now, whether they may be seen: bool [n]."""
        if table in self.hidden:
            return np.zeros(len(rows), np.bool_)
        if self.books is None or table not in _ROWED:
            return np.ones(len(rows), np.bool_)
        if table == BOOKS.name:
            return np.isin(rows, [*self.books])
        if table in _BY_BOOK:
            told = mirror.tables[POSITIONS.name][rows, POSITIONS.index("book")]
            return np.isin(told, [*self.books])
        own = _TABLE[table]
        held = mirror.tables[table]
        scope, key = held[rows, own.index("scope")], held[rows, own.index("key")]
        if table in _SCOPED:
            return np.isin(scope * _SCOPES_MAX + key, _codes(mirror.names, self.groups))
        found = (scope == _OF_BOOK) & np.isin(key, [*self.books])
        found |= (scope == _OF_TRADER) & np.isin(key, [*self.traders])
        orders = np.isin(held[rows, own.index("book")], [*self.books])
        found |= (scope == _OF_ORDER) & orders
        return np.asarray(found)

    def group(self, scope: str, key: str) -> bool:
        """Whether the figures of a group may be seen, where any are."""
        return self.books is None or (scope, key) in self.groups

    # ---- what is told beside tables ------------------------------------------------------------
    def names(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What numbers mean, without what may not be named; and what is withheld."""
        if self.everything:
            return dict(told)
        out = {**told, "rights": self.said()}
        if self.books is None:
            return out
        keys = {**told.get("keys", {})}
        for scope in OF_BOOKS:
            keys[scope] = [key if self.group(scope, key) else "" for key in keys.get(scope, ())]
        for scope in _LISTS_HELD:
            keys[scope] = [""] * len(keys.get(scope, ()))
        books, limits = told.get("books", {}), told.get("limits", {})
        out["keys"] = keys
        out["books"] = {number: said for number, said in books.items() if int(number) in self.books}
        out["limits"] = {
            number: said for number, said in limits.items() if int(number) in self.limits
        }
        out.pop("quant", None)  # Why somebody's column is blank may say of whose line.
        return out

    def said(self) -> dict[str, Any]:
        """What a page is told of what is withheld from it."""
        tables = [name for name in self.hidden if "." not in name]
        columns: dict[str, list[str]] = {}
        for name in sorted(self.hidden - {*tables}):
            table, _, column = name.partition(".")
            columns.setdefault(table, []).append(column)
        books = sorted(key for scope, key in self.groups if scope == "book")
        fund = self.books is None
        return {"tables": sorted(tables), "columns": columns, "books": books, "fund": fund}

    def blocks(self, spec: Any) -> Any:
        """A desk's description without the names of books that may not be seen."""
        if self.books is None:
            return spec
        if isinstance(spec, Mapping):
            return {
                name: [one if k in self.books else "" for k, one in enumerate(value)]
                if name in ("names", "books") and _are_books(value)
                else self.blocks(value)
                for name, value in spec.items()
            }
        return [self.blocks(one) for one in spec] if isinstance(spec, list) else spec

    def alerts(self, told: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The incidents of limits whose groups may be seen."""
        if LIMITS.name in self.hidden:
            return []
        return [one for one in told if self.group(str(one.get("scope")), str(one.get("key")))]

    def status(self, told: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        """What the strip says, without what counts lines and limits of the fund: `names`."""
        withheld = {} if self.everything else dict.fromkeys(names)
        return {**told, **withheld}

    # ---- what is asked -------------------------------------------------------------------------
    def refusal(self, asked: Mapping[str, Any], alerts: bytes) -> str:
        """Why a question to `risk` may not be asked; "" where it may."""
        if self.everything:
            return ""
        if asked["type"] not in ("acknowledge", "what_if"):
            return NOT_PERMITTED  # What else there is to ask is of everybody's.
        if asked["type"] == "acknowledge":
            known = {one.get("alert") for one in self.alerts(json.loads(alerts or b"[]"))}
            return "" if asked["alert"] in known else NOT_PERMITTED
        may = not self.hidden - OF_THE_FUND  # What would be is told in all columns.
        mine = self.books or frozenset()
        return "" if may and all(one["book"] in mine for one in asked["trades"]) else NOT_PERMITTED

    def answer(self, told: dict[str, Any], names: bytes) -> dict[str, Any]:
        """What `risk` answered, of the groups that may be seen by now."""
        if self.everything or "error" in told:
            return told
        if alert := told.get("acknowledged"):
            return told if self.alerts([alert]) else {"error": NOT_PERMITTED}
        if "what_if" not in told or self.hidden - OF_THE_FUND:
            return {"error": NOT_PERMITTED}
        codes = {*_codes(names, self.groups).tolist()}

        def mine(pair: Sequence[Any]) -> bool:
            return None not in pair[:2] and pair[0] * _SCOPES_MAX + pair[1] in codes

        would = {**told["what_if"], "unmarked": []}
        would["groups"] = [one for one in would["groups"] if mine((one["scope"], one["key"]))]
        would["limits"] = [one for one in would["limits"] if self.group(one["scope"], one["key"])]
        for table in (EXPOSURES.name, VALUE_AT_RISK.name, SCENARIOS.name):
            whole = would[table]
            keep = [k for k, row in enumerate(whole["after"]) if mine(row)]
            parts = {name: [whole[name][k] for k in keep] for name in ("rows", "before", "after")}
            would[table] = {**whole, **parts}
        return {**told, "what_if": would}


ALL = Rights()


def granted(
    fund: Fund,
    books: Sequence[str] = (),
    strategies: Sequence[str] = (),
    traders: Sequence[str] = (),
    hide: Sequence[str] = (),
) -> Rights:
    """Of names as an access file has them; RightsError where the fund, or no table, has one.

    `books` may be EACH, "*": all there are, and those that come.
    """
    for what, named in (("book", books), ("strategy", strategies), ("trader", traders)):
        known = fund.keys(what) | ({EACH} if what == "book" else set())
        if unknown := sorted({*named} - known):
            said = ", ".join(sorted(known))
            raise RightsError(f"there is no {what} {unknown[0]!r:.60} in {fund.name}: {said}")
    hidden = frozenset().union(*(_hidden(name) for name in hide))
    if EACH in books:
        return Rights(hidden=hidden)
    mine = [
        one
        for one in fund.books
        if one.name in books or one.strategy in strategies or one.trader in traders
    ]
    others = [one for one in fund.books if one not in mine]
    groups = {("book", one.name) for one in mine}
    for scope in ("strategy", "trader"):
        whole = {getattr(one, scope) for one in mine} - {getattr(one, scope) for one in others}
        groups |= {(scope, name) for name in whole}
    limits = {
        one.id
        for one in fund.limits
        if one.scope in OF_BOOKS and (one.key == EACH or (one.scope, one.key) in groups)
    }
    return Rights(
        frozenset(one.id for one in mine),
        frozenset(groups),
        frozenset(one.id for one in mine if ("trader", one.trader) in groups),
        frozenset(limits),
        hidden | OF_THE_FUND,
    )


def _hidden(name: str) -> frozenset[str]:
    """What a word of `hide` stands for."""
    if name in GROUPS:
        return GROUPS[name]
    table, _, column = name.partition(".")
    if name in _OF_THE_MARKET or table in _OF_THE_MARKET:
        raise RightsError(f"{name} is of the market, which everybody sees")
    if table not in _TABLE or column not in _TABLE[table].names:
        raise RightsError(
            f"hide is {name!r:.60}: it takes {', '.join(GROUPS)}, or a column as positions.pnl"
        )
    return frozenset((name,))


@lru_cache(maxsize=1_024)
def _columns(hidden: frozenset[str], table: Table) -> np.ndarray:
    if table.name in hidden:
        return np.zeros(table.width, np.bool_)
    return np.array([f"{table.name}.{name}" not in hidden for name in table.names])


@lru_cache(maxsize=64)
def _codes(names: bytes, groups: frozenset[tuple[str, str]]) -> np.ndarray:
    """Scope and key of the groups as one number each, as the names say them."""
    told = json.loads(names) if names else {}
    scopes, keys = told.get("scopes", []), told.get("keys", {})
    found = [
        scopes.index(scope) * _SCOPES_MAX + keys[scope].index(key)
        for scope, key in groups
        if scope in scopes and key in keys.get(scope, ())
    ]
    return np.array(found, np.float64)


def _are_books(value: Any) -> bool:
    return list(value) == list(BOOK_NAMES) if isinstance(value, list | tuple) else False


class Seen:
    """A mirror as somebody may see it: what is withheld is not known. Else it is that mirror."""

    def __init__(self, mirror: Any, rights: Rights) -> None:
        """Nothing is copied before it is looked at."""
        self.mirror, self.rights = mirror, rights
        self.tables = _Tables(mirror, rights)

    def __getattr__(self, name: str) -> Any:
        """All else is the mirror's."""
        return getattr(self.mirror, name)


class _Tables(Mapping[str, np.ndarray]):
    def __init__(self, mirror: Any, rights: Rights) -> None:
        self.mirror, self.rights = mirror, rights
        self._at = -1
        self._made: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        table: np.ndarray = self.mirror.tables[name]
        columns = self.rights.columns(_TABLE[name])
        if columns.all() and not self.rights.guards(name):
            return table
        if self._at != self.mirror.sequence:
            self._at, self._made = self.mirror.sequence, {}
        if name not in self._made:
            may = self.rights.rows(self.mirror, name, np.arange(len(table)))
            self._made[name] = np.where(may[:, None] & columns, table, np.nan)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.mirror.tables)

    def __len__(self) -> int:
        return len(self.mirror.tables)


def seen(mirror: Any, rights: Rights) -> Any:
    """The mirror itself where nothing is withheld."""
    return mirror if rights.everything else Seen(mirror, rights)
