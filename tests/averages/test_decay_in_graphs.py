"""A decay or count of updates that a step of a graph changes is read after that."""

import numpy as np
import pytest
import tensorflow as tf

import tf_mavg

tf1 = tf.compat.v1

kinds = pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
optimizers = pytest.mark.parametrize("name", ["GradientDescent", "Momentum", "Adam", "RMSProp"])


def wrapped(name: str) -> tf1.train.Optimizer:
    arguments = {"Momentum": [0.01, 0.9]}.get(name, [0.01])
    return getattr(tf1.train, f"{name}Optimizer")(*arguments)


@pytest.mark.sampled(pairs=True)
@kinds
@optimizers
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_num_updates_counts_the_step_just_taken(resource, name, dtype):
    with tf.Graph().as_default(), tf1.Session() as session:
        step = tf1.get_variable(
            "step", initializer=dtype(0), trainable=False, use_resource=resource
        )
        w = tf1.get_variable("w", initializer=tf.zeros([4]), use_resource=resource)
        optimizer = tf_mavg.MovingAverageOptimizer(wrapped(name), 0.9999, num_updates=step)
        train_op = optimizer.minimize(tf.reduce_sum((w - 3.0) ** 2), step)
        session.run(tf1.global_variables_initializer())
        expected = np.zeros(4)
        for n in range(1, 12):
            session.run(train_op)
            expected -= (expected - session.run(w)) * (1 - (1 + n) / (10 + n))
        received = session.run(optimizer.averages.average(w))
        np.testing.assert_allclose(received, expected, rtol=1e-5)


@pytest.mark.sampled(pairs=True)
@kinds
@optimizers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("counted", [False, True])
def test_a_decay_variable_is_read_after_the_step(resource, name, dtype, counted):
    """The step of the wrapped optimizer halves the decay."""
    with tf.Graph().as_default(), tf1.Session() as session:
        decay = tf1.get_variable(
            "decay", initializer=dtype(1.0), trainable=False, use_resource=resource
        )
        w = tf1.get_variable("w", initializer=tf.zeros([4]), use_resource=resource)

        class Halving(type(wrapped(name))):
            def _finish(self, update_ops: list, name: str) -> tf.Operation:
                with tf.control_dependencies(update_ops):
                    halved = tf1.assign(decay, decay * dtype(0.5))
                return super()._finish([*update_ops, halved.op], name)

        opt = wrapped(name)
        opt.__class__ = Halving
        optimizer = tf_mavg.MovingAverageOptimizer(opt, decay, num_updates=1e9 if counted else None)
        train_op = optimizer.minimize(tf.reduce_sum((w - 3.0) ** 2))
        session.run(tf1.global_variables_initializer())
        expected = np.zeros(4)
        for n in range(1, 6):
            session.run(train_op)
            expected -= (expected - session.run(w)) * (1 - 0.5**n)
        received = session.run(optimizer.averages.average(w))
        np.testing.assert_allclose(received, expected, rtol=1e-5)
