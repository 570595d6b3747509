"""Small Keras models and data, for tests of the Keras optimizers and callbacks."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import tf_mavg.keras

DECAY = 0.75
FEATURES = 6
CLASSES = 3


def data(rows: int = 64) -> tuple[NDArray, NDArray]:
    """Separable points and their classes."""
    rng = np.random.default_rng(3)
    points = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    return points, points[:, :CLASSES].argmax(axis=1)


def make(optimizer: Any, policy: str = "float32", **options: Any) -> keras.Model:
    """A compiled model whose weights start at the same values each time."""
    keras.utils.set_random_seed(11)
    model = keras.Sequential(
        [
            keras.layers.Input((FEATURES,)),
            keras.layers.Dense(8, activation="relu", name="hidden", dtype=policy),
            keras.layers.Dense(CLASSES, name="output", dtype=policy),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **options)
    return model


def wrap(optimizer: Any = "sgd", **options: Any) -> tf_mavg.keras.MovingAverage:
    """A MovingAverage with the tests' decay."""
    return tf_mavg.keras.MovingAverage(optimizer, DECAY, **options)


def values(variables: Any) -> list[NDArray]:
    """Copies of the variables' values."""
    return [np.array(v.numpy()) for v in variables]


def averages(optimizer: tf_mavg.keras.MovingAverage, model: keras.Model) -> list[NDArray]:
    """The values of the averages, in the order of the weights."""
    return values(optimizer.average(weight) for weight in model.trainable_variables)
