"""Shape: what is derived from the record so that charts need not read all of it: bars and voids.

Bars are folded by the recorder from the rows that it has put on record (compute/fold.py); views
that ClickHouse would keep at each insert cost 0.1 CPU seconds a million rows each. A bar is kept
in parts, which ClickHouse joins when it merges and every query joins again. Nothing is taken out
of a bar when a trade is busted: the table `voids` names the trade, and a row of `corrections` says
what the bar is without it, up to which offset and without how many trades. Where there is none
yet, compute/past.py makes the bar anew from the events, which it finds by the bar's own offsets.

A bar's prices and VWAP are of the trades that the instrument's version of the eligibility table
takes (ingest/condition.py), the same as in its VWAP columns; `volume` is of all trades. Each bar
says by which versions its trades were judged, so that it can be made anew as it was: a change of
the version counts from the rows that the recorder has not yet folded.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from compute.row import number
from ingest.condition import bit
from ingest.event import PRICE_SCALE, Flag, Kind

SPANS_S = (1, 60)  # Of the bars kept; others are joined of these.
STATE = ("mid", "vwap", "vwap_1m", "volatility", "volume_session", "position", "pnl", "mark")

BAR = np.dtype(  # One part of a bar, as the kernel fills it.
    [
        *(("start_ns", "<i8"), ("first_offset", "<u8"), ("last_offset", "<u8")),
        *(("open_key", "<u8"), ("open", "<i8"), ("close_key", "<u8"), ("close", "<i8")),
        *(("high", "<i8"), ("low", "<i8")),
        *(("paid", "<f8"), ("counted", "<f8"), ("volume", "<f8"), ("trades", "<u8")),
        ("state_key", "<u8"),
        *((name, "<f8") for name in STATE),
        *(("instrument", "<u4"), ("span_s", "<u2"), ("partition", "<u2"), ("topic", "u1")),
        ("versions", "u1"),  # Bits of the versions that its trades were judged by; 0: by all.
    ],
    align=True,
)

VOID = np.dtype(  # A trade that a bust made void.
    [
        *(("instrument", "<u4"), ("ts_trade", "<i8"), ("topic", "u1"), ("partition", "<u2")),
        *(("offset", "<u8"), ("index", "<u2"), ("ts_event", "<i8"), ("id", "<i8")),
        *(("price", "<i8"), ("size", "<f8"), ("flags", "u1")),
    ]
)

CORRECTION = np.dtype(  # A bar that lost trades to busts, made anew without them.
    [
        *(("start_ns", "<i8"), ("span_s", "<u2"), ("instrument", "<u4")),
        *(("topic", "u1"), ("partition", "<u2"), ("last", "<u8"), ("voids", "<u4")),
        *(("open", "<i8"), ("close", "<i8"), ("high", "<i8"), ("low", "<i8")),
        *(("paid", "<f8"), ("counted", "<f8"), ("volume", "<f8"), ("trades", "<u8")),
    ]
)

_MOMENT = "DateTime64(9, 'UTC')"
_PRICE_AT = "Tuple(UInt64, Int64)"  # Key of an event, its price.
_STATE = f"Tuple(UInt64, {', '.join(['Float64'] * len(STATE))})"
_BAR_COLUMNS = (  # Name, type on the wire, how parts are joined, codec, fields of BAR.
    ("span_s", "UInt16", "", "LZ4", ("span_s",)),
    ("instrument", "UInt32", "", "LZ4", ("instrument",)),
    ("ts", _MOMENT, "", "Delta, LZ4", ("start_ns",)),
    ("topic", "UInt8", "", "LZ4", ("topic",)),
    ("partition", "UInt16", "", "LZ4", ("partition",)),
    ("first_offset", "UInt64", "min", "Delta, LZ4", ("first_offset",)),
    ("last_offset", "UInt64", "max", "Delta, LZ4", ("last_offset",)),
    ("open", _PRICE_AT, "min", "LZ4", ("open_key", "open")),
    ("close", _PRICE_AT, "max", "LZ4", ("close_key", "close")),
    ("high", "Int64", "max", "LZ4", ("high",)),
    ("low", "Int64", "min", "LZ4", ("low",)),
    ("paid", "Float64", "sum", "LZ4", ("paid",)),
    ("counted", "Float64", "sum", "LZ4", ("counted",)),
    ("volume", "Float64", "sum", "LZ4", ("volume",)),
    ("trades", "UInt64", "sum", "LZ4", ("trades",)),
    ("state", _STATE, "max", "LZ4", ("state_key", *STATE)),
    ("versions", "UInt8", "groupBitOr", "LZ4", ("versions",)),
)
_TYPES = {
    "|u1": "UInt8",
    "<u2": "UInt16",
    "<u4": "UInt32",
    "<u8": "UInt64",
    "<i8": "Int64",
    "<f8": "Float64",
}
_VOID_COLUMNS = tuple(
    (name, _MOMENT if name.startswith("ts_") else _TYPES[VOID[name].str], "", "ZSTD(1)", (name,))
    for name in VOID.names or ()
)
_CORRECTION_COLUMNS = tuple(
    ("ts", _MOMENT, "", "LZ4", (name,))
    if name == "start_ns"
    else (name, _TYPES[CORRECTION[name].str], "", "LZ4", (name,))
    for name in CORRECTION.names or ()
)
COLUMNS = {"bars": _BAR_COLUMNS, "voids": _VOID_COLUMNS, "corrections": _CORRECTION_COLUMNS}
ENGINES = {
    "bars": "AggregatingMergeTree PARTITION BY span_s "
    "ORDER BY (span_s, instrument, ts, topic, partition)",
    "voids": "ReplacingMergeTree ORDER BY (instrument, topic, partition, offset, `index`)",
    "corrections": "MergeTree ORDER BY (span_s, instrument, ts)",
}
# A day of minutes is 1,440 rows: small granules in small blocks of LZ4 leave little to unpack
# beside them (a day of minutes in 7 ms; granules of 8,192 rows of ZSTD: 11 ms, 30 % less space).
GRANULE_ROWS = 1_024
BLOCK_BYTES = (4_096, 16_384)
VIEWS = {"bars_1s": 1, "bars_1m": 60}
VERSIONS_MAX = 2.0**31  # As in compute/kernels/trade.py.
TOKENS = 1_000  # Inserts back that a repeat is known.


def ddl(database: str) -> tuple[str, ...]:
    """Statements that create the tables."""
    settings = (
        f"non_replicated_deduplication_window = {TOKENS}, index_granularity = {GRANULE_ROWS}, "
        f"min_compress_block_size = {BLOCK_BYTES[0]}, max_compress_block_size = {BLOCK_BYTES[1]}"
    )
    made = tuple(
        f"CREATE TABLE IF NOT EXISTS {database}.{table} (\n  "
        + ",\n  ".join(
            f"`{name}` {_kept(kind, join)} CODEC({codec})" for name, kind, join, codec, _ in columns
        )
        + f"\n) ENGINE = {ENGINES[table]} SETTINGS {settings}"
        for table, columns in COLUMNS.items()
    )
    # Bars that were kept before there were versions: judged by all, as 0 says.
    kind = _kept("UInt8", "groupBitOr")
    grown = f"ALTER TABLE {database}.bars ADD COLUMN IF NOT EXISTS `versions` {kind} CODEC(LZ4)"
    return (*made, grown, *(_view(database, name, span_s) for name, span_s in VIEWS.items()))


def _view(database: str, name: str, span_s: int) -> str:
    """Bars as people read them, with how many trades in each were busted later."""
    voided = (
        f"SELECT instrument, fromUnixTimestamp64Nano(intDiv(toUnixTimestamp64Nano(ts_trade), "
        f"{span_s}000000000) * {span_s}000000000, 'UTC') AS ts, uniqExact(id) AS voided "
        f"FROM {database}.voids GROUP BY instrument, ts"
    )
    prices = ", ".join(
        f"if(traded, {value} / {PRICE_SCALE}, nan) AS {column}_price"
        for column, value in (
            *(("open", "min(open).2"), ("high", "max(high)")),
            *(("low", "min(low)"), ("close", "max(close).2")),
        )
    )
    return (
        f"CREATE VIEW IF NOT EXISTS {database}.{name} AS SELECT b.instrument AS instrument, "
        "b.ts AS ts, open_price AS open, high_price AS high, low_price AS low, "
        "close_price AS close, vwap, traded_volume AS volume, traded_times AS trades, "
        "ifNull(v.voided, 0) AS voided FROM (SELECT "
        f"instrument, ts, sum(trades) > 0 AS traded, {prices}, "
        f"if(sum(counted) > 0, sum(paid) / sum(counted) / {PRICE_SCALE}, nan) AS vwap, "
        f"sum(volume) AS traded_volume, sum(trades) AS traded_times FROM {database}.bars "
        f"WHERE span_s = {span_s} GROUP BY instrument, ts) AS b "
        f"LEFT JOIN ({voided}) AS v ON b.instrument = v.instrument AND b.ts = v.ts"
    )


def _kept(kind: str, join: str) -> str:
    return f"SimpleAggregateFunction({join}, {kind})" if join else kind


def native(table: str, arrays: Sequence[np.ndarray]) -> bytearray:
    """One block of `table` (arrays of BAR, VOID or CORRECTION) in ClickHouse's format Native.

    A tuple travels as its columns, one after the other.
    """
    columns = COLUMNS[table]
    body = bytearray(number(len(columns)) + number(sum(map(len, arrays))))
    for name, kind, _, _, fields in columns:
        for text in (name, kind):
            body += number(len(text.encode())) + text.encode()
        for field in fields:
            for rows in arrays:
                body += np.ascontiguousarray(rows[field]).tobytes()
    return body


def eligible(version: str) -> str:
    """SQL: whether a trade of the record counts in more than volume, by the bit `version`."""
    left_out = f"toUInt32(if(ask_size > 0 AND ask_size < {VERSIONS_MAX:.0f}, ask_size, 0))"
    return f"bitAnd(flags, {int(Flag.INELIGIBLE)}) = 0 AND bitAnd({left_out}, {version}) = 0"


def of_events(
    database: str, span_s: int, where: str, versions: Mapping[int, int] | None = None
) -> str:
    """The query that makes bars of `span_s` from the record alone, in the order of the columns.

    For a record that has none yet; what the recorder folds is the same. `versions`: instruments
    that are not on version 1 of the eligibility table, with theirs.
    """
    span_ns = span_s * 1_000_000_000
    version = "toUInt8(1)"
    if versions:
        others = [str(number) for number in versions], [str(bit(v)) for v in versions.values()]
        version = (
            f"transform(instrument, [{', '.join(others[0])}], [{', '.join(others[1])}], {version})"
        )
    sized = f"kind = {int(Kind.TRADE)} AND size > 0"
    counted = f"{sized} AND {eligible(version)}"
    place = "bitAnd(offset * 1024 + `index`, 268435455)"
    key = f"bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Nano(ts_event) % {span_ns}), 28), {place})"
    numbers = ", ".join("volume" if name == "volume_session" else name for name in STATE)
    kept = (
        ""
        if span_s == SPANS_S[-1]
        else (
            " HAVING taken > 0 OR traded > 0 OR countIf(position != 0 AND NOT isNaN(position)) > 0"
        )
    )
    return (
        f"SELECT toUInt16({span_s}) AS span, instrument, fromUnixTimestamp64Nano(intDiv("
        f"toUnixTimestamp64Nano(ts_event), {span_ns}) * {span_ns}, 'UTC') AS start, topic, "
        "partition, "
        "min(offset), max(offset), "
        f"minIf(({key}, price), {counted}), maxIf(({key}, price), {counted}), "
        f"if(countIf({counted}) > 0, maxIf(price, {counted}), toInt64({-(2**63)})), "
        f"if(countIf({counted}) > 0, minIf(price, {counted}), toInt64({2**63 - 1})), "
        f"sumIf(toFloat64(price) * size, {counted}), sumIf(size, {counted}) AS taken, "
        f"sumIf(size, kind = {int(Kind.TRADE)}) AS traded, countIf({counted}), "
        f"max(({key}, {numbers})), groupBitOrIf(toUInt8({version}), {sized}) "
        f"FROM {database}.events WHERE kind != 255 AND ({where}) "
        f"GROUP BY instrument, start, topic, partition{kept}"
    )
