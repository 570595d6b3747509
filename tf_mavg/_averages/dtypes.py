"""Of which dtype an average is."""

from __future__ import annotations

from typing import Final

import tensorflow as tf

from tf_mavg._averages.components.replicas import has_one_value
from tf_mavg._compat.distribute import name_of
from tf_mavg._ops.variables import HALF_DTYPES, base_dtype

SPLIT: Final = "split"
# What `average_dtype` may be, of every face.
AVERAGE_DTYPES: Final = (None, "float32", "same", SPLIT)


def check_average_dtype(choice: object) -> None:
    """Raises ValueError unless `choice` is a value of `average_dtype`."""
    if choice not in AVERAGE_DTYPES:
        message = f"`average_dtype` must be one of {AVERAGE_DTYPES}. Received: {choice!r}."
        raise ValueError(message)


def choice_for(variable: tf.Variable, choice: str | None, *, lazy: bool) -> str:
    """What `average_dtype` means for a variable: where nothing was chosen, split or float32.

    Args:
      variable: The variable.
      choice: What was chosen.
      lazy: Whether its rows may be averaged lazily, which takes averages that are whole.
    """
    if choice is not None:
        return choice
    can_split = base_dtype(variable) == tf.bfloat16 and not lazy and has_one_value(variable)
    return SPLIT if can_split else "float32"


def average_dtype(variable: tf.Variable, choice: str) -> tf.DType:
    """The dtype of a variable's average: float32 for half precision, unless `choice` is another."""
    dtype = base_dtype(variable)
    return tf.float32 if dtype in HALF_DTYPES and choice == "float32" else dtype


def is_split(variable: tf.Variable, choice: str) -> bool:
    """Whether a variable's average is a float32 one that is split; see components/remainders.py."""
    return choice == SPLIT and bool(base_dtype(variable) == tf.bfloat16)


def check_can_split(variable: tf.Variable, choice: str) -> None:
    """Raises TypeError if a variable's average is to be split, and cannot be."""
    if choice != SPLIT:
        return
    if base_dtype(variable) == tf.float16:
        message = (
            "A split average is a float32 one in the place of a bfloat16 variable; float16 has not "
            f"its range. Received: {name_of(variable)!r} of float16; take "
            'average_dtype="float32".'
        )
        raise TypeError(message)
    if is_split(variable, choice) and not has_one_value(variable):
        message = (
            "A split average must have one value on all replicas. Received: "
            f"{name_of(variable)!r}, which is synchronized when it is read, so that halves of "
            'averages would be aggregated; take average_dtype="float32".'
        )
        raise TypeError(message)
