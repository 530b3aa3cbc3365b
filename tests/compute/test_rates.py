"""The whole room of rates: a small market by hand, and the demo's universe at once."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import rates, schedule
from compute.kernels import bond, credit
from ingest.instrument import AssetClass, Instrument, Reference
from ingest.universe import AS_OF as UNIVERSE_DAY
from ingest.universe import universe

DAY = schedule.day_number
AS_OF = DAY("2026-11-20")
NOON = (AS_OF * 24 + 12) * 3_600 * 10**9
GOVERNMENT, CREDIT = AssetClass.GOVERNMENT_BOND, AssetClass.CREDIT


def row(id_, symbol, asset_class, **more):
    venue, currency = "X", more.pop("currency", "USD")
    multiplier = more.pop("multiplier", 0.01)
    return Instrument(id_, symbol, int(asset_class), venue, currency, multiplier, 0.001, 3, **more)


def government(id_, years, coupon=4.0, **more):
    given_ = {"coupon": coupon, "coupon_frequency": 2, "day_count": "ACT/ACT ICMA"}
    given_ |= {"country": "US", "expiry": f"{2026 + years}-11-15", "settle_days": 1}
    return row(id_, f"UST {years}", GOVERNMENT, **(given_ | more))


def swap(id_, **more):
    given_ = {"coupon": 1.0, "coupon_frequency": 4, "day_count": "ACT/360", "quote": "spread"}
    given_ |= {"expiry": "2031-12-20", "recovery": 0.4, "multiplier": 1e-4}
    return row(id_, f"CDS {id_}", CREDIT, **(given_ | more))


YEARS = (1, 2, 3, 5, 7, 10, 20, 30)
MARKET = [
    *(government(id_, years) for id_, years in enumerate(YEARS)),
    row(
        *(8, "CORP 5.5 36", CREDIT),
        coupon=5.5,
        coupon_frequency=2,
        day_count="30/360",
        expiry="2036-04-15",
        recovery=0.35,
    ),
    swap(9),
    swap(10, quote="upfront", coupon=5.0),
    row(
        *(11, "ZNZ6", AssetClass.RATES_FUTURE),
        multiplier=1000.0,
        ctd=4,
        conversion_factor=0.85,
        expiry="2026-12-21",
    ),
    row(12, "SR3H7", AssetClass.RATES_FUTURE, multiplier=2500.0, expiry="2027-03-17"),
    government(13, 4, 0.0, quote="yield", multiplier=1.0),
    row(14, "XYZ", AssetClass.EQUITY, multiplier=1.0),
]
CLEAN = {0: 100.2, 1: 100.3, 2: 100.1, 3: 99.5, 4: 98.7, 5: 97.0, 6: 93.5, 7: 91.0}
MIDS = np.array([*CLEAN.values(), 101.0, 62.0, 9.5, 112.0, 96.3, 4.0, 50.0])


def at(measures, id_):
    return int(np.flatnonzero(measures.ids == id_)[0])


@pytest.fixture
def market():
    made = rates.Rates(Reference(MARKET))
    return made, made.step(MIDS, NOON)


def test_every_row_of_its_classes_has_numbers_and_no_other(market):
    made, found = market
    assert sorted(found.ids.tolist()) == list(range(14))
    assert made.refused == {}
    assert np.isfinite(found.dv01).all()
    assert np.isfinite(found.pv01).all()
    assert list(made.curves) == ["USD"]


def test_a_bond_is_what_its_kernels_say(market):
    _, found = market
    flows = schedule.flows(rates.terms(MARKET[5]), AS_OF)
    out = np.full((4, 1), np.nan)
    bond.measure(
        *(np.array([flows.convention]), np.array([2.0]), np.array([flows.start])),
        *(np.array([4.0]), np.array([flows.accrued]), np.array([0, len(flows.days)])),
        *(flows.amounts, np.array([97.0]), out),
    )
    here = at(found, 5)
    assert found.yields[here] == pytest.approx(100 * out[bond.YIELD, 0], rel=1e-12)
    assert found.duration[here] == pytest.approx(out[bond.DURATION, 0], rel=1e-12)
    # A unit of quantity is a dollar of face: a hundredth of the price of 100.
    assert found.dv01[here] == pytest.approx(out[bond.DV01, 0] / 100, rel=1e-12)
    assert found.dirty[here] == pytest.approx((97.0 + flows.accrued) / 100, rel=1e-14)
    assert found.accrued[here] == flows.accrued
    assert found.jump[here] == pytest.approx(0.4 - found.dirty[here], rel=1e-14)
    assert found.cs01[here] == -found.pv01[here]


def test_the_curve_prices_its_bonds_and_the_corporate_trades_over_it(market):
    made, found = market
    assert max(abs(entry.residual_bp) for entry in made.curves["USD"].report()) < 3.0
    assert {entry.instrument for entry in made.curves["USD"].report()} == {*range(8), 12, 13}
    here = at(found, 8)
    assert 90.0 < found.z_spread_bp[here] < 115.0
    gap = found.yields[here] - found.yields[at(found, 5)]
    assert found.z_spread_bp[here] == pytest.approx(100 * gap, abs=8.0)
    assert np.abs(found.z_spread_bp[[at(found, id_) for id_ in range(8)]]).max() < 3.0


def test_a_bond_quoted_in_yield_is_priced_from_it(market):
    _, found = market
    here = at(found, 13)
    assert found.yields[here] == pytest.approx(4.0, abs=1e-10)
    assert 0.85 < found.dirty[here] < 0.86  # Of a dollar of face, whatever its multiplier.


def test_futures(market):
    _, found = market
    future, ctd, short = at(found, 11), at(found, 4), at(found, 12)
    # A point of the future is 1,000 dollars; of a dollar's face of the bond a cent.
    scale = 1000.0 / 0.85 / 0.01
    assert found.dv01[future] == pytest.approx(found.dv01[ctd] * scale, rel=1e-13)
    assert found.key_rate[future] == pytest.approx(found.key_rate[ctd] * scale, rel=1e-13)
    assert found.dv01[short] == pytest.approx(25.0, rel=1e-15)  # The exchange's figure.
    assert found.yields[short] == pytest.approx(3.7)
    assert found.pv01[short] == pytest.approx(25.0 * (1 + 0.037 * 92 / 365), rel=1e-12)


def test_swaps(market):
    _, found = market
    by_spread, by_upfront = at(found, 9), at(found, 10)
    assert found.z_spread_bp[by_spread] == pytest.approx(62.0, rel=1e-12)
    assert found.dirty[by_spread] < 0.0 < found.dirty[by_upfront] + found.accrued[by_upfront] / 100
    assert found.z_spread_bp[by_upfront] > 600.0
    assert found.cs01[by_spread] == pytest.approx(4.6e-4, rel=0.05)
    assert found.jump[by_spread] == pytest.approx(0.6, abs=0.03)
    assert 0.03 < found.expected_loss[by_spread] < 0.05
    assert math.isnan(found.yields[by_spread])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.05, 0.05), min_size=15, max_size=15))
def test_buckets_sum_to_pv01_whatever_prices_are(moves):
    made = rates.Rates(Reference(MARKET))
    found = made.step(MIDS * (1.0 + np.array(moves)), NOON)
    known = np.isfinite(found.pv01)
    assert known.sum() >= 12
    total, size = found.key_rate.sum(axis=1), np.abs(found.key_rate).sum(axis=1)
    assert (np.abs(total - found.pv01)[known] <= 1e-14 * size[known]).all()
    own = found.key_rate_dv01.sum(axis=1)
    assert own[known] == pytest.approx(found.dv01[known], rel=1e-12)


def test_key_rates_are_what_a_moved_curve_does(market):
    made, found = market
    curve, key_rate = made.curves["USD"], found.key_rate[at(found, 5)].copy()
    flows = schedule.flows(rates.terms(MARKET[5]), AS_OF)
    spread = found.z_spread_bp[at(found, 5)] * 1e-4
    t = np.r_[(flows.settle - AS_OF) / 365, (flows.days - AS_OF) / 365]
    q = -np.log(curve.discount(t))

    def worth(move):
        moved = q + move * t
        return flows.amounts @ np.exp(moved[0] - moved[1:] - spread * (t[1:] - t[0])) / 100

    for k, key in enumerate(rates.KEYS):
        knots = [0.0, *rates.KEYS, 99.0]
        heights = [float(k == 0), *(float(other == key) for other in rates.KEYS), float(k == 5)]
        tent = np.interp(t, knots, heights)
        change = (worth(-1e-6 * tent) - worth(1e-6 * tent)) / 2e-6 * 1e-4
        assert key_rate[k] == pytest.approx(change, rel=1e-6, abs=1e-12)


def test_a_step_again_is_the_same_and_follows_prices(market):
    made, found = market
    first = {name: getattr(found, name).copy() for name in ("yields", "z_spread_bp", "key_rate")}
    made.step(MIDS * 0.99, NOON)
    again = made.step(MIDS, NOON)
    for name, value in first.items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-6, atol=1e-6)
    fresh = rates.Rates(Reference(MARKET)).step(MIDS, NOON)
    np.testing.assert_allclose(fresh.key_rate, again.key_rate, rtol=1e-6, atol=1e-9)


def test_what_has_no_price_has_no_numbers_and_harms_no_other(market):
    _, before = market
    kept = before.yields.copy()
    mids = MIDS.copy()
    mids[[4, 9]] = np.nan
    found = rates.Rates(Reference(MARKET)).step(mids, NOON)
    for id_ in (4, 9, 11):  # The future on bond 4 as well.
        here = at(found, id_)
        assert math.isnan(found.dv01[here])
        assert np.isnan(found.key_rate[here]).all()
    assert math.isnan(found.yields[at(found, 4)])
    others = [at(found, id_) for id_ in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert found.yields[others] == pytest.approx(kept[others], rel=1e-14)
    assert np.isfinite(found.z_spread_bp[others]).all()
    nothing = rates.Rates(Reference(MARKET)).step(np.full(15, np.nan), NOON)
    assert np.isnan(nothing.dv01).all()


def test_mids_may_be_fewer_than_the_reference():
    found = rates.Rates(Reference(MARKET)).step(MIDS[:8], NOON)
    assert np.isfinite(found.dv01[[at(found, id_) for id_ in range(8)]]).all()
    assert math.isnan(found.dv01[at(found, 8)])


def test_what_terms_do_not_tell_is_refused_by_name():
    rows = [
        government(0, 5, None, coupon_frequency=0, day_count=""),
        row(1, "UST old", GOVERNMENT, coupon=4.0, expiry="2026-11-20", day_count="30/360"),
        swap(2, coupon=None, coupon_frequency=0, day_count=""),
        row(3, "FGBLZ6", AssetClass.RATES_FUTURE, expiry="2026-12-08"),
        swap(4, expiry="2026-11-19"),
    ]
    made = rates.Rates(Reference(rows))
    assert len(made.step(np.full(5, 99.0), NOON).ids) == 1  # The future, without numbers.
    reasons = ("coupon is not known", "matured", "needs coupon", "cheapest", "matured")
    for id_, word in enumerate(reasons):
        assert word in made.refused[id_]
        assert rows[id_].symbol in made.refused[id_]


def test_a_new_reference_or_day_is_prepared_anew():
    reference = Reference(MARKET)
    made = rates.Rates(reference)
    before = made.step(MIDS, NOON).accrued.copy()
    found = made.step(MIDS, NOON + 3 * 86_400 * 10**9)  # Monday.
    assert found.accrued[at(found, 5)] != before[at(found, 5)]
    reference.update([replace(MARKET[5], coupon=4.5)])
    found = made.step(MIDS, NOON)
    assert found.accrued[at(found, 5)] == pytest.approx(before[at(found, 5)] * 4.5 / 4.0)


def test_the_benchmark_is_the_home_countrys():
    rows = [
        government(id_, years, currency="EUR", country="DE", coupon_frequency=1)
        for id_, years in enumerate((2, 5, 10, 30))
    ]
    italy = replace(rows[2], id=4, symbol="BTP 10", country="IT")
    made = rates.Rates(Reference([*rows, italy]))
    found = made.step(np.array([103.0, 106.0, 108.0, 110.0, 98.0]), NOON)
    assert {entry.instrument for entry in made.curves["EUR"].report()} == {0, 1, 2, 3}
    assert found.z_spread_bp[at(found, 4)] > 90.0
    alone = rates.Rates(Reference([replace(italy, id=0)]))
    alone.step(np.array([98.0]), NOON)
    assert {entry.instrument for entry in alone.curves["EUR"].report()} == {0}


def test_negative_yields_and_curves():
    rows = [
        government(id_, years, 0.0, currency="EUR", country="DE", coupon_frequency=0)
        for id_, years in enumerate((2, 5, 10))
    ]
    made = rates.Rates(Reference(rows))
    found = made.step(np.array([101.0, 102.0, 101.0]), NOON)
    assert (found.yields < 0.0).all()
    assert (made.curves["EUR"].zero(np.array([2.0, 5.0])) < 0.0).all()
    assert np.abs(found.z_spread_bp).max() < 1.0


def test_the_demo_universe_has_numbers():
    rows = universe(1_000)
    reference = Reference(rows)
    mids = np.full(len(reference), np.nan)
    for entry in rows:
        mids[entry.id] = math.nan if entry.close_prev is None else entry.close_prev
    made = rates.Rates(reference)
    found = made.step(mids, (DAY(UNIVERSE_DAY) * 24 + 15) * 3_600 * 10**9)
    wanted = sum(entry.asset_class in rates.CLASSES for entry in rows)
    assert np.isfinite(found.dv01).sum() >= 0.95 * wanted, made.refused
    bonds = np.isfinite(found.convexity)
    assert (np.abs(found.key_rate.sum(1) - found.pv01)[bonds] <= 1e-14 * found.pv01[bonds]).all()
    for curve in made.curves.values():
        assert curve.rounds > 0
    swaps = [at(found, entry.id) for entry in rows if entry.quote == "spread"]
    assert len(swaps) > 0
    assert (found.cs01[swaps] > 0.0).all()
    assert credit.MEASURES[credit.CS01] == "cs01"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 14), min_size=1, max_size=6),
    st.sampled_from([0.0, -1.0, 1e-9, 1e6, 1e12, math.inf, -math.inf, math.nan]),
)
def test_a_mid_that_is_no_price_poisons_nothing(wrong, value):
    mids = MIDS.copy()
    mids[wrong] = value
    made = rates.Rates(Reference(MARKET))
    made.step(MIDS, NOON)
    made.step(mids, NOON)
    healed = made.step(MIDS, NOON)
    expected = rates.Rates(Reference(MARKET)).step(MIDS, NOON)
    for name in ("yields", "dv01", "z_spread_bp", "pv01"):
        found, right = getattr(healed, name), getattr(expected, name)
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)
