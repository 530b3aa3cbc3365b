"""Rule: what charts show of the past, from the bars: bars, series, P&L, volume at price.

compute/history.py says the same from the events themselves, exact and slow: tests compare them.
Answers come column by column, so that a day of seconds is a few copies. A bar that lost a trade
to a bust stands anew in `corrections` (compute/mend.py) soon after; until then it is made of its
events here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from compute import anew
from compute.anew import (
    QUICK,
    QUICK_MANY,
    ROW,
    SECOND_NS,
    bare,
    joined,
    listed,
    merged,
    moment,
)
from compute.archive import Archive
from compute.bars import CORRECTION, SPANS_S, STATE
from compute.row import from_native
from ingest.event import PRICE_SCALE, PRICE_UNIT, Flag, Kind

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 86_400)

PART = np.dtype([*ROW.descr, ("last", "<u8"), ("topic", "u1"), ("partition", "<u2")])
_OF_PART = (  # Plain numbers: a column's own type says how its parts are joined.
    *("toUnixTimestamp64Nano(ts)", "open.1", "open.2", "close.1", "close.2"),
    *(f"toInt64({name})" for name in ("high", "low")),
    *(f"toFloat64({name})" for name in ("paid", "counted", "volume")),
    *("toUInt64(trades)", "toUInt64(last_offset)", "topic", "partition"),
)
_OF_VOID = (  # In the same columns: the id stands where the first price does, the volume is -1.
    *("toUnixTimestamp64Nano(ts_trade)", "toUInt64(0)", "id", "toUInt64(0)"),
    *(["toInt64(0)"] * 3 + ["toFloat64(0)"] * 2 + ["toFloat64(-1)"] + ["toUInt64(0)"] * 2),
    *("topic", "partition"),
)


class Void(NamedTuple):
    """A trade that was busted."""

    topic: int
    partition: int
    id: int
    ts: int  # ns, of the trade


def step_for(from_ns: int, to_ns: int, points: int) -> int:
    """The shortest of STEPS_S that gives at most `points` bars."""
    span_s = (to_ns - from_ns) / SECOND_NS
    return next((step for step in STEPS_S if span_s / step <= points), STEPS_S[-1])


def bars(archive: Archive, instrument: int, from_ns: int, to_ns: int, step_s: int) -> np.ndarray:
    """Trade bars of [from_ns, to_ns) in event time, whole steps: float64 [n, 8].

    Columns t (ms, the bar's start), open, high, low, close, vwap, volume, trades. Ineligible
    trades count in volume alone, busted ones nowhere; NaN where no trade was eligible.
    """
    if step_s < 1 or to_ns <= from_ns:
        raise ValueError("bars need a step of 1 s or more and an end after their start")
    span_ns = step_s * SECOND_NS
    from_ns, to_ns = from_ns // span_ns * span_ns, -(-to_ns // span_ns) * span_ns
    kept = max(span for span in SPANS_S if step_s % span == 0)
    parts, voids = _parts(archive, instrument, from_ns, to_ns, kept)
    if not voids:
        return _shown(joined(parts, step_s))
    within = _where(instrument, from_ns, to_ns, kept)
    parts, left = _corrected(archive, parts, voids, within, kept)
    made = joined(parts, step_s)
    if left:
        steps = {void.ts // span_ns for void in left}
        voids = [void for void in voids if void.ts // span_ns in steps]
        made = _without(archive, instrument, made, voids, step_s)
    return _shown(made)


def series(  # noqa: PLR0913 (a question has its parts)
    archive: Archive, instrument: int, from_ns: int, to_ns: int, step_s: int, names: Sequence[str]
) -> np.ndarray:
    """The numbers `names` as they stood at the end of each step: float64 [n, 1 + names].

    The first column is t (ms, the step's start). A name is one of STATE, or `last`: the newest
    eligible trade of the step, NaN without one. In steps below a minute the seconds count in which
    the instrument traded or was held: quotes alone leave a mark each minute.
    """
    picked = [f"state.{STATE.index(name) + 2}" for name in names if name != "last"]
    body = archive.raw(
        "SELECT toUnixTimestamp64Nano(ts), state.1, close.1, "
        f"if(trades > 0, close.2 / {PRICE_SCALE}, nan){''.join(', ' + one for one in picked)} "
        f"FROM {archive.database}.bars WHERE {_where(instrument, from_ns, to_ns, step_s)}{QUICK}",
        "RowBinary",
        small=True,
    )
    shape = [("ns", "<i8"), ("state_key", "<u8"), ("close_key", "<u8"), ("last", "<f8")]
    rows = np.frombuffer(body, [*shape, ("state", "<f8", (len(picked),))])
    newest = _newest(rows, rows["state_key"], step_s)
    out = np.empty((len(newest), 1 + len(names)))
    out[:, 0] = newest["ns"] // (step_s * SECOND_NS) * (step_s * 1e3)
    states = iter(newest["state"].T)
    traded = rows[~np.isnan(rows["last"])]
    traded = _newest(traded, traded["close_key"], step_s)
    lasts = np.full(len(newest), np.nan)
    steps = traded["ns"] // (step_s * SECOND_NS) * (step_s * 1e3)
    lasts[np.searchsorted(out[:, 0], steps)] = traded["last"]
    for column, name in enumerate(names, 1):
        out[:, column] = lasts if name == "last" else next(states)
    return out


def _newest(rows: np.ndarray, keys: np.ndarray, step_s: int) -> np.ndarray:
    """Of rows with `ns` the last one of each step, by ns and then by key."""
    rows = rows[np.lexsort((keys, rows["ns"]))]
    newest: np.ndarray
    steps = rows["ns"] // (step_s * SECOND_NS)
    newest = rows[np.append(steps[1:] != steps[:-1], [True] * bool(len(rows)))]
    return newest


def levels(
    archive: Archive, place: tuple[int, int], instrument: int, from_ns: int, to_ns: int
) -> np.ndarray:
    """What traded at each price, the highest first: float64 [n, 5].

    Columns price, volume, bought and sold (by the aggressor, where that is known), trades.
    `place` is the (topic, partition) of the instrument: only its log is read. Busted trades are
    left out.
    """
    topic, partition = place
    within = (
        f"{archive.database}.events WHERE topic = {topic} AND partition = {partition} "
        f"AND instrument = {instrument} AND ts_event >= {moment(from_ns)}"
    )
    busted = f"SELECT id FROM {archive.database}.voids WHERE instrument = {instrument}"
    query = (
        f"SELECT price * {PRICE_UNIT}, sum(size), "
        f"sumIf(size, bitAnd(flags, {int(Flag.BUYER)}) > 0), "
        f"sumIf(size, bitAnd(flags, {int(Flag.SELLER)}) > 0), toFloat64(count()) "
        f"FROM {within} AND ts_event < {moment(to_ns)} AND kind = {int(Kind.TRADE)} AND size > 0 "
        f"AND ask NOT IN ({busted}) GROUP BY price ORDER BY price DESC"
    )
    return _floats(archive, query, 5)


def books(archive: Archive, from_ns: int, to_ns: int, step_s: int, book: int | None) -> np.ndarray:
    """P&L and exposure of a book, or of each (None): float64 [n, 7], by book and time.

    Columns book, t (ms, the step's start), pnl, net, gross, long, short: as at the step's end.
    """
    names = ("pnl", "net", "gross", "long", "short")
    within = f"ts >= {moment(from_ns)} AND ts < {moment(to_ns)}"
    table = f"{archive.database}.books"
    if book is not None:  # All seconds of one book are sooner read than grouped.
        shape = np.dtype([("ns", "<i8"), *((name, "<f8") for name in names)])
        picked = _aliased(("toUnixTimestamp64Nano(ts)", *names))
        query = f"SELECT {picked} FROM {table} WHERE book = {book} AND {within}{QUICK}"
        rows = _records(archive, query, shape)
        rows = _newest(rows, rows["ns"], step_s)
        steps_ms = rows["ns"] // (step_s * SECOND_NS) * (step_s * 1e3)
        return np.column_stack(
            (np.full(len(rows), float(book)), steps_ms, *(rows[one] for one in names))
        )
    picked = ", ".join(f"toFloat64(argMax({name}, ts))" for name in names)
    query = (
        f"SELECT toFloat64(book), toFloat64({_step(step_s)}) * 1000 AS t, {picked} "
        f"FROM {table} WHERE {within} GROUP BY book, t ORDER BY book, t"
    )
    return _floats(archive, query, 2 + len(names))


def _floats(archive: Archive, query: str, width: int) -> np.ndarray:
    return np.frombuffer(archive.raw(query, "RowBinary", small=True), np.float64).reshape(-1, width)


def _aliased(picked: Sequence[str]) -> str:
    """These expressions, named as `_records` expects them."""
    return ", ".join(f"{one} AS c{k}" for k, one in enumerate(picked))


def _records(archive: Archive, query: str, shape: np.dtype) -> np.ndarray:
    """What a query answers whose columns are `_aliased`, as records of the packed dtype `shape`."""
    kinds = [shape[name] for name in shape.names or ()]
    plain = np.dtype([(f"c{k}", kind) for k, kind in enumerate(kinds)])
    return from_native(archive.raw(query, "Native", small=True), plain).view(shape)


def _step(step_s: int) -> str:
    return f"intDiv(toUnixTimestamp64Nano(ts), {step_s * SECOND_NS}) * {step_s}"


def _where(instrument: int, from_ns: int, to_ns: int, step_s: int) -> str:
    kept = max(span for span in SPANS_S if step_s % span == 0)
    return (
        f"span_s = {kept} AND instrument = {instrument} "
        f"AND ts >= {moment(from_ns)} AND ts < {moment(to_ns)}"
    )


def _parts(
    archive: Archive, instrument: int, from_ns: int, to_ns: int, kept: int
) -> tuple[np.ndarray, list[Void]]:
    """Parts of bars (PART), and the trades that were busted: one question for both.

    Parts are joined here: to plan a query that joins costs ClickHouse more than to read its rows.
    A void is told as a part with a volume of -1, its id in place of what came first.
    """
    query = (
        f"SELECT {_aliased(_OF_PART)} FROM {archive.database}.bars "
        f"WHERE {_where(instrument, from_ns, to_ns, kept)} UNION ALL "
        f"SELECT {_aliased(_OF_VOID)} FROM {archive.database}.voids "
        f"WHERE instrument = {instrument} AND (ts_trade = {moment(0)} "
        f"OR ts_trade >= {moment(from_ns)} AND ts_trade < {moment(to_ns)})"
        f"{QUICK if kept > 1 else QUICK_MANY}"
    )
    found = _records(archive, query, PART)
    busted = found["volume"] < 0
    if not busted.any():
        return found, []
    voids = {
        Void(
            one["topic"].item(), one["partition"].item(), one["open"].item(), one["start_ns"].item()
        )
        for one in found[busted]
    }
    lost = [void for void in voids if not void.ts]
    known = {(void.topic, void.partition, void.id): void for void in voids if void.ts}
    if lost:
        for void in _looked_up(archive, instrument, lost, from_ns, to_ns):
            known.setdefault((void.topic, void.partition, void.id), void)
    return found[~busted], [*known.values()]


def _looked_up(
    archive: Archive, instrument: int, lost: Sequence[Void], from_ns: int, to_ns: int
) -> list[Void]:
    """The same, those of the range, where the recorder had forgotten when the trade was."""
    found = []
    for place in {void[:2] for void in lost}:
        numbers = listed([void.id for void in lost if void[:2] == place])
        looked = archive.rows(
            f"SELECT ask, max(toUnixTimestamp64Nano(ts_event)) FROM {archive.database}.events "
            f"WHERE topic = {place[0]} AND partition = {place[1]} AND instrument = {instrument} "
            f"AND kind = {int(Kind.TRADE)} AND ask IN ({numbers}) "
            f"AND ts_event >= {moment(from_ns)} AND ts_event < {moment(to_ns)} GROUP BY ask"
        )
        found += [Void(*place, int(number), int(ts)) for number, ts in looked]
    return found


def _corrected(
    archive: Archive, parts: np.ndarray, voids: Sequence[Void], within: str, kept: int
) -> tuple[np.ndarray, list[Void]]:
    """The parts (ROW) of bars, those made anew in place of theirs; and the voids without one.

    A correction holds where nothing has come to its bar since, no event and no bust.
    """
    names = ", ".join(f"`{name}`" for name in CORRECTION.names or () if name != "start_ns")
    query = (
        f"SELECT toUnixTimestamp64Nano(ts), {names} FROM {archive.database}.corrections "
        f"WHERE {within}{QUICK}"
    )
    made = np.frombuffer(archive.raw(query, "RowBinary", small=True), CORRECTION)
    span_ns = kept * SECOND_NS
    touched: dict[int, list[Void]] = {}
    for void in voids:
        touched.setdefault(void.ts // span_ns * span_ns, []).append(void)
    mine = parts[np.isin(parts["start_ns"], [*touched])]
    held: dict[int, np.void] = {}
    for one in made:
        start, place = one["start_ns"].item(), (one["topic"].item(), one["partition"].item())
        own, lost = mine[mine["start_ns"] == start], touched.get(start, [])
        places = {*zip(own["topic"].tolist(), own["partition"].tolist(), strict=True)}
        places |= {void[:2] for void in lost}
        same = places == {place} and len(lost) == one["voids"]
        if same and own["last"].max(initial=0) == one["last"]:
            held[start] = one
    kept_parts = bare(parts[~np.isin(parts["start_ns"], [*held])])
    anew_parts = np.zeros(len(held), ROW)
    for at, row in enumerate(held.values()):
        for name in set(ROW.names or ()) & set(CORRECTION.names or ()):
            anew_parts[name][at] = row[name]
    lacking = {*mine["start_ns"].tolist()} - {*held}
    left = [void for start, each in touched.items() if start in lacking for void in each]
    return np.concatenate((kept_parts, anew_parts)), left


def _without(
    archive: Archive, instrument: int, parts: np.ndarray, voids: Sequence[Void], step_s: int
) -> np.ndarray:
    """`parts` with the bars that lost a trade made anew, of their seconds."""
    touched = {void.ts // SECOND_NS for void in voids}
    steps = sorted({second // step_s * step_s * SECOND_NS for second in touched})
    ranges = merged([(t, t + step_s * SECOND_NS) for t in steps])
    within = " OR ".join(f"ts >= {moment(a)} AND ts < {moment(b)}" for a, b in ranges)
    seconds = anew.read(archive, f"span_s = 1 AND instrument = {instrument} AND ({within})")
    lost = np.isin(seconds["start_ns"] // SECOND_NS, [*touched])
    made = anew.seconds(archive, seconds[lost], {instrument: {void.id for void in voids}})
    made = joined(np.concatenate((bare(seconds[~lost]), bare(made))), step_s)
    made = made[np.isin(made["start_ns"], steps)]
    whole = np.concatenate((parts[~np.isin(parts["start_ns"], steps)], made))
    return whole[np.argsort(whole["start_ns"], kind="stable")]


def _shown(parts: np.ndarray) -> np.ndarray:
    out = np.empty((len(parts), 8))
    out[:, 0] = parts["start_ns"] / 1e6
    for column, name in enumerate(("open", "high", "low", "close"), 1):
        out[:, column] = parts[name] * PRICE_UNIT
    counted = parts["counted"]
    out[:, 5] = (
        np.divide(parts["paid"], counted, out=np.full(len(parts), np.nan), where=counted > 0)
        * PRICE_UNIT
    )
    out[:, 6], out[:, 7] = parts["volume"], parts["trades"]
    out[parts["trades"] == 0, 1:6] = np.nan
    return out
