"""Which arguments of the public classes do not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf_mavg._averages.components.replicas import has_one_value
from tf_mavg._averages.components.shares import SHARDED
from tf_mavg._averages.update.finite import UPDATE
from tf_mavg._averages.update.lazy_rows import DENSE
from tf_mavg._compat.distribute import name_of
from tf_mavg._ops.variables import base_dtype

if TYPE_CHECKING:
    import tensorflow as tf

    from tf_mavg._averages.update.pace import Pace


def check_alone(pace: Pace, num_updates: Any, placement: str, sparse: str = DENSE) -> None:
    """Raises ValueError where one argument leaves no room for another.

    Args:
      pace: What is made of `decay`, `start`, `every` and `overwrite_every`.
      num_updates: A count of updates that the user keeps; None if he does not.
      placement: Where averages lie.
      sparse: Whether averages may be lazy.
    """
    if sparse != DENSE and (pace.overwrite_every is not None or placement == SHARDED):
        message = (
            "With `sparse`, steps must write named rows alone, and averages must lie beside their "
            f"variables. Received: sparse={sparse!r} with overwrite_every={pace.overwrite_every} "
            f"and placement={placement!r}; leave these away, or call overwrite() yourself."
        )
        raise ValueError(message)
    if pace.counts and num_updates is not None:
        message = (
            "`num_updates` is for a plain decay: schedules, `start`, `every` and `overwrite_every` "
            f"count by themselves. Received: num_updates={num_updates!r}; for its warm-up, use the "
            "decay tf_mavg.decays.WarmUp(...)."
        )
        raise ValueError(message)
    if pace.overwrite_every is not None and placement == SHARDED:
        message = (
            "With `overwrite_every`, each replica must have all averages. Received: "
            f"placement={placement!r}; leave it away, or call overwrite() yourself."
        )
        raise ValueError(message)


def check_can_overwrite(pace: Pace, variable: Any, dtype: tf.DType) -> None:
    """Raises TypeError if a step could not give a variable the value of its average."""
    if pace.overwrite_every is not None and dtype != base_dtype(variable):
        message = (
            "With `overwrite_every`, an average must have the dtype of its variable. Received: "
            f"{name_of(variable)!r} of {base_dtype(variable).name} with an average of {dtype.name};"
            ' take average_dtype="same", or call overwrite() yourself.'
        )
        raise TypeError(message)


def check_can_decide(if_not_finite: str, variable: Any) -> None:
    """Raises TypeError if the replicas could decide differently about a step."""
    if if_not_finite != UPDATE and not has_one_value(variable):
        message = (
            "With `if_not_finite`, all replicas must have one value of a variable, to decide "
            f"alike. Received: {name_of(variable)!r}, which is synchronized when it is read; leave "
            "it out of the averages, or leave `if_not_finite` away."
        )
        raise TypeError(message)
