"""Arrays for tests of the GPU kernels: their sizes, and how they are compared."""

import numpy as np
from numpy.typing import NDArray
from oracle import assert_same_bits


def sizes_around_boundaries(chunk: int) -> list[int]:
    """Numbers of elements around 16-byte packs and around chunks."""
    packs = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33]
    return [*packs, 1023, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 3 * chunk + 5]


def assert_same_numbers(received: NDArray, expected: NDArray) -> None:
    """Asserts that arrays agree in every bit, except in a NaN's payload: a GPU keeps none."""
    with np.errstate(invalid="ignore"):  # What was copied may be a signalling NaN.
        is_nan = np.isnan(expected.astype(np.float64))
        np.testing.assert_array_equal(np.isnan(received.astype(np.float64)), is_nan)
    assert_same_bits(received[~is_nan], expected[~is_nan])
