"""Rule: the options of a chain, from quotes to numbers: first its slice, then every row of it.

A chain is the options of one underlying, expiry and exercise; OPTION and CHAIN are its arrays.

`refit`, in rotation, off the tick path: forward by put-call parity, volatilities of the mids,
judgement, the smile's slice, and for American options the premium of early exercise with its
Greeks. A slice that misses its quotes by no more than it did when it was fitted, and has no
arbitrage with its neighbour, is as good as new and stays (half of a millisecond saved).
`evaluate`, at every tick that touched an option or its underlying: forward, the smile's volatility
at the option's new moneyness (sticky moneyness), price, Greeks, and the volatilities implied by
bid, mid and ask.

    forward = spot e**((rate - income) years); income is what parity or dividends say, the rate
    itself where the underlying is a future, the foreign rate of a currency.

American options: price = European price + premium, from the same smile. A quote less the premium
is a European quote, which parity and the inversion ask for; as the premium was computed from the
smile that these quotes made, a rotation is a round of a fixed point. Between visits the premium
moves by its own delta and gamma; its other Greeks stay for SLOPES_EVERY visits. The error of that,
in price, is the third order of the spot's move since, plus the premium's vega times the smile's
move: below 1e-4 of the spot for a move of 1 %. The volatility that an American quote implies is
taken to first order about the smile's: the European vega there is corrected by the premium's.

A price paid in the coin that the option is on (Deribit) is made money by the forward first; its
row shows the price in coin, the Greeks in money. Where prices may be negative, the model is
Bachelier's, the slice a parabola of volatility in strike - forward, level beyond its quotes; early
exercise is left out there, see compute/options.py for what that is worth.

All float64, NaN unknown. No fast-math, as in black.py.
"""

import math

import numpy as np
from numba import njit

from compute.kernels import american, bachelier, black, implied, smile

SPOT, FUTURE, NORMAL = range(3)  # Groups: one formula each.
GREEKS = len(black.GREEKS)

OPTION = np.dtype(
    [
        *(("id", "<i8"), ("chain", "<i8")),
        *(("sign", "<f8"), ("strike", "<f8")),
        # The volatilities last implied, as guesses.
        *(("bid", "<f8"), ("mid", "<f8"), ("ask", "<f8")),
        ("held_spot", "<f8"),  # Where the premium of early exercise was computed.
        ("held", "<f8", GREEKS),  # That premium and its Greeks.
    ]
)
CHAIN = np.dtype(
    [
        *(("first", "<i8"), ("last", "<i8")),  # Its options, by strike, call before put.
        *(("under", "<i8"), ("before", "<i8")),  # Underlying; chain of the expiry before, or -1.
        *(("group", "<i8"), ("american", "<i8"), ("coin", "<i8"), ("model", "<i8")),
        *(("expiry_ns", "<i8"), ("fitted_ns", "<i8"), ("bits", "<i8")),
        *(("rate", "<f8"), ("income", "<f8")),  # Continuous, a year.
        ("years", "<f8"),  # At the fit.
        ("visits", "<i8"),  # Of the rotation.
        ("miss", "<f8"),  # Mean square of the fit's misses, in errors of the quotes.
        ("slice", "<f8", smile.PARAMETERS),
    ]
)
YEAR_NS = 365 * 86_400 * 1e9

# Bits of a chain, beyond smile.FIT_...; see compute.table.Smile.
KEPT, FLAT, CARRY = 16, 32, 64
SLOPES_EVERY = 4  # Visits: those of early exercise cost eight solutions, it itself one.
HOLDS = 1 << 20  # Of a fit's answer alone: the slice that stands is good.
HOLDS_MAX, HOLDS_MIN = 1.25, 0.02  # Share of the miss at the fit; rms of a seventh of an error.
ARBITRAGE = smile.FIT_BUTTERFLY | smile.FIT_CALENDAR
KEEP_NS = 60 * 1_000_000_000  # An old slice without arbitrage is better than a new one with.
PARITY_ERROR_MAX = 0.005  # Of the spot; a forward less sure than that is no better than the carry.
INCOME_MAX = 1.0  # A year; what parity says beyond it is a wrong quote.
VEGA_SHARE_MIN = 0.02  # An American vega below this share of the European one implies nothing.
LEVEL, SLOPE, BEND, LOW, HIGH = range(5)  # Of the parabola; the last two are ends of its quotes.
POWERS = 3

# What `evaluate` writes, by column of compute.table.ANALYTICS.
RESULTS = (
    *("model_price", "delta", "gamma", "vega", "theta", "rho", "vanna", "volga", "charm"),
    *("implied_bid", "implied", "implied_ask", "smile", "underlying_price", "forward"),
    *("smile_age_s", "smile_bits", "model", "years", "rate", "early"),
)
# The rows of black.py's Greeks that stand first in RESULTS.
SHOWN = (
    *(black.PRICE, black.DELTA, black.GAMMA, black.VEGA, black.THETA, black.RHO),
    *(black.VANNA, black.VOLGA, black.CHARM),
)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def spot_of(live, row, quoted):
    """The price of an underlying: its mid, else its last; NaN without either."""
    price = live[row, quoted[2]]
    return live[row, quoted[3]] if math.isnan(price) else price


@njit(nogil=True, boundscheck=False, error_model="numpy")
def premium(option, spot, exercise, european):
    """The premium of early exercise at `spot`, from where it was computed last."""
    move = spot - option.held_spot
    held = option.held
    early = held[black.PRICE] + move * (held[black.DELTA] + 0.5 * move * held[black.GAMMA])
    return max(early, exercise - european, 0.0)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def deviation(own, group, strike, forward, years):
    """The smile's volatility, of the slice `own` as of `years` before expiry."""
    if group == NORMAL:
        gap = min(max(strike - forward, own[LOW]), own[HIGH])
        return max(own[LEVEL] + gap * (own[SLOPE] + gap * own[BEND]), 0.0)
    x = math.log(strike / forward) - own[smile.M]
    root = math.sqrt(x * x + own[smile.S] * own[smile.S])
    return math.sqrt((own[smile.A] + own[smile.B] * (own[smile.RHO] * x + root)) / years)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def used(option, chain, forward):
    """The volatility an option is valued at: the slice's; without one, that of its own mid."""
    if chain.bits & FLAT and option.mid > 0.0:
        return option.mid
    return deviation(chain.slice, chain.group, option.strike, forward, chain.years)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def evaluate(which, group, options, chains, live, quoted, clock_ns, now_ns, columns, out):
    """Rows of `out`, a table like ANALYTICS, for the options `which` [n], all of one `group`.

    live: the table of instruments; quoted: its columns bid, ask, mid, last; columns: those of
    `out` for RESULTS. clock_ns: event time, for what is left to expiry; now_ns: for ages.
    """
    n = which.shape[0]
    sign, spot, strike = np.empty(n), np.empty(n), np.empty(n)
    years, volatility, rate, income = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    forward, discount, unit, early = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for j in range(n):
        option = options[which[j]]
        chain = chains[option.chain]
        sign[j], strike[j], rate[j], income[j] = (
            option.sign,
            option.strike,
            chain.rate,
            chain.income,
        )
        spot[j] = spot_of(live, chain.under, quoted)
        years[j] = (chain.expiry_ns - clock_ns) / YEAR_NS
        if not years[j] > 0.0:
            years[j] = np.nan  # Expired: blank.
        forward[j] = spot[j] * math.exp((rate[j] - income[j]) * years[j])
        discount[j] = math.exp(-rate[j] * years[j])
        volatility[j] = used(option, chain, forward[j])
        unit[j] = forward[j] if chain.coin else 1.0
    greeks = np.empty((GREEKS, n))
    if group == NORMAL:
        bachelier.greeks(sign, forward, strike, years, volatility, rate, greeks)
    else:
        future = group == FUTURE
        black.greeks_first(sign, spot, strike, years, volatility, rate, income, future, greeks)
        black.greeks_second(sign, spot, strike, years, volatility, rate, income, future, greeks)
    for j in range(n):
        option = options[which[j]]
        early[j] = 0.0
        if chains[option.chain].american:
            exercise = sign[j] * (spot[j] - strike[j])
            early[j] = premium(option, spot[j], exercise, greeks[black.PRICE, j])
    found = _implied(
        *(which, group, options, live, quoted, sign, forward, strike, years, discount),
        *(unit, early, volatility, greeks),
    )
    scale = 1.0 if group == NORMAL else 100.0  # Volatilities are shown in %.
    for j in range(n):
        option = options[which[j]]
        chain = chains[option.chain]
        row = out[option.id]
        _show(row, columns, option, chain, greeks[:, j], early[j], spot[j] - option.held_spot)
        row[columns[0]] /= unit[j]
        at = len(SHOWN)
        for side in range(3):
            row[columns[at + side]] = found[side, j] * scale
        row[columns[at + 3]] = volatility[j] * scale
        row[columns[at + 4]] = spot[j]
        row[columns[at + 5]] = forward[j]
        row[columns[at + 6]] = _age(chain, now_ns)
        row[columns[at + 7]] = chain.bits
        row[columns[at + 8]] = chain.model
        row[columns[at + 9]] = years[j]
        row[columns[at + 10]] = rate[j] * 100.0
        row[columns[at + 11]] = early[j] if math.isfinite(greeks[black.PRICE, j]) else np.nan


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _show(row, columns, option, chain, greeks, early, move):
    """Price and Greeks, with those of early exercise."""
    for place in range(len(SHOWN)):
        value = greeks[SHOWN[place]]
        if chain.american:
            if SHOWN[place] == black.PRICE:
                value += early
            elif SHOWN[place] == black.DELTA:
                value += option.held[black.DELTA] + move * option.held[black.GAMMA]
            else:
                value += option.held[SHOWN[place]]
        row[columns[place]] = value


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def _age(chain, now_ns):
    """Seconds since the fit, to a tenth; NaN before the first."""
    if chain.fitted_ns == 0:
        return np.nan
    return round(max(now_ns - chain.fitted_ns, 0) / 1e8) / 10.0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _implied(
    which, group, options, live, quoted, sign, forward, strike, years, discount,
    unit, early, volatility, greeks,
):  # fmt: skip
    """[3, n]: volatilities of bid, mid and ask; NaN where there is no such price."""
    n = which.shape[0]
    found, price, guess = np.empty((3, n)), np.empty(n), np.empty(n)
    for side in range(3):
        for j in range(n):
            option = options[which[j]]
            bid, ask = live[option.id, quoted[0]], live[option.id, quoted[1]]
            quote = bid if side == 0 else ask
            if side == 1:
                quote = 0.5 * (bid + ask) if bid <= ask else np.nan
            price[j] = quote * unit[j] - early[j]
            guess[j] = option.bid if side == 0 else option.mid if side == 1 else option.ask
        out = found[side]
        if group == NORMAL:
            implied.normal(sign, price, forward, strike, years, discount, out)
        else:
            implied.warm(sign, price, forward, strike, years, discount, guess, out)
        for j in range(n):
            option = options[which[j]]
            if side == 0:
                option.bid = out[j]
            elif side == 1:
                option.mid = out[j]
            else:
                option.ask = out[j]
            vega = greeks[black.VEGA, j]
            share = 1.0 + option.held[black.VEGA] / vega
            if early[j] > 0.0:
                if share < VEGA_SHARE_MIN:
                    out[j] = np.nan
                else:
                    out[j] = max(volatility[j] + (out[j] - volatility[j]) / share, 0.0)
    return found


@njit(nogil=True, boundscheck=False, error_model="numpy")
def refit(number, options, chains, live, quoted, rate, flow, clock_ns, now_ns):
    """A new slice of chain `number`, and what its options hold of early exercise.

    rate: continuous, to expiry; flow: the income where parity does not say. Returns whether the
    slice is new; the bits of the chain say what is wrong with it.
    """
    chain = chains[number]
    spot = spot_of(live, chain.under, quoted)
    years = (chain.expiry_ns - clock_ns) / YEAR_NS
    if not (years > 0.0 and math.isfinite(spot) and (spot > 0.0 or chain.group == NORMAL)):
        return False
    chain.rate = rate
    first = chain.fitted_ns == 0
    # At first nothing is known of early exercise, on which the forward and the smile depend.
    fitted = False
    for _ in range(2 if first and chain.american else 1):
        fitted = _slice(number, options, chains, live, quoted, spot, flow, years, now_ns) or fitted
        if chain.american:
            whole = chain.visits % SLOPES_EVERY == 0
            _hold(options[chain.first : chain.last], chain, spot, years, whole)
    chain.visits += 1
    return fitted


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _slice(number, options, chains, live, quoted, spot, flow, years, now_ns):
    """Forward, volatilities of the mids, judgement and fit."""
    chain = chains[number]
    own = options[chain.first : chain.last]
    n, rate = own.shape[0], chain.rate
    discount = math.exp(-rate * years)
    sign, strike = np.empty(n), np.empty(n)
    bid, ask, mid, volatility = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    unit = spot if chain.coin else 1.0
    for i in range(n):
        sign[i], strike[i] = own[i].sign, own[i].strike
        early = 0.0
        if chain.american:
            early = premium(own[i], spot, -np.inf, 0.0)
        bid[i] = live[own[i].id, quoted[0]] * unit - early
        ask[i] = live[own[i].id, quoted[1]] * unit - early
        mid[i] = 0.5 * (bid[i] + ask[i])
    bits = 0
    if chain.group == SPOT:
        at = _parity(strike, sign, bid, ask, discount, spot)
        found = rate - math.log(at / spot) / years
        if abs(found) <= INCOME_MAX:
            chain.income = found
        elif chain.fitted_ns > 0 and chain.bits & CARRY == 0:
            bits = KEPT  # What parity said last is nearer than what the calendar says.
        else:
            chain.income, bits = flow, CARRY
    else:
        chain.income = rate
    forward = spot * math.exp((rate - chain.income) * years)
    at, time = np.full(n, forward), np.full(n, years)
    if chain.group == NORMAL:
        implied.normal(sign, mid, at, strike, time, np.full(n, discount), volatility)
    else:
        implied.cold(sign, mid, at, strike, time, np.full(n, discount), volatility)
    for i in range(n):
        own[i].mid = volatility[i]
    fitted = np.empty(smile.PARAMETERS)
    usable, wrong = _fit(
        *(chain, chains, sign, strike, bid, ask, volatility, forward, discount, years), fitted
    )
    return _accept(chain, fitted, wrong | bits, usable, volatility, years, now_ns)


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _parity(strike, sign, bid, ask, discount, spot):
    """The forward by put-call parity; NaN where no pair is sure enough."""
    n = strike.shape[0]
    at, quotes = np.empty(n), np.empty((4, n))
    pairs = 0
    for i in range(n - 1):
        if strike[i] == strike[i + 1] and sign[i] > 0.0 > sign[i + 1]:
            at[pairs] = strike[i]
            quotes[0, pairs], quotes[1, pairs] = bid[i], ask[i]
            quotes[2, pairs], quotes[3, pairs] = bid[i + 1], ask[i + 1]
            pairs += 1
    call_bid, call_ask = quotes[0, :pairs], quotes[1, :pairs]
    put_bid, put_ask = quotes[2, :pairs], quotes[3, :pairs]
    found, error, _ = smile.forward(at[:pairs], call_bid, call_ask, put_bid, put_ask, discount)
    return found if error <= PARITY_ERROR_MAX * spot and found > 0.0 else np.nan


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _fit(chain, chains, sign, strike, bid, ask, volatility, forward, discount, years, fitted):
    """(which quotes may speak, bits), and the slice into `fitted`."""
    n = strike.shape[0]
    k, w, error = np.empty(n), np.empty(n), np.empty(n)
    if chain.group == NORMAL:
        usable = np.zeros(n, np.bool_)
        for i in range(n):
            k[i], w[i] = strike[i] - forward, volatility[i]
            d = k[i] / (volatility[i] * math.sqrt(years))
            share = math.exp(-0.5 * d * d)
            vega = discount * math.sqrt(years / (2.0 * math.pi)) * share
            error[i] = max(0.5 * (ask[i] - bid[i]) / vega, smile.ERROR_MIN * volatility[i])
            outside = sign[i] * (forward - strike[i]) <= 0.0
            usable[i] = outside and 0.0 < bid[i] <= ask[i] and share >= smile.VEGA_MIN
        return usable, quadratic(k[usable], w[usable], error[usable], fitted)
    reason = np.empty(n, np.uint8)
    smile.judge(
        *(sign, strike, bid, ask, volatility, forward, discount, years, k, w, error), reason
    )
    usable = reason == smile.USED
    before = np.full(smile.PARAMETERS, np.nan)
    if chain.before >= 0 and chains[chain.before].bits & (FLAT | ARBITRAGE) == 0:
        before[:] = chains[chain.before].slice
    k, w, error = k[usable], w[usable], error[usable]
    if holds(chain, before, k, w, error, years):
        fitted[:] = chain.slice
        return usable, HOLDS
    bits = smile.fit(k, w, error, before, fitted)
    chain.miss = missed(fitted, k, w, error, 1.0)
    return usable, bits


@njit(nogil=True, boundscheck=False, error_model="numpy")
def missed(own, k, w, error, shrink):
    """Mean square of the distances from w to the slice times `shrink`, in errors."""
    total = 0.0
    for i in range(k.shape[0]):
        x = k[i] - own[smile.M]
        root = math.sqrt(x * x + own[smile.S] * own[smile.S])
        at = own[smile.A] + own[smile.B] * (own[smile.RHO] * x + root)
        total += ((at * shrink - w[i]) / error[i]) ** 2
    return total / k.shape[0]


@njit(nogil=True, boundscheck=False, error_model="numpy")
def holds(chain, before, k, w, error, years):
    """Whether the slice that stands is as good as when it was fitted."""
    faults = smile.FIT_FEW | ARBITRAGE | KEPT | FLAT
    if chain.fitted_ns == 0 or chain.bits & faults or k.shape[0] < smile.QUOTES_MIN:
        return False
    shrink = years / chain.years  # The volatility stays as time passes.
    if not missed(chain.slice, k, w, error, shrink) <= HOLDS_MAX * chain.miss + HOLDS_MIN:
        return False
    density, rise = smile.check(chain.slice, before, w[np.argmin(np.abs(k))], k.min(), k.max())
    return density >= 0.0 and rise >= 0.0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _accept(chain, fitted, bits, usable, volatility, years, now_ns):
    """Take the slice, or keep the one there is, and say so in the bits."""
    own = chain.slice
    if bits & HOLDS:
        chain.bits = (chain.bits & smile.FIT_LIFTED) | (bits & ~HOLDS)
        chain.fitted_ns = now_ns
        return True
    known = not math.isnan(own[0]) and chain.bits & FLAT == 0
    sound = known and chain.bits & ARBITRAGE == 0
    young = now_ns - chain.fitted_ns <= KEEP_NS
    if (bits & smile.FIT_FEW and known) or (bits & ARBITRAGE and sound and young):
        kept = chain.bits & (smile.FIT_LIFTED | ARBITRAGE)  # Those of the slice that stands.
        chain.bits = kept | (bits & ~ARBITRAGE) | KEPT
        return False
    if bits & smile.FIT_FEW:
        found = volatility[usable]
        if found.shape[0] == 0:  # A poor quote says more than none.
            found = volatility[volatility > 0.0]
        if found.shape[0] == 0:
            chain.bits = bits
            return False
        level = np.median(found)
        fitted[:] = 0.0
        fitted[smile.A] = level if chain.group == NORMAL else level * level * years
        bits |= FLAT
    own[:] = fitted
    chain.bits, chain.years, chain.fitted_ns = bits, years, now_ns
    return True


@njit(nogil=True, boundscheck=False, error_model="numpy")
def quadratic(gap, volatility, error, own):
    """Least squares of a parabola through normal volatilities; bits as smile.fit."""
    own[:] = np.nan
    if gap.shape[0] < smile.QUOTES_MIN:
        return smile.FIT_FEW
    matrix, right = np.zeros((POWERS, POWERS)), np.zeros(POWERS)
    scale = np.abs(gap).max()
    for i in range(gap.shape[0]):
        weight, x = 1.0 / (error[i] * error[i]), gap[i] / scale
        for p in range(POWERS):
            right[p] += weight * x**p * volatility[i]
            for c in range(POWERS):
                matrix[p, c] += weight * x ** (p + c)
    if not smile.solve(matrix, right):
        return smile.FIT_FEW
    own[LEVEL], own[SLOPE], own[BEND] = right[0], right[1] / scale, right[2] / (scale * scale)
    own[LOW], own[HIGH] = gap.min(), gap.max()
    return 0


@njit(nogil=True, boundscheck=False, error_model="numpy")
def _hold(own, chain, spot, years, whole):
    """The premium of early exercise of a chain's options, its delta and gamma; `whole`: all."""
    n = own.shape[0]
    sign, strike, volatility = np.empty(n), np.empty(n), np.empty(n)
    forward = spot * math.exp((chain.rate - chain.income) * years)
    for i in range(n):
        sign[i], strike[i] = own[i].sign, own[i].strike
        volatility[i] = used(own[i], chain, forward)
    at, time = np.full(n, spot), np.full(n, years)
    rate, income = np.full(n, chain.rate), np.full(n, chain.income)
    early, plain = np.empty((GREEKS, n)), np.empty((GREEKS, n))
    black.greeks_first(sign, at, strike, time, volatility, rate, income, False, plain)
    black.greeks_second(sign, at, strike, time, volatility, rate, income, False, plain)
    if whole:
        american.greeks(sign, at, strike, time, volatility, rate, income, early)
    else:
        work = np.empty(american.SCRATCH)
        for i in range(n):
            terms = (sign[i], spot, strike[i], years, volatility[i], chain.rate, chain.income)
            (early[0, i], early[1, i], early[2, i]), _ = american.solve(*terms, work)
    for i in range(n):
        own[i].held_spot = spot
        for place in range(GREEKS if whole else black.VEGA):
            more = early[place, i] - plain[place, i]
            own[i].held[place] = more if math.isfinite(more) else 0.0
        if not whole:
            continue
        if chain.group == FUTURE:  # Its income is the rate, so both move.
            own[i].held[black.RHO] += own[i].held[black.RHO_INCOME]


def build(stamp: int):
    """(evaluate, refit, escrowed_yield).

    Their machine code is kept on disk under `stamp` (see step.py).
    """

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def kept_evaluate(which, group, options, chains, live, quoted, clock_ns, now_ns, columns, out):
        if stamp >= 0:
            evaluate(which, group, options, chains, live, quoted, clock_ns, now_ns, columns, out)

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def kept_refit(number, options, chains, live, quoted, rate, flow, clock_ns, now_ns):
        if stamp < 0:
            return False
        return refit(number, options, chains, live, quoted, rate, flow, clock_ns, now_ns)

    @njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
    def kept_yield(spot, rate, time, dividend_times, dividends, out):
        if stamp >= 0:
            american.escrowed_yield(spot, rate, time, dividend_times, dividends, out)

    return kept_evaluate, kept_refit, kept_yield
