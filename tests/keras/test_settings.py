"""What can be set: the wrapped optimizer's settings through the wrapper, and the decay."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras_models import KERAS, TF_KERAS, averages, compiled_faces, data, faces, values
from oracle import assert_same_bits

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SETTINGS = {
    "clipnorm": 0.5,
    "clipvalue": 0.25,
    "global_clipnorm": 0.5,
    "weight_decay": 0.1,
    "use_ema": True,
    "ema_momentum": 0.5,
    "learning_rate": 0.5,
    "momentum": 0.5,
}


@pytest.mark.parametrize("scaled", [False, True], ids=["", "loss scale"])
@pytest.mark.parametrize("name", SETTINGS)
@faces
def test_a_setting_shows_and_takes_effect(face, name, scaled):
    def step(optimizer):
        weight = face.variable([1.0, 2.0])
        for _ in range(2):
            optimizer.apply_gradients([(tf.constant([3.0, 4.0]), weight)])
        return weight.numpy()

    value = SETTINGS[name]
    plain = face.keras.optimizers.SGD(1.0)
    setattr(plain, name, value)
    inner = face.keras.optimizers.SGD(1.0)
    optimizer = face.wrap(face.loss_scale(inner, initial_scale=1.0) if scaled else inner)
    setattr(optimizer, name, value)
    assert float(getattr(optimizer, name)) == float(getattr(inner, name)) == value
    assert_same_bits(step(optimizer), step(plain))
    given = face.keras.optimizers.SGD(**{name: value})
    assert float(getattr(face.wrap(given), name)) == value
    with pytest.raises(AttributeError, match="has no attribute 'unknown'"):
        _ = optimizer.unknown


def test_gradient_accumulation_set_through_the_wrapper_takes_effect():
    weight = keras.Variable([0.0])
    optimizer = KERAS.wrap(keras.optimizers.SGD(1.0))
    optimizer.gradient_accumulation_steps = 2
    assert optimizer.inner_optimizer.gradient_accumulation_steps == 2
    for expected in (0.0, -1.0):
        optimizer.apply([tf.constant([1.0])], [weight])
        assert weight.numpy() == [expected]
    assert optimizer.average(weight).numpy() == [-0.25]


@faces
def test_a_setting_of_the_wrapper_stays_its_own(face):
    optimizer = face.wrap("sgd")
    optimizer.overwrite_weights = True
    optimizer.my_note = "mine"
    assert not hasattr(optimizer.inner_optimizer, "overwrite_weights")
    assert (optimizer.my_note, hasattr(optimizer.inner_optimizer, "my_note")) == ("mine", False)


@pytest.mark.sampled
@pytest.mark.parametrize(
    "scaled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "loss scale"]
)
@compiled_faces
def test_a_decay_set_between_two_fits_takes_effect(face, jit_compile, scaled):
    x, y = data()
    inner = face.keras.optimizers.SGD(0.1)
    optimizer = face.wrap(face.loss_scale(inner) if scaled else inner)
    model = face.make(optimizer, jit_compile=jit_compile)
    model.fit(x, y, verbose=0)
    traced = model.train_function
    optimizer.average_decay = 0.0
    model.fit(x, y, verbose=0)
    assert model.train_function is traced
    for average, weight in zip(
        averages(optimizer, model), values(model.trainable_variables), strict=True
    ):
        np.testing.assert_allclose(average, weight, rtol=1e-6, atol=1e-7)
    assert optimizer.average_decay == optimizer.get_config()["average_decay"] == 0.0


@faces
def test_a_decay_set_does_not_trace_again(face):
    weight = face.variable([0.0])
    optimizer = face.wrap(face.keras.optimizers.SGD(1.0))
    optimizer.build([weight])
    step = tf.function(lambda: optimizer.apply_gradients([(tf.constant([-1.0]), weight)]))
    step()
    for decay in (0.5, 1.0, 0.0):
        optimizer.average_decay = decay
        before = optimizer.average(weight).numpy()
        step()
        expected = before - (before - weight.numpy()) * np.float32(1 - decay)
        assert_same_bits(optimizer.average(weight).numpy(), expected)
    assert step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("decay", [7.0, -0.1, float("nan"), "0.5", None, [[0.5]], 1j])
@faces
def test_a_decay_that_is_none_is_refused(face, decay):
    optimizer = face.wrap("sgd")
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        optimizer.average_decay = decay
    assert optimizer.average_decay == 0.75
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        face.ours.MovingAverage("sgd", decay)


@faces
def test_what_is_no_optimizer_is_a_type_error(face):
    other = TF_KERAS if face is KERAS else KERAS
    for wrong in (3, None, object(), tf.keras, other.keras.optimizers.SGD(), SETTINGS.items):
        with pytest.raises(TypeError, match=f"must be a {face}.optimizers.Optimizer"):
            face.wrap(wrong)
    with pytest.raises(ValueError, match="no such optimizer"):
        face.wrap("no such optimizer")


def test_legacy_optimizers_are_told_what_is_served():
    with pytest.raises(
        TypeError, match=r"is legacy and not served; use tf_keras\.optimizers\.Adam"
    ):
        TF_KERAS.wrap(tf_keras.optimizers.legacy.Adam())


@faces
def test_restart_of_some_weights(face):
    weights = [face.variable([1.0], name="a"), face.variable([2.0], name="b")]
    optimizer = face.wrap("sgd")
    optimizer.build(weights)
    for weight in weights:
        optimizer.average(weight).assign([9.0])
    optimizer.restart([weights[1]])
    assert [float(optimizer.average(w).numpy()[0]) for w in weights] == [9.0, 2.0]
    optimizer.restart()
    assert [float(optimizer.average(w).numpy()[0]) for w in weights] == [1.0, 2.0]
    with pytest.raises(ValueError, match="must have an average"):
        optimizer.restart([face.variable([1.0])])


@faces
def test_a_copy_before_and_after_building(face):
    optimizer = face.wrap("adam", exclude="b$")
    fresh = copy.deepcopy(optimizer)
    weight = face.variable([1.0], name="a")
    optimizer.build([weight])
    optimizer.average(weight).assign([5.0])
    late = face.variable([7.0], name="a")
    fresh.build([late])
    assert fresh.average(late).numpy() == [7.0]
    twin, twin_weight = copy.deepcopy((optimizer, weight))
    twin.average_decay = 0.0
    for _ in range(2):
        twin.apply_gradients([(tf.constant([1.0]), twin_weight)])
    assert_same_bits(twin.average(twin_weight).numpy(), twin_weight.numpy())
    assert (optimizer.average(weight).numpy(), weight.numpy()) == (5.0, 1.0)
    assert (optimizer.average_decay, int(optimizer.iterations)) == (0.75, 0)
    with twin.swapped():
        assert twin.is_swapped
        assert not optimizer.is_swapped


@faces
def test_a_copy_between_restore_and_building_is_refused(face, tmp_path):
    weight = face.variable([1.0], name="a")
    optimizer = face.wrap("sgd")
    optimizer.build([weight])
    path = tf.train.Checkpoint(weight=weight, optimizer=optimizer).save(str(tmp_path / "file"))
    restored = face.wrap("sgd")
    tf.train.Checkpoint(weight=weight, optimizer=restored).restore(path)
    with pytest.raises(
        RuntimeError, match=r"must be built before it is copied\. Received: one that"
    ):
        copy.deepcopy(restored)
    restored.build([weight])
    copy.deepcopy((restored, weight))


@faces
def test_the_callbacks_are_classes_of_their_module(face):
    for name in ("EvaluateAverages", "AverageModelCheckpoint", "MovingAverage"):
        public = getattr(face.ours, name)
        assert public.__module__ == face.ours.__name__
        assert public.__doc__
        assert pickle.loads(pickle.dumps(public)) is public  # noqa: S301 - of this process.


@faces
def test_where_no_weight_has_an_average_a_swap_says_so(face):
    weight = face.variable([1.0])
    optimizer = face.wrap("sgd", exclude=lambda _: True)
    optimizer.apply_gradients([(tf.constant([1.0]), weight)])
    with pytest.raises(RuntimeError, match="No weight has an average, because `exclude`"):
        optimizer.swapped()


@faces
def test_the_wrapped_optimizer_is_an_attribute_that_no_saver_visits(face):
    optimizer = face.wrap("adam")
    assert isinstance(optimizer.inner_optimizer, face.keras.optimizers.Adam)
    assert "inner_optimizer" not in dir(optimizer)
