"""Coupon dates, settlement and the terms that are refused."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import schedule
from compute.kernels import bond
from compute.kernels import day_count as dc

DAY = schedule.day_number
AS_OF = DAY("2026-11-20")


def terms(maturity, coupon=4.0, frequency=2, code=dc.ACT_ACT_ICMA, **more):
    return schedule.Terms(DAY(maturity), coupon, frequency, code, **more)


def iso(days):
    return [schedule.calendar_date(day).isoformat() for day in days]


def test_dates_run_back_from_maturity():
    assert iso(schedule.coupon_dates(terms("2028-02-15"), DAY("2026-11-20"))) == [
        *("2026-08-15", "2027-02-15", "2027-08-15", "2028-02-15"),
    ]


def test_where_maturity_ends_a_month_every_coupon_does():
    assert iso(schedule.coupon_dates(terms("2028-08-31"), DAY("2027-01-01"))) == [
        *("2026-08-31", "2027-02-28", "2027-08-31", "2028-02-29", "2028-08-31"),
    ]
    assert iso(schedule.coupon_dates(terms("2029-02-28", frequency=4), DAY("2028-06-01"))) == [
        *("2028-05-31", "2028-08-31", "2028-11-30", "2029-02-28"),
    ]
    # The 30th is no end of a month that has 31 days, and February gives its last.
    assert iso(schedule.coupon_dates(terms("2028-08-30"), DAY("2027-09-01"))) == [
        *("2027-08-30", "2028-02-29", "2028-08-30"),
    ]


@settings(deadline=None)
@given(st.integers(0, 60_000), st.sampled_from(schedule.FREQUENCIES), st.integers(1, 9_000))
def test_the_first_date_is_the_last_one_not_after(maturity, frequency, before):
    made = schedule.Terms(maturity, 4.0, frequency, dc.ACT_ACT_ICMA)
    dates = schedule.coupon_dates(made, maturity - before)
    assert dates[0] <= maturity - before < dates[1]
    assert dates[-1] == maturity
    assert sorted(set(dates)) == dates


@settings(deadline=None)
@given(st.dates(date(1950, 1, 1), date(2150, 1, 1)), st.integers(-600, 600))
def test_months_later_and_back(day, months):
    moved = schedule.calendar_date(schedule.add_months(DAY(day), months))
    assert (moved.year - day.year) * 12 + moved.month - day.month == months
    assert moved.day == day.day or schedule.ends_month(DAY(moved))


def test_settlement_skips_weekends_and_holidays():
    assert iso([schedule.business_day(AS_OF, 1)]) == ["2026-11-23"]  # From a Friday.
    assert iso([schedule.business_day(AS_OF + 1, 1)]) == ["2026-11-24"]  # From a Saturday.
    assert iso([schedule.business_day(DAY("2026-11-25"), 1, [DAY("2026-11-26")])]) == ["2026-11-27"]
    assert schedule.flows(terms("2030-05-15"), AS_OF).settle == DAY("2026-11-24")


def test_the_event_clock_gives_the_day():
    assert schedule.day_of_ns(DAY("2026-11-20") * 86_400 * 10**9) == AS_OF
    assert schedule.day_of_ns(DAY("2026-11-20") * 86_400 * 10**9 - 1) == AS_OF - 1


def test_a_gilt_goes_ex_seven_business_days_before():
    gilt = terms("2036-12-07", ex_days=7, ex_business=True, settle_days=0)
    days = ("2026-11-25", "2026-11-26", "2026-12-06", "2026-12-07")
    before, ex, last, after = (schedule.flows(gilt, DAY(day)) for day in days)
    assert before.accrued == pytest.approx(2.0 * 171 / 183)
    assert before.amounts[0] == 2.0
    assert iso(before.days[:1]) == ["2026-12-07"]
    assert ex.accrued == pytest.approx(-2.0 * 11 / 183)
    assert iso(ex.days[:1]) == ["2027-06-07"]
    # A Sunday settles on Monday, the coupon date itself.
    assert last.accrued == after.accrued == 0.0


def test_ex_dividend_in_the_last_period_leaves_the_redemption():
    bond_ = terms("2026-12-01", ex_days=9, settle_days=0)
    found = schedule.flows(bond_, DAY("2026-11-24"))
    assert found.amounts.tolist() == [100.0]
    assert found.accrued == pytest.approx(-2.0 * 7 / 183)


def test_flows_pay_what_the_contract_says():
    found = schedule.flows(terms("2028-02-15"), AS_OF)
    assert found.amounts.tolist() == [2.0, 2.0, 102.0]
    assert found.start == pytest.approx((DAY("2027-02-15") - found.settle) / 184)
    yen = schedule.flows(terms("2028-09-20", 0.5, code=dc.ACT_365F), AS_OF)
    assert yen.amounts[0] == 0.25  # A whole period pays a whole coupon, whatever its days are.
    money = schedule.flows(terms("2027-11-20", 3.6, 4, dc.ACT_360), AS_OF)
    assert money.amounts[0] == pytest.approx(3.6 * 92 / 360)


def test_a_bill_is_simple_and_a_long_zero_is_not():
    bill = schedule.flows(terms("2027-05-13", 0.0, 2, dc.ACT_360), AS_OF)
    assert bill.convention == bond.MONEY
    assert bill.start == (bill.days[0] - bill.settle) / 360
    zero = schedule.flows(terms("2037-05-15", 0.0), AS_OF)
    assert zero.convention == bond.STREET
    assert zero.start == pytest.approx(20 + (DAY("2027-05-15") - zero.settle) / 181)


def test_what_has_matured_has_no_flows():
    assert schedule.flows(terms("2026-11-24"), AS_OF) is None
    assert schedule.flows(terms("2026-11-25"), AS_OF) is not None


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (terms("2030-01-01", frequency=5), "coupon_frequency is 5"),
        (terms("2030-01-01", code=7), "day_count"),
        (terms("2030-01-01", coupon=-1.0), "coupon is -1"),
        (terms("2030-01-01", issue=DAY("2030-01-01")), "issue_date"),
        (terms("2030-01-01", settle_days=-1), "settle_days"),
        (terms("2190-01-01"), "101 years"),
    ],
)
def test_terms_that_cannot_be_are_named(made, word):
    with pytest.raises(ValueError, match=word):
        schedule.flows(made, AS_OF)


def test_swap_periods_are_the_standard_contracts():
    found = schedule.swap_dates(DAY("2027-12-20"), AS_OF)
    # 20 September 2026 and 20 June 2027 are Sundays; the last day counts.
    assert iso(found.accrual_start)[:3] == ["2026-09-21", "2026-12-21", "2027-03-22"]
    assert iso(found.payment)[-1] == "2027-12-20"
    assert iso(found.accrual_end)[-1] == "2027-12-21"
    assert iso([found.settle]) == ["2026-11-25"]
    assert schedule.swap_dates(AS_OF, AS_OF) is None


def test_each_market_has_its_own_yield():
    assert schedule.street_convention("USD", "US") == bond.STREET
    assert schedule.street_convention("GBP", "GB") == bond.COMPOUND
    assert schedule.street_convention("JPY", "") == bond.SIMPLE
    assert schedule.street_convention("JPY", "US") == bond.STREET
