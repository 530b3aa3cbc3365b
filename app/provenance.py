"""Rule: a page asks where a cell's number comes from; the question checked, and the answer.

In: {"type": "provenance", "id": n, "table": "instruments", "row": 17, "column": "vwap",
"ts_ms": moment or absent}. Out: {"id": n} and what compute/origin.py says, or {"id": n, "error":
a sentence}. Asked of ClickHouse, so to be called in a thread.
"""

from collections.abc import Mapping
from typing import Any

from compute.archive import Archive, ArchiveError
from compute.origin import origin
from compute.table import INSTRUMENTS
from ingest.instrument import Reference


def answer(
    archive: Archive, reference: Reference, message: Mapping[str, Any], now_ns: int
) -> dict[str, Any]:
    """The answer to a page's question; what is wrong with it is said in it."""
    number = message.get("id") if type(message.get("id")) is int else None
    try:
        return {"id": number} | _answer(archive, reference, message, now_ns)
    except ArchiveError as error:
        return {"id": number, "error": str(error)}
    except (KeyError, TypeError, ValueError) as error:
        return {"id": number, "error": f"no such cell: {error}"}


def _answer(
    archive: Archive, reference: Reference, message: Mapping[str, Any], now_ns: int
) -> dict[str, Any]:
    if message["table"] != INSTRUMENTS.name:
        raise ValueError(f"provenance is of the table {INSTRUMENTS.name}")
    row, moment = message["row"], message.get("ts_ms")
    if type(row) is not int or (moment is not None and not 0 < moment < 1e13):
        raise ValueError("row is a number, ts_ms a moment")
    instrument = reference.by_id.get(row)
    if instrument is None:
        raise ValueError(f"there is no instrument {row}")
    until_ns = now_ns if moment is None else int(moment * 1e6)
    return origin(archive, instrument, str(message["column"]), until_ns)
