"""Lines and sums of exposure, against exact rationals and plain sums."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.kernels import exposure as kernel
from compute.table import ANALYTICS, EXPOSURES, INSTRUMENTS, RISK, Model, State
from compute.term import TERMS

TENORS = np.array([0.25, 1.0, 2.0, 5.0, 10.0, 30.0])
AT = np.arange(13)
NOW_MS = 1e12


def test_numbers_are_those_of_the_shapes():
    assert (kernel.CLOSED, kernel.COIN) == (State.CLOSED, Model.BLACK_76_COIN)
    american = Model.BACHELIER_EARLY_EXERCISE_LEFT_OUT
    assert (Model.BACHELIER, american) == (kernel.BACHELIER, kernel.BACHELIER_AMERICAN)
    assert RISK.names[: kernel.WIDTH][-2:] == ("stale", "days_to_exit")
    assert RISK.names[kernel.KEY_RATE] == "kr_3m"
    names = [name.removesuffix("_usd") for name in RISK.names[: kernel.SUMMED]]
    first = EXPOSURES.index("value")
    assert list(EXPOSURES.names[first : first + kernel.SUMMED]) == names


def lines(quantity, value, unit, greeks, key_rates=None, age_ms=0.0, **term):
    """One position's row; `greeks` by name of ANALYTICS."""
    terms = np.zeros(2, TERMS)
    terms["multiplier"] = terms["usd_rate"] = terms["coin_usd"] = 1.0
    terms["stale_ms"], terms["adv"], terms["expiry_ms"] = 60_000.0, np.nan, np.nan
    for name, number in term.items():
        terms[name][0] = number
    instruments, analytics = INSTRUMENTS.empty(2), ANALYTICS.empty(2)
    instruments[:, INSTRUMENTS.index("ts_mark")] = NOW_MS - age_ms
    instruments[:, INSTRUMENTS.index("state")] = 0.0
    for name, number in greeks.items():
        analytics[:, ANALYTICS.index(name)] = number
    from compute.exposure import _LINES_AT

    out = np.empty((1, RISK.width))
    keys = np.full((2, 6), np.nan) if key_rates is None else np.tile(key_rates, (2, 1))
    one = [np.array([number], float) for number in (quantity, value, unit)]
    kernel.lines(
        *(one[0], np.array([0]), one[1], one[2], instruments, analytics, _LINES_AT),
        *(terms, TENORS, keys, NOW_MS, out),
    )
    return dict(zip(RISK.names, out[0].tolist(), strict=True))


OPTION = {"underlying_price": 200.0, "delta": 0.55, "gamma": 0.013, "vega": 0.31}
OPTION |= {"theta": -0.07, "rho": 0.002, "model": 6.0}


def test_cash_greeks_are_exact_products():
    row = lines(-30.0, -9_000.0, 125.0, OPTION, sign=1.0, strike=210.0, beta=1.2)
    money = Fraction(-30) * 125
    exact = {
        "delta_usd": Fraction(0.55) * 200 * money,
        "gamma_usd": Fraction(0.013) * 200 * 200 * money / 100,
        "vega_usd": Fraction(0.31) * money,
        "theta_usd": Fraction(-0.07) * money,
        "rho_usd": Fraction(0.002) * money,
    }
    for name, wanted in exact.items():
        assert row[name] == pytest.approx(float(wanted), rel=4e-16)
    assert row["beta_usd"] == pytest.approx(1.2 * row["delta_usd"], rel=1e-15)
    assert row["value_usd"] == -9_000.0


def test_gamma_is_the_change_of_delta_for_one_percent():
    # QuantLib as the oracle: delta cash at 101 % of S, at the old S.
    ql = pytest.importorskip("QuantLib")
    payoff = ql.PlainVanillaPayoff(ql.Option.Call, 100.0)
    at = [ql.BlackCalculator(payoff, spot, 0.2, 1.0) for spot in (99.99, 100.0, 100.01)]
    greeks = OPTION | {
        "underlying_price": 100.0,
        "delta": at[1].delta(100.0),
        "gamma": at[1].gamma(100.0),
    }
    row = lines(10.0, 1.0, 100.0, greeks, sign=1.0, strike=100.0)
    slope = (at[2].delta(100.01) - at[0].delta(99.99)) / 0.02  # per 1 of spot, 1 % is 1
    assert row["gamma_usd"] == pytest.approx(slope * 100.0 * 10 * 100, rel=1e-6)


def test_what_is_linear_moves_with_its_value_and_has_no_greeks():
    row = lines(5.0, 700.0, 1.0, {}, beta=0.0)
    assert row["delta_usd"] == row["value_usd"] == 700.0
    assert [row[name] for name in ("vega_usd", "gamma_usd", "dv01_usd", "cs01_usd")] == [0.0] * 4


def test_a_flat_line_is_zero_whatever_is_unknown():
    row = lines(0.0, np.nan, np.nan, {}, sign=1.0)
    assert all(row[name] == 0.0 for name in RISK.names[: kernel.WIDTH])


def test_a_held_position_without_mark_or_greeks_is_blank():
    assert np.isnan(lines(1.0, np.nan, 1.0, {})["delta_usd"])
    row = lines(1.0, 5.0, 1.0, {"underlying_price": 3.0}, sign=-1.0)
    assert np.isnan(row["delta_usd"])
    assert np.isnan(row["vega_usd"])
    assert row["value_usd"] == 5.0
    assert np.isnan(lines(1.0, 5.0, 1.0, {}, beta=np.nan)["beta_usd"])


@given(st.floats(0.0, 60.0), st.floats(-1e6, 1e6), st.booleans())
@settings(deadline=None)
def test_key_rates_add_up_to_dv01(years, dv01, known):
    keys = np.array([0.1, 0.2, -0.05, 1.0, 2.0, 0.3]) if known else None
    greeks = {"dv01": dv01, "duration": years}
    row = lines(7.0, 1.0, 3.0, greeks, keys, rates=kernel.OWN_RATES)
    buckets = [row[name] for name in RISK.names if name.startswith("kr_")]
    assert row["dv01_usd"] == pytest.approx(7.0 * 3.0 * dv01)
    assert abs(sum(buckets) - row["dv01_usd"]) <= 1e-14 * abs(row["dv01_usd"]) + 1e-300
    if not known:
        assert sum(bucket != 0.0 for bucket in buckets) <= 2
        inside = min(max(years, TENORS[0]), TENORS[-1])
        assert np.dot(buckets, TENORS) == pytest.approx(row["dv01_usd"] * inside, abs=1e-6)


def test_an_option_on_a_rates_future_has_the_futures_rates():
    row = lines(
        *(2.0, 1.0, 1_000.0, OPTION | {"dv01": 65.0, "duration": 7.0}),
        sign=1.0,
        rates=kernel.RATES_OF_UNDERLYING,
        underlying=1,
    )
    assert row["dv01_usd"] == pytest.approx(0.55 * 65.0 * 2.0 * 1_000.0)


def test_stale_by_the_age_of_the_mark():
    assert lines(1.0, 1.0, 1.0, {}, age_ms=59_999.0)["stale"] == 0.0
    assert lines(1.0, 1.0, 1.0, {}, age_ms=60_001.0)["stale"] == 1.0
    assert lines(1.0, 1.0, 1.0, {}, age_ms=np.nan)["stale"] == 1.0


def test_days_to_exit_at_a_fifth_of_the_volume():
    assert lines(-500.0, 1.0, 1.0, {}, adv=1_000.0)["days_to_exit"] == 2.5
    assert np.isnan(lines(1.0, 1.0, 1.0, {})["days_to_exit"])


def summed(risk, quantity, groups, roots, order=None):
    """[groups, SUMS] and sides of lines that are each in one group; cells are (group, root)."""
    order = np.arange(len(quantity)) if order is None else order
    pairs, cells = np.unique(np.stack((groups, roots), 1)[order], axis=0, return_inverse=True)
    count = int(groups.max(initial=0)) + 1
    total, sides = np.empty((count, kernel.SUMS)), np.empty((count, 3))
    kernel.groups(
        *(risk[order], quantity[order], quantity[order] * 0, quantity[order] * 0),
        *(
            cells.reshape(-1, 1).astype(np.int32),
            np.ones((len(order), 1), np.int8),
            np.ascontiguousarray(pairs[:, 0]),
        ),
        *(np.full(len(pairs), -1), np.zeros(0, np.int64), np.zeros((0, 2), np.int64)),
        *(np.empty(len(pairs)), np.zeros(0), total, sides),
    )
    return total, sides


@given(st.integers(0, 60), st.integers(0, 2**31))
@settings(deadline=None)
def test_group_sums_are_the_whole_in_any_order(count, seed):
    dice = np.random.default_rng(seed)
    risk = dice.normal(size=(count, RISK.width)) * 10.0 ** dice.integers(-3, 9, (count, 1))
    quantity = dice.integers(-1, 2, count).astype(float)
    groups, roots = dice.integers(0, 4, count), dice.integers(0, 5, count)
    total, sides = summed(risk, quantity, groups, roots)
    shuffled, shuffled_sides = summed(risk, quantity, groups, roots, dice.permutation(count))
    held = quantity != 0.0
    bound = 2 * max(count, 1) * 2.3e-16 * np.abs(risk[held, : kernel.SUMMED]).sum(0)
    exact = [float(sum(map(Fraction, risk[held, j].tolist()))) for j in range(kernel.SUMMED)]
    assert np.all(np.abs(total[:, : kernel.SUMMED].sum(0) - exact) <= bound)
    assert np.all(np.abs(total - shuffled)[:, : kernel.SUMMED] <= bound)
    net = sides[:, kernel.LONG] + sides[:, kernel.SHORT]
    limit = bound[kernel.DELTA]
    assert np.all(np.abs(net - total[:, kernel.DELTA]) <= limit)
    assert np.all(np.abs(sides - shuffled_sides) <= limit)
    gross = sides[:, kernel.LONG] - sides[:, kernel.SHORT]
    assert np.all(gross <= total[:, kernel.ABSOLUTE] + limit)
    assert total[:, kernel.LINES].sum() == held.sum()


def test_an_option_and_its_hedge_net_and_two_shares_do_not():
    risk = np.zeros((3, RISK.width))
    risk[:, kernel.DELTA] = 100.0, -60.0, -30.0
    _, sides = summed(risk, np.ones(3), np.zeros(3, int), np.array([1, 1, 2]))
    assert sides[0, :2].tolist() == [40.0, -30.0]


def test_what_is_not_known_blanks_its_sums_and_is_counted():
    risk = np.ones((3, RISK.width))
    risk[1, kernel.DELTA] = np.nan
    total, sides = summed(risk, np.ones(3), np.array([0, 0, 1]), np.arange(3))
    assert np.isnan(total[0, kernel.DELTA])
    assert np.isnan(sides[0, :2]).all()
    assert total[0, kernel.VALUE] == 2.0
    assert total[:, kernel.MISSING].tolist() == [1.0, 0.0]
    assert sides[1, kernel.LONG] == 1.0


def test_nothing_held_is_nothing():
    total, sides = summed(
        np.zeros((0, RISK.width)), np.zeros(0), np.zeros(0, int), np.zeros(0, int)
    )
    assert not total.any()
    assert not sides.any()
