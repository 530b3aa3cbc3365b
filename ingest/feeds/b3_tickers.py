"""Rule: a ticker of B3 -> its instrument.

Derivatives are a root, a month's letter and a year, options go on with right and strike. Contract
sizes are those of B3's specifications where they are listed, else the multiplier stands as 1: rates
are quoted as rates, and what a point of them is worth depends on the days that are left. A
derivative's expiry stands as the first of its month: that of dollar and rate futures, but for
holidays; other products end later in the month. Options on shares are four letters, the letter of
right and month, and digits that are no strike: it is not known.
"""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from ingest.feeds.currency import usd_rate
from ingest.feeds.futures import MONTHS
from ingest.instrument import AssetClass, Instrument

_FUTURE = re.compile(rf"(?P<root>[A-Z0-9]{{3}})(?P<month>[{MONTHS}])(?P<year>\d\d)(?P<option>.*)")
_OPTION = re.compile(r"(?P<right>[CP])(?P<strike>\d{6})")
_SHARE_OPTION = re.compile(r"[A-Z]{4}(?P<letter>[A-X])\d{1,4}E?")
ETFS = frozenset(
    [
        "BBSD11",
        "BOVA11",
        "BOVV11",
        "BRAX11",
        "DIVO11",
        "ECOO11",
        "FIND11",
        "GOVE11",
        "ISUS11",
        "IVVB11",
        "MATB11",
        "PIBB11",
        "SMAL11",
        "SPXI11",
        "UTIP11",
        "XBOV11",
    ]
)


class _Product(NamedTuple):
    kind: AssetClass
    multiplier: float  # Of one point of the price as quoted.
    currency: str = "BRL"
    strike_unit: float = 1.0  # What the six digits of a strike count.


_FX, _INDEX, _RATES, _GOODS = (
    *(AssetClass.FX, AssetClass.INDEX_FUTURE),
    *(AssetClass.RATES_FUTURE, AssetClass.COMMODITY_FUTURE),
)
PRODUCTS = {
    "DOL": _Product(_FX, 50.0),
    "WDO": _Product(_FX, 10.0),
    "DR1": _Product(_FX, 50.0),
    "EUR": _Product(_FX, 50.0),
    "VTC": _Product(_FX, 50.0),
    "JPY": _Product(_FX, 50.0),
    "GBP": _Product(_FX, 35.0),
    **{root: _Product(_FX, 1.0) for root in ("AUD", "CAD", "CHF", "CLP", "CNY", "MXN")},
    **{root: _Product(_FX, 1.0) for root in ("NZD", "TRY", "ZAR", "WEU")},
    "IND": _Product(_INDEX, 1.0),
    "WIN": _Product(_INDEX, 0.2),
    "ISP": _Product(_INDEX, 50.0, "USD"),
    "WSP": _Product(_INDEX, 2.5, "USD"),
    "BRI": _Product(_INDEX, 10.0),
    "BGI": _Product(_GOODS, 330.0, "BRL", 0.01),
    "MIX": _Product(_INDEX, 1.0),
    "JSE": _Product(_INDEX, 1.0),
    "HSI": _Product(_INDEX, 1.0),
    "BSE": _Product(_INDEX, 1.0),
    "CCM": _Product(_GOODS, 450.0, "BRL", 0.01),
    "ICF": _Product(_GOODS, 100.0, "USD", 0.01),
    "SJC": _Product(_GOODS, 450.0, "USD", 0.01),
    "ETH": _Product(_GOODS, 30.0),
    "OZ1": _Product(_GOODS, 249.75, "BRL", 0.001),
    "WTI": _Product(_GOODS, 1.0, "USD"),
    **{root: _Product(_RATES, 1.0) for root in ("DI1", "DDI", "DCO", "FRO", "FRC", "OC1", "IDI")},
    **{root: _Product(_RATES, 1.0) for root in ("SFI", "DAP", "T10")},
    **{root: _Product(_RATES, 1.0, "BRL", 0.01) for root in ("D11", "D12", "D13", "D14")},
}


def instrument(ticker: str, day: date, number: int, close: str | None, path: Path) -> Instrument:
    """What `ticker` is on `day`; `close` is its previous settlement, as text, if there is one."""
    derivative = _FUTURE.fullmatch(ticker)
    option = _OPTION.fullmatch(derivative["option"]) if derivative else None
    plain = derivative and (option or not derivative["option"])
    if derivative and plain and derivative["root"] in PRODUCTS:
        return _derivative(ticker, derivative, option, (number, close, path))
    shares = _SHARE_OPTION.fullmatch(ticker)
    kind = AssetClass.ETF if ticker in ETFS else AssetClass.EQUITY
    right, expiry = "", ""
    if shares:
        letter = ord(shares["letter"]) - ord("A")
        month = letter % 12 + 1
        kind, right = AssetClass.EQUITY_OPTION, "C" if letter < 12 else "P"
        expiry = third_monday(day.year + (month < day.month), month).isoformat()
    return Instrument(
        *(number, ticker, kind, "B3", "BRL", 1.0, 0.01, 2, 0, _price(close)),
        usd_rate=usd_rate("BRL", path),
        expiry=expiry,
        right=right,
    )


def third_monday(year: int, month: int) -> date:
    """The day on which options on shares ended until 2020."""
    first = date(year, month, 1)
    return first + timedelta(days=-first.weekday() % 7 + 14)


def _price(text: str | None) -> float | None:
    return float(text) if text else None


def _derivative(
    ticker: str,
    name: re.Match[str],
    option: re.Match[str] | None,
    rest: tuple[int, str | None, Path],
) -> Instrument:
    number, close, path = rest
    product = PRODUCTS[name["root"]]
    month, year = MONTHS.index(name["month"]) + 1, 2000 + int(name["year"])
    on_rates = option is not None and product.kind != _FX
    kind = AssetClass.FUTURE_OPTION if on_rates else product.kind
    return Instrument(
        *(number, ticker, kind, "B3", product.currency, product.multiplier, 0.001, 3, 0),
        _price(close),
        usd_rate=usd_rate(product.currency, path),
        expiry=date(year, month, 1).isoformat(),
        strike=int(option["strike"]) * product.strike_unit if option else None,
        right=option["right"] if option else "",
    )
