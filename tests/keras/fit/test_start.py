"""Where averages start, and the epoch that EarlyStopping restores."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras_models import DECAY, KERAS, TF_KERAS, averages, compiled_faces, data, faces, values
from oracle import assert_same_bits, updated

# Keras reads its variables as NumPy 2 will not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@compiled_faces
def test_averages_start_at_the_weights_of_the_first_step(face, jit_compile):
    x, y = data()
    optimizer = face.wrap(face.keras.optimizers.SGD(0.0))
    model = face.make(optimizer, jit_compile=jit_compile)
    optimizer.build(model.trainable_variables)
    for weight in model.trainable_variables:
        weight.assign(np.full(weight.shape, 3.0))
    model.fit(x, y, verbose=0)
    for average in averages(optimizer, model):
        np.testing.assert_array_equal(average, np.full(average.shape, 3.0))


@faces
def test_an_eager_first_step_starts_before_it(face):
    weight = face.variable([1.0])
    optimizer = face.wrap(face.keras.optimizers.SGD(1.0))
    optimizer.build([weight])
    weight.assign([5.0])
    optimizer.apply_gradients([(tf.constant([1.0]), weight)])
    expected = updated(np.float32([5.0]), np.float32([4.0]), DECAY)
    assert_same_bits(optimizer.average(weight).numpy(), expected)


@faces
def test_an_average_set_by_hand_before_training_stays(face):
    weight = face.variable([1.0])
    optimizer = face.wrap(face.keras.optimizers.SGD(0.0))
    optimizer.build([weight])
    optimizer.average(weight).assign([9.0])
    optimizer.apply_gradients([(tf.constant([1.0]), weight)])
    assert_same_bits(
        optimizer.average(weight).numpy(), updated(np.float32([9.0]), np.float32([1.0]), DECAY)
    )


@pytest.mark.slow
@pytest.mark.parametrize("scaled", [False, True], ids=["", "loss scale"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_optimizer_that_reads_weights_when_built_in_the_traced_step(jit_compile, scaled):
    k = KERAS.keras

    def trained(wrap):
        k.utils.set_random_seed(3)
        inner = k.optimizers.ScheduleFreeAdamW(0.01)
        optimizer = wrap(KERAS.loss_scale(inner) if scaled else inner)
        model = k.Sequential([k.layers.Dense(1)])
        model.compile(optimizer, loss="mse", jit_compile=jit_compile)
        model.fit(np.ones([4, 5]), np.ones([4, 1]), verbose=0)
        return optimizer, model

    _, plain = trained(lambda optimizer: optimizer)
    optimizer, model = trained(KERAS.wrap)
    expected = values(plain.trainable_variables)
    for weight, other in zip(values(model.trainable_variables), expected, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5)
    assert all(np.isfinite(average).all() for average in averages(optimizer, model))


@pytest.mark.sampled(pairs=True)
@pytest.mark.parametrize(
    "before", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["before", "after"]
)
@pytest.mark.parametrize(
    "scaled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "loss scale"]
)
@faces
def test_early_stopping_leaves_averages_and_weights_of_the_best_epoch(face, scaled, before):
    x = np.ones([1, 1], np.float32)
    k = face.keras
    model = k.Sequential(
        [k.layers.Input((1,)), k.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    optimizer = face.wrap(k.optimizers.SGD(1.0))
    compiled = face.loss_scale(optimizer) if scaled else optimizer
    model.compile(compiled, loss=lambda _, p: -p, metrics=["mse"])
    stop = k.callbacks.EarlyStopping("val_mse", patience=2, restore_best_weights=True, mode="min")
    evaluation = face.ours.EvaluateAverages()
    seen = []
    record = k.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.append((values(model.weights), averages(optimizer, model)))
    )
    history = model.fit(
        x, x, validation_data=(x, 2 * x), epochs=20, verbose=0,
        callbacks=[record, *((evaluation, stop) if before else (stop, evaluation))],
    ).history  # fmt: skip
    best = int(np.argmin(history["val_mse"]))
    assert 0 < best == stop.best_epoch < len(seen) - 1
    assert_same_bits(values(model.weights)[0], seen[best][0][0])
    assert_same_bits(averages(optimizer, model)[0], seen[best][1][0])
    with optimizer.swapped():
        metric = model.evaluate(x, 2 * x, verbose=0, return_dict=True)["mse"]
    np.testing.assert_allclose(metric, min(history["val_mse"]), rtol=1e-6)


# A LossScaleOptimizer of tf_keras inside: which of its calls are steps.


@pytest.mark.parametrize("in_function", [False, True], ids=["eager", "function"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dynamic": False, "initial_scale": 4.0},
        {"initial_scale": 0.5},  # A skipped step doubles it.
        {"initial_scale": 1.0, "dynamic_growth_steps": 1},
        {"initial_scale": 2.0**127, "dynamic_growth_steps": 1},  # It cannot grow.
    ],
    ids=["dynamic", "fixed", "small", "growing", "largest"],
)
@pytest.mark.filterwarnings("ignore:You forgot to call LossScaleOptimizer")
def test_averages_follow_each_step_of_a_loss_scale_and_no_other(options, in_function):
    weight = tf.Variable([1.0, 1.0])
    inner = tf_keras.optimizers.SGD(0.25)
    scaler = TF_KERAS.loss_scale(inner, **options)
    optimizer = TF_KERAS.wrap(scaler)

    def step(gradient):
        optimizer.apply_gradients([(gradient, weight)])

    if in_function:
        step = tf.function(step)
    average = weight.numpy()
    skips = options.get("dynamic", True)
    for gradient in ([1.0, 2.0], [np.inf, 1.0], [np.nan, 1.0], [0.0, 0.0], [1.0, 1.0]):
        step(tf.constant(gradient))
        if not skips or np.isfinite(gradient).all():
            average = updated(average, weight.numpy(), DECAY)
        assert_same_bits(optimizer.average(weight).numpy(), average)
    assert scaler.inner_optimizer is inner
    assert "apply_gradients" not in vars(inner)
    assert optimizer.get_config()["optimizer"] == tf_keras.saving.serialize_keras_object(scaler)


@pytest.mark.filterwarnings("ignore:You forgot to call LossScaleOptimizer")
@pytest.mark.parametrize("large", [1.0, float(np.finfo(np.float32).max), np.inf])
def test_sparse_gradients_are_steps_as_the_loss_scale_sees_them(large):
    weight = tf.Variable([1.0, 1.0])
    optimizer = TF_KERAS.wrap(TF_KERAS.loss_scale(tf_keras.optimizers.SGD(0.25)))
    optimizer.build([weight])
    before = optimizer.average(weight).numpy()
    rows = tf.constant([0, 0]), tf.constant([2])
    gradient = tf.IndexedSlices(tf.constant([large, large]), *rows)
    optimizer.apply_gradients([(gradient, weight)])
    is_step = weight.numpy().tolist() != [1.0, 1.0]
    assert is_step == (large < np.inf)
    expected = updated(before, weight.numpy(), DECAY) if is_step else before
    assert_same_bits(optimizer.average(weight).numpy(), expected)
