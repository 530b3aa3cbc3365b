"""Rule: positions become exposure, value at risk, scenarios and limits; also those not yet made.

Enters: live's tables (instruments, positions), the analytics, the reference, the fund and a
history of factors. Leaves: the tables RISK, EXPOSURES, VALUE_AT_RISK, SCENARIOS and LIMITS, and
alerts. It is the last part of the process `risk`: exposure and limits at every step (100 ms),
value at risk and scenarios once a second, of the same positions.

Conventions. Long, short, gross and net are delta-adjusted USD, netted by underlying within the
group; percentages are of start-of-day NAV as the fund file gives it: a book's, strategy's or
trader's own, else the fund's. `evaluate` depends on its arguments alone; `what_if` calls it twice,
so the answer to "what if we did this" is what doing it would show.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compute import factor, group
from compute.factor import Drivers, History
from compute.group import Groups, Membership
from compute.holding import Holdings, Market, Trade, holdings, with_trades
from compute.kernels import exposure as sums
from compute.limits import Alert, Level, Limits, Watched
from compute.losses import Losses, newest_ms
from compute.table import (
    ANALYTICS,
    EXPOSURES,
    INSTRUMENTS,
    LIMITS,
    POSITIONS,
    POSITIONS_MAX,
    RISK,
    SCENARIOS,
    VALUE_AT_RISK,
)
from compute.term import terms
from compute.what_if import Change, change, check
from ingest.fund import EACH, Fund
from ingest.instrument import Reference

SLOW_NS = 1_000_000_000  # Between two values at risk.

_NONE = np.zeros(0, np.int64)
# Column of EXPOSURES that a limit's measure reads; shares are 0 to 1 in limits, % in tables.
_COLUMNS = {
    **{name: EXPOSURES.index(name) for name in ("gross", "net", "long", "short", "delta", "beta")},
    **{name: EXPOSURES.index(name) for name in ("vega", "dv01", "cs01")},
    **{name: EXPOSURES.index(name) for name in ("stale_share", "concentration")},
    "day_loss": EXPOSURES.index("day_pnl"),
}
_SCALE = {"stale_share": 0.01, "concentration": 0.01}
_MARK_AT = [INSTRUMENTS.index("mark_source"), INSTRUMENTS.index("ts_mark")]
_LINES_AT = np.array(
    [
        *(INSTRUMENTS.index(name) for name in ("ts_mark", "state")),
        *(ANALYTICS.index(name) for name in ("delta", "gamma", "vega", "theta", "rho")),
        *(ANALYTICS.index(name) for name in ("underlying_price", "duration", "dv01", "cs01")),
        *(ANALYTICS.index(name) for name in ("model", "years")),
    ]
)


@dataclass(frozen=True, slots=True)
class Figures:
    """All numbers of one set of positions; the slow ones are None where not asked for."""

    risk: np.ndarray  # [n, RISK.width]
    exposures: np.ndarray  # [groups, EXPOSURES.width]
    value_at_risk: np.ndarray | None
    scenarios: np.ndarray | None
    limits: np.ndarray  # [limits] values of their measures


class Exposure:
    """Part of compute/risk.py. `tables`: by name, as told; `alerts`: since last taken."""

    def __init__(
        self, fund: Fund, history: Callable[[Reference], History], *, prepared: bool = True
    ) -> None:
        """The tables stand, and nothing is known yet.

        `prepared`: else losses come once `losses.prepare` has been called, in any thread.

        `history`: asked at every change of the reference, for example
        `factor.demo`, or one that returns what `factor.load` read.
        """
        self.fund, self._history = fund, history
        self.limits = Limits()
        watched = [
            (group.SCOPES.index(limit.scope), limit.key)
            for limit in fund.limits
            if limit.scope != "fund"
        ]
        self.groups = Groups(fund, watched)
        self.losses = Losses(fund, self.groups)
        if prepared:
            self.losses.prepare()
        self.key_rates: np.ndarray | None = None  # [ids, 6] of a unit; see kernels/exposure.py
        self.reference = Reference()
        self.tables: dict[str, np.ndarray] = {
            "risk": RISK.empty(POSITIONS_MAX),
            "exposures": EXPOSURES.empty(len(self.groups)),
            "value_at_risk": VALUE_AT_RISK.empty(0),
            "scenarios": SCENARIOS.empty(0),
            "limits": self.limits.table,
        }
        self.health: dict[str, Any] = {}
        self._alerts: list[Alert] = []
        self._terms = terms(self.reference)
        self._drivers: Drivers | None = None
        self._members: tuple[tuple[np.ndarray, ...], Membership] | None = None
        self._market: Market | None = None
        self._held: Holdings | None = None
        self._figures: Figures | None = None  # As of the newest step.
        self._slow_due_ns = 0
        self._var_99: dict[int, float] = {}  # By row of EXPOSURES.
        self._nav = np.zeros(0)
        self._watched_groups = 0
        self._watched_rows = self._watched_columns = np.zeros(0, np.int64)  # In EXPOSURES.
        self._scale = np.zeros(0)

    def prepare(self) -> None:
        """Compile what every step needs, or load it: seconds on a first start."""
        nobody = np.zeros((0, 5), np.int64), np.zeros((1, 0)), np.zeros(0)
        market = Market(
            *(INSTRUMENTS.empty(0), ANALYTICS.empty(0), self._key_rates(0)),
            *(self._terms, Drivers(*nobody), 0),
        )
        self.evaluate(holdings(POSITIONS.empty(0), self._terms), market, slow=False)

    @property
    def members(self) -> Membership | None:
        """Groups of the positions of the newest step; None before the first."""
        return self._members[1] if self._members else None

    def names(self) -> dict[str, Any]:
        """What numbers in the tables mean, for the page (JSON): groups, books, limits."""
        return {
            **self.groups.names(),
            "limits": {limit.id: limit.name for limit in self.fund.limits},
            "books": {book.id: [book.name, book.trader, book.strategy] for book in self.fund.books},
            "nav": "start of day",
            "netting": "underlying",
        }

    def take_alerts(self) -> list[Alert]:
        """Alerts since the last call, in the order in which they were made."""
        alerts, self._alerts = self._alerts, []
        return alerts

    def acknowledge(self, alert: str, person: str, ts_ns: int) -> Alert:
        """See Limits.acknowledge; the message is also among the next `take_alerts`."""
        message = self.limits.acknowledge(alert, person, ts_ns)
        self._alerts.append(message)
        return message

    def take_key_rates(self, key_rates: np.ndarray) -> None:
        """float64 [ids, 6]: what a unit gains for -1 bp at each key rate, kept by who hands it in.

        NaN where not known: there dv01 goes to the two key rates next to the duration.
        """
        self.key_rates = key_rates

    def grow(self, reference: Reference) -> None:
        """Take new and changed instruments."""
        self.reference = reference
        self._terms = terms(reference)
        self.groups.refresh(reference, self._terms["beta"], self._terms["adjusted"])
        self._drivers = factor.drivers(reference, self._terms, self._history(reference))
        self._members = None
        self._slow_due_ns = 0

    def step(self, tables: Any, changed: Any, now_ns: int) -> np.ndarray:
        """Bring all tables up to date; no row of ANALYTICS is written."""
        ids = tables["positions"][:, POSITIONS.index("instrument")]
        newest = np.fmax.reduce(ids, initial=-1.0)
        have = min(len(self._terms), len(tables["instruments"]), len(tables["analytics"]))
        if self._drivers is None or newest >= have:
            return _NONE  # The reference is behind live's tables, for a second at most.
        held = holdings(tables["positions"], self._terms)
        market = Market(
            *(tables["instruments"], tables["analytics"], self._key_rates(have)),
            *(self._terms, self._drivers, now_ns),
        )
        slow = now_ns >= self._slow_due_ns and self.losses.ready
        self._membership(held, keep=True)
        self._watch()
        figures = self.evaluate(held, market, slow=slow)
        self._held, self._market = held, market
        self._write(figures)
        if slow:
            self._slow_due_ns = now_ns + SLOW_NS
        made = functools.partial(self._made, held, figures)
        self._alerts += self.limits.step(figures.limits, now_ns, made)
        self._figures = figures
        self._report()
        return _NONE

    def blind(self, now_ns: int) -> None:
        """Nothing is heard of live: no value is known, so no limit is watched, and it says so."""
        if self._market is None:
            return
        newest = np.fmax.reduce(self._market.instruments[:, INSTRUMENTS.index("ts_event")])
        made = now_ns if np.isnan(newest) else round(float(newest) * 1e6), ""
        self._alerts += self.limits.blind(now_ns, lambda _: made)
        self._slow_due_ns = 0
        self._report()

    def evaluate(self, held: Holdings, market: Market, *, slow: bool = True) -> Figures:
        """All figures of `held`; nothing is kept. `slow`: value at risk and scenarios too."""
        size = len(held.book)
        risk = RISK.empty(size)
        ms = market.now_ns / 1e6
        sums.lines(
            *(held.quantity, held.instrument, held.value, held.unit),
            *(market.instruments, market.analytics, _LINES_AT, market.terms, factor.TENOR_YEARS),
            *(market.key_rates, ms, risk),
        )
        risk[held.stale & (held.quantity != 0.0), sums.STALE] = 1.0
        members = self._membership(held)
        count = len(self.groups)
        net, party = np.empty(len(members.cell_group)), np.empty(len(members.party_group))
        total, sides = np.empty((count, sums.SUMS)), np.empty((count, 3))
        sums.groups(
            *(risk, held.quantity, held.pnl, held.day_pnl, members.cells, members.signs),
            *(members.cell_group, members.cell_party, members.party_group),
            *(members.parents, net, party, total, sides),
        )
        exposures = self._exposures(total, sides)
        if not slow:
            values = self._measures(exposures, self._var_99)
            return Figures(risk, exposures, None, None, values)
        at_risk = self.losses.value_at_risk(held, market, risk, members, self._navs())
        scenarios = self.losses.scenarios(held, market, risk)
        values = self._measures(exposures, self.losses.by_row(at_risk))
        return Figures(risk, exposures, at_risk, scenarios, values)

    def what_if(self, trades: Sequence[Trade]) -> Change:
        """What would change if `trades` were done at once; see compute/what_if.py.

        ValueError before the first step; TradeError for an instrument or book that cannot be.
        """
        if self._held is None or self._market is None:
            raise ValueError("no positions are known yet; ask again after the first step")
        if not self.losses.ready:
            raise ValueError("risk is starting; value at risk and scenarios are not ready yet")
        check(trades, self.reference)
        after = with_trades(self._held, self._market, trades)
        self._membership(after)
        self._watch()  # Also groups that the trades would be the first of.
        return change(self.evaluate, self.limits.watched, self._held, after, self._market)

    def rows_of_books(self, books: set[int]) -> list[int]:
        """Rows of EXPOSURES: the fund's, and of these books those that the fund names."""
        mine = [one.name for one in self.fund.books if one.id in books]
        return [0, *(self.groups.row(group.BOOK, name) for name in mine)]

    def _membership(self, held: Holdings, *, keep: bool = False) -> Membership:
        """Groups of the positions; kept as long as the slots mean the same."""
        kept, exits = self._members, self._exits(held)
        now = held.book, held.instrument, exits
        if kept is not None and all(map(np.array_equal, kept[0], now)):
            return kept[1]
        members = self.groups.place(held.book, held.instrument, self._terms["root"], exits)
        if keep:
            self._members = now, members
        return members

    def _exits(self, held: Holdings) -> np.ndarray:
        """Buckets of liquidity of the positions."""
        volume = self._terms["adv"][np.maximum(held.instrument, 0)]
        return group.exits_of(abs(held.quantity) / (sums.PARTICIPATION * volume))

    def _navs(self) -> np.ndarray:
        """Start-of-day NAV [groups] in USD; NaN where the fund file does not say."""
        if len(self._nav) == len(self.groups):
            return self._nav
        books = self.fund.books
        out = np.full(len(self.groups), self.fund.nav_usd)
        own = {group.BOOK: "name", group.STRATEGY: "strategy", group.TRADER: "trader"}
        for (scope, key), row in self.groups.rows.items():
            if scope in own:
                mine = (book.nav_usd for book in books if getattr(book, own[scope]) == key)
                out[row] = sum(mine)
        out[~(out > 0.0)] = np.nan
        self._nav = out
        return out

    def _key_rates(self, size: int) -> np.ndarray:
        """What a unit of each instrument gains at each key rate; NaN where nobody says."""
        out = np.full((size, sums.KEY_RATES), np.nan)
        if self.key_rates is not None:
            count = min(size, len(self.key_rates))
            out[:count] = self.key_rates[:count]
        return out

    def _exposures(self, total: np.ndarray, sides: np.ndarray) -> np.ndarray:
        out = EXPOSURES.empty(len(total))
        nav = self._navs()
        out[:, :2] = self.groups.identities()
        long, short, largest = sides.T
        out[:, 2], out[:, 3], out[:, 4], out[:, 5] = long, short, long + short, long - short
        out[:, 6], out[:, 7] = 100.0 * out[:, 4] / nav, 100.0 * out[:, 5] / nav
        first = EXPOSURES.index("value")
        out[:, first : first + sums.SUMMED] = total[:, : sums.SUMMED]
        out[:, EXPOSURES.index("pnl")] = total[:, sums.PNL]
        out[:, EXPOSURES.index("day_pnl")] = total[:, sums.DAY_PNL]
        whole = total[:, sums.ABSOLUTE]
        with np.errstate(invalid="ignore"):
            stale = np.where(whole == 0.0, 0.0, 100.0 * total[:, sums.STALE_ABSOLUTE] / whole)
        out[:, EXPOSURES.index("stale_share")] = stale
        with np.errstate(invalid="ignore"):
            share = np.where(out[:, 5] == 0.0, 0.0, 100.0 * largest / out[:, 5])
        out[:, EXPOSURES.index("concentration")] = share
        out[:, EXPOSURES.index("lines")] = total[:, sums.LINES]
        out[:, EXPOSURES.index("missing")] = total[:, sums.MISSING]
        return out

    def _watch(self) -> None:
        """Watch the groups that limits ask for, also those that have appeared since."""
        have = {(one.limit.id, one.key) for one in self.limits.watched}
        if self._watched_groups == len(self.groups):
            return
        more = []
        for limit in self.fund.limits:
            scope = group.SCOPES.index(limit.scope)
            keys = [key for of, key in self.groups.rows if of == scope]
            if limit.scope != "fund" and limit.key != EACH:
                keys = [limit.key]
            more += [
                Watched(
                    limit, key, scope, self.groups.keys[scope][key], self.groups.row(scope, key)
                )
                if scope
                else Watched(limit, "")
                for key in keys
                if (limit.id, key if scope else "") not in have
            ]
        self.limits.watch(more)
        self.tables["limits"] = self.limits.table
        self._watched_groups = len(self.groups)
        rows = [one.row for one in self.limits.watched]
        self._watched_rows = np.array(rows, np.int64)
        measures = [_COLUMNS.get(one.limit.measure, -1) for one in self.limits.watched]
        self._watched_columns = np.array(measures, np.int64)
        self._scale = np.array(
            [_SCALE.get(one.limit.measure, 1.0) for one in self.limits.watched], np.float64
        )

    def _measures(self, exposures: np.ndarray, var_99: dict[int, float]) -> np.ndarray:
        """Values [watched] of what the limits measure, each growing as it gets worse."""
        rows, columns = self._watched_rows, self._watched_columns
        values = np.abs(exposures[rows, columns]) * self._scale
        for number in np.flatnonzero(columns < 0).tolist():
            values[number] = var_99.get(int(rows[number]), np.nan)
        losses = np.flatnonzero(columns == EXPOSURES.index("day_pnl"))
        values[losses] = np.maximum(-exposures[rows[losses], columns[losses]], 0.0)
        return values

    def _write(self, figures: Figures) -> None:
        """Into the tables that are told; slow columns stay between two slow steps."""
        table, size = self.tables["risk"], len(figures.risk)
        width = sums.WIDTH if figures.value_at_risk is None else RISK.width
        if size > len(table):
            table = self.tables["risk"] = RISK.empty(size)
        table[:size, :width] = figures.risk[:, :width]
        table[size:] = np.nan
        self._tell_marks(table[:size])
        self.tables["exposures"] = figures.exposures
        if figures.value_at_risk is not None and figures.scenarios is not None:
            self.tables["value_at_risk"] = figures.value_at_risk
            self.tables["scenarios"] = figures.scenarios
            self._var_99 = self.losses.by_row(figures.value_at_risk)

    def _tell_marks(self, table: np.ndarray) -> None:
        """Beside each position where its mark is from, and since when."""
        assert self._held is not None
        assert self._market is not None
        number = self._held.instrument
        known = self._market.instruments[np.maximum(number, 0)][:, _MARK_AT]
        known[number < 0] = np.nan
        table[:, [RISK.index("mark_source"), RISK.index("ts_mark")]] = known

    def _made(self, held: Holdings, figures: Figures, number: int) -> tuple[int, str]:
        """Newest event time and digest of the inputs of one limit's value."""
        market = self._market
        assert market is not None
        row = int(self._watched_rows[number])
        cells = self._membership(held).cells
        of_group = np.flatnonzero(self._membership(held).cell_group == row)
        mine = np.flatnonzero(np.isin(cells, of_group).any(axis=1))
        instruments = held.instrument[mine]
        digest = hashlib.blake2b(digest_size=16)
        for part in (held.book[mine], instruments, held.quantity[mine], held.value[mine]):
            digest.update(part.tobytes())
        digest.update(figures.risk[mine, : sums.WIDTH].tobytes())
        digest.update(figures.exposures[row].tobytes())
        digest.update(figures.limits[number].tobytes())
        under = self._terms["underlying"][instruments]
        newest = newest_ms(np.concatenate((instruments, under)), market.instruments)
        ts_event = market.now_ns if np.isnan(newest) else round(newest * 1e6)
        return ts_event, digest.hexdigest()

    def _report(self) -> None:
        assert self._figures is not None
        row = self._figures.exposures[0]
        states = self.limits.table[:, LIMITS.index("state")]
        self.health = {
            "positions": int(row[EXPOSURES.index("lines")]),
            "positions_missing": int(row[EXPOSURES.index("missing")]),
            "limits_breached": int((states == Level.BREACH).sum()),
            "limits_unknown": int((states == Level.UNKNOWN).sum()),
            "alerts_open": len(self.limits.open()),
        }
