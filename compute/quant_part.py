"""Loop: the columns that quants wrote in layouts, computed in the process `risk`, a part of it.

The folders of layouts are read when the process starts and again whenever a file in them changes;
what is new is compiled in a thread, so that the numbers of all others go on. A column is computed
for the rows whose arguments changed since the last step; of positions, whose risk has no such
marks, for all. Which place of the table is which column is told with the names, under the epoch
that it holds for: a change begins a new one, so no reader ever shows a number under a wrong name.
Without quant columns there are no tables, and a step costs one look at the folders a second.

A column that is refused, or whose numbers are none, says why in the names and harms nothing else:
here, because no tick waits for this process, and because its text ends after a known number of
steps (compute/quant_rule.py).
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compute.quant import COLUMNS_MAX, QUANT_OF, ROWS, Definition, QuantError
from compute.quant_read import Reading, read_all, stamp
from compute.table import ANALYTICS, INSTRUMENTS
from ingest.instrument import Reference

LOOK_SECONDS = 1.0
WHOLE_SECONDS = 5.0  # Every row again, and so how many of them are blank: 10 us a column.
_NONE = np.zeros(0, np.int64)


class QuantPart:
    """A part of compute/risk.py, the last one: it reads what the others have written."""

    def __init__(
        self,
        folders: Sequence[Path],
        monotonic: Callable[[], float] = time.monotonic,
        *,
        beside: bool = True,
    ) -> None:
        """`beside`: compile in a thread; else within the step that finds something new."""
        self.folders, self.monotonic, self.beside = list(folders), monotonic, beside
        self.tables: dict[str, np.ndarray] = {}
        self._renewed = False
        self.kernels: list[Any] = []  # compute.quant_kernel.Kernel, by their places.
        self.refused: dict[str, str] = {}  # Why, by name, or by file where there is no name.
        self.blank: dict[str, str] = {}
        self._compiled: dict[tuple[object, ...], Any] = {}
        self._seen: tuple[object, ...] = ()
        self._look_at = self._whole_at = 0.0
        self._made: tuple[list[Any], dict[str, str]] | None = None
        self._thread: threading.Thread | None = None

    @property
    def health(self) -> dict[str, Any]:
        """For the process's report."""
        if not self.kernels and not self.refused:
            return {}
        return {"quant_columns": len(self.kernels), "quant_refused": len(self.refused)}

    def names(self) -> dict[str, Any]:
        """Which place is which column, and what is wrong with whom."""
        if not self.kernels and not self.refused:
            return {}
        columns = [
            {"rows": one.definition.rows, "place": place, **_told(one.definition)}
            for one, place in zip(self.kernels, self._places(), strict=True)
        ]
        return {"quant": {"columns": columns, "said": {**self.blank, **self.refused}}}

    def take_renewed(self) -> bool:
        """Whether places mean something else since this was last asked."""
        renewed, self._renewed = self._renewed, False
        return renewed

    def grow(self, reference: Reference) -> None:
        """Nothing: tables grow with those that they stand beside."""

    def step(
        self, tables: Mapping[str, np.ndarray], changed: Mapping[str, np.ndarray], _now_ns: int
    ) -> np.ndarray:
        """Compute what changed; no row of ANALYTICS is written."""
        now = self.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look()
        whole = self._made is not None or now >= self._whole_at
        if self._made is not None:
            (self.kernels, self.refused), self._made = self._made, None
            self.blank, self._renewed = {}, True
            self.tables = {}
        self._grow(tables)
        if whole:
            self._whole_at = now + WHOLE_SECONDS
        for one, place in zip(self.kernels, self._places(), strict=True):
            self._compute(one, place, tables, None if whole else changed)
        return _NONE

    def _look(self) -> None:
        """Whether a file is another than when it was last read; then read, and compile."""
        if self._thread is not None and self._thread.is_alive():
            return
        seen = stamp(self.folders)
        if seen == self._seen:
            return
        self._seen = seen
        if not self.beside:
            self._make()
            return
        self._thread = threading.Thread(target=self._make, name="quant columns", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        """Read and compile; the next step takes what was made."""
        reading = read_all(self.folders)
        refused = {error.name or file: _said(file, error) for file, error in reading.refused}
        kernels = []
        for one in self._limited(reading, refused):
            key = one.same
            try:
                kernel = self._compiled.get(key) or self._compile(one)
            except QuantError as error:
                refused[one.name] = _said(one.file, error)
                continue
            self._compiled[key] = kernel
            kernels.append(kernel._replace(definition=one))
        if kernels or refused or self.kernels or self.refused:
            self._made = kernels, refused

    def _compile(self, definition: Definition) -> Any:
        from compute.quant_kernel import made  # Only who has a column pays for a compiler.

        return made(definition)

    def _limited(self, reading: Reading, refused: dict[str, str]) -> list[Definition]:
        found, counts = [], dict.fromkeys(ROWS, 0)
        for one in reading.definitions:
            counts[one.rows] += 1
            if counts[one.rows] > COLUMNS_MAX:
                refused[one.name] = (
                    f"{one.file}:{one.line}: there are {COLUMNS_MAX} columns of {one.rows} "
                    "already. Take out what nobody looks at."
                )
            else:
                found.append(one)
        return found

    def _places(self) -> list[int]:
        """Of each kernel, its place among those of the same rows."""
        counts = dict.fromkeys(ROWS, -1)
        places = []
        for one in self.kernels:
            counts[one.definition.rows] += 1
            places.append(counts[one.definition.rows])
        return places

    def _grow(self, tables: Mapping[str, np.ndarray]) -> None:
        for rows in {one.definition.rows for one in self.kernels}:
            table, size = QUANT_OF[rows], len(tables[rows])
            have = self.tables.get(table.name, table.empty(0))
            if table.name not in self.tables or size > len(have):
                grown = table.empty(size)
                grown[: len(have)] = have
                self.tables[table.name] = grown

    def _compute(
        self,
        kernel: Any,
        place: int,
        tables: Mapping[str, np.ndarray],
        changed: Mapping[str, np.ndarray] | None,
    ) -> None:
        """Fill a column's cells; `changed` None: all of them."""
        name = kernel.definition.name
        out = self.tables[QUANT_OF[kernel.definition.rows].name]
        rows = np.arange(len(out))
        if changed is not None and kernel.definition.rows == INSTRUMENTS.name:
            none = np.zeros(0, np.int64)
            rows = np.union1d(
                changed.get(INSTRUMENTS.name, none), changed.get(ANALYTICS.name, none)
            )
            rows = rows[rows < len(out)].astype(np.int64)
        known, blank = kernel.compute(tables, rows, out[:, place])
        if len(rows) < len(out):
            return
        self.blank.pop(name, None)
        if blank:
            self.blank[name] = (
                f"blank in {blank:,} of the {known:,} rows whose arguments are known: the result "
                "is no finite number (a division by 0, a root or logarithm of what is below 0)"
            )


def _told(definition: Definition) -> dict[str, str]:
    column = definition.column
    return {
        "name": column.name,
        "head": column.head,
        "format": column.format,
        "unit": column.unit,
        "aggregate": column.aggregate,
        "source": column.source,
    }


def _said(file: str, error: QuantError) -> str:
    """The reason with its place, as far as it is known."""
    return f"{file}:{error.line}: {error}" if error.line else f"{file}: {error}"
