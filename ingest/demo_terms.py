"""Rule: the terms of the demo's instruments that their prices do not tell, from a seed.

Enters: the rows of `universe`. Leaves: the same rows with sector, country, issuer, beta, volume,
calendar, dividends, coupon schedule, cheapest to deliver and funding. What is known of a name is
that of the real market; the rest is drawn by the name, so a row keeps its terms in any universe.
"""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from ingest.calendar import CALENDARS, default_calendar
from ingest.instrument import FUTURES, AssetClass, Instrument

BETA_INDEX = "SPY"


def _words(text: str) -> list[str]:
    return text.split()


# Sector: beta, dividend yield in %, share of generated names, then names.
_SECTORS = """Technology 1.25 .6 18 AAPL MSFT NVDA ASML AVGO ORCL AMD SAP CRM CSCO IBM INTC QCOM TXN
 NOW INTU MU PLTR SMCI ADYEN 6758 8035 6861 005930 LSEG COIN MSTR 6501
Communication 1.05 1.1 7 GOOGL META NFLX DIS T VZ DTE VOD 700 9432 9984 7974
Consumer 1.15 1.2 12 AMZN TSLA HD MCD BKNG SBUX NKE LOW F GM MC BMW 7203 9988 3690 UBER
Staples .6 2.6 8 COST WMT PG KO PEP PM NESN OR ULVR
Health .7 1.8 13 LLY UNH JNJ ABBV TMO ABT AMGN PFE MRK GILD BRKR NOVN AZN ROG SAN GSK
Financials 1.1 2.7 14 JPM BRK/B V MA BAC GS MS WFC C AXP SPGI BLK PYPL HSBA 8306 UBSG BNP ALV INGA
 UCG BARC 1299 939 388 CBA
Industrials 1.05 1.6 13 GE CAT BA RTX HON LMT DE UPS SIE AIR ABBN
Energy .9 3.9 4 XOM CVX SHEL TTE BP/
Materials .95 2.3 5 LIN BAS RIO BHP 4063
Utilities .55 3.6 3 IBE ENEL
Real_estate .9 3.8 3"""
_COUNTRIES = {
    "": "US",
    **dict(LN="GB", GY="DE", FP="FR", NA="NL", SW="CH", JT="JP"),
    **dict(HK="HK", AU="AU", KP="KR", SM="ES", IM="IT"),
}
_TIMES = {"US": 4, "GB": 2, "JP": 2, "HK": 2, "AU": 2, "KR": 4}  # Dividends a year; else 1.
_NO_DIVIDENDS = frozenset(
    _words("AMZN TSLA NFLX AMD PLTR COIN UBER BRK/B BRKR SMCI MSTR BA PYPL F BKNG ADYEN 9984")
)
_FUND_SECTORS = {
    **dict.fromkeys(_words("GLD SLV USO UNG IBIT ETHA UVXY"), "Commodities"),
    **dict.fromkeys(_words("HYG TLT LQD AGG IEF SHY TIP MUB EMB JNK BIL"), "Bonds"),
}
_FUND_BETAS = dict(
    SPY=1.0,
    QQQ=1.18,
    IWM=1.15,
    TLT=-0.1,
    SHY=0.0,
    IEF=-0.05,
    BIL=0.0,
    AGG=0.05,
    LQD=0.15,
    HYG=0.4,
    JNK=0.4,
    GLD=0.05,
    SLV=0.3,
    XLU=0.5,
    SQQQ=-3.5,
    TQQQ=3.5,
    UVXY=-5.0,
    IBIT=1.6,
    ETHA=1.9,
    SMH=1.6,
)
_FUTURE_BETAS = dict(
    ES=1.0,
    MES=1.0,
    NQ=1.18,
    MNQ=1.18,
    RTY=1.15,
    YM=0.9,
    FESX=0.85,
    FDAX=0.85,
    FCE=0.8,
    FSMI=0.6,
    Z=0.55,
    NKD=0.7,
    NK=0.7,
    TPX=0.65,
    HSI=0.5,
    AP=0.55,
    VX=-4.5,
)
_GOODS = {
    **dict.fromkeys(_words("CL NG BZ WAH HO RB TTF EUA"), "Energy"),
    **dict.fromkeys(_words("GC HG SI PL PA"), "Metals"),
    **dict.fromkeys(_words("ZC ZS ZW ZL ZM"), "Grains"),
    **dict.fromkeys(_words("LE HE"), "Livestock"),
}
_CURRENCY_COUNTRIES = dict(
    USD="US",
    EUR="EU",
    GBP="GB",
    JPY="JP",
    CHF="CH",
    HKD="HK",
    AUD="AU",
)
_CALENDARS = {  # Of a venue; of others, the class's.
    **{name: name for name in CALENDARS},
    **dict.fromkeys(("XAMS", "XMAD", "XMIL"), "XPAR"),
    **dict.fromkeys(("IFLL", "NDEX"), "IFEU"),
    "XSFE": "XASX",
    "MTSC": "EUR_BONDS",
}
# Turnover of the largest of a class in USD a day, and how fast it falls with the rank.
_TURNOVERS = {
    AssetClass.EQUITY: (18e9, 0.75),
    AssetClass.ETF: (32e9, 0.9),
    AssetClass.EQUITY_OPTION: (120e6, 0.6),
    AssetClass.INDEX_FUTURE: (400e9, 1.2),
    AssetClass.RATES_FUTURE: (200e9, 1.1),
    AssetClass.COMMODITY_FUTURE: (45e9, 0.9),
    AssetClass.FUTURE_OPTION: (30e6, 0.5),
    AssetClass.FX: (150e9, 0.9),
    AssetClass.GOVERNMENT_BOND: (40e9, 0.8),
    AssetClass.CREDIT: (9e9, 1.0),
    AssetClass.CRYPTO_SPOT: (12e9, 1.1),
    AssetClass.CRYPTO_PERPETUAL: (25e9, 1.1),
}
# Issuer: country, day count, coupons a year, days to settle, days ex-dividend.
_SOVEREIGNS: dict[str, tuple[str, str, int, int, int]] = {
    "UST": ("US", "ACT/ACT ICMA", 2, 1, 0),
    "DBR": ("DE", "ACT/ACT ICMA", 1, 2, 0),
    "UKT": ("GB", "ACT/ACT ICMA", 2, 1, 7),
    "JGB": ("JP", "ACT/365F", 2, 1, 0),
    "OAT": ("FR", "ACT/ACT ICMA", 1, 2, 0),
    "BTP": ("IT", "ACT/ACT ICMA", 2, 2, 0),
    "SPGB": ("ES", "ACT/ACT ICMA", 1, 2, 0),
}
_TERMS_YEARS = (2, 3, 5, 7, 10, 20, 30)  # Of a bond, at its issue.
# Rates future: issuer of what is delivered, years that it may have left, notional coupon in %.
_BASKETS = {
    "ZF": ("UST", 4.2, 5.3, 6.0),
    "ZN": ("UST", 6.5, 8.0, 6.0),
    "TN": ("UST", 9.4, 10.1, 6.0),
    "ZB": ("UST", 15.0, 25.0, 6.0),
    "UB": ("UST", 25.0, 31.0, 6.0),
    "FGBS": ("DBR", 1.75, 2.5, 6.0),
    "FGBM": ("DBR", 4.5, 5.5, 6.0),
    "FGBL": ("DBR", 8.5, 10.5, 6.0),
    "FGBX": ("DBR", 24.0, 35.0, 4.0),
    "FBTP": ("BTP", 8.5, 11.0, 6.0),
    "FOAT": ("OAT", 8.5, 10.5, 6.0),
    "G": ("UKT", 8.75, 13.0, 4.0),
    "JB": ("JGB", 7.0, 11.0, 6.0),
}
_INVERSE = 10  # The second exchange's first perpetuals are paid in their coin.


def complete(rows: list[Instrument], as_of: date) -> list[Instrument]:
    """`rows` (ids dense from 0, any order of classes) with their terms."""
    ranks: dict[int, int] = {}
    done: list[Instrument] = []
    for row in rows:
        ranks[row.asset_class] = ranks.get(row.asset_class, -1) + 1
        own = _TERMS[AssetClass(row.asset_class)](row, as_of)
        calendar = _CALENDARS.get(row.venue, "")
        if calendar == default_calendar(row.asset_class):
            calendar = ""
        volume = _volume(row, ranks[row.asset_class])
        terms: dict[str, Any] = dict(calendar=calendar, adv=volume) | own
        done.append(replace(row, **terms))
    bonds = [row for row in done if row.asset_class == AssetClass.GOVERNMENT_BOND]
    issuers = {row.issuer: row for row in done if row.asset_class == AssetClass.EQUITY}
    for place, row in enumerate(done):
        if row.asset_class == AssetClass.RATES_FUTURE:
            done[place] = _delivery(row, bonds)
        elif row.asset_class == AssetClass.CREDIT and row.issuer in issuers:
            done[place] = replace(row, sector=issuers[row.issuer].sector)
    perpetuals = [row for row in done if row.symbol.endswith("-PERP.OKX")]
    for row in perpetuals[:_INVERSE]:
        dollars = float(f"{(row.adv or 0) * (row.close_prev or 0):.3g}")  # Each contract is one.
        done[row.id] = replace(row, inverse=True, adv=max(dollars, 1.0))
    return [_like_underlying(row, done) if row.right else row for row in done]


def _like_underlying(row: Instrument, rows: list[Instrument]) -> Instrument:
    under = rows[row.underlying]
    if under.asset_class in FUTURES:
        return replace(row, sector=under.sector, country=under.country, calendar=under.calendar)
    same = {name: getattr(under, name) for name in ("sector", "country", "issuer", "base")}
    return replace(row, **same)


def _dice(row: Instrument) -> random.Random:
    return random.Random(row.symbol)  # noqa: S311 (a demo, no secret)


def _volume(row: Instrument, rank: int) -> float:
    largest, fall = _TURNOVERS[AssetClass(row.asset_class)]
    turnover = largest / (rank + 1) ** fall * math.exp(_dice(row).gauss(0, 0.3))
    worth = max(abs(row.close_prev or 0), row.tick) * row.multiplier * row.usd_rate
    if row.asset_class == AssetClass.FX:  # Of an option too: what it is on.
        worth = row.usd_rate * (row.strike or row.close_prev or 1.0)
    elif row.asset_class == AssetClass.CREDIT and row.coupon is None:
        worth = row.usd_rate  # A swap's quantity is its notional.
    return float(f"{max(turnover / worth, 1.0):.3g}")


def _sectors() -> Iterator[tuple[str, float, float, int, list[str]]]:
    for line in _SECTORS.replace("\n ", " ").splitlines():
        name, beta, paid, share, *members = line.split()
        yield name.replace("_", " "), float(beta), float(paid), int(share), members


_SECTOR_TERMS = {name: (beta, paid) for name, beta, paid, _, _ in _sectors()}
_SECTOR_OF = {member: name for name, *_, members in _sectors() for member in members}
_SECTOR_SHARES = {name: share for name, _, _, share, _ in _sectors()}


def _equity(row: Instrument, as_of: date) -> dict[str, Any]:
    dice = _dice(row)
    ticker, _, suffix = row.symbol.partition(" ")
    country = _COUNTRIES[suffix]
    drawn = dice.choices(list(_SECTOR_SHARES), list(_SECTOR_SHARES.values()))[0]
    sector = _SECTOR_OF.get(ticker, drawn)
    beta, paid = _SECTOR_TERMS[sector]
    beta = round(max(0.1, dice.gauss(beta, 0.2)) * (1.0 if country == "US" else 0.75), 2)
    known = ticker in _SECTOR_OF
    pays = ticker not in _NO_DIVIDENDS and (known or dice.random() < 0.7)
    return dict(
        sector=sector,
        country=country,
        issuer=ticker,
        beta=beta,
        beta_index=BETA_INDEX,
        dividends=_dividends(row, paid if pays else 0.0, _TIMES.get(country, 1), as_of),
    )


def _etf(row: Instrument, as_of: date) -> dict[str, Any]:
    sector = _FUND_SECTORS.get(row.symbol, "Funds")
    paid = {"Funds": 1.3, "Bonds": 4.4}.get(sector, 0.0)
    beta = _FUND_BETAS.get(row.symbol, round(_dice(row).uniform(0.75, 1.2), 2))
    return dict(
        sector=sector,
        country="US",
        issuer=row.symbol,
        beta=beta,
        beta_index=BETA_INDEX,
        dividends=_dividends(row, paid, 12 if sector == "Bonds" else 4, as_of),
    )


def _dividends(
    row: Instrument, paid: float, times: int, as_of: date
) -> tuple[tuple[str, float], ...]:
    """Ex-dates of the twelve months ahead, on weekdays, and what is paid on each."""
    dice, months = _dice(row), 12 // times
    amount = round((row.close_prev or 0.0) * paid * dice.uniform(0.6, 1.4) / 100 / times, 4)
    if amount <= 0:
        return ()
    first, days = dice.randrange(months), []
    for ahead in range(first, 12, months):
        month = as_of.month - 1 + ahead + 1
        day = date(as_of.year + month // 12, month % 12 + 1, dice.randint(3, 24))
        days.append(day + timedelta(days=(7 - day.weekday()) % 7 if day.weekday() > 4 else 0))
    return tuple((day.isoformat(), amount) for day in days)


def _root(row: Instrument) -> str:
    return row.symbol.partition("-")[0].rstrip("0123456789")[:-1]


def _index_future(row: Instrument, _as_of: date) -> dict[str, Any]:
    return dict(
        sector="Index",
        country=_CURRENCY_COUNTRIES[row.currency],
        beta=_FUTURE_BETAS[_root(row)],
        beta_index=BETA_INDEX,
    )


def _rates_future(row: Instrument, _as_of: date) -> dict[str, Any]:
    country = _CURRENCY_COUNTRIES[row.currency]
    issuer = _BASKETS.get(_root(row), ("",))[0]
    return {"sector": "Rates", "country": _SOVEREIGNS[issuer][0] if issuer else country}


def _commodity_future(row: Instrument, _as_of: date) -> dict[str, Any]:
    return {"sector": _GOODS.get(_root(row), "Softs")}


def _future_option(_row: Instrument, _as_of: date) -> dict[str, Any]:
    return {}


def _fx(row: Instrument, _as_of: date) -> dict[str, Any]:
    soon = row.symbol.startswith(("USDCAD", "USDTRY"))
    return {"sector": "Currencies", "base": row.symbol[:3], "settle_days": 1 if soon else 2}


def _government(row: Instrument, as_of: date) -> dict[str, Any]:
    issuer = row.symbol.split()[0]
    country, day_count, frequency, settle, ex = _SOVEREIGNS[issuer]
    return dict(
        sector="Government",
        country=country,
        issuer=issuer,
        day_count=day_count,
        coupon_frequency=frequency,
        settle_days=settle,
        ex_days=ex,
        issue_date=_issued(row, as_of),
    )


def _issued(row: Instrument, as_of: date) -> str:
    """The day that a bond of a usual term was issued, so that it falls due when it does."""
    due = date.fromisoformat(row.expiry)
    left = (due - as_of).days / 365.25
    term = next((years for years in _TERMS_YEARS if years >= left - 0.02), _TERMS_YEARS[-1])
    issued = due.replace(year=due.year - term)
    return min(issued, as_of - timedelta(days=4)).isoformat()


def _credit(row: Instrument, as_of: date) -> dict[str, Any]:
    """A swap on an index pays 100 or 500 bp a year; a bond of a company is 30/360."""
    if row.coupon is not None:
        return dict(
            country="US",
            issuer=row.symbol.split()[0],
            day_count="30/360",
            coupon_frequency=2,
            settle_days=1,
            recovery=0.4,
            issue_date=_issued(row, as_of),
        )
    high = row.symbol.startswith(("CDX HY", "ITRX XOVER"))
    recovery = 0.3 if row.symbol.startswith("CDX HY") else 0.4
    due = date.fromisoformat(row.expiry)
    tenor = int(row.symbol.split()[-1].removesuffix("Y"))
    issued = date(due.year - tenor, 9, 20)
    return dict(
        sector="Index",
        country="US" if row.currency == "USD" else "EU",
        quote="spread",
        coupon=5.0 if high else 1.0,
        coupon_frequency=4,
        day_count="ACT/360",
        settle_days=1,
        issuer=" ".join(row.symbol.split()[:2]),
        recovery=0.2 if "SUBFIN" in row.symbol else recovery,
        issue_date=issued.isoformat(),
    )


def _coin(row: Instrument, _as_of: date) -> dict[str, Any]:
    base = row.symbol.split("-")[0]
    own: dict[str, Any] = {"sector": "Digital assets", "base": base, "issuer": base}
    if row.asset_class == AssetClass.CRYPTO_PERPETUAL:
        own["funding_hours"] = 8.0
    return own


def _delivery(row: Instrument, bonds: Iterable[Instrument]) -> Instrument:
    """A rates future with its cheapest to deliver: below the notional coupon, the longest."""
    basket = _BASKETS.get(_root(row))
    if basket is None:
        return row
    issuer, low, high, notional = basket
    ends = date.fromisoformat(row.expiry)
    fits = []
    for bond in bonds:
        left = (date.fromisoformat(bond.expiry) - ends).days / 365.25
        if bond.issuer == issuer and low <= left <= high and bond.issue_date <= row.expiry:
            fits.append((left, bond))
    if not fits:
        return row
    left, bond = max(fits, key=lambda fit: (fit[0], -fit[1].id))
    factor = conversion_factor(bond.coupon or 0.0, left, bond.coupon_frequency, notional)
    return replace(row, ctd=bond.id, conversion_factor=round(factor, 4))


def conversion_factor(coupon: float, years: float, frequency: int, notional: float) -> float:
    """Price of 1 face at a yield of `notional` %, the years rounded down to whole quarters."""
    quarters = math.floor(years * 4)
    periods, rest = divmod(quarters, 4 // frequency)
    rate = notional / 100 / frequency
    paid = coupon / 100 / frequency
    ahead = float((1 + rate) ** -periods)
    whole = paid * (1 - ahead) / rate + ahead
    if not rest:
        return whole
    part = rest * frequency / 4
    return (whole + paid) / math.pow(1 + rate, part) - paid * (1 - part)


_TERMS = {
    AssetClass.EQUITY: _equity,
    AssetClass.ETF: _etf,
    AssetClass.EQUITY_OPTION: _future_option,
    AssetClass.INDEX_FUTURE: _index_future,
    AssetClass.RATES_FUTURE: _rates_future,
    AssetClass.COMMODITY_FUTURE: _commodity_future,
    AssetClass.FUTURE_OPTION: _future_option,
    AssetClass.FX: _fx,
    AssetClass.GOVERNMENT_BOND: _government,
    AssetClass.CREDIT: _credit,
    AssetClass.CRYPTO_SPOT: _coin,
    AssetClass.CRYPTO_PERPETUAL: _coin,
}
