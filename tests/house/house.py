"""What the house tests look at: the files of the product, and what they import."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("ingest", "compute", "app", "layouts")  # In the order in which data flows.
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
BENCHES = sorted((ROOT / "bench").rglob("*.py"))


def name(path: Path) -> str:
    """The file as the design names it, for example `compute/live.py`."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """The file, parsed."""
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, full name) of every import, also of those inside functions."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found
