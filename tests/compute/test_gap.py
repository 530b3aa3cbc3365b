"""Gaps: marked, healed, and the same for every reader, however the log was cut into batches."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels import same_bits
from compute.engine import Engine
from compute.intake import Intake
from compute.table import State
from ingest.event import EVENT, Flag, Kind, Status
from ingest.frame import encode
from ingest.instrument import Instrument, Reference
from ingest.source import Message

NOW = 1_700_000_000_000_000_000
REFERENCE = Reference(Instrument(k, f"S{k}", 0, "X", "USD", 1.0, 0.01, 2) for k in range(3))


def value(numbers: list[int], kind: Kind = Kind.QUOTE, instrument: int = 1, flags: int = 0):
    """A frame of consecutive `numbers`; what an event says follows from its number."""
    events = np.zeros(len(numbers), EVENT)
    events["sequence"], events["kind"], events["instrument"] = numbers, kind, instrument
    events["ts_event"], events["flags"] = NOW + np.array(numbers) * 1_000_000, flags
    events["bid"] = 10**9 + np.array(numbers) * 10**7
    events["ask"], events["size"] = events["bid"] + 10**7, 100.0
    if kind == Kind.STATUS:
        events["reference"] = Status.TRADING
    return encode(events, 1, numbers[0], NOW)


class Reader:
    """Intake and engine together, as `live` and `record` have them."""

    def __init__(self) -> None:
        self.intake, self.engine, self.taken = Intake(REFERENCE), Engine(REFERENCE), 0

    def take(self, *values: bytes) -> "Reader":
        batch = self.intake.take([Message(0, 0, k, NOW, one) for k, one in enumerate(values)])
        start = 0
        for gap in batch.gaps:
            self.engine.step(batch.events[start : gap.at], None)
            self.engine.mark_gap(gap.instruments, gap.missing)
            start = gap.at
        self.engine.step(batch.events[start:], None)
        return self

    def gap(self, instrument: int = 1) -> bool:
        shown = int(self.engine.tables["instruments"][instrument, STATE_COLUMN])
        assert bool(self.engine._state["bits"][instrument] & State.GAP) == bool(shown & State.GAP)
        return bool(shown & State.GAP)


STATE_COLUMN = Engine(REFERENCE)._state.dtype.names.index("state") - 8


def test_late_events_that_fill_it_end_a_gap_with_the_next_quote():
    reader = Reader().take(value([1, 2, 3]), value([7, 8], Kind.TRADE))
    assert reader.gap()
    assert reader.take(value([4, 5], Kind.TRADE)).gap()
    assert reader.take(value([6], Kind.TRADE)).gap()  # All is in, but no book is known to be new.
    assert not reader.take(value([9])).gap()


def test_a_row_that_was_quoted_since_is_whole_at_once():
    reader = Reader().take(value([1, 2, 3]), value([7, 8]))
    assert reader.take(value([4, 5])).gap()
    assert not reader.take(value([6])).gap()


def test_a_snapshot_ends_it_for_its_own_row_and_a_session_too():
    reader = Reader().take(value([1]), value([2], instrument=2), value([9], Kind.TRADE))
    assert reader.gap(1)
    assert not reader.take(value([10], flags=Flag.SNAPSHOT)).gap(1)
    assert reader.gap(2)
    assert not reader.take(value([11], Kind.TRADE, 2, Flag.RESET)).gap(2)


def test_a_plain_quote_does_not_end_it():
    assert Reader().take(value([1]), value([5, 6])).take(value([7, 8])).gap()


def test_a_status_that_came_too_late_leaves_the_row_marked_until_a_snapshot():
    reader = Reader().take(value([1]), value([2], instrument=2), value([4], instrument=2))
    assert reader.take(value([5])).gap(1)
    assert reader.take(value([3], Kind.STATUS)).gap(1)
    assert not reader.gap(2)
    assert not reader.take(value([6], flags=Flag.SNAPSHOT)).gap(1)


def test_what_a_restart_cut_off_is_never_filled():
    reader = Reader().take(value([1]), value([5]), value([0, 1, 2]), value([6]))
    assert reader.take(value([3, 4, 5])).gap()


FRAME = st.tuples(
    *(st.integers(0, 60), st.integers(1, 6), st.sampled_from([1, 1, 1, 2, 4])),
    *(st.integers(0, 2), st.sampled_from([0, 0, 0, Flag.SNAPSHOT])),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(FRAME, min_size=1, max_size=25), st.lists(st.integers(0, 25), max_size=8))
def test_the_cut_into_batches_changes_no_bit(frames, cuts):
    values = [
        value(list(range(first, first + count)), Kind(kind), instrument, flags)
        for first, count, kind, instrument, flags in frames
    ]
    whole, cut, single = Reader().take(*values), Reader(), Reader()
    places = sorted({0, *(min(place, len(values)) for place in cuts), len(values)})
    for first, last in pairwise(places):
        cut.take(*values[first:last])
    for one in values:
        single.take(one)
    for other in (cut, single):
        assert same_bits(whole.engine, other.engine)
        assert whole.intake.sequences.state() == other.intake.sequences.state()


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(1, 9)), st.integers(0, 2))
def test_once_everything_has_come_nothing_is_marked(order, trades):
    """Frames in any order, then one more quote of each row: all is there, so all is whole."""
    reader = Reader().take(value([0], instrument=0), value([1], instrument=1))
    for number in order:
        kind = Kind.TRADE if number % 3 < trades else Kind.QUOTE
        reader.take(value([2 * number, 2 * number + 1], kind, number % 2))
    assert reader.intake.sequences.streams[0, 0, 1].newest.missing == []
    reader.take(value([18], instrument=0), value([19], instrument=1))
    assert not reader.gap(0)
    assert not reader.gap(1)
