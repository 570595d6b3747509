"""One formula for numbers, arrays and tensors: the functions that it is written in."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Functions:
    """Functions of float64 values that broadcast, of NumPy or of TensorFlow."""

    expm1: Callable[[Any], Any]
    log1p: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    minimum: Callable[[Any, Any], Any]
    maximum: Callable[[Any, Any], Any]
    where: Callable[[Any, Any, Any], Any]
    zeros_like: Callable[[Any], Any]
    sum: Callable[[Any, int], Any]


_NUMPY: Final = Functions(
    np.expm1, np.log1p, np.exp, np.minimum, np.maximum, np.where, np.zeros_like, np.sum
)
_TENSORFLOW: Final = Functions(
    tf.math.expm1,
    tf.math.log1p,
    tf.math.exp,
    tf.minimum,
    tf.maximum,
    tf.where,
    tf.zeros_like,
    tf.reduce_sum,
)


def evaluated(formula: Callable[[Any, Functions], Any], n: Any, at_least: int = 1) -> Any:
    """A formula's value at counts.

    Args:
      formula: Called with the counts in float64, and the functions to use.
      n: A number, an array, or a tensor or variable.
      at_least: What numbers and arrays must reach.

    Returns:
      A NumPy scalar, an array or a tensor of the shape of `n`, float64.

    Raises:
      ValueError: If a number or array is below `at_least`.
    """
    if not isinstance(n, numbers.Real | np.generic | np.ndarray | list | tuple):
        return formula(tf.cast(n, tf.float64), _TENSORFLOW)
    counts = np.asarray(n, np.float64)
    if not (counts >= at_least).all():
        message = f"`n` counts updates and must be {at_least} or more. Received: n={n}."
        raise ValueError(message)
    with np.errstate(divide="ignore"):  # The logarithm of a decay of 0 is -inf.
        return formula(counts, _NUMPY)[()]
