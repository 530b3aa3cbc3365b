"""What the day's P&L came of: the parts add up whatever happens, and each is what its name says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import factor
from compute.attribution import Attribution
from compute.exposure import Exposure
from compute.kernels import attribution, black
from compute.table import (
    ANALYTICS,
    ATTRIBUTION,
    EXPOSURES,
    INSTRUMENTS,
    POSITIONS,
    MarkSource,
    Model,
)
from ingest.fund import Book, Fund
from ingest.instrument import AssetClass, Instrument, Reference

NOW_NS = 1_800_000_000_000_000_000
STEP_NS = 100_000_000
SHARE, CALL, COIN = range(3)
MULTIPLIER = {SHARE: 1.0, CALL: 100.0, COIN: 10.0}
STRIKE, RATE = 100.0, 0.03
FUND = Fund(
    "Fund",
    (Book(0, "One", "Ann", "Long"), Book(1, "Two", "Ann", "Short"), Book(2, "Three", "Bo", "Long")),
)
WIDTH = attribution.WIDTH
PARTS = range(attribution.DAY)  # All but currencies' and the sums.
HELD = [(book, instrument) for book in range(3) for instrument in (SHARE, CALL, COIN)]


def reference():
    """A share, an American call on it as a chain has it, and an inverse perpetual."""

    def row(number, symbol, kind, **more):
        terms = (symbol, int(kind), "X", "USD", MULTIPLIER[number], 0.01, 2)
        return Instrument(number, *terms, **more)

    return Reference(
        [
            row(SHARE, "AAA", AssetClass.EQUITY, sector="Tech", beta=1.0, close_prev=100.0),
            row(
                *(CALL, "AAA C", AssetClass.EQUITY_OPTION),
                underlying=SHARE,
                strike=STRIKE,
                right="C",
                expiry="2027-06-18",
            ),
            row(COIN, "BTC-PERP", AssetClass.CRYPTO_PERPETUAL, inverse=True),
        ]
    )


class Day:
    """A market and a ledger as `live` keeps them, of which the parts know the tables alone."""

    def __init__(self, start=0.0):
        self.spot, self.vol, self.years, self.coin, self.fx = 100.0, 0.3, 0.5, 50_000.0, 1.25
        self.instruments, self.analytics = INSTRUMENTS.empty(3), ANALYTICS.empty(3)
        self.positions = POSITIONS.empty(16)
        self.now_ns = NOW_NS
        self.paid = 0.0
        self.mark()
        n = len(HELD)
        self.quantity, self.start = np.full(n, start), np.full(n, start)
        self.close = np.array([self.marks[k] for _, k in HELD])
        self.size, self.worth = np.zeros(n), np.zeros(n)  # Of today's fills: sum dq, sum dq v.

    def mark(self):
        out = black.black_scholes_merton(1.0, self.spot, STRIKE, self.years, self.vol, RATE, 0.0)[
            :, 0
        ]
        self.marks = {SHARE: self.spot, CALL: out[black.PRICE], COIN: self.coin}
        for k, price in self.marks.items():
            for name in ("mark", "last", "mid"):
                self.instruments[k, INSTRUMENTS.index(name)] = price
            self.instruments[k, INSTRUMENTS.index("mark_source")] = MarkSource.MID
            self.instruments[k, INSTRUMENTS.index("ts_mark")] = self.now_ns / 1e6
            self.instruments[k, INSTRUMENTS.index("state")] = 0.0
        self.instruments[SHARE, INSTRUMENTS.index("change")] = self.spot - 100.0
        told = {
            "underlying_price": self.spot,
            "years": self.years,
            "implied": self.vol * 100.0,
            "smile": self.vol * 100.0,
            "model": Model.BLACK_SCHOLES_MERTON,
            **{name: out[place] for place, name in enumerate(black.GREEKS) if name in MODELLED},
        }
        for name, value in told.items():
            self.analytics[CALL, ANALYTICS.index(name)] = value

    def value(self, k, price):
        return -1.0 / price if k == COIN else price

    def trade(self, place, quantity, price):
        self.quantity[place] += quantity
        self.size[place] += quantity
        self.worth[place] += quantity * self.value(HELD[place][1], price)

    def tell(self):
        """POSITIONS as compute/kernels/total.py says them."""
        for place, (book, k) in enumerate(HELD):
            fx = self.fx * (self.coin if k == COIN else 1.0)
            unit, v = MULTIPLIER[k] * fx, self.value(k, self.marks[k])
            overnight = self.start[place] * (v - self.value(k, self.close[place])) * unit
            intraday = (self.size[place] * v - self.worth[place]) * unit
            cells = {
                "book": book,
                "instrument": k,
                "quantity": self.quantity[place],
                "start_quantity": self.start[place],
                "close": self.close[place],
                "mark": self.marks[k],
                "fx": fx,
                "fx_stale": 0.0,
                "pnl": 0.0,
                "value": 0.0,
                "overnight": overnight,
                "intraday": intraday,
                "day_pnl": overnight + intraday + self.paid * fx,
                "day_translation": 3.0 * place,
            }
            for name, value in cells.items():
                self.positions[place, POSITIONS.index(name)] = value

    def begin(self):
        """A new day: what is held is held overnight, at the mark."""
        self.start, self.close = self.quantity.copy(), np.array([self.marks[k] for _, k in HELD])
        self.size[:], self.worth[:], self.paid = 0.0, 0.0, 0.0

    def move(self, spot=0.0, vol=0.0, days=0.0, coin=0.0):
        self.spot, self.vol = self.spot * (1 + spot), self.vol + vol
        self.years, self.coin = self.years - days / 365.0, self.coin * (1 + coin)
        self.now_ns += STEP_NS + int(days * 86_400e9)
        self.mark()


MODELLED = {"delta", "gamma", "vega", "theta"}


def part(start=0.0):
    """The part behind exposure, and a day."""
    exposure = Exposure(FUND, factor.demo)
    made = Attribution(exposure)
    rows = reference()
    exposure.grow(rows)
    made.grow(rows)
    return exposure, made, Day(start)


def step(exposure, made, day):
    day.tell()
    tables = {
        "positions": day.positions,
        "instruments": day.instruments,
        "analytics": day.analytics,
    }
    exposure.step(tables, {}, day.now_ns)
    made.step(tables, {}, day.now_ns)
    return made.parts[: len(HELD)].copy()


def adds_up(exposure, made, day):
    """All identities, of positions and of groups."""
    parts = made.parts[: len(HELD)]
    whole = day.positions[: len(HELD), POSITIONS.index("day_pnl")]
    scale = np.abs(parts).sum(axis=1) + 1.0
    assert np.all(np.abs(parts[:, : attribution.DAY].sum(axis=1) - whole) <= 1e-9 * scale)
    np.testing.assert_array_equal(parts[:, attribution.DAY], whole)
    both = whole + day.positions[: len(HELD), POSITIONS.index("day_translation")]
    np.testing.assert_array_equal(parts[:, attribution.TOTAL], both)
    table, groups = made.tables["attribution"], exposure.tables["exposures"]
    np.testing.assert_array_equal(table[:, :2], groups[:, :2])
    column = ATTRIBUTION.index("day_pnl")
    np.testing.assert_allclose(
        table[:, column], groups[:, EXPOSURES.index("day_pnl")], rtol=1e-12, atol=1e-6
    )
    np.testing.assert_allclose(table[0, 2:], parts.sum(axis=0), rtol=1e-9, atol=1e-6 * scale.sum())


moves = st.fixed_dictionaries(
    {
        "spot": st.floats(-0.03, 0.03),
        "vol": st.floats(-0.01, 0.01),
        "days": st.floats(0.0, 0.01),
        "coin": st.floats(-0.05, 0.05),
    }
)
trades = st.tuples(
    st.integers(0, len(HELD) - 1), st.sampled_from([-5.0, -1.0, 2.0, 7.0]), st.floats(0.9, 1.1)
)
paid = st.floats(-50.0, 50.0).map(lambda money: ("paid", money))
acts = st.lists(st.one_of(moves, trades, paid, st.sampled_from(["night", "blank"])), max_size=30)


@settings(deadline=None, max_examples=30)
@given(acts, st.sampled_from([0.0, 10.0, -4.0]))
def test_the_parts_add_up_to_the_day_whatever_happens(does, start):
    """Moves, fills at any price, cash, new days, Greeks that vanish: the identities hold."""
    exposure, made, day = part(start)
    for do in does:
        if do == "night":
            day.begin()
        elif do == "blank":
            day.analytics[CALL] = np.nan
        elif isinstance(do, dict):
            day.move(**do)
        elif do[0] == "paid":
            day.paid += do[1]
        else:
            place, quantity, at = do
            day.trade(place, quantity, day.marks[HELD[place][1]] * at)
        step(exposure, made, day)
        adds_up(exposure, made, day)


@settings(deadline=None, max_examples=20)
@given(st.lists(moves, min_size=1, max_size=20), st.floats(0.95, 1.05))
def test_trades_earn_when_they_are_made_and_never_by_holding(path, at):
    """A fill's edge against the mark is trades'; whatever the market does then is not."""
    exposure, made, day = part()
    step(exposure, made, day)
    for place, (_, k) in enumerate(HELD):
        day.trade(place, 3.0, day.marks[k] * at)
    edge = step(exposure, made, day)[:, attribution.TRADES]
    local = edge / day.positions[: len(HELD), POSITIONS.index("fx")]
    for move in path:
        day.move(**move)
        now = step(exposure, made, day)[:, attribution.TRADES]
        fx = day.positions[: len(HELD), POSITIONS.index("fx")]
        np.testing.assert_allclose(now, local * fx, rtol=1e-7, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.lists(moves, min_size=1, max_size=20))
def test_a_share_has_a_price_alone_and_an_option_greeks_alone(path):
    """No Greek of a share, no price of an option; a share leaves no residual."""
    exposure, made, day = part(10.0)
    step(exposure, made, day)
    for move in path:
        day.move(**move)
        parts = step(exposure, made, day)
    greeks = slice(attribution.DELTA, attribution.CARRY)
    for place, (_, k) in enumerate(HELD):
        if k == CALL:
            assert parts[place, attribution.PRICE] == 0.0
        else:
            assert np.all(parts[place, greeks] == 0.0)
            assert parts[place, attribution.RESIDUAL] == 0.0


def test_each_greek_has_the_move_that_is_its_own():
    """One thing moves at a time; the rest is of third order, and says so."""
    unit = 10.0 * MULTIPLIER[CALL] * 1.25
    at = HELD.index((0, CALL))
    for move, name in (({"spot": 0.01}, "spot"), ({"vol": 0.004}, "vol"), ({"days": 0.5}, "days")):
        exposure, made, day = part(10.0)
        step(exposure, made, day)
        delta, gamma, vega, theta = (
            day.analytics[CALL, ANALYTICS.index(one)] for one in ("delta", "gamma", "vega", "theta")
        )
        day.move(**move)
        parts = step(exposure, made, day)[at]
        moved = day.spot - 100.0
        assert parts[attribution.DELTA] == pytest.approx(delta * moved * unit)
        assert parts[attribution.GAMMA] == pytest.approx(gamma * moved**2 / 2 * unit)
        vol = 0.4 if name == "vol" else 0.0
        assert parts[attribution.VEGA] == pytest.approx(vega * vol * unit)
        days = 0.5 if name == "days" else 0.0
        assert parts[attribution.THETA] == pytest.approx(theta * days * unit)
        whole = abs(day.positions[at, POSITIONS.index("overnight")])
        assert abs(parts[attribution.RESIDUAL]) < 0.01 * whole


def test_who_comes_late_tells_less_finely_and_never_wrongly():
    """After a restart: delta and gamma backwards from the close, vega and theta in the residual."""
    exposure, made, day = part(10.0)
    day.move(spot=0.01)
    late = step(exposure, made, day)[HELD.index((0, CALL))]
    whole = day.positions[HELD.index((0, CALL)), POSITIONS.index("overnight")]
    assert late[attribution.DELTA] + late[attribution.GAMMA] == pytest.approx(whole, rel=1e-3)
    assert (
        late[attribution.GAMMA] < 0.0 < late[attribution.DELTA]
    )  # Backwards: curved the other way
    assert late[attribution.VEGA] == late[attribution.THETA] == 0.0
    adds_up(exposure, made, day)


def test_a_position_without_a_mark_is_blank_and_comes_back():
    """A blank row blanks its groups; what it earned before is not lost."""
    exposure, made, day = part(10.0)
    step(exposure, made, day)
    day.move(spot=0.01)
    before = step(exposure, made, day)
    day.marks[SHARE] = np.nan
    gone = step(exposure, made, day)
    assert np.isnan(gone[HELD.index((0, SHARE))]).all()
    assert np.isnan(made.tables["attribution"][0, ATTRIBUTION.index("from_price")])
    day.mark()
    np.testing.assert_allclose(step(exposure, made, day), before)
