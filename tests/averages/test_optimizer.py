"""tf_mavg.MovingAverageOptimizer: the wrapped optimizer's training, and averages of it."""

import re

import emitted
import graphs
import numpy as np
import pytest
import tensorflow as tf
from failed_steps import failing_steps, take_steps
from graphs import DECAY, VARIABLE_KINDS
from oracle import assert_same_bits, updated

import tf_mavg

tf1 = tf.compat.v1

kinds = pytest.mark.parametrize("kind", VARIABLE_KINDS)


@kinds
def test_averages_follow_the_variables_of_every_step(kind):
    with graphs.model(kind) as model:
        model.initialize()
        variables, averages = model.values()
        for variable, average in zip(variables, averages, strict=True):
            assert_same_bits(average, variable)
        for _ in range(10):
            model.train(1)
            expected = averages
            variables, averages = model.values()
            for i, variable in enumerate(variables):
                assert_same_bits(averages[i], updated(expected[i], variable, DECAY))


@kinds
def test_training_is_the_wrapped_optimizers(kind):
    with graphs.model(kind) as model:
        model.initialize()
        model.train(5)
        variables, _ = model.values()
        assert model.session.run(model.global_step) == 5
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(7)
        loss, made = graphs.make_loss(kind)
        train_op = tf1.train.MomentumOptimizer(0.01, 0.9).minimize(loss)
        session.run(tf1.global_variables_initializer())
        for _ in range(5):
            session.run(train_op)
        plain = session.run([s for v in made for s in (v if "partitioned" in kind else [v])])
    for received, expected in zip(variables, plain, strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-6)


OPTIMIZERS = [
    tf1.train.GradientDescentOptimizer(0.01),
    tf1.train.AdamOptimizer(0.01),
    tf1.train.AdagradOptimizer(0.01),
    tf1.train.RMSPropOptimizer(0.01),
    tf1.train.FtrlOptimizer(0.01),
]


@pytest.mark.parametrize("wrapped", OPTIMIZERS, ids=lambda o: o.get_name())
def test_any_optimizer_can_be_wrapped(wrapped):
    with graphs.model("resource", wrapped) as model:
        model.initialize()
        _, start = model.values()
        model.train(1)
        variables, averages = model.values()
        for before, variable, average in zip(start, variables, averages, strict=True):
            assert not np.array_equal(before, variable)
            assert_same_bits(average, updated(before, variable, DECAY))


@kinds
@pytest.mark.parametrize("sequential", [True, False])
def test_sequential_update_waits_for_the_training_and_parallel_does_not(kind, sequential):
    with graphs.model(kind, sequential_update=sequential):
        graph = tf1.get_default_graph()
        training = set(emitted.ops_of(graph, "ApplyMomentum"))
        assert training
        before = emitted.ancestors(emitted.updates(graph))
        assert training & before == (training if sequential else set())


@kinds
def test_one_fused_op_updates_all_variables(kind):
    with graphs.model(kind) as model:
        fused = emitted.updates(tf1.get_default_graph())
        assert [emitted.averages_moved(op) for op in fused] == [len(model.variables)]


@kinds
def test_num_updates_sees_the_step_that_was_just_counted(kind):
    with tf.Graph().as_default(), tf1.Session() as session:
        loss, made = graphs.make_loss(kind)
        step = tf1.train.get_or_create_global_step()
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(0.01), 0.99, num_updates=step
        )
        train_op = optimizer.minimize(loss, step)
        variable = next(iter(made[0])) if "partitioned" in kind else made[0]
        average = optimizer.averages.average(variable)
        session.run(tf1.global_variables_initializer())
        for i in range(1, 30):
            before = session.run(average)
            session.run(train_op)
            after, value = session.run([average, variable])
            decay = np.float32(1 + i) / np.float32(10 + i)
            assert_same_bits(after, updated(before, value, float(decay)))


def test_several_calls_of_apply_gradients_all_count():
    with tf.Graph().as_default(), tf1.Session() as session:
        loss, variables = graphs.make_loss("resource")
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1), 0.5)
        train_ops = [
            optimizer.apply_gradients(optimizer.compute_gradients(loss, [variable]))
            for variable in variables
        ]
        session.run(tf1.global_variables_initializer())
        session.run(train_ops)
        averages = [optimizer.averages.average(v) for v in variables]
        for variable, average in session.run(list(zip(variables, averages, strict=True))):
            assert not np.array_equal(variable, average)
        assert set(optimizer.variables()) >= set(averages)


def test_a_variable_without_a_gradient_has_no_average():
    with tf.Graph().as_default():
        loss, variables = graphs.make_loss("resource")
        unused = tf1.get_variable("unused", [2])
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1))
        optimizer.minimize(loss)
        assert optimizer.averages.average(unused) is None
        assert all(optimizer.averages.average(v) is not None for v in variables)


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_sparse_gradients(use_resource):
    with tf.Graph().as_default(), tf1.Session() as session:
        table = tf1.get_variable("table", [5, 2], use_resource=use_resource)
        loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [1, 3]))
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.AdagradOptimizer(0.1), 0.5)
        gradients = optimizer.compute_gradients(loss)
        assert isinstance(gradients[0][0], tf.IndexedSlices)
        train_op = optimizer.apply_gradients(gradients)
        session.run(tf1.global_variables_initializer())
        start = session.run(table)
        session.run(train_op)
        value, average = session.run([table, optimizer.averages.average(table)])
        assert np.flatnonzero((value != start).any(axis=1)).tolist() == [1, 3]
        assert_same_bits(average, updated(start, value, 0.5))


def test_tied_weights_that_occur_twice_are_averaged_once():
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", [2], initializer=tf1.ones_initializer())
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0), 0.5)
        gradient = tf.constant([1.0, 2.0])
        train_op = optimizer.apply_gradients([(gradient, variable), (gradient, variable)])
        session.run(tf1.global_variables_initializer())
        session.run(train_op)
        assert session.run(optimizer.averages.average(variable)).tolist() == [0.0, -1.0]


@kinds
def test_slots_are_the_wrapped_optimizers_and_the_average(kind):
    with graphs.model(kind) as model:
        optimizer = model.optimizer
        assert optimizer.get_slot_names() == ["momentum", "average"]
        for variable, average in zip(model.variables, model.averages, strict=True):
            assert optimizer.get_slot(variable, "average") is average
            momentum = optimizer.get_slot(variable, "momentum")
            assert momentum.shape == variable.shape
            assert {momentum.ref(), average.ref()} <= {v.ref() for v in optimizer.variables()}
        assert optimizer.get_name() == "MovingAverage"
        assert optimizer.get_slot(model.global_step, "average") is None


def test_minimize_takes_every_argument_of_the_class_it_replaces():
    with tf.Graph().as_default(), tf1.Session() as session:
        loss, variables = graphs.make_loss("resource")
        step = tf1.train.get_or_create_global_step()
        optimizer = tf_mavg.MovingAverageOptimizer(
            opt=tf1.train.GradientDescentOptimizer(0.1),
            average_decay=0.5,
            num_updates=None,
            sequential_update=True,
        )
        train_op = optimizer.minimize(
            loss,
            global_step=step,
            var_list=variables[1:],
            gate_gradients=tf1.train.Optimizer.GATE_GRAPH,
            aggregation_method=tf1.AggregationMethod.ADD_N,
            colocate_gradients_with_ops=True,
            name="training",
            grad_loss=tf.constant(2.0),
        )
        session.run(tf1.global_variables_initializer())
        session.run(train_op)
        assert session.run(step) == 1
        assert optimizer.averages.average(variables[0]) is None
        # The gradient of (bias - 2)^2 at 0 is -4, times grad_loss and the rate: bias moves by 0.8.
        np.testing.assert_allclose(session.run(variables[1]), np.full(4, 0.8), rtol=1e-6)
        average = optimizer.averages.average(variables[1])
        np.testing.assert_allclose(session.run(average), np.full(4, 0.4), rtol=1e-6)


@pytest.mark.parametrize("in_function", [False, True], ids=["eager", "function"])
@pytest.mark.parametrize("sequential", [True, False])
def test_without_a_session(in_function, sequential):
    variable = tf.Variable([4.0])
    step = tf.Variable(0, dtype=tf.int64)
    optimizer = tf_mavg.MovingAverageOptimizer(
        tf1.train.MomentumOptimizer(0.25, 0.5), 0.5, sequential_update=sequential
    )

    def train():
        optimizer.minimize(lambda: variable**2 / 2, step, var_list=[variable])

    run = tf.function(lambda: (train(), None)[1]) if in_function else train
    expected = 4.0
    for i in range(5):
        run()
        average = optimizer.averages.average(variable)
        expected = expected - (expected - variable.numpy()[0]) * 0.5
        assert average.numpy() == [expected]
        assert step.numpy() == i + 1


@pytest.mark.parametrize("in_function", [False, True], ids=["eager", "function"])
@pytest.mark.parametrize("sparse", ["dense", "lazy"])
def test_a_step_that_the_wrapped_optimizer_fails_is_none(sparse, in_function, monkeypatch):
    def trained(*, fails: bool):
        table = tf.Variable(tf.ones([3, 2]))
        inner = tf1.train.GradientDescentOptimizer(1.0)
        optimizer = tf_mavg.MovingAverageOptimizer(inner, 0.5, every=2, sparse=sparse)
        failing = failing_steps(monkeypatch, inner, "apply_gradients") if fails else None
        take_steps(optimizer, table, in_function=in_function, failing=failing)
        counted = optimizer.holder.steps.first.numpy()
        return counted, table.numpy(), optimizer.averages.average(table).numpy()

    for received, expected in zip(trained(fails=True), trained(fails=False), strict=True):
        np.testing.assert_array_equal(received, expected)


def test_no_training_while_swapped():
    variable = tf.Variable([4.0])
    optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1))
    optimizer.minimize(lambda: variable**2, var_list=[variable])
    before = variable.numpy()
    with optimizer.averages.swapped(), pytest.raises(RuntimeError, match="cannot be trained while"):
        optimizer.minimize(lambda: variable**2, var_list=[variable])
    assert variable.numpy() == before


def test_malformed_pairs():
    with tf.Graph().as_default():
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1))
        pair = (tf.constant([1.0]), "no variable")
        for malformed in ([pair], [tf.constant(1.0)], [(1, 2, 3)]):
            with pytest.raises(TypeError, match="must be pairs of a gradient and a variable"):
                optimizer.apply_gradients(malformed)


def test_no_gradients():
    with tf.Graph().as_default():
        variable = tf1.get_variable("v", [2])
        optimizer = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1))
        with pytest.raises(ValueError, match="No gradients provided for any variable"):
            optimizer.minimize(tf.constant(1.0), var_list=[variable])
        with pytest.raises(ValueError, match="No gradients provided"):
            optimizer.apply_gradients([(None, variable)])
        assert optimizer.averages.average(variable) is None


def test_what_is_no_optimizer_is_refused():
    expected = re.escape("`opt` must be a tf.compat.v1.train.Optimizer. Received: 'momentum'.")
    with pytest.raises(TypeError, match=expected):
        tf_mavg.MovingAverageOptimizer("momentum")
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\]\. Received: decay=2"):
        tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(0.1), 2)
