"""A variable and one of its averages, and assignments between such."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._compat.distribute import components_of, strategy_of
from tf_mavg._ops.variables import base_dtype, is_resource, tensorflow_variable

if TYPE_CHECKING:
    from tf_mavg._averages.components.shares import Owner


@dataclass(eq=False)
class Entry:
    """A variable and one of its averages.

    Attributes:
      variable: A variable of TensorFlow.
      average: The variable that holds its average, of the same kind, beside it.
      pairs: The components of both, the average's first. See components/replicas.py.
      name: What the variable is called in checkpoints that do not track it.
      index: Which of its variable's averages it is.
      owner: The replica that has the average for all, if one does: `pairs` is then its pair, or
        empty in another process.
      shown: What users get as the average, where it is not `average`: a variable of Keras 3.
      remainder: If the average is split, the variable that holds what its bfloat16 has not; of the
        average's kind. See components/remainders.py.
      remainders: Its components, one for each of `pairs`.
      shown_remainder: What users get as the remainder, as `shown`.
    """

    variable: Any
    average: Any
    pairs: list[tuple[Any, tf.Variable]]
    name: str
    index: int = 0
    owner: Owner | None = None
    shown: Any = None
    remainder: Any = None
    remainders: list[Any] = field(default_factory=list)
    shown_remainder: Any = None

    @property
    def is_split(self) -> bool:
        """Whether the average is a float32 one that is split."""
        return self.remainder is not None

    @property
    def parts(self) -> list[Any]:
        """The plain variables that hold the average."""
        return [*(average for average, _ in self.pairs), *self.remainders]

    @property
    def wholes(self) -> list[Any]:
        """The average, and its remainder if it is split: what a file holds of it."""
        return [self.average, *([self.remainder] if self.is_split else [])]

    @property
    def is_alike(self) -> bool:
        """Whether both are of one dtype."""
        return bool(base_dtype(self.average) == base_dtype(self.variable))

    @property
    def devices(self) -> list[str]:
        """Where the components of the variable lie."""
        return [component.device for component in components_of(self.variable)]

    @property
    def strategy(self) -> Any:
        """The strategy in whose scope the variable was made; None if it was in none."""
        return strategy_of(self.variable)

    @property
    def average_bytes(self) -> int:
        """How large the average is."""
        return size_of(self.variable, tf.float32 if self.is_split else base_dtype(self.average))

    @property
    def graph(self) -> tf.Graph | None:
        """The graph of TensorFlow 1 that both belong to; None if they are of eager mode."""
        if not self.pairs:
            return None
        _, component = self.pairs[0]
        if is_resource(component) and not tf.is_symbolic_tensor(component.handle):
            return None
        return component.graph

    def is_initialized(self) -> bool:
        """In eager mode, whether the variable has a value."""
        return all(bool(component.is_initialized()) for _, component in self.pairs)


def size_of(variable: Any, dtype: tf.DType) -> int:
    """The bytes of an average; none of a variable whose shape is not known."""
    return int((variable.shape.num_elements() or 0) * dtype.size)


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
