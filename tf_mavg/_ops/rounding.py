"""How an update rounds averages of half precision: to the nearest number, or stochastically."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

from tf_mavg._ops.library import OPS
from tf_mavg._ops.variables import HALF_DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tf_mavg._ops.lists import Bucket

_INT64: Final = np.iinfo(np.int64)


def whole_number(name: str, value: Any) -> int:
    """A number as an int.

    Raises:
      TypeError: If it is no whole number.
      ValueError: If it does not fit into an int64.
    """
    number = operator.index(value)
    if not _INT64.min <= number <= _INT64.max:
        message = f"`{name}` must fit into an int64. Received: {name}={value}."
        raise ValueError(message)
    return number


class Rounding:
    """How one update rounds the averages of all lists.

    The random bits of a stochastic one depend on the seed, the number of the update, the list that
    an average is of, and the element: see cc/core/formulas/random_bits.h.
    """

    def __init__(self, count: int, key: Any = None) -> None:
        """Makes the keys of all lists, on the device of the scope.

        Args:
          count: How many lists of averages there are.
          key: For stochastic rounding the seed and the number of the update: numbers, or scalar
            tensors, or both as one tensor.

        Raises:
          TypeError: If one of the two is no whole number.
          ValueError: If there are not two, or one does not fit into an int64.
        """
        self._keys = None if key is None else _keys(count, key)
        self._count = count

    @classmethod
    def of(cls, count: int, key: Any) -> Rounding:
        """What a key says, or is already."""
        return key if isinstance(key, Rounding) else cls(count, key)

    def op(self, kind: str, bucket: Bucket) -> Callable[..., Any]:
        """The native op of a kind, such as "bound_apply", that updates a bucket with its rates.

        Averages that are not of half precision have nothing to be rounded stochastically.
        """
        if self._keys is None or bucket.is_split or bucket.first_dtype not in HALF_DTYPES:
            return getattr(OPS, f"{kind}_moving_average")  # type: ignore[no-any-return]
        op = getattr(OPS, f"{kind}_stochastic_average")
        return functools.partial(op, keys=self._of(bucket.indices))

    def _of(self, indices: tuple[int, ...]) -> tf.Tensor:
        if isinstance(self._keys, np.ndarray):
            return tf.constant(self._keys[list(indices)], name="keys")
        if indices == tuple(range(self._count)):
            return self._keys
        return tf.gather(self._keys, list(indices), name="keys")


def _keys(count: int, key: Any) -> Any:
    """A row for each list: an array, if the host knows the numbers, else a tensor."""
    if tf.is_tensor(key) or isinstance(key, tf.Variable):
        shape = key.shape
        if not shape.is_compatible_with([2]):
            _refuse(f"a tensor of shape {shape}")
        key = tf.unstack(tf.cast(key, tf.int64), num=2)
    elif not isinstance(key, list | tuple) or len(key) != 2:  # noqa: PLR2004 - a pair.
        _refuse(repr(key))
    if not any(tf.is_tensor(one) or isinstance(one, tf.Variable) for one in key):
        seed, update = (whole_number("rounding_key", one) for one in key)
        return np.array([[seed, update, index] for index in range(count)], np.int64)
    rows = [[*key, index] for index in range(count)]
    numbers = [tf.cast(number, tf.int64) for row in rows for number in row]
    return tf.reshape(tf.stack(numbers), [count, 3], name="keys")


def _refuse(received: str) -> None:
    message = (
        "`rounding_key` must be a seed and the number of the update, two integers. "
        f"Received: {received}."
    )
    raise ValueError(message)
