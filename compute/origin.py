"""Rule: where a number comes from: the events on record that it was last made of, and its inputs.

A web process knows no offsets, so the answer is found by instrument and time. What the row of the
newest market event says beside it is what the number was at that moment, and each of the rows
named can be proved.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from compute.archive import Archive
from compute.enriched import ENRICHED
from compute.row import SCHEMA
from compute.table import ANALYTICS, INSTRUMENTS, POSITIONS, RISK, Column
from ingest.event import NO_PRICE, OWN, PRICE_UNIT, Kind
from ingest.instrument import AssetClass, Instrument

FILLS = len(
    AssetClass
)  # As in ingest/source.py, which a web process does not load: it carries Kafka.
EVENTS = 4  # Of each source of the number.
SECOND_NS = 1_000_000_000
# How far back is looked, the nearest first: a busy instrument costs a minute of its partition.
WINDOWS_NS = (60 * SECOND_NS, 3_600 * SECOND_NS)
OWN_WINDOW_NS = 86_400 * SECOND_NS  # Own events are few.

MARKET = (Kind.QUOTE, Kind.TRADE, Kind.BUST, Kind.STATUS)
OWN_KINDS = tuple(kind for kind in Kind if OWN[kind] and kind != Kind.ORDER)
QUOTED = ("bid", "ask", "bid_size", "ask_size", "mid")
TRADED = (
    *("last", "last_size", "vwap", "vwap_1m", "vwap_5m", "vwap_30m", "vwap_ex", "volume", "trades"),
    *("open", "high", "low", "change", "vs_vwap"),
)
HELD = (  # Made of own events alone.
    *("position", "book", "instrument", "quantity", "average", "realised", "fees", "income"),
    *("dividends", "coupons", "funding", "borrow", "fifo_average", "fifo_realised"),
    *("mean_average", "mean_realised", "start_quantity"),
)
MARKED = ("pnl", "exposure", "mark", "unrealised", "value", "exit_value", "day_pnl", "pnl_base")
MARKET_ONLY = ("mark", "exit_mark", "close", "fx", "fx_stale")  # Of positions.
# A row of either table is about one instrument; what `risk` adds stands beside it.
TABLES = {
    INSTRUMENTS.name: (INSTRUMENTS, ANALYTICS),
    POSITIONS.name: (POSITIONS, RISK),
}


class Cell(NamedTuple):
    """The number that is asked about, as a page named it and as the mirror holds it."""

    table: str  # Of TABLES.
    column: str
    instrument: Instrument
    underlying: Instrument | None = None
    book: int | None = None  # Whose position; None: all books.
    fx: float | None = None  # USD of what the instrument pays in, where the table says so.


def about(table: str, column: str) -> Column:
    """The column of a page's table; KeyError where there is none."""
    for one in TABLES[table]:
        if any(each.name == column for each in one.columns):
            return one.columns[one.index(column)]
    raise KeyError(column)


def kinds(table: str, column: str) -> tuple[Kind, ...]:
    """Which events a column is made of; KeyError where there is no such column."""
    about(table, column)
    if column in HELD:
        return OWN_KINDS
    market: tuple[Kind, ...] = MARKET
    if table == INSTRUMENTS.name and column in QUOTED:
        market = (Kind.QUOTE,)
    elif table == INSTRUMENTS.name and column in TRADED:
        market = (Kind.TRADE, Kind.BUST)
    owned = column in ("pnl", "exposure") or (table == POSITIONS.name and column not in MARKET_ONLY)
    return (*market, *OWN_KINDS) if owned else market


def origin(archive: Archive, cell: Cell, until_ns: int) -> dict[str, Any]:
    """The newest events up to `until_ns` that made a number, newest first of each source; JSON.

    KeyError where there is no such column, ArchiveError where ClickHouse does not say.
    """
    column, instrument = about(cell.table, cell.column), cell.instrument
    wanted = kinds(cell.table, cell.column)
    market = [kind for kind in wanted if not OWN[kind]]
    rows = _market(archive, instrument, market, until_ns) if market else []
    numbers = ENRICHED.names or ()
    after = dict(zip(numbers, map(_number, rows[0][12:]), strict=True)) if rows else {}
    if cell.underlying is not None and column in ANALYTICS.columns:
        rows += _market(archive, cell.underlying, MARKET, until_ns)
    if own := [kind for kind in wanted if OWN[kind]]:
        rows += _own(archive, cell, own, until_ns)
    events = [_event(row) for row in rows]
    return {
        "symbol": instrument.symbol,
        "column": cell.column,
        "formula": column.source,
        "unit": column.unit,
        "version": f"schema {SCHEMA}",
        "value": after.get(cell.column) if cell.table == INSTRUMENTS.name else None,
        "inputs": after,
        "mark": after.get("mark") if cell.column in MARKED else None,
        "fx": _fx(cell) if column.unit.startswith("USD") else None,
        "newest_ms": _newest_ms(archive, instrument, until_ns),
        "events": events,
        "prove": f"./tickglass audit prove {events[0]['name']}" if events else None,
    }


def _market(
    archive: Archive, instrument: Instrument, wanted: Iterable[Kind], until_ns: int
) -> list[Any]:
    rows: list[Any] = []
    for window_ns in WINDOWS_NS:
        rows = _read(archive, _place(instrument), wanted, (until_ns - window_ns, until_ns))
        if rows:
            break
    return rows


def _own(archive: Archive, cell: Cell, wanted: Iterable[Kind], until_ns: int) -> list[Any]:
    where = f"topic = {FILLS} AND instrument = {cell.instrument.id}"
    if cell.book is not None:
        where += f" AND source = {cell.book}"
    return _read(archive, where, wanted, (until_ns - OWN_WINDOW_NS, until_ns))


def _read(archive: Archive, where: str, wanted: Iterable[Kind], span: tuple[int, int]) -> list[Any]:
    numbers = ENRICHED.names or ()
    return list(
        archive.rows(
            "SELECT topic, partition, offset, `index`, kind, toUnixTimestamp64Nano(ts_event), "
            "toUnixTimestamp64Nano(ts_recv), source, price, ask, size, ask_size, "
            f"{', '.join(numbers)} FROM {archive.database}.events "
            f"WHERE {where} AND kind IN ({', '.join(str(int(kind)) for kind in wanted)}) "
            f"AND {_between(*span)} ORDER BY offset DESC, `index` DESC LIMIT {EVENTS}"
        )
    )


def _newest_ms(archive: Archive, instrument: Instrument, until_ns: int) -> float | None:
    """Event time of the newest market event of the instrument that is on record."""
    found = archive.rows(
        "SELECT max(toUnixTimestamp64Nano(ts_event)) "
        f"FROM {archive.database}.events WHERE {_place(instrument)} "
        f"AND kind != 255 AND {_between(until_ns - WINDOWS_NS[-1], until_ns)}"
    )
    return found[0][0] / 1e6 if found and found[0][0] else None


def _place(instrument: Instrument) -> str:
    place = f"topic = {int(instrument.asset_class)} AND partition = {instrument.shard}"
    return f"{place} AND instrument = {instrument.id}"


def _between(after_ns: int, until_ns: int) -> str:
    first, last = (f"fromUnixTimestamp64Nano(toInt64({max(0, ns)}))" for ns in (after_ns, until_ns))
    return f"ts_event > {first} AND ts_event <= {last}"


def _fx(cell: Cell) -> dict[str, Any]:
    rate = cell.instrument.usd_rate if cell.fx is None else cell.fx
    one = cell.instrument
    return {"currency": one.currency, "usd_rate": rate, "multiplier": one.multiplier}


def _event(row: Any) -> dict[str, Any]:
    topic, partition, offset, index, kind, ts_event, ts_recv, source, price, ask, size, ask_size = (
        row[:12]
    )
    log = "fills" if topic == FILLS else AssetClass(topic).topic
    said: dict[str, Any] = {
        "name": f"{log}:{partition}:{offset}:{index}",
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
