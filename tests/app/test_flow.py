"""Flow: who keeps up is sent every cut, who is slow the newest, who sleeps nothing."""

from hypothesis import given
from hypothesis import strategies as st

from app.flow import HOLD_SECONDS, PROMPT_SECONDS, WINDOW, Flow


def test_a_page_that_tells_late_and_paints_in_time_gets_every_cut():
    """Twenty cuts a second; paints 10 ms after their push, told five at a time."""
    flow, sent, unsaid, now = Flow(), 0, [], 0.0
    for k in range(200):
        now = k * 0.05
        while unsaid and (now - unsaid[0][1] >= HOLD_SECONDS):
            told_at = unsaid[0][1] + HOLD_SECONDS
            for sequence, painted in unsaid:
                flow.painted(sequence, told_at - painted, told_at)
            unsaid.clear()
        if flow.ready(now):
            flow.waiting.append((k, now))
            sent += 1
            unsaid.append((k, now + 0.01))
    assert sent == 200


def test_what_is_held_back_does_not_make_a_page_slow_and_what_is_slow_does():
    flow = Flow()
    flow.waiting.append((1, 0.0))
    flow.painted(1, 0.09, 0.1)
    assert flow.prompt
    flow.waiting.append((2, 1.0))
    flow.painted(2, 0.0, 1.12)
    assert not flow.prompt
    assert flow.ready(1.12)  # Nothing is on its way to it.
    flow.waiting.append((3, 1.12))
    assert not flow.ready(1.13)
    flow.painted(3, 0.05, 1.18)  # Painted 10 ms after its push, told 50 ms later.
    assert flow.prompt


@given(
    st.lists(st.tuples(st.floats(0.0, 0.3), st.booleans(), st.integers(0, 40)), max_size=60),
)
def test_there_are_never_more_pushes_on_their_way_than_the_window_nor_older_ones(steps):
    flow, now, number = Flow(), 0.0, 0
    for passed, told, behind in steps:
        now += passed
        if told:
            flow.painted(number - behind, 0.0, now)
        if flow.ready(now):
            oldest = flow.waiting[0][1] if flow.waiting else now
            assert now - oldest < HOLD_SECONDS + PROMPT_SECONDS
            number += 1
            flow.waiting.append((number, now))
        assert len(flow.waiting) <= WINDOW
