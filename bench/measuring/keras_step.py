"""The step of Keras's fit: plain, with Keras's own use_ema, and with tf_mavg's MovingAverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np
import tensorflow as tf

import tf_mavg

from .. import device
from ..names import FIT, KERAS, WITHOUT
from ..workloads import DECAY
from .share import Trainer, measure_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from .turns import Settings

# Each layer has a kernel and a bias.
LAYERS: Final = 100
WIDTH: Final = 64
BATCH: Final = 32

OPTIMIZERS: Final[dict[str, Callable[[], Any]]] = {
    WITHOUT: keras.optimizers.Adam,
    "Keras's use_ema": lambda: keras.optimizers.Adam(use_ema=True, ema_momentum=DECAY),
    KERAS: lambda: tf_mavg.keras.MovingAverage("adam", DECAY),
}


def measure_keras_steps(settings: Settings, layers: int = LAYERS) -> list[dict[str, Any]]:
    """Measures every optimizer without XLA and with it; entries like those of `share`."""
    return [
        measure_share(
            f"Keras fit, {layers} dense layers, {'XLA' if jit else 'no XLA'}",
            [
                Trainer(name, FIT, make_step(make(), layers, jit=jit), lambda: None)
                for name, make in OPTIMIZERS.items()
            ],
            make_model(layers).trainable_variables,
            settings,
        )
        for jit in (False, True)
    ]


def make_model(layers: int) -> keras.Model:
    """A network of as many small dense layers."""
    dense = [keras.layers.Dense(WIDTH, activation="relu") for _ in range(layers)]
    return keras.Sequential([keras.Input([WIDTH]), *dense])


def make_step(optimizer: Any, layers: int, *, jit: bool) -> Callable[[], None]:
    """A call of the model's train function, which is what fit calls, that waits for its result."""
    with tf.device(device.name()):
        model = make_model(layers)
        model.compile(optimizer, "mse", jit_compile=jit)
        values = np.ones([BATCH, WIDTH], np.float32)
        batches = iter(tf.data.Dataset.from_tensors((values, values)).repeat())
        model.fit(values, values, batch_size=BATCH, verbose=0)
        train = model.make_train_function()

    def step() -> None:
        tf.nest.map_structure(np.asarray, train(batches))

    return step
