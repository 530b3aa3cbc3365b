"""Promise: 500 pages that lose their link at once are live again <= 5 s, and nobody else notices.

Two web servers behind nginx over a Redis in which a market ticks. The pages are real sockets that
go on as a browser's page does (bench/returning.py): after a moment of chance, later and later while
nobody answers. First nginx is killed, and all of them come back to both servers; then one of the
servers, and its half comes to the other. A Chromium that hangs on the other server directly is who
must not notice: event to paint p99 <= 100 ms meanwhile. In the end every cell of every page is what
was told.
"""

import contextlib
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from app.standins import free_port
from bench import teller
from bench.browser import page
from bench.failover import BACK_SECONDS, TICKS_PER_S, rush, rush_holds
from bench.fanout import differing
from bench.farm import farm
from bench.report import machine, report


def measure(pages: int, folder: Path) -> dict[str, Any]:
    """Figures of both losses, those of nginx first."""
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(teller.redis(folder))
        told = teller.Teller(address)
        servers = stack.enter_context(farm(folder, address, free_port(), 2))
        here, other = servers.ports
        glass = stack.enter_context(page())
        stack.enter_context(told.telling(TICKS_PER_S))
        glass.goto(f"http://127.0.0.1:{here}/overview")
        glass.wait_for("!!window.tickglass && tickglass.stats().total > 0", BACK_SECONDS)
        crowd = teller.Crowd(servers.url, pages, servers.port)
        stack.callback(crowd.stop)
        front = rush(crowd, glass, pages, lambda: servers.end("nginx", signal.SIGKILL))
        there = crowd.ask(servers=True).get(str(other), 0)
        server = rush(crowd, glass, there, lambda: servers.signal(other, signal.SIGKILL))
        told.pause()
        wrong = differing(crowd, told, crowd.ask(columns=0))
    return {
        **{f"nginx_{name}": value for name, value in front.items()},
        **{f"server_{name}": value for name, value in server.items()},
        "cells_wrong": wrong,
        "holds": rush_holds(front) and rush_holds(server) and not wrong,
    }


def main(
    pages: Annotated[int, typer.Option(min=2, help="That lose their link.")] = 500,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """What becomes of many pages that lose nginx, and then a server."""
    found = machine()
    with tempfile.TemporaryDirectory(prefix="tickglass-reconnect-") as name:
        figures = measure(pages, Path(name))
    report("reconnect", figures.pop("holds"), figures, found)


if __name__ == "__main__":
    typer.run(main)
