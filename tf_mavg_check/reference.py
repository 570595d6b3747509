"""What the kernels must give, in NumPy and to the bit: the reference of checks and of tests."""

from __future__ import annotations

from typing import Any, Final

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Key = tuple[int, int, int]  # Seed, number of the update, index of the average.

BFLOAT16: Final = np.dtype(ml_dtypes.bfloat16)
FLOAT16: Final = np.dtype(np.float16)
FLOAT32: Final = np.dtype(np.float32)
FLOAT64: Final = np.dtype(np.float64)

# (dtype of the average, dtype of the variable), as the ops accept them.
AVERAGE_DTYPES: Final[list[tuple[np.dtype[Any], np.dtype[Any]]]] = [
    (FLOAT16, FLOAT16),
    (BFLOAT16, BFLOAT16),
    (FLOAT32, FLOAT32),
    (FLOAT64, FLOAT64),
    (FLOAT32, FLOAT16),
    (FLOAT32, BFLOAT16),
]
# In which an average can be rounded stochastically.
HALVES: Final = [FLOAT16, BFLOAT16]
# The largest number of each, and the step below it.
LARGEST: Final = {FLOAT16: (65504.0, 32.0), BFLOAT16: (float.fromhex("0x1.fep127"), 2.0**120)}
# The exponents of the smallest normal number and of the denormal ones' step.
SMALLEST: Final = {FLOAT16: (-14, -24), BFLOAT16: (-126, -133)}


def dtypes_text(average: np.dtype[Any], variable: np.dtype[Any]) -> str:
    """What a pair of dtypes is called: "float32", "bfloat16 in float32"."""
    return variable.name if average == variable else f"{variable.name} in {average.name}"


def rate_of(decay: float) -> np.float32:
    """What an update multiplies with: 1 - decay, taken in float32."""
    return np.float32(np.float32(1) - np.float32(decay))


def updated(average: Array, variable: Array, decay: float) -> Array:
    """The average after one update, bit for bit: computed in float32 or float64, rounded once.

    A rate of 1 copies the variable, and one of 0 keeps the average, whatever their values.
    """
    compute = FLOAT64 if average.dtype == FLOAT64 else FLOAT32
    rate = rate_of(decay).astype(compute)
    if rate in {0, 1}:
        return variable.astype(average.dtype) if rate else average.copy()
    wide = average.astype(compute)
    moved: Array = (wide - (wide - variable.astype(compute)) * rate).astype(average.dtype)
    return moved


def is_finite(array: Array) -> NDArray[np.bool_]:
    """Which elements are finite, by NumPy, in float64."""
    with np.errstate(invalid="ignore"):  # A signalling NaN.
        return np.isfinite(array.astype(FLOAT64))


def split(values: NDArray[np.float32]) -> tuple[Array, NDArray[np.int16]]:
    """The halves of float32 numbers, bfloat16 and the remainder; see cc/core/formulas/split.h."""
    bits_of = np.asarray(values).view(np.uint32)
    kept = np.where(np.isnan(values), (bits_of | 0x00400000) & 0xFFFF0000, bits_of)
    high = (kept.astype(np.uint64) + 0x8000 >> 16).astype(np.uint16)
    remainder = (kept.astype(np.int64) - (high.astype(np.int64) << 16)).astype(np.int16)
    return np.asarray(high.view(BFLOAT16)), np.asarray(remainder)


def joined(high: Array, remainder: NDArray[np.int16]) -> NDArray[np.float32]:
    """The float32 numbers whose halves these are."""
    total = (high.view(np.uint16).astype(np.int64) << 16) + remainder.astype(np.int64)
    return np.asarray(total.astype(np.uint32).view(FLOAT32))


def _absorbed(state: int, number: int) -> int:
    """One step of the key: SplitMix64's finaliser."""
    mask = 2**64 - 1
    mixed = (state + number + 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)


def random_bits(key: Key, size: int, offset: int = 0) -> NDArray[np.uint32]:
    """The words of elements whose offsets have one upper half."""
    state = 0
    for number in (*key, offset >> 32):
        state = _absorbed(state, number % 2**64)
    places = np.arange(size, dtype=np.uint64) + np.uint64((state + offset) % 2**32)
    words = places.astype(np.uint32)
    words ^= words >> np.uint32(16)
    words *= np.uint32(0x7FEB352D)
    words ^= (words >> np.uint32(15)) ^ np.uint32(state >> 32)
    words *= np.uint32(0x846CA68B)
    return words ^ (words >> np.uint32(16))


def rounded(numbers: NDArray[np.float32], words: NDArray[np.uint32], dtype: np.dtype[Any]) -> Array:
    """Numbers in half precision: up by as many of all words as the number is beyond the lower one.

    In float64, which holds a float32's part of a step exactly.
    """
    nearest = numbers.astype(dtype)
    largest, _ = LARGEST[dtype]
    magnitude = np.abs(numbers.astype(FLOAT64))
    between = magnitude < largest  # Not NaN.
    magnitude = np.where(between, magnitude, 0.0)
    normal, step = SMALLEST[dtype]
    exponents = np.maximum(np.frexp(magnitude)[1] - 1, normal)
    steps = np.ldexp(1.0, exponents - normal + step)
    lower = np.floor(magnitude / steps) * steps
    drawn = 31 if dtype == FLOAT16 else 16
    chances = np.floor((magnitude - lower) / steps * 2.0**drawn)
    # A bfloat16 goes up if a carry comes out of the sum of the rest and the random bits.
    up = words >> np.uint32(1) if dtype == FLOAT16 else 2**16 - 1 - (words >> np.uint32(16))
    found = np.copysign(lower + np.where(up < chances, steps, 0.0), numbers)
    return np.where(between, found.astype(dtype), nearest)


def updated_stochastically(average: Array, variable: Array, decay: float, key: Key) -> Array:
    """The average after one update with stochastic rounding, bit for bit."""
    rate = rate_of(decay)
    if rate in {0, 1}:
        return variable.copy() if rate else average.copy()
    wide = average.astype(FLOAT32)
    moved = wide - (wide - variable.astype(FLOAT32)) * rate
    return rounded(moved, random_bits(key, average.size), average.dtype)


def bits(array: Array) -> NDArray[np.uint8]:
    """The bytes of an array, for comparisons in which every bit counts."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
