"""A fund in which every number and every name is there once, and who of a page may see which.

What may be seen is said here once more, plainly and slowly; `search` looks for all else in every
byte that a page is sent.
"""

import json
import re
import struct

import numpy as np

from app.mirror import Mirror
from app.rights import GROUPS
from app.strip import RISK_FIGURES
from app.view import ANSWER
from compute.group import Groups
from compute.table import (
    ANALYTICS,
    ATTRIBUTION,
    BOOKS,
    EXECUTION,
    EXPOSURES,
    INSTRUMENTS,
    LIMITS,
    POSITIONS,
    RISK,
    SCENARIOS,
    TABLES,
    VALUE_AT_RISK,
)
from ingest.fund import Book, Fund, Limit
from tests.app.test_session import Socket, unframe
from tests.app.test_view import instruments

BOOKS_OF = [  # Names that no other text has.
    *(("Qbook-0", "Qtrader-a", "Qstrategy-x"), ("Qbook-1", "Qtrader-a", "Qstrategy-y")),
    *(("Qbook-2", "Qtrader-b", "Qstrategy-y"), ("Qbook-3", "Qtrader-c", "Qstrategy-z")),
]
FUND = Fund(
    "Qfund",
    tuple(Book(3 - k, *names) for k, names in enumerate(BOOKS_OF)),  # No id is its place.
    (
        Limit(0, "Qlimit-fund", "gross", "fund", "", 1.0, 2.0),
        *(Limit(1 + k, f"Qlimit-{k}", "gross", "book", f"Qbook-{k}", 1.0, 2.0) for k in range(4)),
        Limit(5, "Qlimit-trader", "gross", "trader", "*", 1.0, 2.0),
        Limit(6, "Qlimit-class", "gross", "class", "etf", 1.0, 2.0),
    ),
)
NAMES = [name for names in BOOKS_OF for name in names]
ID_OF = {book.name: book.id for book in FUND.books}
SCOPED = (EXPOSURES, VALUE_AT_RISK, SCENARIOS, ATTRIBUTION, LIMITS)
IDENTITY = {"scope", "key", "book", "instrument", "id"}  # Small numbers; all else is a marker.
OF_THE_FUND = {(INSTRUMENTS.name, "position"), (INSTRUMENTS.name, "pnl")}
OF_THE_FUND |= {(INSTRUMENTS.name, "exposure"), (RISK.name, "component_usd")}
OF_THE_FUND |= {(RISK.name, "incremental_usd")}
MARKED = re.compile(rb"71\d{7}\.5")
ROWS = 12
FEEDS = [
    *(
        {"kind": "grid", "table": table.name, "columns": list(table.names)}
        for table in TABLES
        if table.name not in ("risk", "analytics", "quant", "quant_positions")
    ),
    {"kind": "grid", "table": "positions", "columns": ["instrument", "pnl", *RISK.names]},
    {"kind": "grid", "table": "instruments", "columns": ["pnl", *ANALYTICS.names]},
    {"kind": "series"},
    {"kind": "status"},
]


class Market:
    """Tables in which every number is there once, so that it is known wherever it turns up."""

    def __init__(self) -> None:
        self.count = 0
        self.known = {}
        self.mirror = Mirror(bus=Risk(self))  # type: ignore[arg-type]
        self.mirror.reference = instruments(ROWS)
        groups = Groups(FUND, [(10 - 1, "K1")])
        self.groups = [(scope, key) for scope, key in groups.rows]
        told = {**groups.names(), "limits": {one.id: one.name for one in FUND.limits}}
        told["books"] = {one.id: [one.name, one.trader, one.strategy] for one in FUND.books}
        self.names = groups.names()
        self.mirror.names = json.dumps(told).encode()
        identities = groups.identities()
        for table in TABLES:
            rows = len(identities) if table in SCOPED else ROWS
            self.mirror._grow(table.name, rows)
        for table in TABLES:
            for row in range(len(self.mirror.tables[table.name])):
                self.mark(table, row)
        for table in SCOPED:
            places = [table.index("scope"), table.index("key")]
            self.mirror.tables[table.name][: len(identities), places] = identities
        self.mirror.tables[LIMITS.name][:, 0] = np.arange(len(identities))
        for row in range(ROWS):
            self.own(row, row % 4)
        alerts = [
            {"alert": f"{k}.0.1", "scope": scope, "key": key, "value": self.marker(), "open": True}
            for k, (scope, key) in enumerate([("fund", ""), *self.named()])
        ]
        self.mirror.alerts = json.dumps(alerts).encode()
        self.alerts = alerts
        self.counts = {name: self.marker() for name in RISK_FIGURES}  # Of the fund's lines.
        self.mirror.health = {"risk.0": self.counts}

    def named(self) -> list[tuple[str, str]]:
        scopes = self.names["scopes"]
        return [(scopes[scope], key) for scope, key in self.groups]

    def marker(self) -> float:
        self.count += 1
        return 710_000_000 + self.count + 0.5

    def mark(self, table, row: int) -> None:
        """New numbers in a row, but in what says whose it is."""
        self.mirror.sequence += 1
        for place, name in enumerate(table.names):
            if name not in IDENTITY:
                self.mirror.tables[table.name][row, place] = self.marker()
                self.mirror.changed[table.name][row, place] = self.mirror.sequence

    def own(self, row: int, book: int) -> None:
        """A position and an order of another book; both rows are new from end to end."""
        for table in (POSITIONS, RISK, EXECUTION):
            self.mark(table, row)
        position, order = (self.mirror.tables[one.name][row] for one in (POSITIONS, EXECUTION))
        position[[POSITIONS.index("book"), POSITIONS.index("instrument")]] = book, row
        scope = row % 4
        key = book if scope < 2 else row
        for name, value in (("scope", scope), ("key", key), ("book", book), ("instrument", row)):
            order[EXECUTION.index(name)] = value
        for table in (POSITIONS, EXECUTION):
            self.mirror.changed[table.name][row] = self.mirror.sequence

    # ---- what may be seen, said once more and plainly ----------------------------------------
    def may_row(self, grant, table, row: int) -> bool:
        mine = grant["books"]
        if mine is None:
            return True
        values = self.mirror.tables[table.name][row]
        if table in (POSITIONS, RISK):
            return self.mirror.tables[POSITIONS.name][row, POSITIONS.index("book")] in mine
        if table is BOOKS:
            return row in mine
        if table in SCOPED:
            scope, key = self.named()[row]
            column = {"book": 0, "trader": 1, "strategy": 2}.get(scope)
            of = [one for one in BOOKS_OF if column is not None and one[column] == key]
            return bool(of) and all(ID_OF[one[0]] in mine for one in of)
        if table is EXECUTION:
            scope = values[EXECUTION.index("scope")]
            book = int(values[EXECUTION.index("book" if scope == 3 else "key")])
            trader = next((one.trader for one in FUND.books if one.id == book), "")
            of = [one.id for one in FUND.books if one.trader == trader]
            return {0: book in mine, 1: all(one in mine for one in of), 2: False, 3: book in mine}[
                scope
            ]
        return table in (INSTRUMENTS, ANALYTICS)

    def may_column(self, grant, table, name: str) -> bool:
        if grant["books"] is not None and (table.name, name) in OF_THE_FUND:
            return False
        hidden = {word for group in grant["hide"] for word in GROUPS.get(group, {group})}
        return not {table.name, f"{table.name}.{name}"} & hidden

    def forbidden(self, grant) -> np.ndarray:
        """Every number that must not be told, sums over what must not be told among them."""
        key = self.mirror.sequence, grant["books"], grant["hide"]
        if key not in self.known:
            self.known[key] = self._forbidden(grant)
        return self.known[key]

    def _forbidden(self, grant) -> np.ndarray:
        found = []
        for table in TABLES:
            values = self.mirror.tables[table.name]
            rows = np.array([self.may_row(grant, table, row) for row in range(len(values))])
            quant = table.name.startswith("quant") and (grant["books"] is not None or grant["hide"])
            for place, column in enumerate(table.columns):
                if column.name in IDENTITY:
                    continue
                may = self.may_column(grant, table, column.name) and not quant
                barred = ~rows if may else np.ones(len(rows), bool)
                found.append(values[barred, place])
                if barred.any() and table in (POSITIONS, RISK, INSTRUMENTS):
                    found.append([values[:, place].sum()])
                    found += [[one.sum()] for one in self.by_class(values[:, place], barred)]
        books = self.mirror.tables[BOOKS.name][:, BOOKS.index("pnl")]
        if grant["books"] is not None:
            found.append([books.sum()])
        if grant["books"] is not None or grant["hide"]:
            found.append([*self.counts.values()])
        for one in self.alerts:
            scoped = grant["books"] is None or self.may_group(grant, one["scope"], one["key"])
            if not scoped or not self.may_column(grant, LIMITS, "value"):
                found.append([one["value"]])
        return np.unique(np.concatenate([np.asarray(one, float).ravel() for one in found]))

    def by_class(self, values, barred):
        kinds = np.arange(len(values)) % 12
        return [values[kinds == kind] for kind in range(12) if barred[kinds == kind].any()]

    def may_group(self, grant, scope: str, key: str) -> bool:
        pairs = self.named()
        return (scope, key) in pairs and self.may_row(grant, EXPOSURES, pairs.index((scope, key)))

    def forbidden_names(self, grant) -> list[bytes]:
        if grant["books"] is None:
            return []
        known = {name for names in BOOKS_OF if ID_OF[names[0]] in grant["books"] for name in names}
        found = {*NAMES} - known  # Whoever sees a book knows whose it is.
        limits = [
            f"Qlimit-{k}" for k in range(4) if not self.may_group(grant, "book", f"Qbook-{k}")
        ]
        return [name.encode() for name in {*found, *limits, "Qlimit-fund", "Qlimit-class"}]


class Risk:
    """The process `risk`, which answers with all that it knows."""

    def __init__(self, market: Market) -> None:
        self.market = market

    async def ask_risk(self, message) -> None:
        self.asked = message

    async def answer(self, _name, _seconds):
        market, asked = self.market, self.asked
        if asked["type"] == "acknowledge":
            return {"acknowledged": next(a for a in market.alerts if a["alert"] == asked["alert"])}
        if asked["type"] != "what_if":
            return {"refused": [{"bytes": str(market.marker()), "whose": "Qbook-0 Qbook-3"}]}
        tables = market.mirror.tables
        whole = {
            table.name: {
                "columns": list(table.names),
                "rows": list(range(len(tables[table.name]))),
                "before": tables[table.name].tolist(),
                "after": tables[table.name].tolist(),
            }
            for table in (EXPOSURES, VALUE_AT_RISK, SCENARIOS)
        }
        rows = whole["exposures"]["after"]
        groups = [{"scope": r[0], "key": r[1], "measures": {"net": [r[4], r[4]]}} for r in rows]
        limits = [
            {"scope": scope, "key": key, "name": key, "value": [rows[k][4], rows[k][5]]}
            for k, (scope, key) in enumerate(market.named())
        ]
        return {"what_if": {**whole, "groups": groups, "limits": limits, "unmarked": [1]}}


class Past:
    """The record, which knows the P&L of every book."""

    def __init__(self, market: Market) -> None:
        self.market = market

    def books(self, _from_ns, to_ns, _step_s):
        values = self.market.mirror.tables[BOOKS.name][:4, BOOKS.index("pnl")]
        return np.array([[book, to_ns / 1e6 - 3e4, values[book]] for book in range(4)])

    def bars(self, *_):
        return np.zeros((0, 8))

    def lasts(self, *_):
        return np.zeros((0, 2))

    def levels(self, *_):
        return np.zeros((0, 5))


class Tap(Socket):
    """A socket that searches every byte for what must not be on it at that moment."""

    def __init__(self, market: Market, grant) -> None:
        super().__init__()
        self.market, self.grant, self.sent = market, grant, 0
        self.answers: list[dict] = []

    def write(self, push: bytes) -> bool:
        self.sent += 1
        self.sequence = int(struct.unpack_from("<d", unframe(push)[-1], 8)[0])
        search(push, self.market, self.grant)
        body = unframe(push)[-1]
        at = 32
        while at < len(body):
            _feed, kind, size = struct.unpack_from("<HHI", body, at)
            if kind == ANSWER:
                self.answers.append(json.loads(body[at + 8 : at + 8 + size]))
            at += 8 + size
        return True


def search(data: bytes, market: Market, grant) -> None:
    forbidden = market.forbidden(grant)
    for start in range(8):  # Wherever a number may begin.
        numbers = np.frombuffer(data, "<f8", (len(data) - start) // 8, start)
        told = numbers[(numbers > 7e8) & (numbers < 1e12)]
        assert not np.isin(told, forbidden).any(), f"{told[np.isin(told, forbidden)][:5]} was told"
    written = np.array([float(one) for one in MARKED.findall(data)])
    assert not np.isin(written, forbidden).any(), f"{written[np.isin(written, forbidden)]} is text"
    for name in market.forbidden_names(grant):
        assert re.search(name + rb"(?![\w-])", data) is None, f"{name!r} was told"
