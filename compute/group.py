"""Rule: which groups a position belongs to, and which positions net within a group.

Enters: books and instruments of positions, the fund, the reference. Leaves: `cells`, `signs` and
`cell_group` as kernels/exposure.groups takes them. A group is (scope, key), a row of EXPOSURES
that once given stays: pages hold on to it. A cell is one root underlying within one group.

A currency pair counts in two currencies: long its base and short its quote, at the same USD; all
else of it (P&L, Greeks) is in the quote currency, where it arises. So the nets of all currencies
add up to the fund's net less that of its pairs.

A bucket is a group too: of beta, by the instrument, and of liquidity, by the days that a line takes
to leave the market at 20 % of its volume. A line changes its bucket with its size.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from compute.table import BOOKS_MAX
from ingest.fund import BETA_LEVELS, BETAS, EACH, EXIT_DAYS, EXITS, NO_BETA, UNNAMED, Fund
from ingest.instrument import AssetClass, Instrument, Reference

SCOPES = (
    *("fund", "book", "class", "currency", "sector", "country"),
    *("strategy", "trader", "issuer", "instrument", "beta", "liquidity"),
)
FUND, BOOK, CLASS, CURRENCY, SECTOR, COUNTRY, STRATEGY, TRADER, ISSUER, INSTRUMENT = range(10)
BETA, LIQUIDITY = 10, 11
BASE = len(SCOPES)  # The second membership of a currency pair.
MEMBERSHIPS = len(SCOPES) + 1
WATCHED_ONLY = (ISSUER, INSTRUMENT)  # Too many to show all: a group only where a limit asks.


class Membership(NamedTuple):
    """Who is in what; see kernels/exposure.groups."""

    cells: np.ndarray  # int32 [n, MEMBERSHIPS]
    signs: np.ndarray  # int8 [n, MEMBERSHIPS]
    cell_group: np.ndarray  # int64 [cells]
    cell_party: np.ndarray  # int64 [cells]: the issuer within the group; -1 none
    party_group: np.ndarray  # int64 [parties]
    parents: np.ndarray  # int64 [k, 2]: a book's group, and the fund's, strategy's or trader's


class Groups:
    """Rows of EXPOSURES by (scope, key), and the lookups that place a position in them."""

    def __init__(self, fund: Fund, watched: Iterable[tuple[int, str]] = ()) -> None:
        """`watched`: (scope, key) that limits need; EACH for all of a scope."""
        self.rows: dict[tuple[int, str], int] = {}
        self.keys: dict[int, dict[str, int]] = {scope: {} for scope in range(len(SCOPES))}
        self._identities = np.zeros((0, 2))
        self._books = list(fund.books)
        self._watched = {scope: set[str]() for scope in range(len(SCOPES))}
        for scope, key in watched:
            self._watched[scope].add(key)
        self.row(FUND, fund.name)
        for book in self._books:
            self.row(BOOK, book.name)
            self.row(STRATEGY, book.strategy)
            self.row(TRADER, book.trader)
        for scope, names in self._watched.items():
            for key in sorted(names - {EACH}):
                self.row(scope, key)
        for key in (*BETAS, NO_BETA, UNNAMED):
            self.row(BETA, key)
        self._by_exit = np.array([self.row(LIQUIDITY, key) for key in (*EXITS, UNNAMED)])
        self._by_book = np.full((len(SCOPES), BOOKS_MAX), -1)
        self._by_book[FUND] = 0
        for number in range(BOOKS_MAX):
            self._place_book(number)
        self._by_instrument = np.full((MEMBERSHIPS, 0), -1)
        self._issuer = np.zeros(0, np.int64)
        self._by_id: Mapping[int, Instrument] = {}

    def __len__(self) -> int:
        """Groups so far."""
        return len(self.rows)

    def row(self, scope: int, key: str) -> int:
        """Row of the group, given now if it is new."""
        place = self.rows.setdefault((scope, key), len(self.rows))
        self.keys[scope].setdefault(key, len(self.keys[scope]))
        return place

    def names(self) -> dict[str, Any]:
        """What `scope` and `key` of a row mean, for the page: JSON."""
        keys = {SCOPES[scope]: list(names) for scope, names in self.keys.items()}
        return {"scopes": list(SCOPES), "keys": keys}

    def identities(self) -> np.ndarray:
        """float64 [groups, 2]: columns scope and key."""
        if len(self._identities) != len(self.rows):
            pairs = [(scope, self.keys[scope][key]) for scope, key in self.rows]
            self._identities = np.array(pairs, np.float64).reshape(-1, 2)
        return self._identities

    def of_book(self, scope: int, book: int) -> int:
        """Row of the book's own group, its strategy's or its trader's; `place` has seen it."""
        return int(self._by_book[scope, book])

    def _place_book(self, number: int) -> None:
        book = next((book for book in self._books if book.id == number), None)
        if book is None:
            return
        self._by_book[BOOK, number] = self.row(BOOK, book.name)
        self._by_book[STRATEGY, number] = self.row(STRATEGY, book.strategy)
        self._by_book[TRADER, number] = self.row(TRADER, book.trader)

    def refresh(self, reference: Reference, beta: np.ndarray, adjusted: np.ndarray) -> None:
        """Take new and changed reference rows; new groups get new rows.

        beta: float64 [ids], NaN unknown; adjusted: bool [ids], whether it counts at all.
        """
        table = np.full((MEMBERSHIPS, len(reference)), -1)
        self._issuer, self._by_id = reference.codes("issuer")[0], reference.by_id
        for row in reference.by_id.values():
            for scope, key in _keys(row):
                if scope in WATCHED_ONLY and key not in self._watched[scope]:
                    continue
                table[scope, row.id] = self.row(CURRENCY if scope == BASE else scope, key)
        names = [*BETAS, UNNAMED]
        for number in reference.by_id:
            place = int(np.digitize(beta[number], BETA_LEVELS))
            known = names[-1 if np.isnan(beta[number]) else place]
            table[BETA, number] = self.row(BETA, known if adjusted[number] else NO_BETA)
        self._by_instrument = table

    def place(
        self, book: np.ndarray, instrument: np.ndarray, root: np.ndarray, exits: np.ndarray
    ) -> Membership:
        """Of positions [n]: int64, -1 a free slot; `root` [ids] of TERMS; `exits` of `exits_of`.

        A book that the fund does not name still counts in the fund, under its number.
        """
        used = (book >= 0) & (instrument >= 0)
        for number in np.unique(book[used]).tolist():
            if self._by_book[BOOK, number] < 0:
                self._by_book[BOOK, number] = self.row(BOOK, str(number))
                self._by_book[STRATEGY, number] = self.row(STRATEGY, UNNAMED)
                self._by_book[TRADER, number] = self.row(TRADER, UNNAMED)
        self._watch_each(np.unique(instrument[used]).tolist())
        group = np.full((len(book), MEMBERSHIPS), -1)
        of_book, of_instrument = self._by_book[:, book[used]], self._by_instrument
        group[used, : len(SCOPES)] = of_book.T
        own = of_instrument[:, instrument[used]].T
        group[used] = np.where(own >= 0, own, group[used])
        group[used, LIQUIDITY] = self._by_exit[exits[used]]
        signs = np.ones((len(book), MEMBERSHIPS), np.int8)
        signs[group[:, BASE] >= 0, CURRENCY] = -1
        signs[:, BASE] = 2
        signs[:, [FUND, STRATEGY, TRADER]] = 0  # They are sums of books.
        roots = np.zeros(len(book), np.int64)
        roots[used] = root[instrument[used]]
        cells, cell_group, cell_root = _numbered(
            group, np.broadcast_to(roots[:, None], group.shape)
        )
        issuer = self._issuer[cell_root] if len(cell_root) else cell_root
        party, party_group, _ = _numbered(np.where(issuer > 0, cell_group, -1), issuer)
        return Membership(
            cells.astype(np.int32), signs, cell_group, party, party_group, self._parents()
        )

    def _parents(self) -> np.ndarray:
        of_book = self._by_book[:, self._by_book[BOOK] >= 0]
        pairs = [np.stack((of_book[BOOK], of_book[scope])) for scope in (FUND, STRATEGY, TRADER)]
        return np.ascontiguousarray(np.concatenate(pairs, axis=1).T)

    def _watch_each(self, instruments: list[int]) -> None:
        """Groups of the scopes that are watched whole, for what is held alone."""
        whole = [scope for scope in WATCHED_ONLY if EACH in self._watched[scope]]
        for scope in whole:
            for number in instruments:
                if self._by_instrument[scope, number] < 0:
                    key = dict(_keys(self._by_id[number]))[scope]
                    self._by_instrument[scope, number] = self.row(scope, key)


def exits_of(days: np.ndarray) -> np.ndarray:
    """Bucket of liquidity, int64 [n], for days to exit; the last where they are not known."""
    return np.where(np.isnan(days), len(EXITS), np.digitize(days, EXIT_DAYS))


def _numbered(group: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (group, inner) as dense numbers in the shape given, -1 where group is; the pairs."""
    width = int(inner.max(initial=0)) + 1
    code = np.where(group >= 0, group * width + inner, -1)
    known, numbers = np.unique(code, return_inverse=True)
    numbers = numbers.reshape(code.shape)
    if len(known) and known[0] == -1:
        numbers, known = numbers - 1, known[1:]
    return np.ascontiguousarray(numbers), known // width, known % width


def _keys(row: Instrument) -> Sequence[tuple[int, str]]:
    """(scope, key) of an instrument; BASE for the base currency of a pair."""
    kind = AssetClass(row.asset_class)
    keys = [
        (CLASS, kind.name.lower()),
        (CURRENCY, row.currency or UNNAMED),
        (SECTOR, row.sector or UNNAMED),
        (COUNTRY, row.country or UNNAMED),
        (ISSUER, row.issuer or UNNAMED),
        (INSTRUMENT, row.symbol),
    ]
    if kind == AssetClass.FX and row.base:
        keys.append((BASE, row.base))
    return keys
