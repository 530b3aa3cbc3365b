"""Day counts against QuantLib and Python's own calendar."""

import warnings
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.kernels import day_count as dc

EPOCH = date(1970, 1, 1)
DAYS = st.integers(-20_000, 70_000)  # 1915 to 2161.


@pytest.fixture(scope="module")
def ql():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("QuantLib", reason="QuantLib is not installed")


@settings(deadline=None)
@given(DAYS)
def test_civil_is_the_calendar(day):
    found = EPOCH + timedelta(days=day)
    assert dc.civil(day) == (found.year, found.month, found.day)


def _ql(ql, day):
    found = EPOCH + timedelta(days=day)
    return ql.Date(found.day, found.month, found.year)


@settings(deadline=None)
@given(DAYS, st.integers(-4_000, 12_000))
def test_every_count_that_needs_no_period_is_quantlibs(ql, start, length):
    end = start + length
    oracles = {
        dc.THIRTY_360: ql.Thirty360(ql.Thirty360.BondBasis),
        dc.THIRTY_E_360: ql.Thirty360(ql.Thirty360.EurobondBasis),
        dc.ACT_360: ql.Actual360(),
        dc.ACT_365F: ql.Actual365Fixed(),
    }
    for code, oracle in oracles.items():
        expected = oracle.yearFraction(_ql(ql, start), _ql(ql, end))
        assert dc.year_fraction(code, start, end, 0, 1, 1) == pytest.approx(expected, abs=1e-15)


@settings(deadline=None)
@given(DAYS, st.sampled_from([1, 2, 4, 12]), st.floats(0.0, 1.0))
def test_act_act_icma_is_quantlibs_within_a_period(ql, begin, frequency, part):
    finish = _ql(ql, begin) + ql.Period(12 // frequency, ql.Months)
    length = finish.serialNumber() - _ql(ql, begin).serialNumber()
    end = begin + round(part * length)
    oracle = ql.ActualActual(ql.ActualActual.ISMA)
    expected = oracle.yearFraction(_ql(ql, begin), _ql(ql, end), _ql(ql, begin), finish)
    found = dc.year_fraction(dc.ACT_ACT_ICMA, begin, end, begin, begin + length, frequency)
    assert found == pytest.approx(expected, abs=1e-15)


def test_leap_days_and_ends_of_months():
    day = lambda *parts: (date(*parts) - EPOCH).days
    cases = [
        (dc.THIRTY_360, (2028, 2, 28), (2028, 3, 1), 3 / 360),
        (dc.THIRTY_360, (2028, 2, 29), (2028, 3, 31), 32 / 360),
        (dc.THIRTY_E_360, (2028, 2, 29), (2028, 3, 31), 31 / 360),
        (dc.THIRTY_360, (2027, 1, 31), (2027, 3, 31), 60 / 360),
        (dc.ACT_365F, (2028, 2, 28), (2028, 3, 1), 2 / 365),
        (dc.ACT_360, (2028, 1, 1), (2029, 1, 1), 366 / 360),
    ]
    for code, start, end, expected in cases:
        assert dc.year_fraction(code, day(*start), day(*end), 0, 1, 1) == expected


def test_rows_and_a_code_that_is_none():
    code = np.array([dc.ACT_360, 9])
    out = np.empty(2)
    start, end = np.array([0, 0]), np.array([90, 90])
    dc.year_fractions(code, start, end, start, end, np.array([2, 2]), out)
    assert out[0] == 0.25
    assert np.isnan(out[1])
