"""Rule: blocks of comma-separated lines -> int64 columns, exact: no price goes through a float.

A field is a decimal times a power of ten (`1.38727` at 9 is 1387270000), a hexadecimal number, a
letter, a date, a time, or text. A line that is not that, to the last character, is refused and
kept; its neighbours are not touched.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

import numpy as np
from numba import njit

from ingest.event import NO_PRICE
from ingest.feeds.feed import Tally

HEX = -1  # A field spec: hexadecimal; empty is 0.
LETTER = -2  # A field spec: the code of one character; empty is 0.
MOMENT = -3  # `2013-01-01`, `2013-01-01 22:00:00.295`, with Z or +00:00 or not: ns since the epoch.
CLOCK = -4  # `10:00:00.001`: ns since midnight.
TEXT = -5  # Anything: where it stands in the block, begin * TEXT_BYTES_MAX + length.
OPTIONAL = 32  # Added to a power of ten: an empty field is NO_PRICE.
ROUND = 64  # Added to a power of ten: digits behind the last place round it (sizes, not prices).
TEXT_BYTES_MAX = 1 << 16
LINE_BYTES_MAX = 1 << 20  # Longer than any line of the formats here: what runs on is not text.

REASONS = ("", "wrong number of fields", "a field is not a number", "a number has too many digits")
_FIELDS, _NUMBER, _DIGITS = 1, 2, 3
_NEWLINE, _RETURN, _BLANK = map(ord, "\n\r ")
_DAY_NS, _SECOND_NS = 86_400_000_000_000, 1_000_000_000


def columns(  # noqa: PLR0913 (two of them are what a file looks like)
    blocks: Iterable[bytes],
    spec: tuple[int, ...],
    place: str,
    tally: Tally,
    *,
    skip: int = 0,
    separator: str = ",",
) -> Iterator[np.ndarray]:
    """int64 [rows, 1 + len(spec)]: line number in the file from 1, then the fields.

    `spec` is one number a field: the power of ten (0 to 18), HEX, LETTER and so on. `skip` heading
    lines are passed over; empty lines count as lines but are nothing.
    """
    for rows, _ in columns_and_text(blocks, spec, place, tally, skip=skip, separator=separator):
        yield rows


def columns_and_text(  # noqa: PLR0913
    blocks: Iterable[bytes],
    spec: tuple[int, ...],
    place: str,
    tally: Tally,
    *,
    skip: int = 0,
    separator: str = ",",
) -> Iterator[tuple[np.ndarray, bytes]]:
    """The same with the block that TEXT fields point into; see `texts`."""
    line = 0
    for text in whole_lines(blocks, place, tally):
        rows, wrong = parse(text, spec, line, skip, separator)
        for number, start, end, reason in wrong.tolist():
            tally.refuse(f"{place} line {number}", REASONS[reason], text[start:end])
        line += text.count(b"\n")
        tally.rows += len(rows)
        if len(rows):
            yield rows, text


def texts(column: np.ndarray, text: bytes) -> list[bytes]:
    """The fields of a TEXT column, without blanks around them."""
    return [
        text[(at := value // TEXT_BYTES_MAX) : at + value % TEXT_BYTES_MAX].strip()
        for value in column.tolist()
    ]


def exact(text: str, places: int = 9) -> int:
    """A decimal of a message times a power of ten; ValueError where it is none, or not exact."""
    try:
        value = Decimal(text).scaleb(places)
        whole = int(value)
    except (InvalidOperation, OverflowError, ValueError) as error:
        raise ValueError(f"{text!r} is not a number") from error
    if whole != value or not -(2**63) < whole < 2**63:
        raise ValueError(f"{text!r} has too many digits")
    return whole


def parse_moment(text: str, zone: str) -> int:
    """A date and time of a message, of the clocks of `zone`: ns since the epoch; or ValueError."""
    data = text.encode()
    reason, clock = number(np.frombuffer(data, np.uint8), 0, len(data), MOMENT)
    if reason:
        raise ValueError(f"{text!r} is not a date and time")
    if zone == "UTC":
        return int(clock)
    day, since = divmod(int(clock), _DAY_NS)
    local = datetime(1970, 1, 1) + timedelta(days=day, seconds=since // _SECOND_NS)  # noqa: DTZ001
    return int(local.replace(tzinfo=ZoneInfo(zone)).timestamp()) * _SECOND_NS + since % _SECOND_NS


def parse(
    text: bytes, spec: tuple[int, ...], line: int = 0, skip: int = 0, separator: str = ","
) -> tuple[np.ndarray, np.ndarray]:
    """One block of whole lines, the first of which is number `line` + 1.

    Rows as of `columns`, and int64 [bad, 4] of what is none: line, start, end (bytes), REASONS.
    """
    lines = text.count(b"\n")
    rows = np.empty((lines, 1 + len(spec)), np.int64)
    wrong = np.empty((lines, 4), np.int64)
    data = np.frombuffer(text, np.uint8)
    form = np.array(spec, np.int64), ord(separator)
    good, bad = _parse(data, form, (rows, wrong), line, skip)
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
def _parse(data, form, out, line, skip):
    """Fill the rows and the wrong lines (line, start, end, reason) of `out`; numbers of both."""
    rows, wrong = out
    good = bad = start = 0
    for end in range(len(data)):
        if data[end] != _NEWLINE:
            continue
        line += 1
        stop = end - 1 if end > start and data[end - 1] == _RETURN else end
        if stop > start and line > skip:
            reason = _line(data, start, stop, form, rows[good])
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
def _line(data, start, stop, form, row):
    """Fields of one line into row[1:]; the reason if it cannot be, else 0."""
    spec, separator = form
    field = 0
    begin = start
    for at in range(start, stop + 1):
        if at < stop and data[at] != separator:
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
    if kind >= 0:
        return _decimal(data, begin, end, kind)
    if kind == LETTER:
        return (0, np.int64(data[begin]) if end > begin else 0) if end - begin < 2 else (_NUMBER, 0)
    if kind == HEX:
        return _hexadecimal(data, begin, end)
    if kind == TEXT:
        whole = end - begin < TEXT_BYTES_MAX
        return (0, begin * TEXT_BYTES_MAX + end - begin) if whole else (_DIGITS, 0)
    return _clock(data, begin, end) if kind == CLOCK else _moment(data, begin, end)


@njit(cache=True)
def _decimal(data, begin, end, kind):
    if kind & OPTIONAL and begin == end:
        return 0, NO_PRICE
    places = kind & (OPTIONAL - 1)
    while begin < end and data[begin] == _BLANK:
        begin += 1
    at = begin + 1 if begin < end and data[begin] == ord("-") else begin
    negative = at > begin
    if at == end:
        return _NUMBER, 0
    value, decimals, digits = 0, -1, 0  # `decimals` ends at places + 1 where more were there.
    for i in range(at, end):
        digit = np.int64(data[i]) - ord("0")
        if data[i] == ord(".") and decimals < 0:
            decimals = 0
        elif not 0 <= digit <= 9:
            return _NUMBER, 0
        elif decimals >= places:
            if digit and not kind & ROUND:
                return _DIGITS, 0
            if decimals == places:
                value += digit >= 5
                decimals += 1
            digits += 1
        else:
            if value > 922_337_203_685_477_579:
                return _DIGITS, 0
            value = value * 10 + digit
            digits += 1
            decimals += decimals >= 0
    if digits == 0:
        return _NUMBER, 0
    for _ in range(places - min(max(decimals, 0), places)):
        if value > 922_337_203_685_477_579:
            return _DIGITS, 0
        value *= 10
    return 0, -value if negative else value


@njit(cache=True)
def _digits(data, begin, end, least, most):
    """(reason, value) of a whole number of just these digits, between two limits."""
    value = 0
    for i in range(begin, end):
        digit = np.int64(data[i]) - ord("0")
        if not 0 <= digit <= 9:
            return _NUMBER, 0
        value = value * 10 + digit
    return (0, value) if least <= value <= most else (_NUMBER, 0)


@njit(cache=True)
def _moment(data, begin, end):
    if end - begin < 10 or data[begin + 4] != ord("-") or data[begin + 7] != ord("-"):
        return _NUMBER, 0
    wrong, year = _digits(data, begin, begin + 4, 1700, 2261)
    bad_month, month = _digits(data, begin + 5, begin + 7, 1, 12)
    bad_day, day = _digits(data, begin + 8, begin + 10, 1, 31)
    if wrong + bad_month + bad_day:
        return _NUMBER, 0
    # Days since 1970, of years that begin in March (Hinnant, days_from_civil).
    shifted = year - (month <= 2)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468
    if end - begin == 10:
        return 0, days * _DAY_NS
    if data[begin + 10] != _BLANK and data[begin + 10] != ord("T"):
        return _NUMBER, 0
    if data[end - 1] == ord("Z"):
        end -= 1
    elif data[end - 6] == ord("+"):
        for i in range(end - 5, end):
            if data[i] != ord("0") and data[i] != ord(":"):
                return _NUMBER, 0
        end -= 6
    reason, clock = _clock(data, begin + 11, end)
    return reason, days * _DAY_NS + clock


@njit(cache=True)
def _clock(data, begin, end):
    if end - begin < 8 or data[begin + 2] != ord(":") or data[begin + 5] != ord(":"):
        return _NUMBER, 0
    bad_hour, hour = _digits(data, begin, begin + 2, 0, 23)
    bad_minute, minute = _digits(data, begin + 3, begin + 5, 0, 59)
    bad_second, seconds = _decimal(data, begin + 6, end, 9)
    if bad_hour + bad_minute + bad_second or not 0 <= seconds < 61 * _SECOND_NS:
        return _NUMBER, 0
    return 0, (hour * 60 + minute) * 60 * _SECOND_NS + seconds


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
