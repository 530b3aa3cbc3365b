"""Rule: what exposure needs of an instrument's terms, as one structured array by id.

Enters: the Reference. Leaves: TERMS, read by kernels/exposure.py and kernels/scenario.py. The
`root` of an instrument is the last one down its chain of underlyings (the share of an option, the
coin of a perpetual): positions net on it. Beta to the named index is the instrument's own or its
root's; rates, credit, currencies, commodities and coins have none and count 0 in beta-adjusted
exposure, while a share or an index future whose beta is not known blanks it.
"""

import numpy as np

from compute.kernels.exposure import NO_RATES, OWN_RATES, RATES_OF_UNDERLYING
from compute.table import STALE_S
from ingest.instrument import EXERCISES, NO_DAY, AssetClass, Reference

TERMS = np.dtype(
    [
        ("multiplier", "<f8"),
        ("usd_rate", "<f8"),  # Of its currency, by the reference: where there is no live one
        ("coin_usd", "<f8"),  # multiplier x rate of the underlying's money: paid in its coin
        ("sign", "<f8"),  # +1 call, -1 put, 0 no option
        ("strike", "<f8"),
        ("expiry_ms", "<f8"),  # Midnight UTC of the day of expiry or maturity; NaN: none
        ("beta", "<f8"),  # 0 where it does not count, NaN where it is not known
        ("adv", "<f8"),
        ("stale_ms", "<f8"),  # Age of the mark from which it is stale
        ("spot_weight", "<f8"),  # What a move of all risky prices does to this one, see scenario
        ("underlying", "<i8"),  # Itself where there is none
        ("root", "<i8"),
        ("currency", "<i8"),  # Place in reference.codes("currency")
        ("asset_class", "<i8"),  # Of the instrument; -1: no such instrument
        ("rates", "<i8"),  # NO_RATES, OWN_RATES, RATES_OF_UNDERLYING
        ("credit", "<i8"),  # 1: has a credit spread
        ("american", "<i8"),
        ("inverse", "<i8"),  # 1: paid in its coin, a unit is worth the multiplier
        ("adjusted", "<i8"),  # 1: it has a beta, known or not
        ("translated", "<i8"),  # 1: its whole value is money in its currency, so FX moves it
    ]
)

DAY_MS = 86_400_000.0
ADJUSTED = (AssetClass.EQUITY, AssetClass.ETF, AssetClass.EQUITY_OPTION, AssetClass.INDEX_FUTURE)
RATES = (AssetClass.RATES_FUTURE, AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT)
# Futures, forwards and perpetuals settle their gains alone; their notional is no money held.
TRANSLATED = (
    *(AssetClass.EQUITY, AssetClass.ETF, AssetClass.EQUITY_OPTION),
    *(AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT, AssetClass.CRYPTO_SPOT),
)
DEPTH_MAX = 8  # Underlyings of underlyings; a chain that is longer turns in a circle.


def terms(reference: Reference) -> np.ndarray:
    """TERMS [ids]; NaN, -1 or 0 where the reference does not say."""
    array = reference.array
    out = np.zeros(len(array), TERMS)
    kind = array["asset_class"]
    ids = np.arange(len(array))
    out["asset_class"] = kind
    out["multiplier"], out["usd_rate"] = array["multiplier"], array["usd_rate"]
    out["sign"], out["strike"], out["adv"] = array["right"], array["strike"], array["adv"]
    expiry = array["expiry"]
    out["expiry_ms"] = np.where(expiry == NO_DAY, np.nan, expiry * DAY_MS)
    stale_s = np.where(kind >= 0, np.asarray(STALE_S)[kind], np.nan)
    out["stale_ms"] = np.where(np.isnan(array["stale_s"]), stale_s, array["stale_s"]) * 1e3
    out["american"] = array["exercise"] == EXERCISES.index("american")
    out["currency"] = reference.codes("currency")[0]
    out["inverse"] = array["inverse"] > 0
    under = np.where(array["underlying"] >= 0, array["underlying"], ids)
    out["underlying"] = under
    out["coin_usd"] = array["multiplier"] * array["usd_rate"][under]
    root = under.copy()
    for _ in range(DEPTH_MAX):
        root = under[root]
    out["root"] = root
    beta = np.where(np.isnan(array["beta"]), array["beta"][root], array["beta"])
    out["beta"] = np.where(np.isnan(beta) & ~np.isin(kind, ADJUSTED), 0.0, beta)
    out["adjusted"] = ~np.isnan(beta) | np.isin(kind, ADJUSTED)
    option = out["sign"] != 0.0
    of_rates = option & np.isin(kind[under], RATES) & (under != ids)
    out["rates"] = NO_RATES
    out["rates"][np.isin(kind, RATES)] = OWN_RATES
    out["rates"][of_rates] = RATES_OF_UNDERLYING
    out["credit"] = kind == AssetClass.CREDIT
    out["translated"] = np.isin(kind, TRANSLATED)
    out["spot_weight"] = np.where(out["rates"] == NO_RATES, 1.0, 0.0)
    pairs = np.flatnonzero(kind[root] == AssetClass.FX)
    for k in pairs.tolist():
        base, quote = currencies(reference, int(root[k]))
        out["spot_weight"][k] = float(base != "USD") - float(quote != "USD")
    return out


def currencies(reference: Reference, instrument: int) -> tuple[str, str]:
    """Base and quote currency of a pair; the base is "" where it is not known."""
    row = reference.by_id.get(instrument)
    return (row.base, row.currency) if row else ("", "")
