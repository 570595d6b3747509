"""Runs every kernel once, for tools that watch kernels.

    python each_kernel.py [ELEMENTS]

One variable of so many elements, so that a profiler sees each kernel at its full speed.
"""

from __future__ import annotations

import sys

from tf_mavg_check import machine, speed


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


if __name__ == "__main__":
    main(*sys.argv[1:])
