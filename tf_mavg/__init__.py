"""Moving averages of a model's weights during training, in fused native TensorFlow ops."""

import importlib
from typing import Any

from tf_mavg._ops import library  # First: it says what is missing, in one sentence.

# isort: split
from tf_mavg import decays, ops, posthoc
from tf_mavg._tensorflow.checkpoint import SwappingCheckpointManager
from tf_mavg._tensorflow.exponential import ExponentialMovingAverage
from tf_mavg._tensorflow.optimizer import MovingAverageOptimizer
from tf_mavg._tensorflow.saver import SwappingSaver
from tf_mavg.convert import convert_checkpoint
from tf_mavg.merge import merge_checkpoints

__version__: str = library.BUILD_INFO["version"]

__all__ = [
    "ExponentialMovingAverage",
    "MovingAverageOptimizer",
    "SwappingCheckpointManager",
    "SwappingSaver",
    "__version__",
    "convert_checkpoint",
    "decays",
    "merge_checkpoints",
    "ops",
    "posthoc",
]


def __getattr__(name: str) -> Any:
    """Imports what needs a Keras when it is first used: not every program has one."""
    if name in {"keras", "tf_keras"}:
        return importlib.import_module(f"tf_mavg.{name}")
    message = f"module 'tf_mavg' has no attribute {name!r}"
    raise AttributeError(message)
