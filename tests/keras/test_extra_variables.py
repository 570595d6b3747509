"""Averages of variables that are not trained: statistics of batch normalization and their like."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_models import DECAY, FEATURES, KERAS, TF_KERAS, compiled_faces, data, faces, values
from oracle import assert_same_bits, updated

pytestmark = [
    pytest.mark.slow,
    # Keras reads its variables as NumPy 2 will not have it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # tf_keras would rather not write .h5 files.
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]


def layer_that_counts(face):
    @face.keras.saving.register_keras_serializable("tests", name="Counter")
    class Counter(face.keras.layers.Layer):
        """Counts its calls, in whole numbers and in others."""

        def build(self, shape):
            del shape
            options = {"shape": (), "initializer": "zeros", "trainable": False}
            self.whole = self.add_weight(name="whole", dtype="int32", **options)
            self.floating = self.add_weight(name="floating", **options)

        def call(self, inputs):
            self.whole.assign_add(1)
            self.floating.assign_add(1.0)
            return inputs

    return Counter


def make(face, *, dropout=0.0, numbered=False, jit_compile=False, compiled=True, **options: object):
    """A model with statistics, counts and random numbers, and its optimizer."""
    layers = face.keras.layers
    face.keras.utils.set_random_seed(7)
    stack = [
        layers.Dense(4, name=None if numbered else "dense"),
        layers.BatchNormalization(momentum=0.5, name=None if numbered else "statistics"),
        layers.Dropout(dropout, seed=3, name="dropout"),
        layer_that_counts(face)(name="counter"),
        layers.Dense(3, name=None if numbered else "output"),
    ]
    model = face.keras.Sequential([layers.Input((FEATURES,)), *stack])
    options = {"extra_variables": lambda: model.non_trainable_variables} | options
    optimizer = face.wrap(face.keras.optimizers.Adam(0.05), **options)
    loss = face.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if compiled:
        model.compile(optimizer, loss, jit_compile=jit_compile)
    return model, optimizer


def train(model, epochs=1):
    x, y = data()
    model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)


def divided(model):
    """The variables that have averages, and the others."""
    floating = [v for v in model.variables if tf.as_dtype(v.dtype).is_floating]
    return floating, [v for v in model.variables if not tf.as_dtype(v.dtype).is_floating]


def averages_of(optimizer, model):
    return values(optimizer.average(variable) for variable in divided(model)[0])


def assert_all_same(received, expected):
    for value, same in zip(received, expected, strict=True):
        assert_same_bits(value, same)


@compiled_faces
def test_statistics_are_averaged_with_the_weights_and_whole_numbers_are_not(face, jit_compile):
    model, optimizer = make(face, dropout=0.2, jit_compile=jit_compile)
    floating, others = divided(model)
    assert len(others) == (2 if face is KERAS else 1)  # A count, and the state of random numbers.
    expected = [values(floating)]

    def record(batch, logs):
        del batch, logs
        step = zip(expected[-1], values(floating), strict=True)
        expected.append([updated(average, value, DECAY) for average, value in step])

    x, y = data()
    recorder = face.keras.callbacks.LambdaCallback(on_train_batch_end=record)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[recorder])
    for average, value in zip(averages_of(optimizer, model), expected[-1], strict=True):
        np.testing.assert_allclose(average, value, rtol=1e-5, atol=1e-7)
    assert [optimizer.average(variable) for variable in others] == [None] * len(others)
    own, averages, counts = values(floating), averages_of(optimizer, model), values(others)
    assert not np.array_equal(own[2], averages[2])
    with optimizer.swapped():
        assert_all_same(values(floating), averages)
        assert all(map(np.array_equal, values(others), counts))
        model.evaluate(x, y, verbose=0)
        counts = values(others)  # The evaluation counts, and draws no random numbers.
    assert_all_same(values(floating)[:2], own[:2])
    assert all(map(np.array_equal, values(others), counts))


@faces
def test_the_variables_may_be_a_list_and_exclude_counts_for_them_too(face):
    model, _ = make(face, compiled=False)
    mean, variance = model.get_layer("statistics").non_trainable_variables
    kernel = model.trainable_variables[0]
    given = [mean, variance, mean, kernel]
    optimizer = face.wrap("sgd", extra_variables=iter(given), exclude="variance")
    optimizer.build(model.trainable_variables)
    assert optimizer.average(variance) is None
    assert optimizer.average(mean) is not None
    trained = len(model.trainable_variables)
    assert optimizer.holder.count == trained + 1
    # None of them is the optimizer's own variable.
    plain = face.keras.optimizers.SGD()
    plain.build(model.trainable_variables)
    assert len(optimizer.variables) == len(plain.variables) + trained + 1


@faces
def test_after_fit_the_weights_may_be_the_averages_with_their_statistics(face):
    model, optimizer = make(face, overwrite_weights=True)
    train(model)
    assert_all_same(values(divided(model)[0]), averages_of(optimizer, model))


SUFFIXES = [
    *((KERAS, name) for name in ("m.keras", "m.weights.h5")),
    *((TF_KERAS, name) for name in ("m.keras", "m.weights.h5", "m.h5")),
]


@pytest.mark.parametrize(("face", "name"), SUFFIXES, ids=str)
def test_files_hold_the_averages_of_extra_variables(face, name, tmp_path):
    model, optimizer = make(face)
    train(model)
    path = str(tmp_path / name)
    (model.save_weights if "weights" in name else model.save)(path)
    if "weights" in name:
        copied, loaded = make(face)
        loaded.build(copied.trainable_variables)
        copied.load_weights(path)
    else:
        objects = {"Counter": layer_that_counts(face)}
        copied = face.keras.models.load_model(path, custom_objects=objects)
        loaded = copied.optimizer
    assert_all_same(averages_of(loaded, copied), averages_of(optimizer, model))
    assert_all_same(values(loaded.variables), values(optimizer.variables))
    whole = [one.get_layer("counter").whole.numpy() for one in (copied, model)]
    assert whole[0] == whole[1] > 0
    for one in (copied, model):
        train(one)
    assert_all_same(averages_of(loaded, copied), averages_of(optimizer, model))
    with loaded.swapped():
        moved = values(divided(copied)[0])
    assert_all_same(moved, averages_of(loaded, copied))


@faces
def test_layers_that_keras_numbers_anew_are_found(face, tmp_path):
    model, optimizer = make(face, numbered=True)
    train(model)
    path = str(tmp_path / "m.weights.h5")
    model.save_weights(path)
    copied, loaded = make(face, numbered=True)
    loaded.build(copied.trainable_variables)
    copied.load_weights(path)
    assert_all_same(averages_of(loaded, copied), averages_of(optimizer, model))
    # A configuration has the numbers of another model.
    config = optimizer.get_config()
    third, _ = make(face, numbered=True)
    again = face.ours.MovingAverage.from_config(config)
    third.compile(again, "mse")
    again.build(third.trainable_variables)
    assert again.holder.count == optimizer.holder.count


@faces
def test_object_checkpoints_hold_them(face, tmp_path):
    model, optimizer = make(face)
    train(model)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "c"))
    copied, loaded = make(face)
    train(copied)
    tf.train.Checkpoint(model=copied, optimizer=loaded).restore(path).assert_consumed()
    assert_all_same(averages_of(loaded, copied), averages_of(optimizer, model))


@faces
def test_a_file_from_before_there_were_extra_variables(face, tmp_path):
    """The wrapped optimizer's state counts; the new averages start if they may, and go if not."""
    model, optimizer = make(face, extra_variables=())
    train(model)
    path = str(tmp_path / "m.weights.h5")
    model.save_weights(path)
    copied, loaded = make(face)
    loaded.build(copied.trainable_variables)
    with pytest.raises(ValueError, match=r"9 averages, or none\. Received: 6\. .*moving_mean"):
        copied.load_weights(path)
    copied, loaded = make(face, start_missing_averages=True)
    loaded.build(copied.trainable_variables)
    copied.load_weights(path)
    trained = model.trainable_variables
    for variable, own in zip(copied.trainable_variables, trained, strict=True):
        assert_same_bits(loaded.average(variable).numpy(), optimizer.average(own).numpy())
    (mean, *_) = copied.get_layer("statistics").non_trainable_variables
    assert_same_bits(loaded.average(mean).numpy(), np.array(mean.numpy()))
    assert_all_same(
        values(loaded.inner_optimizer.variables), values(optimizer.inner_optimizer.variables)
    )
    copied.save_weights(path)
    less, optimizer = make(face, extra_variables=())
    optimizer.build(less.trainable_variables)
    less.load_weights(path)
    assert optimizer.holder.count == len(trained)
    assert_all_same(
        values(loaded.inner_optimizer.variables), values(optimizer.inner_optimizer.variables)
    )


@faces
def test_a_copy_averages_the_variables_of_the_copy(face):
    model, optimizer = make(face, compiled=False)
    fresh = copy.deepcopy(optimizer)
    assert fresh.extra_variables is optimizer.extra_variables
    optimizer.build(model.trainable_variables)
    (mean, *_) = model.get_layer("statistics").non_trainable_variables
    optimizer.average(mean).assign(np.full(4, 5.0))
    weights = [mean, *model.trainable_variables]
    twin, (twin_mean, *_) = copy.deepcopy((optimizer, weights))
    assert twin_mean is not mean
    assert_same_bits(twin.average(twin_mean).numpy(), np.full(4, 5.0, np.float32))
    assert twin.average(mean) is None
    assert twin.get_config()["extra_variables"] == optimizer.get_config()["extra_variables"]


@faces
def test_a_configuration_has_their_paths_and_needs_a_model(face):
    model, optimizer = make(face)
    unbuilt = optimizer.get_config()
    assert len(unbuilt["extra_variables"]) == len(model.non_trainable_variables)
    train(model)
    config = optimizer.get_config()
    assert [path.rpartition("/")[2] for path in config["extra_variables"]] == [
        "moving_mean",
        "moving_variance",
        "floating",
    ]
    again = face.ours.MovingAverage.from_config(config)
    with pytest.raises(
        ValueError, match=r"Received: none at '.*moving_mean'; set optimizer\.extra"
    ):
        again.build(model.trainable_variables)
    again.extra_variables = lambda: model.non_trainable_variables
    again.build(model.trainable_variables)
    assert again.holder.count == optimizer.holder.count
    with pytest.raises(RuntimeError, match="must be set before the optimizer is built"):
        again.extra_variables = []
    for wrong in ("moving_mean", 3, None):
        with pytest.raises(TypeError, match=r"must be variables, or a function .* Received: "):
            face.wrap("sgd", extra_variables=wrong)


@faces
def test_statistics_recomputed_while_swapped_are_those_of_the_averages(face):
    x, _ = data()
    model, optimizer = make(face)
    train(model)
    floating, _ = divided(model)
    own, averages = values(floating), averages_of(optimizer, model)
    with optimizer.swapped():
        face.ours.update_batch_norm(model, x, batch_size=len(x))
        hidden = x @ averages[0] + averages[1]
        mean = model.get_layer("statistics").moving_mean.numpy()
        np.testing.assert_allclose(mean, hidden.mean(0), rtol=1e-4, atol=1e-5)
    assert_all_same(values(floating), own)
    with optimizer.swapped():  # They stay.
        assert_same_bits(np.array(model.get_layer("statistics").moving_mean.numpy()), mean)


@faces
def test_statistics_recomputed_for_the_second_average_are_its_own(face):
    x, _ = data()
    for is_averaged in (True, False):
        model, _ = make(face, compiled=False)
        extra = model.non_trainable_variables if is_averaged else ()
        optimizer = face.ours.MovingAverage("sgd", [0.5, 0.9], extra_variables=extra)
        optimizer.build(model.trainable_variables)
        mean, _ = model.get_layer("statistics").non_trainable_variables
        own = np.array(mean.numpy())
        with optimizer.swapped(index=1):
            face.ours.update_batch_norm(model, x)
            recomputed = np.array(mean.numpy())
        assert np.abs(recomputed).min() > 0
        assert_same_bits(np.array(mean.numpy()), own)
        if is_averaged:
            assert_same_bits(optimizer.average(mean, index=1).numpy(), recomputed)
            assert_same_bits(optimizer.average(mean, index=0).numpy(), own)


@pytest.mark.parametrize("choice", [None, "float32"])
@pytest.mark.parametrize("index", [0, 1])
def test_an_average_of_higher_precision_keeps_the_recomputed_value(index, choice):
    """The variable holds the upper half; its average has all digits. tf_keras has no such."""
    x, _ = data()
    layer = keras.layers.BatchNormalization(dtype="bfloat16")
    model = keras.Sequential([keras.layers.Input((FEATURES,)), layer])
    mean = layer.moving_mean
    optimizer = KERAS.ours.MovingAverage(
        "sgd",
        [0.5, 0.9],
        average_dtype=choice,
        extra_variables=lambda: model.non_trainable_variables,
    )
    optimizer.build(model.trainable_variables)
    with optimizer.swapped(index=index):
        KERAS.ours.update_batch_norm(model, x, batch_size=9)
        inside = np.float32(mean.numpy())
    assert np.abs(np.float32(mean.numpy())).max() == 0
    average = optimizer.average_value(mean, index).numpy()
    assert average.dtype == np.float32
    assert not np.array_equal(average, inside)
    np.testing.assert_allclose(average, inside, rtol=0.01)
    np.testing.assert_allclose(average, x.mean(0), rtol=0.05, atol=0.01)
