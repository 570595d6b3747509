"""The values of files: what they are, and sums of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


def weighted_sums(
    rows: Sequence[Sequence[float]], reads: Sequence[Callable[[], Any]], spec: Spec, compute: str
) -> list[NDArray[Any]]:
    """Sums of coefficient * value, in the order given, each rounded once to the values' dtype.

    It reads each value once, and holds the sums and one value. What has the coefficient 0 takes no
    part, so that its NaN does not either.

    Args:
      rows: For each sum a coefficient for each value.
      reads: For each value a function that reads it.
      spec: What the values are.
      compute: "float32" or "float64"; float64 values are summed in float64 at any rate.
    """
    dtype = np.dtype(np.float64 if spec.dtype == "float64" else compute)
    totals = [np.zeros(int(np.prod(spec.shape)), dtype) for _ in rows]
    begun = [False] * len(rows)
    for column, read in zip(zip(*rows, strict=True), reads, strict=True):
        if not any(column):
            continue
        value = np.asarray(read()).reshape(-1)
        for k, coefficient in enumerate(column):
            if coefficient:
                _add_product(totals[k], value, dtype.type(coefficient), is_first=not begun[k])
                begun[k] = True
        del value  # Before the next one is read.
    return [rounded_to(spec, total.reshape(spec.shape)) for total in totals]


def _add_product(total: NDArray[Any], value: NDArray[Any], factor: Any, *, is_first: bool) -> None:
    for start in range(0, total.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        product = value[part].astype(total.dtype) * factor
        if is_first:
            total[part] = product  # Not 0 + product, which is never -0.
        else:
            total[part] += product


def rounded_to(spec: Spec, value: Any) -> NDArray[Any]:
    """A value in another dtype, rounded to nearest; itself if it has that dtype."""
    return np.asarray(value).astype(tf.as_dtype(spec.dtype).as_numpy_dtype, copy=False)
