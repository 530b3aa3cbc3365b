"""The smile: known surfaces come back, bad quotes stay out, and no arbitrage is left."""

import gzip
import json
import math
import time
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.kernels import american, black, smile

NONE = np.full(5, np.nan)
CHAIN = "cboe/AAPL_chain_2026-07-24_close_odd_expiries.json.gz"
VOGT = np.array([-0.0410, 0.1331, 0.3060, 0.3586, 0.4153])  # Its density is negative near k = 0.8.
SURFACE = (  # (years, slice)
    (0.02, (0.0002, 0.02, -0.3, 0.0, 0.02)),
    (0.25, (0.004, 0.08, -0.5, 0.02, 0.12)),
    (1.0, (0.02, 0.15, -0.4, 0.05, 0.2)),
    (3.0, (0.05, 0.2, -0.5, 0.1, 0.3)),
)


def svi(own, k):
    a, b, rho, m, s = own
    return a + b * (rho * (k - m) + np.sqrt((k - m) ** 2 + s * s))


def fit(k, w, error, before=NONE):
    own = np.empty(5)
    return own, smile.fit(k, w, error, np.asarray(before, np.float64), own)


def strikes(own, count=50):
    """k from three deviations below the money to two and a half above."""
    deviation = math.sqrt(svi(own, 0.0))
    return np.linspace(-3.0 * deviation, 2.5 * deviation, count)


@pytest.mark.parametrize(("years", "own"), SURFACE)
def test_a_known_slice_comes_back(years, own):
    k = strikes(own)
    w = svi(own, k)
    found, bits = fit(k, w, 2.0 * w * 0.004)
    assert bits == 0
    assert np.abs(np.sqrt(svi(found, k) / years) - np.sqrt(w / years)).max() <= 5e-6


def test_a_known_surface_comes_back_from_its_own_noisy_prices():
    """Prices -> quotes around them -> parity, volatilities, judgement, fit -> volatilities."""
    rng = np.random.default_rng(3)
    before, spot, rate, flow = NONE, 100.0, 0.03, 0.01
    for years, own in SURFACE:
        at, discount = spot * math.exp((rate - flow) * years), math.exp(-rate * years)
        true_k = strikes(own, 61)
        strike = at * np.exp(true_k)
        deviation = np.sqrt(svi(own, true_k) / years)
        sides = {}
        for sign in (1.0, -1.0):
            worth = _black(sign, spot, strike, years, deviation, rate, flow)
            half = 0.002 + 0.01 * worth
            middle = worth + rng.uniform(-0.3, 0.3, worth.size) * half
            sides[sign] = middle - half, middle + half
        found, error, used = smile.forward(strike, *sides[1.0], *sides[-1.0], discount)
        assert abs(found - at) <= 3.0 * error
        assert used >= 3
        sign = np.where(strike >= found, 1.0, -1.0)
        bid, ask = (np.where(sign > 0, sides[1.0][i], sides[-1.0][i]) for i in (0, 1))
        implied = _implied(sign, spot, strike, years, rate, flow, 0.5 * (bid + ask))
        k, w, blur, reason = judge(sign, strike, bid, ask, implied, found, discount, years)
        ok = reason == smile.USED
        assert ok.sum() > 30
        own_fit, bits = fit(k[ok], w[ok], blur[ok], before)
        assert bits == 0
        miss = np.sqrt(svi(own_fit, k[ok]) / years) - np.sqrt(svi(own, k[ok]) / years)
        assert np.sqrt((miss**2).mean()) <= 0.01 * deviation.mean()
        before = own_fit


def _black(sign, spot, strike, years, volatility, rate, flow):
    out = np.empty(strike.size)
    full = [np.full(strike.size, float(v)) for v in (sign, spot, years, rate, flow)]
    black.price(full[0], full[1], strike, full[2], volatility, full[3], full[4], out)
    return out


def _implied(sign, spot, strike, years, rate, flow, worth):
    """Bisection: slow and sure."""
    low, high = np.full(strike.size, 1e-4), np.full(strike.size, 5.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        out = np.empty(strike.size)
        full = [np.full(strike.size, float(v)) for v in (spot, years, rate, flow)]
        black.price(sign, full[0], strike, full[1], middle, full[2], full[3], out)
        low, high = np.where(out < worth, middle, low), np.where(out < worth, high, middle)
    return np.where(low < 2e-4, np.nan, 0.5 * (low + high))


def judge(sign, strike, bid, ask, implied, at, discount, years):
    k, w, error = (np.empty(strike.size) for _ in range(3))
    reason = np.empty(strike.size, np.uint8)
    used = smile.judge(sign, strike, bid, ask, implied, at, discount, years, k, w, error, reason)
    assert used == (reason == smile.USED).sum()
    return k, w, error, reason


def test_every_reason_to_refuse_a_quote():
    # forward 100, discount 1, a year, 20 %: calls at 100, 110 are worth about 7.97 and 4.29.
    table = [  # sign, strike, bid, ask, implied -> reason
        (1.0, 110.0, 4.2, 4.4, 0.2, smile.USED),
        (1.0, 110.0, 0.0, 4.4, 0.2, smile.ONE_SIDED),
        (1.0, 110.0, math.nan, 4.4, 0.2, smile.ONE_SIDED),
        (1.0, 110.0, 4.4, 4.2, 0.2, smile.CROSSED),
        (1.0, 80.0, 18.0, 19.0, 0.2, smile.BELOW_INTRINSIC),
        (1.0, 80.0, 21.0, 22.0, 0.2, smile.IN_THE_MONEY),
        (1.0, 110.0, 4.2, 4.4, math.nan, smile.NO_VOLATILITY),
        (1.0, 200.0, 0.01, 0.02, 0.2, smile.TINY_VEGA),
        (1.0, 110.0, 1.0, 8.0, 0.2, smile.WIDE),
    ]
    sign, strike, bid, ask, implied = (np.array(c) for c in list(zip(*table, strict=True))[:5])
    *_, reason = judge(sign, strike, bid, ask, implied, 100.0, 1.0, 1.0)
    assert [smile.REASONS[r] for r in reason] == [smile.REASONS[row[5]] for row in table]


def test_the_forward_does_not_believe_one_bad_pair():
    strike = np.arange(80.0, 121.0, 5.0)
    call = _black(1.0, 100.0, strike, 0.5, np.full(9, 0.25), 0.02, 0.0)
    put = _black(-1.0, 100.0, strike, 0.5, np.full(9, 0.25), 0.02, 0.0)
    discount = math.exp(-0.01)
    bid_ask = [call - 0.05, call + 0.05, put - 0.05, put + 0.05]
    found, error, used = smile.forward(strike, *bid_ask, discount)
    assert found == pytest.approx(100.0 / discount, abs=1e-9)
    assert used == smile.PARITY_STRIKES
    bid_ask[0][4] += 3.0
    bid_ask[1][4] += 3.0  # A stale call at the money.
    found, error, used = smile.forward(strike, *bid_ask, discount)
    assert found == pytest.approx(100.0 / discount, abs=1e-9)
    assert used == smile.PARITY_STRIKES - 1
    assert 0.0 < error < 0.1
    nothing = smile.forward(strike, *(np.zeros(9) for _ in range(4)), discount)
    assert math.isnan(nothing[0])
    assert nothing[2] == 0


def test_too_few_quotes_give_no_slice():
    own, bits = fit(np.zeros(4), np.ones(4), np.ones(4))
    assert bits == smile.FIT_FEW
    assert np.isnan(own).all()


def test_a_butterfly_in_the_quotes_is_not_in_the_fit():
    k = np.linspace(-1.5, 1.5, 50)
    assert smile.check(VOGT, NONE, svi(VOGT, 0.0), -1.5, 1.5)[0] < -0.01
    w = svi(VOGT, k)
    own, bits = fit(k, w, 0.008 * w)
    assert bits == 0
    assert smile.check(own, NONE, svi(VOGT, 0.0), -1.5, 1.5)[0] >= 0.0
    assert np.abs(np.sqrt(svi(own, k)) - np.sqrt(w)).max() < 0.03  # And it is still near.


def test_a_calendar_in_the_quotes_is_not_in_the_fit():
    early, k = np.array(SURFACE[2][1]), np.linspace(-0.6, 0.5, 40)
    late = early - np.array([0.006, 0.0, 0.0, 0.0, 0.0])  # Below the slice before, everywhere.
    w = svi(late, k)
    own, bits = fit(k, w, 0.008 * w, early)
    density, rise = smile.check(own, early, svi(late, 0.0), -0.6, 0.5)
    assert rise >= 0.0
    assert density >= 0.0
    assert bits & ~smile.FIT_LIFTED == 0
    assert np.abs(svi(own, k) - svi(early, k)).max() < 0.006


def test_one_wild_quote_does_not_bend_the_slice():
    own = SURFACE[2][1]
    k = strikes(own)
    w = svi(own, k)
    error = 0.008 * w
    wild = w.copy()
    wild[10] *= 1.5
    found, _ = fit(k, wild, error)
    assert np.abs(np.sqrt(svi(found, k)) - np.sqrt(w)).max() < 3e-3


@settings(max_examples=60, deadline=None)
@given(
    level=st.floats(0.05, 1.0),
    years=st.floats(0.01, 3.0),
    slope=st.floats(0.0, 0.6),
    lean=st.floats(-0.9, 0.9),
    seed=st.integers(0, 1_000),
)
def test_what_is_fitted_is_free_of_arbitrage_or_says_so(level, years, slope, lean, seed):
    rng = np.random.default_rng(seed)
    scale = level * level * years
    own = np.array([0.5 * scale, slope * math.sqrt(scale), lean, 0.0, math.sqrt(scale)])
    k = np.sort(rng.uniform(-3.0, 3.0, 30)) * math.sqrt(scale)
    w = svi(own, k) * np.exp(rng.normal(0.0, 0.02, 30))
    first, bits = fit(k, w, 0.02 * w)
    middle = w[np.argmin(np.abs(k))]
    assert np.isfinite(first).all()
    if not bits & smile.FIT_BUTTERFLY:
        assert smile.check(first, NONE, middle, -1.0, 1.0)[0] >= 0.0
    later = w * rng.uniform(0.9, 1.5)
    second, bits = fit(k, later, 0.02 * later, first)
    density, rise = smile.check(second, first, later[np.argmin(np.abs(k))], k[0], k[-1])
    assert density >= 0.0 or bits & smile.FIT_BUTTERFLY
    assert rise >= 0.0 or bits & smile.FIT_CALENDAR


def test_the_density_of_a_fit_is_a_density():
    """Second differences of call prices in the strike, which know nothing of g."""
    own, _ = fit(
        np.linspace(-1.5, 1.5, 50), svi(VOGT, np.linspace(-1.5, 1.5, 50)), np.full(50, 1e-3)
    )
    strike = np.linspace(0.2, 4.0, 2_000)
    deviation = np.sqrt(svi(own, np.log(strike)))
    call = _black(1.0, 1.0, strike, 1.0, deviation, 0.0, 0.0)
    density = np.diff(call, 2) / np.diff(strike)[:-1] ** 2
    assert density.min() >= -1e-6
    assert density.sum() * (strike[1] - strike[0]) == pytest.approx(1.0, abs=0.2)


def test_between_expiries_total_variance_is_linear_and_outside_volatility_is_flat():
    expiries = np.array([years for years, _ in SURFACE])
    slices = np.array([own for _, own in SURFACE])
    k = np.array([-0.1, -0.1, -0.1, 0.2, 0.2, 0.2])
    years = np.array([0.25, 0.625, 1.0, 0.01, 3.0, 6.0])
    out = np.empty(6)
    smile.total_variance(expiries, slices, k, years, out)
    assert out[0] == pytest.approx(svi(slices[1], -0.1), rel=1e-14)
    assert out[1] == pytest.approx(0.5 * (out[0] + out[2]), rel=1e-14)
    assert out[3] == pytest.approx(0.5 * svi(slices[0], 0.2), rel=1e-14)
    assert out[5] == pytest.approx(2.0 * out[4], rel=1e-14)
    deviation = np.empty(6)
    smile.volatility(expiries, slices, k, years, deviation)
    assert deviation == pytest.approx(np.sqrt(out / years), rel=1e-14)
    rising = np.linspace(0.001, 5.0, 400)
    out = np.empty(400)
    smile.total_variance(expiries, slices, np.full(400, -0.05), rising, out)
    assert (np.diff(out) >= 0.0).all()


def test_a_slice_takes_less_than_a_millisecond():
    took = []
    for _, own in SURFACE:
        k = strikes(own, 60)
        w = svi(own, k)
        fit(k, w, 0.008 * w)
        for _ in range(5):
            began = time.thread_time()
            fit(k, w, 0.008 * w)
            took.append(time.thread_time() - began)
    assert np.median(took) <= 1e-3


def chain(marketdata):
    """(spot, {expiry: {strike: {"C": quote, "P": quote}}}) of AAPL at a close."""
    with gzip.open(marketdata / CHAIN) as file:
        data = json.load(file)["data"]
    expiries: dict = {}
    for row in data["options"]:
        code = row["option"][4:]
        expiry = date(2000 + int(code[:2]), int(code[2:4]), int(code[4:6]))
        pair = expiries.setdefault(expiry, {}).setdefault(int(code[7:]) / 1_000.0, {})
        pair[code[6]] = row
    return 0.5 * (data["bid"] + data["ask"]), expiries


def premium(sign, spot, strike, years, rate, flow, worth):
    """(implied volatility, worth of early exercise) of American quotes."""
    full = [np.full(strike.size, float(v)) for v in (sign, spot, years, rate, flow, 0.3)]
    implied, early, late = (np.empty(strike.size) for _ in range(3))
    american.implied(full[0], full[1], strike, *full[2:5], worth, full[5], implied)
    american.price(full[0], full[1], strike, full[2], implied, full[3], full[4], early)
    black.price(full[0], full[1], strike, full[2], implied, full[3], full[4], late)
    return implied, np.nan_to_num(early - late)


def quotes_of(pairs):
    strike = np.array(sorted(k for k, pair in pairs.items() if len(pair) == 2))
    return strike, {
        sign: {
            key: np.array([pairs[k][right][key] for k in strike]) for key in ("bid", "ask", "iv")
        }
        for sign, right in ((1.0, "C"), (-1.0, "P"))
    }


def test_apples_chain_of_a_close_fits(marketdata):
    spot, expiries = chain(marketdata)
    rate, before, held, apart = 0.04, NONE, [], []
    table = [
        "",
        "expiry      quotes used  forward  +-     rms vp  max vp  inside  g min  to Cboe vp",
    ]
    for expiry, pairs in sorted(expiries.items()):
        years = (expiry - date(2026, 7, 24)).days / 365.0
        if years <= 0.0:
            continue
        strike, side = quotes_of(pairs)
        discount, early = math.exp(-rate * years), {1.0: 0.0, -1.0: 0.0}
        for _ in range(2):  # Parity holds for what is left without early exercise.
            bid_ask = [side[s][key] - early[s] for s in (1.0, -1.0) for key in ("bid", "ask")]
            at, error, _ = smile.forward(strike, *bid_ask, discount)
            flow = rate - math.log(at / spot) / years
            found = {
                s: premium(s, spot, strike, years, rate, flow, 0.5 * (q["bid"] + q["ask"]))
                for s, q in side.items()
            }
            early = {s: found[s][1] for s in found}
        call = strike >= at
        sign = np.where(call, 1.0, -1.0)
        bid, ask, theirs = (
            np.where(call, side[1.0][n], side[-1.0][n]) for n in ("bid", "ask", "iv")
        )
        implied = np.where(call, found[1.0][0], found[-1.0][0])
        k, w, blur, reason = judge(sign, strike, bid, ask, implied, at, discount, years)
        ok = reason == smile.USED
        own, bits = fit(k[ok], w[ok], blur[ok], before)
        assert bits == 0, expiry
        density, rise = smile.check(own, before, w[np.argmin(np.abs(k))], k[ok].min(), k[ok].max())
        assert density >= 0.0
        assert rise >= 0.0
        miss = np.sqrt(svi(own, k[ok]) / years) - implied[ok]
        inside = np.mean(np.abs(svi(own, k[ok]) - w[ok]) <= blur[ok])
        near = np.abs(implied[ok] - theirs[ok])[np.abs(k[ok]) < 2.0 * math.sqrt(svi(own, 0.0))]
        held.append(inside)
        apart.append(np.median(near))
        table.append(
            f"{expiry}  {strike.size:6} {ok.sum():4}  {at:7.2f}  {error:4.2f}  "
            f"{100 * math.sqrt((miss**2).mean()):6.2f}  {100 * np.abs(miss).max():6.2f}  "
            f"{inside:6.0%}  {density:5.3f}  {100 * np.median(near):6.2f}"
        )
        before = own
    print("\n".join(table))  # noqa: T201 - For people to read.
    assert len(held) == 11
    assert min(held) >= 0.9  # Nine of ten quotes hold the smile within their spread.
    assert np.median(apart) <= 0.002  # Their rate and dividends are theirs.
