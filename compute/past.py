"""Rule: what charts show of the past, from the bars: bars, series, P&L, volume at price.

compute/history.py says the same from the events themselves, exact and slow: tests compare them.
Answers come as RowBinary, so that a day of seconds is one copy. A bar that lost a trade to a bust
is made anew of its events; they are few, and the bar's own offsets say where in the log they are.
"""

from collections.abc import Sequence

import numpy as np

from compute import bars as bars_shape
from compute.archive import Archive
from compute.bars import SPANS_S, STATE
from ingest.event import PRICE_SCALE, PRICE_UNIT, Flag, Kind

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 86_400)
SECOND_NS = 1_000_000_000
RANGES_MAX = 64  # Of offsets in one query; beyond that what lies between is read too.
HIGHEST, LOWEST = 2**63 - 1, -(2**63)

ROW = np.dtype(  # A part of a bar as the table has it.
    [
        *(("start_ns", "<i8"), ("open_key", "<u8"), ("open", "<i8"), ("close_key", "<u8")),
        *(("close", "<i8"), ("high", "<i8"), ("low", "<i8")),
        *(("paid", "<f8"), ("counted", "<f8"), ("volume", "<f8"), ("trades", "<u8")),
        ("voids", "<u8"),  # Busted trades of the instrument, whenever they were.
    ]
)


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
    span_s = step_s * SECOND_NS
    from_ns, to_ns = from_ns // span_s * span_s, -(-to_ns // span_s) * span_s
    rows = _rows(archive, instrument, [(from_ns, to_ns)], step_s)
    joined = _joined(rows, step_s)
    if len(rows) and rows["voids"][0]:
        voids = _voids(archive, instrument, from_ns, to_ns)
        joined = _without(archive, instrument, joined, voids, step_s) if voids else joined
    return _shown(joined)


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
        f"FROM {archive.database}.bars WHERE {_where(instrument, from_ns, to_ns, step_s)}",
        "RowBinary",
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
        f"AND instrument = {instrument} AND ts_event >= {_moment(from_ns)}"
    )
    busted = f"SELECT id FROM {archive.database}.voids WHERE instrument = {instrument}"
    query = (
        f"SELECT price * {PRICE_UNIT}, sum(size), "
        f"sumIf(size, bitAnd(flags, {int(Flag.BUYER)}) > 0), "
        f"sumIf(size, bitAnd(flags, {int(Flag.SELLER)}) > 0), toFloat64(count()) "
        f"FROM {within} AND ts_event < {_moment(to_ns)} AND kind = {int(Kind.TRADE)} AND size > 0 "
        f"AND ask NOT IN ({busted}) GROUP BY price ORDER BY price DESC"
    )
    return _floats(archive, query, 5)


def books(archive: Archive, from_ns: int, to_ns: int, step_s: int, book: int | None) -> np.ndarray:
    """P&L and exposure of a book, or of each (None): float64 [n, 7], by book and time.

    Columns book, t (ms, the step's start), pnl, net, gross, long, short: as at the step's end.
    """
    names = ("pnl", "net", "gross", "long", "short")
    wanted = "" if book is None else f"AND book = {book} "
    picked = ", ".join(f"toFloat64(argMax({name}, ts))" for name in names)
    query = (
        f"SELECT toFloat64(book), toFloat64({_step(step_s)}) * 1000 AS t, {picked} "
        f"FROM {archive.database}.books WHERE ts >= {_moment(from_ns)} AND ts < {_moment(to_ns)} "
        f"{wanted}GROUP BY book, t ORDER BY book, t"
    )
    return _floats(archive, query, 2 + len(names))


def _floats(archive: Archive, query: str, width: int) -> np.ndarray:
    return np.frombuffer(archive.raw(query, "RowBinary"), np.float64).reshape(-1, width)


def _moment(ns: int) -> str:
    return f"fromUnixTimestamp64Nano(toInt64({ns}))"


def _step(step_s: int) -> str:
    return f"intDiv(toUnixTimestamp64Nano(ts), {step_s * SECOND_NS}) * {step_s}"


def _where(instrument: int, from_ns: int, to_ns: int, step_s: int) -> str:
    kept = max(span for span in SPANS_S if step_s % span == 0)
    return (
        f"span_s = {kept} AND instrument = {instrument} "
        f"AND ts >= {_moment(from_ns)} AND ts < {_moment(to_ns)}"
    )


def _rows(
    archive: Archive, instrument: int, ranges: Sequence[tuple[int, int]], step_s: int
) -> np.ndarray:
    """Joined here: to plan a query that joins costs ClickHouse more than to read its rows."""
    within = " OR ".join(f"({_where(instrument, *range_, step_s)})" for range_ in ranges)
    query = (
        "SELECT toUnixTimestamp64Nano(ts), open.1, open.2, close.1, close.2, high, low, paid, "
        "counted, volume, trades, toUInt64(assumeNotNull((SELECT count() "
        f"FROM {archive.database}.voids WHERE instrument = {instrument}))) "
        f"FROM {archive.database}.bars WHERE {within}"
    )
    return np.frombuffer(archive.raw(query, "RowBinary"), ROW)


def _voids(
    archive: Archive, instrument: int, from_ns: int, to_ns: int
) -> dict[tuple[int, int], dict[int, int]]:
    """Busted trades by place: id -> ts_event of the trade, those of the range."""
    found = archive.rows(
        "SELECT topic, partition, id, max(toUnixTimestamp64Nano(ts_trade)) "
        f"FROM {archive.database}.voids WHERE instrument = {instrument} "
        f"AND (ts_trade = {_moment(0)} OR ts_trade >= {_moment(from_ns)} "
        f"AND ts_trade < {_moment(to_ns)}) GROUP BY topic, partition, id"
    )
    voids: dict[tuple[int, int], dict[int, int]] = {}
    lost: dict[tuple[int, int], list[int]] = {}
    for topic, partition, number, ts in found:
        if ts:
            voids.setdefault((topic, partition), {})[number] = ts
        else:
            lost.setdefault((topic, partition), []).append(number)
    for place, numbers in lost.items():  # The recorder had forgotten when the trade was.
        looked = archive.rows(
            f"SELECT ask, max(toUnixTimestamp64Nano(ts_event)) FROM {archive.database}.events "
            f"WHERE topic = {place[0]} AND partition = {place[1]} AND instrument = {instrument} "
            f"AND kind = {int(Kind.TRADE)} AND ask IN ({_listed(numbers)}) "
            f"AND ts_event >= {_moment(from_ns)} AND ts_event < {_moment(to_ns)} GROUP BY ask"
        )
        if looked:
            voids.setdefault(place, {}).update((number, ts) for number, ts in looked)
    return voids


def _without(
    archive: Archive,
    instrument: int,
    parts: np.ndarray,
    voids: dict[tuple[int, int], dict[int, int]],
    step_s: int,
) -> np.ndarray:
    """`parts` with the bars that lost a trade made anew, of their seconds."""
    touched = {ts // SECOND_NS for ids in voids.values() for ts in ids.values()}
    steps = sorted({second // step_s * step_s * SECOND_NS for second in touched})
    ranges = _merged([(t, t + step_s * SECOND_NS) for t in steps])
    seconds = _rows(archive, instrument, ranges, 1)
    anew = [_from_events(archive, instrument, place, ids) for place, ids in voids.items()]
    kept = ~np.isin(seconds["start_ns"] // SECOND_NS, [*touched])
    joined = _joined(np.concatenate((seconds[kept], *anew)), step_s)
    joined = joined[np.isin(joined["start_ns"], steps)]
    whole = np.concatenate((parts[~np.isin(parts["start_ns"], steps)], joined))
    return whole[np.argsort(whole["start_ns"], kind="stable")]


def _from_events(
    archive: Archive, instrument: int, place: tuple[int, int], voids: dict[int, int]
) -> np.ndarray:
    """Parts of one second each, of the seconds in which the trades `voids` were, without these."""
    seconds = sorted({ts // SECOND_NS for ts in voids.values()})
    log = f"topic = {place[0]} AND partition = {place[1]}"
    moments = ", ".join(_moment(second * SECOND_NS) for second in seconds)
    found = archive.rows(
        "SELECT first_offset, last_offset, versions, intDiv(toUnixTimestamp64Nano(ts), "
        f"{SECOND_NS}) FROM {archive.database}.bars WHERE span_s = 1 "
        f"AND instrument = {instrument} AND ts IN ({moments}) AND {log}"
    )
    ranges = _merged([(int(first), int(last) + 1) for first, last, _, _ in found])
    # Of two versions within a second the newer one.
    judged = {int(second): 1 << int(bits).bit_length() >> 1 for _, _, bits, second in found}
    if not ranges:
        return np.zeros(0, ROW)
    if len(ranges) > RANGES_MAX:
        ranges = [(ranges[0][0], ranges[-1][1])]
    where = " OR ".join(f"offset >= {first} AND offset < {end}" for first, end in ranges)
    second = f"intDiv(toUnixTimestamp64Nano(ts_event), {SECOND_NS})"
    listed = _listed(judged), ", ".join(str(bit) for bit in judged.values())
    eligible = bars_shape.eligible(f"transform({second}, [{listed[0]}], [{listed[1]}], 0)")
    when = "(ts_event, offset, `index`)"
    query = (
        f"SELECT toInt64({second} * {SECOND_NS}) AS t, "
        f"toUInt64(0), argMinIf(price, {when}, {eligible}), toUInt64(0), "
        f"argMaxIf(price, {when}, {eligible}), "
        f"if(countIf({eligible}) > 0, maxIf(price, {eligible}), toInt64({LOWEST})), "
        f"if(countIf({eligible}) > 0, minIf(price, {eligible}), toInt64({HIGHEST})), "
        f"sumIf(toFloat64(price) * size, {eligible}), "
        f"sumIf(size, {eligible}), sum(size), countIf({eligible}), toUInt64(1) "
        f"FROM {archive.database}.events WHERE {log} AND ({where}) AND instrument = {instrument} "
        f"AND kind = {int(Kind.TRADE)} AND size > 0 AND ask NOT IN ({_listed(voids)}) "
        f"AND t IN ({_listed([second * SECOND_NS for second in seconds])}) GROUP BY t ORDER BY t"
    )
    return np.frombuffer(archive.raw(query, "RowBinary"), ROW)


def _joined(rows: np.ndarray, step_s: int) -> np.ndarray:
    """Parts as whole bars of `step_s`, in order of time; steps without volume are left out."""
    span_ns = step_s * SECOND_NS
    rows = rows[np.argsort(rows["start_ns"], kind="stable")]
    if not len(rows):
        return rows
    steps, first = np.unique(rows["start_ns"] // span_ns, return_index=True)
    out = np.zeros(len(steps), ROW)
    out["start_ns"] = steps * span_ns
    for name in ("paid", "counted", "volume", "trades"):
        out[name] = np.add.reduceat(rows[name], first)
    out["high"] = np.maximum.reduceat(rows["high"], first)
    out["low"] = np.minimum.reduceat(rows["low"], first)
    traded = rows[rows["trades"] > 0]
    for name, key in (("open", "open_key"), ("close", "close_key")):
        ordered = traded[np.lexsort((traded[key], traded["start_ns"]))]
        mine, at = np.unique(ordered["start_ns"] // span_ns, return_index=True)
        if name == "close":
            at = np.append(at[1:], len(ordered)) - 1
        out[name][np.searchsorted(steps, mine)] = ordered[name][at]
    return out[out["volume"] > 0]


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


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges as the fewest that cover the same."""
    out: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if out and first <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((first, end))
    return out


def _listed(numbers: Sequence[int] | dict[int, int]) -> str:
    return ", ".join(str(int(number)) for number in numbers)
