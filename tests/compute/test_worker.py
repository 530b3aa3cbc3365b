"""Workers share shards: whoever comes, goes, sleeps, wakes, the numbers are those of one alone."""

import time

import numpy as np
import pytest

from compute import delta
from compute.bus import Bus, SupersededError
from compute.checkpoint import unpack
from compute.follow import Follower, ReferenceFollower
from compute.live import Live
from compute.live_shards import AHEAD_SECONDS, LiveShards
from compute.merge import Merge
from compute.reports import merged
from compute.share import RENEW_SECONDS, Share, quotas, stream
from compute.table import BOOKS, CLASSES, EXECUTION, INSTRUMENTS, POSITIONS
from compute.worker import GIVE_SECONDS, SharedRows, Worker
from ingest.fund import DEMO
from ingest.shard import Shards
from tests.shards import ROWS, SHARDS, Log, Reader, Topic, Values

LEASE_SECONDS = 1.0
SECONDS_MAX = 60.0
# What a currency cost when a fill was read: that comes from another partition.
BY_OTHERS = {"translation", "day_translation", "pnl_base"}


class Market:
    """A log, workers of `live` that read it, and the merge of what they tell."""

    def __init__(self, url: str) -> None:
        self.url, self.log = url, Log()
        self.workers: dict[int, Worker] = {}
        self.asleep: set[int] = set()
        bus = Bus(url)
        self.merge = Merge(ReferenceFollower(bus, ROWS), bus, SHARDS, now_ns=self.log.clock)
        self.reader = Follower(Bus(url), 0)  # As `risk` follows.
        self.starts = 0
        self.lease_s = LEASE_SECONDS

    def start(self, number: int) -> None:
        self.starts += 1
        bus, role = Bus(self.url), f"live.{number}"
        share = Share(bus, role, SHARDS, self.lease_s, 1_000 + self.starts)
        kind = LiveShards(role, SharedRows(Topic()), bus, Values(), DEMO.books)
        frames = Shards(Reader(self.log))
        self.workers[number] = Worker(share, frames, kind, now_ns=self.log.clock)

    def turn(self) -> None:
        """One round of everybody who is awake."""
        for number, worker in self.workers.items():
            if number not in self.asleep:
                worker.share.look()
                worker.step()
        self.merge.step()
        self.reader.step()

    def until(self, what: str, condition) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.dealt()}"
            self.turn()

    def pair(self) -> None:
        """Two workers that share, between whom nothing moves because a lease has run out."""
        self.lease_s = 3_600.0
        self.start(0)
        self.start(1)
        self.until("shared", self.whole)

    def dealt(self) -> dict[int, list[int]]:
        """Shards by worker."""
        return {number: sorted(worker.loops) for number, worker in self.workers.items()}

    def whole(self) -> bool:
        """Whether every shard is at one worker, as equally as can be."""
        awake = {n: held for n, held in self.dealt().items() if n not in self.asleep}
        sizes = [len(held) for held in awake.values()]
        every = sorted(number for held in awake.values() for number in held)
        return every == list(range(SHARDS)) and max(sizes) - min(sizes) <= 1

    def summed(self, since: float) -> bool:
        """Whether every shard has summed its positions after that moment."""
        awake = [w for n, w in self.workers.items() if n not in self.asleep]
        return all(loop._total_at > since for w in awake for loop in w.loops.values())

    def settle(self) -> dict[str, np.ndarray]:
        """All is read, and told: what a reader has."""
        last = self.log.last()

        def taken() -> bool:
            held = [w.loops.values() for n, w in self.workers.items() if n not in self.asleep]
            places = {p: o for loops in held for loop in loops for p, o in loop.positions.items()}
            return places == last

        self.until("all is taken", lambda: self.whole() and taken())
        for _ in range(2):  # Legs are swapped, then positions are summed with them.
            since = time.monotonic()
            self.until("summed", lambda since=since: self.summed(since))
        self.turn()
        self.until("heard", lambda: self.reader.position[1] == self.merge.sequence)
        return self.reader.tables


def alone(log: Log) -> dict[str, np.ndarray]:
    """What one Live makes of all of the log."""

    class Deaf:
        def __getattr__(self, name: str):
            return lambda *_: None if name == "checkpoint" else 0

    rows = Topic()
    live = Live(Reader(log), rows, Deaf(), Values(), books=DEMO.books, now_ns=log.clock)
    while live.positions != log.last():
        live.step()
    live.engine.total()
    return live.engine.tables


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Instruments bit for bit; positions by what they are of; sums to the last digits."""
    name = INSTRUMENTS.name
    for column in INSTRUMENTS.names:
        at = INSTRUMENTS.index(column)
        one, other = found[name][:, at], wanted[name][:, at]
        np.testing.assert_array_equal(one, other, column)
    mine, theirs = (of_positions(tables[POSITIONS.name]) for tables in (found, wanted))
    assert mine.keys() == theirs.keys()
    assert len(mine) > 20
    columns = [POSITIONS.index(n) for n in POSITIONS.names if n not in BY_OTHERS]
    for key, line in mine.items():
        np.testing.assert_array_equal(line[columns], theirs[key][columns], str(key))
    for table in (BOOKS, CLASSES):
        at = [table.index(n) for n in table.names if n not in BY_OTHERS]
        one, other = (tables[table.name][:, at] for tables in (found, wanted))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-3)
    one, other = (orders(tables[EXECUTION.name]) for tables in (found, wanted))
    np.testing.assert_array_equal(one, other)


def of_positions(table: np.ndarray) -> dict[tuple[float, float], np.ndarray]:
    return {(line[0], line[1]): line for line in table if np.isfinite(line[0])}


def orders(table: np.ndarray) -> np.ndarray:
    """Rows of orders by their ids; rows of sums by what they are of."""
    rows = table[np.isfinite(table[:, 0])]
    shown = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return shown[:, :2]


@pytest.fixture
def market(redis: str) -> Market:
    return Market(redis)


def test_shards_move_as_workers_come_go_and_sleep_and_no_bit_differs(market):
    ends = [len(market.log.messages) * k // 5 for k in range(1, 6)]
    market.log.end = ends[0]
    market.start(0)
    market.until("all at one", market.whole)
    market.settle()
    assert market.dealt() == {0: [0, 1, 2, 3]}

    market.start(1)  # It comes in the midst of the market.
    market.log.end = ends[1]
    market.until("two have two each", market.whole)
    before = market.dealt()
    market.start(2)
    market.log.end = ends[2]
    market.settle()
    assert sorted(len(held) for held in market.dealt().values()) == [1, 1, 2]
    kept = [set(held) & set(market.dealt()[n]) for n, held in before.items()]
    assert sum(map(len, kept)) == 3, "more than one shard has moved"

    market.asleep.add(0)  # It hangs; the end of its lease passes, and others have its shards.
    sleeper = market.workers[0]
    slept = dict(sleeper.loops)
    market.log.end = ends[3]
    market.settle()
    assert market.whole()
    told = {n: Bus(market.url).last_epoch(stream(n)) for n in slept}
    for live in slept.values():  # Woken in the midst of a step, it would tell what it had.
        with pytest.raises(SupersededError):
            live._cut(time.monotonic())
    assert {n: Bus(market.url).last_epoch(stream(n)) for n in slept} == told
    market.asleep.remove(0)
    market.until("it is one of three again", market.whole)

    market.log.end = ends[4]
    market.turn()
    leaving = market.workers.pop(1)
    leaving.close()
    assert not leaving.loops
    assert_same(market.settle(), alone(market.log))
    assert market.whole()
    assert sum(worker.moves for worker in market.workers.values()) > 4


def test_what_takes_time_is_done_before_a_shard_is_taken(market):
    market.start(0)
    market.settle()
    market.start(1)
    worker = market.workers[1]
    worker.kind.monotonic = lambda: 0.0
    ready = worker.kind.ahead.at_hand[0]
    assert len(ready.reference) == len(ready.engine.tables[INSTRUMENTS.name])
    market.until("it has one", lambda: worker.loops)
    assert [loop.engine is ready.engine for loop in worker.loops.values()] == [True]
    market.until("shared", market.whole)
    assert not worker.kind.ahead.at_hand
    worker.kind.monotonic = lambda: time.monotonic() + AHEAD_SECONDS  # None was taken for so long.
    market.until("ready for one more", lambda: worker.kind.ahead.at_hand)
    ready = worker.kind.ahead.at_hand[0]
    held = set(worker.loops)
    market.workers.pop(0).close()
    market.until("it has all", market.whole)
    assert [n for n, one in worker.loops.items() if one.engine is ready.engine] != []
    assert not held & {n for n, one in worker.loops.items() if one.engine is ready.engine}
    assert len({id(loop.saver) for loop in worker.loops.values()}) == 1
    assert_same(market.settle(), alone(market.log))


def test_the_next_is_given_away_when_the_one_before_has_had_time_to_begin(market):
    market.lease_s = 3_600.0
    market.start(0)
    market.settle()
    giver, now = market.workers[0], [0.0]
    giver.monotonic = lambda: now[0]
    market.start(1)
    market.until("the first goes on", lambda: market.workers[1].loops)
    until = time.monotonic() + 3 * RENEW_SECONDS  # Long enough to hear of each other.
    market.until("a while", lambda: time.monotonic() > until)
    assert len(giver.share.surplus()) > 0
    assert len(giver.loops) == SHARDS - 1
    now[0] = GIVE_SECONDS
    market.until("the next goes too", lambda: len(giver.loops) == SHARDS - 2)
    giver.monotonic = time.monotonic
    market.until("shared", market.whole)
    assert_same(market.settle(), alone(market.log))


def test_a_shard_of_one_who_leaves_goes_on_while_the_next_is_being_closed(market):
    market.pair()
    leaving, stays = market.workers.pop(0), market.workers[1]
    close, closed = leaving.kind.close, []

    def close_slowly(loop: Live) -> None:
        closed.append(loop.frames.number)
        if len(closed) == 2:
            market.until("the first goes on", lambda: closed[0] in stays.loops)
            assert closed[1] not in stays.loops
        close(loop)

    leaving.kind.close = close_slowly
    leaving.close()
    market.until("all at one", market.whole)


def test_nobody_has_a_shard_before_its_state_is_kept(market):
    market.lease_s = 3_600.0
    market.start(0)
    market.until("it has all", market.whole)
    worker, closed = market.workers[0], []
    close = worker.kind.close

    def looked_at(loop: Live) -> None:
        close(loop)
        for _ in range(5):
            market.workers[1].step()
        assert len(market.workers[1].loops) == len(closed)
        saved = unpack(Bus(market.url).checkpoint(loop.worker) or b"")
        assert saved.positions == loop.positions
        closed.append(loop.frames.number)

    worker.kind.close = looked_at
    market.start(1)
    market.until("shared", market.whole)
    assert sorted(market.workers[1].loops) == sorted(closed) != []
    assert_same(market.settle(), alone(market.log))


def test_what_the_dead_had_is_free_once_somebody_knows(market):
    market.pair()
    market.workers.pop(1)  # Killed.
    bus = Bus(market.url)
    bus.bury("live", "live.1", 1_000)  # One before it, that is long gone.
    market.turn()
    assert not market.whole()
    bus.bury("live", "live.1", 1_000 + market.starts)
    assert_same(market.settle(), alone(market.log))
    assert market.dealt() == {0: list(range(SHARDS))}
    market.workers.pop(0)
    bus.bury("live", "live.0", 1_000 + market.starts)
    # Nobody is left: what it had waits for its successor, which takes it at once.
    _, owners = bus.renew("live", ("live.9", 1), 0.001, [])
    assert owners == dict.fromkeys(range(SHARDS), "live.0/1001")


def test_a_worker_that_is_started_again_takes_its_own_at_once_and_the_former_ends(market):
    market.start(0)
    market.start(1)
    market.until("shared", market.whole)
    before, former = market.dealt(), market.workers[0]
    market.start(0)  # Killed; nobody has let anything go.
    market.until("as before", lambda: market.dealt() == before)
    former.share.look()
    with pytest.raises(SupersededError, match=r"another process has begun as live\.0"):
        former.step()


def test_a_merge_that_is_started_again_gives_positions_the_places_they_had(market):
    market.start(0)
    before = market.settle()[POSITIONS.name].copy()
    bus = Bus(market.url)
    market.merge = Merge(ReferenceFollower(bus, ROWS), bus, SHARDS, now_ns=market.log.clock)
    images = market.reader.images
    market.until("the successor is followed", lambda: market.reader.images > images)
    np.testing.assert_array_equal(market.settle()[POSITIONS.name][:, :2], before[:, :2])
    assert delta.unpack_image(bus.image(0)).epoch == market.merge.epoch


def test_redis_forgets_all_and_is_told_all_again(market):
    market.start(0)
    market.start(1)
    market.settle()
    bus = Bus(market.url)
    bus._redis.flushall()
    market.until("a new image", lambda: bus.image(0) is not None)
    market.until("shared", market.whole)
    assert_same(market.settle(), alone(market.log))
    market.until("the reference", lambda: bus.reference() is not None)


def test_quotas_are_equal_and_who_has_more_keeps_the_odd_one():
    assert quotas(["a"], {}, 4) == {"a": 4}
    assert quotas(["a", "b", "c"], {0: "c", 1: "c", 2: "a", 3: "gone"}, 4) == dict(a=1, b=1, c=2)
    assert quotas(["a", "b", "c"], {}, 2) == dict(a=1, b=1, c=0)
    for members in range(1, 9):
        assert sum(quotas([str(k) for k in range(members)], {}, 7).values()) == 7


def test_reports_of_shards_are_one():
    one = {"events": 3, "behind_s": 0.5, "feed_age_s": 2.0, "reasons": {"torn": 1}, "problem": ""}
    two = {"events": 4, "behind_s": None, "feed_age_s": 1.0, "reasons": {"torn": 2, "old": 1}}
    two |= {"problem": "away", "state": "recording", "stages_ms": {"cut": [1.0, 2.0]}}
    found = merged([one | {"state": "waiting", "stages_ms": {"cut": [None, None]}}, two])
    assert found["events"] == 7
    assert (found["behind_s"], found["feed_age_s"], found["problem"]) == (0.5, 1.0, "away")
    assert found["reasons"] == {"torn": 3, "old": 1}
    assert found["state"] == "waiting"
    assert found["stages_ms"] == {"cut": [1.0, 2.0]}
    assert LEASE_SECONDS >= 5 * RENEW_SECONDS
