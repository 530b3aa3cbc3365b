"""Shape: what stands in place of a layout, or of one block of it, that raised.

A layout is somebody's code, and so is what a block makes. What it raises is shown on its own desk
or in its own tile, with the file and the line that raised and what to write instead; the server,
the other desks and the other tiles go on.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.blocks.block import Block
from compute.quant import QuantError

LINES_MAX = 20


@dataclass(frozen=True, slots=True)
class Problem(Block):
    """A tile that says what is wrong."""

    title: str = "Error"
    text: str = ""

    kind = "problem"

    def spec(self) -> dict[str, Any]:
        """With what is to be read."""
        return Block.spec(self) | {"text": self.text}


def attempt[T](make: Callable[[], T], file: str = "") -> tuple[T | None, str]:
    """What `make` makes and "", or None and what went wrong, told of `file` where it is in it."""
    try:
        return make(), ""
    except SystemExit as error:
        return None, told(error, file)
    except Exception as error:
        return None, told(error, file)


def told(error: BaseException, file: str = "") -> str:
    """FILE:LINE: what is wrong. A stranger's error with its kind."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if not isinstance(error, QuantError | KeyError | ValueError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SystemExit):
        text = "it ends the process. Leave exit() out."
    if isinstance(error, SyntaxError):
        text = f"it is no Python: {error.msg}"
    place = f"{shown(file)}:{line_of(error, file)}: ".replace(":0: ", ": ") if file else ""
    return place + "\n".join(text.splitlines()[:LINES_MAX])


def line_of(error: BaseException, file: str) -> int:
    """The line of `file` that the error comes from; 0 where it is not of it."""
    if isinstance(error, QuantError) and error.line:
        return error.line
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno or 0
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return (lines[-1] if lines else 0) or 0


def shown(file: str) -> str:
    """The file as people call it: its folder and name."""
    return "/".join(Path(file).parts[-2:])


def sound(block: Block, file: str = "") -> Block:
    """The block if what it says of itself can be said, else a tile in its place."""
    _, wrong = attempt(lambda: (block.needs(), block.own(), block.spec()), file)
    return (
        Problem(block.title or "Error", "", block.height, block.narrow, wrong) if wrong else block
    )
