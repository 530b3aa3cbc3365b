"""Loop: a page of the past: the tables of a moment on the tape, played on at any speed.

Enters: moments and speeds that the page asks for; slices of the tape (compute/asof.py), read in a
thread of the page's own. Leaves: the same tables that a mirror of live numbers has, so that views,
sessions and blocks know no difference. Every such page has a mirror and a hub of its own, PASTS_MAX
in a process. While one moment is being read only the newest wish is kept. What nobody waits for is
read while the page stands: how far the tape reaches, and what lies beside the moment shown. Nothing
is asked of `risk`.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from app.mirror import Mirror
from app.process import say
from app.session import Hub, Session, Transport
from compute import delta, reports
from compute.archive import Archive, ArchiveError
from compute.asof import NOTES, STREAMS, Past, Told
from compute.table import LIVE_TABLES, RISK_TABLES
from ingest.instrument import Reference

PASTS_MAX = 8  # Each holds 20 MB of tables and up to 96 MB of the tape.
STEP_SECONDS = 0.1  # Between two pictures of a play.
REST_SECONDS = 0.5  # Rows are sorted again, and the span of the tape looked at, while it stands.
SPAN_SECONDS = 5.0  # Between two looks at how far the tape reaches.
SPEED_MIN, SPEED_MAX = 0.1, 60.0
AHEAD_SPEED_MAX = 5.0  # A faster play skips most of what could be read ahead.
OLD_SECONDS = 2.0  # `live` tells something four times a second: older is a hole.
_TABLES = dict(zip(STREAMS, (LIVE_TABLES, RISK_TABLES), strict=True))
_Read = TypeVar("_Read")


class TooManyError(RuntimeError):
    """This process shows as many pasts as it can; the text says so."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What was read of the tape for one picture."""

    told: Told
    notes: dict[str, bytes]
    health: dict[str, dict[str, Any]]


class _Nobody:
    """The bus of the past: nobody answers there."""

    async def ask_risk(self, _message: dict[str, Any]) -> str:
        raise ValueError("this desk shows the past: it can be looked at, and nothing be asked")

    async def answer(self, _ask: str, _seconds: float = 0.0) -> None:
        return None


class PastMirror(Mirror):
    """The tables as they were at `moment_ns`."""

    def __init__(self, live: Mirror, moment_ns: int) -> None:
        """Knows the instruments of today until the tape says which there were."""
        super().__init__(_Nobody(), now_ns=lambda: self.moment_ns)  # type: ignore[arg-type]
        self.moment_ns = moment_ns
        self.reference_json, self.reference = live.reference_json, live.reference
        self.names = live.names

    def show(self, moment: Moment) -> None:
        """Hold what was, as one step for the pages: only cells that differ have changed."""
        self.names = moment.notes["names"] or self.names  # First: what places of quants mean.
        for stream, track in ((STREAMS[0], self.live), (STREAMS[1], self.risk)):
            image = moment.told.images.get(stream)
            if image is None:
                empty = {table.name: table.empty(0) for table in _TABLES[stream]}
                image = delta.Image(0, 0, 0, {}, empty)
            self.take_image(image, track)
        self.health = moment.health
        self.alerts = moment.notes["alerts"] or b"[]"
        rows = moment.notes["reference"]
        if rows and rows != self.reference_json:
            self.reference_json, self.reference = rows, Reference.from_json(rows)


class PastSession(Session):
    """A page of the past; it may ask for another moment."""

    def _control(self, message: dict[str, Any]) -> None:
        if message.get("type") == "asof":
            assert isinstance(self.hub, PastHub)
            self.hub.play(message)
        else:
            super()._control(message)


class PastHub(Hub):
    """One page over the tape; runs in the server's event loop."""

    def __init__(
        self,
        live: Hub,
        archive: Archive,
        moment_ns: int,
        load_history: Callable[[int, int], np.ndarray] | None = None,
    ) -> None:
        """`load_history` reads a chart's past for (row, moment in ns), in a thread."""
        mirror = PastMirror(live.mirror, moment_ns)
        super().__init__(mirror, live.loop, live.role)
        mirror.listeners.clear()  # A picture is told once, when all of it is there.
        self.past, self.screens, self.rights_of = Past(archive), live.screens, live.rights_of
        self.pictures: PastMirror = mirror
        if load_history:
            self.load_history = lambda row: load_history(row, self.pictures.moment_ns)
        self.playing, self.speed, self.move = False, 1.0, 0
        self.span: tuple[int, int] | None = None
        self.told: Told | None = None
        self.problem = self._said = ""
        self.read_ms = 0.0
        self._span_at = -math.inf
        self._beside: int | None = None  # The moment beside which all is read.
        self._thread = ThreadPoolExecutor(1, "past")  # A move waits for nobody else's work.
        self._jumped = True
        self._shown = 0  # The move that the picture answers.
        self._chart_due = False
        self._wanted = asyncio.Event()

    def attach(
        self, spec: dict[str, Any], connect: Callable[[], Transport | None], user: str = ""
    ) -> Session:
        """The session of its page; on the tape its desk's name says that it showed the past."""
        return PastSession(self, spec | {"title": f"{spec.get('title', '')}, past"}, connect, user)

    def start(self) -> None:
        """Begin to show; call in the loop."""
        self.thread = threading.get_ident()
        self.tasks = [asyncio.ensure_future(self.run())]

    def stop(self) -> None:
        """Its page is gone."""
        super().stop()
        self._thread.submit(self.past.archive.close)
        self._thread.shutdown(wait=False)

    def play(self, message: dict[str, Any]) -> None:
        """Go to `ts_ms`, where given; play or stand; at `speed` times as fast as it was."""
        if message.get("ts_ms") is not None:
            moment = float(message["ts_ms"])
            if not 0 <= moment < 2**43:
                raise ValueError("no moment")
            self.pictures.moment_ns = round(moment * 1e3) * 1000
            self._jumped = True
        if message.get("speed") is not None:
            self.speed = min(max(float(message["speed"]), SPEED_MIN), SPEED_MAX)
        if message.get("playing") is not None:
            self.playing = bool(message["playing"])
        self.move = int(message.get("move", self.move))
        self._wanted.set()

    async def run(self) -> None:
        """Show the moment that is wanted, for ever."""
        at = time.monotonic()
        while True:
            now = time.monotonic()
            if self.playing and not self._jumped:
                self._go_on(now - at)
            at = now
            try:
                await self._picture()
            except (ValueError, IndexError, KeyError) as error:  # Torn, or of another version.
                self._begin_anew(error)
            pause = STEP_SECONDS if self.playing else REST_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), max(0.0, at + pause - time.monotonic()))

    def _begin_anew(self, error: Exception) -> None:
        """What was read of the tape is read again: a page that stood still would tell nobody."""
        self.problem = f"this moment cannot be shown, {type(error).__name__}: {error}"
        if self.problem != self._said:  # Ten pictures a second while it plays.
            say("past", error=error)
        self._said = self.problem
        self.past, self.told = Past(self.past.archive), None
        self.strip.forget()
        self.tick()

    def _go_on(self, seconds: float) -> None:
        moment_ns = self.pictures.moment_ns + round(seconds * self.speed * 1e9)
        if self.told and self.told.next_ns and self.told.next_ns > moment_ns:
            moment_ns = self.told.next_ns  # Nobody waits through a hole.
        if self.span and moment_ns >= self.span[1]:
            moment_ns, self.playing = self.span[1], False
        self.pictures.moment_ns = moment_ns

    async def _picture(self) -> None:
        self._wanted.clear()
        jumped, self._jumped = self._jumped, False
        standing = self.told is not None and self.told.ts == self.pictures.moment_ns
        if standing and not jumped and not self.problem:
            self._charts()  # Whoever moves on waits for no chart.
            await self._look_around()
            self.tick()
            return
        move = self.move  # While this is read, another may be asked for.
        began = time.monotonic()
        moment = await self._ask(self._read, self.pictures.moment_ns)
        if moment:
            self.told, self._shown = moment.told, move
            self.pictures.show(moment)
        self.read_ms = (time.monotonic() - began) * 1e3
        self.strip.forget()
        if jumped:
            self._forget_order()
        self.tick()
        if self.playing:
            await self._look_around()

    async def _look_around(self) -> None:
        """Read what nobody waits for: how far the tape reaches, and what lies beside the moment."""
        if time.monotonic() - self._span_at > SPAN_SECONDS and not self._jumped:
            self._span_at = time.monotonic()
            self.span = await self._ask(self.past.span) or self.span
            self.strip.forget()
        ts = self.pictures.moment_ns
        fast = self.playing and self.speed > AHEAD_SPEED_MAX
        if ts != self._beside and not fast and not self._jumped:
            self._beside = ts
            await self._ask(self.past.around, ts)

    async def _ask(self, read: Callable[..., _Read], *given: int) -> _Read | None:
        """What the tape says; None, and the reason in `problem`, where it does not answer."""
        try:
            found = await self.loop.run_in_executor(self._thread, read, *given)
        except ArchiveError as error:
            self.problem = str(error)
            return None
        self.problem = ""
        return found

    def _read(self, ts: int) -> Moment:
        """In the thread: all of one moment."""
        if self.span is None:
            self._span_at, self.span = time.monotonic(), self.past.span()
        told = self.past.at(ts)
        notes = {name: self.past.note(name, ts) for name in NOTES}
        return Moment(told, notes, self.past.health(ts))

    def _forget_order(self) -> None:
        """After a jump rows are in that moment's order at once, and a chart ends there."""
        self._views.clear()
        self._viewports.clear()
        for session in self.sessions:
            session.send_all()
            for feed in session.feeds:
                if feed.key is not None and feed.key.held:
                    feed.key = feed.key._replace(held=0)
                feed.earlier = None
        self._chart_due = True

    def _charts(self) -> None:
        """A chart's past is asked of the record once the moment stands: that takes a while."""
        if self._chart_due:
            self._chart_due = False
            for session in self.sessions:
                for feed in session.feeds:
                    self.recall(session, feed)

    def status(self) -> dict[str, Any]:
        """What the strip says: as it was then; and where on the tape we are."""
        mirror = self.pictures
        ts = self.told.ts if self.told else mirror.moment_ns
        live, record = (reports.of(mirror.health, kind) for kind in ("live", "record"))
        risk = mirror.health.get("risk.0", {})
        made_ns = mirror.live.ts_cut
        hole = self.told.next_ns if self.told else None
        notes = [self.problem] if self.problem else []
        if not self.problem and not made_ns:
            notes.append("nothing is on the tape of this moment")
        elif hole and ts - made_ns > OLD_SECONDS * 1e9:
            notes.append(
                f"nothing is on the tape of the {(hole - made_ns) / 1e9:.0f} s around this"
            )
        names = ("events_per_s", "behind_s", "gaps", "repeats", "resets", "quarantined")
        return {
            "now_ms": ts / 1e6,
            "state": "live",
            **{name: live.get(name) for name in names},
            "feed_age_s": 0.0,
            "live_age_s": max(0.0, (ts - made_ns) / 1e9) if made_ns else None,
            "recorded_rows": record.get("recorded_rows"),
            "record_behind_s": record.get("behind_s"),
            "risk_age_s": max(0.0, (ts - mirror.risk.ts_cut) / 1e9) if mirror.risk.ts_cut else None,
            **{name: risk.get(name) for name in ("limits_breached", "limits_unknown")},
            **{name: risk.get(name) for name in ("alerts_open", "positions_missing")},
            "sessions": 1,
            "notes": notes,
            "asof": {
                "ts_ms": ts / 1e6,
                "made_ms": made_ns / 1e6 if made_ns else None,
                "first_ms": self.span[0] / 1e6 if self.span else None,
                "last_ms": self.span[1] / 1e6 if self.span else None,
                "playing": self.playing,
                "speed": self.speed,
                "move": self._shown,
                "read_ms": self.read_ms,
                "notes": notes,
            },
        }
