"""Rule: lines of a raw Binance capture -> int64 rows, exact, without an object a message.

A line is the receive time in ns, a blank, and JSON as Binance writes it: no blanks, and each key
of one letter once. That is enough to find a value by its key; a line in which a needed one is
missing or is no number, or that does not end with a brace, is refused whole.
"""

import numpy as np
from numba import njit

from ingest.feeds.lines import REASONS, number

QUOTE, TRADE, DEPTH, OTHER = map(ord, "QTDO")
# Columns of a row. QUOTE: bid, its size, ask, its size (1e-9). TRADE: price, size (1e-9), 1 where
# the buyer was the maker, 1 where it was no trade of the market (insurance fund, deleveraging).
LINE, LETTER, SYMBOL, RECEIVED_NS, TIME_MS, ID, FIRST = range(7)
COLUMNS = FIRST + 4

_KEYS = b"esuTEtpqmXbBaA"
_E, _S, _U, _T, _EMITTED, _ID, _P, _Q, _M, _X, _B, _B_SIZE, _A, _A_SIZE = range(len(_KEYS))
_SLOTS = np.full(256, -1, np.int64)
_SLOTS[list(_KEYS)] = range(len(_KEYS))
_NUMBER, _SYMBOL_NEW, _CUT = 2, 4, 5
REASONS_MORE = (*REASONS, "a symbol that is new here", "it ends before its end")


def rows_of(text: bytes, symbols: list[str], line: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows int64 [good, COLUMNS] of whole lines, the first of which is number `line` + 1.

    And int64 [bad, 4] of what is none: line, start, end (bytes), REASONS_MORE.
    """
    lines = text.count(b"\n")
    rows = np.empty((lines, COLUMNS), np.int64)
    wrong = np.empty((lines, 4), np.int64)
    names = np.array(symbols, "S32").view(np.uint8).reshape(len(symbols), 32)
    good, bad = _scan(np.frombuffer(text, np.uint8), names, (rows, wrong), line)
    return rows[:good], wrong[:bad]


@njit(cache=True)
def _scan(
    data: np.ndarray, names: np.ndarray, out: tuple[np.ndarray, np.ndarray], line: int
) -> tuple[int, int]:
    rows, wrong = out
    found = np.empty((len(_KEYS), 2), np.int64)  # Where each value begins and ends.
    good = bad = start = 0
    for end in range(len(data)):
        if data[end] != ord("\n"):
            continue
        line += 1
        if end > start:
            _find(data, start, end, found)
            reason = _row(data, (start, end), found, names, rows[good])
            if reason:
                wrong[bad, 0], wrong[bad, 1], wrong[bad, 2], wrong[bad, 3] = (
                    line,
                    start,
                    end,
                    reason,
                )
                bad += 1
            else:
                rows[good, LINE] = line
                good += 1
        start = end + 1
    return good, bad


@njit(cache=True)
def _find(data: np.ndarray, at: int, end: int, found: np.ndarray) -> None:
    """The value of each key, without its quotes; of depth messages only what precedes the book."""
    found[:] = 0
    while at < end - 4:
        if data[at] != ord('"') or data[at + 2] != ord('"') or data[at + 3] != ord(":"):
            at += 1
            continue
        slot = _SLOTS[data[at + 1]]
        at += 4
        if slot < 0 or data[at] == ord("["):
            if slot >= 0:
                return
            continue
        quoted = data[at] == ord('"')
        at += quoted
        begin = at
        while at < end and data[at] != ord('"') and (quoted or data[at] not in (44, 125)):  # , }
            at += 1
        found[slot, 0], found[slot, 1] = begin, at


@njit(cache=True)
def _row(
    data: np.ndarray,
    line: tuple[int, int],
    found: np.ndarray,
    names: np.ndarray,
    row: np.ndarray,
) -> int:
    """Fill `row` but its first column; the reason if it cannot be, else 0."""
    start, end = line
    if data[end - 1] != ord("}"):
        return _CUT
    blank = start
    while blank < end and data[blank] != ord(" "):
        blank += 1
    row[FIRST:] = 0
    reason, row[RECEIVED_NS] = number(data, start, blank, 0)
    letter = _letter(data, blank + 1, found)
    row[LETTER], row[SYMBOL], row[TIME_MS], row[ID] = letter, 0, 0, 0
    time = _T if letter in (QUOTE, TRADE) else _EMITTED
    if not reason and found[time, 1]:
        reason, row[TIME_MS] = number(data, found[time, 0], found[time, 1], 0)
    if reason or letter not in (QUOTE, TRADE):
        return int(reason) if letter else _NUMBER

    row[SYMBOL] = _symbol(data, found[_S, 0], found[_S, 1], names)
    if row[SYMBOL] < 0:
        return _SYMBOL_NEW
    quote = letter == QUOTE
    keys = (_U, _B, _B_SIZE, _A, _A_SIZE) if quote else (_ID, _P, _Q, _M, _M)
    for i in range(5 if quote else 3):
        reason, value = number(data, found[keys[i], 0], found[keys[i], 1], 9 if i else 0)
        if reason:
            return int(reason)
        row[ID + i] = value
    if not quote:
        if not found[_M, 1] or not found[_T, 1]:
            return _NUMBER
        row[FIRST + 2] = data[found[_M, 0]] == ord("t")
        row[FIRST + 3] = found[_X, 1] > 0 and data[found[_X, 0]] != ord("M")
    return 0


@njit(cache=True)
def _letter(data: np.ndarray, body: int, found: np.ndarray) -> int:
    """What a message is; 0 for nothing known. Spot `bookTicker` and snapshots have no type."""
    begin, end = found[_E]
    if end == 0:
        if found[_B_SIZE, 1]:
            return QUOTE
        snapshot: bool = data[body + 2] == ord("l")  # {"lastUpdateId":
        return DEPTH if snapshot else 0
    if data[begin] == ord("b") and end - begin == len("bookTicker"):
        return QUOTE
    if data[begin] == ord("t") and end - begin == len("trade"):
        return TRADE
    return DEPTH if data[begin] == ord("d") and end - begin == len("depthUpdate") else OTHER


@njit(cache=True)
def _symbol(data: np.ndarray, begin: int, end: int, names: np.ndarray) -> int:
    for i in range(len(names)):
        same = end - begin < names.shape[1] and names[i, end - begin] == 0
        for k in range(end - begin if same else 0):
            same = same and names[i, k] == data[begin + k]
        if same:
            return i
    return -1
