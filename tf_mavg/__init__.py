"""Moving averages of a model's weights during training, in fused native TensorFlow ops."""

from tf_mavg import _library, ops
from tf_mavg._averages import ExponentialMovingAverage
from tf_mavg._optimizer import MovingAverageOptimizer
from tf_mavg._saver import SwappingSaver

__version__: str = _library.BUILD_INFO["version"]

__all__ = [
    "ExponentialMovingAverage",
    "MovingAverageOptimizer",
    "SwappingSaver",
    "__version__",
    "ops",
]
