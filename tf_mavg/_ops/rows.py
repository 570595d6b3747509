"""The ops on averages of which only some rows are touched: one op for the tables of a dtype.

A table is an average with its variable, whose first dimension is that of the rows; beside them lie
a counter of each row, and a clock. While a row of the variable is not written, the moves of its
average between two steps are one move, so they may be made later: before the row is written, or
before anybody looks. See cc/core/formulas/lazy_rows.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import tensorflow as tf

from tf_mavg import _native
from tf_mavg._compat.tensorflow import make_variable
from tf_mavg._ops.library import OPS
from tf_mavg._ops.variables import base_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The steps of a clock. When it is full, all rows are caught up, a whole pass over the table: at so
# many steps it costs nothing a step, and the clock takes 128 KiB.
CAPACITY: Final = 16_384


class RowTable(NamedTuple):
    """An average of which only some rows are touched.

    Attributes:
      average: Resource variable of shape [rows, ...].
      seen: int64 of shape [rows]: how many steps of the clock each row has seen.
      clock: float64; all rows have seen all steps while its first element is 0.
      variable: What is averaged, of the shape of `average`.
    """

    average: tf.Variable
    seen: tf.Variable
    clock: tf.Variable
    variable: tf.Variable

    def restart(self) -> list[tf.Operation]:
        """Notes that all rows are up to date: the average has been given a value."""
        zeros = [one.assign(tf.zeros_like(one)) for one in (self.seen, self.clock)]
        return [] if tf.executing_eagerly() else [one.op for one in zeros]


def make_row_table(
    average: tf.Variable, variable: tf.Variable, capacity: int | None = None
) -> RowTable:
    """Makes what an average needs beside it, up to date, in eager mode.

    Args:
      average: The average, of known shape.
      variable: Its variable, on the same device.
      capacity: The steps of its clock, by default `CAPACITY`.
    """
    with tf.device(variable.device), tf.name_scope(""):
        name = average.name.partition(":")[0]
        seen = make_variable(tf.zeros([variable.shape[0]], tf.int64), name=f"{name}/rows_seen")
        start = np.zeros_like(_native.row_clock(CAPACITY if capacity is None else capacity))
        clock = make_variable(tf.constant(start), name=f"{name}/clock")
    return RowTable(average, seen, clock, variable)


def catch_up_rows(tables: Sequence[RowTable], indices: Sequence[Any]) -> list[tf.Operation]:
    """Has rows see all steps of their clocks, before the variables are written.

    Args:
      tables: Tables.
      indices: For each an int32 or int64 tensor of rows: of any shape, in any order, each any
        number of times.

    Returns:
      The operations that do it; none when executing eagerly.

    Raises:
      tf.errors.InvalidArgumentError: When run, if an index is that of no row; then nothing has
        changed.
    """
    wanted = [tf.convert_to_tensor(one) for one in indices]
    made = []
    for positions in _groups(tables, [one.dtype for one in wanted]):
        some = [tables[i] for i in positions]
        with _beside(some):
            made.append(
                OPS.catch_up_rows(*_inputs(some), [wanted[i] for i in positions], **_dtypes(some))
            )
    return _operations(made)


def catch_up_all_rows(tables: Sequence[RowTable]) -> list[tf.Operation]:
    """Has all rows see all steps; returns as `catch_up_rows`."""
    made = []
    for positions in _groups(tables):
        some = [tables[i] for i in positions]
        with _beside(some):
            made.append(OPS.catch_up_all_rows(*_inputs(some), **_dtypes(some)))
    return _operations(made)


def advance_row_clocks(tables: Sequence[RowTable], rate: Any) -> list[tf.Operation]:
    """Notes a step of a rate, a float32 scalar, after the variables are written.

    Returns:
      As `catch_up_rows`.

    Raises:
      tf.errors.InvalidArgumentError: When run, if the rate is not in [0, 1].
    """
    made = []
    for positions in _groups(tables):
        some = [tables[i] for i in positions]
        with _beside(some):
            made.append(OPS.advance_row_clocks(*_inputs(some), rate, **_dtypes(some)))
    return _operations(made)


def check_caught_up(
    tables: Sequence[RowTable], indices: Sequence[Any], refusals: Sequence[str]
) -> list[tf.Operation]:
    """Refuses to go on unless rows have seen all steps of their clocks.

    On a GPU the host waits for the answer.

    Args:
      tables: Tables.
      indices: For each as of `catch_up_rows`; None for all of its rows.
      refusals: For each the message.

    Returns:
      As `catch_up_rows`.

    Raises:
      RuntimeError: In eager mode, with the refusal of a table of which rows have not; in a function
        or a graph tf.errors.InvalidArgumentError, when run.
    """
    devices: dict[str, list[int]] = {}
    # Those whose rows are named come first.
    for i in sorted(range(len(tables)), key=lambda i: indices[i] is None):
        devices.setdefault(tables[i].variable.device, []).append(i)
    made = []
    for device, positions in devices.items():
        if tf.DeviceSpec.from_string(device or "").device_type == "GPU":
            made += [_assert_up_to_date(tables[i], indices[i], refusals[i]) for i in positions]
            continue
        named = [tf.convert_to_tensor(indices[i]) for i in positions if indices[i] is not None]
        words = [refusals[i] for i in positions]
        with tf.device(device):
            try:
                op = OPS.check_rows_are_caught_up(
                    [tables[i].seen.handle for i in positions],
                    [tables[i].clock.handle for i in positions],
                    named,
                    refusals=words,
                )
            except tf.errors.InvalidArgumentError as error:  # In eager mode.
                refusal = next((one for one in words if one in error.message), error.message)
                raise RuntimeError(refusal) from None
        made.append(op)
    return _operations(made)


def _assert_up_to_date(table: RowTable, indices: Any, refusal: str) -> tf.Operation | None:
    right = are_up_to_date(table, indices)
    if not tf.executing_eagerly():
        with tf.device("/cpu:0"):
            return tf.raw_ops.Assert(condition=right, data=[tf.constant(refusal)])
    if not right:
        raise RuntimeError(refusal)
    return None


def are_up_to_date(table: RowTable, indices: Any = None) -> tf.Tensor:
    """Whether rows have seen all steps: those of the indices, or by default all. A boolean."""
    steps = table.clock[0]
    if indices is None:
        return tf.equal(steps, 0.0)
    seen = tf.gather(table.seen, tf.reshape(indices, [-1]))
    return tf.reduce_all(tf.equal(seen, tf.cast(steps, tf.int64)))


def _groups(
    tables: Sequence[RowTable], dtypes: Sequence[tf.DType] | None = None
) -> Iterator[list[int]]:
    """Positions of what one op takes: of one device and dtype a side, with distinct variables."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    met: dict[int, int] = {}  # By id of a variable, how many of its averages.
    for i, (average, _, _, variable) in enumerate(tables):
        number = met[id(variable)] = met.get(id(variable), 0) + 1
        key = (variable.device, base_dtype(average), base_dtype(variable), number)
        groups.setdefault((*key, dtypes[i] if dtypes else None), []).append(i)
    yield from groups.values()


def _beside(tables: Sequence[RowTable]) -> Any:
    return tf.device(tables[0].variable.device)


def _inputs(tables: Sequence[RowTable]) -> list[list[tf.Tensor]]:
    return [[variable.handle for variable in side] for side in zip(*tables, strict=True)]


def _dtypes(tables: Sequence[RowTable]) -> dict[str, tf.DType]:
    return {"T": base_dtype(tables[0].variable), "Tavg": base_dtype(tables[0].average)}


def _operations(made: list[tf.Operation | None]) -> list[tf.Operation]:
    return [] if tf.executing_eagerly() else [one for one in made if one is not None]
