"""Rule: when the sessions of a venue begin and end, in local time with its changes of clock.

A session runs from its start (the reset instant: opens of equities, 17:00 Chicago at CME, 17:00 New
York in FX, 00:00 UTC in crypto) to the start of the next, so that every event belongs to exactly
one; its id is its trade date, never the wall date of an event. Holidays and half days are those
that the venues have announced for YEARS; before and after, weekdays stand alone. Events are not
read here, nor the wall clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

YEARS = range(2025, 2028)  # For which holidays and half days are known.
_DAY_S = 86_400
_ONE_DAY = timedelta(days=1)
_WEEK = frozenset(range(7))
_WORKDAYS = frozenset(range(5))
_YEARS_MAX = range(1971, 2261)  # What int64 nanoseconds since 1970 can hold.


@dataclass(frozen=True, slots=True)
class Calendar:
    """One venue class. Times are seconds after local midnight of the trade date; open may be < 0.

    A day of `holidays` has no session. A day of `merged` has none of its own, but what trades on it
    belongs to the next session, which then begins on the eve of that day.
    """

    name: str
    zone: str
    open_s: int
    close_s: int
    half_s: int  # Close of a half day.
    days: int  # Sessions in a year, nominal: what volatility is annualised with.
    holidays: frozenset[date] = frozenset()
    halves: frozenset[date] = frozenset()
    merged: frozenset[date] = frozenset()
    pause_s: int = 0  # Length of the midday pause.
    weekdays: frozenset[int] = _WORKDAYS

    @property
    def year_s(self) -> int:
        """Seconds of trading in a nominal year."""
        return self.days * (self.close_s - self.open_s - self.pause_s)

    def trades(self, day: date) -> bool:
        """Whether `day` is a trade date."""
        closed = day in self.holidays or day in self.merged
        return day.weekday() in self.weekdays and not closed


class Sessions(NamedTuple):
    """Starts and ends (int64 [n], ns UTC) and ids (int64 [n], trade dates as yyyymmdd)."""

    start: np.ndarray
    end: np.ndarray
    id: np.ndarray


def sessions(name: str, first_ns: int, last_ns: int) -> Sessions:
    """Sessions that start from `first_ns` to before `last_ns`; KeyError names the calendars."""
    _known(name)
    years = range(_year(first_ns) - 1, _year(last_ns) + 2)  # A session may start the year before.
    parts = [_year_sessions(name, year) for year in years if year in _YEARS_MAX]
    whole = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    low, high = np.searchsorted(whole[0], (first_ns, last_ns))
    return Sessions(*(column[low:high] for column in whole))


def reset_instants(name: str, first_ns: int, last_ns: int) -> np.ndarray:
    """Starts (int64 [n], ns UTC) of the sessions that start from `first_ns` to before `last_ns`."""
    return sessions(name, first_ns, last_ns).start


def session_id(name: str, moment_ns: int) -> int:
    """Trade date (yyyymmdd) of the session to which an event of `moment_ns` belongs."""
    return int(_around(name, moment_ns).id[0])


def next_reset(name: str, moment_ns: int) -> int:
    """Start (ns UTC) of the first session after `moment_ns`."""
    return int(_around(name, moment_ns).start[1])


def is_open(name: str, moment_ns: int) -> bool:
    """Whether the session of `moment_ns` is not over yet; a midday pause is open."""
    return moment_ns < int(_around(name, moment_ns).end[0])


def business_day(name: str, day: date, ahead: int) -> date:
    """The trade date `ahead` trade dates after `day`; 0: `day`, or the next where it is none."""
    calendar = _known(name)
    while not calendar.trades(day):
        day += _ONE_DAY
    for _ in range(ahead):
        day += _ONE_DAY
        while not calendar.trades(day):
            day += _ONE_DAY
    return day


def default_calendar(asset_class: int) -> str:
    """Name of the calendar of a class whose instrument names none."""
    return _DEFAULTS[asset_class]


def code(name: str, asset_class: int) -> int:
    """Place in CALENDARS of an instrument's calendar; "" is the class's default."""
    return _CODES[name or _DEFAULTS[asset_class]]


def sample_s(asset_class: int) -> int:
    """Seconds between the samples of realised volatility.

    FX and notes from Chaboud et al., Frequency of Observation and the Estimation of Integrated
    Volatility (2009): 15 to 20 s, 2 to 3 min. Elsewhere 5 minutes by custom, one minute where the
    market is as deep as an index future or trades round the clock.
    """
    return _SAMPLES_S[asset_class]


def periods_per_year(name: str, period_s: float) -> float:
    """Periods of trading in a year: annual variance = this x variance of a period."""
    return _known(name).year_s / period_s


def _known(name: str) -> Calendar:
    try:
        return CALENDARS[name]
    except KeyError:
        raise KeyError(f"no calendar {name!r}; there are {', '.join(CALENDARS)}") from None


def _year(moment_ns: int) -> int:
    return datetime.fromtimestamp(moment_ns // 1_000_000_000, UTC).year


def _around(name: str, moment_ns: int) -> Sessions:
    """The session that holds `moment_ns`, and the next."""
    span = 16 * _DAY_S * 1_000_000_000  # Longer than any holiday season.
    found = sessions(name, moment_ns - span, moment_ns + span)
    at = int(np.searchsorted(found.start, moment_ns, "right")) - 1
    return Sessions(*(column[at : at + 2] for column in found))


@cache
def _year_sessions(name: str, year: int) -> Sessions:
    calendar = CALENDARS[name]
    rows = list(_each(calendar, year))
    return Sessions(*np.array(rows, np.int64).reshape(-1, 3).T)


def _each(calendar: Calendar, year: int) -> Iterator[tuple[int, int, int]]:
    zone = ZoneInfo(calendar.zone)
    day = date(year, 1, 1)
    begins = _first_merged(calendar, day)
    while day.year == year:
        if calendar.trades(day):
            half = day in calendar.halves
            start = _moment(begins or day, calendar.open_s, zone)
            end = _moment(day, calendar.half_s if half else calendar.close_s, zone)
            yield start, end, day.year * 10_000 + day.month * 100 + day.day
            begins = None
        elif day in calendar.merged:
            begins = begins or day
        day += _ONE_DAY


def _first_merged(calendar: Calendar, day: date) -> date | None:
    """The first of the merged days right before `day`, weekends and holidays between."""
    found = None
    day -= _ONE_DAY
    while not calendar.trades(day):
        found = day if day in calendar.merged else found
        day -= _ONE_DAY
    return found


def _moment(day: date, clock_s: int, zone: ZoneInfo) -> int:
    """Wall clock `clock_s` seconds after midnight, in ns UTC; the clock's changes included."""
    day += timedelta(days=clock_s // _DAY_S)
    clock = clock_s % _DAY_S
    local = datetime(day.year, day.month, day.day, clock // 3600, clock % 3600 // 60, tzinfo=zone)
    return int(local.timestamp()) * 1_000_000_000


def _s(hours: int, minutes: int = 0) -> int:
    """Seconds after midnight; of the day before where hours are negative: -7 is 17:00."""
    return hours * 3600 + minutes * 60


def _days(text: str) -> frozenset[date]:
    """`2025 0101 0120 2026 0101`: days of the year that was named last."""
    found, year = set(), 0
    for word in text.split():
        if word.startswith("20") and int(word) in YEARS:
            year = int(word)
        else:
            found.add(date(year, int(word[:2]), int(word[2:])))
    return frozenset(found)


_NEW_YORK, _CHICAGO, _LONDON = "America/New_York", "America/Chicago", "Europe/London"
_BERLIN, _TOKYO = "Europe/Berlin", "Asia/Tokyo"

_US = _days("""2025 0101 0109 0120 0217 0418 0526 0619 0704 0901 1127 1225
2026 0101 0119 0216 0403 0525 0619 0703 0907 1126 1225
2027 0101 0118 0215 0326 0531 0618 0705 0906 1125 1224""")
_US_HALVES = _days("2025 0703 1128 1224 2026 1127 1224 2027 1126")
# On Good Friday 2026 the employment report came out: Globex and bonds opened for it.
_CME_CLOSED = _days("2025 0101 0418 1225 2026 0101 1225 2027 0101 0326 1224")
_CME_MERGED = _days("""2025 0120 0217 0526 0619 0704 0901 1127
2026 0119 0216 0403 0525 0619 0703 0907 1126 2027 0118 0215 0531 0618 0705 0906 1125""")
_SIFMA = _days("""2025 0101 0120 0217 0418 0526 0619 0704 0901 1013 1111 1127 1225
2026 0101 0119 0216 0525 0619 0703 0907 1012 1111 1126 1225
2027 0101 0118 0215 0326 0531 0618 0705 0906 1011 1111 1125 1224""")
_SIFMA_HALVES = _days("""2025 0417 0523 0703 1128 1224 1231
2026 0402 0403 0522 0702 1127 1224 1231 2027 0325 0528 0702 1126 1223 1231""")
_GERMANY = _days("""2025 0101 0418 0421 0501 1224 1225 1226 1231
2026 0101 0403 0406 0501 1224 1225 1231 2027 0101 0326 0329 1224 1231""")
_TARGET = _days("""2025 0101 0418 0421 0501 1225 1226 2026 0101 0403 0406 0501 1225
2027 0101 0326 0329""")
_EVES = _days("2025 1224 1231 2026 1224 1231 2027 1224 1231")
_SWISS = _days("""2025 0101 0102 0418 0421 0501 0529 0609 0801 1224 1225 1226 1231
2026 0101 0102 0403 0406 0501 0514 0525 1224 1225 1231
2027 0101 0326 0329 0506 0517 1224 1231""")
_UK = _days("""2025 0101 0418 0421 0505 0526 0825 1225 1226
2026 0101 0403 0406 0504 0525 0831 1225 1228 2027 0101 0326 0329 0503 0531 0830 1227 1228""")
_ICE = _days("2025 0101 0418 1225 2026 0101 0403 1225 2027 0101 0326")
_JAPAN = _days("""2025 0101 0102 0103 0113 0211 0224 0320 0429 0505 0506 0721 0811 0915 0923 1013
1103 1124 1231 2026 0101 0102 0112 0211 0223 0320 0429 0504 0505 0506 0720 0811 0921 0922 0923
1012 1103 1123 1231 2027 0101 0111 0211 0223 0322 0429 0503 0504 0505 0719 0811 0920 0923 1011
1103 1123 1231""")
_NEW_YEARS = _days("2025 0101 2026 0101 2027 0101")
_HONG_KONG = _days("""2025 0101 0129 0130 0131 0404 0418 0421 0501 0505 0701 1001 1007 1029 1225
1226 2026 0101 0217 0218 0219 0403 0406 0407 0501 0525 0619 0701 1001 1019 1225
2027 0101 0208 0209 0326 0329 0405 0513 0609 0701 0916 1001 1008 1227""")
_HONG_KONG_HALVES = _days("2025 0128 1224 1231 2026 0216 1224 1231 2027 0205 1224 1231")
_AUSTRALIA = _days("""2025 0101 0127 0418 0421 0425 0609 1225 1226
2026 0101 0126 0403 0406 0608 1225 1228 2027 0101 0126 0326 0329 0614 1227 1228""")
_KOREA = _days("""2025 0101 0127 0128 0129 0130 0303 0501 0505 0506 0603 0606 0815 1003 1006 1007
1008 1009 1225 1231 2026 0101 0216 0217 0218 0302 0501 0505 0525 0603 0817 0924 0925 1005 1009
1225 1231 2027 0101 0208 0209 0301 0505 0513 0816 0914 0915 0916 1004 1011 1227 1231""")
_QUIET = _days("2025 0101 1225 2026 0101 1225 2027 0101")  # Spot rates are hardly dealt in.

_ALL = (
    Calendar("XNYS", _NEW_YORK, _s(9, 30), _s(16), _s(13), 252, _US, _US_HALVES),
    Calendar(
        *("XCME", _CHICAGO, _s(-7), _s(16), _s(12, 15), 252),
        *(_CME_CLOSED, _US_HALVES, _CME_MERGED),
    ),
    Calendar("XEUR", _BERLIN, _s(1), _s(22), _s(22), 253, _GERMANY),
    Calendar(
        *("XETR", _BERLIN, _s(9), _s(17, 30), _s(14), 253, _GERMANY),
        _days("2025 1230 2026 1230 2027 1230"),
    ),
    Calendar("XPAR", "Europe/Paris", _s(9), _s(17, 30), _s(14, 5), 256, _TARGET, _EVES),
    Calendar("XSWX", "Europe/Zurich", _s(9), _s(17, 30), _s(17, 30), 250, _SWISS),
    Calendar("XLON", _LONDON, _s(8), _s(16, 30), _s(12, 30), 253, _UK, _EVES),
    Calendar("IFEU", _LONDON, _s(1), _s(23), _s(20), 258, _ICE, _EVES),
    Calendar("XTKS", _TOKYO, _s(9), _s(15, 30), _s(15, 30), 245, _JAPAN, pause_s=_s(1)),
    Calendar(  # On most holidays it trades, for the next trade date.
        *("XOSE", _TOKYO, _s(-7), _s(15, 45), _s(15, 45), 245, _NEW_YEARS, frozenset()),
        _JAPAN - _NEW_YEARS,
    ),
    Calendar(
        *("XHKG", "Asia/Hong_Kong", _s(9, 30), _s(16), _s(12), 246),
        *(_HONG_KONG, _HONG_KONG_HALVES, frozenset(), _s(1)),
    ),
    Calendar(
        *("XHKF", "Asia/Hong_Kong", _s(-7, 15), _s(16, 30), _s(12, 30), 246),
        *(_HONG_KONG, _HONG_KONG_HALVES),
    ),
    Calendar("XASX", "Australia/Sydney", _s(10), _s(16), _s(14, 10), 252, _AUSTRALIA, _EVES),
    Calendar("XKRX", "Asia/Seoul", _s(9), _s(15, 30), _s(15, 30), 246, _KOREA),
    Calendar("FX", _NEW_YORK, _s(-7), _s(17), _s(17), 260, merged=_QUIET),
    Calendar("CRYPTO", "UTC", 0, _DAY_S, _DAY_S, 365, weekdays=_WEEK),
    Calendar("US_BONDS", _NEW_YORK, _s(-6, 30), _s(17, 30), _s(14), 250, _SIFMA, _SIFMA_HALVES),
    Calendar("EUR_BONDS", _BERLIN, _s(8), _s(17, 30), _s(17, 30), 255, _TARGET),
    Calendar("CREDIT", _NEW_YORK, _s(7), _s(17), _s(14), 250, _SIFMA, _SIFMA_HALVES),
)
CALENDARS: dict[str, Calendar] = {calendar.name: calendar for calendar in _ALL}
_CODES = {name: place for place, name in enumerate(CALENDARS)}

# By AssetClass (ingest/instrument.py), which names a calendar and so cannot be named here.
_DEFAULTS = (
    *("XNYS", "XNYS", "XNYS", "XCME", "XCME", "XCME", "XCME", "FX", "US_BONDS", "CREDIT"),
    *("CRYPTO", "CRYPTO"),
)
_SAMPLES_S = (300, 300, 300, 60, 120, 300, 300, 20, 120, 300, 60, 60)
