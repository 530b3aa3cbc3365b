"""Rule: a credit default swap by the ISDA standard model: legs, quotes, and what moves its value.

Survival is exp(-H(t)), H piecewise linear (constant hazard between knots); discounting is the
curve's q(t) (see curve.py), also piecewise linear. So both legs are exact integrals, piece by
piece, over a grid that has every knot of both and every end of a premium period:
    protection = sum over pieces of  g W phi0(x)                 paid at default, loss 1
    annuity    = sum over periods of fraction B(payment) Q(end)   spread 1
               + sum over pieces of  g W (a phi0(x) + b phi1(x))  accrued at default
g the rise of H, f of q, x = f + g, W = exp(-q - H) where the piece begins, a the accrual there and
b its rise over the piece, phi_n(x) = integral of v^n exp(-x v) over v in 0 ... 1. No half-day bias.
Value of bought protection, a unit of notional, today and without the accrued premium:
    value = (1 - R) protection - coupon (annuity - accrued B(settle))
The quoted spread is the one of a flat hazard curve that makes `value` 0 with coupon = spread; the
upfront is value / B(settle). Sources: ISDA CDS Standard Model 1.8 (accrual to the day, protection
from today); R. White, "The pricing and risk management of credit default swaps" (2013).

Grid arrays, flat over swaps, point[s] ... point[s + 1] - 1 those of swap s:
    t       years; 0 first, the end of protection last
    q       -ln discount factor there             accrual   of the premium where the piece begins
    pay     fraction of a year paid to those who survive this point, or 0;  pay_q at its payment
    move, pay_move [., 6]   what the curve's tents do to q, as `curve.moves` makes it
"""

import math

import numpy as np
from numba import njit

BASIS_POINT = 1e-4
YEAR_ACT_360 = 365.0 / 360.0  # Accrual of a year of curve time.
ROUNDS = 40
ENOUGH = 1e-13
SERIES = 14  # Terms of phi for |x| < 1/2: the next is below 1e-17.

# What `quoted` finds, rows of its answer: all of a unit of notional of bought protection.
SPREAD, UPFRONT, VALUE, ACCRUED, ANNUITY, CS01, RECOVERY01, JUMP, LOSS, HAZARD = range(10)
MEASURES = (
    *("spread", "upfront", "value", "accrued", "annuity"),
    *("cs01", "recovery01", "jump", "loss", "hazard"),
)
BY_SPREAD, BY_UPFRONT = range(2)


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _phi(x):
    """Integrals of exp(-x v), v exp(-x v), v^2 exp(-x v) over v in 0 ... 1."""
    if abs(x) >= 0.5:
        e = math.exp(-x)
        zero = (1.0 - e) / x
        one = (zero - e) / x
        return zero, one, (2.0 * one - e) / x
    zero, one, two, term = 0.0, 0.0, 0.0, 1.0
    for k in range(SERIES):
        zero += term / (k + 1.0)
        one += term / (k + 2.0)
        two += term / (k + 3.0)
        term *= -x / (k + 1.0)
    return zero, one, two


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _legs(low, high, t, q, accrual, pay, pay_q, knot, hazard, piece):
    """(protection, annuity, their slopes by the hazard of `piece`); piece -1: by all together."""
    protection, annuity, slope_p, slope_a = 0.0, 0.0, 0.0, 0.0
    total, rise = 0.0, 0.0  # H, and its slope by the parameter.
    at = 0
    for j in range(low, high):
        if pay[j] > 0.0:
            worth = pay[j] * math.exp(-pay_q[j] - total)
            annuity += worth
            slope_a -= rise * worth
        if j == high - 1:
            break
        while at < knot.shape[0] - 1 and t[j] >= knot[at]:
            at += 1
        width = t[j + 1] - t[j]
        gain = hazard[at] * width
        risen = width if piece in (-1, at) else 0.0
        zero, one, two = _phi(q[j + 1] - q[j] + gain)
        start = math.exp(-q[j] - total)
        b = width * YEAR_ACT_360
        held, later = accrual[j] * zero + b * one, accrual[j] * one + b * two
        protection += gain * start * zero
        annuity += gain * start * held
        first = (risen - gain * rise) * start
        slope_p += first * zero - gain * start * risen * one
        slope_a += first * held - gain * start * risen * later
        total += gain
        rise += risen
    return protection, annuity, slope_p, slope_a


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _find(low, high, t, q, accrual, pay, pay_q, knot, hazard, piece, loss, coupon, rebate, worth):
    """Solve hazard[piece] (all for -1) so that the value of protection at `coupon` is `worth`.

    Newton: the value rises with the hazard. Enters with the guess; NaN if there is none. Returns
    the legs there.
    """
    own = max(piece, 0)
    for _ in range(ROUNDS):
        protection, annuity, slope_p, slope_a = _legs(
            low, high, t, q, accrual, pay, pay_q, knot, hazard, piece
        )
        miss = loss * protection - coupon * (annuity - rebate) - worth
        step = miss / (loss * slope_p - coupon * slope_a)
        if math.isnan(step):
            break
        hazard[own] -= min(max(step, -0.5), 0.5)
        if abs(step) <= ENOUGH * (1.0 + abs(hazard[own])):
            return protection, annuity, slope_p, slope_a
    hazard[own] = np.nan
    return np.nan, np.nan, np.nan, np.nan


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def _rate_slopes(
    low, high, t, q, accrual, pay, pay_q, move, pay_move, hazard, by_protection, by_annuity
):
    """Slopes of both legs by the curve's tents, for -1 bp, at a flat hazard: [6] each."""
    total = 0.0
    by_protection[:], by_annuity[:] = 0.0, 0.0
    for j in range(low, high):
        if pay[j] > 0.0:
            worth = pay[j] * math.exp(-pay_q[j] - total)
            for k in range(by_annuity.shape[0]):
                by_annuity[k] += pay_move[j, k] * worth
        if j == high - 1:
            break
        width = t[j + 1] - t[j]
        gain = hazard * width
        zero, one, two = _phi(q[j + 1] - q[j] + gain)
        start = gain * math.exp(-q[j] - total)
        b = width * YEAR_ACT_360
        held, later = accrual[j] * zero + b * one, accrual[j] * one + b * two
        for k in range(by_annuity.shape[0]):
            before, after = move[j, k], move[j + 1, k]
            by_protection[k] += start * (before * (zero - one) + after * one)
            by_annuity[k] += start * (before * (held - later) + after * later)
        total += gain


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def quoted(
    point,
    t,
    q,
    accrual,
    pay,
    pay_q,
    move,
    pay_move,
    settle_q,
    settle_move,
    accrued,
    coupon,
    recovery,
    by,
    quote,
    out,
    key_rate,
):
    """All measures of swaps from their quotes, each on its own flat hazard: out [10, n].

    `quote` [n]: a spread or an upfront as fractions, as `by` [n] says; `accrued`: years of premium
    accrued. Row HAZARD of `out` is the guess, or NaN. cs01: +1 bp of the quoted spread, the
    curve kept; key_rate [n, 6]: -1 bp of the zero curve, the quoted spread kept; recovery01: +1 %
    of recovery, the quoted spread kept: all first order. jump: what a default today adds.
    """
    knot, hazard = np.zeros(1), np.empty(1)
    by_protection, by_annuity = np.empty(key_rate.shape[1]), np.empty(key_rate.shape[1])
    for s in range(quote.shape[0]):
        low, high = point[s], point[s + 1]
        loss, guess, discount = 1.0 - recovery[s], out[HAZARD, s], math.exp(-settle_q[s])
        rebate = accrued[s] * discount
        key_rate[s, :], out[:, s] = np.nan, np.nan
        if low == high or math.isnan(quote[s]) or math.isnan(discount):
            continue
        fixed = quote[s] if by[s] == BY_SPREAD else coupon[s]
        worth = 0.0 if by[s] == BY_SPREAD else quote[s] * discount
        hazard[0] = guess if not math.isnan(guess) else fixed / loss
        protection, annuity, slope_p, slope_a = _find(
            *(low, high, t, q, accrual, pay, pay_q, knot, hazard, -1),
            *(loss, fixed, rebate, worth),
        )
        if math.isnan(hazard[0]):
            continue
        spread = loss * protection / (annuity - rebate)
        value = loss * protection - coupon[s] * (annuity - rebate)
        by_hazard = loss * slope_p - coupon[s] * slope_a
        off_par = loss * slope_p - spread * slope_a
        ratio = by_hazard / off_par  # d value / d h over d (par condition) / d h.
        out[SPREAD, s], out[UPFRONT, s] = spread, value / discount
        out[VALUE, s], out[ACCRUED, s] = value, accrued[s] * coupon[s]
        out[ANNUITY, s] = annuity - rebate
        out[CS01, s] = BASIS_POINT * ratio * (annuity - rebate)
        out[RECOVERY01, s] = -0.01 * protection * (1.0 - ratio)
        out[JUMP, s] = loss - value
        out[LOSS, s] = -loss * math.expm1(-hazard[0] * t[high - 1])
        out[HAZARD, s] = hazard[0]
        _rate_slopes(
            *(low, high, t, q, accrual, pay, pay_q, move, pay_move, hazard[0]),
            *(by_protection, by_annuity),
        )
        for k in range(key_rate.shape[1]):
            by_annuity[k] -= settle_move[s, k] * rebate
            by_value = loss * by_protection[k] - coupon[s] * by_annuity[k]
            by_par = loss * by_protection[k] - spread * by_annuity[k]
            key_rate[s, k] = by_value - ratio * by_par


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def bootstrap(point, t, q, accrual, pay, pay_q, settle_q, accrued, recovery, spread, knot, hazard):
    """Hazard of each piece [m] from par spreads [m] of swaps that mature in order at `knot` [m].

    Grids as above, each with every knot before its end. NaN from the first that has no answer.
    """
    hazard[:] = np.nan
    for m in range(spread.shape[0]):
        loss = 1.0 - recovery
        hazard[m] = spread[m] / loss if m == 0 else hazard[m - 1]
        _find(
            *(point[m], point[m + 1], t, q, accrual, pay, pay_q, knot[: m + 1]),
            *(hazard[: m + 1], m, loss, spread[m], accrued[m] * math.exp(-settle_q[m]), 0.0),
        )
        if math.isnan(hazard[m]):
            return


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def valued(point, t, q, accrual, pay, pay_q, settle_q, accrued, coupon, recovery, knot, hazard, s):
    """(value, par spread) of the swap `s` of the grids, on the hazard curve (knot, hazard)."""
    protection, annuity, _, _ = _legs(
        point[s], point[s + 1], t, q, accrual, pay, pay_q, knot, hazard, -1
    )
    loss, clean = 1.0 - recovery, annuity - accrued[s] * math.exp(-settle_q[s])
    return loss * protection - coupon[s] * clean, loss * protection / clean
