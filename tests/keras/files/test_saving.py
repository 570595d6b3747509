"""Saving with MovingAverage: configurations, files, checkpoints, and what refuses."""

import keras
import numpy as np
import prepared
import pytest
import tensorflow as tf
import tf_keras
from keras_models import KERAS, TF_KERAS, averages, data, faces, make, values, wrap
from oracle import assert_same_bits

pytestmark = [
    pytest.mark.slow,
    # Keras reads its variables as NumPy 2 will not have it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # tf_keras would rather not write .h5 files.
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]


def assert_same(received, expected):
    for value, other in zip(received, expected, strict=True):
        assert_same_bits(value, other)


def trained(optimizer, policy="float32", face=KERAS):
    x, y = data()
    model = face.make(optimizer, policy)
    model.fit(x, y, epochs=2, verbose=0)
    return model


@tf_keras.saving.register_keras_serializable(package="test_keras_saving")
@keras.saving.register_keras_serializable(package="test_keras_saving")
def is_vector(variable):
    return len(variable.shape) == 1


@pytest.mark.parametrize("exclude", [None, ["bias$"], is_vector], ids=["none", "names", "call"])
@faces
def test_the_configuration_comes_back(face, exclude):
    inner = face.keras.optimizers.AdamW(0.5, weight_decay=0.1)
    optimizer = face.ours.MovingAverage(
        inner, 0.9, "iterations", "same", exclude, "mine", overwrite_weights=True
    )
    config = face.keras.saving.serialize_keras_object(optimizer)
    copy = face.keras.saving.deserialize_keras_object(config)
    assert isinstance(copy, face.ours.MovingAverage)
    assert isinstance(copy.inner_optimizer, face.keras.optimizers.AdamW)
    assert copy.get_config() == optimizer.get_config()
    assert copy.exclude == exclude


@pytest.mark.parametrize(
    "scaled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "loss scale"]
)
@faces
def test_a_keras_file_restores_every_bit_and_training_goes_on_alike(face, scaled, tmp_path):
    x, y = data()
    optimizer = face.wrap("adam", num_updates="iterations")
    model = trained(face.loss_scale(optimizer) if scaled else optimizer, face=face)
    model.save(tmp_path / "model.keras")
    copy = face.keras.models.load_model(tmp_path / "model.keras")
    copied = copy.optimizer.inner_optimizer if scaled else copy.optimizer
    assert_same(averages(copied, copy), averages(optimizer, model))
    for either in (model, copy):
        either.fit(x, y, shuffle=False, verbose=0)
    assert_same(values(copy.trainable_variables), values(model.trainable_variables))
    assert_same(averages(copied, copy), averages(optimizer, model))


@pytest.mark.parametrize("scaled", [False, True], ids=["", "loss scale inside"])
def test_an_h5_file_of_tf_keras_restores_every_bit(scaled, tmp_path):
    inner = tf_keras.optimizers.Adam()
    optimizer = TF_KERAS.wrap(TF_KERAS.loss_scale(inner) if scaled else inner)
    model = trained(optimizer, face=TF_KERAS)
    model.save(tmp_path / "model.h5")
    copy = tf_keras.models.load_model(tmp_path / "model.h5")
    assert_same(values(copy.trainable_variables), values(model.trainable_variables))
    assert_same(values(copy.optimizer.variables), values(optimizer.variables))


@pytest.mark.slow
@pytest.mark.parametrize("scaled", ["", "inside", "around"])
def test_a_folder_of_tf_keras_restores_the_model_alone(scaled, tmp_path):
    inner = tf_keras.optimizers.Adam()
    optimizer = TF_KERAS.wrap(TF_KERAS.loss_scale(inner) if scaled == "inside" else inner)
    model = trained(
        TF_KERAS.loss_scale(optimizer) if scaled == "around" else optimizer, face=TF_KERAS
    )
    model.save(tmp_path / "folder")
    x, _ = data()
    for compiled in (False, True):
        copy = tf_keras.models.load_model(tmp_path / "folder", compile=compiled)
        assert_same([copy.predict(x, verbose=0)], [model.predict(x, verbose=0)])


def test_averages_start_from_an_h5_file_of_keras_3_which_restores_no_optimizer(tmp_path):
    x, y = data()
    trained(wrap("adam")).save(tmp_path / "model.h5")
    model = keras.models.load_model(tmp_path / "model.h5")
    weights = values(model.trainable_variables)
    model.optimizer.build(model.trainable_variables)
    assert_same(averages(model.optimizer, model), weights)
    model.fit(x, y, verbose=0)  # That of a plain optimizer cannot.


@faces
def test_set_weights_takes_the_values_of_variables(face):
    optimizer, other = face.wrap("adam"), face.wrap("adam")
    trained(optimizer, face=face)
    trained(other, face=face)
    state = [value + 1 for value in values(optimizer.variables)]
    other.set_weights(state)
    assert_same(values(other.variables), state)
    with pytest.raises(ValueError, match=r"for each of the optimizer's 1\d variables\. Rec"):
        other.set_weights(state[1:])


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


@faces
def test_averages_restart_at_weights_that_were_set_by_hand(face):
    optimizer = face.wrap("adam")
    model = trained(optimizer, face=face)
    model.set_weights([value + 1 for value in model.get_weights()])
    optimizer.restart()
    assert_same(averages(optimizer, model), values(model.trainable_variables))
    with optimizer.swapped(), pytest.raises(RuntimeError, match="Averages cannot be restarted whi"):
        optimizer.restart()


def test_averages_of_another_number_of_weights_are_refused(tmp_path):
    model = trained(wrap("adam", exclude="bias"))
    model.save_weights(tmp_path / "model.weights.h5")
    copy = trained(wrap("adam"))
    with pytest.raises(ValueError, match=r"the optimizer's 4 averages, or none\. Received: 2\."):
        copy.load_weights(tmp_path / "model.weights.h5")


def test_an_optimizer_that_is_not_built_says_that_it_loads_no_averages(tmp_path):
    trained(wrap("sgd")).save_weights(tmp_path / "model.weights.h5")
    copy = make(wrap("sgd"))
    with pytest.warns(UserWarning, match="The file's 4 averages are not loaded, because the opti"):
        copy.load_weights(tmp_path / "model.weights.h5")


@faces
def test_a_loaded_models_optimizer_can_be_wrapped(face, tmp_path):
    x, y = data()
    trained("adam", face=face).save(tmp_path / "model.keras")
    model = face.keras.models.load_model(tmp_path / "model.keras")
    optimizer = face.wrap(model.optimizer)
    model.compile(optimizer, model.loss)
    optimizer.build(model.trainable_variables)
    assert_same(averages(optimizer, model), values(model.trainable_variables))
    model.fit(x, y, verbose=0)
    assert int(optimizer.iterations) == 6


@pytest.mark.parametrize("built", [False, True], ids=["restored before building", "built"])
@faces
def test_a_checkpoint_restores_every_bit(face, built, tmp_path):
    optimizer = face.wrap("adam")
    model = trained(optimizer, face=face)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(tmp_path / "checkpoint")
    other = face.wrap("adam")
    copy = face.make(other)
    if built:
        other.build(copy.trainable_variables)
    status = tf.train.Checkpoint(model=copy, optimizer=other).restore(path)
    if not built:
        other.build(copy.trainable_variables)
    status.assert_existing_objects_matched()
    assert_same(values(copy.trainable_variables), values(model.trainable_variables))
    assert_same(averages(other, copy), averages(optimizer, model))
    assert_same(values(other.variables), values(optimizer.variables))


@faces
def test_saving_while_swapped_is_refused(face, tmp_path):
    optimizer = face.wrap("adam")
    model = trained(optimizer, face=face)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    path = checkpoint.save(tmp_path / "checkpoint")
    saves = [
        lambda: model.save(tmp_path / "model.keras"),
        lambda: model.save(tmp_path / "model.h5"),
        lambda: checkpoint.save(tmp_path / "checkpoint"),
        lambda: checkpoint.restore(path),
    ]
    if face is KERAS:  # In such a file tf_keras keeps the weights alone: then the averages.
        saves.append(lambda: model.save_weights(tmp_path / "model.weights.h5"))
    for save in saves:
        expected = "A checkpoint cannot be saved or restored while averages and weights are swapped"
        with optimizer.swapped(), pytest.raises(RuntimeError, match=expected):
            save()
    model.save(tmp_path / "model.keras")


def test_loading_while_swapped_is_refused():
    optimizer = wrap("adam")
    model = trained(optimizer)
    store = {}
    optimizer.save_own_variables(store)
    before = values(model.weights), values(optimizer.variables)
    message = "cannot be saved or restored while averages and weights are swapped"
    with optimizer.swapped(), pytest.raises(RuntimeError, match=message):
        optimizer.load_own_variables(store)
    assert_same(values(model.weights), before[0])
    assert_same(values(optimizer.variables), before[1])


def test_a_wrapped_optimizer_that_fails_to_load_is_as_it_was(monkeypatch):
    optimizer = wrap("adam")
    model = trained(optimizer)
    store = {}
    optimizer.save_own_variables(store)
    inner = optimizer.inner_optimizer

    def load_half(_: object) -> None:
        for variable in inner.variables[:3]:
            variable.assign(variable + 7)
        message = "The rest is missing."
        raise ValueError(message)

    before = values(model.weights), values(optimizer.variables)
    monkeypatch.setattr(inner, "load_own_variables", load_half)
    with pytest.raises(ValueError, match="The rest is missing"):
        optimizer.load_own_variables(store)
    assert_same(values(model.weights), before[0])
    assert_same(values(optimizer.variables), before[1])


@pytest.mark.slow
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
    prepared.must_run(["-c", program], tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-5, atol=1e-6)
