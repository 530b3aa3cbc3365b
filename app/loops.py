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
from concurrent.futures import ThreadPoolExecutor
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
LIVE_LEASE_SECONDS = 1.5  # A worker that dies is missed for so long, if it is not started again.
LIVE_BUSY_SECONDS = 5.0  # Two rounds with a Redis that does not answer take four.
RECORD_LEASE_SECONDS = 5.0
QUIET_SECONDS = 0.2  # So long after the last row no more are on their way: 4 fetches.


class PatientRows(ReferenceSource):
    """The reference rows, once there are some: who starts first must not refuse all events."""

    def read_all(self, seconds: float = ROWS_SECONDS_MAX) -> list[Instrument]:
        """Every row there is; waits for the first one at most `seconds`."""
        rows = super().read_all()
        deadline = time.monotonic() + seconds
        # Who starts again finds rows of long ago, and has nothing to wait for.
        quiet_s = clock.now_ns() / 1e9 - self.newest_ms / 1e3
        quiet_at = time.monotonic() + QUIET_SECONDS - max(0.0, quiet_s)
        while time.monotonic() < (quiet_at if rows else deadline):
            more = self.poll()
            if more:
                rows += more
                quiet_at = time.monotonic() + QUIET_SECONDS
            else:
                time.sleep(0.01)
        return rows


def live(settings: Settings, worker: int | None = None) -> Loop:
    """Kafka's frames -> numbers -> Redis; as number `worker` of several, those of its shards."""
    from compute.live import Live
    from ingest.source import Publisher, Source

    sys.setswitchinterval(SWITCH_SECONDS)
    if worker is not None:
        from compute.live_shards import LiveShards
        from compute.worker import SharedRows

        # Half of a start is to read the reference, the other to ask Kafka and to load code.
        with ThreadPoolExecutor(1) as beside:
            read = beside.submit(lambda: SharedRows(PatientRows(settings.kafka, "live")))
            source, quarantine = Source(settings.kafka, "live"), Publisher(settings.kafka)
            compile_kernels(Engine(Reference()), settings.data)
            shared = read.result()
        role, bus = f"live.{worker}", Bus(settings.redis)
        shards = LiveShards(role, shared, bus, quarantine, _fund(settings).books)
        return _worker(settings, role, source, shards, (LIVE_LEASE_SECONDS, LIVE_BUSY_SECONDS))
    source, rows = Source(settings.kafka, "live"), PatientRows(settings.kafka, "live")
    bus, quarantine = Bus(settings.redis), Publisher(settings.kafka)
    loop = Live(source, rows, bus, quarantine, books=_fund(settings).books)
    compile_kernels(loop.engine, settings.data)
    return loop


def _worker(
    settings: Settings, role: str, source: Any, kind: Any, seconds: tuple[float, float]
) -> Loop:
    """A worker of several; `seconds`: of its leases, and of a round after which it hangs."""
    from compute.share import Share
    from compute.worker import Worker
    from ingest.shard import Shards

    frames, (lease_s, busy_s) = Shards(source), seconds
    started_ms = clock.now_ns() // 1_000_000
    share = Share(Bus(settings.redis), role, frames.count, lease_s, started_ms, busy_s=busy_s)
    return Worker(share.start(), frames, kind, now_ns=clock.now_ns)


def merge(settings: Settings) -> Loop:
    """What several workers of `live` tell -> one stream."""
    from compute.follow import ReferenceFollower
    from compute.merge import Merge
    from ingest.shard import Shards
    from ingest.source import Source

    bus, topic = Bus(settings.redis), PatientRows(settings.kafka, "merge")
    first = topic.read_all()
    topic.close()
    source = Source(settings.kafka, "merge")
    shards = Shards(source).count
    source.close()
    return Merge(ReferenceFollower(bus, first), bus, shards)


def risk(settings: Settings) -> Loop:
    """The tables of `live` -> Greeks, curves, exposure -> Redis."""
    with _beating(_teller(settings, "risk.0"), {"starting": "positions and limits"}):
        return _risk(settings)


def _risk(settings: Settings) -> Loop:
    from compute import factor, options
    from compute.alerts import RESTORE_NS, Alerts
    from compute.attribution import Attribution
    from compute.exposure import Exposure
    from compute.follow import ReferenceFollower
    from compute.quant_part import QuantPart
    from compute.quarantine import Quarantine
    from compute.rates_part import RatesPart, rehearsed
    from compute.risk import Risk
    from compute.warm import Deferred, Task, Warming
    from ingest.kept import KeptSource, Replayer
    from ingest.source import ALERTS_TOPIC, SELDOM, Publisher, Source

    bus, topic = Bus(settings.redis), PatientRows(settings.kafka, "risk")
    first = topic.read_all()
    topic.close()
    exposure = Exposure(_fund(settings), factor.demo, prepared=False)
    exposure.prepare()
    attribution = Attribution(exposure)
    attribution.prepare()
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
    parts = (
        Deferred(tasks[0], warming),
        Deferred(tasks[2]),
        exposure,
        attribution,
        QuantPart(settings.layout_folders),
    )
    refused = Quarantine(KeptSource(settings.kafka), Replayer(settings.kafka))
    alerts = Alerts(exposure, bus, Publisher(settings.kafka, once=True), quarantine=refused)
    told = Source(settings.kafka, "risk", patience=SELDOM, topics=(ALERTS_TOPIC,))
    alerts.restore(told.read_since(clock.now_ns() - RESTORE_NS))
    told.close()
    return Risk(ReferenceFollower(bus, first), bus, parts, desk=alerts)


def record(settings: Settings, worker: int | None = None) -> Loop:
    """Kafka's frames -> rows in ClickHouse; as number `worker` of several, those of its shards."""
    from compute.alert_record import AlertRecord
    from compute.archive import Archive
    from compute.checkpoint import Checkpoints
    from compute.derived import Derived
    from compute.record import Record
    from compute.record_start import Start
    from compute.schema import Keep
    from ingest.source import ALERTS_TOPIC, SELDOM, Publisher, Source

    source, digests = Source(settings.kafka, "record"), Publisher(settings.kafka)
    keep = Keep(settings.record_hot_days, settings.record_keep_years, settings.record_volume)
    folder = settings.data / "checkpoints" / settings.database

    def alerts(archive: Archive) -> AlertRecord:
        topic = Source(settings.kafka, "record", patience=SELDOM, topics=(ALERTS_TOPIC,))
        return AlertRecord(topic, archive)

    if worker is not None:
        from compute.record_shards import RecordShards
        from compute.worker import SharedRows

        rows = PatientRows(settings.kafka, "record")

        compile_kernels(Engine(Reference()), settings.data)
        role, bus = f"record.{worker}", Bus(settings.redis)
        shards = RecordShards(
            *(SharedRows(rows), settings.clickhouse, settings.database, folder / "shards"),
            alerts=alerts,
            digests=digests,
            report=lambda health: _asked(lambda: bus.report(role, health), False),
            legs=lambda: _asked(lambda: bus.swap_legs({}), {}),
            keep=keep,
        )
        return _worker(settings, role, source, shards, (RECORD_LEASE_SECONDS, 0.0))
    archive, checkpoints = Archive(settings.clickhouse, settings.database), Checkpoints(folder)
    alerted = alerts(archive)
    # Most of a start is to read the reference, and to ask ClickHouse: both at a time.
    sys.setswitchinterval(SWITCH_SECONDS)
    start = Start(archive, checkpoints, source.assigned, alerts=alerted, keep=keep).ahead()
    loop = Record(
        *(source, PatientRows(settings.kafka, "record"), archive, checkpoints),
        alerts=alerted,
        derived=Derived(archive),
        digests=digests,
        tell=_teller(settings, "record.0"),
        start=start,
    )
    compile_kernels(loop.engine, settings.data)
    return loop


def _asked[T](ask: Callable[[], T], without: T) -> T:
    """What Redis answers, or `without` it: it may be away."""
    try:
        return ask()
    except BusError:
        return without


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
    return fund.of(settings.fund)


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
