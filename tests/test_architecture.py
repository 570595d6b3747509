"""The layers of the source: what may include or import what."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Native operations: each has a folder of its name in cc/kernels and in cuda.
OPERATIONS = [
    "all_finite",
    "lazy_rows",
    "moving_average",
    "split_moving_average",
    "stochastic_average",
    "swap",
]
# Operations that use others, by the floor on which they do.
USES = {
    "cc/kernels/moving_average": {"cc/kernels/split_moving_average"},
    "cc/kernels/split_moving_average": {"cc/kernels/moving_average"},
    "cc/kernels/stochastic_average": {"cc/kernels/moving_average"},
    "cuda/lazy_rows": {"cuda/moving_average"},
    "cuda/stochastic_average": {"cuda/moving_average"},
}
PASSES = {"cc/core", "cc/core/formulas", "cc/core/cpu"}
LAUNCHES = {"cc/core", "cc/core/formulas", "cuda/driver", "cuda/tables", "cuda/launch"}
ON_DEVICES = {f"cuda/{operation}" for operation in OPERATIONS}
ON_VARIABLES = {
    *PASSES,
    "cc/ops",
    "cc/kernels/averages_update",
    "cc/kernels/binding",
    "cc/kernels/devices",
    "cc/kernels/variables",
}


def folders(floor: str, least: set[str]) -> dict[str, set[str]]:
    """What each operation's folder on a floor may include: the least, and what it uses."""
    names = [f"{floor}/{operation}" for operation in OPERATIONS]
    return {name: least | USES.get(name, set()) for name in names}


# For each folder of C++ and device code, the other folders whose headers it may include.
MAY_INCLUDE = {
    "cc/core": set(),
    "cc/core/formulas": {"cc/core"},
    "cc/core/cpu": {"cc/core", "cc/core/formulas"},
    "cc/core/cpu/levels": PASSES,
    "cuda/driver": set(),
    "cuda/tables": {"cc/core"},
    "cuda/launch": {"cc/core", "cuda/driver", "cuda/tables"},
    **folders("cuda", LAUNCHES),
    "cuda": {"cc/core", "cc/core/formulas", "cuda/tables", *ON_DEVICES},
    "cc/ops": {"cc/core", "cc/core/formulas"},
    "cc/kernels/devices": {"cc/core", "cuda/driver", "cuda/launch"},
    "cc/kernels/variables": {"cc/core", "cc/kernels/devices"},
    "cc/kernels/averages_update": ON_VARIABLES - {"cc/kernels/binding"},
    "cc/kernels/binding": {
        *ON_VARIABLES,
        "cc/kernels/moving_average",
        "cc/kernels/split_moving_average",
    },
    **{
        folder: {*others, folder.replace("cc/kernels", "cuda")}
        for folder, others in folders("cc/kernels", ON_VARIABLES).items()
    },
    "cc/xla": {"cc/ops", "cc/core", "cc/core/formulas"},
    "cc/python/arrays": PASSES,
    "cc/python/cpu": {*PASSES, "cc/python/arrays"},
    "cc/python/gpu": {*LAUNCHES, *ON_DEVICES, "cc/python/arrays"},
    "cc/python": {*PASSES, "cc/python/arrays", "cc/python/cpu", "cc/python/gpu"},
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
    for floor in ("cc", "cuda")
    for path in sorted((ROOT / floor).rglob("*"))
    if path.suffix in {".h", ".cc", ".cu", ".cuh"} and "absent" not in path.parts
]


def folder_of(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def includes_of(path: Path) -> list[str]:
    return re.findall(r'^#include ["<]([^">]+)[">]', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_source_includes_only_layers_below_it(path):
    folder = folder_of(path)
    assert folder in MAY_INCLUDE
    for include in includes_of(path):
        if include.startswith(("cc/", "cuda/")):
            assert Path(include).parent.as_posix() in {folder, *MAY_INCLUDE[folder]}, include
        elif not {folder, path.parent.parent.relative_to(ROOT).as_posix()} & KNOW_TENSORFLOW:
            assert not include.startswith(("tensorflow/", "absl/", "tsl/", "xla/", "Eigen/")), (
                include
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_source_opens_with_its_contract(path):
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("// ")
    assert second.startswith("//") or first.endswith((".", ","))


def test_every_operation_is_listed():
    found = {path.parent.name for path in (ROOT / "cuda").glob("*/*.cuh")} - {"tables"}
    assert found == {*OPERATIONS}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "file",
    [
        "cc/ops/{}_ops.cc",
        "cc/kernels/{0}/{0}.cc",
        "cc/kernels/{0}/{0}_gpu.cc",
        "cuda/{0}/{0}.cc",
        "cuda/{0}/{0}.cuh",
    ],
)
def test_an_operation_has_its_name_on_each_floor(name, file):
    assert (ROOT / file.format(name)).exists()


def floor_of(module: str) -> int:
    (floor,) = (i for i, names in enumerate(FLOORS) if module in names)
    return floor


def without_types(path: Path) -> str:
    """A module without what it imports for types alone."""
    return re.sub(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", "", path.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_floors_below_it(path):
    text = without_types(path)
    imported = set(re.findall(r"^\s*from tf_mavg\.(\w+)[\w.]* import", text, re.MULTILINE))
    for names in re.findall(r"^\s*from tf_mavg import (.+)$", text, re.MULTILINE):
        imported |= {name.strip() for name in names.split(",")}
    own = path.relative_to(ROOT / "tf_mavg").parts[0].removesuffix(".py")
    assert {name for name in imported if floor_of(name) > floor_of(own)} == set()


# For each folder within a floor of Python, what else of that floor it may import from: folders,
# and modules beside them.
WITHIN_FLOORS = {
    "_averages/components": set(),
    "_averages/update": {"components"},
    "_averages/swap": {"components"},
    "_averages/checkpoints": {"components"},
    "_keras/files": {"finding", "support", "swapping"},
    "_keras/fit": {"files", "finding", "support", "swapping"},
}
FOLDERS = {path.parent.relative_to(ROOT / "tf_mavg").as_posix() for path in MODULES}


def test_every_folder_within_a_floor_is_listed():
    assert {folder for folder in FOLDERS if "/" in folder} == {*WITHIN_FLOORS}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.parent.parent.parent == ROOT / "tf_mavg"],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_a_module_imports_only_what_lies_below_it_on_its_floor(path):
    folder = path.parent.relative_to(ROOT / "tf_mavg").as_posix()
    floor, _, own = folder.partition("/")
    imported = re.findall(
        rf"^\s*from tf_mavg\.{floor}\.(\w+)[\w.]* import", without_types(path), re.MULTILINE
    )
    assert {*imported} <= {own, *WITHIN_FLOORS[folder]}


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


BENCH = sorted((ROOT / "bench").rglob("*.py"))


def test_reports_of_the_benchmark_measure_nothing():
    for path in (ROOT / "bench" / "reporting").glob("*.py"):
        found = re.findall(r"^\s*from \.\.(\w+)", path.read_text(), re.MULTILINE)
        assert {*found} <= {"names"}, path


@pytest.mark.parametrize("path", BENCH, ids=lambda path: path.relative_to(ROOT).as_posix())
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
