"""Our volatilities and Greeks from a market's bid and ask beside those that it publishes itself.

Two venues' own answers, recorded: Cboe's chain of AAPL at a close (American, on shares that pay
dividends) and Deribit's tickers (European, paid in the coin). Only bid, ask and the underlying's
quote enter; rate, dividends and clock are ours. The table is printed and written as an artifact.

The bound. Both sides invert and differentiate the same model, so they differ by their inputs, and
what is not told of theirs must lie in a box around ours:

    spot        +- (0.15 % + 0.5 % a year of T): Cboe's answer holds the underlying's last quote
                of the day beside option quotes of some other second (at 16:00 the share's spread
                alone is 0.04 %), and a dividend yield of theirs that is off ours by 0.5 % a year
                moves the forward by that times T.
    rate        +- 1 % a year at the same forward: our table is flat, and an escrowed dividend of
                theirs is a part of the spot that we discount.
    time        +- half a day: an expiry counted by dates, by trading hours or by minutes; of theta
                a day, as the loss over the next day is the slope half a day later.
    volatility  from theirs to ours: a published Greek is at its publisher's volatility, ours at
                the smile's.

Cboe's theta is that of a day in which the forward stays: at every strike it is ours without the
drift, theta + (rate - income) spot delta / 365 (a put of 2027 at the money: -0.043, ours -0.029
with it, -0.042 without), so that is what is compared. Whether theirs lets the premium of early
exercise run off too is not told: the bound of theta has its mean decay, premium / T, besides.

For every option the bound is the largest change of our own number over the corners of the box,
computed by the models themselves, and the rounding of what is published (their last digit). No
number of the box is fitted, but its sides were widened after a first look at the data: the rate,
the whole day of theta and the decay of the premium came in then, each for the reason above. Three
options of a hundred may lie outside (two at first): a venue has quotes that we cannot see, and its
volatility need not be that of the mid. Compared are the options that have a price to
compare: two-sided, out of the money, 2 to 98 % delta, some volatility of theirs. Deribit tells the
underlying with each ticker and a rate of 0, so there the box is only 0.01 % and half a minute.
"""

import gzip
import json
import math
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from app.settings import ROOT
from compute.kernels import american, black, implied
from compute.options import Options
from compute.table import ANALYTICS, INSTRUMENTS, Model
from ingest.event import NO_PRICE, Kind
from ingest.feeds import capture
from ingest.feeds.feed import Tally
from ingest.feeds.open import open_feed
from ingest.instrument import Reference

ARTIFACTS = Path(os.environ.get("TICKGLASS_ARTIFACTS", ROOT / ".tickglass" / "artifacts"))
CBOE = "cboe/AAPL_chain_2026-07-24_close_odd_expiries.json.gz"
DERIBIT = "cryptofeed/DERIBIT.ws.1.0"
HALF_DAY = 0.5 / 365.0
RATES = (-0.01, 0.0, 0.01)
SHARE_MIN = 0.97
GREEKS = ("delta", "gamma", "vega", "theta")
ROWS = dict(delta=black.DELTA, gamma=black.GAMMA, vega=black.VEGA, theta=black.THETA, rho=black.RHO)


def cells(rows):
    return dict(zip(ANALYTICS.names, rows.T, strict=True))


def computed(feed, events, rounds=40):
    """Rows of ANALYTICS by instrument, after `rounds` steps in which nothing more happens."""
    live = INSTRUMENTS.empty(len(feed.instruments))
    bid, ask, mid, ts = (INSTRUMENTS.index(name) for name in ("bid", "ask", "mid", "ts_event"))
    for event in events[events["kind"] == Kind.QUOTE]:
        row = live[event["instrument"]]
        for column, name in ((bid, "bid"), (ask, "ask")):
            row[column] = math.nan if event[name] == NO_PRICE else event[name] / 1e9
        row[mid], row[ts] = 0.5 * (row[bid] + row[ask]), event["ts_event"] / 1e6
    options = Options()
    options.grow(Reference(feed.instruments))
    out, now_ns = ANALYTICS.empty(len(live)), int(events["ts_recv"].max())
    everything = np.arange(len(live))
    for k in range(rounds):
        tables = {"instruments": live, "analytics": out}
        options.step(tables, {"instruments": everything}, now_ns + k * 10**8)
    return live, cells(out), options


def greeks(model, sign, spot, strike, years, volatility, rate, income):
    if model in (Model.BLACK_SCHOLES_MERTON_AMERICAN, Model.BLACK_76_AMERICAN):
        out = np.empty((len(black.GREEKS), len(strike)))
        american.greeks(*black.columns(sign, spot, strike, years, volatility, rate, income), out)
        return out
    return black.black_scholes_merton(sign, spot, strike, years, volatility, rate, income)


def held(out, spot, rate, income):
    """The same with the theta of a forward that stays."""
    out[black.THETA] += (rate - income) * spot * out[black.DELTA] / 365.0
    return out


def volatilities(model, sign, spot, strike, years, rate, income, worth):
    forward, discount = spot * np.exp((rate - income) * years), np.exp(-rate * years)
    out = np.empty(len(strike))
    implied.cold(*black.columns(sign, worth, forward, strike, years, discount), out)
    if model == Model.BLACK_SCHOLES_MERTON_AMERICAN:
        guess = np.where(out > 0, out, 0.3)
        columns = black.columns(sign, spot, strike, years, rate, income, worth, guess)
        american.implied(*columns, out)
    return out


def box(model, ours, sign, strike, worth, theirs, shift, late, steps):
    """(bound of the volatility in %, bounds of the Greeks by name), without rounding."""
    spot, years, rate = ours["underlying_price"], ours["years"], ours["rate"] / 100
    income = rate - np.log(ours["forward"] / spot) / years
    sigma = ours["smile"] / 100
    terms = (sign, spot, strike, years, sigma, rate, income)

    def greek_at(*terms):
        return held(greeks(model, *terms), terms[1], *terms[5:])

    centre = greek_at(*terms)
    at = volatilities(model, sign, spot, strike, years, rate, income, worth)
    sides, bounds = [], dict.fromkeys(GREEKS, np.zeros(len(strike)))
    for up, more, extra in product((1.0 - shift, 1.0, 1.0 + shift), (-late, 0.0, late), steps):
        r, q = rate + extra, income + extra
        time = np.maximum(years + more, 0.2 * years)
        if (up != 1.0) + (more != 0.0) + (extra != 0.0) == 1:  # An inversion is slow: sides alone.
            other = volatilities(model, sign, up * spot, strike, time, r, q, worth)
            sides.append(np.nan_to_num(np.abs(other - at)))
        for volatility in (sigma, theirs / 100):
            corner = greek_at(sign, up * spot, strike, time, volatility, r, q)
            later = greek_at(sign, up * spot, strike, time + more, volatility, r, q)
            for name in GREEKS:
                there = later if name == "theta" else corner
                far = np.abs(there[ROWS[name]] - centre[ROWS[name]])
                bounds[name] = np.fmax(bounds[name], far)
    wide = 0.5 * np.sum(sides, axis=0) if sides else np.zeros(len(strike))
    return 100 * wide, bounds


def told(name, table):
    text = "\n".join(table)
    print(f"\n{text}")  # noqa: T201 - For people to read.
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    (ARTIFACTS / f"{name}.txt").write_text(text + "\n")


def test_apples_chain_beside_cboes_own_numbers(marketdata):
    feed = open_feed(marketdata / CBOE, 0)
    events = np.concatenate(list(feed.chunks))
    live, ours, options = computed(feed, events)
    rows = json.loads(gzip.decompress((marketdata / CBOE).read_bytes()))["data"]["options"]
    theirs = {n: np.array([np.nan] + [row[n] for row in rows]) for n in ("iv", *GREEKS)}
    theirs["iv"] *= 100
    terms = feed.instruments
    strike = np.array([row.strike or np.nan for row in terms])
    sign = np.array([1.0 if row.right == "C" else -1.0 for row in terms])
    expiry = np.array([row.expiry for row in terms])
    inside, digits = {n: [] for n in ("iv", *GREEKS)}, 5e-5
    table = [
        "AAPL at the close of 2026-07-24, Cboe: ours - theirs, median and 95th percentile of |.|",
        f"{'expiry':10} {'compared':>9} {'forward':>8}"
        + "".join(f"{n:>18}" for n in ("implied vol pt", "delta", "gamma %", "vega %", "theta")),
    ]
    for day in sorted(set(expiry[1:])):
        own = (expiry == day) & (theirs["iv"] > 0) & np.isfinite(ours["implied"])
        own &= (sign * (ours["forward"] - strike) <= 0) & (ours["years"] > 1 / 365)
        own &= (np.abs(theirs["delta"]) >= 0.02) & (np.abs(theirs["delta"]) <= 0.98)
        if not own.any():
            continue
        mine = {n: ours[n][own] for n in ours}
        other = {n: theirs[n][own] for n in theirs}
        assert set(mine["model"]) == {Model.BLACK_SCHOLES_MERTON_AMERICAN}
        worth = live[own, INSTRUMENTS.index("mid")]
        shift = 0.0015 + 0.005 * mine["years"][0]
        wide, bounds = box(
            Model.BLACK_SCHOLES_MERTON_AMERICAN,
            *(mine, sign[own], strike[own], worth, other["iv"], shift, HALF_DAY, RATES),
        )
        drift = np.log(mine["forward"] / mine["underlying_price"]) / mine["years"]
        mine["theta"] = mine["theta"] + drift * mine["underlying_price"] * mine["delta"] / 365.0
        bounds["theta"] = bounds["theta"] + mine["early"] / mine["years"] / 365.0
        gap = {"iv": mine["implied"] - other["iv"]} | {n: mine[n] - other[n] for n in GREEKS}
        inside["iv"] += (np.abs(gap["iv"]) <= wide + 100 * digits).tolist()
        for name in GREEKS:
            inside[name] += (np.abs(gap[name]) <= bounds[name] + digits).tolist()
        share = {n: 100 * gap[n] / np.maximum(other[n], 1e-4) for n in ("gamma", "vega")}
        shown = [gap["iv"], gap["delta"], share["gamma"], share["vega"], gap["theta"]]
        figures = [f"{np.median(x):+8.3f} {np.quantile(np.abs(x), 0.95):7.3f}" for x in shown]
        table.append(f"{day}  {own.sum():8}  {mine['forward'][0]:7.2f}  " + "  ".join(figures))
    shares = {name: float(np.mean(found)) for name, found in inside.items()}
    table.append("inside the bound: " + ", ".join(f"{n} {s:.1%}" for n, s in shares.items()))
    told("options-cboe", table)
    assert len(inside["iv"]) >= 400
    assert len(table) == 3 + 11  # Every expiry but the one of the day itself.
    for name, share in shares.items():
        assert share >= SHARE_MIN, f"{name}: {share:.2%} of the options are inside the bound"
    assert int((options.chains["bits"] == 0).sum()) >= 10


def tickers(path):
    """The last ticker of each option, as Deribit told it."""
    found = {}
    for message in capture.messages(path, Tally()):
        told_ = message.body.get("params", {}) if isinstance(message.body, dict) else {}
        if str(told_.get("channel", "")).startswith("ticker."):
            found[told_["data"]["instrument_name"]] = told_["data"]
    return found


def test_deribits_tickers_beside_its_own_numbers(marketdata):
    feed = open_feed(marketdata / DERIBIT, 0)
    events = np.concatenate(list(feed.chunks))
    _, ours, _ = computed(feed, events)
    told_ = tickers(marketdata / DERIBIT)
    table = [
        "Deribit's tickers of 2021-07-22: ours / theirs; volatilities in %, Greeks in USD",
        f"{'option':22} {'bid iv':>16} {'ask iv':>16}" + "".join(f"{n:>21}" for n in GREEKS),
    ]
    compared, outside = 0, []
    for row in feed.instruments:
        theirs = told_.get(row.symbol)
        if row.strike is None or theirs is None:
            continue
        mine = {n: ours[n][row.id : row.id + 1] for n in ours}
        assert mine["model"][0] == Model.BLACK_76_COIN or np.isnan(mine["model"][0])
        line = f"{row.symbol:22}"
        for side in ("bid", "ask"):
            own, other = float(mine[f"implied_{side}"][0]), float(theirs[f"{side}_iv"])
            line += f" {own:8.2f} {other:7.2f}"
            # Two decimals of theirs, and half a minute of event time.
            if other > 0 and np.isfinite(own):
                compared += 1
                years = float(mine["years"][0])
                bound = 0.005 + own * (0.5 / 1440 / 365 / (2 * years)) + 2e-3 * own
                if abs(own - other) > bound:
                    outside.append(f"{row.symbol} {side}: {own:.3f} {other:.3f}")
        if np.isfinite(mine["smile"][0]):
            sign = np.array([1.0 if row.right == "C" else -1.0])
            worth = np.array([float(theirs["mark_price"])]) * mine["forward"]
            mark = np.array([float(theirs["mark_iv"])])
            _, bounds = box(
                Model.BLACK_76_COIN,
                *(mine, sign, np.array([row.strike]), worth, mark, 1e-4, 0.5 / 1440 / 365, (0.0,)),
            )
            for name in GREEKS:
                own, other = float(mine[name][0]), float(theirs["greeks"][name])
                line += f" {own:10.5f} {other:9.5f}"
                compared += 1
                if abs(own - other) > bounds[name][0] * 1.05 + 1e-5:
                    outside.append(f"{row.symbol} {name}: {own} {other} +- {bounds[name][0]}")
        table.append(line)
    told("options-deribit", [*table, f"compared {compared}, outside the bound {len(outside)}"])
    assert compared >= 20
    assert not outside


@pytest.mark.parametrize("years", [0.02, 0.5])
def test_the_bound_is_not_a_matter_of_course(years):
    """A volatility off by 5 % of itself, or a call taken for a put, lies outside of it."""
    strike, sign = np.linspace(90.0, 110.0, 9), np.ones(9)
    row = {"underlying_price": 100.0, "forward": 100.0, "years": years, "rate": 4.0, "smile": 25.0}
    mine = {n: np.full(9, v) for n, v in row.items()}
    price = black.black_76(sign, 100.0, strike, years, 0.25, 0.04)[0]
    wide, bounds = box(
        *(Model.BLACK_SCHOLES_MERTON, mine, sign, strike, price, np.full(9, 25.0)),
        *(0.0015 + 0.005 * years, HALF_DAY, RATES),
    )
    assert (wide[np.abs(strike - 100) > 2] < 25.0 * 0.1).all() or years < 0.1
    put = black.black_76(-sign, 100.0, strike, years, 0.25, 0.04)
    call = black.black_76(sign, 100.0, strike, years, 0.25, 0.04)
    assert (np.abs(put[black.DELTA] - call[black.DELTA]) > bounds["delta"]).all()
