"""Of which dtype an average is."""

from __future__ import annotations

import tensorflow as tf

from tf_mavg._ops.variables import HALF_DTYPES, base_dtype

# What `average_dtype` may be, of every face.
AVERAGE_DTYPES = (None, "float32", "same")


def check_average_dtype(choice: object) -> None:
    """Raises ValueError unless `choice` is a value of `average_dtype`."""
    if choice not in AVERAGE_DTYPES:
        message = f"`average_dtype` must be one of {AVERAGE_DTYPES}. Received: {choice!r}."
        raise ValueError(message)


def average_dtype(variable: tf.Variable, choice: str | None) -> tf.DType:
    """The dtype of a variable's average: float32 for half precision, unless `choice` is "same"."""
    dtype = base_dtype(variable)
    return tf.float32 if dtype in HALF_DTYPES and choice != "same" else dtype
