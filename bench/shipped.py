"""Rule: which desks a bench is told to open, by the names of their files in layouts/."""

from pathlib import Path

import typer

from app.blocks.desk import describe, desks
from app.settings import load
from compute.table import INSTRUMENTS

ALL = "all"


def named(asked: list[str] | None) -> list[str]:
    """Every desk that is asked for; all where none is, or where `all` is among them.

    typer.BadParameter with the names that there are where one of them is no desk.
    """
    known = [stem for _, stem in desks()]
    if unknown := sorted(set(asked or ()) - {*known, ALL}):
        raise typer.BadParameter(f"no desk {', '.join(unknown)}; there are {', '.join(known)}")
    return known if not asked or ALL in asked else asked


def timed(stem: str) -> bool:
    """Whether a page of that desk can tell how long an event took.

    Lines of instruments alone carry the moment of their oldest event.
    """
    folders = load().layout_folders
    layout = next(path for one in folders if (path := Path(one) / f"{stem}.py").is_file())
    feeds = describe(layout).spec()["feeds"]
    return any(feed.get("table") == INSTRUMENTS.name for feed in feeds)


def timed_alone(stem: str) -> str:
    """That desk, if it is one and can be timed; else typer.BadParameter says which can."""
    if stem == ALL:
        raise typer.BadParameter("a page shows one desk; name that one")
    named([stem])
    if not timed(stem):
        can = ", ".join(known for known in named(None) if timed(known))
        raise typer.BadParameter(
            f"no line of the desk {stem} is an instrument, and they alone carry the moment of"
            f" their event; those of {can} are"
        )
    return stem
