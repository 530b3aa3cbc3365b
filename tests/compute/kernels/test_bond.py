"""Bonds against QuantLib: accrued, yields, durations, DV01; and against their own laws."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compute import schedule
from compute.kernels import bond
from compute.kernels import day_count as dc

DAY = schedule.day_number
AS_OF = DAY("2026-11-20")


@pytest.fixture(scope="module")
def ql():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("QuantLib", reason="QuantLib is not installed")


def table(*made):
    """The kernel's arrays of these Flows."""
    first = np.concatenate(([0], np.cumsum([len(flows.days) for flows in made]))).astype(np.int64)
    return (
        np.array([flows.convention for flows in made], np.int64),
        *(
            np.array([getattr(flows, name) for flows in made], np.float64)
            for name in ("frequency", "start", "coupon", "accrued")
        ),
        first,
        np.concatenate([flows.amounts for flows in made]),
    )


def measure(made, clean, guess=math.nan):
    out = np.full((4, 1), np.nan)
    out[bond.YIELD] = guess
    bond.measure(*table(made), np.array([float(clean)]), out)
    return out[:, 0]


def price(made, y):
    out = np.empty(1)
    bond.price(*table(made), np.array([float(y)]), out)
    return out[0]


def ql_date(ql, day):
    found = schedule.calendar_date(day)
    return ql.Date(found.day, found.month, found.year)


def oracle(ql, terms, as_of=AS_OF):
    """(bond, day counter, settlement) in QuantLib, its dates back from the maturity."""
    ql.Settings.instance().evaluationDate = ql_date(ql, as_of)
    start = schedule.add_months(terms.maturity, -12 * 40) if terms.issue is None else terms.issue
    first = ql.Date() if terms.first_coupon is None else ql_date(ql, terms.first_coupon)
    dates = ql.Schedule(
        *(ql_date(ql, start), ql_date(ql, terms.maturity), ql.Period(12 // terms.frequency, 2)),
        *(ql.WeekendsOnly(), ql.Unadjusted, ql.Unadjusted, ql.DateGeneration.Backward),
        *(schedule.ends_month(terms.maturity), first),
    )
    counter = {
        dc.ACT_ACT_ICMA: lambda: ql.ActualActual(ql.ActualActual.ISMA, dates),
        dc.THIRTY_360: lambda: ql.Thirty360(ql.Thirty360.BondBasis),
        dc.THIRTY_E_360: lambda: ql.Thirty360(ql.Thirty360.EurobondBasis),
    }[terms.day_count]()
    ex = ql.Period(terms.ex_days, ql.Days) if terms.ex_days else ql.Period()
    calendar = ql.WeekendsOnly() if terms.ex_business else ql.NullCalendar()
    made = ql.FixedRateBond(
        *(terms.settle_days, 100.0, dates, [terms.coupon / 100.0], counter, ql.Unadjusted, 100.0),
        *(ql_date(ql, start), ql.WeekendsOnly(), ex, calendar),
    )
    return made, counter, made.settlementDate()


def check(ql, terms, clean, as_of=AS_OF, tolerance=1e-9):
    flows = schedule.flows(terms, as_of)
    made, counter, settle = oracle(ql, terms, as_of)
    assert flows.settle == DAY("1970-01-01") + settle.serialNumber() - 25569
    assert flows.accrued == pytest.approx(made.accruedAmount(settle), abs=1e-11)
    single = len(flows.days) == 1 and flows.start <= 1.0 and terms.convention == bond.STREET
    compounding = ql.Simple if single else ql.Compounded
    asked = ql.BondPrice(clean, ql.BondPrice.Clean)
    rate = ql.BondFunctions.bondYield(
        *(made, asked, counter, compounding, terms.frequency, settle, 1e-13, 1000, 0.05)
    )
    y, duration, convexity, dv01 = measure(flows, clean)
    assert y == pytest.approx(rate, abs=tolerance)
    conditions = ql.InterestRate(float(y), counter, compounding, terms.frequency)
    functions = ql.BondFunctions
    assert price(flows, y) == pytest.approx(functions.cleanPrice(made, conditions, settle), 1e-11)
    modified = functions.duration(made, conditions, ql.Duration.Modified, settle)
    assert duration == pytest.approx(modified, rel=1e-9)
    assert convexity == pytest.approx(functions.convexity(made, conditions, settle), rel=1e-9)
    down = ql.InterestRate(float(y) - 1e-4, counter, compounding, terms.frequency)
    change = functions.cleanPrice(made, down, settle) - functions.cleanPrice(made, conditions)
    assert dv01 == pytest.approx(change, rel=1e-5, abs=1e-9)
    basis = functions.basisPointValue(made, conditions, settle)
    bend = convexity * (clean + flows.accrued) * 1e-8  # QuantLib's is for +1 bp.
    assert dv01 == pytest.approx(bend - basis, rel=1e-9, abs=1e-12)
    return y


@st.composite
def regular(draw):
    maturity = draw(st.integers(AS_OF + 40, AS_OF + 13_000))
    # QuantLib's 30/360 counts broken months between dates at the end of one: the street does not.
    code = draw(st.sampled_from([dc.ACT_ACT_ICMA, dc.THIRTY_360, dc.THIRTY_E_360]))
    if code != dc.ACT_ACT_ICMA:
        maturity = DAY(schedule.calendar_date(maturity).replace(day=draw(st.integers(1, 28))))
    return schedule.Terms(
        *(max(maturity, AS_OF + 10), draw(st.integers(1, 96)) / 8.0),
        *(draw(st.sampled_from([1, 2, 4])), code),
        settle_days=draw(st.integers(0, 3)),
    )


@settings(max_examples=120, deadline=None)
@given(regular(), st.floats(-0.02, 0.4))
@example(schedule.Terms(DAY("2056-11-15"), 1.25, 2, dc.ACT_ACT_ICMA), 0.07)
@example(schedule.Terms(DAY("2028-02-29"), 4.0, 2, dc.ACT_ACT_ICMA), -0.01)
@example(schedule.Terms(DAY("2031-08-31"), 3.75, 2, dc.ACT_ACT_ICMA), 0.04)
def test_regular_bonds_are_quantlibs(ql, terms, y):
    clean = price(schedule.flows(terms, AS_OF), y)
    assert check(ql, terms, clean) == pytest.approx(y, abs=1e-11)


HARD = {
    "negative yield": (schedule.Terms(DAY("2029-02-15"), 0.5, 1, dc.ACT_ACT_ICMA), 104.0),
    "deep discount": (schedule.Terms(DAY("2061-05-15"), 0.125, 2, dc.ACT_ACT_ICMA), 9.0),
    "distress": (schedule.Terms(DAY("2028-05-15"), 9.0, 2, dc.THIRTY_360), 12.0),
    "premium": (schedule.Terms(DAY("2046-05-15"), 12.0, 2, dc.THIRTY_360), 240.0),
    "on a coupon date": (
        schedule.Terms(DAY("2033-11-20"), 4.0, 2, dc.ACT_ACT_ICMA, settle_days=0),
        99.0,
    ),
    "the day before a coupon": (
        schedule.Terms(DAY("2033-11-21"), 4.0, 2, dc.ACT_ACT_ICMA, settle_days=0),
        99.0,
    ),
    "last period": (schedule.Terms(DAY("2027-03-31"), 4.0, 2, dc.ACT_ACT_ICMA), 99.8),
    "last period, compounded": (
        schedule.Terms(DAY("2027-03-31"), 4.0, 2, dc.ACT_ACT_ICMA, convention=bond.COMPOUND),
        99.8,
    ),
    "ex-dividend": (
        schedule.Terms(DAY("2035-11-30"), 4.5, 2, dc.ACT_ACT_ICMA, None, None, 1, 7, True),
        99.0,
    ),
    "not yet ex-dividend": (
        schedule.Terms(DAY("2035-12-07"), 4.5, 2, dc.ACT_ACT_ICMA, None, None, 1, 7, True),
        99.0,
    ),
    "ex-dividend by calendar days": (
        schedule.Terms(DAY("2035-12-03"), 4.5, 2, dc.ACT_ACT_ICMA, None, None, 1, 10),
        99.0,
    ),
    "short first coupon": (
        schedule.Terms(DAY("2036-11-15"), 4.125, 2, dc.ACT_ACT_ICMA, DAY("2026-10-02")),
        99.5,
    ),
    "before the issue": (
        schedule.Terms(DAY("2036-11-15"), 4.125, 2, dc.ACT_ACT_ICMA, DAY("2026-11-16")),
        99.5,
    ),
    "end of February": (schedule.Terms(DAY("2029-02-28"), 4.0, 2, dc.ACT_ACT_ICMA), 99.5),
    "leap day to leap day": (schedule.Terms(DAY("2036-02-29"), 4.0, 1, dc.ACT_ACT_ICMA), 99.5),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_cases_are_quantlibs(ql, name):
    y = check(ql, *HARD[name])
    if name == "negative yield":
        assert y < 0.0
    accrued = schedule.flows(HARD[name][0], AS_OF).accrued
    if name == "on a coupon date":
        assert accrued == 0.0
    assert (accrued < 0.0) == name.startswith("ex-dividend")


def test_a_leap_day_counts_in_the_accrued(ql):
    terms = schedule.Terms(DAY("2032-05-15"), 4.0, 2, dc.ACT_ACT_ICMA, settle_days=0)
    leap, after = (schedule.flows(terms, DAY(day)) for day in ("2028-02-29", "2028-03-01"))
    assert leap.accrued == pytest.approx(2.0 * 106 / 182, abs=1e-14)
    assert after.accrued - leap.accrued == pytest.approx(2.0 / 182, abs=1e-14)
    check(ql, terms, 98.0, DAY("2028-02-29"))


def test_a_long_first_coupon_is_quantlibs(ql):
    terms = schedule.Terms(
        DAY("2031-11-15"), 4.0, 2, dc.ACT_ACT_ICMA, DAY("2026-09-01"), DAY("2027-05-15")
    )
    flows = schedule.flows(terms, AS_OF)
    made, _, settle = oracle(ql, terms)
    paid = [flow.amount() for flow in made.cashflows() if flow.date() > settle]
    assert flows.amounts[:-1].tolist() == pytest.approx(paid[:-2], abs=1e-12)
    assert flows.amounts[-1] == pytest.approx(paid[-1] + paid[-2], abs=1e-12)
    assert flows.accrued == pytest.approx(made.accruedAmount(settle), abs=1e-12)


def test_bills_and_zeros(ql):
    bill = schedule.Terms(DAY("2027-05-13"), 0.0, 2, dc.ACT_360, settle_days=1)
    flows = schedule.flows(bill, AS_OF)
    ql.Settings.instance().evaluationDate = ql_date(ql, AS_OF)
    made = ql.ZeroCouponBond(1, ql.WeekendsOnly(), 100.0, ql_date(ql, bill.maturity))
    asked = ql.BondPrice(98.2, ql.BondPrice.Clean)
    rate = ql.BondFunctions.bondYield(made, asked, ql.Actual360(), ql.Simple, ql.Annual)
    assert measure(flows, 98.2)[0] == pytest.approx(rate, abs=1e-9)
    assert flows.accrued == 0.0
    # Thirty years: 60 half-years but for the days since the last quasi-coupon.
    long = schedule.Terms(DAY("2056-11-15"), 0.0, 2, dc.ACT_ACT_ICMA, settle_days=0)
    flows = schedule.flows(long, AS_OF)
    periods = 59 + (DAY("2027-05-15") - AS_OF) / 181
    y, duration, convexity, _ = measure(flows, 25.0)
    assert y == pytest.approx(2.0 * ((100.0 / 25.0) ** (1.0 / periods) - 1.0), abs=1e-14)
    assert duration == pytest.approx(periods / 2.0 / (1.0 + y / 2.0), rel=1e-13)
    assert convexity == pytest.approx(periods * (periods + 1) / 4.0 / (1.0 + y / 2.0) ** 2, 1e-13)


def test_the_simple_yield_of_japan():
    terms = schedule.Terms(DAY("2036-09-20"), 1.6, 2, dc.ACT_365F, convention=bond.SIMPLE)
    flows = schedule.flows(terms, AS_OF)
    assert flows.accrued == pytest.approx(1.6 * (flows.settle - DAY("2026-09-20")) / 365)
    years = (terms.maturity - flows.settle) / 365
    y = measure(flows, 98.5)[0]
    assert y == pytest.approx((1.6 + (100 - 98.5) / years) / 98.5, abs=1e-15)
    assert price(flows, y) == pytest.approx(98.5, abs=1e-11)


@settings(max_examples=200, deadline=None)
@given(regular(), st.floats(-0.02, 0.6), st.sampled_from([math.nan, -0.3, 0.0, 0.5, 3.0]))
def test_price_and_yield_are_inverse_from_any_guess_and_slopes_are_differences(terms, y, guess):
    flows = schedule.flows(terms, AS_OF)
    clean = price(flows, y)
    found, duration, convexity, dv01 = measure(flows, clean, guess)
    assert found == pytest.approx(y, abs=1e-11)
    step = 1e-4
    up, down = price(flows, y + step), price(flows, y - step)
    dirty = clean + flows.accrued
    assert -(up - down) / (2 * step * dirty) == pytest.approx(duration, rel=2e-5)
    assert (up - 2 * clean + down) / (step * step * dirty) == pytest.approx(
        convexity, rel=1e-4, abs=2e-3
    )
    assert down - clean == pytest.approx(dv01, rel=1e-5, abs=1e-11)


def test_what_is_unknown_stays_unknown():
    flows = schedule.flows(schedule.Terms(DAY("2030-01-15"), 4.0, 2, dc.THIRTY_360), AS_OF)
    assert np.isnan(measure(flows, math.nan)).all()
    assert np.isnan(measure(flows, -5.0)).all()
    assert np.isnan(price(flows, math.nan))
    y = measure(flows, 1e-3)[0]  # Worth nothing almost: a yield of thousands of per cent.
    assert price(flows, y) == pytest.approx(1e-3, abs=1e-9)


def test_many_bonds_at_once_are_each_as_alone():
    rng = np.random.default_rng(5)
    made = [
        schedule.flows(schedule.Terms(AS_OF + int(days), float(coupon), 2, dc.ACT_ACT_ICMA), AS_OF)
        for days, coupon in zip(rng.integers(30, 11_000, 50), rng.integers(0, 9, 50), strict=True)
    ]
    clean = rng.uniform(60.0, 130.0, 50)
    out = np.full((4, 50), np.nan)
    bond.measure(*table(*made), clean, out)
    alone = np.array([measure(flows, value) for flows, value in zip(made, clean, strict=True)]).T
    assert (out == alone).all()
