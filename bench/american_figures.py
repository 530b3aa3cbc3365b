"""Figures of the American kernel: options a second on one core, and the error against QuantLib.

The grid is the promise's: spot / strike 0.5 to 2, a week to three years, volatility 5 to 100 %,
rate and income -1 to 10 % with 0 among them. Every option of the grid is priced, also those that
never leave the European formula; `american_early_per_s` counts only options worth more than
European ones, all of which need the boundary.
"""

import time as clock
from typing import Any

import numpy as np

from compute.kernels import american, black

AMERICAN_PER_S_MIN = 100e3
AMERICAN_ERROR_MAX = 1e-5
DAYS = (7, 14, 30, 60, 91, 182, 365, 547, 730, 1_095)
VOLATILITIES = (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.0)
RATES = (-0.01, -0.005, 0.0, 0.0005, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1)


def grid(count: int, seed: int = 1) -> list[np.ndarray]:
    """sign, spot, strike (1), time, volatility, rate, income: float64 [count] each."""
    rng = np.random.default_rng(seed)
    return [
        rng.choice([-1.0, 1.0], count),
        np.exp(rng.uniform(np.log(0.5), np.log(2.0), count)),
        np.ones(count),
        rng.choice(DAYS, count) / 365.0,
        rng.choice(VOLATILITIES, count),
        rng.choice(RATES, count),
        rng.choice(RATES, count),
    ]


def quantlib(options: list[np.ndarray]) -> np.ndarray:
    """Prices of QuantLib's high precision engine, NaN where it refuses (two boundaries)."""
    import QuantLib as ql  # type: ignore[import-untyped]  # noqa: N813

    today, count_days = ql.Date(2, 1, 2025), ql.Actual365Fixed()
    ql.Settings.instance().evaluationDate = today
    spot, rate, income, volatility = (ql.SimpleQuote(value) for value in (1.0, 0.0, 0.0, 0.2))
    curves = [
        ql.YieldTermStructureHandle(ql.FlatForward(today, ql.QuoteHandle(quote), count_days))
        for quote in (income, rate)
    ]
    smile = ql.BlackConstantVol(today, ql.NullCalendar(), ql.QuoteHandle(volatility), count_days)
    process = ql.BlackScholesMertonProcess(
        ql.QuoteHandle(spot), *curves, ql.BlackVolTermStructureHandle(smile)
    )
    engine = ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme())
    out = np.full(options[0].size, np.nan)
    for place, (sign, at, strike, time, vol, interest, flow) in enumerate(
        zip(*options, strict=True)
    ):
        if 0.0 > (interest if sign < 0 else flow) > (flow if sign < 0 else interest):
            continue
        for quote, value in ((spot, at), (rate, interest), (income, flow), (volatility, vol)):
            quote.setValue(float(value))
        kind = ql.Option.Call if sign > 0 else ql.Option.Put
        option = ql.VanillaOption(
            ql.PlainVanillaPayoff(kind, float(strike)),
            ql.AmericanExercise(today, today + round(time * 365)),
        )
        option.setPricingEngine(engine)
        out[place] = option.NPV()
    return out


def _per_s(kernel: Any, options: list[np.ndarray], out: np.ndarray, rounds: int) -> float:
    """The best of `rounds`, by this thread's CPU time."""
    kernel(*options, out)
    best = np.inf
    for _ in range(rounds):
        began = clock.thread_time()
        kernel(*options, out)
        best = min(best, clock.thread_time() - began)
    return float(options[0].size / best)


def american_figures(count: int = 2_000, checked: int = 1_000, rounds: int = 10) -> dict[str, Any]:
    """Rates, errors as a share of the spot, and whether both promises hold."""
    options = grid(count)
    price, european = np.empty(count), np.empty(count)
    per_s = _per_s(american.price, options, price, rounds)
    _per_s(black.price, options, european, 1)
    sign, _, _, _, _, rate, income = options
    two = np.where(sign < 0, (income < rate) & (rate < 0), (rate < income) & (income < 0))
    early = (price > european) & ~two
    hard = [np.ascontiguousarray(column[early]) for column in options]
    early_per_s = _per_s(american.price, hard, np.empty(hard[0].size), rounds)
    greeks_per_s = _per_s(american.greeks, hard, np.empty((10, hard[0].size)), max(rounds // 5, 1))
    sample = [column[:checked] for column in options]
    error = np.abs(price[:checked] - quantlib(sample)) / sample[1]
    known = np.isfinite(error)
    return {
        "american_per_s": per_s,
        "american_early_per_s": early_per_s,
        "american_greeks_per_s": greeks_per_s,
        "american_err_max": float(error[known].max()),
        "american_err_rms": float(np.sqrt((error[known] ** 2).mean())),
        "american_checked": int(known.sum()),
        "american_holds": bool(
            early_per_s >= AMERICAN_PER_S_MIN and error[known].max() <= AMERICAN_ERROR_MAX
        ),
    }
