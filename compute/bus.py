"""Door: Redis, the only importer of its client. What it holds can be rebuilt: from Kafka, or files.

`live` appends each delta to a stream whose entry ids are `<epoch>-<sequence>`, so a reader that
holds an image reads on from exactly that id and sees every gap. About once a second the delta
travels in one MULTI with the whole image that includes it, so image, offsets, epoch and sequence
are never torn apart. Ids only rise: who publishes under an older epoch has been superseded, and
is refused.
"""

import asyncio
import json
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from ingest.address import Address, AddressError, parse, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "tickglass:"
DELTAS_MAX = 512  # About 5 s of cuts; a reader further behind takes the image again.
READ_COUNT = 32  # Deltas a read hands over at most; 32 x 300 kB is 10 MB.
PIECE_BYTES = 262_144  # 0.1 ms of Redis's time.
DRAFT_SECONDS = 60  # What its writer could not finish in this time goes.
SOCKET_SECONDS = 2.0
ASKS_MAX = 1_000  # What people ask of `risk` and it has not read; it reads ten times a second.
ASK_BYTES_MAX = 65_536  # A thousand hypothetical trades.
ASK_COUNT = 32  # Asks a read hands over at most.
ANSWER_SECONDS = 20  # How long an answer waits for who asked; ten of 100 kB a second at most.
ANSWER_POLL_SECONDS = 0.02
# What web processes showed waits here for `tape`: a minute of four batches a second, which are
# 1 MB at most (app/screens.py). Who comes later finds a hole, and says so.
SCREENS_MAX = 256
SCREENS_COUNT = 16


# A delta and the image that includes it: both or, where the id is refused, neither.
_PUBLISH = """
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[2], 'd', ARGV[3])
redis.call('SET', KEYS[2], ARGV[4])
"""


# A worker's word that it lives, and its leases of shards (compute/share.py), on Redis's clock. A
# member is `<role>/<moment of its start>`; a lease is `<member> <end>`.
_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me = ARGV[1] .. '/' .. ARGV[2]
"""
_RENEW = f"""{_CLOCK}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local role, began = member:match('^(.*)/(%d+)$')
  if role == ARGV[1] and tonumber(began) < tonumber(ARGV[2]) then
    redis.call('ZREM', KEYS[1], member)
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[3], me)
for i = 4, #ARGV do
  local lease = redis.call('HGET', KEYS[2], ARGV[i])
  if not lease or lease:match('^(%S+) ') == me then
    redis.call('HSET', KEYS[2], ARGV[i], me .. ' ' .. (now + ARGV[3]))
  end
end
local owners, leases = {{}}, redis.call('HGETALL', KEYS[2])
for i = 1, #leases, 2 do
  local owner, ends = leases[i + 1]:match('^(%S+) (%d+)$')
  if tonumber(ends) > now then
    owners[#owners + 1] = leases[i]
    owners[#owners + 1] = owner
  end
end
return {{redis.call('ZRANGE', KEYS[1], 0, -1), owners}}
"""
_TAKE = f"""{_CLOCK}
local lease = redis.call('HGET', KEYS[1], ARGV[4])
if lease then
  local owner, ends = lease:match('^(%S+) (%d+)$')
  local role, began = owner:match('^(.*)/(%d+)$')
  local former = role == ARGV[1] and tonumber(began) <= tonumber(ARGV[2])
  if tonumber(ends) > now and not former then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[4], me .. ' ' .. (now + ARGV[3]))
return 1
"""
_LET_GO = """
local me = ARGV[1] .. '/' .. ARGV[2]
for i = 4, #ARGV do
  local lease = redis.call('HGET', KEYS[2], ARGV[i])
  if lease and lease:match('^(%S+) ') == me then redis.call('HDEL', KEYS[2], ARGV[i]) end
end
if ARGV[3] == 'leave' then redis.call('ZREM', KEYS[1], me) end
"""
# Those of a member that has died, seen by who knows. Where nobody else is left to take its shards
# the leases stay: its successor takes what was its own at once.
_BURY = """
local function dead(name)
  local role, began = name:match('^(.*)/(%d+)$')
  return role == ARGV[1] and tonumber(began) <= tonumber(ARGV[2])
end
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if dead(member) then redis.call('ZREM', KEYS[1], member) end
end
if redis.call('ZCARD', KEYS[1]) == 0 then return end
local leases = redis.call('HGETALL', KEYS[2])
for i = 1, #leases, 2 do
  if dead(leases[i + 1]:match('^(%S+) ')) then redis.call('HDEL', KEYS[2], leases[i]) end
end
"""


class BusError(RuntimeError):
    """Redis does not answer or refuses; the text says what, where and what to do."""


class SupersededError(BusError):
    """Another process publishes under a later epoch: this one slept through its replacement."""


_PATIENCE = ("socket_timeout", "socket_connect_timeout", "retry")


def _client(url: str, library: Any, **options: Any) -> Any:
    """A client of the server at `url`, or of the primary that its sentinels name."""
    try:
        place = parse(url)
        options |= {"username": place.user or None, "password": place.password or None}
    except AddressError as error:
        raise BusError(f"Redis at {shown(url)}: {error}") from None
    encrypted = _encryption(place)
    if not place.scheme.endswith("+sentinel"):
        return library.Redis.from_url(place.bare, **options, **encrypted)
    service, _, database = place.path.strip("/").partition("/")
    sentinels = [(host, int(port)) for host, _, port in (h.rpartition(":") for h in place.hosts)]
    encrypted |= {"ssl": True} if place.encrypted else {}
    # Sentinels have a secret of their own, or none; patience with them is that with the server.
    patience = {name: options[name] for name in _PATIENCE} | encrypted
    options |= {"db": int(database or 0)} | encrypted
    found = library.sentinel.Sentinel(sentinels, sentinel_kwargs=patience, **options)
    return found.master_for(service)


def _encryption(place: Address) -> dict[str, Any]:
    """The client's words for the files that an address names."""
    names = {"ca": "ssl_ca_certs", "certificate": "ssl_certfile", "key": "ssl_keyfile"}
    return {names[name]: path for name, path in place.files.items() if name in names}


def _verb(error: Exception) -> str:
    return "refuses" if isinstance(error, redis.ResponseError) else "does not answer"


def _key(kind: str, worker: int = 0) -> str:
    return f"{PREFIX}{kind}:{worker}"


def _sentinels(client: Any) -> list[Any]:
    """The clients that a client of a primary asks where that is."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


class Bus:
    """The synchronous side: `live`, `record`, `risk` and the supervisor."""

    def __init__(self, url: str) -> None:
        """Connect lazily to `url`, for example redis://127.0.0.1:6379/0."""
        self.url = url
        self._redis: redis.Redis = _client(
            url,
            redis,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._publish = self._redis.register_script(_PUBLISH)
        self._renew = self._redis.register_script(_RENEW)
        self._take = self._redis.register_script(_TAKE)
        self._let_go = self._redis.register_script(_LET_GO)
        self._bury = self._redis.register_script(_BURY)

    @contextmanager
    def _door(self) -> "Iterator[None]":
        try:
            yield
        except redis.RedisError as error:
            if "equal or smaller" in str(error):
                raise SupersededError(
                    f"Redis at {shown(self.url)} has deltas of a later epoch ({error}): another "
                    "process has taken over. End one of the two."
                ) from None
            raise BusError(
                f"Redis at {shown(self.url)} {_verb(error)} ({error}). Check address and server."
            ) from None

    def ping(self) -> None:
        """BusError unless Redis answers."""
        with self._door():
            self._redis.ping()

    def server(self) -> tuple[dict[str, Any], int]:
        """What Redis tells of itself (INFO), and its clock in ns; BusError unless it answers."""
        with self._door():
            told: Any = self._redis.info()
            moment: Any = self._redis.time()
        seconds, micros = moment
        return dict(told), seconds * 10**9 + micros * 1_000

    def publish(
        self, worker: int, epoch: int, sequence: int, delta: bytes, image: bytes | None = None
    ) -> None:
        """One atomic step: the delta, and the image that includes it if given.

        SupersededError, and nothing is changed, where a later epoch has begun.
        """
        entry: dict[Any, Any] = {b"d": delta}
        name, entry_id = _key("deltas", worker), f"{epoch}-{sequence}"
        with self._door():
            if image is None:
                self._redis.xadd(name, entry, entry_id, maxlen=DELTAS_MAX, approximate=True)
                return
            keys = [name, _key("image", worker)]
            self._publish(keys, [DELTAS_MAX, entry_id, delta, image])

    def save(self, worker: int, checkpoint: bytes | memoryview) -> None:
        """Keep an engine's checkpoint, whole or not at all; safe to call from another thread.

        It goes in pieces, because Redis does one thing at a time and deltas must not wait for it.
        """
        # A name of our own: two that overlap must not write into one draft.
        draft = _key(f"checkpoint.draft.{secrets.token_hex(4)}", worker)
        with self._door():
            for start in range(0, len(checkpoint), PIECE_BYTES):
                self._redis.append(draft, checkpoint[start : start + PIECE_BYTES])
                self._redis.expire(draft, DRAFT_SECONDS)
            step = self._redis.pipeline(transaction=True)
            step.persist(draft)
            step.rename(draft, _key("checkpoint", worker))
            step.execute()

    def checkpoint(self, worker: int = 0) -> bytes | None:
        """The newest engine checkpoint of a worker, if there is one."""
        with self._door():
            return self._redis.get(_key("checkpoint", worker))  # type: ignore[return-value]

    def last_epoch(self, worker: int = 0) -> int:
        """Epoch of the newest delta on the stream, 0 if there is none."""
        with self._door():
            newest: list = self._redis.xrevrange(_key("deltas", worker), count=1)  # type: ignore[assignment]
        return int(newest[0][0].split(b"-")[0]) if newest else 0

    def image(self, worker: int = 0) -> bytes | None:
        """The newest image of a worker, if there is one."""
        with self._door():
            return self._redis.get(_key("image", worker))  # type: ignore[return-value]

    def deltas(
        self, epoch: int, sequence: int, worker: int = 0, wait_s: float = 0.0
    ) -> list[tuple[int, int, bytes]]:
        """The (epoch, sequence, frame) after the given one, READ_COUNT at most.

        Without any it waits at most `wait_s`, below SOCKET_SECONDS, and answers an empty list.
        """
        name, last = _key("deltas", worker), f"{epoch}-{sequence}"
        block = max(1, round(wait_s * 1e3)) if wait_s > 0 else None  # Redis waits for ever at 0.
        with self._door():
            return _entries(self._redis.xread({name: last}, READ_COUNT, block=block) or {})

    def deltas_of(
        self, places: Mapping[int, tuple[int, int]], wait_s: float
    ) -> dict[int, list[tuple[int, int, bytes]]]:
        """As `deltas`, of several workers: `places` is (epoch, sequence) by worker.

        Waits only while none of them has any.
        """
        names = {_key("deltas", worker).encode(): worker for worker in places}
        last: Any = {_key("deltas", worker): f"{e}-{s}" for worker, (e, s) in places.items()}
        with self._door():
            answer: Any = self._redis.xread(last, READ_COUNT, block=max(1, round(wait_s * 1e3)))
        pairs = answer.items() if isinstance(answer, dict) else answer or []
        return {names[name]: _entries({name: rows}) for name, rows in pairs}

    # Workers that share the partitions (compute/share.py)

    def renew(
        self, group: str, member: tuple[str, int], lease_s: float, held: Iterable[int]
    ) -> tuple[list[str], dict[int, str]]:
        """Say that `member` (role, moment of its start) lives, and renew its leases of shards.

        Answers all members, and the owner of every shard whose lease has not run out.
        """
        keys = [f"{PREFIX}members:{group}", f"{PREFIX}leases:{group}"]
        with self._door():
            members, owners = self._renew(keys, [*member, round(lease_s * 1e3), *held])
        pairs = zip(owners[::2], owners[1::2], strict=True)
        return sorted(one.decode() for one in members), {int(n): o.decode() for n, o in pairs}

    def take_shard(self, group: str, member: tuple[str, int], lease_s: float, number: int) -> bool:
        """Lease a shard that nobody has, or a former process of the same role; whether we did."""
        arguments = [*member, round(lease_s * 1e3), number]
        with self._door():
            return bool(self._take([f"{PREFIX}leases:{group}"], arguments))

    def let_go(
        self, group: str, member: tuple[str, int], numbers: Iterable[int], *, leave: bool = False
    ) -> None:
        """Give leases back at once; `leave`: and be no member any more."""
        keys = [f"{PREFIX}members:{group}", f"{PREFIX}leases:{group}"]
        with self._door():
            self._let_go(keys, [*member, "leave" if leave else "stay", *numbers])

    def bury(self, group: str, role: str, until_ms: int) -> None:
        """All processes of that role that began until then are dead: others may have what they had.

        Only for who knows it for sure, as a parent does; else leases run out.
        """
        with self._door():
            self._bury([f"{PREFIX}members:{group}", f"{PREFIX}leases:{group}"], [role, until_ms])

    def swap_legs(self, mine: Mapping[int, bytes]) -> dict[int, bytes]:
        """Tell the legs of currencies that we have, by instrument; all there are."""
        step = self._redis.pipeline(transaction=False)
        if mine:
            step.hset(f"{PREFIX}legs", mapping={str(row): data for row, data in mine.items()})
        step.hgetall(f"{PREFIX}legs")
        with self._door():
            found: Any = step.execute()[-1]
        return {int(row): data for row, data in found.items()}

    def desks(self) -> dict[str, bytes]:
        """The desks that people have kept (app/keeping.py), by key."""
        with self._door():
            rows: Any = self._redis.hgetall(f"{PREFIX}desks")
        return {key.decode(): data for key, data in rows.items()}

    def keep_desk(self, key: str, data: bytes) -> None:
        """Keep one in place of what had its key."""
        with self._door():
            self._redis.hset(f"{PREFIX}desks", key, data)

    def set_reference(self, data: bytes) -> None:
        """The reference rows as one JSON array, for `risk` and web processes."""
        with self._door():
            names = (f"{PREFIX}reference", f"{PREFIX}reference.stamp")
            self._redis.mset(dict(zip(names, (data, zlib.crc32(data)), strict=True)))

    def reference(self) -> bytes | None:
        """The reference rows, if there are any."""
        with self._door():
            return self._redis.get(f"{PREFIX}reference")  # type: ignore[return-value]

    def reference_stamp(self) -> bytes | None:
        """What differs when the reference rows do; to be asked often."""
        with self._door():
            return self._redis.get(f"{PREFIX}reference.stamp")  # type: ignore[return-value]

    def set_names(self, data: bytes) -> None:
        """What the numbers of groups, books and limits mean, as one JSON object."""
        with self._door():
            self._redis.set(f"{PREFIX}names", data)

    def set_alerts(self, data: bytes) -> None:
        """The alerts that stand and the newest that are over, as one JSON array."""
        with self._door():
            self._redis.set(f"{PREFIX}alerts", data)

    def put_screens(self, head: bytes, body: bytes) -> None:
        """Hand a batch on to the tape; see AsyncBus."""
        with self._door():
            self._redis.xadd(f"{PREFIX}screens", {"h": head, "b": body}, maxlen=SCREENS_MAX)

    def asks(self, last_id: str) -> list[tuple[str, bytes]]:
        """(id, JSON) of what people asked after that id, ASK_COUNT at most; does not wait.

        An id is `<ms>-<number>`, in the order in which they were asked, on Redis's clock.
        """
        with self._door():
            found = self._redis.xread({f"{PREFIX}asks": last_id}, ASK_COUNT)
        return [(ask_id.decode(), fields.get(b"a", b"")) for ask_id, fields in _rows(found or {})]

    def answer(self, ask: str, data: bytes) -> None:
        """Keep the answer to an ask of that name for ANSWER_SECONDS."""
        with self._door():
            self._redis.set(f"{PREFIX}answers:{ask}", data, ex=ANSWER_SECONDS)

    def notes(self) -> dict[str, bytes]:
        """What was told beside the tables, by name: `names` and `alerts`, where there are any."""
        names = ("names", "alerts")
        with self._door():
            found: Any = self._redis.mget([PREFIX + name for name in names])
        return {name: data for name, data in zip(names, found, strict=True) if data}

    def screens(self, last_id: str) -> list[tuple[str, bytes, bytes]]:
        """(id, head, body) of what web processes showed after that id; does not wait."""
        with self._door():
            found = self._redis.xread({f"{PREFIX}screens": last_id}, SCREENS_COUNT)
        rows = _rows(found or {})
        return [(name.decode(), row.get(b"h", b""), row.get(b"b", b"")) for name, row in rows]

    def report(self, role: str, health: dict[str, Any]) -> bool:
        """Say how a process is; `health` must have `now_ms`. True: Redis did not know the role.

        Then it is empty, or has forgotten what it was told, and is to be told all again.
        """
        with self._door():
            return bool(self._redis.hset(f"{PREFIX}health", role, json.dumps(health)))

    def health(self) -> dict[str, dict[str, Any]]:
        """The newest report of every process, by role."""
        with self._door():
            rows: Any = self._redis.hgetall(f"{PREFIX}health")
        return {role.decode(): json.loads(data) for role, data in rows.items()}

    def beat(self, role: str, beat: dict[str, Any]) -> None:
        """Tell a heartbeat (app/heartbeat.py)."""
        with self._door():
            self._redis.hset(f"{PREFIX}beats", role, json.dumps(beat))

    def beats(self) -> dict[str, dict[str, Any]]:
        """The newest heartbeat of every process, by role."""
        with self._door():
            rows: Any = self._redis.hgetall(f"{PREFIX}beats")
        return {role.decode(): json.loads(data) for role, data in rows.items()}

    def dismiss(self, roles: list[str]) -> None:
        """Forget what these processes told of themselves: they have ended for good."""
        with self._door():
            self._redis.hdel(f"{PREFIX}beats", *roles)
            self._redis.hdel(f"{PREFIX}health", *roles)

    def keep_once(self, mark: str, data: bytes, seconds: int) -> None:
        """Keep something that may be taken once, for so long."""
        with self._door():
            self._redis.set(f"{PREFIX}once:{mark}", data, ex=seconds)

    def take_once(self, mark: str) -> bytes | None:
        """Take it, so that nobody takes it again."""
        with self._door():
            data: Any = self._redis.getdel(f"{PREFIX}once:{mark}")
        return data if data is None else bytes(data)

    def sign_out(self, person: str, ts_s: float) -> None:
        """Whoever signed in before is signed out."""
        with self._door():
            self._redis.hset(f"{PREFIX}signed_out", person, ts_s)

    def signed_out(self) -> dict[str, float]:
        """All that were, and when."""
        with self._door():
            rows: Any = self._redis.hgetall(f"{PREFIX}signed_out")
        return {person.decode(): float(ts) for person, ts in rows.items()}

    def started(self, role: str) -> int:
        """Count a start of a role; how many this Redis knows of."""
        with self._door():
            return int(self._redis.hincrby(f"{PREFIX}starts", role, 1))

    def close(self) -> None:
        """Leave."""
        for client in (self._redis, *_sentinels(self._redis)):
            client.close()


class AsyncBus:
    """The asynchronous side: a web process reads here, in its server's own loop."""

    def __init__(self, url: str) -> None:
        """Connect lazily."""
        self.url = url
        # A server that is gone without a word, or stands still, is left after SOCKET_SECONDS.
        self._redis: redis.asyncio.Redis = _client(
            url,
            redis.asyncio,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=AsyncRetry(NoBackoff(), 0),
        )

    async def image(self, worker: int = 0) -> bytes | None:
        """The newest image, if there is one. BusError where Redis does not answer."""
        data: bytes | None = await self._ask(self._redis.get(_key("image", worker)))
        return data

    async def reference(self) -> bytes | None:
        """The reference rows, if there are any."""
        data: bytes | None = await self._ask(self._redis.get(f"{PREFIX}reference"))
        return data

    async def names(self) -> bytes | None:
        """What the numbers of groups, books and limits mean, if `risk` has told."""
        data: bytes | None = await self._ask(self._redis.get(f"{PREFIX}names"))
        return data

    async def alerts(self) -> bytes | None:
        """The alerts that stand and the newest that are over, if `risk` has told: a JSON array."""
        data: bytes | None = await self._ask(self._redis.get(f"{PREFIX}alerts"))
        return data

    async def ask_risk(self, message: dict[str, Any]) -> str:
        """Ask something of `risk` (compute/ask.py says what); the id that Redis gave it.

        ValueError where it is longer than ASK_BYTES_MAX.
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > ASK_BYTES_MAX:
            raise ValueError(f"an ask of {len(data):,} bytes; {ASK_BYTES_MAX:,} is the limit")
        entry: dict[Any, Any] = {b"a": data}
        given = await self._ask(
            self._redis.xadd(f"{PREFIX}asks", entry, maxlen=ASKS_MAX, approximate=True)
        )
        return str(given.decode())

    async def answer(self, ask: str, seconds: float = SOCKET_SECONDS) -> dict[str, Any] | None:
        """The answer to the ask with that `id`, waited for at most `seconds`; None without one."""
        deadline = time.monotonic() + seconds
        while True:
            data = await self._ask(self._redis.get(f"{PREFIX}answers:{ask}"))
            if data is not None:
                return dict(json.loads(data))
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(ANSWER_POLL_SECONDS)

    async def health(self) -> dict[str, dict[str, Any]]:
        """The newest report of every process, by role."""
        rows = await self._ask(self._redis.hgetall(f"{PREFIX}health"))
        return {role.decode(): json.loads(data) for role, data in rows.items()}

    async def beats(self) -> dict[str, dict[str, Any]]:
        """The newest heartbeat of every process, by role."""
        rows = await self._ask(self._redis.hgetall(f"{PREFIX}beats"))
        return {role.decode(): json.loads(data) for role, data in rows.items()}

    async def put_screens(self, head: bytes, body: bytes) -> None:
        """Hand a batch of what was shown to `tape`."""
        entry: dict[Any, Any] = {b"h": head, b"b": body}
        name = f"{PREFIX}screens"
        await self._ask(self._redis.xadd(name, entry, maxlen=SCREENS_MAX, approximate=False))

    async def report(self, role: str, health: dict[str, Any]) -> None:
        """Say how this process is."""
        await self._ask(self._redis.hset(f"{PREFIX}health", role, json.dumps(health)))

    async def deltas(
        self, epoch: int, sequence: int, worker: int = 0
    ) -> AsyncIterator[list[tuple[int, int, bytes]]]:
        """Lists of (epoch, sequence, frame) after the given one, as they come.

        An empty list means that a second passed with nothing; BusError that Redis does not answer.
        """
        name, last = _key("deltas", worker), f"{epoch}-{sequence}"
        while True:
            answer = await self._ask(self._redis.xread({name: last}, READ_COUNT, block=1000))
            if not answer:
                yield []
                continue
            entries = _entries(answer)
            yield entries
            last = f"{entries[-1][0]}-{entries[-1][1]}"

    async def _ask(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        # asyncio's transport raises AttributeError where it is written to after a reset; the
        # client has left that connection by then.
        except (redis.RedisError, OSError, AttributeError) as error:
            raise BusError(f"Redis at {shown(self.url)} {_verb(error)} ({error}).") from None

    async def close(self) -> None:
        """Leave."""
        for client in (self._redis, *_sentinels(self._redis)):
            await client.aclose()


def _entries(answer: Any) -> list[tuple[int, int, bytes]]:
    found = []
    for entry_id, fields in _rows(answer):
        epoch, sequence = entry_id.split(b"-")
        found.append((int(epoch), int(sequence), fields[b"d"]))
    return found


def _rows(answer: Any) -> "Iterator[tuple[bytes, dict[bytes, bytes]]]":
    # RESP2 answers [[name, entries]], RESP3 {name: [entries]}.
    streams = answer.values() if isinstance(answer, dict) else [rows for _, rows in answer]
    for rows in streams:
        yield from rows[0] if rows and isinstance(rows[0], list) else rows
