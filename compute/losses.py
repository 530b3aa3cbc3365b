"""Rule: what a set of positions may lose: value at risk by group, and the scenario grid by book.

Enters: positions with their row of RISK, their groups, the market. Leaves: rows of VALUE_AT_RISK
and SCENARIOS, and the columns of RISK that are shares of them. The fund, its books, strategies and
traders are always told; a class, currency, sector, country, issuer, instrument or bucket where a
limit on its value at risk asks: of the same days of the same history, line by line, so that what
diversifies within the group does. A currency pair's profit is in its quote currency, where it
arises.
"""

import functools
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compute import factor, group
from compute.group import Groups, Membership
from compute.holding import Holdings, Market
from compute.kernels import black, normal, scenario
from compute.kernels import exposure as sums
from compute.kernels import value_at_risk as tail
from compute.table import ANALYTICS, BOOKS_MAX, INSTRUMENTS, RISK, SCENARIOS, VALUE_AT_RISK
from compute.term import TERMS
from ingest.fund import EACH, Fund

SPOT_PCT = (0.0, -20.0, -10.0, -5.0, 5.0, 10.0, 20.0)  # 0 first: cell 0 is where we are.
VOL_POINTS = (0.0, -10.0, -5.0, 5.0, 10.0)
RATES_BP = (0.0, -100.0, 100.0)
GRID = np.array([(s, v, r) for r in RATES_BP for v in VOL_POINTS for s in SPOT_PCT])
SPOTS, POINTS, RATES = (np.ascontiguousarray(column) for column in GRID.T)
SPOTS = SPOTS / 100.0

OF_BOOKS = (group.FUND, group.BOOK, group.STRATEGY, group.TRADER)  # Sums of books.
_GRID_AT = np.array(
    [
        *(ANALYTICS.index(name) for name in ("underlying_price", "forward", "years", "rate")),
        *(ANALYTICS.index(name) for name in ("smile", "early", "model", "dv01")),
    ]
)


@functools.cache
def compiled() -> Callable[..., None]:
    """The kernel `grid`, from the disk cache where none of its sources has changed since."""
    paths = [Path(module.__file__ or "") for module in (scenario, black, normal, sums)]
    grid: Callable[..., None] = scenario.build(
        zlib.crc32(b"".join(path.read_bytes() for path in paths))
    )
    return grid


class Losses:
    """The losses of one fund; nothing is kept between two calls but what limits ask for."""

    def __init__(self, fund: Fund, groups: Groups) -> None:
        """`groups` grow; those asked for are looked up at every call."""
        self.fund, self.groups = fund, groups
        asked = [
            (group.SCOPES.index(one.scope), one.key)
            for one in fund.limits
            if one.measure == "var_99"
        ]
        self._asked = [(scope, key) for scope, key in asked if scope not in OF_BOOKS]
        self._grid: Callable[..., None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the kernels are: before that nothing may be asked."""
        return self._grid is not None

    def prepare(self) -> None:
        """Compile the kernels, or load them: half a minute on a first start, in any thread."""
        grid, none, whole = compiled(), np.zeros(0), np.zeros(0, np.int64)
        days, no_days = np.zeros((1, 0)), np.zeros((BOOKS_MAX, 0))
        risk, rows = RISK.empty(0), np.zeros((0, 5), np.int64)
        tail.profit_and_loss(
            *(risk, none, whole, rows, days, none, no_days, no_days.copy()),
            *(np.empty(BOOKS_MAX, np.int64), none, rows, np.zeros((2, 0, 0)), whole),
        )
        tail.figures(no_days, no_days, none, np.empty((BOOKS_MAX, tail.FIGURES)))
        tail.components(
            *(risk, none, rows, none, none, tail.weighted_square(none, none), none, none)
        )
        profit, missing = np.empty((BOOKS_MAX, len(GRID))), np.empty(BOOKS_MAX, np.int64)
        grid(
            *(risk, none, none, whole, whole, ANALYTICS.empty(0), _GRID_AT, np.zeros(0, TERMS)),
            *(SPOTS, POINTS, RATES, profit, missing, none),
        )
        self._grid = grid

    def value_at_risk(
        self,
        held: Holdings,
        market: Market,
        risk: np.ndarray,
        members: Membership,
        nav: np.ndarray,
    ) -> np.ndarray:
        """Rows of VALUE_AT_RISK; the columns component and incremental of `risk` too.

        nav: USD [groups], NaN unknown.
        """
        drivers = market.drivers
        size, days = len(held.book), drivers.moves.shape[1]
        rows = drivers.rows[np.maximum(held.instrument, 0)] if len(drivers.rows) else _no_rows(size)
        full, linear = np.empty((BOOKS_MAX, days)), np.empty((BOOKS_MAX, days))
        missing, variance = np.empty(BOOKS_MAX, np.int64), np.empty(size)
        deep, places = self._deep(members)
        more = np.empty((2, len(deep), days)), np.empty(len(deep), np.int64)
        tail.profit_and_loss(
            *(risk, held.quantity, held.book, rows, drivers.moves, drivers.weights),
            *(full, linear, missing, variance, places, *more),
        )
        blocks = self._blocks(held)
        of = np.array([np.isin(np.arange(BOOKS_MAX), books) for _, books in blocks], np.float64)
        full = np.concatenate((of @ full, more[0][0]))
        linear = np.concatenate((of @ linear, more[0][1]))
        missing = np.concatenate(((of @ missing).astype(np.int64), more[1]))
        rows_of = np.array([*(row for row, _ in blocks), *deep])
        out = VALUE_AT_RISK.empty(len(rows_of))
        figures = np.empty((len(rows_of), tail.FIGURES))
        tail.figures(full, linear, drivers.weights, figures)
        out[:, :2] = self.groups.identities()[rows_of]
        first = VALUE_AT_RISK.index("hist_95")
        out[:, first : first + tail.FIGURES] = figures
        out[missing > 0, first : first + tail.FIGURES] = np.nan
        out[:, VALUE_AT_RISK.index("known_99")] = figures[:, tail.HIST_99]
        loss = out[:, VALUE_AT_RISK.index("hist_99")]
        out[:, VALUE_AT_RISK.index("hist_99_pct")] = 100.0 * loss / nav[rows_of]
        out[:, VALUE_AT_RISK.index("scenarios")] = days
        out[:, VALUE_AT_RISK.index("missing")] = missing
        out[:, VALUE_AT_RISK.index("as_of_ms")] = newest_ms(held.instrument, market.instruments)
        marginal = drivers.moves @ (drivers.weights * linear[0])
        component, incremental = np.empty(size), np.empty(size)
        sigma = np.sqrt(tail.weighted_square(linear[0], drivers.weights))
        tail.components(
            *(risk, held.quantity, rows, marginal, variance, sigma, component, incremental)
        )
        blank = np.nan if missing[0] else 0.0  # Shares of a whole that is not known.
        risk[:, RISK.index("component_usd")] = component + blank
        risk[:, RISK.index("incremental_usd")] = incremental + blank
        return out

    def scenarios(self, held: Holdings, market: Market, risk: np.ndarray) -> np.ndarray:
        """Rows of SCENARIOS; the column worst_usd of `risk` too."""
        profit, missing = np.empty((BOOKS_MAX, len(GRID))), np.empty(BOOKS_MAX, np.int64)
        worst = np.empty(len(held.book))
        assert self._grid is not None
        self._grid(
            *(risk, held.quantity, held.unit, held.instrument, held.book),
            *(market.analytics, _GRID_AT, market.terms, SPOTS, POINTS, RATES),
            *(profit, missing, worst),
        )
        risk[:, RISK.index("worst_usd")] = worst
        profit[missing > 0] = np.nan
        names = self.groups.identities()
        blocks = [block for block in self._blocks(held) if names[block[0], 0] <= group.BOOK]
        out = SCENARIOS.empty(len(GRID) * len(blocks)).reshape(len(blocks), len(GRID), -1)
        for block, (row, books) in enumerate(blocks):
            out[block, :, :2] = names[row]
            out[block, :, 2:5] = GRID
            out[block, :, 5] = profit[books].sum(0)
        return out.reshape(-1, SCENARIOS.width)

    def by_row(self, at_risk: np.ndarray) -> dict[int, float]:
        """VaR 99 by row of EXPOSURES."""
        rows = {tuple(pair): row for row, pair in enumerate(self.groups.identities().tolist())}
        column = VALUE_AT_RISK.index("hist_99")
        return {rows[line[0], line[1]]: line[column] for line in at_risk.tolist()}

    def _deep(self, members: Membership) -> tuple[list[int], np.ndarray]:
        """Rows of EXPOSURES that limits ask for, and int64 [n, scopes]: places of lines in them."""
        wanted = set(self._asked)
        scopes = sorted({scope for scope, _ in wanted})
        deep = [
            row
            for (scope, key), row in self.groups.rows.items()
            if (scope, key) in wanted or (scope, EACH) in wanted
        ]
        place = np.full(len(self.groups) + 1, -1)  # The last stands for no group.
        place[deep] = np.arange(len(deep))
        cells = members.cells[:, scopes]
        of = (
            np.where(cells >= 0, members.cell_group[cells], -1)
            if len(members.cell_group)
            else cells
        )
        return deep, np.ascontiguousarray(place[of], np.int64)

    def _blocks(self, held: Holdings) -> list[tuple[int, list[int]]]:
        """(row of EXPOSURES, books) of the fund, and of each book, strategy and trader."""
        found = sorted({book.id for book in self.fund.books} | books_of(held))
        blocks = [(0, found)]
        for scope in OF_BOOKS[1:]:
            rows: dict[int, list[int]] = {}
            for book in found:
                rows.setdefault(self.groups.of_book(scope, book), []).append(book)
            blocks += rows.items()
        return blocks


def newest_ms(instruments: np.ndarray, table: np.ndarray) -> float:
    """Newest event time among the instruments (ids, -1 none); NaN where there is none."""
    times = table[instruments[instruments >= 0], INSTRUMENTS.index("ts_event")]
    times = times[~np.isnan(times)]
    return float(times.max()) if len(times) else np.nan


def books_of(held: Holdings) -> set[int]:
    """The books that hold something."""
    return set(np.unique(held.book[held.book >= 0]).tolist())


def _no_rows(size: int) -> np.ndarray:
    return np.full((size, 5), factor.UNKNOWN)
