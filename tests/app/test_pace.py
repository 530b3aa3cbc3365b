"""Pages that come back have turns; whoever is there already has the other half of the time."""

import pytest

from app.pace import COST_S, SHARE, WAIT_S_MAX, Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_those_who_come_at_once_come_one_after_the_other_at_half_the_servers_time():
    clock = Clock()
    pace = Pace(clock)
    turns = [pace.turn() for _ in range(10)]
    assert turns == pytest.approx([k * COST_S / SHARE for k in range(10)])
    clock.now += 10.0
    assert pace.turn() == 0.0, "who comes alone does not wait"


def test_what_one_costs_is_measured_and_nobody_waits_until_he_gives_up():
    clock = Clock()
    pace = Pace(clock)
    for _ in range(200):
        pace.took(0.010)
    pace.turn()
    assert pace.turn() == pytest.approx(0.020, rel=0.01)
    waits = [pace.turn() for _ in range(500)]
    assert max(waits) == WAIT_S_MAX
    assert waits == sorted(waits)
