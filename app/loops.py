"""Key: opens the doors that a worker needs and hands them to its loop. No web, no Panel here.

Compiled code is made ready before a loop begins: on the first start ever that takes half a
minute, in which nothing may yet be waiting in Kafka to be read.
"""

import contextlib
import fcntl
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app.process import Loop
from app.settings import Settings
from compute.bus import Bus, BusError
from compute.engine import Engine
from ingest import clock, fund
from ingest.event import EVENT
from ingest.fund import Fund
from ingest.instrument import Instrument, Reference
from ingest.source import ReferenceSource

ROWS_SECONDS_MAX = 15.0  # A market without instruments is a market that has not begun.
# While a checkpoint is packed in a thread the loop must get its turn at once; Python's own 5 ms
# would show in every cell.
SWITCH_SECONDS = 0.0005
BEAT_SECONDS = 1.0
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
        books=_fund(settings).books,
    )
    compile_kernels(loop.engine, settings.data)
    sys.setswitchinterval(SWITCH_SECONDS)
    return loop


def risk(settings: Settings) -> Loop:
    """The tables of `live` -> Greeks, curves, exposure -> Redis."""
    with _beating(_teller(settings, "risk.0"), {"starting": "positions and limits"}):
        return _risk(settings)


def _risk(settings: Settings) -> Loop:
    from compute import factor, options
    from compute.alerts import RESTORE_NS, Alerts
    from compute.exposure import Exposure
    from compute.follow import ReferenceFollower
    from compute.rates_part import RatesPart, rehearsed
    from compute.risk import Risk
    from compute.warm import Deferred, Task, Warming
    from ingest.source import ALERTS_TOPIC, SELDOM, Publisher, Source

    bus, topic = Bus(settings.redis), PatientRows(settings.kafka, "risk")
    first = topic.read_all()
    topic.close()
    exposure = Exposure(_fund(settings), factor.demo, prepared=False)
    exposure.prepare()
    rates = RatesPart(exposure.take_key_rates)

    def rate(currency: str, years: float) -> float:
        curve = rates.rates.curves.get(currency) if rates.rates else None
        zero = float(curve.zero(years)[0]) if curve else math.nan
        return zero if math.isfinite(zero) else options.flat_rate(currency, years)

    # What exposure and limits need comes first; what depends on curves, losses and Greeks
    # joins as it is ready.
    tasks = (
        Task("curves and credit", lambda: rehearsed(rates, Reference(first), clock.now_ns())),
        Task("value at risk and scenarios", exposure.losses.prepare),
        Task("options", lambda: options.rehearsed(rate)),
    )
    warming = Warming(tasks).start()
    parts = (Deferred(tasks[0], warming), Deferred(tasks[2]), exposure)
    alerts = Alerts(exposure, bus, Publisher(settings.kafka, once=True))
    told = Source(settings.kafka, "risk", patience=SELDOM, topics=(ALERTS_TOPIC,))
    alerts.restore(told.read_since(clock.now_ns() - RESTORE_NS))
    told.close()
    return Risk(ReferenceFollower(bus, first), bus, parts, desk=alerts)


def record(settings: Settings) -> Loop:
    """Kafka's frames -> rows in ClickHouse."""
    from compute.alert_record import AlertRecord
    from compute.archive import Archive
    from compute.checkpoint import Checkpoints
    from compute.derived import Derived
    from compute.record import Record
    from compute.schema import Keep
    from ingest.source import ALERTS_TOPIC, SELDOM, Publisher, Source

    archive = Archive(settings.clickhouse, settings.database)
    alerts = Source(settings.kafka, "record", patience=SELDOM, topics=(ALERTS_TOPIC,))
    loop = Record(
        Source(settings.kafka, "record"),
        PatientRows(settings.kafka, "record"),
        archive,
        Checkpoints(settings.data / "checkpoints" / settings.database),
        alerts=AlertRecord(alerts, archive),
        derived=Derived(archive),
        digests=Publisher(settings.kafka),
        tell=_teller(settings, "record.0"),
        keep=Keep(settings.record_hot_days, settings.record_keep_years, settings.record_volume),
    )
    compile_kernels(loop.engine, settings.data)
    return loop


def tape(settings: Settings) -> Loop:
    """What workers tell and pages show -> slices in ClickHouse."""
    from compute.archive import Archive
    from compute.tape import Tape

    return Tape(
        Bus(settings.redis),
        Archive(settings.clickhouse, settings.database),
        (settings.tape_hours, settings.screens_days),
        _teller(settings, "tape.0"),
    )


def _fund(settings: Settings) -> Fund:
    """The books and limits that the user named, or the demo's."""
    return fund.load(settings.fund) if settings.fund else fund.DEMO


def compile_kernels(engine: Engine, folder: Path) -> None:
    """Make the kernels ready. Who comes second waits, and loads what the first one has compiled."""
    from compute import digest

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "kernels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        engine.step(np.zeros(0, EVENT), None)
        engine.total()
        digest.rehearse()


@contextlib.contextmanager
def _beating(
    tell: Callable[[dict[str, Any]], None] | None, health: dict[str, Any]
) -> Iterator[None]:
    """Report `health` once a second until what is inside is done: it takes its time."""
    done = threading.Event()

    def beat() -> None:
        while tell and not done.is_set():
            tell(health)
            done.wait(BEAT_SECONDS)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()  # Its last word must not come after the loop's first.


def _teller(settings: Settings, role: str) -> Callable[[dict[str, Any]], None] | None:
    """Reports health; a Redis that is away costs a report, never the record."""
    if not settings.redis:
        return None
    bus = Bus(settings.redis)

    def tell(health: dict[str, Any]) -> None:
        with contextlib.suppress(BusError):
            bus.report(role, {"now_ms": clock.now_ns() / 1e6, **health})

    return tell
