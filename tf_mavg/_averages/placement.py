"""Of which dtype an average is, and how one of another dtype than its variable changes places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from tf_mavg._ops.variables import HALF_DTYPES, base_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class RoundedSwap:
    """A swap of averages with variables of lower precision, which hold them rounded.

    Meanwhile this holds the variables' values, and averages keep theirs: so all bits come back.
    """

    def __init__(self) -> None:
        """Nothing is swapped."""
        self._held: list[tuple[tf.Variable, tf.Tensor]] = []

    def swap(self, pairs: Sequence[tuple[tf.Variable, tf.Variable]]) -> None:
        """Rounds each average to its variable; if one fails, none is.

        Args:
          pairs: Averages and their variables.
        """
        # Read without a copy: an assignment of another tensor leaves this one to its reader.
        self._held = [(variable, variable.read_value()) for _, variable in pairs]
        try:
            for average, variable in pairs:
                variable.assign(tf.cast(average, variable.dtype))
        except BaseException:
            self.swap_back()
            raise

    def swap_back(self) -> None:
        """Gives the variables their own values."""
        for variable, value in self._held:
            variable.assign(value)
        self._held = []
