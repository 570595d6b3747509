"""tf_mavg.ExponentialMovingAverage: a drop-in for TensorFlow's class, with an exact swap."""

import gc
import re
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
import worlds
from oracle import FLOAT16, FLOAT32, SAME_DTYPES, assert_same_bits, normal, updated

import tf_mavg

tf1 = tf.compat.v1


def test_it_is_tensorflows_class_with_its_signature():
    averages = tf_mavg.ExponentialMovingAverage(0.9, None, False, "Name")  # noqa: FBT003 - by position.
    assert isinstance(averages, tf.train.ExponentialMovingAverage)
    assert averages.name == "Name"


@pytest.mark.parametrize("dtype", SAME_DTYPES, ids=str)
def test_averages_start_at_the_variables_and_follow_them(world, dtype, rng):
    start, later = normal(rng, 20, dtype), normal(rng, 20, dtype)
    variables = world.variables([start])
    averages = tf_mavg.ExponentialMovingAverage(0.9)
    if world.has_graph:
        update = averages.apply(variables)
        average = averages.average(variables[0])
        world.session.run(average.initializer)
        assert_same_bits(world.read([average])[0], start)
        world.session.run(update)
    else:
        world.run(lambda: averages.apply(variables))
        average = averages.average(variables[0])
    assert_same_bits(world.read([average])[0], updated(start, start, 0.9))
    if not world.has_graph:
        variables[0].assign(later)
        world.run(lambda: averages.apply(variables))
        assert_same_bits(world.read([average])[0], updated(start, later, 0.9))
    assert not average.trainable


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("seed", range(5))
def test_one_run_initializes_variables_and_averages_alike(use_resource, seed):
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(seed)
        variables = [tf1.get_variable(f"v{i}", [100], use_resource=use_resource) for i in range(20)]
        averages = tf_mavg.ExponentialMovingAverage(0.9)
        averages.apply(variables)
        session.run(tf1.global_variables_initializer())
        pairs = session.run([(v, averages.average(v)) for v in variables])
        for variable, average in pairs:
            assert_same_bits(average, variable)


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_an_average_made_late_starts_at_the_trained_value(use_resource):
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", [3], use_resource=use_resource)
        session.run(variable.initializer)
        session.run(tf1.assign(variable, [1.0, 2.0, 3.0]))
        averages = tf_mavg.ExponentialMovingAverage(0.9)
        averages.apply([variable])
        session.run(averages.average(variable).initializer)
        assert session.run(variable).tolist() == [1, 2, 3]
        assert session.run(averages.average(variable)).tolist() == [1, 2, 3]


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_a_variable_that_starts_from_another_one(use_resource):
    with tf.Graph().as_default(), tf1.Session() as session:
        first = tf1.get_variable("first", [20], use_resource=use_resource)
        second = tf1.Variable(first * 2.0, use_resource=use_resource)
        averages = tf_mavg.ExponentialMovingAverage(0.9)
        averages.apply([second, first])
        session.run(first.initializer)  # TensorFlow itself needs this one first.
        session.run([second.initializer, averages.average(second).initializer])
        value, average = session.run([second, averages.average(second)])
        assert_same_bits(average, value)


@pytest.mark.parametrize("device", [None, "/cpu:0", "/cpu:1"])
@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_an_average_lies_with_its_variable_whatever_the_scope(use_resource, device):
    with tf.Graph().as_default():
        with tf.device(device):
            variable = tf1.get_variable("v", [2], use_resource=use_resource)
        averages = tf_mavg.ExponentialMovingAverage(0.9)
        with tf.device("/cpu:2"), tf.name_scope("elsewhere"):
            averages.apply([variable])
        assert averages.average(variable).device == variable.device
        assert averages.average(variable).op.name == "v/ExponentialMovingAverage"


@pytest.mark.cpu  # It has more than one device.
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "function"])
def test_scopes_of_the_caller_do_not_count_in_eager_mode(logical_cpus, traced):
    with tf.device(logical_cpus[1]):
        variable = tf.Variable([1.0, 2.0], name="v")
    averages = tf_mavg.ExponentialMovingAverage(0.5)

    def apply():
        with tf.device(logical_cpus[2]), tf.name_scope("elsewhere"):
            averages.apply([variable])

    (tf.function(apply) if traced else apply)()
    average = averages.average(variable)
    assert average.device == variable.device
    assert average.name == "v/ExponentialMovingAverage:0"
    assert_same_bits(average.numpy(), variable.numpy())


@pytest.mark.parametrize("count", [0, 3, 1000])
def test_num_updates_warms_the_decay_up(world, count):
    step = world.variables([np.array(count, np.int64)], "step")[0]
    variables = world.variables([np.zeros(4, FLOAT32)])
    averages = tf_mavg.ExponentialMovingAverage(0.99, num_updates=step)
    if world.has_graph:
        update = averages.apply(variables)
        average = averages.average(variables[0])
        world.session.run([average.initializer])
        ones = tf1.assign(variables[0], np.ones(4, FLOAT32))
        world.session.run(ones)
        world.session.run(update)
    else:
        world.run(lambda: averages.apply(variables))
        average = averages.average(variables[0])
        variables[0].assign(np.ones(4, FLOAT32))
        world.run(lambda: averages.apply(variables))
    decay = min(np.float32(0.99), np.float32(1 + count) / np.float32(10 + count))
    expected = updated(np.zeros(4, FLOAT32), np.ones(4, FLOAT32), float(decay))
    assert_same_bits(world.read([average])[0], expected)


@pytest.mark.parametrize("make", [int, tf.constant, tf.Variable], ids=["int", "tensor", "variable"])
def test_num_updates_may_be_a_number_a_tensor_or_a_variable(make):
    variable = tf.Variable([0.0])
    averages = tf_mavg.ExponentialMovingAverage(0.9, num_updates=make(2))
    averages.apply([variable])
    variable.assign([1.0])
    averages.apply([variable])
    assert averages.average(variable).numpy() == [1 - np.float32(0.25)]


def test_num_updates_and_decay_are_read_at_every_step():
    variable, step, decay = tf.Variable([0.0]), tf.Variable(10**6), tf.Variable(0.5)
    averages = tf_mavg.ExponentialMovingAverage(decay, num_updates=step)
    averages.apply([variable])
    variable.assign([1.0])

    @tf.function
    def apply():
        averages.apply([variable])

    for run in (apply, lambda: averages.apply([variable])):
        averages.average(variable).assign([0.0])
        decay.assign(0.5)
        step.assign(10**6)
        run()
        assert averages.average(variable).numpy() == [0.5]
        decay.assign(0.75)
        run()
        assert averages.average(variable).numpy() == [0.625]
        step.assign(0)  # (1 + 0) / (10 + 0)
        run()
        np.testing.assert_allclose(averages.average(variable).numpy(), [1 - 0.375 * 0.1], 1e-6)


@pytest.mark.parametrize("num_updates", [None, 10**6])
def test_a_decay_of_another_dtype_is_taken_in_float32(num_updates):
    variable, decay = tf.Variable([0.0]), tf.Variable(0.5, dtype=tf.float64)
    averages = tf_mavg.ExponentialMovingAverage(decay, num_updates)
    averages.apply([variable])
    variable.assign([1.0])
    averages.apply([variable])
    assert averages.average(variable).numpy() == [0.5]


def test_variables_of_keras_stand_for_those_of_tensorflow():
    layer = keras.layers.Dense(2)
    layer.build([None, 3])
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply(layer.trainable_variables)
    layer.bias.assign([1.0, 1.0])
    averages.apply(layer.trainable_variables)
    assert averages.average(layer.bias).numpy().tolist() == [0.5, 0.5]
    with averages.swapped():
        assert layer.bias.numpy().tolist() == [0.5, 0.5]


def test_names_and_collections_are_tensorflows():
    names = []
    for cls in (tf_mavg.ExponentialMovingAverage, tf.train.ExponentialMovingAverage):
        with tf.Graph().as_default():
            variables = [tf1.get_variable(n, [2], use_resource=True) for n in ("a", "scope/b")]
            other = tf1.get_variable("c", [2], use_resource=True)
            averages = cls(0.9, name="Average")
            before = averages.average_name(variables[0])
            averages.apply(variables)
            names.append(
                (
                    before,
                    [averages.average(v).name for v in variables],
                    [averages.average_name(v) for v in [*variables, other]],
                    {k: v.name for k, v in averages.variables_to_restore().items()},
                    [v.name for v in tf1.moving_average_variables()],
                    [v.name for v in tf1.global_variables()],
                )
            )
            assert averages.average(other) is None
    assert names[0] == names[1]


def test_tensors_in_a_graph_are_averaged_as_tensorflow_does():
    results = []
    for cls in (tf_mavg.ExponentialMovingAverage, tf.train.ExponentialMovingAverage):
        with tf.Graph().as_default(), tf1.Session() as session:
            variable = tf1.get_variable("v", [], initializer=tf1.ones_initializer())
            tensor = tf.multiply(variable, 3.0, name="tensor")
            averages = cls(0.9, zero_debias=True)
            update = averages.apply([variable, tensor])
            session.run(tf1.global_variables_initializer())
            for _ in range(3):
                session.run(update)
            results.append(session.run([averages.average(x) for x in (variable, tensor)]))
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
def test_a_swap_is_of_variables_and_leaves_averages_of_tensors_alone(kind):
    with worlds.enter(kind) as world:
        (variable,) = world.variables([np.ones(1, FLOAT32)])
        tensor = tf.multiply(variable, 4.0, name="tensor")
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        update = averages.apply([variable, tensor])
        everything = [variable, averages.average(variable), averages.average(tensor)]
        # Nothing else was made: no second average of the variable.
        assert {id(one) for one in tf1.global_variables()} == set(map(id, everything))
        swap = averages.swap()
        world.session.run(tf1.global_variables_initializer())
        world.session.run(tf1.assign(variable, [3.0]))
        for run, expected in ((update, [3, 2, 6]), (swap, [2, 3, 6]), (swap, [3, 2, 6])):
            world.session.run(run)
            assert world.read(everything) == expected
        of_tensors = tf_mavg.ExponentialMovingAverage(0.5)
        of_tensors.apply([tensor])
        with pytest.raises(RuntimeError, match=r"^There are no averages yet: apply\(\) must be"):
            of_tensors.swap()


def test_var_list_defaults_to_the_trainable_variables():
    with tf.Graph().as_default():
        trained = tf1.get_variable("trained", [2])
        frozen = tf1.get_variable("frozen", [2], trainable=False)
        averages = tf_mavg.ExponentialMovingAverage(0.9)
        averages.apply()
        assert averages.average(trained) is not None
        assert averages.average(frozen) is None


def test_apply_lists_may_differ_and_overlap():
    a, b = tf.Variable([0.0]), tf.Variable([0.0])
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply([a])
    a.assign([1.0])
    b.assign([1.0])
    averages.apply([a, b])
    averages.apply([b])
    assert averages.average(a).numpy() == [0.5]
    assert averages.average(b).numpy() == [1.0]


def test_swap_changes_places_exactly_and_twice_is_the_identity(rng):
    values = [rng.integers(0, 256, 40, np.uint8).view(dtype) for dtype in SAME_DTYPES]
    variables = [tf.Variable(value) for value in values]
    averages = tf_mavg.ExponentialMovingAverage(0.9)
    averages.apply(variables)
    moved = [averages.average(v).numpy().copy() for v in variables]
    averages.swap()
    assert averages.is_swapped
    for variable, value, average in zip(variables, values, moved, strict=True):
        assert_same_bits(variable.numpy(), average)
        assert_same_bits(averages.average(variable).numpy(), value)
    averages.swap()
    assert not averages.is_swapped
    for variable, value in zip(variables, values, strict=True):
        assert_same_bits(variable.numpy(), value)


def enter_swapped(world, averages):
    return averages.swapped(world.session) if world.has_graph else averages.swapped()


def averaged_pair(world) -> tuple[tf.Variable, tf.Variable, tf_mavg.ExponentialMovingAverage]:
    """A variable that holds 1 and its average that holds 0."""
    variable = world.variables([np.zeros(3, FLOAT32)])[0]
    averages = tf_mavg.ExponentialMovingAverage(0.9)
    world.run(lambda: averages.apply([variable])) if not world.has_graph else averages.apply(
        [variable]
    )
    average = averages.average(variable)
    if world.has_graph:
        world.session.run(average.initializer)
        world.session.run(tf1.assign(variable, np.ones(3, FLOAT32)))
    else:
        variable.assign(np.ones(3, FLOAT32))
    return variable, average, averages


def test_swapped_swaps_back(world):
    variable, average, averages = averaged_pair(world)
    with enter_swapped(world, averages):
        assert (world.read([variable])[0] == 0).all()
        assert (world.read([average])[0] == 1).all()
    assert (world.read([variable])[0] == 1).all()
    assert not averages.is_swapped


def test_swapped_swaps_back_after_an_exception(world):
    variable, _, averages = averaged_pair(world)
    with pytest.raises(KeyboardInterrupt), enter_swapped(world, averages):
        raise KeyboardInterrupt
    assert (world.read([variable])[0] == 1).all()
    assert not averages.is_swapped


def test_swapped_cannot_be_entered_twice(world):
    variable, _, averages = averaged_pair(world)
    with (
        enter_swapped(world, averages),
        pytest.raises(RuntimeError, match="swapped; swap back first"),
        enter_swapped(world, averages),
    ):
        pass
    assert (world.read([variable])[0] == 1).all()


def test_no_update_while_swapped():
    variable = tf.Variable([1.0])
    averages = tf_mavg.ExponentialMovingAverage(0.9)
    averages.apply([variable])
    with averages.swapped(), pytest.raises(RuntimeError, match="Averages cannot be updated while"):
        averages.apply([variable])


@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
def test_swapped_works_in_a_finalized_graph_if_it_was_made_before(kind):
    with worlds.enter(kind) as world:
        variable, _, averages = averaged_pair(world)
        averages.swapped(world.session)
        read = tf.identity(variable)
        tf1.get_default_graph().finalize()
        for _ in range(2):
            with averages.swapped(world.session):
                assert (world.session.run(read) == 0).all()
            assert (world.session.run(read) == 1).all()


def test_swapped_in_a_graph_needs_a_session():
    with tf.Graph().as_default():
        averages = tf_mavg.ExponentialMovingAverage(0.9)
        averages.apply([tf1.get_variable("v", [2])])
        with pytest.raises(RuntimeError, match="needs a Session"), averages.swapped():
            pass


def test_swapped_runs_in_the_session_that_it_is_given():
    with tf.Graph().as_default(), tf1.Session() as given, tf1.Session() as default:
        variable, value = tf1.get_variable("v", [2]), tf1.placeholder(tf.float32, [2])
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        averages.apply([variable])
        initialize, change = tf1.global_variables_initializer(), tf1.assign(variable, value)
        for session in (given, default):
            session.run(initialize)
            session.run(change, {value: [7.0, 7.0]})
        with averages.swapped(given):
            assert given.run(variable).tolist() != [7, 7]
            assert default.run(variable).tolist() == [7, 7]


def test_swapped_takes_in_averages_made_since_it_was_last_called():
    with tf.Graph().as_default(), tf1.Session() as session:
        a, b = (tf1.get_variable(n, [], initializer=tf1.zeros_initializer()) for n in "ab")
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        averages.apply([a])
        averages.swapped()
        averages.apply([b])
        session.run(tf1.global_variables_initializer())
        session.run([tf1.assign(a, 1.0), tf1.assign(b, 1.0)])
        with averages.swapped():
            assert session.run([a, b]) == [0, 0]


def test_an_eager_swap_takes_in_averages_made_since_the_last_one():
    a, b = tf.Variable(0.0), tf.Variable(0.0)
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages([a])
    with averages.swapped():
        pass
    averages.create_averages([b])
    a.assign(1.0)
    b.assign(1.0)
    with averages.swapped():
        assert (a.numpy(), b.numpy()) == (0.0, 0.0)
    assert (a.numpy(), b.numpy()) == (1.0, 1.0)


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_an_average_is_initialized_beside_its_variable(use_resource):
    with tf.Graph().as_default() as graph:
        with tf.device("/cpu:1"):
            variable = tf1.get_variable("v", [2], use_resource=use_resource)
        before = set(graph.get_operations())
        with tf.device("/cpu:0"):
            tf_mavg.ExponentialMovingAverage(0.5).create_averages([variable])
        made = set(graph.get_operations()) - before
        deciding = {"IsVariableInitialized", "VarIsInitializedOp", "RefSwitch", "Merge", "If"}
        assert {op.device for op in made if op.type in deciding} == {"/device:CPU:1"}


def test_swap_before_apply():
    with pytest.raises(RuntimeError, match=re.escape("apply() must be called before")):
        tf_mavg.ExponentialMovingAverage(0.9).swap()


@pytest.mark.parametrize("decay", [-1, 1.01, float("nan")])
def test_a_decay_outside_its_range(decay):
    with pytest.raises(ValueError, match=re.escape("`decay` must be in [0, 1]. Received: ")):
        tf_mavg.ExponentialMovingAverage(decay)


def test_elements_that_cannot_be_averaged():
    averages = tf_mavg.ExponentialMovingAverage(0.9)
    with pytest.raises(
        TypeError, match=r"must be bfloat16, half, float, or double.*'n:0' of int32"
    ):
        averages.apply([tf.Variable(1, name="n")])
    with pytest.raises(TypeError, match="Only variables can be averaged in TensorFlow 2"):
        averages.apply([tf.constant(1.0)])
    with pytest.raises(ValueError, match="at least one variable"):
        averages.apply([])
    with pytest.raises(TypeError, match=r"must hold variables\. Received: 1\.0"):
        averages.apply([1.0])
    twice = tf.Variable([1.0], name="twice")
    with pytest.raises(ValueError, match=r"must be distinct\. Received: 'twice:0' twice"):
        averages.apply([twice, twice])
    assert averages.average(twice) is None


@pytest.mark.cpu  # On a GPU the decay stays where the host does not see it.
def test_an_eager_step_that_is_refused_changes_nothing():
    variable, decay = tf.Variable([0.0]), tf.Variable(0.5)
    averages = tf_mavg.ExponentialMovingAverage(decay)
    averages.apply([variable])
    variable.assign([1.0])
    decay.assign(float("nan"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"decay must be in \[0, 1\]"):
        averages.apply([variable])
    assert averages.average(variable).numpy() == [0.0]


def test_the_group_sees_buffers_that_assignments_replaced(rng):
    variable = tf.Variable(tf.zeros(100))
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply([variable])
    expected = np.zeros(100, FLOAT32)
    for _ in range(5):
        value = normal(rng, 100, FLOAT32)
        variable.assign(tf.constant(value))  # Adopts the tensor's buffer.
        averages.apply([variable])
        expected = updated(expected, value, 0.5)
    assert_same_bits(averages.average(variable).numpy(), expected)


def test_dropping_the_averages_frees_the_variables():
    variable = tf.Variable(tf.zeros(10))
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply([variable])
    gone = [weakref.ref(one) for one in (averages, averages.average(variable), variable)]
    del averages, variable
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]


def test_float16_averages_of_large_numbers_do_not_overflow():
    variable = tf.Variable(np.full(4, -60000, FLOAT16))
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply([variable])
    variable.assign(np.full(4, 60000, FLOAT16))  # The difference is beyond float16.
    averages.apply([variable])
    assert (averages.average(variable).numpy() == 0).all()
