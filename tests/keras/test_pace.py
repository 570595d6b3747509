"""Schedules, `start` and `every` in both Kerases: `fit`, files, checkpoints, configuration."""

import copy

import numpy as np
import pytest
import tensorflow as tf
from keras_models import compiled_faces, data, faces
from oracle import assert_same_bits
from paces import averages_of as averages_after

from tf_mavg import decays

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BATCH = 16
PACES = [
    {"average_decay": decays.PowerFunction(sigma_rel=0.1)},
    {"average_decay": decays.InverseGamma(), "start": 2},
    {"average_decay": 0.9, "start": 3, "every": 2},
]
paces = pytest.mark.parametrize("pace", PACES, ids=str)


def made(face, pace, optimizer=None, *, jit_compile=False):
    optimizer = face.ours.MovingAverage(optimizer or face.keras.optimizers.SGD(0.1), **pace)
    return face.make(optimizer, jit_compile=jit_compile), optimizer


def fit(model, epochs=1):
    model.fit(*data(), batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0)


def averages_of(model, optimizer):
    return [np.array(optimizer.average(weight)) for weight in model.trainable_weights]


def expected(pace, weights):
    """The average of weights after the last step."""
    given = pace["average_decay"]
    decay = (lambda _: given) if isinstance(given, float) else given.decay
    options = {name: pace[name] for name in ("start", "every") if name in pace}
    return averages_after(weights[1:], decay, **options, initial=weights[0])[-1]


@pytest.mark.sampled
@pytest.mark.slow
@compiled_faces
@paces
def test_fit_moves_averages_as_the_three_say(face, jit_compile, pace):
    model, optimizer = made(face, pace, jit_compile=jit_compile)
    seen = [[np.array(weight, np.float64) for weight in model.trainable_weights]]
    look = face.keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(  # noqa: ARG005 - Keras names them.
            [np.array(weight, np.float64) for weight in model.trainable_weights]
        )
    )
    model.fit(*data(), batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[look])
    for i, average in enumerate(averages_of(model, optimizer)):
        wanted = expected(pace, [weights[i] for weights in seen])
        np.testing.assert_allclose(average, wanted, rtol=1e-5, atol=1e-6)
    assert int(optimizer.holder.steps.first) == len(seen) - 1


@pytest.mark.sampled
@faces
@pytest.mark.parametrize(
    "pace", [*(pytest.param(pace, marks=pytest.mark.slow) for pace in PACES[:2]), PACES[2]], ids=str
)
def test_a_run_that_a_file_interrupts_has_the_bits_of_one_that_none_does(face, pace, tmp_path):
    model, optimizer = made(face, pace)
    fit(model, epochs=2)
    whole = averages_of(model, optimizer)
    model, _ = made(face, pace)
    fit(model)
    model.save(tmp_path / "m.keras")
    loaded = face.keras.models.load_model(tmp_path / "m.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    fit(loaded)
    for one, other in zip(averages_of(loaded, loaded.optimizer), whole, strict=True):
        assert_same_bits(one, other)


@pytest.mark.slow
@faces
def test_a_run_that_a_checkpoint_interrupts_does_too(face, tmp_path):
    model, optimizer = made(face, PACES[1])
    fit(model, epochs=2)
    whole = averages_of(model, optimizer)
    model, optimizer = made(face, PACES[1])
    fit(model)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "c"))
    model, optimizer = made(face, PACES[1])
    status = tf.train.Checkpoint(model=model, optimizer=optimizer).restore(path)
    optimizer.build(model.trainable_variables)
    status.assert_existing_objects_matched()
    fit(model)
    for one, other in zip(averages_of(model, optimizer), whole, strict=True):
        assert_same_bits(one, other)


@faces
def test_a_file_of_a_plain_decay_is_refused_where_steps_count(face, tmp_path):
    model, _ = made(face, {"average_decay": 0.9})
    fit(model)
    model.save_weights(tmp_path / "m.weights.h5")
    model.save(tmp_path / "m.keras")
    loaded = face.keras.models.load_model(tmp_path / "m.keras")
    counting, optimizer = made(face, PACES[0])
    optimizer.build(counting.trainable_variables)
    store = {}
    loaded.optimizer.save_own_variables(store)
    before = averages_of(counting, optimizer)
    with pytest.raises(ValueError, match=r"^The file must hold the count of the averages' steps"):
        optimizer.load_own_variables(store)
    for one, other in zip(averages_of(counting, optimizer), before, strict=True):
        assert_same_bits(one, other)


@faces
def test_a_schedule_is_neither_set_nor_replaced_later(face):
    for first, second in ((decays.Uniform(), 0.9), (0.9, decays.Uniform())):
        _, optimizer = made(face, {"average_decay": first})
        with pytest.raises(ValueError, match=r"^A schedule of decays cannot be set or replaced"):
            optimizer.average_decay = second
        assert optimizer.average_decay == first


@faces
def test_a_plain_decay_that_counts_can_be_set(face):
    weight = face.variable([0.0])
    optimizer = face.ours.MovingAverage(face.keras.optimizers.SGD(1.0), 0.5, every=2)
    optimizer.build([weight])
    optimizer.average_decay = 0.0
    for _ in range(2):
        optimizer.apply_gradients([(tf.constant([-1.0]), weight)])
    assert np.array(optimizer.average(weight)) == [2.0]


@faces
def test_num_updates_is_for_a_plain_decay(face):
    with pytest.raises(ValueError, match=r"^`num_updates` is for a plain decay"):
        made(face, {"average_decay": decays.Uniform(), "num_updates": "iterations"})


def test_steps_that_only_add_up_gradients_do_not_count():
    from keras_models import KERAS  # noqa: PLC0415 - the Keras that has it.

    inner = KERAS.keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model, optimizer = made(KERAS, PACES[0], inner)
    fit(model, epochs=2)
    assert int(optimizer.holder.steps.first) == int(optimizer.iterations) == 4


@faces
def test_a_copy_counts_for_itself(face):
    model, optimizer = made(face, PACES[0])
    fit(model)
    copied = copy.deepcopy(optimizer)
    assert int(copied.holder.steps.first) == int(optimizer.holder.steps.first) == 4
    assert copied.average_decay == optimizer.average_decay
