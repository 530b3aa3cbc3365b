"""Seeded tables of a made-up market and fund, that move by themselves; plausible, not computed.

Enters: nothing but a seed. Leaves: every table of `compute.table` by name, the names beside them,
and alerts, as the product would tell them.
"""

import math
import time
from dataclasses import asdict
from itertools import cycle
from typing import Any

import numpy as np

from app.blocks.column import BESIDE
from compute.group import SCOPES
from compute.limits import Alert
from compute.table import (
    ANALYTICS,
    ATTRIBUTION,
    BOOKS,
    CLASSES,
    EXECUTION,
    EXECUTION_ROWS,
    EXPOSURES,
    INSTRUMENTS,
    LIMITS,
    POSITIONS,
    RISK,
    SCENARIOS,
    TABLES,
    VALUE_AT_RISK,
    State,
)
from ingest.fund import DEMO
from ingest.instrument import AssetClass
from ingest.universe import universe

BY_NAME = {table.name: table for table in TABLES}
SPOTS, VOLS, RATES = (-20, -10, -5, 0, 5, 10, 20), (-10, -5, 0, 5, 10), (-100, 0, 100)
OPTIONS = (AssetClass.EQUITY_OPTION, AssetClass.FUTURE_OPTION)
UNIVERSE_MAX = 10_000
BONDS = (AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT)


def page_rows(count: int) -> list[dict[str, Any]]:
    """Reference rows of the demo universe, more than once where it has not so many."""
    rows = [asdict(row) for row in universe(min(count, UNIVERSE_MAX))]
    return [row | {"id": k} for k, row in zip(range(count), cycle(rows), strict=False)]


class Market:
    """Tables that move by themselves; `touch` moves the instruments it is told."""

    def __init__(self, rows: list[dict[str, Any]], seed: int = 11, *, risk: bool = True) -> None:
        self.rows, self.risk = rows, risk
        self.rng = np.random.default_rng(seed)
        n = len(rows)
        self.asset_class = np.array([row["asset_class"] for row in rows])
        self.tables = {table.name: table.empty(0) for table in TABLES}
        self.tables |= {
            "instruments": INSTRUMENTS.empty(n),
            "analytics": ANALYTICS.empty(n),
            "books": BOOKS.empty(8),
            "classes": CLASSES.empty(12),
            "execution": EXECUTION.empty(EXECUTION_ROWS),
        }
        self.unit = np.array([row["tick"] for row in rows])
        close = np.array([row["close_prev"] or 1.0 for row in rows])
        self.level = close * (1 + self.rng.normal(0, 0.01, n))
        self.worth = np.array([row["multiplier"] * row["usd_rate"] for row in rows])
        self.pace = self.rng.pareto(1.1, n) + 0.02
        self.volume = np.round(self.rng.pareto(1.0, n) * 40_000)
        self.start = close
        cash = np.where(self.rng.random(n) < 0.2, self.rng.normal(2e5, 9e5, n), 0.0)
        self.position = np.round(cash / np.maximum(1e-6, np.abs(close * self.worth)))
        self.states = np.zeros(n)
        for bit, at in ((State.HALTED, 7), (State.CROSSED, 9), (State.CORRECTED, 12)):
            self.states[at::211] = bit
        self.states[15::301] = State.GAP
        self.states[18::401] = State.AUCTION
        self.states[21::307] = State.ONE_SIDED
        self.states[24::311] = State.INDICATIVE
        self.states[27::97] = State.ESTIMATED
        self.silent = self.rng.random(n) < 0.04
        self.ts = np.full(n, time.time() * 1e3)
        self.ts[self.silent] -= self.rng.uniform(12e3, 4e6, self.silent.sum())
        self.held = np.flatnonzero(self.position)
        self.names = self._names()
        self.tables["positions"] = POSITIONS.empty(1024)
        self.tables["risk"] = RISK.empty(1024)
        self.touch(np.arange(n), time.time() * 1e3)
        self._execution()
        if risk:
            self._analytics()
            self._risk()
        self.series: dict[int, list[list[float]]] = {}

    def values(self, name: str, columns: list[str], rows: np.ndarray) -> np.ndarray:
        """Cells of a table, or of the one beside it."""
        if not len(rows):
            return np.zeros((0, len(columns)))
        out = np.empty((len(rows), len(columns)))
        for j, column in enumerate(columns):
            home = name if column in BY_NAME[name].names else BESIDE[name]
            out[:, j] = self.tables[home][rows, BY_NAME[home].index(column)]
        return out

    def touch(self, who: np.ndarray, now_ms: float) -> None:
        """Move the instruments `who` and all that hangs on them."""
        unit, start = self.unit[who], self.start[who]
        step = self.rng.integers(-2, 3, len(who)) * unit
        self.level[who] = np.where(
            start > 0, np.maximum(unit, self.level[who] + step), self.level[who]
        )
        mid = np.round(self.level[who] / unit) * unit
        crossed, one = self.states[who] == State.CROSSED, self.states[who] == State.ONE_SIDED
        self.volume[who] += self.rng.integers(1, 9, len(who)) * 100
        vwap = (mid + start * 3) / 4
        worth = self.position[who] * self.worth[who]
        noise = self.rng.random((5, len(who)))
        ts = np.where(self.silent[who], self.ts[who], now_ms)
        told = {
            "bid": mid + np.where(crossed, 3 * unit, 0.0),
            "ask": np.where(one, np.nan, mid + unit),
            "last": mid,
            "mid": mid + unit / 2,
            "mark": mid + unit / 2,
            "vwap": vwap,
            "vwap_1m": mid - unit,
            "vwap_5m": vwap + unit,
            "vwap_30m": vwap - unit,
            "vwap_ex": vwap,
            "open": start,
            "high": np.maximum(mid, start) + 4 * unit,
            "low": np.minimum(mid, start) - 4 * unit,
            "bid_size": np.ceil(noise[0] * 90) * 100,
            "ask_size": np.ceil(noise[1] * 90) * 100,
            "last_size": np.ceil(noise[2] * 90) * 100,
            "change": (mid / start - 1) * 100,
            "vs_vwap": (mid / vwap - 1) * 1e4,
            "volatility": 12 + 30 * noise[3],
            "realised": 11 + 30 * noise[4],
            "gap_overnight": (start / mid - 1) * 30,
            "volume": self.volume[who],
            "trades": np.round(self.volume[who] / 120),
            "position": self.position[who],
            "pnl": worth * (mid - start),
            "exposure": worth * mid,
            "ts_event": ts,
            "ts_mark": ts,
            "mark_source": np.where(self.states[who] == State.ESTIMATED, 3.0, 2.0),
            "state": self.states[who],
            "gaps": (self.states[who] == State.GAP) * 3.0,
        }
        for name, values in told.items():
            self.tables["instruments"][who, INSTRUMENTS.index(name)] = values
        self.total()

    def total(self) -> None:
        """Positions, books and classes from the instruments."""
        t, at = self.tables["instruments"], INSTRUMENTS.index
        exposure, pnl = t[:, at("exposure")], t[:, at("pnl")]
        for name, by in (("classes", self.asset_class), ("books", np.arange(len(t)) % 8)):
            size, table = len(self.tables[name]), BY_NAME[name]
            add = lambda w, by=by, size=size: np.bincount(by, w, size)
            long, short = add(np.maximum(exposure, 0)), add(np.minimum(exposure, 0))
            made = {"long": long, "short": short, "net": long + short, "gross": long - short}
            made |= _split(add(pnl)) | {"positions": add(exposure != 0), "exit_value": long + short}
            for column, values in made.items():
                self.tables[name][:, table.index(column)] = values
        held, slots = self.held[:1024], np.arange(min(1024, len(self.held)))
        mark = t[held, at("mark")]
        made = {
            "book": held % 8.0,
            "instrument": held * 1.0,
            "quantity": self.position[held],
            "average": self.start[held],
            "mark": mark,
            "exit_mark": t[held, at("bid")],
            "fifo_average": self.start[held],
            "mean_average": self.start[held],
            "value": exposure[held],
            "exit_value": exposure[held] * 0.9997,
            "fx": 1.0,
            "fx_stale": 0.0,
            "start_quantity": self.position[held],
            "close": self.start[held],
            **_split(pnl[held]),
        }
        for column, values in made.items():
            self.tables["positions"][slots, POSITIONS.index(column)] = values

    def _analytics(self) -> None:
        t, rng = self.tables["instruments"], self.rng
        mid = t[:, INSTRUMENTS.index("mid")]
        n = len(mid)
        option, bond = np.isin(self.asset_class, OPTIONS), np.isin(self.asset_class, BONDS)
        smile, delta = 14 + 20 * rng.random(n), rng.uniform(-1, 1, n)
        under = np.abs(mid) * 25 + 20
        made = {
            "implied": smile + rng.normal(0, 0.3, n),
            "smile": smile,
            "implied_bid": smile - 0.4,
            "implied_ask": smile + 0.4,
            "delta": delta,
            "gamma": rng.random(n) * 0.02,
            "vega": rng.random(n) * 3,
            "theta": -rng.random(n) * 2,
            "rho": rng.normal(0, 0.02, n),
            "underlying_price": under,
            "forward": under * 1.004,
            "years": 0.11,
            "rate": 4.31,
            "smile_age_s": rng.random(n) * 4,
            "smile_bits": 0.0,
            "model": 1.0,
            "model_price": mid,
        }
        bonds = {
            "yield": 2 + 4 * rng.random(n),
            "accrued": rng.random(n) * 2,
            "duration": 1 + 18 * rng.random(n),
            "dv01": 0.01 + 0.15 * rng.random(n),
            "cs01": 0.01 + 0.1 * rng.random(n),
            "z_spread_bp": rng.normal(60, 40, n),
            "model": 16.0,
        }
        for mask, told in ((option, made), (bond, bonds)):
            for name, values in told.items():
                cells = self.tables["analytics"][:, ANALYTICS.index(name)]
                cells[mask] = (values * np.ones(n))[mask]

    def _names(self) -> dict[str, Any]:
        classes = [item.name.lower() for item in AssetClass]
        keys = {
            "fund": [DEMO.name],
            "book": [book.name for book in DEMO.books],
            "class": classes,
            "currency": ["USD", "EUR", "JPY", "GBP", "CHF", "BRL", "KRW"],
            "sector": ["Technology", "Energy", "Financials", "Industrials", "Utilities", "-"],
            "country": ["US", "DE", "FR", "JP", "GB", "BR", "-"],
            "strategy": list(dict.fromkeys(book.strategy for book in DEMO.books)),
            "trader": list(dict.fromkeys(book.trader for book in DEMO.books)),
            "issuer": [],
            "instrument": [],
        }
        return {
            "scopes": list(SCOPES),
            "keys": keys,
            "limits": {limit.id: limit.name for limit in DEMO.limits},
            "books": {book.id: [book.name, book.trader, book.strategy] for book in DEMO.books},
        }

    def _groups(self, scopes: tuple[str, ...]) -> np.ndarray:
        pairs = [(SCOPES.index(s), k) for s in scopes for k in range(len(self.names["keys"][s]))]
        return np.array(pairs, float)

    def _risk(self) -> None:
        rng, slots = self.rng, min(1024, len(self.held))
        value = self.tables["positions"][:slots, POSITIONS.index("value")]
        shares = {"delta": 1.0, "beta": 0.8, "gamma": 0.02, "vega": 0.004, "theta": -0.002}
        shares |= {"rho": 1e-4, "dv01": 6e-4, "cs01": 3e-4}
        risk = self.tables["risk"]
        for name, share in shares.items():
            risk[:slots, RISK.index(f"{name}_usd")] = value * share * rng.random(slots)
        for name, made in {
            "value_usd": value,
            "stale": rng.random(slots) < 0.05,
            "days_to_exit": rng.random(slots) * 9,
            "worst_usd": -np.abs(value) * 0.2,
            "component_usd": value * 0.01,
            "incremental_usd": value * 0.008,
            "mark_source": rng.choice([2, 3, 5], slots, p=[0.8, 0.15, 0.05]),
            "ts_mark": time.time() * 1e3 - rng.exponential(9e3, slots),
        }.items():
            risk[:slots, RISK.index(name)] = made
        groups = self._groups(("fund", *SCOPES[1:8]))
        table = EXPOSURES.empty(len(groups))
        gross = np.where(groups[:, 0] == 0, 1.9e9, rng.uniform(2e7, 5e8, len(groups)))
        net = gross * rng.uniform(-0.6, 0.8, len(groups))
        made = {
            "scope": groups[:, 0],
            "key": groups[:, 1],
            "gross": gross,
            "net": net,
            "long": (gross + net) / 2,
            "short": (net - gross) / 2,
            "value": net,
            "net_pct": net / 6e6,
            "gross_pct": gross / 6e6,
            **{name: net * share for name, share in shares.items()},
            "day_pnl": net * 0.004,
            "pnl": net * 0.011,
            "stale_share": rng.random(len(net)) * 3,
            "concentration": rng.random(len(net)) * 20,
            "lines": np.ceil(gross / 4e6),
            "missing": (rng.random(len(net)) < 0.15) * 2.0,
        }
        for share, tenor in zip(
            (2, 5, 9, 30, 44, 10), ("3m", "1y", "2y", "5y", "10y", "30y"), strict=True
        ):
            side = -1 if tenor == "2y" else 1
            made[f"kr_{tenor}"] = net * shares["dv01"] * side * share / 82
        for name, values in made.items():
            table[:, EXPOSURES.index(name)] = values
        self.tables["exposures"] = table
        self._attribution(groups, net * 0.004)
        self._losses()
        self._limits()

    def _attribution(self, groups: np.ndarray, day: np.ndarray) -> None:
        shares = {"from_price": 0.6, "from_delta": 0.3, "from_gamma": 0.1, "from_vega": -0.2}
        shares |= {"from_theta": -0.1, "from_carry": -0.05, "from_trades": 0.3, "residual": 0.05}
        shares |= {"day_pnl": 1.0, "from_fx": 0.02, "total": 1.02}
        table = ATTRIBUTION.empty(len(groups))
        table[:, :2] = groups
        for name, share in shares.items():
            table[:, ATTRIBUTION.index(name)] = day * share
        self.tables["attribution"] = table

    def _losses(self) -> None:
        groups = self._groups(("fund", "book", "strategy", "trader"))
        var = np.where(groups[:, 0] == 0, 13.4e6, self.rng.uniform(3e5, 5e6, len(groups)))
        missing = np.zeros(len(groups))
        missing[4] = 2
        table = VALUE_AT_RISK.empty(len(groups))
        shares = {"hist_95": 0.65, "hist_99": 1, "es_975": 1.08, "param_95": 0.6, "param_99": 0.9}
        for name, share in (shares | {"worst": 1.9}).items():
            table[:, VALUE_AT_RISK.index(name)] = np.where(missing > 0, np.nan, var * share)
        for name, values in {
            "scope": groups[:, 0],
            "key": groups[:, 1],
            "known_99": var,
            "missing": missing,
            "hist_99_pct": var / 6e6,
            "scenarios": 500,
            "as_of_ms": time.time() * 1e3,
        }.items():
            table[:, VALUE_AT_RISK.index(name)] = values
        self.tables["value_at_risk"] = table
        cells = []
        for scope, key in groups[:9]:
            size = 1.0 if scope == 0 else 0.1 + 0.05 * key
            for rates in RATES:
                for vol in VOLS:
                    cells += [
                        (scope, key, spot, vol, rates, size * 1e5 * _pnl(spot, vol, rates))
                        for spot in SPOTS
                    ]
        self.tables["scenarios"] = np.array(cells)
        assert self.tables["scenarios"].shape[1] == SCENARIOS.width

    def _limits(self) -> None:
        lines, at = [], SCOPES.index
        for limit in DEMO.limits:
            keys = range(len(self.names["keys"][limit.scope])) if limit.key == "*" else (0,)
            for key in keys:
                use = float(np.clip(self.rng.beta(2, 2.4) * 130, 3, 118))
                state = (
                    2.0 if use >= 100 else 1.0 if use > 100 * limit.warning / limit.breach else 0
                )
                if limit.id == 9:
                    use, state = math.nan, 3.0
                level = (limit.breach * use / 100, limit.warning, limit.breach, use, state)
                since = time.time() * 1e3 - self.rng.uniform(1e4, 9e6) if state else math.nan
                lines.append((limit.id, at(limit.scope), key, *level, since, 0.0))
        self.tables["limits"] = np.array(lines, float)
        assert self.tables["limits"].shape[1] == LIMITS.width

    def alerts(self) -> list[Alert]:
        """A message for each limit that is not within its levels."""
        made: list[Alert] = []
        names = self.names
        by_id = {limit.id: limit for limit in DEMO.limits}
        for row in self.tables["limits"]:
            limit_id, scope, key, value, warning, breach, _use, state, since, _ack = row.tolist()
            if state == 0:
                continue
            limit, scope = by_id[int(limit_id)], SCOPES[int(scope)]
            group = "" if scope == "fund" else names["keys"][scope][int(key)]
            ts = int(since * 1e6)
            made.append(
                Alert(
                    alert=f"{int(limit_id)}-{int(key)}-{ts}",
                    number=0,
                    kind="raised",
                    level=("ok", "warning", "breach", "unknown")[int(state)],
                    before="ok",
                    ts_event=ts,
                    ts_alert=ts,
                    limit=int(limit_id),
                    name=limit.name,
                    measure=limit.measure,
                    scope=scope,
                    key=group,
                    value=None if math.isnan(value) else value,
                    warning=warning,
                    breach=breach,
                    inputs="0" * 32,
                )
            )
        return made

    def _execution(self) -> None:
        table, at, rng = self.tables["execution"], EXECUTION.index, self.rng
        venues = list({row["venue"]: row["id"] for row in self.rows}.values())[:9]
        traders = {book.trader: book.id for book in reversed(DEMO.books)}
        for scope, keys in enumerate((range(8), traders.values(), venues)):
            for place, key in enumerate(keys):
                line, worth = table[64 * scope + place], rng.uniform(2e6, 9e7)
                cost = worth * rng.normal(4e-5, 1.5e-4, 3)
                line[at("scope")], line[at("key")], line[at("worth")] = scope, key, worth
                line[at("fees")] = worth * 3e-5
                for name, usd in zip(("arrival", "vwap", "decision"), cost, strict=True):
                    line[at(f"{name}_usd")], line[at(f"{name}_bp")] = usd, usd / worth * 1e4
        now_ms = time.time() * 1e3
        for place in range(40):
            line, row = table[192 + place], int(rng.choice(self.held))
            size = float(self.position[row]) or 100.0
            mid = self.tables["instruments"][row, INSTRUMENTS.index("mid")]
            done = 100.0 if place > 3 else 25.0 * place
            for name, value in {
                "scope": 3,
                "key": 9000 - place,
                "book": row % 8,
                "instrument": row,
                "ts_order": now_ms - 4e3 * place,
                "size": size,
                "done": done,
                "arrival": mid,
            }.items():
                line[at(name)] = value
            if done:
                line[at("filled")], line[at("price")] = size * done / 100, mid
                line[at("arrival_bp")], line[at("vwap_bp")] = rng.normal(0, 2, 2)

    def what_if(self, message: dict[str, Any]) -> dict[str, Any]:
        """As `risk` answers: exposure moves by what is traded, the rest by shares of it."""
        worth, books = 0.0, {trade["book"] for trade in message["trades"]}
        for number, trade in enumerate(message["trades"]):
            if not self.position[trade["instrument"]] and trade["quantity"] == 13:
                told = {"error": f"trade {number + 1}: it cannot be", "trade": number}
                return told | {"type": "what_if", "id": message["id"]}
            mark = self.tables["instruments"][trade["instrument"], INSTRUMENTS.index("mark")]
            worth += trade["quantity"] * float(mark)
        shares = {"gross": 1.0, "net": 1.0, "delta": 1.0, "beta": 0.8, "gamma": 0.0, "vega": 0.004}
        shares |= {"theta": 0.0, "dv01": 6e-4, "cs01": 0.0, "day_pnl": 0.0}
        shares |= {"hist_99": 0.01, "es_975": 0.012, "worst": -0.1}
        groups = [
            {
                "scope": SCOPES.index(scope),
                "key": key,
                "measures": {
                    k: [2e8 * abs(v), 2e8 * abs(v) + worth * v] for k, v in shares.items()
                },
            }
            for scope, key in (("fund", 0), *(("book", book) for book in sorted(books)))
        ]
        limit = {"limit": 0, "name": "Fund gross", "measure": "gross", "scope": "fund", "key": ""}
        limit |= {"before": "ok", "after": "breach", "value": [2e8, 2e8 + worth]}
        moves = [limit | {"warning": 2.1e8, "breach": 2.2e8}] if worth > 2e7 else []
        told = {"groups": groups, "limits": moves, "unmarked": []}
        return {"type": "what_if", "id": message["id"], "what_if": told}


def _pnl(spot: float, vol: float, rates: float) -> float:
    return 0.9 * spot - 0.012 * spot * spot + 0.4 * vol - 0.05 * rates - 0.01 * spot * vol


def _split(pnl: np.ndarray) -> dict[str, np.ndarray]:
    """A P&L and parts that make it up."""
    parts = {"realised": 0.3, "unrealised": 0.72, "income": 0.02, "day_pnl": 0.4}
    parts |= {"overnight": 0.3, "intraday": 0.1, "translation": 0.01, "day_translation": 0.004}
    made = {name: pnl * share for name, share in parts.items()}
    return made | {"pnl": pnl, "fees": np.abs(pnl) * 0.04}
