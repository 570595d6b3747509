"""The error messages of the package, collected from its sources, and the directive that lists them.

A message of Python is what a variable called `message` gets, a string that is raised, or one that
says what it received. A message of C++ is what makes an `absl::...Error`. What a message fills in
is `…` here.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("tf_mavg", "tf_mavg_cli", "tf_mavg_check", "bench")
FOLDERS: Final = (*PACKAGES, "cc/ops", "cc/kernels", "cc/xla")
FILLED_IN: Final = "…"
# How the guard of `tf_mavg._averages.swap.state` ends what it refuses.
WHILE_SWAPPED: Final = f"while averages and {FILLED_IN} are swapped; {FILLED_IN}"


class Message(NamedTuple):
    """An error message: the file that raises it, the exception's name if it is known, the text."""

    source: str
    error: str
    text: str


def messages(root: Path = ROOT) -> list[Message]:
    """All messages of the Python packages and the ops, file by file."""
    found: dict[Message, None] = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in _READERS:
                source = path.relative_to(root).as_posix()
                for error, text in _READERS[path.suffix](path.read_text(encoding="utf-8")):
                    found[Message(source, error, text)] = None
    return list(found)


def _of_python(text: str) -> Iterator[tuple[str, str]]:
    module = ast.parse(text)
    constants = {
        ast.unparse(node.target): _template(node.value, {})
        for node in module.body
        if isinstance(node, ast.AnnAssign) and node.value
    }
    for scope in ast.walk(module):
        if isinstance(scope, ast.FunctionDef | ast.Module):
            yield from _of_scope(scope, constants)


def _of_scope(
    scope: ast.FunctionDef | ast.Module, constants: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """The messages of a function, or of a module outside of its functions."""
    raised = [node for node in _own_nodes(scope) if isinstance(node, ast.Raise) and node.exc]
    for node in _own_nodes(scope):
        strings: list[ast.expr] = []
        if isinstance(node, ast.Assign) and "message" in ast.unparse(node.targets[0]):
            strings = [node.value]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            strings = node.exc.args
        elif isinstance(node, ast.Call) and _refuses_while_swapped(node):
            yield "RuntimeError", f"{_template(node.args[0], {})} {WHILE_SWAPPED}"
        elif isinstance(node, ast.Return | ast.Call | ast.BoolOp):
            strings = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]
            strings = [one for one in strings if "Received: " in _template(one, constants)]
        for string in strings:
            template = _template(string, constants)
            if len(template.split()) > 2 and re.search(r"[a-z] [a-z]", template):  # noqa: PLR2004 - words.
                after = [one for one in raised if one.lineno >= node.lineno]
                yield _name(after[0]) if after else "", template


def _refuses_while_swapped(call: ast.Call) -> bool:
    """Whether a call is of the guard, whose first argument begins a message."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    is_guard = name in {"guard", "check_not_swapped"} and bool(call.args)
    return is_guard and isinstance(call.args[0], ast.Constant)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """What is in a scope and in none of its functions."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield from _own_nodes(node)


def _name(raised: ast.Raise) -> str:
    called = raised.exc.func if isinstance(raised.exc, ast.Call) else None
    name = ast.unparse(called) if called else ""
    return name if name.endswith(("Error", "Exception")) else ""


def _template(node: ast.expr, constants: dict[str, str]) -> str:
    """The text of a string; empty if the expression is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [_part(one, constants) for one in node.values]
        return re.sub(f"{FILLED_IN}+", FILLED_IN, "".join(parts))
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "tf.constant" and node.args:
        return _template(node.args[0], constants)
    return ""


def _part(node: ast.expr, constants: dict[str, str]) -> str:
    """A part of an f-string: its words, those of a constant of the module, or what is filled in."""
    if isinstance(node, ast.FormattedValue):
        return constants.get(ast.unparse(node.value)) or FILLED_IN
    return _template(node, constants)


_CPP_ERROR: Final = re.compile(r"absl::(\w+Error)\(")
_CPP_TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([()])|([^\s,"()]+)')


def _of_cpp(text: str) -> Iterator[tuple[str, str]]:
    for start in _CPP_ERROR.finditer(text):
        parts, depth = [], 1
        for token in _CPP_TOKEN.finditer(text, start.end()):
            literal, bracket, _ = token.groups()
            depth += {"(": 1, ")": -1}.get(bracket, 0)
            if depth == 0:
                break
            if literal is not None:
                parts.append(literal.replace('\\"', '"'))
            elif not bracket and token[0] != "absl::StrCat" and parts[-1:] != [FILLED_IN]:
                parts.append(FILLED_IN)
        if re.search(r"[a-z] [a-z]", "".join(parts)):
            yield f"tf.errors.{start[1]}", "".join(parts)


_READERS: Final = {".py": _of_python, ".cc": _of_cpp, ".h": _of_cpp}


class ErrorMessages(Directive):
    """Lists the messages of the files and folders that are its content."""

    has_content: ClassVar = True

    def run(self) -> list[nodes.Node]:
        """Makes a list, an item a message, in the order of their words."""
        places = tuple(self.content)
        chosen = {(one.text, one.error) for one in messages() if one.source.startswith(places)}
        items = [_item(*one) for one in sorted(chosen, key=lambda one: one[0].lstrip("`.: "))]
        if not items:
            message = f"There must be messages to list. Received: {places}, which have none."
            raise self.error(message)
        return [nodes.bullet_list("", *items)]


def _item(text: str, error: str) -> nodes.list_item:
    paragraph = nodes.paragraph()
    for i, part in enumerate(text.split("`")):
        paragraph += nodes.literal(text=part) if i % 2 else nodes.Text(part)
    if error:
        paragraph += [nodes.Text(" "), nodes.emphasis(text=error)]
    return nodes.list_item("", paragraph)


def setup(app: Any) -> dict[str, bool]:
    """Connects this to Sphinx."""
    app.add_directive("error-messages", ErrorMessages)
    return {"parallel_read_safe": True}
