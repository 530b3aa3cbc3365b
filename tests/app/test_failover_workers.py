"""Killed in the middle of a market, `live` and `record` come to the bits of those that were not.

Two of each follow one log, apart from each other (a Redis and a ClickHouse database each); one of
each is killed with SIGKILL as soon as there is a checkpoint to take up, and is forked again.
"""

import os
import signal
import sys
import time

import numpy as np
import pytest

from app.settings import ROOT
from app.supervisor import Role, Supervisor
from compute import account, delta
from compute.archive import Archive, ArchiveError
from compute.bus import Bus, BusError
from compute.digest import COLUMNS
from compute.row import RECORD
from compute.table import INSTRUMENTS, POSITIONS
from ingest.source import FILLS
from tests.clickhouse import ClickHouse

SECONDS_MAX = 180.0  # For each wait, on a machine that is busy.
RATE = 3_000
SPARED, KILLED = "spared", "killed"
# What a currency cost when a fill was read: that comes from another partition.
BY_OTHERS = {"pnl", "exposure", "translation", "day_translation", "pnl_base"}


class Product:
    """The workers, and where they write."""

    def __init__(self, folder, kafka: str, redis: str, clickhouse: str) -> None:
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "TICKGLASS_DATA": str(folder / "data"),
            "TICKGLASS_KAFKA": kafka,
            "TICKGLASS_CLICKHOUSE": clickhouse,
            "TICKGLASS_RATE": str(RATE),
            "TICKGLASS_PARENT": str(os.getpid()),
        }
        self.said: list[str] = []
        self.supervisor = Supervisor(folder, lambda: environment, self.said.append, ROOT)
        self.bus = {name: Bus(redis[:-1] + str(k)) for k, name in enumerate((SPARED, KILLED))}
        self.archive = {name: Archive(clickhouse, name) for name in self.bus}
        self._start("fork-server", "fork-server", forks=True)
        self.until("the fork server", lambda: self.supervisor.forks.ready)
        for name, bus in self.bus.items():
            self._start(f"live.{name}", "live", "--redis", bus.url, forked=True)
            options = ("--redis", bus.url, "--database", name)
            self._start(f"record.{name}", "record", *options, forked=True)
        self._start("replay", "replay", ends=True, forked=True)

    def _start(self, name: str, *arguments: str, **more: bool) -> None:
        self.supervisor.start(Role(name, (sys.executable, "-m", "app", *arguments), **more))

    def until(self, what: str, condition) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            self.supervisor.step()
            try:
                if condition():
                    return
            except (BusError, ArchiveError, KeyError):
                pass
            logs = {name: self.supervisor.tail(name) for name in self.supervisor.children}
            assert time.monotonic() < deadline, f"{what}: {self.said} {logs}"
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        process = self.supervisor.children[name].process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)

    def settled(self) -> bool:
        """Whether all four have taken all that there is."""
        images = [delta.unpack_image(bus.image() or b"") for bus in self.bus.values()]
        healths = [bus.health() for bus in self.bus.values()]
        done = all(
            row["behind_frames"] == 0 and not row.get("waiting_rows", 0)
            for health in healths
            for row in (health["live.0"], health["record.0"])
        )
        sizes = {archive.size()[0] for archive in self.archive.values()}
        return done and images[0].positions == images[1].positions and len(sizes) == 1

    def close(self) -> None:
        self.supervisor.stop()
        for door in (*self.bus.values(), *self.archive.values()):
            door.close()


@pytest.fixture
def product(tmp_path, kafka, redis):
    server = ClickHouse(tmp_path / "clickhouse").start()
    found = Product(tmp_path, kafka, redis, server.address)
    yield found
    found.close()
    server.kill()


def test_a_kill_leaves_no_trace_in_the_numbers_and_on_the_record(product):
    killed = product.bus[KILLED]
    product.until("a checkpoint", lambda: killed.checkpoint() is not None)
    product.until("rows", lambda: product.archive[KILLED].size()[0] > 0)
    product.kill(f"live.{KILLED}")
    product.kill(f"record.{KILLED}")
    epoch = killed.last_epoch()
    product.until("a successor", lambda: killed.last_epoch() > epoch)
    product.supervisor.stop(["replay"])
    product.until("all is taken", product.settled)
    same_tables(product)
    same_rows(product)


def same_tables(product: Product) -> None:
    one, other = (delta.unpack_image(bus.image()).tables for bus in product.bus.values())
    assert np.isfinite(one[INSTRUMENTS.name][:, INSTRUMENTS.index("ts_event")]).sum() > 100
    assert np.isfinite(one[POSITIONS.name]).any()
    for table in (INSTRUMENTS, POSITIONS):
        bits, others = (
            np.ascontiguousarray(tables[table.name]).view(np.int64) for tables in (one, other)
        )
        differ = {table.names[k] for k in np.flatnonzero((bits != others).any(axis=0))}
        assert differ <= BY_OTHERS


def same_rows(product: Product) -> None:
    """Every row once, and alike: of the market all but P&L, of fills what was read."""
    told = [name for name in RECORD.names or () if name not in ("position", "pnl")]
    read = [name for name in told if name not in COLUMNS]
    found = []
    for archive in product.archive.values():
        for count in account.count(archive):
            assert (count.holes, count.doubles, count.torn) == (0, 0, 0), count
        sums = [
            archive.rows(
                f"SELECT topic, partition, count(), sum(cityHash64({names})) "
                f"FROM {archive.database}.events WHERE {where} GROUP BY topic, partition ORDER BY 1"
            )
            for names, where in (
                (", ".join(f"`{name}`" for name in told), f"topic != {FILLS}"),
                (", ".join(f"`{name}`" for name in read), f"topic = {FILLS}"),
            )
        ]
        assert all(sums)
        found.append(sums)
    assert found[0] == found[1]
