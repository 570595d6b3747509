"""tf_mavg.ops.apply_moving_average: the update, in every way that TensorFlow runs an op."""

import numpy as np
import pytest
import tensorflow as tf
import worlds
from emitted import averages_moved, updates
from oracle import (
    AVERAGE_DTYPES,
    FLOAT32,
    FLOAT64,
    SIZES,
    assert_same_bits,
    dtypes_id,
    exact,
    normal,
    updated,
)

from tf_mavg import ops

average_dtypes = pytest.mark.parametrize("dtypes", AVERAGE_DTYPES, ids=dtypes_id)


@average_dtypes
def test_every_average_moves_and_no_variable_does(world, dtypes, rng):
    averages = [normal(rng, size, dtypes[0]) for size in SIZES]
    values = [normal(rng, size, dtypes[1]) for size in SIZES]
    a, v = world.variables(averages, "average"), world.variables(values)
    world.run(lambda: ops.apply_moving_average(a, v, 0.9))
    for received, average, value in zip(world.read(a), averages, values, strict=True):
        assert_same_bits(received, updated(average, value, 0.9))
    for received, value in zip(world.read(v), values, strict=True):
        assert_same_bits(received, value)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4, 5), (0, 7)], ids=str)
def test_any_shape(world, shape, rng):
    average, value = normal(rng, shape, FLOAT32), normal(rng, shape, FLOAT32)
    a, v = world.variables([average], "average"), world.variables([value])
    world.run(lambda: ops.apply_moving_average(a, v, 0.5))
    assert_same_bits(world.read(a)[0], updated(average, value, 0.5))


@pytest.mark.slow
def test_over_a_thousand_variables_of_mixed_dtypes(world, rng):
    dtypes = [AVERAGE_DTYPES[i % len(AVERAGE_DTYPES)] for i in range(1000)]
    averages = [normal(rng, 3, average) for average, _ in dtypes]
    values = [normal(rng, 3, variable) for _, variable in dtypes]
    a, v = world.variables(averages, "average"), world.variables(values)
    world.run(lambda: ops.apply_moving_average(a, v, 0.75))
    for received, average, value in zip(world.read(a), averages, values, strict=True):
        assert_same_bits(received, updated(average, value, 0.75))


@pytest.mark.parametrize("decay", [0.0, 1.0, 0.9999])
def test_the_ends_and_the_usual_decay(world, decay, rng):
    average, value = normal(rng, 100, FLOAT32), normal(rng, 100, FLOAT32)
    a, v = world.variables([average], "average"), world.variables([value])
    world.run(lambda: ops.apply_moving_average(a, v, decay))
    received = world.read(a)[0]
    assert_same_bits(received, updated(average, value, decay))
    np.testing.assert_allclose(received, exact(average, value, decay), rtol=0, atol=1e-6)
    if decay == 1.0:
        assert_same_bits(received, average)


def test_the_rate_is_taken_in_float32_even_for_float64(world):
    a = world.variables([np.zeros(1, FLOAT64)], "average")
    v = world.variables([np.ones(1, FLOAT64)])
    world.run(lambda: ops.apply_moving_average(a, v, 0.9999))
    # 1 - float32(0.9999) = 1.00016594e-4, not 1e-4.
    assert world.read(a)[0][0] == float(np.float32(1) - np.float32(0.9999))


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_it_is(world, special, rng):
    average, value = normal(rng, 64, FLOAT32), normal(rng, 64, FLOAT32)
    value[17] = special
    a, v = world.variables([average], "average"), world.variables([value])
    world.run(lambda: ops.apply_moving_average(a, v, 0.9))
    received = world.read(a)[0]
    np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(received)), [17])
    assert_same_bits(np.delete(received, 17), np.delete(updated(average, value, 0.9), 17))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_of_1_copies_and_one_of_0_keeps_what_no_formula_could(world, rate):
    special = np.array([np.nan, np.inf, -0.0, 1e30, 1.0], FLOAT32)
    other = np.array([1.0, np.nan, np.inf, 1.0, 1e30], FLOAT32)
    a, v = world.variables([special], "average"), world.variables([other])
    world.run(lambda: ops.apply_moving_average(a, v, rates=[rate]))
    assert_same_bits(world.read(a)[0], other if rate else special)


def test_decay_may_be_a_tensor_or_a_variable(world, rng):
    average, value = normal(rng, 10, FLOAT32), normal(rng, 10, FLOAT32)
    decay = world.variables([np.float32(0.25)], "decay")[0]
    a, v = world.variables([average], "average"), world.variables([value])
    world.run(lambda: ops.apply_moving_average(a, v, decay))
    once = updated(average, value, 0.25)
    assert_same_bits(world.read(a)[0], once)
    world.run(lambda: ops.apply_moving_average(a, v, tf.constant(0.5)))
    assert_same_bits(world.read(a)[0], updated(once, value, 0.5))


def test_steps_in_one_function_see_each_other_in_order():
    variable, average = tf.Variable([1.0]), tf.Variable([0.0])

    @tf.function
    def steps():
        for value in (2.0, 4.0):
            variable.assign([value])
            ops.apply_moving_average([average], [variable], 0.5)
        variable.assign([100.0])

    steps()
    assert average.numpy() == [2.5]


def test_steps_in_a_while_loop_see_each_other_in_order():
    variable, average = tf.Variable([0.0]), tf.Variable([0.0])

    @tf.function
    def steps():
        for _ in tf.range(3):
            variable.assign_add([1.0])
            ops.apply_moving_average([average], [variable], 0.5)

    steps()
    assert average.numpy() == [((1 * 0.5 + 2) * 0.5 + 3) * 0.5]


@pytest.mark.parametrize("taken", [True, False])
def test_a_step_in_a_conditional_keeps_its_place(taken):
    variable, average = tf.Variable([1.0]), tf.Variable([0.0])

    @tf.function
    def step(condition):
        variable.assign_add([1.0])
        if condition:
            ops.apply_moving_average([average], [variable], 0.5)
        variable.assign_add([1.0])
        return average.read_value()

    assert step(tf.constant(taken)).numpy() == ([1.0] if taken else [0.0])
    assert variable.numpy() == [3.0]


def test_a_function_is_traced_once_for_all_decays():
    variable, average = tf.Variable([1.0]), tf.Variable([0.0])
    traces = []

    @tf.function
    def step(decay):
        traces.append(decay)
        ops.apply_moving_average([average], [variable], decay)

    for decay in (0.9, 0.8, 0.7):
        step(tf.constant(decay))
    assert len(traces) == 1


def test_what_a_reader_holds_does_not_change():
    variable, average = tf.Variable([3.0, 3.0]), tf.Variable([1.0, 1.0])
    held = average.read_value()
    view = np.array(held.numpy())
    ops.apply_moving_average([average], [variable], 0.5)
    assert held.numpy().tolist() == view.tolist() == [1.0, 1.0]
    assert average.numpy().tolist() == [2.0, 2.0]


@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
def test_what_a_session_fetched_does_not_change(kind):
    with worlds.enter(kind) as world:
        a = world.variables([np.ones(1000, FLOAT32)], "average")
        v = world.variables([np.full(1000, 3, FLOAT32)])
        fetched = world.session.run(a[0])
        world.run(lambda: ops.apply_moving_average(a, v, 0.5))
        assert (fetched == 1).all()
        assert (world.read(a)[0] == 2).all()


def test_what_a_reader_of_a_reference_variable_holds_does_not_change():
    with worlds.enter("session, reference variables") as world:
        a, v = world.variables([np.ones(1000, FLOAT32), np.full(1000, 3, FLOAT32)])
        held = tf.identity(a)
        with tf.control_dependencies([held]):
            update = ops.apply_moving_average([a], [v], 0.5)
        with tf.control_dependencies([update]):
            later = held + 0.0
        assert (world.session.run(later) == 1).all()


@pytest.mark.cpu  # Looks at addresses on the host.
def test_without_a_reader_an_average_is_written_where_it_is():
    variable, average = tf.Variable(tf.ones(1000)), tf.Variable(tf.zeros(1000))

    def address() -> int:
        # numpy() copies; a view of the tensor's memory does not.
        return np.asarray(memoryview(average.read_value())).ctypes.data

    before = address()
    ops.apply_moving_average([average], [variable], 0.5)
    assert address() == before


def test_an_average_that_is_read_sparsely_is_written_where_it_is():
    average = tf.Variable(tf.zeros([4, 2]))
    average.scatter_nd_update([[1]], [[8.0, 8.0]])  # From now on, dense readers copy.
    held = average.read_value()
    ops.apply_moving_average([average], [tf.Variable(tf.zeros([4, 2]))], 0.5)
    assert held.numpy()[1].tolist() == [8.0, 8.0]
    assert average.numpy()[1].tolist() == [4.0, 4.0]


def test_an_average_may_have_been_assigned_its_variable(world, rng):
    value = normal(rng, 100, FLOAT32)
    a, v = world.variables([np.zeros(100, FLOAT32)], "average"), world.variables([value])
    world.run(lambda: a[0].assign(v[0]) if not world.has_graph else tf.compat.v1.assign(*a, *v))
    world.run(lambda: ops.apply_moving_average(a, v, 0.5))
    assert_same_bits(world.read(v)[0], value)
    assert_same_bits(world.read(a)[0], value)


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_one_op_a_device_whatever_the_scope(use_resource):
    config = tf.compat.v1.ConfigProto(device_count={"CPU": 2})
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(config=config) as session:
        made = {"average": [], "variable": []}
        for i in range(100):
            for kind, start in (("average", 0.0), ("variable", 2.0)):
                with tf.device(f"/cpu:{i % 2}"):
                    made[kind].append(
                        tf.compat.v1.Variable([start], name=kind, use_resource=use_resource)
                    )
        with tf.device("/cpu:1"):
            update = ops.apply_moving_average(made["average"], made["variable"], 0.5)
        assert sorted(op.device for op in updates(graph)) == ["/device:CPU:0", "/device:CPU:1"]
        assert [averages_moved(op) for op in updates(graph)] == [50, 50]
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(update)
        assert (np.array(session.run(made["average"])) == 1.0).all()


@pytest.mark.cpu  # It has more than one device.
def test_in_a_function_an_op_is_with_its_variables_whatever_the_scope(logical_cpus):
    with tf.device(logical_cpus[1]):
        average, variable = tf.Variable([0.0]), tf.Variable([2.0])

    @tf.function
    def step():
        with tf.device(logical_cpus[2]):
            ops.apply_moving_average([average], [variable], 0.5)

    (op,) = updates(step.get_concrete_function().graph)
    assert op.device == variable.device
    step()
    assert average.numpy() == [1.0]


def test_one_op_for_a_thousand_variables_in_a_function():
    variables = [tf.Variable([1.0]) for _ in range(1000)]
    averages = [tf.Variable([0.0]) for _ in range(1000)]

    @tf.function
    def step():
        ops.apply_moving_average(averages, variables, 0.5)

    graph = step.get_concrete_function().graph
    assert [averages_moved(op) for op in updates(graph)] == [1000]


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_a_partitioned_variable_stands_for_its_shards(use_resource):
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        made = [
            tf.compat.v1.get_variable(
                name,
                [4, 3],
                initializer=tf.compat.v1.constant_initializer(start),
                partitioner=tf.compat.v1.fixed_size_partitioner(2),
                use_resource=use_resource,
            )
            for name, start in (("average", 0.0), ("variable", 2.0))
        ]
        update = ops.apply_moving_average([made[0]], [made[1]], 0.5)
        assert [averages_moved(op) for op in updates(graph)] == [2]
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(update)
        assert (session.run(tf.convert_to_tensor(made[0])) == 1.0).all()
