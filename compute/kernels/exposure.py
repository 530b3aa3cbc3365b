"""Rule: what a position would cost or gain, in USD, and its sums by group.

`lines` turns sensitivities per unit of the underlying into money, one row a position (columns of
RISK up to `days_to_exit`, in order). An option on S with delta, gamma, vega, theta and rho per
unit, quantity q and `unit` USD of one unit of price has
    delta_usd = delta S q unit,        gamma_usd = gamma S**2 q unit / 100,
    vega_usd, theta_usd, rho_usd = the Greek x q unit;
anything linear has delta_usd = its value and no Greeks. Gamma is the change of delta_usd for
+1 % at the old S. Rates and credit have dv01 and cs01, which are per unit of quantity, in the
instrument's currency; an option on a rates future has those of the future times its delta. dv01
is laid on the key rates in proportion to `key_rates`, or, where those are not known, on the two
next to the duration, linearly in time: the buckets add up to it either way.

`groups` adds lines up. A line is in several groups (fund, book, class, ...), by `cells` [n, m]: a
cell is one underlying within one group, and long, short and gross are taken over cells: a share
and the option on it net, two shares do not. Sums run in the order of the slots; their rounding
error is at most n eps sum|x|, whatever the order.

Unknown is NaN and stays so through every sum that contains it; `missing` counts such lines. A
flat line is 0 in everything but its P&L.
"""

import math

import numpy as np
from numba import njit

(VALUE, DELTA, BETA, GAMMA, VEGA, THETA, RHO, DV01, CS01, KEY_RATE) = range(10)
KEY_RATES = 6
STALE, EXIT = KEY_RATE + KEY_RATES, KEY_RATE + KEY_RATES + 1
SUMMED = KEY_RATE + KEY_RATES  # Columns of a line that a group adds up.
WIDTH = EXIT + 1

# Columns of `sums`: the SUMMED ones, then these.
PNL, DAY_PNL, ABSOLUTE, STALE_ABSOLUTE, LINES, MISSING = range(SUMMED, SUMMED + 6)
SUMS = SUMMED + 6
LONG, SHORT, LARGEST = 0, 1, 2  # Columns of `sides`.

# Fields of `at`: where a column stands in the instruments and analytics tables.
(AT_TS, AT_STATE, AT_DELTA, AT_GAMMA, AT_VEGA, AT_THETA, AT_RHO) = range(7)
(AT_UNDERLYING, AT_DURATION, AT_DV01, AT_CS01, AT_MODEL, AT_YEARS) = range(7, 13)

NO_RATES, OWN_RATES, RATES_OF_UNDERLYING = 0, 1, 2
CLOSED = 128  # Bit of the column `state`: the close is the mark, however old.
COIN, BACHELIER, BACHELIER_AMERICAN = 5, 3, 9  # Model codes.
PARTICIPATION = 0.2  # Of the average daily volume, in days_to_exit.
YEAR_MS = 365.0 * 86_400_000.0


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def lines(
    quantity,
    instrument,
    value,
    unit,
    instruments,
    analytics,
    at,
    terms,
    tenors,
    key_rates,
    now_ms,
    out,
):
    """Rows of `out` [n, WIDTH] for positions [n].

    quantity, value: float64 [n]; unit: float64 [n], USD of one unit of price and of quantity;
    instrument: int64 [n], -1 for a free slot (a row of NaN).
    instruments [i, .], analytics [i, .]: float64 tables, read at the columns `at` (int64).
    terms [i]: structured, see compute/term.py. tenors: years of the key rates, ascending.
    key_rates [i, KEY_RATES]: what a unit gains for -1 bp at each, in any money; NaN unknown.
    """
    for i in range(quantity.shape[0]):
        k, q, line = instrument[i], quantity[i], out[i]
        if k < 0:
            line[:] = np.nan
            continue
        line[:] = 0.0
        if q == 0.0:
            continue
        term, greeks = terms[k], analytics[k]
        money = q * unit[i]
        line[VALUE] = value[i]
        line[DELTA] = value[i]
        if term.sign != 0.0:
            money = q * (term.coin_usd if greeks[at[AT_MODEL]] == COIN else unit[i])
            _option(line, greeks, at, abs(term.strike), money)
        line[BETA] = line[DELTA] * term.beta if term.beta != 0.0 else 0.0
        bond = greeks
        if term.rates == RATES_OF_UNDERLYING:
            bond = analytics[term.underlying]
            shares = money / terms[term.underlying].multiplier  # Of the future, per unit of delta.
            line[DV01] = bond[at[AT_DV01]] * greeks[at[AT_DELTA]] * shares
        elif term.rates == OWN_RATES:
            line[DV01] = bond[at[AT_DV01]] * (money / term.multiplier)
        if term.credit:
            line[CS01] = greeks[at[AT_CS01]] * (money / term.multiplier)
        if term.rates != NO_RATES:
            years = bond[at[AT_DURATION]]
            if not years >= 0.0:
                years = bond[at[AT_YEARS]]
            if not years >= 0.0:
                years = (term.expiry_ms - now_ms) / YEAR_MS
            keys = key_rates[term.underlying if term.rates == RATES_OF_UNDERLYING else k]
            whole = 0.0
            for j in range(KEY_RATES):
                whole += keys[j]
            if whole != 0.0 and math.isfinite(whole):
                for j in range(KEY_RATES):
                    line[KEY_RATE + j] = line[DV01] * (keys[j] / whole)
            else:
                _spread(line, years, tenors)
        old = not now_ms - instruments[k, at[AT_TS]] <= term.stale_ms
        state = instruments[k, at[AT_STATE]]
        if old and not (state >= 0.0 and int(state) & CLOSED):
            line[STALE] = 1.0
        line[EXIT] = abs(q) / (PARTICIPATION * term.adv)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _option(line, greeks, at, strike, money):
    """Cash Greeks; `money`: USD of the position for one unit of price."""
    spot = greeks[at[AT_UNDERLYING]]
    line[DELTA] = greeks[at[AT_DELTA]] * spot * money
    line[GAMMA] = greeks[at[AT_GAMMA]] * spot * spot * money / 100.0
    line[VEGA] = greeks[at[AT_VEGA]] * money
    if greeks[at[AT_MODEL]] in (
        BACHELIER,
        BACHELIER_AMERICAN,
    ):  # A point of a normal volatility: 1 % of S.
        line[VEGA] *= max(abs(spot), strike)
    line[THETA] = greeks[at[AT_THETA]] * money
    line[RHO] = greeks[at[AT_RHO]] * money


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _spread(line, years, tenors):
    """Lay line[DV01] on the key rates next to `years`; the second takes the rest, exactly."""
    whole = line[DV01]
    last = tenors.shape[0] - 1
    if not years > tenors[0]:
        line[KEY_RATE] = whole
    elif years >= tenors[last]:
        line[KEY_RATE + last] = whole
    else:
        low = 0
        while tenors[low + 1] <= years:
            low += 1
        part = whole * ((tenors[low + 1] - years) / (tenors[low + 1] - tenors[low]))
        line[KEY_RATE + low] = part
        line[KEY_RATE + low + 1] = whole - part


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def groups(
    risk, quantity, pnl, day_pnl, cells, signs, cell_group, cell_party, party_group,
    parents, net, party, sums, sides,
):  # fmt: skip
    """Sums by group.

    risk: float64 [n, >= WIDTH]; quantity, pnl, day_pnl: float64 [n]. cells: int32 [n, m], -1
    for none; signs: int8 [n, m], what the line's delta counts there: +1, -1, or 2 for a side
    that takes delta and value alone (the base of a currency pair).
    cell_group: int64 [c], the group of each cell; cell_party: int64 [c], the issuer within the
    group, -1 none; party_group: int64 [p]. parents: int64
    [k, 2], (group, its parent): sums of a parent are those of its children, so a line whose sign
    is 0 counts there in its cell alone. Out: net [c], party [p] (gross by issuer), sums
    [g, SUMS], sides [g, 3].
    """
    net[:] = 0.0
    party[:] = 0.0
    sums[:, :] = 0.0
    sides[:, :] = 0.0
    for i in range(quantity.shape[0]):
        flat = quantity[i] == 0.0
        line = risk[i]
        delta = 0.0 if flat else line[DELTA]
        unknown = 0.0
        if not flat:
            for j in range(SUMMED):
                unknown += 0.0 * line[j]
        unknown = 1.0 if math.isnan(unknown) else 0.0
        for m in range(cells.shape[1]):
            cell, sign = cells[i, m], signs[i, m]
            if cell < 0:
                continue
            net[cell] += -delta if sign < 0 else delta
            if sign == 0:
                continue
            total = sums[cell_group[cell]]
            if sign != 2:
                total[PNL] += pnl[i]
                total[DAY_PNL] += day_pnl[i]
            if not flat:
                _add(total, line, sign, unknown)
    for k in range(parents.shape[0]):
        child, parent = sums[parents[k, 0]], sums[parents[k, 1]]
        for j in range(SUMS):
            parent[j] += child[j]
    for cell in range(net.shape[0]):
        side, amount = sides[cell_group[cell]], net[cell]
        if not amount <= 0.0:  # NaN goes into both.
            side[LONG] += amount
        if not amount >= 0.0:
            side[SHORT] += amount
        if cell_party[cell] >= 0:
            party[cell_party[cell]] += abs(amount)
    for one in range(party.shape[0]):
        side = sides[party_group[one]]
        if not party[one] <= side[LARGEST]:
            side[LARGEST] = party[one]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _add(total, line, sign, unknown):
    if sign == 1:
        for j in range(SUMMED):
            total[j] += line[j]
    else:
        side = -1.0 if sign < 0 else 1.0
        total[VALUE] += side * line[VALUE]
        total[DELTA] += side * line[DELTA]
        if sign < 0:
            for j in range(BETA, SUMMED):
                total[j] += line[j]
    size = abs(line[DELTA])
    total[ABSOLUTE] += size
    total[STALE_ABSOLUTE] += size if line[STALE] != 0.0 else 0.0
    total[LINES] += 1.0
    total[MISSING] += unknown
