"""Graphs of TensorFlow 1 under each strategy of one process: training, swaps, savers."""

import numpy as np
import pytest
import tensorflow as tf
from oracle import updated
from strategies import STRATEGIES, components

import tf_mavg

tf1 = tf.compat.v1


class Graph:
    """Variables of a strategy in the default graph, their training, and a Session."""

    def __init__(self, strategy) -> None:
        """Makes a variable to train, and statistics that each replica assigns."""
        with strategy.scope():
            self.variable = tf1.get_variable("v", initializer=[1.0, 2.0], use_resource=True)
            self.statistics = tf1.get_variable(
                "s",
                initializer=[0.0],
                use_resource=True,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.MEAN,
            )
            inner = tf1.train.MomentumOptimizer(0.1, 0.9)
            self.optimizer = tf_mavg.MovingAverageOptimizer(
                inner, 0.5, extra_variables=[self.statistics]
            )
            trained = strategy.run(self._step)
            self.train_op = tf.group(strategy.experimental_local_results(trained))
        average = self.optimizer.averages.average
        self.everything = {
            "v": components(self.variable),
            "average of v": components(average(self.variable)),
            "s": components(self.statistics),
            "average of s": components(average(self.statistics)),
        }
        self.session = tf1.Session()

    def _step(self):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        assign = self.statistics.assign([tf.cast(replica, tf.float32) + 1])
        with tf.control_dependencies([assign]):
            loss = tf.reduce_sum(self.variable**2)
        return self.optimizer.minimize(loss, var_list=[self.variable])

    def train(self, steps):
        """Takes steps."""
        for _ in range(steps):
            self.session.run(self.train_op)

    def values(self):
        """All components' values, as lists."""
        found = self.session.run(self.everything)
        return {name: [one.tolist() for one in members] for name, members in found.items()}


@pytest.fixture(params=STRATEGIES)
def graph(request, logical_cpus):
    with tf.Graph().as_default():
        made = Graph(STRATEGIES[request.param](logical_cpus))
        made.session.run(tf1.global_variables_initializer())
        with made.session:
            yield made


def exchanged(values):
    return {
        one: values[other]
        for name in ("v", "s")
        for one, other in ((name, f"average of {name}"), (f"average of {name}", name))
    }


def test_replicas_average_their_components(graph):
    expected = [np.array([1.0, 2.0], np.float32)] * len(graph.everything["v"])
    for _ in range(3):
        graph.train(1)
        values = graph.values()
        expected = [
            updated(average, np.float32(value), 0.5)
            for average, value in zip(expected, values["v"], strict=True)
        ]
        assert values["average of v"] == [one.tolist() for one in expected]
    for name in ("v", "s"):
        devices = [one.device for one in graph.everything[name]]
        assert [one.device for one in graph.everything[f"average of {name}"]] == devices


def test_a_swap_exchanges_all_components(graph):
    graph.train(2)
    before = graph.values()
    with graph.optimizer.averages.swapped():
        assert graph.values() == exchanged(before)
    assert graph.values() == before


def test_a_swapping_saver_resumes_all_components(graph, tmp_path):
    saver = graph.optimizer.swapping_saver()
    graph.train(3)
    before = graph.values()
    path = saver.save(graph.session, str(tmp_path / "model"))
    graph.train(2)
    saver.restore(graph.session, path)
    after = graph.values()
    assert [after["v"], after["average of v"]] == [before["v"], before["average of v"]]
    for name in ("s", "average of s"):  # Read together, they are restored to their mean.
        mean = np.mean(before[name], axis=0).tolist()
        assert after[name] == [mean] * len(before[name])


def test_a_plain_saver_gives_averages_to_all_components(graph, tmp_path):
    saver, plain = graph.optimizer.swapping_saver(), tf1.train.Saver([graph.variable])
    graph.train(3)
    before = graph.values()
    path = saver.save(graph.session, str(tmp_path / "model"))
    assert {"v", "v/ExponentialMovingAverage", "v/Momentum"} <= {
        name for name, _ in tf1.train.list_variables(path)
    }
    assert tf.train.load_variable(path, "v").tolist() == before["average of v"][0]
    graph.train(2)
    plain.restore(graph.session, path)
    assert graph.values()["v"] == before["average of v"]


@pytest.mark.parametrize("kind", STRATEGIES)
def test_a_file_of_no_strategy_is_resumed(kind, logical_cpus, tmp_path):
    found, path = [], str(tmp_path / "model")
    for one in ("no strategy", kind):
        with tf.Graph().as_default():
            made = Graph(STRATEGIES[one](logical_cpus))
            saver = made.optimizer.swapping_saver()
            with made.session as session:
                if found:
                    saver.restore(session, path)
                else:
                    session.run(tf1.global_variables_initializer())
                    made.train(3)
                    saver.save(session, path)
                found.append(made.values())
    for name, (value,) in found[0].items():
        assert found[1][name] == [value] * len(found[1][name])
