"""tf_keras, Keras 2: what `tf_mavg.keras` has for Keras 3."""

from __future__ import annotations

import tf_keras

from tf_mavg._keras_callbacks import make_callbacks
from tf_mavg._tf_keras_optimizer import MovingAverage

__all__ = ["AverageModelCheckpoint", "EvaluateAverages", "MovingAverage"]

EvaluateAverages, AverageModelCheckpoint = make_callbacks(
    tf_keras, MovingAverage, tf_keras.mixed_precision.LossScaleOptimizer
)
