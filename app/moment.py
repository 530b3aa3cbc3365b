"""Rule: a moment as people write it, and back: UTC where nothing else is said."""

import re
from datetime import UTC, date, datetime, time

DAY_NS = 86_400_000_000_000


class MomentError(ValueError):
    """A text that is no moment; says what would be one."""


def parse(text: str, now_ns: int) -> int:
    """Nanoseconds since the epoch of `14:03:02.113`, `2026-11-22T14:03:02.113` or `-90s`.

    A time of day alone is the newest such moment that is not after `now_ns`; -90s, -5m and -2h
    count back from it. A zone may follow: Z, +01:00.
    """
    text = text.strip().replace(" ", "T", 1)
    back = re.fullmatch(r"-(\d+(?:\.\d+)?)(s|m|h|d)", text)
    if back:
        seconds = float(back[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[back[2]]
        return now_ns - round(seconds * 1e9)
    # Nanoseconds are kept: datetime knows only microseconds.
    fraction = re.search(r"[.,](\d{1,9})", text)
    plain = text.replace(fraction[0], "", 1) if fraction else text
    try:
        if re.match(r"\d{1,2}:", plain):
            clock_time = time.fromisoformat(plain if plain[1] != ":" else "0" + plain)
            day: date = datetime.fromtimestamp(now_ns / 1e9, clock_time.tzinfo or UTC).date()
            found = datetime.combine(day, clock_time, clock_time.tzinfo or UTC)
            today = True
        else:
            found, today = datetime.fromisoformat(plain), False
    except ValueError:
        raise MomentError(
            f"{text!r} is no moment; say 14:03:02.113, 2026-11-22T14:03:02.113 or -90s"
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    ns = int(found.timestamp()) * 1_000_000_000
    ns += int(fraction[1].ljust(9, "0")) if fraction else 0
    return ns - DAY_NS if today and ns > now_ns else ns


def show(ns: int) -> str:
    """As `parse` reads it, to the millisecond, in UTC."""
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns // 1_000_000 % 1000:03d}"
