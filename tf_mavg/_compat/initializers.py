"""Initializers of a graph's variables: what they assign, and one that follows another's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

_ASSIGNMENTS = {"Assign", "AssignVariableOp"}


def value_assigned_by_initializer(variable: tf.Variable) -> Any:
    """What a variable's initializer assigns now.

    `initial_value` may read other variables; the initializer reads their initial values instead,
    and that of `tf.compat.v1.train.warm_start` is the only one that is replaced in every case. It
    need not be an operation: warm starts leave the tensor or variable that an assignment returns.
    """
    initializer = variable.initializer
    operation = initializer if isinstance(initializer, tf.Operation) else initializer.op
    if operation.type in _ASSIGNMENTS:
        return operation.inputs[1]
    return variable.initial_value


def follow_initializer(
    variable: tf.Variable, other: tf.Variable, make: Callable[[], tf.Operation]
) -> None:
    """Makes the initializer of a variable anew, when asked for it, if that of `other` was replaced.

    An initializer of its own that the variable is given later remains. An export of the graph gets
    the last initializer that was asked for.

    Args:
      variable: A variable of a graph.
      other: A variable of the same graph.
      make: Makes the initializer for the present one of `other`.
    """
    variable.__class__ = _following(variable.__class__)
    variable._initializer_op = make()
    variable._follows = _Following(other, make, variable._initializer_op)


class _Following:
    """The initializer that was made for that of another variable."""

    def __init__(
        self, other: tf.Variable, make: Callable[[], tf.Operation], made: tf.Operation
    ) -> None:
        self._other = other
        self._make = make
        self._made = made
        self._made_for = other.initializer

    def current(self, initializer: Any) -> Any:
        """What is to take the place of `initializer`, maybe itself."""
        if initializer is self._made and self._other.initializer is not self._made_for:
            self._made, self._made_for = self._make(), self._other.initializer
            return self._made
        return initializer


@functools.cache
def _following(kind: Any) -> Any:
    """The class of variables of a kind whose initializer follows that of another variable."""

    class Following(kind):  # type: ignore[misc]
        _initializer_op: Any

        @property
        def initializer(self) -> Any:
            current = self._follows.current(self._initializer_op)
            self._initializer_op = current
            return current

        def to_proto(self, *args: Any, **kwargs: Any) -> Any:
            # An export has copied the graph by now and must not learn of ops that are not in it.
            self.__class__ = kind
            try:
                return kind.to_proto(self, *args, **kwargs)
            finally:
                self.__class__ = Following

    Following.__name__ = kind.__name__
    Following.__qualname__ = kind.__qualname__
    return Following
