"""The fitted curve: known curves come back, a wrong quote stays alone, and all is reported."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import curve as curves
from compute import schedule
from compute.kernels import bond
from compute.kernels import curve as kernel
from compute.kernels import day_count as dc

DAY = schedule.day_number
AS_OF = DAY("2026-11-20")
MATURITIES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30)


def smooth(t, level=0.04, slope=-0.015, hump=0.01):
    """Nelson and Siegel's zero rates, humped at about 4 years."""
    x = np.maximum(t, 1e-9) / 2.5
    rise = (1.0 - np.exp(-x)) / x
    return level + slope * rise + hump * (rise - np.exp(-x))


def dirty_of(flows, zero):
    t, settle = curves.years(flows.days, AS_OF), float(curves.years(flows.settle, AS_OF))
    return float((flows.amounts * np.exp(zero(settle) * settle - zero(t) * t)).sum())


def government(years, coupon=4.0):
    maturity = schedule.add_months(DAY("2026-11-15"), 12 * years)
    return schedule.flows(schedule.Terms(maturity, coupon, 2, dc.ACT_ACT_ICMA), AS_OF)


def fit(made, dirty, rate=(), rate_t=(), guess=None):
    """(curve, rounds) by the kernel, from Flows and their dirty prices, and futures' rates."""
    first = np.concatenate(([0], np.cumsum([len(flows.days) for flows in made]))).astype(np.int64)
    t = np.concatenate([np.zeros(0), *(curves.years(flows.days, AS_OF) for flows in made)])
    amount = np.concatenate([np.zeros(0), *(flows.amounts for flows in made)])
    settle = np.array([float(curves.years(flows.settle, AS_OF)) for flows in made])
    ends = np.array([curves.years(flows.days[-1], AS_OF) for flows in made])
    rate_t = np.array(rate_t, float).reshape(-1, 2)
    node = curves.nodes(np.concatenate((ends, rate_t[:, 1])))
    q = np.full(len(node), np.nan) if guess is None else guess
    out = np.full((4, len(made)), np.nan)
    column = lambda name: np.array([getattr(flows, name) for flows in made], float)
    clean = np.array(dirty) - column("accrued")
    bond.measure(
        np.array([flows.convention for flows in made], np.int64),
        *(column(name) for name in ("frequency", "start", "coupon", "accrued")),
        *(first, amount, clean, out),
    )
    residual = np.empty(len(made) + len(rate_t))
    rounds = kernel.fit(
        *(node, np.array(dirty, float), first, amount, *curves.places(node, t)),
        *(*curves.places(node, settle), out[bond.DURATION] * np.array(dirty)),
        *(np.array(rate, float), rate_t[:, 1] - rate_t[:, 0]),
        *(*curves.places(node, rate_t.ravel().copy()), q, residual),
    )
    ids = np.arange(len(residual))
    return curves.Curve("USD", AS_OF, node, q, ids, residual, rounds), rounds


def test_a_smooth_curve_comes_back_within_half_a_basis_point():
    made = [government(years, 2.0 + 0.1 * years) for years in MATURITIES]
    found, rounds = fit(made, [dirty_of(flows, smooth) for flows in made])
    assert 0 < rounds <= 10
    assert np.abs(found.residual_bp).max() < 0.1
    t = np.linspace(1.0, 30.0, 200)
    assert np.abs(found.zero(t) - smooth(t)).max() < 4e-4  # Between the quotes it is a guess ...
    at = found.node
    assert np.abs(found.zero(at) - smooth(at)).max() < 0.4e-4  # ... at them it is not.


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.01, 0.12))
def test_a_flat_curve_comes_back_exactly(rate):
    made = [government(years) for years in MATURITIES]
    zero = lambda t: rate + 0.0 * t
    found, _ = fit(made, [dirty_of(flows, zero) for flows in made])
    assert found.zero(np.array(MATURITIES, float)) == pytest.approx(rate, abs=1e-9)
    assert found.discount(10.0)[0] == pytest.approx(math.exp(-10.0 * rate), rel=1e-8)
    assert found.forward(2.0, 7.0)[0] == pytest.approx(rate, abs=1e-9)


def test_one_wrong_quote_is_reported_and_moves_the_others_little():
    made = [government(years + part, 4.0) for years in MATURITIES for part in (0, 1)]
    dirty = [dirty_of(flows, smooth) for flows in made]
    right, _ = fit(made, dirty)
    dirty[9] *= 1.10  # About 200 bp of yield.
    found, rounds = fit(made, dirty)
    assert rounds > 0
    assert found.report()[0].instrument == 9
    assert found.report()[0].residual_bp > 150.0
    t = np.array([1.0, 2.0, 10.0, 15.0, 30.0])
    assert np.abs(found.zero(t) - right.zero(t)).max() < 2e-4
    assert len(found.report()) == len(made)


def test_bills_and_futures_make_the_short_end():
    made = [government(years) for years in (1, 2, 3)]
    dirty = [dirty_of(flows, smooth) for flows in made]
    bill = schedule.flows(schedule.Terms(DAY("2027-02-18"), 0.0, 2, dc.ACT_360), AS_OF)
    made.append(bill)
    dirty.append(dirty_of(bill, smooth))
    begin, end = 0.33, 0.58
    rate = math.expm1(smooth(end) * end - smooth(begin) * begin) / (end - begin)
    found, _ = fit(made, dirty, [rate], [(begin, end)])
    assert np.abs(found.residual_bp).max() < 1.0
    forward = math.expm1(found.forward(begin, end)[0] * (end - begin)) / (end - begin)
    assert forward == pytest.approx(rate, abs=1e-4)


def test_a_warm_start_is_two_rounds_and_the_same_curve():
    made = [government(years) for years in MATURITIES]
    dirty = [dirty_of(flows, smooth) for flows in made]
    cold, _ = fit(made, dirty)
    moved = [value * (1.0 + 1e-5 * k) for k, value in enumerate(dirty)]
    again, _ = fit(made, moved)
    warm, rounds = fit(made, moved, guess=cold.q.copy())
    assert rounds <= 3
    assert np.abs(warm.q - again.q).max() < 1e-8


def test_without_quotes_nothing_is_known():
    made = [government(years) for years in (2, 10)]
    found, rounds = fit(made, [math.nan, math.nan])
    assert rounds == 0
    assert np.isnan(found.discount(5.0)).all()
    assert found.report() == ()


def test_a_missing_quote_does_not_take_part():
    made = [government(years) for years in MATURITIES]
    dirty = [dirty_of(flows, smooth) for flows in made]
    dirty[3] = math.nan
    found, _ = fit(made, dirty)
    assert 3 not in [row.instrument for row in found.report()]
    assert found.zero(4.0)[0] == pytest.approx(smooth(4.0), abs=1e-4)


def test_nodes_stand_where_maturities_are():
    assert curves.nodes(np.array([2.1, 0.9, 0.8, 2.9, 30.2, 150.0])).tolist() == [
        0.9,
        2.9,
        30.2,
        150.0,
    ]
    assert curves.nodes(np.zeros(0)).tolist() == [curves.CELLS[-1]]


def test_a_flat_curve_is_flat():
    made = curves.flat("EUR", AS_OF, -0.005)
    assert made.zero(np.array([0.1, 7.0, 200.0])) == pytest.approx(-0.005, abs=1e-15)
    assert made.discount(2.0)[0] == pytest.approx(math.exp(0.01))
