"""How far averages move at each step: at which decays, from which step on, and how often."""

from __future__ import annotations

import operator
from typing import Any, TypeAlias, TypeVar

import numpy as np
import tensorflow as tf

from tf_mavg._compat.references import read_in_order
from tf_mavg._ops.lists import check_decay
from tf_mavg.decays import Constant, Decay

_T = TypeVar("_T")
OneOrMore: TypeAlias = _T | list[_T] | tuple[_T, ...]


class Pace:
    """The rate of each step: what the arguments of the public classes say together.

    Attributes:
      decays: For each average of a variable a number, tensor or variable; or a schedule.
      given: The decay, if it is one, or all of them: the same object at each step.
      overwrite_every: At each how many steps the variables take the values of their averages.
      counts: Whether a step depends on its number, so that steps must be counted.
      only_numbers: Whether each decay is a number of the host's.
    """

    def __init__(
        self, decay: Any, start: int = 0, every: int = 1, overwrite_every: int | None = None
    ) -> None:
        """Checks the arguments.

        Args:
          decay: Scalar in [0, 1]: a number, tensor or variable. Or a `tf_mavg.decays.Decay`, whose
            n-th decay is that of the n-th step after `start`. Or a list of such, for as many
            averages of each variable.
          start: How many steps have no average: the average is the variable itself then, and after
            the step that follows.
          every: At each how many steps averages move, by the product of so many decays; between
            these steps they stay as they are.
          overwrite_every: At each how many steps after `start` the variables take the values of
            their first averages, which go on from there. By default at none.

        Raises:
          TypeError: If one that counts steps is no whole number.
          ValueError: If one lies outside its interval, or the list is empty.
        """
        self.decays = several(decay)
        for one in self.decays:
            if not isinstance(one, Decay):
                check_decay(one)
        self.given = self.decays if len(self.decays) > 1 else self.decays[0]
        self.only_numbers = all(isinstance(one, float | int) for one in self.decays)
        self.start = _whole("start", start, at_least=0)
        self.every = _whole("every", every, at_least=1)
        self.overwrite_every = (
            None
            if overwrite_every is None
            else _whole("overwrite_every", overwrite_every, at_least=1)
        )
        scheduled = any(isinstance(one, Decay) for one in self.decays)
        self.counts = (
            scheduled or self.start > 0 or self.every > 1 or self.overwrite_every is not None
        )

    def rates(self, n: Any) -> list[Any]:
        """The rates of the n-th step, counted from 1: 1 copies the variable, 0 keeps the average.

        Args:
          n: A number, or a scalar integer tensor.

        Returns:
          For each average of a variable a number or a scalar tensor, float64.
        """
        return [self._rate(decay, n) for decay in self.decays]

    def overwriting_rates(self, n: Any) -> list[Any]:
        """Whether variables take the values of averages at the n-th step: as `rates`, [1] or [0].

        Empty if they never do.
        """
        if self.overwrite_every is None:
            return []
        since = n - self.start
        if not tf.is_tensor(n):
            return [float(since > 0 and since % self.overwrite_every == 0)]
        is_due = tf.equal(since % self.overwrite_every, 0)
        return [tf.cast(tf.logical_and(since > 0, is_due), tf.float64)]

    def last_decays(self, n: int) -> list[float]:
        """The decays of the last step up to the n-th that moved averages; in eager mode.

        Of the first one that will, if none has.
        """
        since = max(n - self.start, self.every)
        return [1.0 - float(rate) for rate in self.rates(self.start + since - since % self.every)]

    def _rate(self, decay: Any, n: Any) -> Any:
        since = n - self.start
        if not tf.is_tensor(n):
            if self.start and since <= 1:
                return 1.0
            return 0.0 if since % self.every else self._product_rate(decay, since)
        rate = tf.cast(self._product_rate(decay, tf.maximum(since, self.every)), tf.float64)
        if self.every > 1:
            # In a graph of TensorFlow 1, == asks whether two tensors are one.
            rate = tf.where(tf.equal(since % self.every, 0), rate, 0.0)
        return tf.where(since <= 1, tf.ones_like(rate), rate) if self.start else rate

    def _product_rate(self, decay: Any, since: Any) -> Any:
        """1 - the product of the decays of the last steps: as many as lie between two moves."""
        if isinstance(decay, Decay):
            return decay.product_rate(since, self.every)
        is_number = isinstance(decay, float | int)
        if is_number and self.every > 1:
            return Constant(decay).product_rate(since, self.every)
        if self.every > 1:
            return -tf.math.expm1(self.every * tf.math.log(value_now(decay, tf.float64)))
        # As where no steps are counted, to the bit: see _ops/rates.py.
        if is_number:
            return float(np.float32(1) - np.float32(decay))
        return 1.0 - value_now(decay, tf.float32)


def value_now(value: Any, dtype: tf.DType) -> tf.Tensor:
    """A number or tensor, or the value of a variable at this point of a graph, cast to a dtype."""
    is_variable = isinstance(value, tf.Variable)
    return read_in_order(value, dtype) if is_variable else tf.cast(value, dtype)


def several(decay: Any) -> tuple[Any, ...]:
    """The decays of several averages of each variable, of what a user has given: one or a list.

    Raises:
      ValueError: If the list is empty.
    """
    decays = tuple(decay) if isinstance(decay, list | tuple) else (decay,)
    if not decays:
        message = "`decay` must name at least one decay. Received: an empty list."
        raise ValueError(message)
    return decays


def _whole(name: str, value: Any, at_least: int) -> int:
    number = operator.index(value)
    if number < at_least:
        message = f"`{name}` must be {at_least} or more. Received: {name}={value}."
        raise ValueError(message)
    return number
