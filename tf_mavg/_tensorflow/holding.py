"""What has averages, of whatever class: one, or several that are saved as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tf_mavg._averages.swap.apart import check_apart
from tf_mavg._ops.variables import distinct

if TYPE_CHECKING:
    from tf_mavg._averages.averages import Averages


class HasAverages(Protocol):
    """An ExponentialMovingAverage, a MovingAverageOptimizer, or a MovingAverage of Keras."""

    @property
    def holder(self) -> Averages:
        """What has the averages."""


def holders_of(name: str, given: Any) -> list[Averages]:
    """The holders of what was given, each once.

    Args:
      name: The argument that it was given as.
      given: What has averages, or a list of such.

    Raises:
      TypeError: If it is none of these.
      ValueError: If two of them average one variable.
    """
    several = list(given) if isinstance(given, list | tuple) else [given]
    if not several or not all(hasattr(one, "holder") for one in several):
        message = (
            f"`{name}` must be an ExponentialMovingAverage, a MovingAverageOptimizer or a "
            f"MovingAverage of a Keras, or a list of such. Received: {given!r}."
        )
        raise TypeError(message)
    holders = distinct(one.holder for one in several)
    check_apart(holders)
    return holders
