"""Has a variable be prepared before its value is read or set: private names of ResourceVariable."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

# What every read goes through, that of a Saver and of a Session's fetch too; and what sets values.
_READS: Final = ("_read_variable_op", "sparse_read", "gather_nd")
_WRITES: Final = (
    *("assign", "assign_add", "assign_sub", "_strided_slice_assign", "batch_scatter_update"),
    *("scatter_add", "scatter_div", "scatter_max", "scatter_min", "scatter_mul", "scatter_sub"),
    *("scatter_nd_add", "scatter_nd_max", "scatter_nd_min", "scatter_nd_sub", "scatter_nd_update"),
    "scatter_update",
)


def before_each_access(variable: tf.Variable, prepare: Callable[[], list[tf.Operation]]) -> None:
    """Has a resource variable be prepared before anybody reads or sets its value.

    Ops that take its handle, as ours do, and restores from files pass it by.

    Args:
      variable: The variable. In a graph of TensorFlow 1 nobody may have made a Saver of it yet.
      prepare: Does it, and returns the operations that do, in a graph: the access waits for them.
    """
    before_fetches(variable, prepare)
    for name in (*_READS, *_WRITES):
        setattr(variable, name, _prepared(getattr(variable, name), prepare))


def before_fetches(variable: tf.Variable, prepare: Callable[[], list[tf.Operation]]) -> None:
    """As `before_each_access`, but of Savers and Sessions of a graph of TensorFlow 1 alone."""
    if not tf.executing_eagerly():
        with tf.device(variable.device), tf.name_scope(f"{variable.op.name}/UpToDate/"):
            fetched = _prepared(variable._read_variable_op, prepare)()
        variable._graph_element = fetched


def _prepared(access: Callable[..., Any], prepare: Callable[[], list[tf.Operation]]) -> Any:
    @functools.wraps(access)
    def wait_and_access(*args: Any, **kwargs: Any) -> Any:
        with tf.control_dependencies(prepare()):
            return access(*args, **kwargs)

    return wait_and_access
