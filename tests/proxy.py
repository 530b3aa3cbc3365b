"""Rule of the wire: a TCP proxy before a server on loopback, that can do what networks do.

It stands between one client and one server (or the brokers of one Kafka) and forwards bytes in
order. From its own thread it can delay them, stand still, cut all connections, or leave them half
open: both ends still see a connection, on which nothing ever arrives again. It knows bytes only;
of Kafka it knows where a broker says its own address, because clients go wherever that names.

    with Proxy("redis://127.0.0.1:6379/0") as proxy:
        client = connect(proxy.address)  # The same words with the proxy's port.
        proxy.delay(50, jitter_ms=20)
        proxy.stall()
        proxy.cut()
        proxy.half_open()
        proxy.heal()
"""

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
PLACE = re.compile(rf"{re.escape(HOST)}:(\d+)")
CHUNK_BYTES = 65_536
# What is on its way while it is delayed: 16 MB, 160 MB/s at 100 ms. Behind that senders wait.
CHUNKS_MAX = 256
START_SECONDS = 10.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close that throws away what is under way, and RST.


class Proxy:
    """Listens for as long as its context lasts; one port for each server named in `target`."""

    def __init__(self, target: str, *, kafka: bool = False, seed: int = 0) -> None:
        """`target` is an address in any form in which 127.0.0.1:PORT stands, once or more.

        `kafka`: these are brokers, which say their addresses to clients.
        """
        self._target, self._kafka = target, kafka
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []
        self._ports: dict[int, int] = {}  # Ours by the server's.
        self._links: set[_Link] = set()
        self.connections = 0  # That were ever opened.
        self._delay_s = self._jitter_s = 0.0
        self._flowing: asyncio.Event
        self._cut = self._half_open = False

    # What a network does; each holds, also for connections to come, until `heal`.

    def delay(self, ms: float, jitter_ms: float = 0.0) -> None:
        """Every byte takes so much longer, each way; bytes stay in order, as TCP's do."""
        self._delay_s, self._jitter_s = ms / 1e3, jitter_ms / 1e3

    def stall(self) -> None:
        """Nothing passes, and nothing is lost: what TCP makes of packets that get lost."""
        self._call(self._stall())

    def cut(self) -> None:
        """Both ends of every connection are reset, and so is whoever connects."""
        self._call(self._cut_all())

    def half_open(self) -> None:
        """What is sent is taken and never arrives; neither end is told, neither is closed.

        A connection that this befell stays so after `heal`, as one does whose other end has
        forgotten it: only a client that gives up waiting, and connects anew, gets on.
        """
        self._call(self._swallow_all())

    def heal(self) -> None:
        """All is well for new connections, and for old ones that still are whole."""
        self._delay_s = self._jitter_s = 0.0
        self._call(self._heal())

    @property
    def address(self) -> str:
        """`target` with our ports."""
        return PLACE.sub(lambda found: f"{HOST}:{self._ports[int(found[1])]}", self._target)

    @property
    def open(self) -> int:
        """Connections that a client has open at this moment, half open ones too."""
        return sum(not link.left for link in tuple(self._links))

    # The thread

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Reset what is open and end."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)

    async def _listen(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        for port in map(int, PLACE.findall(self._target)):
            server = await asyncio.start_server(partial(self._serve, port), HOST, 0)
            self._servers.append(server)
            self._ports[port] = server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [link.task for link in self._links if link.task]
        await self._cut_all()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stall(self) -> None:
        self._flowing.clear()

    async def _cut_all(self) -> None:
        self._cut = True
        for link in tuple(self._links):
            link.reset()
            if link.task:
                link.task.cancel()

    async def _swallow_all(self) -> None:
        self._half_open = True
        for link in self._links:
            link.dead = True

    async def _heal(self) -> None:
        self._cut = self._half_open = False
        self._flowing.set()

    # One connection

    async def _serve(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link = _Link(self, writer, dead=self._half_open)
        self._links.add(link)
        self.connections += 1
        try:
            if not self._cut:
                await self._join(link, port, reader)
        except* OSError:
            pass  # One end is gone: the other is told below.
        finally:
            link.reset()
            self._links.discard(link)

    async def _join(self, link: "_Link", port: int, reader: asyncio.StreamReader) -> None:
        if link.dead:
            async for _ in link.asked(reader):
                pass
            return
        theirs, link.server = await asyncio.open_connection(HOST, port)
        answers = self._renamed(theirs) if self._kafka else _chunks(theirs)
        async with asyncio.TaskGroup() as group:
            link.carry(group, link.asked(reader), link.server)
            link.carry(group, answers, link.client)
        link.client.close()  # After what still waits to be sent, unlike a reset.
        link.server.close()

    async def _renamed(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Kafka's answers, whole, with our ports where brokers say theirs: host, then port."""
        host = HOST.encode()
        names = {
            host + struct.pack(">i", port): host + struct.pack(">i", own)
            for port, own in self._ports.items()
        }
        with contextlib.suppress(asyncio.IncompleteReadError):  # The end.
            while True:
                size = await reader.readexactly(4)
                body = await reader.readexactly(*struct.unpack(">i", size))
                for name, own in names.items():
                    body = body.replace(name, own)
                yield size + body

    def due(self, before: float) -> float:
        """When what was just read is to be handed on, after what was due `before`."""
        late = self._delay_s + self._random.uniform(-self._jitter_s, self._jitter_s)
        return max(before, self._loop.time() + late)

    async def flowing(self) -> None:
        """Wait while nothing passes."""
        await self._flowing.wait()


class _Link:
    """A client's connection and the one to the server behind it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, *, dead: bool) -> None:
        self.proxy, self.client, self.dead = proxy, client, dead
        self.server: asyncio.StreamWriter | None = None
        self.left = False  # The client has closed its end.
        self.task = asyncio.current_task()

    async def asked(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """What the client sends."""
        try:
            async for chunk in _chunks(reader):
                yield chunk
        finally:
            self.left = True

    def carry(
        self, group: asyncio.TaskGroup, chunks: AsyncIterator[bytes], to: asyncio.StreamWriter
    ) -> None:
        """Hand on what comes, late where it is delayed; then the end of it."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
        group.create_task(self._take(chunks, waiting))
        group.create_task(self._hand_on(waiting, to))

    async def _take(
        self, chunks: AsyncIterator[bytes], waiting: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        due = 0.0
        async for chunk in chunks:
            due = self.proxy.due(due)
            await waiting.put((due, chunk))
        await waiting.put((self.proxy.due(due), b""))

    async def _hand_on(
        self, waiting: asyncio.Queue[tuple[float, bytes]], to: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await waiting.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            await self.proxy.flowing()
            if not chunk:
                break
            if not self.dead:
                to.write(chunk)
                await to.drain()
        if not self.dead:
            to.write_eof()

    def reset(self) -> None:
        """Throw away what is under way and tell both ends."""
        for writer in (self.client, self.server):
            if writer is not None and not writer.transport.is_closing():
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await reader.read(CHUNK_BYTES):
        yield chunk
