"""Calendars: changes of clock, half days, merged days, and QuantLib's holidays."""

import warnings
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import calendar
from ingest.calendar import CALENDARS, YEARS
from ingest.instrument import AssetClass

HOUR_NS = 3_600_000_000_000


def ns(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def starts(name, first, last):
    found = calendar.reset_instants(name, ns(first), ns(last))
    return [str(moment) for moment in found.astype("M8[ns]").astype("M8[m]")]


@pytest.mark.parametrize(
    ("name", "first", "last", "expected"),
    [
        # New York's clock goes forward on 8 March 2026, London's and Berlin's on 29 March.
        ("XNYS", "2026-03-06", "2026-03-10", ["2026-03-06T14:30", "2026-03-09T13:30"]),
        ("XLON", "2026-03-27", "2026-03-31", ["2026-03-27T08:00", "2026-03-30T07:00"]),
        ("XETR", "2026-03-27", "2026-03-31", ["2026-03-27T08:00", "2026-03-30T07:00"]),
        # ... and back on 1 November and 25 October.
        ("XNYS", "2026-10-30", "2026-11-03", ["2026-10-30T13:30", "2026-11-02T14:30"]),
        ("FX", "2026-10-29", "2026-11-03", [
            *("2026-10-29T21:00", "2026-11-01T22:00", "2026-11-02T22:00"),
        ]),
        # Tokyo has no summer time. CME opens on Sunday evening, after the change.
        ("XTKS", "2026-03-27", "2026-03-31", ["2026-03-27T00:00", "2026-03-30T00:00"]),
        ("XCME", "2026-03-06", "2026-03-10", ["2026-03-08T22:00", "2026-03-09T22:00"]),
        # The day of Martin Luther King trades for Tuesday; Christmas is shut.
        ("XCME", "2026-01-16", "2026-01-21", ["2026-01-18T23:00", "2026-01-20T23:00"]),
        ("XCME", "2025-12-23", "2025-12-27", ["2025-12-23T23:00", "2025-12-25T23:00"]),
        # Independence Day 2025 was a Friday: its trading is Monday's.
        ("XCME", "2025-07-02", "2025-07-08", [
            *("2025-07-02T22:00", "2025-07-03T22:00", "2025-07-07T22:00"),
        ]),
        ("CRYPTO", "2026-12-31", "2027-01-02", ["2026-12-31T00:00", "2027-01-01T00:00"]),
    ],
)  # fmt: skip
def test_reset_instants(name, first, last, expected):
    assert starts(name, first, last) == expected


def test_a_night_session_belongs_to_the_next_trade_date():
    assert calendar.session_id("XCME", ns("2026-03-08T21:59:59")) == 20260306
    assert calendar.session_id("XCME", ns("2026-03-08T22:00:00")) == 20260309
    assert calendar.session_id("XCME", ns("2026-01-19T18:00:00")) == 20260120
    assert calendar.session_id("FX", ns("2026-07-01T20:59:59")) == 20260701
    assert calendar.session_id("FX", ns("2026-07-01T21:00:00")) == 20260702
    assert calendar.session_id("XNYS", ns("2026-07-05T12:00:00")) == 20260702


def test_half_days_close_early():
    assert calendar.is_open("XNYS", ns("2026-11-27T17:59:59"))
    assert not calendar.is_open("XNYS", ns("2026-11-27T18:00:00"))
    assert calendar.is_open("XNYS", ns("2026-11-30T20:59:59"))
    assert not calendar.is_open("XLON", ns("2026-12-24T12:30:00"))
    assert not calendar.is_open("XNYS", ns("2026-11-28T15:00:00"))
    assert calendar.is_open("CRYPTO", ns("2026-11-28T15:00:00"))


def test_the_next_reset():
    assert calendar.next_reset("XNYS", ns("2026-11-25T14:30:00")) == ns("2026-11-27T14:30:00")
    assert calendar.next_reset("XNYS", ns("2026-11-25T14:29:59")) == ns("2026-11-25T14:30:00")


def test_business_days():
    friday = date(2026, 7, 2)  # The third is a holiday, a Friday.
    assert calendar.business_day("XNYS", friday, 1) == date(2026, 7, 6)
    assert calendar.business_day("XNYS", date(2026, 7, 4), 0) == date(2026, 7, 6)


def test_an_unknown_calendar_is_named_with_those_there_are():
    with pytest.raises(KeyError, match="no calendar 'NYSE'; there are XNYS, XCME"):
        calendar.reset_instants("NYSE", 0, 1)


def test_every_class_has_a_calendar_and_a_sampling_interval():
    expected = {"EQUITY": "XNYS", "INDEX_FUTURE": "XCME", "FX": "FX", "CRYPTO_SPOT": "CRYPTO"}
    expected |= {"GOVERNMENT_BOND": "US_BONDS", "CREDIT": "CREDIT", "FUTURE_OPTION": "XCME"}
    for kind in AssetClass:
        name = calendar.default_calendar(kind)
        assert expected.get(kind.name, name) == name
        assert list(CALENDARS)[calendar.code("", kind)] == name
        assert 10 <= calendar.sample_s(kind) <= 300
    assert calendar.sample_s(AssetClass.FX) == 20
    assert calendar.sample_s(AssetClass.RATES_FUTURE) == 120
    assert calendar.sample_s(AssetClass.EQUITY) == 300


def test_periods_of_a_year():
    assert calendar.periods_per_year("XNYS", 60) == 252 * 390
    assert calendar.periods_per_year("FX", 3600) == 260 * 24
    assert calendar.periods_per_year("CRYPTO", 86_400) == 365


@pytest.mark.parametrize("name", CALENDARS)
def test_nominal_years_are_about_real_ones(name):
    own = CALENDARS[name]
    for year in YEARS:
        found = calendar.sessions(name, ns(f"{year}-01-01"), ns(f"{year + 1}-01-01"))
        assert abs(len(found.start) - own.days) <= 5
        assert (found.end > found.start).all()
        assert (np.diff(found.start) > 0).all()
        assert (np.diff(found.id) > 0).all()
        assert (found.end[:-1] <= found.start[1:]).all()
    known = own.holidays | own.merged | own.halves
    assert not own.halves & (own.holidays | own.merged)
    assert not own.merged & own.holidays
    assert name == "CRYPTO" or {day.year for day in known} >= {2025, 2026}
    assert all(day.weekday() < 5 for day in known)


moments = st.integers(ns("2025-01-08"), ns("2027-12-20"))


@given(st.sampled_from(sorted(CALENDARS)), moments)
def test_every_moment_belongs_to_one_session(name, moment):
    day = calendar.session_id(name, moment)
    following = calendar.next_reset(name, moment)
    assert calendar.session_id(name, following - 1) == day
    assert calendar.session_id(name, following) > day
    around = calendar.sessions(name, moment - 20 * 24 * HOUR_NS, moment + 1)
    assert around.id[-1] == day
    assert around.start[-1] <= moment < following


@given(st.sampled_from(sorted(CALENDARS)), st.tuples(moments, moments, moments))
def test_pieces_of_time_hold_the_sessions_of_the_whole(name, times):
    first, middle, last = sorted(times)
    parts = [calendar.reset_instants(name, a, b) for a, b in ((first, middle), (middle, last))]
    whole = calendar.reset_instants(name, first, last)
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_wall_clocks_at_the_start_are_those_of_the_venue():
    from zoneinfo import ZoneInfo

    for own in CALENDARS.values():
        for moment in calendar.reset_instants(own.name, ns("2025-01-01"), ns("2028-01-01")):
            local = datetime.fromtimestamp(int(moment) // 10**9, ZoneInfo(own.zone))
            assert (local.hour * 3600 + local.minute * 60) == own.open_s % 86_400


# What QuantLib does not know, or has otherwise than the venue itself.
_NEW_YEARS_EVES = {date(year, 12, 31) for year in YEARS}
_BESIDE = {
    "XETR": _NEW_YEARS_EVES,
    "XSWX": _NEW_YEARS_EVES | {date(year, 12, 24) for year in YEARS},
    "XPAR": _NEW_YEARS_EVES | {date(year, 12, 24) for year in YEARS},  # Half days.
    "XKRX": {date(2025, 6, 3), date(2026, 6, 3)},  # Elections.
}


def test_trade_dates_are_those_of_quantlib():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ql = pytest.importorskip("QuantLib", reason="QuantLib is not installed")
    oracles = {
        "XNYS": ql.UnitedStates(ql.UnitedStates.NYSE),
        "US_BONDS": ql.UnitedStates(ql.UnitedStates.GovernmentBond),
        "XETR": ql.Germany(ql.Germany.Xetra),
        "XEUR": ql.Germany(ql.Germany.Eurex),
        "XLON": ql.UnitedKingdom(ql.UnitedKingdom.Exchange),
        "XTKS": ql.Japan(),
        "XHKG": ql.HongKong(),
        "EUR_BONDS": ql.TARGET(),
        "XPAR": ql.France(ql.France.Exchange),
        "XSWX": ql.Switzerland(),
        "XASX": ql.Australia(ql.Australia.ASX),
        "XKRX": ql.SouthKorea(ql.SouthKorea.KRX),
    }
    for name, oracle in oracles.items():
        day, last = date(2025, 1, 1), date(2027 if name == "XHKG" else 2028, 1, 1)
        while day < last:
            if day not in _BESIDE.get(name, ()):
                theirs = oracle.isBusinessDay(ql.Date(day.day, day.month, day.year))
                assert CALENDARS[name].trades(day) == theirs, (name, day)
            day += timedelta(days=1)
