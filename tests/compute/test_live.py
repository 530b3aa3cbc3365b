"""Live: from frames to deltas, by hand; killed and resumed it gives the same bits."""

import asyncio

import numpy as np

from app.mirror import Mirror
from compute import delta
from compute.bus import AsyncBus, Bus, BusError
from compute.engine import Engine
from compute.live import Live
from compute.table import INSTRUMENTS, State
from ingest.event import EVENT, Kind
from ingest.frame import encode
from ingest.instrument import Instrument, Reference
from ingest.quarantine import Refused
from ingest.source import Message

START = 1_700_000_000_000_000_000
COUNT = 20


def instruments() -> list[Instrument]:
    return [Instrument(k, f"S{k}", 0, "X", "USD", 1.0, 0.01, 2, 100.0) for k in range(COUNT)]


class Log:
    """A partition: frames by offset, read from anywhere."""

    log = "this"

    def __init__(self, frames: list[bytes]) -> None:
        self.frames, self.at, self.limit = frames, 0, len(frames)

    def poll(self, timeout_s: float = 0) -> list[Message]:
        taken = self.frames[self.at : min(self.at + 7, self.limit)]
        found = [Message(0, 0, self.at + k, START + 10**15, v) for k, v in enumerate(taken)]
        self.at += len(taken)
        return found

    def seek(self, positions) -> None:
        self.at = positions.get((0, 0), -1) + 1

    def lag(self, positions) -> int:
        return len(self.frames) - 1 - positions.get((0, 0), -1)


class Rows:
    def __init__(self) -> None:
        self.more: list[Instrument] = []
        self.refused: list[Refused] = []

    def take_refused(self) -> list[Refused]:
        refused, self.refused = self.refused, []
        return refused

    def read_all(self) -> list[Instrument]:
        return instruments()

    def poll(self) -> list[Instrument]:
        more, self.more = self.more, []
        return more


class Memory:
    """A bus in memory, and one that can be away."""

    def __init__(self) -> None:
        self.deltas: list[tuple[int, int, bytes]] = []
        self.saved: dict[str, bytes] = {}
        self.away = False
        self.reference = b""
        self.health: dict = {}

    def publish(self, worker, epoch, sequence, delta, image=None) -> None:
        if self.away:
            raise BusError("away")
        self.deltas.append((epoch, sequence, delta))
        if image is not None:
            self.saved["image"] = image

    def save(self, worker, checkpoint) -> None:
        self.saved["checkpoint"] = checkpoint

    def checkpoint(self, worker=0):
        return self.saved.get("checkpoint")

    def last_epoch(self, worker=0) -> int:
        return self.deltas[-1][0] if self.deltas else 0

    def set_reference(self, data) -> None:
        if self.away:
            raise BusError("away")
        self.reference = data

    def report(self, role, health) -> None:
        self.health[role] = health


class Quarantine:
    def __init__(self) -> None:
        self.kept: list[tuple[bytes, dict]] = []

    def publish(self, topic, partition, value, **more) -> None:
        assert topic == "quarantine"
        self.kept.append((value, dict(more["headers"])))


def frames(count: int, seed: int = 3) -> list[bytes]:
    rng, values, first = np.random.default_rng(seed), [], 0
    for k in range(count):
        events = np.zeros(5, EVENT)
        events["ts_event"] = START + k * 10_000_000 + np.arange(5)
        events["instrument"] = rng.integers(0, COUNT, 5)
        events["kind"] = rng.choice([Kind.QUOTE, Kind.TRADE], 5)
        events["bid"] = 100_000_000_000 + rng.integers(-50, 50, 5) * 10_000_000
        quotes = events["kind"] == Kind.QUOTE
        events["ask"][quotes] = events["bid"][quotes] + 10_000_000
        events["bid_size"] = rng.integers(1, 9, 5) * 100
        events["ask_size"][quotes] = 100
        values.append(encode(events, 1, first, START))
        first += 5
    return values


def make(log: Log, bus: Memory, **more) -> Live:
    return Live(log, Rows(), bus, Quarantine(), now_ns=lambda: START + 10**10, **more)


def drain(live: Live) -> None:
    while live.step():
        pass


def keep(live: Live) -> None:
    live._checkpoint_due = 0.0
    live._cut(1e9)
    live.saver.wait()


def test_deltas_rebuild_the_engines_tables():
    bus = Memory()
    live = make(Log(frames(60)), bus, cut_ms=0.0)
    drain(live)
    tables = {name: np.full(t.shape, np.nan) for name, t in live.engine.tables.items()}
    for _, _, frame in bus.deltas:
        for section in delta.decode(frame).sections:
            delta.apply(section, tables[section.table.name])
    now = live.engine.tables["instruments"]
    touched = ~np.isnan(now[:, INSTRUMENTS.index("ts_event")])
    assert touched.all()
    np.testing.assert_array_equal(tables["instruments"], now)
    assert [s for _, s, _ in bus.deltas] == list(range(1, len(bus.deltas) + 1))


def test_killed_and_resumed_gives_the_same_bits():
    values = frames(200)
    straight = make(Log(values), Memory(), cut_ms=0.0)
    drain(straight)
    bus, log = Memory(), Log(values)
    log.limit = 90
    first = make(log, bus, cut_ms=0.0)
    drain(first)
    keep(first)
    log.limit = 140
    drain(first)  # Taken after the checkpoint: lost with the process, read again.
    second_log = Log(values)
    second = make(second_log, bus, cut_ms=0.0)
    assert second_log.at == 90
    assert second.epoch > first.epoch
    drain(second)
    one, other = (live.engine.tables["instruments"] for live in (straight, second))
    assert (np.ascontiguousarray(one).tobytes()) == np.ascontiguousarray(other).tobytes()


def test_a_torn_checkpoint_means_to_begin_anew():
    bus = Memory()
    log = Log(frames(30))
    first = make(log, bus, cut_ms=0.0)
    drain(first)
    keep(first)
    bus.saved["checkpoint"] = bus.saved["checkpoint"][:-5]
    again = Log(frames(30))
    live = make(again, bus)
    assert again.at == 0
    assert live.positions == {}


def test_a_checkpoint_of_another_log_is_left_alone():
    bus = Memory()
    first = make(Log(frames(30)), bus, cut_ms=0.0)
    drain(first)
    keep(first)
    other = Log(frames(30))
    other.log = "another"
    live = make(other, bus)
    assert (other.at, live.positions) == (0, {})


def test_redis_away_stops_nothing_and_its_return_brings_an_image(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("compute.live.time.monotonic", lambda: now[0])
    bus, log = Memory(), Log(frames(60))
    log.limit = 20
    live = make(log, bus, cut_ms=0.0)
    drain(live)
    bus.away, log.limit = True, 60
    now[0] += 1.0
    drain(live)
    assert live.positions[0, 0] == 59
    assert live.redis_away_since
    bus.away = False
    bus.saved.clear()
    now[0] += 1.0
    live.step()
    assert not live.redis_away_since
    image = delta.unpack_image(bus.saved["image"])
    np.testing.assert_array_equal(image.tables["instruments"], live.engine.tables["instruments"])
    assert image.positions == {(0, 0): 59}


def test_what_is_refused_is_kept_whole_and_the_rest_goes_on():
    values = frames(3)
    values.insert(1, b"garbage")
    live = make(Log(values), Memory(), cut_ms=0.0)
    drain(live)
    ((value, headers),) = live.quarantine.kept
    assert value == b"garbage"
    assert headers["reason"] == b"truncated"
    assert (headers["topic"], headers["offset"]) == (b"md.equity", b"1")
    assert live.refused == 1
    assert live.rate.total == 15


def test_reference_rows_that_are_refused_are_kept_too(monkeypatch):
    live = make(Log([]), Memory(), cut_ms=0.0)
    live.rows.refused = [Refused("reference", 0, 7, b"{}", "reference", "symbol is missing")]
    orphan = Instrument(30, "CALL", 1, "X", "USD", 1.0, 0.01, 2, underlying=99)
    live.rows.more = [orphan]
    now = [1_000.0]
    monkeypatch.setattr("compute.live.time.monotonic", lambda: now[0])
    for _ in range(50):
        live.step()
        now[0] += 0.1
    assert [value for value, _ in live.quarantine.kept] == [b"{}", orphan.to_json()]
    (_, first), (_, second) = live.quarantine.kept
    assert (first["topic"], first["offset"], first["text"]) == (
        b"reference",
        b"7",
        b"symbol is missing",
    )
    assert b"underlying" in second["text"]
    assert live.refused == 2


def test_a_gap_shows_on_the_instruments_and_in_the_count():
    values = frames(10)
    del values[5]
    live = make(Log(values), Memory(), cut_ms=0.0)
    drain(live)
    state = live.engine.tables["instruments"][:, INSTRUMENTS.index("state")].astype(int)
    assert (state & State.GAP).any()
    assert live.intake.sequences.gaps == 5


def test_the_report_tells_where_the_milliseconds_go():
    bus = Memory()
    live = make(Log(frames(10)), bus, cut_ms=0.0)
    drain(live)
    live._health_due = 0.0
    live.step()
    stages = bus.health["live.0"]["stages_ms"]
    assert list(stages) == ["made_to_taken", "decode", "engine", "cut", "publish"]
    assert all(0.0 <= p50 <= p99 for p50, p99 in stages.values())


def test_a_new_instrument_takes_effect_live():
    bus = Memory()
    live = make(Log([]), bus)
    live.step()
    live.rows.more = [Instrument(25, "NEW", 7, "X", "USD", 1.0, 0.01, 5)]
    live._health_due = 0.0
    live.step()
    assert len(live.engine.tables["instruments"]) == 26
    assert Reference.from_json(bus.reference).by_id[25].symbol == "NEW"


def test_a_mirror_follows_live_through_redis(redis, in_loop):
    """Image, deltas, a late reader, a restart of live and an empty Redis: always the truth."""
    log = Log(frames(400))
    log.limit = 100
    live = make(log, Bus(redis), cut_ms=0.0)
    drain(live)

    async def follow() -> None:
        nonlocal live
        mirror = Mirror(AsyncBus(redis))
        task = asyncio.ensure_future(mirror.run())

        async def settled() -> None:
            for _ in range(200):
                live.step()
                await asyncio.sleep(0.01)
                now, mine = live.engine.tables["instruments"], mirror.tables["instruments"]
                if now.shape == mine.shape and np.array_equal(now, mine, equal_nan=True):
                    return
            raise AssertionError(f"mirror never agreed: {mirror.problem}")

        await settled()
        log.limit = 200
        await settled()
        assert mirror.images == 1
        log.limit = 300
        live = make(Log(log.frames[:300]), Bus(redis), cut_ms=0.0)
        await settled()
        assert mirror.state == "live"
        live.bus._redis.flushall()
        live._image_due = 0.0
        await settled()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await mirror.bus.close()

    in_loop(follow())


def test_engine_is_the_products_own():
    assert isinstance(make(Log([]), Memory()).engine, Engine)
