"""Shape: contract terms of the futures that the files speak of, which the files do not carry.

Money of a point and tick by the exchanges' rulebooks (CME chapters 358, 359, 251, 261, 452; COMEX
chapter 113; CFFEX and SHFE contract specifications). Last trading days know weekends but no
holidays, so one may lie a day or two late.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

from ingest.instrument import AssetClass, Instrument, PriceFormat

MONTHS = "FGHJKMNQUVXZ"


class Terms(NamedTuple):
    """What is the same for all contracts of a product."""

    asset_class: AssetClass
    venue: str
    currency: str
    multiplier: float
    tick: float
    decimals: int
    last_day: Callable[[int, int], date]  # of (year, month)


def third_friday(year: int, month: int) -> date:
    """The third Friday of a month."""
    return _weekday(year, month, 4, 3)


def _weekday(year: int, month: int, weekday: int, count: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1))


def _third_wednesday_less_two(year: int, month: int) -> date:
    return _weekday(year, month, 2, 3) - timedelta(days=2)


def _third_last_business_day(year: int, month: int) -> date:
    day = date(year + month // 12, month % 12 + 1, 1)
    left = 3
    while left:
        day -= timedelta(days=1)
        left -= day.weekday() < 5
    return day


def _fifteenth(year: int, month: int) -> date:
    day = date(year, month, 15)
    return day + timedelta(days=7 - day.weekday() if day.weekday() > 4 else 0)


def _second_friday(year: int, month: int) -> date:
    return _weekday(year, month, 4, 2)


_INDEX, _RATES, _METAL = (
    *(AssetClass.INDEX_FUTURE, AssetClass.RATES_FUTURE, AssetClass.COMMODITY_FUTURE),
)
TERMS = {
    "ES": Terms(_INDEX, "CME", "USD", 50.0, 0.25, 2, third_friday),
    "MES": Terms(_INDEX, "CME", "USD", 5.0, 0.25, 2, third_friday),
    "NQ": Terms(_INDEX, "CME", "USD", 20.0, 0.25, 2, third_friday),
    "MNQ": Terms(_INDEX, "CME", "USD", 2.0, 0.25, 2, third_friday),
    "GC": Terms(_METAL, "COMEX", "USD", 100.0, 0.1, 1, _third_last_business_day),
    "6E": Terms(AssetClass.FX, "CME", "USD", 125_000.0, 0.00005, 5, _third_wednesday_less_two),
    "IF": Terms(_INDEX, "CFFEX", "CNY", 300.0, 0.2, 1, third_friday),
    "T": Terms(_RATES, "CFFEX", "CNY", 10_000.0, 0.005, 3, _second_friday),
    "cu": Terms(_METAL, "SHFE", "CNY", 5.0, 10.0, 0, _fifteenth),
    "ZN": Terms(_RATES, "CBOT", "USD", 1_000.0, 1 / 64, 6, _third_last_business_day),
    "GE": Terms(_RATES, "CME", "USD", 2_500.0, 0.0025, 4, _third_wednesday_less_two),
}


def future(
    symbol: str, root: str, month: tuple[int, int], number: int, usd_rate: float = 1.0
) -> Instrument:
    """The contract `symbol` of the product `root` (one of TERMS) for (year, month)."""
    terms = TERMS[root]
    kind = PriceFormat.THIRTY_SECONDS if root == "ZN" else PriceFormat.DECIMAL
    return Instrument(
        *(number, symbol, terms.asset_class, terms.venue, terms.currency),
        *(terms.multiplier, terms.tick, terms.decimals, kind),
        usd_rate=usd_rate,
        expiry=terms.last_day(*month).isoformat(),
    )


def code(root: str, month: tuple[int, int]) -> str:
    """`ESZ13`: root, letter of the month, two digits of the year."""
    return f"{root}{MONTHS[month[1] - 1]}{month[0] % 100:02d}"


def occ(root: str, expiry: str, right: str, strike: float) -> str:
    """`AAPL260724C00110000`, as the Options Clearing Corporation writes it, root not padded."""
    return f"{root}{expiry[2:].replace('-', '')}{right}{round(strike * 1000):08d}"
