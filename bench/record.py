"""Promise: >= 1,000,000 rows a CPU second, recorder and ClickHouse together, <= 24 bytes a row.

The demo market, framed as the replay frames it, goes through the product's own recorder (intake,
engine, rows, chain, checkpoints) into ClickHouse's stand-in, a process of its own, by HTTP. The
merges that follow count too, and what comes once in a recorder's life (its first pages of memory,
the calendar). Left out: Kafka's client (12 M events a CPU second by frames). Then the whole record
is read back and hashed: `verified` says that it is what was sent.
"""

import argparse
import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from bench.report import machine, report
from compute import account, chain, gather
from compute.archive import Archive
from compute.checkpoint import Checkpoints
from compute.record import Record
from ingest.clock import VirtualClock
from ingest.event import EVENT
from ingest.instrument import Instrument
from ingest.market import Market
from ingest.replay import Replay, Synthetic
from ingest.source import POLL_MESSAGES_MAX, TOPIC_INDEX, Message, Positions
from ingest.universe import universe

ROWS_PER_CPU_S_MIN = 1_000_000
BYTES_PER_ROW_MAX = 24.0
SHARDS = 4
MERGE_SECONDS_MAX = 30.0

SERVER = """
import sys
from pathlib import Path
from app.chdb_http import serve
serve(Path(sys.argv[1]), 0, lambda port: print(port, flush=True))
"""


class Tape:
    """A log in memory: a producer for the replay, then a source for the recorder."""

    def __init__(self, clock: VirtualClock) -> None:
        """Nothing published."""
        self.clock, self.log = clock, "in memory"
        self.messages: list[Message] = []
        self.ends: Positions = {}
        self.next = 0

    @property
    def assigned(self) -> list[tuple[int, int]]:
        """Every partition that has a message."""
        return sorted(self.ends)

    def publish(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        """Append one value; reference rows go by another way."""
        if topic in TOPIC_INDEX:
            place = (TOPIC_INDEX[topic], partition)
            self.ends[place] = self.ends.get(place, -1) + 1
            self.messages.append(Message(*place, self.ends[place], self.clock(), value))

    def flush(self, _seconds: float) -> int:
        """All is delivered."""
        return 0

    def seek(self, _positions: Positions) -> None:
        """A fresh record begins at the beginning."""
        self.next = 0

    def poll(self, timeout_s: float = 0.0) -> list[Message]:
        """The next messages."""
        messages = self.messages[self.next : self.next + POLL_MESSAGES_MAX]
        self.next += len(messages)
        return messages

    def commit(self, _positions: Positions) -> None:
        """Nobody asks."""

    silent_s = 0.0

    def lag(self, positions: Positions) -> int:
        """Frames beyond `positions`."""
        return sum(end - positions.get(place, -1) for place, end in self.ends.items())


class Rows:
    """The reference data."""

    def __init__(self, instruments: list[Instrument]) -> None:
        """All of it is known."""
        self.instruments = instruments

    def read_all(self) -> list[Instrument]:
        """Every row."""
        return self.instruments

    def poll(self) -> list[Instrument]:
        """No more."""
        return []


def tape(rate: int, seconds: float, instruments: list[Instrument], seed: int) -> Tape:
    """The demo market of `seconds` at `rate`, as the replay would have published it."""
    clock = VirtualClock()
    made = Tape(clock)
    replay = Replay(Synthetic(Market(instruments, seed), rate), instruments, made, now_ns=clock)
    end = clock() + round(seconds * 1e9)
    while clock() < end:
        while replay.step():
            pass
        clock.advance(0.001)
    return made


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """ClickHouse's stand-in: its address and its process."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds that the process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def settled(archive: Archive) -> None:
    """Wait until ClickHouse merges nothing any more."""
    deadline = time.monotonic() + MERGE_SECONDS_MAX
    quiet = 0
    while quiet < 10 and time.monotonic() < deadline:
        quiet = 0 if archive.merging() else quiet + 1
        time.sleep(0.1)


def measure(rate: int, seconds: float, seed: int, *, paced: bool) -> dict[str, float | int | bool]:
    """Record a tape and read it back; the figures. `paced`: as it would arrive, block by block."""
    log = tape(rate, seconds, universe(5_000, SHARDS), seed)
    gc.freeze()  # The log is Kafka's: no collection of the recorder's goes through it.
    with (
        tempfile.TemporaryDirectory(prefix="tickglass-") as folder,
        server(Path(folder, "clickhouse")) as (address, process),
    ):
        archive = Archive(address)
        record = Record(
            log,
            Rows(universe(5_000, SHARDS)),
            archive,
            Checkpoints(Path(folder, "checkpoints")),
            flush_s=1e9,
            wait=lambda _seconds: None,
        )
        record.engine.step(np.zeros(0, EVENT), None)  # Compiled before the clock runs.
        gather.compiled()
        while record.state != "recording":
            record.step()
        own, other = time.process_time(), cpu_s(process)
        begin = time.perf_counter()
        _run(record, log, round(1.5 * rate) if paced else 0)
        wall_s = time.perf_counter() - begin
        own_s = time.process_time() - own
        settled(archive)
        other_s = cpu_s(process) - other
        rows, size = archive.size()
        verified = all(
            chain.verify(archive.blocks(*place), lambda s: archive.read_block(*s[:4])) is None
            for place in log.assigned
        )
        counts = account.count(archive)
        whole = all(c.holes == c.doubles == c.torn == 0 for c in counts)
        ends = {(c.topic, c.partition): c.last for c in counts}
        archive.close()
    return {
        "rows_per_s": round(rows / wall_s),
        "rows_per_cpu_s": round(rows / (own_s + other_s)),
        "bytes_per_row": round(size / rows, 2),
        "verified": verified and whole and ends == log.ends and rows == record.rows_recorded,
        "rows": rows,
        "frames": len(log.messages),
        "recorder_cpu_s_per_million": round(own_s / rows * 1e6, 3),
        "clickhouse_cpu_s_per_million": round(other_s / rows * 1e6, 3),
        "rate": rate,
    }


def _run(record: Record, log: Tape, flush_rows: int) -> None:
    """Step until all is on record; with `flush_rows`, in inserts of so many."""
    while log.lag(record.positions):
        record.step()
        if flush_rows and record.pending_rows >= flush_rows:
            record.flush()
    record.close()


def run(rate: int = 500_000, seconds: float = 10.0, seed: int = 7) -> None:
    """Measure full blocks and blocks as they arrive at `rate`; report."""
    found = machine()
    full = measure(rate, seconds, seed, paced=False)
    arriving = measure(rate, seconds, seed, paced=True)
    figures = {**full, "arriving": arriving}
    holds = bool(
        full["verified"]
        and arriving["verified"]
        and full["rows_per_cpu_s"] >= ROWS_PER_CPU_S_MIN
        and full["bytes_per_row"] <= BYTES_PER_ROW_MAX
    )
    report("record", holds, figures, found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the market")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    given = parser.parse_args()
    run(given.rate, given.seconds, given.seed)
