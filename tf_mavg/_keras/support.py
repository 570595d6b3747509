"""What the Keras optimizers ask of variables and of the optimizers that they wrap."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tf_mavg._ops.variables import FLOATING_DTYPES, HALF_DTYPES, tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Wrapped:
    """Holds an optimizer out of sight of what walks over attributes."""

    def __init__(self, optimizer: Any) -> None:
        """Holds `optimizer`."""
        self.optimizer = optimizer


def path_of(variable: Any) -> str:
    """The path of a Keras 3 variable, like "dense/kernel"; the name of another one."""
    return getattr(variable, "path", variable.name).partition(":")[0]  # type: ignore[no-any-return]


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises ValueError unless an argument has one of the values that it may have."""
    if value not in choices:
        message = f"`{name}` must be one of {choices}. Received: {value!r}."
        raise ValueError(message)


def is_averaged(variable: Any, exclude: Sequence[str] | Callable[[Any], bool] | None) -> bool:
    """Whether a trained variable has an average; see `MovingAverage` for `exclude`."""
    if tensorflow_variable(variable).dtype not in FLOATING_DTYPES:
        return False
    if getattr(variable, "overwrite_with_gradient", False):  # Scales of float8 training.
        return False
    if callable(exclude):
        return not exclude(variable)
    return not any(re.search(pattern, path_of(variable)) for pattern in exclude or ())


def average_dtype(variable: Any, choice: str | None) -> str:
    """The dtype of a variable's average; see `MovingAverage` for the choices."""
    dtype = tensorflow_variable(variable).dtype
    if dtype in HALF_DTYPES and choice != "same":
        return "float32"
    return dtype.name  # type: ignore[no-any-return]
