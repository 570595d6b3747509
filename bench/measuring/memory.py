"""The peak memory of a step above what was there before it, each in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import tensorflow as tf

from .. import device
from ..contestants.contestant import Ground
from ..names import ARITHMETIC, OURS, PEER, SESSION, TORCH
from ..workloads import RESNET, Case
from .steps import SWAP, UPDATE

if TYPE_CHECKING:
    from ..contestants.contestant import Contestant
    from .steps import Choice

CASE: Final = Case(RESNET)
WHO: Final = (OURS, PEER, TORCH, ARITHMETIC)
OPERATIONS: Final = {operation.name: operation for operation in (UPDATE, SWAP)}
STEPS_BEFORE: Final = 3
STEPS_MEASURED: Final = 3
# A thread of TensorFlow may free what a step used only after the step has returned. It has done so
# when two looks find the same memory; a busy machine takes more of them.
REST_SECONDS: Final = 0.2
MOST_LOOKS: Final = 10
# With oneDNN, TensorFlow keeps the host memory that its ops free, and a peak would not show.
ENVIRONMENT: Final = {"TF_ENABLE_ONEDNN_OPTS": "0"}


def measure_memory(choice: Choice, case: Case = CASE) -> dict[str, Any]:
    """Measures tf_mavg and the peers that matter most, ready for JSON."""
    found = []
    for operation in OPERATIONS.values():
        entrants = [
            e
            for e in operation.entrants
            if e.takes_part(case)
            and e.name in WHO
            and e.runner != SESSION
            and choice.has_entrant(e)
        ]
        print(f"memory, {operation.name}: {len(entrants)} contestants", file=sys.stderr)
        for entrant in entrants:
            peak = in_new_process(operation.name, entrant.label, case)
            found.append(
                {
                    "operation": operation.name,
                    "name": entrant.name,
                    "runner": entrant.runner,
                    "ours": entrant.ours,
                    "peak_bytes": peak,
                }
            )
    return {
        "workload": case.workload.name,
        "dtypes": case.dtypes.name,
        "variable_bytes": case.variable_bytes,
        "contestants": found,
    }


def in_new_process(operation: str, label: str, case: Case) -> int:
    """`peak_of_step` where nothing has run before."""
    context = multiprocessing.get_context("spawn")
    with mock.patch.dict(os.environ, ENVIRONMENT), ProcessPoolExecutor(1, context) as pool:
        return pool.submit(peak_of_step, operation, label, case).result()


def peak_of_step(operation: str, label: str, case: Case) -> int:
    """Bytes that a contestant's step takes above those that its process holds before.

    The most of some steps. On a GPU, bytes of its memory; else what is resident, after freed memory
    was given back.
    """
    (entrant,) = (e for e in OPERATIONS[operation].entrants if e.label == label)
    with contextlib.ExitStack() as stack:
        contestant = entrant.make(Ground(case, stack))
        for _ in range(STEPS_BEFORE):
            step(contestant)
        measure = on_gpu if device.has_gpu() else resident
        return max(measure(contestant) for _ in range(STEPS_MEASURED))


def step(contestant: Contestant) -> None:
    """A step from end to end."""
    contestant.step()
    contestant.wait()


def on_gpu(contestant: Contestant) -> int:
    """The step's peak of TensorFlow's memory on the GPU."""
    tf.config.experimental.reset_memory_stats("GPU:0")
    before = tf.config.experimental.get_memory_info("GPU:0")["current"]
    step(contestant)
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"] - before)


def resident(contestant: Contestant) -> int:
    """The step's peak of the process's resident memory."""
    before = at_rest()
    # Linux then starts the high-water mark anew.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    step(contestant)
    return max(0, status_bytes("VmHWM") - before)


def at_rest() -> int:
    """What is resident when freed memory was given back, and nothing more comes back."""
    before = 0
    for _ in range(MOST_LOOKS):
        time.sleep(REST_SECONDS)
        ctypes.CDLL(None).malloc_trim(0)
        now = status_bytes("VmRSS")
        if now == before:
            break
        before = now
    return before


def status_bytes(key: str) -> int:
    """A field of /proc/self/status, which has KiB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    (kibibytes,) = re.findall(rf"^{key}:\s+(\d+) kB$", text, re.MULTILINE)
    return 1024 * int(kibibytes)
