"""Rule: price, yield, duration, convexity and DV01 of bonds, by the street's conventions.

A bond is what `compute.schedule.flows` made of its contract: flows amount[first[b]] ...
amount[first[b + 1] - 1] per 100 face, one period of 1 / frequency years apart, the first of them
`start` periods after settlement. Dirty price = clean price + accrued. With v = 1 / (1 + y / f):
    COMPOUND  dirty = sum amount_j v^(start + j)
    STREET    the same, but simple in the last period: amount / (1 + start y / f)
    MONEY     one payment at simple interest: amount / (1 + start y), `start` in years
    SIMPLE    the yield of Japanese government bonds: clean = (100 + coupon start) / (1 + y start)
Yields are fractions (0.04 is 4 %), negative ones too, above -f. Prices are per 100 face.
    duration   -(d dirty / dy) / dirty, in years (modified)
    convexity  (d2 dirty / dy2) / dirty, in years^2
    dv01       the change of the price for -1 bp of the bond's own yield, per 100 face
Sources: ICMA Rule Book, rule 803; UK DMO, "Formulae for calculating gilt prices from yields";
J. Lynch and J. Mayle, "Standard Securities Calculation Methods" (1986).

All arrays are float64 [n] but `convention` and `first`, int64. NaN in, NaN out.
"""

import math

import numpy as np
from numba import njit

STREET, COMPOUND, MONEY, SIMPLE = range(4)
YIELD, DURATION, CONVEXITY, DV01 = range(4)
MEASURES = ("yield", "duration", "convexity", "dv01")  # The rows of `measure`'s answer.

BASIS_POINT = 1e-4
ROUNDS = 60
ENOUGH = 1e-13  # Of ln(1 + y / f): a ten-billionth of a basis point.


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _dirty(convention, frequency, start, coupon, accrued, amount, low, high, y):
    """(dirty, d / dy, d2 / dy2) of one bond at the yield `y`."""
    if convention == SIMPLE:
        growth = 1.0 + y * start
        clean = (100.0 + coupon * start) / growth
        slope = start / growth
        return clean + accrued, -clean * slope, 2.0 * clean * slope * slope
    if convention == MONEY or (convention == STREET and high == low + 1 and start <= 1.0):
        share = start / frequency
        growth = 1.0 + y * share
        value = amount[low] / growth
        slope = share / growth
        return value, -value * slope, 2.0 * value * slope * slope
    v = 1.0 / (1.0 + y / frequency)
    factor, at = v**start, start
    value, first, second = 0.0, 0.0, 0.0
    for j in range(low, high):
        term = amount[j] * factor
        value += term
        first += at * term
        second += at * (at + 1.0) * term
        factor *= v
        at += 1.0
    slope = v / frequency
    return value, -first * slope, second * slope * slope


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _yield(convention, frequency, start, coupon, accrued, amount, low, high, dirty, guess):
    """Yield of one bond at a dirty price; `guess` (or NaN) is where to begin.

    Newton on ln(dirty) as a function of x = ln(1 + y / f): convex and falling, and a straight
    line for a zero, so that from any start one step goes below the root and the rest rise to it.
    """
    if convention == SIMPLE:
        clean = dirty - accrued
        return (coupon + (100.0 - clean) / start) / clean if clean > 0.0 else np.nan
    if convention == MONEY or (convention == STREET and high == low + 1 and start <= 1.0):
        return (amount[low] / dirty - 1.0) * frequency / start if dirty > 0.0 else np.nan
    if not dirty > 0.0:
        return np.nan
    whole = 0.0
    for j in range(low, high):
        whole += amount[j]
    if math.isnan(guess) or not guess > -frequency:
        guess = (whole / dirty - 1.0) / ((start + 0.7 * (high - low - 1)) / frequency)
        guess = min(max(guess, -0.5 * frequency), 1.0)
    x = math.log1p(guess / frequency)
    for _ in range(ROUNDS):
        y = frequency * math.expm1(x)
        value, slope, _ = _dirty(
            convention, frequency, start, coupon, accrued, amount, low, high, y
        )
        # d ln(value) / dx, with dy / dx = f + y.
        step = value * math.log(value / dirty) / (slope * (frequency + y))
        x -= min(max(step, -2.0), 2.0)
        if abs(step) <= ENOUGH * (1.0 + abs(x)):
            return frequency * math.expm1(x)
    return np.nan


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def price(convention, frequency, start, coupon, accrued, first, amount, y, clean):
    """Clean prices at the yields `y`, into `clean`."""
    for b in range(y.shape[0]):
        low, high = first[b], first[b + 1]
        if math.isnan(y[b]) or low == high:
            clean[b] = np.nan
            continue
        found = _dirty(
            *(convention[b], frequency[b], start[b], coupon[b], accrued[b]),
            *(amount, low, high, y[b]),
        )
        clean[b] = found[0] - accrued[b]


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def measure(convention, frequency, start, coupon, accrued, first, amount, clean, out):
    """Measures at the clean prices, rows of `out` [4, n]; see MEASURES.

    Row YIELD of `out` is also where the search begins: hand in the last answer, or NaN. A bond
    without flows, or with a price that has no yield, is NaN in every row.
    """
    for b in range(clean.shape[0]):
        low, high = first[b], first[b + 1]
        y = np.nan
        if low < high and not math.isnan(clean[b]):
            y = _yield(
                *(convention[b], frequency[b], start[b], coupon[b], accrued[b]),
                *(amount, low, high, clean[b] + accrued[b], out[YIELD, b]),
            )
        out[YIELD, b] = y
        if math.isnan(y):
            out[DURATION, b] = out[CONVEXITY, b] = out[DV01, b] = np.nan
            continue
        dirty, slope, bend = _dirty(
            *(convention[b], frequency[b], start[b], coupon[b], accrued[b]),
            *(amount, low, high, y),
        )
        out[DURATION, b] = -slope / dirty
        out[CONVEXITY, b] = bend / dirty
        # The third derivative adds (years x 1 bp)^2 / 6 of it: 1.5e-6 over 30 years.
        out[DV01, b] = BASIS_POINT * (-slope + 0.5 * BASIS_POINT * bend)
