"""Rates in the risk loop: which columns are written, when, and as of which day."""

import numpy as np
import pytest

from compute import rates, schedule
from compute.rates_part import RatesPart
from compute.table import ANALYTICS, INSTRUMENTS, Model
from ingest.instrument import AssetClass, Instrument, Reference

TERMS = {"coupon": 4.0, "coupon_frequency": 2, "day_count": "ACT/ACT ICMA", "country": "US"}
DAY_MS = 86_400_000.0
NOON_MS = (schedule.day_number("2026-11-20") + 0.5) * DAY_MS
WALL_NS = 1


def government(id_, year):
    kind = int(AssetClass.GOVERNMENT_BOND)
    text = f"UST {year}", kind, "X", "USD", 0.01, 0.001, 3
    return Instrument(id_, *text, expiry=f"{year}-11-15", **TERMS)


def reference():
    share = Instrument(2, "XYZ", 0, "X", "USD", 1.0, 0.01, 2)
    future = int(AssetClass.RATES_FUTURE)
    short = Instrument(3, "SR3H7", future, "X", "USD", 2500.0, 0.005, 3, expiry="2027-03-17")
    return Reference([government(0, 2028), government(1, 2036), share, short])


def tables(rows=4):
    made = {"instruments": INSTRUMENTS.empty(rows), "analytics": ANALYTICS.empty(rows)}
    made["instruments"][:, INSTRUMENTS.index("mid")] = [100.5, 99.0, 50.0, 96.3][:rows]
    made["instruments"][:, INSTRUMENTS.index("ts_event")] = NOON_MS
    return made


def changed(*rows):
    return {"instruments": np.array(rows, np.int64), "analytics": np.zeros(0, np.int64)}


def column(made, name):
    return made["analytics"][:, ANALYTICS.index(name)]


def test_the_columns_are_those_of_the_measures():
    known, handed = reference(), []
    part = RatesPart(handed.append)
    part.grow(known)
    made = tables()
    assert sorted(part.step(made, changed(0, 1, 2, 3), WALL_NS)) == [0, 1, 3]
    found = rates.Rates(known).step(
        made["instruments"][:, INSTRUMENTS.index("mid")], int(NOON_MS) * 10**6
    )
    for name, field in (("yield", "yields"), ("dv01", "dv01"), ("z_spread_bp", "z_spread_bp")):
        np.testing.assert_array_equal(column(made, name)[found.ids], getattr(found, field))
    np.testing.assert_array_equal(column(made, "model"), [Model.BOND, Model.BOND, np.nan, np.nan])
    assert np.isnan(made["analytics"][2]).all()
    assert handed[0] is part.key_rates
    assert part.key_rates[[0, 1, 3]].sum(axis=1) == pytest.approx(column(made, "dv01")[[0, 1, 3]])
    assert np.isnan(part.key_rates[2]).all()


def test_nothing_is_done_where_no_price_of_its_own_has_changed():
    part = RatesPart()
    part.grow(reference())
    made = tables()
    assert len(part.step(made, changed(2), WALL_NS)) == 3  # The first step does all.
    assert len(part.step(made, changed(2), WALL_NS)) == 0
    made["instruments"][1, INSTRUMENTS.index("mid")] = 98.0
    before = column(made, "yield").copy()
    assert len(part.step(made, changed(1), WALL_NS)) == 3
    assert column(made, "yield")[1] > before[1]
    assert column(made, "yield")[0] == pytest.approx(before[0], rel=1e-12)


def test_the_day_is_that_of_the_newest_event():
    part = RatesPart()
    part.grow(reference())
    made = tables()
    made["instruments"][:, INSTRUMENTS.index("ts_event")] = np.nan
    assert len(part.step(made, changed(0, 1), WALL_NS)) == 0
    made["instruments"][2, INSTRUMENTS.index("ts_event")] = NOON_MS
    part.step(made, changed(0, 1), WALL_NS)
    friday = column(made, "accrued")[1]
    made["instruments"][3, INSTRUMENTS.index("ts_event")] = NOON_MS + 3 * DAY_MS
    part.step(made, changed(0, 1), WALL_NS)
    assert column(made, "accrued")[1] == pytest.approx(friday + 4.0 / 2.0 / 181.0)


def test_a_reference_that_grows_is_taken_up():
    known, handed = reference(), []
    part = RatesPart(handed.append)
    part.grow(known)
    part.step(tables(), changed(0), WALL_NS)
    known.update([government(5, 2031)])
    part.grow(known)
    assert len(handed) == 2
    made = tables(4)  # The tables follow later.
    assert sorted(part.step(made, changed(), WALL_NS)) == [0, 1, 3]
    assert np.isfinite(column(made, "dv01")[[0, 1, 3]]).all()


def test_what_has_matured_goes_blank():
    part = RatesPart()
    part.grow(reference())
    made = tables()
    part.step(made, changed(0), WALL_NS)
    assert np.isfinite(column(made, "dv01")[0])
    made["instruments"][:, INSTRUMENTS.index("ts_event")] += 366.0 * 2.0 * DAY_MS
    assert sorted(part.step(made, changed(0), WALL_NS)) == [0, 1, 3]
    for name in ("yield", "dv01", "accrued", "model"):
        assert np.isnan(column(made, name)[[0, 3]]).all()
    assert np.isfinite(column(made, "dv01")[1])
    assert np.isnan(part.key_rates[0]).all()
