"""`tf_mavg check`: what it proves, and that it fails where a kernel is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu
import numpy as np
import pytest

import tf_mavg_check
from tf_mavg_check import comparing, cpu, kernels, native, reference, rows
from tf_mavg_check.reference import FLOAT32
from tf_mavg_check.results import Result, Wrong
from tf_mavg_check.row_runners import CpuRows
from tf_mavg_check.runners import Cpu
from tf_mavg_check.running import results_of

COMMAND = "from tf_mavg_cli import main; main(['check', *sys.argv[1:]], prog_name='tf_mavg')"
PART = "import runpy; runpy.run_module('tf_mavg_check.gpu', run_name='__main__', alter_sys=True)"
PACKAGES = Path(tf_mavg_check.__file__).parents[1]
ROOT = Path(__file__).parents[2]


def outcomes(report):
    """Subjects by outcome."""
    found = {"passed": [], "failed": [], "left out": []}
    for result in report["results"]:
        found[result["outcome"]].append(result["subject"])
    return found


@pytest.fixture
def check_without_tensorflow(native_alone, tmp_path):
    """Runs the command where Python finds no TensorFlow, with variables of the environment."""
    for package in ("tf_mavg_check", "tf_mavg_cli", "numpy", "numpy.libs", "ml_dtypes", "click"):
        if not (native_alone / package).exists():
            (native_alone / package).symlink_to(PACKAGES / package)

    def call(*arguments: str, program=COMMAND, **variables: str):
        start = f"import sys; sys.path.insert(0, sys.argv.pop(1)); {program}"
        return subprocess.run(
            [sys.executable, "-S", "-c", start, native_alone, *arguments],
            env={**os.environ, **variables},
            cwd=tmp_path,
            text=True,
            capture_output=True,
            check=False,
        )

    return call


@pytest.mark.slow
def test_every_cpu_kernel_passes_at_every_level_without_tensorflow(check_without_tensorflow):
    done = check_without_tensorflow("--json", LD_LIBRARY_PATH="")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    found = outcomes(report)
    assert not found["failed"]
    for level in native.levels():
        names = [subject for subject in found["passed"] if subject.startswith(f"CPU, {level}: ")]
        # Six updates, split, two stochastic, swap, four of finiteness, six of rows.
        assert len(names) == 20
    if "No CUDA driver" in report["facts"]["GPU"]:
        assert "GPU" in found["left out"]
        assert report["figures"] == []


@pytest.mark.slow
def test_a_gpu_is_checked_in_both_forms_and_measured(check_without_tensorflow, emulator_libraries):
    variables = gpu.emulated(emulator_libraries)
    done = check_without_tensorflow("--json", "--most-elements", "50", **variables)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    report = json.loads(done.stdout)
    found = outcomes(report)
    for form in ("small", "large"):
        on_gpu = [name for name in found["passed"] if f"GPU, PTX, {form} tables: " in name]
        assert len(on_gpu) == 16
    assert len([name for name in found["passed"] if "GPU, PTX: rows, " in name]) == 6
    assert "GPU, machine code" in found["left out"]
    assert {figure["workload"] for figure in report["figures"]} == {
        "1,000 x 64", "ResNet-50", "BERT-large", "one variable",
    }  # fmt: skip
    assert all(figure["seconds"] > 0 for figure in report["figures"])
    assert [overhead["variables"] for overhead in report["overheads"]] == [1, 1000]


@pytest.fixture
def results_on_gpu(check_without_tensorflow):
    """Results of one form of table, of a process with variables of the environment."""

    def call(form, **variables: str):
        done = check_without_tensorflow(form, program=PART, **variables)
        assert done.returncode == 0, done.stderr
        results = (Result(*json.loads(line)) for line in done.stdout.splitlines())
        return {result.subject.partition(": ")[2]: result for result in results}

    return call


def test_machine_code_that_the_device_refuses_fails(results_on_gpu, emulator_libraries):
    variables = gpu.emulated(emulator_libraries) | {"TF_MAVG_FORCE_PTX": "0"}
    results = results_on_gpu("small", **variables)
    assert results.pop("elements beyond 2^32").outcome == "left out"
    assert {result.outcome for result in results.values()} == {"failed"}
    assert "CUDA_ERROR_NO_BINARY_FOR_GPU" in results["update, float32"].detail
    assert results["update, float32"].subject.startswith("GPU, machine code, small tables")


def test_a_wrong_gpu_kernel_fails_and_the_others_pass(results_on_gpu, emulator_libraries, tmp_path):
    (ptx,) = (
        image["data"].rstrip(b"\0").decode()
        for image in native.native().gpu_images()
        if image["kind"] == "ptx" and image["form"] == "small"
    )
    begin = ptx.index("moving_average_float64_1(")
    wrong = tmp_path / "wrong.ptx"
    wrong.write_text(ptx[:begin] + ptx[begin:].replace("sub.rn.f64", "add.rn.f64", 1))
    results = results_on_gpu("small", **gpu.emulated(emulator_libraries, ptx=wrong))
    failed = {name for name, result in results.items() if result.outcome == "failed"}
    assert failed == {"update, float64"}
    assert results["update, float64"].detail.startswith("1 averages, list None unaligned: ")


def test_a_failure_ends_the_command_with_status_1_and_says_what_to_do(
    run_command, monkeypatch, tmp_path
):
    monkeypatch.setattr(cpu, "results", lambda: [Result("CPU, baseline: swap", "failed", "wrong")])
    monkeypatch.setattr("tf_mavg_check.gpu.results", list)
    done = run_command("check", "--no-speed", cwd=tmp_path)
    assert done.returncode == 1
    assert "failed    CPU, baseline: swap: wrong" in done.stdout
    assert "1 failed. Do not train with this installation on this machine: report" in done.stdout


class WrongCpu(Cpu):
    """A CPU whose update forgets an element, whose swap does nothing, to which all is finite."""

    def run(self, kernel, *lists: object, offsets=()):
        """Puts one element of an update back."""
        if kernel == "swap":
            return None
        if kernel == "all_finite":
            return True
        last = lists[0][0][-1]
        kept = last[-1].copy()
        super().run(kernel, *lists, offsets=offsets)
        if kernel == "apply_moving_average":
            last[-1] = kept
        return None


def test_a_wrong_cpu_kernel_fails_and_the_others_pass():
    results = list(results_of(kernels.checks_of(WrongCpu("baseline"))))
    failed = [result.subject.partition(": ")[2] for result in results if result.outcome == "failed"]
    assert "update, float32" in failed
    assert "swap" in failed
    assert "finite, float16" in failed
    assert "update, split" not in failed
    (swap,) = (result for result in results if result.subject == "CPU, baseline: swap")
    assert "elements differ at position 1 of the list, first element 0" in swap.detail


def test_nan_is_nan_whatever_its_payload_and_a_zero_has_a_sign():
    nans = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    assert comparing.compare([nans[:1]], [nans[1:]], what="NaN") == 1
    with pytest.raises(Wrong, match=r"zeros: 1 of 1 elements differ.*Expected: .*-0\.0"):
        comparing.compare([np.zeros(1)], [-np.zeros(1)], what="zeros")


def test_whatever_a_check_raises_is_a_failure(monkeypatch):
    def broken(*_: object):
        raise OSError(5, "no such device")

    monkeypatch.setattr(native.native(), "swap", broken)
    (result,) = (
        found
        for found in results_of(kernels.checks_of(Cpu("baseline")))
        if found.subject.endswith(": swap")
    )
    assert result.outcome == "failed"
    assert result.detail == "OSError: [Errno 5] no such device"


def test_sources_without_a_compiled_part_are_told_so():
    done = subprocess.run(
        [sys.executable, "-m", "tf_mavg_cli", "check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs the compiled part of tf_mavg for Python" in done.stderr
    assert "from a folder other than that of the sources" in done.stderr


def test_the_reference_rounds_as_numpy_does():
    values = np.array([1.0, 1.0 + 2**-11, -0.0], np.float32)
    high, remainder = reference.split(values)
    np.testing.assert_array_equal(reference.joined(high, remainder), values)


class WrongRows(CpuRows):
    """A CPU that catches up a row which no index names, and a step of which leaves rows behind."""

    def catch_up_rows(self, tables, indices, offsets=(0, 0, 0)):
        """Takes one row more."""
        more = [np.append(rows, [n for n in range(41) if n not in rows][:1]) for rows in indices]
        super().catch_up_rows(tables, [rows.astype(np.int64) for rows in more], offsets)

    def advance_row_clocks(self, tables, rate):
        """Has rows see none of the steps."""
        super().advance_row_clocks(tables, rate)
        for table in tables:
            table.seen[:] = 0


@pytest.mark.parametrize("check", [rows.check_against_formula, rows.check_against_cpu])
def test_a_row_that_no_index_names_must_not_move(check):
    with pytest.raises(Wrong, match="elements differ"):
        check(WrongRows("baseline"), (FLOAT32, FLOAT32))


def test_a_clock_without_room_starts_anew():
    runner = WrongRows("baseline")
    runner.catch_up_rows = CpuRows("baseline").catch_up_rows
    with pytest.raises(Wrong, match="a step with room: seen"):
        rows.check_against_cpu(runner, (FLOAT32, FLOAT32))
