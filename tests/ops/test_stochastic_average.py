"""Stochastic rounding by the ops: the bits that its key says, in every way to run an op."""

import numpy as np
import pytest
import tensorflow as tf
from oracle import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    SIZES,
    assert_same_bits,
    normal,
    updated,
)

from tf_mavg import ops
from tf_mavg._ops.library import OPS
from tf_mavg_check.reference import HALVES, updated_stochastically

INT64_MAX = 2**63 - 1
half = pytest.mark.parametrize("dtype", HALVES, ids=str)


@half
@pytest.mark.parametrize("key", [(0, 1), (-INT64_MAX - 1, INT64_MAX)], ids=str)
def test_averages_have_the_bits_that_the_key_says(world, dtype, key, rng):
    averages, values = ([normal(rng, size, dtype) for size in SIZES] for _ in range(2))
    a, v = world.variables(averages, "average"), world.variables(values)
    world.run(lambda: ops.apply_moving_average(a, v, 0.9, rounding_key=key))
    for received, average, value in zip(world.read(a), averages, values, strict=True):
        assert_same_bits(received, updated_stochastically(average, value, 0.9, (*key, 0)))
    for received, value in zip(world.read(v), values, strict=True):
        assert_same_bits(received, value)


def test_averages_of_other_dtypes_are_what_they_are_without(world, rng):
    dtypes = [(FLOAT32, FLOAT32), (BFLOAT16, BFLOAT16), (FLOAT32, FLOAT16), (FLOAT16, FLOAT16)]
    averages = [normal(rng, 100, average) for average, _ in dtypes]
    values = [normal(rng, 100, variable) for _, variable in dtypes]
    a, v = world.variables(averages, "average"), world.variables(values)
    world.run(lambda: ops.apply_moving_average(a, v, 0.9, rounding_key=(5, 6)))
    for received, average, value in zip(world.read(a), averages, values, strict=True):
        expected = (
            updated_stochastically(average, value, 0.9, (5, 6, 0))
            if average.dtype in HALVES
            else updated(average, value, 0.9)
        )
        assert_same_bits(received, expected)


@half
def test_several_averages_draw_by_their_own_indices(world, dtype, rng):
    # Six lists, more than one op takes; the third is of float32.
    dtypes = [dtype, dtype, FLOAT32, dtype, dtype, dtype]
    value = normal(rng, 50, dtype)
    starts = [normal(rng, 50, each) for each in dtypes]
    averages = [world.variables([start], f"average_{i}") for i, start in enumerate(starts)]
    variables = world.variables([value])
    world.run(lambda: ops.apply_moving_average(averages, variables, [0.9] * 6, rounding_key=(1, 2)))
    for index, (side, start) in enumerate(zip(averages, starts, strict=True)):
        expected = (
            updated(start, value, 0.9)
            if start.dtype == FLOAT32
            else updated_stochastically(start, value, 0.9, (1, 2, index))
        )
        assert_same_bits(world.read(side)[0], expected)


@half
def test_a_rate_of_1_copies_and_one_of_0_keeps(world, dtype, rng):
    start, value = normal(rng, 50, dtype), normal(rng, 50, dtype)
    averages = [world.variables([start], f"average_{i}") for i in range(2)]
    variables = world.variables([value])
    world.run(
        lambda: ops.apply_moving_average(averages, variables, rates=[1, 0], rounding_key=(1, 2))
    )
    assert_same_bits(world.read(averages[0])[0], value)
    assert_same_bits(world.read(averages[1])[0], start)


@half
def test_one_function_serves_all_updates(dtype, rng):
    start, value = normal(rng, 300, dtype), normal(rng, 300, dtype)
    average, variable = tf.Variable(start), tf.Variable(value)

    @tf.function
    def step(key):
        ops.apply_moving_average([average], [variable], 0.99, rounding_key=key)

    expected = start
    for update in range(1, 4):
        step(tf.constant([7, update], tf.int64))
        expected = updated_stochastically(expected, value, 0.99, (7, update, 0))
        assert_same_bits(average.numpy(), expected)
    assert step.experimental_get_tracing_count() == 1


@half
def test_a_binding_rounds_as_the_op_does(dtype, rng):
    start, value = normal(rng, 300, dtype), normal(rng, 300, dtype)
    average, variable = tf.Variable(start), tf.Variable(value)
    binding = ops.Binding([average], [variable])
    decay = tf.constant(0.99)
    binding.apply_moving_average(decay)
    expected = updated(start, value, 0.99)
    for update in (1, 2):
        binding.apply_moving_average(decay, rounding_key=(7, update))
        expected = updated_stochastically(expected, value, 0.99, (7, update, 0))
        assert_same_bits(average.numpy(), expected)
    count = tf.Variable(2, dtype=tf.int64)

    @tf.function
    def step():
        binding.apply_moving_average(0.99, rounding_key=(7, count.assign_add(1)))

    for update in (3, 4):
        step()
        expected = updated_stochastically(expected, value, 0.99, (7, update, 0))
        assert_same_bits(average.numpy(), expected)
    binding.apply_moving_average(decay)
    assert_same_bits(average.numpy(), updated(expected, value, 0.99))


@pytest.mark.cpu  # The emulated GPU has no XLA.
@half
@pytest.mark.parametrize("shape", [(0,), (1,), (1000,), (7, 3, 5)], ids=str)
def test_xla_draws_the_same_bits(dtype, shape, rng):
    # At rates of one bit no product is rounded, so that its contraction changes nothing.
    start, value = normal(rng, shape, dtype), normal(rng, shape, dtype) * dtype.type(1e-3)
    value = value.astype(dtype)
    averages, variable = [tf.Variable(start) for _ in range(4)], tf.Variable(value)

    @tf.function(jit_compile=True)
    def step(rates, key):
        sides = [[average] for average in averages]
        ops.apply_moving_average(sides, [variable], rates=rates, rounding_key=key)

    rates = [2.0**-3, 2.0**-12, 1.0, 0.0]
    step(tf.constant(rates), tf.constant([-7, 9], tf.int64))
    for index, (average, rate) in enumerate(zip(averages, rates, strict=True)):
        flat = [array.reshape(-1) for array in (start, value)]
        expected = updated_stochastically(*flat, 1 - rate, (-7, 9, index)).reshape(shape)
        assert_same_bits(average.numpy(), expected)


@pytest.mark.cpu  # The emulated GPU has no XLA.
@half
def test_xla_rounds_what_is_tiny_or_large_alike(dtype):
    finite = np.arange(2**16, dtype=np.uint16).view(dtype)
    finite = finite[np.isfinite(finite.astype(np.float32)) & (np.abs(finite) > 2.0**-100)]
    average, variable = tf.Variable(np.zeros_like(finite)), tf.Variable(finite)

    @tf.function(jit_compile=True)
    def step(rates):
        ops.apply_moving_average([average], [variable], rates=rates, rounding_key=(1, 1))

    for exponent in (1, 9, 20):
        average.assign(np.zeros_like(finite))
        step(tf.constant([2.0**-exponent]))
        start = np.zeros_like(finite)
        expected = updated_stochastically(start, finite, 1 - 2.0**-exponent, (1, 1, 0))
        assert_same_bits(average.numpy(), expected)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (5, ValueError, "two integers. Received: 5."),
        ((1, 2, 3), ValueError, r"two integers. Received: \(1, 2, 3\)."),
        ((0.5, 1), TypeError, "'float' object cannot be interpreted as an integer"),
        ((INT64_MAX + 1, 1), ValueError, "`rounding_key` must fit into an int64. Received"),
    ],
    ids=str,
)
def test_a_key_is_two_numbers(key, error, message):
    average, variable = tf.Variable([1.0]), tf.Variable([1.0])
    with pytest.raises(error, match=message):
        ops.apply_moving_average([average], [variable], 0.9, rounding_key=key)


def test_a_tensor_of_another_shape_is_no_key():
    average, variable = tf.Variable([1.0]), tf.Variable([1.0])
    with pytest.raises(ValueError, match=r"Received: a tensor of shape \(3,\)"):
        ops.apply_moving_average([average], [variable], 0.9, rounding_key=tf.constant([1, 2, 3]))


@half
def test_the_native_op_refuses_what_it_cannot_serve(dtype):
    halves = [tf.Variable(np.ones(2, dtype)) for _ in range(2)]
    binding = ops.Binding(halves[:1], halves[1:])._handles[0]
    call = OPS.bound_apply_stochastic_average
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"keys must be of shape \[1, 3\]"):
        call(binding, [0.5], np.zeros([2, 3], np.int64))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"rates must be of shape \[1\]"):
        call(binding, [0.5, 0.5], np.zeros([1, 3], np.int64))
    floats = [tf.Variable(np.ones(2, FLOAT32)) for _ in range(2)]
    binding = ops.Binding(floats[:1], floats[1:])._handles[0]
    message = "averages must be half or bfloat16. Received: float32."
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(binding, [0.5], np.zeros([1, 3], np.int64))


@pytest.mark.cpu  # The host cannot see a rate on a GPU.
def test_a_rate_outside_its_interval_is_refused():
    halves = [tf.Variable(np.ones(2, BFLOAT16)) for _ in range(2)]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"decay must be in \[0, 1\]"):
        ops.apply_moving_average(
            halves[:1], halves[1:], rates=tf.constant([1.5]), rounding_key=(1, 1)
        )
    assert (halves[0].numpy() == 1).all()


@pytest.mark.cpu
def test_a_variable_that_threads_share_has_the_bits_of_one_that_they_do_not(rng):
    start, value = normal(rng, 10**6 + 7, BFLOAT16), normal(rng, 10**6 + 7, BFLOAT16)
    average, variable = tf.Variable(start), tf.Variable(value)
    ops.apply_moving_average([average], [variable], 0.999, rounding_key=(3, 4))
    assert_same_bits(average.numpy(), updated_stochastically(start, value, 0.999, (3, 4, 0)))
