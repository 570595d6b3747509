"""The lists of mutants: faults to put into the sources on purpose, each with the test that sees it.

A list is a TOML file beside this one, of the mutants of one kind:

    kind = "python"          # One of Kind, which says how such a mutant is made and run.

    ["what the fault does"]  # The mutant's name, of which no other list has one.
    file = "tf_mavg/_averages/swap/state.py"
    right = "the text of the file, which stands there once"
    wrong = "what takes its place"
    test = "tests/averages/test_swap_state.py::test_name"
"""

import ast
import enum
from pathlib import Path
from typing import NamedTuple

import tomllib
from places import ROOT

HERE = Path(__file__).parent


class Kind(enum.Enum):
    """How a mutant is made, and on what its test runs."""

    PYTHON = "python"  # A copy of the installed package.
    OPS = "ops"  # One with another library of ops: one object compiled, all linked.
    NATIVE = "native"  # The same of _native, whose tests run without TensorFlow.
    KERNELS = "kernels"  # The GPU's kernels as PTX, for _native on the emulated GPU.
    TREE = "tree"  # A copy of all sources, which the test itself builds.


class Mutant(NamedTuple):
    """A text of a source file, what takes its place, and which test must fail then."""

    name: str
    kind: Kind
    file: str
    right: str
    wrong: str
    test: str

    def write(self, path: Path) -> None:
        """Writes the file with the fault to another path."""
        text = (ROOT / self.file).read_text()
        if text.count(self.right) != 1:
            message = f"{self.file} has the text {text.count(self.right)} times, not once."
            raise ValueError(message)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # It may be a link to the right one.
        path.write_text(text.replace(self.right, self.wrong))

    @property
    def is_up_to_date(self) -> bool:
        """Whether the text stands in its file once, and the test in its own."""
        path, _, name = self.test.partition("::")
        if (ROOT / self.file).read_text().count(self.right) != 1 or self.right == self.wrong:
            return False
        body = ast.parse((ROOT / path).read_text()).body
        functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        return name.partition("[")[0] in functions


def all_mutants() -> dict[str, Mutant]:
    """The mutants of all lists, by their names."""
    found: dict[str, Mutant] = {}
    for path in sorted(HERE.glob("*.toml")):
        entries = tomllib.loads(path.read_text())
        kind = Kind(entries.pop("kind"))
        for name, entry in entries.items():
            if name in found:
                message = f"Two mutants have the name {name!r}."
                raise ValueError(message)
            found[name] = Mutant(name, kind, **entry)
    return found
