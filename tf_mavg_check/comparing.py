"""Compares lists of arrays to the bit, and makes the arrays to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tf_mavg_check.reference import FLOAT64, bits
from tf_mavg_check.results import Wrong

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tf_mavg_check.reference import Array

# Of elements: around vectors of 16 to 64 bytes, around the CPU's block of half precision.
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 511, 512, 513, 1023]


def sizes_around(chunk: int) -> list[int]:
    """Numbers of elements around vectors and around chunks of so many."""
    return [*SIZES, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 3 * chunk + 5]


class Numbers:
    """Arrays of random numbers, the same ones in every run."""

    def __init__(self) -> None:
        """Starts with the first numbers."""
        self._rng = np.random.default_rng(20)

    def normal(self, sizes: Iterable[int], dtype: np.dtype[Any], *, offset: int = 0) -> list[Array]:
        """Normal numbers; each array begins `offset` elements behind an aligned address."""
        return [self._rng.standard_normal(size + offset).astype(dtype)[offset:] for size in sizes]

    def patterns(self, size: int, dtype: np.dtype[Any]) -> Array:
        """Any bits: infinities, NaNs of any payload, denormals, both zeros."""
        drawn = self._rng.integers(0, 256, size * dtype.itemsize, np.uint8)
        return drawn.view(dtype)


def copies(arrays: Iterable[Array]) -> list[Array]:
    """Arrays of their own with the same numbers."""
    return [array.copy() for array in arrays]


def compare(received: Sequence[Array], expected: Sequence[Array], *, what: str) -> int:
    """Compares every bit, but for a NaN's payload, which a GPU does not keep.

    Returns:
      How many elements were compared.

    Raises:
      Wrong: They differ.
    """
    for position, (one, other) in enumerate(zip(received, expected, strict=True)):
        differ = _differences(one, other)
        if differ.size:
            place = int(differ[0])
            message = (
                f"{what}: {differ.size} of {one.size} elements differ at position {position} of "
                f"the list, first element {place}. Expected: {other[place]!r}, "
                f"received: {one[place]!r}"
            )
            raise Wrong(message)
    return sum(array.size for array in received)


def _differences(one: Array, other: Array) -> Array:
    same = (bits(one) == bits(other)).reshape(-1, max(1, one.itemsize)).all(axis=1)
    if one.dtype.kind in "iu":
        return np.flatnonzero(~same)
    with np.errstate(invalid="ignore"):  # A signalling NaN.
        both_nan = np.isnan(one.astype(FLOAT64)) & np.isnan(other.astype(FLOAT64))
    return np.flatnonzero(~(same | both_nan))
