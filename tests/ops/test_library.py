"""Loading: the right TensorFlow or one sentence; and what `info` says of the installation."""

import os
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
from tf_mavg._ops.library import BUILD_INFO
from tf_mavg_cli import info

PACKAGE = Path(tf_mavg.__file__).parent
BUILT_FOR = ".".join(BUILD_INFO["tensorflow"].split(".")[:2])


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


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_without_tensorflow(alone):
    assert last_line(run_isolated("import tf_mavg", alone)) == (
        f"ImportError: tf_mavg {BUILD_INFO['version']} is built for TensorFlow {BUILT_FOR}, but no "
        f"TensorFlow is installed; install it with pip install 'tensorflow=={BUILT_FOR}.*' or "
        f"'tensorflow-cpu=={BUILT_FOR}.*'."
    )


@pytest.mark.parametrize("version", ["2.20.1", "2.22.0", "3.21.0"])
def test_with_another_minor_version_of_tensorflow(alone, version):
    # Only the version counts, before anything of TensorFlow is used.
    (alone / "tensorflow").mkdir()
    (alone / "tensorflow" / "__init__.py").write_text(f"__version__ = {version!r}")
    minor = version.rpartition(".")[0]
    assert last_line(run_isolated("import tf_mavg", alone)) == (
        f"ImportError: tf_mavg {BUILD_INFO['version']} is built for TensorFlow {BUILT_FOR}, but "
        f"found TensorFlow {version}; install a matching one with pip install "
        f"'tensorflow=={BUILT_FOR}.*' or 'tensorflow-cpu=={BUILT_FOR}.*', or a tf_mavg that is "
        f"built for {minor}."
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
    assert tf.__version__.startswith(f"{BUILT_FOR}.")
    assert tf_mavg.__version__ == BUILD_INFO["version"]
    assert BUILD_INFO["compiler"].split()[0] in {"GNU", "Clang"}


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
    assert facts["TensorFlow, built against"] == BUILD_INFO["tensorflow"]
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
