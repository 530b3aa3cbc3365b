"""The demo's terms: none contradicts another, and prices agree with schedules."""

import math
from collections import Counter
from datetime import date

import pytest

from ingest.calendar import CALENDARS, default_calendar
from ingest.demo_terms import conversion_factor
from ingest.instrument import AssetClass, Reference
from ingest.universe import AS_OF, universe

ROWS = universe()
BY_SYMBOL = {row.symbol: row for row in ROWS}


def of(asset_class):
    return [row for row in ROWS if row.asset_class == asset_class]


@pytest.mark.parametrize("count", [12, 100, 1_000, 5_000, 10_000])
def test_no_row_contradicts_itself_or_another(count):
    rows = universe(count)
    for row in rows:
        row.check()
    assert Reference(rows).refused == {}


def test_a_row_keeps_its_terms_in_any_universe():
    small = {row.symbol: row for row in universe(1_000)}
    for symbol in ("AAPL", "SPY", "EURUSD", "UST 4⅛ 11/36", "BTC-USD"):
        for name in ("sector", "beta", "dividends", "coupon", "issue_date", "base", "adv"):
            assert getattr(small[symbol], name) == getattr(BY_SYMBOL[symbol], name)


def test_every_position_can_be_grouped():
    for row in ROWS:
        assert row.sector
        assert row.adv is not None
        assert row.adv >= 1
        if row.asset_class in (0, 1, 2, 3, 4, 8, 9):
            assert len(row.country) == 2
        if row.asset_class in (0, 1, 2, 8, 9, 10, 11):
            assert row.issuer
    sectors = Counter(row.sector for row in of(AssetClass.EQUITY))
    assert len(sectors) == 11
    assert max(sectors.values()) < 250


def test_options_are_grouped_with_their_underlyings():
    for row in ROWS:
        if row.right:
            under = ROWS[row.underlying]
            assert (row.sector, row.country) == (under.sector, under.country)


def test_betas_are_to_a_fund_of_the_universe():
    assert BY_SYMBOL["SPY"].beta == 1.0
    for row in ROWS:
        assert (row.beta is None) == (row.asset_class not in (0, 1, 3))
        assert row.beta is None or (row.beta_index == "SPY" and -6 < row.beta < 4)


def test_dividends_lie_in_the_year_ahead_and_are_a_small_part_of_the_price():
    paying = [row for row in ROWS if row.dividends]
    assert len(paying) > 500
    assert not BY_SYMBOL["AMZN"].dividends
    for row in paying:
        days = [date.fromisoformat(day) for day, _ in row.dividends]
        assert all(0 < (day - AS_OF).days < 400 and day.weekday() < 5 for day in days)
        assert 0 < sum(amount for _, amount in row.dividends) < 0.08 * (row.close_prev or 0)
    assert len(BY_SYMBOL["AAPL"].dividends) == 4
    assert len(BY_SYMBOL["SHEL LN"].dividends) == 2


def test_calendars_are_those_of_the_venues():
    expected = {"AAPL": "XNYS", "SHEL LN": "XLON", "7203 JT": "XTKS", "700 HK": "XHKG"}
    expected |= {"ESZ6": "XCME", "FESXZ6": "XEUR", "SAP GY": "XETR", "EURUSD": "FX"}
    expected |= {"BTC-USD": "CRYPTO", "UST 4⅛ 11/36": "US_BONDS", "BZF7": "IFEU"}
    for symbol, name in expected.items():
        row = BY_SYMBOL[symbol]
        assert (row.calendar or default_calendar(row.asset_class)) == name
    assert {row.calendar for row in ROWS} <= {"", *CALENDARS}


def test_day_counts_are_those_of_the_markets():
    terms = {
        row.issuer: (row.day_count, row.coupon_frequency, row.settle_days, row.ex_days)
        for row in of(AssetClass.GOVERNMENT_BOND)
    }
    assert terms["UST"] == ("ACT/ACT ICMA", 2, 1, 0)
    assert terms["DBR"] == ("ACT/ACT ICMA", 1, 2, 0)
    assert terms["UKT"] == ("ACT/ACT ICMA", 2, 1, 7)
    assert terms["JGB"] == ("ACT/365F", 2, 1, 0)
    assert terms["BTP"] == ("ACT/ACT ICMA", 2, 2, 0)


def test_bonds_accrue_from_before_today():
    for row in of(AssetClass.GOVERNMENT_BOND) + of(AssetClass.CREDIT):
        issued, due = date.fromisoformat(row.issue_date), date.fromisoformat(row.expiry)
        assert issued < AS_OF < due
        assert 0 < (row.coupon or 0) < 12
        assert row.quote == ("price" if row.multiplier == 0.01 else "spread")


def test_index_swaps_pay_the_standard_coupons():
    swaps = [row for row in of(AssetClass.CREDIT) if row.quote == "spread"]
    assert len(swaps) == 24
    for row in swaps:
        high = row.symbol.startswith(("CDX HY", "ITRX XOVER"))
        assert row.coupon == (5.0 if high else 1.0)
        assert (row.day_count, row.coupon_frequency) == ("ACT/360", 4)
        assert 0.2 <= (row.recovery or 0) <= 0.4


def test_rates_futures_are_worth_their_cheapest_to_deliver():
    """Price x factor is the bond's price less a carry and a basis of a few points."""
    delivered = [row for row in of(AssetClass.RATES_FUTURE) if row.ctd >= 0]
    assert len(delivered) > 50
    for row in delivered:
        bond = ROWS[row.ctd]
        forward = (row.close_prev or 0) * (row.conversion_factor or 0)
        assert abs(forward / (bond.close_prev or 1) - 1) < 0.12, (row.symbol, bond.symbol)


def test_conversion_factors():
    assert math.isclose(conversion_factor(6.0, 7.25, 2, 6.0), 1.0, abs_tol=2e-4)
    assert conversion_factor(6.0, 10.0, 2, 6.0) == pytest.approx(1.0, abs=1e-12)
    # CME's worked example: a 10-year note, 3 %, 9 years 9 months left, is 0.7829 to a 6 % yield.
    by_hand = sum(1.5 / 1.03 ** (k - 0.5) for k in range(1, 21)) + 100 / 1.03**19.5 - 0.75
    assert conversion_factor(3.0, 9.75, 2, 6.0) == pytest.approx(by_hand / 100, abs=1e-12)


def test_perpetuals_are_linear_and_inverse():
    perpetuals = of(AssetClass.CRYPTO_PERPETUAL)
    inverse = [row for row in perpetuals if row.inverse]
    assert [row.symbol for row in inverse][:2] == ["BTC-PERP.OKX", "ETH-PERP.OKX"]
    assert len(inverse) == 10
    assert all(row.base == ROWS[row.underlying].base for row in perpetuals)
    assert {row.funding_hours for row in perpetuals} == {8.0}


def test_currencies_have_forwards_and_options():
    rows = of(AssetClass.FX)
    assert {row.base for row in rows} >= {"EUR", "GBP", "USD"}
    assert all(row.base == row.symbol[:3] and row.currency == row.symbol[3:6] for row in rows)
    forwards = [row for row in rows if row.symbol.endswith("FWD")]
    assert forwards
    for row in forwards:
        spot = ROWS[row.underlying]
        assert row.symbol.startswith(spot.symbol)
        assert row.expiry > AS_OF.isoformat()
        assert abs((row.close_prev or 0) / (spot.close_prev or 1) - 1) < 0.02
    options = [row for row in rows if row.right]
    assert len(options) == 80
    assert {row.exercise for row in options} == {"european"}
    assert (BY_SYMBOL["USDCAD"].settle_days, BY_SYMBOL["EURUSD"].settle_days) == (1, 2)


def test_adjusted_contracts_deliver_more_than_their_multiplier():
    adjusted = [row for row in ROWS if row.deliverable is not None]
    assert len(adjusted) == 20
    assert {(row.multiplier, row.units) for row in adjusted} == {(100.0, 104.0)}
