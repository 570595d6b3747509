"""rounding="stochastic" in both Kerases: `fit`, files, copies, configuration."""

import copy

import numpy as np
import pytest
import tensorflow as tf
from keras_models import KERAS, averages, compiled_faces, data, faces
from oracle import FLOAT64, assert_same_bits

from tf_mavg import decays
from tf_mavg_check.reference import HALVES, updated_stochastically

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SEED = 5
DECAY = 1 - 2.0**-6  # Of one bit, so that XLA's contracted product is the same.


def made(face, decay=DECAY, *, jit_compile=False, **options: object):
    options = {"rounding": "stochastic", "seed": SEED, "average_dtype": "same"} | options
    optimizer = face.ours.MovingAverage(face.keras.optimizers.SGD(0.1), decay, **options)
    # tf_keras cannot load a .keras file of bfloat16 weights.
    policy = "bfloat16" if face is KERAS else "float16"
    return face.make(optimizer, policy=policy, jit_compile=jit_compile), optimizer


def fit(model, epochs=1, **options: object):
    return model.fit(*data(), batch_size=16, epochs=epochs, shuffle=False, verbose=0, **options)


def arrays(weights):
    return [np.array(weight) for weight in weights]


@compiled_faces
def test_each_step_draws_by_its_number(face, jit_compile):
    model, optimizer = made(face, jit_compile=jit_compile)
    expected = arrays(model.trainable_weights)
    assert {array.dtype for array in expected} <= set(HALVES)
    seen = []
    look = face.keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(arrays(model.trainable_weights))  # noqa: ARG005 - Keras names them.
    )
    fit(model, callbacks=[look])
    for n, weights in enumerate(seen, 1):
        expected = [
            updated_stochastically(a.ravel(), w.ravel(), DECAY, (SEED, n, 0)).reshape(w.shape)
            for a, w in zip(expected, weights, strict=True)
        ]
    for received, value in zip(averages(optimizer, model), expected, strict=True):
        if jit_compile:  # XLA may take weights before they are rounded.
            np.testing.assert_allclose(received.astype(FLOAT64), value.astype(FLOAT64), rtol=2**-6)
        else:
            assert_same_bits(received, value)
    assert int(optimizer.holder.steps.first) == len(seen)


@faces
@pytest.mark.parametrize("kept", ["file", "checkpoint", "copy"])
def test_a_run_that_is_interrupted_has_the_bits_of_one_that_is_not(face, kept, tmp_path):
    model, optimizer = made(face)
    fit(model, epochs=2)
    whole = averages(optimizer, model)
    model, optimizer = made(face)
    fit(model)
    if kept == "file":
        model.save(tmp_path / "m.keras")
        model = face.keras.models.load_model(tmp_path / "m.keras")
    elif kept == "checkpoint":
        path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "c"))
        model, optimizer = made(face)
        status = tf.train.Checkpoint(model=model, optimizer=optimizer).restore(path)
        optimizer.build(model.trainable_variables)
        status.assert_existing_objects_matched()
    else:
        weights = arrays(model.trainable_weights)
        state = arrays(optimizer.variables)
        model, optimizer = made(face)
        for weight, value in zip(model.trainable_weights, weights, strict=True):
            weight.assign(value)
        optimizer.build(model.trainable_variables)
        for variable, value in zip(optimizer.variables, state, strict=True):
            variable.assign(value)
    fit(model)
    for received, value in zip(averages(model.optimizer, model), whole, strict=True):
        assert_same_bits(received, value)


@faces
def test_a_copy_draws_what_its_original_would(face):
    weights = [face.variable(np.ones(50, np.float32), dtype="bfloat16", name="weight")]
    optimizer = face.ours.MovingAverage(
        face.keras.optimizers.SGD(1.0), 0.99, average_dtype="same", rounding="stochastic", seed=4
    )
    optimizer.build(weights)
    gradients = [tf.fill([50], tf.constant(-1, tf.bfloat16))]
    optimizer.apply_gradients(zip(gradients, weights, strict=True))
    both = {"optimizer": optimizer, "weights": weights}
    copied = copy.deepcopy(both)
    for each in (both, copied):
        each["optimizer"].apply_gradients(zip(gradients, each["weights"], strict=True))
    ours, theirs = (
        np.array(each["optimizer"].average(each["weights"][0])) for each in (both, copied)
    )
    assert_same_bits(theirs, ours)
    assert len(np.unique(ours.astype(np.float32))) > 1


@faces
def test_the_configuration_has_both_arguments(face):
    _, optimizer = made(face, decays.WarmUp(0.9))
    config = optimizer.get_config()
    assert (config["rounding"], config["seed"]) == ("stochastic", SEED)
    again = type(optimizer).from_config(config)
    assert (again.rounding, again.seed, again.holder.seed) == ("stochastic", SEED, SEED)
    plain = face.ours.MovingAverage("sgd")
    assert (plain.get_config()["rounding"], plain.holder.seed) == ("nearest", None)
    older = {key: value for key, value in config.items() if key not in {"rounding", "seed"}}
    assert type(optimizer).from_config(older).rounding == "nearest"


@faces
def test_a_file_of_nearest_rounding_can_be_trained_on(face, tmp_path):
    model, _ = made(face, rounding="nearest")
    fit(model)
    store = {}
    model.save(tmp_path / "m.keras")
    loaded = face.keras.models.load_model(tmp_path / "m.keras")
    loaded.optimizer.save_own_variables(store)
    counting, optimizer = made(face)
    optimizer.build(counting.trainable_variables)
    optimizer.load_own_variables(store)
    assert int(optimizer.holder.steps.first) == 0
    fit(counting)
    assert int(optimizer.holder.steps.first) == 4


@faces
def test_a_decay_that_is_set_takes_effect_and_logs_have_it(face):
    model, optimizer = made(face)
    fit(model)
    optimizer.average_decay = 0.5
    assert optimizer.last_decays() == [0.5]
    fit(model)
    assert int(optimizer.holder.steps.first) == 8


@faces
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_float32_averages_need_no_stochastic_rounding(face, dtype):
    message = f'Received: average_dtype={dtype!r}; take average_dtype="same".'
    with pytest.raises(ValueError, match=message):
        made(face, average_dtype=dtype)
    with pytest.raises(ValueError, match="Received: num_updates='iterations'; for its warm-up"):
        made(face, num_updates="iterations")
