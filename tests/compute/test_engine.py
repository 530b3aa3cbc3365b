"""The engine: the same events give the same bits, however they come."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import PlainEngine, fills, instruments, same_bits, storm
from compute import digest
from compute.engine import FIRST_COLUMN, PRINT, STATE, SUM, Engine
from compute.enriched import ENRICHED
from compute.kernels import codes, step, vwap
from compute.table import BOOKS_MAX, INSTRUMENTS, POSITIONS, POSITIONS_MAX, MarkSource, State
from ingest.event import EVENT, NO_PRICE, OWN, PRICE_UNIT, Flag, Kind, Status
from ingest.instrument import Instrument, Reference

COUNT = 6
STORM = storm(4_000, COUNT, seed=11)


def run(engine: Engine, events: np.ndarray) -> np.ndarray:
    enriched = np.zeros(len(events), ENRICHED)
    assert engine.step(events, enriched) == len(events)
    return enriched


def row(ident: int, **fields) -> Instrument:
    row = {"multiplier": 1.0, "usd_rate": 1.0, "currency": "USD", "close_prev": 10.0} | fields
    return Instrument(ident, f"S{ident}", 0, "X", tick=0.01, decimals=2, **row)


def event(kind: Kind, **fields) -> np.ndarray:
    events = np.zeros(1, EVENT)
    events["ts_event"], events["kind"] = 10**18, kind
    for name, value in fields.items():
        events[name] = value
    return events


def test_the_storm_is_one():
    engine = Engine(instruments(COUNT))
    rows = run(engine, STORM)
    counters = engine.counters
    assert counters.pop("events") == len(STORM)
    assert counters.pop("positions_full") == 0
    assert counters.pop("lots_merged") == 0  # See kernels/test_lots.py.
    assert min(counters.values()) > 0
    assert counters["busts_unmatched"] < (STORM["kind"] == Kind.BUST).sum() / 2
    for name in ENRICHED.names:
        assert 0.3 < np.isfinite(rows[name]).mean() < 1.0


@pytest.mark.parametrize("seed", range(3))
def test_kernels_and_plain_python_agree_to_the_bit(seed):
    events = storm(3_000, COUNT, seed)
    fast, slow = Engine(instruments(COUNT)), PlainEngine(instruments(COUNT))
    with np.errstate(all="ignore"):
        rows = run(fast, events), run(slow, events)
        fast.total()
        slow.total()
    assert rows[0].tobytes() == rows[1].tobytes()
    assert same_bits(fast, slow)


@given(st.lists(st.integers(0, len(STORM)), max_size=12), st.booleans())
@settings(deadline=None, max_examples=30)
def test_batches_change_nothing(cuts, emits):
    whole, parts = Engine(instruments(COUNT)), Engine(instruments(COUNT))
    rows = run(whole, STORM)
    edges = [0, *sorted(cuts), len(STORM)]
    for start, stop in itertools.pairwise(edges):
        if emits:
            assert run(parts, STORM[start:stop]).tobytes() == rows[start:stop].tobytes()
        else:
            parts.step(STORM[start:stop], None)
    assert same_bits(whole, parts)


@given(st.integers(0, len(STORM)))
@settings(deadline=None, max_examples=30)
def test_a_restored_engine_goes_on_to_the_bit(cut):
    through, before, after = (Engine(instruments(COUNT)) for _ in range(3))
    rows = run(through, STORM)
    run(before, STORM[:cut])
    run(after, storm(500, COUNT, seed=99))  # Whatever it held before is gone.
    after.restore(before.checkpoint())
    assert same_bits(before, after)
    assert run(after, STORM[cut:]).tobytes() == rows[cut:].tobytes()
    through.total()
    after.total()
    assert same_bits(through, after)
    for name, table in through.tables.items():
        assert table.tobytes() == after.tables[name].tobytes()


def test_a_checkpoint_holds_positions_that_no_total_was_made_of():
    """The recorder never asks for totals; neither its checkpoint nor a frozen one is short."""
    reference = instruments(1_500)
    engine, other = Engine(reference), Engine(reference)
    engine.step(fills(1_500), None)
    frozen = engine.freeze()
    data = frozen.checkpoint()
    engine.step(fills(1_500, seed=9), None)
    assert frozen.checkpoint() == data
    other.restore(data)
    other.step(fills(1_500, seed=9), None)
    assert same_bits(engine, other)


def test_an_instruments_numbers_do_not_depend_on_the_others():
    whole, alone = Engine(instruments(COUNT)), Engine(instruments(COUNT))
    rows = run(whole, STORM)
    mine = STORM["instrument"] == 3
    assert run(alone, STORM[mine]).tobytes() == rows[mine].tobytes()


def test_read_only_and_strided_events_are_the_same_events():
    one, two, three = (Engine(instruments(COUNT)) for _ in range(3))
    run(one, STORM[::2])
    frozen = np.frombuffer(STORM[::2].tobytes(), EVENT)
    assert not frozen.flags.writeable
    run(two, frozen)
    assert same_bits(one, two)
    events = STORM[::2].copy()
    run(three, events)
    assert events.flags.writeable


def test_the_table_is_a_view_of_the_state_in_the_order_of_its_columns():
    engine = Engine(instruments(COUNT))
    table = engine.tables["instruments"]
    assert np.shares_memory(table, engine._state)
    assert STATE.names is not None
    assert STATE.names[FIRST_COLUMN:][: INSTRUMENTS.width] == INSTRUMENTS.names
    assert STATE.names[FIRST_COLUMN:][: len(ENRICHED.names or ())] == ENRICHED.names
    run(engine, STORM)
    for index, name in enumerate(INSTRUMENTS.names):
        np.testing.assert_array_equal(table[:, index], engine._state[name])
    assert (STATE.itemsize, SUM.itemsize * vwap.SUMS) == (step.STATE_BYTES, step.SUMS_BYTES)
    assert PRINT.itemsize == step.PRINT_BYTES
    for name in ("_state", "_sums", "_ring", "_recent"):
        assert getattr(engine, name).ctypes.data % 64 == 0


def test_what_a_quote_touches_lies_in_three_cache_lines():
    quoted = "bid ask bid_size ask_size mid mark exposure pnl ts_event ts_mark state"
    clock = "turn_ns newest_ns bits position_usd pnl_at_zero wide_share wide_floor remembered"
    assert STATE.fields is not None
    for name in (*quoted.split(), *clock.split(), *(ENRICHED.names or ())):
        assert STATE.fields[name][1] < 3 * 64


def test_no_cell_shows_minus_nought_or_infinity():
    engine = Engine(instruments(COUNT))
    for start in range(0, len(STORM), 200):
        run(engine, STORM[start : start + 200])
        engine.total()
        for table in engine.tables.values():
            assert not np.isinf(table).any()
            assert not ((table == 0.0) & np.signbit(table)).any()


def test_oldest_is_the_first_event_since_the_reader_cut():
    engine = Engine(instruments(3))
    engine.step(event(Kind.QUOTE, bid=1, ask=2, instrument=1), None)
    engine.step(event(Kind.QUOTE, bid=1, ask=3, instrument=1, ts_event=2 * 10**18), None)
    assert engine.oldest_ns.tolist() == [0, 10**18, 0]
    engine.oldest_ns[:] = 0
    engine.step(event(Kind.QUOTE, bid=1, ask=2, instrument=1, ts_event=5), None)
    assert engine.oldest_ns.tolist() == [0, 5, 0]


def test_a_gap_marks_its_instruments_and_tells_them():
    engine = Engine(instruments(4))
    engine.step(event(Kind.QUOTE, bid=1, ask=2, instrument=3), None)
    engine.oldest_ns[:] = 0
    engine.mark_gap(np.array([0, 2, 2, 900], np.uint32), 7)
    assert engine._state["gaps"].tolist() == [7, 0, 7, 0]
    estimated = np.array([0, State.ESTIMATED, State.ESTIMATED, 0])  # By the previous close.
    shown = engine._state["state"].astype(int)
    assert (shown - estimated).tolist() == [State.GAP, 0, State.GAP, 0]
    assert engine.oldest_ns.tolist() == [10**18, 0, 10**18, 0]
    engine.step(event(Kind.QUOTE, bid=2, ask=1, instrument=0), None)
    assert engine._state["state"][0] == State.GAP | State.CROSSED


def test_growing_keeps_what_happened_and_starts_the_new_rows_blank():
    reference = Reference([row(0), row(1)])
    engine = Engine(reference)
    engine.step(event(Kind.TRADE, price=11 * 10**9, size=5.0, instrument=1), None)
    before = engine.tables["instruments"].copy()
    engine.oldest_ns[:] = 0
    reference.update([row(4)])
    engine.grow(reference)
    table = engine.tables["instruments"]
    assert table.shape == (5, INSTRUMENTS.width)
    assert table[:2].tobytes() == before.tobytes()
    assert engine.oldest_ns.tolist() == [0] * 4 + [10**18]  # Its previous close is a mark.
    assert np.isnan(table[4, INSTRUMENTS.index("last")])
    engine.step(event(Kind.QUOTE, bid=10**9, ask=10**9, instrument=4), None)
    assert table[4, INSTRUMENTS.index("mid")] == 1.0


def test_changed_reference_data_change_what_hangs_on_them():
    reference = Reference([row(0), row(1)])
    engine = Engine(reference)
    engine.step(event(Kind.FILL, price=9 * 10**9, size=2.0, fee=1.0), None)
    engine.oldest_ns[:] = 0
    reference.update([row(0, multiplier=10.0, usd_rate=0.5, close_prev=12.0)])
    engine.grow(reference)
    state = engine._state[0]
    assert [state[name] for name in ("mark", "exposure", "pnl")] == [12.0, 120.0, 29.5]
    assert engine.oldest_ns.tolist() == [10**18, 0]
    engine.total()
    assert engine.tables["positions"][0, 7:9].tolist() == [29.5, 120.0]


def test_a_fill_of_an_instrument_nobody_described_is_refused():
    engine = Engine(Reference([row(3)]))
    engine.step(event(Kind.FILL, price=1, size=1.0, instrument=1), None)
    assert engine.counters["refused"] == 1


@pytest.mark.parametrize("harm", ["short", "magic", "layout", "bit", "size", "rows"])
def test_a_checkpoint_that_does_not_fit_is_refused_and_harms_nothing(harm):
    engine = Engine(instruments(COUNT))
    run(engine, STORM)
    good = engine.checkpoint()
    bad = bytearray(good)
    if harm == "short":
        bad = bad[:20]
    elif harm == "rows":
        bigger = Engine(instruments(COUNT + 1))
        bad = bytearray(bigger.checkpoint())
    else:
        bad[{"magic": 0, "layout": 5, "bit": 500, "size": 12}[harm]] ^= 1
    with pytest.raises(ValueError, match="checkpoint"):
        engine.restore(bytes(bad))
    assert engine.checkpoint() == good


def test_a_checkpoint_of_fewer_rows_leaves_the_new_ones_blank():
    small, big = Engine(instruments(COUNT)), Engine(instruments(COUNT + 2))
    run(small, STORM)
    big.restore(small.checkpoint())
    assert big.tables["instruments"][:COUNT].tobytes() == small.tables["instruments"].tobytes()
    assert math.isnan(big.tables["instruments"][COUNT, 0])


def test_ids_are_for_ever():
    engine = Engine(instruments(3))
    with pytest.raises(ValueError, match="shrank"):
        engine.grow(instruments(2))


def test_too_few_enriched_rows_are_said():
    with pytest.raises(ValueError, match="1 rows for 2 events"):
        Engine(instruments(1)).step(np.zeros(2, EVENT), np.zeros(1, ENRICHED))


def test_an_empty_batch_and_an_empty_reference_are_fine():
    engine = Engine(Reference())
    assert engine.step(np.zeros(0, EVENT), None) == 0
    engine.total()
    engine.restore(engine.checkpoint())


def test_kernels_know_the_same_numbers_as_the_shapes():
    kinds = (codes.QUOTE, codes.TRADE, codes.BUST, codes.STATUS, codes.FILL)
    assert (*kinds, codes.ORDER, codes.CASH, codes.ACTION, codes.SPLIT) == tuple(Kind)
    flags = (codes.FLAG_CORRECTED, codes.FLAG_INELIGIBLE, codes.FLAG_RESET, codes.FLAG_INDICATIVE)
    assert flags == (Flag.CORRECTED, Flag.INELIGIBLE, Flag.RESET, Flag.INDICATIVE)
    assert codes.FLAG_AUCTION == Flag.AUCTION
    for state in State:
        assert getattr(codes, state.name) == state
    assert tuple(Status) == (0, 1, 2, 3)
    assert (codes.NO_PRICE, 1 / codes.PRICE_UNITS) == (NO_PRICE, PRICE_UNIT)
    assert len(codes.COUNTERS) == codes.LATE_TRADES + 1
    sources = (codes.OF_AUCTION, codes.OF_MID, codes.OF_LAST, codes.OF_MODEL, codes.OF_CLOSE)
    assert sources == tuple(MarkSource)
    assert max(State) < codes.SHOWN < codes.WIDE
    assert POSITIONS_MAX >= BOOKS_MAX


def test_there_is_one_compilation_of_the_step():
    engine = Engine(instruments(COUNT))
    run(engine, STORM)
    engine.step(STORM, None)
    engine.step(np.frombuffer(STORM.tobytes(), EVENT), None)
    assert len(engine._step.signatures) == 1


def test_a_warm_process_compiles_nothing():
    code = (
        "import numpy as np; from compute.engine import Engine; from ingest.event import EVENT;"
        "from ingest.instrument import Reference;"
        "engine = Engine(Reference()); engine.step(np.zeros(0, EVENT), None); engine.total();"
        "kernels = (engine._step, engine._total);"
        "print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))"
    )
    engine = Engine(Reference())
    engine.step(np.zeros(0, EVENT), None)
    engine.total()  # The cache is warm from here on.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


OWN_COLUMNS = ("position", "pnl", "exposure")  # All that own events may move.
MARKET = [INSTRUMENTS.index(name) for name in INSTRUMENTS.names if name not in OWN_COLUMNS]


def interleaved(events: np.ndarray, draw: st.DrawFn) -> np.ndarray:
    """The same events, each stream in its own order: one of the fund, one of each instrument."""
    own = OWN[events["kind"]]
    streams = np.where(own, COUNT + events["instrument"] % 2, events["instrument"])
    weights = draw(st.lists(st.floats(0.01, 1.0), min_size=COUNT + 3, max_size=COUNT + 3))
    order = np.empty(len(events))
    for stream in np.unique(streams).tolist():
        mine = np.flatnonzero(streams == stream)
        dice = np.random.default_rng(draw(st.integers(0, 2**32)))
        order[mine] = np.sort(dice.random(len(mine)) ** weights[min(stream, COUNT + 2)])
    return events[np.argsort(order, kind="stable")]


MIXED = storm(1_500, COUNT, seed=5)
MIXED = MIXED[MIXED["instrument"] < COUNT]


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_own_events_move_no_number_of_the_market_wherever_they_fall(data):
    engine = Engine(instruments(COUNT))
    events = MIXED if data.draw(st.booleans()) else interleaved(MIXED, data.draw)
    rows = run(engine, events)
    alone = Engine(instruments(COUNT))
    of_market = ~OWN[MIXED["kind"]]
    expected = run(alone, MIXED[of_market])
    for ident in range(COUNT):
        mine = (events["instrument"] == ident) & ~OWN[events["kind"]]
        alike = MIXED[of_market]["instrument"] == ident
        for name in digest.COLUMNS:
            assert rows[mine][name].tobytes() == expected[alike][name].tobytes()
    tables = [one.tables["instruments"][:, MARKET].tobytes() for one in (engine, alone)]
    assert tables[0] == tables[1]
    assert engine.counters["events"] == len(MIXED)


def test_the_day_of_a_position_begins_with_whoever_comes_first():
    day_ns = 86_400 * 10**9
    engine = Engine(Reference([row(0)]))
    engine.step(event(Kind.QUOTE, bid=10 * 10**9, ask=10 * 10**9, bid_size=1.0, ask_size=1.0), None)
    engine.step(event(Kind.FILL, price=10 * 10**9, size=3.0), None)
    later = 10**18 + 3 * day_ns  # A weekend may lie between.
    engine.step(event(Kind.FILL, ts_event=later, price=11 * 10**9, size=1.0), None)
    quote = {"bid": 12 * 10**9, "ask": 12 * 10**9, "bid_size": 1.0, "ask_size": 1.0}
    engine.step(event(Kind.QUOTE, ts_event=later + 10**9, **quote), None)
    engine.total()
    line = dict(zip(POSITIONS.names, engine.tables["positions"][0].tolist(), strict=True))
    assert [line[n] for n in ("start_quantity", "close", "overnight")] == [3.0, 10.0, 6.0]
    assert (line["intraday"], line["pnl"]) == (1.0, 7.0)
