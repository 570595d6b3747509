"""The values of files: what they are, and sums of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

# Elements of a sum that are computed at once, so that a product needs little memory.
_CHUNK: Final = 1 << 16


class Spec(NamedTuple):
    """What a value is.

    Attributes:
      shape: Its shape.
      dtype: The name of its dtype, as TensorFlow has it.
    """

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        """As messages have it: "float32 of shape [2, 3]"."""
        return f"{self.dtype} of shape {list(self.shape)}"

    @property
    def is_floating(self) -> bool:
        """Whether it is made of real numbers, which can be averaged."""
        return bool(tf.as_dtype(self.dtype).is_floating)


def weighted_sum(
    coefficients: Iterable[float], reads: Iterable[Callable[[], Any]], spec: Spec, compute: str
) -> NDArray[Any]:
    """The sum of coefficient * value, in the order given, rounded once to the values' dtype.

    It holds the sum and one value.

    Args:
      coefficients: A number for each value.
      reads: For each value a function that reads it.
      spec: What the values are.
      compute: "float32" or "float64"; float64 values are summed in float64 at any rate.
    """
    dtype = np.dtype(np.float64 if spec.dtype == "float64" else compute)
    total = np.zeros(int(np.prod(spec.shape)), dtype)
    is_first = True
    for coefficient, read in zip(coefficients, reads, strict=True):
        value = np.asarray(read()).reshape(-1)
        factor = dtype.type(coefficient)
        for start in range(0, total.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            product = value[part].astype(dtype) * factor
            if is_first:
                total[part] = product  # Not 0 + product, which has no -0.
            else:
                total[part] += product
        del value
        is_first = False
    return rounded_to(spec, total.reshape(spec.shape))


def rounded_to(spec: Spec, value: Any) -> NDArray[Any]:
    """A value in another dtype, rounded to nearest; itself if it has that dtype."""
    return np.asarray(value).astype(tf.as_dtype(spec.dtype).as_numpy_dtype, copy=False)
