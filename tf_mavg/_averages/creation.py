"""The variable that holds an average: beside its variable, and starting at its value."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

# TensorFlow's own makers of a variable beside another: name, device and shard information of the
# average then are what tf.train.ExponentialMovingAverage gives.
from tensorflow.python.training import slot_creator

from tf_mavg._ops.variables import is_resource


def create_average(variable: tf.Variable, name: str) -> tf.Variable:
    """Creates an average of a variable, called after it and `name`.

    It starts at the value that the variable has by then; in a graph, when it is initialized, or at
    the variable's initial value if that has none yet: one run initializes both, in any order.
    """
    if not is_resource(variable):
        return _average_of_reference(variable, name)
    at_once = tf.executing_eagerly() and not tf.distribute.has_strategy()
    if at_once and variable.is_initialized():
        return _average_at_once(variable, name)
    return _average_of_resource(variable, name)


def _initial_value_of(variable: tf.Variable) -> Any:
    """What the variable's initializer assigns.

    `initial_value` may read other variables; the initializer reads their initial values instead.
    """
    return variable.initializer.inputs[1]


def _beside(variable: tf.Variable, initial_value: tf.Tensor, name: str) -> tf.Variable:
    return slot_creator.create_slot(
        variable, initial_value, name, colocate_with_primary=True, copy_xla_sharding=True
    )


def _average_at_once(variable: tf.Variable, name: str) -> tf.Variable:
    """An average in eager mode, past the creators of variables.

    With them, a tf.function would find that it makes variables, and trace itself once more.
    """
    with tf.device(variable.device), tf.name_scope(""):
        return ResourceVariable(
            variable.read_value(),
            trainable=False,
            name=f"{variable._shared_name}/{name}",  # noqa: SLF001 - the name without ":0".
        )


def _average_of_resource(variable: tf.Variable, name: str) -> tf.Variable:
    with tf.device(variable.device):
        initial_value = tf.cond(
            tf.compat.v1.is_variable_initialized(variable),
            variable.read_value,
            lambda: _initial_value_of(variable),
        )
    return _beside(variable, initial_value, name)


def _average_of_reference(variable: tf.Variable, name: str) -> tf.Variable:
    """An average that starts at the variable's value, or at its initial value if it has none yet.

    A conditional of TensorFlow 2 reads a reference variable before it decides whether to, which
    fails if the variable has no value; so this one is made of the graph's own switches.
    """
    initial_value = _initial_value_of(variable)
    average = _beside(variable, initial_value, name)
    with tf.compat.v1.get_default_graph().colocate_with(variable.op, ignore_existing=True):
        reference = variable._ref()  # noqa: SLF001 - no public way to the reference.
        is_initialized = tf.compat.v1.is_variable_initialized(variable)
        current = tf.raw_ops.RefSwitch(data=reference, pred=is_initialized).output_true
        initial = tf.raw_ops.Switch(data=initial_value, pred=is_initialized).output_false
        start = tf.raw_ops.Merge(inputs=[tf.identity(current), initial]).output
        # Given to the constructor, the switches would be rewritten around the variable.
        average._initializer_op = tf.compat.v1.assign(average, start).op  # noqa: SLF001 - see above.
    return average
