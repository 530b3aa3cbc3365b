"""Rule: bars that lost trades to busts, made anew of their events; and parts of bars joined.

Nothing is taken out of a bar when a trade is busted: the table `voids` names the trade. A second
that lost one is made of its events again, without it; the bar's own offsets say where in the log
they are. Longer bars are joined of such seconds and those that nothing was taken from.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from compute import bars
from compute.archive import Archive
from compute.row import SEGMENT_FRAMES
from ingest.event import Kind

SECOND_NS = 1_000_000_000
HIGHEST, LOWEST = 2**63 - 1, -(2**63)
PRICES = "open.1, open.2, close.1, close.2, high, low, paid, counted, volume, trades"
# So few rows are asked for that what makes a server quick with many costs it more than the rows.
QUICK = (
    " SETTINGS max_threads = 1, optimize_move_to_prewhere = 0, "
    "local_filesystem_read_method = 'pread'"
)
QUICK_MANY = QUICK.replace("max_threads = 1", "max_threads = 2")  # A day of seconds: 3 MB.
OFFSETS_LISTED_MAX = 10_000  # 100 kB of query; beyond it what lies between is read too.

ROW = np.dtype(  # A part of a bar.
    [
        *(("start_ns", "<i8"), ("open_key", "<u8"), ("open", "<i8"), ("close_key", "<u8")),
        *(("close", "<i8"), ("high", "<i8"), ("low", "<i8")),
        *(("paid", "<f8"), ("counted", "<f8"), ("volume", "<f8"), ("trades", "<u8")),
    ]
)
PLACED = np.dtype(  # With whose it is, where in the log, and how its trades were judged.
    [
        *(("instrument", "<u4"), ("span_s", "<u2")),
        *ROW.descr,
        *(("first", "<u8"), ("last", "<u8"), ("topic", "u1"), ("partition", "<u2")),
        ("versions", "u1"),
    ]
)
MADE = np.dtype([("instrument", "<u4"), *ROW.descr])


def moment(ns: int) -> str:
    """A moment in SQL."""
    return f"fromUnixTimestamp64Nano(toInt64({ns}))"


def listed(numbers: Collection[int]) -> str:
    """Numbers in SQL."""
    return ", ".join(str(int(number)) for number in numbers)


def read(archive: Archive, where: str) -> np.ndarray:
    """Parts of bars, PLACED."""
    query = (
        f"SELECT instrument, span_s, toUnixTimestamp64Nano(ts), {PRICES}, first_offset, "
        f"last_offset, topic, partition, versions FROM {archive.database}.bars WHERE {where}"
    )
    return np.frombuffer(archive.raw(query + QUICK, "RowBinary", small=True), PLACED)


def seconds(archive: Archive, lost: np.ndarray, voids: Mapping[int, Collection[int]]) -> np.ndarray:
    """The seconds whose parts (PLACED) are `lost`, made without the trades `voids`: MADE.

    `voids` by instrument. A second without any trade left has no row.
    """
    if not len(lost):
        return np.zeros(0, MADE)
    second = f"intDiv(toUnixTimestamp64Nano(ts_event), {SECOND_NS})"
    key = f"toUInt64(instrument) * 4294967296 + {second}"
    judged = {  # Of two versions within a second the newer one.
        (one["instrument"].item() << 32) + one["start_ns"].item() // SECOND_NS: (
            1 << one["versions"].item().bit_length() >> 1
        )
        for one in np.sort(lost, order="versions")
    }
    eligible = bars.eligible(
        f"transform({key}, [{listed(judged)}], [{listed(judged.values())}], 0)"
    )
    busted = ", ".join(f"({one}, {void})" for one, ids in voids.items() for void in ids)
    when = "(ts_event, offset, `index`)"
    query = (
        f"SELECT instrument, toInt64({second} * {SECOND_NS}) AS t, "
        f"toUInt64(0), argMinIf(price, {when}, {eligible}), toUInt64(0), "
        f"argMaxIf(price, {when}, {eligible}), "
        f"if(countIf({eligible}) > 0, maxIf(price, {eligible}), toInt64({LOWEST})), "
        f"if(countIf({eligible}) > 0, minIf(price, {eligible}), toInt64({HIGHEST})), "
        f"sumIf(toFloat64(price) * size, {eligible}), "
        f"sumIf(size, {eligible}), sum(size), countIf({eligible}) "
        f"FROM {archive.database}.events WHERE {_log(lost)} "
        f"AND kind = {int(Kind.TRADE)} AND size > 0 AND (instrument, ask) NOT IN ({busted}) "
        f"AND {key} IN ({listed(judged)}) GROUP BY instrument, t ORDER BY instrument, t"
    )
    return np.frombuffer(archive.raw(query, "RowBinary"), MADE)


def _log(lost: np.ndarray) -> str:
    """Where in the log the parts are, in the words of the key by which the log is stored."""
    within = set()
    for one in lost:
        first, last = one["first"].item(), one["last"].item()
        whose = one["topic"].item(), one["partition"].item(), one["instrument"].item()
        for segment in range(first // SEGMENT_FRAMES, last // SEGMENT_FRAMES + 1):
            within.add((*whose[:2], segment, whose[2]))
    spans = lost["last"].astype(np.int64) - lost["first"].astype(np.int64)
    offsets = f"offset >= {lost['first'].min()} AND offset <= {lost['last'].max()}"
    if spans.sum() < OFFSETS_LISTED_MAX:
        each = {o for one in lost for o in range(one["first"].item(), one["last"].item() + 1)}
        offsets = f"offset IN ({listed(sorted(each))})"
    words = ", ".join(str(key) for key in sorted(within))
    return (
        f"(topic, partition, intDiv(offset, {SEGMENT_FRAMES}), instrument) IN ({words}) "
        f"AND {offsets}"
    )


def joined(rows: np.ndarray, step_s: int) -> np.ndarray:
    """Parts as whole bars of `step_s`, in order of time; steps without volume are left out."""
    span_ns = step_s * SECOND_NS
    rows = rows[np.argsort(rows["start_ns"], kind="stable")]
    if not len(rows):
        return np.zeros(0, ROW)
    every = rows["start_ns"] // span_ns
    first = np.flatnonzero(np.append(True, every[1:] != every[:-1]))
    if len(first) == len(rows):  # Every bar is one part, as most are once they are merged.
        out = bare(rows)
        out["start_ns"] = every * span_ns
        return out[out["volume"] > 0]
    steps = every[first]
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


def bare(rows: np.ndarray) -> np.ndarray:
    """What they say of the bar alone: ROW."""
    out = np.empty(len(rows), ROW)
    for name in ROW.names or ():
        out[name] = rows[name]
    return out


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges as the fewest that cover the same."""
    out: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if out and first <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((first, end))
    return out
