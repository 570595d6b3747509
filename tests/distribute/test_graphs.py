"""Graphs of TensorFlow 1 under a strategy."""

import pytest
import tensorflow as tf

import tf_mavg

tf1 = tf.compat.v1


def test_replicas_of_a_graph_average_their_components(logical_cpus):
    with tf.Graph().as_default():
        strategy = tf1.distribute.MirroredStrategy(logical_cpus[:2])
        with strategy.scope():
            variable = tf1.get_variable("v", initializer=[1.0, 2.0], use_resource=True)
            inner = tf1.train.GradientDescentOptimizer(1.0)
            optimizer = tf_mavg.MovingAverageOptimizer(inner, 0.5)
            minimize = strategy.run(
                lambda: optimizer.minimize(tf.reduce_sum(variable**2), var_list=[variable])
            )
            train = tf.group(strategy.experimental_local_results(minimize))
        average = optimizer.averages.average(variable)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(2):  # Each takes four times the value away: the replicas' sum.
                session.run(train)
            weights, averages = session.run([variable.values, average.values])
        assert [value.tolist() for value in weights] == [[9.0, 18.0]] * 2
        assert [value.tolist() for value in averages] == [[4.0, 8.0]] * 2
        assert [one.device for one in average.values] == [one.device for one in variable.values]
        with pytest.raises(ValueError, match=r"Variable to swap v:0 is made of one variable a rep"):
            optimizer.swapping_saver()
