"""Several averages of each weight, in both Kerases."""

import copy

import pytest
import tensorflow as tf
from keras_models import compiled_faces, data, faces
from oracle import assert_same_bits

from tf_mavg import decays

pytestmark = [
    pytest.mark.slow,
    # Keras 3 writes variables with an old way of NumPy's.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

DECAYS = [0.5, 0.9]


def every(model):
    """All averages, those of the first index first."""
    optimizer = model.optimizer
    return [
        optimizer.average(weight, index).numpy()
        for index in range(optimizer.holder.of_each)
        for weight in model.trainable_variables
    ]


def assert_alike(model, other):
    for received, expected in zip(every(model), every(other), strict=True):
        assert_same_bits(received, expected)


def fitted(face, decay, *, jit_compile=False, **options: object):
    model = face.make(face.ours.MovingAverage("sgd", decay, **options), jit_compile=jit_compile)
    x, y = data()
    model.fit(x, y, verbose=0, shuffle=False)
    return model


@pytest.mark.sampled
@compiled_faces
@pytest.mark.parametrize("num_updates", [None, pytest.param("iterations", marks=pytest.mark.slow)])
def test_each_is_the_average_that_it_would_be_alone(face, jit_compile, num_updates):
    together = fitted(face, DECAYS, jit_compile=jit_compile, num_updates=num_updates)
    alone = [
        fitted(face, decay, jit_compile=jit_compile, num_updates=num_updates) for decay in DECAYS
    ]
    expected = [value for model in alone for value in every(model)]
    for received, value in zip(every(together), expected, strict=True):
        assert_same_bits(received, value)


@faces
def test_the_decays_can_be_set_together(face):
    model = fitted(face, DECAYS)
    optimizer = model.optimizer
    optimizer.average_decay = [1.0, 0.0]
    before = [optimizer.average(weight).numpy() for weight in model.trainable_variables]
    x, y = data()
    model.fit(x, y, verbose=0)
    for weight, value in zip(model.trainable_variables, before, strict=True):
        assert_same_bits(optimizer.average(weight, 0).numpy(), value)
        assert_same_bits(optimizer.average(weight, 1).numpy(), weight.numpy())
    assert optimizer.average_decay == [1.0, 0.0]
    for wrong in ([0.5], [0.5, 0.5, 0.5], 0.5):
        with pytest.raises(ValueError, match="as many decays as averages of each weight, 2"):
            optimizer.average_decay = wrong
    with pytest.raises(ValueError, match="cannot be set or replaced later"):
        optimizer.average_decay = [0.5, decays.Uniform()]
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        optimizer.average_decay = [0.5, 1.5]
    assert optimizer.average_decay == [1.0, 0.0]


@faces
def test_a_schedule_may_be_set_to_itself(face):
    optimizer = face.ours.MovingAverage("sgd", [0.5, decays.Uniform()])
    optimizer.average_decay = [0.75, decays.Uniform()]
    assert optimizer.average_decay == [0.75, decays.Uniform()]


@faces
@pytest.mark.parametrize("index", [0, 1])
def test_swapped_evaluates_one(face, index):
    model = fitted(face, DECAYS)
    x, y = data()
    own = [weight.numpy() for weight in model.trainable_variables]
    expected = every(model)[4 * index : 4 * index + 4]
    with model.optimizer.swapped(index=index):
        for weight, value in zip(model.trainable_variables, expected, strict=True):
            assert_same_bits(weight.numpy(), value)
        with pytest.raises((RuntimeError, tf.errors.InvalidArgumentError), match="swapped"):
            model.fit(x, y, verbose=0)
    for weight, value in zip(model.trainable_variables, own, strict=True):
        assert_same_bits(weight.numpy(), value)
    with pytest.raises(ValueError, match=r"below 2\. Received: index=2"):
        model.optimizer.swapped(index=2)


@faces
def test_a_copy_has_all(face):
    model = fitted(face, DECAYS)
    optimizer, weights = copy.deepcopy((model.optimizer, list(model.trainable_variables)))
    for weight, own in zip(weights, model.trainable_variables, strict=True):
        for index in range(2):
            received = optimizer.average(weight, index).numpy()
            assert_same_bits(received, model.optimizer.average(own, index).numpy())


@faces
@pytest.mark.parametrize("name", ["m.keras", pytest.param("m.weights.h5", marks=pytest.mark.slow)])
def test_files_hold_all(face, name, tmp_path):
    decay = [0.5, decays.PowerFunction(exponent=6.94)]
    model = fitted(face, decay)
    path = str(tmp_path / name)
    if name == "m.keras":
        model.save(path)
        other = face.keras.models.load_model(path)
        assert other.optimizer.average_decay == decay
    else:
        model.save_weights(path)
        other = face.make(face.ours.MovingAverage("sgd", decay))
        other.optimizer.build(other.trainable_variables)
        other.load_weights(path)
    assert_alike(other, model)
    x, y = data()
    for one in (model, other):
        one.fit(x, y, verbose=0, shuffle=False)
    assert_alike(other, model)


@faces
def test_a_file_of_fewer_is_refused_or_starts_the_others(face, tmp_path):
    model = fitted(face, 0.5)
    path = str(tmp_path / "m.weights.h5")
    model.save_weights(path)

    def load(**options: object):
        other = face.make(face.ours.MovingAverage("sgd", DECAYS, **options))
        other.optimizer.build(other.trainable_variables)
        other.load_weights(path)
        return other

    with pytest.raises(ValueError, match=r"must hold the optimizer's 8 averages, or none. .*: 4"):
        load()
    other = load(start_missing_averages=True)
    for weight, own in zip(other.trainable_variables, model.trainable_variables, strict=True):
        first, second = (other.optimizer.average(weight, index).numpy() for index in (0, 1))
        assert_same_bits(first, model.optimizer.average(own).numpy())
        assert_same_bits(second, own.numpy())


@faces
def test_a_checkpoint_holds_all(face, tmp_path):
    model = fitted(face, DECAYS)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(tmp_path / "c"))
    other = fitted(face, DECAYS)
    x, y = data()
    other.fit(x, y, verbose=0)
    tf.train.Checkpoint(model=other, optimizer=other.optimizer).restore(path).expect_partial()
    assert_alike(other, model)
