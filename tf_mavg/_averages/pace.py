"""How far averages move at each step: at what decay, from which step on, and how often."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mavg._ops.lists import check_decay
from tf_mavg.decays import Constant, Decay


class Pace:
    """The rate of each step: what `decay`, `start` and `every` of the public classes say together.

    Attributes:
      decay: A number, tensor or variable; or a schedule.
      counts: Whether the rate of a step depends on its number, so that steps must be counted.
    """

    def __init__(self, decay: Any, start: int = 0, every: int = 1) -> None:
        """Checks the three.

        Args:
          decay: Scalar in [0, 1]: a number, tensor or variable. Or a `tf_mavg.decays.Decay`, whose
            n-th decay is that of the n-th step after `start`.
          start: How many steps have no average: the average is the variable itself then, and after
            the step that follows.
          every: At each how many steps averages move, by the product of so many decays; between
            these steps they stay as they are.

        Raises:
          TypeError: If `start` or `every` is no whole number.
          ValueError: If one of the three lies outside its interval.
        """
        if not isinstance(decay, Decay):
            check_decay(decay)
        self.decay = decay
        self.start = _whole("start", start, at_least=0)
        self.every = _whole("every", every, at_least=1)
        self.counts = isinstance(decay, Decay) or self.start > 0 or self.every > 1

    def rate(self, n: Any) -> Any:
        """The rate of the n-th step, counted from 1: 1 copies the variable, 0 keeps the average.

        Args:
          n: A number, or a scalar integer tensor.

        Returns:
          A number or a scalar tensor, float64.
        """
        since = n - self.start
        if not tf.is_tensor(n):
            if self.start and since <= 1:
                return 1.0
            return 0.0 if since % self.every else self._product_rate(since)
        rate = tf.cast(self._product_rate(tf.maximum(since, self.every)), tf.float64)
        if self.every > 1:
            # In a graph of TensorFlow 1, == asks whether two tensors are one.
            rate = tf.where(tf.equal(since % self.every, 0), rate, 0.0)
        return tf.where(since <= 1, tf.ones_like(rate), rate) if self.start else rate

    def _product_rate(self, since: Any) -> Any:
        """1 - the product of the decays of the last steps: as many as lie between two moves."""
        if isinstance(self.decay, Decay):
            return self.decay.product_rate(since, self.every)
        is_number = isinstance(self.decay, float | int)
        if is_number and self.every > 1:
            return Constant(self.decay).product_rate(since, self.every)
        if self.every > 1:
            return -tf.math.expm1(self.every * tf.math.log(tf.cast(self.decay, tf.float64)))
        # As where no steps are counted, to the bit: see _ops/rates.py.
        if is_number:
            return float(np.float32(1) - np.float32(self.decay))
        return 1.0 - tf.cast(self.decay, tf.float32)


def _whole(name: str, value: Any, at_least: int) -> int:
    number = operator.index(value)
    if number < at_least:
        message = f"`{name}` must be {at_least} or more. Received: {name}={value}."
        raise ValueError(message)
    return number
