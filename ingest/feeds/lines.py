"""Rule: blocks of comma-separated lines -> int64 columns, exact: no price goes through a float.

A field is a decimal times a power of ten (`1.38727` at 9 is 1387270000), a hexadecimal number, or
a letter. A line that is not that, to the last character, is refused and kept; its neighbours are
not touched.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numba import njit

from ingest.feeds.feed import Tally

HEX = -1  # A field spec: hexadecimal; empty is 0.
LETTER = -2  # A field spec: the code of one character; empty is 0.
LINE_BYTES_MAX = 1 << 20  # Longer than any line of the formats here: what runs on is not text.

REASONS = ("", "wrong number of fields", "a field is not a number", "a number has too many digits")
_FIELDS, _NUMBER, _DIGITS = 1, 2, 3
_COMMA, _NEWLINE, _RETURN = map(ord, ",\n\r")


def columns(
    blocks: Iterable[bytes], spec: tuple[int, ...], place: str, tally: Tally, *, skip: int = 0
) -> Iterator[np.ndarray]:
    """int64 [rows, 1 + len(spec)]: line number in the file from 1, then the fields.

    `spec` is one number a field: the power of ten (0 to 18), HEX or LETTER. `skip` heading lines
    are passed over; empty lines count as lines but are nothing.
    """
    line = 0
    for text in whole_lines(blocks, place, tally):
        rows, wrong = parse(text, spec, line, skip)
        for number, start, end, reason in wrong.tolist():
            tally.refuse(f"{place} line {number}", REASONS[reason], text[start:end])
        line += text.count(b"\n")
        tally.rows += len(rows)
        if len(rows):
            yield rows


def parse(
    text: bytes, spec: tuple[int, ...], line: int = 0, skip: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """One block of whole lines, the first of which is number `line` + 1.

    Rows as of `columns`, and int64 [bad, 4] of what is none: line, start, end (bytes), REASONS.
    """
    lines = text.count(b"\n")
    rows = np.empty((lines, 1 + len(spec)), np.int64)
    wrong = np.empty((lines, 4), np.int64)
    data = np.frombuffer(text, np.uint8)
    good, bad = _parse(data, np.array(spec, np.int64), (rows, wrong), line, skip)
    return rows[:good], wrong[:bad]


def whole_lines(blocks: Iterable[bytes], place: str, tally: Tally) -> Iterator[bytes]:
    """The same bytes in blocks that end with a line; the last line may lack its newline."""
    rest = b""
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = block[cut:]
        else:
            rest += block
        if len(rest) > LINE_BYTES_MAX:
            tally.refuse(place, f"no line ends within {LINE_BYTES_MAX} bytes", rest)
            rest = b""
    if rest:
        yield rest + b"\n"


@njit(cache=True)
def _parse(data, spec, out, line, skip):
    """Fill the rows and the wrong lines (line, start, end, reason) of `out`; numbers of both."""
    rows, wrong = out
    good = bad = start = 0
    for end in range(len(data)):
        if data[end] != _NEWLINE:
            continue
        line += 1
        stop = end - 1 if end > start and data[end - 1] == _RETURN else end
        if stop > start and line > skip:
            reason = _line(data, start, stop, spec, rows[good])
            if reason:
                wrong[bad, 0], wrong[bad, 1], wrong[bad, 2], wrong[bad, 3] = (
                    line,
                    start,
                    end,
                    reason,
                )
                bad += 1
            else:
                rows[good, 0] = line
                good += 1
        start = end + 1
    return good, bad


@njit(cache=True)
def _line(data, start, stop, spec, row):
    """Fields of one line into row[1:]; the reason if it cannot be, else 0."""
    field = 0
    begin = start
    for at in range(start, stop + 1):
        if at < stop and data[at] != _COMMA:
            continue
        if field == len(spec):
            return _FIELDS
        reason, value = number(data, begin, at, spec[field])
        if reason:
            return reason
        field += 1
        row[field] = value
        begin = at + 1
    return 0 if field == len(spec) else _FIELDS


@njit(cache=True)
def number(data, begin, end, kind):
    """(reason, value) of one field of spec `kind`; for kernels."""
    if kind == LETTER:
        return (0, np.int64(data[begin]) if end > begin else 0) if end - begin < 2 else (_NUMBER, 0)
    if kind == HEX:
        return _hexadecimal(data, begin, end)
    at = begin + 1 if begin < end and data[begin] == ord("-") else begin
    negative = at > begin
    if at == end:
        return _NUMBER, 0
    value, decimals, digits = 0, -1, 0
    for i in range(at, end):
        digit = np.int64(data[i]) - ord("0")
        if data[i] == ord(".") and decimals < 0:
            decimals = 0
        elif not 0 <= digit <= 9:
            return _NUMBER, 0
        elif decimals >= kind:
            if digit:
                return _DIGITS, 0
            digits += 1
        else:
            if value > 922_337_203_685_477_579:
                return _DIGITS, 0
            value = value * 10 + digit
            digits += 1
            decimals += decimals >= 0
    if digits == 0:
        return _NUMBER, 0
    for _ in range(kind - max(decimals, 0)):
        if value > 922_337_203_685_477_579:
            return _DIGITS, 0
        value *= 10
    return 0, -value if negative else value


@njit(cache=True)
def _hexadecimal(data, begin, end):
    if end - begin > 15:
        return _DIGITS, 0
    value = 0
    for i in range(begin, end):
        code = np.int64(data[i]) | 32  # Lower case; digits have that bit already.
        if ord("0") <= code <= ord("9"):
            value = value * 16 + code - ord("0")
        elif ord("a") <= code <= ord("f"):
            value = value * 16 + code - ord("a") + 10
        else:
            return _NUMBER, 0
    return 0, value
