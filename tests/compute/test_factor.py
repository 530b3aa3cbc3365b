"""History of factors, and what moves what."""

import numpy as np
import pytest

from compute import factor, kin
from compute.kernels.value_at_risk import CREDIT, CURRENCY, CURVE, PRICE, VOLATILITY
from compute.term import terms
from ingest.fund import DEMO
from ingest.instrument import Reference
from ingest.universe import universe


@pytest.fixture(scope="module")
def reference():
    return Reference(universe(400, 1))


@pytest.fixture(scope="module")
def history(reference):
    return factor.demo(reference)


def test_a_history_is_its_rows(history):
    small = factor.History(history.names[:7], history.days[:9], history.changes[:7, :9].copy())
    small.changes[2, 3] = np.nan
    rows = small.to_rows()
    assert len(rows) == 62
    back = factor.History.from_rows(np.random.default_rng(0).permutation(rows))
    order = [back.names.index(name) for name in small.names]
    assert np.array_equal(back.changes[order], small.changes, equal_nan=True)
    assert np.array_equal(back.days, small.days)


def test_a_file_is_read_and_a_wrong_line_named(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("day,factor,change\n2026-11-19,FX.EUR,0.001\n2026-11-20,FX.EUR,-0.002\n")
    history = factor.load(path)
    assert history.names == ("FX.EUR",)
    assert history.changes.tolist() == [[0.001, -0.002]]
    path.write_text("day,factor,change\n2026-11-19,FX.EUR,many\n")
    with pytest.raises(ValueError, match=r"history\.csv, line 2"):
        factor.load(path)


def test_the_demo_is_seeded_and_a_new_instrument_moves_no_other(reference, history):
    again = factor.demo(Reference(universe(800, 1)))
    for name in ("FX.EUR", "INDEX.USD", "RATE.USD.10Y", "VOL.equity", "COMMODITY.CL"):
        mine = history.changes[history.names.index(name)]
        assert np.array_equal(mine, again.changes[again.names.index(name)])
    other = factor.demo(reference, seed=2)
    assert not np.array_equal(other.changes[0], history.changes[0])


def test_the_demo_has_the_signs_and_sizes_of_markets(history):
    def series(name):
        return history.changes[history.names.index(name)]

    def together(one, two):
        return np.corrcoef(series(one), series(two))[0, 1]

    assert together("INDEX.USD", "VOL.equity") < -0.4
    assert together("INDEX.USD", "CREDIT.USD") < -0.3
    assert together("INDEX.USD", "INDEX.EUR") > 0.5
    assert together("RATE.USD.5Y", "RATE.USD.10Y") > 0.8
    assert 0.006 < series("INDEX.USD").std() < 0.018
    assert 3.0 < series("RATE.USD.10Y").std() < 9.0
    assert np.isfinite(history.changes).all()
    assert history.changes.shape[1] == len(history.days) == factor.DAYS
    assert (np.diff(history.days).astype(int) >= 1).all()


def test_weights_halve_and_add_up_to_one():
    weights = factor.weights(500, 20.0)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[-21] == pytest.approx(weights[-1] / 2)
    assert len(factor.weights(0)) == 0


def test_every_instrument_of_the_demo_is_driven(reference, history):
    drivers = factor.drivers(reference, terms(reference), history)
    assert (drivers.rows >= 0).all(), [
        reference.by_id[k].symbol for k in np.flatnonzero((drivers.rows < 0).any(axis=1))[:5]
    ]
    assert not drivers.moves[0].any()
    assert np.isfinite(drivers.moves).all()
    kinds = {row.asset_class: number for number, row in reference.by_id.items()}
    assert drivers.rows[kinds[8], PRICE] == 0  # A bond moves by its curve.
    assert drivers.rows[kinds[8], CURVE] > 0
    assert drivers.rows[kinds[9], CREDIT] > 0
    assert drivers.rows[kinds[2], VOLATILITY] > 0
    option = reference.by_id[kinds[2]]
    assert drivers.rows[option.id, PRICE] == drivers.rows[option.underlying, PRICE]


def test_a_pair_moves_as_base_over_quote_and_money_abroad_as_its_currency(reference, history):
    drivers = factor.drivers(reference, terms(reference), history)

    def fx(name):
        return 0.0 if name == "USD" else history.changes[history.names.index(f"FX.{name}")]

    pairs = [row for row in reference.by_id.values() if row.asset_class == 7 and row.base]
    assert pairs
    for row in pairs[:5]:
        move = drivers.moves[drivers.rows[row.id, PRICE]]
        quote = factor.MINOR.get(row.currency, row.currency)
        assert np.allclose((1 + move) * (1 + fx(quote)), 1 + fx(row.base), rtol=1e-12)
        assert drivers.rows[row.id, CURRENCY] == 0
    abroad = next(r for r in reference.by_id.values() if r.asset_class == 0 and r.currency == "EUR")
    assert np.array_equal(drivers.moves[drivers.rows[abroad.id, CURRENCY]], fx("EUR"))


def test_what_no_history_knows_is_unknown_not_nothing(reference):
    empty = factor.History((), np.zeros(0, "M8[D]"), np.zeros((0, 0)))
    drivers = factor.drivers(reference, terms(reference), empty)
    assert (drivers.rows[:, PRICE] <= 0).all()
    assert (drivers.rows < 0).any(axis=1).sum() >= len(reference) - 1


def test_names_of_products_and_coins():
    assert kin.commodity("CLZ6") == "CL"
    assert kin.commodity("CLZ6-CLF7") == "CL"
    assert kin.coin("BTC-PERP.OKX") == "BTC"
    assert DEMO.books
