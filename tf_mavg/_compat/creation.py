"""Variables made beside others, as TensorFlow's own averages and optimizers make theirs."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable
from tensorflow.python.training import slot_creator


def make_beside(variable: tf.Variable, initial_value: tf.Tensor, name: str) -> tf.Variable:
    """Makes a variable beside another, of the same kind, device and place among shards.

    Its name is that of the other, a slash and `name`: that of tf.train.ExponentialMovingAverage.
    Under a strategy it is made past the creators, and is in no collection: the other may be one
    component of a variable.
    """
    if tf.distribute.has_strategy() and hasattr(variable, "handle"):
        with tf.device(variable.device), tf.name_scope(""):
            made = f"{variable.op.name}/{name}"
            return ResourceVariable(initial_value, trainable=False, collections=[], name=made)
    return slot_creator.create_slot(
        variable, initial_value, name, colocate_with_primary=True, copy_xla_sharding=True
    )


def make_at_once(
    variable: tf.Variable,
    name: str,
    dtype: tf.DType,
    named_after: tf.Variable,
    *,
    zero: bool = False,
) -> tf.Variable:
    """Makes a variable of a dtype beside another in eager mode, past the creators of variables.

    It has the other's value; zeros, if that has none, or if they are asked for. Its name is that of
    `named_after` and `name`. With creators, a tf.function would find that it makes variables, and
    trace itself once more.
    """
    with tf.device(variable.device), tf.name_scope(""):
        has_value = not zero and bool(variable.is_initialized())
        return ResourceVariable(
            tf.cast(variable.read_value(), dtype) if has_value else tf.zeros(variable.shape, dtype),
            trainable=False,
            name=f"{named_after._shared_name}/{name}",
        )
