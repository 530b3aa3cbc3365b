"""Shape: the blocks around the numbers: what happened, what is written down, what is chosen.

They hold no table of the market. What happened is a figure of the server (app/news.py) and what the
page itself knows; notes are text of the desk; selectors, filter and moment choose for all blocks
that follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.blocks.block import Block
from compute.group import SCOPES

NOTES_MAX = 2_000  # Letters: a link carries them.
SELECTED = ("book", "strategy", "currency", "trader")


@dataclass(frozen=True, slots=True)
class News(Block):
    """What happened, newest first: halts, gaps, corrections, moves of the day, limits, the link."""

    title: str = "News"
    height: int = 239
    narrow: int | None = 199

    kind = "news"


@dataclass(frozen=True, slots=True)
class Notes(Block):
    """Plain text beside the numbers, written here or on the page; it is kept with the desk."""

    title: str = "Notes"
    text: str = ""
    height: int = 159
    narrow: int | None = 119

    kind = "notes"

    def __post_init__(self) -> None:
        """ValueError where it is too long for a link."""
        if len(self.text) > NOTES_MAX:
            raise ValueError(f"notes have {NOTES_MAX:,} letters at most, not {len(self.text):,}")

    def spec(self) -> dict[str, Any]:
        """The text, and how long it may become."""
        return Block.spec(self) | {"text": self.text, "most": NOTES_MAX}


@dataclass(frozen=True, slots=True)
class Selectors(Block):
    """Menus of book, strategy, currency or trader: what is chosen is followed by all that can."""

    title: str = "Show"
    of: Sequence[str] = ("book", "strategy", "currency")
    height: int = 79
    narrow: int | None = 79

    kind = "selectors"

    def __post_init__(self) -> None:
        """ValueError where a menu of that is not known."""
        if unknown := sorted(set(self.of) - set(SELECTED)):
            raise ValueError(f"no menu of {unknown[0]!r}; there are {', '.join(SELECTED)}")

    def spec(self) -> dict[str, Any]:
        """Names of the menus, each with the number of its scope."""
        return Block.spec(self) | {"of": [[name, SCOPES.index(name)] for name in self.of]}


@dataclass(frozen=True, slots=True)
class Filter(Block):
    """Search and classes of the desk's grid, in a tile: the same filter as in the grid's head."""

    title: str = "Filter"
    height: int = 99
    narrow: int | None = 99

    kind = "filter"


@dataclass(frozen=True, slots=True)
class AsOf(Block):
    """The desk as it was at a moment that is typed, or so long before what is shown."""

    title: str = "As of"
    note: str = "UTC"
    height: int = 69
    narrow: int | None = 69

    kind = "as_of"
