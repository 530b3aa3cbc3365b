"""Rule: a raw capture of Binance websocket messages -> quotes and trades.

One message a line: receive time in ns, a blank, the JSON as it came (combined streams), gzip or
plain. `bookTicker` is the best bid and ask itself; so `depthUpdate` and the REST snapshot, which
say the same later and in more words, are read over. Spot `bookTicker` carries no time: it takes the
latest exchange time seen, so that all events of a capture are on the exchange's clock.
COIN-M contracts are a number of USD each: sizes become base currency (contracts * face / price),
so that size times price is their value in USD.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ingest.event import PRICE_SCALE, Flag, Kind
from ingest.feeds import blocks
from ingest.feeds.binance_lines import (
    DEPTH,
    FIRST,
    ID,
    LETTER,
    LINE,
    OTHER,
    QUOTE,
    REASONS_MORE,
    RECEIVED_NS,
    SYMBOL,
    TIME_MS,
    TRADE,
    rows_of,
)
from ingest.feeds.feed import Feed, FeedError, Tally, events, step, weave
from ingest.feeds.lines import parse, whole_lines
from ingest.instrument import AssetClass, Instrument

_TICKS_FROM = 2_000  # Prices from which the tick is taken: the coarsest step that fits them all.
_SYMBOL = re.compile(rb'"s":"(\w+)"')
_PRICE = re.compile(rb'"[pba]":"([\d.]+)"')
_DOLLARS = re.compile(r"(USDT|USDC|FDUSD|BUSD|USD_PERP|USD)$")
_FACE_USD = {"BTCUSD_PERP": 100.0}  # COIN-M: 100 USD a contract of BTC, 10 USD of all others.


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A capture of one market (spot, USD-M or COIN-M), which the messages themselves tell."""
    symbols: dict[str, list[bytes]] = {}
    coin = future = False
    for text in whole_lines(blocks.text(path, Tally()), str(path), Tally()):
        coin = coin or b'"ps":"' in text
        future = future or b'"pu":' in text
        new = {name.decode() for name in _SYMBOL.findall(text)} - symbols.keys()
        for symbol in sorted(new):
            own = (line for line in text.split(b"\n") if b'"%b"' % symbol.encode() in line)
            symbols[symbol] = _PRICE.findall(b"\n".join(own))[:_TICKS_FROM]
    if not symbols:
        raise FeedError("no Binance message in it", path, "give a capture with bookTicker or trade")
    venue = "BINANCE COIN-M" if coin else "BINANCE USD-M" if future else "BINANCE"
    kind = AssetClass.CRYPTO_PERPETUAL if coin or future else AssetClass.CRYPTO_SPOT
    rows = {
        symbol: _instrument(symbol, prices, (kind, venue), first_id + i, path)
        for i, (symbol, prices) in enumerate(symbols.items())
    }
    faces = np.array([_FACE_USD.get(symbol, 10.0) if coin else 0.0 for symbol in rows])
    return Feed(list(rows.values()), _chunks(path, list(rows), faces, first_id, tally), tally)


def _instrument(
    symbol: str, prices: list[bytes], market: tuple[AssetClass, str], number: int, path: Path
) -> Instrument:
    kind, venue = market
    quote = _DOLLARS.search(symbol)
    if quote is None:
        what = f"the file does not say what the quote currency of {symbol} is worth in USD"
        raise FeedError(what, path, "give a capture of pairs in USD, USDT, USDC or FDUSD")
    tick, places = step(parse(b"\n".join(prices) + b"\n", (9,))[0][:, 1])
    perpetual = kind == AssetClass.CRYPTO_PERPETUAL and "_" not in symbol
    return Instrument(
        *(number, symbol + (".P" if perpetual else ""), kind, venue),
        *(quote[0].removesuffix("_PERP"), 1.0, tick, places),
    )


def _chunks(
    path: Path, symbols: list[str], faces: np.ndarray, first_id: int, tally: Tally
) -> Iterator[np.ndarray]:
    line, clock_ms = 0, 0
    for text in whole_lines(blocks.text(path, tally), str(path), tally):
        rows, wrong = rows_of(text, symbols, line)
        for number, start, end, reason in wrong.tolist():
            tally.refuse(f"{path} line {number}", REASONS_MORE[reason], text[start:end])
        line += text.count(b"\n")
        tally.rows += len(rows)
        if len(rows):
            times = np.maximum.accumulate(np.maximum(rows[:, TIME_MS], clock_ms))
            clock_ms = int(times[-1])
            times[times == 0] = next(iter(times[times > 0]), 0)
            yield _events(rows, times, faces, first_id, tally)


def _events(
    rows: np.ndarray, times: np.ndarray, faces: np.ndarray, first_id: int, tally: Tally
) -> np.ndarray:
    letter, first, second = rows[:, LETTER], rows[:, FIRST : FIRST + 2], rows[:, FIRST + 2 :]
    quoted = np.flatnonzero(letter == QUOTE)
    # What is forced outside the book (insurance fund, deleveraging) may come without a price.
    priced = (letter == TRADE) & (first[:, 0] > 0)
    traded = np.flatnonzero(priced)
    for reason, rest in (
        ("depth: bookTicker tells the best bid and ask", letter == DEPTH),
        ("neither bookTicker nor trade", letter == OTHER),
        ("trade without a price", (letter == TRADE) & ~priced),
    ):
        if count := int(np.count_nonzero(rest)):
            tally.skipped[reason] += count

    face = faces[rows[:, SYMBOL]]
    quotes = _envelope(Kind.QUOTE, rows[quoted], times[quoted], first_id)
    quotes["bid"], quotes["bid_size"] = first[quoted, 0], _size(first[quoted], face[quoted])
    quotes["ask"], quotes["ask_size"] = second[quoted, 0], _size(second[quoted], face[quoted])
    trades = _envelope(Kind.TRADE, rows[traded], times[traded], first_id)
    trades["price"], trades["size"] = first[traded, 0], _size(first[traded], face[traded])
    trades["reference"] = rows[traded, ID]
    trades["flags"] = np.where(second[traded, 0], Flag.SELLER, Flag.BUYER)
    trades["flags"] |= (second[traded, 1] > 0) * np.uint8(Flag.INELIGIBLE)
    return weave(trades, traded, quotes, quoted)


def _envelope(kind: Kind, rows: np.ndarray, times: np.ndarray, first_id: int) -> np.ndarray:
    ms = np.where(rows[:, TIME_MS] > 0, rows[:, TIME_MS], times)
    time = np.where(ms > 0, ms * 1_000_000, rows[:, RECEIVED_NS])
    out = events(kind, 0, time, rows[:, LINE])
    out["instrument"] = first_id + rows[:, SYMBOL]
    out["ts_recv"] = rows[:, RECEIVED_NS]
    return out


def _size(price_and_size: np.ndarray, face: np.ndarray) -> np.ndarray:
    # Both are below 2**53, so one division gives the float nearest to the text.
    price, size = price_and_size.T / PRICE_SCALE
    return np.asarray(np.where(face > 0, size * face / np.where(price > 0, price, np.inf), size))
