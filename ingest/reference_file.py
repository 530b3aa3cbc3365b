"""Rule: a file of reference rows, CSV with a heading or JSON lines -> instruments.

A row names its `symbol`; what else it gives replaces those fields of the instrument that is known
by that symbol, so a file may hold a single column for a few names. A symbol that is not known is a
new instrument and needs all that one needs; its id, where it gives none, is the next free one. A
row that cannot be, alone or beside the others, is refused with file, line and reason; the good ones
are kept.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, get_args

from ingest.instrument import FIELDS, KINDS, AssetClass, Instrument, problems


class RefusedLine(NamedTuple):
    """A line that cannot be: its number, the line whole, and why."""

    path: Path
    number: int
    line: str
    reason: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.path} line {self.number}: {self.reason}"


class Loaded(NamedTuple):
    """Rows to publish, and the lines that were refused."""

    rows: list[Instrument]
    refused: list[RefusedLine]


def load(path: Path, known: Iterable[Instrument], partitions: int = 1) -> Loaded:
    """The rows of `path` over what is `known`; OSError where the file cannot be read."""
    by_symbol = {row.symbol: row for row in known}
    ids = {row.id for row in by_symbol.values()}
    free = max(ids, default=-1) + 1
    rows: dict[int, Instrument] = {}
    lines: dict[int, int] = {}
    refused: list[RefusedLine] = []
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    whole = text.splitlines()
    for line, told in _lines(text):
        try:
            if isinstance(told, ValueError):
                raise told
            fields = _over(told, by_symbol, free, partitions)
            row = Instrument.from_fields(fields)
            if row.id in rows or (row.symbol not in by_symbol and row.id in ids):
                raise ValueError(f"reference row {row.symbol!r}: id {row.id} is another's")  # noqa: TRY301
        except ValueError as error:
            refused.append(RefusedLine(path, line, whole[line - 1], str(error)))
            continue
        rows[row.id], lines[row.id] = row, line
        free = max(free, row.id + 1)
    conflicts = problems(rows, {row.id: row for row in by_symbol.values()})
    refused += [
        RefusedLine(path, lines[i], whole[lines[i] - 1], refusal.reason)
        for i, refusal in conflicts.items()
    ]
    return Loaded([row for row in rows.values() if row.id not in conflicts], refused)


def _lines(text: str) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """Line numbers and what stands there: fields by name, or why it cannot be read."""
    if text.lstrip().startswith("{"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, _object(line)
        return
    reader = csv.reader(text.splitlines())
    heading = [name.strip() for name in next(reader, [])]
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(heading):
            wrong = f"{len(cells)} cells under {len(heading)} headings"
            yield reader.line_num, ValueError(wrong)
        else:
            yield reader.line_num, _cells(dict(zip(heading, cells, strict=True)))


def _object(line: str) -> dict[str, Any] | ValueError:
    try:
        told = json.loads(line)
    except ValueError as error:
        return ValueError(f"is no JSON object: {error}")
    return told if isinstance(told, dict) else ValueError("is no JSON object")


def _cells(cells: dict[str, str]) -> dict[str, Any] | ValueError:
    """Typed fields of a line of CSV; an empty cell gives nothing."""
    row: dict[str, Any] = {}
    for name, text in cells.items():
        cell = text.strip()
        if not cell:
            continue
        try:
            row[name] = _value(name, cell)
        except ValueError:
            return ValueError(f"{name} is {cell!r}; give {_wanted(name)}")
    return row


def _kind(name: str) -> Any:
    kind = KINDS.get(name, str)
    return get_args(kind)[0] if isinstance(kind, UnionType) else kind


def _value(name: str, cell: str) -> Any:
    if name == "dividends":  # 2026-12-04:0.24 2027-03-05:0.24
        pairs = [pair.split(":") for pair in cell.split()]
        return [(day, float(amount)) for day, amount in pairs]
    kind = _kind(name)
    if name == "asset_class" and not cell.isdigit():
        return cell
    if kind is bool:
        if cell.lower() not in ("true", "false"):
            raise ValueError(cell)
        return cell.lower() == "true"
    return kind(cell)


def _wanted(name: str) -> str:
    if name == "dividends":
        return "dates and amounts like 2026-12-04:0.24 2027-03-05:0.24"
    return {int: "a whole number", float: "a number", bool: "true or false"}[_kind(name)]


def _over(
    told: dict[str, Any], by_symbol: dict[str, Instrument], free: int, partitions: int
) -> dict[str, Any]:
    """All fields of the instrument: what is told over what is known of it."""
    symbol = told.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise ValueError("the row has no symbol; add it")
    kind = told.get("asset_class")
    if isinstance(kind, str):
        names = {one.name.lower(): int(one) for one in AssetClass}
        if kind.lower() not in names:
            raise ValueError(f"asset_class is {kind!r}; give one of {', '.join(names)}")
        told = told | {"asset_class": names[kind.lower()]}
    old = by_symbol.get(symbol)
    if old is None:
        number = told.get("id", free)
        shard = number % partitions if isinstance(number, int) else 0
        return {"id": number, "shard": shard} | told
    for name in ("id", "asset_class", "shard"):
        if name in told and told[name] != getattr(old, name):
            raise ValueError(
                f"reference row {symbol!r}: {name} is {getattr(old, name)} and cannot change; "
                "leave it out"
            )
    return {name: getattr(old, name) for name in FIELDS} | told
