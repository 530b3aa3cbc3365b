"""Rule: what is wrong with a layout, before anybody opens it: in which line, and what to write.

Enters: a layout's file. It is read, then run as a web process runs it, but to describe its desk
alone. Leaves: findings. Looked at are imports, columns and their units (at the line that adds what
does not fit), quant columns (compiled and measured as the worker does), aggregation, room on the
page, the painter's budget, and whether the person may see what the desk asks for.

The last is asked of `allowed(table, columns)`, which answers "" or the reason why not, once for
every feed of the desk: whoever knows identities hands it in. Without one everybody may see all,
as everybody may who reaches the page.
"""

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.layout import Finding, syntax
from compute.quant import QuantError
from compute.quant_read import read
from compute.table import CLASSES

SIZES = ((1366, 768), (1920, 1080), (3840, 2160))
NARROW_PX = 1500  # As desk.js has it.
BARS_PX, GAP_PX, ROW_PX, HEAD_ROWS = 2 * 28 + 2, 1, 20, 2
REST_ROWS = 5  # Least rows of what takes what is left.
CENTRE_PX = 400  # Below that a grid shows its symbols and three columns.
# What one changed cell costs the page's main thread: 600 cells in 5.3 ms (bench/painter.py).
CELL_US = 9.0
FRAME_MS, FRAMES_PER_S = 10.0, 60  # The promise of that bench: so much of a frame is for cells.
BUDGET_CELLS_PER_S = FRAME_MS * 1e3 * FRAMES_PER_S / CELL_US
# How often a cell of a table changes at most, as a page sees it: a liquid line is told at each
# burst of its market, 20 a second; the totals by TOTAL_MS of compute/live.py; risk five times.
CHANGES_PER_S = {"instruments": 20.0, "books": 25.0, "classes": 25.0, "positions": 20.0}
CHANGES_PER_S_ELSE = 5.0

Allowed = Callable[[str, Sequence[str]], str]


def everybody(_table: str, _columns: Sequence[str]) -> str:
    """Nothing is held back: who reaches the page may see it."""
    return ""


def check(layout: Path, folders: Sequence[Path], allowed: Allowed = everybody) -> list[Finding]:
    """All that is to be said of a layout; `folders`: where workers read quant columns."""
    name = _name(layout)
    tree, found = syntax(layout, name)
    if tree is None or found:
        return found
    found = _quant(layout, name, folders)
    from app.blocks.desk import describe
    from app.blocks.problem import line_of, told

    try:
        desk = describe(layout)
    except (Exception, SystemExit) as error:  # It is somebody's code: what it raises is a finding.
        found += [one for one in _raised(error, tree, name) if not _same(one, found)]
        if not any(one.wrong for one in found):  # A remark does not say why there is no desk.
            text = told(error).removeprefix(": ")
            found.append(Finding(name, line_of(error, str(layout)), text))
        return found
    return found + judged(desk, tree, name, allowed)


def judged(desk: Any, tree: ast.Module, name: str, allowed: Allowed = everybody) -> list[Finding]:
    """What is to be said of a desk that stands; `tree` is the text that describes it."""
    lines = _Lines(tree)
    return _sound(desk, lines, name) or [
        *_aggregation(desk, lines, name),
        *_room(desk, lines, name),
        *_budget(desk, name),
        *_entitled(desk, lines, name, allowed),
    ]


def _name(layout: Path) -> str:
    """As a person calls it: from where he stands."""
    try:
        return str(layout.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(layout)


def _same(one: Finding, found: Sequence[Finding]) -> bool:
    return any(one.line == other.line and one.text[:40] == other.text[:40] for other in found)


def _raised(error: BaseException, tree: ast.Module, name: str) -> list[Finding]:
    """One finding a column that is missing, at the line that names it."""
    missing = getattr(error, "missing", None)
    if not isinstance(missing, dict):
        return []
    lines = _Lines(tree)
    return [Finding(name, lines.of_text(column), text) for column, text in missing.items()]


def _quant(layout: Path, name: str, folders: Sequence[Path]) -> list[Finding]:
    """Its quant columns: read, compiled and measured as the worker will."""
    reading = read(layout)
    found = [Finding(name, error.line, f"{error}") for _, error in reading.refused]
    if not reading.definitions:
        return found
    from compute.quant_kernel import made

    for one in reading.definitions:
        try:
            made(one)
        except QuantError as error:
            found.append(Finding(name, one.line, f"{one.name}: {error}"))
    if layout.absolute().parent not in [folder.absolute() for folder in folders]:
        line = reading.definitions[0].line
        text = f"its columns stay blank until the folder is read: up --layouts {layout.parent}"
        found.append(Finding(name, line, text, wrong=False))
    return found


class _Lines:
    """Where in a layout something is written."""

    def __init__(self, tree: ast.Module) -> None:
        self.calls: dict[str, list[int]] = {}
        self.texts: dict[str, int] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                self.calls.setdefault(node.func.id, []).append(node.lineno)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                line = self.texts.get(node.value, node.lineno)
                self.texts[node.value] = min(line, node.lineno)

    def of_text(self, text: str) -> int:
        """The first line that has this text; 0: none."""
        return self.texts.get(text, 0)

    def of(self, block: Any) -> int:
        """The line of a block: of its title, else of the only place that makes one of its kind."""
        if block.title in self.texts:
            return self.texts[block.title]
        places = self.calls.get(type(block).__name__, [])
        return places[0] if places else self.calls.get("Desk", [0])[0]


def _sound(desk: Any, lines: _Lines, name: str) -> list[Finding]:
    """Blocks whose own code raises when they are asked what they show."""
    from app.blocks.problem import Problem, sound
    from app.blocks.stock import Stock

    found = []
    for block in desk.blocks:
        shown = sound(block)
        wrong = shown.text if isinstance(shown, Problem) else ""
        if isinstance(block, Stock) and not wrong:
            wrong = block.tried()[2].removeprefix(": ")
        if wrong:
            found.append(Finding(name, lines.of(block), f"the block fails: {wrong}"))
    return found


def _aggregation(desk: Any, lines: _Lines, name: str) -> list[Finding]:
    """Totals of what no total means anything of."""
    from app.blocks.block import Bars, table_named
    from app.blocks.column import place_of

    found = []
    for block in desk.blocks:
        if not isinstance(block, Bars):
            continue
        table = table_named(block.table)
        for column in dict.fromkeys((*block.bar_columns, *(block.columns if block.total else ()))):
            if place_of(table, column)[1].aggregate != "sum":
                text = f"{column} is no sum, so its total says nothing. Take it out, or total=False"
                found.append(Finding(name, lines.of_text(column) or lines.of(block), f"{text}."))
    for column in desk.strip.figures:
        if CLASSES.columns[CLASSES.index(column)].aggregate != "sum":
            text = f"{column} is no sum over classes, as the strip's figures are."
            found.append(Finding(name, lines.of_text(column), text))
    return found


def _room(desk: Any, lines: _Lines, name: str) -> list[Finding]:
    """Stacks that are taller or wider than the page."""
    desk_line = lines.calls.get("Desk", [0])[0]
    found = []
    for width, height in SIZES:
        narrow = width < NARROW_PX
        sides = sum(desk.widths[2:] if narrow else desk.widths[:2])
        if width - sides < CENTRE_PX:
            which = "third and fourth" if narrow else "first and second"
            text = f"at {width} x {height} the centre has {width - sides} px: make the {which} of "
            found.append(Finding(name, desk_line, f"{text}widths smaller."))
        foot = [_height(block, narrow) for block in desk.foot]
        below = max([px for px in foot if px is not None], default=0)
        for place in ("left", "centre", "right"):
            told = [_height(block, narrow) for block in getattr(desk, place)]
            shown = [px for px in told if px is not None]
            shown += [below] if below and place == "centre" else []
            room = height - BARS_PX - GAP_PX * max(0, len(shown) - 1)
            wanted = sum(px or REST_ROWS * ROW_PX for px in shown)
            if wanted > room:
                word = "narrow" if narrow else "height"
                text = (
                    f"{place} wants {wanted} px at {width} x {height} and has {room}: take "
                    f"{wanted - room} px off a block's {word}"
                )
                leave = ", or leave one out with narrow=None" if narrow else ""
                found.append(Finding(name, desk_line, f"{text}{leave}."))
    return found + _twins(desk, lines, name)


def _twins(desk: Any, lines: _Lines, name: str) -> list[Finding]:
    from app.blocks.block import Grid

    grids = [block for block in desk.blocks if isinstance(block, Grid)]
    if not grids:
        text = "a desk has a grid, whose selected line the others follow: add Grid(...)."
        return [Finding(name, lines.calls.get("Desk", [0])[0], text)]
    text = "a desk has one grid, which all blocks follow. Write its lists of columns as `sets`."
    return [Finding(name, lines.of(block), text) for block in grids[1:]]


def _height(block: Any, narrow: bool) -> int | None:
    height: int | None = block.narrow if narrow else block.height
    return height


def _budget(desk: Any, name: str) -> list[Finding]:
    """Changed cells a second against what the painter paints in its share of a frame."""
    worst, of = max((load(desk, width, height), (width, height)) for width, height in SIZES)
    if worst <= BUDGET_CELLS_PER_S:
        return []
    text = (
        f"at {of[0]} x {of[1]} {worst:,.0f} cells may change a second, and the painter has time "
        f"for {BUDGET_CELLS_PER_S:,.0f}. Show fewer columns at once: split them into `sets`, of "
        "which only the chosen one travels."
    )
    return [Finding(name, 0, text)]


def load(desk: Any, width: int, height: int) -> float:
    """Cells that may change in a second on a page of that size."""
    from app.blocks.block import Bars, Grid, table_named
    from app.blocks.column import place_of

    narrow, cells = width < NARROW_PX, 0.0
    for place in ("left", "centre", "foot", "right"):
        blocks = [one for one in getattr(desk, place) if _height(one, narrow) is not None]
        fixed = sum(_height(one, narrow) or 0 for one in blocks)
        for block in blocks:
            px = _height(block, narrow) or height - BARS_PX - fixed
            rows = max(0, px // ROW_PX - HEAD_ROWS)
            if isinstance(block, Grid):
                room = width - sum(desk.widths[2:] if narrow else desk.widths[:2])
                columns = _shown(block, room if place == "centre" else width)
            elif isinstance(block, Bars):
                columns = [*block.bar_columns, *block.columns]
                rows = min(rows, 16)
            else:
                continue
            table = table_named(block.table)
            for column in columns:
                home = place_of(table, column)[0].name
                cells += rows * CHANGES_PER_S.get(home, CHANGES_PER_S_ELSE)
    return cells


def _shown(grid: Any, room: int) -> list[str]:
    """The columns of the set that has most of them in that room."""
    from app.blocks.block import table_named
    from app.blocks.column import setting

    best: list[str] = []
    for columns in dict(grid.sets or {"": grid.columns}).values():
        left, found = room - 120, []  # The symbol's own column.
        for column in columns:
            left -= setting(table_named(grid.table), column)["width"]
            if left < 0:
                break
            found.append(column)
        best = max(best, found, key=len)
    return best


def _entitled(desk: Any, lines: _Lines, name: str, allowed: Allowed) -> list[Finding]:
    """At the line that names such a column, else at that of the desk."""
    found: dict[Finding, None] = {}
    for feed in desk.spec()["feeds"]:
        if feed["kind"] == "grid" and (why := allowed(feed["table"], feed["columns"])):
            these = [one for one in feed["columns"] if allowed(feed["table"], [one])]
            named = [lines.of_text(one) for one in these] if these != feed["columns"] else []
            line = min((one for one in named if one), default=lines.calls.get("Desk", [0])[0])
            found[Finding(name, line, why)] = None
    return [*found]
