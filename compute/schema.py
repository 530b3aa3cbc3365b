"""Shape: the tables of the record, how they are stored, and the way there from older ones.

Rows are stored by partition, by segment of offsets, within it by instrument. Neighbours are then
events of one instrument, whose numbers hardly change: 21.6 bytes a row in place of 23.9, half the
CPU to compress them, and a question about one instrument skips most granules. A block of the
chain reads its segments alone. The tables have no ClickHouse partitions, so that one insert is
one part: all of it or nothing. What would be their use, dropping old months at once, whole parts
that expire do as well: an insert's rows stay together in every merge.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from compute.alert_row import COLUMNS
from compute.row import BLOCK, RECORD, SEGMENT_FRAMES, columns

TOKENS = 1_000  # How many inserts back a repeat is known; one writer repeats only its last.

# Measured on the demo market in this order, bytes a row / CPU ns a row: offset Delta, ZSTD 0.50 /
# 15, T64, LZ4 0.87 / 2; ts_event Delta, ZSTD 2.95 / 25, T64, LZ4 3.62 / 6; mid ZSTD 0.77 / 18, LZ4
# 1.62 / 2; size LZ4 2.44 / 5, ZSTD 0.87 / 14; vwap LZ4 1.86 / 0, ZSTD 1.23 / 2; volume ZSTD 0.48 /
# 6, Gorilla, LZ4 0.55 / 1. ZSTD where it saves a byte for less than 10 ns.
CODECS = {
    **dict.fromkeys(RECORD.names or (), "LZ4"),
    **dict.fromkeys(("offset", "index", "ts_event", "sequence", "kind"), "T64, LZ4"),
    "ts_recv": "Delta, LZ4",
    **dict.fromkeys(("price", "size", "ask_size"), "ZSTD(1)"),
    **dict.fromkeys(("vwap", "vwap_1m", "volatility"), "ZSTD(1)"),
    "volume": "Gorilla, LZ4",
}
STORED = f"topic, partition, intDiv(offset, {SEGMENT_FRAMES}), instrument, offset, `index`"
# Statistics of every column, on by default since ClickHouse 26, answer no question of ours and cost
# as much CPU as an insert; merges of few parts write each row again and again: of ten at once 0.59
# us a row and second, of thirty 0.39. Small parts are one file each, so that more of them cost a
# question no more.
THRIFT = {
    "auto_statistics_types": "''",
    "min_parts_to_merge_at_once": "30",
    "min_bytes_for_wide_part": "300000000",
}
# Tables of which charts ask a few rows of many columns: all columns of a part in one file. In files
# of their own they cost more to open than to read: of a day of minutes 132, two thirds of its CPU.
CHARTED = {"auto_statistics_types": "''", "min_bytes_for_wide_part": "1000000000000"}
FENCED = ("events", "blocks", "alerts")  # Tables that take rows of the newest writer alone.


class Keep(NamedTuple):
    """How long the record is kept and where; 0: for ever as it is. Days of event time."""

    hot_days: int = 0  # Then packed tighter, and moved to the volume `cold` if there is one.
    years: int = 0  # Then dropped, whole inserts at a time.
    volume: str = ""  # Of the server's storage policy.


def ddl(database: str) -> tuple[str, ...]:
    """Statements that create what is missing, derived from RECORD and BLOCK."""
    window = f"SETTINGS non_replicated_deduplication_window = {TOKENS}"
    blocks = [f"`{name}` {kind}" for name, kind in columns(BLOCK)]
    alerts = [f"`{name}` {kind}" for name, kind in COLUMNS]
    moment = "ts DateTime64(9, 'UTC')"
    return (
        events_ddl(database, "events"),
        *(
            _create(database, *table)
            for table in (
                ("blocks", blocks, f"(topic, partition, first) {window}"),
                ("alerts", alerts, f"(topic, partition, offset) {window}"),
                ("writers", ["epoch UInt64", moment], "epoch"),
                ("versions", ["version UInt16", moment], "version"),
            )
        ),
    )


def events_ddl(database: str, table: str) -> str:
    """The statement that creates the table of rows under a name."""
    parts = [f"`{name}` {kind} CODEC({CODECS[name]})" for name, kind in columns(RECORD)]
    # Moments and ids rise together along the log of a class: ranges skip most of a scan.
    parts += [
        "INDEX moments ts_event TYPE minmax",
        "INDEX instruments instrument TYPE minmax",
    ]
    settings = f"non_replicated_deduplication_window = {TOKENS}, ttl_only_drop_parts = 1"
    return _create(database, table, parts, f"({STORED}) SETTINGS {settings}")


def _create(database: str, table: str, parts: list[str], rest: str) -> str:
    inside = ",\n  ".join(parts)
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{table} (\n  {inside}\n) "
        f"ENGINE = MergeTree ORDER BY {rest}"
    )


def fence(
    database: str,
    table: str,
    writer: str,
    partition: int | None = None,
    former: Collection[str] = (),
) -> str:
    """From this statement on the table takes rows only of inserts that name this writer.

    With a partition: rows of that partition. Each insert looks for itself, in the same query that
    writes: a writer that slept through its replacement is refused however late it wakes. It
    changes no row and no part. `former`: the fences there are (`fences`); who writes all takes
    down all of them, who writes a partition its own and that of who wrote all.
    """
    name = "writer" if partition is None else f"writer_{partition}"
    own = {"writer", name} if partition is not None else {"writer", *former}
    down = ", ".join(f"DROP CONSTRAINT IF EXISTS {one}" for one in sorted(own))
    others = "" if partition is None else f"partition != {partition} OR "
    return (
        f"ALTER TABLE {database}.{table} {down}, "
        f"ADD CONSTRAINT {name} CHECK {others}getSetting('log_comment') = '{writer}'"
    )


def fences(statement: str) -> list[str]:
    """Names of the fences in the statement that would create a table."""
    return re.findall(r"CONSTRAINT `?(writer(?:_\d+)?)`? ", statement)


def migrations(database: str, version: int) -> tuple[str, ...]:
    """Statements that bring the tables from `version` to the next; safe to begin again.

    The last one is what makes the change, all of it or nothing.
    """
    if version == 1:  # Stored by offset. Same rows, same bytes, so the chain stays as it is.
        names = ", ".join(f"`{name}`" for name in RECORD.names or ())
        return (
            f"DROP TABLE IF EXISTS {database}.events_2 SYNC",
            events_ddl(database, "events_2"),
            f"INSERT INTO {database}.events_2 ({names}) SELECT {names} FROM {database}.events",
            fence(database, "events_2", f"migration from {version}"),
            f"EXCHANGE TABLES {database}.events AND {database}.events_2",
        )
    raise ValueError(f"no way from schema {version}")


def tuned(database: str, table: str, wanted: Mapping[str, str], known: Collection[str]) -> str:
    """The statement that gives a table settings; "" where the server knows none of them."""
    chosen = [f"{name} = {value}" for name, value in wanted.items() if name in known]
    return f"ALTER TABLE {database}.{table} MODIFY SETTING {', '.join(chosen)}" if chosen else ""


def tiers(database: str, keep: Keep) -> str:
    """The statement that sets how long rows are kept and how."""
    age = "toDateTime(ts_event) + INTERVAL"
    rules = []
    if keep.hot_days:
        rules.append(f"{age} {keep.hot_days} DAY RECOMPRESS CODEC(ZSTD(6))")
        if keep.volume:
            rules.append(f"{age} {keep.hot_days} DAY TO VOLUME '{keep.volume}'")
    if keep.years:
        rules.append(f"{age} {keep.years} YEAR DELETE")
    table = f"ALTER TABLE {database}.events"
    # Parts take the new rules as they merge: rewriting the record at a start would stop it.
    settings = " SETTINGS materialize_ttl_after_modify = 0"
    return f"{table} MODIFY TTL {', '.join(rules)}{settings}" if rules else f"{table} REMOVE TTL"
