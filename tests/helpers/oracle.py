"""What an update must give, in NumPy: to the bit, and as an exact number."""

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT16 = np.dtype(np.float16)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)

# (dtype of the average, dtype of the variable), as the ops accept them.
AVERAGE_DTYPES = [
    (FLOAT16, FLOAT16),
    (BFLOAT16, BFLOAT16),
    (FLOAT32, FLOAT32),
    (FLOAT64, FLOAT64),
    (FLOAT32, FLOAT16),
    (FLOAT32, BFLOAT16),
]
SAME_DTYPES = [average for average, variable in AVERAGE_DTYPES if average == variable]

# Around the vector widths (4, 8, 16), the block of half precision (512) and the chunk (8192).
SIZES = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 511, 512, 513, 8191, 8192, 8193, 16385]


def dtypes_id(dtypes: tuple[np.dtype, np.dtype]) -> str:
    """A test's name for two dtypes: "float16 in float32"."""
    average, variable = dtypes
    return variable.name if average == variable else f"{variable.name} in {average.name}"


def rate_of(decay: float) -> np.float32:
    """What an update multiplies with: 1 - decay, taken in float32."""
    return np.float32(1) - np.float32(decay)


def updated(average: NDArray, variable: NDArray, decay: float) -> NDArray:
    """The average after one update, bit for bit: computed in float32 or float64, rounded once.

    A rate of 1 copies the variable, and one of 0 keeps the average, whatever their values.
    """
    compute = FLOAT64 if average.dtype == FLOAT64 else FLOAT32
    rate = rate_of(decay).astype(compute)
    if rate in {0, 1}:
        return variable.astype(average.dtype) if rate else average.copy()
    wide = average.astype(compute)
    return (wide - (wide - variable.astype(compute)) * rate).astype(average.dtype)


def exact(average: NDArray, variable: NDArray, decay: float) -> NDArray[np.float64]:
    """The average after one update in float64, with the rate 1 - decay taken in float32."""
    rate = float(rate_of(decay))
    return average.astype(FLOAT64) * (1 - rate) + variable.astype(FLOAT64) * rate


def normal(rng: np.random.Generator, size: int | tuple[int, ...], dtype: np.dtype) -> NDArray:
    """Normal numbers, rounded to a dtype."""
    return rng.standard_normal(size).astype(dtype)


def bits(array: NDArray) -> NDArray[np.uint8]:
    """The bytes of an array, for comparisons in which every bit counts."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


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


def is_finite(array: NDArray) -> NDArray[np.bool_]:
    """Which elements are finite, by NumPy, in float64."""
    with np.errstate(invalid="ignore"):  # A signalling NaN.
        return np.isfinite(array.astype(FLOAT64))


def split(values: NDArray[np.float32]) -> tuple[NDArray, NDArray[np.int16]]:
    """The halves of float32 numbers, bfloat16 and the remainder; see cc/core/split.h."""
    bits_of = np.asarray(values).view(np.uint32)
    kept = np.where(np.isnan(values), (bits_of | 0x00400000) & 0xFFFF0000, bits_of)
    high = (kept.astype(np.uint64) + 0x8000 >> 16).astype(np.uint16)
    remainder = (kept.astype(np.int64) - (high.astype(np.int64) << 16)).astype(np.int16)
    return np.asarray(high.view(BFLOAT16)), np.asarray(remainder)


def joined(high: NDArray, remainder: NDArray[np.int16]) -> NDArray[np.float32]:
    """The float32 numbers whose halves these are."""
    total = (high.view(np.uint16).astype(np.int64) << 16) + remainder.astype(np.int64)
    return np.asarray(total.astype(np.uint32).view(FLOAT32))
