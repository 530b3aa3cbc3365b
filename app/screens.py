"""Rule: what this web process shows, handed to the tape: pushes, paints and wishes of every page.

Enters: what sessions send and hear. Leaves: batches (compute/batch.py) on a stream in Redis, each
push once however many pages it was written to. It holds PENDING_BATCHES_MAX and not more: a batch
that Redis does not take in time is let go, its number stays away, and whoever asks for that time
is told so. A page costs an append for each push and each paint.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from compute.batch import ENTRY, NO_BODY, WHOLE_SECONDS, Act, pack_batch
from compute.bus import BusError
from ingest import clock

FLUSH_SECONDS = 0.25
BATCH_BYTES_MAX = 1 << 20  # A fuller one is handed on at once; Redis keeps 256 of them.
PENDING_BATCHES_MAX = 16
ACTS_MAX = 2_000  # Kept while Redis is away: a hundred people's hour.
WISHES = ("viewport", "columns", "sort", "group", "filter", "select")
WISH_BYTES_MAX = 4_096
HELD_MS_MAX = 4_000.0  # Whoever asks for a moment reads the tape for 5 s behind it.
WISHES_MAX = 64  # That one page has at a time: two or three of each feed.


class Bus(Protocol):
    """What is needed of compute.bus.AsyncBus."""

    async def put_screens(self, head: bytes, body: bytes) -> None:
        """Hand a batch on."""


class Shown:
    """One page, as the tape knows it."""

    def __init__(self, screens: "Screens", number: int) -> None:
        """`number` is its own in this process."""
        self.screens, self.number = screens, number
        self._turn = -1
        self._whole = False  # The next push needs nothing before it.
        self._wishes: dict[tuple[str, str], bytes] = {}
        self._acts: dict[str, str] = {}  # The newest of each kind.

    def due(self, turn: int) -> bool:
        """Whether the push that is about to be made should hold all that the page shows.

        `turn` is that of `Screens.turn`, so that pages that show the same share it.
        """
        if turn != self._turn:  # Once due, it stays so until a push has gone.
            self._whole, self._turn = True, turn
        return self._whole

    def sent(self, push: bytes, sequence: int, ts: int) -> None:
        """A push was written to its socket at `ts` ns: read before, as the page may be faster."""
        act = Act.SENT
        if self._whole:
            self._whole, act = False, Act.WHOLE
            for body in self._wishes.values():
                self.screens.add(self.number, Act.WISH, body=body)
        self.screens.add(self.number, act, sequence, push, ts)

    def painted(self, sequence: int, latency_ms: float, held_ms: float = 0.0) -> None:
        """The page says that this came on its glass `held_ms` ago."""
        ago_ns = round(1e6 * min(held_ms, HELD_MS_MAX))
        self.screens.paint(self.number, sequence, latency_ms, ago_ns)

    def wished(self, message: dict[str, Any]) -> None:
        """The page asked to be shown something else."""
        kind = message.get("type")
        if kind not in WISHES:
            return
        body = json.dumps(message, separators=(",", ":")).encode()
        if len(body) <= WISH_BYTES_MAX and len(self._wishes) < WISHES_MAX:
            self._wishes[str(kind), str(message.get("feed"))] = body
            self.screens.add(self.number, Act.WISH, body=body)

    def acted(self, message: dict[str, Any], user: str) -> None:
        """The user did something that is on record by itself: who, what, to what."""
        kind = str(message.get("type"))
        told = {name: value for name, value in message.items() if name not in ("type", "id")}
        detail = json.dumps(told, separators=(",", ":"))[:WISH_BYTES_MAX]
        if self._acts.get(kind) == detail and kind not in ("replay", "export"):
            return  # A what-if is asked again and again as prices move.
        self._acts[kind] = detail
        named = message.get("alert") or message.get("name") or message.get("kept")
        trades = message.get("trades")
        subject = named or ("" if trades is None else f"{len(trades)} trades")
        person = user or message.get("person") or ""
        self.screens.act(self.number, str(person), kind, str(subject), detail)

    def came(self, person: str, address: str) -> None:
        """From where that page is looked at: so are all its acts."""
        self.screens.act(self.number, person, "from", address, "{}")

    def close(self) -> None:
        """The page is gone."""
        self.screens.add(self.number, Act.CLOSE)


class Screens:
    """What all pages of this process were sent and painted, since the last batch."""

    def __init__(
        self, bus: Bus, stream: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`stream` names this life of this process."""
        self.bus, self.stream, self.monotonic = bus, stream, monotonic
        self.batches = self.lost = 0
        self._pages = count(1)
        self._number = 0
        self._opened: deque[tuple] = deque()  # Pages are made in threads.
        self._entries: list[tuple[int, float, int, int, int, int]] = []
        self._bodies: list[bytes] = []
        self._places: dict[int, int] = {}  # id of a body, which is held, -> its place.
        self._bytes = 0
        self._since = clock.now_ns()
        self._pending: deque[tuple[list[tuple], list[tuple], bytes, bytes]] = deque()
        self._wake = asyncio.Event()
        self._acts: list[tuple[int, str, str, str, str, str]] = []
        self.acts_lost = 0

    def open(self, spec: dict[str, Any], user: str) -> Shown:
        """A page with the desk of that spec is there."""
        number = next(self._pages)
        session = f"{self.stream}-{number}"
        feeds = json.dumps(spec["feeds"], separators=(",", ":"))
        desk = str(spec.get("title", ""))
        self._opened.append((clock.now_ns(), session, user, desk, feeds, number))
        return Shown(self, number)

    def told(self) -> dict[str, int]:
        """For the health report: what was let go while Redis was away."""
        return {"screens_lost": self.lost, "acts_lost": self.acts_lost}

    def turn(self) -> int:
        """The present turn, in which each page's first push holds all that it shows."""
        return int(self.monotonic() / WHOLE_SECONDS)

    def act(self, page: int, person: str, action: str, subject: str, detail: str) -> None:
        """A user did something; it goes with the next batch."""
        session = f"{self.stream}-{page}"
        self._acts.append((clock.now_ns(), person, session, action, subject, detail))

    def paint(self, page: int, sequence: int, latency_ms: float, ago_ns: int) -> None:
        """A push came on the glass `ago_ns` before now."""
        ts = clock.now_ns() - ago_ns
        self._put((ts, latency_ms, sequence, page, NO_BODY, Act.PAINTED))

    def add(self, page: int, act: Act, sequence: int = -1, body: bytes = b"", ts: int = 0) -> None:
        """Something happened to a page at `ts` ns; now where none is given."""
        place = NO_BODY
        if body:
            place = self._places.get(id(body), -1)
            if place < 0:
                place = self._places[id(body)] = len(self._bodies)
                self._bodies.append(body)
                self._bytes += len(body)
        self._put((ts or clock.now_ns(), 0.0, sequence, page, place, act))

    def _put(self, entry: tuple[int, float, int, int, int, int]) -> None:
        self._entries.append(entry)
        self._bytes += ENTRY.itemsize
        if self._bytes >= BATCH_BYTES_MAX:
            self.cut()

    def cut(self) -> None:
        """Make a batch of what there is; it goes when Redis takes it."""
        if not (self._entries or self._opened or self._acts):
            return
        now = clock.now_ns()
        if len(self._pending) >= PENDING_BATCHES_MAX:
            former, acts, *_ = self._pending.popleft()
            self._opened.extendleft(reversed(former))
            self._acts = acts + self._acts  # What was shown is let go, not who did what.
            over = max(0, len(self._acts) - ACTS_MAX)
            self.acts_lost += over
            del self._acts[:over]
            self.lost += 1
        opened = [self._opened.popleft() for _ in range(len(self._opened))]
        head = {
            "stream": self.stream,
            "number": self._number,
            "ts_first": self._since,
            "ts": now,
            "pages": opened,
            "acts": self._acts,
        }
        batch = pack_batch(self._entries, self._bodies)
        self._pending.append((opened, self._acts, json.dumps(head).encode(), batch))
        self._number += 1
        self._since = now
        self._acts = []
        self._entries, self._bodies = [], []
        self._places, self._bytes = {}, 0
        self._wake.set()

    def start(self) -> None:
        """Begin to hand batches on; call in the loop."""
        self.task = asyncio.ensure_future(self.run())

    async def run(self) -> None:
        """Hand batches on for ever."""
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), FLUSH_SECONDS)
            except TimeoutError:
                self.cut()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Hand on the batches that wait; those that Redis does not take wait on."""
        while self._pending:
            batch = self._pending[0]
            try:
                await self.bus.put_screens(*batch[2:])
            except BusError:
                return  # The mirror says so on every page.
            if self._pending and self._pending[0] is batch:
                self._pending.popleft()
            self.batches += 1
