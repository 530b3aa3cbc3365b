"""The risk loop: it follows live to the cell, tells its own, and outlives Redis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute import delta
from compute.bus import Bus, BusError
from compute.follow import ASK_SECONDS, Follower, ReferenceFollower
from compute.risk import FOLLOWED, STEP_SECONDS, TELL_SECONDS, WORKER, Risk
from compute.table import ANALYTICS, INSTRUMENTS, LIVE_TABLES, RISK_TABLES
from ingest.instrument import AssetClass, Instrument, Reference

NOW = 1_800_000_000_000_000_000
ROWS = 6


class Stream:
    """A bus in memory: what was published by worker; `away` makes it refuse."""

    def __init__(self):
        self.entries, self.images, self.reports, self.names = {}, {}, {}, b""
        self.away = False

    def ask(self):
        if self.away:
            raise BusError("Redis at test does not answer")

    def publish(self, worker, epoch, sequence, frame, image=None):
        self.ask()
        self.entries.setdefault(worker, []).append((epoch, sequence, frame))
        if image is not None:
            self.images[worker] = image

    def image(self, worker):
        self.ask()
        return self.images.get(worker)

    def deltas(self, epoch, sequence, worker):
        self.ask()
        found = [e for e in self.entries.get(worker, []) if e[:2] > (epoch, sequence)]
        return found[:32]

    def last_epoch(self, worker):
        self.ask()
        return self.entries.get(worker, [(0, 0, b"")])[-1][0]

    def set_names(self, data):
        self.ask()
        self.names = data

    def report(self, role, health):
        self.ask()
        self.reports[role] = health


class Worker:
    """Something that tells tables as a worker does."""

    def __init__(self, bus, tables=LIVE_TABLES, worker=FOLLOWED, epoch=1):
        self.bus, self.worker, self.epoch, self.sequence = bus, worker, epoch, 0
        self.tables = {
            table.name: table.empty(ROWS if table is INSTRUMENTS else 3) for table in tables
        }
        self.cutter, self.oldest_ns = delta.Cutter(), np.zeros(ROWS, np.int64)

    def set(self, row, column, value, oldest_ns=5):
        self.tables["instruments"][row, column] = value
        self.oldest_ns[row] = self.oldest_ns[row] or oldest_ns

    def cut(self, *, image=False, lose=False):
        self.sequence += 1
        frame = self.cutter.cut(self.tables, self.oldest_ns, self.epoch, self.sequence, NOW)
        whole = delta.pack_image(self.tables, self.epoch, self.sequence, NOW, {}) if image else None
        if not lose:
            self.bus.publish(self.worker, self.epoch, self.sequence, frame, whole)


def same(one, other):
    return all((one[name].view(np.int64) == other[name].view(np.int64)).all() for name in other)


change = st.tuples(
    st.integers(0, ROWS - 1), st.integers(0, INSTRUMENTS.width - 1), st.floats(allow_nan=True)
)
act = st.one_of(st.lists(change, max_size=4), st.sampled_from(["lose", "image", "read", "restart"]))


@settings(deadline=None, max_examples=60)
@given(st.lists(act, max_size=25))
def test_a_follower_ends_with_the_tables_whatever_is_lost(acts):
    """Cuts, lost cuts, images, successors and readings in any order; then one image and a cut."""
    bus = Stream()
    live, follower = Worker(bus), Follower(bus)
    for do in acts:
        if do == "read":
            follower.step()
        elif do == "restart":
            tables = live.tables
            live = Worker(bus, epoch=live.epoch + 1)
            live.tables, live.oldest_ns = tables, np.ones(ROWS, np.int64)
            live.cut(image=True)
        elif do in ("lose", "image"):
            live.cut(lose=do == "lose", image=do == "image")
        else:
            for row, column, value in do:
                live.set(row, column, value)
            live.cut()
    live.cut(image=True)
    for _ in range(3):
        follower.step()
    live.set(2, 0, 7.25)
    live.cut()
    follower.step()
    assert same(follower.tables, live.tables)


def test_a_follower_knows_what_changed_and_since_when():
    bus = Stream()
    live, follower = Worker(bus), Follower(bus)
    assert follower.step() == 0  # No image yet.
    live.cut(image=True)
    follower.step()
    follower.take()
    live.set(1, 0, 3.0, oldest_ns=70)
    live.cut()
    live.set(1, 0, 4.0, oldest_ns=90)
    live.set(4, 2, 1.0, oldest_ns=80)
    live.cut()
    assert follower.step() == 2
    changed, oldest_ns = follower.take()
    assert changed["instruments"].tolist() == [1, 4]
    assert oldest_ns.tolist() == [0, 70, 0, 0, 80, 0]
    changed, oldest_ns = follower.take()
    assert not len(changed["instruments"])
    assert not oldest_ns.any()


def test_a_torn_delta_is_answered_by_the_image():
    bus = Stream()
    live, follower = Worker(bus), Follower(bus)
    live.cut(image=True)
    follower.step()
    bus.publish(FOLLOWED, 1, 2, b"torn")
    follower.step()
    assert (follower.gaps, follower.images) == (1, 1)
    live.sequence = 2
    live.set(0, 0, 9.0)
    live.cut(image=True)
    follower.step()
    assert follower.images == 2
    assert same(follower.tables, live.tables)


class Rows:
    def __init__(self, rows):
        self.rows, self.more = rows, []

    def read_all(self):
        return self.rows

    def poll(self):
        more, self.more = self.more, []
        return more


def instrument(number):
    return Instrument(number, f"S{number}", AssetClass.EQUITY, "X", "USD", 1.0, 0.01, 2)


class Doubler:
    """A part: model_price is twice the mid of what changed; and a table of its own."""

    def __init__(self, after=None):
        self.after = after  # Reads what the part before has written.
        self.seen, self.tables, self.alerts = [], {}, ["first"]

    def grow(self, reference):
        self.size = len(reference)
        self.tables = {"risk": np.full((2, len(RISK_TABLES[1].names)), float(self.size))}

    def step(self, tables, changed, now_ns):
        self.seen.append({name: rows.tolist() for name, rows in changed.items()})
        rows = changed["instruments"]
        mid = tables["instruments"][rows, INSTRUMENTS.index("mid")]
        tables["analytics"][rows, ANALYTICS.index("model_price")] = 2 * mid
        return rows

    def take_alerts(self):
        alerts, self.alerts = self.alerts, []
        return alerts

    def names(self):
        return {"size": self.size}


class Reader:
    """A part that writes nothing."""

    def __init__(self):
        self.seen, self.tables = [], {}

    def grow(self, reference):
        pass

    def step(self, tables, changed, now_ns):
        self.seen.append(changed["analytics"].tolist())
        return np.zeros(0, np.int64)


class Desk:
    """People, and what they are told."""

    def __init__(self, bus):
        self.bus, self.taken, self.calls = bus, [], []
        self.health = {"asks": 7}

    def listen(self):
        self.bus.ask()
        self.calls.append("listen")

    def take(self, alert):
        self.taken.append(alert)
        self.calls.append("take")

    def tell(self):
        self.bus.ask()
        self.calls.append("tell")

    def close(self):
        self.calls.append("close")


@pytest.fixture
def world():
    bus = Stream()
    live, rows, now = Worker(bus), Rows([instrument(k) for k in range(ROWS)]), [0.0]
    desk = Desk(bus)

    def pause(seconds):
        now[0] += seconds

    parts = (Doubler(), Reader())
    risk = Risk(
        *(rows, bus, parts),
        now_ns=lambda: NOW + round(now[0] * 1e9),
        monotonic=lambda: now[0],
        pause=pause,
        desk=desk,
    )
    return bus, live, rows, risk, desk


def told(bus):
    """What a reader of worker 1 holds."""
    reader = Follower(bus, WORKER, RISK_TABLES)
    for _ in range(2):
        reader.step()
    return reader


def test_what_changed_is_computed_and_told_to_whoever_reads_worker_1(world):
    bus, live, _, risk, desk = world
    risk.step()
    assert told(bus).tables["analytics"].shape == (ROWS, ANALYTICS.width)  # Empty, but alive.
    assert not risk.parts[0].seen
    live.set(3, INSTRUMENTS.index("mid"), 10.5, oldest_ns=NOW - 1_000)
    live.cut(image=True)
    risk.step()
    live.set(1, INSTRUMENTS.index("mid"), 2.0, oldest_ns=NOW - 2_000)
    live.cut()
    for _ in range(3):
        risk.step()
    reader = told(bus)
    at = ANALYTICS.index("model_price")
    assert reader.tables["analytics"][[1, 3], at].tolist() == [4.0, 21.0]
    assert np.isnan(reader.tables["analytics"][0, at])
    assert (reader.tables["risk"] == ROWS).all()
    assert risk.parts[0].seen[1]["instruments"] == [1]
    assert risk.parts[1].seen[:2] == [[3], [1]]
    assert desk.taken == ["first"]
    assert desk.calls[:3] == ["take", "listen", "tell"]
    assert bus.reports["risk.0"]["asks"] == 7
    risk.close()
    assert desk.calls[-1] == "close"
    assert bus.names == b'{"size": 6}'
    newest = delta.decode(bus.entries[WORKER][-1][2])
    assert newest.sections[0].touched.tolist() == [1, 3]
    assert newest.sections[0].oldest_ns[0] == NOW - 2_000  # Row 3 came by an image, undated.
    assert bus.reports["risk.0"]["gaps"] == 0


def test_it_waits_between_steps_and_beats_when_nothing_happens(world):
    bus, live, _, risk, _ = world
    live.cut(image=True)
    for _ in range(40):
        risk.step()
    assert risk.monotonic() == pytest.approx(39 * STEP_SECONDS)
    beats = len(bus.entries[WORKER])
    assert 39 * STEP_SECONDS / 0.35 <= beats <= 39 * STEP_SECONDS / 0.25 + 2
    for k in range(40):
        live.set(0, INSTRUMENTS.index("mid"), float(k))
        live.cut()
        risk.step()
    told_ = len(bus.entries[WORKER]) - beats
    assert told_ == pytest.approx(40 * STEP_SECONDS / TELL_SECONDS, abs=2)


def test_redis_away_ages_and_the_return_is_whole(world):
    bus, live, _, risk, _ = world
    live.cut(image=True)
    risk.step()
    before = risk.epoch
    bus.away = True
    for _ in range(20):
        risk.step()
    assert "does not answer" in risk.problem
    bus.away = False
    live.set(5, INSTRUMENTS.index("mid"), 8.0)
    live.cut(image=True)
    for _ in range(10):
        risk.step()
    assert "does not answer" not in risk.problem
    assert risk.epoch > before
    at = ANALYTICS.index("model_price")
    assert told(bus).tables["analytics"][5, at] == 16.0


def test_new_instruments_take_effect(world):
    bus, live, rows, risk, _ = world
    live.cut(image=True)
    risk.step()
    rows.more = [instrument(ROWS), instrument(ROWS + 1)]
    for _ in range(4):
        risk.step()
    assert told(bus).tables["analytics"].shape == (ROWS + 2, ANALYTICS.width)
    assert (told(bus).tables["risk"] == ROWS + 2).all()


def test_a_redis_carries_it_all(redis):
    """The bus in memory is like the real one: image, deltas in pieces, nothing left."""
    bus = Bus(redis)
    live, follower = Worker(bus), Follower(bus)
    live.cut(image=True)
    for k in range(100):
        live.set(k % ROWS, 0, float(k))
        live.cut()
    assert follower.step() == 101
    assert same(follower.tables, live.tables)
    assert follower.step() == 0
    assert bus.deltas(1, live.sequence, 0, wait_s=0.05) == []
    first = [instrument(0)]
    rows, now = ReferenceFollower(bus, first, lambda: now[0]), [0.0]
    assert rows.read_all() == first
    for size in (2, 2, 5):
        bus.set_reference(Reference(instrument(k) for k in range(size)).to_json())
        now[0] += ASK_SECONDS
        found = rows.poll()
        assert len(found) in (0, size)
        assert rows.poll() == []
    assert len(found) == 5
    bus.close()
    assert ReferenceFollower(Bus("redis://127.0.0.1:1/0"), first).poll() == []
    risk = Risk(Rows([instrument(0)]), Bus("redis://127.0.0.1:1/0"), ())
    risk.step()
    assert "does not answer" in risk.problem


def test_a_silent_live_blinds_the_parts_within_a_second_or_two(world):
    _, live, _, risk, _ = world
    blinded = []
    risk.parts[-1].blind = blinded.append
    live.cut(image=True)
    for _ in range(9):
        risk.step()
    assert blinded == []
    for _ in range(6):
        risk.step()
    assert blinded
    assert blinded[0] <= NOW + 1_500_000_000
    assert risk.problem == "nothing is heard from live"
