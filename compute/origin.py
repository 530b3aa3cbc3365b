"""Rule: where a number comes from: the events on record that it was last made of, and its inputs.

A web process knows no offsets, so the answer is found by instrument and time. What the row of the
newest such event says beside it is what the number was at that moment, and that row can be proved.
"""

from typing import Any

from compute.archive import Archive
from compute.enriched import ENRICHED
from compute.row import SCHEMA
from compute.table import INSTRUMENTS
from ingest.event import NO_PRICE, PRICE_UNIT, Kind
from ingest.instrument import AssetClass, Instrument

EVENTS = 5
WINDOW_NS = 3_600_000_000_000  # How far back is looked; a quiet instrument has its answer or none.
MARKET = (Kind.QUOTE, Kind.TRADE, Kind.BUST, Kind.STATUS)
QUOTED = ("bid", "ask", "bid_size", "ask_size", "mid")
TRADED = (
    *("last", "last_size", "vwap", "vwap_1m", "vwap_5m", "vwap_30m", "vwap_ex", "volume", "trades"),
    *("open", "high", "low", "change", "vs_vwap"),
)
MARKED = ("pnl", "exposure", "mark")


def kinds(column: str) -> tuple[Kind, ...]:
    """Which events a column of INSTRUMENTS is made of; KeyError where there is no such column."""
    INSTRUMENTS.index(column)
    if column in QUOTED:
        return (Kind.QUOTE,)
    if column in TRADED:
        return (Kind.TRADE, Kind.BUST)
    return MARKET


def origin(archive: Archive, instrument: Instrument, column: str, until_ns: int) -> dict[str, Any]:
    """The newest events up to `until_ns` that made a column's number, newest first; JSON.

    KeyError where there is no such column, ArchiveError where ClickHouse does not say.
    """
    about = INSTRUMENTS.columns[INSTRUMENTS.index(column)]
    wanted = ", ".join(str(int(kind)) for kind in kinds(column))
    place = (instrument.asset_class, instrument.shard)
    moments = [
        f"fromUnixTimestamp64Nano(toInt64({max(0, ns)}))" for ns in (until_ns - WINDOW_NS, until_ns)
    ]
    numbers = ENRICHED.names or ()
    rows = archive.rows(
        "SELECT offset, `index`, kind, toUnixTimestamp64Nano(ts_event), "
        "toUnixTimestamp64Nano(ts_recv), source, price, ask, size, ask_size, "
        f"{', '.join(numbers)} FROM {archive.database}.events "
        "WHERE topic = {topic:UInt8} AND partition = {partition:UInt16} "
        "AND instrument = {instrument:UInt32} "
        f"AND ts_event > {moments[0]} AND ts_event <= {moments[1]} AND kind IN ({wanted}) "
        f"ORDER BY offset DESC, `index` DESC LIMIT {EVENTS}",
        {"topic": place[0], "partition": place[1], "instrument": instrument.id},
    )
    topic = AssetClass(instrument.asset_class).topic
    events = [_event(topic, place[1], row) for row in rows]
    after = dict(zip(numbers, map(_number, rows[0][10:]), strict=True)) if rows else {}
    return {
        "row": instrument.id,
        "symbol": instrument.symbol,
        "column": column,
        "formula": about.source,
        "unit": about.unit,
        "version": f"schema {SCHEMA}",
        "value": after.get(column),
        "inputs": after,
        "mark": after.get("mark") if column in MARKED else None,
        "fx": _fx(instrument) if about.unit == "USD" else None,
        "events": events,
        "prove": f"./tickglass audit prove {events[0]['name']}" if events else None,
    }


def _fx(instrument: Instrument) -> dict[str, Any]:
    names = ("currency", "usd_rate", "multiplier")
    return {name: getattr(instrument, name) for name in names}


def _event(topic: str, partition: int, row: Any) -> dict[str, Any]:
    offset, index, kind, ts_event, ts_recv, source, price, ask, size, ask_size = row[:10]
    said: dict[str, Any] = {
        "name": f"{topic}:{partition}:{offset}:{index}",
        "kind": Kind(kind).name.lower(),
        "ts_event_ms": ts_event / 1e6,
        "ts_recv_ms": ts_recv / 1e6,
        "source": source,
    }
    if kind == Kind.QUOTE:
        sides = {"bid": _price(price), "ask": _price(ask)}
        return said | sides | {"bid_size": _number(size), "ask_size": _number(ask_size)}
    return said | {"price": _price(price), "size": _number(size), "reference": ask}


def _price(value: int) -> float | None:
    return None if value == NO_PRICE else value * PRICE_UNIT


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return value if value - value == 0 else None
