"""Rule: the unit of an expression of columns, from its syntax.

Sums and comparisons need one unit on both sides; products and quotients make their own. A number
takes the unit of what it is added to, and a constant factor may lead from one scale of a ratio to
another: `(ask - bid) / mid * 1e4` may be called bp. What no unit can be found for (bits, codes,
local branches of two units) is refused with the reason.
"""

import ast
from collections.abc import Mapping
from typing import NamedTuple

from compute.quant import QuantError
from compute.unit import Unit, UnitError, parse

KEEP = ("abs", "fabs", "min", "max", "round", "floor", "ceil", "copysign", "hypot", "float", "fmod")
ROOTS = ("sqrt",)
TRUTHS = ("isnan", "isfinite", "isinf", "bool", "int")
_FIT = "Write only quantities of one unit in a sum; a factor such as mid or multiplier leads over."


class Found(NamedTuple):
    """A unit; None: a number that takes any. `scaled`: a constant factor is in it."""

    unit: Unit | None
    scaled: bool = False


_NUMBER = Found(None)


def unit_of(function: ast.FunctionDef, units: Mapping[str, Unit | None]) -> Found:
    """The unit of what a function of columns returns; QuantError where two do not fit."""
    names = {one.arg for one in function.args.args}
    reader = _Reader({name: units[name] for name in names})
    reader.block(function.body)
    if not reader.returned:
        raise QuantError("the function returns nothing. End it with `return`.")
    return reader.returned[0]


def fits(found: Found, declared: str) -> bool:
    """Whether what was found may be called `declared`."""
    wanted = parse(declared)
    if found.unit is None or wanted is None or found.unit == wanted:
        return wanted is not None
    return found.scaled and found.unit.ratio and wanted.ratio


class _Reader:
    """Walks statements in order; local names get the unit of what they are set to."""

    def __init__(self, columns: Mapping[str, Unit | None]) -> None:
        self.columns = columns
        self.locals: dict[str, Found] = {}
        self.returned: list[Found] = []

    def block(self, statements: list[ast.stmt]) -> None:
        for one in statements:
            if isinstance(one, ast.Return) and one.value is not None:
                found = self.find(one.value)
                if self.returned:
                    found = self._same(self.returned[0], found, one, "is returned beside")
                self.returned[:1] = [found]
            elif isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
                self.locals[one.targets[0].id] = self.find(one.value)
            elif isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name):
                whole = ast.BinOp(ast.Name(one.target.id), one.op, one.value)
                self.locals[one.target.id] = self.find(ast.copy_location(whole, one))
            elif isinstance(one, ast.If):
                self.find(one.test)
                self.block(one.body)
                self.block(one.orelse)

    def find(self, node: ast.expr) -> Found:
        """The unit of an expression."""
        if isinstance(node, ast.Name):
            return self._named(node)
        if isinstance(node, ast.UnaryOp):
            return self.find(node.operand)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.Compare):
            left = self.find(node.left)
            for right in node.comparators:
                left = self._same(left, self.find(right), node, "is compared with")
            return _NUMBER
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self.find(value)
            return _NUMBER
        if isinstance(node, ast.IfExp):
            self.find(node.test)
            return self._same(
                self.find(node.body), self.find(node.orelse), node, "is chosen beside"
            )
        return self._called(node) if isinstance(node, ast.Call) else _NUMBER

    def _named(self, node: ast.Name) -> Found:
        if node.id in self.locals:
            return self.locals[node.id]
        if node.id not in self.columns:
            return _NUMBER
        unit = self.columns[node.id]
        return _NUMBER if unit is None else Found(unit)

    def _binary(self, node: ast.BinOp) -> Found:
        left, right = self.find(node.left), self.find(node.right)
        scaled = left.scaled or right.scaled or None in (left.unit, right.unit)
        if isinstance(node.op, ast.Mult | ast.Div):
            if left.unit is None and right.unit is None:
                return _NUMBER
            one, two = left.unit or Unit(), right.unit or Unit()
            return Found(one * two if isinstance(node.op, ast.Mult) else one / two, scaled)
        if isinstance(node.op, ast.Pow):
            return self._power(node, left)
        word = {ast.Add: "is added to", ast.Sub: "is taken from"}.get(type(node.op), "meets")
        return self._same(left, right, node, word)

    def _power(self, node: ast.BinOp, base: Found) -> Found:
        if base.unit is None or base.unit.plain:
            return base
        power = node.right.value if isinstance(node.right, ast.Constant) else None
        if power == 0.5:
            return self._root(node.left, base)
        if not isinstance(power, int):
            raise QuantError(
                f"`{_said(node)}`: {_said(node.left)} is in {base.unit}, whose power must be a "
                "whole number that is written here.",
                node.lineno,
            )
        return Found(base.unit.raised(power), base.scaled)

    def _called(self, node: ast.Call) -> Found:
        name = ast.unparse(node.func).rpartition(".")[2]
        found = [self.find(one) for one in node.args]
        if name in TRUTHS or not found:
            return _NUMBER
        if name in ROOTS:
            return self._root(node.args[0], found[0])
        if name in KEEP:
            first = found[0]
            for each in found[1:]:
                first = self._same(first, each, node, "stands beside")
            return first
        for argument, each in zip(node.args, found, strict=True):
            if each.unit is not None and not each.unit.ratio:
                raise QuantError(
                    f"`{_said(node)}` needs a plain number, and {_said(argument)} is in "
                    f"{each.unit}. Divide it by a quantity in {each.unit} first.",
                    node.lineno,
                )
        return Found(Unit(), scaled=True)

    def _root(self, node: ast.expr, found: Found) -> Found:
        try:
            return Found(found.unit and found.unit.root(), found.scaled)
        except UnitError:
            raise QuantError(
                f"{_said(node)} is in {found.unit}, which has no square root. Take it of a "
                "square, such as a variance.",
                getattr(node, "lineno", 0),
            ) from None

    def _same(self, left: Found, right: Found, node: ast.AST, word: str) -> Found:
        scaled = left.scaled or right.scaled
        if left.unit is None or right.unit is None or left.unit == right.unit:
            return Found(left.unit if left.unit is not None else right.unit, scaled)
        first, second = _sides(node)
        verb = f"{second} ({right.unit}) {word} {first} ({left.unit})"
        raise QuantError(f"{verb}: the units differ. {_FIT}", getattr(node, "lineno", 0))


def _sides(node: ast.AST) -> tuple[str, str]:
    if isinstance(node, ast.BinOp):
        return _said(node.left), _said(node.right)
    if isinstance(node, ast.Compare):
        return _said(node.left), _said(node.comparators[-1])
    if isinstance(node, ast.IfExp):
        return _said(node.body), _said(node.orelse)
    if isinstance(node, ast.Call):
        return _said(node.args[0]), _said(node.args[-1])
    return "what was returned before", _said(getattr(node, "value", node))


def _said(node: ast.AST) -> str:
    return ast.unparse(node)
