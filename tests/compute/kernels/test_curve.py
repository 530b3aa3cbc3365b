"""The curve's kernels: tents, spreads and key rates, against QuantLib, differences and sums."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import curve as curves
from compute import schedule
from compute.kernels import curve as kernel
from compute.kernels import day_count as dc

DAY = schedule.day_number
AS_OF = DAY("2026-11-20")
RATES = np.array([0.0345, 0.0350, 0.0362, 0.0365, 0.0380, 0.0395, 0.0410, 0.0440, 0.0452])
NODE = np.array([91, 365, 730, 1096, 1826, 2557, 3653, 7305, 14610]) / 365.0
YEARS = st.floats(1e-3, 60.0)


@pytest.fixture(scope="module")
def ql():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("QuantLib", reason="QuantLib is not installed")


def made(rates=RATES):
    return curves.Curve("USD", AS_OF, NODE, rates * NODE)


def price(flows, curve, spread, move=lambda t: 0.0 * t):
    """Dirty price by numpy alone; `move` is added to zero rates."""
    t, settle = curves.years(flows.days, AS_OF), curves.years(flows.settle, AS_OF)
    q = np.interp(t, np.r_[0.0, NODE], np.r_[0.0, curve.q]) + move(t) * t
    start = np.interp(settle, np.r_[0.0, NODE], np.r_[0.0, curve.q]) + move(settle) * settle
    return float((flows.amounts * np.exp(start - q - spread * (t - settle))).sum())


def spread_of(flows, curve, dirty, guess=math.nan):
    """(z-spread, pv01, key rates) by the kernels."""
    first = np.array([0, len(flows.days)])
    t, settle = curves.years(flows.days, AS_OF), np.atleast_1d(curves.years(flows.settle, AS_OF))
    q, start = np.empty(len(t)), np.empty(1)
    kernel.evaluate(curve.q, *curves.places(NODE, t), q)
    kernel.evaluate(curve.q, *curves.places(NODE, settle), start)
    worth, out = np.empty(len(t)), np.array([guess])
    kernel.spread(first, flows.amounts, t, q, settle, start, np.array([dirty]), worth, out)
    bucket, near = np.empty(len(t), np.int64), np.empty(len(t))
    kernel.buckets(t, bucket, near)
    pv01, key_rate = np.empty(1), np.empty((1, 6))
    kernel.sensitivities(first, t, worth, settle, out, bucket, near, pv01, key_rate)
    return out[0], pv01[0], key_rate[0]


@st.composite
def bonds(draw):
    terms = schedule.Terms(
        draw(st.integers(AS_OF + 30, AS_OF + 14_000)),
        *(draw(st.integers(0, 80)) / 8.0, draw(st.sampled_from([1, 2, 4])), dc.ACT_ACT_ICMA),
        settle_days=draw(st.integers(0, 3)),
    )
    return schedule.flows(terms, AS_OF)


@settings(deadline=None)
@given(YEARS)
def test_tents_sum_to_one(t):
    weights = [kernel.tent(k, t) for k in range(6)]
    assert sum(weights) == pytest.approx(1.0, abs=3e-16)
    assert min(weights) >= 0.0
    bucket, near = np.empty(1, np.int64), np.empty(1)
    kernel.buckets(np.array([t]), bucket, near)
    assert near[0] == weights[bucket[0]]
    rest = 1.0 - near[0]
    assert rest == pytest.approx(weights[bucket[0] + 1] if bucket[0] < 5 else 0.0, abs=2e-16)


def test_a_tent_is_one_at_its_own_key():
    for k, key in enumerate(kernel.KEYS):
        assert [kernel.tent(j, key) for j in range(6)] == [float(j == k) for j in range(6)]


@settings(deadline=None)
@given(YEARS)
def test_places_are_linear_interpolation(t):
    curve = made()
    inside = min(t, NODE[-1])
    expected = np.interp(inside, np.r_[0.0, NODE], np.r_[0.0, curve.q])
    last = (curve.q[-1] - curve.q[-2]) / (NODE[-1] - NODE[-2])
    expected += max(0.0, t - NODE[-1]) * last  # The last forward goes on.
    assert curve.zero(t)[0] * t == pytest.approx(expected, abs=1e-13)


@settings(max_examples=150, deadline=None)
@given(bonds(), st.floats(-0.02, 0.3), st.sampled_from([math.nan, -0.01, 0.0, 0.05, 0.5]))
def test_the_spread_comes_back_and_buckets_sum_to_pv01(flows, spread, guess):
    curve = made()
    found, pv01, key_rate = spread_of(flows, curve, price(flows, curve, spread), guess)
    assert found == pytest.approx(spread, abs=1e-11)
    # Exact but for rounding: 1e-14 of the parts' size.
    assert key_rate.sum() == pytest.approx(pv01, abs=1e-14 * np.abs(key_rate).sum())
    step = 1e-6

    def slope(move):
        up = price(flows, curve, spread, lambda t: step * move(t))
        down = price(flows, curve, spread, lambda t: -step * move(t))
        return (down - up) / (2.0 * step) * 1e-4

    assert pv01 == pytest.approx(slope(np.ones_like), rel=1e-7, abs=1e-10)
    for k in range(6):
        tent = np.vectorize(lambda t, k=k: kernel.tent(k, float(t)))
        assert key_rate[k] == pytest.approx(slope(tent), rel=1e-6, abs=1e-9)


def ql_date(ql, day):
    found = schedule.calendar_date(int(day))
    return ql.Date(found.day, found.month, found.year)


@pytest.mark.parametrize(
    ("maturity", "coupon", "clean"),
    [
        *(("2036-11-15", 4.125, 88.0), ("2056-05-15", 2.0, 45.0), ("2027-02-15", 6.0, 100.4)),
        *(("2031-08-31", 9.5, 62.0), ("2033-11-15", 1.25, 97.0)),
    ],
)
def test_z_spreads_and_pv01_are_quantlibs(ql, maturity, coupon, clean):
    curve = made()
    flows = schedule.flows(schedule.Terms(DAY(maturity), coupon, 2, dc.ACT_ACT_ICMA), AS_OF)
    found, pv01, _ = spread_of(flows, curve, clean + flows.accrued)
    ql.Settings.instance().evaluationDate = ql_date(ql, AS_OF)
    days = [AS_OF, *(AS_OF + np.round(NODE * 365).astype(int))]
    factors = [1.0, *curve.discount(NODE)]
    counter = ql.Actual365Fixed()
    discounts = ql.DiscountCurve([ql_date(ql, day) for day in days], factors, counter)
    start = schedule.add_months(DAY(maturity), -12 * 32)
    dates = ql.Schedule(
        *(ql_date(ql, start), ql_date(ql, DAY(maturity)), ql.Period(6, ql.Months)),
        *(ql.NullCalendar(), ql.Unadjusted, ql.Unadjusted, ql.DateGeneration.Backward),
        schedule.ends_month(DAY(maturity)),
    )
    icma = ql.ActualActual(ql.ActualActual.ISMA, dates)
    own = ql.FixedRateBond(2, 100.0, dates, [coupon / 100], icma, ql.Unadjusted)
    settle = ql_date(ql, flows.settle)
    asked = ql.BondPrice(clean, ql.BondPrice.Clean)
    expected = ql.BondFunctions.zSpread(
        *(own, asked, discounts, counter, ql.Continuous, ql.Annual, settle, 1e-12, 200, 0.01)
    )
    assert found == pytest.approx(expected, abs=1e-10)
    handle = ql.YieldTermStructureHandle(discounts)
    worth = []
    for move in (-1e-6, 1e-6):
        quote = ql.QuoteHandle(ql.SimpleQuote(float(found) + move))
        moved = ql.ZeroSpreadedTermStructure(handle, quote, ql.Continuous, ql.Annual, counter)
        worth.append(ql.BondFunctions.cleanPrice(own, moved, settle))
    # Within the days to settlement QuantLib's spread and ours both count from there.
    assert pv01 == pytest.approx((worth[0] - worth[1]) / 2e-6 * 1e-4, rel=1e-6)


def test_no_price_no_spread():
    flows = schedule.flows(schedule.Terms(DAY("2030-01-15"), 4.0, 2, dc.ACT_ACT_ICMA), AS_OF)
    for dirty in (math.nan, 0.0, -1.0):
        spread, pv01, key_rate = spread_of(flows, made(), dirty)
        assert math.isnan(spread)
        assert math.isnan(pv01)
        assert np.isnan(key_rate).all()
    assert math.isnan(spread_of(flows, made(np.full(9, np.nan)), 100.0)[0])
    assert math.isnan(spread_of(flows, made(), 1e-40)[0])  # A spread beyond any.
