"""Shape: a desk as plain data, and as the Python file that it equals.

What a person has made of a desk is kept as data: of each stack its blocks, by class and by what
differs from the class's defaults. Nothing of it is ever run: classes are those that a layout may
name, values must be of their fields' types, columns those of the tables. `python` writes the same
desk as a layout, `arranged` makes it of a desk and of what a page says that was done to it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from enum import Enum
from functools import cache
from textwrap import wrap
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

import app.blocks as vocabulary
from app.blocks.around import NOTES_MAX, Notes
from app.blocks.block import ROW_PX, Block, Grid, Strip
from app.blocks.desk import Desk
from app.blocks.stock import Stock
from app.check import BARS_PX, GAP_PX, SIZES

STACKS = ("left", "centre", "foot", "right")
BLOCKS_MAX = 24
TEXT_MAX = 64  # Of a title; a note may be twice as long.
HEIGHT_MAX, WIDTH_MIN, WIDTH_MAX = 2_160, 160, 1_200
LINE_MAX = 99
LEAST_PX = 4 * ROW_PX - 1  # Head, column head and two rows.

_NO_TYPES = (Block, Stock)
TYPES: dict[str, type[Block]] = {
    name: found
    for name in vocabulary.__all__
    if isinstance(found := getattr(vocabulary, name), type)
    and issubclass(found, Block)
    and found not in _NO_TYPES
}
_FORMER = {"Curve": "PnlCurve"}  # Names in desks that were kept before 0.9.1.
# What cannot be added as it is: these want columns of whoever writes a layout.
_WRITTEN = {"Grid", "Bars", "Strip"}


class DeskError(ValueError):
    """Not a desk; the text says what of it, and what to do."""


def catalogue() -> list[list[str]]:
    """Class, kind, title and one line about each block that a page may add."""
    found = []
    for name, kind in sorted(TYPES.items()):
        if name not in _WRITTEN:
            said = (kind.__doc__ or "").partition("\n")[0]
            found.append([name, kind.kind, kind().title or name, said])
    return found


def told(desk: Desk) -> dict[str, Any]:
    """A desk as data; DeskError where a block is more than data."""
    data: dict[str, Any] = {"title": desk.title, "widths": list(desk.widths)}
    if desk.strip != Strip():
        data["strip"] = _block_told(desk.strip)
    return data | {
        stack: [_block_told(block) for block in getattr(desk, stack)] for stack in STACKS
    }


def made(data: Mapping[str, Any]) -> Desk:
    """The desk of such data; DeskError where it is none."""
    if not isinstance(data, Mapping):
        raise DeskError("a desk is an object of stacks")
    stacks = {stack: _blocks(data.get(stack, ()), stack) for stack in STACKS}
    if sum(map(len, stacks.values())) > BLOCKS_MAX:
        raise DeskError(f"a desk has at most {BLOCKS_MAX} blocks. Take some out")
    strip = _block_made(data["strip"]) if "strip" in data else Strip()
    if not isinstance(strip, Strip):
        raise DeskError("strip is a Strip")
    return Desk(
        text_of(data.get("title")), strip=strip, widths=_widths(data.get("widths")), **stacks
    )


def arranged(base: Desk, done: Mapping[str, Any]) -> Desk:
    """What a page says was done to `base`: which block stands where, how high, what was added.

    A block is `[which, height, narrow]`: `which` is "number:kind" of the base's blocks, or the
    class of a new one. Notes have a fourth, their text. DeskError where the base is not the one
    that the page has arranged.
    """
    if not isinstance(done, Mapping):
        raise DeskError("what was done is an object of stacks")
    stacks: dict[str, list[Block]] = {}
    for stack in STACKS:
        placed = done.get(stack, [])
        if not isinstance(placed, list) or len(placed) > BLOCKS_MAX:
            raise DeskError(f"{stack} is a list of blocks")
        stacks[stack] = [_placed(base.blocks, one) for one in placed]
    if sum(isinstance(block, Grid) for block in stacks["centre"]) != len(_grids(base)):
        raise DeskError("the grid of a desk stays in its centre: all other blocks follow its line")
    widths = _widths(done.get("widths", list(base.widths)))
    desk = Desk(base.title, strip=base.strip, widths=widths, **stacks)
    desk.refs = [str(one[0]) for stack in STACKS for one in done.get(stack, ())]
    desk.stem, desk.mine = base.stem, base.mine
    return in_room(desk)


def python(desk: Desk, said: str) -> str:
    """The layout's file; `said` is what its first line says."""
    data = told(desk)
    used = {one[0] for stack in STACKS for one in data[stack]} | {"Desk"}
    if "strip" in data:
        used.add("Strip")
    text = _written(desk, "", 0)
    if "AssetClass." in text:
        used.add("AssetClass")
    names = sorted(used, key=lambda name: (not name.isupper(), name))
    imports = "from app.blocks import " + ", ".join(names)
    if len(imports) > LINE_MAX:
        imports = "from app.blocks import (\n" + "".join(f"    {one},\n" for one in names) + ")"
    words = said.replace("\\", "").replace('"', "")
    return f'"""{words}"""\n\n{imports}\n\n{text}.servable()\n'


def text_of(value: Any, most: int = TEXT_MAX) -> str:
    """A short printable text; DeskError where it is none."""
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise DeskError(f"a title is a text of 1 to {most} letters, not {value!r:.40}")
    return value


def _grids(desk: Desk) -> list[Grid]:
    return [block for block in desk.blocks if isinstance(block, Grid)]


def _placed(blocks: Sequence[Block], one: Any) -> Block:
    try:
        which, height, narrow, *text = one
        number, _, kind = str(which).partition(":")
    except (TypeError, ValueError):
        raise DeskError(f"{one!r:.60} does not say which block and how high") from None
    if kind:
        known = int(number) if number.isdecimal() else len(blocks)
        if known >= len(blocks) or blocks[known].kind != kind:
            raise DeskError(f"the desk has changed since: it has no {kind} as number {number}")
        block = blocks[known]
    else:
        block = _block_made([number, {}])
    return replace(
        _written_on(block, text) if text else block,
        height=_height(height),
        narrow=None if narrow is None else _height(narrow),
    )


def _written_on(block: Block, text: list[Any]) -> Block:
    if not isinstance(block, Notes) or len(text) > 1 or not isinstance(text[0], str):
        raise DeskError(f"{type(block).__name__} has no text of its own")
    if len(text[0]) > NOTES_MAX:
        raise DeskError(f"notes have {NOTES_MAX:,} letters at most, not {len(text[0]):,}")
    return replace(block, text=text[0])


def _height(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= HEIGHT_MAX:
        raise DeskError(f"a height is 0 to {HEIGHT_MAX} px, not {value!r:.20}")
    return value


def _widths(value: Any) -> tuple[int, int, int, int]:
    good = isinstance(value, list | tuple) and len(value) == len(STACKS)
    if not good or not all(type(px) is int and WIDTH_MIN <= px <= WIDTH_MAX for px in value):
        raise DeskError(f"widths are four numbers of {WIDTH_MIN} to {WIDTH_MAX} px")
    left, right, narrow_left, narrow_right = value
    return left, right, narrow_left, narrow_right


def _block_told(block: Block) -> list[Any]:
    name = type(block).__name__
    if TYPES.get(name) is not type(block):
        what = f"{block.title or name} is made by its layout's own code"
        raise DeskError(f"{what} and cannot be kept in a desk of your own: take it out")
    kept = {}
    for field, hint in _hints(name):
        data, first = (
            hint.dump_python(value, mode="json")
            for value in (getattr(block, field.name), _default(field))
        )
        if data != first:
            kept[field.name] = data
    return [name, kept]


def _blocks(told: Any, stack: str) -> list[Block]:
    if not isinstance(told, list | tuple):
        raise DeskError(f"{stack} is a list of blocks")
    return [_block_made(one) for one in told]


def _block_made(told: Any) -> Block:
    """KeyError where its columns are not of its tables."""
    if not isinstance(told, list | tuple) or len(told) != 2 or not isinstance(told[1], Mapping):
        raise DeskError(f"{told!r:.60} is no block")
    name, values = told
    if isinstance(name, str):
        name = _FORMER.get(name, name)
    kind = TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise DeskError(f"there is no block {name!r:.40}")
    known = {field.name: hint for field, hint in _hints(name)}
    if strange := sorted(set(values) - set(known)):
        raise DeskError(f"{name} has no {strange[0]!r:.40}; it has {', '.join(known)}")
    try:
        checked = {key: known[key].validate_python(value) for key, value in values.items()}
    except ValidationError as error:
        first = error.errors()[0]
        raise DeskError(f"{name}: {first['msg']}, not {first['input']!r:.40}") from None
    for key in ("title", "note"):
        if values.get(key):
            text_of(values[key], TEXT_MAX * (1 + (key == "note")))
    for key in ("height", "narrow"):
        if values.get(key) is not None:
            _height(values[key])
    try:
        return kind(**checked)
    except ValueError as error:
        raise DeskError(f"{name}: {error}") from None


@cache
def _hints(name: str) -> list[tuple[Field[Any], TypeAdapter[Any]]]:
    hints = get_type_hints(TYPES[name])
    return [(field, TypeAdapter(hints[field.name])) for field in fields(TYPES[name])]


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


# ---- as source ------------------------------------------------------------------------------
def _written(value: Any, before: str, column: int) -> str:
    """`value` as a layout writes it, one line where it has room, else one line an item."""
    opening, items, closing = _parts(value)
    flat = before + opening + ", ".join(_written(v, k, 0) for k, v in items) + closing
    if "\n" not in flat and column + len(flat) < LINE_MAX:
        return flat
    if not items:
        return flat
    pad = " " * (column + 4)
    if all(not before and not _parts(v)[2] and " " not in _leaf(v) for before, v in items):
        words = ", ".join(_leaf(v) for _, v in items) + ","
        filled = wrap(words, LINE_MAX - column - 4, break_long_words=False, break_on_hyphens=False)
        return "\n".join(
            [before + opening, *(pad + line for line in filled), " " * column + closing]
        )
    lines = "".join(f"{pad}{_written(v, k, column + 4)},\n" for k, v in items)
    return f"{before}{opening}\n{lines}{' ' * column}{closing}"


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str]:
    if isinstance(value, Desk):
        return "Desk(", list(_arguments_of_desk(value)), ")"
    if isinstance(value, Block):
        return f"{type(value).__name__}(", list(_arguments(value)), ")"
    if isinstance(value, Mapping):
        return "{", [(f"{_leaf(key)}: ", one) for key, one in value.items()], "}"
    if isinstance(value, tuple) and value:
        return "(", [("", one) for one in value], ")" if len(value) > 1 else ",)"
    if isinstance(value, list | tuple):
        return "[", [("", one) for one in value], "]"
    return _leaf(value), [], ""


def _leaf(value: Any) -> str:
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _arguments(block: Block) -> Iterator[tuple[str, Any]]:
    """What differs from the defaults; the title goes first and without its name."""
    kept = _block_told(block)[1]
    for field in fields(block):
        if field.name in kept:
            value = getattr(block, field.name)
            yield ("" if field.name == "title" else f"{field.name}="), _plain(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _arguments_of_desk(desk: Desk) -> Iterator[tuple[str, Any]]:
    yield "", desk.title
    if desk.strip != Strip():
        yield "strip=", desk.strip
    for stack in STACKS:
        if blocks := getattr(desk, stack):
            yield f"{stack}=", list(blocks)
    if desk.widths != Desk("").widths:
        yield "widths=", tuple(desk.widths)


# ---- room -----------------------------------------------------------------------------------
def fitted(stack: Sequence[Block], room_px: int, *, narrow: bool) -> list[Block]:
    """The stack in the room of a page: heights give way evenly, and then the last are left out.

    A grid is never left out. Only on a narrow page may a block be: a wide one has room, or the
    desk is refused.
    """
    found = list(stack)
    name = "narrow" if narrow else "height"
    while True:
        shown = [block for block in found if getattr(block, name) is not None]
        told_px = sum(getattr(block, name) for block in shown)
        rest = sum(not getattr(block, name) for block in shown) * 5 * ROW_PX
        room = room_px - max(0, len(shown) - 1) - rest
        if told_px <= room:
            return found
        share = max(0.0, room / told_px)
        found = [_lower(block, name, share) for block in found]
        if sum(getattr(block, name) or 0 for block in found) <= room or not narrow:
            return found
        others = [
            k
            for k, block in enumerate(found)
            if block.narrow is not None and not isinstance(block, Grid)
        ]
        if not others:
            return found
        found[others[-1]] = replace(found[others[-1]], narrow=None)


def in_room(desk: Desk) -> Desk:
    """The desk with heights for which the smallest narrow and the smallest wide page have room."""
    for narrow, (_, height_px) in ((True, SIZES[0]), (False, SIZES[1])):
        name, room = ("narrow" if narrow else "height"), height_px - BARS_PX
        most = room // 2 // ROW_PX * ROW_PX - 1
        desk.foot = [
            replace(block, **{name: min(getattr(block, name), most)})
            if getattr(block, name)
            else block
            for block in desk.foot
        ]
        below = max(
            [px for block in desk.foot if (px := getattr(block, name)) is not None], default=0
        )
        desk.left = fitted(desk.left, room, narrow=narrow)
        desk.centre = fitted(desk.centre, room - below - GAP_PX, narrow=narrow)
        desk.right = fitted(desk.right, room, narrow=narrow)
    return desk


def _lower(block: Block, name: str, share: float) -> Block:
    px = getattr(block, name)
    least: Any = {name: max(LEAST_PX, int((px or 0) * share) // ROW_PX * ROW_PX - 1)}
    return replace(block, **least) if px else block
