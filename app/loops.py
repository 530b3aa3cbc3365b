"""Key: opens the doors that a worker needs and hands them to its loop. No web, no Panel here."""

import contextlib
import time
from pathlib import Path
from typing import Any

from app import status
from app.process import Loop
from app.settings import Settings
from compute.bus import Bus, BusError
from ingest import clock

AFTER_SECONDS_MAX = 120.0  # The first start ever compiles all kernels: a minute on a slow core.


def live(settings: Settings) -> Loop:
    """Kafka's frames -> numbers -> Redis."""
    from compute.live import Live
    from ingest.source import Publisher, ReferenceSource, Source

    return Live(
        Source(settings.kafka, "live"),
        ReferenceSource(settings.kafka, "live"),
        Bus(settings.redis),
        Publisher(settings.kafka),
    )


def record(settings: Settings) -> Loop:
    """Kafka's frames -> rows in ClickHouse."""
    from compute.archive import Archive
    from compute.checkpoint import Checkpoints
    from compute.record import Record
    from ingest.source import ReferenceSource, Source

    return Record(
        Source(settings.kafka, "record"),
        ReferenceSource(settings.kafka, "record"),
        Archive(settings.clickhouse, settings.database),
        Checkpoints(settings.data / "checkpoints" / settings.database),
        tell=_teller(settings, "record.0"),
    )


def _teller(settings: Settings, role: str) -> Any:
    """Reports health; a Redis that is away costs a report, never the record."""
    if not settings.redis:
        return None
    bus = Bus(settings.redis)

    def tell(health: dict[str, Any]) -> None:
        with contextlib.suppress(BusError):
            bus.report(role, health)

    return tell
