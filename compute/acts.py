"""Rule: what users did and how clocks stood goes on record, into the tables `actions`, `clocks`.

Enters: heads of web processes' batches (who opened which desk, acknowledged, asked what if), the
health of `live`, which measures the clocks of sources, and what this host knows of its own clock,
against which those are measured: `unknown` where nobody disciplines it. Leaves: rows by the process
that keeps the tape, all or none, again with the same bytes until ClickHouse has them. ROWS_MAX wait
at most; what is beyond is counted.
"""

from collections.abc import Callable, Mapping
from typing import Any

from compute import snapshot
from compute.archive import Archive
from ingest import host_clock
from ingest.host_clock import HostClock

CLOCKS_NS = 60 * 10**9  # Between two rows of one source: clocks drift by microseconds a second.
ROWS_MAX = 20_000
TEXT_MAX = 4_096


class Acts:
    """Rows that wait for ClickHouse."""

    def __init__(
        self, archive: Archive, host_clock: Callable[[], HostClock] = host_clock.read
    ) -> None:
        """Nothing is asked yet."""
        self.archive, self.host_clock = archive, host_clock
        self.lost = 0
        self._waiting: dict[str, list[dict[str, Any]]] = {"actions": [], "clocks": []}
        self._sealed: dict[str, list[dict[str, Any]]] = {}  # Under way.
        self._clocks_due_ns = 0

    def prepare(self) -> None:
        """Create what is missing; ArchiveError."""
        for statement in snapshot.ddl(self.archive.database):
            self.archive.command(statement)

    def take_head(self, head: Mapping[str, Any]) -> None:
        """What a batch says that users did; ValueError, TypeError or KeyError where it is torn."""
        for ts, session, user, desk, _, _ in head["pages"]:
            self._put_action(int(ts), user, session, "open", desk, "{}")
        for ts, person, session, action, subject, detail in head.get("acts", ()):
            self._put_action(int(ts), person, session, action, subject, detail)

    def _put_action(self, ts: int, *said: Any) -> None:
        person, page, action, subject, detail = (str(value)[:TEXT_MAX] for value in said)
        row = {"ts": ts, "person": person, "page": page}
        self._put("actions", row | {"action": action, "subject": subject, "detail": detail})

    def take_health(self, health: Mapping[str, Mapping[str, Any]], now_ns: int) -> None:
        """What `live` says of sources' clocks, and this host of its own, once a minute."""
        if now_ns < self._clocks_due_ns:
            return
        self._clocks_due_ns = now_ns + CLOCKS_NS
        host, reference, offset_ns, uncertainty_ns = self.host_clock()
        self._put_clock(now_ns, host, "host", reference, offset_ns, uncertainty_ns)
        for one in health.get("live.0", {}).get("clocks") or ():
            offset_ns, uncertainty_ns = (
                round(one[name] * 1e6) for name in ("offset_ms", "uncertainty_ms")
            )
            source = f"source {one['source']}"
            self._put_clock(now_ns, source, "source", "live.0", offset_ns, uncertainty_ns)

    def _put_clock(self, ts: int, *said: Any) -> None:
        names = ("host", "role", "reference", "offset_ns", "uncertainty_ns")
        self._put("clocks", {"ts": ts, **dict(zip(names, said, strict=True))})

    def _put(self, table: str, row: dict[str, Any]) -> None:
        if len(self._waiting[table]) >= ROWS_MAX:
            self.lost += 1
        else:
            self._waiting[table].append(row)

    def insert(self) -> None:
        """Put on record what waits; ArchiveError leaves it for the next time."""
        for table in self._waiting:
            if table not in self._sealed and self._waiting[table]:
                self._sealed[table], self._waiting[table] = self._waiting[table], []
            if table in self._sealed:
                snapshot.tell(self.archive, table, self._sealed[table])
                del self._sealed[table]
