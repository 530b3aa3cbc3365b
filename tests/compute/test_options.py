"""Options in live use: chains of the reference, smiles in rotation, rows that explain themselves.

The kernels have oracles of their own (mpmath, QuantLib); here a market is made from known
volatilities by those kernels, and must come back through quotes, parity, fit and rotation.
"""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from compute import options as room
from compute.kernels import american, bachelier, black, option
from compute.options import REFITS, Options, expiry_ns, recomputed
from compute.table import ANALYTICS, INSTRUMENTS, Model, Smile
from ingest.instrument import AssetClass, Instrument, Reference

NOW = round(datetime(2026, 11, 23, 15, 0, tzinfo=UTC).timestamp()) * 10**9
DAYS = ("2026-12-18", "2027-03-19")
RATE = 0.039
CLASSES = {
    "share": (AssetClass.EQUITY, AssetClass.EQUITY_OPTION, "USD"),
    "future": (AssetClass.INDEX_FUTURE, AssetClass.FUTURE_OPTION, "USD"),
    "spread": (AssetClass.COMMODITY_FUTURE, AssetClass.FUTURE_OPTION, "USD"),
    "pair": (AssetClass.FX, AssetClass.FX, "USD"),
    "coin": (AssetClass.CRYPTO_PERPETUAL, AssetClass.CRYPTO_PERPETUAL, "BTC"),
}


def smile(strike, forward, years):
    """20 % at the money, leaning down, curved."""
    k = np.log(strike / forward) / np.sqrt(years)
    return 0.2 - 0.05 * k + 0.04 * k * k


class Chains:
    """One underlying with its chains, quoted around model prices; `step` runs the part."""

    def __init__(self, kind="share", *, exercise="european", spot=100.0, income=0.012, days=DAYS,
                 strikes=None, **more):  # fmt: skip
        self.kind, self.income = kind, income
        of, own, currency = CLASSES[kind]
        symbol = "EURUSD" if kind == "pair" else "UNDER"
        dated = {"expiry": "2027-12-17"} if kind in ("future", "spread", "coin") else {}
        self.rows = [Instrument(0, symbol, of, "X", "USD", 1.0, 0.01, 2, close_prev=spot, **dated)]
        if strikes is None:
            strikes = np.round(spot * np.linspace(0.8, 1.2, 17), 6)
        for day in days:
            for strike in strikes:
                for right in "CP":
                    number = len(self.rows)
                    name = f"U {day} {strike} {right}"
                    terms = dict(underlying=0, expiry=day, strike=float(strike), right=right)
                    self.rows.append(
                        Instrument(
                            *(number, name, own, "X", currency, 100.0, 0.01, 2),
                            exercise=exercise,
                            **terms,
                            **more,
                        )
                    )
        self.live = INSTRUMENTS.empty(len(self.rows))
        self.out = ANALYTICS.empty(len(self.rows))
        self.part = Options()
        self.part.grow(Reference(self.rows))
        self.now_ns = NOW
        self.strike = np.array([np.nan if row.strike is None else row.strike for row in self.rows])
        self.sign = np.array([{"C": 1.0, "P": -1.0}.get(row.right, 0.0) for row in self.rows])
        expires = [expiry_ns(row, self.rows[0]) if row.right else 0 for row in self.rows]
        self.years = (np.array(expires) - NOW) / option.YEAR_NS
        self.quote(spot)

    def __getitem__(self, name):
        return self.out[1:, ANALYTICS.index(name)]

    def worth(self, spot):
        sign, strike, years = self.sign[1:], self.strike[1:], self.years[1:]
        if self.kind == "spread":
            volatility = 8.0 + 0.02 * (strike - spot) ** 2
            return bachelier.bachelier(sign, spot, strike, years, volatility, RATE)[0]
        rate = 0.0 if self.kind == "coin" else RATE
        income = rate if self.kind in ("future", "coin") else self.income
        forward = spot * np.exp((rate - income) * years)
        volatility = np.array(
            [smile(k, f, t) for k, f, t in zip(strike, forward, years, strict=True)]
        )
        if self.rows[1].exercise == "american":
            out = np.empty(len(strike))
            american.price(*black.columns(sign, spot, strike, years, volatility, rate, income), out)
            return out
        found = black.black_scholes_merton(sign, spot, strike, years, volatility, rate, income)[0]
        return found / forward if self.kind == "coin" else found

    def quote(self, spot, half=0.002, rows=None):
        """Bid and ask about the model's price, `half` of it to each side, 0.005 at least."""
        worth = self.worth(spot)
        least = 0.005 / (spot if self.kind == "coin" else 1.0)
        spread = np.maximum(half * worth, least)
        mids = np.concatenate(([spot], worth))
        spreads = np.concatenate(([1e-4], spread))
        rows = np.arange(len(self.rows)) if rows is None else rows
        bid = np.where(mids - spreads > 0, mids - spreads, np.nan)
        bid[0] = mids[0] - spreads[0]
        for name, value in (("bid", bid), ("ask", mids + spreads), ("mid", mids)):
            self.live[rows, INSTRUMENTS.index(name)] = value[rows]
        self.live[rows, INSTRUMENTS.index("ts_event")] = self.now_ns / 1e6

    def step(self, rows=None, count=1):
        changed = np.arange(len(self.rows)) if rows is None else np.asarray(rows, np.int64)
        for _ in range(count):
            tables = {"instruments": self.live, "analytics": self.out}
            found = self.part.step(tables, {"instruments": changed}, self.now_ns)
            self.now_ns += 10**8
        return found


@pytest.mark.parametrize(
    ("kind", "exercise", "model"),
    [
        ("share", "european", Model.BLACK_SCHOLES_MERTON),
        ("share", "american", Model.BLACK_SCHOLES_MERTON_AMERICAN),
        ("future", "european", Model.BLACK_76),
        ("future", "american", Model.BLACK_76_AMERICAN),
        ("pair", "european", Model.GARMAN_KOHLHAGEN),
        ("coin", "european", Model.BLACK_76_COIN),
    ],
)
def test_a_market_made_of_known_volatilities_comes_back(kind, exercise, model):
    chains = Chains(kind, exercise=exercise)
    chains.step(count=8)
    assert set(chains["model"]) == {model}
    assert set(chains["smile_bits"]) == {0}
    forward = chains["forward"]
    rate = 0.0 if kind == "coin" else RATE
    income = rate if kind in ("future", "coin") else chains.income
    years = chains.years[1:]
    assert forward == pytest.approx(100.0 * np.exp((rate - income) * years), rel=1e-4)
    true = smile(chains.strike[1:], 100.0 * np.exp((rate - income) * years), years)
    assert chains["years"] == pytest.approx(years, rel=1e-9)
    deviations = np.log(chains.strike[1:] / forward) / (true * np.sqrt(years))
    near = np.abs(deviations) <= 2.0  # Farther out a quote is a tick wide and the fit is its own.
    assert near.sum() > 40
    assert 100 * true[near] == pytest.approx(chains["smile"][near], abs=0.05)  # Vol points.
    assert 100 * true == pytest.approx(chains["smile"], abs=0.3)
    out = chains.sign[1:] * (forward - chains.strike[1:]) <= 0
    out &= near
    assert 100 * true[out] == pytest.approx(chains["implied"][out], abs=0.05)
    two = np.isfinite(chains["implied_bid"]) & np.isfinite(chains["implied"])
    assert (chains["implied_bid"][two] < chains["implied"][two]).all()
    assert (chains["implied"][two] < chains["implied_ask"][two]).all()
    assert chains["model_price"] == pytest.approx(chains.worth(100.0), rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("kind", ["share", "future", "pair", "coin", "spread"])
@pytest.mark.parametrize("exercise", ["european", "american"])
def test_a_row_is_recomputed_from_itself_alone(kind, exercise):
    more = {"spot": -2.0, "strikes": np.arange(-12.0, 9.0)} if kind == "spread" else {}
    chains = Chains(kind, exercise=exercise, **more)
    chains.step(count=8)
    for spot in (more.get("spot", 100.0) * 1.004, more.get("spot", 100.0)):
        chains.quote(spot, rows=[0])
        chains.step([0])
    known = 0
    for row, sign, strike in zip(chains.out[1:], chains.sign[1:], chains.strike[1:], strict=True):
        cell = dict(zip(ANALYTICS.names, row, strict=True))
        found = recomputed(row, sign, strike)
        scale = abs(cell["underlying_price"]) if kind != "coin" else 1.0
        assert found["price"] + cell["early"] == pytest.approx(
            cell["model_price"], abs=1e-13 * max(scale, 1)
        )
        known += np.isfinite(cell["model_price"])
        if cell["early"] == 0.0 and exercise == "european":
            for name in ("delta", "gamma", "vega", "theta", "vanna", "volga", "charm"):
                assert cell[name] == pytest.approx(found[name], rel=1e-9, abs=1e-12), name
    assert known == len(chains.rows) - 1


@pytest.mark.parametrize("kind", ["share", "future"])
@pytest.mark.parametrize("move", [-0.01, 0.01])
def test_early_exercise_between_rotations_is_as_near_as_stated(kind, move):
    """The underlying moves by 1 % and nothing is fitted anew: price within 1e-4 of the spot."""
    chains = Chains(kind, exercise="american", income=0.03)
    chains.step(count=12)
    chains.part._due = list
    spot = 100.0 * (1 + move)
    chains.quote(spot, rows=[0])
    chains.step([0])
    cell = {name: chains[name] for name in ANALYTICS.names}
    rate, years = cell["rate"] / 100, cell["years"]
    income = rate - np.log(cell["forward"] / spot) / years
    exact = np.empty((len(black.GREEKS), len(years)))
    american.greeks(
        *black.columns(
            chains.sign[1:], spot, chains.strike[1:], years, cell["smile"] / 100, rate, income
        ),
        exact,
    )
    assert np.abs(cell["model_price"] - exact[black.PRICE]).max() <= 1e-4 * spot
    assert np.abs(cell["delta"] - exact[black.DELTA]).max() <= 0.02
    assert np.quantile(np.abs(cell["delta"] - exact[black.DELTA]), 0.9) <= 2e-3
    assert (cell["model_price"] >= chains.sign[1:] * (spot - chains.strike[1:]) - 1e-9).all()


def test_prices_below_zero_are_bacheliers():
    chains = Chains("spread", spot=-2.0, strikes=np.arange(-12.0, 9.0))
    chains.step(count=4)
    assert set(chains["model"]) == {Model.BACHELIER}
    near = np.abs(chains.strike[1:] + 2.0) <= 5.0  # Farther out, of the first expiry, no bids.
    true = 8.0 + 0.02 * (chains.strike[1:] + 2.0) ** 2
    assert chains["smile"][near] == pytest.approx(true[near], abs=0.05)
    terms = (chains.sign[1:], -2.0, chains.strike[1:], chains.years[1:], true, RATE)
    delta = bachelier.bachelier(*terms)[black.DELTA]
    assert chains["delta"][near] == pytest.approx(delta[near], abs=2e-3)


def test_only_what_changed_is_evaluated():
    chains = Chains()
    chains.step(count=8)
    chains.part._due = list
    before = chains.out.copy()
    written = chains.step([5])
    assert written.tolist() == [5]
    same = chains.out.view(np.int64) == before.view(np.int64)
    assert np.delete(same, 5, 0).all()
    assert sorted(chains.step([0])) == list(range(1, len(chains.rows)))
    assert chains.step([]).tolist() == []


def test_a_smile_sticks_to_moneyness_and_ages():
    chains = Chains()
    chains.step(count=8)
    chains.part._due = list
    at = ANALYTICS.index("smile")
    k = np.log(chains.strike[1:] / chains["forward"])
    before = chains["smile"].copy()
    chains.now_ns += 30 * 10**9
    chains.quote(103.0, rows=[0])
    chains.step([0])
    moved = np.log(chains.strike[1:] / chains["forward"])
    for part in (slice(0, 34), slice(34, 68)):
        calls = slice(part.start, part.stop, 2)
        expected = np.interp(moved[calls], k[calls], before[calls])
        inside = moved[calls] >= k[calls].min()
        assert chains.out[1:, at][calls][inside] == pytest.approx(expected[inside], abs=0.1)
    assert (chains["smile_age_s"] >= 30).all()


def test_a_failing_fit_keeps_the_old_slice_and_says_so():
    chains = Chains(days=DAYS[:1])
    chains.step(count=3)
    before = chains["smile"].copy()
    chains.live[3:, INSTRUMENTS.index("bid")] = np.nan
    chains.live[3:, INSTRUMENTS.index("mid")] = np.nan
    chains.step(count=2)
    assert chains["smile"] == pytest.approx(before, rel=1e-12)
    assert set(chains["smile_bits"]) == {Smile.KEPT | Smile.FEW}
    assert (chains["smile_age_s"] > 0).all()
    chains.quote(100.0)
    chains.step(count=2)
    assert set(chains["smile_bits"]) == {0}


def test_too_few_quotes_ever_are_their_own_volatilities():
    chains = Chains(days=DAYS[:1], strikes=[95.0, 105.0])
    chains.step(count=4)
    assert set(chains["smile_bits"].astype(int)) == {Smile.FEW | Smile.FLAT}
    true = 100 * smile(chains.strike[1:], chains["forward"], chains.years[1:])
    assert chains["smile"] == pytest.approx(true, abs=0.1)
    nothing = Chains(days=DAYS[:1])
    for name in ("bid", "ask", "mid"):
        nothing.live[1:, INSTRUMENTS.index(name)] = np.nan
    nothing.step(count=3)
    assert np.isnan(nothing["smile"]).all()  # Blank, not 0.
    assert np.isnan(nothing["delta"]).all()
    assert np.isnan(nothing["model_price"]).all()


def test_without_parity_dividends_carry_the_forward():
    chains = Chains(days=DAYS[:1])
    chains.live[2::2, INSTRUMENTS.index("bid")] = np.nan  # No put has a bid.
    chains.step(count=2)
    assert chains["forward"] == pytest.approx(100.0 * np.exp(RATE * chains.years[1:]), rel=1e-12)
    assert (chains["smile_bits"].astype(int) & Smile.CARRY).all()
    rows = [*chains.rows]
    fields = {name: getattr(rows[0], name) for name in ("close_prev",)}
    dividends = (("2026-11-27", 0.5), ("2027-02-12", 9.0))  # The second is after the expiry.
    rows[0] = Instrument(0, "UNDER", 0, "X", "USD", 1.0, 0.01, 2, dividends=dividends, **fields)
    chains.part.grow(Reference(rows))
    chains.part._stirred[:] = True
    chains.step(count=2)
    paid = 0.5 * math.exp(-RATE * 4 / 365)
    expected = (100.0 - paid) * np.exp(RATE * chains.years[1:])
    assert chains["forward"] == pytest.approx(expected, rel=1e-6)


def test_chains_are_fitted_in_turn_and_only_with_news():
    chains = Chains(
        days=[f"2027-{month:02}-15" for month in range(1, 13)], strikes=[90, 95, 100, 105]
    )
    first = math.ceil(12 / room.REFITS_FIRST)
    chains.step(count=first)
    assert chains.part.fits == 12
    chains.step(count=5)
    assert chains.part.fits == 12 + 5 * REFITS
    chains.step([], count=12)
    fits = chains.part.fits
    chains.step([], count=5)
    assert chains.part.fits == fits  # Nothing happened: nothing to fit.


def test_new_strikes_join_a_chain_that_stays_fitted():
    chains = Chains()
    chains.step(count=8)
    smiles = chains["smile"].copy()
    new = Instrument(
        *(len(chains.rows), "new", AssetClass.EQUITY_OPTION, "X", "USD", 100.0, 0.01, 2),
        underlying=0, expiry=DAYS[0], strike=101.0, right="C", exercise="european",
    )  # fmt: skip
    chains.rows.append(new)
    for name in ("live", "out"):
        table = getattr(chains, name)
        setattr(chains, name, np.vstack((table, np.full((1, table.shape[1]), np.nan))))
    chains.part.grow(Reference(chains.rows))
    chains.part._due = list
    chains.step()
    assert chains["smile"][:-1] == pytest.approx(smiles, rel=1e-12)
    assert chains["smile"][-1] == pytest.approx(
        100 * smile(101.0, chains["forward"][-1], chains["years"][-1]), abs=0.1
    )
    assert np.isnan(chains["implied"][-1])


def test_after_expiry_all_is_blank():
    chains = Chains(days=DAYS[:1])
    chains.step(count=3)
    chains.now_ns = int(expiry_ns(chains.rows[1], chains.rows[0])) + 1
    chains.quote(100.0, rows=[0])
    chains.step([0])
    for name in ("model_price", "delta", "implied", "years"):
        assert np.isnan(chains[name]).all(), name


def test_an_event_from_the_far_future_is_no_clock():
    chains = Chains()
    chains.live[4, INSTRUMENTS.index("ts_event")] = 4e12
    chains.step(count=3)
    assert chains["years"] == pytest.approx(chains.years[1:], rel=1e-9)


def test_margined_options_are_not_discounted():
    chains = Chains("future", premium="futures", exercise="american")
    chains.step(count=3)
    assert set(chains["rate"]) == {0.0}
    assert set(chains["model"]) == {Model.BLACK_76}


@pytest.mark.parametrize(
    ("kind", "day", "moment"),
    [
        ("share", "2026-12-18", datetime(2026, 12, 18, 21, 0, tzinfo=UTC)),
        ("share", "2026-07-17", datetime(2026, 7, 17, 20, 0, tzinfo=UTC)),
        ("share", "2026-11-27", datetime(2026, 11, 27, 18, 0, tzinfo=UTC)),  # A half day.
        ("pair", "2026-12-16", datetime(2026, 12, 16, 15, 0, tzinfo=UTC)),
        ("coin", "2026-12-25", datetime(2026, 12, 25, 8, 0, tzinfo=UTC)),
    ],
)
def test_the_instant_of_expiry(kind, day, moment):
    of, own, currency = CLASSES[kind]
    under = Instrument(0, "U", of, "X", "USD", 1.0, 0.01, 2)
    row = Instrument(1, "O", own, "X", currency, 1.0, 0.01, 2, expiry=day, strike=1.0, right="C")
    assert expiry_ns(row, under) == round(moment.timestamp()) * 10**9


def test_an_adjusted_contract_is_a_chain_of_its_own():
    chains = Chains(days=DAYS[:1])
    odd = Instrument(
        *(len(chains.rows), "odd", AssetClass.EQUITY_OPTION, "X", "USD", 150.0, 0.01, 2),
        underlying=0, expiry=DAYS[0], strike=66.67, right="C", exercise="european",
    )  # fmt: skip
    chains.part.grow(Reference([*chains.rows, odd]))
    assert len(chains.part.keys) == 2
