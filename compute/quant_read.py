"""Rule: a layout's syntax -> the quant columns that it defines, and why others are none.

The file is read and never run, so a worker needs no Panel and a web process no compiler. What
travels between processes is the folder's name. Enters: Python source. Leaves: definitions whose
text compute/quant_rule.py has let through and whose units fit.
"""

import ast
import copy
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Never

from compute.quant import (
    AGGREGATES,
    FORMATS,
    ROWS,
    Definition,
    QuantError,
    columns_of,
    known,
    units_of,
)
from compute.quant_rule import check
from compute.quant_unit import fits, unit_of
from compute.unit import parse

OPTIONS = ("unit", "head", "format", "aggregate", "table")
FILE_LENGTH_MAX = 1 << 20  # What is longer is cut, and then is no Python.
_NEAR = 3  # Names that are suggested.


@dataclass(slots=True)
class Reading:
    """What one file, or several, define."""

    definitions: list[Definition] = field(default_factory=list)
    refused: list[tuple[str, QuantError]] = field(default_factory=list)  # With the file.


def nearest(name: str, names: Sequence[str]) -> str:
    """The question whether one of `names` was meant, or nothing where none is near."""
    words = set(name.split("_"))
    akin = sorted((one for one in names if words & set(one.split("_"))), key=len)
    close = dict.fromkeys([*difflib.get_close_matches(name, names, _NEAR, 0.75), *akin])
    return f" Did you mean {' or '.join(list(close)[:_NEAR])}?" if close else ""


def read_all(folders: Sequence[Path]) -> Reading:
    """All files of the folders in order; who comes second with a name is refused."""
    found = Reading()
    taken: dict[tuple[str, str], Definition] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.py"))):
        one = read(path)
        found.refused += one.refused
        for each in one.definitions:
            first = taken.setdefault((each.rows, each.name), each)
            if first is each:
                found.definitions.append(each)
            elif first.same != each.same:
                text = f"{each.name} is defined in {first.file}:{first.line} too. Rename one."
                found.refused.append((each.file, QuantError(text, each.line, each.name)))
    return found


def stamp(folders: Sequence[Path]) -> tuple[object, ...]:
    """What differs when a layout does: names, sizes and moments of the files."""
    found: list[object] = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.py"))):
        try:
            stat = path.stat()
        except OSError:  # Gone between the two looks.
            continue
        found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def read(path: Path) -> Reading:
    """The quant columns of one file."""
    found = Reading()
    try:
        with path.open() as source:
            tree = ast.parse(source.read(FILE_LENGTH_MAX), str(path))
    except (OSError, UnicodeDecodeError) as error:
        found.refused.append((str(path), QuantError(f"it cannot be read: {error}.")))
        return found
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 0
        text = f"it is no Python: {getattr(error, 'msg', None) or error}."
        found.refused.append((str(path), QuantError(text, line)))
        return found
    layout = _Layout(tree)
    for node, name in layout.wanted():
        try:
            found.definitions.append(layout.define(node, name, str(path)))
        except QuantError as error:
            told = QuantError(str(error), error.line or node.lineno, name)
            found.refused.append((str(path), told))
    return found


class _Layout:
    """One file's syntax, and what its names stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        self.values = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        self.local = ""  # What `column` is called here; "" where it is not imported.
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "app.blocks":
                for alias in node.names:
                    if alias.name == "column":
                        self.local = alias.asname or alias.name

    def wanted(self) -> list[tuple[ast.Call | ast.FunctionDef, str]]:
        """Every place that defines a column, and its name."""
        found: list[tuple[ast.Call | ast.FunctionDef, str]] = []
        for node in ast.walk(self.tree) if self.local else ():
            if self._is_column(node) and isinstance(node, ast.Call) and len(node.args) > 1:
                first = node.args[0]
                found.append((node, str(first.value) if isinstance(first, ast.Constant) else ""))
            elif isinstance(node, ast.FunctionDef) and any(
                self._is_column(one) for one in node.decorator_list
            ):
                found.append((node, node.name))
        return sorted(found, key=lambda one: one[0].lineno)

    def _is_column(self, node: ast.AST) -> bool:
        called = node.func if isinstance(node, ast.Call) else node
        return isinstance(called, ast.Name) and called.id == self.local

    def define(self, node: ast.Call | ast.FunctionDef, name: str, file: str) -> Definition:
        """The column that stands there; QuantError says why it is none."""
        if isinstance(node, ast.FunctionDef):
            call = next(one for one in node.decorator_list if self._is_column(one))
            options = self._options(call) if isinstance(call, ast.Call) else {}
            function, formula = _plain(node), _told(node)
        else:
            options = self._options(node)
            function = self._function(node.args[1], name)
            formula = ast.unparse(node.args[1])
            if isinstance(node.args[1], ast.Lambda):
                formula = ast.unparse(node.args[1].body)
            elif isinstance(node.args[1], ast.Name):
                formula = self._said(node.args[1].id, function)
            elif isinstance(function.body[0], ast.Return) and function.body[0].value:
                formula = ast.unparse(function.body[0].value)
        _name_check(name)
        check(function)
        arguments = tuple(one.arg for one in function.args.args)
        rows = _rows(arguments, options)
        found = unit_of(function, units_of(rows))
        unit = options.get("unit", "")
        if unit and not fits(found, unit):
            _refuse(
                f"its function makes {found.unit}, and its unit is said to be {unit}. "
                f'Write unit="{found.unit}", or mend the function'
            )
        unit = unit or (str(found.unit) if found.unit else "")
        _aggregate_check(unit, options.get("aggregate", "none"))
        text = ast.unparse(ast.fix_missing_locations(function))
        told = {key: options[key] for key in ("head", "format", "aggregate") if key in options}
        return Definition(
            name, arguments, text, formula, rows, unit, **told, file=file, line=node.lineno
        )

    def _options(self, call: ast.Call) -> dict[str, str]:
        options: dict[str, str] = {}
        for word in call.keywords:
            if word.arg not in OPTIONS:
                _refuse(f"column takes {', '.join(OPTIONS)}, not {word.arg}", word.value.lineno)
            if not isinstance(word.value, ast.Constant) or not isinstance(word.value.value, str):
                _refuse(f"{word.arg} is a text that is written here", word.value.lineno)
            options[word.arg] = word.value.value
        for name, allowed in (("format", FORMATS), ("aggregate", AGGREGATES), ("table", [*ROWS])):
            if options.get(name, allowed[0]) not in allowed:
                _refuse(f"{name} is one of {', '.join(allowed)}, not {options[name]!r}")
        return options

    def _function(self, node: ast.expr, name: str) -> ast.FunctionDef:
        """What stands behind the name, as a function of columns."""
        if isinstance(node, ast.Name) and node.id in self.functions:
            return _plain(self.functions[node.id], name)
        if isinstance(node, ast.Lambda):
            return _made(name, node.args, node.body)
        columns: dict[str, None] = {}
        body = self._resolved(copy.deepcopy(node), columns, 0)
        if not columns:
            _refuse(
                "a column is made by a function or of columns, such as "
                'column("wide", lambda bid, ask: ask - bid)',
                node.lineno,
            )
        arguments = ast.arguments([], [ast.arg(one) for one in columns], None, [], [], None, [])
        return _made(name, arguments, body)

    def _resolved(self, node: Any, columns: dict[str, None], depth: int) -> Any:
        """An expression of `column("name")` with plain names in their place."""
        if depth > 50:
            _refuse("it refers to itself", node.lineno)
        if self._is_column(node) and isinstance(node, ast.Call):
            first = node.args[0] if node.args else None
            if len(node.args) == 1 and isinstance(first, ast.Constant):
                columns[str(first.value)] = None
                return ast.copy_location(ast.Name(str(first.value), ast.Load()), node)
            if len(node.args) > 1 and isinstance(node.args[1], ast.expr):
                if isinstance(node.args[1], ast.Lambda):
                    _refuse("a column is made of the tables' columns, not of a quant's")
                return self._resolved(node.args[1], columns, depth + 1)
        if isinstance(node, ast.Name) and node.id in self.values:
            value = copy.deepcopy(self.values[node.id])
            return self._resolved(value, columns, depth + 1)
        for name, child in ast.iter_fields(node):
            if isinstance(child, ast.AST):
                setattr(node, name, self._resolved(child, columns, depth + 1))
            elif isinstance(child, list) and name == "args":
                node.args = [self._resolved(one, columns, depth + 1) for one in child]
        return node

    def _said(self, name: str, function: ast.FunctionDef) -> str:
        if name in self.functions:
            return _told(self.functions[name])
        returned = function.body[-1]
        return ast.unparse(returned).removeprefix("return ")


def _made(name: str, arguments: ast.arguments, body: ast.expr) -> ast.FunctionDef:
    returned = ast.copy_location(ast.Return(body), body)
    made = ast.FunctionDef(name, arguments, [returned], [], None, None, [])
    made.lineno = body.lineno
    return made


def _plain(node: ast.FunctionDef, name: str = "") -> ast.FunctionDef:
    """A function without decorator, annotations and docstring."""
    plain = copy.deepcopy(node)
    plain.name, plain.decorator_list, plain.returns = name or node.name, [], None
    for one in plain.args.args:
        one.annotation = None
    if ast.get_docstring(node) is not None:
        plain.body = plain.body[1:]
    return plain


def _told(node: ast.FunctionDef) -> str:
    """The first line of its docstring, or what it returns."""
    said = ast.get_docstring(node)
    if said:
        return said.splitlines()[0]
    return ast.unparse(node.body[-1]).removeprefix("return ")


def _name_check(name: str) -> None:
    if not name.isidentifier() or name != name.lower() or not name.isascii():
        _refuse(f"{name!r} is no name of a column: write small letters, digits and _")
    if name in known():
        _refuse(f"{name} is a column of the tables already. Choose another name")


def _rows(arguments: tuple[str, ...], options: dict[str, str]) -> str:
    """The table whose rows have all arguments."""
    if not arguments:
        _refuse("its function needs an argument: names of columns, such as bid, ask")
    wanted = [options["table"]] if "table" in options else [*ROWS]
    for rows in wanted:
        if set(arguments) <= columns_of(rows).keys():
            return rows
    for name in arguments:
        if not any(name in columns_of(rows) for rows in wanted):
            every = sorted({one for rows in wanted for one in columns_of(rows)})
            _refuse(f"there is no column {name!r}.{nearest(name, every)} Arguments name columns")
    places = [
        f"{name} ({columns_of(rows)[name].unit}) of {rows}"
        for name in arguments
        for rows in [next(rows for rows in ROWS if name in columns_of(rows))]
    ]
    text = f"its columns stand in different rows: {', '.join(places)}. Take those of one table."
    raise QuantError(text)


def _aggregate_check(unit: str, aggregate: str) -> None:
    found = parse(unit)
    if aggregate == "sum" and (found is None or not found.summable):
        _refuse(
            f"a sum of {unit or 'plain numbers'} over instruments means nothing. "
            'Leave aggregate out, or make it USD (exposure, pnl) and write unit="USD"'
        )


def _refuse(text: str, line: int = 0) -> Never:
    raise QuantError(f"{text}.", line)
