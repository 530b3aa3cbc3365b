"""The part as the process runs it: tables in, tables and alerts out; and what would be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import factor
from compute.exposure import Exposure
from compute.group import SCOPES
from compute.holding import Trade
from compute.limits import Level
from compute.table import (
    ANALYTICS,
    EXPOSURES,
    INSTRUMENTS,
    LIMITS,
    POSITIONS,
    RISK,
    SCENARIOS,
    VALUE_AT_RISK,
)
from ingest.fund import Book, Fund, Limit
from ingest.instrument import AssetClass, Instrument, Reference

NOW_NS = 1_800_000_000_000_000_000
SHARE, CALL, EURO, PAIR, BOND, CDS, CRUDE, COIN, OTHER = range(9)


def instruments():
    def row(number, symbol, kind, currency="USD", multiplier=1.0, **more):
        return Instrument(*(number, symbol, int(kind), "X", currency, multiplier, 0.01, 2), **more)

    return [
        row(
            SHARE,
            "AAA",
            AssetClass.EQUITY,
            issuer="A Inc",
            sector="Tech",
            country="US",
            beta=1.2,
            adv=1e6,
        ),
        row(CALL, "AAA C", AssetClass.EQUITY_OPTION, multiplier=100.0, underlying=SHARE).__class__(
            *(CALL, "AAA C", int(AssetClass.EQUITY_OPTION), "X", "USD", 100.0, 0.01, 2),
            underlying=SHARE,
            strike=100.0,
            right="C",
            expiry="2027-06-18",
            exercise="american",
            sector="Tech",
            country="US",
        ),
        row(EURO, "EEE", AssetClass.EQUITY, "EUR", usd_rate=1.1, sector="Autos", country="DE"),
        row(PAIR, "EUR/JPY", AssetClass.FX, "JPY", usd_rate=0.0065, base="EUR"),
        row(BOND, "T 4 36", AssetClass.GOVERNMENT_BOND, multiplier=0.01, expiry="2036-11-15"),
        row(CDS, "IG 5Y", AssetClass.CREDIT, expiry="2031-12-20"),
        row(CRUDE, "CLZ7", AssetClass.COMMODITY_FUTURE, multiplier=1_000.0, expiry="2027-11-20"),
        row(COIN, "BTC-USD", AssetClass.CRYPTO_SPOT),
        row(OTHER, "BBB", AssetClass.EQUITY, issuer="B Inc", sector="Tech", country="US", beta=0.8),
    ]


MARKS = {SHARE: 100.0, CALL: 6.0, EURO: 50.0, PAIR: 165.0, BOND: 98.0}
MARKS |= {CDS: 60.0, CRUDE: 70.0, COIN: 90_000.0, OTHER: 20.0}
FUND = Fund(
    "Test fund",
    (
        Book(0, "Alpha", "Ann", "Equity", nav_usd=10e6),
        Book(1, "Beta", "Bob", "Equity", nav_usd=5e6),
        Book(2, "Gamma", "Ann", "Macro", nav_usd=20e6),
    ),
    (
        Limit(0, "Gross", "gross", "fund", "", 5e6, 6e6),
        Limit(1, "VaR", "var_99", "fund", "", 1e6, 2e6),
        Limit(2, "Each book", "day_loss", "book", "*", 1e4, 2e4),
        Limit(3, "Each line", "gross", "instrument", "*", 1e6, 2e6),
        Limit(4, "Stale", "stale_share", "fund", "", 0.1, 0.5),
        Limit(5, "Trader's VaR", "var_99", "trader", "Ann", 1e6, 2e6),
    ),
)
HELD = (
    *((0, SHARE, 2_000.0), (0, CALL, -30.0), (1, EURO, -4_000.0), (2, PAIR, 1e5)),
    *((2, BOND, 1e6), (2, CDS, 5e3), (1, CRUDE, 3.0), (0, COIN, -2.0), (1, SHARE, -500.0)),
)


class Desk:
    """Live's tables by hand, and the part that looks at them."""

    def __init__(self, held=HELD) -> None:
        self.reference = Reference(instruments())
        count = len(self.reference)
        self.live = INSTRUMENTS.empty(count)
        self.analytics = ANALYTICS.empty(count)
        self.positions = POSITIONS.empty(64)
        now_ms = NOW_NS / 1e6
        for name, value in {"ts_mark": now_ms - 50, "ts_event": now_ms - 50, "state": 0.0}.items():
            self.live[:, INSTRUMENTS.index(name)] = value
        for number, mark in MARKS.items():
            self.live[number, INSTRUMENTS.index("mark")] = mark
        greeks = {"underlying_price": 100.0, "forward": 101.0, "delta": 0.55, "gamma": 0.02}
        greeks |= {"vega": 0.2, "theta": -0.03, "rho": 0.001, "smile": 25.0, "years": 0.5}
        greeks |= {"rate": 4.0, "early": 0.01, "model": 6.0}
        for name, value in greeks.items():
            self.analytics[CALL, ANALYTICS.index(name)] = value
        for number, dv01 in ((BOND, 0.0008), (CDS, 0.1)):
            self.analytics[number, ANALYTICS.index("dv01")] = dv01
            self.analytics[number, ANALYTICS.index("cs01")] = -dv01
        for slot, line in enumerate(held):
            self.hold(slot, *line)
        self.part = Exposure(FUND, factor.demo)
        self.part.grow(self.reference)

    def hold(self, slot, book, number, quantity):
        row = self.reference.by_id[number]
        unit = row.multiplier * row.usd_rate
        fields = {"book": book, "instrument": number, "quantity": quantity, "fx": row.usd_rate}
        fields |= {"value": quantity * MARKS[number] * unit, "pnl": 10.0, "day_pnl": -5.0}
        for name, value in fields.items():
            self.positions[slot, POSITIONS.index(name)] = value

    def step(self, after_ns=0):
        tables = {"instruments": self.live, "positions": self.positions}
        tables["analytics"] = self.analytics
        written = self.part.step(tables, {}, NOW_NS + after_ns)
        assert len(written) == 0
        return self.part.tables

    def group(self, scope, key, name="net"):
        row = self.part.groups.rows[self.part.names()["scopes"].index(scope), key]
        return float(self.part.tables["exposures"][row, EXPOSURES.index(name)])

    def limit(self, name, key=""):
        one = next(
            row
            for row, watched in enumerate(self.part.limits.watched)
            if watched.limit.name == name and watched.key == key
        )
        return self.part.limits.table[one]


@pytest.fixture
def desk():
    made = Desk()
    made.step()
    return made


def test_tables_are_as_they_are_told(desk):
    shapes = {t.name: t for t in (RISK, EXPOSURES, VALUE_AT_RISK, SCENARIOS, LIMITS)}
    for name, table in desk.part.tables.items():
        assert table.shape[1] == shapes[name].width
        assert table.dtype == np.float64
        assert table.flags.c_contiguous


def test_groups_are_the_lines_they_hold(desk):
    risk = desk.part.tables["risk"][: len(HELD)]
    delta = risk[:, RISK.index("delta_usd")]
    assert desk.group("fund", "Test fund", "delta") == pytest.approx(delta.sum())
    assert desk.group("book", "Alpha", "delta") == pytest.approx(delta[[0, 1, 7]].sum())
    assert desk.group("trader", "Ann", "delta") == pytest.approx(delta[[0, 1, 3, 4, 5, 7]].sum())
    assert desk.group("class", "equity", "delta") == pytest.approx(delta[[0, 2, 8]].sum())
    for scope in ("book", "class", "sector", "country", "strategy", "trader"):
        rows = [r for (s, _), r in desk.part.groups.rows.items() if SCOPES[s] == scope]
        for name in ("net", "value", "vega", "dv01", "cs01", "kr_10y", "pnl", "lines"):
            cells = desk.part.tables["exposures"][rows, EXPOSURES.index(name)]
            whole = desk.group("fund", "Test fund", name)
            assert cells.sum() == pytest.approx(whole, rel=1e-12, abs=1e-6)


def test_an_option_nets_with_its_share_within_a_group(desk):
    share, call = 200_000.0, -30.0 * 100.0 * 55.0
    assert desk.group("class", "equity_option", "short") == pytest.approx(call)
    coin = -180_000.0
    assert desk.group("book", "Alpha", "long") == pytest.approx(share + call)
    assert desk.group("book", "Alpha", "short") == pytest.approx(coin)
    assert desk.group("book", "Alpha", "gross_pct") == pytest.approx((35_000 + 180_000) / 1e5)
    assert desk.group("sector", "Tech", "gross_pct") == pytest.approx(
        100 * abs(share + call - 50_000) / 35e6
    )


def test_concentration_is_the_largest_issuer_in_gross():
    desk = Desk(((0, SHARE, 30.0), (0, CALL, -1.0), (0, OTHER, 50.0), (1, CRUDE, 1.0)))
    desk.step()
    share = abs(30 * 100 - 100 * 55)  # The option is the issuer's too, and nets.
    assert desk.group("book", "Alpha", "concentration") == pytest.approx(
        100 * share / (share + 1_000)
    )
    assert desk.group("book", "Beta", "concentration") == 0.0  # Oil has no issuer.


def test_a_pair_is_long_its_base_and_short_its_quote(desk):
    worth = 1e5 * 165.0 * 0.0065
    assert desk.group("currency", "JPY") == pytest.approx(-worth)
    assert desk.group("currency", "EUR") == pytest.approx(worth - 4_000 * 50 * 1.1)
    assert desk.group("currency", "JPY", "pnl") == 10.0
    nets = sum(desk.group("currency", key) for key in ("USD", "EUR", "JPY"))
    assert nets == pytest.approx(desk.group("fund", "Test fund") - worth)


def test_no_position_is_nothing_and_one_side_has_no_other():
    desk = Desk(())
    tables = desk.step()
    assert np.isnan(tables["risk"]).all()
    assert desk.group("fund", "Test fund", "gross") == 0.0
    assert desk.group("fund", "Test fund", "stale_share") == 0.0
    assert tables["value_at_risk"][0, VALUE_AT_RISK.index("hist_99")] == 0.0
    desk = Desk(((0, SHARE, 10.0),))
    desk.step()
    assert desk.group("fund", "Test fund", "short") == 0.0
    assert desk.group("fund", "Test fund", "gross") == desk.group("fund", "Test fund", "net")


def test_a_line_without_a_mark_blanks_what_contains_it_and_nothing_else(desk):
    desk.positions[2, POSITIONS.index("value")] = np.nan
    tables = desk.step(2 * 10**9)
    assert np.isnan(desk.group("fund", "Test fund", "gross"))
    assert np.isnan(desk.group("book", "Beta"))
    assert desk.group("book", "Alpha", "missing") == 0.0
    assert np.isfinite(desk.group("book", "Alpha"))
    assert desk.group("fund", "Test fund", "missing") == 1.0
    assert desk.group("fund", "Test fund", "lines") == len(HELD)
    row = tables["value_at_risk"][0]
    assert np.isnan(row[VALUE_AT_RISK.index("hist_99")])
    assert row[VALUE_AT_RISK.index("known_99")] > 0.0
    assert row[VALUE_AT_RISK.index("missing")] == 1.0
    assert np.isnan(tables["scenarios"][0, SCENARIOS.index("pnl_usd")])


def test_all_unknown_is_blank_not_zero(desk):
    desk.live[:], desk.analytics[:] = np.nan, np.nan
    desk.positions[: len(HELD), POSITIONS.index("value")] = np.nan
    desk.step(2 * 10**9)
    assert np.isnan(desk.group("fund", "Test fund", "net"))
    assert desk.group("fund", "Test fund", "missing") == len(HELD)


def test_stale_share_is_of_gross(desk):
    assert desk.group("fund", "Test fund", "stale_share") == 0.0
    desk.live[SHARE, INSTRUMENTS.index("ts_mark")] -= 3_600_000.0
    desk.step(10**8)
    risk = desk.part.tables["risk"][: len(HELD), RISK.index("delta_usd")]
    share = 100 * abs(risk[[0, 8]]).sum() / abs(risk).sum()
    assert desk.group("fund", "Test fund", "stale_share") == pytest.approx(share)
    assert desk.limit("Stale")[LIMITS.index("value")] == pytest.approx(share / 100)


def test_scenarios_begin_at_zero_and_books_add_up(desk):
    table = desk.part.tables["scenarios"].reshape(-1, 105, SCENARIOS.width)
    profit = table[:, :, SCENARIOS.index("pnl_usd")]
    assert (profit[:, 0] == 0.0).all()
    assert len(table) == 4
    assert np.allclose(profit[0], profit[1:].sum(0))
    worst = desk.part.tables["risk"][: len(HELD), RISK.index("worst_usd")]
    assert (worst <= 0.0).all()


def test_component_var_adds_up_and_traders_are_their_books(desk):
    table = desk.part.tables["value_at_risk"]
    component = desk.part.tables["risk"][: len(HELD), RISK.index("component_usd")]
    assert component.sum() == pytest.approx(table[0, VALUE_AT_RISK.index("param_99")])
    column = VALUE_AT_RISK.index("hist_99")
    ann = desk.limit("Trader's VaR", "Ann")[LIMITS.index("value")]
    assert ann in table[:, column]
    assert ann > 0.0


TRADES = st.lists(
    st.builds(
        Trade,
        st.integers(0, 3),
        st.sampled_from(range(9)),
        st.integers(-500, 500).map(float),
        st.none(),
    ),
    max_size=6,
)


@given(TRADES)
@settings(deadline=None, max_examples=25)
def test_what_would_be_is_what_doing_it_shows(trades):
    desk = Desk()
    desk.step()
    before = {name: table.copy() for name, table in desk.part.tables.items()}
    change = desk.part.what_if(trades)
    for name, table in desk.part.tables.items():  # Asking changes nothing.
        assert np.array_equal(table[: len(before[name])], before[name], equal_nan=True)
    held = {(book, number): quantity for book, number, quantity in HELD}
    order = [line[:2] for line in HELD]
    for book, number, quantity, _ in trades:
        order += [(book, number)] if (book, number) not in held else []
        held[book, number] = held.get((book, number), 0.0) + quantity
    done = Desk([(*pair, held[pair]) for pair in order])
    for slot in range(len(HELD), len(order)):  # A trade at the mark has made nothing yet.
        for name in ("pnl", "day_pnl"):
            done.positions[slot, POSITIONS.index(name)] = 0.0
    done.step()
    for name in ("value_at_risk", "scenarios"):
        wanted, got = done.part.tables[name], getattr(change.after, name)
        assert np.allclose(got, wanted, rtol=1e-9, atol=1e-4, equal_nan=True)
    for (scope, key), row in done.part.groups.rows.items():
        mine = change.after.exposures[desk.part.groups.rows[scope, key]]
        wanted = done.part.tables["exposures"][row]
        assert np.allclose(mine[2:], wanted[2:], rtol=1e-9, atol=1e-4, equal_nan=True)
    nothing = change.after.exposures if not trades else None
    if nothing is not None:
        assert not change.difference("scenarios").any()


def test_a_trade_that_would_break_a_limit_says_so(desk):
    change = desk.part.what_if([Trade(0, OTHER, 400_000.0)])
    assert (0, "", Level.OK, Level.BREACH) in change.levels
    column = EXPOSURES.index("gross")
    assert change.difference("exposures")[0, column] == pytest.approx(8e6)
    assert change.unmarked == []
    with pytest.raises(ValueError, match="cannot be"):
        desk.part.what_if([Trade(0, 999, 1.0)])


def test_a_price_away_from_the_mark_is_gained_or_lost_at_once(desk):
    change = desk.part.what_if([Trade(0, OTHER, 100.0, 19.0)])
    assert change.difference("exposures")[0, EXPOSURES.index("day_pnl")] == pytest.approx(100.0)


def test_an_alert_names_its_event_and_inputs_and_comes_at_once(desk):
    assert desk.part.take_alerts() == []
    desk.hold(0, 0, SHARE, 60_000.0)
    event_ms = NOW_NS / 1e6 + 480.0
    desk.live[SHARE, INSTRUMENTS.index("ts_event")] = event_ms
    desk.step(5 * 10**8)
    alerts = desk.part.take_alerts()
    assert {(a.limit, a.key, a.level) for a in alerts} >= {(0, "", "breach"), (3, "AAA", "breach")}
    for alert in alerts:
        assert alert.ts_event == round(event_ms * 1e6)
        assert 0 <= alert.ts_alert - alert.ts_event < 10**9
        assert len(alert.inputs) == 32
    assert desk.part.take_alerts() == []
    again = Desk()
    again.step()
    again.hold(0, 0, SHARE, 60_000.0)
    again.live[SHARE, INSTRUMENTS.index("ts_event")] = event_ms
    again.step(5 * 10**8)
    assert again.part.take_alerts() == alerts  # Told again, the same bits.
    seen = desk.part.acknowledge(alerts[0].alert, "R. Okafor", NOW_NS)
    assert desk.part.take_alerts() == [seen]


def test_value_at_risk_is_renewed_once_a_second(desk):
    table = desk.part.tables["value_at_risk"]
    desk.step(10**8)
    assert desk.part.tables["value_at_risk"] is table
    desk.step(10**9)
    assert desk.part.tables["value_at_risk"] is not table


def test_a_position_in_what_the_reference_does_not_know_yet_waits(desk):
    before = desk.part.tables["exposures"].copy()
    desk.positions[20, POSITIONS.index("book")] = 0.0
    desk.positions[20, POSITIONS.index("instrument")] = 50.0
    desk.step(10**8)
    assert np.array_equal(desk.part.tables["exposures"], before, equal_nan=True)


def test_a_book_that_the_fund_does_not_name_still_counts():
    desk = Desk((*HELD, (9, OTHER, 100.0)))
    desk.step()
    assert desk.group("book", "9") == pytest.approx(2_000.0)
    assert np.isnan(desk.group("book", "9", "gross_pct"))
    assert desk.group("fund", "Test fund", "lines") == len(HELD) + 1


DEEP = Fund(
    FUND.name,
    FUND.books,
    (
        Limit(0, "Equity VaR", "var_99", "class", "equity", 1e6, 2e6),
        Limit(1, "Line VaR", "var_99", "instrument", "*", 1e5, 2e6),
        Limit(2, "Dollar VaR", "var_99", "currency", "USD", 1e6, 2e6),
        Limit(3, "High beta", "gross", "beta", "0.8 to 1.2", 1e6, 2e6),
        Limit(4, "Slow", "gross", "liquidity", "*", 1e6, 2e6),
        Limit(5, "Fund VaR", "var_99", "fund", "", 1e6, 2e6),
    ),
)


def only(lines):
    """The fund's VaR 99 where it holds these lines and nothing else."""
    desk = Desk(lines)
    desk.step()
    return desk.part.tables["value_at_risk"][0, VALUE_AT_RISK.index("hist_99")]


def test_value_at_risk_of_any_group_is_that_of_a_fund_of_its_lines():
    desk = Desk()
    desk.part = Exposure(DEEP, factor.demo)
    desk.part.grow(desk.reference)
    desk.step()
    value = LIMITS.index("value")
    shares = [line for line in HELD if line[1] in (SHARE, EURO)]
    assert desk.limit("Equity VaR", "equity")[value] == pytest.approx(only(shares))
    dollars = [line for line in HELD if line[1] not in (EURO, PAIR)]
    assert desk.limit("Dollar VaR", "USD")[value] == pytest.approx(only(dollars))
    for number, symbol in ((CRUDE, "CLZ7"), (SHARE, "AAA"), (CALL, "AAA C")):
        lines = [line for line in HELD if line[1] == number]
        assert desk.limit("Line VaR", symbol)[value] == pytest.approx(only(lines)), symbol
    desk.positions[1, POSITIONS.index("value")] = np.nan
    desk.step(2 * 10**9)
    assert np.isnan(desk.limit("Line VaR", "AAA C")[value])
    assert np.isnan(desk.limit("Dollar VaR", "USD")[value])
    assert desk.limit("Line VaR", "CLZ7")[value] == pytest.approx(
        only([line for line in HELD if line[1] == CRUDE])
    )


def test_a_line_is_in_the_bucket_of_its_beta_and_of_its_size():
    desk = Desk()
    desk.part = Exposure(DEEP, factor.demo)
    desk.part.grow(desk.reference)
    desk.step()
    assert desk.group("beta", "1.2 to 1.5", "lines") == 3.0  # AAA twice, and the option on it.
    assert desk.group("beta", "-", "lines") == 1.0  # A share whose beta is not said.
    assert desk.group("beta", "no beta", "lines") == len(HELD) - 4
    assert desk.group("liquidity", "below 0.1 day", "lines") == 2.0  # 2,000 of 200,000 a day.
    assert desk.group("liquidity", "-", "lines") == len(HELD) - 2
    desk.hold(0, 0, SHARE, 500_000.0)
    desk.step(10**8)
    assert desk.group("liquidity", "below 0.1 day", "lines") == 1.0
    assert desk.group("liquidity", "1 to 3 days", "gross") == pytest.approx(5e7)
    assert desk.limit("Slow", "1 to 3 days")[LIMITS.index("state")] == Level.BREACH
    for scope in ("beta", "liquidity"):
        rows = [r for (s, _), r in desk.part.groups.rows.items() if SCOPES[s] == scope]
        lines = desk.part.tables["exposures"][rows, EXPOSURES.index("lines")]
        assert lines.sum() == len(HELD)


def test_without_live_no_limit_is_watched_and_that_shows_at_once(desk):
    state, value = LIMITS.index("state"), LIMITS.index("value")
    assert (desk.part.limits.table[:, state] == Level.OK).any()
    desk.part.blind(NOW_NS + 10**9)
    assert (desk.part.limits.table[:, state] == Level.UNKNOWN).all()
    assert np.isnan(desk.part.limits.table[:, value]).all()
    assert desk.part.health["limits_unknown"] == len(desk.part.limits.table)
    assert desk.part.take_alerts() == []  # A stumble is no alert; what lasts is.
    desk.part.blind(NOW_NS + 7 * 10**9)
    alerts = desk.part.take_alerts()
    assert {alert.level for alert in alerts} == {"unknown"}
    assert len(alerts) == len(desk.part.limits.table)
    desk.step(8 * 10**9)
    assert (desk.part.limits.table[:, state] != Level.UNKNOWN).all()
    assert {alert.kind for alert in desk.part.take_alerts()} == {"cleared"}


def test_a_trade_in_what_nobody_held_meets_its_limit_too(desk):
    change = desk.part.what_if([Trade(0, OTHER, 150_000.0)])
    assert (3, "BBB", Level.OK, Level.BREACH) in change.levels


def test_positions_carry_the_source_and_the_moment_of_their_mark(desk):
    desk.live[SHARE, INSTRUMENTS.index("mark_source")] = 2.0
    desk.step(10**8)
    risk = desk.part.tables["risk"]
    assert risk[0, RISK.index("mark_source")] == 2.0
    assert risk[0, RISK.index("ts_mark")] == desk.live[SHARE, INSTRUMENTS.index("ts_mark")]
    assert np.isnan(risk[len(HELD), RISK.index("ts_mark")])
