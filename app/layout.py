"""Rule: what a layout's syntax says before it is run: that it is Python, and what it imports.

A layout composes blocks. It imports `app.blocks`, and, for what a Stock block draws, the drawing
and number libraries of DRAWING; a layout that reaches for anything else of ours or of the system
asks for what is a block's work.
"""

import ast
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compute.quant_read import stamp

OURS = ("app", "compute", "ingest", "bench", "tests")
DRAWING = ("math", "numpy", "pandas", "bokeh", "holoviews", "hvplot", "panel", "datetime")


class Finding(NamedTuple):
    """Something to be said of a layout; `line` 0: of all of it."""

    file: str
    line: int
    text: str
    wrong: bool = True  # Else a remark.

    def __str__(self) -> str:
        """FILE:LINE: text."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}" if self.wrong else f"{place}: remark: {self.text}"


def syntax(layout: Path, name: str) -> tuple[ast.Module | None, list[Finding]]:
    """The layout's syntax, and what is wrong with it; `name`: as the file is called."""
    try:
        tree = ast.parse(layout.read_text(), str(layout))
    except (OSError, UnicodeDecodeError) as error:
        return None, [Finding(name, 0, f"it cannot be read: {error}.")]
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 0
        said = getattr(error, "msg", None) or str(error)
        return None, [Finding(name, line, f"it is no Python: {said}.")]
    return tree, [Finding(name, line, _said(module)) for line, module in _strange(tree)]


def written(folders: Sequence[Path]) -> str:
    """What differs once a layout in the folders is another than before."""
    return f"{zlib.crc32(repr(stamp(folders)).encode()):08x}"


def _strange(tree: ast.Module) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "."]
        else:
            continue
        found += [(node.lineno, module) for module in modules if not _known(module)]
    return found


def _known(module: str) -> bool:
    return module == "app.blocks" or module.partition(".")[0] in DRAWING


def _said(module: str) -> str:
    if module.partition(".")[0] in OURS:
        return (
            f"it imports {module}. Write `from app.blocks import ...`: what a desk may use stands "
            "there, and where something is missing, a block is."
        )
    return (
        f"it imports {module}. A layout composes blocks of app.blocks and does nothing else; "
        f"beside that it may import {', '.join(DRAWING)}."
    )
