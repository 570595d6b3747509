"""The decays of a MovingAverage: those that are numbers can be set while functions are traced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.checkpoints.identity import called
from tf_mavg._averages.update.pace import several
from tf_mavg._compat.tensorflow import make_variable
from tf_mavg._keras.support import decay_of
from tf_mavg.decays import Decay

if TYPE_CHECKING:
    from tf_mavg._averages.update.pace import OneOrMore


class Decays:
    """What `average_decay` is: a number or a schedule, or a list of them.

    Functions read numbers from variables, so that what is set takes effect in a traced step. A step
    in eager mode takes the numbers, until a function has been traced: an assignment in the function
    would not reach them.
    """

    def __init__(self, given: OneOrMore[float | Decay]) -> None:
        """Checks what a user gives.

        Raises:
          ValueError: If it is an empty list, or a number is not in [0, 1].
        """
        self._is_listed = isinstance(given, list | tuple)
        self._decays = tuple(
            one if isinstance(one, Decay) else decay_of(one) for one in several(given)
        )
        self._is_read = False  # Whether a function reads the variables.
        with tf.init_scope():
            self._variables = {
                index: make_variable(tf.constant(one, tf.float32), name="average_decay")
                for index, one in enumerate(self._decays)
                if not isinstance(one, Decay)
            }

    @property
    def given(self) -> OneOrMore[float | Decay]:
        """What the user has given or set last."""
        return list(self._decays) if self._is_listed else self._decays[0]

    @property
    def variables(self) -> dict[str, tf.Variable]:
        """What functions read, by names."""
        return {called("average_decay", index): one for index, one in self._variables.items()}

    def for_pace(self) -> list[Any]:
        """The decays as the holder's pace takes them."""
        return [self._variables.get(index, one) for index, one in enumerate(self._decays)]

    def set(self, value: OneOrMore[float | Decay]) -> None:
        """Sets them.

        Raises:
          ValueError: If a number is not in [0, 1]; there is or would be a schedule, which traced
            steps could not follow; or there are not as many as before.
        """
        given = several(value) if self._is_listed else (value,)
        if len(given) != len(self._decays):
            message = (
                f"There must be as many decays as averages of each weight, {len(self._decays)}. "
                f"Received: average_decay={value!r}; make another optimizer with it."
            )
            raise ValueError(message)
        decays = []
        for one, before in zip(given, self._decays, strict=True):
            is_schedule = isinstance(one, Decay) or isinstance(before, Decay)
            if is_schedule and one != before:
                message = (
                    "A schedule of decays cannot be set or replaced later: make another optimizer "
                    f"with it. Received: average_decay={one!r} in the place of {before!r}."
                )
                raise ValueError(message)
            decays.append(one if is_schedule else decay_of(one))
        self._decays = tuple(decays)
        with tf.init_scope():
            for index, variable in self._variables.items():
                variable.assign(decays[index])

    def current(self, iterations: Any = None) -> Any:
        """The decay of a step, or of each average; all of them are numbers.

        Args:
          iterations: With it they warm up: it counts the steps so far.
        """
        self._is_read |= not tf.executing_eagerly()
        decays: Any = self._decays
        if self._is_read:
            decays = tuple(one.read_value() for one in self._variables.values())
        if iterations is not None:
            count = tf.cast(iterations, tf.float32)
            warm_up = (1.0 + count) / (10.0 + count)
            decays = tuple(tf.minimum(tf.cast(one, tf.float32), warm_up) for one in decays)
        return decays if len(decays) > 1 else decays[0]
