"""Rule: a ticker of B3 -> its instrument.

Derivatives are a root, a month's letter and a year, options go on with right and strike. Contract
sizes are those of B3's specifications; of a root that is not listed the multiplier stands as 1.
Options on shares are four letters, the letter of right and month, and digits that are no strike.
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
    "BBSD11 BOVA11 BOVV11 BRAX11 DIVO11 ECOO11 FIND11 GOVE11 ISUS11 IVVB11 MATB11 PIBB11 SMAL11"
    " SPXI11 UTIP11 XBOV11".split()
)


class _Product(NamedTuple):
    kind: AssetClass
    multiplier: float  # Of one point of the price as quoted.
    currency: str = "BRL"


_FX, _INDEX, _RATES, _GOODS = (
    *(AssetClass.FX, AssetClass.INDEX_FUTURE),
    *(AssetClass.RATES_FUTURE, AssetClass.COMMODITY_FUTURE),
)
PRODUCTS = {
    **{"DOL": _Product(_FX, 50.0), "WDO": _Product(_FX, 10.0), "DR1": _Product(_FX, 50.0)},
    **{"EUR": _Product(_FX, 50.0), "VTC": _Product(_FX, 50.0), "JPY": _Product(_FX, 50.0)},
    **{root: _Product(_FX, 1.0) for root in ("AUD", "CAD", "CHF", "CNY", "GBP", "MXN", "NZD")},
    **{root: _Product(_FX, 1.0) for root in ("ARS", "CLP", "TRY", "ZAR", "AFS", "DOS")},
    **{"IND": _Product(_INDEX, 1.0), "WIN": _Product(_INDEX, 0.2)},
    **{"ISP": _Product(_INDEX, 50.0, "USD"), "WSP": _Product(_INDEX, 2.5, "USD")},
    **{"BRI": _Product(_INDEX, 10.0), "BGI": _Product(_GOODS, 330.0)},
    **{"CCM": _Product(_GOODS, 450.0), "ICF": _Product(_GOODS, 100.0, "USD")},
    **{"SJC": _Product(_GOODS, 450.0, "USD"), "ETH": _Product(_GOODS, 30.0)},
    **{"OZ1": _Product(_GOODS, 249.75), "GLD": _Product(_GOODS, 1.0, "USD")},
}


def instrument(ticker: str, day: date, number: int, close: str | None, path: Path) -> Instrument:
    """What `ticker` is on `day`; `close` is its previous settlement, as text, if there is one."""
    derivative = _FUTURE.fullmatch(ticker)
    option = _OPTION.fullmatch(derivative["option"]) if derivative else None
    if derivative and (option or not derivative["option"]):
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
        strike=0.0 if shares else None,
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
    product = PRODUCTS.get(name["root"], _Product(_RATES, 1.0))
    month, year = MONTHS.index(name["month"]) + 1, 2000 + int(name["year"])
    on_rates = option is not None and product.kind not in (_FX,)
    kind = AssetClass.FUTURE_OPTION if on_rates else product.kind
    return Instrument(
        *(number, ticker, kind, "B3", product.currency, product.multiplier, 0.001, 3, 0),
        _price(close),
        usd_rate=usd_rate(product.currency, path),
        expiry=date(year, month, 1).isoformat(),
        strike=float(option["strike"]) if option else None,
        right=option["right"] if option else "",
    )
