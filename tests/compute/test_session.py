"""Sessions by calendar: the table of instants, and what the engine does at them."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import same_bits
from compute.engine import Engine
from compute.session import NAMES, Sessions
from compute.table import INSTRUMENTS
from ingest import calendar
from ingest.event import EVENT, Flag, Kind
from ingest.instrument import Instrument, Reference

SECOND_NS = 1_000_000_000
VENUES = (("XNYS", 0), ("XCME", 3), ("FX", 7), ("CRYPTO", 10), ("XTKS", 0), ("XLON", 0))


def moment(zone: str, *clock: int) -> int:
    return int(datetime(*clock, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND_NS


def reference(**fields) -> Reference:
    row = {"venue": "X", "currency": "USD", "multiplier": 1.0, "tick": 0.01, "decimals": 2}
    return Reference(
        Instrument(
            id=k, symbol=name, asset_class=asset_class, **({"calendar": name} | row | fields)
        )
        for k, (name, asset_class) in enumerate(VENUES)
    )


def trades(instrument: int, moments, price: float = 10.0, flags: int = 0) -> np.ndarray:
    events = np.zeros(len(moments), EVENT)
    events["ts_event"], events["instrument"], events["kind"] = moments, instrument, Kind.TRADE
    events["price"], events["size"], events["flags"] = round(price * 1e9), 1.0, flags
    events["reference"] = np.arange(len(moments))
    return events


def cell(engine: Engine, name: str, instrument: int = 0) -> float:
    return float(engine.tables["instruments"][instrument, INSTRUMENTS.index(name)])


def around(zone: str, *clock: int) -> list[int]:
    """The last nanosecond before a moment, and the moment."""
    at = moment(zone, *clock)
    return [at - 1, at]


# The engine's own idea of a session start, and the clock of the venue that fixes it.
STARTS = [
    ("XNYS", around("America/New_York", 2026, 3, 6, 9, 30)),  # Winter time.
    ("XNYS", around("America/New_York", 2026, 3, 9, 9, 30)),  # Summer time since the day before.
    ("XCME", around("America/Chicago", 2026, 3, 8, 17, 0)),  # A Sunday, its clock just changed.
    ("FX", around("America/New_York", 2026, 11, 1, 17, 0)),  # And back.
    ("CRYPTO", around("UTC", 2026, 7, 5, 0, 0)),
    ("XTKS", around("Asia/Tokyo", 2026, 1, 5, 9, 0)),  # After four days of rest.
    ("XLON", around("Europe/London", 2026, 3, 30, 8, 0)),
]


@pytest.mark.parametrize(("name", "moments"), STARTS)
def test_a_session_begins_at_the_instant_and_not_a_nanosecond_before(name, moments):
    engine = Engine(reference())
    row = [venue for venue, _ in VENUES].index(name)
    before, at = moments
    engine.step(trades(row, [before - 3600 * SECOND_NS]), None)
    engine.step(trades(row, [before]), None)
    assert cell(engine, "trades", row) == 2.0
    engine.step(trades(row, [at], 12.0), None)
    shown = [cell(engine, name, row) for name in ("trades", "volume", "vwap", "open", "high")]
    assert shown == [1.0, 1.0, 12.0, 12.0, 12.0]


def test_a_wall_date_is_no_session():
    engine = Engine(reference())
    for row, zone in ((1, "America/Chicago"), (2, "America/New_York")):
        evening = moment(zone, 2026, 6, 9, 20, 0)
        engine.step(trades(row, [evening, evening + 12 * 3600 * SECOND_NS]), None)
        assert cell(engine, "trades", row) == 2.0  # Midnight, local and UTC, has passed.


def test_a_holiday_and_a_weekend_have_no_session():
    engine = Engine(reference())
    zone = "America/New_York"
    engine.step(trades(0, [moment(zone, 2026, 7, 2, 15, 0)]), None)
    engine.step(trades(0, [moment(zone, 2026, 7, 3, 12, 0)]), None)  # Independence Day, observed.
    assert cell(engine, "trades") == 2.0
    engine.step(trades(0, [moment(zone, 2026, 7, 6, 9, 30)]), None)
    assert cell(engine, "trades") == 1.0


def test_a_trade_of_the_session_before_is_counted_and_moves_nothing():
    engine = Engine(reference())
    start = moment("UTC", 2026, 7, 5, 0, 0)
    engine.step(trades(3, [start - 5 * SECOND_NS, start + SECOND_NS], 10.0), None)
    cells = engine.tables["instruments"].tobytes()
    engine.step(trades(3, [start - 1], 99.0), None)
    assert engine.counters["late_trades"] == 1
    assert engine.tables["instruments"].tobytes() == cells
    engine.step(trades(3, [start], 20.0), None)  # Late, but of this session.
    assert cell(engine, "vwap", 3) == 15.0


def test_the_first_event_of_all_clears_nothing():
    engine = Engine(reference())
    engine.mark_gap(np.array([3]), 5)
    engine.step(trades(3, [moment("UTC", 2026, 7, 5, 1, 0)]), None)
    assert cell(engine, "state", 3) == 16.0
    engine.step(trades(3, [moment("UTC", 2026, 7, 6, 1, 0)]), None)
    assert cell(engine, "state", 3) == 0.0


def test_the_flag_begins_a_session_too():
    engine = Engine(reference())
    noon = moment("UTC", 2026, 7, 5, 12, 0)
    engine.step(trades(3, [noon]), None)
    engine.step(trades(3, [noon + SECOND_NS], 11.0, Flag.RESET), None)
    assert [cell(engine, name, 3) for name in ("trades", "vwap")] == [1.0, 11.0]


def test_a_changed_calendar_takes_effect_with_the_next_event():
    rows = reference()
    engine = Engine(rows)
    at = moment("UTC", 2026, 7, 6, 1, 0)
    engine.step(trades(3, [at]), None)
    old = rows.by_id[3]
    changed = {name: getattr(old, name) for name in old.__slots__} | {"calendar": "FX"}
    rows.update([Instrument(**changed)])
    engine.grow(rows)
    engine.step(trades(3, [moment("America/New_York", 2026, 7, 6, 16, 59)]), None)
    assert cell(engine, "trades", 3) == 2.0
    engine.step(trades(3, [moment("America/New_York", 2026, 7, 6, 17, 0)]), None)
    assert cell(engine, "trades", 3) == 1.0


YEAR_NS = 365 * 86_400 * SECOND_NS


@given(
    st.lists(
        st.tuples(st.integers(0, len(VENUES) - 1), st.integers(0, 40 * YEAR_NS)),
        max_size=40,
    ),
    st.integers(0, 40),
)
@settings(deadline=None, max_examples=30)
def test_the_table_may_grow_in_any_order_of_moments(steps, cut):
    """Years apart, forth and back: one engine sees all, the other begins in the middle."""
    events = np.concatenate(
        [np.zeros(0, np.uint8)]
        + [trades(row, [YEAR_NS * 10 + at]).view(np.uint8) for row, at in steps]
    ).view(EVENT)
    whole, first = Engine(reference()), Engine(reference())
    whole.step(events, None)
    first.step(events[:cut], None)
    resumed = Engine(reference())
    resumed.restore(first.checkpoint())
    resumed.step(events[cut:], None)
    assert same_bits(whole, resumed)
    assert whole.counters["events"] == len(events)


@given(st.lists(st.integers(0, 60 * YEAR_NS), min_size=1, max_size=6))
@settings(deadline=None, max_examples=20)
def test_the_table_holds_the_starts_around_whatever_is_covered(moments):
    sessions = Sessions()
    codes = frozenset(NAMES.index(name) for name in ("XCME", "CRYPTO"))
    sessions.use(codes)
    for at in moments:
        sessions.cover(YEAR_NS + at)
    for at in (YEAR_NS + one for one in moments):
        assert sessions.low_ns <= at < sessions.high_ns
        for code in codes:
            first, last = sessions.spans[code]
            starts = sessions.instants[first:last]
            assert (np.diff(starts) > 0).all()
            place = int(np.searchsorted(starts, at, "right"))
            assert starts[place] == calendar.next_reset(NAMES[code], at)
            assert place > 0
