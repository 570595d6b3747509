"""The layers of the source: what may include or import what."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# For each folder of C++ and device code, the folders whose headers it may include.
MAY_INCLUDE = {
    "cc/core": {"cc/core"},
    "cuda": {"cuda", "cc/core"},
    "cc/ops": {"cc/ops", "cc/core"},
    "cc/kernels": {"cc/kernels", "cuda", "cc/core"},
    "cc/xla": {"cc/xla", "cc/core"},
    "cc/python": {"cc/python", "cuda", "cc/core"},
}
# Folders that know TensorFlow.
KNOW_TENSORFLOW = {"cc/ops", "cc/kernels", "cc/xla"}
# For each Python module, the modules of the package that it may import, lowest layer first.
LAYERS = [
    "_native",
    "_autograph",
    "_library",
    "_pairs",
    "_group_dependencies",
    "_groups",
    "ops",
    "_swap_state",
    "_creation",
    "_averages",
    "_weight_averages",
    "_saver",
    "_checkpoint",
    "_optimizer",
    "_keras_support",
    "_averaging_state",
    "_averaging_optimizer",
    "_keras_optimizer",
    "_tf_keras_optimizer",
    "_keras_callbacks",
    "keras",
    "tf_keras",
    "_info",
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


@pytest.mark.parametrize("module", LAYERS[1:])
def test_a_module_imports_only_layers_below_it(module):
    text = (ROOT / "tf_mavg" / f"{module}.py").read_text()
    imported = set(re.findall(r"^\s*from tf_mavg\.(\w+) import", text, re.MULTILINE))
    for names in re.findall(r"^\s*from tf_mavg import (.+)$", text, re.MULTILINE):
        imported |= {name.strip() for name in names.split(",")}
    type_only = set(re.findall(r"^    from tf_mavg\.(\w+) import", text, re.MULTILINE))
    assert imported - type_only <= set(LAYERS[: LAYERS.index(module)])


BENCH = sorted((ROOT / "bench").glob("*.py"))


@pytest.mark.parametrize("path", BENCH, ids=lambda path: path.name)
def test_the_benchmark_uses_what_users_do_and_the_compiled_module(path):
    text = path.read_text()
    assert not re.search(r"^\s*(from|import) (tf_mavg\.|bench)", text, re.MULTILINE)
    assert set(re.findall(r"^\s*from tf_mavg import (.+)$", text, re.MULTILINE)) <= {"_native"}


def test_only_the_command_line_knows_the_benchmark():
    knowing = {
        path.stem for path in (ROOT / "tf_mavg").glob("*.py") if "_bench" in path.read_text()
    }
    assert knowing == {"__main__"}


def test_every_module_has_a_layer():
    modules = {path.stem for path in (ROOT / "tf_mavg").glob("*.py")}
    assert modules - {"__init__", "__main__"} == set(LAYERS) - {"_native"}
