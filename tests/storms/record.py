"""A storm over the record: its processes killed and stopped by a seed, under load.

`python -m tests.storms.record --seed N --minutes M --rate R [--kafka real [--brokers 3]]`. The
demo market goes through Kafka to the product's own recorder and into ClickHouse's stand-in, each a
process. Recorders are killed, or stopped past their time while a successor writes, and woken
beside it; ClickHouse and Redis are killed and frozen; so is Kafka, the real one. (The stand-in's
log ends with its process, it is only frozen.) After each blow the record must grow again. In the
end Kafka holds what the producer was told is delivered, every offset of that is on record once,
the chains hold, and what stands there is what a reader that nobody disturbed made of the log.

`--away S`: ClickHouse is gone for S seconds instead; how fast the recorder catches up is measured.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from app.loops import PatientRows
from app.settings import load
from app.standins import free_port, make_topics, redis_command, started
from compute import account, chain, digest
from compute.archive import Archive, ArchiveError
from compute.bus import Bus
from compute.engine import Engine
from compute.enriched import ENRICHED
from compute.intake import Intake
from compute.kernels.digest import SEED
from compute.row import PARTS, RECORD, REFUSED
from ingest.event import EVENT
from ingest.instrument import Reference
from ingest.source import FILLS, Positions, Source
from tests.clickhouse import ROOT, ClickHouse
from tests.kafka import Kafka
from tests.storms import market

GROWTH_SECONDS_MAX = 180.0  # Until the record grows after a blow, on a machine that is busy.
CATCH_UP_SECONDS_MAX = 300.0
KAFKA_DRAIN_SECONDS_MAX = 180.0  # Until what the producer still holds is delivered.
CAUGHT_UP_SECONDS = 3.0  # Behind; twice what it is in calm weather.
BLOWS = ("kill", "sleep", "clickhouse", "freeze clickhouse", "redis", "freeze kafka")
WORST = ("kill", "sleep", "clickhouse", "redis")  # Each storm begins with these, in any order.
KAFKA_AWAY_SECONDS_MAX = 3.0


class Witness:
    """Reads the log as it is published and folds what a fresh engine says, place by place."""

    def __init__(self, kafka: str) -> None:
        self.rows = PatientRows(kafka, "witness")
        self.reference = Reference(self.rows.read_all())
        self.source, self.positions = Source(kafka, "witness"), Positions()
        self.source.seek({})
        self.engine = Engine(self.reference)
        self.intake = Intake(self.reference, self._refresh)
        self.folds: dict[tuple[int, int], int] = {}
        self.held: market.Told = {}  # What Kafka holds.
        self.commit_at = 0.0

    def _refresh(self) -> bool:
        """As the recorder: on a busy machine rows may come after their first events."""
        return self.intake.renew(self.rows, self.engine)

    def follow(self, seconds: float) -> None:
        """Take what comes for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.take()

    def take(self) -> int:
        messages = self.source.poll()
        batch = self.intake.take(messages)
        assert not batch.gaps, "the log itself lacks events"
        without = {span.reason for span in batch.spans if not span.count}
        assert not without, f"the log itself has frames that give no event: {without}"
        for message in messages:
            market.note(self.held, message[:2], message.offset, message.value)
        enriched = np.empty(len(batch.events), ENRICHED)
        self.engine.step(batch.events, enriched)
        for span in batch.spans:
            part = slice(span.start, span.start + span.count)
            fold(self.folds, span.message[:2], batch.events[part], enriched[part])
        self.positions |= {message[:2]: message.offset for message in messages}
        if messages and time.monotonic() >= self.commit_at:  # The stand-in keeps what we lack.
            self.commit_at = time.monotonic() + 1.0
            self.source.commit(self.positions)
        return len(messages)


def fold(
    folds: dict[tuple[int, int], int],
    place: tuple[int, int],
    events: np.ndarray,
    enriched: np.ndarray,
) -> None:
    """Go on with a place's digest. How fills fell between prices differs between two readers."""
    if place[0] == FILLS:
        enriched = np.zeros(len(events), ENRICHED)
    folds[place] = digest.fold(events, enriched, folds.get(place, int(SEED)))


class StandIn:
    """Kafka's stand-in, as far as a storm goes: it is not killed, only frozen."""

    blows: tuple[str, ...] = ()
    brokers = 1

    def __init__(self, address: str) -> None:
        self.address = address
        self._process = holder(int(address.rpartition(":")[2]))

    def broker(self, node: int = 1) -> psutil.Process:
        return self._process

    def kill(self, node: int = 1) -> None:
        raise AssertionError("its log ends with it")

    restart = kill


class Storm:
    """The processes, and what is done to them."""

    def __init__(self, folder: Path, seed: int, rate: int, kafka: Kafka | StandIn) -> None:
        self.chance, self.kafka = random.Random(seed), kafka
        self.server = ClickHouse(folder / "clickhouse").start()
        self.redis_port = free_port()
        self.redis: subprocess.Popen[bytes] | None = None
        self.start_redis()
        self.environment = os.environ | {
            "TICKGLASS_DATA": str(folder / "data"),
            "TICKGLASS_KAFKA": kafka.address,
            "TICKGLASS_RATE": str(rate),
            "TICKGLASS_SEED": str(seed),
            "TICKGLASS_REDIS": f"redis://127.0.0.1:{self.redis_port}/0",
            "TICKGLASS_CLICKHOUSE": self.server.address,
            "TICKGLASS_DATABASE": "storm",
            "TICKGLASS_PARENT": str(os.getpid()),
        }
        self.bus, self.rate = Bus(self.environment["TICKGLASS_REDIS"]), rate
        self.log = (folder / "log").open("ab")
        self.told = folder / "told"
        self.market = self.run("tests.storms.market", str(self.told))
        self.archive = Archive(self.server.address, "storm")
        self.witness = Witness(kafka.address)
        self.recorder = self.run("app", "record")
        self.asleep: list[subprocess.Popen[bytes]] = []
        self.done: list[str] = []

    def run(self, *module: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *module]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log
        )

    def start_redis(self) -> None:
        if self.redis is not None:
            self.redis.kill()
            self.redis.wait()
        self.redis = subprocess.Popen(redis_command(self.redis_port), stdout=subprocess.DEVNULL)

    def rows(self) -> int:
        """On record now; -1 while that cannot be told."""
        try:
            return self.archive.size()[0]
        except ArchiveError:
            return -1

    def grown(self, more: int = 1) -> None:
        """Wait until the record has grown, reading the log meanwhile."""
        before, deadline = self.rows(), time.monotonic() + GROWTH_SECONDS_MAX
        while before < 0 or self.rows() < before + more:
            if before < 0:
                before = self.rows()
            assert time.monotonic() < deadline, f"the record stands still after {self.done}"
            if self.recorder.poll() is not None:  # Replaced, as the supervisor would.
                self.recorder = self.run("app", "record")
            self.witness.follow(0.1)

    def strike(self, what: str) -> None:
        """One blow; what was stopped by an earlier one wakes beside its successor."""
        self.done.append(what)
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {self.rows():,} rows: {what}\n")
        if what == "kill":
            self.recorder.kill()
            self.recorder.wait()
        elif what == "sleep":
            self.recorder.send_signal(signal.SIGSTOP)
            sleeper, self.recorder = self.recorder, self.run("app", "record")
            self.asleep.append(sleeper)
            self.grown()  # The successor writes while the other sleeps.
            sleeper.send_signal(signal.SIGCONT)
        elif what == "clickhouse":
            self.server.start()
        elif what == "redis":
            self.start_redis()
        elif what == "kafka":
            node = self.chance.randint(1, self.kafka.brokers)
            self.kafka.kill(node)
            time.sleep(self.chance.uniform(0.0, KAFKA_AWAY_SECONDS_MAX))
            self.kafka.restart(node)
        else:
            assert self.server.process is not None
            frozen = psutil.Process(self.server.process.pid)
            if what == "freeze kafka":
                frozen = self.kafka.broker(self.chance.randint(1, self.kafka.brokers))
            frozen.suspend()
            time.sleep(self.chance.uniform(0.1, 1.0))
            frozen.resume()

    def blow(self, seconds: float, first: Sequence[str] = WORST) -> None:
        """Strike until the time is up, each of `first` at least once."""
        end = time.monotonic() + seconds
        self.grown()
        blows = self.chance.sample(first, len(first))
        every = (*BLOWS, *self.kafka.blows)
        while blows or time.monotonic() < end:
            self.strike(blows.pop() if blows else self.chance.choice(every))
            self.grown()
            self.witness.follow(self.chance.uniform(0.0, 1.0))  # Some blows fall on a start.

    def health(self) -> dict[str, Any]:
        """What the recorder last told of itself."""
        return self.bus.health().get("record.0", {})

    def outage(self, seconds: float) -> str:
        """ClickHouse away for so long; how far behind it came and how fast it caught up."""
        self.grown()
        self.server.kill()
        self.witness.follow(seconds)
        worst = self.health()
        assert worst["behind_s"] > seconds / 2, worst
        assert "does not answer" in worst["problem"], worst
        self.server.start()
        before = self.rows()
        while (rows := self.rows()) <= before:  # It tries again every few seconds.
            self.witness.follow(0.02)
        begin, first = time.monotonic(), rows
        while self.health()["behind_s"] > CAUGHT_UP_SECONDS:
            assert time.monotonic() < begin + CATCH_UP_SECONDS_MAX, self.health()
            self.witness.follow(0.1)
        speed = (self.rows() - first) / (time.monotonic() - begin)
        return (
            f"ClickHouse away {seconds:.0f} s: {worst['behind_s']:.1f} s behind, then "
            f"{speed:,.0f} rows a second, {speed / self.rate:.1f} times the market's {self.rate:,}"
        )

    def settle(self) -> None:
        """End the market and wait until all of its log is on record."""
        self.market.terminate()
        self.market.wait(timeout=KAFKA_DRAIN_SECONDS_MAX)
        deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
        recorded: Positions = {}
        while self.witness.take() or self.witness.source.lag(self.witness.positions):
            pass
        while recorded != self.witness.positions:
            assert time.monotonic() < deadline, f"{recorded} of {self.witness.positions}"
            if self.recorder.poll() is not None:
                self.recorder = self.run("app", "record")
            self.witness.follow(0.2)
            with contextlib.suppress(ArchiveError):
                recorded = self.archive.highest_offsets()

    def judge(self) -> str:
        """What the account says; AssertionError where the record is not as it must be."""
        delivered, lost = market.read(self.told)
        assert not lost, f"{lost} frames were not delivered"
        assert self.witness.held == delivered, "Kafka does not hold what it said is delivered"
        counts = account.count(self.archive)
        assert not any(one.named for one in counts), account.describe(counts)
        assert all(one.first == 0 for one in counts), account.describe(counts)
        folds: dict[tuple[int, int], int] = {}
        for place, last in self.witness.positions.items():
            fault = chain.verify(self.archive.blocks(*place), self._folding(folds))
            assert fault is None, fault
            ends = [block.last for block in self.archive.blocks(*place)]
            assert max(ends, default=-1) == last, f"{place}: sealed to {max(ends)}, not to {last}"
        wrong = [place for place in folds if folds[place] != self.witness.folds[place]]
        refused = self.archive.rows(
            "SELECT topic, partition, offset, flags FROM storm.events "
            f"WHERE kind = {REFUSED} ORDER BY topic, partition, offset LIMIT 5"
        )
        assert not wrong, f"not the log's numbers: {wrong}; refused on record: {refused}"
        return f"{len(self.done)} blows ({', '.join(self.done)})\n{account.describe(counts)}"

    def _folding(self, folds: dict[tuple[int, int], int]) -> Callable[[chain.Sealed], bytes]:
        """Reads blocks, and folds what they hold on the way."""

        def read(sealed: chain.Sealed) -> bytes:
            data = self.archive.read_block(*sealed[:4])
            rows = np.frombuffer(data, RECORD)
            parts = rows[rows["kind"] != REFUSED].view(PARTS)
            events = np.ascontiguousarray(parts["event"]).view(EVENT)
            enriched = np.ascontiguousarray(parts["enriched"]).view(ENRICHED)
            fold(folds, sealed[:2], events, enriched)
            return data

        return read

    def close(self) -> None:
        for child in (self.market, self.recorder, *self.asleep, self.redis):
            if child is not None:
                child.kill()
                child.wait()
        self.witness.source.close()
        self.server.kill()
        self.log.close()


@contextlib.contextmanager
def kafka(brokers: int) -> Iterator[Kafka | StandIn]:
    """A real cluster of so many brokers; 0: the stand-in."""
    with (
        tempfile.TemporaryDirectory(prefix="tickglass-kafka-") as folder,
        contextlib.ExitStack() as s,
    ):
        settings = load(data=Path(folder))
        if not brokers:
            yield StandIn(s.enter_context(started(settings, "kafka")))
            return
        cluster = Kafka(Path(folder), brokers)
        s.callback(cluster.close)
        make_topics(cluster.start().address, settings.partitions)
        yield cluster


def holder(port: int) -> psutil.Process:
    """The child of ours that listens there."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(one.laddr.port == port for one in child.net_connections("tcp")):
                return child
    raise AssertionError(f"nobody listens on {port}")


def run(
    seed: int,
    seconds: float,
    rate: int,
    first: Sequence[str] = WORST,
    *,
    brokers: int = 0,
    away_s: float = 0.0,
) -> str:
    """One storm, or one long absence of ClickHouse, from its beginning to the verdict."""
    with (
        tempfile.TemporaryDirectory(prefix="tickglass-storm-") as folder,
        kafka(brokers) as cluster,
    ):
        storm = Storm(Path(folder), seed, rate, cluster)
        try:
            told = storm.outage(away_s) + "\n" if away_s else ""
            if not away_s:
                storm.blow(seconds, first)
            storm.settle()
            return told + storm.judge()
        except (AssertionError, ArchiveError) as error:
            command = f"python -m tests.storms.record --seed {seed} --minutes {seconds / 60:g}"
            tail = Path(folder, "log").read_text(errors="replace")[-2000:]
            command += f" --rate {rate}" + (f" --away {away_s:g}" if away_s else "")
            command += f" --kafka real --brokers {brokers}" if brokers else ""
            raise AssertionError(f"{command}: {error}\n{tail}") from error
        finally:
            storm.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=300_000, help="events a second")
    parser.add_argument("--kafka", choices=("standin", "real"), default="standin")
    parser.add_argument("--brokers", type=int, default=1, help="of a real Kafka")
    parser.add_argument("--away", type=float, default=0.0, help="instead: ClickHouse, seconds")
    given = parser.parse_args()
    real = given.brokers if given.kafka == "real" else 0
    first = (*WORST, "kafka", "freeze kafka") if real else WORST
    told = run(given.seed, given.minutes * 60, given.rate, first, brokers=real, away_s=given.away)
    sys.stdout.write(told + "\n")
