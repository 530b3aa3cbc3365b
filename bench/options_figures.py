"""Figures of the option kernels: options a second on one core, errors against 50 digits.

bench/kernels.py calls `options_figures` and puts what it returns beside its own. Rates are
medians over passes, options by seconds of this thread's CPU time. Errors are on the hard grid:
ln(strike / spot) within +-2, one minute to ten years, volatility 1 % to 500 %, calls and puts.
"""

import math
import statistics
import time
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np

from compute.kernels import bachelier, black, implied

GREEKS_PER_S_MIN = 50e6
IMPLIED_WARM_PER_S_MIN, IMPLIED_COLD_PER_S_MIN = 30e6, 2.5e6
PRICE_ERROR_MAX, IMPLIED_ERROR_MAX = 4.0, 2.0  # In eps x conditioning.
GREEKS_ERROR_MAX, THETA_ERROR_MAX, WARM_ERROR_MAX = 1e-12, 2e-12, 1e-13  # Relative.
EPS = 2.0**-52
PRICE_MIN = 1e-290
DIGITS = 50
MONEYNESS = (1e-6, 1e-3, 0.01, 0.05, 0.1, 0.3, 1.0, 2.0)
YEARS = (1 / 525_600, 1 / 8_760, 1 / 365, 7 / 365, 1 / 12, 1.0, 10.0)
VOLATILITIES = (0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0)


def hard_grid() -> np.ndarray:
    """float64 [7, 1666]: sign, spot, strike, time, volatility, rate, income."""
    logs = (0.0, *(sign * x for x in MONEYNESS for sign in (1.0, -1.0)))
    return np.array(
        [
            (sign, 100.0, 100.0 * math.exp(x), t, v, 0.03, 0.01)
            for x in logs
            for t in YEARS
            for v in VOLATILITIES
            for sign in (1.0, -1.0)
        ]
    ).T.copy()


def exact(point: np.ndarray) -> tuple[list[float], list[float]]:
    """The ten Greeks of one point of a grid to 50 digits, and what bounds the error of each.

    The bound of the price is its conditioning, in price; of a Greek, the sum of the sizes of the
    terms it is made of.
    """
    with mpmath.workdps(DIGITS):
        w, spot, strike, t, v, r, q = (mpmath.mpf(float(value)) for value in point)
        root = mpmath.sqrt(t)
        total = v * root
        y = (mpmath.log(spot / strike) + (r - q) * t) / total
        d1, d2 = y + total / 2, y - total / 2
        paid, owed = spot * mpmath.exp(-q * t), strike * mpmath.exp(-r * t)
        long, short = paid * _normal(w * d1), owed * _normal(w * d2)
        bell = paid * mpmath.exp(-d1 * d1 / 2) / mpmath.sqrt(2 * mpmath.pi)
        vega, size = bell * root, abs(y) + total / 2
        decay, drift = bell * v / (2 * root), bell / total
        price = w * (long - short)
        greeks = [
            *(price, w * long / spot, drift / spot**2, vega / 100),
            *((w * (q * long - r * short) - decay) / 365, w * t * short / 10_000),
            *(-w * t * long / 10_000, -bell * d2 / v / spot / 100, vega * d1 * d2 / v / 10_000),
            (w * q * long - drift * (r - q) + bell * d2 / (2 * t)) / spot / 365,
        ]
        bounds = [
            *(long + short + 2 * v * vega, *map(abs, greeks[1:4])),
            *((q * long + r * short + decay) / 365, *map(abs, greeks[5:7])),
            *(bell * size / v / spot / 100, vega * size**2 / v / 10_000),
            (q * long + drift * abs(r - q) + bell * size / (2 * t)) / spot / 365,
        ]
        return [float(x) for x in greeks], [float(x) for x in bounds]


def exact_implied(price: float, strike: float, t: float, near: float) -> tuple[float, float]:
    """(volatility, 1 + conditioning) that a price of the option out of the money implies.

    Forward 100, nothing discounted; `near` is close to the answer.
    """
    with mpmath.workdps(DIGITS):
        forward, w = mpmath.mpf(100), 1 if strike >= 100.0 else -1
        k, total = mpmath.mpf(strike), mpmath.mpf(near) * mpmath.sqrt(t)
        for _ in range(3):
            y = mpmath.log(forward / k) / total
            d1, d2 = y + total / 2, y - total / 2
            long, short = forward * _normal(w * d1), k * _normal(w * d2)
            vega = forward * mpmath.exp(-d1 * d1 / 2) / mpmath.sqrt(2 * mpmath.pi)
            total -= (w * (long - short) - mpmath.mpf(price)) / vega
        return float(total / mpmath.sqrt(t)), float(1 + (price + long + short) / (vega * total))


def _normal(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def hard_prices() -> np.ndarray:
    """float64 [6, n]: sign, price, strike, time, exact volatility, 1 + conditioning.

    Every point of the grid that is out of the money at forward 100 and worth at least 1e-290.
    """
    points = []
    for sign, _, strike, t, v, _, _ in hard_grid().T.tolist():
        if sign == (1.0 if strike >= 100.0 else -1.0):
            price = exact(np.array([sign, 100.0, strike, t, v, 0.0, 0.0]))[0][0]
            if price >= PRICE_MIN:
                points.append((sign, price, strike, t, *exact_implied(price, strike, t, v)))
    return np.array(points).T.copy()


def errors_greeks() -> dict[str, float]:
    """Worst errors on the hard grid: of the price in eps x conditioning, of the others relative.

    Prices are those out of the money; what counts is at least 1e-290, as is the option's price.
    """
    grid = hard_grid()
    pairs = [exact(point) for point in grid.T]
    values, bounds = (np.array(part).T for part in zip(*pairs, strict=True))
    found = black.black_scholes_merton(*grid)
    counted = values[black.PRICE] >= PRICE_MIN
    missed = np.abs(found - values)[:, counted]
    values, bounds, grid = values[:, counted], bounds[:, counted], grid[:, counted]
    out = grid[0] * (np.log(grid[1] / grid[2]) + (grid[5] - grid[6]) * grid[3]) < 0.0
    relative = np.divide(missed, bounds, out=np.zeros_like(missed), where=bounds >= PRICE_MIN)
    rows = [row for row in range(1, len(black.GREEKS)) if row != black.THETA]
    return {
        "price_error_max": float(relative[black.PRICE][out].max() / EPS),
        "greeks_error_max": float(relative[rows].max()),
        "theta_error_max": float((missed[black.THETA] / np.abs(values[black.THETA])).max()),
    }


def errors_implied() -> dict[str, float]:
    """Worst errors of both implied volatilities in eps x conditioning; failures of the cold."""
    sign, price, strike, t, exact_v, bound = hard_prices()
    one = np.ones_like(price)
    found, again = np.empty_like(price), np.empty_like(price)
    cold: Any = implied.cold
    warm: Any = implied.warm
    cold(sign, price, 100.0 * one, strike, t, one, found)
    figures: dict[str, float] = {
        "implied_points": len(price),
        "implied_cold_failures": int(np.isnan(found).sum()),
        "implied_cold_error_max": _worst(found, exact_v, bound),
    }
    worst = []
    for off in (0.8, 0.9, 0.99, 1.01, 1.1, 1.2):
        warm(sign, price, 100.0 * one, strike, t, one, off * exact_v, again)
        worst.append(_worst(again, exact_v, bound))
    return figures | {"implied_warm_error_max": max(worst)}


def _worst(found: np.ndarray, exact_v: np.ndarray, bound: np.ndarray) -> float:
    return float((np.abs(found / exact_v - 1.0) / (EPS * bound)).max())


def market(count: int, seed: int = 0) -> list[np.ndarray]:
    """Options as desks have them, [7, count]: a few days to two years, volatility 10 to 80 %."""
    rng = np.random.default_rng(seed)
    options: list[np.ndarray] = black.columns(
        np.where(rng.random(count) < 0.5, 1.0, -1.0),
        100.0,
        100.0 * np.exp(rng.normal(0.0, 0.2, count)),
        rng.uniform(0.01, 2.0, count),
        rng.uniform(0.1, 0.8, count),
        *(0.03, 0.01),
    )
    return options


def rates(count: int, passes: int) -> dict[str, float]:
    """Options a CPU second of each kernel, and the error of the warm one on what it was given."""
    options = market(count)
    out, first = np.empty((len(black.GREEKS), count)), np.empty((black.FIRST, count))
    figures: dict[str, float] = {
        "greeks_per_s": _rate(black.greeks_first, passes, *options, False, first),
        "greeks_second_per_s": _rate(black.greeks_second, passes, *options, False, out),
        "price_per_s": _rate(black.price, passes, *options, out[0]),
        "bachelier_per_s": _rate(bachelier.greeks, passes, *options[:6], out),
    }
    forward = options[1]
    options[0] = np.where(options[2] >= forward, 1.0, -1.0)
    none, one = np.zeros(count), np.ones(count)
    prices: Any = black.price
    prices(*options[:5], none, none, out[0])
    worth = out[0] >= 1e-6
    sign, forward, strike, t, v = (np.ascontiguousarray(column[worth]) for column in options[:5])
    price, one = out[0][worth], one[worth]
    off = v * np.random.default_rng(1).uniform(0.8, 1.2, len(v))
    found, warm = np.empty_like(price), np.empty_like(price)
    given = (sign, price, forward, strike, t, one)
    figures["implied_cold_per_s"] = _rate(implied.cold, passes, *given, found)
    figures["implied_warm_per_s"] = _rate(implied.warm, passes, *given, off, warm)
    figures["implied_normal_per_s"] = _rate(implied.normal, passes, *given, out[1][worth])
    figures["implied_warm_error"] = float(np.abs(warm / found - 1.0).max())
    return figures


def _rate(kernel: Any, passes: int, *arguments: Any) -> int:
    kernel(*arguments)  # Compiles.
    taken = []
    for _ in range(passes):
        begin = time.thread_time_ns()
        kernel(*arguments)
        taken.append(time.thread_time_ns() - begin)
    return round(len(arguments[0]) / statistics.median(taken) * 1e9)


def options_figures(count: int = 20_000, passes: int = 41) -> dict[str, Any]:
    """All figures, and `options_hold`: whether every promise on options is kept."""
    figures: dict[str, Any] = rates(count, passes) | errors_greeks() | errors_implied()
    figures["options_hold"] = (
        figures["greeks_per_s"] >= GREEKS_PER_S_MIN
        and figures["implied_warm_per_s"] >= IMPLIED_WARM_PER_S_MIN
        and figures["implied_cold_per_s"] >= IMPLIED_COLD_PER_S_MIN
        and figures["price_error_max"] <= PRICE_ERROR_MAX
        and figures["greeks_error_max"] <= GREEKS_ERROR_MAX
        and figures["theta_error_max"] <= THETA_ERROR_MAX
        and figures["implied_cold_error_max"] <= IMPLIED_ERROR_MAX
        and figures["implied_cold_failures"] == 0
        and figures["implied_warm_error"] <= WARM_ERROR_MAX
    )
    return figures
