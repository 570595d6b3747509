"""Runs a command where TensorFlow has a GPU: the machine's own, or else the emulated one.

python tests/gpu.py pytest --device gpu tests/test_swap_variables.py
"""

import ctypes
import os
import sys
from pathlib import Path

from gpu_emulator import environment


def has_driver() -> bool:
    """Whether this machine has a CUDA driver of its own."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def main() -> None:
    """Replaces this process by the command of the command line."""
    variables = dict(os.environ)
    if not has_driver():
        variables = environment.environment(environment.build())
        variables["TF_MAVG_FORCE_PTX"] = "1"  # The emulated device runs no machine code.
    program = Path(sys.executable).with_name(sys.argv[1])
    os.execve(program, [program, *sys.argv[2:]], variables)  # noqa: S606 - the caller names it.


if __name__ == "__main__":
    main()
