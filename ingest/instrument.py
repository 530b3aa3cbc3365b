"""Shape: the 12 asset classes and the reference data of an instrument.

An instrument's `id` is dense: it is the row of every table and array. Reference data travels
as one JSON object an instrument (topic `reference`, key = symbol) and lives as one structured
array, so that kernels read it without Python objects.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from enum import IntEnum

import numpy as np


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


@dataclass(frozen=True, slots=True)
class Instrument:
    """Reference data of one instrument. Prices are floats here, exact in events."""

    id: int
    symbol: str
    asset_class: int
    venue: str
    currency: str
    multiplier: float  # Money in `currency` of one unit of price and one unit of quantity.
    tick: float
    decimals: int
    price_format: int = 0
    close_prev: float | None = None  # Previous official close, in price units.
    usd_rate: float = 1.0  # USD of one unit of `currency`.
    shard: int = 0  # Partition of its class's topic.
    underlying: int = -1  # Instrument id, or -1.
    expiry: str = ""  # ISO date, or "".
    strike: float | None = None
    right: str = ""  # "C", "P" or "".
    exercise: str = ""  # "american", "european" or "".

    def to_json(self) -> bytes:
        """One compact JSON object."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Instrument":
        """Inverse of `to_json`; ValueError names the first thing that is wrong."""
        try:
            row = json.loads(data)
            instrument = cls(**row)
        except (ValueError, TypeError) as error:
            raise ValueError(f"reference row is not an instrument: {error}") from None
        instrument.check()
        return instrument

    def check(self) -> None:
        """ValueError with symbol, field and remedy where a field cannot be true."""
        problems = {
            "id must be 0 or more": self.id < 0,
            "symbol must not be empty": not self.symbol,
            "asset_class must be 0 to 11": not 0 <= self.asset_class < len(AssetClass),
            "multiplier must be finite and not 0": not np.isfinite(self.multiplier)
            or self.multiplier == 0,
            "tick must be above 0": not self.tick > 0,
            "usd_rate must be above 0": not self.usd_rate > 0,
            "decimals must be 0 to 9": not 0 <= self.decimals <= 9,
            "shard must be 0 or more": self.shard < 0,
            "an option needs strike, right and expiry": self.asset_class
            in (AssetClass.EQUITY_OPTION, AssetClass.FUTURE_OPTION)
            and (self.strike is None or self.right not in ("C", "P") or not self.expiry),
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(f"reference row {self.symbol!r} (id {self.id}): {problem}")


REFERENCE = np.dtype(
    [
        ("multiplier", "<f8"),
        ("usd_rate", "<f8"),
        ("tick", "<f8"),
        ("close_prev", "<f8"),  # NaN where unknown
        ("asset_class", "<i8"),  # -1: no such instrument
        ("shard", "<i8"),
    ]
)


class Reference:
    """All instruments known so far, by dense id: objects for people, one array for kernels."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Start with `instruments`; more arrive by `update`."""
        self.by_id: dict[int, Instrument] = {}
        self.array = np.zeros(0, REFERENCE)
        self.version = 0
        self.update(instruments)

    def __len__(self) -> int:
        """One more than the highest id: the number of rows of every table."""
        return len(self.array)

    def update(self, instruments: Iterable[Instrument]) -> None:
        """Take new or changed rows; the array grows to hold the highest id."""
        rows = list(instruments)
        if not rows:
            return
        size = max(len(self.array), max(row.id for row in rows) + 1)
        array = np.zeros(size, REFERENCE)
        array["asset_class"] = -1
        array["close_prev"] = np.nan
        array[: len(self.array)] = self.array
        for row in rows:
            self.by_id[row.id] = row
            close = np.nan if row.close_prev is None else row.close_prev
            array[row.id] = (
                *(row.multiplier, row.usd_rate, row.tick),
                *(close, row.asset_class, row.shard),
            )
        self.array = array
        self.version += 1

    def to_json(self) -> bytes:
        """All rows as one JSON array, for Redis and the page."""
        return b"[" + b",".join(row.to_json() for row in self.by_id.values()) + b"]"

    @classmethod
    def from_json(cls, data: bytes) -> "Reference":
        """Inverse of `to_json`."""
        return cls(Instrument(**row) for row in json.loads(data))


FIELDS = tuple(field.name for field in fields(Instrument))
