"""Checks of the kernels on rows: some rows, all rows, and clocks without room for a step.

On the CPU the reference is the formula in float64, to a few units in the last place. On a GPU it is
the CPU, to the bit.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tf_mavg_check import reference
from tf_mavg_check.comparing import Numbers, compare
from tf_mavg_check.native import native
from tf_mavg_check.results import Check, Wrong
from tf_mavg_check.row_runners import CpuRows, GpuRows, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tf_mavg_check.reference import Array
    from tf_mavg_check.results import Checks
    from tf_mavg_check.row_runners import RowRunner

    Dtypes = tuple[np.dtype[Any], np.dtype[Any]]

# Elements of a row: around packs of 16 bytes of each dtype, and around what a warp takes at once.
WIDTHS: Final = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 127, 128, 129, 257, 513)
ROWS: Final = 41
INDICES: Final = 37
# Of the steps of a clock. One copies, at 0; one of 1 would keep all and is not noted.
DECAYS: Final = (0.9, 0.5, 0.0, 0.999, 0.75, 0.99)
ROOM: Final = len(DECAYS) + 1  # So a clock takes one more step, and no other one.
# Units in the last place of average and variable together, by which an average may be off.
TOLERANCE: Final = 4
UNITS: Final = {
    reference.FLOAT16: 2.0**-10,
    reference.BFLOAT16: 2.0**-7,
    reference.FLOAT32: 2.0**-23,
    reference.FLOAT64: 2.0**-52,
}


def checks_on_cpu(level: str) -> Checks:
    """A check of each pair of dtypes, at one instruction level."""
    return _checks(CpuRows(level), check_against_formula)


def checks_on_gpu(image: str) -> Checks:
    """A check of each pair of dtypes, with images of one kind."""
    return _checks(GpuRows(image), check_against_cpu)


def _checks(runner: RowRunner, check: Callable[[RowRunner, Dtypes], str]) -> Checks:
    for dtypes in reference.AVERAGE_DTYPES:
        run = functools.partial(check, runner, dtypes)
        yield Check(f"{runner.name}: rows, {reference.dtypes_text(*dtypes)}", run)


def tables_of(dtypes: Dtypes, *, any_bits: bool = False) -> list[Table]:
    """A table of each width, whose rows have seen none to all of the steps of its clock.

    Args:
      dtypes: Of averages and variables.
      any_bits: Infinities, NaNs and denormals too, in place of normal numbers.
    """
    numbers, rng = Numbers(), np.random.default_rng(7)
    clock = native().row_clock(ROOM)
    clock.fill(0)
    for decay in DECAYS:
        native().advance_row_clock(clock, reference.rate_of(decay))
    tables = []
    for width in WIDTHS:
        size = ROWS * width
        average, variable = (
            numbers.patterns(size, dtype) if any_bits else numbers.normal([size], dtype)[0]
            for dtype in dtypes
        )
        seen = rng.integers(0, len(DECAYS) + 1, ROWS)
        shape = (ROWS, width)
        tables.append(Table(average.reshape(shape), variable.reshape(shape), seen, clock.copy()))
    return tables


def indices_of(tables: Sequence[Table], dtype: type[Any]) -> list[Array]:
    """Rows of each table, in no order, some of them several times."""
    rng = np.random.default_rng(11)
    return [rng.integers(0, ROWS, INDICES).astype(dtype) for _ in tables]


def check_against_formula(runner: RowRunner, dtypes: Dtypes) -> str:
    """Rows that are behind get what their unseen steps make of them, and no other row moves."""
    tables = tables_of(dtypes)
    indices = indices_of(tables, np.int64)
    before = [table.copied() for table in tables]
    runner.catch_up_rows(tables, indices)
    for table, old, rows in zip(tables, before, indices, strict=True):
        _assert_caught_up(table, old, np.isin(np.arange(ROWS), rows))
    before = [table.copied() for table in tables]
    runner.catch_up_all_rows(tables)
    for table, old in zip(tables, before, strict=True):
        _assert_caught_up(table, old, np.ones(ROWS, np.bool_))
        compare([table.seen], [np.zeros_like(table.seen)], what="counters of all rows")
    return f"{2 * sum(table.average.size for table in tables):,} elements"


def _assert_caught_up(table: Table, before: Table, caught_up: NDArray[np.bool_]) -> None:
    """Asserts what a pass over some rows has made of a table."""
    # What is left of the distance for a row that has seen so many steps.
    decays = [1 - float(reference.rate_of(decay)) for decay in DECAYS]
    left = np.array([np.prod(decays[seen:]) for seen in range(len(decays) + 1)])
    average, variable = (side.astype(reference.FLOAT64) for side in before[:2])
    moved = variable + left[before.seen][:, np.newaxis] * (average - variable)
    expected = np.where(caught_up[:, np.newaxis], moved, average)
    tolerance = UNITS[table.average.dtype] * TOLERANCE * (np.abs(average) + np.abs(variable))
    wrong = np.abs(table.average.astype(reference.FLOAT64) - expected) > tolerance
    wrong |= ~caught_up[:, np.newaxis] & (table.average != before.average)
    what = f"rows of {table.average.shape[1]} elements"
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        message = (
            f"{what}: {wrong.sum()} elements differ, first one {column} of row {row}. "
            f"Expected: {expected[row, column]!r}, received: {table.average[row, column]!r}"
        )
        raise Wrong(message)
    compare([table.variable.ravel()], [before.variable.ravel()], what=f"{what}: variables")


def check_against_cpu(runner: RowRunner, dtypes: Dtypes) -> str:
    """Some rows, steps with and without room, all rows; each list unaligned in turn, or none."""
    reference_runner = CpuRows("baseline")
    average, variable = dtypes
    compared = 0
    for shifted, any_bits in itertools.product((None, 0, 1, 2), (False, True)):
        index = np.int64 if any_bits else np.int32
        sizes = average.itemsize, variable.itemsize, np.dtype(index).itemsize
        offsets = [size * (side == shifted) for side, size in enumerate(sizes)]
        received, expected = (tables_of(dtypes, any_bits=any_bits) for _ in range(2))
        indices = indices_of(received, index)
        runner.catch_up_rows(received, indices, offsets)
        reference_runner.catch_up_rows(expected, indices)
        compared += _compare(received, expected, what=f"some rows, list {shifted} unaligned")
        for step in ("with room", "without room"):
            runner.advance_row_clocks(received, reference.rate_of(0.5))
            reference_runner.advance_row_clocks(expected, reference.rate_of(0.5))
            compared += _compare(received, expected, what=f"a step {step}")
        runner.catch_up_all_rows(received)
        reference_runner.catch_up_all_rows(expected)
        compared += _compare(received, expected, what="all rows")
    return f"{compared:,} elements"


def _compare(received: Sequence[Table], expected: Sequence[Table], *, what: str) -> int:
    compared = 0
    for one, other in zip(received, expected, strict=True):
        compared += compare([one.average.ravel()], [other.average.ravel()], what=what)
        for side in ("variable", "seen", "clock"):
            arrays = [np.asarray(getattr(table, side)).ravel() for table in (one, other)]
            compare(arrays[:1], arrays[1:], what=f"{what}: {side}")
    return compared
