"""Rule: what every position makes in each cell of a grid of spot x volatility x rates.

A cell moves every risky price by `spot` (a share), every volatility by `points`, every curve by
`bp`, all at once. An option is revalued in full at the moved spot S', volatility and rate, less
its value at the present ones by the same formula, so the cell (0, 0, 0) is exactly 0:
    log-normal (black.py) or normal (bachelier.py) European value, plus the premium of early
    exercise held as it is, and for an American option at least what exercise pays.
The rest goes by its sensitivities: delta_usd x spot - dv01_usd x bp (no convexity). S' is
S (1 + weight spot), and less dv01 bp where the underlying is a rates future; `weight` is 1 for
equity, commodities and coins, 0 for rates and credit, and for a currency pair +1 if the base
and -1 if the quote is not the dollar: all currencies move together against it.
"""

# ruff: noqa: FURB136 - min and max can lose a NaN; a comparison that it fails keeps it.

import math

import numpy as np
from numba import njit

from compute.kernels.black import terms
from compute.kernels.exposure import (
    BACHELIER,
    BACHELIER_AMERICAN,
    COIN,
    CS01,
    DELTA,
    DV01,
    RATES_OF_UNDERLYING,
    VALUE,
)
from compute.kernels.normal import DENSITY_0, exp, loss

BLACK_76, BLACK_76_AMERICAN = 2, 7
BP, PERCENT = 1e-4, 0.01
SPOT_LEAST = 1e-9  # Of the present one: a log-normal price cannot go through 0.
# Fields of `at`: where a column stands in analytics.
AT_UNDERLYING, AT_FORWARD, AT_YEARS, AT_RATE, AT_SMILE, AT_EARLY, AT_MODEL, AT_DV01 = range(8)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def normal_value(sign, forward, strike, time, volatility, rate):
    """Bachelier's European value; `volatility` in units of price a year."""
    total = volatility * math.sqrt(time)
    gap = sign * (forward - strike)
    inside = gap if gap > 0.0 else 0.0
    if not total > 0.0:
        return inside * exp(-rate * time) if total == 0.0 else np.nan
    d = (forward - strike) / total
    density = exp(-0.5 * d * d) * DENSITY_0
    return (density * total * loss(abs(d)) + inside) * exp(-rate * time)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _option(term, greeks, slope, at, spots, points, rates, values):
    """Values of one option, per unit of quantity and price, in every cell into `values`."""
    spot, forward = greeks[at[AT_UNDERLYING]], greeks[at[AT_FORWARD]]
    time, rate = greeks[at[AT_YEARS]], greeks[at[AT_RATE]] * PERCENT
    smile, model = greeks[at[AT_SMILE]] * PERCENT, greeks[at[AT_MODEL]]
    early = greeks[at[AT_EARLY]]
    early = early if early > 0.0 else 0.0
    sign, strike = term.sign, term.strike
    normal = model in (BACHELIER, BACHELIER_AMERICAN)
    on_future = normal or model in (BLACK_76, BLACK_76_AMERICAN, COIN)
    if normal:  # Its volatility is told in units of price, not in %.
        smile = greeks[at[AT_SMILE]]
    income = rate
    if not on_future:
        income = rate - math.log(forward / spot) / time if time > 0.0 else 0.0
    size = max(abs(spot), abs(strike)) if normal else 1.0
    for c in range(spots.shape[0]):
        moved = spot * (1.0 + term.spot_weight * spots[c]) - slope * rates[c]
        volatility = smile + points[c] * PERCENT * size
        volatility = 0.0 if volatility < 0.0 else volatility
        shifted = rate + rates[c] * BP
        carry = shifted if on_future else income
        if normal:
            worth = normal_value(sign, moved, strike, time, volatility, shifted)
        else:
            moved = SPOT_LEAST * spot if moved < SPOT_LEAST * spot else moved
            worth = terms(sign, moved, strike, time, volatility, shifted, carry)[0]
        worth += early
        pays = sign * (moved - strike)
        if term.american and worth < pays:
            worth = pays
        values[c] = worth


def build(stamp: int):
    """The compiled `grid`, kept on disk under `stamp`: a checksum of the sources it is made of."""

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def grid(
        risk, quantity, unit, instrument, book, analytics, at, term, spots, points, rates,
        out, missing, worst,
    ):  # fmt: skip
        """P&L of books in every cell; cell 0 of spots, points, rates [c] must be (0, 0, 0).

        risk: float64 [n, .] rows of RISK; quantity, unit [n] as
        in exposure.lines; instrument, book: int64 [n], book -1 for
        a free slot; analytics [i, .] read at `at`; term [i]: as in exposure.lines.
        Out, USD: out [books, c]; missing int64 [books]: lines that could not be counted; worst
        [n]: each line's worst cell, NaN where it could not be counted.
        """
        cells = spots.shape[0]
        mine = np.empty(cells)
        out[:, :] = 0.0
        missing[:] = 0
        for i in range(quantity.shape[0] if stamp >= 0 else 0):
            worst[i] = 0.0
            if book[i] < 0 or quantity[i] == 0.0:
                continue
            k = instrument[i]
            one, greeks, line = term[k], analytics[k], risk[i]
            if one.sign != 0.0:
                slope = 0.0
                if one.rates == RATES_OF_UNDERLYING:
                    slope = analytics[one.underlying, at[AT_DV01]]
                _option(one, greeks, slope, at, spots, points, rates, mine)
                coin = greeks[at[AT_MODEL]] == COIN
                money = quantity[i] * (one.coin_usd if coin else unit[i])
                base = mine[0]
                for c in range(cells):
                    mine[c] = (mine[c] - base) * money
            else:
                unknown = math.isnan(line[VALUE] + line[CS01])
                known = np.nan if unknown else 0.0
                for c in range(cells):
                    moved = line[DELTA] * one.spot_weight * spots[c]
                    mine[c] = moved - line[DV01] * rates[c] + known
            unknown = False
            for c in range(cells):
                unknown = unknown or math.isnan(mine[c])
            if unknown:
                missing[book[i]] += 1
                worst[i] = np.nan
                continue
            total, low = out[book[i]], 0.0
            for c in range(cells):
                total[c] += mine[c]
                low = min(low, mine[c])
            worst[i] = low

    return grid
