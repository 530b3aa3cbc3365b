"""Rule: what users did and how clocks stood goes on record.

Enters: heads of web processes' batches (who opened which desk, acknowledged, asked what if), the
health of `live`, which measures the clocks of sources, and what this host knows of its own clock,
against which those are measured: `unknown` where nobody disciplines it. Leaves, by the process that
keeps the tape: acts as slices of a stream of their own (compute/tape_row.py), so that they are
chained, stated and under the signed roots as all of the tape is, but kept for ever; the view
`actions` shows their rows. Clocks as rows of `clocks`. Both again with the same bytes until
ClickHouse has them. ROWS_MAX wait at most; what is beyond is counted.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from compute import snapshot
from compute.archive import Archive
from compute.batch import pack_batch
from compute.tape_row import COLUMNS, Slice
from ingest import clock, host_clock
from ingest.host_clock import HostClock

ACTS = "acts"  # Table, and the one stream that it holds. A slice's data is lines of JSON.
ACTIONS = "actions"  # The view.
FORMER = "actions_unsealed"  # What older programs wrote, row by row, under no root.

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
        self._waiting: dict[str, list[dict[str, Any]]] = {ACTS: [], "clocks": []}
        self._sealed: list[dict[str, Any]] = []  # Rows of clocks, under way.
        self._clocks_due_ns = 0

    def prepare(self) -> None:
        """Create what is missing; ArchiveError."""
        for statement in (*snapshot.ddl(self.archive.database), *ddl(self.archive)):
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
        self._put(ACTS, row | {"action": action, "subject": subject, "detail": detail})

    def slice(self) -> Slice | None:
        """All acts that wait, to be sealed; None where there are none."""
        rows, self._waiting[ACTS] = self._waiting[ACTS], []
        if not rows:
            return None
        moments = [row["ts"] for row in rows]
        data = "\n".join(json.dumps(row, separators=(",", ":")) for row in rows).encode()
        return Slice(ACTS, 0, min(moments), max(moments), whole=True, data=data)

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
        """Put on record how clocks stood; ArchiveError leaves it for the next time."""
        if not self._sealed:
            self._sealed, self._waiting["clocks"] = self._waiting["clocks"], []
        if self._sealed:
            snapshot.tell(self.archive, "clocks", self._sealed)
            self._sealed = []


def ddl(archive: Archive) -> list[str]:
    """Statements that create the table of acts and its view."""
    database = archive.database
    slices = ", ".join(
        f"`{name}` {kind}" + (" CODEC(ZSTD(3))" if name == "data" else "") for name, kind in COLUMNS
    )
    texts = ("person", "page", "action", "subject", "detail")
    shown = ", ".join(f"JSONExtractString(line, '{name}') AS {name}" for name in texts)
    moment = "fromUnixTimestamp64Nano(JSONExtractInt(line, 'ts'), 'UTC') AS ts"
    former = archive.rows(
        "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = {name:String} "
        "AND engine != 'View'",
        {"database": database, "name": ACTIONS},
    )
    # An act that a tape took twice, because it died in between, is one act.
    return [
        *([f"RENAME TABLE {database}.{ACTIONS} TO {database}.{FORMER}"] if former else []),
        (
            f"CREATE TABLE IF NOT EXISTS {database}.{ACTS} ({slices}) ENGINE = MergeTree "
            "ORDER BY (stream, ts, number) SETTINGS non_replicated_deduplication_window = 1000"
        ),
        (
            f"CREATE VIEW IF NOT EXISTS {database}.{ACTIONS} AS SELECT DISTINCT {moment}, {shown} "
            f"FROM {database}.{ACTS} ARRAY JOIN splitByChar('\n', data) AS line"
        ),
    ]


def newest(archive: Archive, person: str, action: str, last: int) -> list[dict[str, str]]:
    """The newest acts, of that person and kind where one is named, in their order; `from` where."""
    where = f"{archive.database}.{ACTIONS}"
    found = archive.rows(
        "SELECT toString(a.ts), a.person, f.subject, a.page, a.action, a.subject, a.detail "
        f"FROM {where} AS a LEFT JOIN (SELECT page, any(subject) AS subject FROM {where} "
        "WHERE action = 'from' GROUP BY page) AS f ON a.page = f.page "
        "WHERE a.action != 'from' AND ({person:String} = '' OR a.person = {person:String}) "
        "AND ({action:String} = '' OR a.action = {action:String}) "
        f"ORDER BY a.ts DESC LIMIT {int(last)}",
        {"person": person, "action": action},
    )
    names = ("ts", "person", "from", "page", "action", "subject", "detail")
    return [dict(zip(names, map(str, row), strict=True)) for row in reversed(found)]


class Told(Protocol):
    """What is needed of compute.bus.Bus."""

    def put_screens(self, head: bytes, body: bytes) -> None:
        """Hand a batch to the tape."""


def tell(bus: Told, person: str, page: str, *said: str) -> None:
    """Put on record what was done by a command: action, subject, detail. BusError."""
    ts = clock.now_ns()
    head = {"stream": f"{page}-{ts}", "number": 0, "ts_first": ts, "ts": ts, "pages": []}
    told = json.dumps(head | {"acts": [[ts, person, page, *said]]})
    bus.put_screens(told.encode(), pack_batch([], []))
