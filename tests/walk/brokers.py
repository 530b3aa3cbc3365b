"""The walk of the brokers: three real ones under the whole product, a page that looks, and harm.

    python -m tests.walk.brokers [--kills 6] [--seconds 10] [--rate 5000]

Each broker in turn is killed under load and started again; all leaders go home at once; a leader
stands still; two of three are dead at a time. One may be missed for SILENT_MS_MAX at most, as a
page sees it (bench/silence.py, by topic). While two are away the page must say that nothing comes.
In the end every offset must be on record once, and `live` must have missed and repeated nothing.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient

from bench.browser import Page, page
from bench.failover_workers import account_of
from bench.glass import addresses, product
from bench.report import machine, report
from bench.silence import Silence
from compute.archive import Archive
from compute.bus import Bus
from ingest.source import TOPICS
from tests.kafka import Kafka, free_ports
from tests.web import until

BROKERS = 3
SILENT_MS_MAX = 2_000.0
KILLED_SECONDS = 8.0  # Who took over has long done so.
SECONDS_MAX = 180.0  # Java takes its time to come back, on a machine that is busy.
WORD = "tickglass.state.word"
LOADED = "!!window.tickglass && tickglass.stats().total > 0"


class Cluster:
    """The brokers, and what they say of themselves."""

    def __init__(self, folder: Path) -> None:
        self.kafka = Kafka(folder, brokers=BROKERS)

    def start(self) -> "Cluster":
        self.kafka.start()
        self.admin = AdminClient({"bootstrap.servers": self.kafka.address, "log_level": 2})
        return self

    def parts(self) -> dict[str, Any]:
        """What is known of the partition of each topic."""
        topics = self.admin.list_topics(timeout=30).topics
        return {topic: topics[topic].partitions[0] for topic in TOPICS if topic in topics}

    def whole(self) -> bool:
        """Whether every broker has all."""
        parts = self.parts()
        return len(parts) == len(TOPICS) and all(len(p.isrs) == BROKERS for p in parts.values())

    def leader(self) -> int:
        """Of the first topic."""
        return int(self.parts()[TOPICS[0]].leader)

    def go_home(self) -> int:
        """All leaders that are not where they are meant to be move there; how many."""
        astray = [topic for topic, p in self.parts().items() if p.leader != p.replicas[0]]
        wanted = [TopicPartition(topic, 0) for topic in astray]
        if wanted:
            self.admin.elect_leaders(ElectionType.PREFERRED, wanted).result(SECONDS_MAX)
        return len(wanted)


class Walk:
    """One after the other; `found` are the figures."""

    def __init__(self, cluster: Cluster, silence: Silence, glass: Page, seconds: float) -> None:
        self.cluster, self.silence, self.glass, self.seconds = cluster, silence, glass, seconds
        self.found: dict[str, Any] = {}

    def say(self, **told: Any) -> None:
        sys.stderr.write(json.dumps(told) + "\n")

    def word(self) -> str:
        """What the page's LIVE tag says."""
        return str(self.glass.evaluate(WORD))

    def live(self) -> None:
        """Wait until all brokers have all, and the page is live."""
        until(self.cluster.whole, SECONDS_MAX, lambda: str(self.cluster.parts()))
        until(lambda: self.word() == "LIVE", SECONDS_MAX, self.word)

    def watched(self, act: Any) -> float:
        """The longest silence of a topic, ms, while `act` is done."""
        with ThreadPoolExecutor(1) as pool:
            doing = pool.submit(act)
            longest = max(self.silence.until(doing.done).values())
            doing.result()
        return longest

    def kills(self, count: int) -> None:
        """Each in turn, under load."""
        silent, back = [], []
        for number in range(count):
            self.live()
            node = number % BROKERS + 1
            self.cluster.kafka.kill(node)
            silent.append(self.silence.during(KILLED_SECONDS))
            back.append(self.watched(lambda node=node: self.cluster.kafka.restart(node)))
            self.say(killed=node, silent_ms=round(silent[-1]), back_ms=round(back[-1]))
        self.found |= {
            "kills": count,
            "killed_silent_ms_p50": round(sorted(silent)[len(silent) // 2], 1),
            "killed_silent_ms_max": round(max(silent), 1),
            "returned_silent_ms_max": round(max(back), 1),
        }

    def moves(self) -> None:
        """All leaders go home at once."""
        self.live()
        moved: list[int] = []
        silent = self.watched(lambda: (moved.append(self.cluster.go_home()), time.sleep(3.0)))
        self.found |= {"leaders_moved": moved[0], "moved_silent_ms": round(silent, 1)}

    def stands_still(self) -> None:
        """It is not dead and says nothing."""
        self.live()
        process = self.cluster.kafka.broker(self.cluster.leader())
        process.send_signal(signal.SIGSTOP)
        try:
            silent = self.silence.during(self.seconds)
        finally:
            process.send_signal(signal.SIGCONT)
        self.found |= {"still_seconds": self.seconds, "still_silent_ms": round(silent, 1)}

    def two(self) -> None:
        """Producers wait, the page says so; and then all of it comes."""
        self.live()
        nodes = (1, 2)
        begun = time.monotonic()
        for node in nodes:
            self.cluster.kafka.kill(node)
        until(lambda: self.word() != "LIVE", SECONDS_MAX, self.word)
        said_s, word = time.monotonic() - begun, self.word()
        time.sleep(max(0.0, self.seconds - said_s))
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(self.cluster.kafka.restart, nodes))
        there = time.monotonic()
        until(lambda: self.word() == "LIVE", SECONDS_MAX, self.word)
        self.found |= {
            "two_said": word,
            "two_said_seconds": round(said_s, 2),
            "two_back_seconds": round(time.monotonic() - there, 2),
        }


def measure(kills: int, seconds: float, rate: int) -> dict[str, Any]:
    """All of it; the figures."""
    with tempfile.TemporaryDirectory(prefix="tickglass-brokers-") as name, ExitStack() as stack:
        folder = Path(name)
        cluster = Cluster(folder / "kafka")
        stack.callback(cluster.kafka.close)
        cluster.start()
        port = free_ports(1)
        options = ["--kafka", cluster.kafka.address]
        process = stack.enter_context(product(rate, folder, port, options))
        run = addresses(folder, process)
        bus, archive = Bus(run["redis"]), Archive(run["clickhouse"], run["database"])
        glass = stack.enter_context(page())
        glass.goto(f"http://127.0.0.1:{port}/overview")
        glass.wait_for(LOADED, SECONDS_MAX)
        walk = Walk(cluster, Silence(bus, "asset_class"), glass, seconds)
        walk.live()
        time.sleep(seconds)  # The roles that begin beside it.
        walk.found["rest_silent_ms"] = round(walk.silence.during(seconds), 1)
        walk.kills(kills)
        walk.moves()
        walk.stands_still()
        walk.two()
        walk.live()
        return walk.found | account_of(bus, archive)


def holds(figures: dict[str, Any]) -> bool:
    """Whether nobody was missed for too long, and nothing is missing."""
    return bool(
        figures["killed_silent_ms_max"] <= SILENT_MS_MAX
        and figures["two_said"] != "LIVE"
        and figures["lost"] == figures["doubled"] == 0
    )


def main() -> None:
    """The command line; the last line is as a bench's."""
    parser = argparse.ArgumentParser(prog="python -m tests.walk.brokers", description=__doc__)
    parser.add_argument("--kills", type=int, default=6, help="of one broker, in turn")
    parser.add_argument("--seconds", type=float, default=10.0, help="of all that lasts")
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    given = parser.parse_args()
    found = machine()
    figures = measure(given.kills, given.seconds, given.rate)
    report("brokers", holds(figures), figures, found)
    raise SystemExit(not holds(figures))


if __name__ == "__main__":
    main()
