"""The launch of the GPU kernels: tables, images, and what the driver sees and says."""

import os
import re
import subprocess
import sys

import gpu
import ptx_rounding
import pytest
from gpu_emulator.environment import Log

from tf_mavg import _native

CAPACITY = {"small": 169, "large": 1364}  # pairs of a table, by its form

form = pytest.mark.parametrize("form", CAPACITY)


@form
def test_tables_are_filled_in_order_without_empty_pairs(form):
    capacity = CAPACITY[form]
    assert _native.gpu_tables([0, 0], 4, form) == []
    assert _native.gpu_tables([0, 1, 0], 4, form) == [(1, 1, 4096)]
    assert _native.gpu_tables([0, 5] * capacity, 4, form) == [(capacity, capacity, 4096)]
    assert _native.gpu_tables([4097] * (capacity + 1), 4, form) == [
        (capacity, 2 * capacity, 4096),
        (1, 2, 4096),
    ]


def test_a_thousand_pairs_are_one_launch_or_at_most_seven():
    assert len(_native.gpu_tables([1000] * 1000, 4, "large")) == 1
    assert len(_native.gpu_tables([1000] * 1000, 4, "small")) <= 7


@form
def test_chunks_grow_where_their_numbers_would_not_fit(form):
    terabyte = 2**40
    assert _native.gpu_tables([terabyte, 5], 4, form) == [(2, 2**28 + 1, 4096)]
    (table,) = _native.gpu_tables([64 * terabyte, 5], 1, form)
    assert table == (2, 2**29 + 1, 2**17)
    # Chunks of a table grow together; those of the next table start small again.
    assert _native.gpu_tables([2**50] * CAPACITY[form] + [5], 4, form)[-1] == (1, 1, 4096)


def test_the_large_form_needs_driver_and_device():
    assert _native.gpu_form(12010, 70) == "large"
    assert _native.gpu_form(12000, 90) == "small"
    assert _native.gpu_form(12090, 61) == "small"


@form
def test_every_device_gets_the_best_image(form):
    images = _native.gpu_images()

    def image_for(compute_capability, *, force_ptx=False):
        index = _native.gpu_image_for(compute_capability, form, force_ptx)
        if index is None:
            return None
        assert images[index]["form"] == form
        return images[index]["kind"], images[index]["architecture"]

    for architecture in (70, 75, 80, 86, 89, 90, 100, 120):
        assert image_for(architecture) == ("cubin", architecture)
    # Machine code serves later minor versions of its major one, PTX all that is later.
    assert image_for(72) == ("cubin", 70)
    assert image_for(87) == ("cubin", 86)
    assert image_for(103) == ("cubin", 100)
    assert image_for(110) == ("ptx", 70)
    assert image_for(130) == ("ptx", 70)
    assert image_for(90, force_ptx=True) == ("ptx", 70)
    assert image_for(61) is None


def test_ptx_says_how_every_operation_rounds():
    texts = [image["data"].decode() for image in _native.gpu_images() if image["kind"] == "ptx"]
    assert len(texts) == len(CAPACITY)
    assert all(map(ptx_rounding.says_how, texts))


def test_a_machine_without_a_driver_is_told_so(native_alone, tmp_path):
    code = "from tf_mavg import _native; print(_native.gpu_driver())"
    without = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    without["PYTHONPATH"] = str(native_alone)
    command = [sys.executable, "-c", code]
    output = subprocess.check_output(command, env=without, cwd=tmp_path, text=True)
    assert "libcuda.so.1" in output or "'error': ''" in output


PROGRAM = """
import sys
import numpy as np
from tf_mavg import _native
arrays = [[np.ones(10, np.float32) for _ in range(1000)] for _ in range(2)]
for _ in range(2):
    _native.gpu_update(*arrays, 0.9, sys.argv[1])
    _native.gpu_swap(*arrays, sys.argv[1])
"""


@pytest.fixture
def run_emulated(emulator_libraries, native_alone, tmp_path):
    """Runs PROGRAM in a process on the emulated GPU; options are the emulator's."""

    def call(form, **options: object):
        variables = gpu.emulated(emulator_libraries, **options)
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, form],
            env={**variables, "PYTHONPATH": str(native_alone)},
            cwd=tmp_path,  # not the checkout, whose package has no compiled part
            text=True,
            capture_output=True,
            check=False,
        )

    return call


@pytest.mark.parametrize(("form", "launches"), [("small", 6), ("large", 1)])
def test_what_the_driver_sees(run_emulated, form, launches, tmp_path):
    done = run_emulated(form, log=tmp_path / "log")
    assert done.returncode == 0, done.stderr
    records = Log(tmp_path / "log").since_last("launch", "module_load", "synchronize")
    once = ["update_float32"] * launches, ["swap_bytes"] * launches
    assert [record.get("kernel", record["call"]) for record in records] == [
        "module_load",  # once, whatever follows
        *(call for _ in range(2) for kernel in once for call in [*kernel, "synchronize"]),
    ]
    parameter_bytes = {record["parameter_bytes"] for record in records if "kernel" in record}
    assert parameter_bytes == {4080 if form == "small" else 32760}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"driver_version": 11080}, "driver supports CUDA 11.8, but CUDA 12.0 is needed. Install"),
        ({"devices": 0}, r"cuInit failed: CUDA_ERROR_NO_DEVICE \(100\)"),
        ({"compute_capability": "6.1"}, "no PTX for this GPU, of architecture sm_61. It was built"),
        ({"maximum_ptx_version": "8.5"}, r"CUDA_ERROR_UNSUPPORTED_PTX_VERSION .* is too old"),
        ({"driver_version": 12000}, r"cuLaunchKernel failed: CUDA_ERROR_INVALID_VALUE"),
    ],
    ids=["driver", "device", "architecture", "ptx", "parameters"],
)
def test_errors_carry_the_drivers_words_and_what_to_do(run_emulated, options, message):
    done = run_emulated("large", **options)
    assert done.returncode == 1
    assert re.search(message, done.stderr), done.stderr
