"""Figures of one moment: all of one instrument, and what trades beside it along time."""

from types import SimpleNamespace

import numpy as np

from app.curves import Quote, Term, kin
from compute.table import ANALYTICS, INSTRUMENTS, POSITIONS
from ingest.instrument import AssetClass, Reference
from ingest.universe import universe

ROWS = universe(1_500)
BY_CLASS = {kind: [row for row in ROWS if row.asset_class == kind] for kind in AssetClass}


def mirror():
    """Tables in which every number says of which row and column it is."""
    n = len(ROWS)
    tables = {
        table.name: np.arange(n)[:, None] * 100.0 + np.arange(table.width)
        for table in (INSTRUMENTS, ANALYTICS)
    }
    tables[POSITIONS.name] = POSITIONS.empty(8)
    return SimpleNamespace(tables=tables, reference=Reference(ROWS), reference_version=1)


def told(figure):
    return [dict(zip(figure.facts["columns"], row, strict=True)) for row in figure.rows.tolist()]


def test_a_quote_is_the_row_of_both_tables_and_nothing_else() -> None:
    """Beyond the tables there is nothing; what has not moved is not told again."""
    figure = Quote({"row": 7}, mirror())
    assert figure.refresh(0)
    assert not figure.refresh(0)
    (row,) = told(figure)
    assert row["last"] == 700.0 + INSTRUMENTS.index("last")
    assert row["delta"] == 700.0 + ANALYTICS.index("delta")
    assert not Quote({"row": len(ROWS)}, mirror()).refresh(0)


def test_the_term_of_a_future_is_its_product_in_order_of_expiry() -> None:
    """No other product, no spread; of an option on it the same."""
    first = BY_CLASS[AssetClass.COMMODITY_FUTURE][0]
    figure = Term({"row": first.id}, mirror())
    assert figure.refresh(0)
    rows = told(figure)
    mine = [ROWS[int(row["row"])] for row in rows]
    assert first in mine
    assert len(mine) > 1
    assert {kin(row) for row in mine} == {kin(first)}
    assert not any("-" in row.symbol for row in mine)
    expiries = [row["t_ms"] for row in rows]
    assert expiries == sorted(expiries)
    option = next(row for row in BY_CLASS[AssetClass.FUTURE_OPTION] if row.underlying == first.id)
    of_option = Term({"row": option.id}, mirror())
    of_option.refresh(0)
    np.testing.assert_array_equal(of_option.rows, figure.rows)


def test_forwards_stand_with_their_pair_and_options_do_not() -> None:
    """The spot has no expiry; whatever has a strike is no forward."""
    spot = next(row for row in BY_CLASS[AssetClass.FX] if row.symbol == "EURUSD")
    figure = Term({"row": spot.id}, mirror())
    figure.refresh(0)
    symbols = {ROWS[int(row["row"])].symbol for row in told(figure)}
    assert "EURUSD" in symbols
    assert all(symbol == "EURUSD" or symbol.endswith("FWD") for symbol in symbols)


def test_yields_of_a_future_are_those_of_bonds() -> None:
    """Its own contracts otherwise."""
    future = next(row for row in BY_CLASS[AssetClass.RATES_FUTURE] if row.currency == "USD")
    figure = Term({"row": future.id, "yields": True}, mirror())
    figure.refresh(0)
    kinds = {ROWS[int(row["row"])].asset_class for row in told(figure)}
    assert kinds == {AssetClass.GOVERNMENT_BOND}


def test_a_coin_stands_at_all_its_venues_with_what_funding_paid() -> None:
    """Sums over books; blank where nothing is held."""
    perpetual = BY_CLASS[AssetClass.CRYPTO_PERPETUAL][0]
    made = mirror()
    for slot, paid in enumerate((-3.0, 5.0)):
        made.tables[POSITIONS.name][slot, POSITIONS.index("instrument")] = perpetual.id
        made.tables[POSITIONS.name][slot, POSITIONS.index("funding")] = paid
    figure = Term({"row": perpetual.id}, made)
    figure.refresh(0)
    rows = told(figure)
    kinds = {ROWS[int(row["row"])].asset_class for row in rows}
    assert AssetClass.CRYPTO_SPOT in kinds
    funding = {int(row["row"]): row["funding"] for row in rows}
    assert funding[perpetual.id] == 2.0
    assert all(np.isnan(v) for row, v in funding.items() if row != perpetual.id)


def test_what_has_no_kin_has_no_term() -> None:
    """A share, and a number that is no instrument."""
    for row in (BY_CLASS[AssetClass.EQUITY][0].id, len(ROWS) + 5):
        figure = Term({"row": row}, mirror())
        figure.refresh(0)
        assert len(figure.rows) == 0
