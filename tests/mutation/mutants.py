"""The mutants of a module: copies of its source that differ in one place.

The operators are the usual ones (comparisons and their boundaries, arithmetic, constants, conditions, deleted
statements and keyword arguments). A few more are made for this project: alpha doubled or halved, rounding to the other
side, the counts of the top class and of the runner-up swapped, the draws for the selection and for the bound swapped.
Messages, annotations, docstrings and assertions are not mutated.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

BOUNDARIES = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
OPPOSITES = [
    ("min", "max"),
    ("minimum", "maximum"),
    ("any", "all"),
    ("ceil", "floor"),
    ("ROUNDING_DOWN", "ROUNDING_UP"),
    ("clopper_pearson_lower", "clopper_pearson_upper"),
    ("betaincinv", "betainccinv"),
    ("betainc", "betaincc"),
    ("log_wealth_above", "log_wealth_below"),
    ("count_a", "count_b"),
    ("counts_a_M", "counts_b_M"),
    ("log_a", "log_b"),
    ("votes_a_M", "votes_b_M"),
    ("p_a_lower", "p_b_upper"),
    ("n0", "n"),
    ("SELECTION", "ESTIMATION"),
]
SWAPPED = {first: second for pair in OPPOSITES for first, second in (pair, pair[::-1])}
# Stands for the name of a function where a value of a module or class is changed.
VALUES = "<values>"
LEVELS = ("alpha", "_alpha_left", "level")


@dataclass(frozen=True)
class Mutant:
    """One change to one function of a module. `key` names it whatever its line number is.

    `function` is "<values>" for a change outside of functions. `function_hash` changes with the function's source.
    """

    path: Path
    function: str
    line: int
    change: str
    code: CodeType
    function_hash: str

    @property
    def key(self) -> str:
        return f"{self.path}:{self.function}: {self.change}"


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its source. Each is compiled when it is reached."""
    tree = ast.parse(path.read_text())
    seen: Counter[tuple[str, str]] = Counter()
    for function, unit in _units(tree):
        function_hash = hashlib.sha256(ast.dump(unit).encode()).hexdigest()[:12]
        for place in list(_places(unit)):
            for change, code in _changes(place, tree, path):
                seen[function, change] += 1
                repeated = seen[function, change]
                number = f" #{repeated}" if repeated > 1 else ""
                yield Mutant(path, function, place.node.lineno, change + number, code, function_hash)


def _units(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """The functions, methods and other statements of a module or class, with the names of the functions."""
    for statement in node.body:
        if isinstance(statement, ast.ClassDef):
            yield from _units(statement, f"{prefix}{statement.name}.")
        elif isinstance(statement, ast.FunctionDef):
            yield prefix + statement.name, statement
        elif not _is_text(statement):
            yield prefix + VALUES, statement


@dataclass(frozen=True)
class _Place:
    """A node, and the list or attribute that holds it."""

    node: ast.expr | ast.stmt
    parent: ast.AST
    field: str
    index: int | None

    @contextmanager
    def replaced_by(self, node: ast.AST) -> Iterator[None]:
        self._put(node)
        try:
            yield
        finally:
            self._put(self.node)

    def _put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def _places(node: ast.AST) -> Iterator[_Place]:
    """The expressions and statements inside of a node."""
    for field, value in ast.iter_fields(node):
        if _is_left_out(node, field):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _is_text(child) and not _is_name_in_message(node, child):
                if isinstance(child, ast.expr | ast.stmt):
                    yield _Place(child, node, field, index)
                yield from _places(child)


def _is_left_out(node: ast.AST, field: str) -> bool:
    """Annotations, decorators, options of dataclass fields, messages and assertions."""
    return (
        field in ("annotation", "returns", "decorator_list", "bases", "type_comment", "ctx", "ops", "op")
        or isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        or (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("cast", "field", "CertificationError", "ValueError")
        )
    )


def _is_name_in_message(node: ast.AST, child: ast.AST) -> bool:
    """Whether the child is the name that a check of arguments puts into its message."""
    is_check = isinstance(node, ast.Call) and ast.unparse(node.func) in ("checked_number", "checked_count")
    return is_check and isinstance(child, ast.Constant) and isinstance(child.value, str)


def _is_text(node: ast.AST) -> bool:
    """Whether the node is a docstring or another string that is a statement."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(place: _Place, tree: ast.Module, path: Path) -> Iterator[tuple[str, CodeType]]:
    is_name = isinstance(place.node, ast.Constant | ast.Name | ast.Attribute)
    shown = place.parent if is_name and isinstance(place.parent, ast.expr) else None
    before = _first_line(shown or place.node)
    for replacement in _replacements(place.node):
        ast.copy_location(replacement, place.node)
        ast.fix_missing_locations(replacement)
        with place.replaced_by(replacement):
            after, code = _first_line(shown or replacement), compile(tree, str(path), "exec")
        yield f"{before} -> {after}", code


def _first_line(node: ast.AST) -> str:
    """The source of an expression or simple statement, or the first line of a compound statement."""
    return ast.unparse(node).split("\n")[0]


def _replacements(node: ast.expr | ast.stmt) -> Iterator[ast.expr | ast.stmt]:
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                for other in BOUNDARIES[type(operator)]:
                    ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                    yield ast.Compare(node.left, ops, node.comparators)
        case ast.BinOp():
            if type(node.op) in ARITHMETIC:
                yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
            yield from (node.left, node.right)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield node.operand
        case ast.BoolOp():
            yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
            for index in range(len(node.values)):
                values = node.values[:index] + node.values[index + 1 :]
                yield values[0] if len(values) == 1 else ast.BoolOp(node.op, values)
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.Constant():
            yield from (ast.Constant(value) for value in _other_values(node.value))
        case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
            yield from _other_names(node)
        case ast.Call():
            for index in range(len(node.keywords)):
                yield ast.Call(node.func, node.args, node.keywords[:index] + node.keywords[index + 1 :])
        case ast.GeneratorExp() | ast.ListComp() | ast.SetComp():
            for index, loop in enumerate(node.generators):
                if loop.ifs:
                    bare = ast.comprehension(loop.target, loop.iter, [], loop.is_async)
                    generators = [*node.generators[:index], bare, *node.generators[index + 1 :]]
                    yield type(node)(node.elt, generators)
        case ast.If():
            yield from (ast.If(ast.Constant(value), node.body, node.orelse) for value in (True, False))
        case ast.While():
            yield ast.While(ast.Constant(False), node.body, node.orelse)
        case ast.AugAssign():
            if type(node.op) in ARITHMETIC:
                yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
            yield ast.Pass()
        case ast.Expr() | ast.Break() | ast.Continue():
            yield ast.Pass()


def _other_values(value: object) -> Iterator[object]:
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1)
        case float():
            yield from (1.0,) if value == 0 else (2 * value, value / 2)
        case "left" | "right":
            yield "left" if value == "right" else "right"
        case str():
            yield f"XX{value}"


def _other_names(node: ast.Name | ast.Attribute) -> Iterator[ast.expr]:
    name = node.id if isinstance(node, ast.Name) else node.attr
    is_spec = isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("spec", "smoothing", "self.smoothing")
    if name in SWAPPED and (is_spec or name not in ("n", "n0")):
        other = SWAPPED[name]
        yield (
            ast.Name(other, ast.Load()) if isinstance(node, ast.Name) else ast.Attribute(node.value, other, ast.Load())
        )
    if name in LEVELS:
        yield ast.BinOp(node, ast.Mult(), ast.Constant(2))
        yield ast.BinOp(node, ast.Div(), ast.Constant(2))
    if name == "inf":
        yield ast.UnaryOp(ast.USub(), node)
