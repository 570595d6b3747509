"""Lets functions take turns and times them."""

from __future__ import annotations

import functools
import time
import timeit
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Before a turn, the threads of the one before get time to stop looking for work.
PAUSE_SECONDS: Final = 0.01
WARM_UP_CALLS: Final = 2


@dataclass(frozen=True)
class Settings:
    """How long is measured.

    Attributes:
      turn_seconds: How long a turn of a fast function lasts; one that takes half of that or more
        is called once a turn.
      seconds: Rounds are taken for about as long, a table.
      fewest: Rounds are no fewer, however long that takes.
      most: Rounds are no more.
    """

    turn_seconds: float = 0.005
    seconds: float = 8.0
    fewest: int = 7
    most: int = 60


Step = tuple["Callable[[], object]", "Callable[[], None]"]


def take_turns(
    steps: Sequence[Step],
    settings: Settings,
    before: Sequence[Callable[[], object]] | None = None,
) -> tuple[list[int], list[list[float]]]:
    """Lets all functions take their turn in every round, in an order drawn anew each time.

    Args:
      steps: What to time, and what to call at the end of its turn, which counts.
      settings: How long.
      before: For each function, what to call at the start of its turn, which does not count; by
        default the function itself: its threads wake, which they would not have to in training.

    Returns:
      For each function, the number of calls a turn, and the seconds a call of every turn.
    """
    calls = [calls_a_turn(step, settings.turn_seconds) for step in steps]
    before = before or [functools.partial(turn, step, 1) for step in steps]
    seconds: list[list[float]] = [[] for _ in steps]
    for i in order_of_turns(len(steps), settings):
        seconds[i].append(turn(steps[i], calls[i], before[i]))
    return calls, seconds


def order_of_turns(contestants: int, settings: Settings) -> Iterator[int]:
    """The number of the contestant whose turn it is, after a pause, until the time is up."""
    generator = np.random.default_rng(seed=0)
    end = time.perf_counter() + settings.seconds
    for taken in range(settings.most):
        if taken >= settings.fewest and time.perf_counter() > end:
            break
        for i in generator.permutation(contestants):
            time.sleep(PAUSE_SECONDS)
            yield int(i)


def calls_a_turn(step: Step, turn_seconds: float) -> int:
    """Warms up, then asks how many calls a turn holds."""
    turn(step, WARM_UP_CALLS)
    return max(1, int(turn_seconds / turn(step, WARM_UP_CALLS)))


def turn(step: Step, calls: int, before: Callable[[], object] | str = "pass") -> float:
    """The seconds a call of some calls in a row; without Python's garbage collector, by timeit."""
    function, wait = step

    def all_calls() -> None:
        for _ in repeated:
            function()
        wait()

    repeated = range(calls)
    return timeit.Timer(all_calls, setup=before).timeit(1) / calls
