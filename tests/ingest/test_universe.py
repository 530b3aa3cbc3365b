"""The demo's reference data: counts, order, and terms that a trader would recognise."""

import math
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.event import PRICE_SCALE
from ingest.instrument import AssetClass, Instrument, PriceFormat
from ingest.universe import SHARES, USD, universe

ROWS = universe()
BY_SYMBOL = {row.symbol: row for row in ROWS}
OPTIONS = [row for row in ROWS if row.right]


def delivered(option: Instrument) -> float:
    """Worth of what an option's strike is paid for; an adjusted contract delivers more."""
    return (ROWS[option.underlying].close_prev or 0) * option.units / option.multiplier


def of(asset_class: AssetClass) -> list[Instrument]:
    return [row for row in ROWS if row.asset_class == asset_class]


def test_has_5000_in_the_named_proportions() -> None:
    assert Counter(row.asset_class for row in ROWS) == SHARES
    assert len(ROWS) == 5_000


@settings(max_examples=12, deadline=None)
@given(st.integers(12, 10_000), st.integers(1, 16), st.integers(0, 99))
def test_any_count_is_dense_whole_and_unique(count: int, shards: int, seed: int) -> None:
    rows = universe(count, shards, seed)
    assert [row.id for row in rows] == list(range(count))
    assert len({row.symbol for row in rows}) == count
    assert [key for key, _ in groupby(row.asset_class for row in rows)] == list(range(12))
    for row in rows:
        row.check()
        assert row.shard == row.id % shards
        assert Instrument.from_json(row.to_json()) == row


def test_the_same_seed_gives_the_same_rows() -> None:
    assert universe(700, 3, 11) == universe(700, 3, 11)
    assert universe(700, 3, 11) != universe(700, 3, 12)


def test_count_and_shards_out_of_range_are_refused() -> None:
    for count, shards in ((11, 1), (10_001, 1), (100, 0)):
        with pytest.raises(ValueError, match=r"universe: .* give"):
            universe(count, shards)


def test_the_best_known_names_lead_their_class() -> None:
    leaders = {
        AssetClass.EQUITY: "AAPL",
        AssetClass.ETF: "SPY",
        AssetClass.EQUITY_OPTION: "NVDA 27NOV26 180 C",
        AssetClass.INDEX_FUTURE: "ESZ6",
        AssetClass.RATES_FUTURE: "ZNZ6",
        AssetClass.COMMODITY_FUTURE: "CLF7",
        AssetClass.FUTURE_OPTION: "ESZ6 18DEC26 6700 C",
        AssetClass.FX: "EURUSD",
        AssetClass.GOVERNMENT_BOND: "UST 4⅛ 11/36",
        AssetClass.CREDIT: "CDX IG 47 5Y",
        AssetClass.CRYPTO_SPOT: "BTC-USD",
        AssetClass.CRYPTO_PERPETUAL: "BTC-PERP",
    }
    assert {asset_class: of(asset_class)[0].symbol for asset_class in AssetClass} == leaders


@pytest.mark.parametrize(
    ("symbol", "currency", "multiplier", "tick", "price_format"),
    [
        ("ASML NA", "EUR", 1, 0.01, PriceFormat.DECIMAL),
        ("SHEL LN", "GBX", 1, 0.5, PriceFormat.DECIMAL),
        ("7203 JT", "JPY", 1, 0.5, PriceFormat.DECIMAL),
        ("NVDA 18DEC26 190 P", "USD", 100, 0.01, PriceFormat.DECIMAL),
        ("ESZ6", "USD", 50, 0.25, PriceFormat.DECIMAL),
        ("NQZ6", "USD", 20, 0.25, PriceFormat.DECIMAL),
        ("FESXZ6", "EUR", 10, 1, PriceFormat.DECIMAL),
        ("NKDZ6", "USD", 5, 5, PriceFormat.DECIMAL),
        ("ZNZ6", "USD", 1_000, 1 / 64, PriceFormat.THIRTY_SECONDS),
        ("ZBZ6", "USD", 1_000, 1 / 32, PriceFormat.THIRTY_SECONDS),
        ("FGBLZ6", "EUR", 1_000, 0.01, PriceFormat.DECIMAL),
        ("SR3H7", "USD", 2_500, 0.005, PriceFormat.DECIMAL),
        ("CLF7", "USD", 1_000, 0.01, PriceFormat.DECIMAL),
        ("NGF7", "USD", 10_000, 0.001, PriceFormat.DECIMAL),
        ("GCG7", "USD", 100, 0.1, PriceFormat.DECIMAL),
        ("HGH7", "USD", 25_000, 0.0005, PriceFormat.DECIMAL),
        ("ZCH7", "USD", 50, 0.25, PriceFormat.DECIMAL),
        ("USDJPY", "JPY", 1, 0.001, PriceFormat.PIPS),
        ("USDKRW 1M NDF", "KRW", 1, 0.05, PriceFormat.PIPS),
        ("UST 4⅛ 11/36", "USD", 0.01, 1 / 128, PriceFormat.THIRTY_SECONDS_QUARTERS),
    ],
)
def test_contract_terms(
    symbol: str, currency: str, multiplier: float, tick: float, price_format: int
) -> None:
    row = BY_SYMBOL[symbol]
    assert (row.currency, row.multiplier, row.tick, row.price_format) == (
        *(currency, multiplier, tick),
        price_format,
    )


def test_closes_stand_on_tick_and_ticks_are_exact() -> None:
    for row in ROWS:
        tick, close = round(row.tick * PRICE_SCALE), round((row.close_prev or 0) * PRICE_SCALE)
        assert tick > 0
        assert math.isclose(tick / PRICE_SCALE, row.tick, rel_tol=1e-12)
        assert close % tick == 0, row
        assert math.isclose(round(row.tick, row.decimals), row.tick), row
        assert row.usd_rate == USD[row.currency]


def test_negative_closes_are_a_commodity_and_its_spreads() -> None:
    negative = [row for row in ROWS if (row.close_prev or 0) < 0]
    assert {row.asset_class for row in negative} == {AssetClass.COMMODITY_FUTURE}
    assert any("-" in row.symbol for row in negative)
    assert any("-" not in row.symbol for row in negative)


def test_options_hang_on_their_underlyings_and_are_worth_their_exercise() -> None:
    for row in OPTIONS:
        underlying = ROWS[row.underlying]
        shares = row.asset_class == AssetClass.EQUITY_OPTION
        assert (underlying.asset_class in (AssetClass.EQUITY, AssetClass.ETF)) == shares
        assert row.symbol.startswith(underlying.symbol + " ")
        assert row.multiplier == (100 if shares else underlying.multiplier)
        assert row.asset_class != AssetClass.FUTURE_OPTION or row.expiry <= underlying.expiry
        sign = 1 if row.right == "C" else -1
        exercise = sign * (delivered(row) - (row.strike or 0))
        assert (row.close_prev or 0) >= exercise - row.tick


def test_calls_and_puts_of_a_strike_are_at_parity() -> None:
    calls = {(row.underlying, row.expiry, row.strike): row for row in OPTIONS if row.right == "C"}
    puts = [row for row in OPTIONS if row.right == "P"]
    assert len(puts) > 1_000
    for put in puts:
        call = calls[put.underlying, put.expiry, put.strike]
        forward = delivered(put) - (put.strike or 0)
        # Half a tick of rounding each, and the floor of one tick.
        assert abs((call.close_prev or 0) - (put.close_prev or 0) - forward) <= 2.01 * put.tick


def test_crosses_agree_with_their_legs() -> None:
    close = {symbol: BY_SYMBOL[symbol].close_prev or 0 for symbol in ("EURUSD", "USDJPY", "EURJPY")}
    assert abs(close["EURUSD"] * close["USDJPY"] / close["EURJPY"] - 1) < 1e-4


def test_perpetuals_follow_a_coin() -> None:
    for row in of(AssetClass.CRYPTO_PERPETUAL):
        coin = ROWS[row.underlying]
        assert coin.asset_class == AssetClass.CRYPTO_SPOT
        assert abs((row.close_prev or 0) / (coin.close_prev or 1) - 1) < 0.01
