"""Runs the test of a mutant on what the mutant changes."""

import enum
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import gpu
import prepared
from building import run
from gpu_emulator import environment
from mutants import making
from mutants.listing import Kind, Mutant
from places import HELPERS, ROOT

# Of a test and what it builds; one that hangs is no way to see a fault.
SECONDS = 900
PYTEST = ["-q", "-x", "-p", "no:cacheprovider"]
# Of a run without TensorFlow, and without the conftest.py that imports it.
BELOW = ["-c", str(ROOT / "pyproject.toml"), "--noconftest", "-p", "below"]
IN_A_FORK = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"


class Outcome(enum.Enum):
    """What became of a mutant."""

    CAUGHT = "caught"  # Its test failed.
    SURVIVED = "survived"
    BROKEN = "broken"  # It could not be made, or its test could not run.


class Result(NamedTuple):
    """An outcome, and what was printed."""

    outcome: Outcome
    output: str


def pytest(
    options: Sequence[str], tests: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """The tests, up to the first failure, in a process that works in a folder."""
    command = [sys.executable, "-m", "pytest", *PYTEST, *options, *tests]
    return run(*command, cwd=folder, env=variables, timeout=SECONDS)


def run_on_kernels(ptx: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """The tests of the GPU kernels on given PTX, up to the first failure."""
    # A small device, so that a table of the small form has more chunks than the grid blocks.
    variables = gpu.emulated(environment.build(), ptx=ptx, multiprocessors=1)
    with tempfile.TemporaryDirectory() as folder:
        making.native_alone(Path(folder))
        variables["PYTHONPATH"] = os.pathsep.join([folder, HELPERS])
        options = [*BELOW, "-s", "-k", "not large"]  # The PTX is of the small form.
        return pytest(options, tests, Path(folder), variables)


def run_test(mutant: Mutant, folder: Path) -> subprocess.CompletedProcess[str]:
    """The mutant's test, on what is made in a folder."""
    root, variables = ROOT, dict(os.environ)
    options = ["-c", str(ROOT / "pyproject.toml")]
    if mutant.kind is Kind.KERNELS:
        return run_on_kernels(making.kernels(mutant, folder), [str(ROOT / mutant.test)])
    if mutant.kind is Kind.TREE:
        root = making.tree(mutant, folder)
        options = ["-c", str(root / "pyproject.toml")]
    else:
        making.PACKAGES[mutant.kind](mutant, folder)
        if mutant.kind is Kind.NATIVE:
            options, variables = BELOW, gpu.emulated(environment.build())
        variables["PYTHONPATH"] = os.pathsep.join([str(folder), HELPERS])
    tests = [str(root / mutant.test)]
    if mutant.kind in {Kind.PYTHON, Kind.OPS}:
        command = ["-c", IN_A_FORK, *PYTEST, *options, *tests]
        return prepared.run(command, folder, variables, SECONDS)
    return pytest(options, tests, folder, variables)


def result_of(mutant: Mutant) -> Result:
    """Makes a mutant, and runs its test."""
    with tempfile.TemporaryDirectory(prefix="mutant_") as folder:
        try:
            done = run_test(mutant, Path(folder))
        except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
            return Result(Outcome.BROKEN, str(error))
    output = done.stdout + (done.stderr or "")
    if done.returncode == 0:
        return Result(Outcome.SURVIVED, output)
    failed = done.returncode == 1 and re.search("^1 failed", done.stdout, re.MULTILINE)
    # Code in C++ may end the process; so does the emulator, at a faulty access.
    ended = done.returncode < 0 and mutant.kind is not Kind.PYTHON
    return Result(Outcome.CAUGHT if failed or ended else Outcome.BROKEN, output)
