"""Where the variables live, the GPU if TensorFlow has one, and how to wait for it."""

from __future__ import annotations

import os
from typing import Final

import tensorflow as tf

# On the CPU every contestant gets as many threads as TensorFlow.
THREADS: Final = len(os.sched_getaffinity(0))


def has_gpu() -> bool:
    """Whether TensorFlow has a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def name() -> str:
    """The device that variables are put on."""
    return "/gpu:0" if has_gpu() else "/cpu:0"


def kind() -> str:
    """What a file of results is called: "gpu" or "cpu"."""
    return "gpu" if has_gpu() else "cpu"


def gpu_name() -> str | None:
    """What the GPU calls itself."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    return str(tf.config.experimental.get_device_details(gpus[0])["device_name"])


def wait() -> None:
    """Returns when the GPU has done all that TensorFlow asked it for: a call only queues work.

    On the CPU a call returns when its work is done.
    """
    if has_gpu():
        tf.test.experimental.sync_devices()
