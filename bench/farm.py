"""Rule: several web servers behind nginx for a bench or a test, each to be killed or stopped.

They are started and restarted by the product's own supervisor, as `up` does it, over a Redis in
which a teller (bench/teller.py) tells a market.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from app import front, probe
from app.rolling import Rolling
from app.settings import ROOT, load
from app.supervisor import Role, Supervisor

START_SECONDS = 90.0
POLL_SECONDS = 0.02


class Farm:
    """nginx on `port` and the servers on `ports`."""

    def __init__(
        self, folder: Path, address: str | list[str], port: int, count: int, clickhouse: str = ""
    ) -> None:
        """Nothing is started yet; `address` is of Redis, or as each server is to know it."""
        self.port, self.ports = port, front.servers(port, count)
        each = [address] * count if isinstance(address, str) else address
        self._redis = dict(zip(self.ports, each, strict=True))
        origins = f"127.0.0.1:{port}"
        settings = load(
            data=folder / "data",
            port=port,
            redis=each[0],
            clickhouse=clickhouse,
            origins=origins,
            web=count,
            parent=os.getpid(),
        )
        settings.logs.mkdir(parents=True, exist_ok=True)
        self.said: list[str] = []
        self.supervisor = Supervisor(settings.logs, settings.environment, self.said.append, ROOT)
        self.url = f"http://127.0.0.1:{port}/overview"
        self._lock, self._end = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Until pages can be had of each."""
        behind = ["front", "--port", str(self.port), "--web", str(len(self.ports))]
        roles = {"nginx": behind} if len(self.ports) > 1 else {}
        for port, redis in self._redis.items():
            roles[f"web.{port}"] = ["web", "--port", str(port), "--redis", redis]
        with self._lock:
            for name, words in roles.items():
                self.supervisor.start(Role(name, (sys.executable, "-m", "app", *words)))
        self._thread.start()
        for port in {self.port, *self.ports}:
            self.wait_for(port)

    def wait_for(self, port: int) -> None:
        """Until a page can be had there, and has its document: what it needs is loaded then."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{port}/overview"
                urllib.request.urlopen(url, timeout=START_SECONDS).read()
                return
            time.sleep(0.1)
        tail = self.supervisor.tail(f"web.{port}")
        raise SystemExit(f"nothing serves pages on port {port}: {self.said} {tail}")

    def _run(self) -> None:
        while not self._end.is_set():
            with self._lock:
                self.supervisor.step()
            time.sleep(POLL_SECONDS)

    def end(self, name: str, number: signal.Signals) -> None:
        """A signal to nginx, or `web.PORT`: SIGKILL, SIGSTOP, SIGCONT."""
        with self._lock:
            process = self.supervisor.children[name].process
        if process is not None:
            os.kill(process.pid, number)

    def signal(self, port: int, number: signal.Signals) -> None:
        """The same to the server on `port`."""
        self.end(f"web.{port}", number)

    def pid(self, port: int) -> int:
        """Of the server on `port`; 0 while there is none."""
        with self._lock:
            process = self.supervisor.children[f"web.{port}"].process
        return process.pid if process is not None else 0

    def hold(self) -> None:
        """Whoever ends from now on stays away, until `release`."""
        self._lock.acquire()

    def release(self) -> None:
        """Start again what has ended meanwhile."""
        self._lock.release()

    def roll(self) -> None:
        """Start all servers anew, one after the other, as `restart web` does."""

        def again(name: str) -> None:
            with self._lock:
                role = self.supervisor.children[name].role
                self.supervisor.stop([name])
                self.supervisor.start(role)
            self.wait_for(int(name.rpartition(".")[2]))

        rolling = Rolling(
            [f"web.{port}" for port in self.ports],
            again,
            lambda name: probe.listening(int(name.rpartition(".")[2])),
        )
        while not rolling.done:
            rolling.step()

    def stop(self) -> None:
        """End all."""
        self._end.set()
        self._thread.join()
        self.supervisor.stop()


@contextlib.contextmanager
def farm(
    folder: Path, address: str | list[str], port: int, count: int = 2, clickhouse: str = ""
) -> Iterator[Farm]:
    """Started, and ended at the end."""
    made = Farm(folder, address, port, count, clickhouse)
    try:
        made.start()
        yield made
    finally:
        made.stop()
