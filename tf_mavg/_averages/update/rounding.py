"""How averages of half precision are rounded: the choice of every face."""

from __future__ import annotations

from typing import Any, Final

from tf_mavg._averages.update.lazy_rows import DENSE
from tf_mavg._ops.rounding import whole_number

NEAREST: Final = "nearest"
STOCHASTIC: Final = "stochastic"
ROUNDINGS: Final = (NEAREST, STOCHASTIC)


def seed_of(
    rounding: object,
    seed: Any,
    average_dtype: str | None,
    num_updates: Any = None,
    sparse: str = DENSE,
) -> int | None:
    """The seed of stochastic rounding; None with the nearest.

    Args:
      rounding: A value of `rounding`.
      seed: What the random bits depend on, beside the number of the step.
      average_dtype: Of which dtype averages are.
      num_updates: What a user counts steps by; None if he does not.
      sparse: Whether averages may be lazy.

    Raises:
      TypeError: If `seed` is no whole number.
      ValueError: If `rounding` is another one, `seed` does not fit into an int64, or no average
        could be of half precision, or steps are not the averages' to count.
    """
    if rounding not in ROUNDINGS:
        message = f"`rounding` must be one of {ROUNDINGS}. Received: {rounding!r}."
        raise ValueError(message)
    number = whole_number("seed", seed)
    if rounding == NEAREST:
        return None
    if average_dtype != "same":
        message = (
            'With rounding="stochastic", averages must be of their variables\' dtypes, since '
            f"float32 has no need of it. Received: average_dtype={average_dtype!r}; take "
            'average_dtype="same".'
        )
        raise ValueError(message)
    if num_updates is not None:
        message = (
            'With rounding="stochastic", averages count their updates by themselves. '
            f"Received: num_updates={num_updates!r}; for its warm-up, use the decay "
            "tf_mavg.decays.WarmUp(...)."
        )
        raise ValueError(message)
    if sparse != DENSE:
        message = (
            'With rounding="stochastic", each step must update all rows. '
            f"Received: sparse={sparse!r}; leave it away, or take the nearest rounding."
        )
        raise ValueError(message)
    return number
