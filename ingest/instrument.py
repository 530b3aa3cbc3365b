"""Shape: the 12 asset classes and the reference data of an instrument.

An instrument's `id` is dense: it is the row of every table and array. Reference data travels
as one JSON object an instrument (topic `reference`, key = symbol) and lives as one structured
array, so that kernels read it without Python objects. What is unknown is left at its default and
makes blanks; what contradicts itself or another row is refused, alone and with the reason.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, fields
from datetime import date
from enum import IntEnum
from itertools import pairwise
from types import UnionType
from typing import Any, NamedTuple, get_args

import numpy as np

from ingest import calendar, condition


class AssetClass(IntEnum):
    """The 12 classes; the value is also the index of the topic `md.<name>`."""

    EQUITY = 0
    ETF = 1
    EQUITY_OPTION = 2
    INDEX_FUTURE = 3
    RATES_FUTURE = 4
    COMMODITY_FUTURE = 5
    FUTURE_OPTION = 6
    FX = 7
    GOVERNMENT_BOND = 8
    CREDIT = 9
    CRYPTO_SPOT = 10
    CRYPTO_PERPETUAL = 11

    @property
    def topic(self) -> str:
        """Kafka topic of the class, for example `md.equity_option`."""
        return f"md.{self.name.lower()}"

    @property
    def label(self) -> str:
        """What a trader calls it, for example `Equity option`."""
        return _LABELS[self]

    @property
    def code(self) -> str:
        """Three letters or fewer, for a chip."""
        return _CODES[self]


_LABELS = (
    *("Cash equity", "ETF", "Equity option", "Index future", "Rates future", "Commodity future"),
    *("Option on future", "FX", "Government bond", "Credit", "Crypto spot", "Crypto perpetual"),
)
_CODES = ("EQ", "ETF", "EQO", "IXF", "RTF", "CMF", "OPF", "FX", "GOV", "CRD", "CSP", "CPP")


class PriceFormat(IntEnum):
    """How a price is written; the painter knows the same numbers."""

    DECIMAL = 0  # `decimals` places
    THIRTY_SECONDS = 1  # 112-18+, + is a half of a 32nd
    THIRTY_SECONDS_QUARTERS = 2  # 99-22¾
    PIPS = 3  # `decimals` places, the last one small


# What a field of text may say; where kernels need it, its place in the tuple is its code.
DAY_COUNTS = ("", "ACT/ACT ICMA", "30/360", "ACT/360", "ACT/365F")
QUOTES = ("price", "yield", "spread", "upfront")
EXERCISES = ("", "european", "american")
PREMIUMS = ("upfront", "futures")
RIGHTS = {"": 0, "C": 1, "P": -1}
FREQUENCIES = (0, 1, 2, 4, 12)  # Coupons a year.
NO_DAY = -(2**31)  # A date that is not known, as days since 1970-01-01.


@dataclass(frozen=True, slots=True)
class Instrument:
    """Reference data of one instrument. Prices are floats here, exact in events."""

    id: int
    symbol: str
    asset_class: int
    venue: str
    currency: str  # Of prices; of a currency pair: the quote currency.
    multiplier: float  # Money in `currency` of one unit of price and one unit of quantity.
    tick: float
    decimals: int
    price_format: int = 0
    close_prev: float | None = None  # Previous official close, in price units.
    usd_rate: float = 1.0  # USD of one unit of `currency`.
    shard: int = 0  # Partition of its class's topic.
    underlying: int = -1  # Instrument id, or -1.
    expiry: str = ""  # ISO date of expiry or maturity, or "".
    strike: float | None = None  # None: not an option, or an option of unknown strike.
    right: str = ""  # "C", "P" or "".
    exercise: str = ""  # One of EXERCISES.
    # Groups of a report.
    sector: str = ""
    country: str = ""  # ISO 3166, two letters.
    issuer: str = ""
    # Risk.
    beta: float | None = None  # To `beta_index`.
    beta_index: str = ""  # Symbol.
    adv: float | None = None  # Average daily volume, in units of quantity.
    # Sessions and VWAP.
    calendar: str = ""  # Name in ingest/calendar.py; "": the class's default.
    vwap_table: int = 1  # Version of the tables in ingest/condition.py.
    # Judgement of its market; None: the class's default, compute/table.py.
    stale_s: float | None = None  # Age of the mark from which it is stale.
    wide_share: float | None = None  # Greatest width of a tight book, as a share of the mid.
    # Contracts.
    base: str = ""  # Base currency of a pair; the coin that an inverse contract is paid in.
    inverse: bool = False  # Paid in the base coin: a unit of quantity is worth multiplier / price.
    deliverable: float | None = None  # Units of the underlying of one contract; None: multiplier.
    premium: str = "upfront"  # One of PREMIUMS: "futures" is margined, without premium.
    dividends: tuple[tuple[str, float], ...] = ()  # (ISO ex-date, amount a share), in order.
    conversion_factor: float | None = None  # Rates future: of its cheapest to deliver ...
    ctd: int = -1  # ... and that bond's id.
    funding_hours: float = 0.0  # Perpetual: hours between two payments.
    # Bonds and credit: `expiry` is the maturity.
    day_count: str = ""  # One of DAY_COUNTS.
    coupon: float | None = None  # % a year; None: terms not known.
    coupon_frequency: int = 0  # A year; 0: none is paid.
    issue_date: str = ""  # ISO date from which the first coupon accrues.
    settle_days: int = 2  # Business days from trade to settlement.
    ex_days: int = 0  # Days before a coupon from which a buyer does not get it; gilts: business.
    quote: str = "price"  # One of QUOTES: clean price in % of par, yield %, spread bp, upfront %.
    recovery: float | None = None  # Share of par, 0 to 1.

    def to_json(self) -> bytes:
        """One compact JSON object; a field at its default is left out."""
        row = {
            name: value
            for name in FIELDS
            if (value := getattr(self, name)) != DEFAULTS.get(name, _REQUIRED)
        }
        return json.dumps(row, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Instrument":
        """Inverse of `to_json`; ValueError names the first thing that is wrong."""
        try:
            row = json.loads(data)
        except ValueError as error:
            raise ValueError(f"reference row is not an instrument: {error}") from None
        return cls.from_fields(row)

    @classmethod
    def from_fields(cls, row: Any) -> "Instrument":
        """From fields by name, as JSON holds them; ValueError names the first thing wrong."""
        if not isinstance(row, dict):
            text = f"reference row is not an instrument: it is {row!r:.60}"
            raise ValueError(text)  # noqa: TRY004 (what was read is wrong, not who calls)
        name = f"reference row {row.get('symbol', '')!r} (id {row.get('id', '?')})"
        known = {key: _typed(key, value, name) for key, value in row.items() if key in KINDS}
        if len(known) < len(row):
            raise ValueError(f"{name}: no field is named {min(set(row) - set(known))}")
        missing = [key for key in FIELDS if key not in DEFAULTS and key not in known]
        if missing:
            raise ValueError(f"{name}: is not an instrument without {missing[0]}; add it")
        instrument = cls(**known)
        instrument.check()
        return instrument

    def check(self) -> None:
        """ValueError with symbol, id, field and remedy where a field cannot be true."""
        problem = next(_problems(self), "")
        if problem:
            raise ValueError(f"reference row {self.symbol!r} (id {self.id}): {problem}")

    @property
    def units(self) -> float:
        """Units of the underlying that one contract stands for."""
        return self.multiplier if self.deliverable is None else self.deliverable


FIELDS = tuple(field.name for field in fields(Instrument))
_REQUIRED = object()
KINDS: dict[str, Any] = {field.name: field.type for field in fields(Instrument)}  # As annotated.
DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in fields(Instrument) if field.default is not MISSING
}


def _typed(name: str, value: Any, row: str) -> Any:
    """`value` as the field `name` holds it; ValueError where it is of another kind."""
    kind = KINDS[name]
    optional = isinstance(kind, UnionType)
    if name == "dividends":
        return _dividends(value, row)
    if optional:
        if value is None:
            return None
        kind = get_args(kind)[0]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind and not (kind is int and isinstance(value, IntEnum)):
        raise ValueError(f"{row}: {name} is {value!r}; give {_SAID[kind]}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{row}: {name} is {value}; give a finite number")
    return value


_SAID: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
}


def _dividends(value: Any, row: str) -> tuple[tuple[str, float], ...]:
    try:
        return tuple((str(day), float(amount)) for day, amount in value)
    except (TypeError, ValueError):
        raise ValueError(f'{row}: dividends is not [["2026-12-04", 0.24], ...]') from None


def _problems(row: Instrument) -> Iterator[str]:
    """What cannot be true of a row alone: field and remedy, the gravest first."""
    option = bool(row.right) or row.asset_class in OPTIONS
    tests = (
        (row.id < 0, "id must be 0 or more"),
        (not row.symbol, "symbol must not be empty"),
        (not 0 <= row.asset_class < len(AssetClass), "asset_class must be 0 to 11"),
        (
            not math.isfinite(row.multiplier) or row.multiplier == 0,
            "multiplier must be finite and not 0",
        ),
        (not (row.tick > 0 and math.isfinite(row.tick)), "tick must be above 0"),
        (not (row.usd_rate > 0 and math.isfinite(row.usd_rate)), "usd_rate must be above 0"),
        (not 0 <= row.decimals <= 9, "decimals must be 0 to 9"),
        (row.price_format not in PriceFormat, "price_format must be 0 to 3"),
        (row.shard < 0, "shard must be 0 or more"),
        (row.underlying < -1 or row.underlying == row.id, "underlying must be another's id or -1"),
        (
            row.close_prev is not None and not math.isfinite(row.close_prev),
            "close_prev is no price",
        ),
        (
            option and (row.right not in ("C", "P") or not row.expiry),
            "an option needs right (C or P) and expiry",
        ),
        (
            option and row.strike is None and row.underlying >= 0,
            "an option on an instrument needs its strike; give it, or underlying -1",
        ),
        (
            row.asset_class == AssetClass.EQUITY_OPTION
            and row.strike is not None
            and row.strike <= 0,
            "strike must be above 0; leave it out where it is not known",
        ),
        (row.strike is not None and not option, "strike without right; give C or P"),
        (row.exercise not in EXERCISES, _ONE_OF["exercise"]),
        (row.premium not in PREMIUMS, _ONE_OF["premium"]),
    )
    yield from (problem for found, problem in tests if found)
    yield from _date_problems(row)
    yield from _contract_problems(row)
    yield from _bond_problems(row)


def _date_problems(row: Instrument) -> Iterator[str]:
    for name in ("expiry", "issue_date"):
        text = getattr(row, name)
        if text and _day(text) is None:
            yield f"{name} is {text!r}; give a date like 2026-12-18"
    if row.expiry and row.issue_date and row.issue_date >= row.expiry:
        yield f"issue_date {row.issue_date} must be before expiry {row.expiry}"
    days = [day for day, _ in row.dividends]
    if any(_day(day) is None for day in days):
        yield "dividends need ex-dates like 2026-12-04"
    if any(before >= after for before, after in pairwise(days)):
        yield "dividends must be in the order of their ex-dates, one a day"
    if any(not (amount > 0 and math.isfinite(amount)) for _, amount in row.dividends):
        yield "dividends must be amounts above 0"


def _contract_problems(row: Instrument) -> Iterator[str]:
    rates = row.asset_class == AssetClass.RATES_FUTURE
    coin = row.asset_class == AssetClass.CRYPTO_PERPETUAL
    tests = (
        (bool(row.base) and row.base == row.currency, "base and currency must differ"),
        (row.inverse and not coin, "inverse is for crypto contracts (asset_class 11)"),
        (row.inverse and not row.base, "an inverse contract needs base, the coin it is paid in"),
        (row.funding_hours < 0, "funding_hours must be 0 or more"),
        (row.funding_hours > 0 and not coin, "funding_hours is for perpetuals (asset_class 11)"),
        (
            row.funding_hours > 0 and bool(row.expiry),
            "a contract with expiry pays no funding; leave out one of the two",
        ),
        (_not_above_0(row.deliverable), "deliverable must be above 0"),
        (_not_above_0(row.stale_s), "stale_s must be above 0 s; leave it out for the class's"),
        (_not_above_0(row.wide_share), "wide_share must be above 0; leave it out for the class's"),
        (_not_above_0(row.adv), "adv must be above 0; leave it out where it is not known"),
        (_not_above_0(row.conversion_factor), "conversion_factor must be above 0"),
        (
            (row.ctd >= 0) != (row.conversion_factor is not None),
            "ctd and conversion_factor go together; give both or neither",
        ),
        (row.ctd >= 0 and not rates, "ctd is for rates futures (asset_class 4)"),
        (row.ctd < -1, "ctd must be an id or -1"),
        (row.beta is not None and not math.isfinite(row.beta), "beta must be finite"),
        (
            (row.beta is not None) != bool(row.beta_index),
            "beta and beta_index go together; give both or neither",
        ),
        (
            bool(row.country) and not (len(row.country) == 2 and row.country.isupper()),
            "country must be two capital letters (ISO 3166)",
        ),
        (
            row.vwap_table not in condition.VERSIONS,
            _ONE_OF["vwap_table"],
        ),
        (
            bool(row.calendar) and row.calendar not in calendar.CALENDARS,
            _ONE_OF["calendar"],
        ),
    )
    yield from (problem for found, problem in tests if found)


def _bond_problems(row: Instrument) -> Iterator[str]:
    """Terms of a bond are whole or absent: from half of them nothing can be computed."""
    schedule = row.coupon is not None
    tests = (
        (row.day_count not in DAY_COUNTS, _ONE_OF["day_count"]),
        (row.quote not in QUOTES, _ONE_OF["quote"]),
        (
            row.coupon_frequency not in FREQUENCIES,
            _ONE_OF["coupon_frequency"],
        ),
        (not 0 <= row.settle_days <= 30, "settle_days must be 0 to 30"),
        (not 0 <= row.ex_days <= 60, "ex_days must be 0 to 60"),
        (
            row.recovery is not None and not 0 <= row.recovery < 1,
            "recovery must be a share of par, from 0 to below 1",
        ),
        (schedule and row.asset_class not in BONDS, "coupon is for bonds and credit"),
        (schedule and not abs(row.coupon or 0) < 100, "coupon must be % a year, below 100"),
        (schedule and not row.expiry, "a bond with coupon needs expiry, its maturity"),
        (schedule and not row.day_count, "a bond with coupon needs day_count"),
        (
            schedule and row.coupon != 0 and not row.coupon_frequency,
            "a bond with coupon needs coupon_frequency; 2 is half-yearly",
        ),
        (
            row.coupon_frequency > 0 and not schedule,
            "coupon_frequency without coupon; give both or neither",
        ),
    )
    yield from (problem for found, problem in tests if found)


OPTIONS = frozenset({AssetClass.EQUITY_OPTION, AssetClass.FUTURE_OPTION})
BONDS = frozenset({AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT})
FUTURES = frozenset({AssetClass.INDEX_FUTURE, AssetClass.RATES_FUTURE, AssetClass.COMMODITY_FUTURE})


def _not_above_0(value: float | None) -> bool:
    return value is not None and not (value > 0 and math.isfinite(value))


def _list(values: Iterable[object]) -> str:
    return ", ".join(repr(value) if value == "" else str(value) for value in values)


# Made once: five thousand rows are read at each start, and hardly one is wrong.
_ONE_OF = {
    name: f"{name} must be one of {_list(values)}"
    for name, values in (
        ("exercise", EXERCISES),
        ("premium", PREMIUMS),
        ("vwap_table", condition.VERSIONS),
        ("calendar", calendar.CALENDARS),
        ("day_count", DAY_COUNTS),
        ("quote", QUOTES),
        ("coupon_frequency", FREQUENCIES),
    )
}


def _day(text: str) -> int | None:
    """Days since 1970-01-01 of an ISO date; None where it is none."""
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH if len(text) == 10 else None
    except ValueError:
        return None


_EPOCH = date(1970, 1, 1).toordinal()


REFERENCE = np.dtype(  # NaN, NO_DAY and -1 where unknown or none.
    [
        ("multiplier", "<f8"),
        ("usd_rate", "<f8"),
        ("tick", "<f8"),
        ("close_prev", "<f8"),
        ("asset_class", "<i8"),  # -1: no such instrument
        ("shard", "<i8"),
        *(("underlying", "<i8"), ("expiry", "<i8"), ("issue_date", "<i8")),  # days since 1970
        *(("strike", "<f8"), ("right", "<i8")),  # 1 call, -1 put, 0 no option
        *(("exercise", "<i8"), ("premium", "<i8")),  # places in EXERCISES, PREMIUMS
        *(("deliverable", "<f8"), ("inverse", "<i8"), ("funding_hours", "<f8")),
        *(("beta", "<f8"), ("adv", "<f8"), ("recovery", "<f8")),
        *(("coupon", "<f8"), ("coupon_frequency", "<i8")),
        *(("day_count", "<i8"), ("quote", "<i8")),  # places in DAY_COUNTS, QUOTES
        *(("settle_days", "<i8"), ("ex_days", "<i8")),
        *(("conversion_factor", "<f8"), ("ctd", "<i8")),
        *(("vwap_table", "<i8"), ("calendar", "<i8")),  # place in the names of CALENDARS
        *(("stale_s", "<f8"), ("wide_share", "<f8")),
    ]
)
_UNKNOWN = np.zeros(1, REFERENCE)
for _name in REFERENCE.names or ():
    _UNKNOWN[_name] = np.nan if REFERENCE[_name].kind == "f" else -1
for _name in ("multiplier", "usd_rate", "tick", "right", "exercise", "shard"):
    _UNKNOWN[_name] = 0
for _name in ("expiry", "issue_date"):
    _UNKNOWN[_name] = NO_DAY


def _packed(row: Instrument) -> tuple[float, ...]:
    """The row as REFERENCE holds it."""
    days = [_day(text) for text in (row.expiry, row.issue_date)]
    return (
        *(row.multiplier, row.usd_rate, row.tick, _or_nan(row.close_prev)),
        *(row.asset_class, row.shard, row.underlying),
        *(NO_DAY if day is None else day for day in days),
        *(_or_nan(row.strike), RIGHTS.get(row.right, 0)),
        *(EXERCISES.index(row.exercise), PREMIUMS.index(row.premium)),
        *(row.units, row.inverse, row.funding_hours),
        *(_or_nan(row.beta), _or_nan(row.adv), _or_nan(row.recovery)),
        *(_or_nan(row.coupon), row.coupon_frequency),
        *(DAY_COUNTS.index(row.day_count), QUOTES.index(row.quote)),
        *(row.settle_days, row.ex_days, _or_nan(row.conversion_factor), row.ctd),
        *(row.vwap_table, calendar.code(row.calendar, row.asset_class)),
        *(_or_nan(row.stale_s), _or_nan(row.wide_share)),
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


class Refusal(NamedTuple):
    """A row that contradicts the others, and why."""

    row: Instrument
    reason: str


class Reference:
    """All instruments known so far, by dense id: objects for people, one array for kernels."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Start with `instruments`; more arrive by `update`."""
        self.by_id: dict[int, Instrument] = {}
        self.array = np.zeros(0, REFERENCE)
        self.version = 0
        self.refused: dict[int, Refusal] = {}  # By id; tried again at each update.
        self._codes: dict[str, tuple[int, np.ndarray, tuple[str, ...]]] = {}
        self.update(instruments)

    def __len__(self) -> int:
        """One more than the highest id: the number of rows of every table."""
        return len(self.array)

    def update(self, instruments: Iterable[Instrument]) -> None:
        """Take new or changed rows that agree with the others; the array grows to the highest id.

        A row that does not agree is kept in `refused`, with what was known of its id before
        still in force; it is tried again with every update, because rows come in any order.
        """
        rows = list(instruments)
        if not rows:
            return
        tried = {number: refusal.row for number, refusal in self.refused.items()}
        tried |= {row.id: row for row in rows}
        self.refused = problems(tried, self.by_id)
        taken = [row for row in tried.values() if row.id not in self.refused]
        if not taken:
            return
        size = max(len(self.array), max(row.id for row in taken) + 1)
        array = np.repeat(_UNKNOWN, size)
        array[: len(self.array)] = self.array
        for row in taken:
            self.by_id[row.id] = row
            array[row.id] = _packed(row)
        self.array = array
        self.version += 1

    def codes(self, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Of a field of text: int64 [ids] places in the names, and the names; "" is place 0."""
        version, codes, names = self._codes.get(name, (-1, np.zeros(0, np.int64), ()))
        if version != self.version:
            places = dict.fromkeys(names or ("",))  # Places once given stay.
            places |= dict.fromkeys(getattr(row, name) for row in self.by_id.values())
            names = tuple(places)
            place = {text: number for number, text in enumerate(names)}
            codes = np.zeros(len(self.array), np.int64)
            for row in self.by_id.values():
                codes[row.id] = place[getattr(row, name)]
            self._codes[name] = self.version, codes, names
        return codes, names

    def to_json(self) -> bytes:
        """All rows as one JSON array, for Redis and the page."""
        return b"[" + b",".join(row.to_json() for row in self.by_id.values()) + b"]"

    @classmethod
    def from_json(cls, data: bytes) -> "Reference":
        """Inverse of `to_json`."""
        return cls(Instrument(**_whole(row)) for row in json.loads(data))


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    if "dividends" in row:
        row["dividends"] = tuple((day, amount) for day, amount in row["dividends"])
    return row


def problems(rows: dict[int, Instrument], known: dict[int, Instrument]) -> dict[int, Refusal]:
    """Which of `rows` cannot stand beside each other and what is `known`, by id, and why."""
    refused: dict[int, Refusal] = {}
    beside = known | rows
    while True:
        found = {
            row.id: Refusal(row, reason)
            for row in rows.values()
            if row.id not in refused and (reason := _conflict(row, beside))
        }
        if not found:
            return refused
        refused |= found
        for number in found:  # What hangs on a refused row is judged by what stood before it.
            if number in known:
                beside[number] = known[number]
            else:
                del beside[number]


# What an instrument of a class may hang on.
_UNDERLYINGS = {
    AssetClass.EQUITY_OPTION: {AssetClass.EQUITY, AssetClass.ETF},
    AssetClass.FUTURE_OPTION: {*FUTURES, AssetClass.FX},
    AssetClass.CRYPTO_PERPETUAL: {AssetClass.CRYPTO_SPOT, AssetClass.CRYPTO_PERPETUAL},
    AssetClass.FX: {AssetClass.FX},
}


def _conflict(row: Instrument, beside: dict[int, Instrument]) -> str:
    """Why `row` cannot stand beside the others; "" where it can."""
    name = f"reference row {row.symbol!r} (id {row.id})"
    if row.underlying >= 0:
        under = beside.get(row.underlying)
        if under is None:
            return f"{name}: underlying {row.underlying} is not in the reference data; add it"
        fits = _UNDERLYINGS.get(AssetClass(row.asset_class))
        if fits is not None and (under.asset_class not in fits or under.right):
            what = AssetClass(under.asset_class).label.lower()
            return f"{name}: underlying {under.symbol!r} is {what}; name another"
        if row.right and under.expiry and row.expiry > under.expiry:
            return (
                f"{name}: expiry {row.expiry} is after that of its underlying {under.symbol!r}, "
                f"{under.expiry}; correct one of them"
            )
    if row.ctd >= 0:
        bond = beside.get(row.ctd)
        if bond is None:
            return f"{name}: ctd {row.ctd} is not in the reference data; add it"
        if bond.asset_class != AssetClass.GOVERNMENT_BOND or bond.currency != row.currency:
            return f"{name}: ctd {bond.symbol!r} is no government bond in {row.currency}"
        if row.expiry and bond.expiry <= row.expiry:
            return f"{name}: ctd {bond.symbol!r} matures {bond.expiry}, before the future ends"
    return ""
