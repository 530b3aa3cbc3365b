"""The mirror follows both workers, each by itself: what befalls one is not news of the other."""

import asyncio
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mirror import STAMPS, History, Mirror
from compute import delta
from compute.bus import BusError
from compute.table import ANALYTICS, INSTRUMENTS, LIVE_TABLES, RISK_TABLES
from ingest.instrument import Instrument, Reference
from tests.app.test_view import LAST, ROWS_MAX, Worker, World, instruments

BID = INSTRUMENTS.index("bid")


class Redis:
    """What the mirror asks of AsyncBus; workers tell into it, `away` is a server that is gone."""

    def __init__(self) -> None:
        self.workers = {0: Worker(LIVE_TABLES), 1: Worker(RISK_TABLES)}
        self.images: dict[int, bytes] = {}
        self.streams: dict[int, list] = {0: [], 1: []}
        self.told = asyncio.Condition()
        self.away = False
        self.rows = instruments()
        self.health_now: dict = {}
        self.names_now: bytes | None = None
        self.alerts_now: bytes | None = None
        self.reads = 0

    async def tell(self, worker: int, image: bool = False, lost: bool = False) -> None:
        made = self.workers[worker]
        entry = made.cut()
        async with self.told:
            if not lost:
                self.streams[worker].append(entry)
            if image:
                self.images[worker] = delta.pack_image(
                    made.tables, made.epoch, made.sequence, made.ts_cut, {}
                )
            self.told.notify_all()

    def _there(self) -> None:
        if self.away:
            raise BusError("Redis at nowhere does not answer")

    async def image(self, worker: int):
        self._there()
        return self.images.get(worker)

    async def deltas(self, epoch: int, sequence: int, worker: int):
        last = epoch, sequence
        while True:
            self._there()
            entries = [entry for entry in self.streams[worker] if entry[:2] > last]
            if entries:
                last = entries[-1][:2]
                yield entries
                continue
            async with self.told:
                await asyncio.wait_for(self.told.wait(), 5)

    async def reference(self):
        self._there()
        self.reads += 1
        return self.rows.to_json()

    async def health(self):
        self._there()
        return self.health_now

    async def names(self):
        return self.names_now

    async def alerts(self):
        return self.alerts_now


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr("app.mirror.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("app.mirror.RISK_RETRY_SECONDS", 0.01)


def follow(scenario) -> None:
    """Run `scenario(redis, mirror)` beside the mirror's own loop."""

    async def main() -> None:
        redis = Redis()
        mirror = Mirror(redis)
        running = asyncio.ensure_future(mirror.run())
        try:
            await asyncio.wait_for(scenario(redis, mirror), 20)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


async def until(what) -> None:
    while not what():  # noqa: ASYNC110 (what it waits for has no event)
        await asyncio.sleep(0.005)


def agrees(redis: Redis, mirror: Mirror, worker: int) -> bool:
    return all(
        np.array_equal(mirror.tables[name][: len(table)], table, equal_nan=True)
        for name, table in redis.workers[worker].tables.items()
    )


def test_without_risk_prices_are_live_and_its_cells_blank():
    async def scenario(redis, mirror):
        redis.workers[0].tables["instruments"][3, BID] = 7.0
        await redis.tell(0, image=True)
        await until(lambda: mirror.state == "live" and agrees(redis, mirror, 0))
        assert mirror.problem == ""
        assert mirror.risk.problem == "waiting for risk's first image"
        assert mirror.risk_age_s() is None
        assert len(mirror.tables["analytics"]) == ROWS_MAX
        assert np.isnan(mirror.tables["analytics"]).all()
        # It comes later, and is followed.
        redis.workers[1].tables["analytics"][3, 5] = 0.25
        await redis.tell(1, image=True)
        await until(lambda: agrees(redis, mirror, 1))
        assert (mirror.images, mirror.gaps) == (1, 0)

    follow(scenario)


@pytest.mark.parametrize("worker", [0, 1])
def test_a_gap_of_one_worker_leaves_the_other_alone(worker):
    async def scenario(redis, mirror):
        tracks = mirror.live, mirror.risk
        for number in (0, 1):
            await redis.tell(number, image=True)
        await until(lambda: tracks[0].images == tracks[1].images == 1)
        sick, well = tracks[worker], tracks[1 - worker]
        table = redis.workers[worker].tables["instruments" if worker == 0 else "analytics"]
        table[2, 4] = 5.0
        await redis.tell(worker, lost=True)
        await redis.tell(worker, image=True)  # An entry after the one that is missing.
        await until(lambda: sick.images >= 2 and agrees(redis, mirror, worker))
        assert sick.gaps == 1
        assert (well.gaps, well.images, well.problem) == (0, 1, "")
        await redis.tell(1 - worker)
        await until(lambda: well.sequence == 2)
        assert mirror.state == "live"

    follow(scenario)


@pytest.mark.parametrize("worker", [0, 1])
def test_a_new_epoch_of_one_worker_is_its_own_affair(worker):
    async def scenario(redis, mirror):
        for number in (0, 1):
            redis.workers[number].tables["instruments" if number == 0 else "analytics"][1, 2] = 3.0
            redis.workers[number].tables["books" if number == 0 else "limits"][2, 1] = 9.0
            await redis.tell(number, image=True)
        await until(lambda: agrees(redis, mirror, 0) and agrees(redis, mirror, 1))
        seen, other = mirror.sequence, 1 - worker
        before = {name: mirror.tables[name].copy() for name in redis.workers[other].tables}
        fresh = Worker(LIVE_TABLES if worker == 0 else RISK_TABLES)
        fresh.epoch = 2
        for name in ("books", "limits"):  # It has fewer rows than the one before.
            if name in fresh.tables:
                fresh.tables[name] = fresh.tables[name][:1]
        redis.workers[worker] = fresh
        await redis.tell(worker, image=True)
        await until(lambda: (mirror.live, mirror.risk)[worker].epoch == 2)
        assert agrees(redis, mirror, worker)
        name = "books" if worker == 0 else "limits"
        assert np.isnan(mirror.tables[name][1:]).all()
        assert mirror.changed[name][2, 1] > seen  # Pages that show it must hear of it.
        for name, table in before.items():
            np.testing.assert_array_equal(mirror.tables[name], table)
        assert (mirror.live, mirror.risk)[other].images == 1

    follow(scenario)


def test_torn_frames_of_risk_are_answered_by_its_image():
    async def scenario(redis, mirror):
        for number in (0, 1):
            await redis.tell(number, image=True)
        await until(lambda: mirror.live.images == mirror.risk.images == 1)
        redis.workers[1].tables["analytics"][0, 0] = 1.0
        epoch, sequence, frame = redis.workers[1].cut()
        async with redis.told:
            redis.streams[1].append((epoch, sequence, frame[:-4]))
            redis.told.notify_all()
        await until(lambda: mirror.risk.gaps >= 1)
        assert "torn" in mirror.risk.problem or mirror.risk.images > 1
        redis.streams[1].clear()
        await redis.tell(1, image=True)
        await until(lambda: agrees(redis, mirror, 1))
        assert (mirror.live.gaps, mirror.live.problem) == (0, "")

    follow(scenario)


def test_the_age_of_risk_is_that_of_its_newest_numbers():
    world = World()
    world.risk.ts_cut = 5_000_000_000
    world.change_risk()
    world.mirror.now_ns = lambda: 8_500_000_000
    assert world.mirror.risk_age_s() == pytest.approx(3.5)
    world.change([(1, LAST, 1.0)])
    assert world.mirror.risk_age_s() == pytest.approx(3.5)


def test_state_is_about_live_alone(monkeypatch):
    world = World()
    assert world.mirror.state == "live"
    later = time.monotonic() + 3
    monkeypatch.setattr("app.mirror.time.monotonic", lambda: later)
    world.change_risk()
    assert world.mirror.state == "stale"
    world.change([])
    assert world.mirror.state == "live"
    world.mirror.risk.problem = "gone"
    assert world.mirror.state == "live"


def test_stages_are_those_of_live():
    world = World()
    world.live.ts_cut = 2_000_000_000
    world.mirror.now_ns = lambda: 2_003_000_000
    world.mirror.stages()
    world.risk.ts_cut = 1
    world.change_risk("analytics", [(3, 1, 1.0)])
    assert world.mirror.stages() == {
        name: [None, None] for name in ("made_to_cut", "cut_to_mirror", "mirror")
    }
    world.change([(k, LAST, 1.0) for k in range(ROWS_MAX)], 1_990_000_000)
    stages = world.mirror.stages()
    assert stages["made_to_cut"][0] == pytest.approx(10.0, rel=0.03)
    assert stages["cut_to_mirror"][0] == pytest.approx(3.0, rel=0.03)
    assert world.mirror.stages()["cut_to_mirror"] == [None, None]


cells = st.lists(
    st.tuples(
        st.integers(0, ROWS_MAX - 1),
        st.integers(0, 26),
        st.one_of(st.floats(-1e9, 1e9), st.just(float("nan"))),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), cells), max_size=10))
def test_a_cells_sequence_is_that_of_its_last_change(rounds):
    world = World()
    tables = {"instruments": INSTRUMENTS, "analytics": ANALYTICS}
    expected = {name: world.mirror.changed[name].copy() for name in tables}
    truth = {name: world.mirror.tables[name].copy() for name in tables}
    for of_risk, changes in rounds:
        name = "analytics" if of_risk else "instruments"
        for row, column, value in changes:
            world.tables[name][row, column] = value
        differs = world.tables[name].view(np.int64) != truth[name].view(np.int64)
        world.change_risk() if of_risk else world.change([])
        expected[name][differs] = world.mirror.sequence
        truth[name] = world.tables[name].copy()
        for each in tables:
            np.testing.assert_array_equal(world.mirror.tables[each], world.tables[each])
            np.testing.assert_array_equal(world.mirror.changed[each], expected[each])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=STAMPS - 1), st.integers(0, 40))
def test_the_oldest_untold_event_of_a_row(rounds, since):
    world = World()
    begun = world.mirror.sequence
    expected = np.zeros(5, np.int64)
    for k, rows in enumerate(rounds):
        world.change([(row, LAST, float(k)) for row in rows], 1_000 + k)
        if world.mirror.sequence > begun + since:
            for row in set(rows):
                expected[row] = expected[row] or 1_000 + k
    found = world.mirror.oldest_ns(np.arange(5), begun + since)
    np.testing.assert_array_equal(found, expected)


def test_a_changed_row_of_reference_is_taken_live():
    async def scenario(redis, mirror):
        await redis.tell(0, image=True)
        redis.health_now = {"live.0": {"instruments": ROWS_MAX, "reference_version": 1}}
        await until(lambda: mirror.state == "live" and len(mirror.reference) == ROWS_MAX)
        version = mirror.reference_version
        await mirror._hear()
        await mirror._hear()
        reads = redis.reads
        await mirror._hear()
        assert (redis.reads, mirror.reference_version) == (reads, version)
        # The same number of rows, one of which says something else.
        redis.rows = Reference([*redis.rows.by_id.values(), Instrument(3, "NEW", *FIELDS)])
        redis.health_now = {"live.0": {"instruments": ROWS_MAX, "reference_version": 2}}
        await mirror._hear()
        assert mirror.reference.by_id[3].symbol == "NEW"
        assert mirror.reference_version == version + 1

    follow(scenario)


FIELDS = (0, "X", "USD", 1.0, 0.01, 2)


def test_names_and_alerts_are_taken_and_nonsense_is_not():
    async def scenario(redis, mirror):
        await mirror._hear()
        assert (mirror.names, mirror.alerts) == (b"", b"")
        redis.names_now, redis.alerts_now = b'{"scopes":["fund"]}', b"[]"
        await mirror._hear()
        assert json.loads(mirror.names) == {"scopes": ["fund"]}
        assert mirror.alerts == b"[]"
        redis.names_now, redis.alerts_now = b'["scopes"]', b'{"a":1'
        await mirror._hear()
        assert json.loads(mirror.names) == {"scopes": ["fund"]}
        assert mirror.alerts == b"[]"

    follow(scenario)


def test_history_outlives_new_instruments():
    history = History()
    table = np.arange(3.0 * INSTRUMENTS.width).reshape(3, -1)
    for second in range(5):
        history.sample(second * 1e3, table + second)
    grown = np.vstack((table, table[:1]))
    history.sample(5e3, grown)
    moments, values = history.read(2, -1.0)
    assert moments.tolist() == [0.0, 1e3, 2e3, 3e3, 4e3, 5e3]
    assert values[:5, 0].tolist() == [table[2, LAST] + k for k in range(5)]
    assert np.isnan(history.read(3, -1.0)[1][:5]).all()
