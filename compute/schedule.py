"""Rule: the dates and cash flows of a bond or a default swap, once an instrument and a day.

Enters: contract terms and a date. Leaves: plain numbers for the kernels. Dates are day numbers
(days since 1970-01-01). Coupon dates run back from maturity; where maturity ends a month, so does
every coupon date. The stub, if there is one, comes first and is short, unless the date of the
first coupon is given. Payments keep their unadjusted dates, as the street's yields do.

A business day is Monday to Friday and not among the `holidays` handed in.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np

from compute.kernels import day_count
from compute.kernels.bond import COMPOUND, MONEY, SIMPLE, STREET

EPOCH = date(1970, 1, 1).toordinal()
FREQUENCIES = (1, 2, 3, 4, 6, 12)
YEARS_MAX = 101  # The longest bond there is runs 100 years; a longer one is an error of a digit.
BILL_DAYS_MAX = 366


@dataclass(frozen=True, slots=True)
class Terms:
    """What a bond's contract says; ValueError from `check` names what cannot be."""

    maturity: int
    coupon: float  # % of face a year; 0: a bill or a zero.
    frequency: int  # Coupons a year; of a zero, the compounding of its yield.
    day_count: int  # Code of `kernels.day_count`.
    issue: int | None = None
    first_coupon: int | None = None  # Given only where the first period is long.
    settle_days: int = 2  # Business days.
    ex_days: int = 0  # Days before a coupon from which the seller keeps it ...
    ex_business: bool = False  # ... business days, as for gilts.
    convention: int = STREET  # Code of `kernels.bond`.

    def check(self) -> None:
        """ValueError with the field and the reason."""
        if self.frequency not in FREQUENCIES:
            raise ValueError(f"coupon_frequency is {self.frequency}; give one of {FREQUENCIES}")
        if not 0 <= self.day_count < len(day_count.NAMES):
            raise ValueError(f"day_count is not one of {', '.join(day_count.NAMES)}")
        if not 0.0 <= self.coupon < 100.0:
            raise ValueError(f"coupon is {self.coupon}; give 0 to 100, in % a year")
        if self.issue is not None and self.issue >= self.maturity:
            raise ValueError("issue_date is not before the maturity")
        if self.settle_days < 0 or self.ex_days < 0:
            raise ValueError("settle_days and ex_days must be 0 or more")


@dataclass(frozen=True, slots=True)
class Flows:
    """What the buyer on the settlement date pays for: per 100 face.

    The flow `i` lies `start + i` periods after settlement for the yield, at `days[i]` for a curve.
    """

    settle: int
    accrued: float  # Negative while ex-dividend.
    convention: int
    frequency: float  # Periods a year of the yield; for MONEY and SIMPLE 1.
    start: float  # Periods (MONEY and SIMPLE: years) from settlement to the first flow.
    coupon: float  # % a year, for SIMPLE.
    days: np.ndarray  # int64 [m]
    amounts: np.ndarray  # float64 [m]


def day_number(day: str | date) -> int:
    """Day number of a date or an ISO date; ValueError where it is none."""
    found = date.fromisoformat(day) if isinstance(day, str) else day
    return found.toordinal() - EPOCH


def calendar_date(day: int) -> date:
    """Inverse of `day_number`."""
    return date.fromordinal(day + EPOCH)


def day_of_ns(moment_ns: int) -> int:
    """Day number, in UTC, of a moment of the event clock."""
    return moment_ns // 86_400_000_000_000


def add_months(day: int, months: int, *, end_of_month: bool = False) -> int:
    """The same day of the month `months` later (or earlier), the last one where there is none."""
    here = calendar_date(day)
    place = here.year * 12 + here.month - 1 + months
    year, month = divmod(place, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last = (following - timedelta(days=1)).day
    return day_number(date(year, month + 1, last if end_of_month else min(here.day, last)))


def ends_month(day: int) -> bool:
    """Whether `day` is the last of its month."""
    return calendar_date(day + 1).day == 1


def business_day(day: int, ahead: int, holidays: Sequence[int] = ()) -> int:
    """`ahead` business days after `day` (before, if negative); from a day that is none: the next.

    Going back from a day that is no business day counts from the one before it.
    """
    moved = np.busday_offset(
        np.datetime64(day, "D"),
        ahead,
        roll="forward" if ahead >= 0 else "backward",
        holidays=np.asarray(holidays, "datetime64[D]"),
    )
    return int(moved.astype(np.int64))


def coupon_dates(terms: Terms, after: int) -> list[int]:
    """Coupon dates in order, from the last one at or before `after` (or the issue) to maturity.

    The first entry is where the current period begins: a regular date of the schedule, also where
    that lies before the issue, as ACT/ACT ICMA asks of a short stub.
    """
    months = 12 // terms.frequency
    ends = ends_month(terms.maturity)
    dates = [terms.maturity]
    for period in range(1, YEARS_MAX * terms.frequency):
        if dates[-1] <= after:
            return dates[::-1]
        dates.append(add_months(terms.maturity, -period * months, end_of_month=ends))
    raise ValueError(f"maturity is more than {YEARS_MAX} years away")


def _fraction(terms: Terms, start: int, end: int, dates: Sequence[int]) -> float:
    """Years of interest from `start` to `end`, over the regular periods that `dates` bound."""
    total = 0.0
    for begin, finish in pairwise(dates):
        low, high = max(start, begin), min(end, finish)
        if low >= high:
            continue
        if low == begin and high == finish and terms.day_count != day_count.ACT_360:
            total += 1.0 / terms.frequency  # A whole period pays a whole coupon.
        else:
            total += day_count.year_fraction(
                terms.day_count, low, high, begin, finish, terms.frequency
            )
    return total


def flows(terms: Terms, as_of: int, holidays: Sequence[int] = ()) -> Flows | None:
    """Cash flows as of a trade date; None where the bond has matured by its settlement.

    ValueError from `Terms.check`. Coupons are coupon / frequency, whatever the day count, but
    under ACT/360 they follow the days. Settlement on a coupon date: that coupon is the seller's.
    """
    terms.check()
    settle = business_day(as_of, terms.settle_days, holidays)
    if terms.issue is not None:
        settle = max(settle, terms.issue)
    if settle >= terms.maturity:
        return None
    if terms.coupon == 0.0:
        return _zero(terms, settle)
    issue = -math.inf if terms.issue is None else terms.issue
    from_day = settle if terms.issue is None else terms.issue
    dates = coupon_dates(terms, from_day)
    paid = [day for day in dates[1:] if terms.first_coupon is None or day >= terms.first_coupon]
    ahead = paid[bisect_right(paid, settle) :]
    before = paid[: len(paid) - len(ahead)]
    begin = int(max(before[-1] if before else dates[0], issue))
    accrued = terms.coupon * _fraction(terms, begin, settle, dates)
    amounts = []
    for day in ahead:
        amounts.append(terms.coupon * _fraction(terms, begin, day, dates))
        begin = day
    amounts[-1] += 100.0
    skipped = 0
    if terms.ex_days and _ex_date(terms, ahead[0], holidays) <= settle:
        coupon = amounts[0] - (100.0 if len(ahead) == 1 else 0.0)
        accrued -= coupon
        amounts[0] -= coupon
        skipped = len(ahead) > 1
    place = bisect_right(dates, settle)
    start = _periods(terms, settle, dates[place - 1], dates[place])
    start += dates.index(ahead[0]) - place  # A long first period holds whole periods more.
    frequency = float(terms.frequency)
    if terms.convention == SIMPLE:
        start, frequency = (terms.maturity - settle) / 365.0, 1.0
    return Flows(
        *(settle, accrued, terms.convention, frequency, start + skipped, terms.coupon),
        np.array(ahead[skipped:], np.int64),
        np.array(amounts[skipped:]),
    )


def _ex_date(terms: Terms, coupon: int, holidays: Sequence[int]) -> int:
    """First settlement date whose buyer does not get the coupon."""
    if terms.ex_business:
        return business_day(coupon, -terms.ex_days, holidays)
    return coupon - terms.ex_days


def _zero(terms: Terms, settle: int) -> Flows:
    """One payment: simple interest for a bill of up to a year, else compounded."""
    convention, frequency = terms.convention, float(terms.frequency)
    short = terms.issue is None or terms.maturity - terms.issue <= BILL_DAYS_MAX
    bill = short and terms.maturity - settle <= BILL_DAYS_MAX
    if bill and terms.day_count in (day_count.ACT_360, day_count.ACT_365F):
        convention = MONEY
    if convention in (MONEY, SIMPLE):
        code = terms.day_count if convention == MONEY else day_count.ACT_365F
        start = day_count.year_fraction(code, settle, terms.maturity, 0, 365, 1)
        convention, frequency = MONEY, 1.0
    else:
        dates = coupon_dates(terms, settle)
        start = _periods(terms, settle, dates[0], dates[1]) + len(dates) - 2
    return Flows(
        *(settle, 0.0, convention, frequency, start, 0.0),
        np.array([terms.maturity], np.int64),
        np.array([100.0]),
    )


def _periods(terms: Terms, settle: int, begin: int, finish: int) -> float:
    """Share of the period begin ... finish that is left: by 30/360 if the coupon is, else by days.

    In (0, 1]; 1 on a coupon date.
    """
    if terms.day_count in (day_count.THIRTY_360, day_count.THIRTY_E_360):
        european = terms.day_count == day_count.THIRTY_E_360
        whole = day_count.thirty_360(begin, finish, european)
        gone: float = day_count.thirty_360(begin, settle, european) / whole
        return 1.0 - gone
    return (finish - settle) / (finish - begin)


def street_convention(currency: str, country: str) -> int:
    """How a market quotes yields: see `kernels.bond`.

    Gilts compound in the last period too (UK Debt Management Office, "Formulae for calculating
    gilt prices from yields"); Japanese government bonds trade at simple yield; all others are
    compounded, and simple in their last period.
    """
    if currency == "GBP" and country in ("GB", ""):
        return COMPOUND
    if currency == "JPY" and country in ("JP", ""):
        return SIMPLE
    return STREET


def default_frequency(currency: str) -> int:
    """Coupons a year of the currency's government bonds: the compounding of its zeros' yields."""
    return 1 if currency in ("EUR", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF") else 2


@dataclass(frozen=True, slots=True)
class SwapDates:
    """Premium periods of a standard default swap, those that still pay."""

    accrual_start: np.ndarray  # int64 [m]: day number
    accrual_end: np.ndarray  # int64 [m]: the day after the last that counts
    payment: np.ndarray  # int64 [m]
    settle: int  # The upfront is paid: three business days after the trade.


def swap_dates(maturity: int, as_of: int, holidays: Sequence[int] = ()) -> SwapDates | None:
    """Quarterly periods of the standard contract (ISDA 2009, 2015 roll); None if it is over.

    Dates are the 20th of the maturity's month and every third month, moved to the next business
    day; the last stays, and its day counts in the last period. The first period is a full one.
    """
    if maturity <= as_of:
        return None
    plain = [maturity]
    while business_day(plain[-1], 0, holidays) > as_of + 1:
        plain.append(add_months(maturity, -3 * len(plain)))
    plain.reverse()
    moved = [business_day(day, 0, holidays) for day in plain]
    ends = [*moved[1:-1], maturity + 1]
    return SwapDates(
        np.array(moved[:-1], np.int64),
        np.array(ends, np.int64),
        np.array(moved[1:], np.int64),
        business_day(as_of, 3, holidays),
    )
