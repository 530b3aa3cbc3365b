"""What rights cost: a tick of the same pages, for whom nothing is withheld and for whom much is.

Sessions of a hub in this process, with sockets that swallow what they are sent; both kinds by
turns, so that a busy machine is busy for both. No stack of web server is in it: beside what
`fanout` says of a session this is the difference alone.
"""

import asyncio
import statistics
import time

import numpy as np

from app.mirror import Mirror
from app.rights import ALL, Rights, granted
from app.session import Hub, Session
from compute.table import INSTRUMENTS, POSITIONS, TABLES
from ingest.fund import DEMO
from ingest.instrument import Instrument, Reference

ROWS, LINES = 5_000, 1_600
TICKS, ROUNDS = 30, 5
TEAMS = ("US TMT", "FX carry", "IG curve", "Macro rates")  # Each sees its own book.
FEEDS = [
    {"kind": "grid", "table": INSTRUMENTS.name, "columns": list(INSTRUMENTS.names[:14])},
    {"kind": "grid", "table": POSITIONS.name, "columns": list(POSITIONS.names[:14])},
    {"kind": "status"},
]


class _Socket:
    sequence = 0

    def ready(self) -> bool:
        return True

    def write(self, _push: bytes) -> bool:
        return True

    def end(self) -> None:
        pass


class Floor:
    """A hub and its pages; person k is of team k."""

    def __init__(self, pages: int, *, entitled: bool) -> None:
        """`entitled`: every page has the rights of one of TEAMS."""
        self.loop = asyncio.new_event_loop()
        mirror = Mirror(bus=None)  # type: ignore[arg-type]
        mirror.reference = Reference(
            Instrument(k, f"S{k}", 0, "X", "USD", 1.0, 0.01, 2) for k in range(ROWS)
        )
        for table in TABLES:
            mirror._grow(table.name, ROWS if table is INSTRUMENTS else LINES)  # noqa: SLF001
        self.chance = np.random.default_rng(1)
        for name in (INSTRUMENTS.name, POSITIONS.name):
            mirror.tables[name][:] = self.chance.normal(size=mirror.tables[name].shape)
        books = np.arange(LINES) % len(DEMO.books)
        mirror.tables[POSITIONS.name][:, POSITIONS.index("book")] = books
        self.mirror, self.hub = mirror, Hub(mirror, self.loop)
        teams = [granted(DEMO, books=(name,)) for name in TEAMS]
        rights: list[Rights] = teams if entitled else [ALL]
        self.hub.rights_of = lambda user: rights[int(user) % len(rights)]
        self.sessions = [self._open(str(k)) for k in range(pages)]

    def _open(self, user: str) -> Session:
        session = self.hub.attach({"title": "", "feeds": FEEDS}, _Socket, user)
        session.control({"type": "ready"})
        for feed in (0, 1):
            session.control({"type": "viewport", "feed": feed, "first": 0, "count": 45})
        return session

    def tick_us(self) -> float:
        """Microseconds a tick, over TICKS."""
        spent = 0.0
        for _ in range(TICKS):
            self.mirror.sequence += 1
            for name in (INSTRUMENTS.name, POSITIONS.name):
                rows = self.chance.integers(0, len(self.mirror.tables[name]), 400)
                self.mirror.tables[name][rows, 8] += 1.0
                self.mirror.changed[name][rows, 8] = self.mirror.sequence
            begun = time.process_time()
            self.hub.tick()
            spent += time.process_time() - begun
            for session in self.sessions:
                session.ack(self.mirror.sequence, 1.0, 0)
        return 1e6 * spent / TICKS


def measure(pages: int = 200) -> dict[str, float]:
    """Microseconds that a session costs a tick, without rights and with four teams' rights."""
    floors = Floor(pages, entitled=False), Floor(pages, entitled=True)
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for floor, mine in zip(floors, found, strict=True):
            mine.append(floor.tick_us() / pages)
    for floor in floors:
        floor.loop.close()
    plain, entitled = (statistics.median(one) for one in found)
    return {
        "us_hub_per_session": plain,
        "us_hub_per_session_entitled": entitled,
        "us_entitled_view": (entitled - plain) * pages / (2 * len(TEAMS)),
    }
