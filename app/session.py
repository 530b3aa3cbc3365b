"""Loop: one per browser: viewport, acks, what to send next; and the hub that wakes them all.

A page is one integer, `sent`: the mirror's sequence up to which it has everything it shows. It is
sent to when it is ready (its last pushes are acknowledged as painted, its socket is idle) and
something it shows has changed; then it gets the newest value of each changed cell. Nothing
queues. Pages that show the same and are equally far share one encoded message. What a page asks
of `risk` is checked (app/ask.py) and handed on; the answer goes to that page alone.
"""

import asyncio
import contextlib
import json
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from app.ask import KINDS as ASKS
from app.ask import ask, text_of
from app.mirror import Mirror
from app.page import Known, Notes
from app.view import (
    ANSWER,
    BY_SYMBOL,
    NO_FEED,
    SERIES,
    STATUS,
    UNSORTED,
    View,
    ViewKey,
    Viewport,
    find_column,
    json_section,
    match_key,
    section,
    view_key,
)
from compute.bus import BusError
from compute.table import INSTRUMENTS
from ingest import clock
from ingest.meter import Histogram

PUSH_MAGIC = 0x31504754  # "TGP1"
ACK_MAGIC = 0x31414754  # "TGA1"
ACK = struct.Struct("<IIdd")  # magic, samples, sequence painted, worst latency in ms
_PUSH = struct.Struct("<IIddd")  # magic, sections, sequence, ts_push in ms, epoch
# Pushes on their way to a page. One that paints in time gets every cut at once: held back until
# the ack of the frame before, a cut would miss the frame that is about to be painted. One that
# takes longer than two frames is busy, and gets the newest when it has painted the last.
WINDOW = 3
PROMPT_SECONDS = 0.04
SERIES_SECONDS = 0.25
TOTALS_SECONDS = 0.2  # Totals change with every event; nobody reads them faster than this.
RETRY_SECONDS = 0.002
VIEWS_MAX = 256
HISTORY_POINTS_MAX = 1_800
# Of what `risk` reports, what the strip of a page may say.
RISK_FIGURES = ("limits_breached", "limits_unknown", "alerts_open", "positions_missing")
ASKS_MAX = 32  # On their way to `risk`; whoever asks more is refused, not queued.
ANSWER_SECONDS = 5.0  # `risk` looks for questions at every step, ten times a second.
RISK_OLD_SECONDS = 2.0  # It tells something four times a second.


class Transport(Protocol):
    """How bytes reach one page; app/blocks/transport.py has the real one."""

    def ready(self) -> bool:
        """Whether a message can be written now without queueing or tearing another."""

    def write(self, push: bytes) -> bool:
        """Send one push; False where the page is gone."""


class Feed:
    """What one block of a page is fed: a viewport, a series, or the status."""

    def __init__(self, index: int, spec: dict[str, Any]) -> None:
        """`spec` is one entry of the desk's list of feeds."""
        self.index, self.kind = index, spec["kind"]
        self.key: ViewKey | None = None
        self.first, self.count, self.version = 0, 0, -1
        self.since, self.turn = -1, -1  # Of a table of totals: what it has, when it was sent.
        if self.kind == "grid":
            self.key = view_key(spec["table"], spec["columns"], spec.get("match"))
            self.count = int(spec.get("rows", 0))
        self.row = int(spec.get("row", -1))
        self.series_ms = -1.0  # t of the newest point sent; -1: send the whole series
        self.series_at = 0.0
        self.earlier: np.ndarray | None = None  # What the record has of the series, [n, 4].
        self.status_at = 0


class Session:
    """One page."""

    def __init__(
        self,
        hub: "Hub",
        spec: dict[str, Any],
        connect: Callable[[], Transport | None],
        user: str = "",
    ) -> None:
        """`connect` finds the page's transport when it says that it is ready.

        `user` is who the server knows is there; "" where it knows nobody.
        """
        self.hub, self._connect, self.user = hub, connect, user
        self.known = Known(hub.notes.instruments.version)
        self.answers: list[bytes] = []  # Sections that are for this page alone.
        self.feeds = [Feed(k, feed) for k, feed in enumerate(spec["feeds"])]
        self.transport: Transport | None = None
        self.sent = -1
        self.unacked: deque[tuple[int, float]] = deque()  # sequence and moment of each push
        self.prompt = True  # Whether its last paint was acknowledged within PROMPT_SECONDS.
        self.pushes = self.acks = self.bytes = 0

    @property
    def reference(self) -> str:
        """The instruments as JSON, the fields that a page reads; changes follow by push."""
        text, self.known.made_with = self.hub.notes.instruments.whole()
        self.known.instruments = self.known.made_with
        return text

    def control(self, message: dict[str, Any]) -> None:
        """Take a control message of the page, from any thread."""
        self.hub.call(lambda: self._heed(message))

    def _heed(self, message: dict[str, Any]) -> None:
        try:
            self._control(message)
        except (KeyError, ValueError, TypeError, IndexError):
            self.hub.nonsense += 1  # A page that asks for what is not there harms only itself.
        self.hub.push(self)

    def _control(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "ready":
            self.transport = self._connect()
            self.unacked.clear()
            self.sent = -1
            self.known.forget()
            for feed in self.feeds:
                feed.version, feed.series_ms, feed.status_at = -1, -1.0, 0
                feed.since, feed.turn = -1, -1
            self.hub.sessions.add(self)
            for feed in self.feeds:
                self.hub.recall(self, feed)
        elif kind in ("viewport", "sort", "filter"):
            feed = self.feeds[int(message["feed"])]
            _change(feed, message)
            feed.version = -1
        elif kind == "select":
            for feed in self.feeds:
                if feed.kind == "series":
                    feed.row, feed.series_ms, feed.series_at = int(message["row"]), -1.0, 0.0
                    feed.earlier = None
                    self.hub.recall(self, feed)
        elif kind in ASKS:
            own = message.get("id")
            own = None if own is None else text_of(own, "id")
            self.hub.ask_risk(self, ask(message, self.user, self.hub.ask_name()), own)

    def ack(self, sequence: int, latency_ms: float, samples: int) -> None:
        """The page has painted `sequence`; `latency_ms` is the oldest event's way to the paint."""
        now = time.monotonic()
        while self.unacked and self.unacked[0][0] <= sequence:
            _, pushed_at = self.unacked.popleft()
            self.prompt = now - pushed_at < PROMPT_SECONDS
        self.acks += 1
        if samples:
            self.hub.glass.add(latency_ms)
        self.hub.push(self)

    def ready(self) -> bool:
        """Whether the page keeps up: nothing is on its way, or little and not for long."""
        if not self.unacked:
            return True
        young = time.monotonic() - self.unacked[0][1] < PROMPT_SECONDS
        return self.prompt and young and len(self.unacked) < WINDOW

    def close(self) -> None:
        """The page is gone."""
        self.hub.call(lambda: self.hub.sessions.discard(self))


def _change(feed: Feed, message: dict[str, Any]) -> None:
    if feed.key is None:
        return
    kind = message["type"]
    if kind == "viewport":
        feed.first, feed.count = int(message["first"]), int(message["count"])
    elif kind == "sort":
        name = message.get("column")
        special = {None: UNSORTED, "symbol": BY_SYMBOL}
        column = special[name] if name in special else find_column(feed.key.table, str(name))[0]
        feed.key = feed.key._replace(sort=column, descending=bool(message.get("descending")))
    else:
        classes = tuple(sorted(int(value) for value in message.get("classes") or ()))
        text = str(message.get("text") or "")[:64]
        match = match_key(feed.key.table, message)
        feed.key = feed.key._replace(classes=classes, text=text, match=match)
        feed.first = 0


class Hub:
    """All pages of this web process over one mirror; runs in the server's event loop."""

    def __init__(self, mirror: Mirror, loop: asyncio.AbstractEventLoop, role: str = "web") -> None:
        """`role` names this process in the health reports."""
        self.mirror, self.loop, self.role = mirror, loop, role
        self.epoch = clock.now_ns() // 1_000_000
        self.sessions: set[Session] = set()
        self.glass = Histogram()  # since the last report
        self._wait = Histogram()  # from a change in the mirror to its push: acks, encoding
        self.load_history: Callable[[int], np.ndarray] | None = None  # Runs in a thread.
        self.nonsense = 0  # control messages that made no sense
        self._views: dict[ViewKey, View] = {}
        self._viewports: dict[tuple[ViewKey, int, int], Viewport] = {}
        self._framed: dict[tuple, bytes] = {}
        self._framed_at = -1
        self.notes = Notes(mirror)
        self._asked = 0
        self._asks: set[asyncio.Task] = set()
        self._status = b""
        self._status_at = 0
        self.thread = threading.get_ident()
        self._tasks: list[asyncio.Future] = []
        mirror.listeners.append(self.tick)

    def start(self) -> None:
        """Begin to follow; call in the loop."""
        self.thread = threading.get_ident()
        self._tasks = [
            asyncio.ensure_future(self.mirror.run()),
            asyncio.ensure_future(self._report()),
        ]

    def call(self, function: Callable[[], None]) -> None:
        """Run in the loop, now if we are in it."""
        if threading.get_ident() == self.thread:
            function()
        else:
            self.loop.call_soon_threadsafe(function)

    def attach(
        self, spec: dict[str, Any], connect: Callable[[], Transport | None], user: str = ""
    ) -> Session:
        """A session for a page that is being made; it is fed once it says that it is ready."""
        return Session(self, spec, connect, user)

    def ask_name(self) -> str:
        """A name for a question that no other has: of this process, since it began."""
        self._asked += 1
        return f"{self.role.replace('.', '-')}-{self.epoch}-{self._asked}"

    def ask_risk(self, session: Session, message: dict[str, Any], own: str | None) -> None:
        """Hand a checked message to `risk`; its answer goes to the page with the page's `own` id.

        ValueError where too much is asked already.
        """
        if len(self._asks) >= ASKS_MAX:
            raise ValueError(f"{ASKS_MAX} questions are on their way already")
        task = self.loop.create_task(self._ask(session, message, own))
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    async def _ask(self, session: Session, message: dict[str, Any], own: str | None) -> None:
        try:
            await self.mirror.bus.ask_risk(message)
            told = await self.mirror.bus.answer(message["id"], ANSWER_SECONDS)
            answer = told or {"error": f"risk did not answer within {ANSWER_SECONDS:g} s"}
        except (BusError, ValueError) as error:
            answer = {"error": str(error)}
        text = json.dumps({**answer, "type": message["type"], "id": own}).encode()
        session.answers.append(json_section(NO_FEED, ANSWER, text))
        self.push(session)

    def tick(self) -> None:
        """The mirror has moved on: push to everyone who is ready."""
        self.notes.take()
        for view in self._views.values():
            view.refresh()
        for session in list(self.sessions):
            self.push(session)

    def push(self, session: Session) -> None:
        """Send a page what it misses, if it is ready."""
        transport = session.transport
        if transport is None or not session.ready():
            return
        if not transport.ready():
            self.loop.call_later(RETRY_SECONDS, self._retry, session)
            return
        framed = self._message(session)
        sequence = self.mirror.sequence
        session.sent = sequence
        if not framed:
            return
        self._wait.add((clock.now_ns() - self.mirror.applied_ns) / 1e6)
        session.unacked.append((sequence, time.monotonic()))
        session.pushes += 1
        session.bytes += len(framed)
        if not transport.write(framed):
            session.transport = None
            self.sessions.discard(session)

    def wait_ms(self) -> list[float | None]:
        """p50 and p99 since the last reading."""
        found = [self._wait.percentile(0.5), self._wait.percentile(0.99)]
        self._wait.clear()
        return found

    def _retry(self, session: Session) -> None:
        if session in self.sessions and session.sent < self.mirror.sequence:
            self.push(session)

    def _message(self, session: Session) -> bytes:
        parts = self.notes.news(session.known)
        shared: list[tuple] = [tuple(parts)]
        own = bool(session.answers)
        parts += session.answers
        session.answers = []
        for feed in session.feeds:
            if feed.key is not None:
                part, place = self._cells(feed, session.sent)
                shared.append(place)
            elif feed.kind == "series":
                part = self._series(feed)
                own = own or bool(part)
            else:
                part = self._status_section(feed)
                shared.append((feed.index, bool(part), self._status_at))
            if part:
                parts.append(part)
        if not parts:
            return b""
        if own:
            return self._frame(parts)
        if self._framed_at != self.mirror.sequence:
            self._framed.clear()
            self._framed_at = self.mirror.sequence
        key = (session.sent, *shared)
        framed = self._framed.get(key)
        if framed is None:
            framed = self._framed[key] = self._frame(parts)
        return framed

    def _cells(self, feed: Feed, sent: int) -> tuple[bytes, tuple]:
        """What a grid misses, and what another page must have in common to get the same bytes."""
        assert feed.key is not None
        if not feed.count:  # Columns that nobody looks at cost nothing.
            return b"", (feed.index,)
        since = sent
        if feed.key.table != INSTRUMENTS.name:
            turn = int(time.monotonic() / TOTALS_SECONDS)  # The same moments for all pages.
            if feed.version >= 0 and feed.turn == turn:
                return b"", (feed.index,)
            since, feed.since, feed.turn = feed.since, self.mirror.sequence, turn
        viewport = self._viewport(feed)
        version, now = feed.version, viewport.view.version
        place = (feed.index, feed.key, feed.first, feed.count, version, now, since)
        part = viewport.encode(feed.index, since, version)
        feed.version = now
        return part, place

    def _frame(self, parts: list[bytes]) -> bytes:
        body = b"".join(parts)
        count = _count_sections(body)
        head = _PUSH.pack(
            *(PUSH_MAGIC, count, float(self.mirror.sequence)),
            *(clock.now_ns() / 1e6, float(self.epoch)),
        )
        return frame_push(head + body)

    def _viewport(self, feed: Feed) -> Viewport:
        assert feed.key is not None
        key = (feed.key, feed.first, feed.count)
        found = self._viewports.get(key)
        if found is None:
            if len(self._viewports) >= VIEWS_MAX:
                self._forget()
            view = self._views.get(feed.key)
            if view is None:
                view = self._views[feed.key] = View(feed.key, self.mirror)
            found = self._viewports[key] = Viewport(view, feed.first, feed.count)
        return found

    def _forget(self) -> None:
        """Drop views that no page shows."""
        used = {
            (feed.key, feed.first, feed.count)
            for session in self.sessions
            for feed in session.feeds
            if feed.key is not None
        }
        self._viewports = {key: port for key, port in self._viewports.items() if key in used}
        keys = {key[0] for key in used}
        self._views = {key: view for key, view in self._views.items() if key in keys}

    def _series(self, feed: Feed) -> bytes:
        now = time.monotonic()
        table = self.mirror.tables[INSTRUMENTS.name]
        if not 0 <= feed.row < len(table) or now - feed.series_at < SERIES_SECONDS:
            return b""
        moments, values = self.mirror.history.read(feed.row, feed.series_ms)
        columns = [INSTRUMENTS.index(name) for name in ("last", "vwap", "volume")]
        tip_ms = (clock.now_ns() // 1_000_000_000) * 1000.0
        moments = np.append(moments, tip_ms)
        values = np.vstack((values, table[feed.row, columns]))
        mode = 0 if feed.series_ms < 0 else 1
        if mode == 0 and feed.earlier is not None:
            keep = feed.earlier[:, 0] < moments[0]
            moments = np.concatenate((feed.earlier[keep, 0], moments))
            values = np.vstack((feed.earlier[keep, 1:4], values))
        moments, values = moments[-HISTORY_POINTS_MAX:], values[-HISTORY_POINTS_MAX:]
        feed.series_ms, feed.series_at = tip_ms - 1.0, now
        note = struct.pack("<4I", feed.row, len(moments), mode, 0)
        columns_bytes = (values[:, k].astype("<f8").tobytes() for k in range(3))
        return section(
            feed.index, SERIES, note + moments.astype("<f8").tobytes() + b"".join(columns_bytes)
        )

    def recall(self, session: Session, feed: Feed) -> None:
        """Ask the record for what came before the mirror's own samples, without waiting for it."""
        if feed.kind != "series" or feed.row < 0 or self.load_history is None:
            return
        row = feed.row

        def arrived(future: "asyncio.Future[np.ndarray]") -> None:
            if feed.row == row and future.exception() is None:
                feed.earlier, feed.series_ms, feed.series_at = future.result(), -1.0, 0.0
                self.push(session)

        self.loop.run_in_executor(None, self.load_history, row).add_done_callback(arrived)

    def _status_section(self, feed: Feed) -> bytes:
        second = clock.now_ns() // 1_000_000_000
        if feed.status_at == second:
            return b""
        feed.status_at = second
        if self._status_at != second:
            self._status_at = second
            self._status = json.dumps(self.status()).encode()
        return json_section(feed.index, STATUS, self._status)

    def status(self) -> dict[str, Any]:
        """What the strip of every page says."""
        now_ms = clock.now_ns() / 1e6
        live = self.mirror.health.get(f"live.{self.mirror.worker}", {})
        record = self.mirror.health.get(f"record.{self.mirror.worker}", {})
        risk = self.mirror.health.get("risk.0", {})
        live_age_s = (now_ms - live["now_ms"]) / 1e3 if live else None
        record_age_s = (now_ms - record["now_ms"]) / 1e3 if record else None
        notes = [text for text in (self.mirror.problem, self.mirror.health_problem) if text]
        notes += self._risk_notes(risk)
        if record_age_s is not None and record_age_s > 5:
            notes.append(f"recorder silent for {record_age_s:.0f} s; prices are live")
        if record.get("problem"):
            notes.append(f"recording waits: {record['problem']}")
        # From the cells themselves: a report of live is up to a second old.
        moments = self.mirror.tables[INSTRUMENTS.name][:, INSTRUMENTS.index("ts_event")]
        known = moments[np.isfinite(moments)]
        feed_age_s = max(0.0, (now_ms - float(known.max())) / 1e3) if len(known) else None
        return {
            "now_ms": now_ms,
            "state": self.mirror.state,
            **{name: live.get(name) for name in ("events_per_s", "behind_s", "gaps", "repeats")},
            **{name: live.get(name) for name in ("resets", "quarantined")},
            "feed_age_s": feed_age_s,
            "live_age_s": live_age_s,
            "recorded_rows": record.get("recorded_rows"),
            "record_behind_s": record.get("behind_s"),
            "risk_age_s": self.mirror.risk_age_s(),
            **{name: risk.get(name) for name in RISK_FIGURES},
            "sessions": len(self.sessions),
            "notes": notes,
        }

    def _risk_notes(self, risk: dict[str, Any]) -> list[str]:
        """What a page says of worker 1, while prices are live; nothing where it never was."""
        age_s = self.mirror.risk_age_s()
        notes = []
        if self.mirror.state == "live" and age_s is not None:
            if age_s > RISK_OLD_SECONDS:
                notes.append(f"risk numbers are {age_s:.0f} s old")
            elif risk.get("problem"):
                notes.append(f"risk waits: {risk['problem']}")
        return notes

    async def _report(self) -> None:
        """Once a second: say how this process is, and wake pages whose status is due."""
        while True:
            await asyncio.sleep(1.0)
            health = {
                "now_ms": clock.now_ns() / 1e6,
                "sessions": len(self.sessions),
                "glass_ms_p50": self.glass.percentile(0.5),
                "glass_ms_p99": self.glass.percentile(0.99),
                "glass_samples": self.glass.count,
                "stages_ms": self.mirror.stages() | {"wait": self.wait_ms()},
                "pushes": sum(session.pushes for session in self.sessions),
                "bytes": sum(session.bytes for session in self.sessions),
                "mirror": self.mirror.state,
                "images": self.mirror.images,
                "mirror_gaps": self.mirror.gaps,
                "risk_age_s": self.mirror.risk_age_s(),
                "risk_gaps": self.mirror.risk.gaps,
                "nonsense": self.nonsense,
            }
            self.glass.clear()
            with contextlib.suppress(BusError):  # The mirror says so on every page.
                await self.mirror.bus.report(self.role, health)
            self.tick()


def _count_sections(body: bytes) -> int:
    at = count = 0
    while at < len(body):
        at += 8 + struct.unpack_from("<I", body, at + 4)[0]
        count += 1
    return count


_BINARY = 0x82  # A whole message in one frame, unmasked: what a server sends.


def frame_push(push: bytes) -> bytes:
    """The WebSocket frame that carries a push, so that one write sends it and pages share it.

    A Bokeh message of its own would be five frames: at a hundred pushes a second the browser's
    processes hand each other five hundred, which cost 0.1 of a core and the page's parsing of
    JSON that says the same each time.
    """
    size = len(push)
    if size < 126:
        head = struct.pack("!BB", _BINARY, size)
    elif size < 65_536:
        head = struct.pack("!BBH", _BINARY, 126, size)
    else:
        head = struct.pack("!BBQ", _BINARY, 127, size)
    return head + push
