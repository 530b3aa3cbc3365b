"""Stand-in for a ClickHouse server: the chDB engine behind ClickHouse's own HTTP interface.

In: ClickHouse's HTTP requests (`query` in the URL or the body, `param_x`, settings, any format).
Out: the engine's answers and errors, in ClickHouse's words. `clickhouse-connect` cannot tell it
from a server, so nothing else in the product knows that it exists. A process of its own.

An insert costs the product more than all else together, so its body is never joined or copied
again: pieces go from the socket to the engine in order, on the one connection that writes.
Reads have connections of their own and never wait for a write.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import functools
import gzip
import json
import os
import re
import signal
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from tornado.httpserver import HTTPServer
from tornado.httputil import parse_body_arguments
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, stream_request_body

READERS = 4  # Connections for reads: a page's chart, an audit, a bench and one to spare.
BODY_BYTES_MAX = 2 << 30  # One insert: two million rows are 300 MB.
HEAD_BYTES_MAX = 1 << 16  # An INSERT statement without its data.
PIECE_BYTES = 1 << 20  # One read of the socket; fits the second-level cache on its way through.
HEAP_BYTES_KEPT = 1 << 29  # The pieces of a body go where those of the last one were.
STOP_SECONDS_MAX = 1.5  # Then the process ends as a kill would: whole blocks stay, halves do not.

# What the HTTP server of ClickHouse keeps to itself; every other argument is a setting.
TRANSPORT = frozenset(
    (
        *(
            "query",
            "database",
            "default_format",
            "query_id",
            "session_id",
            "session_timeout",
        ),
        *(
            "session_check",
            "quota_key",
            "role",
            "user",
            "password",
            "compress",
            "decompress",
        ),
        *("wait_end_of_query", "buffer_size", "client_protocol_version"),
        *("enable_http_compression", "http_headers_progress_interval_ms"),
        *(
            "send_progress_in_http_headers",
            "cancel_http_readonly_queries_on_client_close",
        ),
    )
)
# Formats without head or foot: their pieces, one after the other, are the whole.
STREAMED = frozenset(("Native", "RowBinary", "TabSeparated", "TSV", "CSV", "JSONEachRow"))

EXCEPTION_TAG = "tickglass-broke-off"  # Marks an error in mid-answer; the header announces it.

INSERT = re.compile(rb"\s*INSERT\s+INTO\s", re.IGNORECASE)
INSERT_HEAD = re.compile(
    rb"(?P<into>\s*INSERT\s+INTO\s+(?:(?!\bVALUES\b|\bSELECT\b|\bFORMAT\b).)+?)"
    rb"(?:\s+SETTINGS\s+(?P<settings>(?:(?!\bFORMAT\b).)+?))?"
    rb"\s+FORMAT\s+(?P<format>\w+)[ \t;]*(?:\r?\n|$)",
    re.IGNORECASE | re.DOTALL,
)
SELECT = re.compile(r"\s*(?:SELECT|WITH|\()", re.IGNORECASE)
FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\s[^']*)?;?\s*$", re.IGNORECASE)
SETTING = re.compile(r"[A-Za-z_]\w*$")
CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
# What only a read ends with, one whose reader has left: no insert's own.
OF_READS = frozenset((394, 696))  # QUERY_WAS_CANCELLED, loading of marks was cancelled
STATUS = {60: 404, 81: 404, 46: 404, 62: 400, 115: 400, 457: 400, 36: 400, 241: 503}


class ServeError(RuntimeError):
    """The stand-in cannot start: the text says what, where and what to do."""


class QueryError(Exception):
    """The engine refused a query; the text is ClickHouse's own."""

    def __init__(self, text: str) -> None:
        """Keep the text from its last `Code:` prefix on, without the engine's wrappers."""
        found = CODE.search(text)
        super().__init__(text[found.start() :] if found else text)
        self.code = int(found[1]) if found else 1002  # UNKNOWN_EXCEPTION
        self.status = STATUS.get(self.code, 500)


class Engine:
    """One chDB engine on a folder: a connection that writes and READERS that read."""

    def __init__(self, data_dir: Path) -> None:
        """Open the folder; ServeError if it cannot be written or another process has it."""
        self._lock = _lock(data_dir)
        import chdb

        try:
            self._writer = chdb.connect(str(data_dir))
            self._all = [chdb.connect(str(data_dir)) for _ in range(READERS)]
        except RuntimeError as error:
            raise ServeError(
                f"ClickHouse's data folder {data_dir} cannot be opened: {error}. "
                "Name another folder, or move this one away"
            ) from None
        self._readers: asyncio.Queue[Any] = asyncio.LifoQueue()  # The one that is warm first.
        for reader in self._all:
            self._readers.put_nowait(reader)
        self._write = ThreadPoolExecutor(1, "insert")
        self._read = ThreadPoolExecutor(READERS, "read")

    async def insert(
        self,
        head: bytes,
        pieces: list[bytes],
        settings: dict[str, str],
        gone: Callable[[], bool],
    ) -> int:
        """Rows written by an `INSERT ... FORMAT x` with its data, all or (on QueryError) none.

        `gone()` tells that the client left: an insert that nobody waits for is not begun, so
        that what a dead client sent can never land after its successor has looked.
        """
        loop = asyncio.get_running_loop()
        work = functools.partial(_insert, self._writer, head, pieces, settings, gone)
        return await loop.run_in_executor(self._write, work)

    @contextlib.asynccontextmanager
    async def select(
        self, query: str, settings: dict[str, str], params: dict[str, str], form: str
    ) -> Any:
        """An async iterator over the pieces of a query's answer."""
        reader = await self._readers.get()
        loop = asyncio.get_running_loop()
        pieces: Iterator[bytes] = iter(())
        try:
            pieces = _answer(reader, query, settings, params, form)
            yield functools.partial(loop.run_in_executor, self._read, next, pieces, None)
        finally:
            # The engine drops the rest of an answer that is not read to its end.
            await loop.run_in_executor(self._read, pieces.close)  # type: ignore[attr-defined]
            self._readers.put_nowait(reader)

    async def answer(
        self, query: str, settings: dict[str, str], params: dict[str, str], form: str
    ) -> bytes:
        """The whole answer at once, for a client that says it is small (`wait_end_of_query`).

        The engine then makes it where it is asked for: a third of the time of a stream that ends
        with its first piece.
        """
        reader = await self._readers.get()
        loop = asyncio.get_running_loop()
        try:
            made = functools.partial(_answer, reader, query, settings, params, form, whole=True)
            return await loop.run_in_executor(self._read, lambda: b"".join(made()))
        finally:
            self._readers.put_nowait(reader)

    async def execute(self, query: str, settings: dict[str, str], params: dict[str, str]) -> bytes:
        """Answer of a statement that changes something; in line with the inserts."""
        loop = asyncio.get_running_loop()
        run = functools.partial(_answer, self._writer, query, settings, params, "TabSeparated")
        return await loop.run_in_executor(self._write, lambda: b"".join(run()))

    def close(self) -> None:
        """Wait for the insert that runs, then let the folder go."""
        self._write.shutdown(wait=True, cancel_futures=True)
        for connection in (*self._all, self._writer):
            connection.close()
        self._lock.close()


def _lock(data_dir: Path) -> IO[str]:
    """The folder's lock, held while the file is open; it names its holder."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "tickglass.lock").open("a+")
    except OSError as error:
        raise ServeError(
            f"ClickHouse's data folder {data_dir} cannot be written "
            f"({os.strerror(error.errno or 0).lower()}): make it writable or name another"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise ServeError(
            f"ClickHouse's data folder {data_dir} is in use by process {holder}: "
            "stop that one or name another folder"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _insert(
    writer: Any,
    head: bytes,
    pieces: list[bytes],
    settings: dict[str, str],
    gone: Callable[[], bool],
) -> int:
    if gone():
        raise QueryError("Code: 210. DB::Exception: The client left before its insert began")
    found = INSERT_HEAD.match(head)
    assert found, "the handler passes only what matches"
    database = settings.pop("database", None)
    words = [f"{name}={_quoted(value)}" for name, value in settings.items()]
    if found["settings"]:
        words.insert(0, found["settings"].decode())
    into = found["into"].decode() + (f" SETTINGS {', '.join(words)}" if words else "")
    stream = None
    try:
        if database:
            writer.query(_switch("database", database))
        before = _errors(writer)
        stream = writer.send_insert(into, found["format"].decode())
        pieces.reverse()
        while pieces:  # Each piece is let go as soon as the engine has it.
            stream.append(pieces.pop())
        written = int(stream.finish().rows_written)
        # The engine's stream reports success where a constraint or the disk refused: it counts
        # what it parsed. An error of a read at this very moment costs a repeat, which is harmless.
        for code, (times, text) in _errors(writer).items():
            if times > before.get(code, (0, ""))[0] and code not in OF_READS:
                raise QueryError(f"Code: {code}. DB::Exception: {text}")
        return written
    except RuntimeError as error:
        with contextlib.suppress(RuntimeError):
            if stream is not None:
                stream.cancel()
        raise QueryError(str(error)) from None
    finally:
        if database:
            writer.query(_switch("database", None))


def _errors(connection: Any) -> dict[int, tuple[int, str]]:
    """Of each error the engine has met: its code, how often, and what it said last."""
    query = "SELECT code, value, last_error_message FROM system.errors"
    lines = connection.query(query, "JSONCompactEachRow").bytes().splitlines()
    return {int(code): (int(times), text) for code, times, text in map(json.loads, lines)}


def _answer(  # noqa: PLR0913 (each is a part of the request)
    connection: Any,
    query: str,
    settings: dict[str, str],
    params: dict[str, str],
    form: str,
    *,
    whole: bool = False,
) -> Iterator[bytes]:
    """Pieces of the answer, or all of it as one. Settings hold for this query alone."""
    found = FORMAT.search(query)
    form = found[1] if found else form
    done: list[str] = []
    try:
        for name, value in settings.items():
            connection.query(_switch(name, value))
            done.append(name)
        if SELECT.match(query) and form in STREAMED and not whole:
            with connection.send_query(query, form, params=params) as stream:
                for piece in stream:
                    yield piece.bytes()
        else:
            yield connection.query(query, form, params=params).bytes()
    except RuntimeError as error:
        raise QueryError(str(error)) from None
    finally:
        for name in done:
            connection.query(_switch(name, None))


def _switch(name: str, value: str | None) -> str:
    """Statement that gives a setting its value for a query, and back (None) after it."""
    if name == "database":
        return f"USE `{(value or 'default').replace('`', '')}`"
    return f"SET {name} = {'DEFAULT' if value is None else _quoted(value)}"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _decoded(encoding: str, data: bytes) -> bytes:
    """A body without its Content-Encoding; the libraries are the client's own, so at hand."""
    try:
        if encoding == "gzip":
            return gzip.decompress(data)
        if encoding == "deflate":
            return zlib.decompress(data)
        if encoding == "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        if encoding == "lz4":
            import lz4.frame

            return bytes(lz4.frame.decompress(data))
    except Exception as error:  # Each library has errors of its own; all say the same to us.
        text = f"Code: 354. DB::Exception: the body is not whole {encoding}: {error}"
        raise QueryError(text) from None
    raise QueryError(f"Code: 48. DB::Exception: Content-Encoding {encoding} is not supported")


class Ping(RequestHandler):
    """`GET /` and `GET /ping`, as ClickHouse answers them."""

    def get(self) -> None:
        """Say that the server is there."""
        self.write(b"Ok.\n")


@stream_request_body
class Query(RequestHandler):
    """One query over HTTP."""

    def initialize(self, engine: Engine) -> None:
        """`engine` answers."""
        self.engine = engine
        self.pieces: list[bytes] = []

    def data_received(self, chunk: bytes) -> None:
        """Keep the piece as it came; the first ones together, until they hold a statement."""
        if self.pieces and len(self.pieces[0]) < HEAD_BYTES_MAX:
            self.pieces[0] += chunk
        else:
            self.pieces.append(chunk)

    async def get(self) -> None:
        """A query in the URL; without one, the greeting."""
        if "query" in self.request.query_arguments:
            await self.post()
        else:
            self.write(b"Ok.\n")

    async def post(self) -> None:
        """Answer the query, or ClickHouse's error with its code in the header."""
        try:
            await self._run()
        except QueryError as error:
            if self._headers_written:  # Too late for a status.
                await self._break_off(str(error))
                return
            self.clear()  # Of what was written but not yet sent.
            self.set_status(error.status)
            self.set_header("X-ClickHouse-Exception-Code", str(error.code))
            self.finish(f"{error}\n".encode())
        except StreamClosedError:
            pass  # The client left; nobody is there to be told.

    async def _run(self) -> None:
        arguments = {k: v[-1].decode() for k, v in self.request.query_arguments.items()}
        arguments |= self._form()
        encoding = self.request.headers.get("Content-Encoding", "identity")
        if encoding != "identity" and self.pieces:
            self.pieces = [_decoded(encoding, b"".join(self.pieces))]
        settings, params = _sorted_out(arguments)
        self.set_header("X-ClickHouse-Timezone", "UTC")
        self.set_header("X-ClickHouse-Query-Id", arguments.get("query_id", ""))
        head = self._insert_head(arguments.get("query", ""))
        if head is not None:
            rows = await self.engine.insert(head, self.pieces, settings, self._gone)
            self.set_header("X-ClickHouse-Summary", f'{{"written_rows":"{rows}"}}')
            return
        text = b"".join((arguments.get("query", "").encode(), *self.pieces)).decode()
        form = arguments.get("default_format", "TabSeparated")
        if not re.match(r"\s*(SELECT|WITH|SHOW|DESC|EXISTS|EXPLAIN|\()", text, re.IGNORECASE):
            self.write(await self.engine.execute(text, settings, params))
            return
        self.set_header("X-ClickHouse-Summary", "{}")
        if arguments.get("wait_end_of_query") == "1":
            self.write(await self.engine.answer(text, settings, params, form))
            return
        self.set_header("X-ClickHouse-Exception-Tag", EXCEPTION_TAG)
        async with self.engine.select(text, settings, params, form) as next_piece:
            unsent = 0
            while (piece := await next_piece()) is not None:
                self.write(piece)
                unsent += len(piece)
                if unsent >= PIECE_BYTES:
                    await self.flush()  # Waits for a slow client: the answer is never all here.
                    unsent = 0

    async def _break_off(self, text: str) -> None:
        """End an answer that is under way as ClickHouse does: the error, and no proper end."""
        length = len(text.encode()) + 1
        tail = f"{text}\n{length} {EXCEPTION_TAG}\r\n__exception__\r\n"
        self.write(f"\r\n__exception__\r\n{EXCEPTION_TAG}\r\n{tail}".encode())
        await self.flush()
        self.request.connection.stream.close()  # type: ignore[union-attr]

    def _form(self) -> dict[str, str]:
        """Arguments that came as a form; long queries with parameters do."""
        kind = self.request.headers.get("Content-Type", "")
        if not kind.startswith("multipart/form-data"):
            return {}
        found: dict[str, list[bytes]] = {}
        parse_body_arguments(kind, b"".join(self.pieces), found, {}, self.request.headers)
        self.pieces = []
        return {name: values[-1].decode() for name, values in found.items()}

    def _insert_head(self, query: str) -> bytes | None:
        """The statement of an insert with data, `self.pieces` then being the data alone."""
        if query:
            whole = INSERT_HEAD.fullmatch(query.encode())
            return query.encode() if whole else None
        if not self.pieces or not INSERT.match(self.pieces[0][:64]):
            return None
        found = INSERT_HEAD.match(self.pieces[0][:HEAD_BYTES_MAX])
        if found is None:
            return None
        self.pieces[0] = self.pieces[0][found.end() :]
        return found[0]

    def _gone(self) -> bool:
        return bool(self.request.connection.stream.closed())  # type: ignore[union-attr]


def _sorted_out(arguments: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Settings and query parameters among the arguments of a request."""
    settings, params = {}, {}
    for name, value in arguments.items():
        if name.startswith("param_"):
            params[name[6:]] = value
        elif name not in TRANSPORT:
            if not SETTING.match(name):
                raise QueryError(f"Code: 115. DB::Exception: Unknown setting '{name}'.")
            settings[name] = value
    if arguments.get("database", "default") != "default":
        settings["database"] = arguments["database"]
    return settings, params


def serve(data_dir: Path, port: int, on_ready: Callable[[int], None]) -> None:
    """Serve `data_dir` on 127.0.0.1:`port` (0: any) until SIGTERM or SIGINT.

    `on_ready(port)` is called once requests are answered. ServeError where that cannot be.
    """
    asyncio.run(_serve(data_dir.absolute(), port, on_ready))


def _keep_heap() -> None:
    """Have freed pieces stay with the process: 36,000 fresh pages an insert cost as much as a copy.

    glibc's M_TRIM_THRESHOLD (-1) and M_MMAP_THRESHOLD (-3); other libraries have no mallopt.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(-1, HEAP_BYTES_KEPT)
        tune(-3, 4 * PIECE_BYTES)


async def _serve(data_dir: Path, port: int, on_ready: Callable[[int], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _keep_heap()
    engine = Engine(data_dir)
    routes: list[Any] = [("/ping", Ping), (".*", Query, {"engine": engine})]
    server = HTTPServer(
        Application(routes, log_function=lambda _handler: None),
        chunk_size=PIECE_BYTES,
        max_buffer_size=8 * PIECE_BYTES,
        max_body_size=BODY_BYTES_MAX,
    )
    try:
        sockets = bind_sockets(port, "127.0.0.1")
    except OSError as error:
        engine.close()
        what = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error})"
        raise ServeError(f"port {port} for ClickHouse {what}: name another") from None
    server.add_sockets(sockets)
    on_ready(sockets[0].getsockname()[1])
    await stop.wait()
    server.stop()
    closing = asyncio.create_task(asyncio.to_thread(engine.close))
    await asyncio.wait((closing,), timeout=STOP_SECONDS_MAX)
    if not closing.done():
        os._exit(0)
