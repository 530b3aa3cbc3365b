"""Shape: a pair of currencies, and what one is worth in USD, roughly, where a file does not tell.

Rounded averages of the years 2015 to 2025. They give totals over currencies the right size and no
more: whoever adds money across currencies sets `usd_rate` from a rate of the day.
"""

from pathlib import Path

from ingest.feeds.feed import FeedError
from ingest.instrument import AssetClass, Instrument, PriceFormat

USD_OF = {
    "USD": 1.0,
    "USDT": 1.0,
    "USDC": 1.0,
    "EUR": 1.12,
    "GBP": 1.30,
    "CHF": 1.07,
    "JPY": 0.0080,
    "AUD": 0.71,
    "NZD": 0.66,
    "CAD": 0.76,
    "SEK": 0.107,
    "NOK": 0.11,
    "DKK": 0.15,
    "SGD": 0.74,
    "HKD": 0.128,
    "CNY": 0.147,
    "CNH": 0.147,
    "TWD": 0.033,
    "KRW": 0.00083,
    "INR": 0.0134,
    "IDR": 0.000068,
    "PHP": 0.0193,
    "THB": 0.030,
    "MXN": 0.052,
    "BRL": 0.23,
    "COP": 0.00029,
    "CLP": 0.00132,
    "ZAR": 0.065,
    "PLN": 0.255,
    "CZK": 0.044,
    "HUF": 0.0032,
    "ILS": 0.28,
    "TRY": 0.12,
    "PEN": 0.28,
    "MYR": 0.23,
    "BTC": 35_000.0,
    "XBT": 35_000.0,
    "ETH": 2_000.0,
    "SOL": 80.0,
}


def usd_rate(currency: str, path: Path) -> float:
    """USD of one unit; FeedError where it is not known."""
    if currency not in USD_OF:
        what = f"the file does not say what {currency} is worth in USD"
        raise FeedError(what, path, f"known are {', '.join(sorted(USD_OF))}")
    return USD_OF[currency]


def pair(name: tuple[str, str], venue: str, price: float, number: int, path: Path) -> Instrument:
    """`EURUSD.FXCM`; `price` is one of its own, which tells what a dollar's worth is."""
    first, second, where = name[0].upper(), name[1].upper(), venue.upper()
    metal = first in ("XAU", "XAG")
    decimals = 3 if second == "JPY" or metal else 5
    kind = AssetClass.COMMODITY_FUTURE if metal else AssetClass.FX
    return Instrument(
        *(number, f"{first}{second}.{where}", kind, where, second, 1.0, 10.0**-decimals, decimals),
        PriceFormat.DECIMAL if metal else PriceFormat.PIPS,
        usd_rate=1.0 / price if first == "USD" else usd_rate(second, path),
        base="" if metal else first,
    )
