"""Rule: a page asks where a cell's number comes from; the question checked, and the answer.

In: {"type": "provenance", "id": n, "table": "instruments" or "positions", "row": 17, "column":
"vwap"}, and optionally "ts_ms", a moment. `question` takes from the mirror what the cell shows;
call it in the server's loop. `answer` asks ClickHouse; call it in a thread. Out: {"type":
"provenance", "id": n} and what compute/origin.py says, or {"id": n, "error": a sentence}.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from app.rights import NOT_PERMITTED, Rights
from compute.archive import Archive, ArchiveError
from compute.origin import TABLES, Cell, about, origin
from compute.table import INSTRUMENTS, POSITIONS
from ingest.event import OWN, Kind
from ingest.instrument import Reference

_OWN = {kind.name.lower() for kind in Kind if OWN[kind]}
SAME_MS = 1e-3  # Moments in ms as float64 are a quarter of a microsecond apart.


class Question(NamedTuple):
    """What a page wants to know, checked, and what the cell shows while it asks."""

    id: int
    row: int
    cell: Cell
    until_ns: int
    shown: float | None
    event_ms: float | None  # Event time of what the row shows.


def permitted(rights: Rights, asked: Question, answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as it may be told: without what else of the fund was on record with the event."""
    if rights.everything:
        return answer
    cell = asked.cell
    of = [one.name for one in TABLES[cell.table] if cell.column in one.names]
    others = cell.book is not None and rights.books is not None and cell.book not in rights.books
    if others or not all(rights.column(name, cell.column) for name in of):
        return {"id": asked.id, "error": NOT_PERMITTED}
    if not answer.get("inputs"):
        return answer
    mine = rights.column(POSITIONS.name, "fees") and rights.column(POSITIONS.name, "quantity")
    if not mine and any(one["kind"] in _OWN for one in answer.get("events", ())):
        return {"id": asked.id, "error": NOT_PERMITTED}
    inputs = answer["inputs"]
    kept = {name: one for name, one in inputs.items() if rights.column(INSTRUMENTS.name, name)}
    return {**answer, "inputs": kept}


def question(
    tables: Mapping[str, np.ndarray],
    reference: Reference,
    message: Mapping[str, Any],
    now_ns: int,
) -> Question:
    """Check what a page said against the mirror's tables; ValueError says what is wrong."""
    try:
        table, column = str(message["table"]), str(message["column"])
        number, row, moment = message["id"], message["row"], message.get("ts_ms")
        if type(number) is not int or type(row) is not int or row < 0:
            raise ValueError("id and row are whole numbers from 0")  # noqa: TRY301
        if moment is not None and not 0 < moment < 1e13:
            raise ValueError("ts_ms is a moment in ms")  # noqa: TRY301
        about(table, column)
        cell = _cell(tables, reference, table, (row, column))
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"no such cell: {error}") from None
    except ValueError as error:
        raise ValueError(f"no such cell: {error}") from None
    until_ns = now_ns if moment is None else int(moment * 1e6)
    event_ms = _shown(tables, INSTRUMENTS.name, cell.instrument.id, "ts_event")
    return Question(number, row, cell, until_ns, _shown(tables, table, row, column), event_ms)


def answer(archive: Archive, asked: Question) -> dict[str, Any]:
    """What the record says; where ClickHouse says nothing, that."""
    head: dict[str, Any] = {"type": "provenance", "id": asked.id}
    try:
        said = origin(archive, asked.cell, asked.until_ns)
    except ArchiveError as error:
        return {**head, "error": str(error)}
    newest_ms = said["newest_ms"]
    behind_ms = 0.0
    if asked.event_ms is not None:  # What the row shows may not be on record yet.
        behind_ms = asked.event_ms - newest_ms if newest_ms is not None else float("inf")
    recorded = behind_ms <= SAME_MS
    return {
        **head,
        **said,
        "row": asked.row,
        "shown": asked.shown,
        "recorded": recorded,
        "behind_s": round(behind_ms / 1e3, 3) if not recorded and behind_ms < 1e12 else None,
    }


def _cell(
    tables: Mapping[str, np.ndarray],
    reference: Reference,
    table: str,
    place: tuple[int, str],
) -> Cell:
    row, column = place
    number, book, fx = row, None, None
    if table == POSITIONS.name:
        held = {name: _shown(tables, table, row, name) for name in ("instrument", "book", "fx")}
        if held["instrument"] is None or held["book"] is None:
            raise ValueError(f"there is no position {row}")
        number, book, fx = int(held["instrument"]), int(held["book"]), held["fx"]
    instrument = reference.by_id.get(number)
    if instrument is None:
        raise ValueError(f"there is no instrument {number}")
    underlying = reference.by_id.get(instrument.underlying) if instrument.underlying >= 0 else None
    return Cell(table, column, instrument, underlying, book, fx)


def _shown(tables: Mapping[str, np.ndarray], table: str, row: int, column: str) -> float | None:
    """The mirror's number; None where it has none."""
    for one in TABLES[table]:
        if any(each.name == column for each in one.columns):
            values = tables.get(one.name)
            if values is None or row >= len(values):
                return None
            value = float(values[row, one.index(column)])
            return value if np.isfinite(value) else None
    return None
