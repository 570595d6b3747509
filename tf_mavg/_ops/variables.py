"""Kinds of variables: what a variable is, what it holds, and which TensorFlow variables it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._compat.distribute import is_sharded

if TYPE_CHECKING:
    from collections.abc import Iterable

FLOATING_DTYPES = (tf.bfloat16, tf.float16, tf.float32, tf.float64)
# Variables that may have an average of higher precision than their own.
HALF_DTYPES = (tf.bfloat16, tf.float16)


def base_dtype(variable: tf.Variable) -> tf.DType:
    """The dtype of a variable's value, also for a reference variable."""
    return tf.as_dtype(variable.dtype).base_dtype


def is_resource(variable: tf.Variable) -> bool:
    """Whether a variable is a resource, not a legacy reference variable."""
    return hasattr(variable, "handle")


def is_partitioned(variable: object) -> bool:
    """Whether a variable is a legacy `PartitionedVariable`, a list of shards."""
    return not isinstance(variable, tf.Variable) and hasattr(variable, "_variable_list")


def tensorflow_variable(variable: Any) -> Any:
    """The variable of TensorFlow that a Keras 3 variable stands for; any other one as it is."""
    # Not of what is no tensor: a module may well have an attribute of that name.
    is_keras = isinstance(variable, tf.__internal__.types.Tensor) and not isinstance(
        variable, tf.Variable
    )
    value = getattr(variable, "value", None) if is_keras else None
    return value if isinstance(value, tf.Variable) else variable


def shards(variables: Iterable[Any]) -> list[Any]:
    """The variables of TensorFlow, each partitioned one replaced by its shards."""
    items = map(tensorflow_variable, variables)
    return [v for item in items for v in (list(item) if is_partitioned(item) else [item])]


def is_variable(variable: object) -> bool:
    """Whether it is a variable, of whatever kind; a sharded one is none of TensorFlow's class."""
    return isinstance(variable, tf.Variable) or is_sharded(variable)


def distinct(variables: Iterable[Any]) -> list[Any]:
    """The variables without those that occurred before, in their order."""
    return list({id(variable): variable for variable in variables}.values())
