"""Stand-in for a Kafka broker: Kafka's own protocol on one node, its log as app/kafka_store.py.

In: requests of any Kafka client, in the versions of VERSIONS. Out: the answers of a broker.
A batch of records is kept as it came, compressed or not, and goes out as it is kept. A fetch that
found too little waits and is answered as soon as there is enough.

What a broker does and this one does not: groups that share out partitions (clients assign them
themselves), dedup of an idempotent producer's retries, transactions, deletion by age, the check
of a batch's checksum (readers may). Nothing outlives the process.
"""

import asyncio
import re
import secrets
import struct
from collections.abc import Callable
from typing import NamedTuple

from app.kafka_store import Disk, Log
from app.process import Stop, settle

LOOPBACK = "127.0.0.1"
LOG_BYTES_MAX = 192 << 20  # Of one partition in memory: 12 s of half of 500,000 events/s.
TOTAL_BYTES_MAX = 640 << 20  # Of all together; beyond it the biggest partition gives way.
PARTITIONS_DEFAULT = 4  # Of a topic that is made because somebody asked for it.
TOPICS_MAX = PARTITIONS_MAX = 1000
REQUEST_BYTES_MAX = 32 << 20  # The biggest batch of the product's own producer is 2 MB.
RECEIVE_BYTES = 1 << 18  # A dozen of frames: what a producer sends at once is read at once.
UNSENT_BYTES_MAX = 64 << 20  # A client that asks for more before it has read this must wait.
JOINED_BYTES_MAX = 1 << 16  # Below this, a copy is cheaper than a list of pieces.
CLOGGED_SECONDS = 0.005  # How soon we look again whether it has.
PIECES_MAX = 256  # Answers to requests that came together are sent together, so many pieces.
GATHER_SECONDS = 0.0004  # A waiting fetch is answered this long after the first new batch.
STOP_POLL_SECONDS = 0.05

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, OFFSET_FETCH = 0, 1, 2, 3, 8, 9
FIND_COORDINATOR, API_VERSIONS, CREATE_TOPICS, INIT_PRODUCER_ID = 10, 18, 19, 22
VERSIONS = {  # The oldest that current clients speak: no tagged fields. librdkafka compresses
    PRODUCE: (3, 7),  # with zstd only where it finds Produce 7 and Fetch 10, and writes batches
    FETCH: (4, 10),  # of version 2 only where it finds Produce 3 and Fetch 4.
    LIST_OFFSETS: (1, 1),
    METADATA: (4, 4),
    OFFSET_COMMIT: (2, 2),
    OFFSET_FETCH: (1, 1),
    FIND_COORDINATOR: (0, 0),
    API_VERSIONS: (0, 0),
    CREATE_TOPICS: (2, 4),
    INIT_PRODUCER_ID: (0, 0),
}

NONE, OUT_OF_RANGE, CORRUPT, UNKNOWN_TOPIC, INVALID_TOPIC = 0, 1, 2, 3, 17
UNSUPPORTED_VERSION, TOPIC_EXISTS, INVALID_PARTITIONS, WRONG_FORMAT = 35, 36, 37, 43
LATEST, EARLIEST = -1, -2  # What ListOffsets may ask for in place of a time.
NODE = 1
TOPIC = re.compile(rb"[A-Za-z0-9._-]{1,249}")

I16, I32, I64, BOOL = (struct.Struct(f">{code}") for code in "hiq?")
II, IQ, HEAD = (struct.Struct(f">{codes}") for codes in ("ii", "iq", "hhi"))
# A batch: base offset, length of what follows these 12 bytes, leader epoch, magic, checksum,
# attributes, offset of the last record behind the base; the greatest time at byte 35.
BATCH = struct.Struct(">qiibIhi")
BATCH_HEAD_BYTES, BATCH_EPOCH_AT = 61, 12
PRODUCE_HEAD = struct.Struct(">hi")  # Acks, patience.
FETCH_HEAD = struct.Struct(">iiiib")  # Replica, patience in ms, bytes at least, at most, isolation.
MAKE, MAKE_TAIL = struct.Struct(">ih"), struct.Struct(">i?")  # Partitions; patience, dry run.
FETCH_PLACES = {4: struct.Struct(">iqi"), 5: struct.Struct(">iqqi"), 9: struct.Struct(">iiqqi")}


class MalformedError(ValueError):
    """What came is no Kafka request."""


class Request:
    """A request where it lies in the receive buffer, read from front to back."""

    __slots__ = ("at", "buffer", "end", "version")

    def __init__(self, buffer: bytearray, at: int, end: int) -> None:
        """It reaches from `at` to `end`."""
        self.buffer, self.at, self.end, self.version = buffer, at, end, 0

    def take(self, form: struct.Struct) -> tuple:
        """The next fields; MalformedError where the request ends before them."""
        return form.unpack_from(self.buffer, self.skip(form.size))

    def skip(self, length: int) -> int:
        """Where the next `length` bytes begin."""
        at = self.at
        self.at = at + length
        if length < 0 or self.at > self.end:
            raise MalformedError
        return at

    def text(self) -> bytes:
        """A string; none is an empty one."""
        (length,) = self.take(I16)
        at = self.skip(max(length, 0))
        return bytes(self.buffer[at : self.at])

    def each(self) -> range:
        """To go through an array."""
        return range(self.take(I32)[0])


class Fetch(NamedTuple):
    """What a fetch asks for: `places` is (topic, [(partition, offset, bytes_max)])."""

    version: int
    correlation: int
    deadline: float
    bytes_min: int
    bytes_max: int
    places: list[tuple[bytes, list[tuple[int, int, int]]]]


Answer = list[bytes]  # Pieces that go out one after the other.


def _text(text: bytes) -> bytes:
    return I16.pack(len(text)) + text


def _array(items: list[bytes]) -> bytes:
    return I32.pack(len(items)) + b"".join(items)


class Broker:
    """All topics, and the answer to each request."""

    def __init__(
        self,
        topics: dict[str, int],
        log_bytes_max: int = LOG_BYTES_MAX,
        total_bytes_max: int = TOTAL_BYTES_MAX,
        disk: Disk | None = None,
    ) -> None:
        """`topics` gives the partitions of each; without a disk, what memory lacks is forgotten."""
        self.disk = disk
        self.identity = b"tickglass-%x" % secrets.randbits(64)  # Of this log, as a cluster has one.
        self.topics = {
            name.encode(): [Log(self.disk) for _ in range(n)] for name, n in topics.items()
        }
        self.log_bytes_max, self.total_bytes_max = log_bytes_max, total_bytes_max
        self.kept_bytes = 0
        self.committed: dict[tuple[bytes, bytes, int], tuple[int, bytes]] = {}
        self.waiting: dict[Connection, Fetch] = {}
        self.connections: set[Connection] = set()
        self.port = 0
        self._producers = 0
        self.loop = asyncio.get_running_loop()
        self._look_again: asyncio.TimerHandle | None = None
        self._gathering = False
        self.apis: dict[int, Callable[[Request], Answer | None]] = {
            PRODUCE: self._produce,
            LIST_OFFSETS: self._list_offsets,
            METADATA: self._metadata,
            OFFSET_COMMIT: self._offset_commit,
            OFFSET_FETCH: self._offset_fetch,
            FIND_COORDINATOR: self._find_coordinator,
            CREATE_TOPICS: self._create_topics,
            INIT_PRODUCER_ID: self._init_producer_id,
        }

    def log(self, topic: bytes, partition: int) -> Log | None:
        """The log of a partition, if there is such a one."""
        logs = self.topics.get(topic, ())
        return logs[partition] if 0 <= partition < len(logs) else None

    def _produce(self, request: Request) -> Answer | None:
        request.text()  # The transaction.
        acks, _ = request.take(PRODUCE_HEAD)

        def produce(topic: bytes, partition: int, length: int) -> bytes:
            at = request.skip(max(length, 0))
            error, base, start = self._append(topic, partition, request.buffer, at, request.at)
            answer = struct.pack(">ihqq", partition, error, base, -1)
            return answer + I64.pack(start) if request.version >= 5 else answer

        answer = _by_partition(request, II, produce)
        return [*answer, I32.pack(0)] if acks else None

    def _append(
        self, topic: bytes, partition: int, buffer: bytearray, at: int, end: int
    ) -> tuple[int, int, int]:
        """Keep what stands there; error, its base offset and the log's start."""
        log = self.log(topic, partition)
        if log is None:
            return UNKNOWN_TOPIC, -1, -1
        batches, error = _batches(buffer, at, end)
        if error:
            return error, -1, -1
        base = log.end
        for begin, stop, records in batches:
            I64.pack_into(buffer, begin, log.end)  # This and the leader's epoch are not summed.
            I32.pack_into(buffer, begin + BATCH_EPOCH_AT, 0)
            log.append(bytes(memoryview(buffer)[begin:stop]), records)
        self.kept_bytes += end - at
        self._make_room(log)
        if self.waiting and not self._gathering:
            self._gathering = True
            self._look_at(self.loop.time() + GATHER_SECONDS)
        return NONE, base, log.start

    def _make_room(self, log: Log) -> None:
        if log.kept_bytes > self.log_bytes_max:
            self.kept_bytes -= log.shrink(self.log_bytes_max)
        if self.kept_bytes > self.total_bytes_max:
            logs = (log for logs in self.topics.values() for log in logs)
            biggest = max(logs, key=lambda log: len(log.batches) > 1 and log.kept_bytes)
            self.kept_bytes -= biggest.shrink(biggest.kept_bytes - 1)

    def fetch(self, request: Request, correlation: int, client: "Connection") -> Answer | None:
        """The answer, or None: the client will get it when there is enough for it."""
        version = request.version
        _, wait_ms, bytes_min, bytes_max, _ = request.take(FETCH_HEAD)
        if version >= 7:
            request.take(II)  # A session, which we do not offer: every fetch names all it wants.
        form = FETCH_PLACES[9 if version >= 9 else 5 if version >= 5 else 4]
        offset = 2 if version >= 9 else 1
        places = []
        for _ in request.each():
            topic = request.text()
            wanted = [request.take(form) for _ in request.each()]
            places.append((topic, [(place[0], place[offset], place[-1]) for place in wanted]))
        deadline = self.loop.time() + wait_ms / 1000
        fetch = Fetch(version, correlation, deadline, bytes_min, bytes_max, places)
        # While a round of batches comes in, also those who ask in its midst wait for the rest.
        if wait_ms > 0 and (self._gathering or not self._enough(fetch)):
            self.waiting[client] = fetch
            self._look_at(deadline)
            return None
        return self.fetched(fetch)

    def _enough(self, fetch: Fetch) -> bool:
        """Whether there is what it waits for, or an error to be told."""
        found = 0
        for topic, wanted in fetch.places:
            for partition, offset, _ in wanted:
                log = self.log(topic, partition)
                if log is None or not log.start <= offset <= log.end:
                    return True
                found += log.bytes_from(offset)
        return found >= min(fetch.bytes_min, fetch.bytes_max)

    def fetched(self, fetch: Fetch) -> Answer:
        """The answer to a fetch: what there is now."""
        head = struct.pack(">ihi", 0, NONE, 0) if fetch.version >= 7 else I32.pack(0)
        answer = [head, I32.pack(len(fetch.places))]
        left = fetch.bytes_max
        for topic, wanted in fetch.places:
            answer.append(_text(topic) + I32.pack(len(wanted)))
            for partition, offset, bytes_max in wanted:
                log = self.log(topic, partition)
                error, start, end, size = UNKNOWN_TOPIC, -1, -1, 0
                batches: list[bytes] = []
                if log is not None:
                    start, end = log.start, log.end
                    error = NONE if start <= offset <= end else OUT_OF_RANGE
                    if start <= offset < end and left > 0:
                        batches, size = log.read(offset, min(bytes_max, left))
                        left -= size
                # End, and the end of what is not in a transaction; transactions given up: none.
                begin = (start,) if fetch.version >= 5 else ()
                form = ">ihqqqii" if begin else ">ihqqii"
                answer.append(struct.pack(form, partition, error, end, end, *begin, 0, size))
                answer += batches
        return answer

    def _look_at(self, when: float) -> None:
        """Look after the waiting at that time, or earlier: one timer serves them all."""
        if self._look_again is not None:
            if self._look_again.when() <= when:
                return
            self._look_again.cancel()
        self._look_again = self.loop.call_at(when, self._look)

    def _look(self) -> None:
        self._look_again, self._gathering = None, False
        now = self.loop.time()
        for client, fetch in list(self.waiting.items()):
            if fetch.deadline <= now or self._enough(fetch):
                client.end_wait()
        if self.waiting:
            self._look_at(min(fetch.deadline for fetch in self.waiting.values()))

    def _metadata(self, request: Request) -> Answer:
        (count,) = request.take(I32)  # Below 0: all.
        names = [request.text() for _ in range(count)] if count >= 0 else list(self.topics)
        (may_make,) = request.take(BOOL)
        host = I32.pack(NODE) + _text(LOOPBACK.encode()) + struct.pack(">ih", self.port, -1)
        topics = []
        for name in names:
            error = NONE if name in self.topics else UNKNOWN_TOPIC
            if error and may_make:
                error = self._make(name, PARTITIONS_DEFAULT)
            partitions = [
                # Error, partition, leader; one replica and one in sync: the leader.
                struct.pack(">hiiiiii", NONE, partition, NODE, 1, NODE, 1, NODE)
                for partition in range(len(self.topics.get(name, ())))
            ]
            topics.append(I16.pack(error) + _text(name) + b"\0" + _array(partitions))
        cluster = _text(self.identity) + I32.pack(NODE)
        return [I32.pack(0), _array([host]), cluster, _array(topics)]

    def _make(self, topic: bytes, partitions: int, *, really: bool = True) -> int:
        if topic in self.topics:
            return TOPIC_EXISTS
        if not TOPIC.fullmatch(topic) or len(self.topics) >= TOPICS_MAX:
            return INVALID_TOPIC
        if not 0 < partitions <= PARTITIONS_MAX:
            return INVALID_PARTITIONS
        if really:
            self.topics[topic] = [Log(self.disk) for _ in range(partitions)]
        return NONE

    def _create_topics(self, request: Request) -> Answer:
        wanted = []
        for _ in request.each():
            topic, (partitions, _) = request.text(), request.take(MAKE)
            for _ in request.each():  # Who holds which partition: there is one node.
                request.take(I32)
                for _ in request.each():
                    request.take(I32)
            for _ in request.each():  # Settings, of which we have none.
                request.text(), request.text()
            wanted.append((topic, PARTITIONS_DEFAULT if partitions == -1 else partitions))
        _, only_ask = request.take(MAKE_TAIL)
        made = [
            _text(topic) + struct.pack(">hh", self._make(topic, count, really=not only_ask), -1)
            for topic, count in wanted
        ]
        return [I32.pack(0), _array(made)]

    def _list_offsets(self, request: Request) -> Answer:
        request.take(I32)  # The replica that asks: none.
        return _by_partition(request, IQ, self._offset_at)

    def _offset_at(self, topic: bytes, partition: int, time_ms: int) -> bytes:
        log = self.log(topic, partition)
        if log is None:
            return struct.pack(">ihqq", partition, UNKNOWN_TOPIC, -1, -1)
        found = {LATEST: (-1, log.end), EARLIEST: (-1, log.start)}.get(time_ms)
        return struct.pack(">ihqq", partition, NONE, *(found or log.since(time_ms)))

    def _find_coordinator(self, request: Request) -> Answer:
        return [struct.pack(">hi", NONE, NODE), _text(LOOPBACK.encode()), I32.pack(self.port)]

    def _offset_commit(self, request: Request) -> Answer:
        group = request.text()
        request.take(I32), request.text(), request.take(I64)  # A member of it, and for how long.

        def commit(topic: bytes, partition: int, offset: int) -> bytes:
            note = request.text()
            log = self.log(topic, partition)
            if log is None:
                return struct.pack(">ih", partition, UNKNOWN_TOPIC)
            self.committed[group, topic, partition] = offset, note
            log.committed(group, offset, self.loop.time())
            return struct.pack(">ih", partition, NONE)

        return _by_partition(request, IQ, commit)

    def _offset_fetch(self, request: Request) -> Answer:
        group = request.text()

        def committed(topic: bytes, partition: int) -> bytes:
            offset, note = self.committed.get((group, topic, partition), (-1, b""))
            return struct.pack(">iq", partition, offset) + _text(note) + I16.pack(NONE)

        return _by_partition(request, I32, committed)

    def _init_producer_id(self, request: Request) -> Answer:
        self._producers += 1
        return [struct.pack(">ihqh", 0, NONE, self._producers, 0)]


def _batches(buffer: bytearray, at: int, end: int) -> tuple[list[tuple[int, int, int]], int]:
    """(begin, end, records) of the batches that stand there; an error where they are not whole."""
    found = []
    while at < end:
        if end - at < BATCH_HEAD_BYTES:
            return [], CORRUPT
        _, length, _, magic, _, _, last = BATCH.unpack_from(buffer, at)
        stop = at + BATCH_EPOCH_AT + length
        if magic != 2:
            return [], WRONG_FORMAT
        if length < BATCH_HEAD_BYTES - BATCH_EPOCH_AT or stop > end or last < 0:
            return [], CORRUPT
        found.append((at, stop, last + 1))
        at = stop
    return found, NONE if found else CORRUPT


def _by_partition(request: Request, form: struct.Struct, answer: Callable[..., bytes]) -> Answer:
    """Answer of a request that asks topic by topic, partition by partition."""
    topics = []
    for _ in request.each():
        topic = request.text()
        partitions = [answer(topic, *request.take(form)) for _ in request.each()]
        topics.append(_text(topic) + _array(partitions))
    return [_array(topics)]


class Connection(asyncio.BufferedProtocol):
    """One client. Its answers go out in the order of its requests, as the protocol demands."""

    transport: asyncio.Transport

    def __init__(self, broker: Broker) -> None:
        """Serve it from `broker`."""
        self._broker = broker
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came; asyncio itself sends small answers at once (TCP_NODELAY)."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._broker.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits here any more."""
        self._broker.connections.discard(self)
        self._broker.waiting.pop(self, None)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room behind what is not yet served."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Serve the requests that are whole now."""
        self._filled += nbytes
        self._serve()

    def end_wait(self) -> None:
        """Answer the fetch that waits, with what there is."""
        self._send(self._waited())

    def _waited(self) -> Answer:
        fetch = self._broker.waiting.pop(self, None)
        return _framed(fetch.correlation, self._broker.fetched(fetch)) if fetch else []

    def _serve(self) -> None:
        at = 0
        answers: Answer = []
        try:
            while (end := self._request_end(at)) and not self._clogged():
                answers += self._waited()  # No answer may overtake that of an earlier request.
                answers += self._answer(Request(self._buffer, at + I32.size, end))
                at = end
                if len(answers) > PIECES_MAX:
                    self._send(answers)
                    answers = []
        except MalformedError:
            self.transport.abort()
            return
        self._send(answers)
        if at:
            self._view[: self._filled - at] = self._view[at : self._filled]
            self._filled -= at
        if self._clogged():
            self.transport.pause_reading()
            self._broker.loop.call_later(CLOGGED_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._serve()

    def _request_end(self, at: int) -> int:
        """Where the request that begins there ends; 0 while it is not whole, with room for it."""
        if self._filled - at < I32.size:
            return 0
        (length,) = I32.unpack_from(self._buffer, at)
        if not HEAD.size <= length <= REQUEST_BYTES_MAX:
            raise MalformedError
        end = at + I32.size + int(length)
        if end <= self._filled:
            return end
        if end - at > len(self._buffer):
            kept, self._buffer = self._view[: self._filled], bytearray(end)
            self._view = memoryview(self._buffer)
            self._view[: self._filled] = kept
        return 0

    def _answer(self, request: Request) -> Answer:
        api, request.version, correlation = request.take(HEAD)
        request.text()  # The client's name for itself.
        lowest, highest = VERSIONS.get(api, (0, -1))
        if api == API_VERSIONS:  # In a version that we do not have, it is answered in the oldest.
            error = NONE if request.version <= highest else UNSUPPORTED_VERSION
            ranges = [struct.pack(">hhh", key, *those) for key, those in VERSIONS.items()]
            return _framed(correlation, [I16.pack(error), _array(ranges)])
        if not lowest <= request.version <= highest:
            raise MalformedError
        if api == FETCH:
            answer = self._broker.fetch(request, correlation, self)
        else:
            answer = self._broker.apis[api](request)
        return [] if answer is None else _framed(correlation, answer)

    def _send(self, pieces: Answer) -> None:
        if not pieces or self.transport.is_closing():
            return
        if sum(map(len, pieces)) <= JOINED_BYTES_MAX:
            self.transport.write(b"".join(pieces))
        else:
            self.transport.writelines(pieces)

    def _clogged(self) -> bool:
        return self.transport.get_write_buffer_size() > UNSENT_BYTES_MAX


def _framed(correlation: int, answer: Answer) -> Answer:
    return [II.pack(I32.size + sum(map(len, answer)), correlation), *answer]


def serve(  # noqa: PLR0913
    topics: dict[str, int],
    on_ready: Callable[[str], None],
    stop: Stop,
    log_bytes_max: int = LOG_BYTES_MAX,
    total_bytes_max: int = TOTAL_BYTES_MAX,
    disk: Disk | None = None,
) -> None:
    """Serve topics of so many partitions on a free port of loopback, until `stop` is set.

    `on_ready("host:port")` is called once requests are answered.
    """

    async def until_stopped() -> None:
        broker = Broker(topics, log_bytes_max, total_bytes_max, disk)
        server = await broker.loop.create_server(lambda: Connection(broker), LOOPBACK, 0)
        broker.port = server.sockets[0].getsockname()[1]
        settle()
        on_ready(f"{LOOPBACK}:{broker.port}")
        while not stop.set:  # noqa: ASYNC110 (a signal sets it, which wakes no event)
            await asyncio.sleep(STOP_POLL_SECONDS)
        server.close()
        for connection in broker.connections:
            connection.transport.abort()
        await asyncio.sleep(0)  # The connections end in the loop's next round.

    asyncio.run(until_stopped())
