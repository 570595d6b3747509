"""Stochastic rounding in NumPy: the random bits of each element, and what they round to."""

import numpy as np
from numpy.typing import NDArray
from oracle import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, rate_of

HALVES = [FLOAT16, BFLOAT16]
# The largest number of each, and the step below it.
LARGEST = {FLOAT16: (65504.0, 32.0), BFLOAT16: (float.fromhex("0x1.fep127"), 2.0**120)}
# The exponents of the smallest normal number and of the denormal ones' step.
SMALLEST = {FLOAT16: (-14, -24), BFLOAT16: (-126, -133)}


def absorbed(state: int, number: int) -> int:
    """One step of the key: SplitMix64's finaliser."""
    mask = 2**64 - 1
    mixed = (state + number + 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)


def random_bits(key: tuple[int, int, int], size: int, offset: int = 0) -> NDArray[np.uint32]:
    """The words of elements whose offsets have one upper half; a key is seed, update, average."""
    state = 0
    for number in (*key, offset >> 32):
        state = absorbed(state, number % 2**64)
    words = np.arange(size, dtype=np.uint64) + np.uint64((state + offset) % 2**32)
    words = words.astype(np.uint32)
    words ^= words >> np.uint32(16)
    words *= np.uint32(0x7FEB352D)
    words ^= (words >> np.uint32(15)) ^ np.uint32(state >> 32)
    words *= np.uint32(0x846CA68B)
    return words ^ (words >> np.uint32(16))


def rounded(numbers: NDArray[np.float32], words: NDArray[np.uint32], dtype: np.dtype) -> NDArray:
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


def updated_stochastically(
    average: NDArray, variable: NDArray, decay: float, key: tuple[int, int, int]
) -> NDArray:
    """The average after one update, bit for bit."""
    rate = rate_of(decay)
    if rate in {0, 1}:
        return variable.copy() if rate else average.copy()
    wide = average.astype(FLOAT32)
    moved = wide - (wide - variable.astype(FLOAT32)) * rate
    return rounded(moved, random_bits(key, average.size), average.dtype)
