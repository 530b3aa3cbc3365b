"""Key: a web process. Opens the doors, hands them to the hub, and serves the layouts.

The hub (mirror, views, sessions) starts once a process, in the server's own event loop: at once
under `./tickglass web`, with the first page under a plain `panel serve layouts/overview.py`.
"""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import panel as pn
from tornado.ioloop import IOLoop
from tornado.web import RedirectHandler

from app import settings as settings_room
from app.aside import step_in
from app.blocks.link import LinkHandler
from app.blocks.page import lighten, page_of
from app.blocks.transport import CLIENT_BYTES_MAX, connect, hear_acks
from app.desks import Desks, page_desk
from app.garbage import Garbage
from app.health import METRICS, READY, Health, routes
from app.heartbeat import Heartbeat
from app.keeping import FOLDER, Keeping
from app.layout import written
from app.mirror import Mirror
from app.people import COOKIE, SECURE_COOKIE, SIGNED_OUT, AccessError, People, address_of
from app.portal import Door, Gate, guarded, headers_of, looking
from app.portal import routes as sign_in
from app.process import settle
from app.quant import COLUMNS
from app.resume import ANYBODY, Resume, secret
from app.screens import Screens
from app.session import Hub, Session
from app.settings import Settings
from app.table_file import TableHandler
from app.ticket import TICKET_SECONDS
from app.watch import Watch
from compute.bus import AsyncBus, Bus
from compute.quant_read import read_all
from ingest import clock, fund

KEEP_ALIVE_MS = 1_000  # So that a proxy notices a hung server in seconds.
UNUSED_SESSION_MS = 20_000
REFERENCE_SECONDS = 2.0
PAST_SECONDS = 1_800  # Of a chart, as long as a mirror's own samples reach.


class Runtime:
    """What this process has made so far."""

    hub: Hub | None = None
    settings: Settings | None = None  # Those that it was made with.
    health: Health | None = None
    heart: Heartbeat | None = None
    garbage: Garbage | None = None  # Where the process is ours.
    resume: Resume | None = None  # Where the server has the route for it.
    door: Door | None = None  # Where people sign in.
    tasks: ClassVar[list[asyncio.Future]] = []
    error: BaseException | None = None  # What ended one of them, and with it the server.
    pasts: ClassVar[set[Hub]] = set()  # Of pages that show the past, one each.


def start_hub(settings: Settings, loop: asyncio.AbstractEventLoop) -> Hub:
    """The hub of this process, made on first use; call in the loop's own thread or with it idle."""
    if Runtime.hub is None:
        if not settings.redis:
            raise settings_room.SettingsError(
                "No Redis address is known. Start ./tickglass up, or give TICKGLASS_REDIS."
            )
        hear_acks(lambda why: Runtime.hub.refuse(why) if Runtime.hub else None)
        lighten()
        hub = Hub(Mirror(AsyncBus(settings.redis)), loop, role=f"web.{settings.port}")
        hub.load_history = _history(settings)
        hub.charts.past = _past_of(settings)
        hub.screens = Screens(hub.mirror.bus, f"{hub.role}-{hub.epoch}")
        hub.watch = Watch()
        if settings.dev:
            hub.written = lambda: written(settings.layout_folders)
        if Runtime.door:
            hub.rights_of = Runtime.door.people.rights
        Runtime.hub, Runtime.health = hub, Health(hub, hub.watch)
        Runtime.settings = settings
        loop.call_soon_threadsafe(hub.start)
        loop.call_soon_threadsafe(lambda: _watched(settings, hub))
        loop.call_soon_threadsafe(hub.screens.start)
    return Runtime.hub


def _watched(settings: Settings, hub: Hub) -> None:
    """In the loop: look after everybody, and let our own heart be heard."""
    heart = Runtime.heart = Heartbeat(hub.role, Bus(settings.redis))
    heart.__enter__()
    assert Runtime.health is not None
    Runtime.tasks += [
        asyncio.ensure_future(Runtime.health.run()),
        asyncio.ensure_future(_turning(heart)),
    ]


async def _turning(heart: Heartbeat) -> None:
    """The server's loop turns: a step of the heart that is this process's."""
    while True:
        heart.stepped()
        await asyncio.sleep(heart.every_s)


def attach(spec: dict[str, Any], document: Any, _send_control: Any = None) -> Session:
    """The session of a page that is being made, possibly in another thread than the loop's."""
    loop = _loop_of(document)
    hub = Runtime.hub or start_hub(settings_room.load(), loop)
    _wait_for_reference(hub)
    asked = document.session_context.request.arguments.get("asof")
    if asked:
        hub = _past(hub, asked[-1].decode(errors="replace"))
    found: list[Session] = []
    request = _request(document)
    signed = _signed(document, request)
    session = hub.attach(spec, lambda: connect(document, found[0]), _user(signed))
    session.signed = signed
    if session.shown:
        session.shown.came(session.user, address_of(request))
    found.append(session)
    if Runtime.garbage:
        Runtime.garbage.came()
    if Runtime.resume:
        session.ticket = Runtime.resume.ticket(hub, spec, session.user)
    document.on_session_destroyed(lambda _context: _leave(hub, session))
    return session


def _past(live: Hub, text: str) -> Hub:
    """A hub of its own for a page that shows the past; what stands in the way is an error page."""
    from app.asof import PASTS_MAX, PastHub, TooManyError  # Only who looks back needs ClickHouse.
    from app.moment import parse
    from compute.archive import PROMPT_SECONDS, Archive

    settings = Runtime.settings or settings_room.load()
    if not settings.clickhouse:
        raise settings_room.SettingsError("No ClickHouse address is known: there is no tape.")
    if len(Runtime.pasts) >= PASTS_MAX:
        raise TooManyError(
            f"{PASTS_MAX} pages of this server show the past already. Close one of them."
        )
    moment_ns = parse(text, clock.now_ns())
    archive = Archive(settings.clickhouse, settings.database, PROMPT_SECONDS)
    past = PastHub(live, archive, moment_ns, _history_at(settings))
    past.charts.past = _past_of(settings)
    Runtime.pasts.add(past)
    live.call(past.start)
    return past


def _leave(hub: Hub, session: Session) -> None:
    session.close()
    if Runtime.garbage:
        Runtime.garbage.left()
    if hub in Runtime.pasts:
        Runtime.pasts.discard(hub)
        hub.call(hub.stop)


def _request(document: Any) -> Any:
    """What the browser has sent now. Bokeh's own word for it is of when the page was made."""
    return document.session_context.request._request  # noqa: SLF001


def _signed(document: Any, request: Any) -> Any:
    """Who has signed in for the page that is being made; None where nobody is asked to.

    From then on it is that person's page alone (`Gate`). AccessError where nobody has come in.
    """
    door = Runtime.door
    if door is None:
        return None
    signed = door.who(request)
    if signed is None:
        raise AccessError("sign in first")
    page = document.session_context.id
    door.pages[page] = signed.person
    document.on_session_destroyed(lambda _context: door.pages.pop(page, None))
    return signed


def _user(signed: Any = None) -> str:
    """Who is at the page that is being made; "" without a sign-in, ours or Panel's."""
    return signed.person if signed else str(pn.state.user or "")


def _wait_for_reference(hub: Hub) -> None:
    """Let the first page of a process wait a moment: without reference rows it has no names."""
    if threading.get_ident() == hub.thread:
        return  # In the loop itself there is nothing to wait for.
    deadline = time.monotonic() + REFERENCE_SECONDS
    while not len(hub.mirror.reference) and time.monotonic() < deadline:
        time.sleep(0.02)


def _loop_of(document: Any) -> asyncio.AbstractEventLoop:
    context = document.session_context.server_context.application_context
    loop: asyncio.AbstractEventLoop = context.io_loop.asyncio_loop
    return loop


def _history(settings: Settings) -> Callable[[int], Any] | None:
    """Reads a chart's past from the record, in a worker thread; None where there is no record."""
    if not settings.clickhouse:
        return None
    load = _history_at(settings)
    return lambda row: load(row, clock.now_ns())


def _history_at(settings: Settings) -> Callable[[int, int], Any]:
    """The same for (row, moment in ns at which the chart ends)."""
    from compute import history
    from compute.archive import PROMPT_SECONDS, Archive

    archive: list[Archive] = []

    def load(row: int, now_ns: int) -> Any:
        if not archive:
            archive.append(Archive(settings.clickhouse, settings.database, PROMPT_SECONDS))
        return history.series(archive[0], row, now_ns - PAST_SECONDS * 10**9, now_ns, 1.0)

    return load


def _past_of(settings: Settings) -> Any:
    """What charts read of the record; None where there is none."""
    if not settings.clickhouse:
        return None
    from app.charts import Record
    from compute.archive import PROMPT_SECONDS, Archive

    return Record(lambda: Archive(settings.clickhouse, settings.database, PROMPT_SECONDS))


def layouts(settings: Settings) -> dict[str, Path]:
    """Path on the server -> file of every desk; one's own stand before the shipped ones."""
    files = [path for one in settings.layout_folders for path in sorted(one.glob("*.py"))]
    return {path.stem: path for path in files}


def serve(settings: Settings, ready: Callable[[], None] | None = None) -> None:
    """Serve every layout on settings.port of loopback until SIGTERM or SIGINT."""
    pn.config.reconnect = True
    origins = [f"{host}:{settings.port}" for host in ("127.0.0.1", "localhost")]
    origins += settings.origins.split(",") if settings.origins else []
    for definition in read_all(settings.layout_folders).definitions:
        COLUMNS.define(definition)
    found = layouts(settings)
    keeping = Keeping(Bus(settings.redis), settings.data / FOLDER) if settings.redis else None
    own = partial(page_desk, keeping) if keeping else None
    desks: dict[str, Any] = {name: page_of(path, own) for name, path in found.items()}
    door = Runtime.door = _door(settings, origins)
    guard = partial(guarded, door=door) if door else lambda handler, **_: handler
    gate: dict[str, Any] = {"auth_provider": Gate(door)} if door else {}
    server = pn.io.server.get_server(
        desks,
        port=settings.port,
        address="127.0.0.1",
        websocket_origin=origins,
        start=False,
        show=False,
        session_token_expiration=TICKET_SECONDS,
        sign_sessions=True,
        secret_key=secret(settings),
        exclude_cookies=[COOKIE, SECURE_COOKIE],  # A page's text holds the rest.
        exclude_headers=["Cookie", "Authorization"],
        generate_session_ids=True,
        keep_alive_milliseconds=KEEP_ALIVE_MS,
        websocket_max_message_size=CLIENT_BYTES_MAX,
        unused_session_lifetime_milliseconds=UNUSED_SESSION_MS,
        extra_patterns=[
            (r"/", RedirectHandler, {"url": "/overview", "permanent": False}),
            _link(settings),
            (r"/table", guard(TableHandler), {"tell": _exported}),
            *[
                (path, handler if path == READY else guard(handler, whole=path == METRICS), told)
                for path, handler, told in routes(lambda: Runtime.health)
            ],
            *(sign_in(door) if door else ()),
        ],
        **gate,
    )
    transforms: list[Any] = server._tornado.transforms  # noqa: SLF001 (of every answer)
    transforms.insert(0, headers_of(door))
    loop: IOLoop = server.io_loop

    def begin() -> None:
        hub = start_hub(settings, asyncio.get_running_loop())
        hub.desks = Desks(hub, keeping, found) if keeping else None
        hub.questions.trusting = not settings.insecure_demo
        if door:
            Runtime.tasks.append(asyncio.ensure_future(looking(door, _end)))
        loop.add_callback(_guard, server, loop)  # Once all of them have begun.
        _begun()
        if ready:
            ready()

    loop.add_callback(begin)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, lambda *_: loop.add_callback_from_signal(partial(_stop, server, loop))
        )
    server.start()
    loop.start()
    if Runtime.heart:
        Runtime.heart.__exit__()
    if Runtime.error:
        raise Runtime.error


def _begun() -> None:
    """The start is over: what it made is left alone, and from now on this server serves."""
    settle()
    step_in()
    garbage = Runtime.garbage = Garbage()
    Runtime.tasks.append(asyncio.ensure_future(garbage.run()))


def _link(settings: Settings) -> tuple[str, type[LinkHandler], dict[str, Any]]:
    """The route on which pages of another server, or of an earlier one, go on."""

    def hub() -> Hub:
        assert Runtime.hub is not None
        return Runtime.hub

    resume = Runtime.resume = Resume(settings, hub, _past)

    def go_on(*told: Any) -> Any:
        if Runtime.garbage:
            Runtime.garbage.came()
        return resume.go_on(*told)

    told = {
        "go_on": go_on,
        "leave": lambda session: _leave(session.hub, session),
        "admit": Runtime.door.who if Runtime.door else lambda _request: ANYBODY,
    }
    return (r"/link", LinkHandler, told)


def _door(settings: Settings, origins: list[str]) -> Door | None:
    """The door where an access file says who may come in; AccessError where that cannot be."""
    if settings.access is None:
        hosts = [origin.partition(":")[0] for origin in settings.origins.split(",") if origin]
        if not settings.insecure_demo and set(hosts) - {"127.0.0.1", "localhost"}:
            raise settings_room.SettingsError(
                f"Pages would be served as {settings.origins} to whoever comes: name an access "
                "file (TICKGLASS_ACCESS), or set TICKGLASS_INSECURE_DEMO where that is wanted."
            )
        return None
    kept, known = settings.data / SIGNED_OUT, fund.of(settings.fund)
    people = People(settings.access, secret(settings), Bus(settings.redis), kept, fund=known)

    def tell(person: str, action: str, detail: str) -> None:
        if Runtime.hub and Runtime.hub.screens:
            Runtime.hub.screens.act(0, person, action, "", detail)

    return Door(people, secret(settings), origins, tell)


def _exported(request: Any, subject: str, detail: str) -> None:
    """On record: a table was written to a file."""
    signed = Runtime.door.who(request) if Runtime.door else None
    if Runtime.hub and Runtime.hub.screens:
        person = signed.person if signed else ""
        detail = json.dumps({"from": address_of(request), "what": detail})
        Runtime.hub.screens.act(0, person, "export", subject, detail)


def _end(holds: Callable[[Any], bool]) -> None:
    """End the pages of whoever may not be here any more; tell the others what they may see."""
    for hub in filter(None, (Runtime.hub, *Runtime.pasts)):
        hub.entitle()
        for session in list(hub.sessions):
            if session.signed and not holds(session.signed) and session.transport:
                session.transport.end()


def _guard(server: Any, loop: IOLoop) -> None:
    """What runs for ever does so, or the server ends."""
    assert Runtime.hub is not None
    assert Runtime.hub.screens is not None
    for task in (*Runtime.hub.tasks, Runtime.hub.screens.task, *Runtime.tasks):
        task.add_done_callback(partial(_ended, server, loop))


def _ended(server: Any, loop: IOLoop, task: asyncio.Future) -> None:
    """What follows numbers, or looks after others, has failed: pages go on at another server."""
    if not task.cancelled() and Runtime.error is None:
        Runtime.error = task.exception() or RuntimeError("a task of the server has ended")
        _stop(server, loop)


def _stop(server: Any, loop: IOLoop) -> None:
    server.stop(wait=False)
    loop.stop()


__all__ = ["attach", "layouts", "serve", "start_hub"]
