"""Both Kerases under a MirroredStrategy: fit, evaluation and files of the averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from oracle import assert_same_bits, updated

import tf_mavg.keras
import tf_mavg.tf_keras

KERASES = [(keras, tf_mavg.keras), (tf_keras, tf_mavg.tf_keras)]
both = pytest.mark.parametrize(("k", "m"), KERASES, ids=["keras", "tf_keras"])


def components(variable):
    variable = getattr(variable, "value", variable) if not hasattr(variable, "values") else variable
    return list(variable.values)


def data():
    x, y = np.random.default_rng(0).normal(size=(2, 64, 4)).astype("float32")
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16).repeat().with_options(options)


def model_of(k, optimizer):
    layers = [k.layers.Dense(3), k.layers.BatchNormalization(), k.layers.Dense(4)]
    model = k.Sequential(layers)
    model.build([None, 4])
    model.compile(optimizer, loss="mse", jit_compile=False)
    return model


def assert_all_same(variables, expected):
    """Asserts that every component of variables has its value, to the last bit."""
    for variable, values in zip(variables, expected, strict=True):
        for component, value in zip(components(variable), values, strict=True):
            assert_same_bits(component.numpy(), value)


@pytest.fixture
def fitted(k, m, logical_cpus):
    """A model after a fit of two replicas, and what its averages and weights must be."""
    with tf.distribute.MirroredStrategy(logical_cpus[:2]).scope():
        optimizer = m.MovingAverage(k.optimizers.Adam(0.01), 0.9)
        model = model_of(k, optimizer)
        optimizer.build(model.trainable_variables)
    weights = model.trainable_variables
    expected = [[c.numpy() for c in components(optimizer.average(w))] for w in weights]

    def follow(batch, logs=None):  # noqa: ARG001 - as Keras calls it.
        for averages, weight in zip(expected, weights, strict=True):
            for i, component in enumerate(components(weight)):
                averages[i] = updated(averages[i], component.numpy(), 0.9)

    model.fit(
        data(),
        epochs=2,
        steps_per_epoch=5,
        shuffle=False,
        verbose=0,
        validation_data=data(),
        validation_steps=2,
        callbacks=[k.callbacks.LambdaCallback(on_train_batch_end=follow), m.EvaluateAverages()],
    )
    return model, optimizer, expected, [[c.numpy() for c in components(w)] for w in weights]


@both
def test_fit_averages_every_replicas_weights(fitted):
    model, optimizer, averages, weights = fitted
    trained = model.trainable_variables
    assert_all_same(map(optimizer.average, trained), averages)
    with optimizer.swapped():
        assert_all_same(trained, averages)
    assert_all_same(trained, weights)


@both
def test_a_fit_goes_on_without_a_strategy(k, m, fitted, tmp_path):
    model, optimizer, averages, weights = fitted
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    tf_mavg.SwappingCheckpointManager(checkpoint, optimizer, str(tmp_path)).save()
    alone = m.MovingAverage(k.optimizers.Adam(0.01), 0.9)
    resumed = model_of(k, alone)
    alone.build(resumed.trainable_variables)
    one = tf.train.Checkpoint(model=resumed, optimizer=alone)
    tf_mavg.SwappingCheckpointManager(one, alone, str(tmp_path)).restore()
    for weight, (value, *_), (average, *_) in zip(
        resumed.trainable_variables, weights, averages, strict=True
    ):
        assert_same_bits(weight.numpy(), value)
        assert_same_bits(alone.average(weight).numpy(), average)


@both
@pytest.mark.parametrize("outside", [True, False], ids=["scaler outside", "scaler inside"])
def test_loss_scaling_skips_on_every_replica(k, m, outside, logical_cpus):
    strategy = tf.distribute.MirroredStrategy(logical_cpus[:2])
    scaler = k.optimizers.LossScaleOptimizer if k is keras else k.mixed_precision.LossScaleOptimizer
    with strategy.scope():
        inner = k.optimizers.SGD(1.0)
        if outside:
            optimizer = m.MovingAverage(inner, 0.5)
            whole = scaler(optimizer)
        else:
            optimizer = whole = m.MovingAverage(scaler(inner), 0.5)
        model = model_of(k, whole)
        whole.build(model.trainable_variables)
    weights = model.trainable_variables
    start = [[c.numpy() for c in components(w)] for w in weights]

    def train(value):
        gradients = [tf.fill(w.shape, value) for w in weights]
        whole.apply_gradients(zip(gradients, weights, strict=True))

    step = tf.function(lambda value: strategy.run(train, (value,)))
    step(tf.constant(np.inf))
    assert_all_same(map(optimizer.average, weights), start)
    step(tf.constant(1.0))
    for values, weight in zip(start, weights, strict=True):
        pairs = zip(components(optimizer.average(weight)), components(weight), strict=True)
        for value, (average, component) in zip(values, pairs, strict=True):
            assert (component.numpy() != value).all()
            assert_same_bits(average.numpy(), updated(value, component.numpy(), 0.5))
