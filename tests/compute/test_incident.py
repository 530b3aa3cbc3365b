"""Messages become incidents: whatever is repeated, cut off or named again."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.incident import CLOSED_MAX, Incidents, describe, read
from compute.limits import Alert

SECOND = 1_000_000_000
FIRST = Alert(
    *("7-0-5", 0, "raised", "warning", "ok", 5 * SECOND, 6 * SECOND, 7, "Gross", "gross"),
    *("book", "Alpha", 85.0, 80.0, 100.0, "ab" * 16),
)


def message(number: int, kind: str, level: str, **more) -> Alert:
    at = {"ts_alert": (6 + number) * SECOND}
    return dataclasses.replace(FIRST, number=number, kind=kind, level=level, **at | more)


STORY = (
    FIRST,
    message(1, "acknowledged", "warning", person="R. Okafor"),
    message(2, "raised", "breach"),
    message(3, "acknowledged", "breach", person="M. Chen"),
    message(4, "cleared", "warning"),
    message(5, "cleared", "ok"),
)


def told(*messages: Alert, **more) -> Incidents:
    made = Incidents(**more)
    for one in messages:
        made.take(one)
    return made


def test_a_worse_level_asks_to_be_acknowledged_anew_and_a_better_one_does_not():
    seen = []
    for count in range(1, len(STORY)):
        (incident,) = told(*STORY[:count]).open
        seen.append(incident.seen)
    assert seen == [False, True, False, True, True]
    done = told(*STORY)
    assert done.open == []
    (incident,) = done.closed
    assert (incident.worst, incident.open, incident.first) == ("breach", False, FIRST)
    assert [(one.person, one.level) for one in incident.acknowledged] == [
        ("R. Okafor", "warning"),
        ("M. Chen", "breach"),
    ]
    shown = incident.shown()
    assert (shown["raised_ms"], shown["changed_ms"], shown["person"]) == (6e3, 11e3, "M. Chen")
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


@given(st.data())
def test_what_comes_twice_counts_once(data):
    """As a producer that sends again makes it: any message may come again, later."""
    messages: list[Alert] = []
    for one in STORY:
        messages.append(one)
        messages += data.draw(st.lists(st.sampled_from(messages), max_size=3))
    made = told(*messages)
    assert made.open == []
    assert [one.newest for one in made.closed] == [STORY[-1]]
    assert made.closed[0].acknowledged == told(*STORY).closed[0].acknowledged


def test_a_name_that_comes_again_is_another_incident():
    again = dataclasses.replace(FIRST, ts_alert=60 * SECOND)
    made = told(*STORY, again)
    assert [one.first for one in made.open] == [again]
    assert [one.first for one in made.closed] == [FIRST]


def test_a_story_whose_beginning_is_cut_off_still_stands():
    (incident,) = told(*STORY[2:4]).open
    assert (incident.worst, incident.seen) == ("breach", True)


def test_what_is_over_is_kept_up_to_a_number_newest_first():
    many = [
        dataclasses.replace(one, alert=f"7-0-{k}", ts_alert=one.ts_alert + k * 60 * SECOND)
        for k in range(CLOSED_MAX + 7)
        for one in (FIRST, STORY[-1])
    ]
    made = told(*many)
    assert [one.newest.alert for one in made.closed] == [
        f"7-0-{k}" for k in range(CLOSED_MAX + 6, 6, -1)
    ]
    assert len(made._named) == CLOSED_MAX
    assert len(told(*many, closed_max=None).closed) == CLOSED_MAX + 7


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        FIRST.to_json().replace(b'"raised"', b'"sung"'),
        FIRST.to_json().replace(b'"warning":80.0', b'"warning":"80"'),
        FIRST.to_json().replace(b'"number":0', b'"number":-1'),
        FIRST.to_json().replace(b'"number":0', b'"number":true'),
        FIRST.to_json().replace(b'"limit":7', b'"limit":99999999999'),
        FIRST.to_json().replace(b'"ts_event":5000000000', b'"ts_event":9e99'),
        FIRST.to_json().replace(b'"name"', b'"title"'),
        FIRST.to_json().replace(b'"value":85.0', b'"value":[]'),
    ],
)
def test_what_is_no_alert_is_none(value):
    assert value != FIRST.to_json()
    assert read(value) is None


def test_an_alert_is_one():
    unknown = dataclasses.replace(FIRST, value=None, level="unknown")
    assert [read(one.to_json()) for one in (*STORY, unknown)] == [*STORY, unknown]


def test_the_table_names_everyone_who_acknowledged():
    text = describe([*told(*STORY).closed, *told(FIRST).open])
    lines = text.splitlines()
    assert len(lines) == 4
    assert "R. Okafor, 1970-01-01 00:00:07.000 (warning)" in lines[1]
    assert "M. Chen" in lines[2]
    assert lines[3].endswith("nobody")
    assert "1,000" in lines[3]  # ms from event to alert
