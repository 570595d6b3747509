"""A variable and its average, and assignments between such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tf_mavg._ops.variables import base_dtype, is_resource, tensorflow_variable


@dataclass(eq=False)
class Entry:
    """A variable and its average.

    Attributes:
      variable: A variable of TensorFlow.
      average: The variable that holds its average, of the same kind, beside it.
      pairs: The components of both, the average's first; see replicas.py.
      name: What the variable is called in checkpoints that do not track it.
      shown: What users get as the average, where it is not `average`: a variable of Keras 3.
    """

    variable: Any
    average: Any
    pairs: list[tuple[Any, tf.Variable]]
    name: str
    shown: Any = None

    @property
    def is_alike(self) -> bool:
        """Whether both are of one dtype."""
        return bool(base_dtype(self.average) == base_dtype(self.variable))

    @property
    def devices(self) -> list[str]:
        """Where the components lie."""
        return [component.device for _, component in self.pairs]

    @property
    def graph(self) -> tf.Graph | None:
        """The graph of TensorFlow 1 that both belong to; None if they are of eager mode."""
        _, component = self.pairs[0]
        if is_resource(component) and not tf.is_symbolic_tensor(component.handle):
            return None
        return component.graph

    def is_initialized(self) -> bool:
        """In eager mode, whether the variable has a value."""
        return all(bool(component.is_initialized()) for _, component in self.pairs)


def assign_all(assignments: list[tuple[Any, Any]]) -> tf.Operation | None:
    """Gives each variable the value of another one, cast to its dtype.

    Args:
      assignments: Pairs of what is written and what is read.

    Returns:
      The operation that does it; None when executing eagerly.
    """
    made = [
        to.assign(tf.cast(tensorflow_variable(source).read_value(), to.dtype))
        for to, source in assignments
    ]
    return None if tf.executing_eagerly() else tf.group(*made)
