"""Promise: a move of the time machine, from the hand to the paint, takes <= 300 ms.

The product itself runs and its tape fills for some minutes, while the market goes on; then a page
shows the past and is moved to moments drawn at random over the whole tape, one after the other.
The page itself measures: from the wish to the end of the frame that painted it. What is read for a
move depends on how far the moment lies behind the last whole image, not on the tape's length.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from app.standins import free_port
from bench.browser import Page, page
from bench.glass import addresses, product, settle
from bench.report import machine, report
from compute.bus import Bus

MOVE_MS_MAX = 300.0
ANSWER_SECONDS = 10.0
END_MS = 5_000.0  # The newest seconds are not on the tape yet.
SEED = 7


def move(past: Page, ts_ms: float) -> float | None:
    """Milliseconds from the wish to the paint; None where it never came."""
    known = past.evaluate("window.tickglass.past().moves.length")
    past.evaluate(f"(window.tickglass.go({{ ts_ms: {ts_ms}, playing: false }}), 0)")
    try:
        past.wait_for(f"window.tickglass.past().moves.length > {known}", ANSWER_SECONDS)
    except TimeoutError:
        return None
    return float(past.evaluate("window.tickglass.past().moves.at(-1)"))


def measure(rate: int, minutes: float, moves: int) -> dict[str, Any]:
    """Figures of so many moves over a tape of so many minutes."""
    with tempfile.TemporaryDirectory(prefix="tickglass-past-") as folder:
        data, port = Path(folder), free_port()
        with product(rate, data, port, []) as process, page() as past:
            settle(Bus(addresses(data, process)["redis"]))
            time.sleep(minutes * 60.0)
            past.goto(f"http://127.0.0.1:{port}/overview?asof=-10s")
            past.wait_for("!!window.tickglass?.past().first_ms", 30.0)
            tape = past.evaluate("window.tickglass.past()")
            first, last = float(tape["first_ms"]), float(tape["last_ms"]) - END_MS
            moments = np.random.default_rng(SEED).uniform(first, last, moves)
            found = [move(past, moment) for moment in moments.tolist()]
    came = np.array([ms for ms in found if ms is not None])
    return {
        "rate": rate,
        "tape_minutes": round((last - first) / 60_000.0, 1),
        "moves": moves,
        "lost": moves - len(came),
        "move_ms_p50": float(np.quantile(came, 0.5)) if len(came) else None,
        "move_ms_p99": float(np.quantile(came, 0.99)) if len(came) else None,
        "move_ms_max": float(came.max()) if len(came) else None,
    }


def main(
    rate: Annotated[int, typer.Option(min=1, help="Events a second.")] = 50_000,
    minutes: Annotated[float, typer.Option(min=0.2, help="How long the tape fills.")] = 3.0,
    moves: Annotated[int, typer.Option(min=1, help="How often one moves.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="As every bench: the last line.")] = True,  # noqa: ARG001
) -> None:
    """From the wish to the paint of a past moment."""
    found = machine()
    figures = measure(rate, minutes, moves)
    slowest = figures["move_ms_p99"]
    kept = figures["lost"] == 0 and slowest is not None and slowest <= MOVE_MS_MAX
    report("past", kept, figures, found)


if __name__ == "__main__":
    typer.run(main)
