"""Rule: what the record says of the past, for charts: bars and series in event time."""

import numpy as np

from compute.archive import Archive
from compute.bars import eligible as judged
from ingest.condition import bit
from ingest.event import PRICE_UNIT, Kind


def bars(  # noqa: PLR0913 (a question has its parts)
    archive: Archive, instrument: int, from_ns: int, to_ns: int, seconds: float, version: int = 1
) -> np.ndarray:
    """Trade bars of [from_ns, to_ns) in event time: float64 [n, 7].

    Columns t (ms, the bar's start), open, high, low, close, vwap, volume. Ineligible trades
    count in volume alone, trades that were busted nowhere; NaN where no trade was eligible, by
    `version` of the eligibility table.
    """
    step = round(seconds * 1e9)
    if step <= 0 or to_ns <= from_ns:
        raise ValueError("bars need seconds above 0 and an end after their start")
    eligible = f"size > 0 AND {judged(str(bit(version)))}"
    when = "(ts_event, offset, `index`)"
    moments = [f"fromUnixTimestamp64Nano(toInt64({ns}))" for ns in (from_ns, to_ns)]
    within = (
        f"{archive.database}.events WHERE instrument = {instrument} "
        f"AND ts_event >= {moments[0]} AND ts_event < {moments[1]}"
    )
    found = archive.rows(
        f"SELECT intDiv(toUnixTimestamp64Nano(ts_event), {step}) * ({step} / 1e6) AS t, "
        f"argMinIf(price, {when}, {eligible}) * {PRICE_UNIT}, "
        f"maxIf(price, {eligible}) * {PRICE_UNIT}, minIf(price, {eligible}) * {PRICE_UNIT}, "
        f"argMaxIf(price, {when}, {eligible}) * {PRICE_UNIT}, "
        f"sumIf(price * size, {eligible}) / sumIf(size, {eligible}) * {PRICE_UNIT}, "
        f"sum(size), countIf({eligible}) FROM {within} AND kind = {int(Kind.TRADE)} "
        f"AND ask NOT IN (SELECT ask FROM {within} AND kind = {int(Kind.BUST)}) "
        "GROUP BY t ORDER BY t"
    )
    bars = np.array(found, np.float64).reshape(-1, 8)
    bars[bars[:, 7] == 0, 1:6] = np.nan
    return bars[:, :7]


def series(  # noqa: PLR0913 (a question has its parts)
    archive: Archive, instrument: int, from_ns: int, to_ns: int, seconds: float, version: int = 1
) -> np.ndarray:
    """What a chart shows of [from_ns, to_ns) in event time: float64 [n, 4], one row a step.

    Columns t (ms, the step's start), last, session VWAP and session volume as they stood
    after the step's newest eligible trade.
    """
    step = round(seconds * 1e9)
    when = "(ts_event, offset, `index`)"
    moments = [f"fromUnixTimestamp64Nano(toInt64({ns}))" for ns in (from_ns, to_ns)]
    found = archive.rows(
        f"SELECT intDiv(toUnixTimestamp64Nano(ts_event), {step}) * ({step} / 1e6) AS t, "
        f"argMax(price, {when}) * {PRICE_UNIT}, argMax(vwap, {when}), argMax(volume, {when}) "
        f"FROM {archive.database}.events WHERE instrument = {instrument} "
        f"AND kind = {int(Kind.TRADE)} AND size > 0 "
        f"AND {judged(str(bit(version)))} "
        f"AND ts_event >= {moments[0]} AND ts_event < {moments[1]} GROUP BY t ORDER BY t"
    )
    return np.array(found, np.float64).reshape(-1, 4)
