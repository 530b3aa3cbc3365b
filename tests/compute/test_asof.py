"""The past: at any moment on the tape the tables are those that the mirror held then."""

import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mirror import Mirror
from compute import chain, delta
from compute.archive import Archive, ArchiveError
from compute.asof import HOUR_NS, Past, read_slices
from compute.delta import Cutter
from compute.table import LIVE_TABLES, QUANT, QUANT_POSITIONS, RISK_TABLES
from compute.tape import Tape
from compute.tape_row import Sealed, Slice, fault, seal
from tests.clickhouse import ClickHouse

QUANT_TABLES = (QUANT, QUANT_POSITIONS)
EPOCH, START_NS, STEP_NS = 7, 1_800_000_000_000_000_000, 30_000_000


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory):
    server = ClickHouse(tmp_path_factory.mktemp("tape")).start()
    yield server
    server.kill()


@pytest.fixture
def archive(clickhouse):
    made = Archive(clickhouse.address, f"t{uuid.uuid4().hex}")
    yield made
    made.close()


class World:
    """Workers that change cells at random, and a bus that holds what they told."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.tables = [
            # What quants add has the mirror's own places, by names that nobody tells here.
            {table.name: table.empty(20) for table in tables if table not in QUANT_TABLES}
            for tables in (LIVE_TABLES, RISK_TABLES)
        ]
        self.cutters = [Cutter(), Cutter()]
        self.sequence, self.epoch, self.ts = [0, 0], EPOCH, START_NS
        self.images: list[bytes | None] = [None, None]
        self.told: list[list[tuple[int, int, bytes]]] = [[], []]
        self.notes_told: dict[str, bytes] = {}
        self.batches: list[tuple[str, bytes, bytes]] = []
        self.shared = False  # Whether several recorders share the partitions.

    def change(self, worker: int) -> None:
        tables = self.tables[worker]
        self.ts += int(self.random.integers(1, STEP_NS))
        first = next(iter(tables))
        if self.random.random() < 0.05:
            tables[first] = np.vstack((tables[first], np.full((3, tables[first].shape[1]), np.nan)))
        oldest = np.zeros(len(tables[first]), np.int64)
        for name, table in tables.items():
            for _ in range(int(self.random.integers(0, 6))):
                row, column = (int(self.random.integers(0, size)) for size in table.shape)
                blank = self.random.random() < 0.1
                table[row, column] = np.nan if blank else self.random.normal()
                if name == first:
                    oldest[row] = self.ts
        self.sequence[worker] += 1
        place = (self.epoch, self.sequence[worker], self.ts)
        frame = self.cutters[worker].cut(tables, oldest, *place)
        self.told[worker].append((*place[:2], frame))
        if self.images[worker] is None or self.random.random() < 0.1:
            self.images[worker] = delta.pack_image(tables, *place, {})

    # What the tape asks of the bus.

    def image(self, worker: int) -> bytes | None:
        return self.images[worker]

    def deltas(self, epoch: int, sequence: int, worker: int) -> list[tuple[int, int, bytes]]:
        return [one for one in self.told[worker] if one[0] == epoch and one[1] > sequence]

    def notes(self) -> dict[str, bytes]:
        return self.notes_told

    def reference(self) -> bytes | None:
        return b"[]"

    def reference_stamp(self) -> bytes | None:
        return b"1"

    def health(self) -> dict:
        record = {"now_ms": self.ts / 1e6} | ({"moves": 1} if self.shared else {})
        return {"live.0": {"now_ms": self.ts / 1e6}, "record.0": record}

    def screens(self, last_id: str) -> list[tuple[str, bytes, bytes]]:
        return self.batches[int(last_id) :]


def mirrored(world: World) -> dict[str, np.ndarray]:
    """What a web process would hold: the image, then every delta."""
    mirror = Mirror(None)
    for worker, track in enumerate((mirror.live, mirror.risk)):
        if world.images[worker] is None:
            continue
        mirror.take_image(delta.unpack_image(world.images[worker]), track)
        entries = world.deltas(track.epoch, track.sequence, worker)
        if entries:
            assert mirror.take(entries, track)
    return {name: table.copy() for name, table in mirror.tables.items()}


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def recorded(world: World, archive: Archive, rounds: int, gap_at: int = -1):
    """Run workers and a tape; what the mirror held at the end of each slice."""
    clock, moments = Clock(), []
    tape = Tape(world, archive, monotonic=clock)
    for step in range(rounds):
        for _ in range(int(world.random.integers(1, 5))):
            world.change(0)
        if world.random.random() < 0.7:
            world.change(1)
        if step == gap_at:  # The tape was away for longer than Redis remembers.
            world.told[0] = world.told[0][-1:]
            world.images[0] = delta.pack_image(
                world.tables[0], world.epoch, world.sequence[0], world.ts, {}
            )
        clock.s += 1.0
        tape.step()
        moments.append((world.ts, mirrored(world)))
    tape.close()
    assert not tape.problem
    return moments


def same(told, held) -> None:
    tables = {name: table for image in told.images.values() for name, table in image.tables.items()}
    for name, table in held.items():
        mine = tables.get(name)
        size = 0 if mine is None else len(mine)
        assert np.isnan(table[size:]).all(), "rows that nobody has told of are blank"
        if mine is not None:
            np.testing.assert_array_equal(mine, table[:size])


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_moment_is_as_the_mirror_was(clickhouse, seed):
    name = f"p{uuid.uuid4().hex}"  # The same seed may come again.
    archive = Archive(clickhouse.address, name)
    world = World(seed)
    moments = recorded(world, archive, 24)
    past = Past(archive)
    order = world.random.permutation(len(moments))  # Forwards, backwards, and the same again.
    for index in [*order, *range(len(moments))]:
        ts, held = moments[index]
        same(past.at(ts), held)
        between = ts + 1 if index + 1 < len(moments) and moments[index + 1][0] > ts + 1 else ts
        assert past.at(between).images["live"].sequence == past.at(ts).images["live"].sequence
    archive.command(f"DROP DATABASE {name}")
    archive.close()


def test_before_the_tape_nothing_is_known(archive):
    moments = recorded(World(3), archive, 3)
    past = Past(archive)
    first, last = past.span()
    assert first <= moments[0][0] <= last <= moments[-1][0]
    assert not past.at(first - 1).images


def test_a_hole_is_a_hole(archive):
    world = World(5)
    moments = recorded(world, archive, 8, gap_at=4)
    past = Past(archive)
    assert past.at(moments[1][0] + 1).next_ns is None
    told = past.at(moments[3][0] + 1)
    assert moments[3][0] < told.next_ns <= moments[4][0], "between them nothing is on record"
    same(told, moments[3][1])
    same(past.at(moments[4][0]), moments[4][1])


def test_a_slice_that_needs_none_before_it_may_come_between_two_questions(archive, monkeypatch):
    world = World(7)
    seen = recorded(world, archive, 4)
    past = Past(archive)
    same(past.at(seen[-1][0]), seen[-1][1])
    monkeypatch.setattr("compute.asof.LOOK_SECONDS", 1e9)  # It has just looked where they begin.
    later = recorded(world, archive, 6)  # A new tape begins with a whole slice.
    past._stretches.clear()
    for ts, held in later:
        same(past.at(ts), held)


def test_who_was_not_answered_looks_again(archive, monkeypatch):
    world = World(8)
    recorded(world, archive, 3)
    past = Past(archive)
    assert past.at(world.ts).images
    later = recorded(world, archive, 3)

    def away(*_given: object, **_more: object) -> bytes:
        raise ArchiveError("away", away=True)

    hour = past._contents._of(world.ts // HOUR_NS, 0)
    hour.looked_at = -1e9
    with monkeypatch.context() as patch:
        patch.setattr(archive, "raw", away)
        with pytest.raises(ArchiveError):
            past.at(later[-1][0])
    asked = []
    raw = archive.raw
    monkeypatch.setattr(archive, "raw", lambda query, form: asked.append(query) or raw(query, form))
    past.at(later[-1][0])
    assert any("indexOf" in query for query in asked), "where stretches begin is asked again"


def test_notes_are_those_of_the_moment(archive):
    world, clock = World(6), Clock()
    tape = Tape(world, archive, monotonic=clock)
    seen = []
    for text in (b'{"a":1}', b'{"a":1}', b'{"a":2}'):
        world.notes_told = {"names": text}
        world.change(0)
        clock.s += 2.0
        tape.step()
        seen.append(tape._pending[-1][1].ts if tape._pending else None)
    tape.close()
    rows = read_slices(archive, "tape", "stream = 'names' ORDER BY ts")
    assert [row.body for row in rows] == [b'{"a":1}', b'{"a":2}'], "told when it changes"
    past = Past(archive)
    assert past.note("names", rows[1].ts - 1) == b'{"a":1}'
    assert past.note("names", rows[1].ts) == b'{"a":2}'
    assert past.note("names", rows[0].ts - 1) == b""
    assert past.health(rows[1].ts + 10**9)["live.0"]


def test_a_tape_goes_on_where_the_last_one_ended_and_its_chain_holds(archive):
    world = World(8)
    recorded(world, archive, 3)
    recorded(world, archive, 3)
    sealed = chained(archive, "live")
    assert [row.slice.number for row in sealed] == list(range(len(sealed)))
    assert len(sealed) >= 6
    assert not fault(sealed)


def chained(archive: Archive, stream: str) -> list[Sealed]:
    rows = read_slices(archive, "tape", f"stream = '{stream}' ORDER BY number")
    hashes = archive.rows(
        f"SELECT hex(digest), hex(link) FROM {archive.database}.tape "
        f"WHERE stream = '{stream}' ORDER BY number"
    )
    return [Sealed(row, *map(bytes.fromhex, pair)) for row, pair in zip(rows, hashes, strict=True)]


@given(at=st.integers(0, 4), what=st.sampled_from(["ts", "data", "whole", "gone", "swapped"]))
def test_a_slice_that_was_changed_is_named(at, what):
    link, rows = chain.ORIGIN, []
    for number in range(6):
        one = seal(Slice("live", number, number, number + 1, number == 0, b"%d" % number), link)
        rows.append(one)
        link = one.link
    assert not fault(rows)
    if what == "gone":
        del rows[at or 1]
    elif what == "swapped":
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
    else:
        change = {"ts": {"ts": 99}, "data": {"data": b"x"}, "whole": {"whole": number != at}}[what]
        if what == "whole":
            change = {"whole": not rows[at].slice.whole}
        rows[at] = rows[at]._replace(slice=rows[at].slice._replace(**change))
    assert fault(rows)
