"""Promise: one more session on the same view costs <= 30 us a tick; 1,000 sessions on one core.

The product's own web server over a Redis of its own, in which a market ticks 20 times a second;
real sockets in another process (bench/crowd.py) that open the desk as a browser does and
acknowledge every push. The cost of a session is the slope of the server's CPU between few and
many sessions, with everything that a session costs in it: the push, the acknowledgement, Bokeh's
keep-alive. Beside it, in the same run, what a session costs stock Panel (bench/stock.py).

The answer is checked: pages that join late, one that stops reading for a while, and ordinary
messages of Bokeh on the same sockets; at the end every cell of every page is what was told.
"""

import base64
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from app import standins
from app.settings import ROOT
from bench import entitled, teller
from bench.report import machine, report
from compute.table import INSTRUMENTS

US_PER_SESSION_MAX = 30.0
CORE_SHARE_MAX = 1.0
SERVED_SHARE_MIN = 0.98  # Of ticks x sessions; what is missing was conflated.
FEW = 20
STOCK_SESSIONS, STOCK_TICKS_PER_S, STOCK_SECONDS = 10, 5.0, 5.0
STALL_SECONDS = 3.0
WAIT_SECONDS = 15.0


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


class Meter:
    """CPU of the server and what pages got, over a stretch of time."""

    def __init__(self, server: psutil.Process, crowd: teller.Crowd, told: teller.Teller) -> None:
        """Of one server and one crowd."""
        self.server, self.crowd, self.told = server, crowd, told

    def look(self, seconds: float) -> dict[str, float]:
        """Over `seconds` from now."""
        before, cpu, ticks = self.crowd.ask(), cpu_s(self.server), self.told.sequence
        begun = time.perf_counter()
        time.sleep(seconds)
        used, ticks = cpu_s(self.server) - cpu, self.told.sequence - ticks
        elapsed, after = time.perf_counter() - begun, self.crowd.ask()
        pages, pushes = after["pages"], after["pushes"] - before["pushes"]
        return {
            "sessions": pages,
            "ticks_per_s": ticks / elapsed,
            "core_share": used / elapsed,
            "us_per_tick": 1e6 * used / ticks,
            "served_share": pushes / pages / ticks,
            "bytes_per_push": (after["bytes"] - before["bytes"]) / max(1, pushes),
            "clients_core_share": (after["cpu_s"] - before["cpu_s"]) / elapsed,
            "rss_mib": self.server.memory_info().rss / 2**20,
        }


def disturb(crowd: teller.Crowd, pages: int, late: int) -> None:
    """A page stops reading, others join, and Bokeh's own messages run on the same sockets."""
    crowd.ask(stall=pages // 2)
    begun = time.monotonic()
    crowd.ask(open=late)
    for turn in range(5):
        for number in range(0, pages, max(1, pages // 20)):
            if number != pages // 2:
                crowd.ask(note=number, row=turn)
    time.sleep(max(0.0, STALL_SECONDS - (time.monotonic() - begun)))
    crowd.ask(wake=pages // 2)


def differing(crowd: teller.Crowd, told: teller.Teller, columns: list[str]) -> int:
    """Cells of all pages that are not what was told, once everything has arrived."""
    truth = told.tables[INSTRUMENTS.name][:, [INSTRUMENTS.index(name) for name in columns]]
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        wrong = 0
        for shown in crowd.ask(cells=0):
            rows = np.frombuffer(base64.b64decode(shown["rows"]), "<u4")
            cells = np.frombuffer(base64.b64decode(shown["cells"]))
            wanted = truth[rows].ravel()
            missing = max(0, len(wanted) - len(cells)) or (0 if len(rows) else 1)
            same = len(cells) == len(wanted)
            wrong += shown["pages"] * (missing + (int((cells != wanted).sum()) if same else 0))
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(0.2)


@contextlib.contextmanager
def stock(kind: str, ticks_per_s: float, folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A stock server: its process and the address of its page."""
    port = standins.free_port()
    command = [sys.executable, "-m", "bench.stock", str(port), kind, str(ticks_per_s)]
    with (folder / "stock.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}/stock"
            teller.wait_for(process, url, folder / "stock.log")
            yield psutil.Process(process.pid), url
        finally:
            process.kill()
            process.wait()


def stock_us(kind: str, folder: Path) -> float:
    """CPU microseconds that one update of one session costs stock Panel."""
    with stock(kind, STOCK_TICKS_PER_S, folder) as (server, url):
        crowd = teller.Crowd(url)
        try:
            crowd.ask(open=STOCK_SESSIONS)
            time.sleep(2.0)
            cpu, patches = cpu_s(server), crowd.ask()["heard"].get("PATCH-DOC", 0)
            time.sleep(STOCK_SECONDS)
            patches = crowd.ask()["heard"].get("PATCH-DOC", 0) - patches
            return float(1e6 * (cpu_s(server) - cpu) / max(1, patches))
        finally:
            crowd.stop()


def measure(sessions: int, ticks_per_s: float, seconds: float, folder: Path) -> dict[str, Any]:
    """Figures of Tickglass."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(teller.redis(folder))
        told = teller.Teller(address)
        process, port = stack.enter_context(teller.web(folder, address))
        server = psutil.Process(process.pid)
        crowd = teller.Crowd(f"http://127.0.0.1:{port}/overview")
        stack.callback(crowd.stop)
        meter = Meter(server, crowd, told)
        stack.enter_context(told.telling(ticks_per_s))
        crowd.ask(open=FEW)
        time.sleep(1.0)
        few = meter.look(seconds)
        cpu, begun = cpu_s(server), time.perf_counter()
        opened = crowd.ask(open=sessions - FEW)
        opening_ms = 1e3 * (cpu_s(server) - cpu) / (sessions - FEW)
        opening_wall_ms = 1e3 * (time.perf_counter() - begun) / (sessions - FEW)
        time.sleep(2.0)
        many = meter.look(seconds)
        disturb(crowd, sessions, late=3)
        told.pause()
        wrong = differing(crowd, told, crowd.ask(columns=0))
        lost = crowd.ask()["lost"]
    numbers = np.array(opened["first_number_s"])
    return {
        "us_per_session": (many["us_per_tick"] - few["us_per_tick"]) / (sessions - FEW),
        **many,
        "few": few,
        "first_number_ms_p50": 1e3 * float(np.median(numbers)),
        "first_number_ms_p99": 1e3 * float(np.quantile(numbers, 0.99)),
        "opening_cpu_ms": opening_ms,
        "opening_wall_ms": opening_wall_ms,
        "cells_wrong": wrong,
        "sockets_lost": lost,
    }


def main(
    sessions: Annotated[int, typer.Option(min=2 * FEW, help="Pages that look.")] = 1_000,
    ticks: Annotated[float, typer.Option(min=1, help="Cuts a second.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=1, help="Of each look.")] = 10.0,
    compare: Annotated[bool, typer.Option(help="Measure stock Panel beside it.")] = True,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """CPU of one more session at each tick, with a thousand real sockets."""
    found = machine()
    with tempfile.TemporaryDirectory(prefix="tickglass-fanout-") as name:
        folder = Path(name)
        figures = measure(sessions, ticks, seconds, folder) | entitled.measure()
        if compare:
            patch, tabulator = (stock_us(kind, folder) for kind in ("patch", "tabulator"))
            figures |= {
                "stock_us_per_session": patch,
                "stock_tabulator_us_per_session": tabulator,
                "ratio": patch / figures["us_per_session"],
            }
    holds = (
        figures["us_per_session"] <= US_PER_SESSION_MAX
        and figures["core_share"] <= CORE_SHARE_MAX
        and figures["served_share"] >= SERVED_SHARE_MIN
        and not figures["cells_wrong"]
        and not figures["sockets_lost"]
    )
    report("fanout", holds, figures, found)


if __name__ == "__main__":
    typer.run(main)
