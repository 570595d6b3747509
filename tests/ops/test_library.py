"""Loading: the right TensorFlow or one sentence; and what `info` says of the installation."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

import tf_mavg
from tf_mavg import _native
from tf_mavg._ops.library import BUILD_INFO, OPS_PATH, PACKAGE, SERVED, TENSORFLOW_BUILD
from tf_mavg_cli import info

RUNNING = ".".join(tf.__version__.split(".")[:2])


def run_isolated(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Runs Python that sees the standard library and one folder, nothing installed."""
    code = f"import sys; sys.path.insert(0, {str(path)!r}); {code}"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder that holds the installed package and nothing else."""
    shutil.copytree(PACKAGE, tmp_path / "tf_mavg")
    return tmp_path


@pytest.fixture
def wheel_for(alone: Path) -> Callable[..., Path]:
    """Makes the package serve given minor versions, by folders without libraries."""

    def call(*minors: str) -> Path:
        for folder in (alone / "tf_mavg").glob("_tf*"):
            if folder.name[3:4].isdigit():
                shutil.rmtree(folder)
        for minor in minors:
            folder = alone / "tf_mavg" / f"_tf{minor.replace('.', '_')}"
            folder.mkdir()
            (folder / "build.json").write_text(json.dumps(TENSORFLOW_BUILD))
        return alone

    return call


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


SERVING = [
    (["2.21"], "2.21"),
    (["2.21", "2.9"], "2.9 and 2.21"),
    (["2.20", "2.18", "2.21", "2.19"], "2.18, 2.19, 2.20 and 2.21"),
]


@pytest.mark.parametrize(("minors", "text"), SERVING)
def test_without_tensorflow(wheel_for, minors, text):
    assert last_line(run_isolated("import tf_mavg", wheel_for(*minors))) == (
        f"ImportError: tf_mavg {BUILD_INFO['version']} is built for TensorFlow {text}, but no "
        "TensorFlow is installed; install it with pip install 'tensorflow==2.21.*' or "
        "'tensorflow-cpu==2.21.*'."
    )


@pytest.mark.parametrize(("minors", "text"), SERVING)
@pytest.mark.parametrize("version", ["2.17.1", "2.22.0", "3.21.0"])
def test_with_another_minor_version_of_tensorflow(wheel_for, minors, text, version):
    alone = wheel_for(*minors)
    # Only the version counts, before anything of TensorFlow is used.
    (alone / "tensorflow").mkdir()
    (alone / "tensorflow" / "__init__.py").write_text(f"__version__ = {version!r}")
    minor = version.rpartition(".")[0]
    assert last_line(run_isolated("import tf_mavg", alone)) == (
        f"ImportError: tf_mavg {BUILD_INFO['version']} is built for TensorFlow {text}, but "
        f"found TensorFlow {version}; install a matching one with pip install "
        f"'tensorflow==2.21.*' or 'tensorflow-cpu==2.21.*', or a tf_mavg that is built for {minor}."
    )


@pytest.mark.parametrize("version", ["2.9.3", "2.20.1", "2.21.0.dev5"])
def test_the_running_version_chooses_the_libraries(wheel_for, version):
    alone = wheel_for("2.9", "2.20", "2.21")
    (alone / "tensorflow").mkdir()
    (alone / "tensorflow" / "__init__.py").write_text(
        f"__version__ = {version!r}\n"
        "def load_op_library(path): raise SystemExit(path)\n"
        "class errors: NotFoundError = OSError"
    )
    folder = "_tf" + "_".join(version.split(".")[:2])
    assert last_line(run_isolated("import tf_mavg", alone)) == str(
        alone / "tf_mavg" / folder / "libtf_mavg_ops.so"
    )


REMEDY = "pip install 'tensorflow==2.21.*' or 'tensorflow-cpu==2.21.*'"
UNINSTALL = "run pip uninstall tensorflow tensorflow-cpu, then install"


def test_with_what_an_uninstalled_tensorflow_leaves_behind(wheel_for):
    alone = wheel_for("2.21")
    (alone / "tensorflow" / "python").mkdir(parents=True)
    assert last_line(run_isolated("import tf_mavg", alone)) == (
        f"ImportError: tf_mavg {BUILD_INFO['version']} is built for TensorFlow 2.21, but the "
        f"tensorflow in {alone / 'tensorflow'} lacks its files; {UNINSTALL} it with {REMEDY}."
    )


@pytest.fixture
def with_distributions(wheel_for: Callable[..., Path]) -> Callable[..., Path]:
    """Installs tensorflow 2.21.0, which refuses all libraries, and what pip notes of it."""

    def call(**versions: str) -> Path:
        alone = wheel_for("2.21")
        (alone / "tensorflow").mkdir()
        (alone / "tensorflow" / "__init__.py").write_text(
            "__version__ = '2.21.0'\n"
            "def load_op_library(path): raise OSError('undefined symbol:\\n  its_name')\n"
            "class errors: NotFoundError = OSError"
        )
        for name, version in versions.items():
            folder = alone / f"{name}-{version}.dist-info"
            folder.mkdir()
            distribution = name.replace("_", "-")
            (folder / "METADATA").write_text(f"Name: {distribution}\nVersion: {version}\n")
            (folder / "top_level.txt").write_text("tensorflow\n")
        return alone

    return call


def test_tensorflow_beside_another_tensorflow_cpu(with_distributions):
    alone = with_distributions(tensorflow="2.21.0", tensorflow_cpu="2.19.1")
    (warning,) = re.findall("UserWarning: (.*)", run_isolated("import tf_mavg", alone).stderr)
    assert warning == (
        "tensorflow 2.21.0 and tensorflow-cpu 2.19.1 are installed in one folder, and have "
        f"overwritten each other's files; {UNINSTALL} one of them."
    )


@pytest.mark.parametrize("beside", [{}, {"tensorflow_cpu": "2.21.0"}])
def test_no_warning_where_all_files_are_of_one_version(with_distributions, beside):
    alone = with_distributions(tensorflow="2.21.0", **beside)
    assert "Warning" not in run_isolated("import tf_mavg", alone).stderr


def test_a_tensorflow_that_cannot_load_the_ops(with_distributions):
    alone = with_distributions(tensorflow="2.21.0", tensorflow_cpu="2.21.0")
    ops = alone / "tf_mavg" / "_tf2_21" / "libtf_mavg_ops.so"
    assert last_line(run_isolated("import tf_mavg", alone)) == (
        f"ImportError: {ops} is built with TensorFlow {TENSORFLOW_BUILD['tensorflow']}, and "
        "TensorFlow 2.21.0 (tensorflow 2.21.0, tensorflow-cpu 2.21.0) cannot load it; "
        f"{UNINSTALL} one of them, or build tf_mavg with the TensorFlow that you have: undefined "
        "symbol: its_name"
    )


def test_a_broken_tensorflow_is_not_called_absent(alone):
    (alone / "tensorflow").mkdir()
    (alone / "tensorflow" / "__init__.py").write_text("import a_module_it_needs")
    assert last_line(run_isolated("import tf_mavg", alone)) == (
        "ModuleNotFoundError: No module named 'a_module_it_needs'"
    )


def test_a_source_checkout_says_what_it_lacks(alone):
    for library in (alone / "tf_mavg").glob("_native*.so"):
        library.unlink()
    assert "lacks the compiled part of tf_mavg" in last_line(run_isolated("import tf_mavg", alone))


def test_the_build_facts():
    assert RUNNING in SERVED
    assert TENSORFLOW_BUILD["tensorflow"].startswith(f"{RUNNING}.")
    assert tf_mavg.__version__ == BUILD_INFO["version"]
    for facts in (BUILD_INFO, TENSORFLOW_BUILD):
        assert facts["compiler"].split()[0] in {"GNU", "Clang"}


@pytest.fixture
def active_level(native_alone: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """What a new process prints of its level, which it takes from its environment."""
    return lambda cap: subprocess.run(
        [sys.executable, "-c", "from tf_mavg import _native; print(_native.active_cpu_level())"],
        env={**os.environ, "TF_MAVG_CPU_LEVEL": cap, "PYTHONPATH": str(native_alone)},
        cwd="/",  # Not a folder with the sources.
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize("cap", ["baseline", "avx2", "avx512", ""])
def test_the_instruction_level_can_be_capped(active_level, cap):
    done = active_level(cap)
    levels = ["baseline", "avx2", "avx512"]
    supported = levels.index(_native.supported_cpu_level())
    asked = levels.index(cap) if cap else supported
    assert done.stdout.strip() == levels[min(asked, supported)]


def test_an_unknown_instruction_level_is_reported_and_ignored(active_level):
    done = active_level("sse9")
    assert done.stdout.strip() == _native.supported_cpu_level()
    assert "TF_MAVG_CPU_LEVEL must be baseline, avx2 or avx512. Received: sse9." in done.stderr


def test_info_names_every_version():
    facts = info.facts()
    assert facts["tf_mavg"] == tf_mavg.__version__
    assert set(SERVED) == set(facts["TensorFlow, served"].replace(" and", ",").split(", "))
    assert facts["TensorFlow, built against"] == TENSORFLOW_BUILD["tensorflow"]
    assert facts["op library"] == str(OPS_PATH)
    assert facts["TensorFlow, running"].startswith(f"{tf.__version__} (tensorflow")
    assert facts["CPU instructions"] == (
        f"{_native.active_cpu_level()} in use, {_native.supported_cpu_level()} supported"
    )
    assert facts["GPU images"].split(", ")[0] == "sm_70"
    assert "PTX_70" in facts["GPU images"]
    assert facts["GPU driver"]


@pytest.mark.parametrize(
    "name",
    [
        "ResourceApplyMovingAverage",
        "ResourceSwapVariables",
        "BindVariables",
        "BindNamedVariables",
        "BoundApplyMovingAverage",
        "BoundSwapVariables",
    ],
)
def test_ops_on_resources_are_stateful_so_that_none_is_pruned_or_merged(name):
    assert op_def_registry.get(name).is_stateful


@pytest.mark.slow
def test_the_command_prints_the_facts():
    done = subprocess.run(
        [Path(sys.executable).with_name("tf_mavg"), "info"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == info.report().strip()
