"""Door: ClickHouse, the only importer of its client. Rows in by whole blocks, history out.

The shape of a row and of its bytes is compute/row.py; `read_block` gives those bytes back.

One `insert` is one part on disk, all of it or nothing: the table has no partitions and the
settings below keep ClickHouse from cutting it. Its token makes a repeat of the same insert
harmless; `highest_offsets` makes any other cut of the log safe to resume from.
"""

import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import clickhouse_connect
import numpy as np
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from compute import chain
from compute.alert_row import COLUMNS, AlertRow, packed
from compute.limits import Alert
from compute.row import (
    BLOCK,
    NO_EVENT,
    RECORD,
    REFUSED,
    SCHEMA,
    columns,
    from_native,
    native,
    token_of,
)
from compute.schema import FENCED, THRIFT, Keep, ddl, fence, fences, migrations, tiers, tuned
from ingest.address import AddressError, parse, shown

READ_BYTES = 8_000_000  # Of rows that ClickHouse tells at once: a fifth less CPU than its own 1 MB.
INSERT_ROWS_MAX = 2_000_000  # 282 MB of body; two seconds of the highest rate there is.
CONNECT_SECONDS = 3
ANSWER_SECONDS = 60  # A scan of the whole record, of a server that is busy.
# Of inserts, and of what a page waits for: a connection that is half open is found so soon. A
# server sends a sign of life every 10 s while it works on a query, so a long one is not given up.
PROMPT_SECONDS = 15
DRAIN_SECONDS_MAX = 30.0  # How long a new writer waits for a former one's insert to end.

PLACES_ASKED_MAX = 64  # In one query: its conditions are weighed for every range of the key.

# One insert stays one block and so one part, on any server.
WHOLE = {
    "max_insert_block_size": 2 * INSERT_ROWS_MAX,
    "min_insert_block_size_rows": 2 * INSERT_ROWS_MAX,
    "min_insert_block_size_bytes": 4_000_000_000,
    "max_insert_threads": 1,
    "async_insert": 0,
}


class ArchiveError(RuntimeError):
    """ClickHouse did not do it: the text says what, where and what to do.

    `away`: it did not answer, or was too busy; the same call may succeed later.
    """

    def __init__(self, text: str, *, away: bool) -> None:
        """Keep whether trying again makes sense."""
        super().__init__(text)
        self.away = away


Body = bytearray | np.ndarray  # uint8
Place = tuple[int, int]  # Topic, partition
Positions = dict[Place, int]


class SupersededError(ArchiveError):
    """Another writer has taken over: nothing of this one's is taken any more."""


class Block(NamedTuple):
    """Rows of one partition, whole frames in order, with their place in the chain."""

    sealed: chain.Sealed
    epoch: int
    ts: int
    rows: Sequence[np.ndarray]  # RECORD arrays, the block's rows in order; () if on record


# Codes of ClickHouse that pass: timeout, too many queries, network, memory, too many parts, ...
_PASSING = frozenset((159, 164, 202, 209, 210, 241, 242, 243, 252, 319, 425, 999))
_VIOLATED_CONSTRAINT = 469  # The only one there is: compute.schema.fence.


class Archive:
    """The record in one ClickHouse database; connects when first asked, again after a loss."""

    def __init__(
        self, address: str, database: str = "tickglass", answer_s: int = ANSWER_SECONDS
    ) -> None:
        """`address` is http[s]://[user[:password]@]host:port, with files as ingest/address.py says.

        A query is given up after `answer_s` without a byte.
        """
        try:
            place = parse(address)
            parts = urlsplit(place.bare)
            self._host = (parts.hostname or "", parts.port or (8123, 8443)[place.encrypted])
        except ValueError as error:
            raise ArchiveError(f"ClickHouse at {shown(address)}: {error}", away=False) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ArchiveError(
                f"ClickHouse's address {shown(address)} is not http://[user:password@]host:port",
                away=False,
            )
        if not database.isidentifier():
            raise ArchiveError(f"ClickHouse's database {database!r} is not a name", away=False)
        self.database = database
        self.address = f"{place.scheme}://{self._host[0]}:{self._host[1]}"
        self._place = place
        self._answer_s = answer_s
        self._clients: dict[int, Client] = {}  # By how long they wait for an answer.
        self._writer = ""  # What our inserts are signed with, once claimed.
        self._wire: Any = None  # compute.gather.Wire, from the first insert on.
        # Its warnings would say twice, and less clearly, what ArchiveError says.
        logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

    # Writing

    def prepare(self, keep: Keep | None = None) -> None:
        """Create what is missing, bring what is older up to date; ArchiveError where it cannot be.

        `keep` sets how long rows are kept; None leaves that as it is. Where all is there it only
        asks: somebody waits for the recorder that begins with this.
        """
        there = self._tables()
        if not there:
            self.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
        elif "events" in there:
            version = self._version(there)
            self._migrate(version)
            there = self._tables() if version < SCHEMA else there
        if self.create(ddl(self.database), there):
            there = self._tables()
        found_shapes = self._shapes()
        shapes = {"events": columns(RECORD), "blocks": columns(BLOCK), "alerts": [*COLUMNS]}
        for table, shape in shapes.items():
            if (found := found_shapes.get(table)) != shape:
                wrong = sorted({name for name, _ in {*(found or ())} ^ {*shape}})
                raise ArchiveError(
                    f"table {self.database}.{table} at {self.address} has another shape than "
                    f"schema {SCHEMA} ({', '.join(wrong) or 'order of columns'}): name another "
                    "database, or move that one away",
                    away=False,
                )
        if not self.rows(f"SELECT 1 FROM {self.database}.versions LIMIT 1"):
            self._note(SCHEMA)
        self.tune(("events",), THRIFT, there)
        made = there["events"]
        if keep is not None and (" TTL " in made or keep != Keep()):
            self.command(tiers(self.database, keep))

    def create(self, statements: Sequence[str], there: Mapping[str, str] | None = None) -> int:
        """Carry out those `CREATE ... IF NOT EXISTS database.name` whose name is not there yet.

        How many that were. `there` are the tables as of now, where they are known.
        """
        known = self._tables() if there is None else there
        lacking = [one for one in statements if _created(one) not in known]
        for statement in lacking:
            self.command(statement)
        return len(lacking)

    def tune(
        self,
        tables: Sequence[str],
        wanted: Mapping[str, str],
        there: Mapping[str, str] | None = None,
    ) -> None:
        """Give tables those settings that they have not and that the server knows."""
        there = self._tables() if there is None else there
        lacking = [
            table
            for table in tables
            if any(f"{name} = {value}" not in there[table] for name, value in wanted.items())
        ]
        found = self.rows("SELECT name FROM system.merge_tree_settings") if lacking else ()
        known = {str(name) for (name,) in found}
        for table in lacking:
            if statement := tuned(self.database, table, wanted, known):
                self.command(statement)

    def _tables(self) -> dict[str, str]:
        """Every table and view, and the statement that would create it as it is now."""
        found = self.rows(
            "SELECT name, create_table_query FROM system.tables WHERE database = {database:String}",
            {"database": self.database},
        )
        return {str(name): str(made) for name, made in found}

    def _shapes(self) -> dict[str, list[tuple[str, str]]]:
        """Of each table its columns, in order, with their types."""
        found = self.rows(
            "SELECT table, name, type FROM system.columns WHERE database = {database:String} "
            "ORDER BY table, position",
            {"database": self.database},
        )
        shapes: dict[str, list[tuple[str, str]]] = {}
        for table, name, kind in found:
            shapes.setdefault(str(table), []).append((str(name), str(kind)))
        return shapes

    def schema(self) -> int:
        """Version of the record that is there; 0 where there is none."""
        there = self._tables()
        return self._version(there) if "events" in there else 0

    def _version(self, there: Iterable[str]) -> int:
        if "versions" not in there:
            return 1  # The first had no such table.
        found = self.rows(f"SELECT max(version) FROM {self.database}.versions")
        return int(found[0][0]) or SCHEMA  # Empty: its first start got no further.

    def _migrate(self, version: int) -> None:
        """Go from the version that is there to SCHEMA, one by one."""
        if version > SCHEMA:
            raise ArchiveError(
                f"the record in {self.database} at {self.address} is of schema {version}, this "
                f"program writes {SCHEMA}: use a newer program, or name another database",
                away=False,
            )
        for older in range(version, SCHEMA):
            self._fence(f"migration from {older}")  # A writer of the older program is shut out.
            self._drain()
            for statement in migrations(self.database, older):
                self.command(statement)
            for statement in ddl(self.database):
                self.command(statement)
            self._note(older + 1)

    def _note(self, version: int) -> None:
        now = f"SELECT {version}, now64(9, 'UTC')"
        self.command(f"INSERT INTO {self.database}.versions {now}")

    def claim(self, now_ns: int, partition: int | None = None) -> int:
        """Become the writer: the new epoch, once no insert of a former writer can still land.

        Inserts that begin from here on are ours or are refused (SupersededError for a former
        writer); those that had begun are waited for. With a partition: the writer of that one of
        every topic, beside those of the others; of partition 0 also of the alerts.
        """
        found = self.rows(f"SELECT max(epoch) FROM {self.database}.writers")
        epoch = int(found[0][0]) + 1
        # Inserts of one writer run one after the other, so this one ends after the former's.
        self.command(
            f"INSERT INTO {self.database}.writers "
            f"SELECT {epoch}, fromUnixTimestamp64Nano(toInt64({now_ns}), 'UTC')"
        )
        # Two that claim at once find the same epoch, but never sign alike.
        self._writer = f"writer {epoch} {secrets.token_hex(8)}"
        self._fence(self._writer, FENCED if not partition else FENCED[:2], partition)
        self._drain()
        return epoch

    def claim_tables(self, tables: Sequence[str]) -> None:
        """Become the writer of tables that are not the recorder's; as `claim`, without an epoch."""
        self._writer = f"writer {secrets.token_hex(8)}"
        self._fence(self._writer, tables)
        self._drain(tables)

    def _fence(
        self, writer: str, tables: Sequence[str] = FENCED, partition: int | None = None
    ) -> None:
        there = self._tables()
        for table in tables:
            if table in there:
                part = None if table == "alerts" else partition
                former = fences(there[table])
                self.command(fence(self.database, table, writer, part, former))

    def _drain(self, tables: Sequence[str] = ("events", "alerts")) -> None:
        """Wait for the inserts of the record that run now."""
        into = " OR ".join(f"query ILIKE '%{self.database}.{table}%'" for table in tables)
        running = f"SELECT query_id FROM system.processes WHERE query_kind = 'Insert' AND ({into})"
        former = {row[0] for row in self.rows(running)}
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while former and former & {row[0] for row in self.rows(running)}:
            if time.monotonic() > deadline:
                raise ArchiveError(
                    f"an insert of a former recorder still runs at {self.address} after "
                    f"{DRAIN_SECONDS_MAX:.0f} s",
                    away=True,
                )
            time.sleep(0.05)

    def insert(self, blocks: Sequence[Block]) -> None:
        """Put blocks on record: their rows, then what the chain says of them.

        All of the rows or none. To be called again with the very same blocks until it succeeds:
        what an answer that got lost had already written is not written again.
        """
        arrays = [rows for block in blocks for rows in block.rows]
        count = sum(len(rows) for rows in arrays)
        if count > INSERT_ROWS_MAX:
            raise ValueError(f"{count} rows in one insert, {INSERT_ROWS_MAX} is the limit")
        token = token_of([block.sealed for block in blocks])
        if count:
            from compute.gather import Wire  # Numba: for who writes.

            self._wire = self._wire or Wire()
            self._insert("events", RECORD, self._wire.body(arrays), f"rows-{token}")
        sealed = np.zeros(len(blocks), BLOCK)
        for row, block in zip(sealed, blocks, strict=True):
            s = block.sealed
            row["topic"], row["partition"], row["first"], row["last"] = s[:4]
            row["rows"], row["schema"], row["epoch"], row["ts"] = (
                *(s.rows, s.schema, block.epoch, block.ts),
            )
            row["digest"], row["link"] = np.void(s.digest), np.void(s.link)
        self._insert("blocks", BLOCK, native(sealed), f"blocks-{token}")

    def _insert(self, table: str, shape: np.dtype, body: Body, token: str) -> None:
        self.send(table, list(shape.names or ()), body, token, "Native")

    def send(self, table: str, names: list[str], body: Body, token: str, form: str) -> None:
        """Insert one body in one of ClickHouse's formats, once for each token."""
        settings = WHOLE | {"insert_deduplication_token": token}
        if self._writer:
            settings |= {"log_comment": self._writer}
        client = self._connected(PROMPT_SECONDS)
        with _translated(self, f"insert into {table}"):
            client.raw_insert(
                f"{self.database}.{table}",
                column_names=names,
                insert_block=memoryview(body),  # type: ignore[arg-type]  # Sent as it lies.
                fmt=form,
                settings=settings,
            )

    def insert_alerts(self, rows: Sequence[AlertRow]) -> None:
        """Put alerts on record, all or none; again with the same rows until it succeeds."""
        hashed = hashlib.sha256(b"".join(one.link for one in rows))
        body = bytearray(b"".join(map(packed, rows)))
        names = [name for name, _ in COLUMNS]
        self.send("alerts", names, body, f"alerts-{hashed.hexdigest()}", "RowBinary")

    # Resuming

    def highest_offsets(self, after: Positions | None = None) -> Positions:
        """Highest offset on record of each (topic, partition); none that is not beyond `after`.

        With `after` the places in it alone are looked at, and only so far: without, all rows are.
        """
        highest: Positions = {}
        for beyond in _beyond(after):
            found = self.rows(
                f"SELECT topic, partition, max(offset) FROM {self.database}.events "
                f"WHERE {beyond} GROUP BY topic, partition"
            )
            highest |= {(topic, part): offset for topic, part, offset in found}
        return highest

    def last_blocks(self, places: Sequence[Place] = ()) -> dict[Place, chain.Sealed]:
        """The newest sealed block of each (topic, partition): its link is the next one's base.

        Of `places` alone each is found without looking at what is before it.
        """
        asked = [
            f"SELECT topic, partition, first, last, rows, schema, hex(digest), hex(link) "
            f"FROM {self.database}.blocks WHERE topic = {topic} AND partition = {part} "
            "ORDER BY first DESC, last DESC LIMIT 1"
            for topic, part in places or self._sealed_places()
        ]
        queries = (
            " UNION ALL ".join(f"({one})" for one in asked[at : at + PLACES_ASKED_MAX])
            for at in range(0, len(asked), PLACES_ASKED_MAX)
        )
        sealed = (
            chain.Sealed(*row[:6], *map(bytes.fromhex, row[6:]))
            for query in queries
            for row in self.rows(query)
        )
        return {(one.topic, one.partition): one for one in sealed}

    def _sealed_places(self) -> list[Place]:
        found = self.rows(f"SELECT DISTINCT topic, partition FROM {self.database}.blocks")
        return [(topic, part) for topic, part in found]

    def blocks(self, topic: int, partition: int) -> Iterator[chain.Sealed]:
        """Every sealed block of a partition in order, for `chain.verify`."""
        found = self.rows(
            f"SELECT first, last, rows, schema, hex(digest), hex(link) FROM {self.database}.blocks "
            "WHERE topic = {topic:UInt8} AND partition = {partition:UInt16} ORDER BY first, last",
            {"topic": topic, "partition": partition},
        )
        for first, last, rows, schema, digest, link in found:
            yield chain.Sealed(
                *(topic, partition, first, last, rows, schema),
                *(bytes.fromhex(digest), bytes.fromhex(link)),
            )

    def refused(self, after: Positions | None = None) -> set[tuple[int, int, int]]:
        """(topic, partition, offset) of frames on record as refused, no repeats.

        Of the places in `after`, if there are any, beyond it; else all.
        """
        return {
            (topic, part, offset)
            for beyond in _beyond(after)
            for topic, part, offset in self.rows(
                f"SELECT topic, partition, offset FROM {self.database}.events "
                f"WHERE kind = {REFUSED} AND flags != {NO_EVENT.index('repeat')} AND ({beyond})"
            )
        }

    def last_alerts(self) -> dict[tuple[int, int], tuple[int, bytes]]:
        """Of each (topic, partition) the highest offset of an alert on record, and its link."""
        found = self.rows(
            "SELECT topic, partition, max(offset), argMax(hex(link), offset) "
            f"FROM {self.database}.alerts GROUP BY topic, partition"
        )
        return {(t, p): (int(offset), bytes.fromhex(link)) for t, p, offset, link in found}

    # Reading

    def alerts(self, since_ns: int = 0) -> list[Alert]:
        """The alerts made since that moment, in the order of the log of each partition."""
        rows = self.alert_rows(
            f"ts_alert >= fromUnixTimestamp64Nano(toInt64({since_ns})) ORDER BY ts_alert, "
            "partition, offset"
        )
        return [alert for one in rows if (alert := one.alert) is not None]

    def alert_rows(self, where: str = "1 ORDER BY topic, partition, offset") -> list[AlertRow]:
        """Messages on record as they came, also those that are no alert, with their hashes."""
        found = self.rows(
            "SELECT topic, partition, offset, toUnixTimestamp64Nano(ts_log), hex(message), "
            f"hex(digest), hex(link) FROM {self.database}.alerts WHERE {where}"
        )
        return [AlertRow(*row[:4], *map(bytes.fromhex, row[4:])) for row in found]

    def read_block(self, topic: int, partition: int, first: int, last: int) -> bytes:
        """Canonical bytes of the rows of offsets first..last, as they stand in the database."""
        names = ", ".join(f"`{name}`" for name in RECORD.names or ())
        # By columns and as they lie, and put in order here: half the CPU of `ORDER BY offset,
        # index` in RowBinary, which gives the same bytes.
        told = self.raw(
            f"SELECT {names} FROM {self.database}.events WHERE topic = {topic} "
            f"AND partition = {partition} AND offset BETWEEN {first} AND {last} "
            f"SETTINGS preferred_block_size_bytes = {READ_BYTES}",
            "Native",
        )
        try:
            rows = from_native(told, RECORD)
        except ValueError as error:
            raise ArchiveError(
                f"ClickHouse at {self.address} gave no rows of schema {SCHEMA}: {error}",
                away=False,
            ) from None
        place = (rows["offset"] - np.uint64(first)) << np.uint64(16) | rows["index"]
        return rows[np.argsort(place, kind="stable")].tobytes()

    def size(self) -> tuple[int, int]:
        """Rows on record and the bytes they take on disk, from the parts that are active."""
        found = self.rows(
            "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts "
            "WHERE active AND database = {database:String} AND table = 'events'",
            {"database": self.database},
        )
        return int(found[0][0]), int(found[0][1])

    def recorded_rows(self, partition: int | None = None) -> int:
        """Rows on record; of one partition of every topic, those that are sealed."""
        if partition is None:
            return self.size()[0]
        found = self.rows(
            f"SELECT sum(rows) FROM {self.database}.blocks WHERE partition = {int(partition)}"
        )
        return int(found[0][0])

    def merging(self) -> bool:
        """Whether ClickHouse is merging parts of the record right now."""
        found = self.rows(
            "SELECT count() FROM system.merges WHERE database = {database:String}",
            {"database": self.database},
        )
        return bool(found[0][0])

    # The client

    def close(self) -> None:
        """Let the connections go."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _connected(self, answer_s: int | None = None) -> Client:
        answer_s = answer_s or self._answer_s
        if answer_s not in self._clients:
            (host, port), place, password = self._host, self._place, self._password()
            with _translated(self, "connect"):
                self._clients[answer_s] = clickhouse_connect.get_client(
                    host=host,
                    port=port,
                    secure=place.encrypted,
                    ca_cert=place.files.get("ca"),
                    client_cert=place.files.get("certificate"),
                    client_cert_key=place.files.get("key"),
                    username=place.user or "default",
                    password=password,
                    # A certificate alone says who we are; beside a password it only opens the wire.
                    tls_mode="strict" if password and place.encrypted else None,
                    compress=False,  # Bytes on loopback or a data centre's wire are cheaper.
                    connect_timeout=CONNECT_SECONDS,
                    send_receive_timeout=answer_s,
                    autogenerate_session_id=False,
                    query_retries=0,
                    dedicated_pool=True,  # So that `close` leaves none of its connections.
                )
        return self._clients[answer_s]

    def _password(self) -> str:
        try:
            return self._place.password
        except AddressError as error:
            raise ArchiveError(f"ClickHouse at {self.address}: {error}", away=False) from None

    def command(self, statement: str) -> None:
        """Do what gives no rows."""
        client = self._connected()
        with _translated(self, "command"):
            client.command(statement)

    def rows(self, query: str, parameters: dict[str, Any] | None = None) -> Sequence[Any]:
        """Answer of a query: a sequence of tuples."""
        client = self._connected()
        with _translated(self, "query"):
            return client.query(query, parameters=parameters).result_rows

    def raw(self, query: str, form: str, *, small: bool = False) -> bytes:
        """Answer of a query in one of ClickHouse's formats; a `small` one is sent when whole."""
        client = self._connected()
        settings = {"wait_end_of_query": "1"} if small else None
        with _translated(self, "read"):
            return client.raw_query(query, fmt=form, settings=settings)


def _created(statement: str) -> str:
    """Name of the table that `CREATE ... IF NOT EXISTS database.name` makes."""
    return statement.split(maxsplit=6)[5].partition(".")[2]


def _beyond(after: Positions | None) -> list[str]:
    """What rows beyond `after` have in common, for PLACES_ASKED_MAX places each; all: ["1"].

    In these words ClickHouse's primary key leaves little to read.
    """
    each = [
        f"topic = {topic} AND partition = {part} AND offset > {offset}"
        for (topic, part), offset in sorted((after or {}).items())
    ]
    groups = (each[at : at + PLACES_ASKED_MAX] for at in range(0, len(each), PLACES_ASKED_MAX))
    return [" OR ".join(f"({one})" for one in group) for group in groups] or ["1"]


@contextlib.contextmanager
def _translated(archive: Archive, what: str) -> Iterator[None]:
    """Turn what the client raises into ArchiveError with a text for people."""
    try:
        yield
    except (ClickHouseError, HTTPError, OSError) as error:
        where = f"ClickHouse at {archive.address}"
        code = getattr(error, "code", None)
        if code is None:
            archive.close()
            raise ArchiveError(
                f"{where} does not answer ({what}): check that it runs and the address", away=True
            ) from error
        if int(code) == _VIOLATED_CONSTRAINT:
            raise SupersededError(
                f"another recorder has taken over the record at {archive.address} in "
                f"{archive.database}: this one stops",
                away=False,
            ) from error
        text = str(error).split("server response: ")[-1].split(" (for url")[0]
        passing = int(code) in _PASSING
        raise ArchiveError(f"{where} refused ({what}): {text}", away=passing) from error
