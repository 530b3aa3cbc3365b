"""Sessions: ready pages get the newest, slow pages get fewer and newer, nobody queues."""

import asyncio
import contextlib
import gc
import json
import struct
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.flow import WINDOW
from app.push import ACK, PUSH_MAGIC, frame_push
from app.session import Hub, Session
from app.view import ALERTS, ANSWER, CELLS, NAMES, REFERENCE, ROWS, SERIES, STATUS
from compute import delta
from compute.bus import BusError
from compute.table import INSTRUMENTS, LIVE_TABLES, RISK_TABLES
from ingest import clock
from ingest.instrument import Instrument, Reference
from tests.app.test_view import COLUMNS, ROWS_MAX, Page, World

LAST = INSTRUMENTS.index("last")
SPEC = {
    "feeds": [
        {"kind": "grid", "table": "instruments", "columns": COLUMNS},
        {"kind": "series"},
        {"kind": "status"},
    ]
}


class Socket:
    """A transport that a test opens and shuts, and that reads what is sent as a browser would."""

    def __init__(self) -> None:
        self.open, self.gone = True, False
        self.pushes: list[bytes] = []
        self.page = Page()  # Of feed 0 ...
        self.pages: dict[int, Page] = {}  # ... or of more, where a test says which.
        self.told: list[tuple[int, object]] = []  # JSON of kinds 5 to 8.
        self.series: list[tuple] = []
        self.status: dict = {}
        self.sequence = 0

    def ready(self) -> bool:
        return self.open

    def write(self, push: bytes) -> bool:
        if self.gone:
            return False
        self.pushes.append(push)
        body = unframe(push)[-1]
        magic, count, steps, sequence, _ts, _epoch = struct.unpack_from("<IHHddd", body)
        assert magic == PUSH_MAGIC
        self.sequence = int(sequence)
        self.steps = steps
        at, seen = 32, 0
        while at < len(body):
            feed, kind, size = struct.unpack_from("<HHI", body, at)
            data = body[at : at + 8 + size]
            if kind in (ROWS, CELLS):
                self.pages.get(feed, self.page).read(data)
            elif kind in (NAMES, ALERTS, REFERENCE, ANSWER):
                self.told.append((kind, json.loads(data[8:])))
            elif kind == SERIES:
                self.series.append(read_series(data[8:]))
            elif kind == STATUS:
                self.status = json.loads(data[8:])
            at, seen = at + 8 + size, seen + 1
        assert seen == count
        return True


def read_series(body: bytes) -> tuple:
    row, n, mode, _ = struct.unpack_from("<4I", body)
    return row, mode, np.frombuffer(body, "<f8", 4 * n, 16).reshape(4, n)


def unframe(data: bytes) -> list[bytes]:
    """The payloads of complete WebSocket frames."""
    found = []
    while data:
        size, at = data[1] & 127, 2
        if size == 126:
            size, at = struct.unpack_from("!H", data, 2)[0], 4
        elif size == 127:
            size, at = struct.unpack_from("!Q", data, 2)[0], 10
        found.append(data[at : at + size])
        data = data[at + size :]
    return found


class Desk(World):
    """A hub without a server."""

    def __init__(self, loop) -> None:
        super().__init__()
        self.hub = Hub(self.mirror, loop)

    def open(self, first: int = 0, count: int = 10) -> tuple[Session, Socket]:
        socket = Socket()
        session = self.hub.attach(SPEC, lambda: socket)
        session.control({"type": "ready", "epoch": 0, "sequence": 0})
        view = {"type": "viewport", "feed": 0, "first": first, "count": count}
        session.control(view)
        return session, socket

    def change(self, cells, oldest_ns: int = 1_000_000_000) -> None:
        super().change(cells, oldest_ns)
        self.hub.tick()

    def truth(self, session: Session) -> np.ndarray:
        port = self.hub._viewport(session.feeds[0])
        return self.mirror.tables[port.view.key.table][port.rows][:, port.view.columns]


@pytest.fixture
def desk():
    loop = asyncio.new_event_loop()
    yield Desk(loop)
    loop.close()


def ack(session: Session, socket: Socket) -> None:
    session.ack(socket.sequence, 5.0, 1)


def test_a_page_that_acks_gets_every_change(desk):
    session, socket = desk.open()
    ack(session, socket)
    for k in range(20):
        desk.change([(k % 10, LAST, float(k))])
        ack(session, socket)
        np.testing.assert_array_equal(socket.page.cells, desk.truth(session))
    assert session.pushes == len(socket.pushes)
    assert desk.hub.glass.count >= 20


def test_a_page_that_does_not_ack_costs_a_window_and_wakes_to_one_message(desk, monkeypatch):
    monkeypatch.setattr("app.session.time.monotonic", lambda: 100.0)
    session, socket = desk.open()
    ack(session, socket)
    before = len(socket.pushes)
    for k in range(500):
        desk.change([(k % 10, LAST, float(k))])
    assert len(socket.pushes) - before == WINDOW
    ack(session, socket)
    assert len(socket.pushes) - before == WINDOW + 1
    np.testing.assert_array_equal(socket.page.cells, desk.truth(session))


def test_a_busy_page_has_one_push_on_its_way(desk, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("app.session.time.monotonic", lambda: now[0])
    session, socket = desk.open()
    for k in range(40):  # Each paint takes 120 ms; a cut comes every 6 ms.
        before = len(socket.pushes)
        for step in range(20):
            desk.change([(3, LAST, float(100 * k + step))])
            now[0] += 0.006
        if k > 2:
            assert len(socket.pushes) - before <= 1
        ack(session, socket)
        np.testing.assert_array_equal(socket.page.cells, desk.truth(session))


def test_a_prompt_page_gets_every_cut_at_once(desk, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("app.session.time.monotonic", lambda: now[0])
    session, socket = desk.open()
    ack(session, socket)
    before = len(socket.pushes)
    for _frame in range(10):
        for step in range(3):
            now[0] += 0.005
            desk.change([(3, LAST, now[0] + step)])
        ack(session, socket)
    assert len(socket.pushes) - before == 30


def test_a_socket_that_does_not_drain_is_left_alone(desk):
    session, socket = desk.open()
    ack(session, socket)
    before, socket.open = len(socket.pushes), False
    for k in range(50):
        desk.change([(3, LAST, float(k))])
    assert len(socket.pushes) == before
    socket.open = True
    desk.change([(4, LAST, 1.0)])
    np.testing.assert_array_equal(socket.page.cells, desk.truth(session))


def test_nothing_is_sent_when_nothing_visible_changed(desk):
    session, socket = desk.open()
    ack(session, socket)
    before = len(socket.pushes)
    for k in range(50):
        desk.change([(25, LAST, float(k))])
    later = [unframe(push)[-1] for push in socket.pushes[before:]]
    # Once a second how the machine is, and that alone.
    assert all(struct.unpack_from("<H", push, 4)[0] == 1 for push in later), later
    assert all(struct.unpack_from("<H", push, 34)[0] == STATUS for push in later), later


def test_equal_pages_get_the_same_object_and_late_ones_the_truth(desk):
    pages = [desk.open() for _ in range(5)]
    for session, socket in pages:
        ack(session, socket)
    desk.change([(2, LAST, 9.0)])
    for session, socket in pages:
        ack(session, socket)
    desk.change([(2, LAST, 10.0)])
    assert len({id(socket.pushes[-1]) for _, socket in pages}) == 1
    late, late_socket = desk.open()
    np.testing.assert_array_equal(late_socket.page.cells, desk.truth(late))


def test_scroll_filter_and_sort_are_answered_at_once(desk):
    session, socket = desk.open()
    desk.change([(k, LAST, float(k)) for k in range(ROWS_MAX)])
    ack(session, socket)
    for message in (
        {"type": "viewport", "feed": 0, "first": 12, "count": 7},
        {"type": "filter", "feed": 0, "classes": [1, 2], "text": ""},
        {"type": "sort", "feed": 0, "column": "last", "descending": True},
        {"type": "sort", "feed": 0, "column": "symbol", "descending": False},
    ):
        session.control(message)
        ack(session, socket)
        np.testing.assert_array_equal(socket.page.cells, desk.truth(session))
        assert (socket.page.rows == desk.hub._viewport(session.feeds[0]).rows).all()


def test_a_page_that_asks_for_nonsense_harms_nobody(desk):
    session, socket = desk.open()
    ack(session, socket)
    for message in (
        {"type": "sort", "feed": 0, "column": "vwpa"},
        {"type": "viewport", "feed": 99, "first": 0, "count": 5},
        {"type": "viewport", "feed": 0, "first": "x", "count": None},
        {"type": "viewport", "feed": 0, "first": -5, "count": 10**9},
        {"type": "select", "row": 10**9},
        {"type": "filter", "feed": 0, "classes": "abc"},
        {},
    ):
        session.control(message)
    assert desk.hub.nonsense == 4
    session.control({"type": "filter", "feed": 0, "scope": 1})
    session.control({"type": "filter", "feed": 0, "classes": [], "text": "", "book": None})
    assert desk.hub.nonsense == 5
    session.control({"type": "viewport", "feed": 0, "first": 0, "count": 10})
    ack(session, socket)
    desk.change([(1, LAST, 4.0)])
    np.testing.assert_array_equal(socket.page.cells, desk.truth(session))


def test_a_page_that_comes_back_gets_everything_again(desk):
    session, socket = desk.open()
    desk.change([(1, LAST, 4.0)])
    socket.page = Page()
    session.control({"type": "ready", "epoch": 0, "sequence": 0})
    np.testing.assert_array_equal(socket.page.cells, desk.truth(session))


def test_a_page_that_is_gone_is_forgotten(desk):
    session, socket = desk.open()
    ack(session, socket)
    socket.gone = True
    desk.change([(1, LAST, 4.0)])
    assert session not in desk.hub.sessions


def test_a_chart_follows_the_selection(desk):
    session, socket = desk.open()
    desk.change([(3, LAST, 4.0)])
    ack(session, socket)
    desk.mirror.history.sample(1_000.0, desk.mirror.tables["instruments"])
    session.control({"type": "select", "row": 3})
    ack(session, socket)
    row, mode, values = socket.series[-1]
    assert (row, mode) == (3, 0)
    assert values[0, 0] == 1_000.0
    assert values[1, 0] == values[1, -1] == 4.0


def test_the_strip_says_how_things_are(desk):
    desk.mirror.health = {"live.0": {"now_ms": 0, "events_per_s": 7, "gaps": 2}}
    _, socket = desk.open()
    assert socket.status["events_per_s"] == 7
    assert socket.status["gaps"] == 2
    assert socket.status["live_age_s"] > 1e6


@pytest.mark.parametrize("size", [32, 125, 126, 65_535, 65_536])
def test_a_push_is_one_binary_frame(size):
    framed = frame_push(b"x" * size)
    assert framed[0] == 0x82  # Final, binary.
    assert unframe(framed) == [b"x" * size]


def test_an_ack_is_24_bytes():
    assert ACK.size == 24


def test_totals_come_five_times_a_second_and_are_right(desk, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("app.session.time.monotonic", lambda: now[0])
    socket = Socket()
    spec = {"feeds": [{"kind": "grid", "table": "classes", "columns": ["long", "net", "pnl"]}]}
    session = desk.hub.attach(spec, lambda: socket)
    session.control({"type": "ready"})
    session.control({"type": "viewport", "feed": 0, "first": 0, "count": 4})
    ack(session, socket)
    before = len(socket.pushes)
    for k in range(200):
        now[0] += 0.01
        desk.tables["classes"][k % 4, 2] = float(k)
        desk.change([])
        ack(session, socket)
    assert 8 <= len(socket.pushes) - before <= 12
    now[0] += 0.3
    desk.change([])
    np.testing.assert_array_equal(socket.page.cells, desk.truth(session))


def test_the_feeds_age_is_that_of_the_newest_event_shown(desk):
    now_ms = clock.now_ns() / 1e6
    desk.change([(4, INSTRUMENTS.index("ts_event"), now_ms - 3_000.0)])
    assert desk.hub.status()["feed_age_s"] == pytest.approx(3.0, abs=0.5)


# ---- both workers, all tables --------------------------------------------------------------------

BOTH = {
    "feeds": [
        {"kind": "grid", "table": "instruments", "columns": ["last", "delta", "bid", "yield"]},
        {
            "kind": "grid",
            "table": "positions",
            "columns": ["value_usd", "book", "instrument", "pnl", "dv01_usd"],
        },
        {"kind": "grid", "table": "exposures", "columns": ["scope", "net", "beta"]},
        {"kind": "grid", "table": "exposures", "columns": ["net"], "match": {"scope": 1}},
        {"kind": "grid", "table": "limits", "columns": ["id", "value", "state"]},
        {"kind": "grid", "table": "execution", "columns": ["arrival_bp"]},
        {"kind": "grid", "table": "classes", "columns": ["net", "pnl"]},
    ]
}
number = st.one_of(st.integers(0, 3).map(float), st.floats(-1e9, 1e9), st.just(float("nan")))
place = st.tuples(st.integers(0, 7), st.integers(0, 25), number)
TOLD = ("instruments", "positions", "classes", "analytics", "risk", "exposures", "limits")
told = st.tuples(st.sampled_from(TOLD), st.lists(place, max_size=15))
event = st.one_of(
    st.tuples(st.just("cut"), told),
    st.tuples(st.just("lost"), told),  # A delta that never arrives: the image must heal it.
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("join"), st.integers(0, 5)),
    st.tuples(st.just("ack"), st.integers(0, 5)),
    st.tuples(st.just("shut"), st.integers(0, 5)),
    st.tuples(st.just("sort"), st.tuples(st.integers(0, 5), st.sampled_from(["dv01_usd", "pnl"]))),
)


class Clients:
    """A desk whose two workers lose deltas and start anew, and pages that come and go."""

    def __init__(self, loop) -> None:
        self.desk = Desk(loop)
        self.pages: list[tuple[Session, Socket]] = []

    def open(self) -> None:
        socket = Socket()
        socket.pages = {k: Page(len(feed["columns"])) for k, feed in enumerate(BOTH["feeds"])}
        session = self.desk.hub.attach(BOTH, lambda: socket)
        session.control({"type": "ready"})
        for k, rows in enumerate((30, 5, 400, 3, 8, 400, 4)):
            session.control({"type": "viewport", "feed": k, "first": k % 2, "count": rows})
        self.pages.append((session, socket))

    def tell(self, table: str, cells, lost: bool = False) -> None:
        of_risk = table in {each.name for each in RISK_TABLES}
        worker, track = self.desk.both[of_risk]
        rows, width = self.desk.tables[table].shape
        for row, column, value in cells:
            self.desk.tables[table][row % rows, column % width] = value
        entry = worker.cut()
        if not lost and not self.desk.mirror.take([entry], track):
            self.desk.mirror.take_image(worker.image(), track)
        self.desk.hub.tick()

    def restart(self, of_risk: bool) -> None:
        worker, track = self.desk.both[of_risk]
        for each in RISK_TABLES if of_risk else LIVE_TABLES:
            worker.tables[each.name][:] = np.nan
        worker.epoch, worker.sequence, worker.cutter = worker.epoch + 1, 0, delta.Cutter()
        self.desk.mirror.take_image(worker.image(), track)

    def check(self) -> None:
        tables = self.desk.mirror.tables
        for session, socket in self.pages:
            for feed in session.feeds:
                port = self.desk.hub._viewport(feed)
                page = socket.pages[feed.index]
                assert page.rows.tolist() == port.rows.tolist(), feed.key
                whole = tables[feed.key.table]
                beside = {"instruments": "analytics", "positions": "risk"}.get(feed.key.table)
                if beside:
                    whole = np.hstack((whole, tables[beside]))
                expected = whole[port.rows][:, list(feed.key.columns)]
                np.testing.assert_array_equal(page.cells, expected, str(feed.key))


@settings(deadline=None, max_examples=150)
@given(st.lists(event, max_size=25))
def test_every_cell_of_every_page_is_the_mirrors(events):
    now = [100.0]
    with (
        contextlib.closing(asyncio.new_event_loop()) as loop,
        pytest.MonkeyPatch.context() as patch,
    ):
        for module in ("session", "view", "mirror"):
            patch.setattr(f"app.{module}.time.monotonic", lambda: now[0])
        clients = Clients(loop)
        clients.open()
        for kind, what in events:
            now[0] += 0.07
            pick = clients.pages[(what if isinstance(what, int) else 0) % len(clients.pages)]
            if kind in ("cut", "lost"):
                clients.tell(*what, lost=kind == "lost")
            elif kind == "restart":
                clients.restart(what)
            elif kind == "join":
                clients.open()
            elif kind == "ack":
                ack(*pick)
            elif kind == "shut":
                pick[1].open = not pick[1].open
            else:
                wish = {"type": "sort", "feed": 1, "column": what[1]}
                clients.pages[what[0] % len(clients.pages)][0].control(wish)
        for _, socket in clients.pages:
            socket.open = True
        for _ in range(3):
            now[0] += 1.1
            for table in ("instruments", "analytics"):
                clients.tell(table, [])
            for page in clients.pages:
                ack(*page)
        truth, mirror = clients.desk.tables, clients.desk.mirror
        for name, table in truth.items():
            np.testing.assert_array_equal(mirror.tables[name][: len(table)], table)
        clients.check()


def test_pages_that_miss_the_same_get_the_same_object_also_with_notes(desk):
    pages = [desk.open() for _ in range(3)]
    for page in pages:
        ack(*page)
    desk.mirror.names, desk.mirror.alerts = b'{"limits":{}}', b"[]"
    desk.change([(2, LAST, 9.0)])
    assert len({id(socket.pushes[-1]) for _, socket in pages}) == 1
    for _, socket in pages:
        assert socket.told == [(NAMES, {"limits": {}}), (ALERTS, [])]
    late, late_socket = desk.open()
    assert late_socket.told == pages[0][1].told
    desk.mirror.alerts = b'[{"alert":"1"}]'
    desk.hub.tick()
    ack(late, late_socket)
    assert late_socket.told[-1] == (ALERTS, [{"alert": "1"}])
    assert [kind for kind, _ in late_socket.told] == [NAMES, ALERTS, ALERTS]
    late.control({"type": "ready"})  # It comes back, and may have lost them.
    assert [kind for kind, _ in late_socket.told[3:]] == [NAMES, ALERTS]


def test_a_changed_instrument_reaches_the_page(desk):
    session, socket = desk.open()
    before = json.loads(session.reference)
    ack(session, socket)
    rows = list(desk.mirror.reference.by_id.values())
    desk.mirror.reference = Reference([*rows, Instrument(3, "NEW", 0, "X", "EUR", 5.0, 0.01, 3)])
    desk.hub.tick()
    ((kind, changed),) = socket.told
    assert (kind, [row["id"] for row in changed]) == (REFERENCE, [3])
    assert changed[0]["symbol"] == "NEW"
    assert changed[0]["multiplier"] == 5.0
    merged = {row["id"]: row for row in before} | {3: changed[0]}
    other, _ = desk.open()
    assert merged == {row["id"]: row for row in json.loads(other.reference)}


class Asked:
    """A bus that hears questions."""

    def __init__(self) -> None:
        self.heard: list[dict] = []
        self.answers: dict[str, dict] = {}
        self.away = False

    async def ask_risk(self, message: dict) -> str:
        if self.away:
            raise BusError("Redis does not answer")
        self.heard.append(message)
        return "1-1"

    async def answer(self, name: str, seconds: float) -> dict | None:
        return self.answers.get(name)


def settle(desk) -> None:
    desk.hub.loop.run_until_complete(asyncio.gather(*desk.hub.questions.tasks))


def test_an_acknowledgement_reaches_risk_and_its_answer_that_page_alone(desk):
    desk.mirror.bus = Asked()
    session, socket = desk.open()
    _, other = desk.open()
    session.control({"type": "acknowledge", "alert": "1-0-5", "person": "Ann", "id": "mine"})
    name = f"web-{desk.hub.epoch}-1"
    desk.mirror.bus.answers[name] = {"id": name, "acknowledged": {"alert": "1-0-5"}}
    settle(desk)
    expected = {"type": "acknowledge", "id": name, "alert": "1-0-5", "person": "Ann"}
    assert desk.mirror.bus.heard == [expected]
    ack(session, socket)
    answer = {"type": "acknowledge", "id": "mine", "acknowledged": {"alert": "1-0-5"}}
    assert socket.told == [(ANSWER, answer)]
    assert other.told == []


def test_the_person_is_whom_the_server_knows(desk):
    desk.mirror.bus = Asked()
    session = desk.hub.attach(SPEC, Socket, user="ann.lee")
    session.control({"type": "acknowledge", "alert": "1-0-5", "person": "the chief"})
    settle(desk)
    assert desk.mirror.bus.heard[0]["person"] == "ann.lee"


def test_what_cannot_be_asked_is_said_to_the_page(desk, monkeypatch):
    desk.mirror.bus = Asked()
    session, socket = desk.open()
    trades = [{"book": 0, "instrument": 1, "quantity": 5.0}]
    session.control({"type": "what_if", "trades": trades})
    settle(desk)
    ack(session, socket)
    assert socket.told[-1][1]["error"] == "risk did not answer within 5 s"
    desk.mirror.bus.away = True
    session.control({"type": "what_if", "trades": trades})
    settle(desk)
    ack(session, socket)
    assert socket.told[-1][1] == {"type": "what_if", "id": None, "error": "Redis does not answer"}
    assert desk.hub.nonsense == 0
    for message in ({"trades": []}, {"trades": trades, "id": 5}, {}):
        session.control({"type": "what_if", **message})
    assert desk.hub.nonsense == 3
    monkeypatch.setattr("app.questions.QUESTIONS_MAX", 0)
    session.control({"type": "what_if", "trades": trades})
    assert desk.hub.nonsense == 4
    assert len(desk.mirror.bus.heard) == 1


def test_filters_of_other_tables_are_answered_at_once(desk, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("app.view.time.monotonic", lambda: now[0])
    socket = Socket()
    socket.pages = {0: Page(2), 1: Page(1)}
    spec = {
        "feeds": [
            {"kind": "grid", "table": "positions", "columns": ["book", "quantity"], "rows": 8},
            {"kind": "grid", "table": "exposures", "columns": ["net"], "rows": 8},
        ]
    }
    session = desk.hub.attach(spec, lambda: socket)
    session.control({"type": "ready"})
    desk.tables["positions"][:4, 0] = [0, 1, 0, 1]
    desk.tables["exposures"][:3, 0] = [0, 1, 2]
    now[0] += 0.3
    desk.change([])
    desk.change_risk()
    session.control({"type": "filter", "feed": 0, "book": 1})
    ack(session, socket)
    assert socket.pages[0].rows.tolist() == [1, 3]
    session.control({"type": "filter", "feed": 1, "scope": 2})
    ack(session, socket)
    assert socket.pages[1].rows.tolist() == [2]
    session.control({"type": "filter", "feed": 0})
    ack(session, socket)
    assert socket.pages[0].rows.tolist() == [0, 1, 2, 3]
    assert desk.hub.nonsense == 0


def test_the_strip_says_how_old_risk_is(desk):
    desk.mirror.risk.ts_cut = 0
    assert desk.hub.status()["risk_age_s"] is None
    assert desk.hub.status()["notes"] == []
    desk.mirror.risk.ts_cut = clock.now_ns() - 1_500_000_000
    assert desk.hub.status()["risk_age_s"] == pytest.approx(1.5, abs=0.3)
    assert desk.hub.status()["notes"] == []
    desk.mirror.health = {"risk.0": {"now_ms": 0, "problem": "no image", "limits_breached": 2}}
    assert desk.hub.status()["notes"] == ["risk waits: no image"]
    assert desk.hub.status()["limits_breached"] == 2
    desk.mirror.risk.ts_cut = clock.now_ns() - 7_000_000_000
    assert desk.hub.status()["notes"] == ["risk numbers are 7 s old"]
    desk.mirror.live.problem = "Redis is away"
    assert desk.hub.status()["notes"] == ["Redis is away"]


def test_sessions_that_come_and_go_leave_nothing_behind(desk):
    seen = []
    for k in range(50):
        session, socket = desk.open(k % 7, 5)
        ack(session, socket)
        desk.change([(k % 10, LAST, float(k))])
        session.close()
        seen += [weakref.ref(session), weakref.ref(socket)]
    del session, socket
    desk.change([(1, LAST, -1.0)])
    gc.collect()
    assert not desk.hub.sessions
    assert not [one for one in seen if one() is not None]
    assert len(desk.hub._standings) <= 1


def test_pages_that_stand_equally_share_what_comes_next(desk):
    """One is in the lead, the others take what it found; a wish takes a page out of the line."""
    pages = [desk.open() for _ in range(4)]
    for session, socket in pages:
        ack(session, socket)
    desk.change([(2, LAST, 1.0)])
    for session, socket in pages:
        ack(session, socket)
    desk.change([(2, LAST, 2.0)])
    standings = {id(session.standing) for session, _ in pages}
    assert len(standings) == 1
    session, socket = pages[0]
    session.control({"type": "viewport", "feed": 0, "first": 5, "count": 6})
    ack(session, socket)
    assert session.standing is not pages[1][0].standing
    for other, its in pages[1:]:
        ack(other, its)
    desk.change([(k, LAST, 3.0 + k) for k in range(12)])
    for one, its in pages:
        ack(one, its)
        np.testing.assert_array_equal(its.page.cells, desk.truth(one))


def test_who_sleeps_holds_nothing_of_what_came_after(desk):
    sleeps, _ = desk.open()
    session, socket = desk.open()
    for k in range(200):
        desk.change([(k % 10, LAST, float(k))])
        ack(session, socket)
    assert sleeps.sent < session.sent
    gc.collect()
    assert len(desk.hub._standings) <= 4


def test_a_push_says_how_many_steps_it_makes_up_for(desk):
    session, socket = desk.open()
    ack(session, socket)
    desk.change([(3, LAST, 1.0)])
    ack(session, socket)
    desk.change([(3, LAST, 2.0)])
    assert socket.steps == 1
    ack(session, socket)
    socket.open = False
    for k in range(5):
        desk.change([(3, LAST, 10.0 + k)])
    socket.open = True
    desk.change([(3, LAST, 20.0)])
    assert socket.steps == 6
