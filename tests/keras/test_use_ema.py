"""What Keras documents of use_ema, beside MovingAverage: the same, and what is mended."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_models import data, make, values

from tf_mavg.keras import MovingAverage

pytestmark = pytest.mark.slow

MOMENTUM = 0.9


def use_ema(gradient_accumulation_steps=None):
    return keras.optimizers.SGD(
        0.1,
        use_ema=True,
        ema_momentum=MOMENTUM,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )


def apply(optimizer, weight, gradients):
    for gradient in gradients:
        optimizer.apply([tf.fill(weight.shape, tf.cast(gradient, weight.dtype))], [weight])


def test_averages_are_those_of_use_ema_from_the_second_step_on():
    # Keras's average is the weight after the first step; ours starts at the initial weight.
    theirs, ours = keras.Variable([1.0, 2.0]), keras.Variable([1.0, 2.0])
    keras_optimizer, optimizer = use_ema(), MovingAverage(keras.optimizers.SGD(0.1), MOMENTUM)
    for optimizer_, weight in ((keras_optimizer, theirs), (optimizer, ours)):
        apply(optimizer_, weight, [1.0])
    average = keras_optimizer._model_variables_moving_average[0]
    np.testing.assert_array_equal(average.numpy(), theirs.numpy())
    np.testing.assert_allclose(
        optimizer.average(ours).numpy(), [1 - 0.1 * (1 - MOMENTUM), 2 - 0.1 * (1 - MOMENTUM)]
    )
    optimizer.average(ours).assign(average)
    gradients = np.sin(np.arange(20))
    for optimizer_, weight in ((keras_optimizer, theirs), (optimizer, ours)):
        apply(optimizer_, weight, gradients)
    np.testing.assert_allclose(optimizer.average(ours).numpy(), average.numpy(), rtol=1e-5)


def test_bfloat16_averages_move_where_those_of_use_ema_do_not():
    ours, theirs = (keras.Variable(np.ones(2), dtype="bfloat16") for _ in range(2))
    keras_optimizer = keras.optimizers.SGD(0.125, use_ema=True, ema_momentum=0.999)
    optimizer = MovingAverage(keras.optimizers.SGD(0.125), 0.999)
    apply(keras_optimizer, theirs, [0.0, 1.0, 1.0, 1.0])
    apply(optimizer, ours, [0.0, 1.0, 1.0, 1.0])
    assert ours.numpy()[0] == theirs.numpy()[0] == 0.625
    # bfloat16(0.999) = 1.
    assert (keras_optimizer._model_variables_moving_average[0].numpy() == 1).all()
    assert (optimizer.average_value(ours).numpy() < 1).all()


def test_accumulated_gradients_are_one_update_where_use_ema_counts_each():
    ours, theirs = keras.Variable([0.0]), keras.Variable([0.0])
    keras_optimizer = use_ema(gradient_accumulation_steps=4)
    sgd = keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)
    optimizer = MovingAverage(sgd, MOMENTUM)
    for optimizer_, weight in ((keras_optimizer, theirs), (optimizer, ours)):
        apply(optimizer_, weight, [-10.0] * 7)  # One step of 1, then three calls without one.
    np.testing.assert_allclose(optimizer.average(ours).numpy(), [1 - MOMENTUM], rtol=1e-6)
    average = keras_optimizer._model_variables_moving_average[0].numpy()
    assert average > 3 * (1 - MOMENTUM)


@pytest.mark.parametrize(
    "value", [1e30, pytest.param(np.nan, marks=pytest.mark.slow)], ids=["large", "NaN"]
)
def test_a_swap_gives_every_bit_back_where_swapemaweights_does_not(value):
    x, y = data()
    optimizer = MovingAverage(keras.optimizers.SGD(0.1), MOMENTUM)
    plain, model = make(use_ema()), make(optimizer)
    for each in (plain, model):
        each.fit(x, y, verbose=0)
        each.trainable_variables[0].assign(np.full((6, 8), value))
    before = values(model.trainable_variables)
    average = optimizer.average(model.trainable_variables[0]).numpy()
    with optimizer.swapped():
        np.testing.assert_array_equal(model.trainable_variables[0].numpy(), average)
    for received, expected in zip(values(model.trainable_variables), before, strict=True):
        assert received.tobytes() == expected.tobytes()
    assert optimizer.average(model.trainable_variables[0]).numpy().tobytes() == average.tobytes()
    kept = plain.optimizer._model_variables_moving_average[0].numpy()
    plain.evaluate(x, y, verbose=0, callbacks=[keras.callbacks.SwapEMAWeights()])
    assert plain.optimizer._model_variables_moving_average[0].numpy().tobytes() != kept.tobytes()


def test_the_weights_at_the_end_of_fit_are_the_trained_ones_where_use_ema_overwrites_them():
    x, y = data()
    models = [make(o) for o in (keras.optimizers.SGD(0.1), use_ema(),
                                MovingAverage(keras.optimizers.SGD(0.1), MOMENTUM))]  # fmt: skip
    for model in models:
        model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    plain, overwritten, ours = (values(model.trainable_variables)[0] for model in models)
    np.testing.assert_allclose(ours, plain, rtol=1e-6)
    assert not np.allclose(overwritten, plain, rtol=1e-4)
