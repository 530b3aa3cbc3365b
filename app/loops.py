"""Key: opens the doors that a worker needs and hands them to its loop. No web, no Panel here.

Compiled code is made ready before a loop begins: on the first start ever that takes half a
minute, in which nothing may yet be waiting in Kafka to be read.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from app.process import Loop
from app.settings import Settings
from compute.bus import Bus, BusError
from compute.engine import Engine
from ingest import clock
from ingest.event import EVENT
from ingest.instrument import Instrument
from ingest.source import ReferenceSource

ROWS_SECONDS_MAX = 15.0  # A market without instruments is a market that has not begun.
# While a checkpoint is packed in a thread the loop must get its turn at once; Python's own 5 ms
# would show in every cell.
SWITCH_SECONDS = 0.0005
QUIET_SECONDS = 0.2  # So long after the last row no more are on their way: 4 fetches.


class PatientRows(ReferenceSource):
    """The reference rows, once there are some: who starts first must not refuse all events."""

    def read_all(self, seconds: float = ROWS_SECONDS_MAX) -> list[Instrument]:
        """Every row there is; waits for the first one at most `seconds`."""
        rows = super().read_all()
        deadline = time.monotonic() + seconds
        quiet_at = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < (quiet_at if rows else deadline):
            more = self.poll()
            if more:
                rows += more
                quiet_at = time.monotonic() + QUIET_SECONDS
            else:
                time.sleep(0.01)
        return rows


def live(settings: Settings) -> Loop:
    """Kafka's frames -> numbers -> Redis."""
    from compute.live import Live
    from ingest.source import Publisher, Source

    loop = Live(
        Source(settings.kafka, "live"),
        PatientRows(settings.kafka, "live"),
        Bus(settings.redis),
        Publisher(settings.kafka),
    )
    _compile(loop.engine)
    sys.setswitchinterval(SWITCH_SECONDS)
    return loop


def record(settings: Settings) -> Loop:
    """Kafka's frames -> rows in ClickHouse."""
    from compute.archive import Archive
    from compute.checkpoint import Checkpoints
    from compute.record import Record
    from ingest.source import Source

    loop = Record(
        Source(settings.kafka, "record"),
        PatientRows(settings.kafka, "record"),
        Archive(settings.clickhouse, settings.database),
        Checkpoints(settings.data / "checkpoints" / settings.database),
        tell=_teller(settings, "record.0"),
    )
    _compile(loop.engine)
    return loop


def count(settings: Settings) -> tuple[str, bool]:
    """The record's account by partition, and whether it is whole.

    Starts ClickHouse's stand-in on the data folder where nothing runs.
    """
    from app import standins
    from compute.archive import Archive, describe_count

    with contextlib.ExitStack() as stack:
        url = settings.clickhouse
        if not url:
            if not (settings.data / "clickhouse").is_dir():
                raise RuntimeError(
                    f"There is no record under {settings.data}. Give --data or --clickhouse, or "
                    "make one: ./tickglass up."
                )
            folder = ("--data", str(settings.data))
            url = stack.enter_context(standins.started(settings, "clickhouse", *folder))
        archive = Archive(url, settings.database)
        stack.callback(archive.close)
        counts = archive.count()
    whole = all(count.holes == count.doubles == count.torn == 0 for count in counts)
    return f"{describe_count(counts)}\n{settings.database} at {archive.address}", whole


def _compile(engine: Engine) -> None:
    engine.step(np.zeros(0, EVENT), None)
    engine.total()


def _teller(settings: Settings, role: str) -> Callable[[dict[str, Any]], None] | None:
    """Reports health; a Redis that is away costs a report, never the record."""
    if not settings.redis:
        return None
    bus = Bus(settings.redis)

    def tell(health: dict[str, Any]) -> None:
        with contextlib.suppress(BusError):
            bus.report(role, {"now_ms": clock.now_ns() / 1e6, **health})

    return tell
