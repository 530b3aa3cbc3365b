"""Rule: numbers for the benches of the web side, told as `live` tells them: a paced thread of cuts.

A market of a few thousand instruments in a Redis of its own (the stand-in), and the web server of
the product over it. What is told is known to the bench, so what a page shows can be compared.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app import standins
from app.process import settle
from app.settings import ROOT, load
from compute import delta
from compute.bus import Bus
from compute.table import INSTRUMENTS, LIVE_TABLES
from ingest import clock
from ingest.instrument import Instrument

INSTRUMENT_COUNT = 2_000
CHANGED_ROWS = 0.1  # Of the rows that a page shows, and of all others.
IMAGE_EVERY = 20  # Cuts.
START_SECONDS = 180.0  # On a machine that does much else, imports alone take a minute.


class Teller:
    """Tells cuts of `live` at a pace; `truth` is what has been told."""

    def __init__(self, address: str, seed: int = 7, instruments: int = INSTRUMENT_COUNT) -> None:
        """Reference and a first image are told at once."""
        self.bus, self.count = Bus(address), instruments
        self.rng = np.random.default_rng(seed)
        rows = [Instrument(k, f"S{k}", 0, "X", "USD", 1.0, 0.01, 2) for k in range(instruments)]
        self.bus.set_reference(json.dumps([json.loads(row.to_json()) for row in rows]).encode())
        self.tables = {table.name: table.empty(8) for table in LIVE_TABLES}
        self.tables[INSTRUMENTS.name] = np.ones((instruments, INSTRUMENTS.width))
        self.cutter, self.sequence = delta.Cutter(), 0
        self.epoch = clock.now_ns() // 1_000_000
        self.columns = np.array(
            [
                INSTRUMENTS.index(name)
                for name in ("bid", "ask", "last", "bid_size", "ask_size", "volume", "ts_event")
            ]
        )
        self.late: list[float] = []
        self._paused = threading.Event()
        settle()  # A market does not stand still because its garbage is collected.
        self.tell(image=True)

    def tell(self, *, image: bool = False) -> None:
        """One cut: some rows move."""
        table = self.tables[INSTRUMENTS.name]
        rows = np.flatnonzero(self.rng.random(self.count) < CHANGED_ROWS)
        table[rows[:, None], self.columns] = self.rng.normal(
            100, 10, (len(rows), len(self.columns))
        )
        now_ns = clock.now_ns()
        table[rows, INSTRUMENTS.index("ts_event")] = now_ns / 1e6
        oldest = np.zeros(self.count, np.int64)
        oldest[rows] = now_ns
        self.sequence += 1
        frame = self.cutter.cut(self.tables, oldest, self.epoch, self.sequence, now_ns)
        packed = None
        if image or self.sequence % IMAGE_EVERY == 0:
            packed = delta.pack_image(self.tables, self.epoch, self.sequence, now_ns, {})
            self.bus.report("live.0", {"now_ms": now_ns / 1e6, "instruments": self.count})
        self.bus.publish(0, self.epoch, self.sequence, frame, packed)

    @contextlib.contextmanager
    def telling(self, ticks_per_s: float) -> Iterator[None]:
        """At a pace, in a thread, while the context lasts."""
        end = threading.Event()

        def run() -> None:
            due = time.perf_counter()
            while not end.is_set():
                due += 1 / ticks_per_s
                time.sleep(max(0.0, due - time.perf_counter()))
                self.late.append(time.perf_counter() - due)
                if not self._paused.is_set():
                    self.tell()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def pause(self) -> None:
        """Tell nothing more."""
        self._paused.set()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Tell nothing for a while."""
        self._paused.set()
        try:
            yield
        finally:
            self._paused.clear()


@contextlib.contextmanager
def web(folder: Path, address: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The product's web server over that Redis: its process and port."""
    port = standins.free_port()
    log = (folder / "web.log").open("wb")
    words = ["web", "--port", str(port), "--redis", address, "--data", str(folder / "data")]
    process = subprocess.Popen(
        [sys.executable, "-m", "app", *words], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        wait_for(process, f"http://127.0.0.1:{port}/overview", folder / "web.log")
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until the page can be loaded."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=START_SECONDS).read()  # noqa: S310 (our own)
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not start:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis stand-in; its address."""
    with standins.started(load(data=folder), "redis") as address:
        yield address


class Crowd:
    """`bench.crowd` as a process; `ask` sends one command and returns its answer."""

    def __init__(self, url: str, pages: int = 0, front: int = 0) -> None:
        """Started, with `pages` open, which come back at port `front` when their server goes."""
        words = ["bench.returning", url, str(pages), str(front)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(words if front else ["bench.crowd", *words[1:3]])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    def _line(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the crowd of pages has ended; its reason stands above")
        return json.loads(line)

    def ask(self, **command: object) -> Any:
        """The answer to one command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._line()

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.communicate()
