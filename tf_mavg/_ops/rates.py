"""The rates of an update: what the native ops take, from the decays or rates that a caller gives.

A rate is 1 - decay, taken in float32 from a float32 decay, as in tf.train.ExponentialMovingAverage.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mavg._ops.lists import check_decay


def rates_of(decay: Any) -> tf.Tensor:
    """The rates of a decay, or of a list of them, as one float32 tensor."""
    decays = list(decay) if isinstance(decay, list | tuple) else [decay]
    return Rates(len(decays), decays, None).of(tuple(range(len(decays))))


class Rates:
    """A rate for each list of averages: numbers that the host knows, or tensors."""

    def __init__(self, count: int, decay: Any, rates: Any) -> None:
        """Checks what the host knows of them.

        Args:
          count: How many lists of averages there are.
          decay: A scalar number, tensor or variable; or a list of `count` of them. Or None.
          rates: Instead, `count` rates as numbers, array or tensor; one of them may be a scalar.

        Raises:
          TypeError: Unless just one of the two is given.
          ValueError: If there are not as many as lists, or one is known to lie outside [0, 1].
        """
        if (decay is None) == (rates is None):
            message = f"Give either `decay` or `rates`. Received: decay={decay}, rates={rates}."
            raise TypeError(message)
        self._decays: list[Any] = []
        self._rates: Any = None
        if rates is None:
            self._decays = list(decay) if isinstance(decay, list | tuple) else [decay]
            _check_count("decay", count, len(self._decays), decay)
            for each in self._decays:
                check_decay(each)
                _check_scalar(each)
            if all(isinstance(each, numbers.Real | np.number) for each in self._decays):
                self._rates = np.float32(1) - np.array(self._decays, np.float32)
        elif tf.is_tensor(rates) or isinstance(rates, tf.Variable):
            self._rates = rates
        else:
            known = np.asarray(rates, np.float32)
            self._rates = known.reshape([1]) if known.ndim == 0 else known
            _check_count("rates", count, self._rates.shape[0], rates)
            if self._rates.ndim != 1 or not ((self._rates >= 0) & (self._rates <= 1)).all():
                message = f"`rates` must be a list of numbers in [0, 1]. Received: rates={rates}."
                raise ValueError(message)
        self._count = count

    def of(self, indices: tuple[int, ...]) -> tf.Tensor:
        """The rates of some of the lists, as a float32 tensor on the device of the scope."""
        if isinstance(self._rates, np.ndarray):
            return tf.constant(self._rates[list(indices)], name="rates")
        if self._rates is None:
            chosen = [
                1.0 - tf.convert_to_tensor(self._decays[index], tf.float32, name="decay")
                for index in indices
            ]
            return tf.stack(chosen, name="rates")
        rates = tf.convert_to_tensor(self._rates, tf.float32, name="rates")
        if rates.shape.rank == 0:
            rates = tf.expand_dims(rates, 0)
        if indices == tuple(range(self._count)):
            return rates  # The kernel checks how many there are.
        return tf.gather(rates, list(indices), name="rates")


def _check_count(name: str, count: int, received: int, value: object) -> None:
    if received != count:
        message = (
            f"`{name}` must be one for each of the {count} lists of averages. "
            f"Received: {name}={value}."
        )
        raise ValueError(message)


def _check_scalar(decay: object) -> None:
    shape = tf.TensorShape(getattr(decay, "shape", []))
    if shape.rank:
        message = f"Each decay must be a scalar. Received: shape {shape.as_list()}."
        raise ValueError(message)
