"""What pages showed: the tape answers cell for cell what each held when it confirmed a paint."""

import asyncio
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import screens as module
from app.screens import PENDING_BATCHES_MAX, Screens
from compute.archive import Archive
from compute.batch import Act, pack_batch, unpack_batch
from compute.bus import BusError
from compute.screen import Entry, NotOnRecordError, covered, pages, recall
from compute.table import INSTRUMENTS
from compute.tape import Tape
from tests.app.test_session import SPEC, Desk, Socket
from tests.compute.test_asof import Clock, World, clickhouse  # noqa: F401 (a fixture)

BID, LAST = INSTRUMENTS.index("bid"), INSTRUMENTS.index("last")


class Redis:
    """A stream that a test shuts."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, bytes, bytes]] = []
        self.away = False

    async def put_screens(self, head: bytes, body: bytes) -> None:
        if self.away:
            raise BusError("away")
        self.batches.append((str(len(self.batches) + 1), head, body))


class Watched:
    """A hub whose pages go on the tape, and what each page held at each paint."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.loop = asyncio.new_event_loop()
        self.desk, self.redis, self.clock = Desk(self.loop), Redis(), Clock()
        self.screens = Screens(self.redis, f"web.1-{seed}", self.clock)
        self.desk.hub.screens = self.screens
        self.pages = [self.open(name) for name in ("ann", "bob")]
        self.painted: dict[str, int] = {}
        self.held: list[tuple[int, str, int, list, np.ndarray]] = []

    def open(self, user: str):
        socket = Socket()
        session = self.desk.hub.attach(SPEC | {"title": "Test"}, lambda: socket, user)
        session.control({"type": "ready", "epoch": 0, "sequence": 0})
        session.control({"type": "viewport", "feed": 0, "first": 0, "count": 10})
        return session, socket, user

    def step(self) -> None:
        """Something moves, somebody asks, somebody paints."""
        self.clock.s += float(self.random.choice([0.1, 3.0, 14.0]))
        cells = [
            (
                int(self.random.integers(30)),
                int(self.random.choice([BID, LAST])),
                self.random.normal(),
            )
            for _ in range(int(self.random.integers(1, 6)))
        ]
        self.desk.change(cells)
        session, socket, user = self.pages[int(self.random.integers(len(self.pages)))]
        if self.random.random() < 0.2:
            first = int(self.random.integers(0, 20))
            session.control({"type": "viewport", "feed": 0, "first": first, "count": 8})
        if self.random.random() < 0.6 and len(socket.pushes) > self.painted.get(user, 0):
            self.painted[user] = len(socket.pushes)
            session.ack(socket.sequence, 5.0, 1)
            # The ack may have woken a push behind it.
            ts = next(row[0] for row in reversed(self.screens._entries) if row[5] == Act.PAINTED)
            self.held.append((ts, user, *socket.at_ack))
        if self.random.random() < 0.3:
            self.screens.cut()
            self.loop.run_until_complete(self.screens.flush())

    def close(self) -> None:
        self.screens.cut()
        self.loop.run_until_complete(self.screens.flush())
        self.loop.close()


@pytest.fixture(autouse=True)
def _at_ack(monkeypatch):
    """Sessions note what their page holds at the moment of each ack, before anything is sent."""
    from app.session import Session

    plain = Session.ack

    def ack(self, sequence, latency_ms, samples, held_ms=0.0):
        socket = self.transport
        rows = [int(row) for row in socket.page.rows]
        socket.at_ack = (sequence, rows, socket.page.cells.copy())
        plain(self, sequence, latency_ms, samples, held_ms)

    monkeypatch.setattr(Session, "ack", ack)


def taped(archive: Archive, batches) -> None:
    world, clock = World(1), Clock()
    world.batches = batches
    tape = Tape(world, archive, monotonic=clock)
    tape.step()
    tape.close()
    assert not tape.problem
    assert not tape.lost


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_paint_is_answered_cell_for_cell(clickhouse, seed):  # noqa: F811 (the fixture)
    archive = Archive(clickhouse.address, f"s{seed}")
    archive.command(f"DROP DATABASE IF EXISTS s{seed}")  # Of an example that failed.
    watched = Watched(seed)
    for _ in range(60):
        watched.step()
    watched.close()
    taped(archive, watched.redis.batches)
    assert len(watched.held) > 10
    for ts, user, sequence, rows, cells in watched.held[3:]:
        (page,) = pages(archive, ts, user=user)
        shown = recall(archive, page, ts)
        assert (shown.painted_ns, shown.screen.sequence) == (ts, sequence)
        grid = shown.screen.grids[0]
        assert grid.rows == rows
        np.testing.assert_array_equal(grid.cells, cells)
        assert recall(archive, page, ts + 1).painted_ns >= ts
    archive.command(f"DROP DATABASE s{seed}")
    archive.close()


def test_a_push_that_many_pages_share_is_kept_once():
    watched = Watched(4)
    a, b = watched.pages
    for session, socket, _ in (a, b):
        session.ack(socket.sequence, 1.0, 1)
    watched.screens.cut()
    watched.desk.change([(1, LAST, 5.0)])
    watched.close()
    entries, bodies = unpack_batch(watched.redis.batches[-1][2])
    sent = entries[np.isin(entries["act"], (Act.SENT, Act.WHOLE))]
    assert len(sent) == 2
    assert len(set(sent["body"].tolist())) == 1
    assert len(bodies) == 1


def test_while_redis_is_away_little_is_held_and_the_hole_is_said(clickhouse):  # noqa: F811
    archive = Archive(clickhouse.address, "hole")
    watched = Watched(9)
    watched.redis.away = True
    for _ in range(PENDING_BATCHES_MAX + 6):
        watched.step()
        watched.screens.cut()
        watched.loop.run_until_complete(watched.screens.flush())
    assert len(watched.screens._pending) == PENDING_BATCHES_MAX
    assert watched.screens.lost > 0
    early = watched.held[0][0]
    watched.redis.away = False
    watched.close()
    heads = [json.loads(head) for _, head, _ in watched.redis.batches]
    assert heads[0]["number"] == watched.screens.lost, "its number stays away"
    assert {row[2] for head in heads for row in head["pages"]} == {"ann", "bob"}
    taped(archive, watched.redis.batches)
    for page in pages(archive, watched.held[-1][0]):
        with pytest.raises(NotOnRecordError, match=r"batches before \d+ of web.1-9 are not"):
            recall(archive, page, early)


@given(
    entries=st.lists(
        st.tuples(
            *(st.integers(0, 2**62), st.floats(allow_nan=False), st.integers(-1, 2**53)),
            *(st.integers(0, 9), st.integers(0, 9), st.integers(1, 5)),
        ),
        max_size=9,
    ),
    bodies=st.lists(st.binary(max_size=9), max_size=9),
)
def test_a_batch_comes_back(entries, bodies):
    found, texts = unpack_batch(pack_batch(entries, bodies))
    assert texts == bodies
    assert [tuple(row)[:6] for row in found.tolist()] == entries
    with pytest.raises((ValueError, IndexError)):
        unpack_batch(pack_batch(entries, bodies) + b"x")


def act(kind: Act, sequence: int) -> Entry:
    return Entry(0, 0.0, sequence, b"", kind)


def test_pushes_of_one_sequence_are_told_apart_by_their_paints():
    sent, painted = Act.SENT, Act.PAINTED
    two = [act(sent, 5), act(sent, 5), act(painted, 5), act(painted, 5)]
    assert (covered(two, 2), covered(two, 3)) == (0, 1)
    one = [act(sent, 5), act(sent, 5), act(painted, 5), act(sent, 6), act(painted, 6)]
    assert (covered(one, 2), covered(one, 4)) == (1, 3)
    late = [act(sent, 5), act(painted, 5), act(sent, 5), act(painted, 5)]
    assert (covered(late, 1), covered(late, 3)) == (0, 2)
    assert covered([act(painted, 5)], 0) is None


def test_it_is_on_record_from_where_a_page_is_looked_at_and_what_it_writes_out():
    screens = Screens(Redis(), "web.1")
    shown = screens.open(SPEC, "ann")
    shown.came("ann", "10.0.0.7")
    for _ in range(2):  # Each time.
        shown.acted({"type": "export", "form": "png", "name": "Overview, Blotter"}, "ann")
    said = [act[1:5] for act in screens._acts]
    picture = ("ann", "web.1-1", "export", "Overview, Blotter")
    assert said == [("ann", "web.1-1", "from", "10.0.0.7"), picture, picture]


def test_of_acts_that_wait_for_redis_the_newest_stay(monkeypatch):
    monkeypatch.setattr(module, "ACTS_MAX", 3)
    screens = Screens(None, "web-1")
    many = PENDING_BATCHES_MAX + 9
    for number in range(many):
        screens.act(1, "ann", "export", str(number), "{}")
        screens.cut()
    heads = [json.loads(head) for _, _, head, _ in screens._pending]
    waiting = sorted(int(act[4]) for head in heads for act in head["acts"])
    assert waiting == list(range(many - len(waiting), many))
    assert len(waiting) + screens.acts_lost == many
