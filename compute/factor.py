"""Rule: risk factors, their daily history, and which of them moves which instrument.

A factor is a name; its first word says what it is and in which unit a day's change is told:
    INDEX.USD  SECTOR.Energy  EQUITY.AAPL  FX.EUR  COMMODITY.CL  CRYPTO.BTC   simple returns
    RATE.USD.10Y  CREDIT.USD                                                  basis points
    VOL.equity                                                                vol points
FX is the value of a currency in USD. SECTOR is what a sector does beyond its index. EQUITY is all
of a share's return; where it is missing, beta INDEX + SECTOR stands for it.

Enters: a History, from rows (day, factor, change) as a file or ClickHouse holds them, or the
seeded demo. Leaves: Drivers, for kernels/value_at_risk.py: rows of moves for every instrument. An
instrument whose factor is in no history has row -1: its VaR is unknown, not 0.
"""

import csv
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compute.kernels.exposure import NO_RATES
from compute.kernels.value_at_risk import CREDIT, CURRENCY, CURVE, PRICE, VOLATILITY
from compute.kin import coin, commodity
from compute.term import TRANSLATED
from ingest.instrument import AssetClass, Instrument, Reference

TENORS = (("3M", 0.25), ("1Y", 1.0), ("2Y", 2.0), ("5Y", 5.0), ("10Y", 10.0), ("30Y", 30.0))
TENOR_YEARS = np.array([years for _, years in TENORS])
DAYS = 500  # Two years: the 99 % tail is five days.
HALF_LIFE_DAYS = 23.0  # Of the EWMA covariance; RiskMetrics' decay of 0.97 a day.
MINOR = {"GBX": "GBP", "ZAC": "ZAR", "ILA": "ILS"}  # A hundredth moves as its whole.
NOTHING, UNKNOWN = 0, -1

HISTORY = np.dtype([("day", "<M8[D]"), ("factor", "U48"), ("change", "<f8")])


@dataclass(frozen=True, slots=True)
class History:
    """Daily changes: `changes` float64 [factors, days], oldest day first; NaN: not known."""

    names: tuple[str, ...]
    days: np.ndarray  # datetime64[D] [days]
    changes: np.ndarray

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> "History":
        """From HISTORY rows in any order, as a query returns them."""
        names, factor = np.unique(rows["factor"], return_inverse=True)
        days, day = np.unique(rows["day"], return_inverse=True)
        changes = np.full((len(names), len(days)), np.nan)
        changes[factor.ravel(), day.ravel()] = rows["change"]
        return cls(tuple(str(name) for name in names), days, changes)

    def to_rows(self) -> np.ndarray:
        """Inverse of `from_rows`; what is not known is left out."""
        factor, day = np.nonzero(~np.isnan(self.changes))
        rows = np.zeros(len(factor), HISTORY)
        rows["day"], rows["change"] = self.days[day], self.changes[factor, day]
        rows["factor"] = np.array(self.names)[factor] if len(factor) else ""
        return rows


def load(path: Path) -> History:
    """From a CSV file with the columns day, factor, change; ValueError names the row."""
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                rows.append((np.datetime64(row["day"], "D"), row["factor"], float(row["change"])))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path.name}, line {number}: {error}") from None
    return History.from_rows(np.array(rows, HISTORY))


def weights(days: int, half_life: float = HALF_LIFE_DAYS) -> np.ndarray:
    """EWMA weights [days], oldest first, that add up to 1."""
    if days == 0:
        return np.zeros(0)
    out = 0.5 ** (np.arange(days - 1, -1, -1.0) / half_life)
    return np.asarray(out / out.sum())


@dataclass(frozen=True, slots=True)
class Drivers:
    """`rows` int64 [ids, 5]: what moves an instrument, as rows of `moves` float64 [rows, days]."""

    rows: np.ndarray
    moves: np.ndarray
    weights: np.ndarray


class _Moves:
    """Rows of moves, each mix of factors once. Row 0 never moves."""

    def __init__(self, history: History) -> None:
        self._index = {name: number for number, name in enumerate(history.names)}
        self._changes = history.changes
        self._made: dict[tuple[tuple[str, float], ...], int] = {}
        self.rows = [np.zeros(len(history.days))]
        self._whole = ~np.isnan(history.changes).any(axis=1)

    def knows(self, name: str) -> bool:
        """Whether the factor has a change on every day."""
        number = self._index.get(name)
        return number is not None and bool(self._whole[number])

    def mix(self, *parts: tuple[str, float]) -> int:
        """Row of sum weight x factor; UNKNOWN where one of them is not known."""
        if not all(self.knows(name) for name, _ in parts):
            return UNKNOWN
        if parts not in self._made:
            self._made[parts] = len(self.rows)
            self.rows.append(
                sum(
                    (weight * self._changes[self._index[name]] for name, weight in parts),
                    np.zeros(len(self.rows[0])),
                )
            )
        return self._made[parts]

    def cross(self, base: str, quote: str) -> int:
        """Row of a pair's return: (1 + base) / (1 + quote) - 1, the dollar standing still."""
        wanted = [name for name in (base, quote) if name != "USD"]
        if not base or not all(self.knows(f"FX.{name}") for name in wanted):
            return UNKNOWN
        key = (("cross." + base, 1.0), ("cross." + quote, 1.0))
        if key not in self._made:
            still = np.zeros(len(self.rows[0]))
            legs = [
                still if name == "USD" else self._changes[self._index[f"FX.{name}"]]
                for name in (base, quote)
            ]
            self._made[key] = len(self.rows)
            self.rows.append((1.0 + legs[0]) / (1.0 + legs[1]) - 1.0)
        return self._made[key]

    def curve(self, currency: str) -> int:
        """First of six rows, one a tenor."""
        names = [f"RATE.{currency}.{tenor}" for tenor, _ in TENORS]
        if not all(self.knows(name) for name in names):
            return UNKNOWN
        key = ((f"curve.{currency}", 1.0),)
        if key not in self._made:
            self._made[key] = len(self.rows)
            self.rows += [self._changes[self._index[name]] for name in names]
        return self._made[key]


def drivers(
    reference: Reference, terms: np.ndarray, history: History, half_life: float = HALF_LIFE_DAYS
) -> Drivers:
    """What moves each instrument. `terms`: TERMS [ids]."""
    moves = _Moves(history)
    rows = np.full((len(reference), 5), NOTHING)
    for number, row in reference.by_id.items():
        term = terms[number]
        root = reference.by_id.get(int(term["root"]), row)
        currency = MINOR.get(row.currency, row.currency)
        if term["rates"] == NO_RATES:
            rows[number, PRICE] = _price(root, moves)
        else:
            rows[number, CURVE] = moves.curve(currency)
        if term["sign"] != 0.0:
            rows[number, VOLATILITY] = moves.mix((f"VOL.{_KIND[root.asset_class]}", 1.0))
        if term["credit"]:
            rows[number, CREDIT] = moves.mix((f"CREDIT.{currency}", 1.0))
        if row.asset_class in TRANSLATED and currency != "USD":
            rows[number, CURRENCY] = moves.mix((f"FX.{currency}", 1.0))
    return Drivers(rows, np.ascontiguousarray(moves.rows), weights(len(history.days), half_life))


_KIND = dict(
    [
        *((kind, "equity") for kind in (0, 1, 2, 3)),
        *((kind, "rates") for kind in (4, 8, 9)),
        *((5, "commodity"), (6, "commodity"), (7, "fx"), (10, "crypto"), (11, "crypto")),
    ]
)


def _price(root: Instrument, moves: _Moves) -> int:
    """Row of the returns of an instrument that is not priced off a curve."""
    kind = root.asset_class
    if kind == AssetClass.FX:
        return moves.cross(root.base, MINOR.get(root.currency, root.currency))
    if kind == AssetClass.COMMODITY_FUTURE:
        own = f"COMMODITY.{commodity(root.symbol)}"
        return moves.mix((own if moves.knows(own) else "COMMODITY", 1.0))
    if kind in (AssetClass.CRYPTO_SPOT, AssetClass.CRYPTO_PERPETUAL):
        own = f"CRYPTO.{coin(root.symbol)}"
        return moves.mix((own if moves.knows(own) else "CRYPTO", 1.0))
    if moves.knows(f"EQUITY.{root.symbol}"):
        return moves.mix((f"EQUITY.{root.symbol}", 1.0))
    beta = 1.0 if root.beta is None else root.beta
    index = (f"INDEX.{MINOR.get(root.currency, root.currency)}", beta)
    sector = f"SECTOR.{root.sector}"
    return moves.mix(index, (sector, 1.0)) if moves.knows(sector) else moves.mix(index)


def demo(
    reference: Reference, seed: int = 1, days: int = DAYS, last: str = "2026-11-20"
) -> History:
    """A seeded history of every factor that `reference` asks for, with plausible correlations.

    Six shocks a day, of fat tails (Student t, 6) and a volatility that clusters: shares, rates,
    dollar, commodities, coins, credit; each factor is loadings on them and its own part. Shares
    up goes with rates up, spreads and volatility down, and high-beta currencies up.
    """
    dice = np.random.default_rng(seed)
    calm = np.exp(0.35 * _persistent(dice, days, 0.95))  # The day's volatility, about 1.
    world = dice.standard_t(6, (6, days)) * np.sqrt(4 / 6) * calm
    share, rate, dollar, goods, crypto, credit = _correlated(world)
    out: dict[str, np.ndarray] = {}

    def own(name: str) -> np.ndarray:  # By name: a new instrument does not move the others.
        die = np.random.default_rng([seed, zlib.crc32(name.encode())])
        return np.asarray(die.standard_t(5, days) * np.sqrt(3 / 5) * calm)

    rows = list(reference.by_id.values())
    held = {MINOR.get(row.currency, row.currency) for row in rows}
    for currency in sorted(held | {row.base for row in rows if row.base} | {"USD"}):
        pull = 0.35 if currency in ("JPY", "CHF") else -0.35  # Havens rise with fear.
        if currency != "USD":
            out[f"FX.{currency}"] = 0.0035 * (
                -0.6 * dollar - pull * share + 0.7 * own(f"FX.{currency}")
            )
        out[f"INDEX.{currency}"] = 0.0105 * (0.85 * share + 0.5 * own(f"INDEX.{currency}"))
        out[f"CREDIT.{currency}"] = 2.2 * (0.9 * credit + 0.4 * own(f"CREDIT.{currency}"))
        level = 0.8 * rate + 0.5 * own(f"LEVEL.{currency}")
        slope = 0.5 * own(f"SLOPE.{currency}")
        for tenor, years in TENORS:
            tilt = np.log(years / 5.0) / np.log(10.0)
            rate_name = f"RATE.{currency}.{tenor}"
            out[rate_name] = 5.5 * (level + slope * tilt + 0.15 * own(rate_name))
    for sector in sorted({row.sector for row in rows if row.sector}):
        out[f"SECTOR.{sector}"] = 0.006 * own(sector)
    out["COMMODITY"], out["CRYPTO"] = 0.013 * goods, 0.033 * crypto
    for name in sorted({commodity(row.symbol) for row in rows if row.asset_class == 5}):
        out[f"COMMODITY.{name}"] = 0.018 * (0.7 * goods + 0.75 * own(name))
    for name in sorted({coin(row.symbol) for row in rows if row.asset_class >= 10}):
        out[f"CRYPTO.{name}"] = 0.04 * (0.8 * crypto + 0.6 * own(name))
    for name, size in (("equity", 1.3), ("fx", 0.35), ("commodity", 1.4), ("rates", 0.2)):
        out[f"VOL.{name}"] = size * (-0.75 * share + 0.65 * own(name))
    out["VOL.crypto"] = 2.8 * (-0.4 * crypto + 0.9 * own("crypto"))
    for row in rows:
        if row.asset_class in (AssetClass.EQUITY, AssetClass.ETF):
            beta = 1.0 if row.beta is None else row.beta
            wide = 0.013 if row.asset_class == AssetClass.EQUITY else 0.003
            index = beta * out[f"INDEX.{MINOR.get(row.currency, row.currency)}"]
            beyond = out.get(f"SECTOR.{row.sector}", np.zeros(days)) + wide * own(row.symbol)
            out[f"EQUITY.{row.symbol}"] = np.maximum(index + beyond, -0.95)
    end = np.datetime64(last, "D")
    when = np.busday_offset(end, np.arange(1 - days, 1), roll="backward")
    return History(tuple(out), when, np.array(list(out.values())))


def _persistent(dice: np.random.Generator, days: int, keep: float) -> np.ndarray:
    """An AR(1) series [days] of variance 1."""
    steps = dice.standard_normal(days) * np.sqrt(1.0 - keep * keep)
    level = np.zeros(days)
    at = dice.standard_normal()
    for day in range(days):
        at = keep * at + steps[day]
        level[day] = at
    return level


# Shares, rates, dollar, commodities, coins, credit spreads.
_CORRELATION = np.array(
    [
        [1.00, 0.20, -0.25, 0.30, 0.35, -0.65],
        [0.20, 1.00, 0.15, 0.20, 0.05, -0.25],
        [-0.25, 0.15, 1.00, -0.30, -0.20, 0.20],
        [0.30, 0.20, -0.30, 1.00, 0.15, -0.25],
        [0.35, 0.05, -0.20, 0.15, 1.00, -0.25],
        [-0.65, -0.25, 0.20, -0.25, -0.25, 1.00],
    ]
)


def _correlated(world: np.ndarray) -> Iterable[np.ndarray]:
    return tuple(np.linalg.cholesky(_CORRELATION) @ world)
