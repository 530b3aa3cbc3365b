"""Loop: one per browser: viewport, acks, what to send next; and the hub that wakes them all.

A page is one integer, `sent`: the mirror's sequence up to which it has everything it shows. It is
sent to when it is ready (its last pushes are acknowledged as painted, its socket is idle) and
something it shows has changed; then it gets the newest value of each changed cell. Nothing
queues. Pages that show the same and are equally far stand together (`Standing`): what comes next
is found once, and one more page costs a look at where it stands and a write. What a page asks of
`risk` is checked (app/ask.py) and handed on; the answer goes to that page alone.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import numpy as np

from app import operations
from app.allowance import Refusals
from app.ask import KINDS as ASKS
from app.charts import Charts
from app.desks import ACTS as DESK_ACTS
from app.desks import KIND as DESK
from app.desks import Desks, without_blocks
from app.feed import Feed, change
from app.flow import Flow
from app.grouping import make_view
from app.inquiry import KIND as PROVENANCE
from app.inquiry import Inquiries
from app.mirror import Mirror
from app.operations import OPERATIONS
from app.page import Known, Notes
from app.push import pack_push
from app.questions import Questions
from app.rights import ALL, Rights
from app.screens import Screens
from app.series import Series
from app.strip import Strip, status
from app.view import View, ViewKey, Viewport
from app.watch import Watch
from compute.bus import BusError
from compute.table import INSTRUMENTS
from ingest import clock
from ingest.meter import Histogram

TOTALS_SECONDS = 0.2  # Totals change with every event; nobody reads them faster than this.
RETRY_SECONDS = 0.002
MOMENT_SECONDS = 0.05  # Divides the turns of totals, series and status.
VIEWS_MAX = 256


class Transport(Protocol):
    """How bytes reach one page; app/blocks/transport.py has the real one."""

    def ready(self) -> bool:
        """Whether a message can be written now without queueing or tearing another."""

    def write(self, push: bytes) -> bool:
        """Send one push; False where the page is gone."""

    def end(self) -> None:
        """The page is to go."""


Frames = dict[tuple[bytes, ...], bytes]


class Turn(NamedTuple):
    """What is the same for all pages that are served one after the other; looked up once."""

    moment: tuple[int, ...]  # Ticks, the mirror's sequence, and the time in turns of totals.
    series: int
    whole: int  # Of the tape, see app/screens.py.
    notes: tuple[int, int, int]  # Versions of what every page knows.
    sequence: int  # The mirror's.


class Standing:
    """How far a page is: each of its feeds, and what it was sent. Pages share it.

    What the next push to it holds, and where it stands then, is found once a moment.
    """

    def __init__(self, feeds: list[dict[str, Any]], sent: int) -> None:
        """Attributes of each feed that pages share, and the sequence that they were sent."""
        self.feeds, self.sent = feeds, sent
        self.moment: tuple[int, ...] = ()
        # By what is news to it: sections, the frames they make with a series, what comes after.
        self.next: dict[tuple[bytes, ...], tuple[list[bytes], Frames, Standing]] = {}
        self.nothing: Standing | None = None  # Where a page stands that has nothing of all this.


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
        self.rights = hub.rights_of(user)
        self.known = Known(hub.notes.instruments.version, self.rights)
        self.signed: Any = None  # How `user` has come in (app/people.py); None without sign-in.
        self.ticket = ""  # With which the page goes on at another server, see app/runtime.py.
        self.answers: list[bytes] = []  # Sections that are for this page alone.
        self.feeds = [Feed(k, feed, self.rights) for k, feed in enumerate(spec["feeds"])]
        # A series is of one instrument, which each trader chooses for himself.
        self.series = [feed for feed in self.feeds if feed.kind == "series"]
        self.shared = [feed for feed in self.feeds if feed.kind != "series"]
        self.transport: Transport | None = None
        self.sent = -1
        # Where it stands; its feeds are as they were when it came to stand apart, see own_feeds.
        self.standing: Standing | None = None
        self.flow = Flow()
        self.late = False  # Whether it was not ready when there may have been something for it.
        self.charted = False  # Whether it has looked at a figure.
        self.pushes = self.acks = self.bytes = 0
        self.shown = hub.screens.open(spec, user) if hub.screens else None  # As the tape knows it.

    @property
    def reference(self) -> str:
        """The instruments as JSON, the fields that a page reads; changes follow by push."""
        text, self.known.made_with = self.hub.notes.instruments.whole()
        self.known.instruments = self.known.made_with
        return text

    def control(self, message: dict[str, Any]) -> None:
        """Take a control message of the page, from any thread."""
        self.hub.call(lambda: self._heed(message))

    def take_all(self, messages: list[dict[str, Any]]) -> None:
        """Take several as one: nothing is sent in between; call in the loop."""
        for message in messages:
            self._apply(message)
        self.hub.push(self)

    def _heed(self, message: dict[str, Any]) -> None:
        self._apply(message)
        self.hub.push(self)

    def _apply(self, message: dict[str, Any]) -> None:
        self.own_feeds()
        try:
            self._control(message)
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, AttributeError):
            self.hub.nonsense += 1  # A page that asks for what is not there harms only itself.
        if self.shown:
            self.shown.wished(message)

    def own_feeds(self) -> list[Feed]:
        """Its feeds as they are, to be changed: from now on it stands apart."""
        if self.standing is not None:
            for feed, state in zip(self.shared, self.standing.feeds, strict=True):
                vars(feed).update(state)
            self.standing = None
        return self.feeds

    def entitle(self) -> bool:
        """Take what its user may see now; from then on it is told nothing else."""
        rights = self.hub.rights_of(self.user)
        if rights == self.rights:
            return False
        self.rights = rights
        for feed in self.own_feeds():
            feed.entitle(rights)
        self.known = Known(self.known.made_with, rights)
        self.hub.charts.drop(self)
        self.answers.clear()
        return True

    def send_all(self) -> None:
        """Let the next push hold all that the page shows, whatever it has already."""
        if self.standing is None:
            for feed in self.feeds:
                feed.forget()
            return
        for feed in self.series:
            feed.forget()
        self.standing = self.hub.nothing_of(self)

    def _control(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "ready":
            self.entitle()  # It may have been made a while ago.
            self.transport = self._connect()
            self.flow = Flow()
            self.sent = -1
            self.known.forget()
            self.send_all()
            if self.charted:
                self.hub.charts.forget(self)
            self.hub.sessions.add(self)
            for feed in self.feeds:
                self.hub.recall(self, feed)
        elif kind == "hold":
            self.hub.hold(self.feeds[int(message["feed"])], on=bool(message["on"]))
        elif kind in ("viewport", "columns", "sort", "group", "filter"):
            feed = self.feeds[int(message["feed"])]
            before = feed.key
            change(feed, message)
            self.hub.keep(before, feed.key)
            feed.version = -1
        elif kind == "select":
            for feed in self.feeds:
                if feed.kind == "series":
                    feed.row, feed.series_ms, feed.series_at = int(message["row"]), -1.0, -1
                    feed.earlier = None
                    self.hub.recall(self, feed)
        elif kind == "chart":
            self.charted = True
            self.hub.charts.wish(self, message)
        elif kind == PROVENANCE:
            self.hub.inquiries.ask(self, message)
        elif kind == DESK and self.hub.desks:
            self.hub.desks.take(self, message)
            if self.shown and message.get("do") in DESK_ACTS:
                self.shown.acted(without_blocks(message), self.user)
        elif kind == "export" and self.shown:  # A picture: the page makes it by itself.
            self.shown.acted(message, self.user)
        elif kind in ASKS:
            refused = self.hub.questions.take(self, message)
            if self.shown:
                self.shown.acted({**message, **refused}, self.user)

    def ack(self, sequence: int, latency_ms: float, samples: int, held_ms: float = 0.0) -> None:
        """The page has painted `sequence`; `latency_ms` is the oldest event's way to the paint.

        That was `held_ms` before it said so.
        """
        self.flow.painted(sequence, held_ms / 1e3, time.monotonic())
        self.acks += 1
        if self.shown:
            self.shown.painted(sequence, latency_ms, held_ms)
        if samples:
            self.hub.painted_ms.append(latency_ms)
        if self.late:
            self.hub.push(self)

    def lost(self, transport: Transport) -> None:
        """Its socket has closed. It may come back with another, and says `ready` again."""
        if self.transport is transport:
            self.transport = None
            self.hub.sessions.discard(self)

    def close(self) -> None:
        """The page is gone."""
        self.hub.call(self._close)

    def _close(self) -> None:
        self.hub.sessions.discard(self)
        if self.shown:
            self.shown.close()


class Hub:
    """All pages of this web process over one mirror; runs in the server's event loop."""

    def __init__(self, mirror: Mirror, loop: asyncio.AbstractEventLoop, role: str = "web") -> None:
        """`role` names this process in the health reports."""
        self.mirror, self.loop, self.role = mirror, loop, role
        self.epoch = clock.now_ns() // 1_000_000
        self.sessions: set[Session] = set()
        # Since the last report: event to paint, and from a change in the mirror to its push.
        self.painted_ms: list[float] = []
        self._waited_ms: list[float] = []
        self._encoded_ms: list[float] = []  # What those who miss the same share.
        self.load_history: Callable[[int], np.ndarray] | None = None  # Runs in a thread.
        self.charts = Charts(self)
        self.inquiries = Inquiries(self)
        self.screens: Screens | None = None  # Where what pages show goes on the tape.
        self.nonsense = 0  # control messages that made no sense
        self.refuse = Refusals()  # Clients sent away.
        self.rights_of: Callable[[str], Rights] = lambda _user: ALL  # By who is there.
        self.watch: Watch | None = None  # Who lives; its news goes to all pages at once.
        self.desks: Desks | None = None  # Those that people have made.
        self.written: Callable[[], str] | None = None  # Differs once a layout was written anew.
        self._views: dict[ViewKey, View] = {}
        self._viewports: dict[tuple[ViewKey, int, int], Viewport] = {}
        # Where pages stand, so that those that come to stand equally share it.
        self._standings: WeakValueDictionary[tuple, Standing] = WeakValueDictionary()
        self._left: list[Standing] = []  # Those from which somebody went on since the last tick.
        self._ticks = 0
        self._series = Series(mirror)
        self.notes = Notes(mirror)
        self.questions = Questions(self)
        self.strip = Strip()
        self.thread = threading.get_ident()
        self.tasks: list[asyncio.Future] = []
        mirror.listeners.append(self.tick)

    def start(self) -> None:
        """Begin to follow; call in the loop."""
        self.thread = threading.get_ident()
        self.tasks = [
            asyncio.ensure_future(self.mirror.run()),
            asyncio.ensure_future(self._report()),
            asyncio.ensure_future(self.charts.run()),
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

    def tick(self) -> None:
        """The mirror has moved on: push to everyone who is ready."""
        self._ticks += 1
        for standing in self._left:  # Else who sleeps at one would hold all that came after it.
            standing.next = {}
        self._left.clear()
        self.notes.take()
        for view in self._views.values():
            view.refresh()
        turn = self._turn()
        for session in list(self.sessions):
            self._serve(session, turn)

    def push(self, session: Session) -> None:
        """Send a page what it misses, if it is ready; if not, once it is."""
        self._serve(session, self._turn())

    def _turn(self) -> Turn:
        sequence = self.mirror.sequence
        moment = self._ticks, sequence, int(time.monotonic() / MOMENT_SECONDS)
        whole = self.screens.turn() if self.screens else 0
        return Turn(moment, self._series.turn(), whole, self.notes.state, sequence)

    def _serve(self, session: Session, turn: Turn) -> None:
        transport = session.transport
        if transport is None:
            return
        session.late = not session.flow.ready(time.monotonic())
        if session.late:
            return
        if not transport.ready():
            self.loop.call_later(RETRY_SECONDS, self._retry, session)
            return
        shown = session.shown
        if shown and shown.due(turn.whole):
            session.send_all()
        framed = self._next(session, turn)
        if not framed:
            return
        session.flow.waiting.append((turn.sequence, time.monotonic()))
        session.pushes += 1
        session.bytes += len(framed)
        ts = clock.now_ns()
        written = transport.write(framed)
        if not written:
            session.transport = None
            self.sessions.discard(session)
        elif shown:
            shown.sent(framed, turn.sequence, ts)
        self._waited_ms.append((ts - self.mirror.applied_ns) / 1e6)

    @property
    def glass(self) -> Histogram:
        """Event to paint, since the last report."""
        return _histogram(self.painted_ms)

    def wait_ms(self) -> list[float | None]:
        """p50 and p99 since the last reading."""
        return _drained(self._waited_ms)

    def _retry(self, session: Session) -> None:
        if session in self.sessions and session.sent < self.mirror.sequence:
            self.push(session)

    def _next(self, session: Session, turn: Turn) -> bytes:
        """What the session misses; afterwards it has it.

        Whoever stands where another has stood at this moment gets the same bytes.
        """
        news: tuple[bytes, ...] = ()
        if session.answers or session.charted or session.known.state != turn.notes:
            charts = self.charts.news(session) if session.charted else []
            news = (*self.notes.news(session.known), *session.answers, *charts)
            session.answers = []
        standing = session.standing or self._stand(session)
        if standing.moment != turn.moment:
            standing.moment, standing.next = turn.moment, {}
            self._left.append(standing)
        found = standing.next.get(news)
        if found is None:
            begun = time.perf_counter()
            found = standing.next[news] = self._advance(session, standing, news)
            self._encoded_ms.append(1e3 * (time.perf_counter() - begun))
        parts, frames, session.standing = found
        session.sent = turn.sequence
        series: tuple[bytes, ...] = ()
        for feed in session.series:
            if feed.series_at != turn.series and (part := self._series.section(feed, turn.series)):
                series += (part,)
        framed = frames.get(series)
        if framed is None:
            framed = frames[series] = self._frame([*parts, *series], standing.sent)
        return framed

    def nothing_of(self, session: Session) -> Standing:
        """Where a page stands that was where `session` is, and has nothing of it."""
        standing = session.standing or self._stand(session)
        if standing.nothing is None:
            for feed in session.own_feeds():
                if feed.kind != "series":
                    feed.forget()
            standing.nothing = self._stand(session)
        return standing.nothing

    def _stand(self, session: Session) -> Standing:
        """Where a session stands whose feeds are its own."""
        value = session.sent, *(feed.state for feed in session.shared)
        found = self._standings.get(value)
        if found is None:
            found = Standing([dict(vars(feed)) for feed in session.shared], session.sent)
            self._standings[value] = found
        return found

    def _advance(
        self, session: Session, standing: Standing, news: tuple[bytes, ...]
    ) -> tuple[list[bytes], Frames, Standing]:
        """Sections that whoever stands here misses, and where he stands then."""
        session.standing = standing
        parts = list(news)
        session.own_feeds()
        for feed in session.shared:
            part = self._cells(feed, standing.sent) if feed.key else self._status_section(feed)
            if part:
                parts.append(part)
        session.sent = self.mirror.sequence
        return parts, {}, self._stand(session)

    def _cells(self, feed: Feed, sent: int) -> bytes:
        """What a grid misses."""
        assert feed.key is not None
        if not feed.count:  # Columns that nobody looks at cost nothing.
            return b""
        since = sent
        if feed.key.table != INSTRUMENTS.name:
            turn = int(time.monotonic() / TOTALS_SECONDS)  # The same moments for all pages.
            if feed.version >= 0 and feed.turn == turn:
                return b""
            since, feed.since, feed.turn = feed.since, self.mirror.sequence, turn
        viewport = self._viewport(feed)
        if viewport.view.guarded:  # Between two ticks a row may have become another book's.
            viewport.view.refresh()
        version, now = feed.version, viewport.view.version
        part = viewport.encode(feed.index, since, version)
        feed.version = now
        return part

    def _frame(self, parts: list[bytes], sent: int) -> bytes:
        steps = self.mirror.sequence - sent if sent >= 0 else 0
        return pack_push(parts, self.mirror.sequence, steps, self.epoch) if parts else b""

    def _viewport(self, feed: Feed) -> Viewport:
        assert feed.key is not None
        key = (feed.key, feed.first, feed.count)
        found = self._viewports.get(key)
        if found is None:
            if len(self._viewports) >= VIEWS_MAX:
                self._forget()
            view = self._views.get(feed.key)
            if view is None:
                view = self._views[feed.key] = make_view(feed.key, self.mirror)
            found = self._viewports[key] = Viewport(view, feed.first, feed.count)
        return found

    def entitle(self) -> None:
        """What people may see may have changed: whoever it has is told of no more than that."""
        for session in [one for one in self.sessions if one.entitle()]:
            self.push(session)

    def hold(self, feed: Feed, *, on: bool) -> None:
        """Keep the order that a page shows, or let it go on; the page has nothing of the next."""
        if feed.key is None or bool(feed.key.held) == on:
            return
        if on:
            shown = self._viewport(feed)
            if feed.version not in (-1, shown.view.version):
                feed.version = -1
            held = shown.view.held()
            feed.key = held.key
            self._views.setdefault(held.key, held)
            if self._views[held.key] is not held:
                feed.version = -1
        else:
            feed.key, feed.version = feed.key._replace(held=0), -1

    def keep(self, before: ViewKey | None, after: ViewKey | None) -> None:
        """An order that is held stays so when other columns of it are told."""
        held = self._views.get(before) if before else None
        if held and after and after.held and before != after:
            self._views.setdefault(after, held.twin(after))

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

    def recall(self, session: Session, feed: Feed) -> None:
        """Ask the record for what came before the mirror's own samples, without waiting for it."""
        if feed.kind != "series" or feed.row < 0 or self.load_history is None:
            return
        row = feed.row

        def arrived(future: "asyncio.Future[np.ndarray]") -> None:
            if feed.row == row and future.exception() is None:
                feed.earlier, feed.series_ms, feed.series_at = future.result(), -1.0, -1
                self.push(session)

        self.loop.run_in_executor(None, self.load_history, row).add_done_callback(arrived)

    def _status_section(self, feed: Feed) -> bytes:
        second = clock.now_ns() // 1_000_000_000
        if self.watch:
            second = second << 32 | self.watch.version
        if feed.status_at == second:
            return b""
        feed.status_at = second
        if feed.kind == OPERATIONS:
            return operations.section_of(feed.index, self.mirror.health, self.watch)
        return self.strip.section(feed.index, (second, feed.rights), self.status)

    def status(self) -> dict[str, Any]:
        """What the strip of every page says."""
        said = status(self.mirror, len(self.sessions), self.watch)
        return said | {"written": self.written()} if self.written else said

    def stop(self) -> None:
        """Follow no longer."""
        for task in self.tasks:
            task.cancel()

    async def _report(self) -> None:
        """Once a second: say how this process is, and wake pages whose status is due."""
        while True:
            await asyncio.sleep(1.0)
            glass = self.glass
            self.painted_ms.clear()
            health = {
                "now_ms": clock.now_ns() / 1e6,
                "sessions": len(self.sessions),
                "glass_ms_p50": glass.percentile(0.5),
                "glass_ms_p99": glass.percentile(0.99),
                "glass_samples": glass.count,
                "stages_ms": self.mirror.stages()
                | {"wait": self.wait_ms(), "encode": _drained(self._encoded_ms)},
                "pushes": sum(session.pushes for session in self.sessions),
                "bytes": sum(session.bytes for session in self.sessions),
                "mirror": self.mirror.state,
                "images": self.mirror.images,
                "mirror_gaps": self.mirror.gaps,
                "risk_age_s": self.mirror.risk_age_s(),
                "risk_gaps": self.mirror.risk.gaps,
                "nonsense": self.nonsense,
                "clients_refused": self.refuse.total(),
                **(self.screens.told() if self.screens else {}),
            }
            with contextlib.suppress(BusError):  # The mirror says so on every page.
                await self.mirror.bus.report(self.role, health)
            self.tick()


def _drained(moments_ms: list[float]) -> list[float | None]:
    """p50 and p99 of what was there."""
    found = _histogram(moments_ms)
    moments_ms.clear()
    return [found.percentile(0.5), found.percentile(0.99)]


def _histogram(moments_ms: list[float]) -> Histogram:
    found = Histogram()
    found.add(np.array(moments_ms))
    return found
