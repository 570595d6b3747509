"""Saving with tf_mavg.keras.MovingAverage: configurations, files, checkpoints, and what refuses."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_models import averages, data, make, values, wrap
from oracle import assert_same_bits

from tf_mavg.keras import MovingAverage

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def assert_same(received, expected):
    for value, other in zip(received, expected, strict=True):
        assert_same_bits(value, other)


def trained(optimizer, policy="float32"):
    x, y = data()
    model = make(optimizer, policy)
    model.fit(x, y, epochs=2, verbose=0)
    return model


@keras.saving.register_keras_serializable(package="test_keras_saving")
def is_bias(variable):
    return variable.path.endswith("bias")


@pytest.mark.parametrize("exclude", [None, ["bias$"], is_bias], ids=["none", "names", "call"])
def test_the_configuration_comes_back(exclude):
    inner = keras.optimizers.AdamW(0.5, weight_decay=0.1)
    optimizer = MovingAverage(inner, 0.9, "iterations", "same", exclude, "mine")
    config = keras.saving.serialize_keras_object(optimizer)
    copy = keras.saving.deserialize_keras_object(config)
    assert isinstance(copy, MovingAverage)
    assert isinstance(copy.inner_optimizer, keras.optimizers.AdamW)
    assert copy.get_config() == optimizer.get_config()
    assert copy.exclude == exclude


@pytest.mark.parametrize("scaled", [False, True], ids=["", "loss scale"])
def test_a_keras_file_restores_every_bit_and_training_goes_on_alike(scaled, tmp_path):
    x, y = data()
    optimizer = wrap("adam", num_updates="iterations")
    model = trained(keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    copied = copy.optimizer.inner_optimizer if scaled else copy.optimizer
    assert_same(averages(copied, copy), averages(optimizer, model))
    for either in (model, copy):
        either.fit(x, y, shuffle=False, verbose=0)
    assert_same(values(copy.trainable_variables), values(model.trainable_variables))
    assert_same(averages(copied, copy), averages(optimizer, model))


def test_averages_are_half_precision_bits_in_a_file(tmp_path):
    optimizer = wrap(average_dtype="same")
    model = trained(optimizer, policy="bfloat16")
    model.save_weights(tmp_path / "model.weights.h5")
    other = wrap(average_dtype="same")
    copy = trained(other, policy="bfloat16")
    copy.load_weights(tmp_path / "model.weights.h5")
    assert averages(other, copy)[0].dtype.name == "bfloat16"
    assert_same(averages(other, copy), averages(optimizer, model))


@pytest.mark.parametrize("built", [False, True], ids=["", "built before"])
def test_averages_start_from_a_file_without_them(built, tmp_path):
    x, y = data()
    model = trained("adam")
    model.save_weights(tmp_path / "model.weights.h5")
    optimizer = wrap("adam")
    copy = make(optimizer)
    if built:
        copy.fit(x, y, verbose=0)
    else:
        optimizer.build(copy.trainable_variables)
    copy.load_weights(tmp_path / "model.weights.h5", skip_mismatch=True)
    assert_same(averages(optimizer, copy), values(model.trainable_variables))
    assert int(optimizer.iterations) == int(model.optimizer.iterations)


def test_a_loaded_models_optimizer_can_be_wrapped(tmp_path):
    x, y = data()
    trained("adam").save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    optimizer = wrap(model.optimizer)
    model.compile(optimizer, model.loss)
    optimizer.build(model.trainable_variables)
    assert_same(averages(optimizer, model), values(model.trainable_variables))
    model.fit(x, y, verbose=0)
    assert int(optimizer.iterations) == 6


@pytest.mark.parametrize("built", [False, True], ids=["restored before building", "built"])
def test_a_checkpoint_restores_every_bit(built, tmp_path):
    optimizer = wrap("adam")
    model = trained(optimizer)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(tmp_path / "checkpoint")
    other = wrap("adam")
    copy = make(other)
    if built:
        other.build(copy.trainable_variables)
    status = tf.train.Checkpoint(model=copy, optimizer=other).restore(path)
    if not built:
        other.build(copy.trainable_variables)
    status.assert_existing_objects_matched()
    assert_same(values(copy.trainable_variables), values(model.trainable_variables))
    assert_same(averages(other, copy), averages(optimizer, model))
    assert_same(values(other.variables), values(optimizer.variables))


def test_saving_while_swapped_is_refused(tmp_path):
    optimizer = wrap("adam")
    model = trained(optimizer)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    path = checkpoint.save(tmp_path / "checkpoint")
    saves = [
        lambda: model.save(tmp_path / "model.keras"),
        lambda: model.save_weights(tmp_path / "model.weights.h5"),
        lambda: checkpoint.save(tmp_path / "checkpoint"),
        lambda: checkpoint.restore(path),
    ]
    for save in saves:
        expected = "The state cannot be saved or loaded while averages and weights are swapped"
        with optimizer.swapped(), pytest.raises(RuntimeError, match=expected):
            save()
    model.save(tmp_path / "model.keras")


def test_an_exported_model_of_averages_needs_no_tf_mavg(tmp_path):
    x, _ = data()
    optimizer = wrap("adam")
    model = trained(optimizer)
    with optimizer.swapped():
        expected = model.predict(x, verbose=0)
        model.export(tmp_path / "exported", verbose=False)
    program = (
        "import sys, numpy as np, tensorflow as tf; "
        f"served = tf.saved_model.load({str(tmp_path / 'exported')!r}); "
        f"x = np.load({str(tmp_path / 'x.npy')!r}); "
        f"np.save({str(tmp_path / 'y.npy')!r}, served.serve(x)); "
        "assert not any(name.startswith('tf_mavg') for name in sys.modules)"
    )
    np.save(tmp_path / "x.npy", x)
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=dict(os.environ))
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-5, atol=1e-6)
