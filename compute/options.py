"""Rule: every option's smile, volatilities and Greeks, as a part of compute/risk.py.

Chains come from the reference rows; what changed in live's instruments names the options to
evaluate; chains are fitted anew in turn, REFITS a step, those first that never were. The laws
themselves are in kernels/option.py; here is decided what model a chain has, when it expires, what
rate and dividends it is given, and whose turn it is. Every row of ANALYTICS holds what it was
computed from (underlying_price, forward, smile, years, rate, early, model): see `recomputed`.

Models by class: Black-Scholes-Merton on shares and funds, Black-76 on futures, Garman-Kohlhagen on
currencies, Bachelier where a strike or the underlying's price is not above 0. An American option
under Bachelier is valued as European, and its model says so: an approximation that is too low by a
share which depends on rate x time alone, and on the moneyness, in standard deviations. Against a
tree of 1,500 steps, for rate x time of 0.01 (0.04): 0.2 % (0.9 %) at the money, 0.7 % (3.7 %) two
deviations in the money, at most 1.0 % (4.1 %) farther in. Time to expiry runs
from the newest event, in years of 365 days, to the close of the expiry day in the option's
calendar; options on currencies expire at 10:00 New York, on coins at 08:00 UTC.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np

from compute.kernels import american, bachelier, black, implied, normal, option, smile
from compute.table import ANALYTICS, INSTRUMENTS, Model
from ingest.calendar import CALENDARS, default_calendar
from ingest.instrument import AssetClass, Instrument, Reference

REFITS = 4  # Chains a step, 0.15 ms each, 1 ms at worst: the 127 of the demo in 3 s.
REFITS_FIRST = 8  # While some were never fitted: all within 2 s of the start.
FUTURE_NS_MAX = 86_400 * 1_000_000_000  # An event dated later than this ahead is no clock.
SECOND_NS = 1_000_000_000

# Continuous rates a year where no curve is given: policy rates of autumn 2026, rounded.
_FLAT = """USD .039 EUR .02 GBP .04 GBX .04 JPY .007 CHF 0 CAD .0225 AUD .036 NZD .0225 SEK .0175
NOK .04 DKK .016 HKD .037 SGD .015 CNH .016 KRW .025"""
FLAT_RATES = dict(zip(_FLAT.split()[::2], map(float, _FLAT.split()[1::2]), strict=True))
_FUTURES = frozenset(
    {AssetClass.INDEX_FUTURE, AssetClass.RATES_FUTURE, AssetClass.COMMODITY_FUTURE}
)
_CRYPTO = frozenset({AssetClass.CRYPTO_SPOT, AssetClass.CRYPTO_PERPETUAL})
_QUOTED = np.array([INSTRUMENTS.index(name) for name in ("bid", "ask", "mid", "last")])
_TS_EVENT = INSTRUMENTS.index("ts_event")
_COLUMNS = np.array([ANALYTICS.index(name) for name in option.RESULTS])
_NONE = np.zeros(0, np.int64)


def flat_rate(currency: str, years: float) -> float:  # noqa: ARG001 (a curve asks for both)
    """Continuous rate of `currency` a year, the same to every expiry; 0 where none is known."""
    return FLAT_RATES.get(currency, 0.0)


@cache
def compiled() -> tuple[Callable[..., None], Callable[..., bool], Callable[..., None]]:
    """The kernels evaluate, refit and escrowed_yield, from disk where none has changed since."""
    laws = (option, american, bachelier, black, implied, normal, smile)
    stamp = crc32(b"".join(Path(law.__file__ or "").read_bytes() for law in laws))
    kernels: tuple[Callable[..., None], Callable[..., bool], Callable[..., None]]
    kernels = option.build(stamp)
    return kernels


def rehearse() -> None:
    """Compile, or load from disk, before anything waits for an answer."""
    evaluate, refit, escrowed_yield = compiled()
    options, chains = np.zeros(1, option.OPTION), np.zeros(1, option.CHAIN)
    live, out = INSTRUMENTS.empty(1), ANALYTICS.empty(1)
    for group in (option.SPOT, option.FUTURE, option.NORMAL):
        evaluate(_NONE, group, options, chains, live, _QUOTED, 0, 0, _COLUMNS, out)
    refit(0, options, chains, live, _QUOTED, 0.0, 0.0, 0, 0)
    escrowed_yield(1.0, 0.0, *(np.ones(1) for _ in range(4)))


def rehearsed(rate: Callable[[str, float], float]) -> "Options":
    """The part, its kernels ready."""
    rehearse()
    return Options(rate)


def expiry_ns(row: Instrument, underlying: Instrument) -> int:
    """The instant (ns UTC) from which an option is worth its exercise."""
    day = date.fromisoformat(row.expiry)
    if underlying.asset_class in _CRYPTO:
        at = datetime.combine(day, time(8), UTC)
    elif underlying.asset_class == AssetClass.FX:
        at = datetime.combine(day, time(10), ZoneInfo("America/New_York"))
    else:
        calendar = CALENDARS[row.calendar or default_calendar(row.asset_class)]
        close_s = calendar.half_s if day in calendar.halves else calendar.close_s
        midnight = datetime.combine(day, time(), ZoneInfo(calendar.zone))
        at = midnight + timedelta(seconds=close_s)  # Wall time: what a venue's rules say.
    return round(at.timestamp()) * SECOND_NS


class Key(NamedTuple):
    """What makes options one chain; adjusted contracts are chains of their own."""

    underlying: int
    exercise: str
    multiplier: float
    expiry: str


class Options:
    """The part of `risk` that owns options; see compute.risk.Part."""

    def __init__(self, rate: Callable[[str, float], float] = flat_rate) -> None:
        """`rate(currency, years)`: continuous, a year; asked anew at each fit."""
        self.rate = rate
        self.tables: Mapping[str, np.ndarray] = {}  # Its rows are in ANALYTICS.
        self._evaluate, self._refit, self._yield = compiled()
        self.keys: list[Key] = []
        self.options = np.zeros(0, option.OPTION)
        self.chains = np.zeros(0, option.CHAIN)
        self.clock_ns = 0  # Event time.
        self.fits = self.fits_kept = 0
        self._under: list[Instrument] = []
        self._stirred = np.zeros(0, np.bool_)  # Chains with news since their last fit.
        self._tried = np.zeros(0, np.bool_)
        self._turn = 0
        self._live_rows = -1
        self._within = np.zeros(0, np.bool_)

    @property
    def health(self) -> dict[str, float]:
        """For the report of the process."""
        fitted = self.chains["fitted_ns"]
        return {
            "options": len(self.options),
            "smiles": int((fitted > 0).sum()),
            "smiles_missing": int((fitted == 0).sum()),
            "smiles_kept": int((self.chains["bits"] & option.KEPT > 0).sum()),
            "fits": self.fits,
        }

    def grow(self, reference: Reference) -> None:
        """Form the chains anew; what is known of those that stay, stays."""
        groups: dict[Key, list[Instrument]] = {}
        for row in reference.by_id.values():
            if row.right in ("C", "P") and row.strike is not None and row.expiry:
                key = Key(row.underlying, row.exercise, row.multiplier, row.expiry)
                if row.underlying in reference.by_id:
                    groups.setdefault(key, []).append(row)
        known = dict(zip(self.options["id"].tolist(), self.options, strict=True))
        slices = dict(zip(self.keys, self.chains, strict=True))
        self.keys = sorted(groups)
        self._under = [reference.by_id[key.underlying] for key in self.keys]
        self.chains = np.zeros(len(self.keys), option.CHAIN)
        self.options = np.zeros(sum(map(len, groups.values())), option.OPTION)
        first = 0
        for number, key in enumerate(self.keys):
            rows = sorted(groups[key], key=lambda row: (row.strike, row.right))
            self._form(number, rows, first, slices.get(key))
            for place, row in enumerate(rows, first):
                self._list(place, row, number, known.get(row.id))
            first += len(rows)
        self._rows = groups
        self._stirred = np.ones(len(self.keys), np.bool_)
        self._tried = self.chains["fitted_ns"] > 0
        self._live_rows = -1

    def _form(self, number: int, rows: list[Instrument], first: int, known: np.void | None) -> None:
        """A chain's terms; its slice stays where the expiry stays."""
        chain, key, under, row = (
            self.chains[number],
            self.keys[number],
            self._under[number],
            rows[0],
        )
        chain["slice"], chain["rate"], chain["income"], chain["years"] = (np.nan,) * 4
        group, model, coin = _model(rows, under)
        expires = expiry_ns(row, under)
        if known is not None and known["group"] == group and known["expiry_ns"] == expires:
            self.chains[number] = known
            chain = self.chains[number]
        early = row.exercise == "american" and not coin and group != option.NORMAL
        early = early and row.premium == "upfront"
        chain["first"], chain["last"] = first, first + len(rows)
        chain["under"], chain["group"], chain["coin"] = key.underlying, group, coin
        exercised = early or (row.exercise == "american" and model == Model.BACHELIER)
        chain["american"] = early
        chain["model"] = _AMERICAN.get(model, model) if exercised else model
        chain["expiry_ns"], chain["before"] = expires, -1
        if number and self.keys[number - 1][:3] == key[:3] and group != option.NORMAL:
            chain["before"] = number - 1

    def _list(self, place: int, row: Instrument, number: int, known: np.void | None) -> None:
        entry = self.options[place]
        if known is not None and known["strike"] == row.strike:
            self.options[place] = known
        else:
            for name in ("bid", "mid", "ask"):
                entry[name] = np.nan
        entry["id"], entry["chain"] = row.id, number
        entry["sign"], entry["strike"] = 1.0 if row.right == "C" else -1.0, row.strike

    def step(
        self, tables: Mapping[str, np.ndarray], changed: Mapping[str, np.ndarray], now_ns: int
    ) -> np.ndarray:
        """Evaluate what changed, fit the chains whose turn it is; the rows of ANALYTICS written."""
        live, out = tables[INSTRUMENTS.name], tables[ANALYTICS.name]
        rows = changed[INSTRUMENTS.name]
        if not len(self.options) or not len(live):
            return _NONE
        self._read_clock(live, rows, now_ns)
        moved = np.zeros(len(live), np.bool_)
        moved[rows] = True
        ids, under = self._reach(len(live), len(out))
        touched = (moved[ids] | moved[under]) & self._within
        self._stirred[self.options["chain"][touched]] = True
        for number in self._due():
            self._fit(number, live, now_ns)
            chain = self.chains[number]
            touched[chain["first"] : chain["last"]] = True
        touched &= self._within
        group = self.chains["group"][self.options["chain"]]
        for which in (np.flatnonzero(touched & (group == kind)) for kind in range(3)):
            if len(which):
                kind = int(group[which[0]])
                self._evaluate(
                    *(which, kind, self.options, self.chains, live, _QUOTED),
                    *(self.clock_ns, now_ns, _COLUMNS, out),
                )
        written: np.ndarray = self.options["id"][touched]
        return written

    def _reach(self, live_rows: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of option and underlying, of those that have rows yet; others stand at row 0."""
        ids = self.options["id"]
        under = self.chains["under"][self.options["chain"]]
        if live_rows != self._live_rows:
            self._live_rows = live_rows
            self._within = (ids < min(live_rows, rows)) & (under < live_rows)
        return np.where(self._within, ids, 0), np.where(self._within, under, 0)

    def _read_clock(self, live: np.ndarray, rows: np.ndarray, now_ns: int) -> None:
        if self.clock_ns == 0:
            rows = np.arange(len(live))
        moments = live[rows[rows < len(live)], _TS_EVENT]
        limit_ms = (now_ns + FUTURE_NS_MAX) / 1e6
        newest_ms = moments[moments <= limit_ms].max(initial=0.0)
        self.clock_ns = max(self.clock_ns, int(newest_ms * 1e6))

    def _due(self) -> list[int]:
        """Chains to fit now: of those with news, the ones never tried, else the next in turn."""
        new = np.flatnonzero(self._stirred & ~self._tried)
        found: list[int] = new[:REFITS_FIRST].tolist()
        if not found:
            ready = np.flatnonzero(self._stirred)
            order = np.concatenate((ready[ready >= self._turn], ready[ready < self._turn]))
            found = order[:REFITS].tolist()
            if found:
                self._turn = found[-1] + 1
        return found

    def _fit(self, number: int, live: np.ndarray, now_ns: int) -> None:
        chain, under = self.chains[number], self._under[number]
        self._stirred[number], self._tried[number] = False, True
        if max(chain["under"], self.options["id"][chain["first"] : chain["last"]].max()) >= len(
            live
        ):
            return
        years = (int(chain["expiry_ns"]) - self.clock_ns) / option.YEAR_NS
        if years <= 0.0 or self.clock_ns == 0:
            return
        row = self._rows[self.keys[number]][0]
        margined = row.premium == "futures" or bool(chain["coin"])
        rate = 0.0 if margined else self.rate(row.currency, years)
        flow = self._flow(under, live, rate, years)
        fitted = self._refit(
            *(number, self.options, self.chains, live, _QUOTED),
            *(rate, flow, self.clock_ns, now_ns),
        )
        self.fits += 1
        self.fits_kept += not fitted

    def _flow(self, under: Instrument, live: np.ndarray, rate: float, years: float) -> float:
        """The income of the underlying where parity does not say it."""
        if under.asset_class == AssetClass.FX and len(under.symbol) >= 6:
            return self.rate(under.base or under.symbol[:3], years)
        if not under.dividends:
            return 0.0
        mid, last = live[under.id, _QUOTED[2]], live[under.id, _QUOTED[3]]
        today = datetime.fromtimestamp(self.clock_ns / SECOND_NS, UTC).date()
        days = np.array([(date.fromisoformat(day) - today).days for day, _ in under.dividends])
        amounts = np.array([amount for _, amount in under.dividends])
        out = np.empty(1)
        self._yield(
            *(float(last if np.isnan(mid) else mid), rate, np.array([years])),
            *(days / 365.0, amounts, out),
        )
        return float(out[0])


_AMERICAN = {
    Model.BACHELIER: Model.BACHELIER_EARLY_EXERCISE_LEFT_OUT,
    Model.BLACK_SCHOLES_MERTON: Model.BLACK_SCHOLES_MERTON_AMERICAN,
    Model.BLACK_76: Model.BLACK_76_AMERICAN,
    Model.GARMAN_KOHLHAGEN: Model.GARMAN_KOHLHAGEN_AMERICAN,
}


def _model(rows: Iterable[Instrument], under: Instrument) -> tuple[int, Model, bool]:
    """(group, model, whether paid in the coin) of a chain."""
    prices = [row.strike or 0.0 for row in rows]
    if under.close_prev is not None:
        prices.append(under.close_prev)
    first = next(iter(rows))
    dated = under.asset_class in _CRYPTO and bool(under.expiry)
    future = under.asset_class in _FUTURES or first.asset_class == AssetClass.FUTURE_OPTION or dated
    if min(prices) <= 0.0:
        return option.NORMAL, Model.BACHELIER, False
    if under.asset_class in _CRYPTO and first.currency != under.currency:
        return option.FUTURE, Model.BLACK_76_COIN, True
    if future:
        return option.FUTURE, Model.BLACK_76, False
    if under.asset_class == AssetClass.FX:
        return option.SPOT, Model.GARMAN_KOHLHAGEN, False
    return option.SPOT, Model.BLACK_SCHOLES_MERTON, False


def recomputed(row: np.ndarray, sign: float, strike: float) -> dict[str, float]:
    """European price, delta, gamma and vega of one row of ANALYTICS from its own inputs alone.

    The row's `model_price` is this price (a coin's divided by the forward) plus its `early`.
    """
    cell = dict(zip(ANALYTICS.names, row.tolist(), strict=True))
    rate, years = cell["rate"] / 100.0, cell["years"]
    model = Model(int(cell["model"]))
    if model in (Model.BACHELIER, Model.BACHELIER_EARLY_EXERCISE_LEFT_OUT):
        out = bachelier.bachelier(sign, cell["forward"], strike, years, cell["smile"], rate)
    else:
        spot, volatility = cell["underlying_price"], cell["smile"] / 100.0
        income = rate - np.log(cell["forward"] / spot) / years
        out = black.black_scholes_merton(sign, spot, strike, years, volatility, rate, income)
    price = out[black.PRICE, 0] / (cell["forward"] if model == Model.BLACK_76_COIN else 1.0)
    rest = {name: float(out[place, 0]) for place, name in enumerate(black.GREEKS[1:], 1)}
    return {"price": float(price), **rest}


assert smile.FIT_FEW == 1 and option.KEPT == 16  # noqa: PT018 (compute.table.Smile says so too)
