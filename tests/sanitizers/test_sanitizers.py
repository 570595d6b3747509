"""What lies below TensorFlow under AddressSanitizer, UndefinedBehaviorSanitizer, ThreadSanitizer.

The programs beside this file are the short form. The tests of the Python module and of the
launcher, run once more on a module compiled for a sanitizer, are what `make sanitize` adds; and
those of the ops, on a library compiled for the first two, under TensorFlow as it is.
What is suppressed is the C library's own: see thread.supp.
"""

import re

import pytest
from places import TESTS
from sanitizers.building import ADDRESS, THREAD

CORE = sorted(set(TESTS.glob("core/test_*.py")) - {TESTS / "core" / "test_old_libraries.py"})
GPU = [
    TESTS / "gpu" / f"test_{name}.py"
    for name in (
        "check",
        "kernels",
        "launch",
        "lazy_rows_kernels",
        "split_kernels",
        "stochastic_kernels",
    )
]

sanitizers = pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def build():
    """Builds programs for a sanitizer."""
    return lambda sanitizer: sanitizer.build("passes", "launches", "faults")


@sanitizers
def test_passes_of_many_threads_are_clean(build, sanitizer):
    build(sanitizer)
    done = sanitizer.program("passes")
    assert (done.returncode, done.stdout) == (0, "")


# An emulated GPU is compiled for each.
@pytest.mark.parametrize(
    "sanitizer",
    [pytest.param(ADDRESS, marks=pytest.mark.long), THREAD],
    ids=["address", "thread"],
)
def test_launches_of_many_threads_are_clean(build, sanitizer):
    build(sanitizer)
    done = sanitizer.program("launches", gpu=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("sanitizer", "fault", "report"),
    [
        (ADDRESS, "beyond", r"AddressSanitizer: heap-buffer-overflow .*\n(.*\n)+.*UpdateElements"),
        (ADDRESS, "overflow", "chunk_plan.h.* runtime error: signed integer overflow"),
        (THREAD, "race", r"ThreadSanitizer: data race .*\n(.*\n)+.*UpdateElements"),
        (THREAD, "early", r"ThreadSanitizer: data race .*\n(.*\n)+.*gpu_emulator::Stream::Run"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_a_planted_fault_is_reported(build, sanitizer, fault, report):
    build(sanitizer)
    done = sanitizer.program("faults", fault, gpu=fault == "early")
    assert done.returncode != 0
    assert re.search(report, done.stdout), done.stdout


@pytest.mark.long
@sanitizers
def test_the_tests_below_tensorflow_are_clean(sanitizer):
    sanitizer.build("install")
    done = sanitizer.tests([*CORE, *GPU])
    assert done.returncode == 0, done.stdout[-10000:]
    assert "Sanitizer" not in done.stdout
    assert "runtime error" not in done.stdout


BEYOND = """
import numpy as np
from tf_mavg import _native
average = np.zeros(100, np.float32)
longer = np.lib.stride_tricks.as_strided(average, [101])
_native.apply_moving_average([[longer]], [np.zeros(101, np.float32)], [0.5], "baseline")
"""
RACE = """
import threading
import numpy as np
from tf_mavg import _native
average, variable = np.zeros(10**6, np.float32), np.zeros(10**6, np.float32)
def update():
    for _ in range(100):  # A busy machine may run one thread's first before the other's.
        _native.apply_moving_average([[average]], [variable], [0.5], "baseline")
threads = [threading.Thread(target=update) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("sanitizer", "program", "report"),
    [
        (ADDRESS, BEYOND, "AddressSanitizer: heap-buffer-overflow"),
        (THREAD, RACE, "ThreadSanitizer: data race"),
    ],
    ids=["address", "thread"],
)
def test_a_planted_fault_of_a_python_program_is_reported(sanitizer, program, report):
    sanitizer.build("install")
    done = sanitizer.python("-c", program, package=sanitizer.folder / "below")
    assert done.returncode != 0
    assert report in done.stdout


OPS = [
    TESTS / "ops" / f"test_{name}.py"
    for name in (
        "all_finite",
        "apply_moving_average",
        "binding",
        "errors",
        "lazy_rows",
        "placement",
        "prepared_update",
        "several_averages",
        "split_moving_average",
        "stochastic_average",
        "swap_variables",
    )
]
# The update reads one element more than there is memory of: a tensor of TensorFlow that says so.
BEYOND_A_TENSOR = """
import numpy as np
import tensorflow as tf
from tf_mavg import ops
memory = np.zeros(10_016, np.float32)
begin = -memory.ctypes.data % 64 // 4
longer = np.lib.stride_tricks.as_strided(memory[begin:], [10_016 - begin + 1])
variable = tf.Variable(tf.experimental.dlpack.from_dlpack(longer.__dlpack__()))
average = tf.Variable(tf.zeros(longer.shape))
print("made", flush=True)
ops.apply_moving_average([average], [variable], 0.5)
print("updated", flush=True)
"""


@pytest.fixture(scope="module")
def package_of_ops(tmp_path_factory):
    """A folder with a package whose ops are compiled for AddressSanitizer."""
    folder = tmp_path_factory.mktemp("ops")
    ADDRESS.build_ops(folder)
    return folder


@pytest.mark.long
def test_the_tests_of_ops_are_clean(package_of_ops):
    done = ADDRESS.tests_of_ops(OPS, package_of_ops)
    assert done.returncode == 0, done.stdout[-10000:]
    assert "Sanitizer" not in done.stdout
    assert "runtime error" not in done.stdout


@pytest.mark.long
def test_a_planted_fault_of_an_op_is_reported(package_of_ops):
    done = ADDRESS.python("-c", BEYOND_A_TENSOR, package=package_of_ops, gpu=False)
    assert done.returncode != 0
    report = r"made\n(.*\n)*.*AddressSanitizer: heap-buffer-overflow .*\n(.*\n)+.*UpdateElements"
    assert re.search(report, done.stdout), done.stdout[-10000:]
