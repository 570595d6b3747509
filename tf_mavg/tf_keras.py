"""tf_keras, Keras 2: what `tf_mavg.keras` has for Keras 3."""

from __future__ import annotations

import tf_keras

from tf_mavg._keras.callbacks import make_callbacks
from tf_mavg._keras.tf_keras import MovingAverage

__all__ = ["AverageModelCheckpoint", "EvaluateAverages", "MovingAverage"]

EvaluateAverages, AverageModelCheckpoint = make_callbacks(
    tf_keras, MovingAverage, tf_keras.mixed_precision.LossScaleOptimizer
)
