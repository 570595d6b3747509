"""Several averages of each variable in files: each under a name of its own, the first in place."""

import graphs
import numpy as np
import pytest
import tensorflow as tf
from oracle import assert_same_bits

import tf_mavg
from tf_mavg import decays

tf1 = tf.compat.v1


class Run:
    """A variable with averages, and a manager of its checkpoints."""

    def __init__(self, folder, decay, **options: object) -> None:
        """Makes the averages at the first value of the variable."""
        self.net = tf.Module()
        self.net.v = tf.Variable([1.0], name="v")
        self.averages = tf_mavg.ExponentialMovingAverage(decay)
        self.averages.create_averages([self.net.v])
        self.checkpoint = tf.train.Checkpoint(net=self.net, averages=self.averages)
        self.manager = tf_mavg.SwappingCheckpointManager(
            self.checkpoint, self.averages, str(folder), **options
        )

    def set(self, *values: float):
        """Gives the variable and its averages values."""
        for variable, value in zip(self._every(), values, strict=True):
            variable.assign([value])
        return self

    @property
    def values(self):
        """What `set` has set."""
        return [float(variable.numpy()[0]) for variable in self._every()]

    def _every(self):
        count = self.averages.holder.of_each
        return [self.net.v, *(self.averages.average(self.net.v, i) for i in range(count))]


def test_an_object_checkpoint_gives_each_back(tmp_path):
    run = Run(tmp_path, [0.5, 0.9]).set(1, 2, 3)
    path = run.checkpoint.save(str(tmp_path / "plain"))
    other = Run(tmp_path, [0.5, 0.9])
    other.checkpoint.restore(path).assert_existing_objects_matched()
    assert other.values == [1, 2, 3]


def test_averages_of_a_checkpoint_are_made_when_they_are_not_there(tmp_path):
    path = Run(tmp_path, [0.5, 0.9]).set(1, 2, 3).checkpoint.write(str(tmp_path / "plain"))
    variable, averages = tf.Variable([0.0]), tf_mavg.ExponentialMovingAverage([0.5, 0.9])
    net = tf.Module()
    net.v = variable
    tf.train.Checkpoint(net=net, averages=averages).restore(path)
    assert [averages.average(variable, index).numpy()[0] for index in (0, 1)] == [2.0, 3.0]


def test_averages_are_found_by_name_too(tmp_path):
    variable, averages = tf.Variable([1.0], name="w"), tf_mavg.ExponentialMovingAverage([0.5, 0.9])
    averages.create_averages([variable])
    averages.average(variable, 1).assign([3.0])
    path = tf.train.Checkpoint(averages=averages).save(str(tmp_path / "averages"))
    other, found = tf.Variable([0.0], name="w"), tf_mavg.ExponentialMovingAverage([0.5, 0.9])
    found.create_averages([other])
    tf.train.Checkpoint(averages=found).restore(path).assert_existing_objects_matched()
    assert [found.average(other, index).numpy()[0] for index in (0, 1)] == [1.0, 3.0]


def test_the_manager_puts_the_first_in_place(tmp_path):
    run = Run(tmp_path, [0.5, 0.9]).set(1, 2, 3)
    path = run.manager.save()
    assert run.values == [1, 2, 3]
    net = tf.Module()
    net.v = tf.Variable([0.0])
    tf.train.Checkpoint(net=net).restore(path).expect_partial()
    assert net.v.numpy()[0] == 2.0
    other = Run(tmp_path, [0.5, 0.9])
    assert other.manager.restore() == path
    assert other.values == [1, 2, 3]


def test_a_restore_that_fails_changes_nothing(tmp_path):
    Run(tmp_path, 0.5).set(1, 2).manager.save()
    run = Run(tmp_path, [0.5, 0.9]).set(4, 5, 6)
    with pytest.raises(AssertionError, match=r"lacks 1 of 2 averages, the first of 'v:0'"):
        run.manager.restore()
    assert run.values == [4, 5, 6]
    assert not run.averages.is_swapped


def test_averages_that_a_checkpoint_lacks_start_at_the_variable(tmp_path):
    Run(tmp_path, 0.5).set(1, 2).manager.save()
    run = Run(tmp_path, [0.5, 0.9], start_missing_averages=True).set(4, 5, 6)
    run.manager.restore()
    assert run.values == [1, 2, 1]


@pytest.mark.parametrize("index", [0, 1])
def test_a_checkpoint_within_a_swap_says_which_are_in_place(index, tmp_path):
    run = Run(tmp_path, [0.5, 0.9]).set(1, 2, 3)
    with run.averages.swapped_for_saving(index=index):
        path = run.checkpoint.write(str(tmp_path / "swapped"))
    other = Run(tmp_path, [0.5, 0.9])
    other.checkpoint.restore(path)
    assert other.averages.is_swapped
    assert other.values[0] == 2 + index
    with pytest.raises(RuntimeError, match="while averages and variables are swapped"):
        other.averages.apply([other.net.v])
    other.averages.swap()
    assert other.values == [1, 2, 3]


def test_a_checkpoint_of_one_average_ends_the_swap_of_another(tmp_path):
    one, two = Run(tmp_path, 0.5).set(1, 2), Run(tmp_path, [0.5, 0.9]).set(4, 5, 6)
    with one.averages.swapped_for_saving():
        of_one = one.checkpoint.write(str(tmp_path / "one"))
    with two.averages.swapped_for_saving(index=1):
        of_two = two.checkpoint.write(str(tmp_path / "two"))
    run = Run(tmp_path, [0.5, 0.9])
    run.checkpoint.restore(of_two)
    run.checkpoint.restore(of_one)  # It does not know the second average.
    run.averages.swap()
    assert run.values[:2] == [1, 2]


def test_averages_in_place_that_a_program_does_not_have_are_refused(tmp_path):
    two = Run(tmp_path, [0.5, 0.9]).set(1, 2, 3)
    with two.averages.swapped_for_saving(index=1):
        path = two.checkpoint.write(str(tmp_path / "swapped"))
    message = r"below index 1\. Received: one with those of index 1; .* at least 2 decays"
    run = Run(tmp_path, 0.5).set(4, 5)
    with pytest.raises(ValueError, match=message):
        run.manager.restore(path)
    assert run.values == [4, 5]
    assert not run.averages.is_swapped
    run.checkpoint.restore(path)
    with pytest.raises(ValueError, match=message):
        run.averages.swap()
    with pytest.raises(RuntimeError, match="while averages and variables are swapped"):
        run.averages.apply([run.net.v])


def test_a_checkpoint_without_the_count_of_steps(tmp_path):
    path = Run(tmp_path, 0.5).set(1, 2).manager.save()
    run = Run(tmp_path, decays.Uniform(), start_missing_averages=True).set(4, 5)
    with pytest.raises(ValueError, match="must hold the count of the averages' steps"):
        run.manager.restore(path)
    assert run.values == [4, 5]
    net = tf.Module()
    net.v = tf.Variable([7.0])
    path = tf.train.Checkpoint(net=net).save(str(tmp_path / "plain"))
    run.averages.apply([run.net.v])
    run.manager.restore(path)  # All start anew, and count from there.
    assert run.values == [7, 7]
    assert int(run.averages.holder.steps.first) == 0


def test_a_failed_restore_that_would_make_the_first_averages_leaves_no_count(tmp_path):
    run = Run(tmp_path, decays.Uniform())
    for _ in range(5):
        run.averages.apply([run.net.v])
    path = run.manager.save()
    net, averages = tf.Module(), tf_mavg.ExponentialMovingAverage(decays.Uniform())
    net.v, net.new = tf.Variable([0.0]), tf.Variable([0.0])
    checkpoint = tf.train.Checkpoint(net=net, averages=averages)
    manager = tf_mavg.SwappingCheckpointManager(checkpoint, averages, str(tmp_path / "new"))
    with pytest.raises(AssertionError):
        manager.restore(path)
    net.v.assign([8.0])
    averages.apply([net.v])  # The first update copies.
    assert averages.average(net.v).numpy()[0] == 8.0
    assert int(averages.holder.steps.first) == 1


@pytest.mark.parametrize("kind", graphs.VARIABLE_KINDS)
def test_the_saver_swaps_the_first_and_saves_all(kind, tmp_path):
    decay = [0.5, 0.9, decays.Uniform()]
    with graphs.model(kind, decay=decay) as model:
        averages = model.optimizer.averages
        every = [averages.average(v, index) for v in model.variables for index in range(3)]
        saver = model.optimizer.swapping_saver()
        model.initialize()
        model.train(4)
        own, first = model.values()
        before = model.session.run([*model.variables, *every])
        path = saver.save(model.session, str(tmp_path / "model"))
        model.train(2)
        saver.restore(model.session, path)
        for received, expected in zip(
            model.session.run([*model.variables, *every]), before, strict=True
        ):
            assert_same_bits(received, expected)
        model.train(1)  # It goes on.
    keys = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    assert {f"model/bias/ExponentialMovingAverage{end}" for end in ("", "_1", "_2")} <= set(keys)
    with tf.Graph().as_default(), tf1.Session() as session:
        _, made = graphs.make_loss(kind)
        tf1.train.Saver().restore(session, path)
        received = session.run([s for v in made for s in (v if "partitioned" in kind else [v])])
    for one, average, raw in zip(received, first, own, strict=True):
        assert_same_bits(one, average)
        assert not np.array_equal(one, raw)


def test_the_saver_starts_those_that_a_checkpoint_lacks(tmp_path):
    with graphs.model("resource") as model:
        saver = model.optimizer.swapping_saver()
        model.initialize()
        model.train(4)
        own, first = model.values()
        path = saver.save(model.session, str(tmp_path / "model"))
    with graphs.model("resource", decay=[graphs.DECAY, 0.5]) as model:
        model.initialize()
        with pytest.raises(tf.errors.NotFoundError, match="lacks 2 of 4 averages"):
            model.optimizer.swapping_saver().restore(model.session, path)
        saver = model.optimizer.swapping_saver(start_missing_averages=True, name="missing")
        saver.restore(model.session, path)
        second = [model.optimizer.averages.average(v, 1) for v in model.variables]
        found = zip(*model.values(), model.session.run(second), own, first, strict=True)
        for variable, average, new, raw, mean in found:
            assert_same_bits(variable, raw)
            assert_same_bits(average, mean)
            assert_same_bits(new, raw)
