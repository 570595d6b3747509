"""Passes over more elements than a thread takes at once: whoever does a part, it is done once."""

import pytest
import tensorflow as tf
from oracle import SAME_DTYPES, assert_same_bits, normal, updated

from tf_mavg import ops

# A thread takes some 65,536 elements of float32: many such parts, with others in between.
SIZES = [320_001, 7, 0, 65_536, 131_073, 1]


@pytest.mark.parametrize("dtype", SAME_DTYPES, ids=str)
def test_a_large_update(dtype, rng):
    averages, values = ([normal(rng, size, dtype) for size in SIZES] for _ in "ab")
    held, variables = ([tf.Variable(value) for value in side] for side in (averages, values))
    ops.apply_moving_average(held, variables, 0.75)
    for received, average, value in zip(held, averages, values, strict=True):
        assert_same_bits(received.numpy(), updated(average, value, 0.75))


def test_a_large_swap(rng):
    first, second = ([normal(rng, size, SAME_DTYPES[0]) for size in SIZES] for _ in "ab")
    a, b = ([tf.Variable(value) for value in side] for side in (first, second))
    ops.swap_variables(a, b, copy=True)
    for variables, values in ((a, second), (b, first)):
        for received, value in zip(variables, values, strict=True):
            assert_same_bits(received.numpy(), value)
