"""tf_keras, Keras 2: what `tf_mavg.keras` has for Keras 3."""

from __future__ import annotations

from tf_mavg._keras.tf_keras import AverageModelCheckpoint, EvaluateAverages, MovingAverage

__all__ = ["AverageModelCheckpoint", "EvaluateAverages", "MovingAverage"]
