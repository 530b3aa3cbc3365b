"""Rule: what the function of a quant column may hold, from its syntax alone.

Numbers, arithmetic, comparisons, branches, names for what is in between, and mathematical
functions: so it ends after a known number of steps, has no effect, and knows nothing but its
arguments. Whatever else stands there is refused with what to write instead, before anything of it
is compiled.
"""

import ast
from typing import Never

from compute.quant import QuantError

NODES_MAX = 400  # Some forty lines of arithmetic; it is made for every row that changes.
BUILT_IN = ("abs", "min", "max", "round", "int", "float", "bool")
MATH = (
    *("sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "asin", "acos"),
    *("atan", "atan2", "sinh", "cosh", "tanh", "erf", "erfc", "gamma", "lgamma", "floor", "ceil"),
    *("fabs", "fmod", "hypot", "copysign", "isnan", "isinf", "isfinite"),
)
CONSTANTS = ("pi", "e", "nan", "inf")
_PLAIN = (
    *(ast.IfExp, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context),
)
_NO = {  # What people write, and what is to be said of it.
    ast.For: "a loop: the function is of one row, and is made for each",
    ast.While: "a loop: the function is of one row, and is made for each",
    ast.ListComp: "a list: the function is of one row, its arguments are numbers",
    ast.List: "a list: the function is of one row, its arguments are numbers",
    ast.Dict: "a dictionary: write branches",
    ast.Subscript: "an index: its arguments are numbers of one row",
    ast.Import: "an import: only math.* is known",
    ast.ImportFrom: "an import: only math.* is known",
    ast.Raise: "an error of its own: return math.nan, which blanks the cell",
    ast.Assert: "an assertion: return math.nan, which blanks the cell",
    ast.Try: "a try: nothing in it raises; what is not known is blank",
    ast.Lambda: "a function in the function: write it out",
    ast.FunctionDef: "a function in the function: write it out",
    ast.Global: "a global: nothing is kept between two rows",
    ast.With: "a with: it has no effects",
    ast.Yield: "a yield: return one number",
    ast.Await: "an await: it has no effects",
    ast.NamedExpr: "a walrus: set a name in a line of its own",
    ast.JoinedStr: "text: it makes one number",
}


def check(function: ast.FunctionDef) -> None:
    """QuantError at the first thing that may not be in `function`, which is of columns."""
    said = function.args
    if said.vararg or said.kwarg or said.kwonlyargs or said.defaults or said.posonlyargs:
        _refuse(function, "its arguments are plain names of columns, without * and defaults")
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    if len(nodes) > NODES_MAX:
        _refuse(function, f"it is too long ({len(nodes)} parts, {NODES_MAX} at most): split it")
    if _block(function.body, {one.arg for one in said.args}) is not None:
        _refuse(function, "not every way through it returns a number: end it with `return`")


def _block(statements: list[ast.stmt], names: set[str]) -> set[str] | None:
    """The names that are surely set behind the statements; None: it returns on every way."""
    for one in statements:
        if isinstance(one, ast.If):
            _visit(one.test, names)
            ways = [_block(one.body, set(names)), _block(one.orelse, set(names))]
            open_ways = [way for way in ways if way is not None]
            if not open_ways:
                return None
            names = set.intersection(*open_ways)
        elif isinstance(one, ast.Return):
            if one.value is None:
                _refuse(one, "it returns nothing here: return a number, or math.nan")
            _visit(one.value, names)
            return None
        elif isinstance(one, ast.Assign | ast.AugAssign):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            if len(targets) != 1 or not isinstance(targets[0], ast.Name):
                _refuse(one, "one name is set at a time")
            if isinstance(one, ast.AugAssign):
                _visit(ast.copy_location(ast.Name(targets[0].id, ast.Load()), one), names)
            _visit(one.value, names)
            names = names | {targets[0].id}
        elif not isinstance(one, ast.Pass):
            _refuse(one, _NO.get(type(one), f"`{_said(one)}` is no arithmetic"))
    return names


def _visit(node: ast.AST, names: set[str]) -> None:
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, bool | int | float):
            _refuse(node, f"{node.value!r} is no number")
    elif isinstance(node, ast.Name):
        if node.id not in names:
            _refuse(
                node,
                f"{node.id!r} is not known here: it sees its arguments (names of columns), names "
                "that were set before on every way, numbers, and math.*",
            )
    elif isinstance(node, ast.Attribute):
        _mathematical(node, CONSTANTS)
        return
    elif isinstance(node, ast.Call):
        _visit_call(node, names)
        return
    elif not isinstance(node, _PLAIN):
        _refuse(node, _NO.get(type(node), f"`{_said(node)}` is no arithmetic"))
    for child in ast.iter_child_nodes(node):
        _visit(child, names)


def _visit_call(node: ast.Call, names: set[str]) -> None:
    if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
        _refuse(node, "functions take plain arguments")
    if isinstance(node.func, ast.Attribute):
        _mathematical(node.func, MATH)
    elif not isinstance(node.func, ast.Name) or node.func.id not in BUILT_IN:
        _refuse(
            node,
            f"{_said(node.func)!r} may not be called in it: known are math.* and "
            f"{', '.join(BUILT_IN)}",
        )
    for argument in node.args:
        _visit(argument, names)


def _mathematical(node: ast.Attribute, allowed: tuple[str, ...]) -> None:
    known = isinstance(node.value, ast.Name) and node.value.id in ("math", "np", "numpy")
    if not known or node.attr not in allowed:
        _refuse(node, f"`{_said(node)}` is not known in it: known are math.* and arithmetic")


def _refuse(node: ast.AST, text: str) -> Never:
    raise QuantError(f"{text}.", getattr(node, "lineno", 0))


def _said(node: ast.AST) -> str:
    return ast.unparse(node)[:60]
