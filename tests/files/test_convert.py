"""Files without averages, of files that have them, whoever wrote these."""

import contextlib
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras_models import data, faces
from oracle import BFLOAT16, assert_same_bits

import tf_mavg
from tf_mavg._files.marks import CONVERTED

tf1 = tf.compat.v1

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WEIGHT, AVERAGE, SECOND = [4.0, 8.0], [1.0, 2.0], [3.0, 5.0]
kept = pytest.mark.parametrize(
    ("keep", "expected"), [("averages", AVERAGE), ("weights", WEIGHT)], ids=["averages", "weights"]
)


# Files of a Saver.


def by_name(path, swapped, name="ExponentialMovingAverage"):
    """A graph's file with a weight "w", its average, and a count of steps."""
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("w", initializer=AVERAGE, use_resource=True)
        tf1.train.get_or_create_global_step()
        if swapped:
            sgd = tf1.train.GradientDescentOptimizer(0.0)
            optimizer = tf_mavg.MovingAverageOptimizer(sgd, 0.9)
            optimizer.minimize(tf.reduce_sum(w))
            saver = optimizer.swapping_saver()
        else:
            averages = tf.train.ExponentialMovingAverage(0.9, name=name)
            averages.apply([w])
            saver = tf1.train.Saver()
        session.run(tf1.global_variables_initializer())
        session.run(w.assign(WEIGHT))
        saver.save(session, str(path), write_meta_graph=False)


@kept
@pytest.mark.parametrize("swapped", [False, True], ids=["plain", "swapping saver"])
def test_a_savers_file(tmp_path, swapped, keep, expected):
    by_name(tmp_path / "in", swapped)
    tf_mavg.convert_checkpoint(tmp_path / "in", tmp_path / "out", keep)
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("w", [2], use_resource=True)
        step = tf1.train.get_or_create_global_step()
        tf1.train.Saver().restore(session, str(tmp_path / "out"))
        assert session.run(w).tolist() == expected
        assert session.run(step) == 0
    names = {name for name, _ in tf.train.list_variables(str(tmp_path / "out"))}
    assert names == {"w", "global_step", CONVERTED}
    note = json.loads(tf.train.load_variable(str(tmp_path / "out"), CONVERTED))
    which = {"index": 0} if keep == "averages" else {}
    assert note == {"input": str(tmp_path / "in"), "keep": keep, **which}


@pytest.mark.parametrize("swapped", [False, True], ids=["plain", "swapping saver"])
def test_a_savers_file_of_several_averages(tmp_path, swapped):
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("w", initializer=AVERAGE, use_resource=True)
        optimizer = tf_mavg.MovingAverageOptimizer(
            tf1.train.GradientDescentOptimizer(0.0), [0.9, 0.99]
        )
        optimizer.minimize(tf.reduce_sum(w))
        saver = optimizer.swapping_saver() if swapped else tf1.train.Saver()
        session.run(tf1.global_variables_initializer())
        session.run([w.assign(WEIGHT), optimizer.averages.average(w, 1).assign(SECOND)])
        saver.save(session, str(tmp_path / "in"), write_meta_graph=False)
    for options, expected in (
        ({}, AVERAGE),
        ({"index": 1}, SECOND),
        ({"keep": "weights"}, WEIGHT),
    ):
        out = tmp_path / f"out{len(options)}{options.get('index')}"
        tf_mavg.convert_checkpoint(tmp_path / "in", out, **options)
        assert tf.train.load_variable(str(out), "w").tolist() == expected
        assert {name for name, _ in tf.train.list_variables(str(out))} == {"w", CONVERTED}
    with pytest.raises(ValueError, match=r"no name ends with '/ExponentialMovingAverage_2'\."):
        tf_mavg.convert_checkpoint(tmp_path / "in", tmp_path / "none", index=2)


def test_averages_of_another_name(tmp_path):
    by_name(tmp_path / "in", swapped=False, name="Mean")
    with pytest.raises(
        ValueError, match=r"in which no name ends with '/ExponentialMovingAverage'\."
    ):
        tf_mavg.convert_checkpoint(tmp_path / "in", tmp_path / "out")
    tf_mavg.convert_checkpoint(tmp_path / "in", tmp_path / "out", averages_name="Mean")
    assert tf.train.load_variable(str(tmp_path / "out"), "w").tolist() == AVERAGE


# Object checkpoints.


def plain(path):
    """What a program without averages restores."""
    model = tf.Module()
    model.w = tf.Variable([0.0, 0.0])
    tf.train.Checkpoint(model=model).restore(str(path)).expect_partial()
    return model.w.numpy().tolist()


@pytest.mark.parametrize("in_place", [None, 0, 1])
def test_a_checkpoint_of_several_averages(tmp_path, in_place):
    model = tf.Module()
    model.w = tf.Variable(AVERAGE)
    averages = tf_mavg.ExponentialMovingAverage([0.9, 0.99])
    averages.create_averages([model.w])
    averages.average(model.w, 1).assign(SECOND)
    model.w.assign(WEIGHT)
    checkpoint, path = tf.train.Checkpoint(model=model, averages=averages), str(tmp_path / "in")
    with contextlib.ExitStack() as stack:
        if in_place is not None:
            stack.enter_context(averages.swapped_for_saving(index=in_place))
        checkpoint.write(path)
    for number, (options, expected) in enumerate(
        [({}, AVERAGE), ({"index": 1}, SECOND), ({"keep": "weights"}, WEIGHT)]
    ):
        out = tmp_path / f"out{number}"
        tf_mavg.convert_checkpoint(path, out, **options)
        assert plain(out) == expected
        assert not [name for name, _ in tf.train.list_variables(str(out)) if "_place" in name]
    with pytest.raises(ValueError, match=r"no variable has a slot 'average_2'"):
        tf_mavg.convert_checkpoint(path, tmp_path / "none", index=2)


def test_averages_in_two_states_are_refused(tmp_path):
    first, second = (tf_mavg.ExponentialMovingAverage(0.9) for _ in range(2))
    model = tf.Module()
    model.v, model.w = tf.Variable(AVERAGE), tf.Variable(AVERAGE)
    first.create_averages([model.v])
    second.create_averages([model.w])
    path = str(tmp_path / "in")
    with first.swapped_for_saving():
        tf.train.Checkpoint(model=model, first=first, second=second).write(path)
    with pytest.raises(ValueError, match=r"in which some are of index \{0\} and some not"):
        tf_mavg.convert_checkpoint(path, tmp_path / "out")


@kept
@pytest.mark.parametrize("way", ["checkpoint", "manager", "swapped_for_saving"])
@pytest.mark.parametrize("schedule", [0.9, tf_mavg.decays.Uniform()], ids=repr)
def test_a_checkpoint_of_ours(tmp_path, schedule, way, keep, expected):
    model = tf.Module()
    model.w = tf.Variable(AVERAGE)
    averages = tf_mavg.ExponentialMovingAverage(schedule)
    averages.create_averages([model.w])
    model.w.assign(WEIGHT)
    checkpoint = tf.train.Checkpoint(model=model, averages=averages)
    path = str(tmp_path / "in")
    if way == "manager":
        path = tf_mavg.SwappingCheckpointManager(checkpoint, averages, tmp_path).save()
    elif way == "swapped_for_saving":
        with averages.swapped_for_saving():
            checkpoint.write(path)
    else:
        checkpoint.write(path)
    tf_mavg.convert_checkpoint(path, tmp_path / "out", keep)
    assert plain(tmp_path / "out") == expected
    assert not [
        name for name, _ in tf.train.list_variables(str(tmp_path / "out")) if "average" in name
    ]
    # Who goes on to average starts anew, at these weights.
    model, averages = tf.Module(), tf_mavg.ExponentialMovingAverage(0.9)
    model.w = tf.Variable([0.0, 0.0])
    checkpoint = tf.train.Checkpoint(model=model, averages=averages)
    checkpoint.restore(str(tmp_path / "out"))
    averages.create_averages([model.w])
    assert averages.average(model.w).numpy().tolist() == expected


@kept
def test_a_checkpoint_whose_averages_are_slots_of_an_optimizer(tmp_path, keep, expected):
    """As TensorFlow Addons' MovingAverage and the Model Garden's ExponentialMovingAverage do."""

    class Averaging(tf_keras.optimizers.legacy.SGD):
        def _create_slots(self, var_list):
            for variable in var_list:
                self.add_slot(variable, "average", AVERAGE)

    model, optimizer = tf.Module(), Averaging(0.0)
    model.w = tf.Variable(WEIGHT)
    optimizer.apply_gradients([(tf.zeros(2), model.w)])
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).write(str(tmp_path / "in"))
    tf_mavg.convert_checkpoint(path, tmp_path / "out", keep)
    assert plain(tmp_path / "out") == expected
    optimizer = tf_keras.optimizers.legacy.SGD(0.5)
    tf.train.Checkpoint(optimizer=optimizer).restore(str(tmp_path / "out")).expect_partial()
    assert int(optimizer.iterations) == 1


def test_a_checkpoint_of_a_keras_optimizer_that_averages(tmp_path):
    weight = keras.Variable(AVERAGE)
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    for _ in range(3):
        optimizer.apply([tf.constant([2.0, 2.0])], [weight])
    average = np.array(optimizer._model_variables_moving_average[0])
    assert average.tolist() != weight.numpy().tolist()
    path = tf.train.Checkpoint(w=weight, optimizer=optimizer).write(str(tmp_path / "in"))
    tf_mavg.convert_checkpoint(path, tmp_path / "out")
    restored = keras.Variable([0.0, 0.0])
    other = keras.optimizers.SGD(1.0, use_ema=True)
    other.build([restored])
    tf.train.Checkpoint(w=restored, optimizer=other).read(str(tmp_path / "out")).expect_partial()
    assert_same_bits(np.array(restored), average)
    assert_same_bits(np.array(other._model_variables_moving_average[0]), average)
    assert int(other.iterations) == 3


def test_an_average_of_another_dtype_is_rounded(tmp_path):
    model = tf.Module()
    model.w = tf.Variable(tf.constant([1.0, 2.0], tf.bfloat16))
    averages = tf_mavg.ExponentialMovingAverage(0.9, average_dtype="float32")
    averages.create_averages([model.w])
    averages.average(model.w).assign([1.0001, 2.9999])
    path = tf.train.Checkpoint(model=model, averages=averages).write(str(tmp_path / "in"))
    tf_mavg.convert_checkpoint(path, tmp_path / "out")
    key = "model/w/.ATTRIBUTES/VARIABLE_VALUE"
    received = tf.train.load_variable(str(tmp_path / "out"), key)
    assert_same_bits(received, np.array([1.0001, 2.9999], np.float32).astype(BFLOAT16))


# Files of either Keras.


@pytest.mark.parametrize("how", ["MovingAverage", "use_ema"])
@faces
def test_a_keras_file(face, tmp_path, how):
    points, labels = data()
    if how == "MovingAverage":
        model = face.make(face.wrap("adam"))
    else:
        model = face.make(face.keras.optimizers.Adam(use_ema=True, ema_momentum=0.5))
    model.fit(points, labels, epochs=2, verbose=0)
    model.save(tmp_path / "in.keras")
    weights = [np.array(weight) for weight in model.trainable_variables]
    if how == "MovingAverage":
        averages = [np.array(model.optimizer.average(w)) for w in model.trainable_variables]
    else:
        averages = [np.array(one) for one in model.optimizer._model_variables_moving_average]
    for keep, expected in {"averages": averages, "weights": weights}.items():
        tf_mavg.convert_checkpoint(tmp_path / "in.keras", tmp_path / f"{keep}.keras", keep)
        loaded = face.keras.models.load_model(tmp_path / f"{keep}.keras")
        assert type(loaded.optimizer).__name__ == "Adam"
        for received, value in zip(loaded.trainable_variables, expected, strict=True):
            assert_same_bits(np.array(received), value)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["averages.keras", "in.keras", "weights.keras"]


# What is refused.


def test_files_without_averages(tmp_path):
    path = tf.train.Checkpoint(w=tf.Variable(1.0)).write(str(tmp_path / "in"))
    with pytest.raises(ValueError, match="in which no variable has a slot 'average', and no"):
        tf_mavg.convert_checkpoint(path, tmp_path / "out")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.save(tmp_path / "in.keras")
    with pytest.raises(ValueError, match=r"compiled with a MovingAverage, or .*in.keras, with <"):
        tf_mavg.convert_checkpoint(tmp_path / "in.keras", tmp_path / "out.keras")
    assert not [*tmp_path.glob("out*")]
    assert not [*tmp_path.glob(".*")]


def test_two_averages_of_a_weight(tmp_path):
    model = tf.Module()
    model.w = tf.Variable(WEIGHT)
    fast, slow = tf_mavg.ExponentialMovingAverage(0.5), tf_mavg.ExponentialMovingAverage(0.9)
    for averages in (fast, slow):
        averages.create_averages([model.w])
    path = tf.train.Checkpoint(model=model, fast=fast, slow=slow).write(str(tmp_path / "in"))
    with pytest.raises(
        ValueError, match=r"must have one average of an index. Received: 'model/w/.*/fast/.*/slow/"
    ):
        tf_mavg.convert_checkpoint(path, tmp_path / "out")


def test_an_average_of_another_shape(tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("w", [2])
        tf1.get_variable("w/ExponentialMovingAverage", [3])
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(tmp_path / "in"), write_meta_graph=False)
    with pytest.raises(ValueError, match=r"shape \[3\], 'w' float32 of shape \[2\]"):
        tf_mavg.convert_checkpoint(tmp_path / "in", tmp_path / "out")


def test_what_else_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save_weights(tmp_path / "in.weights.h5")
    with pytest.raises(ValueError, match=r"a .keras file can be converted, which tells which"):
        tf_mavg.convert_checkpoint(tmp_path / "in.weights.h5", tmp_path / "out.weights.h5")
    with pytest.raises(ValueError, match=r"`keep` must be one of .*'averages', 'weights'.*'both'"):
        tf_mavg.convert_checkpoint(tmp_path / "in", tmp_path / "out", "both")
    by_name(tmp_path / "in", swapped=False)
    with pytest.raises(FileExistsError, match=r"The output .*in must not exist"):
        tf_mavg.convert_checkpoint(tmp_path / "in", tmp_path / "in")


@pytest.mark.slow
def test_the_command(tmp_path):
    """In a process of its own, as users run it."""
    by_name(tmp_path / "in", swapped=True)
    command = [sys.executable, "-m", "tf_mavg", "convert", "in", "-o", "out", "--keep", "weights"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "written: out, with weights"
    assert tf.train.load_variable(str(tmp_path / "out"), "w").tolist() == WEIGHT
