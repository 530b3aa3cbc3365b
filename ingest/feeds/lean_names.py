"""Rule: where a Lean file lies and how an entry is named -> its instruments and its time zone.

`lean/CLASS/MARKET/RESOLUTION/SYMBOL/...zip` holds `DATE_SYMBOL_RESOLUTION_KIND...csv`; an option's
entry goes on with style, right, strike * 1e4 and expiry, a future's with the contract month. An
option comes with its underlying, which may have no event of its own in the file. What a share or a
pair is, the files do not say: see `lean_equity` and `lean_fx`.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ingest.feeds import lean_equity, lean_fx
from ingest.feeds.feed import FeedError
from ingest.feeds.futures import TERMS, code, future, occ
from ingest.instrument import AssetClass, Instrument

CLASSES = (
    *("equity", "option", "indexoption", "index", "future", "futureoption"),
    *("forex", "cfd", "crypto", "cryptofuture"),
)
NEW_YORK, CHICAGO = "America/New_York", "America/Chicago"
SCALED = frozenset({"equity", "option", "indexoption"})  # Prices are dollars times 1e4.
PERIOD_NS = {"second": 1_000_000_000, "minute": 60_000_000_000, "tick": 0}
NAME = re.compile(
    r"(?P<date>\d{8})_(?P<symbol>[A-Za-z0-9.]+)_"
    r"(?:.*?(?P<period>second|minute|tick))?"
    r"(?:.*?_(?P<style>american|european)_(?P<right>call|put)_(?P<strike>\d+)_(?P<expiry>\d{8}))?"
    r"(?:.*?_(?P<month>\d{6})\.csv)?",
    re.IGNORECASE,
)
_INDICES = {"SPXW": "SPX", "SPX": "SPX"}  # Root of an index option -> index.
_CRYPTO = re.compile(r"(?P<base>\w+?)(?P<quote>USDT|USDC|USD)")


class Named(NamedTuple):
    """The instrument of an entry, what it needs beside it, and the zone of its times."""

    instrument: Instrument
    underlying: Instrument | None
    zone: str


def folder_class(path: Path) -> str:
    """One of CLASSES, or "" where the path does not tell."""
    parts = path.resolve().parts
    return next((part.lower() for part in reversed(parts) if part.lower() in CLASSES), "")


def named(name: re.Match[str], kind: str, path: Path, line: bytes) -> Named:
    """Of an entry of class `kind` with a first `line`. FeedError where it cannot be known.

    Ids are 0: whoever collects the instruments numbers them.
    """
    symbol = name["symbol"].upper()
    if kind == "equity":
        share, zone = lean_equity.instrument(symbol, path, line, 0)
        return Named(share, None, zone)
    if kind in ("forex", "cfd"):
        pair, zone = lean_fx.instrument(symbol, path, line, 0)
        return Named(pair, None, zone)
    if kind in ("option", "indexoption"):
        return _option(name, symbol, kind, path)
    if kind == "index":
        return Named(_index(symbol), None, CHICAGO)
    if kind in ("future", "futureoption"):
        return _future(name, symbol, kind, path)
    return _crypto(symbol, kind, path)


def _index(symbol: str) -> Instrument:
    return Instrument(0, symbol, AssetClass.EQUITY, "INDEX", "USD", 1.0, 0.01, 2)


def _option(name: re.Match[str], symbol: str, kind: str, path: Path) -> Named:
    if name["strike"] is None:
        raise FeedError("an option whose name has no strike", path, "fetch the file again")
    if kind == "option":
        under, _ = lean_equity.instrument(symbol, path, b"", 0)
    else:
        under = _index(_INDICES.get(symbol, symbol))
    expiry, strike, right = _terms(name)
    option = Instrument(
        *(0, occ(symbol, expiry, right, strike), AssetClass.EQUITY_OPTION, "OPRA", "USD"),
        *(100.0, 0.05 if kind == "indexoption" else 0.01, 2),
        expiry=expiry,
        strike=strike,
        right=right,
        exercise=name["style"].lower(),
    )
    return Named(option, under, NEW_YORK)


def _terms(name: re.Match[str]) -> tuple[str, float, str]:
    day = name["expiry"]
    expiry = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    return expiry, int(name["strike"]) / 10_000, name["right"][0].upper()


def _future(name: re.Match[str], symbol: str, kind: str, path: Path) -> Named:
    # An option on a future lies in the folder of that future's month.
    month = path.resolve().parent.name if kind == "futureoption" else name["month"]
    if symbol not in TERMS or not re.fullmatch(r"\d{6}", month or ""):
        what = f"the contract terms or the month of {symbol} are not known"
        raise FeedError(what, path, f"known are contracts of {', '.join(TERMS)}")
    terms = TERMS[symbol]
    when = int(month[:4]), int(month[4:])
    contract = future(code(symbol, when), symbol, when, 0)
    if kind == "future":
        return Named(contract, None, "UTC")
    expiry, strike, right = _terms(name)
    option = Instrument(
        *(0, f"{contract.symbol} {right}{strike:g}", AssetClass.FUTURE_OPTION, terms.venue),
        *(terms.currency, terms.multiplier, 0.05, terms.decimals),
        expiry=expiry,
        strike=strike,
        right=right,
        exercise=name["style"].lower(),
    )
    return Named(option, contract, "UTC")


def _crypto(symbol: str, kind: str, path: Path) -> Named:
    pair = _CRYPTO.fullmatch(symbol)
    if pair is None:
        what = f"the file does not say what the quote currency of {symbol} is worth in USD"
        raise FeedError(what, path, "use a pair in USD, USDT or USDC")
    parts = [part.lower() for part in path.resolve().parts]
    venue = parts[len(parts) - parts[::-1].index(kind)].upper()
    perpetual = kind == "cryptofuture"
    kind_of = AssetClass.CRYPTO_PERPETUAL if perpetual else AssetClass.CRYPTO_SPOT
    own = f"{symbol}.P.{venue}" if perpetual else f"{symbol}.{venue}"
    tick, places = (0.1, 1) if perpetual else (0.01, 2)
    return Named(Instrument(0, own, kind_of, venue, pair["quote"], 1.0, tick, places), None, "UTC")
