"""tf_keras, Keras 2: what `tf_mavg.keras` has for Keras 3."""

from __future__ import annotations

from tf_mavg._keras.tf_keras import (
    AverageModelCheckpoint,
    EvaluateAverages,
    LogAverages,
    MovingAverage,
    update_batch_norm,
)
from tf_mavg._posthoc.tf_keras import AverageSnapshots

__all__ = [
    "AverageModelCheckpoint",
    "AverageSnapshots",
    "EvaluateAverages",
    "LogAverages",
    "MovingAverage",
    "update_batch_norm",
]
