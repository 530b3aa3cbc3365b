"""Positions: the identity holds at every event, whatever the method of cost says."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.table import BOOKS, BOOKS_MAX, CLASSES, POSITIONS_MAX
from ingest.event import Cash, Flag, Kind
from ingest.fund import Book
from tests.compute.kernels.ledger import Exact

MULTIPLIER, USD = 50.0, 1.0625
cents = st.integers(-5_000, 90_000).map(lambda c: c / 100)
books = st.integers(0, 2)
fees = st.sampled_from([0.0, 2.5, -0.25])
eighths = st.sampled_from([1.0, -1.0, 3.0, -4.0, 0.125, -0.375, 8_192.0, -65_536.0, 0.0])
fills = st.tuples(st.just("fill"), books, eighths, cents, fees)
voids = st.tuples(st.just("void"), books, st.integers(0, 40))
pays = st.tuples(st.just("cash"), books, st.sampled_from(list(Cash)), cents)
halves = st.permutations([Kind.ACTION, Kind.SPLIT])  # No two topics have an order.
splits = st.tuples(st.just("split"), st.sampled_from([(2, 1), (1, 2), (4, 1)]), halves)
marks = st.tuples(st.just("mark"), cents)
days = st.tuples(st.just("day"), cents)
steps_of_all_kinds = st.lists(
    st.one_of(fills, fills, voids, pays, splits, marks, days), min_size=1, max_size=60
)


class Filled(NamedTuple):
    """A fill as it was sent, for the void that repeats it."""

    size: float
    price: float
    fee: float


class Twin:
    """A market and, beside it, the exact position of each book."""

    def __init__(self, market) -> None:
        self.market = market
        market.quote(100.0, 100.0)
        self.exact = [Exact() for _ in range(3)]
        self.sent: list[list[Filled]] = [[], [], []]
        self.mark = Fraction(100)
        self.splits = 0
        self.scale = 100.0  # Of the money that went through a book, for the bound.
        self.banked = [Fraction(0)] * 3  # P&L of the days that are over.

    def take(self, step) -> None:
        getattr(self, step[0])(*step[1:])
        assert self.market.engine.counters["refused"] == 0

    def fill(self, book, size, price, fee) -> None:
        self.market.fill(size, price, fee=fee, book=book, order=7)
        if size:
            self.exact[book].fill(Fraction(size), exactly(price), Fraction(fee))
            self.sent[book].append(Filled(size, price, fee))
        else:
            self.exact[book].fees += Fraction(fee)
            self.exact[book].day_paid -= Fraction(fee)
        self.scale += abs(size * price) + abs(fee)

    def void(self, book, index) -> None:
        sent = self.sent[book]
        if not sent:
            return
        wrong = sent[index % len(sent)]
        newest = max(k for k, one in enumerate(sent) if one[:2] == wrong[:2])
        self.market.void(wrong.size, wrong.price, fee=wrong.fee, book=book, order=7)
        self.exact[book].void(newest, Fraction(sent.pop(newest).fee))
        self.scale += abs(wrong.size * wrong.price)

    def cash(self, book, kind, amount) -> None:
        self.market.cash(kind, amount, book=book)
        if kind == Cash.FEE:
            self.exact[book].fees -= Fraction(amount)
            self.exact[book].day_paid += Fraction(amount)
        else:
            self.exact[book].pay(Fraction(amount))
        self.scale += abs(amount)

    def split(self, ratio, kinds) -> None:
        new, old = ratio
        self.splits += 1
        if self.splits > 3:
            return  # A cent in 64 is still whole in 1e-9.
        before = self.market.cell("pnl"), [one["day_pnl"] for one in self.market.positions()]
        for kind in kinds:
            self.market.split(new, old, kinds=[kind])
            days = [one["day_pnl"] for one in self.market.positions()]
            near = pytest.approx((before[0], *before[1]), rel=1e-9, abs=1e-9 * self.scale)
            assert (self.market.cell("pnl"), *days) == near
        self.mark = self.mark * old / new
        for book, exact in enumerate(self.exact):
            exact.split(Fraction(new, old))
            self.sent[book] = [
                Filled(one.size * new / old, one.price * old / new, one.fee)
                for one in self.sent[book]
            ]

    def mark_(self, mark) -> None:
        self.market.quote(mark, mark)
        self.mark = exactly(mark)

    def day(self, mark) -> None:
        """The first event of a new session; until it the old mark stands."""
        for book, exact in enumerate(self.exact):
            self.banked[book] += self.day_pnl(exact)
            exact.turn(self.mark)
        self.market.quote(mark, mark, flags=Flag.RESET)
        self.mark = exactly(mark)

    def day_pnl(self, exact) -> Fraction:
        moved = exact.overnight(self.mark) + exact.intraday(self.mark)
        return moved * Fraction(MULTIPLIER) + exact.day_paid

    def check(self) -> None:
        unit = MULTIPLIER * USD
        held = sum((abs(exact.quantity) for exact in self.exact), Fraction(0))
        bound = 1e-12 * (self.scale + float(held) * (abs(float(self.mark)) + 900.0)) * unit
        total = 0.0
        for line in self.market.positions():
            exact = self.exact[int(line["book"])]
            assert line["quantity"] == float(exact.quantity)
            for name, (mean, realised) in {"mean": exact.average(), "fifo": exact.fifo()}.items():
                assert line[f"{name}_realised"] == near(realised * Fraction(unit), bound)
                if mean is None:
                    assert math.isnan(line[f"{name}_average"])
                else:
                    worth = line[f"{name}_average"] * line["quantity"] * unit
                    assert worth == near(mean * exact.quantity * Fraction(unit), bound)
            paid = (exact.income - exact.fees) * Fraction(USD)
            whole = exact.total(self.mark) * Fraction(unit) + paid
            total += float(whole)
            assert line["pnl"] == near(whole, bound)
            parts = line["realised"] + line["unrealised"] - line["fees"] + line["income"]
            assert line["pnl"] == parts
            assert line["overnight"] == near(exact.overnight(self.mark) * Fraction(unit), bound)
            assert line["intraday"] == near(exact.intraday(self.mark) * Fraction(unit), bound)
            today = self.day_pnl(exact) * Fraction(USD)
            assert line["day_pnl"] == near(today, bound)
            banked = self.banked[int(line["book"])] * Fraction(USD)
            assert line["pnl"] == near(banked + today, bound)  # The days add up to the whole.
        assert self.market.cell("pnl") == pytest.approx(total, rel=1e-12, abs=3 * bound)


def exactly(price: float) -> Fraction:
    """What the event carries."""
    return Fraction(round(price * 10**9), 10**9)


def near(value: Fraction, bound: float):
    return pytest.approx(float(value), rel=1e-12, abs=bound)


@given(steps_of_all_kinds, st.booleans())
@settings(deadline=None, max_examples=150)
def test_the_identity_holds_at_every_event_for_every_method(make_market, steps, fifo):
    fund = [Book(k, f"B{k}", "T", "S", cost="fifo" if fifo else "average") for k in range(3)]
    market = make_market(multiplier=MULTIPLIER, usd_rate=USD, close_prev=100.0, books=fund)
    twin = Twin(market)
    for step in steps:
        twin.take(("mark_", *step[1:]) if step[0] == "mark" else step)
        twin.check()


decimals = st.sampled_from([0.1, 0.2, -0.3, 0.7, -0.1, 1e6, -1e6, 1e-8])


@given(st.lists(st.tuples(books, decimals, cents, fees), min_size=1, max_size=60))
@settings(deadline=None)
def test_the_identity_holds_with_decimal_sizes_too(make_market, steps):
    market = make_market(multiplier=MULTIPLIER, usd_rate=USD, close_prev=100.0)
    quantity, cash, paid, flow = 0.0, 0.0, 0.0, 1.0
    for book, size, price, fee in steps:
        row = market.fill(size, price, fee=fee, book=book)
        quantity += size
        cash -= size * price
        paid += fee
        flow += abs(size * price) + abs(size) * 100.0
        total = (cash + quantity * 100.0) * MULTIPLIER * USD - paid * USD
        bound = 1e-12 * flow * MULTIPLIER * USD
        assert row["pnl"] == pytest.approx(total, abs=bound)
        lines = market.positions()
        assert sum(line["pnl"] for line in lines) == pytest.approx(total, abs=bound)
        for line in lines:
            fifo = line["fifo_realised"] - line["mean_realised"]
            if line["quantity"]:
                gap = line["fifo_average"] - line["mean_average"]
                fifo -= gap * line["quantity"] * MULTIPLIER * USD
            assert fifo == pytest.approx(0.0, abs=bound)


def test_average_cost_through_increase_decrease_flip_and_flat(make_market):
    market = make_market(multiplier=10.0, close_prev=100.0)

    def line():
        only = market.positions()[0]
        return only["quantity"], only["average"], only["realised"]

    market.fill(2.0, 100.0)
    assert line() == (2.0, 100.0, 0.0)
    market.fill(2.0, 110.0)
    assert line() == (4.0, 105.0, 0.0)
    market.fill(-1.0, 125.0)
    assert line() == (3.0, 105.0, 200.0)
    market.fill(-5.0, 115.0)
    assert line() == (-2.0, 115.0, 500.0)
    market.fill(-2.0, 113.0)
    assert line() == (-4.0, 114.0, 500.0)
    market.fill(4.0, 110.0)
    assert line()[0::2] == (0.0, 660.0)
    market.fill(1.0, 90.0)
    assert line() == (1.0, 90.0, 660.0)


def test_decimal_sizes_come_back_to_flat(market):
    for size in (0.1, 0.2, -0.3):
        market.fill(size, 10.0)
    assert market.cell("position") == 0.0
    assert market.positions()[0]["quantity"] == 0.0


def test_fees_are_paid_in_the_instruments_currency_and_shown_in_usd(make_market):
    market = make_market(multiplier=10.0, usd_rate=1.25)
    market.fill(0.0, 10.0, fee=4.0)
    line = market.positions()[0]
    assert (line["fees"], line["pnl"], line["quantity"]) == (5.0, -5.0, 0.0)
    assert market.cell("pnl") == -5.0


def test_pnl_of_a_held_position_is_blank_while_there_is_no_mark(market):
    market.fill(1.0, 10.0)
    assert all(map(math.isnan, market.cells("pnl", "exposure")))
    market.fill(-1.0, 12.0)
    assert market.cells("pnl", "exposure") == [2.0, 0.0]


def test_pnl_and_exposure_move_with_the_mark(market):
    market.fill(-100.0, 10.0)
    market.quote(8.0, 8.5)
    assert market.cells("pnl", "exposure") == [175.0, -825.0]
    market.quote(0.0, 0.0)
    assert market.cells("pnl", "exposure") == [1000.0, 0.0]
    assert math.copysign(1.0, market.cell("exposure")) == 1.0


@pytest.mark.parametrize("wrong", [{"book": BOOKS_MAX}, {"fee": math.inf}, {"size": 1e300}])
def test_a_fill_that_cannot_be_is_refused_and_counted(market, wrong):
    market.fill(**({"size": 1.0, "price": 10.0} | wrong))
    assert market.engine.counters["refused"] == 1
    assert market.positions() == []


def test_a_full_table_refuses_new_positions_and_keeps_the_old(make_market):
    count = POSITIONS_MAX // BOOKS_MAX + 1
    market = make_market(count=count)
    for book in range(BOOKS_MAX):
        for instrument in range(count - 1):
            market.fill(1.0, 10.0, book=book, instrument=instrument)
    assert market.engine.counters["positions"] == POSITIONS_MAX
    market.fill(1.0, 10.0, instrument=count - 1)
    counters = market.engine.counters
    assert (counters["positions_full"], counters["refused"]) == (1, 1)
    assert market.cell("position", count - 1) == 0.0
    market.fill(1.0, 10.0, book=BOOKS_MAX - 1)
    assert market.cell("position") == BOOKS_MAX + 1.0


def test_books_and_classes_are_the_sums_of_their_positions(make_market):
    market = make_market(asset_class=7, close_prev=10.0)
    market.fill(3.0, 9.0, book=1, instrument=0)
    market.fill(-5.0, 11.0, book=1, instrument=1)
    market.fill(2.0, 10.0, book=4, instrument=1, fee=1.0)
    market.fill(-2.0, 12.0, book=4, instrument=1)
    lines = market.positions()
    tables = market.engine.tables
    assert tables["books"][1, :6].tolist() == [30.0, -50.0, -20.0, 80.0, 8.0, 2.0]
    assert tables["books"][4, :6].tolist() == [0.0, 0.0, 0.0, 0.0, 3.0, 0.0]
    assert tables["classes"][7, :6].tolist() == [30.0, -50.0, -20.0, 80.0, 11.0, 2.0]
    for name in BOOKS.names[6:-1]:
        if name != "exit_value":
            total = sum(line[name] for line in lines)
            assert np.nansum(tables["books"][:, BOOKS.index(name)]) == pytest.approx(total)
            assert tables["classes"][7, CLASSES.index(name)] == pytest.approx(total)
    assert sum(line["pnl"] for line in lines) == 11.0
    assert np.isnan(tables["books"][[0, 2, 3]]).all()
    assert (tables["classes"][[0, 11]] == 0.0).all()


def test_a_sum_that_contains_an_unknown_value_is_unknown(market):
    market.fill(1.0, 10.0, instrument=0)
    market.fill(1.0, 10.0, instrument=1)
    market.quote(11.0, 11.0, instrument=0)
    market.positions()
    assert np.isnan(market.engine.tables["books"][0, :5]).all()
    assert market.engine.tables["books"][0, 5] == 2.0


def test_the_books_method_is_what_is_shown_and_the_other_stands_beside(make_market):
    fund = [Book(0, "A", "T", "S"), Book(1, "F", "T", "S", cost="fifo")]
    market = make_market(books=fund)
    market.quote(20.0, 20.0)
    for book in range(2):
        for size, price in ((1.0, 10.0), (1.0, 14.0), (-1.0, 15.0)):
            market.fill(size, price, book=book)
    average, fifo = market.positions()
    assert [average[name] for name in ("average", "realised", "unrealised")] == [12.0, 3.0, 8.0]
    assert [fifo[name] for name in ("average", "realised", "unrealised")] == [14.0, 5.0, 6.0]
    for line in (average, fifo):
        assert [line[name] for name in ("mean_average", "mean_realised")] == [12.0, 3.0]
        assert [line[name] for name in ("fifo_average", "fifo_realised")] == [14.0, 5.0]
        assert line["pnl"] == 11.0


def test_a_commission_in_coins_leaves_the_position(market):
    market.quote(110.0, 110.0)
    market.fill(1.0, 100.0, fee=0.001, flags=Flag.BASE_FEE)
    line = market.positions()[0]
    assert (line["quantity"], line["average"], line["fees"]) == (0.999, 100.0, 0.1)
    assert line["pnl"] == pytest.approx(-100.0 + 0.999 * 110.0, abs=1e-12)
    market.void(1.0, 100.0, fee=0.001, flags=Flag.BASE_FEE)
    line = market.positions()[0]
    assert [line[name] for name in ("quantity", "fees", "pnl")] == [0.0, 0.0, 0.0]


def test_an_inverse_contract_earns_coins_that_are_worth_its_mark(make_market):
    terms = {"inverse": True, "base": "BTC", "multiplier": 10.0, "asset_class": 11}
    market = make_market(count=1, **terms)
    market.fill(300.0, 40_000.0, fee=0.0001)
    market.fill(-100.0, 50_000.0)
    market.quote(48_000.0, 48_000.0)
    line = market.positions()[0]
    realised = Fraction(1000) * (Fraction(1, 40_000) - Fraction(1, 50_000))
    unrealised = Fraction(2000) * (Fraction(1, 40_000) - Fraction(1, 48_000))
    pnl = float((realised + unrealised - Fraction(1, 10_000)) * 48_000)
    assert line["average"] == pytest.approx(40_000.0, rel=1e-15)
    assert line["realised"] == pytest.approx(float(realised * 48_000), rel=1e-12)
    assert line["unrealised"] == pytest.approx(float(unrealised * 48_000), rel=1e-12)
    assert line["pnl"] == pytest.approx(pnl, rel=1e-12)
    assert line["value"] == pytest.approx(2_000.0)
    assert market.cell("pnl") == pytest.approx(pnl, rel=1e-9)
    market.quote(24_000.0, 24_000.0)
    assert market.cell("pnl") == pytest.approx(market.positions()[0]["pnl"], rel=1e-9)
    market.fill(1.0, 0.0)  # No such price.
    market.split(2, 1)
    assert market.engine.counters["refused"] == 3


@pytest.mark.parametrize(
    ("side", "exit_mark", "exit_value"), [(1.0, 99.0, 990.0), (-1.0, 101.0, -1010.0)]
)
def test_the_exit_of_a_long_is_the_bid_and_of_a_short_the_ask(
    make_market, side, exit_mark, exit_value
):
    market = make_market(multiplier=10.0)
    market.quote(99.0, 101.0)
    market.fill(side, 100.0)
    line = market.positions()[0]
    assert (line["mark"], line["exit_mark"], line["exit_value"]) == (100.0, exit_mark, exit_value)
    market.quote(None, None)
    assert math.isnan(market.positions()[0]["exit_value"])


def test_cash_is_income_by_its_kind_and_a_fee_is_a_fee(make_market):
    market = make_market(multiplier=10.0, usd_rate=2.0, close_prev=50.0)
    market.fill(1.0, 50.0)
    for kind, amount in zip(Cash, (1.0, 2.0, -3.0, -4.0, -5.0, -6.0), strict=True):
        market.cash(kind, amount)
    line = market.positions()[0]
    names = ("dividends", "coupons", "funding", "borrow", "fees", "income", "pnl", "day_pnl")
    assert [line[name] for name in names] == [2.0, -8.0, -6.0, -10.0, 8.0, -22.0, -30.0, -30.0]
    assert market.cell("pnl") == -30.0
    market.cash(6, 1.0)
    market.cash(-1, 1.0)
    market.cash(Cash.DIVIDEND, 1.0, book=BOOKS_MAX)
    assert market.engine.counters["refused"] == 3


def test_a_split_moves_no_money_and_the_row_goes_with_it(make_market):
    market = make_market(close_prev=90.0)
    market.quote(99.0, 101.0)
    market.fill(3.0, 60.0)
    before = market.cells("pnl", "exposure")
    market.split(3, 2)
    line = market.positions()[0]
    assert line["quantity"] == 4.5
    assert line["average"] == line["fifo_average"] == pytest.approx(40.0)
    assert market.cells("pnl", "exposure") == pytest.approx(before)
    assert market.cells("bid", "ask", "mid") == pytest.approx([66.0, 202 / 3, 200 / 3])
    for wrong in ((0, 1), (1, 0), (-1, 2)):
        market.split(*wrong)
    assert market.engine.counters["refused"] == 6


def test_a_day_begins_with_the_session_and_an_official_close_takes_its_place(make_market):
    market = make_market(close_prev=100.0)
    market.fill(10.0, 101.0)
    market.quote(103.0, 103.0)
    line = market.positions()[0]
    assert [line[n] for n in ("start_quantity", "overnight", "intraday")] == [0.0, 0.0, 20.0]
    market.quote(104.0, 104.0, flags=Flag.RESET)
    market.fill(-4.0, 106.0, fee=1.0)
    line = market.positions()[0]
    assert [line[n] for n in ("start_quantity", "close", "overnight")] == [10.0, 103.0, 10.0]
    assert [line[n] for n in ("intraday", "day_pnl", "pnl")] == [8.0, 17.0, 37.0]
    market.reference.update([*_changed(market.reference, close_prev=102.5)])
    market.engine.grow(market.reference)
    line = market.positions()[0]
    assert [line[n] for n in ("close", "overnight", "day_pnl", "pnl")] == [102.5, 15.0, 22.0, 37.0]
    market.quote(104.0, 104.0, flags=Flag.RESET)
    market.engine.grow(market.reference)  # The same close again is yesterday's.
    assert market.positions()[0]["close"] == 104.0


def _changed(reference, **fields):
    return [replace(reference.by_id[0], **fields)]


def test_a_bust_of_a_fill_nobody_made_is_refused_and_counted(market):
    market.void(1.0, 10.0, order=5)
    assert market.engine.counters["positions"] == 0
    market.fill(1.0, 10.0, order=5)
    market.void(1.0, 10.0, order=6)
    market.void(1.0, 11.0, order=5)
    market.void(2.0, 10.0, order=5)
    assert market.engine.counters["fills_unmatched"] == 4
    assert market.cell("position") == 1.0
    market.void(1.0, 10.0, order=5)
    assert market.cell("position") == 0.0
    assert market.engine.counters["fills_unmatched"] == 4


def test_a_close_restated_for_a_split_is_no_official_close(make_market):
    market = make_market(close_prev=90.0)
    market.quote(99.0, 101.0)
    market.fill(3.0, 60.0)
    market.quote(103.0, 103.0, flags=Flag.RESET)  # The day starts from the mark, 100.
    market.split(3, 2)
    before = market.positions()[0]
    assert before["close"] == pytest.approx(200 / 3)
    for close, expected in ((90.0, 200 / 3), (90.0 * 2 / 3, 200 / 3), (61.0, 61.0)):
        market.reference.update(_changed(market.reference, close_prev=close))
        market.engine.grow(market.reference)
        assert market.positions()[0]["close"] == pytest.approx(expected)


@pytest.mark.parametrize("kinds", [(Kind.ACTION, Kind.SPLIT), (Kind.SPLIT, Kind.ACTION)])
def test_the_market_of_a_split_starts_its_sums_anew(make_market, kinds):
    market = make_market(close_prev=90.0)
    market.quote(99.0, 101.0)
    market.trade(101.0, 50.0, ident=1)
    for at in (1.0, 2.0):
        market.quote(99.0, 100.0, at=at)
    moved = market.cell("volatility")
    assert moved > 0.0
    for kind in kinds:
        market.split(4, 1, kinds=[kind], at=2.5)
    names = ("bid", "ask", "mid", "mark", "last", "bid_size", "volume", "trades")
    assert market.cells(*names) == [24.75, 25.0, 24.875, 24.875, 25.25, 400.0, 0.0, 0.0]
    blank = ("vwap", "vwap_1m", "vwap_5m", "vwap_30m", "vwap_ex", "open", "high", "low")
    assert np.isnan(market.cells(*blank)).all()
    market.bust(101.0, 50.0, ident=1)  # Of an old unit: there is nothing to take it out of.
    assert market.engine.counters["busts_unmatched"] == 1
    market.trade(24.0, 7.0, ident=2, at=2.6)
    assert market.cells("vwap", "vwap_1m", "volume", "high") == [24.0, 24.0, 7.0, 24.0]
    for at in (3.0, 4.0, 5.0):
        market.quote(24.75, 25.0, at=at)
    assert 0.0 < market.cell("volatility") < moved  # No return but those of before fade.
