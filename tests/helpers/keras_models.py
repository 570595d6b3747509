"""Small Keras models and data, for tests of the optimizers and callbacks of both Keras."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

import tf_mavg.keras
import tf_mavg.tf_keras

DECAY = 0.75
FEATURES = 6
CLASSES = 3


def data(rows: int = 64) -> tuple[NDArray, NDArray]:
    """Separable points and their classes."""
    rng = np.random.default_rng(3)
    points = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    return points, points[:, :CLASSES].argmax(axis=1)


@dataclass(frozen=True)
class Face:
    """A Keras, and what tf_mavg has for it."""

    keras: ModuleType
    ours: ModuleType

    def __str__(self) -> str:
        """The Keras's name, for the names of tests."""
        return self.keras.__name__

    @property
    def loss_scale(self) -> Any:
        """The Keras's LossScaleOptimizer."""
        place = self.keras.optimizers if self.keras is keras else self.keras.mixed_precision
        return place.LossScaleOptimizer

    def make(self, optimizer: Any, policy: str = "float32", **options: Any) -> Any:
        """A compiled model whose weights start at the same values each time."""
        layers = self.keras.layers
        self.keras.utils.set_random_seed(11)
        model = self.keras.Sequential(
            [
                layers.Input((FEATURES,)),
                layers.Dense(8, activation="relu", name="hidden", dtype=policy),
                layers.Dense(CLASSES, name="output", dtype=policy),
            ]
        )
        loss = self.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=["accuracy"], **options)
        return model

    def wrap(self, optimizer: Any = "sgd", **options: Any) -> Any:
        """A MovingAverage with the tests' decay."""
        return self.ours.MovingAverage(optimizer, DECAY, **options)

    def variable(self, value: Any, dtype: str = "float32", name: str | None = None) -> Any:
        """A weight without a model."""
        if self.keras is keras:
            return keras.Variable(value, dtype=dtype, name=name)
        return tf.Variable(value, dtype=dtype, name=name)


KERAS = Face(keras, tf_mavg.keras)
TF_KERAS = Face(tf_keras, tf_mavg.tf_keras)
faces = pytest.mark.parametrize("face", [KERAS, TF_KERAS], ids=str)
# tf_keras compiles the same ops; one test of it shows that it does.
compiled_faces = pytest.mark.parametrize(
    ("face", "jit_compile"), [(KERAS, False), (KERAS, True), (TF_KERAS, False)], ids=str
)
make, wrap = KERAS.make, KERAS.wrap


def values(variables: Any) -> list[NDArray]:
    """Copies of the variables' values."""
    return [np.array(v.numpy()) for v in variables]


def averages(optimizer: Any, model: Any) -> list[NDArray]:
    """The values of the averages, in the order of the weights."""
    return values(optimizer.average(weight) for weight in model.trainable_variables)


def exact(optimizer: Any, model: Any) -> list[NDArray]:
    """The values of the averages with all of their bits, in the order of the weights."""
    return [np.array(optimizer.average_value(weight)) for weight in model.trainable_variables]
