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

from tf_mavg._keras.keras3 import (
    AverageModelCheckpoint,
    EvaluateAverages,
    LogAverages,
    MovingAverage,
    update_batch_norm,
)
from tf_mavg._posthoc.keras3 import AverageSnapshots

__all__ = [
    "AverageModelCheckpoint",
    "AverageSnapshots",
    "EvaluateAverages",
    "LogAverages",
    "MovingAverage",
    "update_batch_norm",
]
