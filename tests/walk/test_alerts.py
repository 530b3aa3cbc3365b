"""The walk of an alert: from the fill that breaks a limit to a name on the record.

Live, risk and record as `up` makes them, each in a thread of its own, on stand-ins for Kafka,
Redis and ClickHouse: real protocols, real clocks. What is measured here is what a rule asks of an
alert: the time from the event to the alert.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from app import audit, loops
from app.process import Loop
from app.settings import Settings, load
from compute.archive import Archive
from compute.bus import AsyncBus, Bus
from compute.limits import Alert
from ingest.event import EVENT, Kind
from ingest.frame import encode
from ingest.instrument import AssetClass, Instrument
from ingest.source import (
    ALERTS,
    ALERTS_TOPIC,
    FILLS,
    REFERENCE_TOPIC,
    TOPICS,
    Publisher,
    Source,
)
from tests.clickhouse import ClickHouse

FUND = """
name = "Walk"
[[books]]
id = 0
name = "Alpha"
trader = "Ann"
strategy = "Equity"
nav_usd = 1e7
[[limits]]
id = 7
name = "Fund gross"
measure = "gross"
scope = "fund"
key = ""
warning = 150e3
breach = 200e3
"""
SHARE = Instrument(*(0, "WALK", int(AssetClass.EQUITY), "XTST", "USD", 1.0, 0.01, 2))
ALERT_SECONDS_MAX = 1.0
COMPILE_S = 120.0


def wait_for[T](what: str, found: Callable[[], T | None], seconds: float = 20.0) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(0.005)
    pytest.fail(f"{what} did not come within {seconds:.0f} s")


class Running:
    """A loop in a thread; `stop` closes it, `kill` leaves it as it stands."""

    def __init__(self, make: Callable[[], Loop]) -> None:
        self.loop, self._stop = make(), threading.Event()
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.loop.step()
        except BaseException as error:
            self.errors.append(error)
            raise

    def kill(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self.errors

    def stop(self) -> None:
        self.kill()
        getattr(self.loop, "close", lambda: None)()


class World:
    """The stand-ins, and what the outside does to them."""

    def __init__(self, settings: Settings, server: ClickHouse) -> None:
        self.settings, self.server = settings, server
        self.publisher = Publisher(settings.kafka)
        self.bus = Bus(settings.redis)
        self.topic = Source(settings.kafka, "test", topics=(ALERTS_TOPIC,))
        self.topic.seek({})
        self.archive = Archive(server.address, settings.database)
        self.told: list[tuple[Alert, int]] = []  # With the moment at which it was read.
        self.sequences = {"quotes": 0, "fills": 0}
        self._quiet = threading.Event()
        self._market = threading.Thread(target=self._quote, daemon=True)

    def begin(self) -> None:
        self.publisher.publish(REFERENCE_TOPIC, 0, SHARE.to_json(), b"WALK")
        self.publisher.flush(5)
        self._market.start()

    def _quote(self) -> None:
        publisher = Publisher(self.settings.kafka)
        while not self._quiet.wait(0.05):
            event = np.zeros(1, EVENT)
            event["kind"], event["bid"], event["ask"] = Kind.QUOTE, 99_990_000_000, 100_010_000_000
            event["bid_size"] = event["ask_size"] = 100.0
            self.send(publisher, TOPICS[0], event, "quotes")

    def send(self, publisher: Publisher, topic: str, event: np.ndarray, of: str) -> int:
        now_ns = time.time_ns()
        event["ts_event"] = event["ts_recv"] = now_ns
        event["sequence"] = self.sequences[of]
        publisher.publish(topic, 0, encode(event, 1, self.sequences[of], now_ns))
        self.sequences[of] += 1
        return now_ns

    def fill(self, size: float) -> int:
        event = np.zeros(1, EVENT)
        event["kind"], event["price"], event["size"] = Kind.FILL, 100_000_000_000, size
        return self.send(self.publisher, TOPICS[FILLS], event, "fills")

    def alert(self, kind: str) -> tuple[Alert, int]:
        """The next message of the topic, which is of that kind."""
        before = len(self.told)

        def read() -> bool:
            for message in self.topic.poll(0.01):
                self.told.append((Alert.from_json(message.value), time.time_ns()))
            return len(self.told) > before

        wait_for(f"{kind} on the topic", read)
        assert [one.kind for one, _ in self.told[before:]] == [kind]
        return self.told[-1]

    def recorded(self, count: int) -> list[Alert]:
        def found() -> list[Alert] | None:
            rows = self.archive.alerts()
            return rows if len(rows) >= count else None

        rows = wait_for(f"alert {count} on record", found)
        assert rows == [one for one, _ in self.told]
        return rows

    def shown(self) -> list[dict]:
        data = self.bus._redis.get("tickglass:alerts")
        return json.loads(data) if data else []

    def close(self) -> None:
        self._quiet.set()
        self._market.join(5)
        self.archive.close()
        self.topic.close()
        self.bus.close()


@pytest.fixture
def world(kafka: str, redis: str, tmp_path: Path) -> Iterator[World]:
    (tmp_path / "fund.toml").write_text(FUND)
    server = ClickHouse(tmp_path / "clickhouse").start()
    settings = load(
        data=tmp_path / "data",
        kafka=kafka,
        redis=redis,
        clickhouse=server.address,
        database="walk",
        fund=tmp_path / "fund.toml",
    )
    interval = sys.getswitchinterval()
    made = World(settings, server)
    yield made
    made.close()
    sys.setswitchinterval(interval)
    server.kill()


def test_a_fill_breaks_a_limit_and_a_person_sees_it(world, in_loop, record_property) -> None:
    world.begin()
    live = Running(lambda: loops.live(world.settings))
    record = Running(lambda: loops.record(world.settings))
    risk = Running(lambda: loops.risk(world.settings))
    wait_for("risk", lambda: world.bus.health().get("risk.0", {}).get("images"))
    wait_for("the record", lambda: record.loop.state == "recording")
    # Value at risk may be compiling, which holds all three loops of this one process.
    wait_for("risk to be ready", lambda: world.bus.health()["risk.0"]["starting"] == "", COMPILE_S)
    time.sleep(1.0)
    assert world.archive.alerts() == []

    # A breach: on the topic within a second of the event, in ClickHouse soon after.
    filled_ns = world.fill(3_000.0)
    raised, read_ns = world.alert("raised")
    assert (raised.limit, raised.level, raised.name) == (7, "breach", "Fund gross")
    assert raised.value == pytest.approx(300_000.0, rel=1e-3)
    late_s = {"alert": (raised.ts_alert - filled_ns) / 1e9, "topic": (read_ns - filled_ns) / 1e9}
    assert 0.0 < late_s["alert"] < late_s["topic"] < ALERT_SECONDS_MAX
    assert 0 <= raised.ts_alert - raised.ts_event < ALERT_SECONDS_MAX * 1e9
    world.recorded(1)
    late_s["record"] = (time.time_ns() - filled_ns) / 1e9
    (shown,) = wait_for("the alert for the pages", world.shown)
    assert (shown["alert"], shown["open"], shown["acknowledged"]) == (raised.alert, True, False)

    # A named person acknowledges it; a nameless one cannot.
    async def ask() -> list[dict | None]:
        people = AsyncBus(world.settings.redis)
        seen = {"type": "acknowledge", "alert": raised.alert}
        await people.ask_risk({**seen, "id": "first", "person": " \t"})
        await people.ask_risk({**seen, "id": "second", "person": "R. Okafor"})
        answers = [await people.answer(name) for name in ("first", "second")]
        trades = [{"book": 0, "instrument": 0, "quantity": -2_000}]
        await people.ask_risk({"type": "what_if", "id": "third", "trades": trades})
        answers.append(await people.answer("third"))
        await people.close()
        return answers

    asked_ns = time.time_ns()
    nobody, somebody, what_if = in_loop(ask())
    assert "is acknowledged by a person" in nobody["error"]
    assert somebody["acknowledged"]["person"] == "R. Okafor"
    moved = what_if["what_if"]["limits"]
    (gross,) = moved
    assert (gross["limit"], gross["key"]) == (7, "")
    assert (gross["before"], gross["after"]) == ("breach", "ok")
    seen, _ = world.alert("acknowledged")
    assert (seen.alert, seen.person, seen.number) == (raised.alert, "R. Okafor", 1)
    late_s["acknowledged"] = (seen.ts_alert - asked_ns) / 1e9
    assert [one.kind for one in world.recorded(2)] == ["raised", "acknowledged"]

    # A restart of risk repeats nothing and forgets no acknowledgement.
    risk.kill()
    world.bus._redis.delete("tickglass:alerts")
    risk = Running(lambda: loops.risk(world.settings))
    (shown,) = wait_for("the alert after the restart", world.shown)
    assert (shown["acknowledged"], shown["person"]) == (True, "R. Okafor")
    time.sleep(1.5)
    assert world.topic.poll(0.1) == []

    # ClickHouse away delays what follows, and loses nothing.
    world.server.kill()
    world.fill(-2_900.0)
    world.alert("cleared")
    wait_for("the loss to be told", lambda: "alerts" in record.loop.alerts.problem)
    world.server.start()
    rows = world.recorded(3)
    assert (rows[-1].level, rows[-1].person) == ("ok", "")
    assert not record.loop.alerts.problem

    text, data, whole = audit.alerts(world.settings)
    assert whole, text
    assert "R. Okafor" in text
    assert data["alerts"][0]["acknowledgements"][0]["person"] == "R. Okafor"
    assert world.topic.lag({(ALERTS, 0): 2}) == 0
    for loop in (risk, record, live):
        loop.stop()
    record_property("late_s", json.dumps(late_s))
