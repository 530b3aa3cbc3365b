"""A web process of the product's own, for a browser to look at, and who tells it what to show."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from app import probe, standins
from compute import delta
from compute.bus import Bus
from compute.table import INSTRUMENTS, LIVE_TABLES, RISK_TABLES
from ingest import clock
from tests.app.test_view import ROWS_MAX, Worker, instruments

ROOT = Path(__file__).parents[1]


class Publisher:
    """What `live` and `risk` would tell, by hand."""

    def __init__(self, url: str) -> None:
        self.bus = Bus(url)
        self.workers = [Worker(LIVE_TABLES), Worker(RISK_TABLES)]
        self.random = np.random.default_rng(5)
        table = self.workers[0].tables["instruments"]
        table[:] = np.round(self.random.uniform(50, 150, table.shape), 2)
        table[:, INSTRUMENTS.index("state")] = 0
        table[:, INSTRUMENTS.index("ts_event")] = clock.now_ns() / 1e6
        self.bus.set_reference(instruments().to_json())
        self.tell()

    def change(self, cells: int = 12) -> None:
        table = self.workers[0].tables["instruments"]
        for _ in range(cells):
            row = int(self.random.integers(ROWS_MAX))
            for name in ("bid", "ask", "last"):
                table[row, INSTRUMENTS.index(name)] = round(self.random.uniform(50, 150), 2)
        self.tell()

    def tell(self) -> None:
        for number, worker in enumerate(self.workers):
            worker.ts_cut = clock.now_ns()
            epoch, sequence, frame = worker.cut()
            image = _packed(worker)
            self.bus.publish(number, epoch, sequence, frame, image)


def _packed(worker: Worker) -> bytes:
    return delta.pack_image(worker.tables, worker.epoch, worker.sequence, worker.ts_cut, {})


@contextmanager
def serving(redis: str, clickhouse: str, folder: Path, port: int = 0) -> Iterator[str]:
    """The web process on that port, or one of its own, its data in `folder`/data; its address."""
    port = port or standins.free_port()
    known = {"DATA": folder / "data", "REDIS": redis, "CLICKHOUSE": clickhouse}
    environment = {f"TICKGLASS_{name}": str(value) for name, value in known.items()}
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "web", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | environment | {"TICKGLASS_DATABASE": "tickglass"},
            stderr=log,
        )
        try:
            until(lambda: probe.listening(port), 120, (folder / "web.log").read_text)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def until[T](found: Callable[[], T], seconds: float, why: Callable[[], str] = lambda: "") -> T:
    """What `found` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)
    return value
