"""What an update must give, in NumPy: to the bit, and as an exact number."""

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tf_mavg_check.reference import (
    AVERAGE_DTYPES,
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    bits,
    is_finite,
    joined,
    rate_of,
    split,
    updated,
)

__all__ = [
    "AVERAGE_DTYPES",
    "BFLOAT16",
    "FLOAT16",
    "FLOAT32",
    "FLOAT64",
    "SAME_DTYPES",
    "SIZES",
    "assert_same_bits",
    "bits",
    "delicate",
    "dtypes_id",
    "exact",
    "extreme",
    "infinite",
    "is_finite",
    "joined",
    "normal",
    "patterns",
    "rate_of",
    "split",
    "updated",
]

SAME_DTYPES = [average for average, variable in AVERAGE_DTYPES if average == variable]

# Around the vector widths (4, 8, 16), the block of half precision (512) and the chunk (8192).
SIZES = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 511, 512, 513, 8191, 8192, 8193, 16385]


def dtypes_id(dtypes: tuple[np.dtype, np.dtype]) -> str:
    """A test's name for two dtypes: "float16 in float32"."""
    average, variable = dtypes
    return variable.name if average == variable else f"{variable.name} in {average.name}"


def exact(average: NDArray, variable: NDArray, decay: float) -> NDArray[np.float64]:
    """The average after one update in float64, with the rate 1 - decay taken in float32."""
    rate = float(rate_of(decay))
    return average.astype(FLOAT64) * (1 - rate) + variable.astype(FLOAT64) * rate


def normal(rng: np.random.Generator, size: int | tuple[int, ...], dtype: np.dtype) -> NDArray:
    """Normal numbers, rounded to a dtype."""
    return rng.standard_normal(size).astype(dtype)


def assert_same_bits(received: NDArray, expected: NDArray) -> None:
    """Asserts that two arrays agree in dtype, shape and every bit."""
    assert received.dtype == expected.dtype
    assert received.shape == expected.shape
    np.testing.assert_array_equal(bits(received), bits(expected))


def patterns(rng: np.random.Generator, size: int, dtype: np.dtype) -> np.ndarray:
    """Numbers of all bit patterns: NaNs of any payload, infinities, denormals, both zeros."""
    return rng.integers(0, 256, size * dtype.itemsize, np.uint8).view(dtype)


def delicate(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Bits that arithmetic may change: signalling NaNs with payloads, -0.0, denormals, in turn."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    sign = 1 << (8 * dtype.itemsize - 1)
    infinity = int(np.array(np.inf, dtype).view(unsigned))
    found = np.resize(np.array([infinity + 1, sign, 1, sign + infinity + 3], unsigned), shape)
    return found.view(dtype)


def extreme(dtype: np.dtype) -> NDArray:
    """Finite numbers that a test for finiteness may take for others: the largest, denormals."""
    facts = ml_dtypes.finfo(dtype)
    found = [facts.max, -facts.max, facts.smallest_subnormal, facts.smallest_normal, 0.0, -0.0, 1]
    return np.array(found, dtype)


def infinite(dtype: np.dtype) -> NDArray:
    """Numbers that are not finite: both infinities, NaNs of either sign, quiet and signalling."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    sign = 1 << (8 * dtype.itemsize - 1)
    infinity = int(np.array(np.inf, dtype).view(unsigned))
    found = [infinity, sign | infinity, infinity + 1, sign | (infinity + 1), sign - 1, 2 * sign - 1]
    return np.array(found, unsigned).view(dtype)
