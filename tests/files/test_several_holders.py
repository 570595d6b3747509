"""Averages of several classes or objects in one file: all are swapped and restored, or none."""

import numpy as np
import pytest
import tensorflow as tf
from keras_models import faces

import tf_mavg

pytestmark = pytest.mark.slow

tf1 = tf.compat.v1


class Run:
    """Two variables, each with averages of its own, as a GAN has them."""

    def __init__(
        self, folder, *, made=True, managed=2, average_dtype="same", **options: object
    ) -> None:
        """Makes the objects, in their first state; `made` makes averages too."""
        self.net = tf.Module()
        self.net.d = tf.Variable([1.0], name="d")
        self.net.g = tf.Variable(
            [2.0], name="g", dtype="float32" if average_dtype == "same" else "float16"
        )
        self.both = [
            tf_mavg.ExponentialMovingAverage(decay, average_dtype=average_dtype)
            for decay in (0.5, 0.25)
        ]
        if made:
            for averages, variable in zip(self.both, self.variables, strict=True):
                averages.create_averages([variable])
        self.checkpoint = tf.train.Checkpoint(net=self.net, d=self.both[0], g=self.both[1])
        self.manager = tf_mavg.SwappingCheckpointManager(
            self.checkpoint, self.both[:managed], str(folder), **options
        )

    @property
    def variables(self):
        """The variables with averages."""
        return [self.net.d, self.net.g]

    def train(self, steps: int = 1) -> "Run":
        """Takes steps."""
        for _ in range(steps):
            for averages, variable in zip(self.both, self.variables, strict=True):
                variable.assign_add(tf.ones_like(variable))
                averages.apply([variable])
        return self

    def averages(self):
        """The values of the averages."""
        pairs = zip(self.both, self.variables, strict=True)
        return [float(one.average(variable)[0]) for one, variable in pairs]

    def state(self):
        """All values, and whether anything is swapped."""
        swapped = [one.is_swapped for one in self.both]
        return [float(v[0]) for v in self.variables], self.averages(), swapped


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("made", [False, True], ids=["before averages", "averages made"])
def test_a_manager_of_two_saves_and_restores_both(made, is_async, tmp_path):
    run = Run(tmp_path).train(3)
    before = run.state()
    path = run.manager.save(options=tf.train.CheckpointOptions(enable_async=is_async))
    run.manager.sync()
    assert run.state() == before
    plain = tf.Module()
    plain.d, plain.g = tf.Variable([0.0]), tf.Variable([0.0])
    tf.train.Checkpoint(net=plain).restore(path).expect_partial()
    assert [float(plain.d[0]), float(plain.g[0])] == run.averages()
    resumed = Run(tmp_path, made=made)
    assert resumed.manager.restore() == path
    assert resumed.state() == before
    assert resumed.train().state() == run.train().state()


def test_a_restore_of_both_that_fails_for_the_second_changes_nothing(tmp_path):
    run = Run(tmp_path / "one", managed=1).train()
    path = run.manager.save()  # It has the second one's values in their own places.
    other = Run(tmp_path / "two").train(4)
    before = other.state()
    with pytest.raises(ValueError, match="must be one of a SwappingCheckpointManager"):
        other.manager.restore(path)
    assert other.state() == before
    lenient = Run(tmp_path / "two", start_missing_averages=True)
    lenient.manager.restore(path)
    assert lenient.state() == run.state()


def test_a_save_that_fails_for_the_second_swaps_the_first_back(tmp_path):
    run = Run(tmp_path, average_dtype="float32").train()
    before = run.state()
    with pytest.raises(TypeError, match="must have the dtype of its weight to be saved"):
        run.manager.save()
    assert run.state() == before


def test_a_save_while_one_of_them_is_swapped_is_refused(tmp_path):
    run = Run(tmp_path).train()
    before = run.state()
    with (
        run.both[1].swapped(),
        pytest.raises(RuntimeError, match="cannot be saved or restored while"),
    ):
        run.manager.save()
    assert run.state() == before
    path = run.manager.save()
    run.checkpoint.restore(path)  # Not by the manager.
    assert run.state()[2] == [True, True]
    with pytest.raises(RuntimeError, match="restore it with the manager"):
        run.manager.save()
    run.manager.restore(path)
    assert run.state() == before


def test_a_variable_of_both_is_refused_by_name(tmp_path):
    run = Run(tmp_path)
    path = run.manager.save()
    run.both[1].create_averages([run.net.d])
    before = run.state()
    for refused in (
        run.manager.save,
        lambda: run.manager.restore(path),
        lambda: tf_mavg.SwappingCheckpointManager(run.checkpoint, run.both, str(tmp_path)),
    ):
        with pytest.raises(ValueError, match=r"different variables\. Received: 'd:0', which two"):
            refused()
        assert run.state() == before


def test_a_restore_that_makes_averages_of_one_variable_twice_is_undone(tmp_path):
    run = Run(tmp_path).train()
    run.both[1].create_averages([run.net.d])
    path = run.checkpoint.save(str(tmp_path / "plain"))
    other = Run(tmp_path, made=False, start_missing_averages=True)
    with pytest.raises(ValueError, match=r"different variables\. Received: 'd:0', which two"):
        other.manager.restore(path)
    assert [averages.holder.count for averages in other.both] == [0, 0]
    assert [float(v[0]) for v in other.variables] == [1.0, 2.0]


def test_what_has_no_averages_is_refused(tmp_path):
    run = Run(tmp_path)
    for wrong in ([], [run.both[0], run.net], run.net, "ema"):
        with pytest.raises(TypeError, match="`averages` must be an ExponentialMovingAverage, a"):
            tf_mavg.SwappingCheckpointManager(run.checkpoint, wrong, str(tmp_path))
    same = tf_mavg.SwappingCheckpointManager(run.checkpoint, [run.both[0]] * 2, str(tmp_path))
    assert same.save()
    untracked = tf.train.Checkpoint(net=run.net, d=run.both[0])
    with pytest.raises(ValueError, match="must track the averages"):
        tf_mavg.SwappingCheckpointManager(untracked, run.both, str(tmp_path))


@faces
def test_optimizers_of_keras_and_others_are_saved_together(face, tmp_path):
    def make():
        weight, other = face.variable([1.0], name="w"), tf.Variable([1.0], name="v")
        optimizer = face.wrap(face.keras.optimizers.SGD(1.0))
        averages = tf_mavg.ExponentialMovingAverage(0.5)
        optimizer.build([weight])
        averages.create_averages([other])
        parts = {"w": weight, "v": other, "o": optimizer, "a": averages}
        checkpoint = tf.train.Checkpoint(**parts)
        both = (optimizer, averages)
        return parts, tf_mavg.SwappingCheckpointManager(checkpoint, both, str(tmp_path))

    def state(parts):
        averages = parts["o"].average(parts["w"]), parts["a"].average(parts["v"])
        return [one.numpy().tolist() for one in (parts["w"], parts["v"], *averages)]

    parts, manager = make()
    parts["o"].apply_gradients([(tf.constant([1.0]), parts["w"])])
    parts["v"].assign([5.0])
    parts["a"].apply([parts["v"]])
    path = manager.save()
    resumed, manager = make()
    assert manager.restore() == path
    assert state(resumed) == state(parts) == [[0.0], [5.0], [0.75], [3.0]]


# The saver of TensorFlow 1.


class Graph:
    """A graph with two optimizers, in its Session."""

    def __init__(self, *, shared=False, use_resource=True) -> None:
        """Makes variables and steps."""
        self.variables = [
            tf1.get_variable(name, initializer=[0.0], use_resource=use_resource) for name in "dg"
        ]
        self.optimizers, self.steps = [], []
        for i, variable in enumerate(self.variables):
            sgd = tf1.train.GradientDescentOptimizer(i + 1.0)
            optimizer = tf_mavg.MovingAverageOptimizer(
                sgd, 0.5, extra_variables=self.variables[:1] if shared else ()
            )
            self.steps.append(optimizer.minimize(-tf.reduce_sum(variable), var_list=[variable]))
            self.optimizers.append(optimizer)
        self.session = tf1.get_default_session()
        self.session.run(tf1.global_variables_initializer())

    def values(self):
        """The variables, then their averages."""
        pairs = zip(self.optimizers, self.variables, strict=True)
        averages = [one.averages.average(variable) for one, variable in pairs]
        return np.concatenate(self.session.run([*self.variables, *averages])).tolist()


@pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "reference"])
def test_a_saver_of_two_optimizers(use_resource, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        graph = Graph(use_resource=use_resource)
        for _ in range(2):
            session.run(graph.steps)
        first, second = graph.optimizers
        saver = first.swapping_saver(others=[second])
        plain = tf1.train.Saver(graph.variables)
        before = graph.values()
        assert before == [2, 4, 1.25, 2.5]
        path = saver.save(session, str(tmp_path / "model"))
        plain.restore(session, path)
        assert graph.values() == [1.25, 2.5, 1.25, 2.5]
        session.run(tf1.global_variables_initializer())
        saver.restore(session, path)
        assert graph.values() == before
        with second.averages.swapped(), pytest.raises(RuntimeError, match="cannot be saved while"):
            saver.save(session, path)


def test_a_saver_of_one_that_reads_a_file_of_two(tmp_path):
    """The mark says what is exchanged, whoever reads it."""
    with tf.Graph().as_default(), tf1.Session() as session:
        graph = Graph()
        session.run(graph.steps)
        first, second = graph.optimizers
        path = first.swapping_saver(others=[second]).save(session, str(tmp_path / "model"))
        before = graph.values()
        session.run(tf1.global_variables_initializer())
        second.swapping_saver().restore(session, path)
        assert graph.values() == before


def test_a_saver_refuses_a_variable_of_both_and_one_without_averages():
    with tf.Graph().as_default(), tf1.Session():
        graph = Graph(shared=True)
        first, second = graph.optimizers
        with pytest.raises(ValueError, match=r"different variables\. Received: 'd:0', which two"):
            first.swapping_saver(others=[second])
        unused = tf_mavg.MovingAverageOptimizer(tf1.train.GradientDescentOptimizer(1.0))
        with pytest.raises(RuntimeError, match="Must call apply_gradients or minimize before"):
            second.swapping_saver(others=[unused])
        with pytest.raises(TypeError, match="`others` must be an ExponentialMovingAverage, a"):
            second.swapping_saver(others=[tf1.train.GradientDescentOptimizer(1.0)])
