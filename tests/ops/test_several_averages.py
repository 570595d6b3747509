"""Several averages of each variable: one pass, and the bits of as many single updates."""

import re

import emitted
import numpy as np
import pytest
import tensorflow as tf
from oracle import (
    AVERAGE_DTYPES,
    FLOAT16,
    FLOAT32,
    SIZES,
    assert_same_bits,
    dtypes_id,
    normal,
    rate_of,
    updated,
)

from tf_mavg import ops
from tf_mavg._ops.library import OPS

DECAYS = [0.9, 0.99, 0.5, 0.999, 0.25, 0.75]
counts = pytest.mark.parametrize(
    "count", [1, 2, 4, *(pytest.param(count, marks=pytest.mark.slow) for count in (3, 6))]
)


def made(world, rng, dtypes, count, sizes=SIZES):
    """Lists of averages and their variables, and the values of both."""
    averages = [[normal(rng, size, dtypes[0]) for size in sizes] for _ in range(count)]
    values = [normal(rng, size, dtypes[1]) for size in sizes]
    lists = [world.variables(side, f"average{i}") for i, side in enumerate(averages)]
    return lists, world.variables(values), averages, values


def assert_updated(world, lists, averages, values, decays):
    for side, start, decay in zip(lists, averages, decays, strict=True):
        for received, average, value in zip(world.read(side), start, values, strict=True):
            assert_same_bits(received, updated(average, value, decay))


@pytest.mark.sampled(pairs=True)
@counts
@pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)
def test_each_average_moves_by_its_own_decay(world, dtypes, count, rng):
    # More lists go the way of two, which tests/core shows for buffers of every size.
    sizes = SIZES if count <= 2 else [0, 1, 17, 8193]
    lists, variables, averages, values = made(world, rng, dtypes, count, sizes)
    world.run(lambda: ops.apply_moving_average(lists, variables, DECAYS[:count]))
    assert_updated(world, lists, averages, values, DECAYS[:count])
    for received, value in zip(world.read(variables), values, strict=True):
        assert_same_bits(received, value)


@counts
def test_rates_may_be_given_instead(world, count, rng):
    lists, variables, averages, values = made(world, rng, (FLOAT32, FLOAT32), count, [5, 7])
    rates = np.array([rate_of(decay) for decay in DECAYS[:count]])
    for given in (list(rates), rates, tf.constant(rates) if not world.has_graph else rates):
        world.run(lambda given=given: ops.apply_moving_average(lists, variables, rates=given))
        assert_updated(world, lists, averages, values, DECAYS[:count])
        averages = [world.read(side) for side in lists]


def test_a_rate_that_no_decay_has(world, rng):
    # 1 - 1e-9 is 1 in float32, which would not move the average at all.
    lists, variables, _, values = made(world, rng, (FLOAT32, FLOAT32), 1, [5])
    start = world.read(lists[0])[0]
    world.run(lambda: ops.apply_moving_average(lists[0], variables, rates=1e-9))
    expected = start - (start - values[0]) * np.float32(1e-9)
    assert_same_bits(world.read(lists[0])[0], expected)


@pytest.mark.parametrize("kind", ["number", "tensor", "variable"])
def test_decays_of_every_kind_stand_in_one_list(world, kind, rng):
    lists, variables, averages, values = made(world, rng, (FLOAT32, FLOAT32), 2, [5])
    make = {
        "number": float,
        "tensor": lambda decay: decay if world.has_graph else tf.constant(decay),
        "variable": lambda decay: world.variables([np.float32(decay)], "decay")[0],
    }[kind]
    decays = [0.75, make(0.25)]
    world.run(lambda: ops.apply_moving_average(lists, variables, decays))
    assert_updated(world, lists, averages, values, [0.75, 0.25])


def test_averages_of_two_dtypes(world, rng):
    values = [normal(rng, size, FLOAT16) for size in SIZES]
    sides = [[normal(rng, size, dtype) for size in SIZES] for dtype in (FLOAT16, FLOAT32, FLOAT16)]
    lists = [world.variables(side, f"average{i}") for i, side in enumerate(sides)]
    variables = world.variables(values)
    world.run(lambda: ops.apply_moving_average(lists, variables, DECAYS[:3]))
    assert_updated(world, lists, sides, values, DECAYS[:3])


@pytest.mark.parametrize(("count", "expected"), [(1, [2]), (4, [8]), (6, [8, 4])])
def test_an_op_takes_up_to_four_lists(count, expected):
    variables = [tf.Variable([1.0]) for _ in range(2)]
    lists = [[tf.Variable([0.0]) for _ in range(2)] for _ in range(count)]

    @tf.function
    def step():
        ops.apply_moving_average(lists, variables, DECAYS[:count])

    graph = step.get_concrete_function().graph
    assert [emitted.averages_moved(op) for op in emitted.updates(graph)] == expected


@counts
def test_a_binding_of_several_lists(count, rng):
    values = [normal(rng, 5, FLOAT32) for _ in range(3)]
    sides = [[normal(rng, 5, FLOAT32) for _ in range(3)] for _ in range(count)]
    variables = [tf.Variable(value) for value in values]
    lists = [[tf.Variable(value) for value in side] for side in sides]
    binding = ops.Binding(lists, variables)
    decays = DECAYS[:count]

    @tf.function
    def step():
        binding.apply_moving_average(decays)

    for update in (lambda: binding.apply_moving_average(decays), step):
        update()
        for side, start, decay in zip(lists, sides, decays, strict=True):
            for received, average, value in zip(side, start, values, strict=True):
                assert_same_bits(received.numpy(), updated(average, value, decay))
        sides = [[average.numpy() for average in side] for side in lists]
    for index in range(count):
        binding.swap_variables(index, copy=index % 2 == 1)
        for variable, average in zip(variables, sides[index], strict=True):
            assert_same_bits(variable.numpy(), average)
        binding.swap_variables(index)
    for variable, value in zip(variables, values, strict=True):
        assert_same_bits(variable.numpy(), value)


def test_a_binding_knows_a_decay_again_and_a_changed_one_apart():
    variable, average = tf.Variable([1.0]), tf.Variable([0.0])
    binding = ops.Binding([average], [variable])
    decay = tf.Variable(0.5)
    tensor, other = tf.constant(0.5), tf.constant(0.0)
    expected = 0.0
    for given, value in [
        (0.5, 0.5), (0.5, 0.5), (0.25, 0.25), (tensor, 0.5), (tensor, 0.5), (decay, 0.5),
        (other, 0.0),
    ]:  # fmt: skip
        average.assign([0.0])
        binding.apply_moving_average(given)
        assert average.numpy() == [1 - value]
    average.assign([0.0])
    binding.apply_moving_average(decay)
    decay.assign(0.75)
    binding.apply_moving_average(decay)
    expected = 0.5 + 0.5 * 0.25
    assert average.numpy() == [expected]


def test_an_index_that_a_binding_has_not():
    binding = ops.Binding([tf.Variable([0.0])], [tf.Variable([1.0])])
    for index in (1, -1):
        expected = (
            f"`index` must be that of one of the 1 lists of averages. Received: index={index}."
        )
        with pytest.raises(ValueError, match=re.escape(expected)):
            binding.swap_variables(index)
    expected = r"index must be below the number of lists of averages, 1\. Received: 3\."
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        OPS.bound_swap_variables(binding._handles[0], index=3)


@pytest.mark.cpu  # The emulated GPU has no XLA.
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)
def test_several_averages_compiled(dtypes, count):
    # Powers of two and sums of few of them: no step rounds, so contraction changes nothing.
    variables = [tf.Variable(tf.fill([size], tf.constant(4, dtypes[1]))) for size in (1, 17)]
    lists = [[tf.Variable(tf.zeros([size], dtypes[0])) for size in (1, 17)] for _ in range(count)]
    decays = [0.5, 0.75, 0.25][:count]

    @tf.function(jit_compile=True)
    def step():
        ops.apply_moving_average(lists, variables, decays)

    for _ in range(2):
        step()
    for side, decay in zip(lists, decays, strict=True):
        for average in side:
            assert (average.numpy().astype(FLOAT32) == 4 - 4 * decay**2).all()


@pytest.mark.parametrize(
    ("arguments", "error", "expected"),
    [
        ({}, TypeError, "Give either `decay` or `rates`. Received: decay=None, rates=None."),
        ({"decay": 0.5, "rates": 0.5}, TypeError, "Give either `decay` or `rates`."),
        ({"decay": 0.5}, ValueError, "`decay` must be one for each of the 2 lists of averages. "),
        ({"decay": [0.5] * 3}, ValueError, "`decay` must be one for each of the 2 lists"),
        ({"decay": [0.5, 1.5]}, ValueError, "`decay` must be in [0, 1]. Received: decay=1.5."),
        ({"rates": [0.5]}, ValueError, "`rates` must be one for each of the 2 lists of averages. "),
        ({"rates": [0.5, 1.5]}, ValueError, "`rates` must be a list of numbers in [0, 1]."),
        ({"rates": [0.5, float("nan")]}, ValueError, "`rates` must be a list of numbers in [0, 1]"),
    ],
    ids=str,
)
def test_what_does_not_fit_several_lists(arguments, error, expected):
    lists = [[tf.Variable([0.0])] for _ in range(2)]
    variables = [tf.Variable([1.0])]
    for update in (
        lambda: ops.apply_moving_average(lists, variables, **arguments),
        lambda: ops.Binding(lists, variables).apply_moving_average(**arguments),
    ):
        with pytest.raises(error, match=re.escape(expected)):
            update()
    assert all(side[0].numpy() == [0.0] for side in lists)


def test_lists_of_unequal_length():
    lists = [[tf.Variable(0.0)], [tf.Variable(0.0), tf.Variable(0.0)]]
    expected = (
        "`averages[0]`, `averages[1]` and `variables` must have one length, at least 1. "
        "Received: 1 averages[0], 2 averages[1] and 1 variables."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        ops.apply_moving_average(lists, [tf.Variable(1.0)], [0.5, 0.5])


def raw_update(averages, variables, rates):
    OPS.resource_apply_moving_average(
        averages=[a.handle for a in averages],
        variables=[v.handle for v in variables],
        rates=rates,
        T=tf.float32,
        Tavg=tf.float32,
    )


@pytest.mark.parametrize(("averages", "variables"), [(3, 2), (1, 2), (5, 1)])
def test_numbers_that_make_no_whole_lists_are_refused(averages, variables):
    expected = (
        "there must be 1 to 4 lists of averages, each as long as the list of variables. "
        f"Received: {averages} averages and {variables} variables."
    )
    a, v = ([tf.Variable([0.0]) for _ in range(n)] for n in (averages, variables))
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(expected)):
        raw_update(a, v, [0.5])


def test_the_kernel_names_the_list_and_the_position():
    averages = [tf.Variable(tf.zeros(2), name=f"a{i}") for i in range(4)]
    variables = [tf.Variable(tf.ones(2), name=f"v{i}") for i in range(2)]
    averages[3] = tf.Variable(tf.zeros(3), name="odd", shape=[None])
    expected = r"average 1 of list 1 \('odd/\d+'\) must have the shape of variable 1 \('v1/\d+'\)"
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        raw_update(averages, variables, [0.5, 0.5])
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"rates must be of shape \[2\], one a"
    ):
        raw_update(averages, variables, [0.5, 0.5, 0.5])
    assert all((average.numpy() == 0).all() for average in averages)


@pytest.mark.cpu  # On a GPU the rates stay where the host does not see them.
def test_the_kernel_names_the_list_of_a_rate():
    averages, variables = [tf.Variable([0.0]), tf.Variable([0.0])], [tf.Variable([1.0])]
    expected = r"decay must be in \[0, 1\]\. Received: 1 - decay = 1\.5 for list 1\."
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        raw_update(averages, variables, [0.5, 1.5])
    assert averages[0].numpy() == [0.0]
