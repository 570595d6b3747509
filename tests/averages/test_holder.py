"""What every face can do with averages: start, restart, overwrite, in functions and graphs."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf
import worlds
from emitted import updates

import tf_mavg

tf1 = tf.compat.v1


def averages_of(*values: float):
    """Variables of these values, and averages that are ten times as large."""
    variables = [tf.Variable([value], name=f"v{i}") for i, value in enumerate(values)]
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.create_averages(variables)
    for variable in variables:
        averages.average(variable).assign(10 * variable)
    return variables, averages


def held(variables, averages):
    return [float(v[0]) for v in variables], [float(averages.average(v)[0]) for v in variables]


# Restart and overwrite.

actions = pytest.mark.parametrize(
    ("action", "expected"),
    [("restart", ([1, 2], [1, 2])), ("overwrite", ([10, 20], [10, 20]))],
)


@actions
@pytest.mark.parametrize("in_function", [False, True])
def test_all_averages(action, expected, in_function):
    variables, averages = averages_of(1.0, 2.0)
    act = getattr(averages, action)
    if in_function:
        tf.function(lambda: [act(), None][1])()
    else:
        act()
    assert held(variables, averages) == expected


@actions
def test_some_averages(action, expected):
    variables, averages = averages_of(1.0, 2.0)
    getattr(averages, action)(variables[1:])
    assert held(variables, averages) == ([1, expected[0][1]], [10, expected[1][1]])


@actions
@pytest.mark.parametrize("kind", worlds.GRAPH_WORLDS)
def test_in_a_session(action, expected, kind):
    with worlds.enter(kind) as world:
        variables = world.variables([np.float32([1]), np.float32([2])])
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        averages.create_averages(variables)
        for variable in variables:
            average = averages.average(variable)
            world.session.run(average.initializer)
            world.session.run(tf1.assign(average, 10 * variable.read_value()))
        world.session.run(getattr(averages, action)())
        both = [*variables, *(averages.average(variable) for variable in variables)]
        values = [float(value[0]) for value in world.read(both)]
        assert (values[:2], values[2:]) == expected


@actions
def test_what_has_no_average_is_refused_by_name(action, expected):
    variables, averages = averages_of(1.0, 2.0)
    with pytest.raises(ValueError, match=r"'other:0', which has none; make it with create_averag"):
        getattr(averages, action)([variables[0], tf.Variable([1.0], name="other")])
    assert held(variables, averages) == ([1, 2], [10, 20]) != expected


@actions
def test_not_while_swapped(action, expected):
    variables, averages = averages_of(1.0, 2.0)
    act = tf.function(lambda: [getattr(averages, action)(), None][1])
    act()
    variables, averages = averages_of(1.0, 2.0)
    traced = tf.function(lambda: [getattr(averages, action)(), None][1]).get_concrete_function()
    with averages.swapped():
        for refused in (getattr(averages, action), traced):
            with pytest.raises((RuntimeError, tf.errors.InvalidArgumentError), match="swapped"):
                refused()
        assert held(variables, averages) == ([10, 20], [1, 2]) != expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        # What names no averages is told so, whatever is swapped.
        (lambda averages, _: averages.swap(index=1), ValueError, "`index` must be"),
        (lambda averages, _: averages.swapped(index=1), ValueError, "`index` must be"),
        (lambda averages, _: averages.overwrite(index=1), ValueError, "`index` must be"),
        # Else the swap counts more than what is passed.
        (lambda averages, other: averages.overwrite([other]), RuntimeError, "Variables cannot be"),
        (lambda averages, other: averages.restart([other]), RuntimeError, "Averages cannot be re"),
        (lambda averages, _: averages.apply([]), RuntimeError, "Averages cannot be updated while"),
        (lambda averages, _: averages.apply(["v"]), RuntimeError, "Averages cannot be updated"),
        (lambda averages, _: averages.create_averages([1]), RuntimeError, "Averages cannot be mad"),
    ],
)
def test_which_refusal_comes_first_while_swapped(call, error, message):
    variables, averages = averages_of(1.0, 2.0)
    with averages.swapped():
        with pytest.raises(error, match=f"^{message}"):
            call(averages, tf.Variable([3.0]))
        assert held(variables, averages) == ([10, 20], [1, 2])


# Dtypes.


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("face", ["drop-in", "optimizer"])
def test_float32_averages_of_half_precision(dtype, face):
    variable = tf.Variable(tf.ones([3], dtype))
    if face == "drop-in":
        averages = tf_mavg.ExponentialMovingAverage(0.999, average_dtype="float32")
    else:
        inner = tf1.train.GradientDescentOptimizer(1.0)
        averages = tf_mavg.MovingAverageOptimizer(inner, 0.999, average_dtype="float32").averages
    averages.create_averages([variable])
    variable.assign(2 * tf.ones([3], dtype))
    averages.apply([variable])
    average = averages.average(variable)
    assert average.dtype == tf.float32
    np.testing.assert_allclose(average, 1.001, 1e-6)
    with averages.swapped():  # Rounded; and back bit for bit.
        np.testing.assert_array_equal(variable.numpy(), tf.cast(average, dtype).numpy())
    assert (variable.numpy() == 2).all()
    with pytest.raises(TypeError, match='make the averages with average_dtype="same"'):
        averages.swapped_for_saving().__enter__()


def test_an_average_dtype_that_is_none():
    with pytest.raises(ValueError, match=r"`average_dtype` must be one of .* Received: 'float8'"):
        tf_mavg.ExponentialMovingAverage(0.5, average_dtype="float8")


# Functions.


def test_a_function_holds_one_handle_whatever_it_was_asked_for():
    variables, averages = averages_of(*map(float, range(50)))
    step = tf.function(lambda: [averages.apply(variables), None][1])
    graph = step.get_concrete_function().graph
    assert len(graph.captures) == 2  # The other tells whether they are swapped.
    (update,) = updates(graph)
    assert len(update.inputs) == 2


def test_a_function_that_xla_compiles_sees_every_variable():
    variables, averages = averages_of(1.0, 2.0)
    step = tf.function(lambda: [averages.apply(variables), None][1], jit_compile=True)
    step()
    assert held(variables, averages) == ([1, 2], [5.5, 11])


@pytest.mark.parametrize("traced_before", [False, True])
def test_an_exported_step_averages(traced_before, tmp_path):
    module = tf.Module()
    (module.variable,), module.averages = averages_of(1.0)

    @tf.function(input_signature=[])
    def step():
        module.variable.assign_add([1.0])
        module.averages.apply([module.variable])
        return module.averages.average(module.variable).read_value()

    module.step = step
    if traced_before:
        assert step().numpy() == [6.0]
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    assert loaded.step().numpy() == [4.5 if traced_before else 6.0]
    assert module.averages.average(module.variable).numpy() == [6.0 if traced_before else 10.0]
    # The exported object is a checkpoint as before.
    path = tf.train.Checkpoint(module=module).save(str(tmp_path / "c"))
    assert any("OPTIMIZER_SLOT" in key for key, _ in tf.train.list_variables(path))


@pytest.mark.parametrize("depends_on_argument", [False, True], ids=["lifted", "conditional"])
def test_variables_made_in_the_function_that_averages_them(depends_on_argument):
    made, averages = [], tf_mavg.ExponentialMovingAverage(0.5)

    @tf.function
    def step(start):
        if not made:
            made.append(tf.Variable(start if depends_on_argument else [1.0]))
        made[0].assign_add([1.0])
        averages.apply(made)

    values = []
    for _ in range(3):
        step(tf.constant([1.0]))
        values.append(float(averages.average(made[0])[0]))
    # It starts at 1, before the first step, or at 2, after it.
    assert values in ([1.5, 2.25, 3.125], [2.0, 2.5, 3.25])
    averages.apply(made)
    assert float(averages.average(made[0])[0]) == (values[-1] + 4) / 2


def test_two_functions_that_make_variables_start_their_own_averages():
    averages, made = tf_mavg.ExponentialMovingAverage(0.5), {}

    def step_that_makes(name):
        @tf.function
        def step(start):
            if name not in made:
                made[name] = tf.Variable(start)
            averages.apply([made[name]])

        return step

    step_that_makes("a")(tf.constant([8.0]))
    step_that_makes("b")(tf.constant([4.0]))
    assert held(made.values(), averages) == ([8, 4], [8, 4])


# Graphs.


@pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "reference"])
def test_one_holder_serves_the_default_graph_and_no_other(use_resource):
    optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.MomentumOptimizer(1.0, 0.9), 0.5)
    for i in range(2):
        with tf.Graph().as_default() as graph, tf1.Session() as session:
            variable = tf1.get_variable(f"v{i}", initializer=[1.0], use_resource=use_resource)
            train = optimizer.minimize(tf.reduce_sum(variable))
            assert all(one.graph is graph for one in optimizer.variables())
            assert len(optimizer.variables()) == 2  # The momentum and the average.
            swapped, saver = optimizer.averages.swapped(session), optimizer.swapping_saver()
            session.run(tf1.global_variables_initializer())
            session.run(train)
            with swapped:
                assert session.run(variable) == [0.5]
            assert session.run(variable) == [0.0]
            assert all(f"v{i}" in key for key in saver._var_list if "/swapped" not in key)
    eager = tf.Variable([1.0])
    optimizer.apply_gradients([(tf.constant([1.0]), eager)])
    assert [one is eager for one in (entry.variable for entry in optimizer.holder.entries())] == [
        True
    ]


@pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "reference"])
@pytest.mark.parametrize("sequential", [True, False], ids=["after", "beside"])
def test_a_session_refuses_steps_while_swapped_before_they_train_anything(use_resource, sequential):
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        variable = tf1.get_variable("v", initializer=[1.0], use_resource=use_resource)
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.MomentumOptimizer(1.0, 0.9), 0.5, sequential_update=sequential
        )
        step = tf1.get_variable("step", initializer=0)
        train = optimizer.minimize(tf.reduce_sum(variable), global_step=step)
        restart = optimizer.averages.restart()
        swapped = [optimizer.averages.swapped(session) for _ in range(2)]
        session.run(tf1.global_variables_initializer())
        assert session.run(tf1.report_uninitialized_variables()).size == 0
        graph.finalize()
        session.run(train)
        state = [variable, step, *optimizer.variables()]
        before = session.run(state)
        for context in swapped:
            with context:
                inside = session.run(state)
                for refused in (train, restart):
                    with pytest.raises(tf.errors.InvalidArgumentError, match="swap back first"):
                        session.run(refused)
                assert session.run(state) == inside
            assert session.run(state) == before
        session.run(train)


def test_what_was_made_in_a_graph_serves_eager_mode_too():
    with tf.Graph().as_default():
        averages = tf_mavg.ExponentialMovingAverage(0.5)
    variable = tf.Variable([1.0])
    averages.create_averages([variable])
    averages.average(variable).assign([10.0])
    with averages.swapped():
        assert variable.numpy() == [10.0]
    assert variable.numpy() == [1.0]


def test_swapped_in_a_finalized_graph_says_when_to_call_it():
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        averages.apply([tf1.get_variable("v", [2])])
        graph.finalize()
        with pytest.raises(RuntimeError, match="must be called before the graph is finalized"):
            averages.swapped(session)


def test_swapped_in_a_function_is_refused():
    _, averages = averages_of(1.0)
    with pytest.raises(RuntimeError, match="must be entered in eager mode"):
        tf.function(averages.swapped)()


def test_swapped_before_there_are_averages_names_what_makes_them():
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    with pytest.raises(RuntimeError, match=r"create_averages\(variables\)"), averages.swapped():
        pytest.fail("the body ran")


# Variables beside the trained ones.


@pytest.mark.parametrize("as_function", [False, True], ids=["list", "function"])
def test_extra_variables_are_averaged_too(as_function):
    weight, statistics = tf.Variable([1.0]), tf.Variable([1.0], trainable=False)
    extra = (lambda: [statistics]) if as_function else [statistics]
    optimizer = tf_mavg.MovingAverageOptimizer(
        tf1.train.GradientDescentOptimizer(1.0), 0.5, extra_variables=extra
    )
    for _ in range(2):
        optimizer.apply_gradients([(tf.constant([1.0]), weight)])
        statistics.assign_add([1.0])
    assert optimizer.averages.average(weight).numpy() == [-0.25]
    assert optimizer.averages.average(statistics).numpy() == [1.5]
    with optimizer.averages.swapped():
        assert statistics.numpy() == [1.5]


@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph of references"])
def test_extra_variables_that_are_no_floating_point_numbers_stay_as_they_are(in_graph):
    with tf.Graph().as_default() if in_graph else contextlib.nullcontext():
        weight, count, name = (
            tf1.Variable(value, use_resource=not in_graph)
            for value in ([1.0], np.int64(3), "a name")
        )
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(1.0), 0.5, extra_variables=[count, name, weight]
        )
        optimizer.apply_gradients([(tf.constant([1.0]), weight)])
        assert [optimizer.averages.average(one) for one in (count, name)] == [None, None]
        assert optimizer.holder.count == 1


def test_a_traced_step_of_the_optimizer_is_refused_before_it_trains():
    weight = tf.Variable([1.0])
    optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
    step = tf.function(lambda: [optimizer.apply_gradients([(tf.ones([1]), weight)]), None][1])
    step()
    average = optimizer.averages.average(weight).numpy()
    with (
        optimizer.averages.swapped(),
        pytest.raises(tf.errors.InvalidArgumentError, match="Variables cannot be trained while"),
    ):
        step()
    assert (weight.numpy(), optimizer.averages.average(weight).numpy()) == ([0.0], average)
