"""Rule: every bond, default swap and rates future of the reference, priced from its mid.

Enters: the Reference, the mids [ids] as float64 (NaN: unknown) and the event clock. Leaves:
`Measures`, a row an instrument. What does not change with prices (dates, flows, places on curves)
is prepared once a reference version and day; a step then runs kernels over flat arrays. Order of a
step: yields, curves, z-spreads and key rates, futures, swaps.

Two figures for rates, never mixed: `dv01` moves the instrument's own yield (of a short-rate future
its rate, of a swap the curve), `pv01` moves the zero curve and is the sum of `key_rate`. Futures
on bonds have those of the cheapest to deliver / conversion factor; carry to delivery is left out.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from compute import curve as curves
from compute import default_swap, schedule
from compute.kernels import bond, credit, day_count
from compute.kernels import curve as kernel
from ingest.instrument import AssetClass, Instrument, Reference

KEYS = kernel.KEYS
BASIS_POINT = 1e-4
# The country whose bonds make a currency's curve; of others, all governments' in that currency.
BENCHMARKS = {"USD": "US", "EUR": "DE", "GBP": "GB", "JPY": "JP"}
TICKERS = {"UST": "US", "DBR": "DE", "UKT": "GB", "JGB": "JP", "OAT": "FR", "BTP": "IT"}
# Short-rate futures by root: months of the rate, which begins at the contract's expiry.
SHORT_RATES = {"SR1": 1, "ZQ": 1, "SR3": 3, "SO3": 3, "ER": 3, "ESR": 3, "SA3": 3}
ROOT = re.compile(r"(\w+?)[FGHJKMNQUVXZ]\d{1,2}$")
SHORT_YEARS = 0.5  # Futures whose rate begins later do not take part in the fit: bonds do.
BENCHMARK_YEARS_MIN = 1.0 / 12.0  # Nearer to maturity a yield says little: ticks are many bp.
CLASSES = (AssetClass.RATES_FUTURE, AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT)


@dataclass(frozen=True, slots=True)
class Measures:
    """Numbers of the instruments `ids`, float64 [n], NaN unknown: a unit of quantity, in the
    instrument's currency, where no other unit is said. Swaps are bought protection.
    """  # noqa: D205 (one sentence)

    ids: np.ndarray  # int64 [n]
    yields: np.ndarray  # % a year; of a short-rate future its rate
    accrued: np.ndarray  # % of par, as clean prices are; of a swap % of notional
    dirty: np.ndarray  # Money: clean + accrued; of a swap its value, of a future NaN
    duration: np.ndarray  # Years, modified; of a swap its annuity
    convexity: np.ndarray  # Years^2
    dv01: np.ndarray  # For -1 bp of its own yield
    pv01: np.ndarray  # For -1 bp of the zero curve: the sum of key_rate
    cs01: np.ndarray  # For +1 bp of spread: z-spread of a bond, quoted spread of a swap
    z_spread_bp: np.ndarray  # Of a swap its quoted spread
    jump: np.ndarray  # If the issuer defaults now
    recovery01: np.ndarray  # Swaps: for +1 % of recovery
    expected_loss: np.ndarray  # Swaps: share of notional, not discounted
    key_rate: np.ndarray  # [n, 6], for -1 bp at each of KEYS, a tent wide

    @property
    def key_rate_dv01(self) -> np.ndarray:
        """key_rate in proportion, so that rows sum to dv01: [n, 6]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled: np.ndarray = self.key_rate * (self.dv01 / self.pv01)[:, None]
        return scaled


@dataclass(slots=True)
class _Group:
    """One currency: its curve, the rows of the bonds and swaps on it, what it is fitted to."""

    curve: curves.Curve
    bonds: slice
    flows: slice
    points: slice
    swaps: slice
    benchmark: np.ndarray  # bool [bonds of the group]
    short: np.ndarray  # rows of the short futures that take part
    short_years: np.ndarray
    places: dict[str, tuple[np.ndarray, np.ndarray]]
    short_places: tuple[np.ndarray, np.ndarray]


class Rates:
    """Prepared instruments and the state of their searches; `curves` and `refused` to look at."""

    def __init__(self, reference: Reference, holidays: Sequence[int] = ()) -> None:
        """`holidays`: day numbers on which nothing settles. Nothing is computed yet."""
        self.reference = reference
        self.holidays = holidays
        self.curves: dict[str, curves.Curve] = {}
        self.refused: dict[int, str] = {}  # id -> why it has no numbers
        self.swap_ids = np.zeros(0, np.int64)
        self._prepared_for: tuple[int, int] | None = None

    def step(self, mids: np.ndarray, ts_event_ns: int) -> Measures:
        """Measures at the mids, as of the day (UTC) of the event clock.

        The arrays of the answer are its own until the next step.
        """
        as_of = schedule.day_of_ns(ts_event_ns)
        if self._prepared_for != (self.reference.version, as_of):
            self._prepare(as_of)
            self._prepared_for = self.reference.version, as_of
        known = np.full(len(self.reference), np.nan)
        size = min(len(mids), len(known))
        known[:size] = np.where(np.isfinite(mids[:size]), mids[:size], np.nan)
        self._step_bonds(known)
        self._step_curves(known)
        self._step_spreads()
        self._step_futures(known)
        self._step_swaps(known)
        return self.measures

    # Once a reference version and day.

    def _prepare(self, as_of: int) -> None:
        rows = [row for row in self.reference.by_id.values() if row.asset_class in CLASSES]
        self.refused = {}
        self._as_of = as_of
        bonds, swaps, futures = [], [], []
        for row in sorted(rows, key=lambda row: (row.currency, row.id)):
            if row.asset_class == AssetClass.RATES_FUTURE:
                futures.append(row)
            elif row.quote in ("spread", "upfront"):
                if self._is_swap(row, as_of):
                    swaps.append(row)
            elif (flows := self._flows(row, as_of)) is not None:
                bonds.append((row, flows))
        self._bonds = [row for row, _ in bonds]
        self._swaps, self._futures = swaps, futures
        ids = [row.id for row in (*self._bonds, *swaps, *futures)]
        self.measures = _blank(np.array(ids, np.int64))
        self._prepare_bonds([flows for _, flows in bonds])
        self._prepare_futures()
        self._prepare_groups()

    def _flows(self, row: Instrument, as_of: int) -> schedule.Flows | None:
        try:
            found = schedule.flows(terms(row), as_of, self.holidays)
        except ValueError as error:
            self.refused[row.id] = f"{row.symbol}: {error}"
            return None
        if found is None:
            self.refused[row.id] = f"{row.symbol}: has matured"
        return found

    def _is_swap(self, row: Instrument, as_of: int) -> bool:
        reason = ""
        if row.coupon is None or not row.expiry:
            reason = "a default swap needs coupon and expiry"
        elif schedule.day_number(row.expiry) <= as_of:
            reason = "has matured"
        if reason:
            self.refused[row.id] = f"{row.symbol}: {reason}"
        return not reason

    def _prepare_bonds(self, made: list[schedule.Flows]) -> None:
        self._convention = np.array([flows.convention for flows in made], np.int64)
        self._frequency = _floats(flows.frequency for flows in made)
        self._start = _floats(flows.start for flows in made)
        self._coupon = _floats(flows.coupon for flows in made)
        self._accrued = _floats(flows.accrued for flows in made)
        self._first = _offsets([len(flows.days) for flows in made])
        self._amount = np.concatenate([np.zeros(0), *(flows.amounts for flows in made)])
        days = np.concatenate([np.zeros(0, np.int64), *(flows.days for flows in made)])
        self._t = curves.years(days, self._as_of)
        settles = np.array([flows.settle for flows in made], np.int64)
        self._settle_t = curves.years(settles, self._as_of)
        self._bucket, self._near = np.empty(len(days), np.int64), np.empty(len(days))
        kernel.buckets(self._t, self._bucket, self._near)
        self._bond_ids = _ints(row.id for row in self._bonds)
        self._unit = _floats(
            row.multiplier if row.quote == "price" else 0.01 for row in self._bonds
        )
        self._by_yield = np.array([row.quote == "yield" for row in self._bonds], bool)
        self._recovery = _floats(_recovery(row) for row in self._bonds)
        count = len(made)
        self._clean, self._dirty = np.full(count, np.nan), np.full(count, np.nan)
        self._found = np.full((len(bond.MEASURES), count), np.nan)
        self._spread, self._settle_q = np.full(count, np.nan), np.full(count, np.nan)
        self._pv01, self._key_rate = np.full(count, np.nan), np.full((count, len(KEYS)), np.nan)
        self._flow_q, self._worth = np.full(len(days), np.nan), np.full(len(days), np.nan)
        self.measures.accrued[:count] = self._accrued

    def _prepare_futures(self) -> None:
        """Rows on a bond, and rows on a short rate: period, places follow with the curve."""
        place = {row.id: at for at, row in enumerate(self._bonds)}
        offset = len(self._bonds) + len(self._swaps)
        on_bond, ctd, scale, self._short = [], [], [], []
        for at, row in enumerate(self._futures):
            months = short_months(row)
            if row.ctd in place and row.conversion_factor:
                on_bond.append(offset + at)
                ctd.append(place[row.ctd])
                scale.append(row.multiplier / row.conversion_factor)
            elif months and row.expiry and schedule.day_number(row.expiry) >= self._as_of:
                begin = schedule.day_number(row.expiry)
                end = schedule.add_months(begin, months)
                times = curves.years(np.array([begin, end]), self._as_of)
                self._short.append((offset + at, row, float(times[0]), float(times[1])))
            else:
                self.refused[row.id] = (
                    f"{row.symbol}: a rates future needs the id of its cheapest to deliver, priced "
                    "itself, and conversion_factor; or to be a short-rate future not expired"
                )
        self._on_bond, self._ctd = _ints(on_bond), _ints(ctd)
        self._scale = _floats(scale)
        self._short_row = _ints(entry[0] for entry in self._short)
        self._short_id = _ints(entry[1].id for entry in self._short)
        self._short_unit = _floats(entry[1].multiplier for entry in self._short)
        times = np.array([entry[2:] for entry in self._short]).reshape(-1, 2)
        self._short_t = times
        self._short_years = times[:, 1] - times[:, 0]
        self._short_move = default_swap.moves(times[:, 1].copy()) - default_swap.moves(
            times[:, 0].copy()
        )
        self._short_growth = np.full(len(self._short), np.nan)

    def _prepare_groups(self) -> None:
        names = [row.currency for row in self._bonds]
        swap_names = [row.currency for row in self._swaps]
        short_names = [entry[1].currency for entry in self._short]
        kept = self.curves
        self.curves, self._groups = {}, []
        nodes = {}
        for name in sorted({*names, *swap_names, *short_names}):
            bonds = _span(names, name)
            benchmark = self._benchmark(name, bonds)
            short = np.array(
                [
                    at
                    for at, entry in enumerate(self._short)
                    if entry[1].currency == name and entry[2] <= SHORT_YEARS
                ],
                np.int64,
            )
            ends = self._t[self._first[bonds.start + 1 : bonds.stop + 1] - 1][benchmark]
            node = curves.nodes(np.concatenate((ends, self._short_t[short, 1])))
            q = np.full(len(node), np.nan)
            if name in kept and np.isfinite(kept[name].q).all():
                old = kept[name]
                q = default_swap.on_curve(old.node, old.q, node)
            nodes[name] = node
            members = self._bond_ids[bonds], self._short_id[short]
            residual = np.full(len(members[0]) + len(members[1]), np.nan)
            made = curves.Curve(name, self._as_of, node, q, np.concatenate(members), residual)
            self.curves[name] = made
            self._groups.append(self._group(made, bonds, _span(swap_names, name), benchmark, short))
        breaks = [nodes[row.currency] for row in self._swaps]
        self._prepare_swaps(breaks)

    def _benchmark(self, currency: str, bonds: slice) -> np.ndarray:
        rows = self._bonds[bonds]
        governments = [row.asset_class == AssetClass.GOVERNMENT_BOND for row in rows]
        home = [
            state and _country(row) == BENCHMARKS.get(currency)
            for state, row in zip(governments, rows, strict=True)
        ]
        chosen = np.array(home if any(home) else governments, bool)
        last = self._first[bonds.start + 1 : bonds.stop + 1] - 1
        kept: np.ndarray = chosen & (self._t[last] >= BENCHMARK_YEARS_MIN)
        return kept

    def _group(
        self,
        made: curves.Curve,
        bonds: slice,
        swaps: slice,
        benchmark: np.ndarray,
        short: np.ndarray,
    ) -> _Group:
        flows = slice(int(self._first[bonds.start]), int(self._first[bonds.stop]))
        places = {
            "flows": curves.places(made.node, self._t[flows]),
            "settle": curves.places(made.node, self._settle_t[bonds]),
        }
        fitted = curves.places(made.node, self._short_t[short].ravel())
        return _Group(
            *(made, bonds, flows, slice(0), swaps, benchmark, short, self._short_years[short]),
            *(places, fitted),
        )

    def _prepare_swaps(self, breaks: list[np.ndarray]) -> None:
        maturities = [schedule.day_number(row.expiry) for row in self._swaps]
        self._grids = default_swap.grids(maturities, self._as_of, breaks, self.holidays)
        made = self._grids
        self._move, self._pay_move = default_swap.moves(made.t), default_swap.moves(made.pay_t)
        self._settle_move = default_swap.moves(made.settle_t)
        self._swap_q, self._pay_q = np.full(len(made.t), np.nan), np.full(len(made.t), np.nan)
        self._swap_settle_q = np.full(len(maturities), np.nan)
        self.swap_ids = _ints(row.id for row in self._swaps)
        self._swap_coupon = _floats((row.coupon or 0.0) / 100.0 for row in self._swaps)
        self._swap_recovery = _floats(_recovery(row) for row in self._swaps)
        upfront = np.array([row.quote == "upfront" for row in self._swaps], bool)
        self._by = np.where(upfront, credit.BY_UPFRONT, credit.BY_SPREAD).astype(np.int64)
        self._quote_unit = np.where(upfront, 0.01, BASIS_POINT)
        self._swap_found = np.full((len(credit.MEASURES), len(maturities)), np.nan)
        self._swap_key_rate = np.full((len(maturities), len(KEYS)), np.nan)
        for group in self._groups:
            low, high = made.point[group.swaps.start], made.point[group.swaps.stop]
            group.points = slice(int(low), int(high))
            node = group.curve.node
            group.places["swaps"] = curves.places(node, made.t[group.points])
            group.places["pay"] = curves.places(node, made.pay_t[group.points])
            group.places["swap_settle"] = curves.places(node, made.settle_t[group.swaps])

    # Every time prices have changed.

    def _step_bonds(self, mids: np.ndarray) -> None:
        table = (self._convention, self._frequency, self._start, self._coupon, self._accrued)
        clean = mids[self._bond_ids]
        if self._by_yield.any():
            wanted = np.where(self._by_yield, clean / 100.0, np.nan)
            bond.price(*table, self._first, self._amount, wanted, self._clean)
            clean = np.where(self._by_yield, self._clean, clean)
        self._clean = clean
        bond.measure(*table, self._first, self._amount, clean, self._found)
        self._dirty = clean + self._accrued
        out, count, found = self.measures, len(clean), self._found
        out.yields[:count] = 100.0 * found[bond.YIELD]
        out.duration[:count], out.convexity[:count] = found[bond.DURATION], found[bond.CONVEXITY]
        out.dirty[:count] = self._dirty * self._unit
        out.dv01[:count] = found[bond.DV01] * self._unit
        out.jump[:count] = (100.0 * self._recovery - self._dirty) * self._unit

    def _step_curves(self, mids: np.ndarray) -> None:
        weight = self._found[bond.DURATION] * self._dirty
        short = 1.0 - mids[self._short_id] / 100.0
        self._short_rate = short
        for group in self._groups:
            made, places = group.curve, group.places
            before = made.q.copy()
            made.rounds = kernel.fit(
                made.node,
                np.where(group.benchmark, self._dirty[group.bonds], np.nan),
                self._first[group.bonds.start : group.bonds.stop + 1] - group.flows.start,
                self._amount[group.flows],
                *places["flows"],
                *places["settle"],
                weight[group.bonds],
                short[group.short],
                group.short_years,
                *group.short_places,
                made.q,
                made.residual_bp,
            )
            if made.rounds < 0:
                made.q[:] = before
            for name, times in (
                ("flows", self._flow_q[group.flows]),
                ("settle", self._settle_q[group.bonds]),
                ("swaps", self._swap_q[group.points]),
                ("pay", self._pay_q[group.points]),
                ("swap_settle", self._swap_settle_q[group.swaps]),
            ):
                kernel.evaluate(made.q, *places[name], times)

    def _step_spreads(self) -> None:
        kernel.spread(
            *(self._first, self._amount, self._t, self._flow_q),
            *(self._settle_t, self._settle_q, self._dirty, self._worth, self._spread),
        )
        kernel.sensitivities(
            *(self._first, self._t, self._worth, self._settle_t, self._spread),
            *(self._bucket, self._near, self._pv01, self._key_rate),
        )
        out, count = self.measures, len(self._bonds)
        out.z_spread_bp[:count] = self._spread / BASIS_POINT
        out.pv01[:count] = self._pv01 * self._unit
        out.cs01[:count] = -out.pv01[:count]
        out.key_rate[:count] = self._key_rate * self._unit[:, None]

    def _step_futures(self, mids: np.ndarray) -> None:
        out, rows, ctd = self.measures, self._on_bond, self._ctd
        known = np.where(np.isnan(mids[out.ids[rows]]), np.nan, self._scale)
        out.dv01[rows] = self._found[bond.DV01, ctd] * known
        out.pv01[rows] = self._pv01[ctd] * known
        out.key_rate[rows] = self._key_rate[ctd] * known[:, None]
        rows, rate = self._short_row, self._short_rate
        growth = 1.0 + rate * self._short_years
        out.yields[rows] = 100.0 * rate
        out.dv01[rows] = np.where(np.isnan(rate), np.nan, 0.01 * self._short_unit)
        slope = 100.0 * self._short_unit * growth / self._short_years
        out.key_rate[rows] = slope[:, None] * self._short_move
        out.pv01[rows] = out.key_rate[rows].sum(axis=1)

    def _step_swaps(self, mids: np.ndarray) -> None:
        made, found = self._grids, self._swap_found
        credit.quoted(
            *(made.point, made.t, self._swap_q, made.accrual, made.pay, self._pay_q),
            *(self._move, self._pay_move, self._swap_settle_q, self._settle_move),
            *(made.accrued, self._swap_coupon, self._swap_recovery, self._by),
            *(mids[self.swap_ids] * self._quote_unit, found, self._swap_key_rate),
        )
        begin = len(self._bonds)
        rows, out = slice(begin, begin + len(self._swaps)), self.measures
        out.accrued[rows] = 100.0 * found[credit.ACCRUED]
        out.dirty[rows] = found[credit.VALUE] - found[credit.ACCRUED]
        out.duration[rows] = found[credit.ANNUITY]
        out.z_spread_bp[rows] = found[credit.SPREAD] / BASIS_POINT
        out.cs01[rows], out.jump[rows] = found[credit.CS01], found[credit.JUMP]
        out.recovery01[rows] = found[credit.RECOVERY01]
        out.expected_loss[rows] = found[credit.LOSS]
        out.key_rate[rows] = self._swap_key_rate
        out.pv01[rows] = self._swap_key_rate.sum(axis=1)
        out.dv01[rows] = out.pv01[rows]


def terms(row: Instrument) -> schedule.Terms:
    """A bond's terms from its reference row; ValueError names what is missing."""
    if row.coupon is None:
        raise ValueError("coupon is not known; 0 is a bill or a zero")
    if not row.expiry:
        raise ValueError("expiry, its maturity, is not known")
    if row.day_count not in day_count.NAMES:
        raise ValueError(f"day_count is {row.day_count!r}; give {', '.join(day_count.NAMES)}")
    government = row.asset_class == AssetClass.GOVERNMENT_BOND
    convention = bond.STREET
    if government:
        convention = schedule.street_convention(row.currency, _country(row))
    found = schedule.Terms(
        maturity=schedule.day_number(row.expiry),
        coupon=row.coupon,
        frequency=row.coupon_frequency or schedule.default_frequency(row.currency),
        day_count=day_count.NAMES.index(row.day_count),
        issue=schedule.day_number(row.issue_date) if row.issue_date else None,
        settle_days=row.settle_days,
        ex_days=row.ex_days,
        ex_business=government and row.currency == "GBP",
        convention=convention,
    )
    found.check()
    return found


def short_months(row: Instrument) -> int:
    """Months of the rate that a short-rate future is on; 0 if it is none."""
    found = ROOT.match(row.symbol)
    return SHORT_RATES.get(found[1], 0) if found and row.ctd < 0 else 0


def _country(row: Instrument) -> str:
    return row.country or TICKERS.get(row.symbol.split(" ")[0], "")


def _recovery(row: Instrument) -> float:
    return default_swap.RECOVERY if row.recovery is None else row.recovery


def _blank(ids: np.ndarray) -> Measures:
    one = [field.name for field in fields(Measures) if field.name not in ("ids", "key_rate")]
    columns = {name: np.full(len(ids), np.nan) for name in one}
    return Measures(ids=ids, key_rate=np.full((len(ids), len(KEYS)), np.nan), **columns)


def _span(names: list[str], name: str) -> slice:
    """Where `name` is in the sorted `names`."""
    at = names.index(name) if name in names else 0
    return slice(at, at + names.count(name))


def _offsets(sizes: list[int]) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)


def _floats(values: Iterable[float]) -> np.ndarray:
    return np.array(list(values), np.float64)


def _ints(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), np.int64)
