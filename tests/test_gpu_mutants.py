"""Faults put into the GPU code on purpose, each of which its tests must catch."""

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
SOURCE, BUILD = FOLDER / "source", FOLDER / "build"
# The pybind11 module by itself, for the tests without TensorFlow; and the whole package.
BELOW_TENSORFLOW, WHOLE = FOLDER / "below_tensorflow", FOLDER / "whole"
WALKER = "cuda/pair_walker.cuh"


class Mutant(NamedTuple):
    """A text of a source file and what takes its place."""

    file: str
    right: str
    wrong: str


KERNEL_MUTANTS = {
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

FUNCTORS = "cc/kernels/pair_functors_gpu.cc"
STEP_MUTANTS = {
    "update on another stream": Mutant(
        FUNCTORS, "float*>(decay.data()),\n                                    {StreamOf(ctx)",
        "float*>(decay.data()), {nullptr",
    ),
    "copy that nothing waits for": Mutant(
        FUNCTORS, "from.TotalBytes(), StreamOf(ctx)", "from.TotalBytes(), nullptr"
    ),
    "readers disregarded": Mutant(
        "cc/kernels/pair_operations.cc", "return !written.copy_on_read() && written.HasReaders();",
        "return written.copy_on_read();",
    ),
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


def build(target: str, package: pathlib.Path):
    """Builds a library, with PTX only, into a package."""
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
    done = run("cmake", "--build", BUILD, "--target", target, env=environment)
    assert done.returncode == 0, done.stdout
    (package / "tf_mavg").mkdir(parents=True, exist_ok=True)
    for library in BUILD.glob(f"*{target}.*so"):
        shutil.copy2(library, package / "tf_mavg")


def run_kernel_suite():
    """The tests of the kernels without TensorFlow, up to the first failure."""
    build("_native", BELOW_TENSORFLOW)
    (BELOW_TENSORFLOW / "tf_mavg" / "__init__.py").touch()
    options = ["-c", ROOT / "pyproject.toml", "--noconftest", "-p", "no:cacheprovider", "-q", "-x"]
    tests = ROOT / "tests"
    suite = [f"{tests}/test_gpu_launch.py::test_ptx_says_how_every_operation_rounds"]
    suite += [tests / "test_gpu_kernels.py"]
    return run(sys.executable, "-m", "pytest", *options, *suite, cwd=BELOW_TENSORFLOW)


def run_step_suite():
    """The test that the order of steps is kept, on the whole package."""
    build("_native", WHOLE)
    build("tf_mavg_ops", WHOLE)
    for module in (ROOT / "tf_mavg").glob("*.py"):
        shutil.copy2(module, WHOLE / "tf_mavg")
    environment = {**os.environ, "PYTHONPATH": str(WHOLE)}
    options = ["-p", "no:cacheprovider", "-q", "-k", "keep_their_order"]
    suite = ROOT / "tests" / "test_gpu_step.py"
    pytest_program = pathlib.Path(sys.executable).with_name("pytest")
    return run(pytest_program, *options, suite, cwd=ROOT, env=environment)


@pytest.fixture(scope="module", autouse=True)
def emulated():
    """An emulated GPU, which reports every access out of bounds or misaligned."""
    if gpu_library.emulated() is None:
        pytest.skip("mutants run on the emulated GPU only")


SUITES = pytest.mark.parametrize("run_suite", [run_kernel_suite, run_step_suite])


@SUITES
def test_a_suite_passes_without_a_mutant(run_suite):
    copy_sources()
    done = run_suite()
    assert done.returncode == 0, done.stdout


CASES = [(run_kernel_suite, mutant) for mutant in KERNEL_MUTANTS.values()]
CASES += [(run_step_suite, mutant) for mutant in STEP_MUTANTS.values()]


@pytest.mark.parametrize(("run_suite", "mutant"), CASES, ids=[*KERNEL_MUTANTS, *STEP_MUTANTS])
def test_the_suite_catches(run_suite, mutant):
    copy_sources()
    path = SOURCE / mutant.file
    text = path.read_text()
    assert text.count(mutant.right) == 1
    path.write_text(text.replace(mutant.right, mutant.wrong))
    done = run_suite()
    # 1: a test failed. Below 0: the emulator ended the process at a faulty access.
    assert done.returncode == 1 or done.returncode < 0, done.stdout
