"""Situations that users of other averages have reported, each named, with the right outcome."""

import numpy as np
import pytest
import tensorflow as tf
from keras_models import data, faces
from oracle import assert_same_bits

import tf_mavg

pytestmark = pytest.mark.slow


def test_an_average_that_moves_seldom_remembers_as_long():
    """OneTrainer#543: an interval without the product of decays forgets far more slowly."""
    walk = np.random.default_rng(0).standard_normal(10_000).cumsum()
    found = {}
    for every in (1, 10):
        variable = tf.Variable(np.float64(0))
        average = tf_mavg.ExponentialMovingAverage(0.999, every=every)
        average.create_averages([variable])

        @tf.function
        def run(variable=variable, average=average):
            for value in tf.constant(walk):
                variable.assign(value)
                average.apply([variable])

        run()
        found[every] = average.average(variable).numpy()
    uncompensated = 0.0
    for value in walk[9::10]:
        uncompensated += (value - uncompensated) * 0.001
    assert abs(found[10] - found[1]) < 0.02 * abs(found[1])
    assert abs(uncompensated - found[1]) > 0.1 * abs(found[1])


@pytest.mark.parametrize("made", [True, False], ids=["averages are made", "no step yet"])
def test_a_swap_before_the_first_update_changes_nothing(made):
    """Lightning#21724: weights are swapped, and written over, before there is an average."""
    variable = tf.Variable([1.0, 2.0])
    average = tf_mavg.ExponentialMovingAverage(0.9, start=2)
    if made:
        average.create_averages([variable])
        with average.swapped():
            assert_same_bits(variable.numpy(), np.array([1.0, 2.0], np.float32))
    else:
        with pytest.raises(RuntimeError, match="There are no averages yet"):
            average.swapped().__enter__()
    for step in range(2):  # Before the start they are the weights.
        variable.assign([step, -step])
        average.apply([variable])
        with average.swapped():
            assert_same_bits(variable.numpy(), np.array([step, -step], np.float32))
    assert_same_bits(variable.numpy(), np.array([1.0, -1.0], np.float32))


@faces
def test_averages_start_at_the_weights_and_validation_sees_them(face):
    """keras#18949: averages that start at zero, and a fit that validates the weights."""
    model = face.make(face.ours.MovingAverage("sgd", 1.0))  # They stay where they start.
    before = [weight.numpy() for weight in model.trainable_variables]
    x, y = data()
    start = model.evaluate(x, y, verbose=0)[0]
    history = model.fit(
        x, y, verbose=0, epochs=2, validation_data=(x, y), callbacks=[face.ours.EvaluateAverages()]
    ).history
    np.testing.assert_allclose(history["val_loss"], [start, start], rtol=1e-6)
    for weight, value in zip(model.trainable_variables, before, strict=True):
        assert_same_bits(model.optimizer.average(weight).numpy(), value)
        assert not np.array_equal(weight.numpy(), value)
