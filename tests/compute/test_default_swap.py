"""Default swaps against QuantLib's engine of the ISDA model, and against their own laws."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import curve as curves
from compute import default_swap, schedule
from compute.kernels import credit
from compute.kernels import curve as kernel

DAY = schedule.day_number
AS_OF = DAY("2026-11-20")
NODE = np.array([91, 365, 730, 1096, 1826, 2557, 3653, 7305]) / 365.0
CURVE = curves.Curve("USD", AS_OF, NODE, NODE * (0.034 + 0.0008 * NODE))
TENORS = [DAY(f"{2026 + years}-12-20") for years in (1, 3, 5, 7, 10)]
MATURITY = TENORS[2]
OUT = {name: row for row, name in enumerate(credit.MEASURES)}


@pytest.fixture(scope="module")
def ql():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("QuantLib", reason="QuantLib is not installed")


def quoted(quote, coupon=0.01, recovery=0.4, maturity=MATURITY, by=credit.BY_SPREAD, curve=CURVE):
    """(measures by name, key rates) of one swap."""
    made = default_swap.grids([maturity], curve.as_of, [curve.node])
    q, pay_q, settle_q = (
        default_swap.on_curve(curve.node, curve.q, t) for t in (made.t, made.pay_t, made.settle_t)
    )
    out, key_rate = np.full((10, 1), np.nan), np.empty((1, 6))
    credit.quoted(
        *(made.point, made.t, q, made.accrual, made.pay, pay_q),
        *(default_swap.moves(made.t), default_swap.moves(made.pay_t)),
        *(settle_q, default_swap.moves(made.settle_t), made.accrued),
        *(np.array([coupon]), np.array([recovery]), np.array([by])),
        *(np.array([float(quote)]), out, key_rate),
    )
    return {name: float(out[row, 0]) for name, row in OUT.items()}, key_rate[0]


def ql_date(ql, day):
    found = schedule.calendar_date(int(day))
    return ql.Date(found.day, found.month, found.year)


def ql_curve(ql, curve):
    days = [curve.as_of, *(curve.as_of + np.round(curve.node * 365).astype(int))]
    factors = [1.0, *curve.discount(curve.node)]
    return ql.DiscountCurve([ql_date(ql, day) for day in days], factors, ql.Actual365Fixed())


def ql_swap(ql, maturity, coupon, hazards, recovery=0.4, curve=CURVE):
    """The standard contract, bought, on hazards [(day, rate)], without half-day bias."""
    as_of = ql_date(ql, curve.as_of)
    ql.Settings.instance().evaluationDate = as_of
    dates = ql.Schedule(
        *(as_of, ql_date(ql, maturity), ql.Period(3, ql.Months), ql.WeekendsOnly()),
        *(ql.Following, ql.Unadjusted, ql.DateGeneration.CDS2015, False),
    )
    paid = ql.WeekendsOnly().advance(as_of, 3, ql.Days)
    made = ql.CreditDefaultSwap(
        *(ql.Protection.Buyer, 1.0, 0.0, coupon, dates, ql.Following, ql.Actual360()),
        *(True, True, as_of + 1, paid, ql.FaceValueClaim(), ql.Actual360(True), True, as_of),
    )
    days = [as_of, *(ql_date(ql, day) for day, _ in hazards)]
    rates = [hazards[0][1], *(rate for _, rate in hazards)]
    name = ql.HazardRateCurve(days, rates, ql.Actual365Fixed())
    name.enableExtrapolation()
    engine = ql.IsdaCdsEngine(
        *(ql.DefaultProbabilityTermStructureHandle(name), recovery),
        *(ql.YieldTermStructureHandle(ql_curve(ql, curve)), False),
        *(ql.IsdaCdsEngine.Taylor, ql.IsdaCdsEngine.NoBias, ql.IsdaCdsEngine.Piecewise),
    )
    made.setPricingEngine(engine)
    return made


# QuantLib lets the last coupon depend on survival to the day before the end, the ISDA model to the
# end: a day of hazard times a quarter's coupon, at most 1 / 365 x 0.3 x 0.013 here.
@pytest.mark.parametrize("maturity", TENORS)
@pytest.mark.parametrize(("spread", "coupon"), [(0.0052, 0.01), (0.033, 0.05), (0.12, 0.05)])
def test_the_flat_quote_is_quantlibs(ql, maturity, spread, coupon):
    found, _ = quoted(spread, coupon, maturity=maturity)
    made = ql_swap(ql, maturity, coupon, [(maturity + 40, found["hazard"])])
    day = found["hazard"] / 365.0
    assert made.fairSpread() == pytest.approx(spread, abs=day * 0.26 * spread / 0.8)
    assert made.NPV() == pytest.approx(found["value"], abs=day * 0.26 * coupon)
    settle = CURVE.discount(5 / 365)[0]
    assert made.fairUpfront() == pytest.approx(found["upfront"], abs=1.1 * day * 0.26 * coupon)
    assert found["upfront"] == pytest.approx(found["value"] / settle, rel=1e-14)
    assert found["accrued"] == pytest.approx(coupon * 61 / 360)  # From 21 September, both days.


def test_sensitivities_are_quantlibs_differences(ql):
    coupon = 0.01
    found, key_rate = quoted(0.0052, coupon)

    def value(spread, recovery=0.4, curve=CURVE):
        hazard = quoted(spread, coupon, recovery, curve=curve)[0]["hazard"]
        swap = ql_swap(ql, MATURITY, coupon, [(MATURITY + 40, hazard)], recovery, curve)
        return swap.NPV()

    cs01 = (value(0.00525) - value(0.00515)) / 1.0
    assert found["cs01"] == pytest.approx(cs01, rel=2e-4)
    recovery01 = (value(0.0052, 0.405) - value(0.0052, 0.395)) / 1.0
    assert found["recovery01"] == pytest.approx(recovery01, rel=2e-3)
    down, up = (
        curves.Curve("USD", AS_OF, NODE, CURVE.q + move * NODE) for move in (-0.5e-4, 0.5e-4)
    )
    ir01 = value(0.0052, curve=down) - value(0.0052, curve=up)
    assert key_rate.sum() == pytest.approx(ir01, rel=2e-3)
    assert found["jump"] == pytest.approx(0.6 - found["value"], abs=1e-15)


def test_upfront_and_spread_are_inverse():
    for spread, coupon in ((0.0052, 0.01), (0.05, 0.05), (0.3, 0.05)):
        by_spread, key_rate = quoted(spread, coupon)
        by_upfront, again = quoted(by_spread["upfront"], coupon, by=credit.BY_UPFRONT)
        assert by_upfront["spread"] == pytest.approx(spread, rel=1e-11)
        for name, value in by_spread.items():
            assert by_upfront[name] == pytest.approx(value, rel=1e-8, abs=1e-14), name
        assert again == pytest.approx(key_rate, rel=1e-8, abs=1e-15)


def test_a_swap_at_its_coupon_is_worth_nothing():
    found, key_rate = quoted(0.01, 0.01)
    assert found["value"] == pytest.approx(0.0, abs=1e-12)
    assert key_rate == pytest.approx(0.0, abs=1e-14)
    assert found["recovery01"] == pytest.approx(0.0, abs=1e-12)
    assert found["cs01"] == pytest.approx(found["annuity"] * 1e-4, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1e-4, 0.6),
    st.sampled_from([0.01, 0.05]),
    st.floats(0.0, 0.8),
    st.integers(40, 4_200),
)
def test_sensitivities_are_differences(spread, coupon, recovery, days):
    maturity = AS_OF + days
    found, key_rate = quoted(spread, coupon, recovery, maturity)
    value = lambda **more: quoted(
        **({"quote": spread, "coupon": coupon, "recovery": recovery, "maturity": maturity} | more)
    )[0]["value"]
    step = 1e-4 * spread
    slope = (value(quote=spread + step) - value(quote=spread - step)) / (2.0 * step)
    assert found["cs01"] == pytest.approx(slope * 1e-4, rel=1e-5, abs=1e-12)
    slope = (value(recovery=recovery + 1e-5) - value(recovery=recovery - 1e-5)) / 2e-5
    assert found["recovery01"] == pytest.approx(slope * 0.01, rel=1e-5, abs=1e-10)
    # The tents bend q between nodes, where it is straight: so nodes wherever the grid has a point.
    made = default_swap.grids([maturity], AS_OF, [NODE])
    times = np.unique(np.concatenate((made.t, made.pay_t, made.settle_t, NODE)))
    node = times[times > 0.0]
    moves = default_swap.moves(node)
    q = default_swap.on_curve(NODE, CURVE.q, node)
    again, key_rate = quoted(
        spread, coupon, recovery, maturity, curve=curves.Curve("USD", AS_OF, node, q)
    )
    assert again["value"] == pytest.approx(found["value"], abs=1e-12)
    for k in range(6):
        up, down = (
            value(curve=curves.Curve("USD", AS_OF, node, q + sign * moves[:, k]))
            for sign in (0.5, -0.5)
        )
        assert key_rate[k] == pytest.approx(down - up, rel=1e-5, abs=1e-12)
    shift = curves.Curve("USD", AS_OF, node, q - 0.5e-4 * node)
    rise = curves.Curve("USD", AS_OF, node, q + 0.5e-4 * node)
    assert key_rate.sum() == pytest.approx(value(curve=shift) - value(curve=rise), abs=1e-11)


SPREADS = np.array([0.0030, 0.0045, 0.0062, 0.0075, 0.0090])


def test_the_hazard_curve_gives_back_its_quotes_and_is_quantlibs(ql):
    name = default_swap.HazardCurve(CURVE, TENORS)
    hazards = name.hazards(SPREADS)
    assert (hazards > 0.0).all()
    for maturity, spread in zip(TENORS, SPREADS, strict=True):
        assert name.value(maturity, 0.01, SPREADS)[1] == pytest.approx(spread, rel=1e-11)
    between = DAY("2030-12-20")
    pairs = list(zip(TENORS, hazards.tolist(), strict=True))
    made = ql_swap(ql, between, 0.01, pairs)
    value, spread = name.value(between, 0.01, SPREADS)
    assert made.NPV() == pytest.approx(value, abs=3e-7)
    assert made.fairSpread() == pytest.approx(spread, abs=1e-7)


def test_a_flat_hazard_curve_is_the_flat_quote():
    name = default_swap.HazardCurve(CURVE, [MATURITY])
    found, _ = quoted(0.0052)
    assert name.hazards(np.array([0.0052]))[0] == pytest.approx(found["hazard"], rel=1e-12)
    assert name.value(MATURITY, 0.01, np.array([0.0052]))[0] == pytest.approx(found["value"])
    parallel, each = name.cs01(MATURITY, 0.01, np.array([0.0052]))
    assert parallel == each[0] == pytest.approx(found["cs01"], rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.7, 1.6), min_size=5, max_size=5),
    st.integers(60, 3_600),
    st.sampled_from([0.01, 0.05]),
)
def test_bucketed_cs01_sums_to_the_parallel_one(scale, days, coupon):
    spreads = SPREADS * (1.0 + 0.2 * np.array(scale))
    name = default_swap.HazardCurve(CURVE, TENORS)
    parallel, each = name.cs01(AS_OF + days, coupon, spreads)
    assert each.sum() == pytest.approx(parallel, rel=1e-6, abs=1e-12)


def test_a_swap_of_a_tenor_moves_with_its_own_quote():
    name = default_swap.HazardCurve(CURVE, TENORS)
    parallel, each = name.cs01(MATURITY, 0.0062, SPREADS)  # At par: its own bucket alone.
    assert each[2] == pytest.approx(parallel, rel=1e-6)
    assert each[[0, 1, 3, 4]] == pytest.approx(0.0, abs=1e-9)


def test_what_is_unknown_stays_unknown_and_what_is_over_is_over():
    found, key_rate = quoted(math.nan)
    assert all(math.isnan(value) for value in found.values())
    assert np.isnan(key_rate).all()
    found, _ = quoted(0.01, maturity=AS_OF)
    assert math.isnan(found["value"])
    found, _ = quoted(0.01, curve=curves.Curve("USD", AS_OF, NODE, np.full(len(NODE), np.nan)))
    assert math.isnan(found["value"])
    found, _ = quoted(2.0, by=credit.BY_UPFRONT)  # More than all that can be lost.
    assert math.isnan(found["value"])


@pytest.mark.parametrize("tenors", [[MATURITY, TENORS[0]], [MATURITY, MATURITY], [AS_OF]])
def test_tenors_must_rise(tenors):
    with pytest.raises(ValueError, match="rising"):
        default_swap.HazardCurve(CURVE, tenors)


def test_no_piece_of_phi_jumps():
    for x in (-3.0, -0.5, -0.4999999, -1e-9, 0.0, 1e-9, 0.4999999, 0.5, 0.5000001, 3.0, 40.0):
        v = (np.arange(200_000) + 0.5) / 200_000
        expected = [(v**n * np.exp(-x * v)).mean() for n in range(3)]
        assert credit._phi(x) == pytest.approx(expected, rel=1e-8)


def test_the_keys_are_those_of_the_curve():
    assert default_swap.moves(np.array([2.0]))[0] == pytest.approx([0.0, 0.0, 2e-4, 0.0, 0.0, 0.0])
    assert len(kernel.KEYS) == 6
