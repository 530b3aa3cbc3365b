"""Promise: every shipped desk looks finished at each size; its pictures are those of today.

Opens each desk of a product that runs, waits until its numbers are there, and checks at four sizes
that no panel is blank, cut off or over another (app/blocks/inspect.js). Of the first two sizes it
writes pictures, docs/NAME.png and docs/NAME-1366.png; of all of them with --every.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from app.blocks.desk import desks
from bench.browser import Page, page
from bench.report import report

DOCS = Path(__file__).resolve().parents[1] / "docs"
KEPT = 2  # Of SIZES, in docs/.
SIZES = ((1920, 1080), (1366, 768), (3840, 2160), (390, 844))
LIVE = "window.tickglass && tickglass.state?.word === 'LIVE' && tickglass.painted > 0"
AT = "location.pathname.split('/').pop()"  # Not the desk before, which still stands.
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


def take(
    glass: Page, url: str, name: str, patience: float
) -> tuple[list[bytes], dict[str, list[str]]]:
    """A picture of one desk at each size, opened once; what was wrong at which."""
    pictures: list[bytes] = []
    wrong: dict[str, list[str]] = {}
    glass.resize(*SIZES[0])
    glass.goto(f"{url}/{name}")
    glass.wait_for(f"{AT} === {name!r} && {LIVE}", OPEN_SECONDS)
    for number, (width, height) in enumerate(SIZES):
        glass.resize(width, height)
        time.sleep(RESIZED_SECONDS if number else patience)
        if found := settled(glass, OPEN_SECONDS / 4):
            wrong[f"{name} {width}x{height}"] = found
        pictures.append(glass.photograph())
    return pictures, wrong


def main(
    port: Annotated[int, typer.Option(help="Where the product runs; start it with `up`.")],
    name: Annotated[list[str] | None, typer.Option(help="Desks; all if none is named.")] = None,
    patience: Annotated[float, typer.Option(help="Seconds for charts to fill.")] = 5.0,
    every: Annotated[bool, typer.Option(help="Pictures of 4K and phone too.")] = False,
    folder: Annotated[Path, typer.Option(help="Where they go.")] = DOCS,
) -> None:
    """Photograph desks into docs/."""
    known = [stem for _, stem in desks()]
    unknown = sorted(set(name or ()) - set(known))
    if unknown:
        raise typer.BadParameter(f"no desk {', '.join(unknown)}; there are {', '.join(known)}")
    wrong: dict[str, list[str]] = {}
    kept = len(SIZES) if every else KEPT
    folder.mkdir(parents=True, exist_ok=True)
    with page() as glass:
        for stem in name or known:
            pictures, found = take(glass, f"http://127.0.0.1:{port}", stem, patience)
            wrong |= found
            for number, png in enumerate(pictures[:kept]):
                picture(folder, stem, number).write_bytes(png)
    report("photograph", not wrong, {"desks": len(name or known), "wrong": wrong})
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    typer.run(main)
