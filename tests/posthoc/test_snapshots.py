"""Snapshots of power function averages: taken whole, in every face, of the right step."""

import json

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import VARIABLE_KINDS
from oracle import assert_same_bits

import tf_mavg
from tf_mavg.decays import PowerFunction, Uniform
from tf_mavg.posthoc import Snapshots, SnapshotSaverHook, reconstruct

pytestmark = pytest.mark.slow

tf1 = tf.compat.v1

WIDTHS = (0.05, 0.10)
SCHEDULES = [PowerFunction(sigma_rel=sigma) for sigma in WIDTHS]


def started(folder, decay=None, **options: object):
    """A variable, its averages, and what takes snapshots."""
    net = tf.Module()
    net.w = tf.Variable([1.0])
    average = tf_mavg.ExponentialMovingAverage(decay or SCHEDULES, **options)
    return net, average, Snapshots(folder, average, tf.train.Checkpoint(net=net).write)


def step(net, average, times=1):
    for _ in range(times):
        net.w.assign_add([1.0])
        average.apply([net.w])


def value_in(path):
    net = tf.Module()
    net.w = tf.Variable([0.0])
    tf.train.Checkpoint(net=net).restore(path).expect_partial()
    return net.w.numpy()


def listed(folder):
    found = json.loads((folder / "snapshots.json").read_text())
    return [(one["step"], one["file"]) for one in found]


def test_each_average_is_a_file_of_the_model(tmp_path):
    net, average, snapshots = started(tmp_path)
    step(net, average, 5)
    for index, path in enumerate(snapshots.save()):
        assert_same_bits(value_in(path), average.average(net.w, index).numpy())
    assert net.w.numpy()[0] == 6.0
    assert not average.is_swapped
    assert listed(tmp_path) == [(5, "snapshot-5-0"), (5, "snapshot-5-1")]


def test_only_power_functions_are_kept(tmp_path):
    net, average, snapshots = started(tmp_path, [0.9, SCHEDULES[0], Uniform()])
    step(net, average, 3)
    _, uniform = snapshots.save()
    np.testing.assert_allclose(value_in(uniform), [3.0])  # The mean of 2, 3 and 4.
    found = json.loads((tmp_path / "snapshots.json").read_text())
    assert [one["exponent"] for one in found] == [SCHEDULES[0].exponent, 0.0]


def test_updates_count_from_the_start_of_the_averages(tmp_path):
    net, average, snapshots = started(tmp_path, start=2)
    step(net, average, 2)
    with pytest.raises(ValueError, match=r"Received: step=None after 0 updates\."):
        snapshots.save()
    step(net, average, 3)
    snapshots.save(3)
    assert listed(tmp_path)[0][0] == 3


def test_between_two_moves_they_are_those_of_the_last(tmp_path):
    net, average, snapshots = started(tmp_path, every=3)
    step(net, average, 2)
    with pytest.raises(ValueError, match=r"after 0 updates\."):
        snapshots.save()
    step(net, average, 3)
    snapshots.save()
    assert {number for number, _ in listed(tmp_path)} == {3}


def test_a_checkpoint_that_tracks_the_averages_is_refused(tmp_path):
    net, average, _ = started(tmp_path)
    step(net, average)
    write = tf.train.Checkpoint(net=net, average=average).write
    with pytest.raises(RuntimeError, match="cannot be saved or restored while averages"):
        Snapshots(tmp_path, average, write).save()
    assert not average.is_swapped
    assert not (tmp_path / "snapshots.json").exists()


def test_a_hook_works_outside_of_its_graphs_scope(tmp_path):
    with tf.Graph().as_default():
        loss, _ = graphs.make_loss("resource")
        tf1.train.get_or_create_global_step()
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(0.05), SCHEDULES
        )
        train_op = optimizer.minimize(loss)
        hook = SnapshotSaverHook(Snapshots(tmp_path, optimizer), save_steps=2)
        session = tf1.train.MonitoredSession(hooks=[hook])
    with session:
        for _ in range(2):
            session.run(train_op)
    assert {number for number, _ in listed(tmp_path)} == {2}


def test_a_step_that_is_not_theirs_is_refused(tmp_path):
    net, average, snapshots = started(tmp_path)
    with pytest.raises(ValueError, match=r"Received: step=None after 0 updates\."):
        snapshots.save()
    step(net, average, 2)
    with pytest.raises(ValueError, match=r"Received: step=7 after 2 updates\."):
        snapshots.save(7)
    with pytest.raises(RuntimeError, match="No snapshot can be taken"), average.swapped():
        snapshots.save()
    assert not (tmp_path / "snapshots.json").exists()


def test_a_write_that_fails_leaves_the_weights_and_lists_nothing(tmp_path):
    net, average, _ = started(tmp_path)
    step(net, average, 2)

    def fail(path):
        raise OSError(path)

    with pytest.raises(OSError, match="snapshot-2-0"):
        Snapshots(tmp_path, average, fail).save()
    assert net.w.numpy()[0] == 3.0
    assert not (tmp_path / "snapshots.json").exists()


def test_a_snapshot_that_is_written_again_is_not_listed_meanwhile(tmp_path):
    net, average, snapshots = started(tmp_path)
    step(net, average, 2)
    snapshots.save()
    seen = []
    write = tf.train.Checkpoint(net=net).write

    def look_and_write(path):
        seen.append(listed(tmp_path))
        return write(path)

    Snapshots(tmp_path, average, look_and_write).save()
    assert seen == [[(2, "snapshot-2-1")], [(2, "snapshot-2-0")]]
    assert sorted(listed(tmp_path)) == [(2, "snapshot-2-0"), (2, "snapshot-2-1")]


@pytest.mark.parametrize("kind", VARIABLE_KINDS)
def test_a_hook_takes_them_in_a_session(kind, tmp_path):
    with tf.Graph().as_default():
        loss, made = graphs.make_loss(kind)
        tf1.train.get_or_create_global_step()
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(0.05), SCHEDULES
        )
        train_op = optimizer.minimize(loss)
        variables = [shard for v in made for shard in (v if "partitioned" in kind else [v])]
        averages = [optimizer.averages.average(v, index) for index in (0, 1) for v in variables]
        hook = SnapshotSaverHook(Snapshots(tmp_path, optimizer), save_steps=2)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            for _ in range(5):
                session.run(train_op)
            values = session.run(averages)
    steps = sorted({number for number, _ in listed(tmp_path)})
    assert steps == [2, 4, 5]
    # A plain program restores each into the model's own variables.
    for index in (0, 1):
        with tf.Graph().as_default(), tf1.Session() as session:
            _, made = graphs.make_loss(kind)
            tf1.train.Saver().restore(session, str(tmp_path / f"snapshot-5-{index}"))
            found = session.run([s for v in made for s in (v if "partitioned" in kind else [v])])
        of_index = values[len(found) * index : len(found) * (index + 1)]
        for received, expected in zip(found, of_index, strict=True):
            assert_same_bits(received, expected)
    reconstruct(tmp_path, tmp_path / "chosen", 0.15)
    assert tf.train.load_variable(str(tmp_path / "chosen"), "model/bias").shape == (4,)


def test_a_hook_that_goes_on_counts_from_there(tmp_path):
    def train(steps):
        with tf.Graph().as_default():
            loss, _ = graphs.make_loss("resource")
            global_step = tf1.train.get_or_create_global_step()
            optimizer = tf_mavg.MovingAverageOptimizer(
                tf1.train.GradientDescentOptimizer(0.05), SCHEDULES
            )
            train_op = optimizer.minimize(loss, global_step)
            scaffold = tf1.train.Scaffold(saver=optimizer.swapping_saver())
            hook = SnapshotSaverHook(Snapshots(tmp_path / "snapshots", optimizer), save_steps=10)
            with tf1.train.MonitoredTrainingSession(
                checkpoint_dir=str(tmp_path / "training"), scaffold=scaffold, hooks=[hook]
            ) as session:
                for _ in range(steps):
                    session.run(train_op)

    train(4)
    train(3)
    assert sorted({number for number, _ in listed(tmp_path / "snapshots")}) == [4, 7]


def test_what_is_refused(tmp_path):
    average = tf_mavg.ExponentialMovingAverage([0.9, 0.99])
    with pytest.raises(ValueError, match=r"^Averages of other widths .* Received: \[0.9, 0.99\]\."):
        Snapshots(tmp_path, average, lambda _: None)
    average = tf_mavg.ExponentialMovingAverage(SCHEDULES)
    with pytest.raises(ValueError, match="Received: write=None in eager mode"):
        Snapshots(tmp_path, average)
    with tf.Graph().as_default():
        average = tf_mavg.ExponentialMovingAverage(SCHEDULES)
        with pytest.raises(ValueError, match=r"Received: write=.* in a graph"):
            Snapshots(tmp_path, average, lambda _: None)
        with pytest.raises(RuntimeError, match="Received: none in this graph"):
            Snapshots(tmp_path, average)
        average.apply([tf1.get_variable("v", initializer=[1.0])])
        with pytest.raises(RuntimeError, match="need a Session in graph mode"):
            Snapshots(tmp_path, average).save()
    with pytest.raises(ValueError, match="Either every_secs or every_steps"):
        SnapshotSaverHook(None)
