"""Intake: bad frames are refused alone and whole; what is left is the same for every reader."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.intake import Intake
from ingest.event import EVENT, Kind
from ingest.frame import encode
from ingest.instrument import Instrument, Reference
from ingest.sequence import LINE_B, SKEW_NS
from ingest.source import Message

NOW = 1_700_000_000_000_000_000


def reference(count: int = 5) -> Reference:
    return Reference(Instrument(k, f"S{k}", 0, "X", "USD", 1.0, 0.01, 2) for k in range(count))


def value(first: int, count: int = 4, instrument: int = 1, **changes) -> bytes:
    events = np.zeros(count, EVENT)
    events["ts_event"], events["kind"], events["instrument"] = NOW, Kind.QUOTE, instrument
    events["sequence"] = first + np.arange(count)
    for name, new in changes.items():
        events[name][-1] = new
    return encode(events, 1, first, NOW)


def messages(*values: bytes) -> list[Message]:
    return [Message(0, 0, k, NOW, v) for k, v in enumerate(values)]


def test_a_bad_frame_takes_nothing_good_with_it():
    bad = (b"", b"garbage" * 20, value(4)[:-1], value(4, kind=99), value(4, bid_size=np.nan))
    bad += (value(4, instrument=77), value(4, ts_event=NOW + 10**12))
    intake = Intake(reference())
    batch = intake.take(messages(value(0), *bad, value(4)))
    assert batch.events["sequence"].tolist() == list(range(8))
    reasons = ["truncated", "magic", "truncated", "kind", "size", "unknown", "future"]
    assert [error.reason for _, error in batch.refused] == reasons
    assert [message.value for message, _ in batch.refused] == list(bad)
    assert [span.reason for span in batch.spans] == ["", *reasons, ""]


def test_gaps_say_where_in_the_batch_they_are():
    intake = Intake(reference())
    batch = intake.take(messages(value(1), value(5), value(20), value(24)))
    (gap,) = batch.gaps
    assert (gap.at, gap.missing, gap.instruments.tolist()) == (8, 11, [1])


def test_repeats_do_not_reach_the_engine():
    intake = Intake(reference())
    batch = intake.take(messages(value(1), value(1), value(3), value(7)))
    assert batch.events["sequence"].tolist() == list(range(1, 11))
    assert [span.reason for span in batch.spans] == ["", "repeat", "", ""]
    assert [(span.start, span.count) for span in batch.spans] == [(0, 4), (4, 0), (4, 2), (6, 4)]


def test_late_trades_add_up_and_late_quotes_are_overtaken():
    intake = Intake(reference())
    late = value(5, kind=Kind.TRADE)  # Three quotes and a trade.
    batch = intake.take(messages(value(1), value(9), late, late))
    assert batch.events["sequence"].tolist() == [1, 2, 3, 4, 9, 10, 11, 12, 8]
    assert [(span.start, span.count) for span in batch.spans] == [(0, 4), (4, 4), (8, 1), (9, 0)]
    assert [(gap.at, gap.missing) for gap in batch.gaps] == [(4, 4), (9, 0)]  # And it is filled.
    sequences = intake.sequences
    assert (sequences.recovered, sequences.overtaken, sequences.repeats) == (4, 3, 4)


def test_two_lines_are_one_stream():
    intake = Intake(reference())
    events = np.frombuffer(value(1)[32:], EVENT)
    second = encode(events, 1 | LINE_B, 1, NOW)
    batch = intake.take(messages(value(1), second, value(5)))
    assert batch.events["sequence"].tolist() == list(range(1, 9))
    assert (intake.sequences.copies, intake.sequences.repeats) == (4, 0)


def test_a_sender_ahead_of_the_log_is_told():
    intake = Intake(reference())
    ahead = encode(np.frombuffer(value(1)[32:], EVENT), 7, 1, NOW + SKEW_NS + 1)
    intake.take(messages(ahead, value(1)))
    assert intake.sequences.skew_ns == {7: SKEW_NS + 1}


def test_an_unknown_instrument_is_looked_up_before_it_is_refused():
    known = reference()

    def refresh() -> bool:
        known.update([Instrument(9, "NEW", 0, "X", "USD", 1.0, 0.01, 2)])
        return True

    batch = Intake(known, refresh).take(messages(value(0, instrument=9)))
    assert not batch.refused
    assert len(batch.events) == 4


def test_nothing_in_nothing_out():
    batch = Intake(reference()).take([])
    assert len(batch.events) == 0
    assert batch.events.dtype == EVENT


garbage = st.binary(max_size=200)
stream = st.lists(st.one_of(garbage, st.integers(1, 4)), max_size=25)


@settings(deadline=None)
@given(stream, st.lists(st.integers(1, 5), min_size=30, max_size=30))
def test_how_messages_are_cut_into_polls_changes_nothing(parts, cuts):
    values, first = [], 1
    for part in parts:
        if isinstance(part, bytes):
            values.append(part)
        else:
            values.append(value(first, part))
            first += part
    whole = Intake(reference()).take(messages(*values))
    pieces, intake, rest = [], Intake(reference()), messages(*values)
    for size in cuts:
        pieces.append(intake.take(rest[:size]))
        rest = rest[size:]
    assert b"".join(p.events.tobytes() for p in pieces) == whole.events.tobytes()
    assert sum(len(p.refused) for p in pieces) == len(whole.refused)
    assert len(whole.events) == first - 1
