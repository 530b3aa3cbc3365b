"""The walk: one trade with a price nobody else has, from a Kafka frame to a painted cell and a row.

The whole product runs as a user starts it, on stand-ins and on a real Kafka broker with a real
Redis; a Chromium looks at the page. What the canvas painted is read back, what ClickHouse holds is
compared byte for byte.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.standins import free_port
from compute import account
from compute.archive import Archive
from compute.bus import Bus, BusError
from compute.row import PARTS, RECORD
from ingest.event import EVENT, NO_PRICE, Flag, Kind
from ingest.frame import encode
from ingest.instrument import AssetClass, Instrument
from ingest.source import REFERENCE_TOPIC, Publisher
from tests.browser import chromium

ROOT = Path(__file__).parents[2]
ARTIFACTS = Path(os.environ.get("TICKGLASS_ARTIFACTS", ROOT / ".tickglass" / "artifacts"))
NOBODY = 5_000  # The first id that the demo market does not have.
SOURCE = 999
FIRST, SECOND = 1_234_567_800_000, 1_234_432_100_000  # 1234.5678 and 1234.4321
START_SECONDS, TICK_SECONDS = 90.0, 20.0

WALKER = Instrument(
    *(NOBODY, "WALK", int(AssetClass.EQUITY), "XTST", "USD", 1.0, 0.0001, 4),
    close_prev=1234.0,
)


def trade(price: int, sequence: int) -> np.ndarray:
    event = np.zeros(1, EVENT)
    event["ts_event"] = event["ts_recv"] = time.time_ns()
    event["sequence"], event["instrument"], event["source"] = sequence, NOBODY, SOURCE
    event["kind"], event["flags"] = Kind.TRADE, Flag.BUYER
    event["price"], event["reference"], event["size"] = price, 4_711 + sequence, 123.0
    return event


def quote(sequence: int) -> np.ndarray:
    event = np.zeros(1, EVENT)
    event["ts_event"] = event["ts_recv"] = time.time_ns()
    event["sequence"], event["instrument"], event["source"] = sequence, NOBODY, SOURCE
    event["kind"], event["bid"], event["bid_size"] = Kind.QUOTE, FIRST - 10**8, 7.0
    event["ask"] = NO_PRICE  # One-sided: the ask must stay blank, not become 0.
    return event


def wait_for(what: str, found, seconds: float):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = found()
        if result is not None and result is not False:
            return result
        time.sleep(0.1)
    pytest.fail(f"{what} did not come within {seconds:.0f} s")


class Product:
    """`up` as a user starts it."""

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        self.data, self.port = folder / "run", free_port()
        self.log = folder / "up.log"
        options = [word for name, value in addresses.items() for word in (f"--{name}", value)]
        command = [sys.executable, "-m", "app", "up", "--rate", "5000", "--port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.data), *options],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self) -> dict:
        """What it wrote of itself, once live reports."""

        def found():
            if self.process.poll() is not None:
                pytest.fail(f"up ended: {self.log.read_text()[-2000:]}")
            try:
                run = json.loads((self.data / "run.json").read_bytes())
                bus = Bus(run["redis"])
                roles = bus.health()
                bus.close()
            except (OSError, ValueError, KeyError, BusError):
                return None
            # Its own web server: a Redis that is shared remembers those of others.
            return run if {"live.0", "record.0", f"web.{self.port}"} <= roles.keys() else None

        return wait_for("the product", found, START_SECONDS)

    def end(self) -> float:
        """SIGTERM; the seconds it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        return time.monotonic() - started


def walk(tmp_path: Path, name: str, addresses: dict[str, str]) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    product = Product(tmp_path, addresses)
    try:
        run = product.run()
        publisher = Publisher(run["kafka"])
        publisher.publish(REFERENCE_TOPIC, 0, WALKER.to_json(), b"WALK")
        known_to_both(run)
        events = [quote(0), trade(FIRST, 1), trade(SECOND, 2)]
        topic = AssetClass.EQUITY.topic

        def send(k: int) -> None:
            publisher.publish(topic, 0, encode(events[k], SOURCE, k, time.time_ns()))
            assert publisher.flush(5) == 0

        send(0)
        send(1)
        look(product.port, lambda: send(2), ARTIFACTS / f"walk-{name}.png")
        on_record(run, events)
    finally:
        seconds = product.end()
    assert seconds < 3.5, f"up took {seconds:.1f} s to end"


def known_to_both(run: dict) -> None:
    """Reference rows and events travel by different topics; a row takes effect within a second."""

    def found() -> bool:
        bus = Bus(run["redis"])
        roles = bus.health()
        bus.close()
        return all(roles[role].get("instruments") == NOBODY + 1 for role in ("live.0", "record.0"))

    wait_for("the new instrument", found, TICK_SECONDS)


def look(port: int, send_second, picture: Path) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        foreign = []
        page.on("request", lambda r: "127.0.0.1" in r.url or foreign.append(r.url))
        page.goto(f"http://127.0.0.1:{port}/overview")
        page.wait_for_function("() => window.tickglass && window.tickglass.stats().total > 0")
        page.keyboard.press("f")
        page.keyboard.type("WALK")
        cell = f"window.tickglass.cell({NOBODY}, 'last')"
        page.wait_for_function(f"() => {cell} && {cell}.text === '1,234.5678'")
        painted = page.evaluate(f"() => {cell}")
        assert painted["value"] == FIRST * 1e-9
        assert page.evaluate(f"() => window.tickglass.cell({NOBODY}, 'ask').text") == ""
        send_second()
        page.wait_for_function(f"() => {cell}.text === '1,234.4321'", timeout=5_000)
        page.screenshot(path=picture)
        assert not foreign


def on_record(run: dict, events: list[np.ndarray]) -> None:
    archive = Archive(run["clickhouse"], run.get("database", "tickglass"))
    names = ", ".join(f"`{name}`" for name in RECORD.names or ())

    def found():
        client = archive._connected()
        data = client.raw_query(
            f"SELECT {names} FROM {archive.database}.events WHERE instrument = {NOBODY} "
            "ORDER BY sequence",
            fmt="RowBinary",
        )
        return data if len(data) >= len(events) * RECORD.itemsize else None

    rows = np.frombuffer(wait_for("the rows", found, TICK_SECONDS), RECORD)
    assert len(rows) == len(events)
    for row, event in zip(rows.view(PARTS), events, strict=True):
        assert row["event"].tobytes() == event.tobytes()
    assert rows["vwap"][-1] == pytest.approx((FIRST + SECOND) / 2 * 1e-9, rel=1e-12)
    for count in account.count(archive):
        assert (count.holes, count.doubles, count.torn) == (0, 0, 0)
    archive.close()


@pytest.mark.requires("chromium")
def test_the_walk_on_stand_ins(tmp_path):
    walk(tmp_path, "stand-ins", {})


@pytest.mark.requires("chromium", "kafka", "redis")
def test_the_walk_on_real_kafka_and_redis(tmp_path, real_kafka, real_redis):
    walk(tmp_path, "real", {"kafka": real_kafka, "redis": real_redis})
