"""Keras 3: the optimizer that keeps averages of the weights it trains, and its callbacks.

optimizer = tf_mavg.keras.MovingAverage("adam", average_decay=0.999)
model.compile(optimizer, loss, metrics)
model.fit(x, y, validation_data=held_out, callbacks=[tf_mavg.keras.EvaluateAverages()])
with optimizer.swapped():
    model.evaluate(x, y)
"""

from __future__ import annotations

import keras

if keras.config.backend() != "tensorflow":
    message = f"tf_mavg.keras needs Keras's tensorflow backend. Found: {keras.config.backend()}."
    raise ImportError(message)

from tf_mavg._keras_callbacks import make_callbacks
from tf_mavg._keras_optimizer import MovingAverage

__all__ = ["AverageModelCheckpoint", "EvaluateAverages", "MovingAverage"]


def moving_average_of(model: keras.Model) -> MovingAverage:
    """The MovingAverage that trains a model, alone or in a LossScaleOptimizer.

    Raises:
      ValueError: If it is trained by another optimizer.
    """
    optimizer = getattr(model, "optimizer", None)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if not isinstance(optimizer, MovingAverage):
        message = f"The model must be compiled with a MovingAverage. Received: {optimizer!r}."
        raise ValueError(message)  # noqa: TRY004 - the model is at fault, not its type.
    return optimizer


EvaluateAverages, AverageModelCheckpoint = make_callbacks(keras, moving_average_of)
