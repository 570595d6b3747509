"""Measures the fused kernels and torch's on one GPU, in one process.

    python compare.py OUTPUT.json [ELEMENTS]

Both work in the primary context of device 0. Each contestant's row of launches waits, behind a
delay on the device, until the host has enqueued all of it, so that neither pays for the host.
Contestants take turns; a figure is the median over the turns.

What the host pays is measured apart: the seconds of the call that enqueues one pass.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from tf_mavg_check import machine, speed

if TYPE_CHECKING:
    from collections.abc import Callable

TURNS = 9
DELAY_CYCLES = 40_000_000  # Some 20 ms, in which the host enqueues a row.
RATE = 0.001
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Contestant(NamedTuple):
    """One way to do a pass.

    Attributes:
      name: Who does what, as in "torch: _foreach_lerp_, float32".
      bytes_an_element: What a pass reads and writes, at least.
      launch: Enqueues a pass.
      seconds_a_launch: Takes a number of launches in a row, gives the device's seconds of one.
    """

    name: str
    bytes_an_element: int
    launch: Callable[[], object]
    seconds_a_launch: Callable[[int], float]


def of_torch(name: str, bytes_an_element: int, launch: Callable[[], object]) -> Contestant:
    """A contestant on torch's stream."""

    def seconds_a_launch(launches: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(DELAY_CYCLES)
        begin.record()
        for _ in range(launches):
            launch()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3 / launches

    return Contestant(f"torch: {name}", bytes_an_element, launch, seconds_a_launch)


def ours(name: str, bytes_an_element: int, launch_on: Callable[[Any], None]) -> Contestant:
    """A contestant of this project, on a stream of its own."""
    stream = speed.new_stream()
    return Contestant(
        f"tf_mavg: {name}",
        bytes_an_element,
        lambda: launch_on(stream),
        lambda launches: speed.seconds_a_launch(launch_on, stream, launches=launches),
    )


def contestants(elements: list[int], form: str) -> list[Contestant]:
    """All that take part on lists of so many elements."""
    found = [ours(*kernel) for kernel in speed.kernels(elements, form)]
    for name, dtype in DTYPES.items():
        averages, variables = (
            [torch.rand(count, device="cuda", dtype=dtype) for count in elements] for _ in range(2)
        )

        def lerp(averages: Any = averages, variables: Any = variables) -> None:
            torch._foreach_lerp_(averages, variables, RATE)

        def two_ops(averages: Any = averages, variables: Any = variables) -> None:
            torch._foreach_mul_(averages, 1 - RATE)
            torch._foreach_add_(averages, variables, alpha=RATE)

        def copy(averages: Any = averages, variables: Any = variables) -> None:
            torch._foreach_copy_(averages, variables)

        size = dtype.itemsize
        found.append(of_torch(f"_foreach_lerp_, {name}", 3 * size, lerp))
        if name == "float32":
            found.append(of_torch(f"_foreach_mul_ and _foreach_add_, {name}", 3 * size, two_ops))
        found.append(of_torch(f"_foreach_copy_, {name}", 2 * size, copy))
    return found


def measured(workload: str, elements: list[int], form: str) -> list[dict[str, Any]]:
    """The figures of all contestants on one workload."""
    rows = []
    taking_part = contestants(elements, form)
    launches = []
    for contestant in taking_part:
        contestant.seconds_a_launch(1)  # Loads its kernels.
        launches.append(speed.launches_a_row(contestant.seconds_a_launch(1)))
    seconds: list[list[float]] = [[] for _ in taking_part]
    host: list[list[float]] = [[] for _ in taking_part]
    for _ in range(TURNS):
        for number, contestant in enumerate(taking_part):
            seconds[number].append(contestant.seconds_a_launch(launches[number]))
            torch.cuda.synchronize()
            began = time.perf_counter()
            contestant.launch()
            host[number].append(time.perf_counter() - began)
            torch.cuda.synchronize()
    for number, contestant in enumerate(taking_part):
        median = statistics.median(seconds[number])
        moved = contestant.bytes_an_element * sum(elements)
        rows.append(
            {
                "workload": workload,
                "variables": len(elements),
                "elements": sum(elements),
                "contestant": contestant.name,
                "seconds": median,
                "fastest": min(seconds[number]),
                "slowest": max(seconds[number]),
                "host_seconds": statistics.median(host[number]),
                "gigabytes_a_second": moved / median / 1e9,
            }
        )
    return rows


def main(output: str, most_elements: str = str(speed.LARGE)) -> None:
    """Measures all workloads and writes them as JSON."""
    device = machine.device()
    if device is None:
        raise SystemExit(machine.device_text())
    rows = []
    for workload, elements in speed.workloads(int(most_elements)).items():
        rows += measured(workload, elements, device["form"])
        torch.cuda.empty_cache()
        for row in rows:
            if row["workload"] == workload:
                print(
                    f"{workload:13} {row['contestant']:45} {1e6 * row['seconds']:10.1f} us "
                    f"{row['gigabytes_a_second']:8.0f} GB/s, "
                    f"host {1e6 * row['host_seconds']:7.1f} us",
                    flush=True,
                )
    facts = {**machine.facts(), "torch": torch.__version__, "CUDA of torch": torch.version.cuda}
    Path(output).write_text(json.dumps({"facts": facts, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
