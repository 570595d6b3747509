"""Times contestants by turns, and says what came out in plain numbers."""

from __future__ import annotations

import contextlib
import sys
import time
import timeit
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from contestants import ARITHMETIC, LIMIT, PER_VARIABLE_AVERAGE, make_swaps, make_updates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contestants import Contestant
    from workloads import Workload


@dataclass(frozen=True)
class Operation:
    """What the contestants do, and whom they are compared with.

    Attributes:
      name: "update" or "swap".
      make: Makes the contestants; what they hold open is closed with the stack.
      baseline: Name of the contestants that the others' speed is a multiple of.
      limit: Name of the contestant that no other can be much faster than, if there is one.
    """

    name: str
    make: Callable[[Workload, contextlib.ExitStack], list[Contestant]]
    baseline: str
    limit: str | None


OPERATIONS = (
    Operation("update", make_updates, baseline=PER_VARIABLE_AVERAGE, limit=LIMIT),
    Operation("swap", make_swaps, baseline=ARITHMETIC, limit=None),
)
# Before a turn, the threads of the one before get time to stop looking for work.
PAUSE_SECONDS = 0.01
WARM_UP_CALLS = 3


def measure_all(
    workloads: Sequence[Workload], rounds: int, turn_seconds: float
) -> list[dict[str, Any]]:
    """Measures every operation on every workload; one entry for each, ready for JSON."""
    return [
        measure(operation, workload, rounds, turn_seconds)
        for operation in OPERATIONS
        for workload in workloads
    ]


def measure(
    operation: Operation, workload: Workload, rounds: int, turn_seconds: float
) -> dict[str, Any]:
    """Measures all contestants of an operation together, ready for JSON."""
    print(f"{operation.name} of {workload.name}: making graphs, then measuring", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        contestants = operation.make(workload, stack)
        calls, seconds = take_turns([c.step for c in contestants], rounds, turn_seconds)
    return {
        "operation": operation.name,
        "workload": workload.name,
        "variables": workload.variables,
        "elements": workload.elements,
        "dtype": "float32",
        "update_bytes": workload.update_bytes,
        "baseline": operation.baseline,
        "limit": operation.limit,
        "contestants": [
            {"name": c.name, "runner": c.runner, "ours": c.ours, "calls_a_turn": n, **summary(s)}
            for c, n, s in zip(contestants, calls, seconds, strict=True)
        ],
    }


def take_turns(
    steps: Sequence[Callable[[], object]], rounds: int, turn_seconds: float
) -> tuple[list[int], list[list[float]]]:
    """Lets all steps take their turn in every round, in an order drawn anew each time.

    Args:
      steps: What to time.
      rounds: Turns that each step gets.
      turn_seconds: How long a turn of a fast step lasts; one that takes half of that or more is
        called once a turn.

    Returns:
      For each step, the number of calls a turn, and the seconds a call of every turn.
    """
    timers = [timeit.Timer(step) for step in steps]
    calls = []
    for timer in timers:
        timer.timeit(WARM_UP_CALLS)
        one = timer.timeit(WARM_UP_CALLS) / WARM_UP_CALLS
        calls.append(max(1, int(turn_seconds / one)))
    seconds: list[list[float]] = [[] for _ in steps]
    generator = np.random.default_rng(seed=0)
    for _ in range(rounds):
        for i in generator.permutation(len(steps)):
            time.sleep(PAUSE_SECONDS)
            seconds[i].append(timers[i].timeit(calls[i]) / calls[i])
    return calls, seconds


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of the seconds a call."""
    first, median, third = np.percentile(seconds, [25, 50, 75])
    return {
        "first_quartile_s": float(first),
        "median_s": float(median),
        "third_quartile_s": float(third),
    }
