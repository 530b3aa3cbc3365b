"""Rule: whether a place is fit before anything is started: addresses, ports, folders, files.

Each function answers "" or one sentence: what is wrong, where, and what to do.
"""

import contextlib
import http.client
import os
import socket
import struct
import uuid
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ingest.address import parse, shown

ANSWER_SECONDS = 2.0
LOOPBACK = "127.0.0.1"

_REDIS_PORT, _CLICKHOUSE_PORT, _CLICKHOUSE_SECURE_PORT = 6379, 8123, 8443
# ApiVersions, version 0, correlation 7, no client name: the one request every broker answers.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 7, -1)


def kafka(brokers: str) -> str:
    """Whether one of `host:port[,host:port]` speaks Kafka."""
    place, problem = parse(brokers), "no address"
    for broker in place.hosts:
        host, _, port = broker.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), ANSWER_SECONDS) as sock:
                if place.scheme:
                    return ""  # The client will settle the rest, encryption or a password.
                sock.settimeout(ANSWER_SECONDS)
                sock.sendall(_API_VERSIONS)
                head = sock.recv(8)
        except OSError as error:
            problem = _reason(error)
            continue
        if len(head) == 8 and struct.unpack(">ii", head)[1] == 7:
            return ""
        problem = "what answers there is not Kafka"
    return (
        f"Kafka at {shown(brokers)} does not answer ({problem}). "
        "Start it (deploy/kafka/start) or leave out --kafka for a stand-in."
    )


def redis(url: str) -> str:
    """Whether `redis://...`, or one of the sentinels named, answers as Redis.

    Whether the password is right, and a primary there, shows later.
    """
    problem = "no address"
    for place in _redis_places(url):
        try:
            with _connected(place) as sock:
                if place.scheme == "rediss":
                    return ""  # The client will settle the rest under TLS.
                sock.sendall(b"PING\r\n")
                first = sock.recv(1)
        except (OSError, ValueError) as error:
            problem = _reason(error)
            continue
        if first in (b"+", b"-"):  # +PONG, or -NOAUTH which only Redis says.
            return ""
        problem = "what answers there is not Redis"
    return (
        f"Redis at {shown(url)} does not answer ({problem}). "
        "Start it, or leave out --redis for a stand-in."
    )


def _redis_places(url: str) -> list[SplitResult]:
    """Each address in `url`: one, or all sentinels."""
    place = parse(url)
    if not place.scheme.endswith("+sentinel"):
        return [urlsplit(place.bare)]
    return [urlsplit(f"{place.scheme.partition('+')[0]}://{host}") for host in place.hosts]


def _connected(place: SplitResult) -> socket.socket:
    if place.scheme != "unix":
        address = (place.hostname or LOOPBACK, place.port or _REDIS_PORT)
        return socket.create_connection(address, ANSWER_SECONDS)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(ANSWER_SECONDS)
    try:
        sock.connect(place.path)
    except OSError:
        sock.close()
        raise
    return sock


def clickhouse(url: str) -> str:
    """Whether `http://...` answers as ClickHouse's HTTP interface."""
    try:
        place = urlsplit(parse(url).bare)
        host, port = place.hostname or LOOPBACK, place.port or _CLICKHOUSE_PORT
        connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        if place.scheme == "https":
            connection = http.client.HTTPSConnection(
                *(host, place.port or _CLICKHOUSE_SECURE_PORT),
                timeout=ANSWER_SECONDS,
                context=parse(url).context(),
            )
        with contextlib.closing(connection):
            connection.request("GET", "/ping")
            answer = connection.getresponse()
            body = answer.read(64)
    except (OSError, ValueError, http.client.HTTPException) as error:
        problem = _reason(error)
    else:
        if answer.status == 200 and body.startswith(b"Ok"):
            return ""
        problem = f"what answers there is not ClickHouse: {answer.status} {answer.reason}"
    return (
        f"ClickHouse at {shown(url)} does not answer ({problem}). "
        "Start it, or leave out --clickhouse for a stand-in."
    )


def port(number: int) -> str:
    """Whether a server of ours can listen on this port of loopback."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, number))
        except OSError as error:
            return f"Port {number} cannot be used ({_reason(error)}). Name another: --port."
    return ""


def listening(number: int) -> bool:
    """Whether somebody listens on this port of loopback."""
    with socket.socket() as sock:
        sock.settimeout(ANSWER_SECONDS)
        return sock.connect_ex((LOOPBACK, number)) == 0


def folder(path: Path) -> str:
    """Whether files can be made in `path`, which is made if it is missing."""
    trial = path / f".trial-{uuid.uuid4().hex}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        return f"The data folder {path} cannot be written ({_reason(error)}). Name another: --data."
    return ""


def files(paths: list[Path]) -> str:
    """Whether every path can be read."""
    for path in paths:
        if not path.exists():
            return f"{path} does not exist. Name a recorded file or a folder of them."
        if not os.access(path, os.R_OK):
            return f"{path} cannot be read. Change its permissions or name another file."
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_SECONDS:g} s"
    if isinstance(error, OSError) and error.errno and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
