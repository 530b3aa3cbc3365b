"""Redis restarted, emptied, standing still, replaced: pages age, and then they tell the truth.

A real `live` writes and a real mirror reads, both through a real Redis; only Kafka is a list.
"""

import asyncio
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from app import probe
from app.mirror import Mirror
from app.standins import free_port, redis_command
from compute.bus import AsyncBus, Bus, BusError, SupersededError
from compute.live import Live
from tests.compute.test_live import Log, Quarantine, Rows, frames

pytestmark = pytest.mark.requires("redis")
SECONDS_MAX = 60.0  # Until all is well again, on a machine that is busy.


class Server:
    """A Redis of the test's own, on a port that it keeps."""

    def __init__(self, program: str, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.command = [program, *redis_command(self.port)[1:], *options]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS_MAX
        while probe.redis(self.url) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not probe.redis(self.url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Working:
    """`live` in a thread, fed by `grow`."""

    def __init__(self, url: str) -> None:
        self.log = Log(frames(900))
        self.log.limit = 0
        self.live = Live(self.log, Rows(), Bus(url), Quarantine(), cut_ms=1.0)
        self.live._checkpoint_due = 0.0
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            while not self.stop.is_set():
                if not self.live.step():
                    time.sleep(0.002)
        except BaseException as error:
            self.error = error

    def grow(self) -> None:
        self.log.limit += 100

    @property
    def taken(self) -> bool:
        return self.live.positions.get((0, 0), -1) == self.log.limit - 1

    def close(self) -> None:
        self.stop.set()
        self.thread.join()


@pytest.fixture
def servers(require):
    """Starts servers; all are killed at the end."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(require("redis"), *options))
        return started[-1]

    yield start
    for server in started:
        server.kill()


async def until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


def watched(url: str, story: Callable[[Working, Mirror, Callable], Awaitable[None]]) -> None:
    """Tell a story of a `live` and a mirror that agree when it begins."""

    async def told() -> None:
        working, mirror = Working(url), Mirror(AsyncBus(url))
        task = asyncio.ensure_future(mirror.run())

        async def agree() -> None:
            """What is new shows: the mirror's table is live's, to the bit."""
            working.grow()

            def same() -> bool:
                now, mine = working.live.engine.tables["instruments"], mirror.tables["instruments"]
                return (
                    working.taken
                    and mirror.state == "live"
                    and now.shape == mine.shape
                    and np.array_equal(now, mine, equal_nan=True)
                )

            await until(f"mirror and live agree; {mirror.problem}", same)

        try:
            await agree()
            await story(working, mirror, agree)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            working.close()
            await mirror.bus.close()
        assert working.error is None

    asyncio.run(told())


def known(url: str) -> set[str]:
    """Names of all that Redis holds."""
    bus = Bus(url)
    names = {name.decode() for name in bus._redis.keys("tickglass:*")}
    bus.close()
    return {name for name in names if "draft" not in name}


def test_a_restart_loses_nothing_that_does_not_come_back(servers):
    server = servers()

    async def story(working, mirror, agree):
        await until("a checkpoint", lambda: "tickglass:checkpoint:0" in known(server.url))
        before = known(server.url)
        server.kill()
        await until("the page says so", lambda: mirror.state == "down")
        working.grow()
        await until("live goes on", lambda: working.taken)
        server.start()
        await agree()
        await until("all is told again", lambda: known(server.url) >= before)

    watched(server.url, story)


def test_what_is_flushed_is_told_again(servers):
    server = servers()

    async def story(working, mirror, agree):
        await until("a checkpoint", lambda: "tickglass:checkpoint:0" in known(server.url))
        before = known(server.url)
        assert before >= {f"tickglass:{n}" for n in ("image:0", "deltas:0", "reference", "health")}
        bus = Bus(server.url)
        bus._redis.flushall()
        bus.close()
        await until("all is told again", lambda: known(server.url) >= before)
        await agree()
        late = Mirror(AsyncBus(server.url))
        task = asyncio.ensure_future(late.run())
        await until(
            "who comes later knows all", lambda: late.state == "live" and late.reference.by_id
        )
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await late.bus.close()

    watched(server.url, story)


def test_while_it_stands_still_pages_age_and_live_goes_on(servers):
    server = servers()

    async def story(working, mirror, agree):
        server.process.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        await until("the page ages", lambda: mirror.state == "stale")
        working.grow()
        await until("live goes on", lambda: working.taken)
        await until("nothing is heard", lambda: mirror.state == "down")
        await until("longer than a socket waits", lambda: time.monotonic() > stopped_at + 5)
        server.process.send_signal(signal.SIGCONT)
        await agree()

    watched(server.url, story)


def test_its_replica_takes_over(servers, tmp_path: Path):
    primary = servers()
    replica = servers("--replicaof", "127.0.0.1", str(primary.port))
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"sentinel monitor tickglass 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds tickglass 500\n"
        "sentinel failover-timeout tickglass 3000\n"
    )
    port = free_port()
    sentinel = subprocess.Popen(
        [primary.command[0], settings, "--sentinel", "--port", str(port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/tickglass/0"
    ask = Bus(f"redis://127.0.0.1:{port}/0")

    def replicas() -> int:
        try:
            return ask._redis.sentinel_master("tickglass")["num-slaves"]
        except Exception:  # It is starting.
            return 0

    async def story(working, mirror, agree):
        await until("the sentinel knows the replica", lambda: replicas() == 1)
        primary.kill()
        await until("the page says so", lambda: mirror.state == "down")
        await agree()
        assert Bus(replica.url).last_epoch() == working.live.epoch

    try:
        deadline = time.monotonic() + SECONDS_MAX
        while probe.redis(url) and time.monotonic() < deadline:
            time.sleep(0.02)
        watched(url, story)
    finally:
        ask.close()
        sentinel.kill()
        sentinel.wait()


def test_a_live_that_slept_through_its_replacement_ends(servers):
    server = servers()
    former = Live(Log(frames(50)), Rows(), Bus(server.url), Quarantine(), cut_ms=0.0)
    former.step()
    later = Live(Log(frames(50)), Rows(), Bus(server.url), Quarantine(), cut_ms=0.0)
    later.step()
    image, epoch = later.bus.image(), later.epoch
    former._image_due = 0.0
    former._dirty = True
    with pytest.raises(SupersededError, match="taken over"):
        former.step()
    assert later.bus.image() == image, "not even the image is overwritten"
    assert later.bus.last_epoch() == epoch > former.epoch


def test_two_that_save_at_once_leave_a_whole_checkpoint(servers):
    url = servers().url
    states = [bytes([k]) * 2_000_000 for k in range(2)]
    threads = [threading.Thread(target=Bus(url).save, args=(0, state)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Bus(url).checkpoint() in states
    assert Bus(url)._redis.ttl("tickglass:checkpoint:0") == -1
    assert not Bus(url)._redis.keys("*draft*")


def test_without_a_primary_it_is_said():
    with pytest.raises(BusError, match="does not answer"):
        Bus("redis+sentinel://127.0.0.1:1/tickglass/0").ping()
