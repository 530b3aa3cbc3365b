"""Sessions: ready pages get the newest, slow pages get fewer and newer, nobody queues."""

import asyncio
import json
import struct

import numpy as np
import pytest

from app.session import ACK, PUSH_MAGIC, WINDOW, Hub, Session, frame_push
from app.view import CELLS, ROWS, SERIES, STATUS
from compute.table import INSTRUMENTS
from ingest import clock
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
        self.page = Page()
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
        magic, count, sequence, _ts, _epoch = struct.unpack_from("<IIddd", body)
        assert magic == PUSH_MAGIC
        self.sequence = int(sequence)
        at, seen = 32, 0
        while at < len(body):
            _feed, kind, size = struct.unpack_from("<HHI", body, at)
            data = body[at : at + 8 + size]
            if kind in (ROWS, CELLS):
                self.page.read(data)
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


def test_a_page_that_does_not_ack_costs_a_window_and_wakes_to_one_message(desk):
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
    assert len(socket.pushes) == before


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
