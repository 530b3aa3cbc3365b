"""Promise: every shipped desk looks finished at each size; its pictures are those of today.

Opens each desk of a product that runs, waits until its numbers are there, and checks at four sizes
that no panel is blank, cut off or over another (app/blocks/inspect.js). Of the first two sizes it
writes pictures, docs/NAME.png and docs/NAME-1366.png; of all of them with --every. The name `past`
is the first desk as it was a minute and a half ago: start the product a little before.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench.browser import Page, page
from bench.report import report
from bench.shipped import ALL, named

DOCS = Path(__file__).resolve().parents[1] / "docs"
KEPT = 2  # Of SIZES, in docs/.
SIZES = ((1920, 1080), (1366, 768), (3840, 2160), (390, 844))
THERE = "window.tickglass && tickglass.state?.word === {word!r} && tickglass.painted > 0"
AT = "location.pathname.split('/').pop()"  # Not the desk before, which still stands.
PAST, PAST_DESK, PAST_SECONDS = "past", "overview", 90.0
OPEN_SECONDS, RESIZED_SECONDS, ASK_SECONDS = 60.0, 2.0, 0.5


def settled(glass: Page, seconds: float) -> list[str]:
    """What is wrong with the desk once nothing is any more, or `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while True:
        found: list[str] = glass.evaluate("tickglass.problems()")
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(ASK_SECONDS)


def picture(folder: Path, name: str, number: int) -> Path:
    """Where a picture goes: the first size has the desk's name alone."""
    return folder / (f"{name}-{SIZES[number][0]}.png" if number else f"{name}.png")


def moment() -> str:
    """The query of an address that shows a desk as it was."""
    was = datetime.fromtimestamp(time.time() - PAST_SECONDS, UTC)
    return f"?asof={was:%Y-%m-%dT%H:%M:%S}.000"


def take(
    glass: Page, url: str, name: str, patience: float
) -> tuple[list[bytes], dict[str, list[str]]]:
    """A picture of one desk at each size, opened once; what was wrong at which."""
    pictures: list[bytes] = []
    wrong: dict[str, list[str]] = {}
    glass.resize(*SIZES[0])
    desk = PAST_DESK if name == PAST else name
    there = THERE.format(word="PAST" if name == PAST else "LIVE")
    glass.goto(f"{url}/{desk}{moment() if name == PAST else ''}")
    glass.wait_for(f"{AT} === {desk!r} && {there}", OPEN_SECONDS)
    for number, (width, height) in enumerate(SIZES):
        glass.resize(width, height)
        time.sleep(RESIZED_SECONDS if number else patience)
        if found := settled(glass, OPEN_SECONDS / 4):
            wrong[f"{name} {width}x{height}"] = found
        pictures.append(glass.photograph())
    return pictures, wrong


def main(
    port: Annotated[int, typer.Option(help="Where the product runs; start it with `up`.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Desks, and `past`; all if none is named.")
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds for charts to fill.")] = 5.0,
    every: Annotated[bool, typer.Option(help="Pictures of 4K and phone too.")] = False,
    folder: Annotated[Path, typer.Option(help="Where they go.")] = DOCS,
) -> None:
    """Photograph desks into docs/."""
    asked = name or [ALL, PAST]
    stems = named([one for one in asked if one != PAST]) if asked != [PAST] else []
    stems += [PAST] * (PAST in asked)
    wrong: dict[str, list[str]] = {}
    kept = len(SIZES) if every else KEPT
    folder.mkdir(parents=True, exist_ok=True)
    with page() as glass:
        for stem in stems:
            pictures, found = take(glass, f"http://127.0.0.1:{port}", stem, patience)
            wrong |= found
            for number, png in enumerate(pictures[:kept]):
                picture(folder, stem, number).write_bytes(png)
    report("photograph", not wrong, {"desks": len(stems), "wrong": wrong})
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    typer.run(main)
