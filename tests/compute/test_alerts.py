"""Between limits and people: told once, heard once, and a restart changes nothing."""

import dataclasses
import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.alerts import ASK_SECONDS_MAX, TELL_SECONDS, Alerts
from compute.bus import BusError
from compute.limits import Alert, Limits, Watched
from ingest.fund import Book, Fund, Limit
from ingest.source import ALERTS, ALERTS_TOPIC, Message

SECOND = 1_000_000_000
LIMITS = (
    Limit(3, "Fund gross", "gross", "fund", "", 80.0, 100.0),
    Limit(5, "Each book", "gross", "book", "*", 40.0, 50.0),
)
BOOKS = (Book(0, "Alpha", "Ann", "Equity"), Book(1, "Beta", "Bob", "Equity"))
FUND = Fund("Test", BOOKS, LIMITS)
WATCHED = [
    Watched(LIMITS[0], ""),
    *(Watched(LIMITS[1], key, 1, number) for number, key in enumerate(("Alpha", "Beta"))),
]


class Exposure:
    """The part of `risk` that has limits; here they are all of it."""

    def __init__(self) -> None:
        self.fund, self.limits, self.raised = FUND, Limits(), []

    def acknowledge(self, alert: str, person: str, ts_ns: int) -> Alert:
        message = self.limits.acknowledge(alert, person, ts_ns)
        self.raised.append(message)
        return message

    def what_if(self, trades) -> SimpleNamespace:
        if trades[0].instrument == 404:
            raise ValueError("unknown instrument")
        figures = {"exposures": np.array([[1.0, np.nan], [2.0, 3.0]])}
        figures |= {"value_at_risk": np.zeros((0, 2)), "scenarios": np.array([[np.inf]])}
        then = {"exposures": np.array([[1.0, np.nan], [2.0, np.nan], [4.0, 5.0]])}
        both = SimpleNamespace(**figures), SimpleNamespace(**figures | then)
        return SimpleNamespace(before=both[0], after=both[1], limits=[], unmarked=[9])

    def rows_of_books(self, books: set[int]) -> list[int]:
        return []


class Memory:
    """Redis and Kafka in memory."""

    def __init__(self) -> None:
        self.stream, self.answers, self.alerts = [], {}, b""
        self.log: list[tuple[bytes, bytes]] = []
        self.away, self.sets = False, 0

    def asks(self, last_id):
        if self.away:
            raise BusError("away")

        def place(ask_id):
            return tuple(map(int, ask_id.split("-")))

        return [entry for entry in self.stream if place(entry[0]) > place(last_id)]

    def answer(self, ask, data):
        self.answers[ask] = json.loads(data)

    def set_alerts(self, data):
        if self.away:
            raise BusError("away")
        self.alerts = data
        self.sets += 1

    def publish(self, topic, partition, value, key=None):
        assert (topic, partition) == (ALERTS_TOPIC, -1)
        self.log.append((key, value))

    def waiting(self):
        return 0

    def flush(self, seconds):
        return 0

    @property
    def messages(self) -> list[Message]:
        return [Message(ALERTS, 0, k, k, value) for k, (_, value) in enumerate(self.log)]


class Process:
    """What `risk` does with alerts, step by step on a clock of its own."""

    def __init__(self, memory: Memory, now_ns: int = 1_000 * SECOND) -> None:
        self.memory, self.now_ns, self.count = memory, now_ns, itertools.count()
        self.exposure = Exposure()
        self.desk = Alerts(self.exposure, memory, memory, now_ns=lambda: self.now_ns)
        self.desk.restore(memory.messages)

    def step(self, values, after_ns=SECOND // 10) -> list[Alert]:
        self.now_ns += after_ns
        limits, told = self.exposure.limits, []
        if not limits.watched:
            limits.watch(WATCHED)
        told += limits.step(np.array(values), self.now_ns, lambda row: (self.now_ns - 7, "ab"))
        for one in told:
            self.desk.take(one)
        self.desk.listen()
        for one in self.exposure.raised:
            self.desk.take(one)
        told += self.exposure.raised
        self.exposure.raised = []
        self.desk.tell()
        return told

    def ask(self, now_ns=None, **told) -> None:
        at_ms = (self.now_ns if now_ns is None else now_ns) // 1_000_000
        self.memory.stream.append((f"{at_ms}-{next(self.count)}", json.dumps(told).encode()))

    def acknowledge(self, alert, person="R. Okafor", **more) -> None:
        self.ask(type="acknowledge", alert=alert, person=person, **more)

    @property
    def shown(self) -> list[dict]:
        return json.loads(self.memory.alerts)


@pytest.fixture
def process():
    return Process(Memory())


def test_what_is_raised_is_told_by_its_limit(process):
    process.step([10.0, 10.0, 10.0])
    assert process.shown == []
    (breach,) = process.step([120.0, 10.0, 10.0])
    assert process.memory.log == [(b"3", breach.to_json())]
    (shown,) = process.shown
    assert (shown["alert"], shown["level"], shown["open"]) == (breach.alert, "breach", True)
    process.step([10.0, 10.0, 60.0])
    assert [(one["limit"], one["open"]) for one in process.shown] == [(5, True), (3, False)]


def test_a_person_acknowledges_what_stands(process):
    (raised,) = process.step([85.0, 10.0, 10.0])
    process.now_ns += SECOND
    process.acknowledge(raised.alert, id="a")
    (seen,) = process.step([85.0, 10.0, 10.0])
    assert (seen.kind, seen.person) == ("acknowledged", "R. Okafor")
    assert process.memory.answers["a"]["acknowledged"]["number"] == 1
    assert (process.shown[0]["acknowledged"], process.shown[0]["person"]) == (True, "R. Okafor")
    process.acknowledge(raised.alert, id="b")
    assert process.step([85.0, 10.0, 10.0]) == []
    assert "already" in process.memory.answers["b"]["error"]
    assert process.desk.health["asks_refused"] == 1
    assert "already" in process.desk.health["ask_problem"]


def test_an_acknowledgement_is_not_of_what_is_raised_in_the_same_step(process):
    (raised,) = process.step([85.0, 10.0, 10.0])
    process.acknowledge(raised.alert, id="a", number=0)
    (worse,) = process.step([120.0, 10.0, 10.0])
    assert (worse.kind, worse.level) == ("raised", "breach")
    assert "it is at breach now" in process.memory.answers["a"]["error"]


def test_an_acknowledgement_counts_for_what_the_person_saw(process):
    (raised,) = process.step([85.0, 10.0, 10.0])
    asked_ns = process.now_ns
    process.step([120.0, 10.0, 10.0])  # Worse, while the click was on its way.
    process.acknowledge(raised.alert, id="a", now_ns=asked_ns)
    process.acknowledge(raised.alert, id="b", number=0)
    assert process.step([120.0, 10.0, 10.0]) == []
    assert all("has changed" in answer["error"] for answer in process.memory.answers.values())
    process.acknowledge(raised.alert, number=1)
    (seen,) = process.step([120.0, 10.0, 10.0])
    assert (seen.kind, seen.level) == ("acknowledged", "breach")


@pytest.mark.parametrize(
    "told",
    [
        {"type": "acknowledge", "alert": "9-9-9", "person": "R. Okafor"},
        {"type": "acknowledge", "alert": "3-0-1", "person": "\x07"},
        {"type": "dance"},
        {"type": "what_if", "trades": [{"book": 0, "instrument": 404, "quantity": 1}]},
        {"type": "what_if", "trades": 7},
    ],
)
def test_a_bad_ask_is_counted_told_and_no_more(process, told):
    process.ask(id="x", **told)
    process.memory.stream.append((f"{process.now_ns // 1_000_000}-99", b"\xff"))
    for _ in range(2):  # What would be goes one a step.
        assert process.step([1.0, 1.0, 1.0]) == []
    assert process.memory.answers["x"]["error"]
    assert process.desk.health["asks"] == process.desk.health["asks_refused"] == 2
    assert process.memory.log == []


def test_what_would_be_is_answered_one_a_step(process):
    trades = [{"book": 0, "instrument": 1, "quantity": 5}]
    for name in "abc":
        process.ask(type="what_if", id=name, trades=trades)
    process.step([1.0, 1.0, 1.0])
    assert list(process.memory.answers) == ["a"]
    process.step([1.0, 1.0, 1.0])
    process.step([1.0, 1.0, 1.0])
    assert list(process.memory.answers) == ["a", "b", "c"]
    found = process.memory.answers["a"]["what_if"]
    exposures = found["exposures"]
    assert exposures["rows"] == [1, 2]  # What would not change is not said.
    assert exposures["before"] == [[2.0, 3.0], [None, None]]
    assert exposures["after"] == [[2.0, None], [4.0, 5.0]]
    assert found["scenarios"]["rows"] == found["value_at_risk"]["rows"] == []
    assert (found["limits"], found["unmarked"]) == ([], [9])


def test_what_was_asked_too_long_ago_is_not_done(process):
    (raised,) = process.step([120.0, 10.0, 10.0])
    process.acknowledge(raised.alert, id="late")
    assert process.step([120.0, 10.0, 10.0], round((ASK_SECONDS_MAX + 1) * SECOND)) == []
    assert "too long ago" in process.memory.answers["late"]["error"]


def test_pages_are_told_what_changed_and_again_in_case_redis_forgot(process):
    for _ in range(round(2 * TELL_SECONDS * 10)):
        process.step([1.0, 1.0, 1.0])
    assert 2 <= process.memory.sets <= 3
    process.memory.away = True
    with pytest.raises(BusError):
        process.step([120.0, 1.0, 1.0])
    process.memory.away = False
    assert len(process.step([60.0, 60.0, 60.0])) > 1


levels = st.sampled_from([10.0, 45.0, 60.0, 85.0, 120.0])
acts = st.lists(st.tuples(levels, levels, levels, st.booleans()), max_size=25)


@settings(deadline=None, max_examples=150)
@given(acts, st.data())
def test_a_restart_anywhere_tells_nothing_twice_and_forgets_nothing(told, data):
    """Two processes, the same values and people; one of them is killed at any step."""
    kill_at = data.draw(st.integers(0, len(told)))
    steady, killed = Process(Memory()), Process(Memory())
    for number, (*values, click) in enumerate(told):
        if number == kill_at:
            killed = Process(killed.memory, killed.now_ns)
        for one in (steady, killed):
            unseen = [each for each in one.desk.incidents.open if not each.seen]
            if click and unseen:
                one.acknowledge(unseen[0].newest.alert, number=unseen[0].newest.number)
        assert steady.step(values) == killed.step(values)
    assert steady.memory.log == killed.memory.log
    killed = Process(killed.memory, killed.now_ns)
    last = list(told[-1][:3]) if told else [1.0] * 3
    assert killed.step(last) == []
    assert steady.step(last) == []
    assert killed.shown == steady.shown
    np.testing.assert_array_equal(killed.exposure.limits.levels, steady.exposure.limits.levels)
    np.testing.assert_array_equal(killed.exposure.limits.table, steady.exposure.limits.table)


def test_an_incident_of_a_limit_that_is_gone_is_closed_with_the_reason_once():
    memory = Memory()
    process = Process(memory)
    (raised,) = process.step([120.0, 1.0, 1.0])
    for number, change in enumerate((
        {"limit": 99},
        {"measure": "net"},
        {"limit": 5, "scope": "book", "key": "Gone"},
    )):  # fmt: skip
        gone = dataclasses.replace(raised, alert=f"gone-{number}", **change)
        memory.log.append((b"", gone.to_json()))
    memory.log += [(b"", b"{}"), memory.log[0]]
    before = len(memory.log)
    again = Process(memory, process.now_ns)
    assert again.desk.health["alerts_restored"] == 4
    assert again.step([120.0, 1.0, 1.0]) == []  # What stands stands on, told once.
    assert [one["limit"] for one in again.shown if one["open"]] == [3]
    reasons = {one["alert"]: one["reason"] for one in again.shown if not one["open"]}
    assert reasons == {
        "gone-0": "the limit was removed",
        "gone-1": "the limit is on something else now",
        "gone-2": "the fund has no book of that name now",
    }
    assert len(memory.log) == before + 3
    Process(memory, process.now_ns)
    assert len(memory.log) == before + 3


def test_an_alert_that_comes_again_of_the_same_inputs_is_another():
    limits = Limits()
    limits.watch(WATCHED[:1])
    made = 7, "ab"
    names = set()
    for turn in range(3):
        (raised,) = limits.step(np.array([120.0]), SECOND * (1 + turn), lambda _: made)
        names.add(raised.alert)
        limits.step(np.array([1.0]), SECOND * (1 + turn) + 5, lambda _: made)
    assert len(names) == 3
