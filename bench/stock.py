"""Rule: the same ticking blotter as stock Panel makes it, to be measured beside Tickglass.

A page of 45 rows and 15 columns, a tenth of whose cells change at each update. Each session has
its own source, and its own periodic callback patches it: Panel's documented way. What changes is
drawn once for all sessions, so that only the sending is compared. The first column is the moment
in ms at which a row changed last.

    python -m bench.stock PORT patch|table|tabulator TICKS_PER_S
"""

import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import DataTable, TableColumn

ROWS, COLUMNS, CHANGED = 45, 15, 0.1
NAMES = ["ts", *(f"c{k:02d}" for k in range(1, COLUMNS))]
Patch = dict[str, list[tuple[int, float]]]


class Market:
    """Numbers that change by turns: whoever asks in the same turn gets the same patch."""

    def __init__(self, ticks_per_s: float) -> None:
        """All ones."""
        self.ticks_per_s, self.turn = ticks_per_s, -1
        self.rng = np.random.default_rng(7)
        self.table = {name: np.ones(ROWS) for name in NAMES}
        self.patch: Patch = {}

    def now(self) -> Patch:
        """The patch of this turn."""
        turn = int(time.monotonic() * self.ticks_per_s)
        if turn != self.turn:
            self.turn, moment = turn, time.time_ns() / 1e6
            cells = self.rng.choice(ROWS * (COLUMNS - 1), int(ROWS * COLUMNS * CHANGED))
            self.patch = {"ts": [(int(row), moment) for row in np.unique(cells % ROWS)]}
            for cell in np.unique(cells).tolist():
                name, value = NAMES[1 + cell // ROWS], float(self.rng.normal(100, 10))
                self.patch.setdefault(name, []).append((cell % ROWS, value))
        for name, changes in self.patch.items():
            for row, value in changes:
                self.table[name][row] = value
        return self.patch


def app(market: Market, kind: str) -> Callable[[], Any]:
    """The page function of one kind of stock page."""

    def patched() -> Any:
        source = ColumnDataSource({name: values.copy() for name, values in market.table.items()})
        columns = [TableColumn(field=name, title=name) for name in NAMES]
        pace_ms = round(1e3 / market.ticks_per_s)
        pn.state.add_periodic_callback(lambda: source.patch(market.now()), period=pace_ms)
        table = DataTable(source=source, columns=columns, width=1400, height=960)
        return pn.pane.Bokeh(table)

    def tabulator() -> Any:
        pd = import_module("pandas")  # Panel brings it; nothing of ours uses it.
        frame = pd.DataFrame({name: values.copy() for name, values in market.table.items()})
        table = pn.widgets.Tabulator(frame, width=1400, height=960, disabled=True)
        pace_ms = round(1e3 / market.ticks_per_s)
        pn.state.add_periodic_callback(lambda: table.patch(market.now()), period=pace_ms)
        return table

    return tabulator if kind == "tabulator" else patched


def main() -> None:
    """Serve it on loopback."""
    port, kind, ticks_per_s = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    if kind == "tabulator":
        pn.extension("tabulator")
    pn.serve(
        {"stock": app(Market(ticks_per_s), kind)},
        port=port,
        address="127.0.0.1",
        websocket_origin=[f"127.0.0.1:{port}"],
        show=False,
    )


if __name__ == "__main__":
    main()
