"""tf_mavg.ops.swap_variables: two variables exchange their values, to the last bit."""

import emitted
import numpy as np
import pytest
import tensorflow as tf
import worlds
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import FLOAT32, SAME_DTYPES, SIZES, assert_same_bits, normal, patterns

from tf_mavg import ops

copy = pytest.mark.parametrize("copy", [False, True], ids=["exchange", "copy"])
dtype = pytest.mark.parametrize("dtype", SAME_DTYPES, ids=str)


@copy
@dtype
def test_values_change_places_and_back(world, dtype, copy, rng):
    first = [patterns(rng, size, dtype) for size in SIZES]
    second = [patterns(rng, size, dtype) for size in SIZES]
    a, b = world.variables(first, "first"), world.variables(second, "second")
    for expected in ((second, first), (first, second)):
        world.run(lambda: ops.swap_variables(a, b, copy=copy))
        for variables, values in zip((a, b), expected, strict=True):
            for received, value in zip(world.read(variables), values, strict=True):
                assert_same_bits(received, value)


@dtype
@given(data=st.data())
def test_any_bits_come_back(dtype, data):
    copy = data.draw(st.booleans())
    size = data.draw(st.integers(0, 40))
    values = [data.draw(hnp.arrays(np.uint8, size * dtype.itemsize)).view(dtype) for _ in "ab"]
    a, b = (tf.Variable(value) for value in values)
    ops.swap_variables([a], [b], copy=copy)
    assert_same_bits(a.numpy(), values[1])
    assert_same_bits(b.numpy(), values[0])


@pytest.mark.sampled
@pytest.mark.slow
@copy
def test_over_a_thousand_variables_of_mixed_dtypes(world, copy, rng):
    dtypes = [SAME_DTYPES[i % len(SAME_DTYPES)] for i in range(600)]
    first = [normal(rng, i % 7, dtype) for i, dtype in enumerate(dtypes)]
    second = [normal(rng, i % 7, dtype) for i, dtype in enumerate(dtypes)]
    a, b = world.variables(first, "first"), world.variables(second, "second")
    world.run(lambda: ops.swap_variables(a, b, copy=copy))
    for variables, values in ((a, second), (b, first)):
        for received, value in zip(world.read(variables), values, strict=True):
            assert_same_bits(received, value)


def addresses(*variables: tf.Variable) -> list[int]:
    # numpy() copies; a view of the tensor's memory does not.
    return [np.asarray(memoryview(v.read_value())).ctypes.data for v in variables]


@pytest.mark.cpu  # Looks at addresses on the host.
def test_an_exchange_moves_buffers_and_a_copy_leaves_them():
    a, b = tf.Variable(tf.zeros(1000)), tf.Variable(tf.ones(1000))
    at_a, at_b = addresses(a, b)
    ops.swap_variables([a], [b])
    assert addresses(a, b) == [at_b, at_a]
    ops.swap_variables([a], [b], copy=True)
    assert addresses(a, b) == [at_b, at_a]
    assert (a.numpy() == 0).all()
    assert (b.numpy() == 1).all()


@copy
def test_what_a_reader_holds_does_not_change(copy):
    a, b = tf.Variable([1.0, 1.0]), tf.Variable([2.0, 2.0])
    held_a, held_b = a.read_value(), b.read_value()
    ops.swap_variables([a], [b], copy=copy)
    a.assign_add([10.0, 10.0])
    b.assign_add([20.0, 20.0])
    assert held_a.numpy().tolist() == [1.0, 1.0]
    assert held_b.numpy().tolist() == [2.0, 2.0]
    assert a.numpy().tolist() == [12.0, 12.0]
    assert b.numpy().tolist() == [21.0, 21.0]


@copy
@pytest.mark.parametrize("sparse_is_first", [True, False], ids=["first sparse", "second sparse"])
def test_a_sparsely_read_variable_never_receives_a_buffer_that_is_held(copy, sparse_is_first):
    sparse, dense = tf.Variable(tf.zeros([3, 2])), tf.Variable(tf.ones([3, 2]))
    sparse.scatter_nd_update([[0]], [[5.0, 5.0]])  # Written in place from now on.
    held = dense.read_value()
    pair = ([sparse], [dense]) if sparse_is_first else ([dense], [sparse])
    ops.swap_variables(*pair, copy=copy)
    sparse.scatter_nd_update([[1]], [[7.0, 7.0]])
    assert held.numpy().tolist() == [[1, 1], [1, 1], [1, 1]]
    assert sparse.numpy().tolist() == [[1, 1], [7, 7], [1, 1]]
    assert dense.numpy().tolist() == [[5, 5], [0, 0], [0, 0]]


@pytest.mark.cpu  # Looks at addresses on the host.
def test_an_exchange_with_a_sparsely_read_variable_copies_nothing_unless_a_reader_holds_it():
    sparse, dense = tf.Variable(tf.zeros([1000, 2])), tf.Variable(tf.ones([1000, 2]))
    sparse.scatter_nd_update([[0]], [[5.0, 5.0]])
    before = addresses(dense)
    for _ in range(2):
        ops.swap_variables([sparse], [dense])
    assert addresses(dense) == before


def test_what_a_reader_of_a_reference_variable_holds_does_not_change():
    with worlds.enter("session, reference variables") as world:
        pair = world.variables([np.ones(1000, FLOAT32), np.full(1000, 3, FLOAT32)])
        held = [tf.identity(variable) for variable in pair]
        with tf.control_dependencies(held):
            swap = ops.swap_variables(pair[:1], pair[1:], copy=True)
        with tf.control_dependencies([swap]):
            later = [value + 0.0 for value in held]
        ones, threes = world.session.run(later)
        assert (ones == 1).all()
        assert (threes == 3).all()


@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
@copy
def test_what_a_session_fetched_does_not_change(kind, copy):
    with worlds.enter(kind) as world:
        a, b = world.variables([np.ones(1000, FLOAT32), np.zeros(1000, FLOAT32)])
        fetched = world.session.run([a, b])
        world.run(lambda: ops.swap_variables([a], [b], copy=copy))
        world.run(lambda: ops.apply_moving_average([a], [b], 0.5))
        assert (fetched[0] == 1).all()
        assert (fetched[1] == 0).all()


@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
@copy
def test_the_op_knows_whether_to_copy(kind, copy):
    with worlds.enter(kind) as world:
        a, b = world.variables([np.zeros(2, FLOAT32), np.ones(2, FLOAT32)])
        ops.swap_variables([a], [b], copy=copy)
        swaps = emitted.ops_of(world.session.graph, "SwapVariables")
        assert [op.get_attr("copy") for op in swaps] == [copy]


def test_swaps_in_one_function_come_in_order():
    a, b = tf.Variable([1.0]), tf.Variable([2.0])

    @tf.function
    def evaluate_and_restore():
        ops.swap_variables([a], [b])
        seen = a.read_value()
        ops.swap_variables([a], [b])
        return seen

    assert evaluate_and_restore().numpy() == [2.0]
    assert a.numpy() == [1.0]
