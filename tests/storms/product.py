"""The whole product under a storm: `up` with two web servers, who looks, and what each blow does.

Alone, `up` has its stand-ins and starts again whatever is killed. Apart, Kafka and Redis are real,
ClickHouse is a process beside `up`, and each stands behind a proxy (tests/proxy.py) that can do
what networks do; a store that is killed is started again by who killed it.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from app import probe
from app.rolling import RESTART_SECONDS_MAX
from app.settings import ROOT, running
from app.standins import make_topics, redis_command
from bench.browser import Page, executable, page
from bench.teller import Crowd
from compute.archive import Archive
from compute.bus import Bus, BusError
from ingest.frame import encode
from ingest.instrument import AssetClass
from ingest.source import REFERENCE_TOPIC, Publisher
from tests.clickhouse import ClickHouse
from tests.kafka import Kafka, free_ports
from tests.proxy import Proxy
from tests.storms.blows import BOTH, FAULTS, STORES, WEB, Blow
from tests.walk.garbage import garbage, opened
from tests.walk.test_poison import poisoned
from tests.walk.test_walk import FIRST, NOBODY, SOURCE, WALKER, trade

START_SECONDS = 300.0
END_SECONDS = 15.0
GLASS_SECONDS = 60.0
HEAR_SECONDS = 0.5  # What the server makes of nonsense.
POISON_PER_S = 200.0  # Frames, half of them garbage.
ROLES = ("live", "record", "risk", "replay", "web")  # Others follow, and have time.
LIVES = "!!window.tickglass && window.tickglass.stats().total > 0"


class Stores:
    """Kafka, Redis and ClickHouse beside `up`, each behind its proxy."""

    def __init__(self, folder: Path, brokers: int, stack: contextlib.ExitStack) -> None:
        self.kafka = Kafka(folder / "kafka", brokers)
        stack.callback(self.kafka.close)
        make_topics(self.kafka.start().address, 1)
        self.clickhouse = ClickHouse(folder / "clickhouse").start()
        stack.callback(self.clickhouse.kill)
        self.redis_port = free_ports(1)
        self.redis = self.start_redis()
        stack.callback(self._end_redis)
        self.node = 1  # Of Kafka's, which blows fall on by turns.
        direct = {
            "kafka": self.kafka.address,
            "redis": f"redis://127.0.0.1:{self.redis_port}/0",
            "clickhouse": self.clickhouse.address,
        }
        self.proxies = {
            name: stack.enter_context(Proxy(address, kafka=name == "kafka"))
            for name, address in direct.items()
        }

    def _end_redis(self) -> None:
        self.redis.kill()
        self.redis.wait()

    def start_redis(self) -> subprocess.Popen[bytes]:
        command = ["redis-server", *redis_command(self.redis_port)[1:]]
        self.redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not probe.listening(self.redis_port):
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.02)
        return self.redis

    def process(self, name: str) -> psutil.Process:
        if name == "kafka":
            return self.kafka.broker(self.node)
        started = self.redis if name == "redis" else self.clickhouse.process
        assert started is not None
        return psutil.Process(started.pid)

    def restart(self, name: str) -> None:
        """Start what was killed."""
        if name == "kafka":
            self.kafka.restart(self.node)
            self.node = self.node % self.kafka.brokers + 1
        elif name == "redis":
            self.redis.wait()
            self.start_redis()
        else:
            self.clickhouse.start()

    def kill(self, name: str) -> None:
        if name == "kafka":
            self.kafka.kill(self.node)
        else:
            self.process(name).kill()


class Product:
    """What runs, who looks, and what is being done to it."""

    def __init__(self, folder: Path, seed: int, rate: float, brokers: int, pages: int) -> None:
        self.folder, self.seed, self.rate = folder, seed, rate
        self.stack = contextlib.ExitStack()
        self.port = free_ports(3)
        self.ports = [self.port + 1, self.port + 2]
        self.stores: Stores | None = None
        self.seen: dict[tuple[int, float], str] = {}  # Every process there ever was, and its role.
        self.doing: dict[Blow, Any] = {}
        self.good: dict[str, int] = {}  # Frames between the garbage, by database.
        self.glass: Page | None = None
        try:
            self._start(rate, brokers, pages)
        except BaseException:
            self.close()
            raise

    def _start(self, rate: float, brokers: int, pages: int) -> None:
        if brokers:
            self.stores = Stores(self.folder, brokers, self.stack)
        proxies = self.stores.proxies if self.stores else {}
        options = [word for name, one in proxies.items() for word in (f"--{name}", one.address)]
        words = ["up", "--web", "2", "--rate", f"{rate:g}", "--seed", str(self.seed)]
        words += ["--port", str(self.port), "--data", str(self.folder / "data"), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", *words],
                cwd=ROOT,
                env=os.environ | {"TICKGLASS_PARENT": str(os.getpid())},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.stack.callback(self._end)
        self.until("the page", self._served, START_SECONDS)
        self.url = f"http://127.0.0.1:{self.port}/overview"
        self.crowd = Crowd(self.url, pages, self.port)
        self.stack.callback(self.crowd.stop)

    def look(self) -> None:
        """Open the page in a browser, and mark it: a reload would lose that."""
        if executable() is None:
            return
        self.glass = self.stack.enter_context(page())
        self.glass.goto(self.url)
        self.glass.wait_for(LIVES, GLASS_SECONDS)
        self.glass.evaluate("window.same = 1")

    @property
    def log(self) -> Path:
        return self.folder / "up.log"

    @property
    def run(self) -> dict[str, Any]:
        """What `up` says of itself now, addresses past the proxies."""
        found = running(self.folder / "data" / "run.json") or {}
        for name, proxy in self.stores.proxies.items() if self.stores else ():
            found[name] = proxy._target
        return found

    def bus(self) -> Bus:
        """Of today's Redis; to be closed."""
        return Bus(self.run["redis"])

    def archive(self, database: str = "") -> Archive:
        """The record; to be closed."""
        run = self.run
        return Archive(run["clickhouse"], database or run["database"])

    def told(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """Heartbeats and reports by role; nothing while Redis is away."""
        if not self.run.get("redis"):
            return {}, {}
        bus = self.bus()
        try:
            return bus.beats(), bus.health()
        except BusError:
            return {}, {}
        finally:
            bus.close()

    def _served(self) -> bool:
        kinds = {role.partition(".")[0] for role in self.told()[0]}
        return set(ROLES) <= kinds and probe.listening(self.port)

    def until(self, what: str, found: Callable[[], object], seconds: float) -> None:
        """AssertionError with the end of the log unless it is found in time."""
        deadline = time.monotonic() + seconds
        while not found():
            assert self.process.poll() is None, f"up has ended: {self.tail()}"
            assert time.monotonic() < deadline, f"no {what} after {seconds:g} s: {self.tail()}"
            time.sleep(0.1)

    def tail(self) -> str:
        """The end of what `up` said."""
        return self.log.read_text(errors="replace")[-2_000:]

    def publish_walker(self) -> None:
        """The instrument that the garbage speaks of."""
        publisher = Publisher(self.run["kafka"])
        publisher.publish(REFERENCE_TOPIC, 0, WALKER.to_json(), b"WALK")
        assert publisher.flush(60.0) == 0

        def known() -> bool:
            told = [self.told()[1].get(one, {}) for one in ("live.0", "record.0")]
            return all(one.get("instruments", 0) > NOBODY for one in told)

        self.until("instrument of the garbage", known, START_SECONDS)

    # Processes

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Those that `up` has now, by role; all that there ever were are noted."""
        found: dict[str, list[psutil.Process]] = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, IndexError, ValueError):
                if child.status() != psutil.STATUS_ZOMBIE:
                    role = self._role([word for word in child.cmdline() if word])
                    self.seen[child.pid, child.create_time()] = role
                    found.setdefault(role, []).append(child)
        for name in STORES if self.stores is not None else ():
            with contextlib.suppress(psutil.Error, AssertionError):
                found[name] = [self.stores.process(name)]
        return found

    def _role(self, words: list[str]) -> str:
        if "app" in words:
            role, *after = words[words.index("app") + 1 :]
            if role == "web":
                return f"web.{self.ports.index(int(after[after.index('--port') + 1]))}"
            return after[0] if role == "standin" else {"front": "nginx"}.get(role, role)
        name = Path(words[0].partition(" ")[0]).name
        return "redis" if name.endswith("-server") else name.partition(":")[0]

    def ours(self, name: str) -> bool:
        """Whether this is a store that the storm has started."""
        return self.stores is not None and name in STORES

    def process_of(self, name: str) -> psutil.Process | None:
        """The process of a role or store; None while there is none."""
        if self.stores is not None and self.ours(name):
            return self.stores.process(name)
        return next(iter(self.processes().get(name, [])), None)

    # Blows

    def begin(self, blow: Blow) -> bool:
        """Let it fall; False where it hits nobody."""
        targets = WEB if blow.whom == BOTH else (blow.whom,)
        match blow.what:
            case "kill" if self.ours(blow.whom):
                self.stores.kill(blow.whom)
            case "kill":
                return bool(self._signal(targets, signal.SIGKILL))
            case "stop":
                self.doing[blow] = self._signal(targets, signal.SIGSTOP)
                return bool(self.doing[blow])
            case "flush":
                self._flush()
            case "poison":
                self.doing[blow] = self._thread(self._poison, blow)
            case "nonsense":
                self.doing[blow] = self._thread(self._nonsense, blow)
            case "load":
                module = ("tests.storms.load", self.run["kafka"], str(self.rate), str(self.seed))
                load = self.doing[blow] = self._python(*module, stdout=subprocess.PIPE)
                assert load.stdout.readline() == b"ready\n", f"no load: {self.tail()}"
            case "roll":
                data = str(self.folder / "data")
                self.doing[blow] = self._python("app", "restart", "web", "--data", data)
            case _:
                self._network(blow)
        return True

    def end(self, blow: Blow) -> None:
        """What lasted is over."""
        doing = self.doing.pop(blow, None)
        match blow.what:
            case "kill" if self.ours(blow.whom):
                self.stores.restart(blow.whom)
            case "stop":
                for stopped in doing:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        stopped.resume()
            case "poison" | "nonsense":
                doing.join()
            case "load":
                doing.terminate()
                assert doing.wait(60.0) == 0, f"the load has failed: {self.tail()}"
            case "roll":
                assert doing.wait(RESTART_SECONDS_MAX + 30.0) == 0, f"no restart: {self.tail()}"
            case fault if fault in FAULTS:
                assert self.stores is not None
                self.stores.proxies[blow.whom].heal()

    def _signal(self, targets: tuple[str, ...], number: signal.Signals) -> list[psutil.Process]:
        found = [one for one in map(self.process_of, targets) if one is not None]
        for one in found:
            one.send_signal(number)
        return found

    def _network(self, blow: Blow) -> None:
        assert self.stores is not None
        proxy = self.stores.proxies[blow.whom]
        if blow.what == "delay":
            proxy.delay(40.0 * blow.seconds, jitter_ms=10.0 * blow.seconds)
        else:
            {"cut": proxy.cut, "stall": proxy.stall, "half open": proxy.half_open}[blow.what]()

    def _flush(self) -> None:
        port = int(self.run["redis"].rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), 10.0) as sock:
            sock.sendall(b"FLUSHALL\r\n")
            assert sock.recv(16).startswith(b"+OK")

    def _python(self, *module: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        environment = os.environ | {"TICKGLASS_PARENT": str(os.getpid())}
        command = [sys.executable, "-m", *module]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=stdout or log, stderr=log
            )

    def _thread(self, act: Callable[[Blow], None], blow: Blow) -> threading.Thread:
        thread = threading.Thread(target=act, args=(blow,), daemon=True)
        thread.start()
        return thread

    def _poison(self, blow: Blow) -> None:
        """Half of it is garbage; the good half is counted, it must be on record."""
        run, chance = self.run, random.Random(blow.seconds)
        publisher, count = Publisher(run["kafka"]), int(blow.seconds * POISON_PER_S / 2)
        topic = AssetClass.EQUITY.topic
        for sequence in range(count):
            event = trade(FIRST, sequence)
            begins = sequence == 0
            good = encode(event, SOURCE, sequence, time.time_ns(), restart=begins)
            publisher.publish(topic, 0, good)
            publisher.publish(topic, 0, poisoned(chance, sequence))
            time.sleep(2 / POISON_PER_S)
        lost = publisher.flush(120.0) + publisher.failed
        sent = 0 if lost else count
        self.good[run["database"]] = self.good.get(run["database"], 0) + sent

    def _nonsense(self, blow: Blow) -> None:
        """Clients that say what no page says, one after the other."""
        deadline = time.monotonic() + blow.seconds
        for _, _, data in itertools.cycle(garbage()):
            # The server may be away as well.
            with contextlib.suppress(OSError, AssertionError), opened(self.ports[0]) as client:
                client.settimeout(HEAR_SECONDS)
                client.sendall(data)
                client.recv(1)
            if time.monotonic() > deadline:
                return

    # The market

    @contextlib.contextmanager
    def quiet(self) -> Any:
        """Nobody publishes meanwhile, so that what is shown can be compared."""
        market = self.process_of("replay")
        if market is not None:
            market.suspend()
        try:
            yield
        finally:
            if market is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    market.resume()

    def shown(self) -> list[Any]:
        """Columns of the browser's blotter, and rows with their values."""
        assert self.glass is not None
        return list(json.loads(self.glass.evaluate(SHOWN)))

    # The end

    def _end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def left(self) -> list[str]:
        """Processes of `up` that live still, once it has ended."""
        found = []
        for (pid, created), role in self.seen.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                one = psutil.Process(pid)
                if one.create_time() == created and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{role} ({pid})")
        return found

    def close(self) -> None:
        self.stack.close()


SHOWN = """JSON.stringify((() => {
  const names = tickglass.columns(), rows = tickglass.rows().slice(0, tickglass.lines());
  const value = (row, name) => tickglass.cell(row, name)?.value ?? null;
  return [names, rows.map((row) => [row, names.map((name) => value(row, name))])];
})())"""
