"""Runs every kernel once, for tools that watch kernels.

    python each_kernel.py [ELEMENTS]

One variable of so many elements, so that a profiler sees each kernel at its full speed; and a table
of as many, of which a step writes one row in 128.
"""

from __future__ import annotations

import sys

import numpy as np

from tf_mavg_check import machine, speed
from tf_mavg_check.native import native

COLUMNS = 64
ROWS_A_WRITTEN_ONE = 128


def main(elements: str = str(2**26)) -> None:
    """Enqueues one pass of each kernel and waits for it."""
    device = machine.device()
    if device is None:
        raise SystemExit(machine.device_text())
    stream = speed.new_stream()
    for name, _, launch_on in speed.kernels([int(elements)], device["form"]):
        launch_on(stream)
        stream.synchronize()
        print(name, flush=True)
    run_rows(max(1, int(elements) // COLUMNS))


def run_rows(rows: int) -> None:
    """Notes steps of a table, catches up some of its rows, then all."""
    average, variable = (np.ones((rows, COLUMNS), np.float32) for _ in range(2))
    clock = native().row_clock(64)
    clock.fill(0)
    table = (average, variable, np.zeros(rows, np.int64), clock)
    written = np.random.default_rng(3).integers(0, rows, -(-rows // ROWS_A_WRITTEN_ONE))
    native().gpu_advance_row_clocks([table], speed.RATE)
    native().gpu_catch_up_rows([table], [written])
    native().gpu_catch_up_all_rows([table])
    print("rows", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
