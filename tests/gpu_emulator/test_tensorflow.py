"""TensorFlow, none of it ours, on the emulated GPU."""

from __future__ import annotations

import pathlib
import re
import subprocess
import textwrap

import prepared
import pytest

from gpu_emulator import environment
from gpu_emulator.scripts import Script, dies, passes

TENSORFLOW = """
import numpy as np
import tensorflow as tf
tf.config.set_soft_device_placement(False)
"""
TRAINING = """
rng = np.random.default_rng(0)
results = {}
for device in ("CPU:0", "GPU:0"):
    rng = np.random.default_rng(0)
    found = []
    for dtype in (np.float32, np.float64):
        start, step = (rng.standard_normal(1000).astype(dtype) for _ in range(2))
        with tf.device(device):
            variable = tf.Variable(start)
            scale = tf.Variable(np.asarray(0.25, dtype))
        assert variable.device.endswith(device), variable.device
        for _ in range(3):
            variable.assign_sub((variable - step) * scale)
            variable.assign_add(tf.sqrt(tf.abs(variable)))
        found.append(variable.numpy())
        for use_resource in (True, False):
            with tf.Graph().as_default(), tf.device(device):
                graph_variable = tf.compat.v1.get_variable(
                    "v", initializer=tf.constant(start), use_resource=use_resource)
                update = tf.compat.v1.assign_sub(graph_variable, step)
                with tf.compat.v1.Session() as session:
                    session.run(tf.compat.v1.global_variables_initializer())
                    session.run(update)
                    found.append(session.run(graph_variable))
    results[device] = found
for cpu, gpu in zip(results["CPU:0"], results["GPU:0"]):
    np.testing.assert_array_equal(cpu, gpu)
"""


@pytest.fixture
def script(emulator_libraries: pathlib.Path) -> Script:
    """Runs Python code with TensorFlow on the emulated GPU in a process of its own."""

    def run(code: str, allocator: str = "", **options: object) -> subprocess.CompletedProcess[str]:
        variables = environment.environment(emulator_libraries, **options)
        variables["TF_GPU_ALLOCATOR"] = allocator
        return prepared.run(["-c", TENSORFLOW + textwrap.dedent(code)], environment=variables)

    return run


@pytest.mark.parametrize("allocator", ["", "cuda_malloc_async"])
def test_tensorflow_trains_bit_equal_to_the_cpu(script: Script, allocator: str, tmp_path) -> None:
    """Eager and v1 Session, resource and reference variables: initializer, assign_sub, read."""
    passes(script(TRAINING, allocator, log=tmp_path / "log"))
    log = environment.Log(tmp_path / "log")
    records = log.since_last()
    assert {"launch", "memcpy", "allocate", "module_load"} <= {record["call"] for record in records}
    tensors = [r for r in records if r["call"] == "allocate" and r["bytes"] <= 8192]
    assert bool(tensors) == bool(allocator)  # an allocation a tensor, or one pool


def test_tensorflow_sees_every_device(script: Script) -> None:
    passes(script("""
assert len(tf.config.list_physical_devices("GPU")) == 2
for index in range(2):
    with tf.device(f"GPU:{index}"):
        variable = tf.Variable(np.arange(4, dtype=np.float32))
        variable.assign_sub(tf.ones(4))
    assert variable.device.endswith(f"GPU:{index}")
    assert variable.numpy().tolist() == [-1, 0, 1, 2]
with tf.device("GPU:0"):
    assert tf.identity(variable).numpy().tolist() == [-1, 0, 1, 2]
""", devices=2))  # fmt: skip


def test_tensorflow_cannot_multiply_matrices(script: Script) -> None:
    """What needs NVIDIA's other libraries says so, instead of going on without a result."""
    done = script("with tf.device('GPU:0'): tf.matmul(tf.ones([2, 2]), tf.ones([2, 2]))")
    assert re.fullmatch(r"the entry point cublas\w+ is not implemented", dies(done))


def test_tensorflow_has_no_gpu_without_devices(script: Script) -> None:
    passes(script("assert not tf.config.list_physical_devices('GPU')", devices=0))
