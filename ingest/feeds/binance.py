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
import orjson

from ingest.event import PRICE_SCALE, Flag, Kind
from ingest.feeds import blocks
from ingest.feeds.feed import Feed, FeedError, Tally, events, weave
from ingest.feeds.lines import LETTER, REASONS, parse, whole_lines
from ingest.instrument import AssetClass, Instrument

# What a message becomes: letter, symbol, receive ns, exchange ms, id, then bid, its size, ask, its
# size; or price, size, 1 where the buyer was the maker, 1 where it was no trade of the market.
_SPEC = (LETTER, 0, 0, 0, 0, 9, 9, 9, 9)
_TICKS_FROM = 2_000  # Prices from which the tick is taken: the coarsest step that fits them all.
_SYMBOL = re.compile(rb'"s":"(\w+)"')
_PRICE = re.compile(rb'"[pba]":"([\d.]+)"')
_TIME = re.compile(rb'"E":(\d{13})')
_DOLLARS = re.compile(r"(USDT|USDC|FDUSD|BUSD|USD_PERP|USD)$")
_FACE_USD = {"BTCUSD_PERP": 100.0}  # COIN-M: 100 USD a contract of BTC, 10 USD of all others.


def read(path: Path, first_id: int, tally: Tally) -> Feed:
    """A capture of one market (spot, USD-M or COIN-M), which the messages themselves tell."""
    symbols: dict[str, list[bytes]] = {}
    coin = future = False
    for text in whole_lines(_data(path, Tally()), str(path), Tally()):
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
        symbol: _instrument(symbol, prices, kind, venue, first_id + i, path)
        for i, (symbol, prices) in enumerate(symbols.items())
    }
    faces = np.array([_FACE_USD.get(symbol, 10.0) if coin else 0.0 for symbol in rows])
    return Feed(list(rows.values()), _chunks(path, list(rows), faces, first_id, tally), tally)


def _data(path: Path, tally: Tally) -> Iterator[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return blocks.gzip(path, tally) if packed else blocks.plain(path)


def _instrument(
    symbol: str, prices: list[bytes], kind: AssetClass, venue: str, number: int, path: Path
) -> Instrument:
    quote = _DOLLARS.search(symbol)
    if quote is None:
        what = f"the file does not say what the quote currency of {symbol} is worth in USD"
        raise FeedError(what, path, "give a capture of pairs in USD, USDT, USDC or FDUSD")
    exact = np.gcd.reduce(parse(b"\n".join(prices) + b"\n", (9,))[0][:, 1], initial=PRICE_SCALE)
    places = len(str(PRICE_SCALE // int(exact))) - 1
    while PRICE_SCALE % 10**places or exact % 10 ** (9 - places):
        places += 1
    perpetual = kind == AssetClass.CRYPTO_PERPETUAL and "_" not in symbol
    return Instrument(
        *(number, symbol + (".P" if perpetual else ""), kind, venue),
        *(quote[0].removesuffix("_PERP"), 1.0, 10.0**-places, places),
    )


def _chunks(
    path: Path, symbols: list[str], faces: np.ndarray, first_id: int, tally: Tally
) -> Iterator[np.ndarray]:
    ids = {symbol: i for i, symbol in enumerate(symbols)}
    line, clock_ms = 0, 0
    for text in whole_lines(_data(path, tally), str(path), tally):
        # One line out for one line in, empty where nothing is to be told: the numbers stay.
        lines = text.split(b"\n")[:-1]
        table = []
        for number, raw in enumerate(lines, line + 1):
            try:
                table.append(_line(raw, ids, tally))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                table.append("")
                tally.refuse(f"{path} line {number}", f"not a message: {error!r}", raw)
        rows, wrong = parse("\n".join(table).encode() + b"\n", _SPEC, line)
        for number, _, _, reason in wrong.tolist():
            tally.refuse(f"{path} line {number}", REASONS[reason], lines[number - line - 1])
        line += len(lines)
        tally.rows += len(rows)
        if len(rows):
            times = np.maximum.accumulate(np.maximum(rows[:, 4], clock_ms))
            clock_ms = int(times[-1])
            times[times == 0] = next(iter(times[times > 0]), 0)
            yield _events(rows, times, faces, first_id, tally)


def _line(raw: bytes, ids: dict[str, int], tally: Tally) -> str:
    """A message as one line of `_SPEC`; "" for an empty line."""
    if not raw:
        return ""
    at = raw.index(b" ")
    received, head = raw[:at].decode(), raw[at + 1 : at + 150]
    if b'"depthUpdate"' in head or head.startswith(b'{"lastUpdateId"'):
        time = _TIME.search(head)
        if not raw.endswith(b"}"):
            raise ValueError("it ends before its end")
        return f"D,0,{received},{int(time[1]) if time else 0},0,0,0,0,0"
    message = orjson.loads(raw[at + 1 :])
    data = message.get("data", message)
    kind = data.get("e", "bookTicker")
    symbol = ids[data["s"]]
    if kind == "bookTicker":
        time = data.get("T", 0)
        return (
            f"Q,{symbol},{received},{time},{data['u']},"
            f"{data['b']},{data['B']},{data['a']},{data['A']}"
        )
    if kind != "trade":
        return f"O,{symbol},{received},{data.get('E', 0)},0,0,0,0,0"
    maker, other = int(data["m"]), int(data.get("X", "MARKET") != "MARKET")
    return f"T,{symbol},{received},{data['T']},{data['t']},{data['p']},{data['q']},{maker},{other}"


def _events(
    rows: np.ndarray, times: np.ndarray, faces: np.ndarray, first_id: int, tally: Tally
) -> np.ndarray:
    letter = rows[:, 1]
    quoted = np.flatnonzero(letter == ord("Q"))
    # A forced trade outside the book (insurance fund, deleveraging) may come without a price.
    traded = np.flatnonzero((letter == ord("T")) & (rows[:, 6] > 0))
    read_over = {
        "depth: bookTicker tells the best bid and ask": np.count_nonzero(letter == ord("D")),
        "neither bookTicker nor trade": np.count_nonzero(letter == ord("O")),
        "trade without a price": np.count_nonzero((letter == ord("T")) & (rows[:, 6] <= 0)),
    }
    tally.skipped.update({reason: int(count) for reason, count in read_over.items() if count})

    quotes = _envelope(Kind.QUOTE, rows[quoted], times[quoted], first_id)
    face = faces[rows[quoted, 2]]
    quotes["bid"], quotes["bid_size"] = rows[quoted, 6], _size(rows[quoted, 6:8], face)
    quotes["ask"], quotes["ask_size"] = rows[quoted, 8], _size(rows[quoted, 8:10], face)
    trades = _envelope(Kind.TRADE, rows[traded], times[traded], first_id)
    trades["price"] = rows[traded, 6]
    trades["size"] = _size(rows[traded, 6:8], faces[rows[traded, 2]])
    trades["reference"] = rows[traded, 5]
    trades["flags"] = np.where(rows[traded, 8], Flag.SELLER, Flag.BUYER)
    trades["flags"] |= np.where(rows[traded, 9], Flag.INELIGIBLE, 0).astype(np.uint8)
    return weave(trades, traded, quotes, quoted)


def _envelope(kind: Kind, rows: np.ndarray, times: np.ndarray, first_id: int) -> np.ndarray:
    ms = np.where(rows[:, 4] > 0, rows[:, 4], times)
    out = events(kind, 0, np.where(ms > 0, ms * 1_000_000, rows[:, 3]), rows[:, 0])
    out["instrument"] = first_id + rows[:, 2]
    out["ts_recv"] = rows[:, 3]
    return out


def _size(price_and_size: np.ndarray, face: np.ndarray) -> np.ndarray:
    # Both are below 2**53, so one division gives the float nearest to the text.
    price, size = price_and_size.T / PRICE_SCALE
    return np.where(face > 0, size * face / np.where(price > 0, price, np.inf), size)
