"""The variable that holds an average: beside its variable, and starting at its value."""

from __future__ import annotations

import tensorflow as tf

from tf_mavg._compat.creation import (
    make_at_once,
    make_beside,
)
from tf_mavg._compat.initializers import follow_initializer, value_assigned_by_initializer
from tf_mavg._compat.references import reference_of
from tf_mavg._ops.variables import is_resource


def create_average(
    variable: tf.Variable, name: str, dtype: tf.DType, named_after: tf.Variable
) -> tf.Variable:
    """Creates an average of a variable, called after `named_after`, mostly the same, and `name`.

    It starts at the value that the variable has by then; in a graph, when it is initialized, or at
    what the variable's initializer assigns if that has no value yet: one run initializes both, in
    any order. An initializer that a warm start replaces later counts as well.

    In eager mode the average of a variable without a value is zero: see ../late.py.
    """
    if not tf.executing_eagerly():
        return _average_in_graph(variable, name, dtype)
    return make_at_once(variable, name, dtype, named_after)


def create_remainder(
    variable: tf.Variable, name: str, dtype: tf.DType, named_after: tf.Variable
) -> tf.Variable:
    """Creates what belongs to a split average, zero; arguments as of `create_average`."""
    if not tf.executing_eagerly():
        zero = tf.zeros_like(value_assigned_by_initializer(variable), dtype)
        return make_beside(variable, zero, name)
    return make_at_once(variable, name, dtype, named_after, zero=True)


def _average_in_graph(variable: tf.Variable, name: str, dtype: tf.DType) -> tf.Variable:
    start = tf.cast(value_assigned_by_initializer(variable), dtype)
    average = make_beside(variable, start, name)

    def make_initializer() -> tf.Operation:
        # The code that asks for an initializer may be within any scope; none counts for this one.
        with (
            variable.graph.as_default(),
            tf.control_dependencies(None),
            tf.compat.v1.device(None),
            tf.name_scope(f"{average.op.name}/Initializer/"),
            variable.graph.colocate_with(variable.op, ignore_existing=True),
        ):
            if is_resource(variable):
                start = _start_of_resource(variable)
            else:
                start = _start_of_reference(variable)
            return tf.compat.v1.assign(average, tf.cast(start, dtype)).op

    follow_initializer(average, variable, make_initializer)
    return average


def _start_of_resource(variable: tf.Variable) -> tf.Tensor:
    return tf.cond(
        tf.compat.v1.is_variable_initialized(variable),
        variable.read_value,
        lambda: value_assigned_by_initializer(variable),
    )


def _start_of_reference(variable: tf.Variable) -> tf.Tensor:
    """The variable's value, or its initial value if it has none yet.

    A conditional of TensorFlow 2 reads a reference variable before it decides whether to, which
    fails if the variable has no value; so this one is made of the graph's own switches.
    """
    is_initialized = tf.compat.v1.is_variable_initialized(variable)
    current = tf.raw_ops.RefSwitch(data=reference_of(variable), pred=is_initialized).output_true
    initial = tf.raw_ops.Switch(
        data=value_assigned_by_initializer(variable), pred=is_initialized
    ).output_false
    return tf.raw_ops.Merge(inputs=[tf.identity(current), initial]).output
