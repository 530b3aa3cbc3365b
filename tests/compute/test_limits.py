"""The state machine of limits, and alerts as messages that can be told again."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.limits import HYSTERESIS, UNKNOWN_NS, Alert, Level, Limits, Watched
from compute.table import LIMITS
from ingest.fund import Limit

GROSS = Limit(3, "Fund gross", "gross", "fund", "", 80.0, 100.0)
SECOND = 1_000_000_000


class Desk:
    """One limit, and values one after the other, 100 ms apart."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.limits.watch([Watched(GROSS, "")])
        self.now_ns = 1_000 * SECOND

    def send(self, value: float, after_ns: int = SECOND // 10) -> list[Alert]:
        self.now_ns += after_ns
        made = self.now_ns - 5_000_000, "ab" * 16
        return self.limits.step(np.array([value]), self.now_ns, lambda _: made)

    @property
    def level(self) -> Level:
        return Level(int(self.limits.levels[0]))

    def cell(self, name: str) -> float:
        return float(self.limits.table[0, LIMITS.index(name)])


def test_a_limit_rises_at_once_and_falls_only_below_the_line():
    desk = Desk()
    assert desk.send(79.9) == []
    (warned,) = desk.send(80.0)
    assert (warned.kind, warned.level, warned.before) == ("raised", "warning", "ok")
    (breached,) = desk.send(100.0)
    assert (breached.kind, breached.level, breached.before) == ("raised", "breach", "warning")
    assert breached.alert == warned.alert
    assert [warned.number, breached.number] == [0, 1]
    assert desk.send(98.1) == []  # Within 2 % below the line.
    (lower,) = desk.send(98.0)
    assert (lower.kind, lower.level) == ("cleared", "warning")
    assert desk.send(78.5) == []
    (over,) = desk.send(78.4)
    assert (over.kind, over.level) == ("cleared", "ok")
    assert desk.limits.open() == []
    (again,) = desk.send(90.0)
    assert again.alert != warned.alert
    assert again.number == 0


@given(st.lists(st.floats(0, 150) | st.just(float("nan")), max_size=60))
def test_levels_follow_the_values(values):
    desk, told = Desk(), []
    for value in values:
        told += desk.send(value)
        if np.isnan(value):
            continue
        if value >= 100.0:
            assert desk.level == Level.BREACH
        elif value > 100.0 * (1 - HYSTERESIS):
            assert desk.level in (Level.WARNING, Level.BREACH)
        elif value >= 80.0:
            assert desk.level == Level.WARNING
        elif value <= 80.0 * (1 - HYSTERESIS):
            assert desk.level == Level.OK
    # The messages alone tell the same story, and no level twice in a row.
    level = "ok"
    for message in told:
        assert message.before == level
        assert message.level != level
        level = message.level
    assert desk.level.name.lower() == level
    kept = Desk()
    kept.limits.restore(told)
    assert kept.level == desk.level
    assert kept.limits.open() == desk.limits.open()


@given(st.lists(st.floats(0, 150) | st.just(float("nan")), max_size=40))
def test_the_same_values_make_the_same_messages(values):
    one, two = Desk(), Desk()
    assert [one.send(value) for value in values] == [two.send(value) for value in values]


def test_a_value_that_stays_away_is_an_alert_too():
    desk = Desk()
    desk.send(50.0)
    assert desk.send(np.nan) == []
    assert desk.send(50.0) == []
    assert desk.send(np.nan) == []
    (lost,) = desk.send(np.nan, UNKNOWN_NS)
    assert (lost.kind, lost.level, lost.value) == ("raised", "unknown", None)
    (back,) = desk.send(50.0)
    assert (back.kind, back.level, back.before) == ("cleared", "ok", "unknown")
    assert b'"value":null' in lost.to_json()


def test_a_breach_that_goes_dark_comes_back_as_a_breach():
    desk = Desk()
    desk.send(120.0)
    desk.send(np.nan)
    desk.send(np.nan, UNKNOWN_NS)
    (back,) = desk.send(99.0)  # Above the line where a breach is left.
    assert (back.level, back.kind) == ("breach", "raised")


def test_a_named_person_acknowledges_once_and_a_worse_level_asks_again():
    desk = Desk()
    (warned,) = desk.send(85.0)
    assert desk.cell("acknowledged") == 0.0
    seen = desk.limits.acknowledge(warned.alert, " R. Okafor ", 77)
    assert (seen.kind, seen.person, seen.ts_alert) == ("acknowledged", "R. Okafor", 77)
    assert (seen.alert, seen.number, seen.level) == (warned.alert, 1, "warning")
    assert desk.cell("acknowledged") == 1.0
    with pytest.raises(ValueError, match="acknowledged already"):
        desk.limits.acknowledge(warned.alert, "R. Okafor", 78)
    desk.send(101.0)
    assert desk.cell("acknowledged") == 0.0
    desk.limits.acknowledge(warned.alert, "M. Chen", 79)
    desk.send(90.0)  # Better: nobody needs to look again.
    assert desk.cell("acknowledged") == 1.0
    desk.send(10.0)
    assert np.isnan(desk.cell("acknowledged"))


@pytest.mark.parametrize("person", ["", "  ", "x" * 201])
def test_nobody_cannot_acknowledge(person):
    desk = Desk()
    (alert,) = desk.send(85.0)
    with pytest.raises(ValueError, match="person with a name"):
        desk.limits.acknowledge(alert.alert, person, 1)
    with pytest.raises(ValueError, match="no open alert"):
        desk.limits.acknowledge("other", "R. Okafor", 1)


def test_a_restart_repeats_nothing():
    desk = Desk()
    told = desk.send(85.0) + desk.send(101.0)
    told.append(desk.limits.acknowledge(told[0].alert, "M. Chen", 5))
    anew = Desk()
    anew.limits = Limits()
    anew.limits.restore([Alert.from_json(message.to_json()) for message in told])
    anew.limits.watch([Watched(GROSS, "")])  # Groups appear after the record was read.
    assert anew.send(101.0) == []
    assert anew.cell("acknowledged") == 1.0
    (lower,) = anew.send(90.0)
    assert lower.number == told[-1].number + 1
    assert lower.alert == told[0].alert


def test_a_message_is_one_json_object_and_never_changes():
    (alert,) = Desk().send(85.0)
    assert Alert.from_json(alert.to_json()) == alert
    row = json.loads(alert.to_json())
    assert list(row)[:4] == ["alert", "number", "kind", "level"]
    assert row["ts_alert"] - row["ts_event"] == 5_000_000
    with pytest.raises(dataclasses.FrozenInstanceError):
        alert.level = "ok"  # type: ignore[misc]
    with pytest.raises(ValueError, match="not an alert"):
        Alert.from_json(b'{"alert": 1}')
