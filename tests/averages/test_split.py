"""Split averages in the holder: bit for bit what float32 averages are, and swapped without loss."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import worlds
from oracle import BFLOAT16, FLOAT32, assert_same_bits, joined, normal, split, updated

from tf_mavg import ExponentialMovingAverage, MovingAverageOptimizer, ops

SHAPES = [(), (3,), (40, 7), (9000,)]


def values_of(rng):
    """Values of bfloat16 variables."""
    return [normal(rng, shape, BFLOAT16) for shape in SHAPES]


def exact(ema, variables, index=0):
    """The averages with all of their bits, as arrays."""
    return [ema.average_value(variable, index).numpy() for variable in variables]


def assert_all_same_bits(received, expected):
    """Asserts that lists of arrays agree in every bit."""
    for one, other in zip(received, expected, strict=True):
        assert_same_bits(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("in_function", [False, True])
def test_a_thousand_steps_with_swaps_leave_the_bits_of_float32_averages(in_function, rng):
    variables = [tf.Variable(value) for value in values_of(rng)]
    wide = ExponentialMovingAverage(0.99, average_dtype="float32")
    ema = ExponentialMovingAverage(0.99, average_dtype="split")

    def step():
        for one in (wide, ema):
            one.apply(variables)

    run = tf.function(step) if in_function else step
    run()
    for number in range(1000):
        for variable in variables:
            variable.assign(normal(rng, variable.shape, BFLOAT16))
        run()
        if number % 100 == 0:
            trained = [variable.numpy() for variable in variables]
            with ema.swapped():
                for variable in variables:
                    assert_same_bits(variable.numpy(), split(wide.average(variable).numpy())[0])
                assert_all_same_bits(
                    exact(ema, variables), [wide.average(v).numpy() for v in variables]
                )
            assert_all_same_bits([v.numpy() for v in variables], trained)
    assert_all_same_bits(exact(ema, variables), [wide.average(v).numpy() for v in variables])
    assert all(ema.average(variable).dtype == tf.bfloat16 for variable in variables)


def test_in_a_session(rng):
    for use_resource in (True, False):
        if not use_resource and "gpu" in worlds.DEVICE:
            continue  # TensorFlow keeps no reference variable of int16 there.
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            start, value = (normal(rng, 50, BFLOAT16) for _ in range(2))
            variable = tf.compat.v1.get_variable(
                "w", initializer=tf.constant(start), use_resource=use_resource
            )
            ema = ExponentialMovingAverage(0.99, average_dtype="split")
            update = ema.apply([variable])
            set_value = tf.compat.v1.assign(variable, value)
            read, swap = ema.average_value(variable), ema.swapped(session)
            session.run(tf.compat.v1.global_variables_initializer())
            assert_same_bits(session.run(read), start.astype(FLOAT32))
            session.run(set_value)
            session.run(update)
            session.run(update)
            expected = updated(updated(start.astype(FLOAT32), value, 0.99), value, 0.99)
            assert_same_bits(session.run(read), expected)
            with swap:
                assert_same_bits(session.run(variable), split(expected)[0])
            assert_same_bits(session.run(variable), value)
            assert_same_bits(session.run(read), expected)
            names = {one.op.name for one in tf.compat.v1.global_variables()}
            assert "w/ExponentialMovingAverage_remainder" in names


def test_several_averages_beside_variables_of_other_dtypes(rng):
    small, wide = tf.Variable(normal(rng, 9, BFLOAT16)), tf.Variable(normal(rng, 9, FLOAT32))
    starts = [small.numpy(), wide.numpy()]
    decays = [0.9, 0.99, 0.999]
    ema = ExponentialMovingAverage(decays, average_dtype="split")
    ema.create_averages([small, wide])
    values = [normal(rng, 9, BFLOAT16), normal(rng, 9, FLOAT32)]
    small.assign(values[0])
    wide.assign(values[1])
    ema.apply([small, wide])
    for index, decay in enumerate(decays):
        for variable, start, value in zip((small, wide), starts, values, strict=True):
            expected = updated(start.astype(FLOAT32), value, decay)
            assert_same_bits(ema.average_value(variable, index).numpy(), expected)
    assert ema.average(wide).dtype == tf.float32
    with ema.swapped(index=2):
        assert_same_bits(
            ema.average_value(small, 2).numpy(),
            updated(starts[0].astype(FLOAT32), values[0], 0.999),
        )


def averaged(rng, start=0):
    """Averages of a variable, the exact value of which no bfloat16 has."""
    variable = tf.Variable(normal(rng, 300, BFLOAT16), name="w")
    ema = ExponentialMovingAverage(0.99, average_dtype="split", start=start)
    ema.create_averages([variable])
    variable.assign(normal(rng, 300, BFLOAT16))
    ema.apply([variable])
    return ema, variable


def test_a_restart_and_an_overwrite_leave_no_remainder_behind(rng):
    ema, variable = averaged(rng)
    assert np.any(ema.average_value(variable) != tf.cast(ema.average(variable), tf.float32))
    ema.overwrite()
    assert_same_bits(variable.numpy(), ema.average(variable).numpy())
    variable.assign(normal(rng, 300, BFLOAT16))
    ema.restart()
    assert_same_bits(ema.average_value(variable).numpy(), variable.numpy().astype(FLOAT32))


def test_averages_that_copy_until_their_start(rng):
    ema, variable = averaged(rng, start=3)
    assert_same_bits(ema.average_value(variable).numpy(), variable.numpy().astype(FLOAT32))


def test_the_distance_is_that_of_the_exact_average(rng):
    ema, variable = averaged(rng)
    difference = exact(ema, [variable])[0] - variable.numpy().astype(FLOAT32)
    expected = np.linalg.norm(difference.astype(np.float64))
    np.testing.assert_allclose(ema.distance(), expected, rtol=1e-12)
    with ema.swapped():
        np.testing.assert_allclose(ema.distance(), expected, rtol=1e-12)


def test_a_copy_has_averages_of_its_own(rng):
    ema, variable = averaged(rng)
    copied = copy.deepcopy({"ema": ema.holder, "variable": variable})
    before = exact(ema, [variable])[0]
    assert_same_bits(copied["ema"].value(copied["variable"]).numpy(), before)
    ema.restart()
    assert_same_bits(copied["ema"].value(copied["variable"]).numpy(), before)


def test_infinities_denormals_and_nan():
    start = np.array([np.inf, 1e-39, 1.0, -0.0], BFLOAT16)
    variable = tf.Variable(start)
    ema = ExponentialMovingAverage(0.5, average_dtype="split")
    ema.create_averages([variable])
    assert_same_bits(ema.average_value(variable).numpy(), start.astype(FLOAT32))
    variable.assign(np.array([1.0, 0.0, np.nan, -0.0], BFLOAT16))
    ema.apply([variable])
    received = ema.average_value(variable).numpy()
    np.testing.assert_array_equal(np.isnan(received), [True, False, True, False])
    assert np.signbit(received[3])


def test_the_value_of_what_has_no_average_is_none():
    ema = ExponentialMovingAverage(0.5, average_dtype="split")
    assert ema.average_value(tf.Variable([1.0])) is None
    with pytest.raises(ValueError, match="`index` must be that of one of the averages"):
        ema.average_value(tf.Variable([1.0]), 1)


def test_float16_has_no_split_average():
    ema = ExponentialMovingAverage(0.5, average_dtype="split")
    with pytest.raises(TypeError, match=r"float16 has not its range. Received: 'h:0' of float16"):
        ema.apply([tf.Variable([1.0], dtype=tf.float16, name="h")])


@pytest.mark.cpu  # The emulated GPU has no XLA.
def test_xla_updates_them(rng):
    variable = tf.Variable(normal(rng, 300, BFLOAT16))
    start, value = variable.numpy(), normal(rng, 300, BFLOAT16)
    ema = ExponentialMovingAverage(0.75, average_dtype="split")
    ema.create_averages([variable])
    variable.assign(value)

    @tf.function(jit_compile=True)
    def step():
        ema.apply([variable])

    step()
    # A quarter is exact, so that contraction changes nothing.
    expected = updated(start.astype(FLOAT32), value, 0.75)
    assert_same_bits(ema.average_value(variable).numpy(), expected)


@pytest.mark.cpu  # The emulated GPU ends at TensorFlow's own kernel of the step.
def test_the_optimizer_of_tensorflow_1_has_them(rng):
    variable = tf.Variable(normal(rng, 30, BFLOAT16))
    start = variable.numpy()
    optimizer = MovingAverageOptimizer(
        tf.compat.v1.train.GradientDescentOptimizer(0.1), 0.9, average_dtype="split"
    )
    optimizer.apply_gradients([(tf.ones(30, tf.bfloat16), variable)])
    expected = updated(start.astype(FLOAT32), variable.numpy(), 0.9)
    assert_same_bits(optimizer.averages.average_value(variable).numpy(), expected)
    high, remainder = (optimizer.get_slot(variable, name) for name in optimizer.get_slot_names())
    assert_same_bits(joined(high.numpy(), remainder.numpy()), expected)
    assert_same_bits(ops.join(high, remainder).numpy(), expected)
    assert any(one is remainder for one in optimizer.variables())


def test_variables_that_a_step_overwrites_get_the_upper_half(rng):
    variable = tf.Variable(normal(rng, 30, BFLOAT16))
    start, value = variable.numpy(), normal(rng, 30, BFLOAT16)
    ema = ExponentialMovingAverage(0.9, average_dtype="split", overwrite_every=2)
    ema.create_averages([variable])
    variable.assign(value)
    expected = start.astype(FLOAT32)
    for _ in range(2):
        ema.apply([variable])
        expected = updated(expected, value, 0.9)
    assert_same_bits(ema.average_value(variable).numpy(), expected)
    assert_same_bits(variable.numpy(), split(expected)[0])


@pytest.mark.cpu  # Where lazy rows lie.
def test_rows_are_not_averaged_lazily_in_halves():
    table = tf.Variable(np.zeros((4, 2), BFLOAT16), name="table")
    ema = ExponentialMovingAverage(0.9, average_dtype="split", sparse="lazy")
    with pytest.raises(ValueError, match=r"Received: 'table:0', whose average is split; with spar"):
        ema.catch_up([table], [tf.constant([1])])


@pytest.mark.parametrize(
    ("dtype", "sparse", "average"),
    [
        (tf.bfloat16, "dense", tf.bfloat16),
        (tf.bfloat16, "lazy", tf.float32),
        (tf.float16, "dense", tf.float32),
        (tf.float32, "dense", tf.float32),
    ],
    ids=str,
)
def test_none_means_split_where_averages_can_be(dtype, sparse, average):
    variable = tf.Variable(tf.ones([2, 2], dtype))
    ema = ExponentialMovingAverage(0.9, average_dtype=None, sparse=sparse)
    ema.create_averages([variable])
    assert ema.average(variable).dtype == average
    assert ema.average_value(variable).dtype == tf.float32
