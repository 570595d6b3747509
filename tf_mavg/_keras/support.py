"""What the Keras optimizers ask of weights and of their own arguments."""

from __future__ import annotations

import numbers
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_mavg._ops.variables import FLOATING_DTYPES, tensorflow_variable
from tf_mavg.decays import SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType


def register_schedules(keras: ModuleType) -> None:
    """Has a Keras know the schedules of decays, in configurations of models and optimizers."""
    for schedule in SCHEDULES:
        keras.saving.register_keras_serializable(package="tf_mavg")(schedule)


def path_of(variable: Any) -> str:
    """The path of a Keras 3 variable, like "dense/kernel"; the name of another one."""
    return getattr(variable, "path", variable.name).partition(":")[0]  # type: ignore[no-any-return]


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises ValueError unless an argument has one of the values that it may have."""
    if value not in choices:
        message = f"`{name}` must be one of {choices}. Received: {value!r}."
        raise ValueError(message)


def decay_of(value: Any) -> float:
    """A decay as a number; raises ValueError unless it is one, and in [0, 1]."""
    is_number = isinstance(value, numbers.Real | np.floating | np.integer)
    if not is_number or not 0 <= float(value) <= 1:
        message = f"`decay` must be in [0, 1]. Received: decay={value!r}."
        raise ValueError(message)
    return float(value)


def is_averaged(variable: Any, exclude: Sequence[str] | Callable[[Any], bool] | None) -> bool:
    """Whether a trained variable has an average; see `MovingAverage` for `exclude`."""
    if tensorflow_variable(variable).dtype not in FLOATING_DTYPES:
        return False
    if getattr(variable, "overwrite_with_gradient", False):  # Scales of float8 training.
        return False
    if callable(exclude):
        return not exclude(variable)
    return not any(re.search(pattern, path_of(variable)) for pattern in exclude or ())
