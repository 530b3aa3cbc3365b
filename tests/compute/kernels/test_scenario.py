"""The scenario grid against QuantLib's values at the moved market."""

import numpy as np
import pytest

from compute.kernels import exposure, scenario
from compute.losses import _GRID_AT, POINTS, RATES, SPOTS, compiled
from compute.table import ANALYTICS, RISK, Model
from compute.term import TERMS

SPOT, STRIKE, YEARS, RATE, VOLATILITY = 100.0, 105.0, 0.75, 4.0, 30.0
FORWARD = 101.5


def test_numbers_are_those_of_the_shapes():
    assert scenario.BLACK_76 == Model.BLACK_76
    assert scenario.BLACK_76_AMERICAN == Model.BLACK_76_AMERICAN


def run(model=Model.BLACK_SCHOLES_MERTON, risk=None, greeks=None, **term):
    """(P&L by cell, missing, worst) of 10 contracts of 100."""
    terms, analytics = np.zeros(2, TERMS), ANALYTICS.empty(2)
    fields = {"sign": 1.0, "strike": STRIKE, "spot_weight": 1.0, "coin_usd": 100.0} | term
    for name, number in fields.items():
        terms[name][0] = number
    market = {"underlying_price": SPOT, "forward": FORWARD, "years": YEARS, "rate": RATE}
    market |= {"smile": VOLATILITY, "early": 0.0, "model": float(model)} | (greeks or {})
    for name, number in market.items():
        analytics[:, ANALYTICS.index(name)] = number
    line = np.zeros((1, RISK.width)) if risk is None else risk
    out, missing, worst = np.empty((1, len(SPOTS))), np.empty(1, np.int64), np.empty(1)
    compiled()(
        *(line, np.full(1, 10.0), np.full(1, 100.0), np.zeros(1, np.int64), np.zeros(1, np.int64)),
        *(analytics, _GRID_AT, terms, SPOTS, POINTS, RATES, out, missing, worst),
    )
    return out[0], missing[0], worst[0]


def test_the_first_cell_is_here_and_now():
    assert (SPOTS[0], POINTS[0], RATES[0]) == (0.0, 0.0, 0.0)
    assert len(SPOTS) == 7 * 5 * 3


@pytest.mark.parametrize("model", [m for m in Model if m < Model.BOND])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("american", [0, 1])
def test_nothing_moved_is_exactly_zero(model, sign, american):
    greeks = {"smile": 30.0, "early": 0.4}
    profit, missing, worst = run(model, greeks=greeks, sign=sign, american=american)
    assert profit[0] == 0.0
    assert missing == 0
    assert worst == profit.min()
    assert np.isfinite(profit).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("model", [Model.BLACK_SCHOLES_MERTON, Model.BLACK_76])
def test_options_are_quantlibs_at_the_moved_market(model, sign):
    ql = pytest.importorskip("QuantLib")
    kind = ql.Option.Call if sign > 0 else ql.Option.Put
    forward = SPOT if model == Model.BLACK_76 else FORWARD
    profit, _, _ = run(model, greeks={"forward": forward}, sign=sign)
    income = RATE / 100 - np.log(forward / SPOT) / YEARS

    def value(spot, points, bp):
        rate = RATE / 100 + bp * 1e-4
        yields = rate if model == Model.BLACK_76 else income
        sigma = max(VOLATILITY / 100 + points / 100, 0.0) * np.sqrt(YEARS)
        discount = np.exp(-rate * YEARS)
        carried = spot * np.exp((rate - yields) * YEARS)
        return ql.blackFormula(kind, STRIKE, float(carried), float(sigma), float(discount))

    base = value(SPOT, 0.0, 0.0)
    for cell, (s, v, r) in enumerate(zip(SPOTS, POINTS, RATES, strict=True)):
        wanted = (value(SPOT * (1 + s), v, r) - base) * 10 * 100
        assert profit[cell] == pytest.approx(wanted, rel=1e-9, abs=1e-7)


def test_normal_options_are_quantlibs_and_prices_may_be_negative():
    ql = pytest.importorskip("QuantLib")
    greeks = {"underlying_price": -2.0, "forward": -2.0, "smile": 10.0}  # In units of price a year.
    profit, _, _ = run(Model.BACHELIER, greeks=greeks, sign=-1.0, strike=1.0)

    def value(spot, points, bp):
        sigma = 10.0 + points / 100 * 2.0
        discount = np.exp(-(RATE / 100 + bp * 1e-4) * YEARS)
        deviation = float(sigma * np.sqrt(YEARS))
        put = ql.Option.Put
        return ql.bachelierBlackFormula(put, 1.0, float(spot), deviation, float(discount))

    for cell, (s, v, r) in enumerate(zip(SPOTS, POINTS, RATES, strict=True)):
        wanted = (value(-2.0 * (1 + s), v, r) - value(-2.0, 0.0, 0.0)) * 10 * 100
        assert profit[cell] == pytest.approx(wanted, rel=1e-9, abs=1e-7)


def test_an_american_option_is_worth_what_exercise_pays():
    ql = pytest.importorskip("QuantLib")
    held, _, _ = run(Model.BLACK_SCHOLES_MERTON_AMERICAN, sign=-1.0, american=1)
    european, _, _ = run(Model.BLACK_SCHOLES_MERTON, sign=-1.0)
    down = int(np.flatnonzero((SPOTS == -0.2) & (POINTS == -10.0) & (RATES == 100.0))[0])
    deviation = VOLATILITY / 100 * YEARS**0.5
    discount = float(np.exp(-RATE / 100 * YEARS))
    base = ql.blackFormula(ql.Option.Put, STRIKE, FORWARD, deviation, discount)
    assert base > STRIKE - SPOT  # Here it is worth more alive.
    assert held[down] == pytest.approx(1_000.0 * (STRIKE - 80.0 - base))
    assert held[down] > european[down]


def test_the_rest_goes_by_its_sensitivities():
    risk = np.zeros((1, RISK.width))
    risk[0, [exposure.DELTA, exposure.VALUE]] = 5e6, 5e6
    profit, _, worst = run(risk=risk, sign=0.0)
    assert np.allclose(profit, 5e6 * SPOTS)
    assert worst == -1e6
    risk[0, exposure.DV01] = 4_000.0
    profit, _, _ = run(risk=risk, sign=0.0, spot_weight=0.0)
    assert np.allclose(profit, -4_000.0 * RATES)


def test_an_option_on_a_rates_future_moves_with_rates():
    fields = {"rates": exposure.RATES_OF_UNDERLYING, "underlying": 1, "spot_weight": 0.0}
    greeks = {"dv01": 0.06, "forward": SPOT}
    profit, _, _ = run(Model.BLACK_76, greeks=greeks, **fields)
    up = int(np.flatnonzero((SPOTS == 0) & (POINTS == 0) & (RATES == 100.0))[0])
    down = int(np.flatnonzero((SPOTS == 0) & (POINTS == 0) & (RATES == -100.0))[0])
    assert profit[up] < 0.0 < profit[down]


def test_what_is_not_known_is_left_out_and_counted():
    profit, missing, worst = run(greeks={"smile": np.nan})
    assert missing == 1
    assert np.isnan(worst)
    assert not profit.any()
    risk = np.full((1, RISK.width), np.nan)
    assert run(risk=risk, sign=0.0)[1] == 1
