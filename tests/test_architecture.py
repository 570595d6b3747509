"""The layers of the source: what may include or import what."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# For each folder of C++ and device code, the folders whose headers it may include.
MAY_INCLUDE = {
    "cc/core": {"cc/core"},
    "cuda": {"cuda", "cc/core"},
    "cc/ops": {"cc/ops", "cc/core"},
    "cc/kernels": {"cc/kernels", "cc/ops", "cuda", "cc/core"},
    "cc/xla": {"cc/xla", "cc/ops", "cc/core"},
    "cc/python": {"cc/python", "cuda", "cc/core"},
}
# Folders that know TensorFlow.
KNOW_TENSORFLOW = {"cc/ops", "cc/kernels", "cc/xla"}
# The floors of the Python package, lowest first: a folder, or the public modules of one floor. A
# module may import its own floor and those below.
FLOORS = [
    {"_native", "_publishing"},
    {"_compat"},
    {"_ops", "_decays"},
    {"ops", "decays"},
    {"_averages"},
    {"_tensorflow"},
    {"_keras"},
    {"_files", "_posthoc"},
    {"keras", "tf_keras", "merge", "convert", "posthoc"},
]
MODULES = [
    path
    for path in sorted((ROOT / "tf_mavg").rglob("*.py"))
    if path.name not in {"__init__.py", "__main__.py"}
]

SOURCES = [
    path
    for folder in MAY_INCLUDE
    for path in sorted((ROOT / folder).glob("*"))
    if path.suffix in {".h", ".cc", ".cu", ".cuh"}
]


def folder_of(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def includes_of(path: Path) -> list[str]:
    return re.findall(r'^#include ["<]([^">]+)[">]', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_source_includes_only_layers_below_it(path):
    for include in includes_of(path):
        if include.startswith(("cc/", "cuda/")):
            assert Path(include).parent.as_posix() in MAY_INCLUDE[folder_of(path)], include
        elif folder_of(path) not in KNOW_TENSORFLOW:
            assert not include.startswith(("tensorflow/", "absl/", "tsl/", "xla/", "Eigen/")), (
                include
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_source_opens_with_its_contract(path):
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("// ")
    assert second.startswith("//") or first.endswith((".", ","))


def floor_of(module: str) -> int:
    (floor,) = (i for i, names in enumerate(FLOORS) if module in names)
    return floor


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_floors_below_it(path):
    text = re.sub(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", "", path.read_text(), flags=re.MULTILINE)
    imported = set(re.findall(r"^\s*from tf_mavg\.(\w+)[\w.]* import", text, re.MULTILINE))
    for names in re.findall(r"^\s*from tf_mavg import (.+)$", text, re.MULTILINE):
        imported |= {name.strip() for name in names.split(",")}
    own = path.relative_to(ROOT / "tf_mavg").parts[0].removesuffix(".py")
    assert {name for name in imported if floor_of(name) > floor_of(own)} == set()


PRIVATE_PACKAGES = r"^\s*(?:from|import) (?:tensorflow\.python|keras\.src|tf_keras\.src)\b"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_private_modules_of_others_are_imported_in_one_place(path):
    if path.parent.name != "_compat":
        assert re.findall(PRIVATE_PACKAGES, path.read_text(), re.MULTILINE) == []


COMPAT = [path for path in MODULES if path.parent.name == "_compat"]
PROBES = {path.stem: path.read_text() for path in (ROOT / "tests" / "compat").glob("test_*.py")}


@pytest.mark.parametrize("path", COMPAT, ids=lambda path: path.name)
def test_each_use_of_a_private_name_has_a_probe(path):
    tricks = [
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert tricks
    probe = PROBES.get(f"test_{path.stem}", "")
    assert [name for name in tricks if not re.search(rf"\b{name}\b", probe)] == []


BENCH = sorted((ROOT / "bench").glob("*.py"))


@pytest.mark.parametrize("path", BENCH, ids=lambda path: path.name)
def test_the_benchmark_uses_what_users_do_and_the_compiled_module(path):
    text = path.read_text()
    assert not re.search(r"^\s*(from|import) (tf_mavg\.|bench)", text, re.MULTILINE)
    assert set(re.findall(r"^\s*from tf_mavg import (.+)$", text, re.MULTILINE)) <= {"_native"}


TOOLS = sorted((ROOT / "tools" / "gpu_kit").rglob("*.py"))


def roots_imported(path: Path) -> set[str]:
    """The packages that a file imports from, anywhere in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {
        a.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for a in node.names
    }
    return plain | {str(n.module).split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom)}


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.name)
def test_a_tool_imports_neither_the_package_nor_tensorflow(path):
    assert roots_imported(path) <= {
        *sys.stdlib_module_names,
        "gpu_kit",
        "gpu_emulator",
        "packaging",
    }


@pytest.mark.parametrize("name", ["unpack", "cublas"])
def test_what_travels_alone_needs_the_standard_library_only(name):
    assert roots_imported(ROOT / "tools" / "gpu_kit" / f"{name}.py") <= sys.stdlib_module_names


BELOW_TENSORFLOW = sorted(
    [*(ROOT / "tf_mavg_check").glob("*.py"), *(ROOT / "tools" / "gpu_proof").glob("*.py")]
)


@pytest.mark.parametrize("path", BELOW_TENSORFLOW, ids=lambda path: path.name)
def test_what_checks_an_installation_needs_neither_the_package_nor_tensorflow(path):
    others = {"tf_mavg_check", "numpy", "ml_dtypes", "torch"}
    assert roots_imported(path) <= sys.stdlib_module_names | others


def test_only_the_command_line_knows_the_benchmark():
    sources = [*(ROOT / "tf_mavg").rglob("*.py"), *(ROOT / "tf_mavg_cli").rglob("*.py")]
    assert [path.stem for path in sources if "tf_mavg._bench" in path.read_text()] == ["bench"]
