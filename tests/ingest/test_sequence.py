"""Sequences: every number is judged once, and the verdict depends on the stream alone."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.event import EVENT
from ingest.frame import Frame
from ingest.sequence import LINE_B, SILENCE_NS, SKEW_NS, Piece, Sequences

NOW = 1_700_000_000_000_000_000


def frame(first: int, count: int, *, restart: bool = False, instrument: int = 5) -> Frame:
    array = np.zeros(count, EVENT)
    array["instrument"] = instrument
    return Frame(1, first, 0, restart, array)


def test_a_gap_marks_what_the_source_has_spoken_of():
    sequences = Sequences()
    sequences.check(0, 0, frame(0, 10, instrument=5))
    sequences.check(0, 0, frame(10, 10, instrument=8))
    verdict = sequences.check(0, 0, frame(25, 10, instrument=2))
    assert (verdict.skip, verdict.missing, sorted(verdict.instruments)) == (0, 5, [5, 8])
    assert sequences.gaps == 5


def test_a_repeat_is_kept_from_the_engine_and_counted():
    sequences = Sequences()
    sequences.check(0, 0, frame(100, 10))
    assert sequences.check(0, 0, frame(100, 10)).skip == 10
    assert sequences.check(0, 0, frame(105, 10)).skip == 5
    assert sequences.repeats == 15
    assert sequences.check(0, 0, frame(115, 1)).skip == 0


def test_a_restart_begins_anew():
    sequences = Sequences()
    sequences.check(0, 0, frame(100, 10))
    assert sequences.check(0, 0, frame(0, 10, restart=True)).skip == 0
    assert sequences.check(0, 0, frame(10, 10)).missing == 0
    sequences.check(0, 0, frame(20, 30))
    assert sequences.check(0, 0, frame(0, 5)).skip == 0  # From 0 without the flag: still a reset.
    assert sequences.resets == 2


def test_streams_do_not_know_each_other():
    sequences = Sequences()
    sequences.check(0, 0, frame(0, 10))
    assert sequences.check(0, 1, frame(700, 10)).missing == 0
    assert sequences.check(1, 0, frame(900, 10)).missing == 0


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=30))
def test_state_is_whole(frames):
    one, other = Sequences(), Sequences()
    for k, (first, count) in enumerate(frames):
        if k == len(frames) // 2:
            other.restore(json.loads(json.dumps(other.state())))
        mine = one.check(0, 0, frame(first, count))
        theirs = other.check(0, 0, frame(first, count))
        assert (mine.skip, mine.missing) == (theirs.skip, theirs.missing)
        assert (mine.instruments == theirs.instruments).all()


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.data())
def test_lost_and_doubled_add_up(counts, data):
    """Whatever is lost or doubled on the way: seen once + missing = sent."""
    frames, first = [], 1  # From 1: frames from 0 would be resets.
    for count in counts:
        frames.append((first, count))
        first += count
    kept = [f for f in frames if data.draw(st.booleans())]
    doubled = [f for f in kept for _ in range(1 + data.draw(st.booleans()))]
    sequences, taken = Sequences(), 0
    for start, count in doubled:
        taken += count - sequences.check(0, 0, frame(start, count)).skip
    if kept:
        span = kept[-1][0] + kept[-1][1] - kept[0][0]
        assert taken + sequences.gaps == span
        assert sequences.repeats == sum(c for _, c in doubled) - sum(c for _, c in kept)


def both(first, count, line=0, sent=0):
    made = frame(first, count)
    return made._replace(source=made.source | (LINE_B if line else 0), ts_send=sent)


def taken(verdict, first, count):
    """Sequences that a verdict takes of a frame."""
    pieces = verdict.pieces or (Piece(verdict.skip, count, late=False),)
    return [first + k for piece in pieces for k in range(piece.start, piece.stop)]


def test_the_second_line_is_a_copy():
    sequences = Sequences()
    assert sequences.check(0, 0, both(100, 10)).skip == 0
    assert sequences.check(0, 0, both(100, 10, line=1)).skip == 10
    assert sequences.check(0, 0, both(110, 10, line=1)).skip == 0
    assert sequences.check(0, 0, both(110, 10)).skip == 10
    assert (sequences.copies, sequences.repeats, sequences.gaps) == (20, 0, 0)


def test_a_gap_of_one_line_is_made_good_by_the_other():
    sequences = Sequences()
    sequences.check(0, 0, both(100, 10))
    sequences.check(0, 0, both(100, 10, line=1))
    assert sequences.check(0, 0, both(120, 10)).missing == 0, "line B may still bring it"
    verdict = sequences.check(0, 0, both(110, 15, line=1))
    assert taken(verdict, 110, 15) == list(range(110, 120))
    assert verdict.pieces[0].late
    assert (sequences.recovered, sequences.gaps, verdict.missing) == (10, 0, 0)


def test_what_both_lines_miss_is_a_gap():
    sequences = Sequences()
    for line in (0, 1):
        sequences.check(0, 0, both(100, 10, line))
    sequences.check(0, 0, both(120, 10))
    verdict = sequences.check(0, 0, both(115, 15, line=1))
    assert taken(verdict, 115, 15) == list(range(115, 120))
    assert (verdict.missing, verdict.instruments.tolist()) == (5, [5])
    assert sequences.check(0, 0, both(130, 1, line=1)).missing == 0, "told once"
    assert (sequences.gaps, sequences.recovered) == (5, 5)


def test_a_silent_line_is_not_waited_for():
    sequences = Sequences()
    for line in (0, 1):
        sequences.check(0, 0, both(100, 10, line, sent=NOW))
    assert sequences.check(0, 0, both(120, 10, sent=NOW + 1)).missing == 0
    verdict = sequences.check(0, 0, both(130, 10, sent=NOW + 2 * SILENCE_NS))
    assert verdict.missing == 10
    late = sequences.check(0, 0, both(110, 10, line=1, sent=NOW + 3 * SILENCE_NS))
    assert taken(late, 110, 10) == list(range(110, 120))
    assert sequences.recovered == 10


def test_a_restart_of_one_line_leaves_the_other_its_numbering():
    sequences = Sequences()
    for line in (0, 1):
        sequences.check(0, 0, both(100, 10, line))
    again = frame(0, 10, restart=True)
    assert sequences.check(0, 0, again).skip == 0
    assert sequences.check(0, 0, both(110, 5, line=1)).skip == 0, "still of the old numbering"
    other = again._replace(source=again.source | LINE_B)
    assert sequences.check(0, 0, other).skip == 10
    assert sequences.check(0, 0, both(10, 5, line=1)).skip == 0
    assert (sequences.resets, sequences.gaps, sequences.copies) == (1, 0, 20)


def test_late_frames_of_one_line_are_taken_late():
    sequences = Sequences()
    sequences.check(0, 0, frame(100, 10))
    assert sequences.check(0, 0, frame(120, 10)).missing == 10
    assert taken(sequences.check(0, 0, frame(110, 10)), 110, 10) == list(range(110, 120))
    assert sequences.check(0, 0, frame(110, 10)).skip == 10
    assert (sequences.gaps, sequences.recovered, sequences.repeats) == (10, 10, 10)


def test_a_clock_ahead_is_told():
    sequences = Sequences()
    sequences.clocks(3, SKEW_NS)
    assert sequences.skewed == 0
    sequences.clocks(3, SKEW_NS + 7)
    assert (sequences.skewed, sequences.skew_ns) == (1, {3: SKEW_NS + 7})


@given(st.lists(st.integers(1, 12), min_size=1, max_size=25), st.data())
def test_two_lossy_lines_give_each_event_once(counts, data):
    """Each line loses and doubles frames and cuts them its own way; they interleave as they like.

    What reaches the engine is each event once that either line brought, and no other; what is
    told as missing and never recovered is what neither brought.
    """
    total = sum(counts)
    lines = []
    for line in (0, 1):
        cuts = sorted(data.draw(st.sets(st.integers(1, total))) | {total})
        starts = [0, *cuts[:-1]]
        frames = [(1 + a, b - a) for a, b in zip(starts, cuts, strict=True)]
        kept = [f for f in frames if data.draw(st.booleans())]
        lines.append([(line, *f) for f in kept for _ in range(1 + data.draw(st.booleans()))])
    arrivals = [(0, 0, 1), (1, 0, 1)]  # Both lines begin, with one event before the first.
    while any(lines):
        which = data.draw(st.sampled_from([number for number in (0, 1) if lines[number]]))
        arrivals.append(lines[which].pop(0))
    end = 1 + total
    arrivals += [(0, end, 1), (1, end, 1)]  # Both lines end beyond all that was lost.
    sequences, got = Sequences(), []
    for line, first, count in arrivals:
        got += taken(sequences.check(0, 0, both(first, count, line)), first, count)
    brought = {first + k for _, first, count in arrivals for k in range(count)}
    assert sorted(got) == sorted(brought)
    assert sequences.gaps == end + 1 - len(brought)
    sent = sum(count for _, _, count in arrivals)
    assert len(got) + sequences.copies + sequences.repeats == sent


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 90), st.integers(1, 20)), max_size=40))
def test_the_state_of_two_lines_is_whole(frames):
    one, other = Sequences(), Sequences()
    for k, (line, first, count) in enumerate(frames):
        if k % 5 == 4:
            other.restore(json.loads(json.dumps(one.state())))
        else:
            other.restore(json.loads(json.dumps(other.state())))
        mine, theirs = (s.check(0, 0, both(first, count, line, k * 10**8)) for s in (one, other))
        assert mine[:2] == theirs[:2]
        assert mine.pieces == theirs.pieces
