# SPDX-License-Identifier: Apache-2.0
"""Small breakages of Python, by its syntax tree.

In: the text of a module. Out: replacements as start, stop, new text, and the operator's name.
Docstrings, annotations, imports, assertions, `__repr__`, f-strings and the text of errors stay.
"""

from __future__ import annotations

import ast
import re

COMPARISONS: dict[type, tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"),
    ast.NotIn: (r"not\s+in", "in"), ast.Is: ("is", "is not"), ast.IsNot: (r"is\s+not", "is"),
}  # fmt: skip
ARITHMETIC: dict[type, tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"), ast.Mod: ("%", "*"), ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}  # fmt: skip
_PAIRS = (
    "min max", "any all", "minimum maximum", "floor ceil", "argmin argmax", "nanmin nanmax",
    "nanargmin nanargmax", "zeros ones", "zeros_like ones_like", "sum mean", "startswith endswith",
    "lower upper", "add discard",
)  # fmt: skip
NAMES = {a: b for pair in _PAIRS for x, y in [pair.split()] for a, b in ((x, y), (y, x))}
NAMES |= {"sorted": "list", "reversed": "list", "cumsum": "cumprod", "clip": "minimum"}
REDUCTIONS = {
    "sum", "mean", "max", "min", "any", "all", "std", "var", "cumsum", "argmax", "argmin", "prod",
    "median", "topk", "sort", "argsort", "roll", "unsqueeze", "gather",
}  # fmt: skip
TYPES = {
    "Callable", "Iterable", "Iterator", "Literal", "Mapping", "Sequence", "dict", "frozenset",
    "list", "set", "tuple", "type",
}  # fmt: skip
PROSE = {"strict", "encoding", "errors", "optimize"}  # arguments that guard or describe


def python(source: str) -> list[tuple[int, int, str, str]]:
    """Every replacement in a module.

    >>> [new for *_, new, _ in python("x = a < b and not c")]
    ['or', '<=', '']
    """
    return _Python(source).found


class _Python(ast.NodeVisitor):
    """Collects replacements as start, stop, new text, and the operator's name."""

    def __init__(self, source: str) -> None:
        self.source, self.found = source, list[tuple[int, int, str, str]]()
        self.rows = source.splitlines(keepends=True)
        self.starts = [0]
        for row in self.rows:
            self.starts.append(self.starts[-1] + len(row))
        self.boolean = False  # whether the function around says that it returns a bool
        self.visit(ast.parse(source))

    def place(self, line: int, column: int) -> int:
        """Character offset of a position, whose column counts bytes of UTF-8."""
        return self.starts[line - 1] + len(self.rows[line - 1].encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        n: ast.expr = node  # type: ignore[assignment]
        assert n.end_lineno is not None
        assert n.end_col_offset is not None
        return self.place(n.lineno, n.col_offset), self.place(n.end_lineno, n.end_col_offset)

    def text(self, node: ast.AST) -> str:
        return self.source[slice(*self.span(node))]

    def put(self, node: ast.AST, new: str, operator: str) -> None:
        self.found.append((*self.span(node), new, operator))

    def between(self, left: ast.AST, right: ast.AST, old: str, new: str, operator: str) -> None:
        """Swap the sign that stands between two nodes."""
        start, stop = self.span(left)[1], self.span(right)[0]
        pattern = old if "\\" in old or old.isalpha() else re.escape(old)
        if sign := re.search(pattern, self.source[start:stop]):
            self.found.append((start + sign.start(), start + sign.end(), new, operator))

    def each(self, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    # What is left alone.

    def _skip(self, node: ast.AST) -> None: ...

    visit_Import = visit_ImportFrom = visit_Assert = visit_JoinedStr = _skip

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name == "__repr__":
            return
        defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        for default in defaults:
            self.word(default, "default")
        around, self.boolean = self.boolean, _is_bool(node.returns)
        self.each(*defaults, *node.body)
        self.boolean = around

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.each(*node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.each(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if self.text(node.targets[0]) != "__all__":
            self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Name) and node.value.id in TYPES:
            return
        self.word(node.slice, "key")
        self.generic_visit(node)

    # What is broken.

    def word(self, node: ast.AST | None, operator: str) -> None:
        """A string that decides something: as a key, in a comparison, as a default."""
        if isinstance(node, ast.Tuple | ast.List | ast.Set) and operator == "compared":
            for item in node.elts:
                self.word(item, operator)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.put(node, repr(node.value + "_"), f"string {operator}")

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.put(node, str(not node.value), "constant")
        elif isinstance(node.value, int | float):
            self.put(node, repr(node.value + 1), "constant")

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            self.word(key, "key")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        if self.text(node.left) == "__name__":
            return
        for left, sign, right in zip(sides, node.ops, sides[1:], strict=False):
            self.between(left, right, *COMPARISONS[type(sign)], "comparison")
        for side in sides:
            self.word(side, "compared")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        kinds = (ast.JoinedStr, ast.List, ast.Tuple)
        joins = any(
            isinstance(side, kinds)
            or (isinstance(side, ast.Constant) and isinstance(side.value, str))
            for side in (node.left, node.right)
        )
        if type(node.op) in ARITHMETIC and not joins:
            self.between(node.left, node.right, *ARITHMETIC[type(node.op)], "arithmetic")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.put(node, "pass", "statement")
        if type(node.op) in ARITHMETIC:
            sign, other = ARITHMETIC[type(node.op)]
            self.between(node.target, node.value, sign + "=", other + "=", "arithmetic")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, old, new, "boolean")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        start, _ = self.span(node)
        sign = 3 if isinstance(node.op, ast.Not) else 1
        self.found.append((start, start + sign, "", "sign"))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            return
        if self.boolean:
            self.put(node.value, f"not ({self.text(node.value)})", "return")
        elif not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.put(node.value, "None", "return")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.put(node, "pass", "raise")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.put(node, "pass", "statement")

    def visit_Break(self, node: ast.Break) -> None:
        self.put(node, "pass", "statement")

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.put(node, "pass", "statement")
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def condition(self, test: ast.expr, *values: str) -> None:
        named = any(isinstance(n, ast.NamedExpr) for n in ast.walk(test))
        for value in values:
            if not isinstance(test, ast.Constant) and not (named and value == "True"):
                self.put(test, value, "condition")

    def visit_If(self, node: ast.If) -> None:
        if self.text(node.test).endswith("TYPE_CHECKING"):
            return
        self.condition(node.test, "True", "False")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.condition(node.test, "True", "False")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.condition(node.test, "False")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.condition(test, "True")
        self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            number = bound.operand if isinstance(bound, ast.UnaryOp) else bound
            if bound is not None and not isinstance(number, ast.Constant):
                self.put(bound, f"({self.text(bound)}) + 1", "slice")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in ("isinstance", "issubclass", "cast"):
            return
        if name in NAMES:
            _, stop = self.span(node.func)
            self.found.append((stop - len(name), stop, NAMES[name], "name"))
        simple = (ast.Name, ast.Attribute, ast.Constant)
        first, second = [*node.args[:2], None, None][:2]
        if isinstance(first, simple) and isinstance(second, simple):
            (start, a), (b, stop) = self.span(first), self.span(second)
            if self.text(first) != self.text(second):
                swapped = self.text(second) + self.source[a:b] + self.text(first)
                self.found.append((start, stop, swapped, "arguments"))
        axes = [k.value for k in node.keywords if k.arg in ("axis", "dim")]
        if isinstance(node.func, ast.Attribute) and name in REDUCTIONS:
            axes += node.args[:1]
        for axis in axes:
            if re.fullmatch(r"-?\d", number := self.text(axis)):
                self.put(axis, "1" if number == "0" else "0", "axis")
        rest = [k.value for k in node.keywords if k.arg not in PROSE]
        self.each(node.func, *(n for n in (*node.args, *rest) if n not in axes))


def _is_bool(annotation: ast.expr | None) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "bool"
