"""The GPU of the tests, and a command that runs there: python tests/gpu.py COMMAND ARGUMENT...

Tests choose in one of three ways, and say so:
- Those that hold on any device run with --device gpu, where this command lends the process a GPU:
  the machine's own if it has one, else the emulated one.
- The mark `gpu` is for tests that need such a process, `cpu` for those that hold on the CPU only.
- The fixture emulator_libraries is for tests of what only the emulated GPU shows: its log, its
  options and its reports. They run processes on it whatever the machine has.
"""

import ctypes
import os
import sys
from pathlib import Path

from gpu_emulator import environment

EMULATED_NAME = "Emulated GPU"


def first_device() -> str | None:
    """The name of the first GPU of the driver that this process finds, if there is one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    name = ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGetName(name, len(name), 0):
        return None
    return name.value.decode()


def emulated(libraries: Path, **options: object) -> dict[str, str]:
    """The environment variables of a process that runs the wheel's kernels on the emulated GPU."""
    variables = environment.environment(libraries, **options)
    variables["TF_MAVG_FORCE_PTX"] = "1"  # The emulated device runs no machine code.
    return variables


def main() -> None:
    """Replaces this process by the command of the command line."""
    variables = emulated(environment.build()) if first_device() is None else dict(os.environ)
    # Several processes share the GPU, so none may take all of its memory.
    variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    program = Path(sys.executable).with_name(sys.argv[1])
    os.execve(program, [program, *sys.argv[2:]], variables)  # noqa: S606 - the caller names it.


if __name__ == "__main__":
    main()
