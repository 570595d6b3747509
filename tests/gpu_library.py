"""The CUDA driver of the tests: the machine's own where there is a GPU, else the emulated one."""

import ctypes
import functools
import os
import pathlib
from typing import Any

from gpu_emulator import environment

from tf_mavg import _native

EMULATED_NAME = "Emulated GPU"


@functools.cache
def build() -> pathlib.Path:
    """The folder of the emulated libraries, built once a run if anything has changed."""
    return environment.build()


@functools.cache
def load() -> dict[str, Any] | None:
    """Makes a driver the one of this process, and returns what it says of its first device.

    A library that is loaded already serves whoever asks for its name, so this comes before the
    first use of a GPU. The emulated device runs PTX only.
    """
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        ctypes.CDLL(str(build() / "libcuda.so.1"), ctypes.RTLD_GLOBAL)
    devices = _native.gpu_driver()["devices"]
    if not devices:
        return None
    if devices[0]["name"] == EMULATED_NAME:
        os.environ["TF_MAVG_FORCE_PTX"] = "1"
    return devices[0]


def emulated() -> pathlib.Path | None:
    """The folder of the emulated libraries, if this process runs on the emulated device."""
    device = load()
    return build() if device and device["name"] == EMULATED_NAME else None
