"""Promise: changed cells only, in the viewport only: <= 100 bytes each, <= 5 % of a full refresh.

A page of 40 rows and 14 columns over 5,000 instruments, at 1k to 500k row changes a second and 50
pushes a second, through the product's own mirror, views and framing; bytes are counted on the
wire, with every header. The page's cells are compared with the mirror's at the end.

A full refresh is what a table that knows no changes sends: every cell of every row, 8 bytes each.
`share_of_viewport` is the harder comparison: all that the page shows, sent anew each push.
"""

import asyncio
import struct
from typing import Annotated

import numpy as np
import typer

from app.mirror import Mirror
from app.session import Hub
from app.view import CELLS, ROWS
from bench.report import report
from compute import delta
from compute.table import INSTRUMENTS, TABLES
from ingest.instrument import Instrument, Reference

RATES = (1_000, 10_000, 50_000, 200_000, 500_000)
PUSHES_PER_S = 50
INSTRUMENT_COUNT = 5_000
VIEW_ROWS = 40
COLUMNS = (
    *("bid_size", "bid", "ask", "ask_size", "last", "change", "vwap", "vs_vwap", "volatility"),
    *("volume", "position", "exposure", "pnl", "ts_event"),
)
BYTES_PER_CELL_MAX = 100.0
SHARE_OF_FULL_MAX = 0.05


class Page:
    """Counts bytes and keeps cells as a browser would."""

    def __init__(self) -> None:
        """Nothing received."""
        self.bytes = self.cells_told = self.pushes = 0
        self.last = b""
        self.sequence = 0
        self.cells = np.zeros(0)

    def ready(self) -> bool:
        """Always."""
        return True

    def write(self, push: bytes) -> bool:
        """Read every section of the push."""
        self.bytes += len(push)
        self.pushes += 1
        self.last = push
        body = push[push.index(struct.pack("<I", 0x31504754)) :]
        at = 32
        while at < len(body):
            _, kind, size = struct.unpack_from("<HHI", body, at)
            if kind == ROWS:
                self.cells = np.full(struct.unpack_from("<4I", body, at + 8)[2] * len(COLUMNS), 0.0)
            elif kind == CELLS:
                self._cells(body[at + 8 : at + 8 + size])
            at += 8 + size
        self.sequence = int(struct.unpack_from("<d", body, 8)[0])
        return True

    def end(self) -> None:
        """Nobody sends this page away."""

    def _cells(self, body: bytes) -> None:
        n, stamped, _ = struct.unpack_from("<IId", body)
        values = np.frombuffer(body, "<f8", n, 16)
        cells = np.frombuffer(body, "<u2", n, 16 + 8 * n + 6 * stamped)
        self.cells[cells] = values
        self.cells_told += n


class Desk:
    """A mirror of 5,000 instruments, a hub, one page."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Everything known, the page acknowledged."""
        self.mirror = Mirror(bus=None)  # type: ignore[arg-type]
        rows = range(INSTRUMENT_COUNT)
        self.mirror.reference = Reference(
            Instrument(k, f"S{k}", 0, "X", "USD", 1.0, 0.01, 2) for k in rows
        )
        self.tables = {table.name: table.empty(8) for table in TABLES}
        self.tables["instruments"] = np.ones((INSTRUMENT_COUNT, INSTRUMENTS.width))
        self.cutter, self.sequence = delta.Cutter(), 0
        image = delta.pack_image(self.tables, 1, 0, 0, {})
        self.mirror.take_image(delta.unpack_image(image))
        self.hub = Hub(self.mirror, loop)
        self.page = Page()
        spec = {"feeds": [{"kind": "grid", "table": "instruments", "columns": list(COLUMNS)}]}
        self.session = self.hub.attach(spec, lambda: self.page)
        self.session.control({"type": "ready"})
        view = {"type": "viewport", "feed": 0, "first": 0, "count": VIEW_ROWS}
        self.session.control(view)
        self.full_bytes = len(self.page.last)
        self._ack()

    def _ack(self) -> None:
        self.session.ack(self.page.sequence, 1.0, 0)

    def push(self, rows: np.ndarray, columns: np.ndarray, value: float) -> None:
        """One cut in which `columns` of `rows` change, and its acknowledgement."""
        oldest = np.zeros(INSTRUMENT_COUNT, np.int64)
        oldest[rows] = 1
        self.tables["instruments"][rows[:, None], columns] = value
        self.sequence += 1
        frame = self.cutter.cut(self.tables, oldest, 1, self.sequence, 0)
        self.mirror.take([(1, self.sequence, frame)])
        self.hub.tick()
        self._ack()

    def whole(self) -> bool:
        """Whether the page shows exactly what the mirror holds."""
        feed = self.session.feeds[0]
        assert feed.key is not None
        truth = self.mirror.tables["instruments"][:VIEW_ROWS, list(feed.key.columns)]
        return bool((truth.ravel() == self.page.cells).all())


def _measure(rate: int, columns: np.ndarray, seconds: int, seed: int) -> dict[str, float]:
    loop = asyncio.new_event_loop()
    desk = Desk(loop)
    rng = np.random.default_rng(seed)
    page = desk.page
    page.bytes = page.cells_told = page.pushes = 0
    pushes = seconds * PUSHES_PER_S
    for k in range(pushes):
        rows = np.unique(rng.integers(0, INSTRUMENT_COUNT, max(1, rate // PUSHES_PER_S)))
        desk.push(rows, columns, float(k + 2))
    loop.close()
    if not desk.whole():
        raise AssertionError(f"at {rate} rows/s the page does not show what the mirror holds")
    return {
        "bytes_per_cell": round(page.bytes / max(1, page.cells_told), 2),
        "share_of_full": round(page.bytes / (INSTRUMENT_COUNT * len(COLUMNS) * 8 * pushes), 4),
        "share_of_viewport": round(page.bytes / (desk.full_bytes * pushes), 4),
        "bytes_per_s": page.bytes * PUSHES_PER_S // pushes,
        "cells": page.cells_told,
        "pushes": page.pushes,
    }


def main(
    seconds: Annotated[int, typer.Option(min=1, help="Of each rate.")] = 10,
    seed: Annotated[int, typer.Option(help="Which rows change.")] = 7,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """Bytes on the wire for each changed visible cell, at five rates."""
    quotes = [INSTRUMENTS.index(name) for name in COLUMNS]
    every, one = np.array(quotes), np.array(quotes[1:2])
    figures = {str(rate): _measure(rate, every, seconds, seed) for rate in RATES}
    single = {str(rate): _measure(rate, one, seconds, seed) for rate in RATES}
    holds = all(
        row["bytes_per_cell"] <= BYTES_PER_CELL_MAX and row["share_of_full"] <= SHARE_OF_FULL_MAX
        for row in (*figures.values(), *single.values())
    )
    report("wire", holds, {"all_columns": figures, "one_column": single})


if __name__ == "__main__":
    typer.run(main)
