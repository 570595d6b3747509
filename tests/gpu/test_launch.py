"""The launch of the GPU kernels: tables, images, and what the driver sees and says."""

import os
import re
import subprocess
import sys

import gpu
import ptx_rounding
import pytest
from gpu_emulator.environment import Log
from places import HELPERS

from tf_mavg import _native

CAPACITY = {"small": 169, "large": 1363}  # positions of two sides in a table, by its form

form = pytest.mark.parametrize("form", CAPACITY)


@form
def test_tables_are_filled_in_order_without_empty_positions(form):
    capacity = CAPACITY[form]
    assert _native.gpu_tables([0, 0], 2, 4, form) == []
    assert _native.gpu_tables([0, 1, 0], 2, 4, form) == [(1, 1, 4096)]
    assert _native.gpu_tables([0, 5] * capacity, 2, 4, form) == [(capacity, capacity, 4096)]
    assert _native.gpu_tables([4097] * (capacity + 1), 2, 4, form) == [
        (capacity, 2 * capacity, 4096),
        (1, 2, 4096),
    ]


def test_a_thousand_variables_are_one_launch_or_at_most_seven():
    assert len(_native.gpu_tables([1000] * 1000, 2, 4, "large")) == 1
    assert len(_native.gpu_tables([1000] * 1000, 2, 4, "small")) <= 7


@form
def test_chunks_grow_where_their_numbers_would_not_fit(form):
    terabyte = 2**40
    assert _native.gpu_tables([terabyte, 5], 2, 4, form) == [(2, 2**28 + 1, 4096)]
    (table,) = _native.gpu_tables([64 * terabyte, 5], 2, 1, form)
    assert table == (2, 2**29 + 1, 2**17)
    # Chunks of a table grow together; those of the next table start small again.
    # As much as there can be: addresses have 57 bits.
    assert _native.gpu_tables([2**44] * CAPACITY[form] + [5], 2, 4, form)[-1] == (1, 1, 4096)


@pytest.mark.parametrize(
    ("depth", "small", "large"),
    [(1, 254, 2045), (2, 169, 1363), (3, 127, 1022), (4, 101, 818), (5, 84, 681)],
)
def test_a_deeper_table_holds_fewer_positions(depth, small, large):
    for form, capacity in (("small", small), ("large", large)):
        first, second = _native.gpu_tables([1] * (capacity + 1), depth, 4, form)
        assert (first[0], second[0]) == (capacity, 1)


@pytest.mark.parametrize("depth", [0, 6])
def test_lists_that_no_kernel_takes_are_refused(depth):
    with pytest.raises(RuntimeError, match=f"No kernel takes {depth} lists at once"):
        _native.gpu_tables([1], depth, 4, "small")


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


PROGRAM = """
import sys
import numpy as np
from tf_mavg import _native
arrays = [[np.ones(10, np.float32) for _ in range(1000)] for _ in range(2)]
for _ in range(2):
    _native.gpu_apply_moving_average(arrays[:1], arrays[1], [0.1], sys.argv[1])
    _native.gpu_swap(*arrays, sys.argv[1])
"""


@pytest.fixture
def run_program(native_alone, tmp_path):
    """Runs a program with some environment, in a process without TensorFlow."""

    def call(program, form, variables):
        folders = [str(native_alone), HELPERS]
        return subprocess.run(
            [sys.executable, "-c", program, form],
            env={**variables, "PYTHONPATH": os.pathsep.join(folders)},
            cwd=tmp_path,  # not the checkout, whose package has no compiled part
            text=True,
            capture_output=True,
            check=False,
        )

    return call


@pytest.fixture
def run_emulated(run_program, emulator_libraries):
    """Runs a program in a process on the emulated GPU; options are the emulator's."""

    def call(form, *, program=PROGRAM, **options: object):
        return run_program(program, form, gpu.emulated(emulator_libraries, **options))

    return call


@pytest.mark.parametrize(("form", "launches"), [("small", 6), ("large", 1)])
def test_what_the_driver_sees(run_emulated, form, launches, tmp_path):
    done = run_emulated(form, log=tmp_path / "log")
    assert done.returncode == 0, done.stderr
    records = Log(tmp_path / "log").since_last("launch", "module_load", "synchronize")
    once = ["moving_average_float32_1"] * launches, ["swap_bytes"] * launches
    assert [record.get("kernel", record["call"]) for record in records] == [
        "module_load",  # once, whatever follows
        *(call for _ in range(2) for kernel in once for call in [*kernel, "synchronize"]),
    ]
    parameter_bytes = {record["parameter_bytes"] for record in records if "kernel" in record}
    assert parameter_bytes == {4088 if form == "small" else 32744}


CONTEXTS = """
import sys
import numpy as np
from gpu_emulator.driver import Driver
from tf_mavg import _native
for references in (2, 1):  # _native keeps one of its own, from its first use on.
    driver = Driver("libcuda.so.1")
    average, variable = np.ones(10, np.float32), np.zeros(10, np.float32)
    for _ in range(2):
        _native.gpu_apply_moving_average([[average]], [variable], [0.5], sys.argv[1])
    assert (average == 0.25).all()
    for _ in range(references):
        driver.call("cuDevicePrimaryCtxRelease_v2", 0)
"""


def test_a_new_context_at_the_address_of_an_old_one_gets_kernels_of_its_own(run_emulated, tmp_path):
    done = run_emulated("small", program=CONTEXTS, log=tmp_path / "log")
    assert done.returncode == 0, done.stderr
    records = Log(tmp_path / "log").since_last("launch", "module_load", "module_unload")
    once = ["module_load", "launch", "launch", "module_unload"]
    assert [record["call"] for record in records] == once * 2


THREADS = """
import sys
import threading
import numpy as np
from tf_mavg import _native
averages = [np.ones(10, np.float32) for _ in range(16)]
start = threading.Barrier(len(averages))
def update(average):
    start.wait()
    _native.gpu_apply_moving_average(
        [[average]], [np.zeros(10, np.float32)], [0.5], sys.argv[1]
    )
threads = [threading.Thread(target=update, args=[average]) for average in averages]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert all((average == 0.5).all() for average in averages)
"""


def test_the_first_use_may_come_from_many_threads_at_once(run_emulated, tmp_path):
    done = run_emulated("small", program=THREADS, log=tmp_path / "log")
    assert done.returncode == 0, done.stderr
    records = Log(tmp_path / "log").since_last("launch", "module_load")
    assert [record["call"] for record in records] == ["module_load"] + ["launch"] * 16


# By the emulated machine's options, how the driver's words and what to do begin or end.
MESSAGES = [
    ({"driver_version": 11080}, "driver supports CUDA 11.8, but CUDA 12.0 is needed. Install"),
    ({"devices": 0}, r"cuInit failed: CUDA_ERROR_NO_DEVICE \(100\), .* nvidia-smi.$"),
    ({"compute_capability": "6.1"}, "no PTX for this GPU, of architecture sm_61. It was built"),
    ({"maximum_ptx_version": "8.5"}, r"CUDA_ERROR_UNSUPPORTED_PTX_VERSION \(222\).* is too old"),
    ({"ptx": __file__}, r"CUDA_ERROR_INVALID_PTX \(218\), .* unset TF_MAVG_FORCE_PTX.$"),
    ({"driver_version": 12000}, r"cuLaunchKernel failed: CUDA_ERROR_INVALID_VALUE"),
    (
        {"refuse": "moving_average_float32_1=719"},
        r"CUDA_ERROR_LAUNCH_FAILED \(719\), unspecified launch failure. The fault may be of any k",
    ),
    (
        {"refuse": "swap_bytes=700"},
        r"CUDA_ERROR_ILLEGAL_ADDRESS \(700\), .*_BLOCKING=1 shows which",
    ),
    ({"refuse": "swap_bytes=716"}, r"MISALIGNED_ADDRESS \(716\), .*_BLOCKING=1 shows which"),
    ({"refuse": "swap_bytes=2"}, "out of memory. Free device memory, or let TensorFlow take less"),
    ({"refuse": "swap_bytes=9999"}, r"unknown error \(9999\), no description.$"),
]


@pytest.mark.parametrize(("options", "message"), MESSAGES, ids=lambda value: str(value)[:30])
def test_errors_carry_the_drivers_words_and_what_to_do(run_emulated, options, message):
    done = run_emulated("large", **options)
    assert done.returncode == 1
    assert re.search(message, done.stderr.splitlines()[-1]), done.stderr


def test_a_device_without_an_image_is_told_so(run_program, emulator_libraries):
    # The emulated device takes no machine code.
    variables = gpu.emulated(emulator_libraries) | {"TF_MAVG_FORCE_PTX": "0"}
    assert re.search(
        r"cuModuleLoadData failed: CUDA_ERROR_NO_BINARY_FOR_GPU \(209\), no kernel image is "
        r"available for execution on the device. Build tf_mavg with TF_MAVG_CUDA_ARCHITECTURES "
        r"naming this device's architecture.$",
        run_program(PROGRAM, "large", variables).stderr.strip(),
    )


def test_a_module_without_a_kernel_is_told_so(run_emulated, tmp_path):
    ptx = tmp_path / "other.ptx"
    ptx.write_text(
        ".version 8.0\n.target sm_70\n.address_size 64\n.visible .entry other() { ret; }"
    )
    assert (
        run_emulated("large", ptx=ptx)
        .stderr.strip()
        .endswith("cuModuleGetFunction failed: CUDA_ERROR_NOT_FOUND (500), named symbol not found.")
    )


def without_driver(folder):
    """The environment of a process that finds no libraries but the system's and a folder's."""
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def test_a_machine_without_a_driver_is_told_so(run_program, tmp_path):
    code = "from tf_mavg import _native; print(_native.gpu_driver())"
    output = run_program(code, "", without_driver(tmp_path)).stdout
    assert "Install the NVIDIA driver to use a GPU." in output or "'error': ''" in output


def test_a_library_that_is_no_driver_is_told_so(run_program, emulator_libraries, tmp_path):
    (tmp_path / "libcuda.so.1").symlink_to(emulator_libraries / "libcudnn.so.9")
    assert re.search(
        r"libcuda.so.1 lacks cuInit cuDriverGetVersion .* cuEventElapsedTime. Install an NVIDIA "
        r"driver for CUDA 12.0 or newer.$",
        run_program(PROGRAM, "small", without_driver(tmp_path)).stderr.strip(),
    )
