"""The whole product with a proxy on each wire between two roles, so that each can have its trouble.

`up` runs as ever, in a process of its own (this file, as a program), over stand-ins that run beside
it. Only the addresses that its roles are given are those of proxies, one for each role and store;
and a browser comes by a proxy too. Whoever asks for the truth goes past all of them.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from confluent_kafka import Consumer, TopicPartition

from app import standins
from app.mirror import Mirror
from app.process import Stop
from app.settings import ROOT, load
from app.status import Screen
from app.up import Plan, Up
from app.watch import BEHIND, UP, Watch
from compute import account, delta
from compute.archive import Archive
from compute.bus import AsyncBus, Bus, BusError
from compute.table import INSTRUMENTS
from ingest.event import Kind
from ingest.source import TOPICS
from tests.kafka import free_ports
from tests.proxy import HOST, Proxy
from tests.web import until

RATE = 1_000.0
START_SECONDS = 120.0
END_SECONDS = 10.0
WELL_SECONDS = 90.0  # Until all is well again, on a machine that is busy.
WELL = (UP, BEHIND)  # The record may lag: all of it is waited for at the end.
WIRES = {  # Role -> the stores that it reaches by a proxy of its own.
    "replay": ("kafka",),
    "live": ("kafka", "redis"),
    "record": ("kafka", "redis", "clickhouse"),
    "web": ("redis", "clickhouse"),
}
BROWSER = "browser-web"
NAMES = (*(f"{role}-{store}" for role, stores in WIRES.items() for store in stores), BROWSER)
ROLES = ("live.0", "record.0", "replay.0", "tape.0")
LEFT_OUT = ("risk", "seal", "witness")  # None of their wires is tried, and they take their time.
MOVING = (int(Kind.QUOTE), int(Kind.TRADE), int(Kind.BUST))  # What VWAP is told after.


class Wired:
    """What runs; `wires` are its proxies by the names of both ends, `live-redis`."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet; `start`."""
        self.folder, self.log = folder, folder / "up.log"
        self.port = free_ports(1)
        self.wires: dict[str, Proxy] = {}
        self._stack = contextlib.ExitStack()

    def start(self) -> "Wired":
        """Until every role is up."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        known = load(data=self.folder / "run")
        enter = self._stack.enter_context
        stores = {"kafka": (), "redis": ("--port", str(free_ports(1))), "clickhouse": ()}
        self.stores = {
            name: enter(standins.started(known, name, *options)) for name, options in stores.items()
        }
        for role, names in WIRES.items():
            for name in names:
                proxy = Proxy(self.stores[name], kafka=name == "kafka")
                self.wires[f"{role}-{name}"] = enter(proxy)
        self.wires[BROWSER] = enter(Proxy(f"{HOST}:{self.port}"))
        self.url = f"http://{self.wires[BROWSER].address}"
        given = {
            role: {n: self.wires[f"{role}-{n}"].address for n in s} for role, s in WIRES.items()
        }
        asked = {"port": self.port, "data": str(known.data), "rate": RATE, **self.stores}
        asked["origins"] = self.wires[BROWSER].address
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.walk.wired", json.dumps(asked), json.dumps(given)],
                cwd=ROOT,
                env=os.environ | {"TICKGLASS_PARENT": str(os.getpid())},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._stack.callback(self._end)
        self.archive, self.bus = Archive(self.stores["clickhouse"]), Bus(self.stores["redis"])
        self._stack.callback(self.archive.close)
        self._stack.callback(self.bus.close)
        self.well(START_SECONDS)

    def _end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(END_SECONDS)

    def close(self) -> None:
        """End all of it."""
        self._stack.close()

    # What it says of itself

    def reports(self) -> dict[str, dict[str, Any]]:
        """The newest report of each role."""
        return self.bus.health()

    def health(self) -> dict[str, Any]:
        """What the web server answers, past the browser's proxy."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/health", timeout=5) as answer:
            return dict(json.load(answer))

    def said(self) -> str:
        """The end of what `up` said."""
        return self.log.read_text()[-2_000:]

    def missing(self, watch: Watch) -> str:
        """Who is not up; "" once all are, and the web server has the market."""
        if self.process.poll() is not None:
            raise AssertionError(f"up has ended: {self.said()}")
        try:
            watch.take(self.bus.beats(), self.reports())
            server = self.health()["server"]
        except (BusError, OSError) as error:
            return str(error)
        states = {one.role: one for one in watch.roles}
        for role in ROLES:
            if role not in states or states[role].state not in WELL:
                return f"{role}: {states[role].why if role in states else 'unknown'}"
        return "" if server["mirror"] == "live" else f"the mirror is {server['mirror']}"

    def well(self, seconds: float = WELL_SECONDS) -> float:
        """Wait until every role is up, or catches up; the seconds it took."""
        watch, begun = Watch(), time.monotonic()
        until(lambda: not self.missing(watch), seconds, lambda: self.missing(watch) + self.said())
        return time.monotonic() - begun

    # The truth

    @contextlib.contextmanager
    def quiet(self) -> Any:
        """Nobody publishes meanwhile, and all that was published is on record."""
        market = self._process("replay.0")
        market.suspend()
        try:
            until(self._all_recorded, WELL_SECONDS, lambda: f"{self.ends()}, {self.recorded()}")
            yield
        finally:
            market.resume()

    def _process(self, role: str) -> psutil.Process:
        return psutil.Process(self.bus.beats()[role]["pid"])

    def ends(self) -> dict[tuple[int, int], int]:
        """The newest offset of each topic in Kafka."""
        consumer = Consumer({"bootstrap.servers": self.stores["kafka"], "group.id": "truth"})
        try:
            marks = [consumer.get_watermark_offsets(TopicPartition(t, 0), 10.0) for t in TOPICS]
        finally:
            consumer.close()
        return {(topic, 0): high - 1 for topic, (_, high) in enumerate(marks) if high > 0}

    def recorded(self) -> dict[tuple[int, int], int]:
        """The newest offset of each topic on record."""
        return self.archive.highest_offsets()

    def _all_recorded(self) -> bool:
        return self.ends() == self.recorded()

    def account(self) -> int:
        """Rows on record; AssertionError where an offset is missing or doubled."""
        counts = account.count(self.archive)
        assert counts
        for one in counts:
            assert (one.first, one.last - one.first + 1) == (0, one.offsets), one
            assert (one.holes, one.doubles, one.torn) == (0, 0, 0), one
        return sum(one.rows for one in counts)

    def told(self) -> np.ndarray:
        """The instruments as `live` has told them to Redis: image, and deltas behind it."""
        mirror = Mirror(AsyncBus(self.stores["redis"]))
        mirror.take_image(delta.unpack_image(self.bus.image() or b""))
        while entries := self.bus.deltas(mirror.live.epoch, mirror.live.sequence):
            assert mirror.take(entries), "deltas are missing behind the image"
        return mirror.tables[INSTRUMENTS.name]

    @staticmethod
    def column(name: str) -> int:
        """Where a column of `told` stands."""
        return INSTRUMENTS.index(name)

    def untrue(self) -> int:
        """Instruments whose VWAP in Redis is not the one of their last row on record."""
        found = self.archive.rows(
            "SELECT instrument, argMax(vwap, (topic, partition, offset, `index`)) "
            f"FROM {self.archive.database}.events WHERE kind IN {MOVING} GROUP BY instrument"
        )
        shown = self.told()[:, self.column("vwap")]
        return sum(not np.array_equal(shown[row], vwap, equal_nan=True) for row, vwap in found)


class _Up(Up):
    """`up` whose roles are given addresses of their own: options that come later count."""

    wires: dict[str, dict[str, str]]

    def _run(self, name: str, *arguments: object, **more: Any) -> None:
        if name in LEFT_OUT:
            return
        own = self.wires.get(name.partition(".")[0], {})
        options = [word for store, address in own.items() for word in (f"--{store}", address)]
        # Nobody gives way to others here: what is tried is wires, not a busy machine.
        super()._run(name, *arguments, *options, **more | {"nice": 0})


def main() -> None:
    """Run `up` until told to stop."""
    asked, wires = map(json.loads, sys.argv[1:])
    stop, running = Stop().listen(), _Up(load(**asked), Plan(), Screen())
    running.wires = wires
    try:
        running.start()
        while not stop.set:
            running.step()
    finally:
        running.close()


if __name__ == "__main__":
    main()
