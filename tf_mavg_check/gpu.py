"""Checks of device 0, in this process and, with the other kind of image, in one more.

A context of CUDA keeps the kernels that it has loaded, so machine code and PTX take a process each.
`python -m tf_mavg_check.gpu` is the second one: it prints a line of JSON for each result; the
forms of table are its arguments, both if there is none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from tf_mavg_check import kernels, machine, rows, streams
from tf_mavg_check.results import Result
from tf_mavg_check.runners import Gpu
from tf_mavg_check.running import results_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FORMS: Final = ("small", "large")
MACHINE_CODE: Final = "machine code"
PTX: Final = "PTX"


def results() -> Iterator[Result]:
    """Results of machine code and of PTX, in both forms of table."""
    if machine.device() is None:
        yield Result("GPU", "left out", machine.device_text())
    elif machine.forces_ptx():
        yield Result(f"GPU, {MACHINE_CODE}", "left out", f"{machine.FORCE_PTX} is set")
        yield from results_here()
    else:
        yield from results_here()
        yield from _results_elsewhere()


def results_here(forms: Sequence[str] = FORMS) -> Iterator[Result]:
    """Results of the images that this process loads."""
    device = machine.device()
    image = PTX if machine.forces_ptx() else MACHINE_CODE
    for form in forms:
        runner = Gpu(image, form)
        if form == "large" and device is not None and device["form"] != form:
            reason = "the driver or the device takes no kernel parameters of over 4,096 bytes"
            yield Result(runner.name, "left out", reason)
            continue
        yield from results_of(kernels.checks_of(runner))
        yield from results_of(streams.checks_of(runner, form))
        if form == "small":  # The only form of tables with rows.
            yield from results_of(rows.checks_on_gpu(image))


def _results_elsewhere() -> Iterator[Result]:
    variables = {**os.environ, machine.FORCE_PTX: "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tf_mavg_check.gpu"]
    with subprocess.Popen(  # noqa: S603 - this Python.
        command, env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            yield Result(*json.loads(line))
    if process.returncode:
        detail = f"the process of the check ended with status {process.returncode}"
        yield Result(f"GPU, {PTX}", "failed", detail)


if __name__ == "__main__":
    for result in results_here(sys.argv[1:] or FORMS):
        print(json.dumps(result), flush=True)  # noqa: T201 - for the process that asked.
