"""Rule: a definition -> machine code that fills a column; refused where it cannot be, or is slow.

The text of a definition has passed compute/quant_rule.py: arithmetic of its arguments alone. It is
compiled to a function of float64 that returns float64, called once a row. A row in which an
argument is unknown is blank, and so is one where the result is no finite number: division by 0,
a root of what is below 0.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numba
import numpy as np

from compute.quant import ROWS, Definition, QuantError
from compute.table import Table

ROW_NS_MAX = 500.0  # 5,000 rows x 32 columns, ten times a second: 0.8 of a core, and no more.
SAMPLE = 4_096
PASSES = 3


class Kernel(NamedTuple):
    """A compiled column."""

    definition: Definition
    sources: tuple[tuple[str, int], ...]  # Of each argument: its table, and its place there.
    fill: Callable[[np.ndarray, np.ndarray], int]
    row_ns: float  # As measured when it was compiled.

    def compute(
        self, tables: Mapping[str, np.ndarray], rows: np.ndarray, out: np.ndarray
    ) -> tuple[int, int]:
        """Fill out[rows], float64; (rows whose arguments are known, those that are blank yet)."""
        inputs = np.full((len(self.sources), len(rows)), np.nan)
        for place, (name, column) in enumerate(self.sources):
            inside = rows < len(tables[name])
            inputs[place, inside] = tables[name][rows[inside], column]
        values = np.empty(len(rows))
        blank = self.fill(inputs, values)
        out[rows] = values
        return int((~np.isnan(inputs).any(axis=0)).sum()), blank


def made(definition: Definition, monotonic: Callable[[], float] = time.perf_counter) -> Kernel:
    """Compile and measure; QuantError where the compiler refuses or a row takes too long."""
    namespace: dict[str, Any] = {"math": math, "np": math, "numpy": math, "__builtins__": {}}
    for name in ("abs", "min", "max", "round", "int", "float", "bool"):
        namespace[name] = getattr(__import__("builtins"), name)
    exec(compile(definition.text, f"<column {definition.name}>", "exec"), namespace)  # noqa: S102
    count = len(definition.arguments)
    try:
        one = numba.njit(f"float64({', '.join(['float64'] * count)})", error_model="numpy")(
            namespace[definition.name]
        )
        fill = _filler(one, count)
    except numba.core.errors.NumbaError as error:
        text = _sentence(str(error))
        raise QuantError(
            f"Numba cannot compile it: {text}. Return one number on every way through it.",
            definition.line,
            definition.name,
        ) from None
    row_ns = _measured(fill, count, monotonic)
    if row_ns > ROW_NS_MAX:
        raise QuantError(
            f"it takes {row_ns:,.0f} ns a row, and {ROW_NS_MAX:,.0f} is the limit. Make it of "
            "fewer roots, exponentials and logarithms.",
            definition.line,
            definition.name,
        )
    sources = tuple(_source(ROWS[definition.rows], name) for name in definition.arguments)
    return Kernel(definition, sources, fill, row_ns)


def _filler(one: Any, count: int) -> Any:
    """fill(inputs [arguments, n], out [n]) -> rows that are blank though all arguments are known.

    A loop of the arity at hand: Numba does not spread an array over arguments.
    """
    arguments = ", ".join(f"inputs[{place}, k]" for place in range(count))
    text = (
        "def fill(inputs, out):\n"
        "    blank = 0\n"
        "    for k in range(len(out)):\n"
        "        out[k] = np.nan\n"
        "        for place in range(len(inputs)):\n"
        "            if np.isnan(inputs[place, k]):\n"
        "                break\n"
        "        else:\n"
        f"            value = one({arguments})\n"
        "            if np.isfinite(value):\n"
        "                out[k] = value\n"
        "            else:\n"
        "                blank += 1\n"
        "    return blank\n"
    )
    namespace = {"one": one, "np": np}
    exec(text, namespace)  # noqa: S102 (the text above)
    return numba.njit("int64(float64[:, ::1], float64[::1])")(namespace["fill"])


def _source(tables: tuple[Table, ...], name: str) -> tuple[str, int]:
    table = next(table for table in tables if name in table.names)
    return table.name, table.index(name)


def _measured(fill: Any, count: int, monotonic: Callable[[], float]) -> float:
    """Nanoseconds a row, the best of PASSES over made-up rows."""
    inputs = np.random.default_rng(1).uniform(0.5, 150.0, (count, SAMPLE))
    out = np.empty(SAMPLE)
    best = math.inf
    for _ in range(PASSES):
        began = monotonic()
        fill(inputs, out)
        best = min(best, monotonic() - began)
    return best / SAMPLE * 1e9


def _sentence(text: str) -> str:
    """The line of Numba's report that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Failed in", "During", "File", "<"))]
    return (told or lines or ["no reason given"])[0].rstrip(".")[:200]
