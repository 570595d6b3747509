"""Faults put into the GPU kernels on purpose, each of which their tests must catch."""

import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any, NamedTuple

import gpu_library
import pybind11
import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "build" / "gpu_mutants"
SOURCE, BUILD, PACKAGE = FOLDER / "source", FOLDER / "build", FOLDER / "package"
WALKER = "cuda/pair_walker.cuh"


class Mutant(NamedTuple):
    """A text of a source file and what takes its place."""

    file: str
    right: str
    wrong: str


MUTANTS = {
    "no tail": Mutant(WALKER, "  WalkArrays(first, second, done, count, operation);", ""),
    "tail one late": Mutant(WALKER, "done = packs * kPack;", "done = packs * kPack + 1;"),
    "first side taken for aligned": Mutant(WALKER, "IsAligned<FirstPack>(first)", "true"),
    "second side taken for aligned": Mutant(WALKER, "IsAligned<SecondPack>(second)", "true"),
    "search one off": Mutant(
        "cc/core/chunk_map.h", "first_chunk[middle] <= chunk", "first_chunk[middle] < chunk"
    ),
    "last chunk taken for full": Mutant(
        WALKER, "is_last ? table.last_chunk_elements[pair] : table.chunk_elements",
        "table.chunk_elements",
    ),
    "last chunk one off": Mutant(WALKER, "chunk + 1 == table", "chunk + 2 == table"),
    "chunks left out": Mutant(WALKER, "chunk += gridDim.x", "chunk += gridDim.x + 1"),
    "offset of 32 bits": Mutant(
        WALKER, "static_cast<int64_t>(chunk - table.first_chunk[pair])",
        "(chunk - table.first_chunk[pair])",
    ),
    "swap of one side": Mutant(WALKER, "if (Operation::kWritesSecond) second[i] = b;", ""),
    "variable for average": Mutant(
        "cuda/pair_operations.cuh", "Widened(*average), Widened(*variable)",
        "Widened(*variable), Widened(*average)",
    ),
    "contraction": Mutant("cuda/compile_kernels.py", "--fmad=false", "--fmad=true"),
}  # fmt: skip


def run(*command: object, **settings: Any):
    """The completed process, whose output is text in one piece."""
    return subprocess.run(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **settings,
    )


def copy_sources():
    """Brings the copy of the sources up to date; what is alike stays as old as it is."""
    for name in ["CMakeLists.txt", "cmake", "cc", "cuda"]:
        paths = [ROOT / name, *(ROOT / name).rglob("*")]
        for path in [path for path in paths if path.is_file()]:
            copy = SOURCE / path.relative_to(ROOT)
            if not copy.exists() or copy.read_bytes() != path.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def build():
    """Builds the pybind11 module, with PTX only, into a package of its own."""
    tools = pathlib.Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    if not (BUILD / "build.ninja").exists():
        definitions = {
            "CMAKE_BUILD_TYPE": "Release",
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "SKBUILD_PROJECT_VERSION": "0",
            "SKBUILD_PROJECT_VERSION_FULL": "0",
            "TF_MAVG_CUDA_ARCHITECTURES": "70-virtual",
        }
        options = [f"-D{name}={value}" for name, value in definitions.items()]
        done = run("cmake", "-S", SOURCE, "-B", BUILD, "-G", "Ninja", *options, env=environment)
        assert done.returncode == 0, done.stdout
    done = run("cmake", "--build", BUILD, "--target", "_native", env=environment)
    assert done.returncode == 0, done.stdout
    (PACKAGE / "tf_mavg").mkdir(parents=True, exist_ok=True)
    (PACKAGE / "tf_mavg" / "__init__.py").touch()
    for library in BUILD.glob("_native.*.so"):
        shutil.copy2(library, PACKAGE / "tf_mavg")


def run_suite():
    """The tests of the kernels on the package in the current folder, up to the first failure."""
    options = ["-c", ROOT / "pyproject.toml", "--noconftest", "-p", "no:cacheprovider", "-q", "-x"]
    tests = ROOT / "tests"
    suite = [f"{tests}/test_gpu_launch.py::test_ptx_says_how_every_operation_rounds"]
    suite += [tests / "test_gpu_kernels.py"]
    return run(sys.executable, "-m", "pytest", *options, *suite, cwd=PACKAGE)


@pytest.fixture(scope="module", autouse=True)
def emulated():
    """An emulated GPU, which reports every access out of bounds or misaligned."""
    if gpu_library.emulated() is None:
        pytest.skip("mutants run on the emulated GPU only")


def test_the_suite_passes_without_a_mutant():
    copy_sources()
    build()
    done = run_suite()
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_the_suite_catches(mutant):
    copy_sources()
    path = SOURCE / mutant.file
    text = path.read_text()
    assert text.count(mutant.right) == 1
    path.write_text(text.replace(mutant.right, mutant.wrong))
    build()
    done = run_suite()
    # 1: a test failed. Below 0: the emulator ended the process at a faulty access.
    assert done.returncode == 1 or done.returncode < 0, done.stdout
