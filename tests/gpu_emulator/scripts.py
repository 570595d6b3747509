"""PTX of one kernel, and Python programs that run it on the emulated GPU in a process of their own.

The process is what an abort of the emulator ends, and what reads the emulator's options.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable

from . import environment

HEADER = ".version 8.0\n.target sm_70\n.address_size 64\n"
SCRIPT = """
import ctypes, os, time
import numpy as np
from gpu_emulator.driver import Driver, DriverError
driver = Driver(os.environ["LD_LIBRARY_PATH"].split(":")[0] + "/libcuda.so.1")
"""
# Python code on the emulated GPU, with the emulator's options by name.
Script = Callable[..., subprocess.CompletedProcess[str]]


def script_on(libraries: pathlib.Path) -> Script:
    """Runs Python code on the emulated GPU of a library folder."""

    def run(code: str, **options: object) -> subprocess.CompletedProcess[str]:
        variables = environment.environment(libraries, **options)
        variables["PYTHONPATH"] = str(pathlib.Path(__file__).parents[1])
        return subprocess.run(
            [sys.executable, "-c", SCRIPT + textwrap.dedent(code)],
            env=variables, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run


def passes(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dies(done: subprocess.CompletedProcess) -> str:
    """The report of a process that the emulator aborted."""
    assert done.returncode == -6, (done.returncode, done.stdout, done.stderr)
    reports = re.findall(r"^GPU emulator: (.*)$", done.stderr, re.MULTILINE)
    assert len(reports) == 1, done.stderr
    return reports[0]


def entry(parameters: str, body: str, name: str = "kernel", declarations: str = "") -> str:
    """A module of one kernel with registers h0.. (16 bits), r0.. (32), x0.. (64) and p0.. ."""
    listed = ", ".join(f".param {parameter}" for parameter in parameters.split(", ") if parameter)
    return f"""{HEADER}{declarations}
.visible .entry {name}({listed})
{{
  .reg .pred p<4>;
  .reg .b16 h<8>;
  .reg .b32 r<12>;
  .reg .b64 x<12>;
  {body}
  ret;
}}
"""


THREAD = "mov.u32 r0, %tid.x; mul.wide.u32 x0, r0, {bytes};"
# x1 is the thread's element of `out`, x2 of `in`, both of {bytes} bytes.
IN_OUT = (
    THREAD
    + "ld.param.u64 x1, [out]; add.u64 x1, x1, x0; ld.param.u64 x2, [in]; add.u64 x2, x2, x0;"
)


def run_kernel(text: str, *parameters: str, block: int = 1) -> str:
    """Code that launches the kernel, in two blocks, with 64 numbers `out`."""
    return f"""
out = driver.buffer(np.zeros(64, np.uint32))
driver.module({text!r}).launch("kernel", 2, {block}, [{", ".join(parameters)}])
driver.synchronize()
"""
