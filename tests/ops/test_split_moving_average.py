"""The ops on split averages: eager, in a tf.function, in Sessions, by binding, compiled by XLA."""

import numpy as np
import pytest
import tensorflow as tf
import worlds
from oracle import BFLOAT16, FLOAT32, assert_same_bits, joined, normal, patterns, split, updated

from tf_mavg import ops

SHAPES = [(), (3,), (40, 7), (0,), (9000,)]


def made(world, rng, count=1):
    """Float32 averages, as arrays; their halves and variables as variables; and the latter."""
    if world.has_graph and not world.use_resource and "gpu" in worlds.DEVICE:
        pytest.skip("TensorFlow keeps no reference variable of int16 on a GPU")
    starts = [[normal(rng, shape, FLOAT32) for shape in SHAPES] for _ in range(count)]
    halves = [[split(start) for start in side] for side in starts]
    highs = [world.variables([high for high, _ in side], "average") for side in halves]
    remainders = [world.variables([low for _, low in side], "remainder") for side in halves]
    values = [normal(rng, shape, BFLOAT16) for shape in SHAPES]
    return starts, highs, remainders, values, world.variables(values)


def assert_hold(world, highs, remainders, expected):
    """Asserts that split averages hold float32 numbers, to the last bit."""
    for high, remainder, value in zip(
        world.read(highs), world.read(remainders), expected, strict=True
    ):
        assert_same_bits(joined(high, remainder).reshape(value.shape), value)


def test_split_and_join_are_exact(rng):
    values = patterns(rng, 50000, FLOAT32)
    values[:5] = [np.inf, -np.inf, -0.0, 1e-42, np.finfo(FLOAT32).max]
    high, remainder = (half.numpy() for half in ops.split(values))
    expected = split(values)
    assert_same_bits(high, expected[0])
    assert_same_bits(remainder, expected[1])
    back = ops.join(high, remainder).numpy()
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    assert_same_bits(back[~np.isnan(values)], values[~np.isnan(values)])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_update(world, rng, count):
    starts, highs, remainders, values, variables = made(world, rng, count)
    decays = [0.9, 0.99, 0.5, 0.999, 0.7][:count]
    for _ in range(2):
        world.run(lambda: ops.apply_moving_average(highs, variables, decays, remainders=remainders))
        starts = [
            [updated(start, value, decay) for start, value in zip(side, values, strict=True)]
            for side, decay in zip(starts, decays, strict=True)
        ]
    for side in range(count):
        assert_hold(world, highs[side], remainders[side], starts[side])


def test_one_list_may_have_averages_that_are_not_split(world, rng):
    starts, (highs,), (remainders,), values, variables = made(world, rng)
    others = [normal(rng, 5, FLOAT32) for _ in range(2)]
    average, variable = world.variables(others, "other")
    world.run(
        lambda: ops.apply_moving_average(
            [*highs, average], [*variables, variable], 0.9, remainders=[*remainders, None]
        )
    )
    expected = [updated(s, v, 0.9) for s, v in zip(starts[0], values, strict=True)]
    assert_hold(world, highs, remainders, expected)
    assert_same_bits(world.read([average])[0], updated(*others, 0.9))


@pytest.mark.parametrize("in_function", [False, True])
def test_a_binding_updates_and_swaps_the_upper_half(in_function, rng):
    variables = [tf.Variable(normal(rng, shape, BFLOAT16)) for shape in SHAPES]
    values = [np.array(variable.numpy()) for variable in variables]
    starts = [[normal(rng, shape, FLOAT32) for shape in SHAPES] for _ in range(3)]
    halves = [[split(start) for start in side] for side in starts]
    highs = [[tf.Variable(high) for high, _ in side] for side in halves]
    remainders = [[tf.Variable(low) for _, low in side] for side in halves]
    binding = ops.Binding(highs, variables, remainders)
    decays = [0.9, 0.99, 0.5]

    def step():
        binding.apply_moving_average(decays)
        binding.swap_variables(2)

    (tf.function(step) if in_function else step)()
    for side, decay in enumerate(decays):
        expected = [updated(s, v, decay) for s, v in zip(starts[side], values, strict=True)]
        high = variables if side == 2 else highs[side]
        for one, remainder, value in zip(high, remainders[side], expected, strict=True):
            assert_same_bits(joined(one.numpy(), remainder.numpy()).reshape(value.shape), value)
    for variable, value in zip(highs[2], values, strict=True):
        assert_same_bits(variable.numpy(), value)
    with pytest.raises(ValueError, match=r"one of the 3 lists of averages. Received: index=3"):
        binding.swap_variables(3)


@pytest.mark.cpu  # The emulated GPU has no XLA.
def test_xla_computes_what_it_does_for_float32_averages(rng):
    values = [normal(rng, shape, BFLOAT16) for shape in SHAPES]
    starts = [[normal(rng, shape, FLOAT32) for shape in SHAPES] for _ in range(2)]
    starts[0][4][:4] = [np.inf, np.nan, 1e-42, -0.0]
    variables = [tf.Variable(value) for value in values]
    wide = [[tf.Variable(start) for start in side] for side in starts]
    halves = [[split(start) for start in side] for side in starts]
    highs = [[tf.Variable(high) for high, _ in side] for side in halves]
    remainders = [[tf.Variable(low) for _, low in side] for side in halves]

    @tf.function(jit_compile=True)
    def step(decays):
        ops.apply_moving_average(wide, variables, [decays[0], decays[1]])
        ops.apply_moving_average(highs, variables, [decays[0], decays[1]], remainders=remainders)

    for decays in ([0.9, 0.99], [1.0, 0.5], [0.5, 0.0]):
        step(tf.constant(decays))
        for side in range(2):
            for high, low, expected in zip(highs[side], remainders[side], wide[side], strict=True):
                received = joined(high.numpy(), low.numpy()).reshape(expected.shape)
                is_nan = np.isnan(expected.numpy())
                np.testing.assert_array_equal(np.isnan(received), is_nan)
                assert_same_bits(received[~is_nan], expected.numpy()[~is_nan])


def test_remainders_that_do_not_fit_are_refused():
    average, variable = (tf.Variable(np.zeros(3, BFLOAT16), name=name) for name in "av")
    remainder = tf.Variable(np.zeros(3, np.int16))
    for wrong in (
        tf.Variable(np.zeros(3, np.int32)),
        tf.Variable(np.zeros(4, np.int16)),
        average,
        "remainder",
    ):
        with pytest.raises(ValueError, match=r"remainders\[0\]\[0\] must be an int16 variable of "):
            ops.apply_moving_average([average], [variable], 0.9, remainders=[wrong])
    wide = tf.Variable(np.zeros(3, FLOAT32))
    with pytest.raises(ValueError, match="beside a bfloat16 average of a bfloat16 variable"):
        ops.apply_moving_average([wide], [variable], 0.9, remainders=[remainder])
    with pytest.raises(ValueError, match=r"must have one for each average, or None. Received: \[0"):
        ops.Binding([average], [variable], [])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        ops.apply_moving_average([average], [variable], rates=[2.0], remainders=[remainder])
