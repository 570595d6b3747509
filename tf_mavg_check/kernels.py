"""Checks of every kernel against the reference, wherever it runs.

Each goes through sizes around vectors and chunks, aligned and not,
with any bits, and looks at what must stay as it was.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tf_mavg_check import reference
from tf_mavg_check.comparing import Numbers, compare, copies, sizes_around
from tf_mavg_check.results import Check, Wrong

if TYPE_CHECKING:
    from tf_mavg_check.reference import Array
    from tf_mavg_check.results import Checks
    from tf_mavg_check.runners import Runner

MOST_AVERAGES: Final = 4
MOST_SPLIT_AVERAGES: Final = 2
DECAYS: Final = (0.99, 0.5, 1.0, 0.0)  # In turn, for the averages of a variable.
ANY_BITS: Final = 5000  # Elements of any bits.


def checks_of(runner: Runner) -> Checks:
    """A check of each kernel, for each pair of dtypes."""
    for dtypes in reference.AVERAGE_DTYPES:
        name = reference.dtypes_text(*dtypes)
        run = functools.partial(check_update, runner, *dtypes)
        yield Check(f"{runner.name}: update, {name}", run)
    yield Check(f"{runner.name}: update, split", functools.partial(check_split, runner))
    for half in reference.HALVES:
        run = functools.partial(check_stochastic, runner, half)
        yield Check(f"{runner.name}: update, stochastic {half.name}", run)
    yield Check(f"{runner.name}: swap", functools.partial(check_swap, runner))
    for average, variable in reference.AVERAGE_DTYPES:
        if average == variable:
            run = functools.partial(check_all_finite, runner, average)
            yield Check(f"{runner.name}: finite, {average.name}", run)


def check_update(runner: Runner, average: np.dtype[Any], variable: np.dtype[Any]) -> str:
    """One to four averages of a variable, each list aligned or not."""
    numbers, compared = Numbers(), 0
    sizes = sizes_around(runner.chunk_bytes // average.itemsize)
    for count in range(1, MOST_AVERAGES + 1):
        for shifted in (None, *range(count + 1)):  # The list whose addresses are no multiples.
            shifts = [int(side == shifted) for side in range(count + 1)]
            averages = [numbers.normal(sizes, average, offset=s) for s in shifts[:count]]
            variables = numbers.normal(sizes, variable, offset=shifts[count])
            for side in (*averages, variables):
                side[-1] = numbers.patterns(ANY_BITS, side[0].dtype)
            offsets = [
                s * side[0].itemsize for s, side in zip(shifts, (*averages, variables), strict=True)
            ]
            expected = [
                _updated(side, variables, decay)
                for side, decay in zip(averages, DECAYS, strict=False)
            ]
            before = copies(variables)
            rates = [reference.rate_of(decay) for decay in DECAYS[:count]]
            runner.run("apply_moving_average", averages, variables, rates, offsets=offsets)
            what = f"{count} averages, list {shifted} unaligned"
            for received, wanted in zip(averages, expected, strict=True):
                compared += compare(received, wanted, what=what)
            compare(variables, before, what=f"{what}: variables")
    return f"{compared:,} elements"


def _updated(averages: list[Array], variables: list[Array], decay: float) -> list[Array]:
    with np.errstate(all="ignore"):
        return [
            reference.updated(average, variable, decay)
            for average, variable in zip(averages, variables, strict=True)
        ]


def check_split(runner: Runner) -> str:
    """One or two split averages of a variable: every bit as of float32 averages."""
    numbers, compared = Numbers(), 0
    sizes = sizes_around(runner.chunk_bytes // reference.BFLOAT16.itemsize)
    for count in range(1, MOST_SPLIT_AVERAGES + 1):
        for shifted in (None, *range(2 * count + 1)):
            offsets = [2 * (side == shifted) for side in range(2 * count + 1)]
            whole = [numbers.normal(sizes, reference.FLOAT32) for _ in range(count)]
            variables = numbers.normal(sizes, reference.BFLOAT16)
            halves = [[reference.split(array) for array in side] for side in whole]
            highs = [[high for high, _ in side] for side in halves]
            remainders = [[remainder for _, remainder in side] for side in halves]
            rates = [reference.rate_of(decay) for decay in DECAYS[:count]]
            lists = highs, remainders, variables, rates
            runner.run("apply_split_moving_average", *lists, offsets=offsets)
            for side, decay, high, remainder in zip(whole, DECAYS, highs, remainders, strict=False):
                received = [reference.joined(*pair) for pair in zip(high, remainder, strict=True)]
                expected = _updated(side, variables, decay)
                compared += compare(received, expected, what=f"{count} averages")
    return f"{compared:,} elements"


def check_stochastic(runner: Runner, half: np.dtype[Any]) -> str:
    """One to four averages of a variable, each by random bits of its own."""
    numbers, compared = Numbers(), 0
    sizes = sizes_around(runner.chunk_bytes // half.itemsize)
    for count in range(1, MOST_AVERAGES + 1):
        averages = [numbers.normal(sizes, half) for _ in range(count)]
        variables = numbers.normal(sizes, half)
        keys = [(-3, 8, index) for index in range(count)]
        rates = [reference.rate_of(decay) for decay in DECAYS[:count]]
        expected = [
            [
                reference.updated_stochastically(average, variable, decay, key)
                for average, variable in zip(side, variables, strict=True)
            ]
            for side, decay, key in zip(averages, DECAYS, keys, strict=False)
        ]
        runner.run("apply_stochastic_average", averages, variables, rates, keys)
        for received, wanted in zip(averages, expected, strict=True):
            compared += compare(received, wanted, what=f"{count} averages")
    return f"{compared:,} elements"


def check_swap(runner: Runner) -> str:
    """Elements of every width, any bits."""
    numbers, compared = Numbers(), 0
    for itemsize, shift in itertools.product((1, 2, 4, 8), (0, 1, 16)):
        dtype = np.dtype(f"u{itemsize}")
        sizes = sizes_around(runner.chunk_bytes // itemsize)
        first, second = ([numbers.patterns(size, dtype) for size in sizes] for _ in range(2))
        expected = copies(second), copies(first)
        runner.run("swap", first, second, offsets=[shift, 0])
        for received, wanted in zip((first, second), expected, strict=True):
            compared += compare(received, wanted, what=f"{itemsize} bytes, offset {shift}")
    return f"{compared:,} elements"


def check_all_finite(runner: Runner, dtype: np.dtype[Any]) -> str:
    """What is not finite is found at either end of each array, and nothing else is."""
    numbers = Numbers()
    arrays = numbers.normal(sizes_around(runner.chunk_bytes // dtype.itemsize), dtype)
    asked = 0

    def ask(*, expected: bool, what: str) -> None:
        nonlocal asked
        asked += 1
        if runner.run("all_finite", arrays, offsets=[dtype.itemsize * (asked % 2)]) != expected:
            message = f"{what}. Expected: {expected}, received: {not expected}"
            raise Wrong(message)

    ask(expected=True, what="all finite")
    for position, array in enumerate(arrays):
        for place in {0, array.size - 1} if array.size else ():
            kept = array[place]
            array[place] = (np.inf, -np.inf, np.nan)[asked % 3]
            ask(expected=False, what=f"element {place} of position {position} is not finite")
            array[place] = kept
    ask(expected=True, what="all finite again")
    return f"{asked} questions"
