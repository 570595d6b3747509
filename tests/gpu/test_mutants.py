"""Faults put into the GPU code on purpose, each of which the tests of the GPU must catch.

A mutant of a kernel is compiled to PTX, which the emulated driver loads instead of the shipped one.
A mutant of the ops is one object of their library, compiled and linked as the build does it.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
from typing import NamedTuple

import gpu
import ptx_rounding
import pytest
from places import ROOT

from tf_mavg._ops.library import OPS_PATH, PACKAGE

WALKER = "cuda/walker.cuh"
ROWS = "cuda/lazy_rows.cuh"
KERNEL_SUITE = (
    "test_lazy_rows_kernels.py",
    "test_stochastic_kernels.py",
    "test_kernels.py",
    "test_split_kernels.py",
)


class Mutant(NamedTuple):
    """A text of a source file and what takes its place."""

    file: str
    right: str
    wrong: str

    def write(self, folder: pathlib.Path):
        """Writes the file with the fault into a folder."""
        text = (ROOT / self.file).read_text()
        assert text.count(self.right) == 1
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(self.right, self.wrong))
        return path


KERNEL_MUTANTS = {
    "no tail": Mutant(
        WALKER, "  WalkPacks<1>(chunk, done, count, operation, thread, threads);", ""
    ),
    "tail one late": Mutant(
        WALKER, "done = count / kPack * kPack;", "done = count / kPack * kPack + 1;"
    ),
    "written sides taken for aligned": Mutant(
        WALKER, "aligned && IsAligned<Pack<Written, kPack>>(chunk.sides[side])", "aligned"
    ),
    "read side taken for aligned": Mutant(
        WALKER, "aligned && IsAligned<Pack<Read, kPack>>(chunk.sides[kSidesOf<Operation> - 1])",
        "aligned",
    ),
    "search one off": Mutant(
        "cc/core/chunk_map.h", "first_chunk[middle] <= chunk", "first_chunk[middle] < chunk"
    ),
    "last chunk taken for full": Mutant(
        WALKER, "is_last ? table.last_chunk_elements[position] : table.chunk_elements",
        "table.chunk_elements",
    ),
    "last chunk one off": Mutant(WALKER, "number + 1 == table", "number + 2 == table"),
    "chunks left out": Mutant(WALKER, "number += gridDim.x", "number += gridDim.x + 1"),
    "offset of 32 bits": Mutant(
        WALKER, "static_cast<int64_t>(number - table.first_chunk[position])",
        "(number - table.first_chunk[position])",
    ),
    "only the first side written": Mutant(
        WALKER, "static_cast<Written*>(chunk.sides[side])[i] = written[side];",
        "if (side == 0) static_cast<Written*>(chunk.sides[side])[i] = written[side];",
    ),
    "swap of one side": Mutant("cuda/swap.cuh", "sides[1] = held;", ""),
    "variable for average": Mutant(
        "cuda/moving_average.cuh", "(old, wide, rates[i])", "(wide, old, rates[i])"
    ),
    "no copy": Mutant("cuda/moving_average.cuh", "rates[i] == kCopy ? wide : moved", "moved"),
    "no keep": Mutant("cuda/moving_average.cuh", "rates[i] == kKeep ? old : ", ""),
    "one rate for all averages": Mutant(
        "cuda/moving_average.cuh", "wide, rates[i]", "wide, rates[0]"
    ),
    "split: average without its remainder": Mutant(
        "cuda/split_moving_average.cuh", "static_cast<int16_t>(old_remainder)", "0"
    ),
    "split: copy that keeps the remainder": Mutant(
        "cuda/split_moving_average.cuh", "? uint16_t{0}", "? old_remainder"
    ),
    "split: one rate for all averages": Mutant(
        "cuda/split_moving_average.cuh", "(old, wide, rates[i])", "(old, wide, rates[0])"
    ),
    "split: half cut off, not rounded": Mutant(
        "cc/core/split.h", "(kept + 0x8000u) >> 16", "kept >> 16"
    ),
    "split: NaN rounded": Mutant("cc/core/split.h", "(bits | 0x00400000u) & 0xffff0000u", "bits"),
    "same bits at every update": Mutant(
        "cc/core/random_bits.h", "state = Absorbed(state, static_cast<uint64_t>(key[i]));",
        "state = Absorbed(state, static_cast<uint64_t>(key[i == 1 ? 0 : i]));",
    ),
    "same bits in every chunk": Mutant(
        "cuda/stochastic_average.cuh", "kKeyNumbers), offset);", "kKeyNumbers), 0);"
    ),
    "same bits for every element": Mutant(
        "cuda/stochastic_average.cuh", "static_cast<uint32_t>(place)", "0u"
    ),
    "place within a pack taken for that in a chunk": Mutant(
        WALKER, "i * pack + element", "element"
    ),
    "same bits for all averages": Mutant(
        "cuda/stochastic_average.cuh", "keys + i * kKeyNumbers", "keys"
    ),
    "largest number rounded up": Mutant(
        "cuda/stochastic_average.cuh", "magnitude < 0x477fe000u ?", "true ?"
    ),
    "down where up is meant": Mutant(
        "cuda/stochastic_average.cuh", "drawn < chance", "drawn >= chance"
    ),
    "stochastic copy rounded": Mutant(
        "cuda/stochastic_average.cuh", "rates[i] == kCopy ? variable : rounded", "rounded"
    ),
    "only the last element counts": Mutant(
        "cuda/all_finite.cuh", "carries |= ExponentCarry", "carries = ExponentCarry"
    ),
    "only one thread reports": Mutant(
        "cuda/all_finite.cuh", "if (HasCarry(carries))",
        "if (HasCarry(carries) && threadIdx.x == 0)",
    ),
    "the largest number taken for infinite": Mutant(
        "cc/core/all_finite.h", "(BitsOfFloat(value) & 0x7f800000u) + 0x00800000u",
        "(BitsOfFloat(value) & 0x7fffffffu) + 0x00800001u",
    ),
    "rows: counter left as it is": Mutant(
        ROWS, "atomicExch(reinterpret_cast<unsigned long long*>(table.seen + row), steps)",
        "table.seen[row]",
    ),
    "rows: an index of no row taken": Mutant(
        ROWS, "row >= 0 && row < listed.table.rows ? row : kNoRow", "row"
    ),
    "rows: one rate for a warp": Mutant(
        ROWS, "__shfl_sync(kAllLanes, rate, 0, group)", "__shfl_sync(kAllLanes, rate, 0)"
    ),
    "rows: a full clock goes on": Mutant(
        ROWS, "if (MustCatchUp(table, tables.rate)) RestartClock(table.clock);", ""
    ),
    "rows: a step that moves nothing restarts a full clock": Mutant(
        ROWS, "*rate != kKeep && ", ""
    ),
    "rows: counters of all rows left as they are": Mutant(ROWS, "table.seen[row] = 0;", ""),
}  # fmt: skip
CONTRACTION = Mutant("cuda/compile_kernels.py", "--fmad=false", "--fmad=true")

# Of make test: one or two of each operation.
SAMPLE = {
    "no tail",
    "search one off",
    "swap of one side",
    "no copy",
    "split: NaN rounded",
    "same bits at every update",
    "only the last element counts",
    "rows: counter left as it is",
}
assert set(KERNEL_MUTANTS) > SAMPLE

STEP_MUTANTS = {
    "update on another stream": Mutant(
        "cc/kernels/moving_average_gpu.cc", "{StreamOf(ctx), std::nullopt}",
        "{nullptr, std::nullopt}",
    ),
    "copy that nothing waits for": Mutant(
        "cc/kernels/devices_gpu.cc", "from.TotalBytes(), StreamOf(ctx)",
        "from.TotalBytes(), nullptr",
    ),
    "readers disregarded": Mutant(
        "cc/kernels/variable_lists.cc", "return !copy_on_read() && HasReaders();",
        "return copy_on_read();",
    ),
}  # fmt: skip
ANSWER_MUTANTS = {
    "look on another stream": Mutant(
        "cc/kernels/all_finite_gpu.cc", "stream = StreamOf(ctx)", "stream = nullptr"
    ),
    "answer that nothing waits for": Mutant(
        "cc/kernels/devices_gpu.cc",
        "EnqueueCall([threads, done = std::move(done)] { threads->Schedule(done); },\n"
        "                                   StreamOf(ctx))",
        "(threads->Schedule(done), GpuStatus())",
    ),
}


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """The completed process, whose output is text in one piece."""
    return subprocess.run(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **settings,
    )


def compiled_kernels(source: pathlib.Path) -> pathlib.Path:
    """The PTX, for the small form of the table, of the sources in a folder."""
    script, output = source / "cuda" / "compile_kernels.py", source / "images"
    done = run(sys.executable, script, "--output", output, "--architectures", "70-virtual")
    assert done.returncode == 0, done.stdout
    return output / "small_70.ptx"


@pytest.fixture
def kernel_suite(emulator_libraries, native_alone, tmp_path):
    """Runs the tests of the kernels on given PTX, up to the first failure."""

    def call(ptx: pathlib.Path) -> subprocess.CompletedProcess[str]:
        options = ["-c", ROOT / "pyproject.toml", "--noconftest", "-p", "no:cacheprovider", "-s"]
        files = [ROOT / "tests" / "gpu" / name for name in KERNEL_SUITE]
        selection = ["-k", "not large", *files]
        # A small device, so that a table of the small form has more chunks than the grid blocks.
        variables = gpu.emulated(emulator_libraries, ptx=ptx, multiprocessors=1)
        variables["PYTHONPATH"] = str(native_alone)
        command = [sys.executable, "-m", "pytest", *options, "-q", "-x", *selection]
        return run(*command, cwd=tmp_path, env=variables)

    return call


@pytest.fixture
def source(tmp_path):
    """A copy of what the kernels are compiled from."""
    for folder in ("cuda", "cc/core"):
        shutil.copytree(ROOT / folder, tmp_path / "source" / folder)
    return tmp_path / "source"


def test_the_kernel_suite_passes_without_a_mutant(kernel_suite, source):
    done = kernel_suite(compiled_kernels(source))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, id=name, marks=[] if name in SAMPLE else pytest.mark.long)
        for name, mutant in KERNEL_MUTANTS.items()
    ],
)
def test_the_kernel_suite_catches(kernel_suite, source, mutant):
    mutant.write(source)
    done = kernel_suite(compiled_kernels(source))
    # A test failed, or the emulator ended the process at a faulty access.
    failed = done.returncode == 1 and re.search("^1 failed", done.stdout, re.MULTILINE)
    assert failed or (done.returncode < 0 and "GPU emulator: " in done.stdout), done.stdout


def test_a_compilation_that_may_contract_shows_in_the_ptx(source):
    CONTRACTION.write(source)
    assert not ptx_rounding.says_how(compiled_kernels(source).read_text())


def linked_ops(mutant: Mutant, folder: pathlib.Path) -> pathlib.Path:
    """The ops with a mutant: what `make install` has built, but for one object."""
    name = str(pathlib.Path("tf_mavg", OPS_PATH.relative_to(PACKAGE)))
    (build,) = (ROOT / "build").glob(f"cp{sysconfig.get_config_var('py_version_nodot')}-*")
    tools = pathlib.Path(sys.executable).parent
    listed = run(tools / "ninja", "-C", build, "-t", "commands", name).stdout.splitlines()
    (compilation,) = (line for line in listed if line.endswith(f" -c {ROOT / mutant.file}"))
    (made,) = re.findall(r" -o (\S+)", compilation)
    mutated = folder / OPS_PATH.name
    # Neither optimised nor warned about, nor noted for the next build.
    compilation = re.sub(r" -(O3|Werror|MD|M[TF] \S+)(?= )", "", compilation)
    for command in (
        compilation.replace(made, f"{folder}/mutant.o").replace(
            str(ROOT / mutant.file), str(mutant.write(folder))
        ),
        listed[-1].replace(made, f"{folder}/mutant.o").replace(f"-o {name}", f"-o {mutated}"),
    ):
        done = run("sh", "-c", command, cwd=build)
        assert done.returncode == 0, done.stdout
    return mutated


@pytest.fixture
def package_with(tmp_path):
    """Makes a copy of the installed package, with a mutant in its ops."""

    def call(mutant: Mutant) -> pathlib.Path:
        shutil.copytree(PACKAGE, tmp_path / "package" / "tf_mavg")
        package = tmp_path / "package" / "tf_mavg"
        shutil.copy2(linked_ops(mutant, tmp_path), package / OPS_PATH.relative_to(PACKAGE))
        return tmp_path / "package"

    return call


@pytest.mark.parametrize("mutant", STEP_MUTANTS.values(), ids=STEP_MUTANTS)
def test_the_order_of_a_step_catches(gpu_step, package_with, mutant):
    # Without a mutant both are true: test_step.py.
    found = gpu_step("writes_and_reads", package=package_with(mutant), delay_us=2000)
    assert sorted(found) == ["average", "held"]
    assert not all(found.values())


@pytest.mark.parametrize("mutant", ANSWER_MUTANTS.values(), ids=ANSWER_MUTANTS)
def test_the_order_of_answers_catches(gpu_step, package_with, mutant):
    found = gpu_step("answers", package=package_with(mutant), delay_us=2000)
    assert found["answers"] != found["expected"]
