"""Rule: what the day's P&L of a position came of: prices, Greeks, carry, trades, currencies.

What is held earns q (v - v_anchor) from an anchor on: the mark, the underlying, the volatility and
the Greeks of one moment. An anchor is set anew when the quantity changes, and every RENEW_MS; what
it has earned until then is kept. From anchor to now, per unit of price and of quantity:

    from_price = the whole move of v, where the instrument is no option
    from_delta = delta dS      from_gamma = gamma dS**2 / 2     (of options, by Taylor)
    from_vega  = vega dvol     from_theta = theta days
    residual   = the move of v less these: higher orders, rates, what no Greek was known for
    from_trades = overnight + intraday less all that was earned by holding
    from_carry  = day_pnl less overnight and intraday: income of today less its fees

so that all parts but currencies' add up to day_pnl whatever the model says, and with
from_fx = day_translation to the total. Money is local until it is told, at the rate of now.

At first sight a position held overnight has earned v - v(close). An option's delta and gamma are
then taken backwards from the underlying's close; its volatility and time at the close are not
known, so their share stays in the residual, and what today's fills had earned before is trades'.
The volatility is that of the mid where the mark is a mid at both ends, else the smile's. A new day
(another start of day, or none of its fills left) forgets what was earned. An option paid in its
coin has no Greeks in the coin: its move is residual.

All float64; NaN (no mark) blanks a row, and so the groups that contain it.
"""

import numpy as np
from numba import njit

from compute.kernels.currency import value_of

RENEW_MS = 300_000.0
COIN, BACHELIER, BACHELIER_AMERICAN = 5, 3, 9  # Codes of compute.table.Model.
OF_MID = 2  # Of compute.table.MarkSource.

PRICE, DELTA, GAMMA, VEGA, THETA, CARRY, TRADES, RESIDUAL, DAY, FX, TOTAL = range(11)
WIDTH = 11
GREEKS = 4  # DELTA to THETA.

STATE = np.dtype(
    [
        *(("seen", "<i8"), ("known", "<i8")),  # `known`: the anchor has Greeks.
        *(("traded", "<i8"), ("instrument", "<i8"), ("source", "<i8")),
        *(("start", "<f8"), ("close", "<f8")),
        *(("quantity", "<f8"), ("value", "<f8"), ("at_ms", "<f8")),
        *(("spot", "<f8"), ("mid_vol", "<f8"), ("smile", "<f8"), ("years", "<f8")),
        ("greeks", "<f8", GREEKS),
        ("earned", "<f8"),  # By holding, until the anchor.
        ("parts", "<f8", GREEKS),  # Of it.
    ]
)
# Columns that are read: of POSITIONS, of INSTRUMENTS, of ANALYTICS.
HELD = (
    *("instrument", "quantity", "start_quantity", "close", "mark", "fx"),
    *("overnight", "intraday", "day_pnl", "day_translation"),
)
MARKED = ("mark_source", "last", "mid", "change")
MODELLED = (
    *("underlying_price", "implied", "smile", "years", "model"),
    *("delta", "gamma", "vega", "theta"),
)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def explain(positions, held, instruments, marked, analytics, modelled, terms, now_ms, state, out):
    """Rows of `out` [n, WIDTH] for positions [n]; `state` [n] is what was earned until now."""
    for i in range(out.shape[0]):
        own, row, line = state[i], positions[i], out[i]
        k = int(row[held[0]]) if row[held[0]] >= 0.0 else -1
        if k < 0 or k >= terms.shape[0]:
            line[:] = np.nan
            own.seen, own.instrument = 0, -1
            continue
        start, close, intraday = row[held[2]], row[held[3]], row[held[7]]
        inverse, option = terms[k].inverse, terms[k].sign != 0.0
        value = value_of(row[held[4]], inverse) if row[held[1]] != 0.0 else 0.0
        if not abs(value) < np.inf:
            line[:] = np.nan  # What it has earned is not known; the anchor waits.
            continue
        if own.seen != 0 and _new_day(own, k, row[held[1]], start, close, intraday):
            own.seen = 0
        greeks, live = analytics[k], instruments[k]
        if own.seen == 0:
            _see(own, k, start, close)
            if start != 0.0:
                own.earned = start * (value_of(row[held[4]], inverse) - value_of(close, inverse))
            _anchor(own, row[held[1]], value, greeks, live, marked, modelled, now_ms)
            if option and own.known != 0:
                _backwards(own, start, terms[k].underlying, instruments, marked)
        own.traded = 1 if own.traded != 0 or intraday != 0.0 else 0
        unknown = option and own.known == 0 and own.quantity != 0.0
        due = now_ms - own.at_ms >= RENEW_MS or unknown
        if row[held[1]] != own.quantity or due:
            worth = value_of(row[held[4]], inverse) if own.quantity != 0.0 else 0.0
            _keep(own, worth, greeks, live, marked, modelled)
            _anchor(own, row[held[1]], value, greeks, live, marked, modelled, now_ms)
        _tell(
            own, row, held, value, terms[k].multiplier, option, line, greeks, live, marked, modelled
        )


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _new_day(own, instrument, quantity, start, close, intraday):
    """Whether what was earned is of another day, or of another position."""
    if own.instrument != instrument or own.start != start:
        return True
    if start != 0.0 and own.close != close:
        return True
    return own.traded != 0 and intraday == 0.0 and quantity == start


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _see(own, instrument, start, close):
    own.seen, own.traded, own.instrument = 1, 0, instrument
    own.start, own.close, own.earned = start, close, 0.0
    own.parts[:] = 0.0


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _anchor(own, quantity, value, greeks, live, marked, modelled, now_ms):
    """What holds from now on."""
    own.quantity, own.value, own.at_ms = quantity, value, now_ms
    own.source = int(live[marked[0]]) if live[marked[0]] >= 0.0 else 0
    own.spot, own.mid_vol = greeks[modelled[0]], greeks[modelled[1]]
    own.smile, own.years = greeks[modelled[2]], greeks[modelled[3]]
    own.known = 1
    for j in range(GREEKS):
        own.greeks[j] = greeks[modelled[5 + j]]
        if not abs(own.greeks[j]) < np.inf:
            own.known = 0
    if greeks[modelled[4]] == COIN:
        own.known = 0
    if greeks[modelled[4]] == BACHELIER or greeks[modelled[4]] == BACHELIER_AMERICAN:
        own.greeks[VEGA - DELTA] *= 100.0  # Its volatility is in units of price, not in %.


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _backwards(own, start, underlying, instruments, marked):
    """An option's delta and gamma from the underlying's close to its first sight."""
    live = instruments[underlying]
    now = live[marked[1]] if live[marked[1]] > 0.0 else live[marked[2]]
    move = now - now / (1.0 + live[marked[3]] / 100.0)  # `change` is of the last, else the mid.
    if start != 0.0 and abs(move) < np.inf:
        own.parts[0] = start * own.greeks[0] * move
        own.parts[1] = -0.5 * start * own.greeks[1] * move * move


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _move(own, j, greeks, live, marked, modelled):
    """Part j of DELTA to THETA from the anchor to now; what is not known now has not moved."""
    spot = greeks[modelled[0]] - own.spot
    if j == 0:
        part = own.greeks[0] * spot
    elif j == 1:
        part = 0.5 * own.greeks[1] * spot * spot
    elif j == 2:
        mids = own.source == OF_MID and live[marked[0]] == OF_MID
        vol = greeks[modelled[1]] - own.mid_vol
        if not (mids and abs(vol) < np.inf):
            vol = greeks[modelled[2]] - own.smile
        part = own.greeks[2] * vol
    else:
        part = own.greeks[3] * (own.years - greeks[modelled[3]]) * 365.0
    return part if abs(part) < np.inf else 0.0


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _keep(own, value, greeks, live, marked, modelled):
    """What was held since the anchor has earned, and of what."""
    if own.quantity == 0.0 or not abs(value) < np.inf:
        return
    own.earned += own.quantity * (value - own.value)
    if own.known != 0:
        for j in range(GREEKS):
            own.parts[j] += own.quantity * _move(own, j, greeks, live, marked, modelled)


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def _tell(own, row, held, value, multiplier, option, line, greeks, live, marked, modelled):
    """One row, USD."""
    unit = multiplier * row[held[5]]
    earned = own.earned
    if own.quantity != 0.0:
        earned += own.quantity * (value - own.value)
    line[:] = 0.0
    line[RESIDUAL if option else PRICE] = earned * unit
    if option:
        for j in range(GREEKS):
            part = own.parts[j]
            if own.known != 0 and own.quantity != 0.0:
                part += own.quantity * _move(own, j, greeks, live, marked, modelled)
            line[DELTA + j] = part * unit
            line[RESIDUAL] -= line[DELTA + j]
    whole = row[held[6]] + row[held[7]]
    line[TRADES] = whole - earned * unit
    line[CARRY], line[DAY] = row[held[8]] - whole, row[held[8]]
    line[FX], line[TOTAL] = row[held[9]], row[held[8]] + row[held[9]]


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def gather(parts, cells, signs, cell_group, parents, sums):
    """Add positions up by group, as kernels/exposure.groups adds their P&L."""
    sums[:, :] = 0.0
    for i in range(parts.shape[0]):
        for m in range(cells.shape[1]):
            if cells[i, m] < 0 or signs[i, m] == 0 or signs[i, m] == 2:
                continue
            into = sums[cell_group[cells[i, m]]]
            for j in range(WIDTH):
                into[j] += parts[i, j]
    for k in range(parents.shape[0]):
        child, parent = sums[parents[k, 0]], sums[parents[k, 1]]
        for j in range(WIDTH):
            parent[j] += child[j]
