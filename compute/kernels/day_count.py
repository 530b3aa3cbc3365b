"""Rule: the share of a year between two dates, by the conventions of bonds, bills and swaps.

A date is a day number: days since 1970-01-01, int64. The conventions, by their code:
    ACT_ACT_ICMA   days / (days of the coupon period x frequency); needs the period (ICMA rule 251)
    THIRTY_360     30/360, the bond basis: ISDA 2006 definitions 4.16 (f); February has no rule
    ACT_360        days / 360: money markets, credit default swaps
    ACT_365F       days / 365: sterling and yen, and the time of every curve here
    THIRTY_E_360   30E/360, the eurobond basis: ISDA 2006 4.16 (g)
"""

import numpy as np
from numba import njit

ACT_ACT_ICMA, THIRTY_360, ACT_360, ACT_365F, THIRTY_E_360 = range(5)
NAMES = ("ACT/ACT ICMA", "30/360", "ACT/360", "ACT/365F", "30E/360")


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def civil(day):
    """(year, month, day of the month) of a day number; the proleptic Gregorian calendar.

    Counts in eras of 400 years that begin on 1 March, so that a leap day ends its year.
    """
    shifted = day + 719_468  # Days from 0000-03-01 to 1970-01-01.
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    of_year = of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096
    year = of_year // 365
    rest = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * rest + 2) // 153
    month_day = rest - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (1 if month <= 2 else 0), month, month_day


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def thirty_360(start, end, european):
    """Days from `start` to `end` where every month has 30: 30E/360 if `european`, else 30/360."""
    year, month, first = civil(start)
    year_end, month_end, last = civil(end)
    first = min(first, 30)
    if european or first == 30:
        last = min(last, 30)
    return 360 * (year_end - year) + 30 * (month_end - month) + (last - first)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def year_fraction(code, start, end, period_start, period_end, frequency):
    """Years from `start` to `end`, negative if they are in the other order.

    The coupon period and its frequency matter to ACT/ACT ICMA alone, which holds within one
    period (and in proportion outside it). NaN for a code that is not one.
    """
    if code == ACT_ACT_ICMA:
        return (end - start) / ((period_end - period_start) * frequency)
    if code in {THIRTY_360, THIRTY_E_360}:
        return thirty_360(start, end, code == THIRTY_E_360) / 360.0
    if code == ACT_360:
        return (end - start) / 360.0
    if code == ACT_365F:
        return (end - start) / 365.0
    return np.nan


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def year_fractions(code, start, end, period_start, period_end, frequency, out):
    """`year_fraction` of every row; all arrays int64 [n], `out` float64 [n]."""
    for i in range(out.shape[0]):
        out[i] = year_fraction(
            code[i], start[i], end[i], period_start[i], period_end[i], frequency[i]
        )
