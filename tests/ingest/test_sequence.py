"""Sequences: every number is judged once, and the verdict depends on the stream alone."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.event import EVENT
from ingest.frame import Frame
from ingest.sequence import Sequences


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
