"""Rule: the demo fund's reference data: instruments of 12 classes from a seed, ids dense from 0.

Enters: how many, how many shards, a seed. Leaves: `Instrument` rows, classes contiguous, the best
known names of each class first. The names and contract terms are those of real markets; the
closes are invented for one Friday, `AS_OF`, and agree with each other (crosses with their legs,
options with their underlyings); what prices do not tell is in `demo_terms`. It knows nothing of
how prices move: that is `market.py`.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import accumulate, chain, combinations, count, product

from ingest.demo_terms import complete
from ingest.instrument import AssetClass, Instrument, PriceFormat

AS_OF = date(2026, 11, 20)  # The Friday of the closes.
COUNT_MIN = len(AssetClass)  # One of each class.
COUNT_MAX = 10_000  # Twice the demo; beyond it the issuers of bonds run out.

# How many of 5,000 in each class; other counts keep the proportions.
SHARES = {
    AssetClass.EQUITY: 900,
    AssetClass.ETF: 150,
    AssetClass.EQUITY_OPTION: 2_200,
    AssetClass.INDEX_FUTURE: 48,
    AssetClass.RATES_FUTURE: 80,
    AssetClass.COMMODITY_FUTURE: 172,
    AssetClass.FUTURE_OPTION: 250,
    AssetClass.FX: 180,
    AssetClass.GOVERNMENT_BOND: 260,
    AssetClass.CREDIT: 380,
    AssetClass.CRYPTO_SPOT: 180,
    AssetClass.CRYPTO_PERPETUAL: 200,
}
assert sum(SHARES.values()) == 5_000

_DEARER = """USD 1 EUR 1.09412 GBP 1.31685 GBX 0.0131685 CHF 1.2411 AUD 0.65514 CAD 0.71308
NZD 0.57412 SEK 0.10571 NOK 0.09862 DKK 0.14664 SGD 0.76912 PLN 0.25794 CZK 0.04514 HUF 0.002861
ILS 0.30541 MYR 0.24117 PEN 0.29714"""
_CHEAPER = """JPY 155.482 HKD 7.7814 CNH 7.1126 MXN 18.4127 ZAR 17.2184 TRY 42.413 KRW 1462.35
INR 88.914 TWD 31.412 BRL 5.3518 IDR 16714 PHP 58.914 CLP 941.2 COP 3784"""


def _named(text: str) -> Iterator[tuple[str, float]]:
    words = text.split()
    return zip(words[::2], map(float, words[1::2]), strict=True)


# USD of one unit of each currency; GBX is a penny. Every FX close follows from this table.
USD = dict(_named(_DEARER)) | {name: 1 / rate for name, rate in _named(_CHEAPER)}

_NAMES = """AAPL 287.41 MSFT 548.06 NVDA 203.88 AMZN 236.14 GOOGL 291.7 META 688.1 TSLA 398.12
ASML:NA 918.3 JPM 318.77 SHEL:LN 2814.5 7203:JT 3127.5 AVGO 361.2 BRK/B 511.9 LLY 1012.4 V 341.6
UNH 331.2 XOM 117.4 MA 552.3 COST 921.5 WMT 103.7 JNJ 199.2 PG 148.3 HD 371.8 ORCL 224.6
NFLX 1104.2 BAC 53.12 CVX 154.8 ABBV 229.6 KO 71.24 AMD 241.3 SAP:GY 214.35 NESN:SW 81.42
NOVN:SW 103.6 AZN:LN 13124 HSBA:LN 1078.4 MC:FP 612.8 SIE:GY 231.15 ROG:SW 301.9 TTE:FP 56.31
OR:FP 371.4 ULVR:LN 4519 6758:JT 4310 8306:JT 2391.5 6861:JT 56120 9984:JT 18240 700:HK 631.5
9988:HK 158.4 005930:KP 98200 PEP 146.8 TMO 571.3 CRM 241.7 CSCO 77.31 IBM 304.1 GE 298.4
ABT 127.9 MCD 307.6 PM 152.4 LIN 421.7 DIS 108.9 INTC 36.42 QCOM 171.5 TXN 161.8 CAT 561.2
GS 792.4 MS 163.7 WFC 84.9 C 101.2 AXP 352.6 NOW 842.6 INTU 661.3 AMGN 333.1 PFE 25.18 MRK 92.7
T 25.84 VZ 40.91 BA 187.3 RTX 172.1 HON 198.6 UBER 84.7 BKNG 4721.5 SBUX 84.12 NKE 63.9
LMT 468.2 DE 474.9 UPS 94.6 LOW 234.1 SPGI 491.8 BLK 1041.6 GILD 124.3 MU 231.4 PLTR 168.9
COIN 254.7 MSTR 181.2 SMCI 34.61 F 12.84 GM 69.7 BRKR 41.18 PYPL 61.4 AIR:FP 204.6 SAN:FP 86.7
BNP:FP 71.92 ALV:GY 368.4 DTE:GY 27.61 BAS:GY 44.2 BMW:GY 86.9 INGA:NA 22.41 ADYEN:NA 1387.2
IBE:SM 17.84 SAN:SM 8.912 ENEL:IM 8.741 UCG:IM 64.15 BP/:LN 456.3 RIO:LN 5311 GSK:LN 1784
BARC:LN 409.8 LSEG:LN 8914 VOD:LN 91.4 UBSG:SW 30.21 ABBN:SW 57.14 9432:JT 154.2 8035:JT 31240
6501:JT 4911 7974:JT 13120 4063:JT 4621 1299:HK 78.4 3690:HK 101.3 939:HK 8.12 388:HK 414.6
BHP:AU 41.27 CBA:AU 154.3"""

_FUNDS = """SPY 719.46 QQQ 638.22 IWM 241.3 EEM 55.61 HYG 80.94 TLT 89.42 GLD 376.8 LQD 111.64
XLF 52.8 XLE 89.6 XLK 281.4 SLV 46.1 IVV 722.9 VOO 661.2 VTI 352.7 DIA 468.3 EFA 95.4 VWO 53.9
AGG 99.81 IEF 96.7 SHY 82.84 TIP 110.6 MUB 106.9 XLV 147.2 XLI 154.9 XLY 236.1 XLP 77.4 XLU 88.7
XLB 86.3 XLRE 41.2 SMH 341.7 SOXX 291.4 ARKK 78.3 VNQ 89.9 GDX 77.1 USO 71.4 UNG 13.8 KRE 61.4
EWJ 81.7 EWZ 32.4 FXI 39.8 INDA 54.1 KWEB 38.4 IBIT 51.9 ETHA 23.1 EMB 96.3 JNK 97.2 BIL 91.5
SQQQ 14.2 TQQQ 104.8 UVXY 12.4 XOP 131.7"""

# Suffix of a share: venue, currency, tick, lowest and highest generated price, share of the names.
_LISTINGS = {
    "": ("XNAS", "USD", 0.01, 6, 420, 60),
    "LN": ("XLON", "GBX", 0.5, 80, 4_000, 8),
    "GY": ("XETR", "EUR", 0.01, 8, 260, 7),
    "FP": ("XPAR", "EUR", 0.01, 9, 300, 7),
    "NA": ("XAMS", "EUR", 0.01, 9, 200, 3),
    "SW": ("XSWX", "CHF", 0.02, 14, 400, 3),
    "JT": ("XTKS", "JPY", 0.5, 400, 9_000, 7),
    "HK": ("XHKG", "HKD", 0.05, 4, 300, 3),
    "AU": ("XASX", "AUD", 0.01, 2, 120, 2),
    "KP": ("XKRX", "KRW", 100.0, 20_000, 400_000, 0),
    "SM": ("XMAD", "EUR", 0.005, 4, 60, 0),
    "IM": ("XMIL", "EUR", 0.005, 4, 90, 0),
}

_MONTHS = "FGHJKMNQUVXZ"  # The letter of each delivery month.
# root venue currency multiplier tick close letters first [format]; the front month first.
_INDEX = """ES XCME USD 50 .25 7236.25 HMUZ Z6|NQ XCME USD 20 .25 26144.75 HMUZ Z6
FESX XEUR EUR 10 1 5612 HMUZ Z6|NKD XCME USD 5 5 49285 HMUZ Z6|RTY XCME USD 50 .1 2431.2 HMUZ Z6
YM XCBT USD 5 1 47120 HMUZ Z6|FDAX XEUR EUR 25 1 24012 HMUZ Z6|HSI XHKF HKD 50 1 26240 HMUZ Z6
VX XCBF USD 1000 .05 18.35 FGHJKMNQUVXZ Z6|Z IFLL GBP 10 .5 9714.5 HMUZ Z6
FCE XPAR EUR 10 .5 8114 HMUZ Z6|NK XOSE JPY 1000 10 49310 HMUZ Z6
TPX XOSE JPY 10000 .5 3341.5 HMUZ Z6|FSMI XEUR CHF 10 1 12640 HMUZ Z6
MES XCME USD 5 .25 7236.25 HMUZ Z6|MNQ XCME USD 2 .25 26144.75 HMUZ Z6
AP XSFE AUD 25 1 8641 HMUZ Z6"""
_RATES = """ZN XCBT USD 1000 .015625 112.578125 HMUZ Z6 T
ZB XCBT USD 1000 .03125 117.4375 HMUZ Z6 T|FGBL XEUR EUR 1000 .01 129.34 HMUZ Z6
SR3 XCME USD 2500 .005 96.485 HMUZ H7|ZF XCBT USD 1000 .0078125 109.2265625 HMUZ Z6 Q
TN XCBT USD 1000 .015625 115.421875 HMUZ Z6 T|UB XCBT USD 1000 .03125 120.59375 HMUZ Z6 T
FGBM XEUR EUR 1000 .01 117.92 HMUZ Z6|FGBS XEUR EUR 1000 .005 107.015 HMUZ Z6
FGBX XEUR EUR 1000 .02 114.46 HMUZ Z6|FBTP XEUR EUR 1000 .01 121.08 HMUZ Z6
FOAT XEUR EUR 1000 .01 122.74 HMUZ Z6|G IFLL GBP 1000 .01 92.88 HMUZ Z6
JB XOSE JPY 1000000 .01 135.82 HMUZ Z6|ER IFEU EUR 2500 .005 97.985 HMUZ H7
SO3 IFEU GBP 2500 .005 96.54 HMUZ H7"""
_COMMODITIES = """CL XNYM USD 1000 .01 62.87 FGHJKMNQUVXZ F7|GC XCEC USD 100 .1 4088.6 GJMQVZ G7
NG XNYM USD 10000 .001 4.118 FGHJKMNQUVXZ F7|HG XCEC USD 25000 .0005 5.0835 HKNUZ H7
BZ IFEU USD 1000 .01 66.94 FGHJKMNQUVXZ F7|SI XCEC USD 5000 .005 52.415 HKNUZ H7
ZC XCBT USD 50 .25 441.25 HKNUZ H7|ZS XCBT USD 50 .25 1128.5 FHKNQUX F7
ZW XCBT USD 50 .25 541.75 HKNUZ H7|WAH XNYM USD 2500 .005 -.885 FGHJKMNQUVXZ F7
HO XNYM USD 42000 .0001 2.4127 FGHJKMNQUVXZ F7|RB XNYM USD 42000 .0001 1.9214 FGHJKMNQUVXZ F7
PL XNYM USD 50 .1 1571.4 FJNV F7|PA XNYM USD 100 .5 1402.5 HMUZ H7
TTF NDEX EUR 744 .005 30.415 FGHJKMNQUVXZ F7|EUA NDEX EUR 1000 .01 81.24 HMUZ Z6
ZL XCBT USD 600 .01 50.84 FHKNQUVZ F7|ZM XCBT USD 100 .1 321.4 FHKNQUVZ F7
LE XCME USD 400 .025 214.15 GJMQVZ G7|HE XCME USD 400 .025 81.35 GJMQVZ G7
KC IFUS USD 375 .05 371.4 HKNUZ H7|SB IFUS USD 1120 .01 14.87 HKNV H7
CC IFUS USD 10 1 5214 HKNUZ H7|CT IFUS USD 500 .01 64.42 HKNVZ H7"""

_PAIRS = """EURUSD USDJPY GBPUSD AUDUSD USDCHF USDCAD NZDUSD EURGBP EURJPY EURCHF GBPJPY USDCNH
USDSEK USDNOK USDMXN USDZAR USDSGD USDHKD AUDJPY EURSEK EURNOK USDTRY USDPLN EURPLN USDILS
USDCZK USDHUF EURDKK"""
_RANK = "EUR GBP AUD NZD USD CAD CHF NOK SEK DKK PLN SGD HKD CNH ILS ZAR MXN TRY CZK HUF JPY"
_NDF = "KRW INR TWD BRL IDR PHP MYR CLP COP PEN"
_TENORS = {"1M": 30, "3M": 91, "1W": 7, "2M": 61, "6M": 182, "12M": 365, "9M": 273}  # Days.

# Issuer: currency, venue, yield of the 10 year in %, steepness over 10 years, tick, 32nds or not.
_SOVEREIGNS = {
    "UST": ("USD", "BTEC", 4.08, 0.6, 1 / 128, PriceFormat.THIRTY_SECONDS_QUARTERS),
    "DBR": ("EUR", "MTSC", 2.66, 0.7, 0.005, PriceFormat.DECIMAL),
    "UKT": ("GBP", "XLON", 4.52, 0.7, 0.005, PriceFormat.DECIMAL),
    "JGB": ("JPY", "XTKS", 1.74, 1.1, 0.005, PriceFormat.DECIMAL),
    "OAT": ("EUR", "MTSC", 3.44, 0.9, 0.005, PriceFormat.DECIMAL),
    "BTP": ("EUR", "MTSC", 3.41, 1.0, 0.005, PriceFormat.DECIMAL),
    "SPGB": ("EUR", "MTSC", 3.18, 0.9, 0.005, PriceFormat.DECIMAL),
}
_EIGHTHS = ("", "⅛", "¼", "⅜", "½", "⅝", "¾", "⅞")

# Index: currency, first series, spread in basis points.
_INDICES = (
    *(("CDX IG", "USD", 47, 52.31), ("ITRX MAIN", "EUR", 46, 54.12)),
    *(("ITRX XOVER", "EUR", 46, 268.4), ("CDX HY", "USD", 47, 331.7)),
    *(("ITRX SNRFIN", "EUR", 46, 58.9), ("ITRX SUBFIN", "EUR", 46, 102.7)),
)

_COINS = """BTC 91284.5 ETH 3041.18 SOL 136.22 XRP 2.2114 BNB 884.1 DOGE .16214 ADA .48112
TRX .28914 AVAX 14.62 LINK 13.81 DOT 2.914 LTC 94.1 BCH 512.4 UNI 7.412 AAVE 181.4 NEAR 2.214
APT 3.114 ARB .24121 OP .38141 SUI 1.8214 ATOM 2.914 FIL 1.814 ICP 4.412 XLM .25141 HBAR .16412
ETC 15.14 TON 1.8124 INJ 6.814 SHIB .0000091 PEPE .0000048"""


def universe(count: int = 5_000, shards: int = 1, seed: int = 7) -> list[Instrument]:
    """`count` instruments, ids 0 to count - 1 in order, shard = id % shards.

    ValueError where `count` is outside 12 to 10,000 or `shards` is below 1.
    """
    if not COUNT_MIN <= count <= COUNT_MAX:
        raise ValueError(f"universe: count is {count}; give {COUNT_MIN} to {COUNT_MAX:,}")
    if shards < 1:
        raise ValueError(f"universe: shards is {shards}; give 1 or more")
    sizes = _sizes(count)
    starts = dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False))
    random_ = random.Random(seed)  # noqa: S311 (a demo, no secret)
    rows: dict[AssetClass, list[Instrument]] = {}

    taken: set[str] = set()

    def take(asset_class: AssetClass, made: Iterator[Instrument]) -> None:
        rows[asset_class] = []
        while len(rows[asset_class]) < sizes[asset_class]:
            row = next(made)
            if row.symbol not in taken:
                taken.add(row.symbol)
                place = starts[asset_class] + len(rows[asset_class])
                row = replace(row, id=place, asset_class=int(asset_class), shard=place % shards)
                rows[asset_class].append(row)

    take(AssetClass.EQUITY, _equities(random_))
    take(AssetClass.ETF, _etfs(random_))
    take(AssetClass.INDEX_FUTURE, _futures(_INDEX, 0.008))
    take(AssetClass.RATES_FUTURE, _futures(_RATES, -0.003))
    take(AssetClass.COMMODITY_FUTURE, _commodities())
    take(AssetClass.FX, _currencies(starts[AssetClass.FX]))
    take(AssetClass.GOVERNMENT_BOND, _governments())
    take(AssetClass.CREDIT, _credits(random_))
    take(AssetClass.CRYPTO_SPOT, _coins(random_))
    take(AssetClass.CRYPTO_PERPETUAL, _perpetuals(rows[AssetClass.CRYPTO_SPOT]))
    shares = rows[AssetClass.EQUITY] + rows[AssetClass.ETF]
    take(AssetClass.EQUITY_OPTION, _equity_options(shares))
    futures = (AssetClass.INDEX_FUTURE, AssetClass.COMMODITY_FUTURE, AssetClass.RATES_FUTURE)
    take(AssetClass.FUTURE_OPTION, _future_options([row for kind in futures for row in rows[kind]]))
    return complete([row for asset_class in AssetClass for row in rows[asset_class]], AS_OF)


def _sizes(total: int) -> dict[AssetClass, int]:
    """Instruments a class: in proportion, at least one each; the options take the remainder."""
    sizes = {kind: max(1, total * share // 5_000) for kind, share in SHARES.items()}
    rest = total - sum(sizes.values())
    largest = sorted(SHARES, key=lambda kind: -SHARES[kind])
    for place in range(abs(rest)):  # Few: at most one a class.
        kind = largest[place % len(largest)] if rest > 0 else max(sizes, key=lambda k: sizes[k])
        sizes[kind] += 1 if rest > 0 else -1
    return sizes


def _row(
    symbol: str, venue: str, currency: str, tick: float, close: float, **more: object
) -> Instrument:
    """An instrument, its close on tick, its decimals such as show a tick; id and class follow."""
    decimals = max(0, -math.floor(math.log10(tick) + 1e-9))
    while decimals < 9 and abs(round(tick, decimals) - tick) > 1e-12:
        decimals += 1
    on_tick = round(round(close / tick) * tick, 9)
    values: dict = {"multiplier": 1.0, "decimals": decimals, "usd_rate": USD[currency], **more}
    values["price_format"] = int(values.get("price_format", PriceFormat.DECIMAL))
    return Instrument(0, symbol, 0, venue, currency, tick=tick, close_prev=on_tick, **values)


def _tickers(random_: random.Random, taken: Iterable[str], letters: int) -> Iterator[str]:
    """New made-up tickers that sound like tickers."""
    used = set(taken)
    while True:
        word = "".join(random_.choice("ABCDEFGHIKLMNOPRSTUVWXYZ") for _ in range(letters))
        if word not in used:
            used.add(word)
            yield word


def _equities(random_: random.Random) -> Iterator[Instrument]:
    known = list(_named(_NAMES))
    for name, close in known:
        ticker, _, suffix = name.partition(":")
        yield _share(ticker, suffix, close)
    words = _tickers(random_, (name.partition(":")[0] for name, _ in known), 4)
    codes = iter(random_.sample(range(1_300, 9_990), 8_690))
    weights = [listing[-1] for listing in _LISTINGS.values()]
    while True:
        suffix = random_.choices(list(_LISTINGS), weights)[0]
        low, high = _LISTINGS[suffix][3:5]
        close = low * (high / low) ** random_.random()
        ticker = str(next(codes)) if suffix in ("JT", "HK") else next(words)
        yield _share(ticker, suffix, close)


def _share(ticker: str, suffix: str, close: float) -> Instrument:
    venue, currency, tick = _LISTINGS[suffix][:3]
    return _row(f"{ticker} {suffix}".strip(), venue, currency, tick, close)


def _etfs(random_: random.Random) -> Iterator[Instrument]:
    known = list(_named(_FUNDS))
    for name, close in known:
        yield _row(name, "ARCX", "USD", 0.01, close)
    for name in _tickers(random_, (name for name, _ in known), 3):
        yield _row(f"X{name}", "ARCX", "USD", 0.01, random_.uniform(18, 140))


def _deliveries(letters: str, first: str) -> Iterator[tuple[str, date]]:
    """`Z6`, `H7`, ... with the 15th of the month; two digits from the tenth year on."""
    year = 2020 + int(first[1])
    started = False
    for ahead in count(year):
        for letter in letters:
            started = started or letter == first[0]
            if started:
                digits = ahead % 10 if ahead < year + 10 else ahead % 100
                yield f"{letter}{digits}", date(ahead, _MONTHS.index(letter) + 1, 15)


def _futures(text: str, carry: float) -> Iterator[Instrument]:
    """Every root's front month, then every root's second month, and so on."""
    formats = {"T": PriceFormat.THIRTY_SECONDS, "Q": PriceFormat.THIRTY_SECONDS_QUARTERS}
    roots = [line.split() for line in text.replace("\n", "|").split("|")]
    curves = [_deliveries(root[6], root[7]) for root in roots]
    for step in count():
        for root, curve in zip(roots, curves, strict=True):
            name, venue, currency, multiplier, tick, close = root[:6]
            delivery, day = next(curve)
            yield _row(
                *(f"{name}{delivery}", venue, currency, float(tick)),
                float(close) * (1 + carry * min(step, 40)),
                multiplier=float(multiplier),
                price_format=int(formats.get("".join(root[8:]), PriceFormat.DECIMAL)),
                expiry=_third_friday(day).isoformat(),
            )


def _commodities() -> Iterator[Instrument]:
    """Curves, then each four months in a calendar spread, which may be negative."""
    outright = _futures(_COMMODITIES, 0.004)
    months: dict[str, Instrument] = {}
    for place, row in enumerate(outright):
        yield row
        root = row.symbol[:-2]
        near = months.get(root)
        months[root] = row
        if near is not None and place % 4 == 0:
            gap = (near.close_prev or 0) - (row.close_prev or 0)
            yield replace(row, symbol=f"{near.symbol}-{row.symbol}", close_prev=round(gap, 9))


def _currencies(first: int) -> Iterator[Instrument]:
    """Majors, whose ids count from `first`; forwards and options on the best known; crosses."""
    majors = _PAIRS.split()
    legs = combinations(_RANK.split(), 2)
    crosses = [base + quote for base, quote in legs if base + quote not in majors]
    tenors = list(_TENORS)
    places = {pair: first + place for place, pair in enumerate(majors)}
    yield from (_pair(pair) for pair in majors)
    for tenor, currency in product(tenors[:2], _NDF.split()):
        yield _pair(f"USD{currency}", f" {tenor} NDF")
    for tenor, pair in product(tenors[:2], majors[:6]):
        yield _pair(pair, f" {tenor} FWD", places[pair])
    for (pair, volatility), days in product(_OPTIONED_PAIRS.items(), (28, 91)):
        spot = replace(_pair(pair), id=places[pair], asset_class=int(AssetClass.FX))
        yield from _chain(spot, AS_OF + timedelta(days=days), volatility)
    yield from (_pair(pair) for pair in crosses)
    for tenor, currency in product(tenors[2:], _NDF.split()):
        yield _pair(f"USD{currency}", f" {tenor} NDF")
    for tenor, pair in product(tenors, majors + crosses):
        yield _pair(pair, f" {tenor} FWD", places.get(pair, -1))


def _pair(pair: str, tail: str = "", underlying: int = -1) -> Instrument:
    """Money of the quote currency a unit of the base; a tick is a tenth of a pip."""
    rate = USD[pair[:3]] / USD[pair[3:]]
    decimals = 5 if rate < 20 else 3 if rate < 400 else 2
    tick = 10.0**-decimals if not tail.endswith("NDF") else 5 * 10.0**-decimals
    carry = 1 + 0.018 * _TENORS[tail[1:-4]] / 365 if tail else 1
    venue = "EBS" if not tail else "TRAD"
    return _row(
        *(pair + tail, venue, pair[3:], tick, rate * carry),
        decimals=decimals,
        price_format=int(PriceFormat.PIPS),
        underlying=underlying,
        expiry=(AS_OF + timedelta(days=2 + _TENORS[tail[1:-4]])).isoformat() if tail else "",
    )


def _governments() -> Iterator[Instrument]:
    """On the run first: each maturity of each issuer with a coupon near its yield."""
    curve = (10, 2, 5, 30, 3, 7, 20, 15, 1, 4, 6, 8, 9, 12, 25)
    for month, years in product((11, 5, 8, 2, 10, 7, 4, 1, 12, 9, 6, 3), curve):
        for issuer, (currency, venue, ten, steep, tick, form) in _SOVEREIGNS.items():
            ytm = ten + steep * math.log(years / 10) / math.log(10)
            eighths = max(1, round(ytm * 8) + month % 5 - 1)
            due = date(AS_OF.year + years, month, 15)
            coupon = f"{eighths // 8}{_EIGHTHS[eighths % 8]}" if form else f"{eighths / 8:g}"
            close = _bond_price(eighths / 8, ytm, (due - AS_OF).days / 365.25)
            yield _row(
                *(f"{issuer} {coupon} {due:%m/%y}", venue, currency, tick, close),
                multiplier=0.01,
                price_format=int(form),
                expiry=due.isoformat(),
                coupon=eighths / 8,
            )


def _bond_price(coupon: float, ytm: float, years: float) -> float:
    """Clean price per 100 of a half-yearly bond, the fraction of a period left out of account."""
    periods, rate = max(1, round(years * 2)), ytm / 200
    return coupon / 2 * (1 - (1 + rate) ** -periods) / rate + 100 * (1 + rate) ** -periods


def _credits(random_: random.Random) -> Iterator[Instrument]:
    """Index swaps in basis points, then bonds of known issuers in per cent.

    An index's multiplier is its risky duration in years x 1e-4: a basis point on one unit of
    notional. To be long is to have bought protection.
    """
    for years, age in ((5, 0), (5, 1), (10, 0), (3, 0)):
        for index, currency, series, spread in _INDICES:
            yield _row(
                *(
                    f"{index} {series - age} {years}Y",
                    "BSEF",
                    currency,
                    0.01 if spread < 100 else 0.05,
                ),
                spread * (0.55 + 0.09 * years),
                multiplier=round(0.88 * years ** (0.98) * 1e-4, 9),
                expiry=date(AS_OF.year + years, 12, 20).isoformat(),
            )
    issuers = [name for name, _ in _named(_NAMES) if ":" not in name]
    for years, issuer in product((10, 5, 30, 7, 3, 20, 15, 8, 4, 12, 6, 9, 25, 2, 18), issuers):
        ytm = 4.1 + 0.6 * math.log(years / 10) / math.log(10) + random_.uniform(0.4, 2.1)
        coupon, month = round(ytm * 20 + random_.uniform(-25, 12)) / 20, random_.randint(1, 12)
        due = date(AS_OF.year + years, month, 15)
        yield _row(
            *(f"{issuer} {coupon:g} {due:%m/%y}", "TRAX", "USD", 0.001),
            _bond_price(coupon, ytm, (due - AS_OF).days / 365.25),
            multiplier=0.01,
            expiry=due.isoformat(),
            coupon=coupon,
        )


def _coins(random_: random.Random) -> Iterator[Instrument]:
    made = ((f"{word}", 10 ** random_.uniform(-3, 2)) for word in _tickers(random_, (), 4))
    for name, close in chain(_named(_COINS), made):
        # Six figures of price, as exchanges show: 91284.5, 3041.18, 136.22 -> 0.1, 0.01, 0.001.
        tick = 10.0 ** max(-9, math.floor(math.log10(close)) - 5)
        yield _row(f"{name}-USD", "XCOI", "USD", tick, close)


def _perpetuals(spots: list[Instrument]) -> Iterator[Instrument]:
    """One on each coin, then the same on a second and a third exchange."""
    for venue, tail in (("DBT", ""), ("OKX", ".OKX"), ("BYB", ".BYB")):
        for spot in spots:
            close = (spot.close_prev or 0) * 0.9997
            symbol = spot.symbol.replace("-USD", f"-PERP{tail}")
            yield _row(symbol, venue, "USD", spot.tick, close, underlying=spot.id)


_OPTIONED = (
    "NVDA AAPL TSLA SPY QQQ MSFT AMZN META GOOGL AMD IWM PLTR COIN NFLX AVGO JPM XOM HYG GLD"
)
_CALM = {
    "SPY",
    "QQQ",
    "IWM",
    "HYG",
    "GLD",
    "DIA",
    "TLT",
}  # Their options price half the volatility.
_OPTIONED_PAIRS = {"EURUSD": 0.072, "USDJPY": 0.094}
_ADJUSTED = "JPM", 104  # A dividend in shares: March delivers 104 of them, its strike is for 100.
_FUTURE_VOLATILITY = dict(_named("ES .15 NQ .19 CL .33 GC .17 NG .6 HG .22 ZC .26 ZN .055"))


def _third_friday(day: date) -> date:
    first = day.replace(day=1)
    return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


def _equity_options(shares: list[Instrument]) -> Iterator[Instrument]:
    """Chains of five expiries on US shares and funds, the most traded names first."""
    by_symbol = {row.symbol: row for row in shares if row.currency == "USD"}
    known = [by_symbol.pop(symbol) for symbol in _OPTIONED.split() if symbol in by_symbol]
    months = (date(2026, 12, 1), date(2027, 1, 1), date(2027, 3, 1), date(2027, 6, 1))
    expiries = (date(2026, 11, 27), *map(_third_friday, months))
    for share in chain(known, by_symbol.values()):
        for expiry in expiries:
            units = _ADJUSTED[1] if (share.symbol, expiry) == (_ADJUSTED[0], expiries[3]) else 100
            yield from _chain(share, expiry, 0.16 if share.symbol in _CALM else 0.34, units / 100)


def _future_options(futures: list[Instrument]) -> Iterator[Instrument]:
    """Chains on the well known futures, all front months first.

    An option on a commodity future lapses in the month before the delivery.
    """
    roots = [re.match(r"(\w+?)[A-Z]\d+$", future.symbol) for future in futures]
    seen: Counter[str] = Counter()
    ranked = []
    for future, root in zip(futures, roots, strict=True):
        if root and root[1] in _FUTURE_VOLATILITY:
            ranked.append((seen[root[1]], root[1], future))
            seen[root[1]] += 1
    for _, name, future in sorted(ranked, key=lambda entry: entry[0]):
        lapse = date.fromisoformat(future.expiry)
        if future.asset_class == AssetClass.COMMODITY_FUTURE:
            lapse = _third_friday(lapse.replace(day=1) - timedelta(days=1))
        yield from _chain(future, lapse, _FUTURE_VOLATILITY[name])


def _chain(
    underlying: Instrument, expiry: date, volatility: float, ratio: float = 1.0
) -> Iterator[Instrument]:
    """Ten strikes about the money, a call and a put each, priced with a smile.

    An adjusted contract delivers `ratio` times what its strike and price are for.
    """
    spot = (underlying.close_prev or 0.0) * ratio
    share = underlying.asset_class in (AssetClass.EQUITY, AssetClass.ETF)
    years = max(1, (expiry - AS_OF).days) / 365
    wanted = spot * volatility * 0.12
    power = 10.0 ** math.floor(math.log10(wanted))
    step = power * max(unit for unit in (1, 2.5, 5) if unit * power <= wanted)
    for offset, right in product(range(-5, 5), "CP"):
        strike = round((round(spot / step) + offset) * step, 9)
        smile = volatility * (
            1 + 0.4 * math.log(strike / spot) ** 2 - 0.3 * math.log(strike / spot)
        )
        tick = 0.01 if share else underlying.tick
        yield _row(
            f"{underlying.symbol} {expiry:%d%b%y} {strike:.10g} {right}".upper(),
            *("OPRA" if share else underlying.venue, underlying.currency, tick),
            max(tick, black(spot, strike, smile * math.sqrt(years), right)),
            multiplier=100.0 if share else underlying.multiplier,
            price_format=underlying.price_format,
            underlying=underlying.id,
            expiry=expiry.isoformat(),
            strike=strike,
            right=right,
            exercise="european" if underlying.asset_class == AssetClass.FX else "american",
            deliverable=None if ratio == 1 else round(100 * ratio, 6),
        )


def black(forward: float, strike: float, deviation: float, right: str) -> float:
    """Undiscounted option price, Black (1976); `deviation` = volatility x sqrt(years) > 0."""
    d_1 = math.log(forward / strike) / deviation + deviation / 2
    sign = 1 if right == "C" else -1
    in_kind = normal(sign * d_1) * forward
    return sign * (in_kind - normal(sign * (d_1 - deviation)) * strike)


def normal(x: float) -> float:
    """Cumulative standard normal distribution."""
    return math.erfc(-x / math.sqrt(2)) / 2
