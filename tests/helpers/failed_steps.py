"""Steps on one table, some of which the wrapped optimizer fails."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import tensorflow as tf

Failing = Callable[[], AbstractContextManager[None]]


def failing_steps(monkeypatch: pytest.MonkeyPatch, inner: Any, method: str) -> Failing:
    """Makes contexts in which a wrapped optimizer fails every step, by the method that takes it."""

    def refuse(*_: object, **__: object) -> None:
        message = "The wrapped optimizer fails."
        raise ArithmeticError(message)

    @contextlib.contextmanager
    def failing() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(inner, method, refuse)
            with pytest.raises(ArithmeticError, match=r"^The wrapped optimizer fails\.$"):
                yield

    return failing


def take_steps(
    optimizer: Any, table: Any, *, in_function: bool, failing: Failing | None = None
) -> None:
    """Trains rows of a table.

    Args:
      optimizer: What applies the gradients.
      table: A variable of shape [3, 2].
      in_function: Whether each step is a tf.function.
      failing: If given, one step more comes before each, in such a context.
    """

    def step(row: int) -> None:
        rows = tf.IndexedSlices(tf.ones([1, 2]), tf.constant([row]), tf.constant([3, 2]))

        def take() -> None:
            optimizer.apply_gradients([(rows, table)])

        (tf.function(take, autograph=False) if in_function else take)()

    for row in (0, 1, 0, 0):
        if failing:
            with failing():
                step(2 - row)
        step(row)
